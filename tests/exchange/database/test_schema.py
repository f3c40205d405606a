from __future__ import annotations

import asyncio
import random
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Table, insert, select, text
from sqlalchemy.exc import DBAPIError

from deploy.local.postgres import PostgresServer
from exchange.database import (
    METADATA,
    Database,
    DatabaseError,
    migrations,
    open_database,
    table_hash,
    upgrade,
)
from exchange.database import connection as opening
from exchange.database import schema as tables
from exchange.database.connection import newest_revision
from exchange.registry.blocks import Position, node_of
from tests.fixtures_postgres import MakeBooks

CATALOG = {
    "sqlite": [
        "SELECT type, name, tbl_name, sql FROM sqlite_master "
        "WHERE tbl_name <> 'alembic_version' ORDER BY 1, 2"
    ],
    "postgresql": [
        "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, "
        "column_default, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 3",
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace "
        "AND conrelid::regclass::text <> 'alembic_version' ORDER BY 1, 2",
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
        "AND tablename <> 'alembic_version' ORDER BY 1",
        "SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger "
        "WHERE NOT tgisinternal ORDER BY 1, 2",
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql') ORDER BY 1",
    ],
}


async def catalog(database: Database) -> list[list[tuple[Any, ...]]]:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    async with database.reading() as connection:
        return [
            [tuple(row) for row in (await connection.execute(text(query))).all()]
            for query in CATALOG[kind]
        ]


async def same_schema(migrated: Database, created: Database) -> None:
    await upgrade(migrated)
    async with created.writing() as connection:
        await connection.run_sync(METADATA.create_all)
    assert await catalog(migrated) == await catalog(created)
    await migrated.close()
    await created.close()


async def test_migrations_give_the_schema_on_sqlite(tmp_path: Path) -> None:
    await same_schema(open_database(tmp_path / "a"), open_database(f"sqlite:///{tmp_path}/b"))


async def test_migrations_give_the_schema_on_postgresql(postgres: PostgresServer) -> None:
    names = ("schema_migrated", "schema_created")
    await same_schema(*(open_database(postgres.create_database(name)) for name in names))
    for name in names:
        postgres.drop_database(name)


async def test_books_of_the_first_version_are_brought_up(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    for address in (postgres.create_database("first_version"), str(tmp_path / "first")):
        database = open_database(address)
        await upgrade(database, "0001")
        async with database.writing() as connection:
            await connection.execute(
                text(
                    "INSERT INTO block (market, block_id, programme, first_serial, last_serial, "
                    "instrument_id, vintage, account, position, state, acquired) "
                    "VALUES (0, 5, 'CEA', 100, 199, 12, 2024, 201, 2, 1, 77)"
                )
            )
            for number, (first, last) in enumerate(RANGES):
                await connection.execute(
                    text(
                        "INSERT INTO block_history VALUES (0, :number, 77, 9, 2, :number, 'CEA', "
                        ":first, :last, 9, 1, 9, 1, 'TRADE', 7, 0, 0)"
                    ),
                    {"number": number, "first": first, "last": last},
                )
            await connection.execute(
                text("INSERT INTO obligation VALUES (0, 203, 'cn-national', 2024, 9000)")
            )
            await connection.execute(
                text("INSERT INTO surrender VALUES (0, 7, 203, 12, 'cn-national', 2024, '', 5, 1)")
            )
        await upgrade(database)
        async with database.reading() as connection:
            (row,) = (await connection.execute(select(tables.block))).all()
            (year,) = (await connection.execute(select(tables.compliance_year))).all()
            (given,) = (await connection.execute(select(tables.surrender))).all()
            nodes = (await connection.execute(select(tables.block_history.c.node))).scalars().all()
        assert sorted(nodes) == sorted(node_of(*range_) for range_ in RANGES)
        assert tuple(row) == (0, 5, "CEA", 100, 199, 12, 2024, 201, 2, 1, 77, 0, 0, 0, 0)
        assert (year.account, year.scheme, year.year) == (203, "cn-national", 2024)
        assert (year.reported, year.verified, year.shortfall) == (9_000, 9_000, None)
        assert tuple(given) == (0, 7, 203, 12, "cn-national", 2024, "", 5, 1, 0)
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.writing() as connection:
                await connection.execute(text("UPDATE surrender SET is_late = 1"))
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.writing() as connection:
                await connection.execute(text("UPDATE block_history SET node = 1"))
        with pytest.raises(DBAPIError, match=OVERLAP):
            await add(database, tables.block, block_row(6, 199, 300))
        await add(database, tables.block, block_row(7, 200, 300))
        await database.close()
    postgres.drop_database("first_version")


async def test_many_may_upgrade_at_once(postgres: PostgresServer, tmp_path: Path) -> None:
    addresses = (postgres.create_database("upgrade_at_once"), str(tmp_path / "x" / "books"))
    for address in addresses:
        databases = [open_database(address) for _ in range(4)]
        await asyncio.gather(*(upgrade(database) for database in databases))
        for database in databases:
            await upgrade(database)  # and again: nothing to do
            await database.close()
    postgres.drop_database("upgrade_at_once")


async def test_the_newest_schema_is_known_without_the_tool_of_migrations(
    books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_heads() == [newest_revision()]

    def migrate(*_: object) -> None:
        raise AssertionError("migrations run on the newest schema")

    monkeypatch.setattr(opening, "_run_migrations", migrate)
    await upgrade(books)


async def test_a_newer_schema_is_refused(books: Database) -> None:
    async with books.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version"):
        await upgrade(books)


async def test_unreachable() -> None:
    database = open_database("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1/nothing"):
        await upgrade(database)
    await database.close()


def test_addresses(tmp_path: Path) -> None:
    assert open_database("sqlite", tmp_path).path == tmp_path / "exchange.sqlite"
    with pytest.raises(ValueError, match="mysql://x"):
        open_database("mysql://x")
    with pytest.raises(ValueError, match="data directory"):
        open_database("sqlite")


RANGES = ((1, 1), (1, 100), (100, 199), (7, 8), (129, 191), (96, 96), (2**62, 2**62))
OVERLAP = r"block_no_overlap|block_programme_first_serial"


def block_row(block_id: int, first: int, last: int, **other: Any) -> dict[str, Any]:
    return {
        "market": 0,
        "block_id": block_id,
        "programme": "CEA",
        "first_serial": first,
        "last_serial": last,
        "instrument_id": 1,
        "vintage": 2024,
        "account": 1,
        "position": 1,
        "state": 1,
        "acquired": 0,
        "lender": 0,
        "project": 0,
        "period_from": 0,
        "period_to": 0,
    } | other


async def add(database: Database, table: Table, *rows: dict[str, Any]) -> None:
    async with database.writing() as connection:
        await connection.execute(insert(table), list(rows))


@pytest.mark.parametrize(
    ("first", "last", "fits"),
    [
        (100, 199, False),  # the same
        (50, 100, False),  # touches its first
        (199, 250, False),  # its last
        (120, 130, False),  # inside
        (1, 1000, False),  # around
        (99, 200, False),
        (50, 99, True),
        (200, 200, True),
    ],
)
async def test_overlapping_serials_are_refused(
    books: Database, first: int, last: int, fits: bool
) -> None:
    await add(books, tables.block, block_row(1, 100, 199), block_row(2, 300, 399))
    await add(books, tables.block, block_row(7, first, last, programme="CCER"))
    if fits:
        await add(books, tables.block, block_row(3, first, last))
    else:
        with pytest.raises(DBAPIError, match=OVERLAP):
            await add(books, tables.block, block_row(3, first, last))
        with pytest.raises(DBAPIError, match=OVERLAP):
            await add(books, tables.block, block_row(3, first, last, market=1))  # any market
        async with books.writing() as connection:
            moved = tables.block.update().where(tables.block.c.block_id == 2)
            with pytest.raises(DBAPIError, match=OVERLAP):
                await connection.execute(moved.values(first_serial=first, last_serial=last))


async def test_a_block_may_shrink_in_place(books: Database) -> None:
    await add(books, tables.block, block_row(1, 100, 199))
    async with books.writing() as connection:
        await connection.execute(tables.block.update().values(last_serial=150))
    await add(books, tables.block, block_row(2, 151, 199))


async def test_of_overlapping_inserts_at_once_one_wins(books: Database) -> None:
    dice = random.Random(4)

    async def insert_one(block_id: int) -> bool:
        first = dice.randrange(1, 100)
        try:
            await add(books, tables.block, block_row(block_id, first, first + 60))
        except DBAPIError:
            return False
        return True

    won = await asyncio.gather(*(insert_one(number) for number in range(1, 17)))
    async with books.reading() as connection:
        rows = (await connection.execute(select(tables.block))).all()
    assert sum(won) == len(rows) >= 1
    taken = [serial for row in rows for serial in range(row.first_serial, row.last_serial + 1)]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("round_number", range(3))
async def test_of_two_processes_one_wins(make_books: MakeBooks, round_number: int) -> None:
    """Each with an engine of its own, as two processes have it, and the same range."""
    books = await make_books()
    address = str(books.path) if books.is_sqlite else books.dsn
    others = [open_database(address) for _ in range(2)]

    ranges = [block_row(number, 40 + number, 90 + number) for number in (1, 2 + round_number)]
    told = await asyncio.gather(
        *(add(database, tables.block, row) for database, row in zip(others, ranges, strict=True)),
        return_exceptions=True,
    )
    for database in others:
        await database.close()
    async with books.reading() as connection:
        rows = (await connection.execute(select(tables.block))).all()
    assert len(rows) == 1
    (lost,) = [error for error in told if error is not None]
    assert isinstance(lost, DBAPIError)
    assert re.search(f"{OVERLAP}|deadlock", str(lost))  # each may wait for how the other ends


async def test_a_split_takes_the_block_away_before_its_parts_come(books: Database) -> None:
    await add(books, tables.block, block_row(1, 100, 199), block_row(9, 200, 299))
    parts = [block_row(2, 100, 149), block_row(3, 150, 199)]
    with pytest.raises(DBAPIError, match=OVERLAP):
        await add(books, tables.block, *parts)
    async with books.writing() as connection:
        await connection.execute(tables.block.delete().where(tables.block.c.block_id == 1))
        await connection.execute(insert(tables.block), parts)
    with pytest.raises(DBAPIError, match=OVERLAP):
        await split_with_a_tonne_too_many(books)
    async with books.reading() as connection:
        found = (await connection.execute(select(tables.block.c.block_id))).scalars().all()
    assert sorted(found) == [2, 3, 9]


async def split_with_a_tonne_too_many(books: Database) -> None:
    """A part that reaches into the next block takes the whole split back."""
    async with books.writing() as connection:
        await connection.execute(tables.block.delete().where(tables.block.c.block_id == 3))
        await connection.execute(insert(tables.block), block_row(4, 150, 200))


async def test_two_open_transactions_cannot_overlap(postgres: PostgresServer) -> None:
    database = open_database(postgres.create_database("two_transactions"))
    await upgrade(database)
    async with database.engine.connect() as first, database.engine.connect() as second:
        await first.execute(insert(tables.block), block_row(1, 1, 100))
        waiting = asyncio.create_task(second.execute(insert(tables.block), block_row(2, 50, 60)))
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done  # it must know how the first ends
        await first.commit()
        with pytest.raises(DBAPIError, match="block_no_overlap"):
            await waiting
    await database.close()
    postgres.drop_database("two_transactions")


def example(table: Table) -> dict[str, Any]:
    row = {
        column.name: {"VARCHAR": "x", "TEXT": "x"}.get(str(column.type).split("(")[0], 1)
        for column in table.columns
    }
    return row | ({"approved_by": "another"} if "approved_by" in row else {})


@pytest.mark.parametrize("table", tables.APPEND_ONLY, ids=lambda table: table.name)
async def test_history_cannot_be_changed(books: Database, table: Table) -> None:
    await add(books, table, example(table))
    last = table.columns.values()[-1]
    for statement in (
        table.update().values({last.name: example(table)[last.name]}),
        table.delete(),
    ):
        with pytest.raises(DBAPIError, match=f"{table.name} is append-only"):
            async with books.writing() as connection:
                await connection.execute(statement)
    if books.is_sqlite:
        names = ", ".join(example(table))
        marks = ", ".join(f":{name}" for name in example(table))
        replace = text(f"INSERT OR REPLACE INTO {table.name} ({names}) VALUES ({marks})")  # noqa: S608
        with pytest.raises(DBAPIError, match="append-only"):
            async with books.writing() as connection:
                await connection.execute(replace, example(table))


TWO_PERSONS = {
    tables.reversal: "proposed_by",
    tables.offset_reversal: "proposed_by",
    tables.trade_cancel_approval: "proposed_by",
    tables.waiting_transfer: "given_by",
}
ONE_PERSON = (
    ("a", "a"), ("a (Li Wei)", "b (Li Wei)"), ("a", "a (Li Wei)"), ("Li", "b (Li)"),
    ("a (Li (Wei))", "b (Li (Wei))"),
)  # fmt: skip
INVERTED = "block_range|empty range|lower bound"


@pytest.mark.parametrize(
    ("table", "wrong", "name"),
    [
        (tables.balance, {"account": 1, "amount": -1}, "balance_not_overdrawn"),
        (tables.posting, {"amount": 0}, "posting_not_empty"),
        (tables.trade, {"quantity": 0}, "trade_positive"),
        (tables.block, {"lender": 0, "first_serial": 0}, "block_range"),
        (tables.block, {"lender": 0, "first_serial": -5, "last_serial": -1}, "block_range"),
        (tables.block, {"lender": 0, "first_serial": -5, "last_serial": 5}, "block_range"),
        (tables.block, {"lender": 0, "first_serial": 5, "last_serial": 4}, INVERTED),
        (tables.block, {"lender": 0, "first_serial": 5, "last_serial": -5}, INVERTED),
        (tables.block, {"lender": 0, "position": Position.PLEDGED}, "block_pledged"),
        (tables.block, {"lender": 7, "position": Position.TRADING}, "block_pledged"),
        (tables.compliance_year, {"verified": -1}, "compliance_year_figures"),
        (tables.compliance_year, {"added": -1}, "compliance_year_not_negative"),
        (tables.compliance_year, {"reported": None}, "compliance_year_reported_first"),
        (tables.allocation, {"issued": -1}, "allocation_not_negative"),
        (tables.assessment, {"fine_min": 2, "fine_max": 1}, "assessment_sound"),
        (tables.carry_over_application, {"quantity": 2, "most": 1}, "application_within"),
        (tables.trade_settlement, {"state": 2, "ref": 0}, "trade_settlement_in_flight"),
        *(
            (table, {name: first, "approved_by": second}, f"{table.name}_by_two")
            for table, name in TWO_PERSONS.items()
            for first, second in ONE_PERSON
        ),
    ],
)
async def test_impossible_rows_are_refused(
    books: Database, table: Table, wrong: dict[str, int], name: str
) -> None:
    with pytest.raises(DBAPIError, match=name):
        await add(books, table, example(table) | wrong)


@pytest.mark.parametrize(("table", "name"), TWO_PERSONS.items(), ids=str)
async def test_rows_of_two_persons_are_taken(books: Database, table: Table, name: str) -> None:
    for number, (first, second) in enumerate((("a", "b"), ("a (Li)", "b (Wu)"), ("a (b)", "c"))):
        told = {"instruction_id": number, "original": number, name: first, "approved_by": second}
        await add(books, table, example(table) | {k: told[k] for k in told if k in table.c})


async def test_what_two_persons_did_before_stays(postgres: PostgresServer, tmp_path: Path) -> None:
    for address in (postgres.create_database("two_keys"), str(tmp_path / "two_keys")):
        database = open_database(address)
        await upgrade(database, "0018")
        rows = {table: example(table) | {name: "ann"} for table, name in TWO_PERSONS.items()}
        for table, row in rows.items():
            await add(database, table, row)
        await upgrade(database)
        for table, row in rows.items():
            async with database.reading() as connection:
                (found,) = (await connection.execute(select(table))).all()
            assert found._asdict() == row
        for name in ("reversal", "trade_cancel_approval"):
            with pytest.raises(DBAPIError, match="append-only"):
                async with database.writing() as connection:
                    await connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608
        await database.close()
    postgres.drop_database("two_keys")


async def test_the_venues_own_accounts_may_be_negative(books: Database) -> None:
    await add(books, tables.balance, {"market": 0, "account": -2, "asset": 0, "amount": -10})


async def crash_after_insert(books: Database) -> None:
    async with books.writing() as connection:
        await connection.execute(insert(tables.trade), example(tables.trade))
        raise RuntimeError("crash")


async def test_an_exception_rolls_back(books: Database) -> None:
    with pytest.raises(RuntimeError, match="crash"):
        await crash_after_insert(books)
    async with books.reading() as connection:
        assert (await connection.execute(select(tables.trade))).all() == []


async def test_a_hash_of_the_tables(books: Database) -> None:
    empty = await table_hash(books, 0)
    await add(books, tables.balance, {"market": 1, "account": 1, "asset": 0, "amount": 5})
    assert await table_hash(books, 0) == empty
    assert await table_hash(books, 1) != empty
    assert len(empty) == 32


async def test_a_balance_of_zero_is_none(books: Database) -> None:
    """Settled in one batch a balance that came and went has no row, in two it has one of zero."""
    empty = await table_hash(books, 0)
    await add(books, tables.balance, {"market": 0, "account": 1, "asset": 7, "amount": 0})
    assert await table_hash(books, 0) == empty


async def test_sqlite_settings(tmp_path: Path) -> None:
    database = open_database(tmp_path / "books")
    async with database.reading() as connection:
        modes = [
            await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "foreign_keys", "recursive_triggers", "busy_timeout")
        ]
    await database.close()
    assert modes == ["wal", 1, 1, 30_000]
    assert sqlite3.sqlite_version_info >= (3, 35)


async def test_settlement_knows_whose_the_accounts_are_that_were_opened_before(
    tmp_path: Path,
) -> None:
    """Those of books from before it kept them, so that a participant's suspension finds all."""
    database = open_database(tmp_path / "books")
    await upgrade(database, "0012")
    row = {"market": 0, "account": 101, "participant": 7, "settlement_number": 3}
    async with database.writing() as connection:
        await connection.execute(insert(tables.registry_account), row)
    await upgrade(database)
    async with database.reading() as connection:
        found = (await connection.execute(select(tables.settlement_account))).all()
    assert [tuple(one) for one in found] == [(0, 101, 7, 0)]
    await database.close()
