"""What one read leaves is booked with what the next one brings; nothing waits when none comes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from exchange.database import Database, table_hash
from exchange.database.schema import SETTLEMENT_TABLES
from exchange.settlement import SettlementService
from tests.exchange.settlement.test_settlement_service import (
    EVENTS,
    MARKET,
    expected,
    fill,
    published,
    running,
    settled,
)
from tests.fixtures_postgres import MakeBooks


class Halted:
    """Lets the first write wait until it is let go, and fail if it is told to."""

    def __init__(self, service: SettlementService) -> None:
        self._write = service._store.write
        self.go, self.error, self.batches = asyncio.Event(), None, 0
        service._store.write = self  # type: ignore[method-assign]

    error: Exception | None

    async def __call__(self, batch: Any) -> None:
        self.batches += 1
        await self.go.wait()
        if self.error is not None:
            raise self.error
        await self._write(batch)


async def test_reads_of_any_size_make_the_same_books_and_records(
    make_books: MakeBooks, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(8), 60)
    tables, records = await expected(make_books, memory_log)
    dice, rows = random.Random(4), list(memory_log.rows[EVENTS])
    books, stop = await make_books(), asyncio.Event()
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    while rows:
        count = dice.randrange(1, 9)
        await service.settle(rows[:count], stop, goes_on=True)
        del rows[:count]
        if dice.random() < 0.2:
            await service.finish(stop)
            assert len(published(memory_log)) == service.position.number
    await service.finish(stop)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records
    await service.close()


@pytest.mark.parametrize("rows_a_statement", [1, 3, 7])
async def test_rows_of_a_batch_over_several_statements(
    make_books: MakeBooks,
    memory_log: Any,
    make_flow: Any,
    monkeypatch: pytest.MonkeyPatch,
    rows_a_statement: int,
) -> None:
    await fill(memory_log, make_flow(8), 80)
    tables, records = await expected(make_books, memory_log)
    monkeypatch.setattr("exchange.settlement.store._ROWS_A_STATEMENT", rows_a_statement)
    books = await make_books()
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    await service.settle(memory_log.rows[EVENTS], asyncio.Event())
    await service.close()
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records


async def test_what_is_read_while_a_batch_is_written_goes_into_one_with_it(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(8), 40)
    rows, stop = list(memory_log.rows[EVENTS]), asyncio.Event()
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    held = Halted(service)
    for row in rows:
        await service.settle([row], stop, goes_on=True)
        await asyncio.sleep(0)
    assert (held.batches, published(memory_log)) == (1, [])
    held.go.set()
    await service.finish(stop)
    assert held.batches == 2
    assert len(published(memory_log)) == service.position.number > 0
    await service.close()


async def test_a_write_that_fails_takes_with_it_what_was_read_since(
    make_books: MakeBooks, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(8), 40)
    tables, records = await expected(make_books, memory_log)
    rows, stop, books = list(memory_log.rows[EVENTS]), asyncio.Event(), await make_books()
    service = SettlementService(memory_log, MARKET, books)
    before = await service.load()
    held, write = Halted(service), service._store.write
    held.error = RuntimeError("the disk is full")
    for row in rows[:20]:
        await service.settle([row], stop, goes_on=True)
    held.go.set()
    with pytest.raises(RuntimeError, match="the disk is full"):
        await service.finish(stop)
    assert (service.position, published(memory_log)) == (before, [])
    assert write is held
    held.error = None
    assert await service.load() == before
    await service.settle(rows, stop, goes_on=True)
    await service.finish(stop)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records
    await service.close()


async def test_the_last_records_are_published_though_nothing_follows(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(8), 30)
    service = SettlementService(memory_log, MARKET, books)
    async with running(service):
        while not service.is_ready:
            await asyncio.sleep(0.005)
        assert len(published(memory_log)) == service.position.number > 0
        await settled(memory_log, service.position.number)
