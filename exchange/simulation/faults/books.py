"""The books of a simulated process: SQLite without threads, that waits in virtual time.

A process that died says nothing more to its books: what was not committed is rolled back when its
connections close. The file stands in for the disk.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, event
from sqlalchemy.ext.asyncio import create_async_engine

from exchange.database.connection import Database, begin_sqlite, prepare_sqlite
from exchange.settlement.store import SqliteStore
from exchange.simulation.faults.loop import LOCKED_S, PROCESS, Process

_DIALECTS: dict[str, Dialect] = {}
_COMPILED: dict[Any, Any] = {}
LOCKED_TRIES = 15_000  # thirty virtual seconds, as DATABASE_BUSY_TIMEOUT_MS


class DeadProcessError(sqlite3.OperationalError):
    """A process that died wanted something of its books."""


class _Turns:
    """Stands in for aiosqlite's queue: what is put in is done at once."""

    def put_nowait(self, work: tuple[asyncio.Future[Any], Callable[[], Any]]) -> None:
        """Does it."""
        future, function = work
        future.set_result(function())


class InlineCursor:
    """A cursor whose every call may let others go first."""

    def __init__(self, connection: InlineConnection) -> None:
        self._of = connection
        self._cursor = connection.raw().cursor()
        self.arraysize = 1

    async def __aenter__(self) -> InlineCursor:
        return self

    @property
    def description(self) -> Any:
        """As sqlite3 has it."""
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        """As sqlite3 has it."""
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        """As sqlite3 has it."""
        return self._cursor.lastrowid

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> InlineCursor:
        """Executes, and waits while another connection writes."""
        if sql.startswith("PRAGMA busy_timeout"):
            return self
        for left in reversed(range(LOCKED_TRIES)):
            self._of.check_alive()
            try:
                self._cursor.execute(sql, parameters)  # type: ignore[arg-type]
                break
            except sqlite3.OperationalError as error:
                if not left or "locked" not in str(error):
                    raise
            await asyncio.sleep(LOCKED_S)
        if sql.startswith(("BEGIN", "COMMIT")):
            await asyncio.sleep(0)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> InlineCursor:
        """Executes for each row."""
        self._of.check_alive()
        self._cursor.executemany(sql, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        """Every row."""
        return self._cursor.fetchall()

    async def close(self) -> None:
        """Closes the cursor."""
        self._cursor.close()


class InlineConnection:
    """What SQLAlchemy's dialect for aiosqlite needs of a connection."""

    def __init__(self, path: Path, process: Process | None) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None, timeout=0)
        self._connection: sqlite3.Connection | None = self._conn
        self._process = process
        self._tx = _Turns()

    def raw(self) -> sqlite3.Connection:
        """The connection itself; DeadProcessError of a process that died."""
        self.check_alive()
        return self._conn

    def check_alive(self) -> None:
        """DeadProcessError of a process that died."""
        if self._connection is None or (self._process is not None and not self._process.is_alive):
            self.stop()
            raise DeadProcessError("the process is dead")

    @property
    def isolation_level(self) -> str | None:
        """Always None: the venue says BEGIN itself."""
        return self._conn.isolation_level

    def cursor(self) -> InlineCursor:
        """A new cursor."""
        return InlineCursor(self)

    async def commit(self) -> None:
        """Commits what is open."""
        connection = self.raw()
        if connection.in_transaction:
            await InlineCursor(self).execute("COMMIT")

    async def rollback(self) -> None:
        """Rolls back what is open; a dead process's is rolled back anyway."""
        if self._connection is not None and self._conn.in_transaction:
            self._conn.rollback()

    async def create_function(self, *args: Any, **kw: Any) -> None:
        """A function for SQL."""
        self._conn.create_function(*args, **kw)

    async def close(self) -> None:
        """Closes; what is open is rolled back."""
        self.stop()

    def stop(self) -> None:
        """Closes at once; idempotent."""
        if self._connection is not None:
            self._connection = None
            self._conn.close()


class InlineStore(SqliteStore):
    """Settlement's own connection: it never waits for a lock, the loop tries again."""

    def _connect(self) -> sqlite3.Connection:
        connection = super()._connect()
        connection.execute("PRAGMA busy_timeout = 0")
        return connection

    def abandon(self) -> None:
        """The process died: what it had open is rolled back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Connections:
    """Every connection of one process, so that its death closes them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open: list[InlineConnection] = []
        self.stores: list[InlineStore] = []

    def database(self) -> Database:
        """The books as a service has them."""
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{self.path}",
            pool_size=4,
            async_creator=self._connect,
            execution_options={"compiled_cache": _COMPILED},
        )
        # Statements are kept by dialect: with one for all, each is compiled once, not once a life.
        engine.sync_engine.dialect = _DIALECTS.setdefault("", engine.sync_engine.dialect)
        event.listen(engine.sync_engine, "connect", prepare_sqlite)
        event.listen(engine.sync_engine, "begin", begin_sqlite)
        return Database(engine, "", self.path)

    def store(self, market: int) -> InlineStore:
        """Settlement's store."""
        self.stores.append(InlineStore(str(self.path), market))
        return self.stores[-1]

    async def _connect(self) -> InlineConnection:
        connection = InlineConnection(self.path, PROCESS.get())
        self.open.append(connection)
        return connection

    def close(self) -> None:
        """The process died: its transactions end as if they had never begun."""
        for connection in self.open:
            connection.stop()
        self.open.clear()
        for store in self.stores:
            store.abandon()
        self.stores.clear()
