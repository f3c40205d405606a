"""A real PostgreSQL for tests. In a conftest:

    from tests.fixtures_postgres import books, make_books, postgres

`postgres` is one server shared by all folders of a session; `books` gives fresh, migrated databases
of both kinds (the test runs on SQLite and on PostgreSQL). A missing server is an error, no skip.

The migrations run once a session for each kind; every database is a copy of what they made. To
copy one costs PostgreSQL more than most tests: one whose schema a test left alone is emptied and
used again.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from deploy.local.postgres import PostgresServer, query
from exchange.database import Database, open_database, upgrade

MIGRATED = "migrated"
"""The PostgreSQL database that the others are copies of: nobody else may be connected to it."""

UNSYNCED = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""What only a crash of the machine would show: no test has one, and each database is soon gone."""

NOTES_DDL = """
CREATE SCHEMA of_tests;
CREATE SEQUENCE of_tests.ddl;
CREATE FUNCTION of_tests.note() RETURNS event_trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM nextval('of_tests.ddl'); END $$;
CREATE EVENT TRIGGER of_tests_note ON ddl_command_end EXECUTE FUNCTION of_tests.note();
"""
"""A copy counts what changes its schema, also what was rolled back: then it is not used again."""

OTHERS = """
SELECT pg_terminate_backend(pid, 5000)::text FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
"""Ends the sessions that a test left open, as a drop would: 'true' for each that is gone."""

EMPTY = """
DO $$
DECLARE written text;
BEGIN
  SET LOCAL session_replication_role = replica; -- past the triggers of what is append-only
  SELECT string_agg(oid::regclass::text, ', ') INTO written FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0;
  IF written IS NOT NULL THEN
    EXECUTE 'TRUNCATE ' || written || ' RESTART IDENTITY CASCADE';
  END IF;
END $$
"""

STATE = """
SELECT (SELECT is_called FROM of_tests.ddl)
  || ' ' || (SELECT string_agg(version_num, ' ') FROM alembic_version)
  || ' ' || (SELECT count(*) FROM pg_statistic WHERE starelid >= 16384)
"""
"""Whether the schema was changed since it was copied, its version, and columns with statistics."""

_shared: list[PostgresServer] = []
_users = 0
_numbers = itertools.count()
_migrated: dict[str, bytes] = {}  # kind of database: the file that its copies begin with, if any
_empty: list[str] = []  # PostgreSQL databases to be used again
_state: list[str] = []  # what STATE says of a new one

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
        _empty.clear()
        _state.clear()


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


async def empty_postgresql(server: PostgresServer) -> str:
    """The name of a database of the server with the newest schema and nothing in it."""
    if "postgresql" not in _migrated:
        database = open_database(server.create_database(MIGRATED))
        await upgrade(database)
        await database.close()
        query(server.port, NOTES_DDL, MIGRATED)
        written = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
        written += "AND relkind = 'r' AND pg_relation_size(oid) > 0"
        assert query(server.port, written, MIGRATED) == ["alembic_version"]
        _state[:] = query(server.port, STATE, MIGRATED)
        _migrated["postgresql"] = b""
    if _empty:
        return _empty.pop()
    name = f"books_{next(_numbers)}"
    server.create_database(name, template=MIGRATED)
    return name


def give_back(server: PostgresServer, name: str) -> None:
    """Empties a database for the next test; drops it if that would not be enough."""
    gone = query(server.port, OTHERS, name)
    if set(gone) <= {"true"} and query(server.port, STATE, name) == _state:
        query(server.port, EMPTY, name)
        _empty.append(name)
    else:
        server.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
async def make_books(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MakeBooks]:
    """Makes fresh databases with the newest schema, all of one kind."""
    opened: list[Database] = []
    names: list[str] = []

    async def make() -> Database:
        if request.param == "sqlite":
            database = await new_sqlite(tmp_path / f"books-{next(_numbers)}.sqlite")
        else:
            server: PostgresServer = request.getfixturevalue("postgres")
            names.append(await empty_postgresql(server))
            database = open_database(server.dsn(names[-1]))
        opened.append(database)
        return database

    yield make
    for database in opened:
        await database.close()
    for name in names:
        give_back(request.getfixturevalue("postgres"), name)


@pytest.fixture
async def books(make_books: MakeBooks) -> Database:
    """One fresh database."""
    return await make_books()
