"""Orders to trades: counted as RTS 9 says, limited for a member, and what is above is slowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from exchange.messages.frames import (
    Command,
    EventPart,
    OrderType,
    Phase,
    Side,
    TimeInForce,
    build_commands,
    command,
)
from exchange.messages.operations import Approve, SetLimit
from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import Instrument
from exchange.settings import ORDER_TRADE_MESSAGES_MIN
from gateway.client import VenueError
from gateway.control.limits import is_looser
from gateway.replies.limits import RatioList
from gateway.views.order_ratio import Excess, OrderRatios, RatioLimits, excesses
from matching import Engine
from matching.layout import EVENT
from tests.gateway.conftest import House
from tests.gateway.control.test_operations import Desk, first, house, one_venue, second, second_sees

__all__ = ["first", "house", "second"]

ANN, BEN = 101, 102  # accounts of participants 1 and 2
EUA = Instrument(1, "EU", "EUA", "EUA", "eu-ets", "allowance")


class Market:
    """An engine and the ratios that follow its events."""

    def __init__(self) -> None:
        self.engine, self.ratios = Engine(), OrderRatios()
        self.offset = 0
        opened = [command(Command.INSTRUMENT_OPEN, instrument_id=1)]
        for account in (ANN, BEN):
            named = {"account_id": account}
            opened += [
                command(Command.ACCOUNT_OPEN, order_id=account - 100, **named),
                command(Command.CASH_DEPOSIT, quantity=10**9, **named),
                command(Command.UNITS_DEPOSIT, instrument_id=1, quantity=10**4, **named),
            ]
        self.send(*opened, command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))

    def send(self, *records: bytes) -> list[Any]:
        now = self.offset + 1
        frame = build_commands(list(records), writer=1, batch=1, time_ns=now)
        first = self.engine.next_event
        body = self.engine.apply(self.offset, now, frame)
        self.ratios.apply(EventPart(self.offset, self.offset, 0, True, now, first, 1, b"", body))
        self.offset += 1
        return list(np.frombuffer(body, EVENT))

    def order(self, account: int, side: Side, quantity: int, price: int = 7_000) -> int:
        (event, *_) = self.send(
            command(
                Command.NEW_ORDER, side=side, order_type=OrderType.LIMIT, account_id=account,
                instrument_id=1, quantity=quantity, price=price, time_in_force=TimeInForce.DAY,
            )
        )  # fmt: skip
        return int(event["order_id"])

    def cancel(self, account: int, order: int) -> None:
        self.send(
            command(Command.CANCEL_ORDER, account_id=account, instrument_id=1, order_id=order)
        )

    def count(self, participant: int) -> tuple[int, int, int, int]:
        found = self.ratios.today[participant, 1]
        return found.messages, found.ordered, found.trades, found.traded

    def excess(self, participant: int, limits: RatioLimits) -> list[Excess]:
        return list(excesses(self.ratios.today, limits, (EUA,), participant))


def test_orders_changes_and_cancels_count_with_their_tonnes_and_trades_for_both() -> None:
    market = Market()
    resting = market.order(ANN, Side.SELL, 10)
    market.order(BEN, Side.BUY, 4)
    assert market.count(1) == (1, 10, 1, 4)
    assert market.count(2) == (1, 4, 1, 4)
    market.cancel(ANN, resting)
    assert market.count(1) == (2, 16, 1, 4)
    again = market.order(ANN, Side.SELL, 5, 7_100)
    market.send(
        command(
            Command.REPLACE_ORDER, account_id=ANN, instrument_id=1, order_id=again, quantity=8,
            price=7_200,
        )
    )  # fmt: skip
    assert market.count(1) == (4, 29, 1, 4)


def test_what_a_kill_the_day_or_a_refusal_ends_is_no_message() -> None:
    market = Market()
    market.order(ANN, Side.SELL, 10)
    market.order(ANN, Side.SELL, 10**7)  # refused: not that many units
    market.send(command(Command.MASS_CANCEL, order_id=1))
    assert market.count(1) == (1, 10, 0, 0)
    market.order(ANN, Side.SELL, 10)
    market.send(
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
        command(Command.DAY_ROLL, quantity=20261201),
    )
    assert market.ratios.today == {}
    assert market.ratios.closed[1, 1].messages == 2


def test_limits_of_a_member_go_before_those_of_the_instrument() -> None:
    market = Market()
    for _ in range(ORDER_TRADE_MESSAGES_MIN - 1):
        market.order(ANN, Side.SELL, 2)
    tight: RatioLimits = {("ORDER_TRADE_RATIO", 0, "EUA"): 50}
    assert market.excess(1, tight) == []  # too few messages to be judged
    market.order(BEN, Side.BUY, 2)
    market.order(ANN, Side.SELL, 2)
    assert market.excess(1, tight) == [Excess(1, "EUA", "ORDER_TRADE_RATIO", 99, 50)]
    own: RatioLimits = {**tight, ("ORDER_TRADE_RATIO", 1, ""): 99}
    assert market.excess(1, own) == []
    assert market.excess(1, {("VOLUME_TRADE_RATIO", 1, ""): 98}) == [
        Excess(1, "EUA", "VOLUME_TRADE_RATIO", 99, 98)
    ]
    assert market.excess(1, {("VOLUME_TRADE_RATIO", 1, ""): 0}) == []
    assert market.excess(1, {}) == []
    market.order(BEN, Side.BUY, 2)  # a trade more brings it down
    assert market.excess(1, tight) == []


@pytest.mark.parametrize("word", ["ORDER_TRADE_RATIO", "VOLUME_TRADE_RATIO"])
def test_zero_is_the_loosest(word: Any) -> None:
    assert is_looser(word, 10, 0)
    assert is_looser(word, 10, 11)
    assert not is_looser(word, 0, 10)


@one_venue
async def test_a_member_above_its_limit_is_slowed_until_trades_bring_it_down(
    house: House, first: Desk, second: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.views.order_ratio.ORDER_TRADE_MESSAGES_MIN", 4)
    view = house.gateway.context.views["EU"]
    for wrong in ({"account": 103}, {"symbol": "EUA", "participant": 4}, {}):
        told = await first.refused(SetLimit, parameter="ORDER_TRADE_RATIO", value=3, **wrong)
        assert told == EdgeReason.INVALID_FIELD
    above = {"parameter": "ORDER_TRADE_RATIO", "value": 2**40, "participant": 4}
    assert await first.refused(SetLimit, **above) == EdgeReason.INVALID_FIELD
    own = {"parameter": "ORDER_TRADE_RATIO", "participant": 4}
    assert (await first.do(SetLimit, value=3, **own)).status == "DONE"
    await house.until(lambda: bool(view.acts.ratio_limits))
    async with house.client("yangtze") as yangtze, house.client("northern") as northern:
        sent = [await yangtze.new_order("EUA", 103, "BUY", 1, "70.00") for _ in range(5)]
        throttle = house.gateway.context.throttle
        now = throttle._clock.monotonic_ns()  # a second goes by while a busy machine sends two
        monkeypatch.setattr(throttle._clock, "monotonic_ns", lambda: now)
        assert (await yangtze.new_order("EUA", 103, "BUY", 1, "71.00")).exec_type == "NEW"
        with pytest.raises(VenueError, match="ORDER_TRADE_RATIO of participant 4 in EUA") as slow:
            await yangtze.new_order("EUA", 103, "BUY", 1, "70.00")
        assert slow.value.reason == AccessReason.ORDER_TO_TRADE_EXCEEDED
        assert slow.value.retry_after_ms > 0
        (mine,) = (await yangtze.rest.get("/order-to-trade", RatioList, market="EU")).ratios
        assert (mine.participant, mine.messages, mine.number_ratio, mine.number_limit) == (
            4, 6, 5, 3
        )  # fmt: skip
        assert mine.is_exceeded
        gone = await yangtze.cancel_order("EUA", 103, order_id=sent[0].order_id)
        assert gone.exec_type == "CANCELLED"
        monkeypatch.undo()
        for price in ("71.00", "70.00"):
            await northern.new_order("EUA", 101, "SELL", 1, price)
        await house.until(lambda: view.controls.ratios.today[4, 1].trades == 2)
        assert (await yangtze.new_order("EUA", 103, "BUY", 1, "70.00")).exec_type == "NEW"
        assert (await yangtze.new_order("EUA", 103, "BUY", 1, "70.00")).exec_type == "NEW"
    async with house.client("operator") as operator:
        rows = (await operator.rest.get("/order-to-trade", RatioList, market="EU")).ratios
        assert {row.participant for row in rows} == {2, 4}
    wider = await first.do(SetLimit, value=0, **own)
    assert wider.status == "PROPOSED"
    await house.until(lambda: second_sees(house, wider.proposal_id))
    await second.do(Approve, proposal_id=wider.proposal_id)
    await house.until(lambda: not any(view.acts.ratio_limits.values()))
