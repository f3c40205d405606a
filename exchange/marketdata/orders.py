"""One side of a book, order by order: price levels, and in each the orders as they would trade.

Both ends use it: `depth` keeps it from `events`, `book` at a subscriber from what `depth` said.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sortedcontainers import SortedDict

from exchange.marketdata.checksum import CHECKSUM_LEVELS, CHECKSUM_ORDERS
from exchange.messages.frames import Side
from exchange.messages.market_data import BookLevel, RestingOrder

NONE = BookLevel(0, 0, 0)


class OrderLevel:
    """The orders at one price, first to trade first: public id -> tonnes shown."""

    __slots__ = ("orders", "price", "quantity", "text", "total")

    def __init__(self, price: int) -> None:
        self.price = price
        self.quantity = 0
        self.orders: dict[int, int] = {}
        self.text = self.total = ""  # for the checksums; "" = to be written anew

    def summed(self) -> str:
        """The level's total as `exchange.marketdata.checksum` wants it. O(1)."""
        if not self.total:
            self.total = f"{self.price}:{self.quantity}:{len(self.orders)}"
        return self.total

    def written(self) -> str:
        """Its orders, likewise. O(1), O(orders) after a change."""
        if not self.text:
            best = islice(self.orders.items(), CHECKSUM_ORDERS)
            price = self.price
            self.text = ",".join([f"{price}:{key}:{quantity}" for key, quantity in best])
        return self.text


class OrderSide:
    """Levels of one side, best first."""

    def __init__(self, side: int) -> None:
        self._sign = -1 if side == Side.BUY else 1
        self._levels: SortedDict[int, OrderLevel] = SortedDict()

    def append(self, order_id: int, price: int, quantity: int) -> None:
        """Puts an order last at its price. O(log levels)."""
        key = self._sign * price
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = OrderLevel(price)
        level.orders[order_id] = quantity
        level.quantity += quantity
        level.text = level.total = ""

    def change(self, order_id: int, price: int, quantity: int) -> None:
        """Gives an order another quantity at its place; KeyError without it. O(log levels)."""
        level = self._levels[self._sign * price]
        level.quantity += quantity - level.orders[order_id]
        level.orders[order_id] = quantity
        level.text = level.total = ""

    def remove(self, order_id: int, price: int) -> None:
        """Takes an order out; KeyError without it. O(log levels)."""
        key = self._sign * price
        level = self._levels[key]
        level.quantity -= level.orders.pop(order_id)
        level.text = level.total = ""
        if not level.orders:
            del self._levels[key]

    def level(self, price: int) -> BookLevel:
        """What stands at a price; quantity and orders 0 where nothing does. O(1)."""
        level = self._levels.get(self._sign * price)
        if level is None:
            return BookLevel(price, 0, 0)
        return BookLevel(price, level.quantity, len(level.orders))

    def levels(self) -> Iterator[BookLevel]:
        """Totals by price, best first. O(1) each."""
        for level in self._levels.values():
            yield BookLevel(level.price, level.quantity, len(level.orders))

    def best(self) -> BookLevel:
        """The best level; zeros on an empty side. O(1)."""
        return next(self.levels(), NONE)

    def written(self) -> str:
        """Orders of the best levels for the checksum. O(levels), O(orders) where they changed."""
        return ",".join([level.written() for level in islice(self._best(), CHECKSUM_LEVELS)])

    def summed(self) -> str:
        """Totals of the best levels for the checksum. O(levels written)."""
        return ",".join([level.summed() for level in islice(self._best(), CHECKSUM_LEVELS)])

    def _best(self) -> Iterator[OrderLevel]:
        levels = self._levels
        return map(levels.__getitem__, levels)

    def __iter__(self) -> Iterator[RestingOrder]:
        """Every order, first to trade first. O(1) each."""
        for level in self._levels.values():
            for order_id, quantity in level.orders.items():
                yield RestingOrder(order_id, level.price, quantity)
