"""The order book of one instrument: price, then the position in the log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedDict

from matching.layout import BP, Queue, Side


def half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded half up. O(1)."""
    return (2 * numerator + denominator) // (2 * denominator)


class Fee(NamedTuple):
    """What a fill costs one side."""

    bp: int  # of its value
    tonne: int  # 1/10000 minor unit for each tonne

    def of(self, quantity: int, value: int) -> int:
        """In 1/10000 minor unit. O(1)."""
        return value * self.bp + quantity * self.tonne


@dataclass(slots=True)
class Order:
    """An accepted order; `price` is its effective limit."""

    order_id: int
    account_id: int
    instrument_id: int
    side: int
    order_type: int
    time_in_force: int
    quantity: int
    leaves: int
    price: int
    client_order_id: bytes
    accrued: int = 0  # 1/10000 minor unit, over all fills
    charged: int = 0  # minor units: half_up(accrued / 10000)
    queue: int = Queue.BOOK
    session_id: int = 0  # the trader's
    instructions: int = 0
    stop_price: int = 0
    display_quantity: int = 0
    visible: int = 0  # tonnes left of the slice on display
    expire_date: int = 0
    counterparty: int = 0  # account that may confirm a block

    @property
    def showing(self) -> int:
        """Tonnes that can be met now: of an iceberg the slice on display. O(1)."""
        return self.visible if self.display_quantity else self.leaves

    @property
    def executed(self) -> int:
        """Tonnes traded so far. O(1)."""
        return self.quantity - self.leaves

    def hold(self, fee_max: Fee) -> int:
        """What the rest of the order may still cost: cash for a buy, units for a sell. O(1)."""
        if self.side == Side.SELL:
            return self.leaves
        value = self.leaves * self.price
        return value + half_up(self.accrued + fee_max.of(self.leaves, value), BP) - self.charged

    def charge(self, more: int) -> int:
        """The fee of a fill that accrues `more`: what the charge on the order rises by. O(1)."""
        self.accrued += more
        fee = half_up(self.accrued, BP) - self.charged
        self.charged += fee
        return fee


Level = dict[int, Order]  # by order id; a dict keeps the order of arrival


_BY_PRICE = frozenset({Queue.BOOK, Queue.BIDS})


@dataclass(slots=True)
class BookSide:
    """One side of a book, or of another queue: levels, the first to act first.

    BOOK and BIDS go by price, best first; STOPS by stop price, the one reached first in front; the
    others are one line in order of arrival.
    """

    side: int
    queue: int = Queue.BOOK
    levels: SortedDict[int, Level] = field(default_factory=SortedDict)

    def _key(self, price: int) -> int:
        return -price if self.side == Side.BUY else price

    def _place(self, order: Order) -> int:
        if self.queue in _BY_PRICE:
            return self._key(order.price)
        return -self._key(order.stop_price) if self.queue == Queue.STOPS else 0

    def add(self, order: Order) -> None:
        """Put the order last at its price. O(log levels)."""
        self.levels.setdefault(self._place(order), {})[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take the order out, and its level with the last one. O(log levels)."""
        level = self.levels[self._place(order)]
        del level[order.order_id]
        if not level:
            del self.levels[self._place(order)]

    def best(self) -> int | None:
        """The best price, None on an empty side. O(1)."""
        return abs(self.levels.peekitem(0)[0]) if self.levels else None

    def first(self) -> Order | None:
        """The order that trades next. O(1)."""
        if not self.levels:
            return None
        level: Level = self.levels.peekitem(0)[1]
        return next(iter(level.values()))

    def within(self, limit: int) -> Iterator[Order]:
        """The orders that one of the other side with that limit may meet. O(orders given)."""
        for key, level in self.levels.items():
            if key > self._key(limit):
                return
            yield from level.values()

    def __iter__(self) -> Iterator[Order]:
        """Every order in priority. O(orders)."""
        for level in self.levels.values():
            yield from level.values()
