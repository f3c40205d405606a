"""The first row in which two sets of books differ is named, with key, column and both values."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from exchange.database import Database, first_difference, open_database, table_hash, upgrade
from exchange.database.schema import balance

ROWS = [(1, 101, 0, 500), (1, 101, 7, 12), (1, 102, 0, 0), (2, 101, 0, 900)]


async def books(path: Path) -> Database:
    made = open_database("sqlite", path)
    await upgrade(made)
    async with made.writing() as connection:
        names = ("market", "account", "asset", "amount")
        await connection.execute(
            insert(balance), [dict(zip(names, row, strict=True)) for row in ROWS]
        )
    return made


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Database, Database]]:
    made = await books(tmp_path / "right"), await books(tmp_path / "other")
    yield made
    for database in made:
        await database.close()


async def test_equal_books_have_no_difference(pair: tuple[Database, Database]) -> None:
    """Balances of zero are not told apart from none, as in the hash."""
    async with pair[1].writing() as connection:
        await connection.execute(delete(balance).where(balance.c.account == 102))
    assert await table_hash(pair[0], 1) == await table_hash(pair[1], 1)
    assert await first_difference(*pair, 1) is None


async def test_the_first_row_that_differs_is_named(pair: tuple[Database, Database]) -> None:
    async with pair[1].writing() as connection:
        await connection.execute(update(balance).values(amount=balance.c.amount + 1))
    found = await first_difference(*pair, 1)
    name = "balance market 1, account 101, asset 0"
    assert found == f"{name}: amount is 501 where the log gives 500"


@pytest.mark.parametrize("is_missing", [True, False])
async def test_a_row_of_one_side_is_named(
    pair: tuple[Database, Database], is_missing: bool
) -> None:
    async with pair[is_missing].writing() as connection:
        await connection.execute(delete(balance).where(balance.c.asset == 0))
    found = await first_difference(*pair, 1)
    name = "balance market 1, account 101, asset 0"
    lack = "is missing from the books in use"
    more = "stands in the books in use, and the log does not give it"
    assert found == f"{name} {lack if is_missing else more}"
