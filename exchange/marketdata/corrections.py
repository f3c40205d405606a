"""What was told of trades, kept to tell it again without those that went back. Pure.

A trade that is voided or cancelled is taken out of its bars and of its day: of each the public is
told what it is without it. The reference price in force, on which the engine's band stands, is
the engine's and stays.

Memory: the newest trades of an instrument, TRADES_REMEMBERED_MAX to twice that, 32 bytes each. Of a
trade that is older nothing is corrected; of a day that began before them neither high nor low is
known, nor the bars in which they begin.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass

from exchange.marketdata.bars import WIDTHS_NS
from exchange.messages.frames import CloseRule
from exchange.messages.market_data import (
    BarState,
    BarTick,
    DayCorrectedTick,
    MarketDataItem,
    StatisticsTick,
    TradeTick,
)
from exchange.settings import CORRECTION_DAYS_MAX, TRADES_REMEMBERED_MAX


@dataclass(slots=True, frozen=True)
class Close:
    """What a day's close stands on."""

    rule: int  # a `frames.CloseRule`
    volume_min: int  # tonnes: at or below them the close stays at the reference
    reference: int  # minor units a tonne, before the close
    call_price: int  # of the closing call, 0 = none

    def price_of(self, volume: int, turnover: int, last_price: int) -> int:
        """The close by the same rule on other trades, as RULES.md has it. O(1)."""
        if volume <= self.volume_min:
            return self.reference
        if self.rule == CloseRule.VWAP:
            return (2 * turnover + volume) // (2 * volume)
        is_called = self.rule == CloseRule.CALL_PRICE and self.call_price
        return self.call_price if is_called else last_price


@dataclass(slots=True)
class _Day:
    """A trading day: from which trade on, what is left of it, how it closed."""

    first_trade: int  # ids below are of the days before
    volume: int = 0
    turnover: int = 0
    trades: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    last: int = 0
    is_known: bool = True  # open, high and low: not after the loss of trades no longer remembered
    is_corrected: bool = False
    closed_ns: int = 0  # 0 = it runs
    close: Close | None = None

    def add(self, price: int, quantity: int) -> None:
        """One more trade. O(1)."""
        if not self.trades:
            self.open = self.high = self.low = price
        self.trades += 1
        self.volume += quantity
        self.turnover += quantity * price
        self.high, self.low, self.last = max(self.high, price), min(self.low, price), price

    def shape(self, prices: list[int], is_whole: bool) -> None:
        """Open, high, low and last anew, from the prices that are left. O(prices)."""
        self.last = prices[-1] if prices else 0
        self.is_known = is_whole
        if is_whole and prices:
            self.open, self.high, self.low = prices[0], max(prices), min(prices)


class TradeMemory:
    """The trades of the book of one instrument, oldest first, with its days."""

    def __init__(self, trades_max: int = TRADES_REMEMBERED_MAX) -> None:
        self._max = trades_max
        self._ids, self._prices = array("q"), array("q")
        self._quantities, self._times = array("q"), array("q")  # quantity 0: it went back
        self._days: deque[_Day] = deque([_Day(0)], maxlen=CORRECTION_DAYS_MAX)
        self._forgotten = 0  # id below which trades are not remembered

    def add(self, trade: TradeTick) -> None:
        """Remembers a trade of the book. O(1), now and then O(trades)."""
        if len(self._ids) >= 2 * self._max:
            self._forgotten = self._ids[self._max - 1] + 1
            for column in (self._ids, self._prices, self._quantities, self._times):
                del column[: self._max]
        self._ids.append(trade.trade_id)
        self._prices.append(trade.price)
        self._quantities.append(trade.quantity)
        self._times.append(trade.time_ns)
        self._days[-1].add(trade.price, trade.quantity)

    def find(self, trade_id: int) -> tuple[int, int]:
        """Price and time of a remembered trade that has not gone back; zeros otherwise. O(log)."""
        at = self._place(trade_id)
        return (self._prices[at], self._times[at]) if at >= 0 else (0, 0)

    @property
    def last(self) -> tuple[int, int, int]:
        """Price, quantity and time of the newest trade that has not gone back; zeros without one.

        O(trades gone back).
        """
        for at in range(len(self._ids) - 1, -1, -1):
            if self._quantities[at]:
                return self._prices[at], self._quantities[at], self._times[at]
        return 0, 0, 0

    def statistics(
        self, instrument_id: int, previous_close: int, close: int, time_ns: int
    ) -> StatisticsTick:
        """The day that runs, or, with a close, ends now. O(1)."""
        day = self._days[-1]
        is_told = day.is_known and day.trades
        edges = (day.open, day.high, day.low) if is_told else (0, 0, 0)
        vwap = (2 * day.turnover + day.volume) // (2 * day.volume) if day.volume else 0
        at = close or day.last
        change = at - previous_close if at and previous_close else 0
        return StatisticsTick(
            instrument_id, *edges, day.last, vwap, day.volume, day.turnover, day.trades,
            previous_close, close, change, time_ns,
        )  # fmt: skip

    def close_day(
        self, event: int, close: Close, instrument_id: int, time_ns: int
    ) -> DayCorrectedTick | None:
        """Ends the day before an event; its correction if trades of it went back. O(its trades)."""
        day = self._days[-1]
        day.closed_ns, day.close = time_ns, close
        self._days.append(_Day(event))
        return self._corrected_day(day, instrument_id, time_ns) if day.is_corrected else None

    def take_back(self, trade_id: int, instrument_id: int, time_ns: int) -> list[MarketDataItem]:
        """What its bars and its day are without a trade; [] if it is not known. O(its day)."""
        at = self._place(trade_id)
        if at < 0:
            return []
        quantity, self._quantities[at] = self._quantities[at], 0
        items: list[MarketDataItem] = []
        for width in WIDTHS_NS:
            start = self._times[at] // width * width
            if not self._forgotten or self._times[0] < start:
                items.append(self._bar(start, width, instrument_id, time_ns))
        for day in reversed(self._days):
            if trade_id >= day.first_trade:
                day.trades -= 1
                day.volume -= quantity
                day.turnover -= quantity * self._prices[at]
                day.is_corrected = True
                items.append(self._corrected_day(day, instrument_id, time_ns))
                break
        return items

    def _place(self, trade_id: int) -> int:
        at = bisect_left(self._ids, trade_id)
        is_there = at < len(self._ids) and self._ids[at] == trade_id
        return at if is_there and self._quantities[at] else -1

    def _bar(self, start: int, width: int, instrument_id: int, time_ns: int) -> BarTick:
        first = bisect_left(self._times, start)
        last = bisect_right(self._times, start + width - 1)
        left = [i for i in range(first, last) if self._quantities[i]]
        prices = [self._prices[i] for i in left]
        shape = (prices[0], max(prices), min(prices), prices[-1]) if prices else (0, 0, 0, 0)
        volume = sum(self._quantities[i] for i in left)
        return BarTick(
            instrument_id, start, *shape, volume, time_ns, width, BarState.CORRECTED
        )  # fmt: skip

    def _corrected_day(self, day: _Day, instrument_id: int, time_ns: int) -> DayCorrectedTick:
        later = [other.first_trade for other in self._days if other.first_trade > day.first_trade]
        first = bisect_left(self._ids, day.first_trade)
        end = bisect_left(self._ids, later[0]) if later else len(self._ids)
        prices = [self._prices[i] for i in range(first, end) if self._quantities[i]]
        is_whole = day.first_trade >= self._forgotten
        last_price = prices[-1] if prices else 0
        day.shape(prices, is_whole)
        close = 0
        if day.close is not None:
            close = day.close.price_of(day.volume, day.turnover, last_price)
        edges = (max(prices), min(prices)) if prices and is_whole else (0, 0)
        return DayCorrectedTick(
            instrument_id, day.closed_ns, close, last_price, *edges, day.volume, day.turnover,
            time_ns,
        )  # fmt: skip
