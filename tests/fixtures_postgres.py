"""A real PostgreSQL for tests. In a conftest:

    from tests.fixtures_postgres import books, make_books, postgres

`postgres` is one server shared by all folders of a session; `books` gives fresh, migrated databases
of both kinds (the test runs on SQLite and on PostgreSQL). A missing server is an error, no skip.

The migrations run once a session for each kind; every database is a copy of what they made.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import PostgresServer
from exchange.database import Database, open_database, upgrade

MIGRATED = "migrated"
"""The PostgreSQL database that the others are copies of: nobody else may be connected to it."""

UNSYNCED = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""What only a crash of the machine would show: no test has one, and each database is soon gone."""

_shared: list[PostgresServer] = []
_users = 0
_numbers = itertools.count()
_migrated: dict[str, bytes] = {}  # kind of database: the file that its copies begin with, if any

MakeBooks = Callable[[], Awaitable[Database]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The shared server, running."""
    global _users  # each conftest which imports the fixture has a definition of its own
    if not _shared:
        data = Path(tempfile.mkdtemp(prefix="postgres-"))
        server = PostgresServer(data, settings=UNSYNCED)
        server.start()
        _shared.append(server)
    _users += 1
    yield _shared[0]
    _users -= 1
    if not _users:
        _shared.pop().remove()
        _migrated.pop("postgresql", None)


async def new_sqlite(path: Path) -> Database:
    """A new file with the newest schema."""
    if "sqlite" not in _migrated:
        database = open_database(path.with_name(f"{path.name}-{MIGRATED}"))
        await upgrade(database)
        await database.close()
        assert database.path is not None
        _migrated["sqlite"] = database.path.read_bytes()
    path.write_bytes(_migrated["sqlite"])
    return open_database(path)


async def new_postgresql(server: PostgresServer, name: str) -> Database:
    """A new database of the server with the newest schema."""
    if "postgresql" not in _migrated:
        database = open_database(server.create_database(MIGRATED))
        await upgrade(database)
        await database.close()
        _migrated["postgresql"] = b""
    return open_database(server.create_database(name, template=MIGRATED))


@pytest.fixture(params=["sqlite", "postgresql"])
async def make_books(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeBooks]:
    """Makes fresh databases with the newest schema, all of one kind."""
    opened: list[Database] = []
    names: list[str] = []

    async def make() -> Database:
        number = next(_numbers)
        if request.param == "sqlite":
            database = await new_sqlite(tmp_path / f"books-{number}.sqlite")
        else:
            names.append(f"books_{number}")
            server: PostgresServer = request.getfixturevalue("postgres")
            database = await new_postgresql(server, names[-1])
        opened.append(database)
        return database

    yield make
    for database in opened:
        await database.close()
    for name in names:
        request.getfixturevalue("postgres").drop_database(name)


@pytest.fixture
async def books(make_books: MakeBooks) -> Database:
    """One fresh database."""
    return await make_books()
