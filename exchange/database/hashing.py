"""One hash over the books of a market, equal on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib

import msgspec
from sqlalchemy import Table, select

from exchange.database.connection import Database
from exchange.database.schema import REGISTRY_TABLES, SETTLEMENT_TABLES, balance

_ROWS_AT_ONCE = 10_000


async def table_hash(
    database: Database,
    market: int,
    tables: tuple[Table, ...] = SETTLEMENT_TABLES + REGISTRY_TABLES,
) -> bytes:
    """BLAKE2b-256 over all rows of `tables` that belong to a market, by primary key.

    Positions and outboxes are left out: they say how far a process came and what it published,
    not what is so. So are balances of zero: whether a balance that came and went has a row depends
    on how settlement cut its batches. O(rows), with a bounded number of rows in memory.
    """
    digest = hashlib.blake2b(digest_size=32)
    encode = msgspec.msgpack.Encoder().encode
    async with database.reading() as connection:
        for table in tables:
            digest.update(encode([str(table.name), [str(c.name) for c in table.columns]]))
            query = (
                select(table).where(table.c.market == market).order_by(*table.primary_key.columns)
            )
            if table is balance:
                query = query.where(balance.c.amount != 0)
            result = await connection.stream(query)
            async for rows in result.partitions(_ROWS_AT_ONCE):
                for row in rows:
                    digest.update(encode(tuple(row)))
    return digest.digest()
