"""A trade that goes back: its minute, its day and the close are told again, as if it never was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from exchange.marketdata.bars import DAY_NS, HOUR_NS, MINUTE_NS, Bars
from exchange.marketdata.corrections import Close, TradeMemory
from exchange.marketdata.depth import Depth
from exchange.messages.frames import (
    CloseRule,
    Command,
    EventFollower,
    Parameter,
    Phase,
    SettlementStep,
    Side,
    build_commands,
    command,
    seal_events,
    settlement_tail,
)
from exchange.messages.market_data import (
    BarTick,
    DayCorrectedTick,
    DayTick,
    MarketDataItem,
    TradeCancelledTick,
    TradeTick,
)
from matching.reference import Engine

CLOSE = Close(CloseRule.VWAP, 0, 100, 0)
Row = tuple[int, int, int]  # price, quantity, minutes


def trade(number: int, price: int, quantity: int, time_ns: int) -> TradeTick:
    return TradeTick(1, number, price, quantity, 1, time_ns)


rows = st.lists(
    st.tuples(st.integers(90, 110), st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12
)


@settings(max_examples=60, deadline=None)
@given(rows, st.data())
def test_bars_without_trades_are_those_of_who_never_heard_of_them(
    given_rows: list[Row], data: st.DataObject
) -> None:
    memory, bars, fresh = TradeMemory(), Bars(), Bars()
    at, trades = 0, []
    for number, (price, quantity, minutes) in enumerate(given_rows):
        at += minutes * MINUTE_NS
        trades.append(trade(number * 3, price, quantity, at))
    for item in trades:
        memory.add(item)
        bars.apply(item)
    back = data.draw(st.sets(st.sampled_from([item.trade_id for item in trades])))
    day: Any = None
    for trade_id in back:
        bar, *_, day = memory.take_back(trade_id, 1, at)
        assert isinstance(bar, BarTick)
        bars.correct(bar)
        assert memory.take_back(trade_id, 1, at) == []  # once
    left = [item for item in trades if item.trade_id not in back]
    for item in left:
        fresh.apply(item)
    assert bars.list() == fresh.list()
    assert memory.last[0] == (left[-1].price if left else 0)
    if back:
        prices = [item.price for item in left] or [0]
        assert (day.high, day.low, day.last_price) == (max(prices), min(prices), prices[-1])
        assert day.volume == sum(item.quantity for item in left)
        assert day.turnover == sum(item.quantity * item.price for item in left)


@pytest.mark.parametrize(
    ("close", "volume", "expected"),
    [
        (CLOSE, 4, 102),  # 407 / 4 = 101.75
        (replace(CLOSE, volume_min=4), 4, 100),  # a thin day keeps the reference
        (replace(CLOSE, volume_min=3), 4, 102),
        (replace(CLOSE, rule=CloseRule.LAST_TRADE), 4, 99),
        (replace(CLOSE, rule=CloseRule.CALL_PRICE), 4, 99),
        (replace(CLOSE, rule=CloseRule.CALL_PRICE, call_price=98), 4, 98),
        (CLOSE, 0, 100),
    ],
)
def test_the_close_is_by_the_days_rule(close: Close, volume: int, expected: int) -> None:
    assert close.price_of(volume, 407, 99) == expected


def test_days_and_what_is_forgotten() -> None:
    memory = TradeMemory(trades_max=2)
    for number in range(2):
        memory.add(trade(number, 100 + number, 1, number))
    assert memory.close_day(5, CLOSE, 1, 50) is None  # nothing went back
    memory.add(trade(6, 200, 1, 60))
    bar, hour, long, day = memory.take_back(0, 1, 70)
    assert hour == replaced(bar, width_ns=HOUR_NS)
    assert long == replaced(bar, width_ns=DAY_NS)
    assert bar == BarTick(1, 0, 101, 200, 101, 200, 2, 70)  # the minute goes on over the close
    assert day == DayCorrectedTick(1, 50, 101, 101, 101, 101, 1, 101, 70)
    memory.add(trade(7, 300, 1, MINUTE_NS))
    memory.add(trade(8, 400, 1, MINUTE_NS))  # now trades 0 and 1 are forgotten
    assert memory.find(1) == (0, 0)
    assert memory.take_back(1, 1, 99) == []
    assert memory.find(6) == (200, 60)
    (day,) = memory.take_back(6, 1, 99)  # of its minute others are forgotten
    assert isinstance(day, DayCorrectedTick)
    assert (day.closed_ns, day.volume, day.high, day.low) == (0, 2, 400, 300)
    bar, day = memory.take_back(8, 1, 99)  # of its hour others are forgotten
    assert bar == BarTick(1, MINUTE_NS, 300, 300, 300, 300, 1, 99)
    closing = memory.close_day(9, CLOSE, 1, 100)
    assert closing == DayCorrectedTick(1, 100, 300, 300, 300, 300, 1, 300, 100)


def test_high_and_low_of_a_day_that_is_half_forgotten_are_not_said() -> None:
    memory = TradeMemory(trades_max=1)
    for number in range(3):
        memory.add(trade(number, 100 + number, 1, number))
    (day,) = memory.take_back(2, 1, 9)
    assert isinstance(day, DayCorrectedTick)
    assert (day.high, day.low, day.last_price) == (0, 0, 101)


class Market:
    """The reference engine, and what the public hears of it."""

    def __init__(self) -> None:
        self.engine, self.depth = Engine(), Depth()
        self._follower, self._chain, self._offset = EventFollower(), bytes(32), 0
        self._event = 0

    def say(self, *commands: bytes, minutes: int = 0) -> list[MarketDataItem]:
        frame = build_commands(commands, writer=1, batch=1, time_ns=0)
        now = self.engine.time_ns + minutes * MINUTE_NS
        data = self.engine.apply(self._offset, now, frame)
        parts, self._chain = seal_events(
            data, input_offset=self._offset, first_event=self._event, epoch=1,
            time_ns=self.engine.time_ns, chain=self._chain,
        )  # fmt: skip
        self._event, self._offset = self.engine.next_event, self._offset + 1
        said: list[MarketDataItem] = []
        for at, value in enumerate(parts):
            part = self._follower.accept(at, value)
            assert part is not None
            record = self.depth.apply(part)
            said += record.items if record else ()
        return said

    def trade(self, price: int, quantity: int, minutes: int = 0) -> int:
        orders = (
            command(
                Command.NEW_ORDER, account_id=account, instrument_id=1, side=side, order_type=2,
                quantity=quantity, price=price,
            )
            for account, side in ((1, Side.SELL), (2, Side.BUY))
        )  # fmt: skip
        said = self.say(*orders, minutes=minutes)
        (told,) = (item for item in said if isinstance(item, TradeTick))
        return told.trade_id

    def cancel(self, trade_id: int, price: int, quantity: int) -> list[MarketDataItem]:
        """What is told of the trade, its minute and its day."""
        cash = price * quantity
        told = self.say(command(
            Command.SETTLE_TRADE, order_type=SettlementStep.REVERSE, account_id=2, order_id=1,
            instrument_id=1, quantity=quantity, price=cash,
            client_order_id=settlement_tail(cash, trade_id),
        ))  # fmt: skip
        bars = [item for item in told if isinstance(item, BarTick)]
        assert [bar.width_ns for bar in bars] == [MINUTE_NS, HOUR_NS, DAY_NS][: len(bars)]
        kinds = TradeCancelledTick | BarTick | DayCorrectedTick
        return [item for item in told if isinstance(item, kinds) and item not in bars[1:]]

    def roll(self, date: int) -> list[MarketDataItem]:
        return self.say(
            command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
            command(Command.DAY_ROLL, quantity=date),
            command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
        )


@pytest.fixture
def market() -> Market:
    found = Market()
    found.say(
        command(Command.INSTRUMENT_OPEN, instrument_id=1),
        *(command(Command.ACCOUNT_OPEN, account_id=a, order_id=a) for a in (1, 2)),
        command(Command.UNITS_DEPOSIT, account_id=1, instrument_id=1, quantity=90),
        command(Command.CASH_DEPOSIT, account_id=2, quantity=90_000),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
        minutes=1,
    )
    return found


def test_on_its_day_and_after_its_close(market: Market) -> None:
    market.trade(100, 2)
    wrong = market.trade(900, 3, minutes=1)
    market.trade(110, 2, minutes=1)
    cancelled, bar, day = market.cancel(wrong, 900, 3)
    assert cancelled == TradeCancelledTick(
        1, wrong, 3, market.engine.time_ns, 900, market.engine.time_ns - MINUTE_NS
    )
    assert isinstance(bar, BarTick)
    assert bar.volume == 0
    assert isinstance(day, DayCorrectedTick)
    assert (day.closed_ns, day.high, day.low, day.volume, day.turnover) == (0, 110, 100, 4, 420)
    said = market.roll(20260102)
    closed = next(item for item in said if isinstance(item, DayTick))
    corrected = next(item for item in said if isinstance(item, DayCorrectedTick))
    assert (closed.close_price, closed.volume) == (446, 7)  # 3120 / 7: the engine's
    assert corrected.closed_ns == closed.time_ns
    assert (corrected.close_price, corrected.volume, corrected.turnover) == (105, 4, 420)
    assert market.depth.snapshot(1).reference_price == 446
    late = market.trade(120, 1)
    cancelled, bar, day = market.cancel(late, 120, 1)
    assert isinstance(day, DayCorrectedTick)
    assert (day.closed_ns, day.volume, day.last_price) == (0, 0, 0)
    assert market.depth.snapshot(1).last_price == 110


def test_of_a_day_that_is_over(market: Market) -> None:
    wrong = market.trade(900, 3)
    market.trade(110, 2)
    closed = next(item for item in market.roll(20260102) if isinstance(item, DayTick))
    market.trade(120, 1, minutes=5)
    _, bar, day = market.cancel(wrong, 900, 3)
    assert isinstance(bar, BarTick)
    assert (bar.open, bar.volume) == (110, 2)
    assert isinstance(day, DayCorrectedTick)
    assert day.closed_ns == closed.time_ns
    assert (day.close_price, day.volume, day.turnover) == (110, 2, 220)


def test_the_rule_of_the_instrument_is_heard(market: Market) -> None:
    market.say(
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
        command(
            Command.INSTRUMENT_PARAMETER, instrument_id=1, order_type=Parameter.CLOSE_RULE,
            quantity=CloseRule.LAST_TRADE,
        ),
        command(
            Command.INSTRUMENT_PARAMETER, instrument_id=1, quantity=3,
            order_type=Parameter.CLOSE_VOLUME_MIN,
        ),
        command(Command.REFERENCE_PRICE, instrument_id=1, price=77),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
    )  # fmt: skip
    market.trade(100, 2)
    first, second = market.trade(110, 2), market.trade(900, 3)
    market.roll(20260102)
    _, _, day = market.cancel(second, 900, 3)
    assert isinstance(day, DayCorrectedTick)
    assert (day.close_price, day.volume) == (110, 4)
    _, _, day = market.cancel(first, 110, 2)
    assert isinstance(day, DayCorrectedTick)
    assert (day.close_price, day.volume) == (77, 2)  # 2 is not above 3
