"""A day as seen from outside: open, high, low, average, volume, from `marketdata` alone."""

from __future__ import annotations

from datetime import date

import msgspec

from exchange.messages.market_data import DayTick, MarketDataRecord, TradeTick
from exchange.simulation.planner import DayPlan, half_up
from exchange.simulation.quotes import Quote

OPEN_OUTSIDE = "g"


class ProducedDay(msgspec.Struct):
    """One instrument's day as subscribers saw it. Minor units, tonnes; 0 before the first trade."""

    open: int = 0
    high: int = 0
    low: int = 0
    volume: int = 0
    turnover: int = 0
    trades: int = 0
    close: int = 0

    @property
    def average(self) -> int:
        """Turnover by volume, half up; 0 without a trade."""
        return half_up(self.turnover, self.volume) if self.volume else 0

    def add(self, tick: TradeTick) -> None:
        """One more trade. O(1)."""
        if not self.trades:
            self.open, self.low = tick.price, tick.price
        self.high, self.low = max(self.high, tick.price), min(self.low, tick.price)
        self.volume += tick.quantity
        self.turnover += tick.price * tick.quantity
        self.trades += 1


class Tape:
    """Collects the days of all instruments from the public records, in order."""

    def __init__(self) -> None:
        self.today: dict[int, ProducedDay] = {}
        self.closed: list[dict[int, ProducedDay]] = []  # days ended by a DayTick, oldest first
        self.next_number = 0
        self.breaks: list[str] = []

    def read(self, record: MarketDataRecord) -> None:
        """Accepts the next record; drops one seen before, notes a gap. O(items)."""
        if record.number < self.next_number:
            return
        if record.number > self.next_number:
            self.breaks.append(f"marketdata {self.next_number} to {record.number - 1} are missing")
        self.next_number = record.number + 1
        ended: dict[int, ProducedDay] = {}
        for item in record.items:
            if isinstance(item, TradeTick):
                self.today.setdefault(item.instrument_id, ProducedDay()).add(item)
            elif isinstance(item, DayTick):
                ended[item.instrument_id] = self._close(item)
        if ended:
            self.closed.append(ended)

    def _close(self, tick: DayTick) -> ProducedDay:
        day = self.today.pop(tick.instrument_id, ProducedDay())
        day.close = tick.close_price
        if (day.volume, day.turnover) != (tick.volume, tick.turnover):
            self.breaks.append(
                f"instrument {tick.instrument_id}: trades sum up to {day.volume} t and "
                f"{day.turnover}, the day says {tick.volume} t and {tick.turnover}"
            )
        return day


class RowResult(msgspec.Struct, frozen=True):
    """One published row, its plan, and what the venue made of it."""

    quote: Quote
    plan: DayPlan
    produced: ProducedDay
    opens_at_reference: bool

    @property
    def day(self) -> date:
        """The trading day."""
        return self.quote.day

    @property
    def open(self) -> int:
        """The produced open as the venue publishes it: its reference, or the first trade."""
        return self.plan.reference if self.opens_at_reference else self.produced.open

    @property
    def is_open_outside_trades(self) -> bool:
        """Is the open a reference price beyond every trade of the day? False without a trade."""
        made = self.produced
        return bool(made.trades) and not made.low <= self.open <= made.high

    @property
    def marks(self) -> str:
        """The plan's marks, and `g` where the open lies outside the day's trades."""
        return "".join(sorted(self.plan.marks + OPEN_OUTSIDE * self.is_open_outside_trades))

    @property
    def is_as_planned(self) -> bool:
        """True when exactly the planned trades happened."""
        prices = [trade.price for trade in self.plan.trades] or [0]
        made = self.produced
        return (made.open, made.high, made.low, made.volume, made.turnover) == (
            prices[0],
            max(prices),
            min(prices),
            self.plan.volume,
            self.plan.turnover,
        )

    @property
    def is_range_met(self) -> bool | None:
        """Were high and low reproduced? None when not published."""
        if not (self.quote.high and self.quote.low):
            return None
        return (self.produced.high, self.produced.low) == (self.quote.high, self.quote.low)

    @property
    def is_volume_met(self) -> bool | None:
        """Was the volume reproduced? None when none was published."""
        return self.produced.volume == self.quote.volume if self.quote.volume else None

    @property
    def is_open_met(self) -> bool | None:
        """Was the open reproduced? None when not published."""
        return self.open == self.quote.open if self.quote.open else None

    @property
    def is_average_met(self) -> bool | None:
        """Was the average reproduced to the minor unit? None when not published."""
        return self.produced.average == self.quote.average if self.quote.average else None

    @property
    def is_explained(self) -> bool:
        """True when everything published came out, or a mark says why something did not."""
        met = (self.is_range_met, self.is_volume_met, self.is_open_met, self.is_average_met)
        return False not in met or bool(set(self.plan.marks) & set("bhopsvw"))
