"""Demo brokers keep inside the band, never meet their own quotes, and go on after refusals."""

from __future__ import annotations

import asyncio

import pytest

from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import Instruction
from exchange.messages.orders import SideWord, TimeInForceWord
from exchange.simulation.brokers import QUOTES_MAX, Pair, Product, run_brokers
from exchange.simulation.planner import band_of
from exchange.simulation.trading import OpenOrder, Outcome

PRODUCT = Product("EUA", 1, 2, 7_125, 1_000)


class Book:
    """A venue that rests every DAY and GTC order, and refuses or breaks when told to."""

    def __init__(self) -> None:
        self.orders: dict[int, OpenOrder] = {}
        self.sent: list[tuple[int, SideWord, int, int, TimeInForceWord]] = []
        self.refuse = False
        self.is_lost = False

    async def new_order(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        quantity: int,
        price: int,
        time_in_force: TimeInForceWord,
    ) -> Outcome:
        assert symbol == PRODUCT.symbol
        if self.is_lost:
            raise ConnectionError("gone")
        self.sent.append((account, side, quantity, price, time_in_force))
        if self.refuse:
            return Outcome(0, "REJECTED", 0, 220, "closed")
        order_id = len(self.sent)
        if time_in_force == "IOC":
            return Outcome(order_id, "CANCELLED", 0, 402, "")
        self.orders[order_id] = OpenOrder(order_id, side, price)
        return Outcome(order_id, "NEW", 0, 0, "")

    async def cancel_order(self, symbol: str, account: int, order_id: int) -> Outcome:
        assert (symbol, account) == (PRODUCT.symbol, PRODUCT.maker_account)
        self.orders.pop(order_id, None)
        return Outcome(order_id, "CANCELLED", 0, 401, "")

    async def open_orders(self, symbol: str, account: int) -> list[OpenOrder]:
        assert (symbol, account) == (PRODUCT.symbol, PRODUCT.maker_account)
        return list(self.orders.values())

    async def instruct(self, instruction: Instruction) -> InstructionReport:
        raise AssertionError("brokers instruct nobody")


@pytest.mark.parametrize("seed", range(5))
async def test_quotes_stay_apart_inside_the_band_and_bounded(seed: int) -> None:
    book = Book()
    pair = Pair(PRODUCT, book, book, seed)
    await pair.start()
    low, high = band_of(PRODUCT.reference, PRODUCT.band_bp)
    for _ in range(2_000):
        await pair.step()
        bids = [o.price for o in book.orders.values() if o.side == "BUY"]
        asks = [o.price for o in book.orders.values() if o.side == "SELL"]
        assert not bids or not asks or max(bids) < min(asks)
        assert len(book.orders) <= QUOTES_MAX
    assert all(low <= price <= high and quantity > 0 for _, _, quantity, price, _ in book.sent)
    assert len({price for _, _, _, price, _ in book.sent}) > 50
    assert {tif for *_, tif in book.sent} == {"DAY", "GTC", "IOC"}
    assert {(account, tif == "IOC") for account, _, _, _, tif in book.sent} == {
        (PRODUCT.maker_account, False),
        (PRODUCT.taker_account, True),
    }


async def test_a_second_run_takes_over_the_quotes_of_the_first() -> None:
    book = Book()
    first = Pair(PRODUCT, book, book, 1)
    for _ in range(200):
        await first.step()
    before = set(book.orders)
    second = Pair(PRODUCT, book, book, 2)
    await second.start()
    for _ in range(200):
        await second.step()
    assert before
    assert len(book.orders) <= QUOTES_MAX


async def test_refusals_and_a_lost_venue_do_not_end_a_broker() -> None:
    book = Book()
    pair = Pair(PRODUCT, book, book, 3)
    stop = asyncio.Event()
    running = asyncio.create_task(run_brokers([pair], stop, steps_per_second=400))
    await asyncio.sleep(0.2)
    book.is_lost = True
    await asyncio.sleep(0.1)
    book.is_lost, book.refuse = False, True
    await asyncio.sleep(0.3)
    book.refuse = False
    seen = len(book.sent)
    await asyncio.sleep(0.5)
    assert len(book.sent) > seen
    assert pair.outcomes["REJECTED/220"]
    stop.set()
    await asyncio.wait_for(running, 6)
