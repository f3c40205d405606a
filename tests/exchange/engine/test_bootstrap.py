"""Bootstrap makes the market of the venue file, and nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import bootstrap as operations
from exchange.engine.bootstrap import bootstrap, frames_of, missing
from exchange.messages.frames import COUNT_MAX, Event, Parameter, Phase, read_commands
from exchange.positions import Positions, project
from exchange.reference.venue import Account, Venue, load_venue

ORDERS, EVENTS = topics.orders(0), topics.events(0)
DEMO = Path(__file__).parents[3] / "deploy" / "venue" / "demo.toml"


@pytest.fixture
def venue() -> Venue:
    demo = load_venue(DEMO)
    markets = tuple(msgspec.structs.replace(m, partition=0) for m in demo.market if m.code == "CN")
    return msgspec.structs.replace(demo, market=markets)


async def settled(log: Any, until: Any) -> Positions:
    await until(lambda: len(log.rows[EVENTS]) == len(log.rows[ORDERS]))
    return await project(log, 0)


async def test_it_appends_only_what_is_missing(memory_log, running, until, venue):
    market = venue.market[0]
    service = running.start(settings={"engine_tick_ms": 60_000})
    await until(lambda: service.is_leading)
    assert await bootstrap(memory_log, venue, market, SystemClock()) > 20
    positions = await settled(memory_log, until)
    for instrument in venue.instruments_of("CN"):
        made = positions.instruments[instrument.id]
        assert made.reference_price == instrument.reference_price
        for name, value in instrument.parameters.items():
            assert made.parameters[Parameter[name.upper()]] == value
    assert {a: p.participant for a, p in positions.accounts.items()} == {
        account.id: account.participant for account in venue.accounts_of("CN")
    }
    end = len(memory_log.rows[ORDERS])
    assert await bootstrap(memory_log, venue, market, SystemClock()) == 0
    assert len(memory_log.rows[ORDERS]) == end
    more = Account(id=299, participant=4, market="CN", name="another")
    first, *others = venue.instrument
    first = msgspec.structs.replace(first, market="CN", parameters={"lot_size": 10})
    grown = msgspec.structs.replace(
        venue, account=(*venue.account, more), instrument=(first, *others)
    )
    assert await bootstrap(memory_log, grown, market, SystemClock()) == 4
    positions = await settled(memory_log, until)
    assert 299 in positions.accounts
    assert positions.instruments[first.id].parameters[Parameter.LOT_SIZE] == 10


async def test_a_repeated_bootstrap_is_refused_harmlessly(memory_log, running, until, venue):
    market = venue.market[0]
    for _ in range(2):  # no engine has answered the first one
        await bootstrap(memory_log, venue, market, SystemClock())
    service = running.start()
    await until(lambda: service.is_leading)
    positions = await settled(memory_log, until)
    assert missing(venue, market, positions) == []
    assert len(positions.accounts) == len(venue.accounts_of("CN"))


async def test_operators_commands_do_what_they_say(memory_log, running, until, venue):
    await bootstrap(memory_log, venue, venue.market[0], SystemClock())
    commands = [
        operations.deposit_cash(201, 5_000, 7),
        operations.withdraw_cash(201, 2_000, 8),
        operations.change_phase(Phase.CONTINUOUS, 11),
        operations.change_phase(Phase.CLOSED),
        operations.roll_day(20261123),
        operations.set_reference_price(21, 9_000),
        operations.set_parameter(21, Parameter.BAND_BP, 500),
        operations.release_units(201, 11, 1),
    ]
    await memory_log.append(ORDERS, frames_of([commands], SystemClock()))
    service = running.start()
    await until(lambda: service.is_leading)
    positions = await settled(memory_log, until)
    assert positions.cash(201).available == 3_000
    assert positions.trading_date == 20261123
    assert positions.instruments[21].reference_price == 9_000
    assert positions.instruments[21].parameters[Parameter.BAND_BP] == 500
    last = memory_log.rows[EVENTS][1].value
    assert last[-64] == Event.REJECTED  # nothing to release


def test_groups_are_never_torn():
    groups = [[bytes([n]) * 64] * 1_500 for n in range(1, 8)]
    frames = frames_of(groups, SystemClock())
    sizes = [len(read_commands(frame)) for frame in frames]
    assert sizes == [3_000, 3_000, 3_000, 1_500]
    assert max(sizes) <= COUNT_MAX
    assert frames_of([], SystemClock()) == []


def test_a_parameter_that_is_none_is_named(venue):
    first, *others = venue.instruments_of("CN")
    wrong = msgspec.structs.replace(first, parameters={"tick": 1})
    with pytest.raises(ValueError, match="parameter tick is none of tick_size"):
        missing(
            msgspec.structs.replace(venue, instrument=(wrong, *others)),
            venue.market[0],
            Positions(),
        )
