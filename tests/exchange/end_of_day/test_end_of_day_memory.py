"""A day of many trades is streamed: what is held in memory does not grow with it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from sqlalchemy import insert

from exchange.database import Database, open_database, upgrade
from exchange.database import schema as tables
from exchange.end_of_day import closing, day_of
from exchange.ledger import CASH
from exchange.registry.blocks import HistoryKind, Position, State
from tests.exchange.end_of_day.conftest import FIRST, closed, table

MARKET, ZONE = 1, "Asia/Shanghai"
BUYER, SELLER, UNITS = 201, 202, 11
ROWS = 5_000
GROWTH_BYTES_MAX = 1 << 19


async def fill(books: Database, count: int) -> None:
    """So many trades of one tonne at 1.00, each with a block of its own."""
    day = day_of(FIRST, ZONE)
    own = {"market": MARKET}
    begin = [(1, BUYER, CASH, 100 * count), (2, SELLER, UNITS, count)]
    async with books.writing() as connection:
        for event, account, asset, amount in begin:
            moved = {**own, "event_number": event, "account": account, "asset": asset}
            await connection.execute(insert(tables.posting), {**moved, "leg": 7, "amount": amount})
            moved |= {"amount": amount, "transfer_id": event, "time_ns": day.begin_ns - 1}
            await connection.execute(insert(tables.transfer), moved)
        for first in range(0, count, ROWS):
            numbers = range(first, min(first + ROWS, count))
            trades, postings, blocks, history = [], [], [], []
            for number in numbers:
                event, time = 10 + number, day.begin_ns + number
                trade = (event, UNITS, 1, 100, BUYER, SELLER, 0, 0, 1, 2, time)
                trades.append((MARKET, *trade))
                legs = [(BUYER, CASH, -100), (SELLER, CASH, 100), (SELLER, UNITS, -1),
                        (BUYER, UNITS, 1)]  # fmt: skip
                postings += [(MARKET, event, leg, *rest) for leg, rest in enumerate(legs)]
                serial = (number + 1, "CEA", number + 1, number + 1)
                blocks.append(
                    (
                        MARKET,
                        *serial,
                        UNITS,
                        2024,
                        BUYER,
                        Position.TRADING,
                        State.HELD,
                        0,
                        0,
                        0,
                        0,
                        0,
                    )
                )
                moved_by = (SELLER, Position.TRADING, BUYER, Position.TRADING, "TRADE", event, 0, 0,
                            number + 1)  # fmt: skip
                history.append((MARKET, number, 0, time, HistoryKind.MOVED, *serial, *moved_by))
            for target, rows in (
                (tables.trade, trades),
                (tables.posting, postings),
                (tables.block, blocks),
                (tables.block_history, history),
            ):
                names = [column.name for column in target.columns]
                await connection.execute(
                    insert(target), [dict(zip(names, row, strict=True)) for row in rows]
                )
        for account, asset, amount in ((SELLER, CASH, 100 * count), (BUYER, UNITS, count)):
            held = {**own, "account": account, "asset": asset, "amount": amount}
            await connection.execute(insert(tables.balance), held)
        for position in (tables.settlement_position, tables.registry_position):
            row = {
                column.name: b"" if column.name in ("chain", "carry") else 0
                for column in position.columns
            }
            await connection.execute(insert(position), {**row, **own, "time_ns": day.end_ns})


async def peak(folder: Path, count: int) -> int:
    """Bytes held at most while a day with so many trades is written."""
    books = open_database(folder / "books.sqlite")
    await upgrade(books)
    await fill(books, count)
    tracemalloc.start()
    try:
        await closed(books, FIRST, folder / "out")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        await books.close()


async def test_memory_does_not_grow_with_the_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "cut_fonts", lambda characters, folder: None)
    monkeypatch.setattr(closing, "render", lambda *given: b"paper")
    few = await peak(tmp_path / "few", 2_000)
    many = await peak(tmp_path / "many", 10_000)
    assert len(table(tmp_path / "many" / "out", "trades")) == 10_000
    assert many < few + GROWTH_BYTES_MAX
