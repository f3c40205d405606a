"""Blocks that are read from the books when they are wanted, and let go when they are written."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from sqlalchemy import delete, select
from structlog.testing import capture_logs

from exchange import topics
from exchange.database import schema as tables
from exchange.database import table_hash
from exchange.registry import RegistryService
from exchange.registry.blocks import Position
from exchange.registry.refusals import RegistryBrokenError
from exchange.registry.rows import Place
from exchange.registry.store import RegistryMovedError, RegistryStore
from tests.books_desk import CN, REGISTRY, SETTLEMENTS, Desk, owed
from tests.books_venue import (
    ACCOUNTS,
    CCER,
    INSTRUMENTS,
    MARKET,
    NORTHERN,
    VENUE,
    YEAR,
    deposit,
    issue,
)
from tests.exchange.registry.test_registry_crashes import random_acts
from tests.fixtures_postgres import MakeBooks

FREE = Place(NORTHERN, Position.REGISTRY, CCER)


async def test_few_blocks_or_all_of_them_give_the_same_records_and_books(
    make_books: MakeBooks, market_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, dice = Desk(market_log, await make_books()), random.Random(21)
    await desk.open()
    await desk.act(*(issue(a, i, 3_000) for a in ACCOUNTS for i in INSTRUMENTS))
    await desk.act(*(record for a in ACCOUNTS for record in owed(a, YEAR, 2_000)))
    for _ in range(12):
        await desk.act(*random_acts(dice, 10))
        assert desk.registry.holdings.places.in_memory == 0
    monkeypatch.undo()
    whole = RegistryService(market_log, MARKET, VENUE, books := await make_books())
    await whole.load()
    await whole.register([(row.offset, row.value) for row in market_log.rows[SETTLEMENTS]])
    assert whole.holdings.places.in_memory == whole.holdings.blocks > 50
    assert whole.holdings.totals == desk.registry.holdings.totals
    assert await table_hash(books, CN, tables.REGISTRY_TABLES) == await table_hash(
        desk.books, CN, tables.REGISTRY_TABLES
    )
    table = tables.registry_outbox
    async with books.reading() as connection:
        query = select(table.c.value).order_by(table.c.number)
        said = (await connection.execute(query)).scalars().all()
    assert said == [row.value for row in market_log.rows[REGISTRY]]
    await desk.close()


async def test_only_the_front_of_a_place_is_read(desk: Desk) -> None:
    for _ in range(6):
        await desk.act(issue(NORTHERN, CCER, 100))
    store = RegistryStore(desk.books, CN, {})
    _, holdings, *_ = await store.load()
    assert (holdings.held(*FREE), holdings.blocks, holdings.places.in_memory) == (600, 6, 0)
    for tonnes, blocks in ((100, 1), (101, 2), (300, 3), (601, 3), (600, 6)):
        await store.read_blocks(holdings, {FREE: tonnes}, desk.registry.position)
        assert holdings.places.in_memory == blocks
    assert [block.first_serial for block in holdings.lying(FREE)] == [1, 101, 201, 301, 401, 501]


async def test_blocks_are_read_of_the_books_that_are_known_only(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    store = RegistryStore(desk.books, CN, {})
    position, holdings, *_ = await store.load()
    await desk.act(deposit(NORTHERN, CCER, 30))
    with pytest.raises(RegistryMovedError, match="the registry's books are at settlement"):
        await store.read_blocks(holdings, {FREE: 1}, position)
    assert holdings.places.in_memory == 0


async def test_books_that_have_not_what_they_had_stop_the_registry(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    await desk.act(issue(NORTHERN, CCER, 50))
    store, position = RegistryStore(desk.books, CN, {}), desk.registry.position
    _, holdings, *_ = await store.load()
    table = tables.block
    async with desk.books.writing() as connection:
        rows = (await connection.execute(select(table).order_by(table.c.block_id))).all()
        last = table.c.block_id == rows[-1].block_id
        await connection.execute(delete(table).where(last))
    with pytest.raises(RegistryBrokenError, match="0 t were read of the 50 t still at"):
        await store.read_blocks(holdings, {FREE: None}, position)
    async with desk.books.writing() as connection:
        await connection.execute(table.insert(), dict(rows[-1]._mapping))


@pytest.mark.parametrize("publishes", [False, True])
async def test_blocks_that_nobody_foresaw_are_read_and_the_records_are_the_same(
    make_books: MakeBooks, market_log: Any, monkeypatch: pytest.MonkeyPatch, publishes: bool
) -> None:
    desk, dice = Desk(market_log, await make_books()), random.Random(5)
    await desk.open()
    await desk.act(*(issue(a, i, 3_000) for a in ACCOUNTS for i in INSTRUMENTS))
    for _ in range(4):
        await desk.act(*random_acts(dice, 10))
    for name in ("wanted_by", "wanted_when_due"):
        monkeypatch.setattr(f"exchange.registry.service.{name}", lambda *_: {})
    log, stop = type(market_log)(), asyncio.Event() if publishes else None
    await log.create(topics.of_market(CN))
    blind = RegistryService(log, MARKET, VENUE, books := await make_books())
    await blind.load()
    with capture_logs() as told:
        for row in market_log.rows[SETTLEMENTS]:
            await blind.register([(row.offset, row.value)], stop)
    assert "blocks were not foreseen, read now" in {line["event"] for line in told}
    said = [row.value for row in market_log.rows[REGISTRY]] if publishes else []
    assert [row.value for row in log.rows[REGISTRY]] == said
    assert await table_hash(books, CN, tables.REGISTRY_TABLES) == await table_hash(
        desk.books, CN, tables.REGISTRY_TABLES
    )
    await desk.close()


async def test_blocks_that_cannot_be_read_stop_the_registry(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))

    async def unread(*_: Any) -> None:
        pass

    monkeypatch.setattr(RegistryStore, "read_blocks", unread)
    with pytest.raises(RegistryBrokenError, match="though they had been read"):
        await desk.act(deposit(NORTHERN, CCER, 30))
