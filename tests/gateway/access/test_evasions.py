"""Ways in which one operator would let go alone what two are needed for."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from exchange.messages.frames import Parameter
from exchange.messages.operations import (
    Approve,
    DayRoll,
    Lift,
    PhaseChange,
    ReferencePrice,
    SetLimit,
)
from exchange.messages.reasons import AccessReason
from gateway.refusal import Refused
from tests.gateway.conftest import House
from tests.gateway.control.test_operations import (
    Desk,
    first,
    house,
    one_venue,
    second,
    second_sees,
)

__all__ = ["first", "house", "second"]


@one_venue
async def test_a_limit_of_ones_own_above_everybodys_is_looser(
    house: House, first: Desk, second: Desk
) -> None:
    """It goes before that of the instrument, so one person would let a single member past it."""
    view = house.gateway.context.views["EU"]
    of_all = {"parameter": "HOLDING_MAX", "symbol": "EUA", "value": 5_000_000}
    assert (await first.do(SetLimit, **of_all)).status == "DONE"
    known = view.positions.instruments[1].parameters
    await house.until(lambda: known[Parameter.HOLDING_MAX] == 5_000_000)
    own = {"parameter": "INSTRUMENT_HOLDING_MAX", "account": 103, "symbol": "EUA"}
    wide = await first.do(SetLimit, value=5_000_001, **own)
    assert (wide.status, view.controls.of_account(103, 5, 1)) == ("PROPOSED", 0)
    await house.until(lambda: second_sees(house, wide.proposal_id))
    await second.do(Approve, proposal_id=wide.proposal_id)
    await house.until(lambda: view.controls.of_account(103, 5, 1) == 5_000_001)
    assert (await first.do(SetLimit, value=0, **own)).status == "DONE"  # as everybody again
    await house.until(lambda: view.controls.of_account(103, 5, 1) == 0)
    assert (await first.do(SetLimit, value=4_000_000, **own)).status == "DONE"
    await house.until(lambda: view.controls.of_account(103, 5, 1) == 4_000_000)
    assert (await first.do(SetLimit, value=0, **own)).status == "PROPOSED"
    ratio = {"parameter": "ORDER_TRADE_RATIO"}
    assert (await first.do(SetLimit, value=900, symbol="EUA", **ratio)).status == "DONE"
    await house.until(lambda: 900 in view.acts.ratio_limits.values())
    assert (await first.do(SetLimit, value=901, participant=4, **ratio)).status == "PROPOSED"
    assert (await first.do(SetLimit, value=900, participant=4, **ratio)).status == "DONE"


@one_venue
async def test_a_key_is_itself_also_when_its_person_was_named_meanwhile(
    house: House, first: Desk
) -> None:
    """The venue file is read again at any time: between the proposal and its approval, too."""
    wanted = await first.do(Lift, participant=2)
    await house.until(lambda: second_sees(house, wanted.proposal_id))
    context = house.gateway.context
    named = msgspec.structs.replace(context.identities.ring.find("operator"), person="Ada")
    approval = Approve(ref=1, market="EU", proposal_id=wanted.proposal_id)
    with pytest.raises(Refused) as refused:
        context.operations.decide(named, approval)
    assert refused.value.row.number == AccessReason.SAME_PERSON_APPROVES


@one_venue
async def test_a_day_that_is_ahead_of_the_calendar_is_ended_by_two(
    house: House, first: Desk, second: Desk
) -> None:
    """A step of the reference is bounded by the day: who ends days at will goes where he wants."""
    view = house.gateway.context.views["CN"]
    known = view.positions.instruments[12]
    today = dt.datetime.fromtimestamp(house.clock.now_ns() // 10**9, dt.UTC).date()
    dates = [int(f"{today + dt.timedelta(days):%Y%m%d}") for days in (0, 3, 4)]
    await first.do(PhaseChange, market="CN", phase="CLOSED")
    for date in dates[:2]:  # of a Friday evening, to Monday
        rolled = await first.do(DayRoll, market="CN", trading_date=date)
        assert rolled.status == "DONE"
        await house.until(lambda wanted=date: view.positions.trading_date == wanted)
    assert (known.reference_price, known.parameters[Parameter.BAND_BP]) == (7_463, 1_000)
    assert (await first.do(ReferencePrice, symbol="CEA-2025", price="82.00")).status == "DONE"
    await house.until(lambda: known.reference_price == 8_200)
    further = await first.do(DayRoll, market="CN", trading_date=dates[2])
    assert (further.status, view.positions.trading_date) == ("PROPOSED", dates[1])
    beyond = await first.do(ReferencePrice, symbol="CEA-2025", price="90.00")
    assert beyond.status == "PROPOSED"
    await house.until(lambda: further.proposal_id in view.acts.proposals)
    await second.do(Approve, market="CN", proposal_id=further.proposal_id)
    await house.until(lambda: view.positions.trading_date == dates[2])
