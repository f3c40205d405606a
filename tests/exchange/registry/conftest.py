from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from exchange import topics
from exchange.database import Database
from tests.books_desk import CN, Desk, check
from tests.fixtures_postgres import books, make_books, postgres

__all__ = ["books", "make_books", "postgres"]


@pytest.fixture
async def market_log(memory_log: Any) -> Any:
    await memory_log.create(topics.of_market(CN))
    return memory_log


@pytest.fixture
async def desk(market_log: Any, books: Database) -> AsyncIterator[Desk]:
    desk = Desk(market_log, books)
    await desk.open()
    yield desk
    await check(desk)
    await desk.close()


@pytest.fixture(autouse=True)
def few_blocks_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No block stays in memory once it is written, and they are read one by one.

    So whatever takes a block that nobody had read for it fails, in every test of this folder.
    """
    monkeypatch.setattr("exchange.registry.service.REGISTRY_BLOCKS_MAX", 0)
    monkeypatch.setattr("exchange.registry.store.REGISTRY_READ_BLOCKS", 1)
