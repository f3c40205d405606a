"""Ordinary members: two who make a market, some who take, some whose orders wait in the book."""

from __future__ import annotations

import random
from collections import deque

from benchmarks.surveillance.stage import REFERENCE, Stage, account
from exchange.messages.frames import Phase, Side
from matching.layout import ExecInst

MAKERS = (1, 2)
TAKERS = (3, 4, 5, 6)
HOLDERS = (7, 8)  # whose orders give the book its depth
SPREAD = 6
NEVER_TAKE = ExecInst.POST_ONLY_REPRICE
RUNGS = 25
RUNG_TONNES = 150
ORDERS_KEPT = 40


class Ordinary:
    """A seeded day of trading around a price that wanders."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage = stage
        self.random = random.Random(seed)
        self.mid = REFERENCE
        self._quotes: dict[int, list[int]] = {maker: [] for maker in MAKERS}
        self._waiting: deque[tuple[int, int]] = deque(maxlen=ORDERS_KEPT)
        self._ladder()
        for maker in MAKERS:
            self.requote(maker)

    def steps(self, count: int) -> None:
        """So many moments of trading, one to two seconds apart."""
        for _ in range(count):
            self.step()

    def step(self) -> None:
        """One moment: somebody moves a quote, takes, or leaves an order."""
        roll = self.random.random()
        self.stage.wait(self.random.uniform(0.5, 2.5))
        drift = REFERENCE - self.mid
        self.mid += self.random.choice((-2, -1, 0, 0, 1, 2)) + (drift > 20) - (drift < -20)
        if roll < 0.5:
            self.requote(self.random.choice(MAKERS))
        elif roll < 0.8:
            self.take()
        else:
            self.leave()

    def refresh(self) -> None:
        """Both makers quote around the price of now."""
        for maker in MAKERS:
            self.requote(maker)

    def requote(self, maker: int, tonnes: int = 0) -> None:
        """A maker's two sides, moved to the price of now."""
        who, size = account(maker), tonnes or self.random.randrange(50, 150, 10)
        for order_id in self._quotes[maker]:
            self.stage.cancel(who, order_id)
        self._quotes[maker] = [
            self.stage.order(who, Side.BUY, size, self.mid - SPREAD, NEVER_TAKE),
            self.stage.order(who, Side.SELL, size, self.mid + SPREAD, NEVER_TAKE),
        ]

    def take(self) -> None:
        """A taker's small order."""
        taker, side = self.random.choice(TAKERS), self.random.choice((Side.BUY, Side.SELL))
        edge = self.mid + (3 * SPREAD if side == Side.BUY else -3 * SPREAD)
        self.stage.take(account(taker), side, self.random.randrange(5, 45), edge)

    def leave(self) -> None:
        """An order that waits; the oldest of them goes."""
        who, side = account(self.random.choice(TAKERS)), self.random.choice((Side.BUY, Side.SELL))
        away = self.random.randrange(15, 80)
        price = self.mid - away if side == Side.BUY else self.mid + away
        if len(self._waiting) == ORDERS_KEPT:
            self.stage.cancel(*self._waiting.popleft())
        order_id = self.stage.order(who, side, self.random.randrange(5, 45), price)
        self._waiting.append((who, order_id))

    def _ladder(self) -> None:
        for rung in range(RUNGS):
            holder = account(HOLDERS[rung % 2])
            away = 20 + 10 * rung
            self.stage.order(holder, Side.BUY, RUNG_TONNES, REFERENCE - away)
            self.stage.order(holder, Side.SELL, RUNG_TONNES, REFERENCE + away)

    def close(self, *, with_call: bool = False) -> None:
        """The day ends."""
        if with_call:
            self.stage.phase(Phase.CLOSING_CALL)
            self.stage.wait(60)
            self.stage.tick()
        self.stage.phase(Phase.CLOSED)
        self.stage.roll()
