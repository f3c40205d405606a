"""One seeded flow for every engine, and the trades that price-time priority must print to it.

10,000 resting orders first, then the operations: 60 % new orders, a third of them marketable, 35 %
cancels of resting orders, 5 % replaces (a cancel and a new id). Passive prices stand within 200
ticks of a middle that drifts; about one trade in four operations.
"""

from __future__ import annotations

import random
from array import array
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

Operation = tuple[int, int, int, int, int, int]  # kind, side, id, price, quantity, replaced id
Trade = tuple[int | None, int | None, int | None, int]  # maker, taker, price, quantity

Queues = dict[int, deque[int]]

NEW, CANCEL, REPLACE = 0, 1, 2
BUY, SELL = 0, 1
RESTING = 10_000
MARK = 1_000  # operations between two marks
VERSION = 2
MIDDLE, NEAR, FAR = 100_000, 40, 200


@dataclass(slots=True)
class Flow:
    """Operations before and under the clock, trades, and (trades, orders, volume) at each mark."""

    fill: list[Operation]
    operations: list[Operation]
    trades: list[Trade]
    marks: list[tuple[int, int, int]]
    id_max: int


@dataclass(slots=True)
class Book:
    """The plainest book that is right: queues of ids by price, dead ids dropped when met."""

    queues: tuple[Queues, Queues] = field(default_factory=lambda: ({}, {}))
    tops: list[int | None] = field(default_factory=lambda: [None, None])  # best prices, or behind
    live: dict[int, list[int]] = field(default_factory=dict)  # id -> side, price, leaves
    trades: list[Trade] = field(default_factory=list)
    volume: int = 0

    def best(self, side: int) -> int | None:
        """The best price at which somebody rests. O(1), O(levels) when a level has emptied."""
        levels = self.queues[side]
        while levels:
            price = self.tops[side]
            if price is None:
                price = self.tops[side] = max(levels) if side == BUY else min(levels)
            queue = levels[price]
            while queue and queue[0] not in self.live:
                queue.popleft()
            if queue:
                return price
            del levels[price]
            self.tops[side] = None
        return None

    def new(self, side: int, order: int, price: int, quantity: int) -> list[int]:
        """Meets what it can, rests what is left; the ids that were filled."""
        filled = []
        while quantity:
            best = self.best(1 - side)
            if best is None or (best > price if side == BUY else best < price):
                break
            maker = self.queues[1 - side][best][0]
            row = self.live[maker]
            part = min(quantity, row[2])
            quantity -= part
            row[2] -= part
            self.volume -= part
            self.trades.append((maker, order, best, part))
            if row[2] == 0:
                del self.live[maker]
                filled.append(maker)
        if quantity:
            self.live[order] = [side, price, quantity]
            self.volume += quantity
            self.queues[side].setdefault(price, deque()).append(order)  # bounded by the flow
            top = self.tops[side]
            if top is not None and (price > top if side == BUY else price < top):
                self.tops[side] = price
        return filled

    def cancel(self, order: int) -> None:
        """Takes a resting order out. O(1)."""
        self.volume -= self.live.pop(order)[2]


class Maker:
    """Makes the flow around `depth` resting orders while a `Book` follows it."""

    def __init__(self, seed: int, depth: int = RESTING) -> None:
        self.book = Book()
        self.depth = depth
        self.left = 0  # of the order that was cancelled or replaced last
        self._random = random.Random(seed)
        self._ids: list[int] = []  # resting ids, and where each stands: a uniform choice in O(1)
        self._place: dict[int, int] = {}
        self.middle = MIDDLE
        self.next_id = 1

    def _forget(self, order: int) -> None:
        place, last = self._place.pop(order), self._ids.pop()
        if last != order:
            self._ids[place] = last
            self._place[last] = place

    def _pick(self) -> int:
        return self._ids[int(self._random.random() * len(self._ids))]

    def _passive(self, side: int) -> int:
        away = 1 + int(self._random.expovariate(1 / NEAR))
        if away > FAR:
            away = 1 + int(self._random.random() * FAR)
        other = self.book.best(1 - side)
        if side == BUY:
            price = self.middle - away
            return price if other is None else min(price, other - 1)
        price = self.middle + away
        return price if other is None else max(price, other + 1)

    def _place_order(self, kind: int, side: int, price: int, quantity: int, old: int) -> Operation:
        order = self.next_id
        self.next_id += 1
        for filled in self.book.new(side, order, price, quantity):
            self._forget(filled)
        if order in self.book.live:
            self._place[order] = len(self._ids)
            self._ids.append(order)
        return kind, side, order, price, quantity, old

    def passive(self) -> Operation:
        """A new order that rests."""
        side = self._random.choice((BUY, SELL))
        return self._place_order(NEW, side, self._passive(side), self._random.randint(1, 100), 0)

    def taking(self) -> Operation:
        """A new order that meets somebody, or rests where nobody stands."""
        side = self._random.choice((BUY, SELL))
        best = self.book.best(1 - side)
        if best is None:
            return self.passive()
        slip = self._random.randint(0, 3)
        most = 60 if len(self._ids) > self.depth else 12
        price = best + slip if side == BUY else best - slip
        return self._place_order(NEW, side, price, self._random.randint(1, most), 0)

    def cancel(self) -> Operation:
        """A cancel of a resting order."""
        order = self._pick()
        side, price, self.left = self.book.live[order]
        self.book.cancel(order)
        self._forget(order)
        return CANCEL, side, order, price, 0, 0

    def replace(self) -> Operation:
        """A resting order goes; another comes in its stead, always at another price."""
        _, side, old, before, _, _ = self.cancel()
        price, quantity = self._passive(side), self._random.randint(1, 100)
        if price == before:
            price += -1 if side == BUY else 1
        return self._place_order(REPLACE, side, price, quantity, old)

    def next(self) -> Operation:
        """The next operation of the mix."""
        if self._random.random() < 0.01:
            self.middle += self._random.choice((1, -1))
        chance = self._random.random()
        if chance < 0.4:
            return self.passive()
        if chance < 0.6:
            return self.taking()
        if not self._ids:
            return self.passive()
        return self.cancel() if chance < 0.95 else self.replace()

    def mark(self) -> tuple[int, int, int]:
        """Trades so far, resting orders, resting volume."""
        return len(self.book.trades), len(self.book.live), self.book.volume


def make(operations: int, seed: int) -> Flow:
    """The flow, the same for the same arguments. O(operations x levels)."""
    maker = Maker(seed)
    fill = [maker.passive() for _ in range(RESTING)]
    made, marks = [], []
    for at in range(1, operations + 1):
        made.append(maker.next())
        if at % MARK == 0:
            marks.append(maker.mark())
    return Flow(fill, made, maker.book.trades, marks, maker.next_id)


def save(flow: Flow, path: Path) -> None:
    """Writes it as rows of 64-bit integers, three counts first."""
    counts = (len(flow.operations), len(flow.trades), flow.id_max)
    values = array("q", counts)
    for rows in (flow.fill, flow.operations, flow.trades, flow.marks):
        for row in rows:
            values.extend(row)  # type: ignore[arg-type]
    partial = path.with_suffix(".part")
    partial.write_bytes(values.tobytes())
    partial.replace(path)


def load(path: Path) -> Flow:
    """What `save` wrote."""
    values = array("q", path.read_bytes())
    operations, trades, id_max = values[:3]
    at = 3

    def rows(count: int, width: int) -> list[tuple[int, ...]]:
        nonlocal at
        part = values[at : at + count * width]
        at += count * width
        return list(zip(*(part[column::width] for column in range(width)), strict=True))

    fill, made = rows(RESTING, 6), rows(operations, 6)
    traded, marks = rows(trades, 4), rows(operations // MARK, 3)
    return Flow(fill, made, traded, marks, id_max)  # type: ignore[arg-type]
