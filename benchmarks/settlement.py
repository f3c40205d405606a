"""Settlement: sealed event frames in memory in, booked trades and published records out.

`python -m benchmarks.settlement [--trades N] [--database sqlite|postgresql|both] [--rounds N]`
prints trades a second through the real path: chain check, decoding, double entry, one transaction a
batch, outbox, publishing (to memory). It checks every balance against figures computed without the
ledger, proves the ledger from its postings, and both databases must end with the same hash of all
tables. Beside it stands what a bare COPY of the same rows of trades and postings reaches in the
same run (SQLite: `executemany`). Results go to benchmarks/results/settlement.json.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.figures import Figures, Target, wide
from deploy.local.postgres import PostgresServer
from exchange.database import Database, open_database, table_hash, upgrade
from exchange.database.connection import PRAGMAS
from exchange.database.schema import SETTLEMENT_TABLES
from exchange.ledger import CASH, EXTERNAL_CASH, EXTERNAL_UNITS, FEE_INCOME
from exchange.log.protocol import Log, Partition, Record
from exchange.messages.frames import (
    EVENT,
    FILL,
    GENESIS,
    Event,
    Liquidity,
    OrderStatus,
    Side,
    seal_events,
)
from exchange.reference.venue import Market
from exchange.settings import READ_RECORDS_MAX, SETTLEMENT_BATCH_TRADES_MAX
from exchange.settlement import SettlementService
from exchange.settlement.open_trades import Loaded, OpenTrade
from exchange.settlement.queries import ledger_balances, prove_ledger
from exchange.settlement.store import Batch, NumberedValue, Position, PostgresStore

AIMS: dict[tuple[str, str], float] = {
    ("sqlite", "booked"): 100_000,
    ("postgresql", "booked"): 80_000,
    ("postgresql", "over bare rows"): 0.8,
}
NAMES = {
    "booked": "trades/s",
    "bare rows": "trades/s",
    "over bare rows": "x",
    "our CPU": "us/trade",
    "a read, p50": "ms",
}
TARGETS = [
    Target(f"{kind}, {name}", unit, AIMS.get((kind, name)), is_ceiling=unit in ("us/trade", "ms"))
    for kind in ("sqlite", "postgresql")
    for name, unit in NAMES.items()
]
MARKET = Market("EU", 0, "EUR")
ACCOUNTS = 1_000
INSTRUMENTS = (1, 2, 3)
CASH_EACH = 10**12  # minor units
UNITS_EACH = 10**8  # tonnes of each instrument
TRADES_A_RECORD = 100
MAKER_BP, TAKER_BP = 2, 3
Balances = dict[tuple[int, int], int]


class MemoryLog:
    """Takes what settlement publishes; the rest of `Log` is not needed here."""

    def __init__(self) -> None:
        self.values = 0

    async def append(self, _partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Counts."""
        first = self.values
        self.values += len(values)
        return list(range(first, self.values))


class Flow(NamedTuple):
    """Records of `events`, and the balances that must come out."""

    records: list[Record]
    balances: Balances


def make_flow(trades: int, seed: int) -> Flow:
    """Accounts with cash and units, then random trades among them, sealed as the engine would."""
    dice = np.random.default_rng(seed)
    bodies = [_opening()]
    balances: Balances = {(FEE_INCOME, CASH): 0, (EXTERNAL_CASH, CASH): -CASH_EACH * ACCOUNTS}
    for account in range(1, ACCOUNTS + 1):
        balances[account, CASH] = CASH_EACH
        balances |= {(account, instrument): UNITS_EACH for instrument in INSTRUMENTS}
    balances |= {(EXTERNAL_UNITS, i): -UNITS_EACH * ACCOUNTS for i in INSTRUMENTS}
    for start in range(0, trades, TRADES_A_RECORD):
        body = _fills(min(TRADES_A_RECORD, trades - start), dice)
        _expect(balances, body)
        bodies.append(body.tobytes())
    records: list[Record] = []
    chain, event = GENESIS, 0
    for offset, data in enumerate(bodies):
        parts, chain = seal_events(
            data, input_offset=offset, first_event=event, epoch=1, time_ns=offset, chain=chain
        )
        records += [Record(len(records) + at, offset, part) for at, part in enumerate(parts)]
        event += len(data) // EVENT.itemsize
    return Flow(records, balances)


def _opening() -> bytes:
    rows = np.zeros(ACCOUNTS * (2 + len(INSTRUMENTS)), EVENT).reshape(ACCOUNTS, -1)
    rows["account_id"] = np.arange(1, ACCOUNTS + 1)[:, None]
    rows["kind"][:, 0], rows["kind"][:, 1] = Event.ACCOUNT_OPENED, Event.CASH_DEPOSITED
    rows["kind"][:, 2:] = Event.UNITS_DEPOSITED
    rows["instrument_id"][:, 2:] = INSTRUMENTS
    rows["quantity"][:, 1], rows["quantity"][:, 2:] = CASH_EACH, UNITS_EACH
    return rows.tobytes()


def _fills(count: int, dice: np.random.Generator) -> NDArray[Any]:
    """The two fills of each of `count` trades, maker first."""
    rows = np.zeros((count, 2), FILL)
    rows["kind"], rows["time_in_force"] = Event.FILL, OrderStatus.FILLED
    rows["order_type"] = (Liquidity.MAKER, Liquidity.TAKER)
    buys = dice.integers(0, 2, count)
    rows["side"][:, 0] = np.where(buys, Side.BUY, Side.SELL)
    rows["side"][:, 1] = np.where(buys, Side.SELL, Side.BUY)
    maker = dice.integers(0, ACCOUNTS, count)
    rows["account_id"][:, 0] = maker + 1
    rows["account_id"][:, 1] = (maker + dice.integers(1, ACCOUNTS, count)) % ACCOUNTS + 1
    rows["instrument_id"] = dice.choice(INSTRUMENTS, count)[:, None]
    rows["quantity"] = dice.integers(1, 500, count)[:, None]
    rows["price"] = dice.integers(6_000, 9_000, count)[:, None]
    value = rows["quantity"] * rows["price"]
    rows["fee"] = (value * np.array([MAKER_BP, TAKER_BP]) + 5_000) // 10_000
    rows["order_id"] = dice.integers(1, 2**40, (count, 2))
    rows["contra_order_id"] = rows["order_id"][:, ::-1]
    return rows


def _expect(balances: Balances, fills: NDArray[Any]) -> None:
    """Adds trades to balances one by one, in plain integers: nothing of the ledger's code."""
    for pair in fills:
        for fill in pair:
            account, instrument = int(fill["account_id"]), int(fill["instrument_id"])
            quantity, fee = int(fill["quantity"]), int(fill["fee"])
            sign = 1 if fill["side"] == Side.BUY else -1
            balances[account, CASH] -= sign * quantity * int(fill["price"]) + fee
            balances[account, instrument] += sign * quantity
            balances[FEE_INCOME, CASH] += fee


class Recorder:
    """A store that keeps the batches: what is to be written, without writing it."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    async def load(self) -> Position:
        """The first position."""
        return Position()

    async def open_trades(self, _position: Position) -> Loaded:
        """None."""
        return Loaded([], [], {})

    async def trades(self, _trade_ids: Collection[int]) -> dict[int, OpenTrade]:
        """None."""
        return {}

    async def write(self, batch: Batch) -> None:
        """Keeps it."""
        self.batches.append(batch)

    async def outbox(self, _number: int, _count: int) -> list[NumberedValue]:
        """Nothing."""
        return []

    async def close(self) -> None:
        """Nothing."""


async def batches_of(flow: Flow) -> list[Batch]:
    """The batches that the flow makes."""
    recorder = Recorder()
    database = open_database(Path("unused.sqlite"))
    service = SettlementService(_as_log(MemoryLog()), MARKET, database, store=recorder)
    await service.load()
    for at in range(0, len(flow.records), READ_RECORDS_MAX):
        await service.settle(flow.records[at : at + READ_RECORDS_MAX])
    await database.close()
    return recorder.batches


async def bare(flow: Flow, database: Database) -> float:
    """Seconds that the same rows of trades and postings take, and nothing else.

    The same batches, each one transaction, into tables with the same keys: COPY on PostgreSQL,
    `executemany` on SQLite.
    """
    batches = await batches_of(flow)
    if database.path is not None:
        return bare_sqlite(batches, str(database.path))
    store = PostgresStore(database.dsn, MARKET.partition)
    connection = await asyncpg.connect(database.dsn)
    for table in ("trade", "posting"):
        await connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
    begin = time.perf_counter()
    for batch in batches:
        async with connection.transaction():
            await store.copy(connection, batch, "bare_")
    took = time.perf_counter() - begin
    await connection.close()
    return took


def bare_sqlite(batches: list[Batch], path: str) -> float:
    """See `bare`."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in PRAGMAS:
        connection.execute(pragma)
    inserts = {}
    for table, keys in (("trade", "market, trade_id"), ("posting", "market, event_number, leg")):
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        columns = ", ".join(f"{name} INTEGER NOT NULL" for name in names)
        connection.execute(
            f"CREATE TABLE bare_{table} ({columns}, PRIMARY KEY ({keys})) WITHOUT ROWID"
        )
        marks = ", ".join("?" * (len(names) - 1))
        inserts[table] = f"INSERT INTO bare_{table} VALUES ({MARKET.partition}, {marks})"
    begin = time.perf_counter()
    for batch in batches:
        connection.execute("BEGIN IMMEDIATE")
        for table, rows in (("trade", batch.trades), ("posting", batch.postings)):
            connection.executemany(
                inserts[table], zip(*(column.tolist() for column in rows), strict=True)
            )
        connection.execute("COMMIT")
    took = time.perf_counter() - begin
    connection.close()
    return took


async def settle(flow: Flow, trades: int, database: Database, progress: Progress) -> dict[str, Any]:
    """Settles the flow into a fresh database; AssertionError when the end state is wrong."""
    await upgrade(database)
    log = MemoryLog()
    service = SettlementService(_as_log(log), MARKET, database)
    await service.load()
    stop, took = asyncio.Event(), []
    await service.settle(flow.records[:1], stop)
    bare_s = await bare(flow, database)
    task = progress.add_task("sqlite" if database.is_sqlite else "postgresql", total=trades)
    cpu, begin = time.process_time(), time.perf_counter_ns()
    for at in range(1, len(flow.records), READ_RECORDS_MAX):
        before = time.perf_counter_ns()
        await service.settle(flow.records[at : at + READ_RECORDS_MAX], stop, goes_on=True)
        took.append(time.perf_counter_ns() - before)
        progress.update(task, advance=READ_RECORDS_MAX * TRADES_A_RECORD)
    await service.finish(stop)
    elapsed, cpu = time.perf_counter_ns() - begin, time.process_time() - cpu
    # delivered again: nothing may change
    assert await service.settle(flow.records[-READ_RECORDS_MAX:], stop) == 0
    assert log.values == len(flow.records)
    await service.close()
    found = await ledger_balances(database, MARKET.partition)
    assert found == {key: amount for key, amount in flow.balances.items() if amount}
    proofs = await prove_ledger(database, MARKET.partition)
    assert all(proof.is_ok for proof in proofs), proofs
    batches = np.array(took) / 1e6
    return {
        "booked": trades * 1e9 / elapsed,
        "bare rows": trades / bare_s,
        "over bare rows": bare_s * 1e9 / elapsed,
        "our CPU": cpu / trades * 1e6,
        "a read, p50": float(np.percentile(batches, 50)),
        "table_hash": (await table_hash(database, MARKET.partition, SETTLEMENT_TABLES)).hex(),
        "proofs": {proof.name: proof.detail for proof in proofs},
    }


def _as_log(log: Any) -> Log:
    found: Log = log
    return found


async def measured(kind: str, flow: Flow, trades: int, progress: Progress) -> dict[str, Any]:
    """The flow settled into a fresh database of a kind, which is gone afterwards."""
    with ExitStack() as stack:
        if kind == "postgresql":
            server = PostgresServer(Path(tempfile.mkdtemp(prefix="settlement-pg-")))
            stack.callback(server.remove)
            server.start()
            database = open_database(server.create_database("settlement"))
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="settlement-"))
            database = open_database(Path(folder) / "books.sqlite")
        try:
            return await settle(flow, trades, database, progress)
        finally:
            await database.close()


def run(trades: int, kinds: list[str], seed: int, rounds: int, figures: Figures) -> dict[str, Any]:
    """Every kind of database on one flow, round by round; all must end the same. What was checked.

    AssertionError when an end state is wrong or two differ.
    """
    flow = make_flow(trades, seed)
    checks: dict[str, Any] = {
        "trades": trades,
        "accounts": ACCOUNTS,
        "trades_a_record": TRADES_A_RECORD,
        "trades_a_transaction": SETTLEMENT_BATCH_TRADES_MAX,
        "seed": seed,
    }
    hashes = set()
    with Progress(console=wide(), transient=True) as progress:
        for _ in range(rounds):
            for kind in kinds:
                found = asyncio.run(measured(kind, flow, trades, progress))
                figures.add({f"{kind}, {name}": found[name] for name in NAMES})
                hashes.add(found["table_hash"])
                checks[kind] = found["proofs"]
    assert len(hashes) == 1
    return checks | {"table_hash": hashes.pop()}


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=1_000_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="add the figures to the history")
    given = parser.parse_args()
    if given.trades < 1 or given.rounds < 1:
        parser.error("--trades and --rounds must be at least 1")
    kinds = ["sqlite", "postgresql"] if given.database == "both" else [given.database]
    figures = Figures("settlement", TARGETS)
    checks = run(given.trades, kinds, given.seed, given.rounds, figures)
    console = wide()
    figures.show(console)
    console.print(
        f"{given.trades:,} trades, {SETTLEMENT_BATCH_TRADES_MAX:,} a transaction: every balance is "
        f"as computed without the ledger, every proof holds; end state {checks['table_hash'][:16]}"
    )
    figures.save(checks, given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
