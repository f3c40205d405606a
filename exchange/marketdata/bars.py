"""Minutes, hours and days of trading: open, high, low, close, volume, from trades of the market.

Days are those of UTC; trading days are what `statistics` and `day` are about.

Block and auction trades are made elsewhere than in the book, at prices of their own: they are no
part of a bar.
"""

from __future__ import annotations

from collections import deque

import msgspec

from exchange.messages.market_data import MINUTE_NS, BarState, BarTick, TradeTick
from exchange.settings import BARS_MAX

HOUR_NS = 60 * MINUTE_NS
DAY_NS = 24 * HOUR_NS
WIDTHS_NS = (MINUTE_NS, HOUR_NS, DAY_NS)


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One bar; prices in minor units a tonne, volume in tonnes."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int

    def tick(self, instrument_id: int, width_ns: int, state: BarState, time_ns: int) -> BarTick:
        """The bar as it is told. O(1)."""
        shape = self.open, self.high, self.low, self.close, self.volume
        return BarTick(instrument_id, self.start_ns, *shape, time_ns, width_ns, state)


class Bars:
    """The newest bars of one width of one instrument; times without a trade have no bar."""

    def __init__(self, bars_max: int = BARS_MAX, width_ns: int = MINUTE_NS) -> None:
        self._bars: deque[Bar] = deque(maxlen=bars_max)
        self._width_ns = width_ns

    @property
    def last(self) -> Bar | None:
        """The newest bar. O(1)."""
        return self._bars[-1] if self._bars else None

    def apply(self, trade: TradeTick) -> Bar | None:
        """The bar that the trade made or changed, if it counts for bars. O(1)."""
        if not trade.is_of_the_book:
            return None
        start = trade.time_ns // self._width_ns * self._width_ns
        price = trade.price
        last = self._bars[-1] if self._bars else None
        if last is None or last.start_ns != start:
            bar = Bar(start, price, price, price, price, trade.quantity)
            self._bars.append(bar)
            return bar
        bar = Bar(
            start,
            last.open,
            max(last.high, price),
            min(last.low, price),
            price,
            last.volume + trade.quantity,
        )
        self._bars[-1] = bar
        return bar

    def correct(self, tick: BarTick) -> None:
        """Puts a bar as it is without a trade in the place of what it was. O(bars).

        A bar of another width is none of these.
        """
        if tick.width_ns != self._width_ns:
            return
        shape = tick.open, tick.high, tick.low, tick.close, tick.volume
        bars = [Bar(b.start_ns, *shape) if b.start_ns == tick.start_ns else b for b in self._bars]
        self._bars = deque((bar for bar in bars if bar.volume), maxlen=self._bars.maxlen)

    def list(self) -> list[Bar]:
        """The bars, oldest first. O(bars)."""
        return list(self._bars)
