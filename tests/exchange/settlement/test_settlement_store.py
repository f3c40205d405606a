"""A PostgreSQL that says nothing more holds settlement for a bounded time."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from exchange.settings import DATABASE_CLOSE_S_MAX, DATABASE_SILENCE_S_MAX
from exchange.settlement.store import PostgresStore


class Silent:
    """A connection whose server does not answer to its goodbye."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.did: list[Any] = []

    async def close(self, *, timeout: float) -> None:
        self.did.append(timeout)
        raise self.error

    def terminate(self) -> None:
        self.did.append("terminated")


@pytest.mark.parametrize(
    "error", [TimeoutError(), ConnectionResetError(), asyncpg.InterfaceError("is closed")]
)
async def test_a_connection_whose_server_is_silent_is_cut(error: Exception) -> None:
    store, connection = PostgresStore("", 0), Silent(error)
    store._connection = connection
    await store.close()
    await store.close()
    assert connection.did == [DATABASE_CLOSE_S_MAX, "terminated"]


async def test_no_statement_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    async def connect(dsn: str, **options: Any) -> str:
        given.update(options, dsn=dsn)
        return "connection"

    monkeypatch.setattr(asyncpg, "connect", connect)
    assert await PostgresStore("postgresql://books", 0)._open() == "connection"
    assert given == {"dsn": "postgresql://books", "command_timeout": DATABASE_SILENCE_S_MAX}
