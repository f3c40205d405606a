"""Questions to the registry's books: a serial's history, an account at an instant, duplicates."""

from __future__ import annotations

import random

from sqlalchemy import insert, select, text

from exchange.database import Database
from exchange.database import schema as tables
from exchange.database.migrations.versions.v0004_questions import FILL
from exchange.messages.frames import Instruction
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import HistoryKind, Position
from tests.books_desk import CN, Desk, act_of, surrender
from tests.books_venue import (
    ACCOUNTS,
    CCER,
    HUADONG,
    INSTRUMENTS,
    NORTHERN,
    YANGTZE,
    deposit,
    issue,
)
from tests.exchange.registry.test_registry_crashes import random_acts


async def random_days(desk: Desk, seed: int) -> list[tuple[int, dict[tuple[int, int, int], int]]]:
    """(time, {(account, instrument, position): tonnes}) after each of many acts."""
    dice, seen = random.Random(seed), []
    await desk.act(*(issue(a, i, 3_000) for a in ACCOUNTS for i in INSTRUMENTS))
    for _ in range(25):
        desk.pump.time_ns += dice.randrange(2) * 10**9  # some records share their time
        await desk.act(*random_acts(dice, dice.randrange(1, 8)))
        now: dict[tuple[int, int, int], int] = {}
        for place, quantity in desk.registry.holdings.totals.items():
            key = (place.account, place.instrument_id, place.position)
            now[key] = now.get(key, 0) + quantity
        seen.append((desk.pump.time_ns, now))
    return seen


async def test_an_account_at_any_instant(desk: Desk) -> None:
    seen = dict(await random_days(desk, 5))  # the last state of each time
    for time_ns, expected in seen.items():
        found = {
            (account, row.instrument_id, int(row.position)): row.quantity
            for account in ACCOUNTS
            for row in await registry_queries.tonnes_at(
                desk.books, CN, account, INSTRUMENTS, time_ns
            )
        }
        assert found == expected
    before = await registry_queries.tonnes_at(desk.books, CN, NORTHERN, INSTRUMENTS, 1)
    assert before == []


async def test_what_an_older_book_is_filled_with_is_what_would_have_been_written(
    desk: Desk,
) -> None:
    await random_days(desk, 6)
    async with desk.books.reading() as connection:
        filled = (await connection.execute(text(FILL.replace("INSERT INTO holding", "")))).all()
        written = (await connection.execute(select(tables.holding))).all()
    assert sorted(tuple(map(int, row)) for row in filled) == sorted(map(tuple, written))
    assert written


async def all_history(books: Database, programme: str, serial: int) -> list[int]:
    table = tables.block_history
    query = select(table.c.sequence).where(
        table.c.programme == programme,
        table.c.first_serial <= serial,
        table.c.last_serial >= serial,
    )
    async with books.reading() as connection:
        return sorted((await connection.execute(query)).scalars().all())


async def test_the_history_of_any_serial_whole_and_in_pages(desk: Desk) -> None:
    await random_days(desk, 7)
    dice = random.Random(8)
    longest = 0
    for _ in range(40):
        programme = dice.choice(("CEA", "CCER"))
        serial = dice.randrange(1, desk.registry.holdings.next_serial[programme])
        expected = await all_history(desk.books, programme, serial)
        found = await registry_queries.serial_history(desk.books, programme, serial)
        assert [row.sequence for row in found] == expected
        assert found[0].kind == HistoryKind.ISSUED
        paged: list[int] = []
        while page := await registry_queries.serial_history(
            desk.books, programme, serial, limit=3, before=paged[0] if paged else 0
        ):
            assert len(page) <= 3
            paged = [row.sequence for row in page] + paged
        assert paged == expected
        longest = max(longest, len(expected))
    assert longest > 6
    for programme, serial in (("CEA", 10**9), ("CEA", 0), ("EUA", 1)):
        assert await registry_queries.serial_history(desk.books, programme, serial) == []
    last = desk.registry.holdings.sequence
    assert await registry_queries.serial_history(desk.books, "CCER", 1, before=last + 1) == []


async def test_a_history_names_every_place(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    await desk.act(*act_of(Instruction.PLEDGE, NORTHERN, CCER, 60, HUADONG))
    await desk.act(
        *act_of(Instruction.ENFORCE_PLEDGE, HUADONG, CCER, 50, NORTHERN, text="x\ndefault")
    )
    history = await registry_queries.serial_history(desk.books, "CCER", 7)
    assert [
        (row.cause, row.from_account, row.from_position.name, row.to_account, row.to_position.name)
        for row in history
        if row.kind != HistoryKind.SPLIT
    ] == [
        ("ISSUE", 0, "NONE", NORTHERN, "REGISTRY"),
        ("PLEDGE", NORTHERN, "REGISTRY", NORTHERN, "PLEDGED"),
        ("ENFORCE_PLEDGE", NORTHERN, "PLEDGED", HUADONG, "REGISTRY"),
    ]


async def test_what_comes_and_goes_in_one_record_leaves_no_row(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    there, back = (
        act_of(Instruction.TRANSFER, NORTHERN, CCER, 10, YANGTZE),
        act_of(Instruction.TRANSFER, YANGTZE, CCER, 10, NORTHERN),
    )
    await desk.act(*there, *back)
    async with desk.books.reading() as connection:
        rows = (await connection.execute(select(tables.holding))).all()
    assert [(row.account, row.position, row.quantity) for row in rows] == [
        (NORTHERN, Position.REGISTRY, 100)
    ]


async def test_duplicate_issuances_are_found_in_the_history(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100), issue(YANGTZE, CCER, 50))
    await desk.act(deposit(NORTHERN, CCER, 30))
    assert await registry_queries.duplicate_issuances(desk.books) == []
    async with desk.books.reading() as connection:
        history = tables.block_history
        row = (await connection.execute(select(history).order_by(history.c.sequence))).first()
    assert row is not None
    forged = dict(row._mapping) | {
        "market": 7, "sequence": 1, "block_id": 900, "cause_id": 55, "first_serial": 90,
        "last_serial": 120,
    }  # fmt: skip
    async with desk.books.writing() as connection:
        await connection.execute(insert(tables.block_history), forged)
    found = await registry_queries.duplicate_issuances(desk.books)
    pairs = [
        ((one.market, one.range.first), (one.other_market, one.other_range.first)) for one in found
    ]
    assert pairs == [((7, 90), (CN, 1)), ((CN, 101), (7, 90))]
    assert found[0].instruction_id == 55


async def test_no_question_reads_a_whole_table(desk: Desk) -> None:
    """What SQLite says it would do; PostgreSQL decides by sizes, and has the same indexes."""
    await desk.act(issue(NORTHERN, CCER, 100))
    await desk.act(surrender(NORTHERN, CCER, 1))
    if not desk.books.is_sqlite:
        return
    history = str(registry_queries._NARROWEST_ON_SQLITE)
    values = {"programme": "CCER", "limit": 10, "before": 10**9, "first": 7}
    values |= {"last": 7, "left": "[4, 6]", "right": "[7, 8]"}
    asked = [
        (history, values),
        (
            "SELECT last_serial FROM block WHERE account = 1 "
            "AND block.state = 1 AND +block.market = :market",
            {"market": CN},
        ),
        (
            "SELECT last_serial FROM block WHERE account = 1 AND market = :market "
            "AND position = 1 AND instrument_id = 1 AND lender = 0 AND block.state = 1 "
            "AND (acquired, first_serial) > (1, 1) ORDER BY acquired, first_serial LIMIT 8",
            {"market": CN},
        ),
        (
            str(registry_queries._LAST_ON_SQLITE),
            {"market": CN, "account": 1, "time_ns": 5, "instruments": "[1]", "positions": "[1]"},
        ),
        (
            "SELECT cause_id, block_id FROM block_history WHERE cause_id = 5 "
            "AND block_history.kind IN (4, 5) AND +block_history.market = :market",
            {"market": CN},
        ),
        (
            "SELECT programme FROM block_history WHERE kind = 1 ORDER BY programme, first_serial",
            {},
        ),
    ]
    async with desk.books.reading() as connection:
        for query, given in asked:
            plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {query}"), given)
            steps = [row.detail for row in plan.all()]
            assert any("USING" in step for step in steps), steps
            for step in steps:
                reads_all = step.startswith("SCAN") and "INDEX" not in step
                assert not reads_all or "VIRTUAL TABLE" in step, steps
                assert "(market=?)" not in step, steps  # all of a market
                assert "TEMP B-TREE" not in step or "UNION" in steps[0], steps
                assert "(market=? AND sequence<?)" not in step, steps
