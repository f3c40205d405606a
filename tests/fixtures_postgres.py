"""A real PostgreSQL for tests. In a conftest:

    from tests.fixtures_postgres import books, make_books, postgres

`postgres` is one server shared by all folders of a session; `books` gives fresh, migrated databases
of both kinds (the test runs on SQLite and on PostgreSQL). A missing server is an error, no skip.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import PostgresServer
from exchange.database import Database, open_database, upgrade

_shared: list[PostgresServer] = []
_users = 0
_numbers = itertools.count()

MakeBooks = Callable[[], Awaitable[Database]]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The shared server, running."""
    global _users  # each conftest which imports the fixture has a definition of its own
    if not _shared:
        server = PostgresServer(Path(tempfile.mkdtemp(prefix="postgres-")))
        server.start()
        _shared.append(server)
    _users += 1
    yield _shared[0]
    _users -= 1
    if not _users:
        _shared.pop().remove()


@pytest.fixture(params=["sqlite", "postgresql"])
async def make_books(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeBooks]:
    """Makes fresh databases with the newest schema, all of one kind."""
    opened: list[Database] = []
    names: list[str] = []

    async def make() -> Database:
        number = next(_numbers)
        if request.param == "sqlite":
            database = open_database(tmp_path / f"books-{number}.sqlite")
        else:
            names.append(f"books_{number}")
            server: PostgresServer = request.getfixturevalue("postgres")
            database = open_database(server.create_database(names[-1]))
        opened.append(database)
        await upgrade(database)
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
