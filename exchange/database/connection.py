"""Opening the books: one `Database` over SQLite or PostgreSQL, and bringing its schema up to date.

SQLite runs in WAL mode with synchronous=NORMAL: a crash of the process loses nothing, a crash of
the machine may lose the last transactions as a whole. That is enough, because each transaction
holds its own position in the log, and the log, which syncs every record, is read again from there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from importlib import resources
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, column, event, inspect, select, table, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from exchange.database import guards as guards  # registers what the database refuses
from exchange.settings import DATABASE_BUSY_TIMEOUT_MS

SQLITE_FILE = "exchange.sqlite"
PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    f"PRAGMA busy_timeout = {DATABASE_BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",  # so that REPLACE cannot pass the append-only triggers by
)
_WAL_RETRY_MS = 5
_VERSIONS = table("alembic_version", column("version_num"))
UPGRADE_LOCK = 0x43584442  # advisory lock: one process migrates, the others wait


REFUSALS = (sqlite3.OperationalError, OperationalError)
"""What SQLite says where it cannot be written, straight and through SQLAlchemy: see `is_locked`."""


class DatabaseError(Exception):
    """The database cannot be used; the message names it and says what to do."""


class Database:
    """The books in one SQL database; safe for many tasks of one loop. Made by `open_database`."""

    def __init__(self, engine: AsyncEngine, dsn: str, path: Path | None) -> None:
        self.engine = engine
        self.dsn = dsn  # PostgreSQL: address for asyncpg, "" for SQLite
        self.path = path  # SQLite: the file, None for PostgreSQL
        self.turn = asyncio.Lock()  # SQLite: of the writers of this process, in their order

    @property
    def is_sqlite(self) -> bool:
        """True for a SQLite file, False for PostgreSQL."""
        return self.path is not None

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write; commits at the end, rolls back on an exception.

        SQLite has one writer at a time. Those of a process wait in line, for as long as it takes:
        a transaction goes through the loop between two statements, and a busy loop makes it long.
        """
        turn = self.turn if self.is_sqlite else nullcontext()
        async with turn, self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state of the books throughout."""
        async with self.engine.connect() as connection:
            if self.is_sqlite:
                await connection.execution_options(begin="BEGIN")
            else:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            yield connection

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[AsyncConnection]:
        """For single statements, each of which sees one state of the books by itself.

        Nothing is said to begin or end a transaction: a question is one way there and back.
        """
        async with self.engine.connect() as connection:
            if self.is_sqlite:
                await connection.execution_options(begin="")
            else:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    async def close(self) -> None:
        """Closes every connection; idempotent."""
        await self.engine.dispose()


def open_database(target: str | Path, data: Path | None = None) -> Database:
    """The books at `target`: a file, `sqlite` (a file under `data`) or `postgresql://...`.

    Connects at first use. ValueError for any other address.
    """
    if isinstance(target, str) and target.startswith(("postgresql://", "postgres://")):
        address = target.split("://", 1)[1]
        engine = create_async_engine(f"postgresql+asyncpg://{address}", pool_size=4)
        return Database(engine, f"postgresql://{address}", None)
    if target == "sqlite":
        if data is None:
            raise ValueError("database `sqlite` needs the data directory")
        path = data / SQLITE_FILE
    elif isinstance(target, Path):
        path = target
    elif target.startswith("sqlite:///"):
        path = Path(target.removeprefix("sqlite:///"))
    elif "://" in target:
        raise ValueError(f"database {target}: know only `sqlite`, a file, and postgresql://...")
    else:
        path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=4)
    event.listen(engine.sync_engine, "connect", prepare_sqlite)
    event.listen(engine.sync_engine, "begin", begin_sqlite)
    return Database(engine, "", path)


def prepare_sqlite(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Makes a new connection to SQLite what the books need."""
    connection.isolation_level = None  # we say BEGIN ourselves: the driver would say it too late
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        _say(cursor, pragma)
    cursor.close()


def _say(cursor: Any, pragma: str) -> None:
    """Says a pragma, again while another process is just turning a new file to WAL mode.

    SQLite does not wait in this case, whatever the busy timeout. Raises its error after
    DATABASE_BUSY_TIMEOUT_MS.
    """
    for left in reversed(range(DATABASE_BUSY_TIMEOUT_MS // _WAL_RETRY_MS)):
        try:
            cursor.execute(pragma)
            return
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            time.sleep(_WAL_RETRY_MS / 1000)


def is_locked(error: BaseException) -> bool:
    """Whether another process held SQLite's file for too long; nothing was done then. O(1)."""
    cause = error.orig if isinstance(error, OperationalError) else error
    if not isinstance(cause, sqlite3.OperationalError):
        return False
    return getattr(cause, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def begin_sqlite(connection: Connection) -> None:
    """Begins a transaction as the connection's options say."""
    # A writer takes the lock at once: upgrading a read lock later could fail with "locked".
    begin = connection.get_execution_options().get("begin", "BEGIN IMMEDIATE")
    if begin:
        connection.exec_driver_sql(begin)


async def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the schema to `revision` in one transaction; several processes may call it at once.

    Raises DatabaseError when the database cannot be reached or was made by a newer version.
    """
    try:
        async with database.reading() as connection:
            if revision == "head" and await connection.run_sync(_is_newest):
                return
    except OSError as error:
        raise DatabaseError(f"database {database.dsn or database.path}: {error}") from error

    from alembic.util import CommandError  # here: it takes as long as all the rest of a command

    try:
        async with database.writing() as connection:
            if not database.is_sqlite:
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK}
                )
            await connection.run_sync(_run_migrations, revision)
    except OSError as error:
        raise DatabaseError(f"database {database.dsn or database.path}: {error}") from error
    except CommandError as error:
        raise DatabaseError(
            f"database {database.dsn or database.path}: {error}; was it made by a newer version?"
        ) from error


def _is_newest(connection: Connection) -> bool:
    """Whether there is nothing to do, which is so whenever a process starts again."""
    if not inspect(connection).has_table(_VERSIONS.name):
        return False
    return connection.scalars(select(_VERSIONS.c.version_num)).all() == [newest_revision()]


def newest_revision() -> str:
    """The last of the migrations, by the names of their files: `v0019_...`. O(migrations)."""
    versions = resources.files("exchange.database.migrations").joinpath("versions")
    return max(file.name[1:5] for file in versions.iterdir() if file.name.startswith("v"))


def _run_migrations(connection: Connection, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "exchange.database:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
