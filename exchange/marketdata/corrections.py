"""What was told of trades, kept to tell it again without those that went back. Pure.

A trade that is voided or cancelled is taken out of its minute and of its day: of both the public is
told what they are without it. The reference price in force, on which the engine's band stands, is
the engine's and stays.

Memory: the newest trades of an instrument, TRADES_REMEMBERED_MAX to twice that, 32 bytes each. Of a
trade that is older nothing is corrected; of a day that began before them neither high nor low is
known, nor the minute in which they begin.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass

from exchange.marketdata.bars import MINUTE_NS
from exchange.messages.frames import CloseRule
from exchange.messages.market_data import BarTick, DayCorrectedTick, MarketDataItem, TradeTick
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
    is_corrected: bool = False
    closed_ns: int = 0  # 0 = it runs
    close: Close | None = None


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
        self._days[-1].volume += trade.quantity
        self._days[-1].turnover += trade.quantity * trade.price

    def find(self, trade_id: int) -> tuple[int, int]:
        """Price and time of a remembered trade that has not gone back; zeros otherwise. O(log)."""
        at = self._place(trade_id)
        return (self._prices[at], self._times[at]) if at >= 0 else (0, 0)

    @property
    def last_price(self) -> int:
        """Of the newest trade that has not gone back; 0 without one. O(trades gone back)."""
        for at in range(len(self._ids) - 1, -1, -1):
            if self._quantities[at]:
                return self._prices[at]
        return 0

    def close_day(
        self, event: int, close: Close, instrument_id: int, time_ns: int
    ) -> DayCorrectedTick | None:
        """Ends the day before an event; its correction if trades of it went back. O(its trades)."""
        day = self._days[-1]
        day.closed_ns, day.close = time_ns, close
        self._days.append(_Day(event))
        return self._corrected_day(day, instrument_id, time_ns) if day.is_corrected else None

    def take_back(self, trade_id: int, instrument_id: int, time_ns: int) -> list[MarketDataItem]:
        """What its minute and its day are without a trade; [] if it is not known. O(its day)."""
        at = self._place(trade_id)
        if at < 0:
            return []
        quantity, self._quantities[at] = self._quantities[at], 0
        start = self._times[at] // MINUTE_NS * MINUTE_NS
        is_whole = not self._forgotten or self._times[0] < start
        items: list[MarketDataItem] = []
        if is_whole:
            items.append(self._bar(start, instrument_id, time_ns))
        for day in reversed(self._days):
            if trade_id >= day.first_trade:
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

    def _bar(self, start: int, instrument_id: int, time_ns: int) -> BarTick:
        first = bisect_left(self._times, start)
        last = bisect_right(self._times, start + MINUTE_NS - 1)
        left = [i for i in range(first, last) if self._quantities[i]]
        prices = [self._prices[i] for i in left]
        if not prices:
            return BarTick(instrument_id, start, 0, 0, 0, 0, 0, time_ns)
        volume = sum(self._quantities[i] for i in left)
        shape = prices[0], max(prices), min(prices), prices[-1]
        return BarTick(instrument_id, start, *shape, volume, time_ns)

    def _corrected_day(self, day: _Day, instrument_id: int, time_ns: int) -> DayCorrectedTick:
        later = [other.first_trade for other in self._days if other.first_trade > day.first_trade]
        first = bisect_left(self._ids, day.first_trade)
        end = bisect_left(self._ids, later[0]) if later else len(self._ids)
        prices = [self._prices[i] for i in range(first, end) if self._quantities[i]]
        is_whole = day.first_trade >= self._forgotten
        last_price = prices[-1] if prices else 0
        close = 0
        if day.close is not None:
            close = day.close.price_of(day.volume, day.turnover, last_price)
        edges = (max(prices), min(prices)) if prices and is_whole else (0, 0)
        return DayCorrectedTick(
            instrument_id, day.closed_ns, close, last_price, *edges, day.volume, day.turnover,
            time_ns,
        )  # fmt: skip
