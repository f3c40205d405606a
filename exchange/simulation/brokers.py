"""Seeded brokers for a demonstration: one quotes both sides around a drifting price, one takes.

They trade through a `TradingClient`, so through the same gateway as anyone. Whatever they are
refused (closed, halted, throttled, out of units) they note and go on.

They trade as honest members do, and surveillance tells nothing of them: the price goes slowly, so
that quotes are not taken back as it runs through them; quotes are of a size, so that one side of
the maker's is never several times the other; and who takes pays the spread both ways.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from exchange.messages.orders import SideWord, TimeInForceWord
from exchange.simulation.planner import band_of
from exchange.simulation.trading import OpenOrder, TradingClient

QUOTES_MAX = 14  # orders a maker keeps on the book of one instrument, both sides
LEVELS = 5  # how many steps from the fair price a quote may stand
CALM = 5  # the fair price moves by no more than such a part of a level at a time
QUOTE_T = (250, 750)  # tonnes of a quote, from and to
TAKE_T = (5, 150)
DRIFT_BP = 400  # the fair price stays this near to the reference
PAUSE_S_MAX = 5.0  # after refusals or a lost connection

log = structlog.get_logger(__name__)


class Product(NamedTuple):
    """An instrument to trade: the maker's and the taker's account, prices in minor units."""

    symbol: str
    maker_account: int
    taker_account: int
    reference: int
    band_bp: int


class Pair:
    """A maker and a taker in one instrument."""

    def __init__(
        self, product: Product, maker: TradingClient, taker: TradingClient, seed: int
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._product = product
        self._maker = maker
        self._taker = taker
        self._rng = random.Random(f"{seed}/{product.symbol}")
        self._fair = product.reference
        self._middle = product.reference  # where the fair price is drawn to
        self._reference = product.reference  # in force at the venue: its band is around it
        self._step = max(1, product.reference // 1_000)  # between levels
        self._stir = max(1, self._step // CALM)  # what the fair price moves at most in a step
        self._quotes: list[OpenOrder] = []

    async def start(self) -> None:
        """Takes over the quotes which an earlier run left on the book, and its price."""
        product = self._product
        self._quotes = await self._maker.open_orders(product.symbol, product.maker_account)
        if self._quotes:
            self._fair = sum(order.price for order in self._quotes) // len(self._quotes)

    def news(self, basis_points: int) -> None:
        """Moves what the brokers hold to be fair by so much of it; they quote there from now on."""
        self._middle += self._middle * basis_points // 10_000
        self._fair += self._fair * basis_points // 10_000

    def opened(self, reference: int) -> None:
        """A new day with another reference price, minor units."""
        self._reference = reference

    async def step(self) -> bool:
        """Moves the price, then quotes or takes; False when the venue refused. O(quotes)."""
        self._drift()
        if len(self._quotes) < QUOTES_MAX // 2 or self._rng.random() < 0.6:
            return await self._quote()
        return await self._take()

    def _drift(self) -> None:
        middle = self._middle
        room = middle * DRIFT_BP // 10_000
        pull = self._rng.random() < abs(self._fair - middle) / (2 * max(room, 1))
        direction = (1 if middle > self._fair else -1) if pull else self._rng.choice((-1, 1))
        moved = self._fair + direction * self._rng.randint(0, self._stir)
        self._fair = min(max(moved, middle - room), middle + room)

    async def _quote(self) -> bool:
        """One order on the thinner side, after its oldest and any that it would meet."""
        bids = sum(order.side == "BUY" for order in self._quotes)
        side: SideWord = "BUY" if 2 * bids <= len(self._quotes) else "SELL"
        away = self._step * self._rng.randint(1, LEVELS)
        low, high = band_of(self._reference, self._product.band_bp)
        price = self._fair - away if side == "BUY" else self._fair + away
        price = min(max(price, low), high)
        leaving = [order for order in self._quotes if self._meets(order, side, price)]
        if len(self._quotes) - len(leaving) >= QUOTES_MAX:
            leaving.append(next(o for o in self._quotes if o not in leaving))
        product = self._product
        for order in leaving:
            self._quotes.remove(order)
            await self._maker.cancel_order(product.symbol, product.maker_account, order.order_id)
        quantity = self._rng.randrange(QUOTE_T[0], QUOTE_T[1] + 1, 25)
        tif: TimeInForceWord = "GTC" if self._rng.random() < 0.3 else "DAY"
        outcome = await self._maker.new_order(
            product.symbol, product.maker_account, side, quantity, price, tif
        )
        self._note(outcome.status, outcome.reason)
        if outcome.is_open:
            self._quotes.append(OpenOrder(outcome.order_id, side, price))
        return not outcome.reason

    @staticmethod
    def _meets(order: OpenOrder, side: SideWord, price: int) -> bool:
        if order.side == side:
            return False
        return order.price <= price if side == "BUY" else order.price >= price

    async def _take(self) -> bool:
        side = self._rng.choice(("BUY", "SELL"))
        reach = self._step * self._rng.randint(1, LEVELS - 1)
        price = self._fair + (reach if side == "BUY" else -reach)
        low, high = band_of(self._reference, self._product.band_bp)
        quantity = self._rng.randrange(TAKE_T[0], TAKE_T[1] + 1, 5)
        product = self._product
        outcome = await self._taker.new_order(
            product.symbol,
            product.taker_account,
            "BUY" if side == "BUY" else "SELL",
            quantity,
            min(max(price, low), high),
            "IOC",
        )
        self._note(outcome.status, outcome.reason)
        return outcome.status != "REJECTED"

    def _note(self, status: str, reason: int) -> None:
        self.outcomes[f"{status}/{reason}" if reason else status] += 1


async def run_brokers(
    pairs: Sequence[Pair], stop: asyncio.Event, *, steps_per_second: int = 4, seed: int = 1
) -> None:
    """Every pair trades on its own until `stop`; a refusal or a lost connection slows it down."""
    async with asyncio.TaskGroup() as group:
        for number, pair in enumerate(pairs):
            rng = random.Random(f"{seed}/pace/{number}")
            group.create_task(_run_pair(pair, stop, steps_per_second, rng))


async def _run_pair(
    pair: Pair, stop: asyncio.Event, steps_per_second: int, rng: random.Random
) -> None:
    is_started = False
    failures = 0
    while not stop.is_set():
        try:
            if not is_started:
                await pair.start()
                is_started = True
            failures = 0 if await pair.step() else failures + 1
        except ConnectionError as error:
            failures += 1
            log.info("broker lost the venue", error=str(error), failures=failures)
        pause = rng.uniform(0.4, 1.6) / steps_per_second
        pause = min(pause * 2 ** min(failures, 6), PAUSE_S_MAX)
        with_timeout = asyncio.wait_for(stop.wait(), pause)
        try:
            await with_timeout
        except TimeoutError:
            continue
