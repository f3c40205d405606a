"""What detectors look at: orders with their owners, trades with both sides, prices and phases.

Built from `events` alone. An *owner* is a participant; participants whose accounts share a
self-trade group (STP_GROUP) are one owner, for the venue was told that they are. Memory is bounded
by the engine's own tables: live orders, accounts, instruments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from exchange.messages.frames import Phase, Side

AVERAGE_MAX = 1_000  # orders in the average size of an instrument's orders


@dataclass(slots=True)
class Order:
    """An order that was accepted and has not ended; tonnes and minor units a tonne."""

    order_id: int
    account: int
    owner: int
    instrument: InstrumentScene
    side: int
    order_type: int
    price: int
    quantity: int  # the order's total
    leaves: int
    entered_ns: int
    event: int  # that accepted it
    entry_price: int  # last price of the instrument when it came; in a call the indicative one


class Trade(NamedTuple):
    """Two fills that belong together."""

    instrument: InstrumentScene
    event: int  # of the maker's fill: the trade id
    time_ns: int
    price: int
    quantity: int
    method: int  # frames.TradeMethod
    maker: Order
    taker: Order

    @property
    def buyer(self) -> Order:
        """The order that bought. O(1)."""
        return self.taker if self.taker.side == Side.BUY else self.maker

    @property
    def seller(self) -> Order:
        """The order that sold. O(1)."""
        return self.maker if self.taker.side == Side.BUY else self.taker


@dataclass(slots=True)
class InstrumentScene:
    """An instrument now."""

    instrument_id: int
    symbol: str
    deadline: int = 0  # MMDD of the day to surrender; 0 = not looked at
    published_below: int = 0  # tonnes under the holding limit above which holders are published
    phase: int = Phase.CLOSED
    last_price: int = 0
    reference_price: int = 0
    indicative_price: int = 0
    indicative_volume: int = 0
    units: int = 0  # tonnes on the venue
    orders: int = 0  # accepted lately: halved, with their tonnes, whenever there are AVERAGE_MAX
    ordered: int = 0  # their tonnes

    def count(self, quantity: int) -> None:
        """Takes an order into the average size. O(1)."""
        self.orders += 1
        self.ordered += quantity
        if self.orders >= AVERAGE_MAX:
            self.orders //= 2
            self.ordered //= 2

    def is_multiple(self, quantity: int, multiple_bp: int) -> bool:
        """Whether a quantity is at least so much of the average order. O(1)."""
        return quantity * self.orders * 10_000 >= self.ordered * multiple_bp

    @property
    def price(self) -> int:
        """The last price of the book, without one the reference price. O(1)."""
        return self.last_price or self.reference_price

    @property
    def is_in_call(self) -> bool:
        """Whether orders gather for an uncrossing. O(1)."""
        return self.phase in _CALLS


_CALLS = frozenset({Phase.OPENING_CALL, Phase.VOLATILITY_CALL, Phase.CLOSING_CALL})


class Finding(NamedTuple):
    """A pattern that passed its limits, as a detector tells it."""

    kind: str
    instrument: InstrumentScene
    accounts: tuple[int, ...]
    since_ns: int
    first_event: int
    score: int  # 10,000 = at the limit
    figures: dict[str, int]
    text: str


def moved_bp(before: int, after: int, side: int) -> int:
    """How far a price went in the direction of a side, basis points, 0 without a price. O(1)."""
    if not before:
        return 0
    change = after - before if side == Side.BUY else before - after
    return change * 10_000 // before


def against(figure: int, limit: int) -> int:
    """A figure as basis points of its limit. O(1)."""
    return figure * 10_000 // limit
