"""Booking a batch: effects, balances, outbox and position in the log, in one SQL transaction.

Two bodies over one schema, both past SQLAlchemy because this is the hot path: asyncpg with binary
COPY, and sqlite3 in a thread of its own. `open_store` picks.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeVar

import asyncpg
import numpy as np
from numpy.typing import NDArray

from exchange.database.binary_copy import BIGINT, INTEGER, SMALLINT, binary_copy, binary_rows
from exchange.database.connection import PRAGMAS, Database
from exchange.fault_points import reached
from exchange.ledger import CASH, FEE_INCOME, HELD_SETTLEMENT, Leg, Posting
from exchange.messages.frames import GENESIS
from exchange.settings import (
    DATABASE_CLOSE_S_MAX,
    DATABASE_SILENCE_S_MAX,
    SETTLEMENT_SQLITE_CACHE_KIB,
)
from exchange.settlement.delivery import TRADE_LEGS
from exchange.settlement.open_store import (
    accounts_query,
    dollar_mark,
    loaded_from,
    open_query,
    participants_query,
    proposals_query,
    question_mark,
    ref_query,
    resale_query,
    statements,
    trade_from,
    trades_query,
)
from exchange.settlement.open_trades import Changes, Loaded, OpenTrade, no_changes

T = TypeVar("T")
Column = NDArray[np.int64]
NumberedValue = tuple[int, bytes]


class PositionMovedError(Exception):
    """Another process settled this market since: nothing was booked; load and go on from there."""


class Position(NamedTuple):
    """How far settlement came; the columns of `settlement_position` after `market`."""

    topic_offset: int = 0
    input_offset: int = 0
    part: int = 0
    next_event: int = 0
    chain: bytes = GENESIS
    carry: bytes = b""
    number: int = 0
    published: int = 0
    time_ns: int = 0


class Batch(NamedTuple):
    """One transaction: from one position to the next."""

    before: Position
    after: Position
    trades: tuple[Column, ...]  # columns of `trade` after `market`
    transfers: list[tuple[int, ...]]  # rows of `transfer` after `market`
    postings: tuple[Column, ...]  # columns of `posting` after `market`, first those of trades
    others: list[Posting]  # of these, those of no trade
    changes: list[tuple[int, int, int]]  # (account, asset, amount)
    outbox: list[NumberedValue]
    open_trades: Changes = no_changes()


class SettlementStore(Protocol):
    """The books of one market as settlement writes them."""

    async def load(self) -> Position:
        """The position in the books (the first one when there is none yet)."""

    async def open_trades(self, position: Position) -> Loaded:
        """The trades that are not settled, as the books are at `position`."""

    async def trades(self, trade_ids: Collection[int]) -> dict[int, OpenTrade]:
        """Trades by id, as far as there are any."""

    async def write(self, batch: Batch) -> None:
        """Books all of the batch or nothing.

        Raises PositionMovedError when the books are not at `batch.before`, and the database's own
        error when it refuses (a negative balance, a trade booked before).
        """

    async def outbox(self, number: int, count: int) -> list[NumberedValue]:
        """Up to `count` values not yet known to be published, from `number` on, in order."""

    async def close(self) -> None:
        """Releases the connection; idempotent."""


def open_store(database: Database, market: int) -> SettlementStore:
    """The store of a market in a database whose schema is up to date."""
    if database.path is not None:
        return SqliteStore(str(database.path), market, database.turn)
    return PostgresStore(database.dsn, market)


_COLUMNS = ", ".join(Position._fields)
_TRADE_COLUMNS = (
    "market", "trade_id", "instrument_id", "quantity", "price", "buyer_account", "seller_account",
    "buyer_fee", "seller_fee", "buyer_order_id", "seller_order_id", "time_ns",
)  # fmt: skip
_TRANSFER_COLUMNS = (
    "market", "event_number", "account", "asset", "amount", "transfer_id", "time_ns",
)  # fmt: skip
_POSTING_COLUMNS = ("market", "event_number", "leg", "account", "asset", "amount")
# Bytes of each column, as the schema has them.
_TRADE_WIDTHS = (SMALLINT, BIGINT, INTEGER, *[BIGINT] * 9)
_POSTING_WIDTHS = (SMALLINT, BIGINT, SMALLINT, BIGINT, INTEGER, BIGINT)


# Pages that a transaction of SETTLEMENT_BATCH_TRADES_MAX trades makes: written once, at its end.
_CACHE = f"PRAGMA cache_size = -{SETTLEMENT_SQLITE_CACHE_KIB}"


_ROWS_A_STATEMENT = 500
"""Rows that SQLite is handed at once. Around each statement its thread gives the interpreter away
and waits to have it back, up to five milliseconds while the next batch is made: with a row a
statement the two never went on at once."""


def _check_unmoved(market: int, found: tuple[int, ...], before: Position) -> None:
    expected = (before.input_offset, before.part, before.number)
    if found != expected:
        raise PositionMovedError(
            f"market {market}: the books are at input {found[0]} part {found[1]}, number "
            f"{found[2]}, not at input {expected[0]} part {expected[1]}, number {expected[2]}"
        )


class SqliteStore:
    """SQLite: one connection in one thread; a batch is a BEGIN IMMEDIATE.

    What writes waits for its `turn` among the writers of the process: see `Database.writing`.
    """

    def __init__(self, path: str, market: int, turn: asyncio.Lock | None = None) -> None:
        self._turn = turn or asyncio.Lock()
        self._path = path
        self._market = market
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"settlement-{market}")
        self._connection: sqlite3.Connection | None = None
        self._known: set[tuple[int, int]] = set()  # balances that have a row

    async def load(self) -> Position:
        """See SettlementStore."""
        async with self._turn:  # the first time it writes a row
            return await self._call(self._load)

    async def open_trades(self, position: Position) -> Loaded:
        """See SettlementStore."""
        return await self._call(self._open_trades, position)

    async def trades(self, trade_ids: Collection[int]) -> dict[int, OpenTrade]:
        """See SettlementStore."""
        rows = await self._call(self._rows, trades_query(self._market, trade_ids))
        return {row[0]: trade_from(row) for row in rows}

    async def write(self, batch: Batch) -> None:
        """See SettlementStore."""
        async with self._turn:
            await self._call(self._write, batch)

    async def outbox(self, number: int, count: int) -> list[NumberedValue]:
        """See SettlementStore."""
        return await self._call(self._outbox, number, count)

    async def close(self) -> None:
        """See SettlementStore."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await self._call(connection.close)
        self._thread.shutdown(wait=False)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        for pragma in (*PRAGMAS, _CACHE):
            connection.execute(pragma)
        return connection

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._open().execute(query).fetchall()

    def _open_trades(self, position: Position) -> Loaded:
        market = self._market
        return loaded_from(
            self._rows(open_query(market)),
            self._rows(proposals_query(market)),
            self._rows(resale_query(market)),
            self._rows(ref_query(market)),
            self._rows(accounts_query(market)),
            self._rows(participants_query(market)),
        )

    def _load(self) -> Position:
        connection = self._open()
        self._known.clear()
        query = f"SELECT {_COLUMNS} FROM settlement_position WHERE market = ?"  # noqa: S608
        row = connection.execute(query, (self._market,)).fetchone()
        if row is not None:
            return Position(*row)
        first = Position()
        connection.execute(
            f"INSERT OR IGNORE INTO settlement_position (market, {_COLUMNS}) "  # noqa: S608
            f"VALUES ({', '.join('?' * (len(first) + 1))})",
            (self._market, *first),
        )
        return self._load()

    def _outbox(self, number: int, count: int) -> list[NumberedValue]:
        query = (
            "SELECT number, value FROM settlement_outbox WHERE market = ? AND number >= ? "
            "ORDER BY number LIMIT ?"
        )
        return self._open().execute(query, (self._market, number, count)).fetchall()

    def _write(self, batch: Batch) -> None:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write_rows(connection, batch)
            reached("settlement.commit.before")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        reached("settlement.commit.after")
        self._known.update((account, asset) for account, asset, _ in batch.changes)

    def _write_rows(self, connection: sqlite3.Connection, batch: Batch) -> None:
        market = self._market
        found = connection.execute(
            "SELECT input_offset, part, number FROM settlement_position WHERE market = ?", (market,)
        ).fetchone()
        _check_unmoved(market, found, batch.before)
        _insert_columns(connection, "trade", _TRADE_COLUMNS, market, batch.trades)
        if batch.transfers:
            connection.executemany(_insert("transfer", _TRANSFER_COLUMNS, market), batch.transfers)
        for statement, rows in statements(market, batch.open_trades, question_mark):
            connection.executemany(statement, rows)
        trade_ids = batch.trades[0]
        if len(trade_ids):
            between = (market, int(trade_ids[0]), int(trade_ids[-1]))
            connection.execute(
                _POSTINGS_OF_HELD if batch.open_trades.trades else _POSTINGS_OF_TRADES, between
            )
        if batch.others:
            connection.executemany(_insert("posting", _POSTING_COLUMNS, market), batch.others)
        new = [(market, *key[:2]) for key in batch.changes if key[:2] not in self._known]
        if new:
            connection.executemany("INSERT OR IGNORE INTO balance VALUES (?, ?, ?, 0)", new)
        for at in range(0, len(batch.changes), _ROWS_A_STATEMENT):
            changes = batch.changes[at : at + _ROWS_A_STATEMENT]
            connection.execute(
                _add_to_balances(market, len(changes)), [value for row in changes for value in row]
            )
        connection.execute(
            "DELETE FROM settlement_outbox WHERE market = ? AND number < ?",
            (market, batch.after.published),
        )
        connection.executemany(
            f"INSERT INTO settlement_outbox VALUES ({market}, ?, ?)",  # noqa: S608
            batch.outbox,
        )
        connection.execute(_MOVE, (*batch.after, market))


_ASSIGNMENTS = ", ".join(f"{name} = ?" for name in Position._fields)
_MOVE = f"UPDATE settlement_position SET {_ASSIGNMENTS} WHERE market = ?"  # noqa: S608
_POSTINGS_OF_TRADES = f"""
INSERT INTO posting (market, event_number, leg, account, asset, amount)
SELECT market, trade_id, leg, account, asset, amount FROM (
  SELECT market, trade_id, legs.column1 AS leg,
    CASE legs.column1 WHEN {Leg.FEE_INCOME} THEN {FEE_INCOME}
      WHEN {Leg.BUYER_CASH} THEN buyer_account WHEN {Leg.BUYER_UNITS} THEN buyer_account
      WHEN {Leg.BUYER_FEE} THEN buyer_account ELSE seller_account END AS account,
    CASE legs.column1 WHEN {Leg.SELLER_UNITS} THEN instrument_id
      WHEN {Leg.BUYER_UNITS} THEN instrument_id ELSE {CASH} END AS asset,
    CASE legs.column1 WHEN {Leg.BUYER_CASH} THEN -price * quantity
      WHEN {Leg.SELLER_CASH} THEN price * quantity WHEN {Leg.SELLER_UNITS} THEN -quantity
      WHEN {Leg.BUYER_UNITS} THEN quantity WHEN {Leg.BUYER_FEE} THEN -buyer_fee
      WHEN {Leg.SELLER_FEE} THEN -seller_fee ELSE buyer_fee + seller_fee END AS amount
  FROM trade CROSS JOIN (VALUES {", ".join(f"({leg})" for leg in range(TRADE_LEGS))}) AS legs
  WHERE market = ? AND trade_id BETWEEN ? AND ?
) WHERE amount <> 0
"""  # noqa: S608
"""The postings of trades as `ledger.postings_of` gives them, made where the trades are: SQLite
takes longer to be handed a row than to make it. A CROSS JOIN keeps its order, so the rows come by
key without a sort, which took a third of the time. A test and the benchmark prove them equal."""

_IS_HELD = (
    "EXISTS (SELECT 1 FROM trade_settlement AS held WHERE held.market = trade.market "
    "AND held.trade_id = trade.trade_id)"
)
_POSTINGS_OF_HELD = _POSTINGS_OF_TRADES.replace(
    f"WHEN {Leg.BUYER_CASH} THEN buyer_account WHEN {Leg.BUYER_UNITS} THEN buyer_account",
    f"WHEN {Leg.BUYER_CASH} THEN buyer_account WHEN {Leg.SELLER_UNITS} THEN seller_account "
    f"WHEN {Leg.BUYER_UNITS} THEN buyer_account + {HELD_SETTLEMENT} * {_IS_HELD}",
).replace(
    "ELSE seller_account END AS account",
    f"ELSE seller_account + {HELD_SETTLEMENT} * {_IS_HELD} END AS account",
)
"""The same when some of the trades are settled later."""


@functools.lru_cache(maxsize=64)
def _insert(table: str, columns: tuple[str, ...], market: int, rows: int = 1) -> str:
    marks = ", ".join([f"({market}, {', '.join('?' * (len(columns) - 1))})"] * rows)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES {marks}"  # noqa: S608


def _insert_columns(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    market: int,
    rows: tuple[Column, ...],
) -> None:
    """Inserts columns, many rows a statement. O(rows)."""
    if not len(rows[0]):
        return
    values = np.stack(rows, axis=1)
    for at in range(0, len(values), _ROWS_A_STATEMENT):
        some = values[at : at + _ROWS_A_STATEMENT]
        connection.execute(_insert(table, columns, market, len(some)), some.ravel().tolist())


@functools.lru_cache(maxsize=64)
def _add_to_balances(market: int, rows: int) -> str:
    """The statement that changes so many balances by (account, asset, amount)."""
    return (
        "UPDATE balance SET amount = amount + change.column3 "  # noqa: S608
        f"FROM (VALUES {', '.join(['(?, ?, ?)'] * rows)}) AS change "
        f"WHERE balance.market = {market} AND balance.account = change.column1 "
        "AND balance.asset = change.column2"
    )


class PostgresStore:
    """PostgreSQL: binary COPY of columns, one UPDATE from arrays for balances, a row lock."""

    def __init__(self, dsn: str, market: int) -> None:
        self._dsn = dsn
        self._market = market
        self._connection: Any = None
        self._known: set[tuple[int, int]] = set()

    async def load(self) -> Position:
        """See SettlementStore."""
        connection = await self._open()
        self._known.clear()
        first = Position()
        marks = ", ".join(f"${at}" for at in range(1, len(first) + 2))
        await connection.execute(
            f"INSERT INTO settlement_position (market, {_COLUMNS}) VALUES ({marks}) "  # noqa: S608
            "ON CONFLICT DO NOTHING",
            self._market,
            *first,
        )
        row = await connection.fetchrow(
            f"SELECT {_COLUMNS} FROM settlement_position WHERE market = $1",  # noqa: S608
            self._market,
        )
        return Position(*row)

    async def open_trades(self, position: Position) -> Loaded:
        """See SettlementStore."""
        connection, market = await self._open(), self._market
        return loaded_from(
            await connection.fetch(open_query(market)),
            await connection.fetch(proposals_query(market)),
            await connection.fetch(resale_query(market)),
            await connection.fetch(ref_query(market)),
            await connection.fetch(accounts_query(market)),
            await connection.fetch(participants_query(market)),
        )

    async def trades(self, trade_ids: Collection[int]) -> dict[int, OpenTrade]:
        """See SettlementStore."""
        rows = await (await self._open()).fetch(trades_query(self._market, trade_ids))
        return {row[0]: trade_from(row) for row in rows}

    async def outbox(self, number: int, count: int) -> list[NumberedValue]:
        """See SettlementStore."""
        rows = await (await self._open()).fetch(
            "SELECT number, value FROM settlement_outbox WHERE market = $1 AND number >= $2 "
            "ORDER BY number LIMIT $3",
            self._market,
            number,
            count,
        )
        return [(row[0], row[1]) for row in rows]

    async def close(self) -> None:
        """See SettlementStore."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                await connection.close(timeout=DATABASE_CLOSE_S_MAX)
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()  # what was not committed is rolled back there

    async def _open(self) -> Any:
        if self._connection is None:
            self._connection = await asyncpg.connect(
                self._dsn, command_timeout=DATABASE_SILENCE_S_MAX
            )
        return self._connection

    async def write(self, batch: Batch) -> None:
        """See SettlementStore."""
        connection = await self._open()
        async with connection.transaction():
            await self._write_rows(connection, batch)
        self._known.update((account, asset) for account, asset, _ in batch.changes)

    async def copy(self, connection: Any, batch: Batch, prefix: str = "") -> None:
        """Writes the batch's trades and postings, into tables of other names with a prefix."""
        for table, columns, widths, rows in (
            ("trade", _TRADE_COLUMNS, _TRADE_WIDTHS, batch.trades),
            ("posting", _POSTING_COLUMNS, _POSTING_WIDTHS, batch.postings),
        ):
            columns_of: tuple[Column | int, ...] = (self._market, *rows)
            fields = list(zip(widths, columns_of, strict=True))
            values = binary_rows(fields, len(rows[0]))
            if values:
                await connection.copy_to_table(
                    prefix + table, columns=columns, source=binary_copy(values), format="binary"
                )

    async def _write_rows(self, connection: Any, batch: Batch) -> None:
        market = self._market
        found = await connection.fetchrow(
            "SELECT input_offset, part, number FROM settlement_position WHERE market = $1 "
            "FOR UPDATE",
            market,
        )
        _check_unmoved(market, tuple(found), batch.before)
        await self.copy(connection, batch)
        for table, columns, rows in (
            ("transfer", _TRANSFER_COLUMNS, batch.transfers),
            ("settlement_outbox", ("market", "number", "value"), batch.outbox),
        ):
            if rows:
                await connection.copy_records_to_table(
                    table, columns=columns, records=[(market, *row) for row in rows]
                )
        for statement, changed in statements(market, batch.open_trades, dollar_mark):
            await connection.executemany(statement, changed)
        await self._add_to_balances(connection, batch.changes)
        await connection.execute(
            "DELETE FROM settlement_outbox WHERE market = $1 AND number < $2",
            market,
            batch.after.published,
        )
        assignments = ", ".join(f"{name} = ${at}" for at, name in enumerate(Position._fields, 2))
        await connection.execute(
            f"UPDATE settlement_position SET {assignments} WHERE market = $1",  # noqa: S608
            market,
            *batch.after,
        )

    async def _add_to_balances(self, connection: Any, changes: list[tuple[int, int, int]]) -> None:
        if not changes:
            return
        new = [key[:2] for key in changes if key[:2] not in self._known]
        if new:
            # Zeros first: an upsert would check "not overdrawn" on the change instead of the sum.
            await connection.execute(
                "INSERT INTO balance (market, account, asset, amount) "
                "SELECT $1, account, asset, 0 FROM unnest($2::bigint[], $3::int[]) "
                "AS new (account, asset) ON CONFLICT DO NOTHING",
                self._market,
                [key[0] for key in new],
                [key[1] for key in new],
            )
        await connection.execute(
            "UPDATE balance SET amount = balance.amount + change.amount "
            "FROM unnest($2::bigint[], $3::int[], $4::bigint[]) AS change (account, asset, amount) "
            "WHERE balance.market = $1 AND balance.account = change.account "
            "AND balance.asset = change.asset",
            self._market,
            *(list(column) for column in zip(*changes, strict=True)),
        )
