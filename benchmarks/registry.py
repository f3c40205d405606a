"""The registry at the size of a national market, asked what people ask it.

`python -m benchmarks.registry [--accounts N] [--blocks N] [--database sqlite|postgresql|both]`
fills the books with 100 million tonnes in 5 million living blocks of 20,000 accounts: each was
issued one block, of which tonnes were split off and transferred to others, one settlement record
each, so that a serial number has up to some hundred events behind it. One account holds 10,000
blocks. It then measures the history of serial numbers, positions of accounts at instants, a
surrender plan for the large account and the surrender itself, and the memory of the process. Every
answer is checked against the arithmetic that made the books. A question is asked three times, and
its time is the shortest: what the question costs, and not what else the machine had to do; the
figures with all three stand beside. Results go to benchmarks/results/registry-postgresql.json and
registry-sqlite.json.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from rich.console import Console
from sqlalchemy import func, select, text

from benchmarks.figures import Figures, Target, wide
from deploy.local.postgres import PostgresServer
from exchange.compliance import Lot, plan_surrender
from exchange.database import Database, open_database, upgrade
from exchange.database import schema as tables
from exchange.database.migrations.versions.v0014_by_serial_and_account import NODE
from exchange.messages.frames import Instruction
from exchange.messages.registry import UnitsSurrendered
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.instructions import Registrar
from exchange.registry.queries import holdings_of, serial_history, tonnes_at
from exchange.registry.rows import Place
from exchange.registry.store import RegistryStore
from exchange.registry.years import Figures as YearFigures
from exchange.rulebook import load_rulebook
from exchange.rulebook.selection import rules_in_force

MARKET = 1
CEA = Instrument(12, "CN", "CEA-2025", "CEA", "cn-national", "allowance", vintage=2025)
CHINA = Market("CN", MARKET, "CNY", time_zone="Asia/Shanghai")
VENUE = Venue("benchmark", (CHINA,), (CEA,))
BLOCK_T = 20
BIG = 1  # the account with many blocks
BIG_BLOCKS = 10_000
BEGIN_NS = 1_700_000_000 * 10**9
STEP_NS = 10**9
YEAR = 2025
ACT_NS = 1_795_000_000 * 10**9  # 2026-11-18
ROUNDS = 3
ASKED = 3  # times each
PRICES = 100  # different prices of the blocks in the plan

TARGETS = {
    "build": Target("filling the books", "s"),
    "history": Target("history of a serial number, p99", "ms", 5, is_ceiling=True),
    "instant": Target("position of an account at an instant, p99", "ms", 20, is_ceiling=True),
    "all histories": Target("history, p99 of all askings", "ms"),
    "all instants": Target("position, p99 of all askings", "ms"),
    "holdings": Target("blocks of the large account, from the books", "ms"),
    "plan": Target("surrender plan of the large account", "s", 1, is_ceiling=True),
    "surrender": Target("its surrender, written", "s"),
    "load": Target("taking up the state", "s", 10, is_ceiling=True),
    "memory": Target("memory of the state", "MiB", 64, is_ceiling=True),
    "growth": Target("memory after all questions", "MiB more", 16, is_ceiling=True),
}


Answer = TypeVar("Answer")


class Shape(NamedTuple):
    """The books: `splits` times each account gives BLOCK_T tonnes of what it was issued away."""

    accounts: int
    splits: int

    @property
    def blocks(self) -> int:
        """Living blocks."""
        return self.accounts * (self.splits + 1)

    @property
    def each(self) -> int:
        """Tonnes issued to each account."""
        return (self.splits + 1) * BLOCK_T

    @property
    def given_to_big(self) -> int:
        """Moves 1 and following go to the large account, until this one."""
        return min(BIG_BLOCKS, self.accounts)

    def buyer(self, move: int) -> int:
        """Who got the tonnes of a move; the giver is account `move % accounts + 1`."""
        if 1 <= move < self.given_to_big:
            return BIG
        giver = move % self.accounts
        return (giver + 1 + move * 7_919 % (self.accounts - 1)) % self.accounts + 1


def statements(shape: Shape) -> list[str]:
    """SQL which both databases read alike. A move n is of account a = n % accounts, its k-th."""
    accounts, splits, each = shape.accounts, shape.splits, shape.each
    giver = f"(n % {accounts})"
    k = f"(n / {accounts})"
    buyer = (
        f"CASE WHEN n BETWEEN 1 AND {shape.given_to_big - 1} THEN {BIG} ELSE "
        f"({giver} + 1 + n * 7919 % {accounts - 1}) % {accounts} + 1 END"
    )
    base = f"({giver} * {2 * splits + 1} + 1)"
    first = f"({giver} * {each} + {k} * {BLOCK_T} + 1)"
    last = f"({giver} * {each} + {each})"
    when = f"{BEGIN_NS} + (n + {accounts}) * {STEP_NS}"
    number = f"n + {accounts}"
    block = "block (market, block_id, programme, first_serial, last_serial, instrument_id, "
    block += "vintage, account, position, state, acquired, lender, project, period_from, period_to)"
    history = "block_history (market, sequence, settlement_number, time_ns, kind, block_id, "
    history += "programme, first_serial, last_serial, from_account, from_position, to_account, "
    history += "to_position, cause, cause_id, left_block, right_block, node)"
    holding = "holding (market, account, instrument_id, position, time_ns, settlement_number, "
    holding += "quantity)"
    of, at = f"{MARKET}, ", int(Position.REGISTRY)
    plain = f"{CEA.id}, 2025"
    rest = f"n < {accounts}"
    return [
        f"INSERT INTO registry_account SELECT {of} n + 1, n + 1, 0 FROM number WHERE {rest}",
        f"INSERT INTO {history} SELECT e.*, {NODE} FROM (SELECT {of} n + 1, n, "
        f"{BEGIN_NS} + n * {STEP_NS}, {HistoryKind.ISSUED}, n * {2 * splits + 1} + 1, 'CEA', "
        f"n * {each} + 1 AS first_serial, n * {each} + {each} AS last_serial, "
        f"0, 0, n + 1, {at}, 'ISSUE', n, 0, 0 FROM number WHERE {rest}) AS e",
        f"INSERT INTO {history} SELECT e.*, {NODE} FROM (SELECT {of} {accounts} + 2 * n + 1, "
        f"{number}, {when}, {HistoryKind.SPLIT}, CASE WHEN {k} = 0 THEN {base} "
        f"ELSE {base} + 2 * {k} END, 'CEA', {first} AS first_serial, {last} AS last_serial, "
        f"{giver} + 1, {at}, {giver} + 1, {at}, 'TRANSFER', n, "
        f"{base} + 1 + 2 * {k}, {base} + 2 + 2 * {k} FROM number) AS e",
        f"INSERT INTO {history} SELECT e.*, {NODE} FROM (SELECT {of} {accounts} + 2 * n + 2, "
        f"{number}, {when}, {HistoryKind.MOVED}, {base} + 1 + 2 * {k}, 'CEA', "
        f"{first} AS first_serial, {first} + {BLOCK_T - 1} AS last_serial, "
        f"{giver} + 1, {at}, {buyer}, {at}, 'TRANSFER', n, 0, 0 FROM number) AS e",
        f"INSERT INTO {block} SELECT {of} {base} + 1 + 2 * {k}, 'CEA', {first}, "
        f"{first} + {BLOCK_T - 1}, {plain}, {buyer}, {at}, 1, {number}, 0, 0, 0, 0 FROM number",
        f"INSERT INTO {block} SELECT {of} n * {2 * splits + 1} + 1 + {2 * splits}, 'CEA', "
        f"n * {each} + {splits * BLOCK_T + 1}, n * {each} + {each}, {plain}, n + 1, {at}, 1, n, "
        f"0, 0, 0, 0 FROM number WHERE {rest}",
        f"INSERT INTO {holding} SELECT {of} account, {CEA.id}, {at}, "
        f"{BEGIN_NS} + m * {STEP_NS}, m, SUM(tonnes) OVER (PARTITION BY account ORDER BY m) "
        f"FROM (SELECT n + 1 AS account, n AS m, {each} AS tonnes FROM number WHERE {rest} "
        f"UNION ALL SELECT {giver} + 1, {number}, {-BLOCK_T} FROM number "
        f"UNION ALL SELECT {buyer}, {number}, {BLOCK_T} FROM number) AS moves",
        f"INSERT INTO programme VALUES ('CEA', {MARKET}, {accounts * each + 1})",
        f"INSERT INTO registry_position VALUES ({MARKET}, 0, {accounts * (splits + 1)}, 0, 0, 0, "
        f"{accounts * (2 * splits + 1)}, {accounts * (2 * splits + 1)}, "
        f"{BEGIN_NS + accounts * (splits + 1) * STEP_NS}, 0, 0)",
    ]


async def build(database: Database, shape: Shape, console: Console) -> None:
    """Fills the books, in the database, by arithmetic alone."""
    moves = shape.accounts * shape.splits
    async with database.writing() as connection:
        await connection.execute(text("CREATE TABLE number (n BIGINT PRIMARY KEY)"))
        await connection.execute(
            text(
                "WITH RECURSIVE tall(t) AS (SELECT 0 UNION ALL SELECT t + 1 FROM tall "
                f"WHERE t < {moves // 1000}), wide(w) AS (SELECT 0 UNION ALL SELECT w + 1 "
                "FROM wide WHERE w < 999) INSERT INTO number SELECT t * 1000 + w FROM tall, wide "
                f"WHERE t * 1000 + w < {moves}"
            )
        )
    if not database.is_sqlite:
        await _without_exclusion(database)
    for statement in statements(shape):
        with console.status(" ".join(statement.split()[:3])):
            async with database.writing() as connection:
                await connection.execute(text(statement))
    async with database.writing() as connection:
        await connection.execute(text("DROP TABLE number"))
        if not database.is_sqlite:
            await connection.execute(text("ANALYZE"))
    size = tables.block.c.last_serial - tables.block.c.first_serial + 1
    async with database.reading() as connection:
        row = (await connection.execute(select(func.count(), func.sum(size)))).one()
    assert tuple(map(int, row)) == (shape.blocks, shape.accounts * shape.each), row


async def _without_exclusion(database: Database) -> None:
    """Takes the exclusion of overlaps off PostgreSQL's blocks.

    No question uses it, and to fill it takes longer than everything else together. The unique index
    by programme and first serial, which they do use, stays.
    """
    async with database.writing() as connection:
        rows = (
            await connection.execute(
                text(
                    "SELECT conname FROM pg_constraint "
                    "WHERE conrelid = CAST('block' AS regclass) AND contype = 'x'"
                )
            )
        ).all()
        for row in rows:
            await connection.execute(text(f"ALTER TABLE block DROP CONSTRAINT {row[0]}"))


async def _asked(ask: Callable[[], Awaitable[Answer]], took: list[list[float]]) -> Answer:
    """The answer to a question, and in `took` the milliseconds of each time it was asked."""
    took.append([])
    for _ in range(ASKED):
        begin = time.perf_counter()
        answer = await ask()
        took[-1].append((time.perf_counter() - begin) * 1e3)
    return answer


def _p99(took: list[list[float]]) -> tuple[float, float]:
    """Of the shortest times, and of all."""
    return (
        float(np.percentile([min(each) for each in took], 99)),
        float(np.percentile([one for each in took for one in each], 99)),
    )


async def ask_histories(
    database: Database, shape: Shape, dice: random.Random
) -> tuple[float, float]:
    """`_p99` of questions for serials anywhere; each answer begins and ends as it must."""
    took: list[list[float]] = []
    for _ in range(1_000):
        serial = dice.randrange(shape.accounts * shape.each) + 1
        rows = await _asked(partial(serial_history, database, "CEA", serial), took)
        giver, within = divmod(serial - 1, shape.each)
        k = within // BLOCK_T
        assert rows[0].kind == HistoryKind.ISSUED
        splits = min(k + 1, shape.splits)
        assert len(rows) == 1 + splits + (k < shape.splits), (serial, len(rows))
        if k < shape.splits:
            assert rows[-1].to_account == shape.buyer(k * shape.accounts + giver)
    return _p99(took)


async def ask_instants(
    database: Database, shape: Shape, dice: random.Random
) -> tuple[float, float]:
    """`_p99` of questions for any account at any time; some are counted move by move."""
    took: list[list[float]] = []
    moves = shape.accounts * shape.splits
    for at in range(1_000):
        account, move = dice.randrange(shape.accounts) + 1, dice.randrange(moves)
        when = BEGIN_NS + (shape.accounts + move) * STEP_NS
        wanted = (11, CEA.id, 21)
        rows = await _asked(partial(tonnes_at, database, MARKET, account, wanted, when), took)
        if at < 3:
            given = sum(BLOCK_T for n in range(account - 1, move + 1, shape.accounts))
            got = sum(BLOCK_T for n in range(move + 1) if shape.buyer(n) == account)
            assert sum(row.quantity for row in rows) == shape.each - given + got
    return _p99(took)


async def plan_large(database: Database) -> tuple[float, float, int]:
    """Seconds of the holdings and of the plan, and how many blocks the account has."""
    begin = time.perf_counter()
    holdings = await holdings_of(database, MARKET, BIG, ranges_max=1 << 30)
    ranges = [item for holding in holdings for item in holding.ranges]
    read = time.perf_counter() - begin
    rules = rules_in_force(load_rulebook(), CEA.scheme, YEAR, dt.date(2026, 11, 18))
    assert rules is not None
    lots = [
        Lot(at, item.last - item.first + 1, 7_000 + item.block_id * 7_919 % PRICES, vintage=YEAR)
        for at, item in enumerate(ranges)
    ]
    owed = sum(lot.quantity_t for lot in lots) * 3 // 4
    begin = time.perf_counter()
    plan = plan_surrender(
        rules, lots, owed_t=owed, emission_year=YEAR, on=dt.date(2026, 11, 18),
        bases={"surrender_obligation": owed},
    )  # fmt: skip
    took = time.perf_counter() - begin
    left, cost = owed, 0
    for lot in sorted(lots, key=lambda lot: lot.price_minor):
        take = min(left, lot.quantity_t)
        left, cost = left - take, cost + take * lot.price_minor
    assert (plan.short_t, plan.cost_minor) == (0, cost)
    return read, took, len(ranges)


async def surrender_large(database: Database, store: RegistryStore) -> list[float]:
    """Seconds to load the state and to surrender the large account's units; MiB it takes."""
    before, begin = _memory(), time.perf_counter()
    loaded = await store.load()
    load, memory = time.perf_counter() - begin, _memory() - before
    registrar = Registrar(loaded.holdings, CHINA, VENUE, load_rulebook())
    position = loaded.position
    held = loaded.holdings.held(BIG, Position.REGISTRY, CEA.id)
    loaded.holdings.set_year((BIG, CEA.scheme, YEAR), YearFigures(reported=held, verified=held))
    number = position.settlement_number
    begin = time.perf_counter()
    free = Place(BIG, Position.REGISTRY, CEA.id)
    await store.read_blocks(loaded.holdings, {free: held}, position)
    said = registrar.apply(
        InstructionPassed(1, Instruction.SURRENDER, BIG, CEA.id, held, YEAR, "", ""), number, ACT_NS
    )
    loaded.holdings.end_record(number, ACT_NS)
    after = position._replace(
        settlement_number=number + 1,
        block_id=loaded.holdings.block_id,
        sequence=loaded.holdings.sequence,
        time_ns=ACT_NS,
    )
    await store.write(position, after, loaded.holdings.take_changes(), [])
    took = time.perf_counter() - begin
    given = [item for item in said if isinstance(item, UnitsSurrendered)]
    assert sum(item.quantity for item in given) == held, said[:1]
    rows = await holdings_of(database, MARKET, BIG)
    assert not rows
    return [load, took, memory / 2**20]


def _memory() -> int:
    """Bytes of this process in memory."""
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def measure(database: Database, shape: Shape, figures: Figures, console: Console) -> int:
    """All figures on one database; how many blocks the large account has."""
    await upgrade(database)
    dice = random.Random(5)

    def add(**values: float) -> None:
        figures.add({TARGETS[name].name: value for name, value in values.items()})

    begin = time.perf_counter()
    await build(database, shape, console)
    add(build=time.perf_counter() - begin)
    await ask_histories(database, shape, random.Random(6))  # the pages it needs are in memory
    await ask_instants(database, shape, random.Random(6))
    await plan_large(database)  # the solver too
    before = _memory()
    blocks = 0
    for _ in range(ROUNDS):
        history, histories = await ask_histories(database, shape, dice)
        instant, instants = await ask_instants(database, shape, dice)
        add(history=history, instant=instant)
        add(**{"all histories": histories, "all instants": instants})
        read, plan, blocks = await plan_large(database)
        add(holdings=read * 1e3, plan=plan)
    add(growth=(_memory() - before) / 2**20)
    store = RegistryStore(database, MARKET, {CEA.id: CEA})
    load, took, memory = await surrender_large(database, store)
    add(load=load, surrender=took, memory=memory)
    return blocks


def main() -> int:
    """Measures, prints, writes the JSON; 0 when every answer was right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--accounts", type=int, default=20_000)
    parser.add_argument("--blocks", type=int, default=5_000_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    chosen = parser.parse_args()
    splits = chosen.blocks // max(chosen.accounts, 1) - 1
    if chosen.accounts < 2 or splits < 1:
        parser.error("at least 2 accounts, and 2 blocks for each of them")
    shape = Shape(chosen.accounts, splits)
    console = wide()
    for kind in ("postgresql", "sqlite"):
        if chosen.database in (kind, "both"):
            run(kind, shape, console)
    return 0


def run(kind: str, shape: Shape, console: Console) -> None:
    """Measures one kind of database, in a folder of its own."""
    figures = Figures(f"registry-{kind}", TARGETS.values())
    with tempfile.TemporaryDirectory(prefix="registry-") as folder:
        server = None
        if kind == "postgresql":
            server = PostgresServer(Path(tempfile.mkdtemp(prefix="registry-pg-")))
            server.start()
            database = open_database(server.create_database("registry"))
        else:
            database = open_database(Path(folder) / "books.sqlite")
        try:
            blocks = asyncio.run(_measured(database, shape, figures, console))
        finally:
            if server is not None:
                server.remove()
    figures.show(console)
    console.print(
        f"{shape.blocks:,} blocks of {shape.accounts:,} accounts, {blocks:,} of them of the large "
        "one; every answer is as computed without the registry"
    )
    checks = {"blocks": shape.blocks, "accounts": shape.accounts, "large_account_blocks": blocks}
    figures.save(checks, keep=False)


async def _measured(database: Database, shape: Shape, figures: Figures, console: Console) -> int:
    try:
        return await measure(database, shape, figures, console)
    finally:
        await database.close()


if __name__ == "__main__":
    sys.exit(main())
