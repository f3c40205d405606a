"""The books of a market compared: by one hash, equal on SQLite and PostgreSQL, and row by row."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from sqlalchemy import Select, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database.connection import Database
from exchange.database.schema import REGISTRY_TABLES, SETTLEMENT_TABLES, balance

_ROWS_AT_ONCE = 10_000
BOOKS = SETTLEMENT_TABLES + REGISTRY_TABLES

_encode = msgspec.msgpack.Encoder().encode


async def table_hash(database: Database, market: int, tables: tuple[Table, ...] = BOOKS) -> bytes:
    """`rows_hash` of the books as they stand now."""
    async with database.reading() as connection:
        return await rows_hash(connection, market, tables)


async def rows_hash(
    connection: AsyncConnection, market: int, tables: tuple[Table, ...] = BOOKS
) -> bytes:
    """BLAKE2b-256 over all rows of `tables` that belong to a market, by primary key.

    Positions and outboxes are left out: they say how far a process came and what it published,
    not what is so. So are balances of zero: whether a balance that came and went has a row depends
    on how settlement cut its batches. O(rows), with a bounded number of rows in memory.
    """
    digest = hashlib.blake2b(digest_size=32)
    for table in tables:
        digest.update(_encode([str(table.name), [str(c.name) for c in table.columns]]))
        result = await connection.stream(_rows_of(table, market))
        async for rows in result.partitions(_ROWS_AT_ONCE):
            for row in rows:
                digest.update(_encode(tuple(row)))
    return digest.digest()


async def first_difference(
    right: Database, other: Database, market: int, tables: tuple[Table, ...] = BOOKS
) -> str | None:
    """The first row in which the books of two databases differ, in words; None if they agree.

    Of the same rows as `table_hash`, in the same order. O(rows), bounded in memory.
    """
    for table in tables:
        async with (
            aclosing(_each(right, table, market)) as ours,
            aclosing(_each(other, table, market)) as theirs,
        ):
            while True:
                row, beside = await anext(ours, None), await anext(theirs, None)
                if row is None and beside is None:
                    break
                if row is None or beside is None or _encode(row) != _encode(beside):
                    return _told(table, row, beside)
    return None


def _rows_of(table: Table, market: int) -> Select[Any]:
    query = select(table).where(table.c.market == market).order_by(*table.primary_key.columns)
    return query.where(balance.c.amount != 0) if table is balance else query


async def _each(
    database: Database, table: Table, market: int
) -> AsyncGenerator[tuple[Any, ...], None]:
    async with database.reading() as connection:
        result = await connection.stream(_rows_of(table, market))
        async for rows in result.partitions(_ROWS_AT_ONCE):
            for row in rows:
                yield tuple(row)


def _told(table: Table, row: tuple[Any, ...] | None, beside: tuple[Any, ...] | None) -> str:
    columns = [str(column.name) for column in table.columns]
    keys = [columns.index(str(column.name)) for column in table.primary_key.columns]

    def key_of(found: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(found[at] for at in keys)

    def name_of(found: tuple[Any, ...]) -> str:
        return f"{table.name} " + ", ".join(f"{columns[at]} {found[at]}" for at in keys)

    if row is not None and (beside is None or key_of(row) < key_of(beside)):
        return f"{name_of(row)} is missing from the books in use"
    assert beside is not None  # noqa: S101 - one of the two is a row
    if row is None or key_of(beside) < key_of(row):
        return f"{name_of(beside)} stands in the books in use, and the log does not give it"
    told = [
        f"{column} is {found} where the log gives {right}"
        for column, right, found in zip(columns, row, beside, strict=True)
        if _encode(right) != _encode(found)
    ]
    return f"{name_of(row)}: {', '.join(told)}"
