"""A book as its events describe it, and the one price at which a call of it ends.

A second reading of `matching/RULES.md`, "Phases and calls": no code of the engines is used. Prices
are minor units a tonne, quantities tonnes.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.frames import EventRow, Side


class Cross(NamedTuple):
    """What a call would trade: zeros when nothing crosses; surplus above zero on the buy side."""

    price: int = 0
    volume: int = 0
    surplus: int = 0


class Meeting(NamedTuple):
    """One trade of a call: the order with the lower id is the maker."""

    maker: int
    taker: int
    quantity: int
    price: int


class Standing:
    """An order that rests, or waits for its stop price or its call."""

    __slots__ = ("arrived", "is_fleeting", "is_in_book", "leaves", "order_id", "price", "side")

    def __init__(self, row: EventRow, arrived: int) -> None:
        self.order_id, self.side = row.order_id, row.side
        self.price, self.leaves, self.arrived = row.price, row.quantity, arrived
        self.is_fleeting = self.is_in_book = False


class Book:
    """The live orders of one instrument, by id."""

    def __init__(self) -> None:
        self.orders: dict[int, Standing] = {}

    def queue(self, side: int) -> list[Standing]:
        """The orders of a side that may meet, in priority. O(orders log orders)."""
        sign = -1 if side == Side.BUY else 1
        own = [order for order in self.orders.values() if order.is_in_book and order.side == side]
        return sorted(own, key=lambda order: (sign * order.price, order.arrived))

    def best(self, side: int) -> int:
        """The best price of a side, 0 without an order. O(orders)."""
        prices = [o.price for o in self.orders.values() if o.is_in_book and o.side == side]
        if not prices:
            return 0
        return max(prices) if side == Side.BUY else min(prices)

    @property
    def is_crossed(self) -> bool:
        """Whether a buy and a sell could trade. O(orders)."""
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        return bool(bid and ask and bid >= ask)

    def cross(self, base: int) -> Cross:
        """What a call would give now; `base` parts prices that are else as good. O(orders ^ 2)."""
        if not self.is_crossed:
            return Cross()
        buys, sells = self.queue(Side.BUY), self.queue(Side.SELL)
        found = []
        for price in sorted({order.price for order in (*buys, *sells)}):
            bought = sum(order.leaves for order in buys if order.price >= price)
            sold = sum(order.leaves for order in sells if order.price <= price)
            found.append(Cross(price, min(bought, sold), bought - sold))
        most = max(at.volume for at in found)
        found = [at for at in found if at.volume == most]
        least = min(abs(at.surplus) for at in found)
        found = [at for at in found if abs(at.surplus) == least]
        if all(at.surplus > 0 for at in found):
            return found[-1]
        if all(at.surplus < 0 for at in found):
            return found[0]
        return min(found, key=lambda at: (abs(at.price - base), -at.price))

    def meetings(self, cross: Cross) -> list[Meeting]:
        """The trades of a call in their order: the best buy with the best sell. O(orders)."""
        buys, sells = self.queue(Side.BUY), self.queue(Side.SELL)
        open_t = {order.order_id: order.leaves for order in (*buys, *sells)}
        left, found = cross.volume, []
        while left:
            buy, sell = buys[0].order_id, sells[0].order_id
            quantity = min(open_t[buy], open_t[sell], left)
            found.append(Meeting(min(buy, sell), max(buy, sell), quantity, cross.price))
            left -= quantity
            for side, order in ((buys, buy), (sells, sell)):
                open_t[order] -= quantity
                if not open_t[order]:
                    side.pop(0)
        return found
