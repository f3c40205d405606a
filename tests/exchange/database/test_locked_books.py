"""SQLite has one writer at a time: who waits for another loses nothing, however long it takes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from exchange.audit.watch import ReconciliationService
from exchange.clock import SystemClock
from exchange.database import connection as opening
from exchange.database.connection import Database, open_database, upgrade
from exchange.registry.service import RegistryService
from exchange.settlement import SettlementService
from exchange.settlement import store as settling
from exchange.settlement.store import Position, open_store
from tests.gateway.conftest import House, demo_venue

TIMEOUT_MS = 100
HELD_S = 8 * TIMEOUT_MS / 1000


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that wait for the lock as long as a test may, and not for half a minute."""
    pragmas = tuple(
        f"PRAGMA busy_timeout = {TIMEOUT_MS}" if "busy_timeout" in pragma else pragma
        for pragma in opening.PRAGMAS
    )
    for module in (opening, settling):
        monkeypatch.setattr(module, "PRAGMAS", pragmas)


@pytest.mark.usefixtures("impatient")
async def test_writers_of_one_process_wait_for_each_other(tmp_path: Path) -> None:
    """A transaction goes through the loop between two statements: a busy one makes it long."""
    books = await _made(tmp_path)
    store = open_store(books, 1)
    begun = asyncio.Event()

    async def slow() -> None:
        async with books.writing():
            begun.set()
            await asyncio.sleep(HELD_S)

    writing = asyncio.create_task(slow())
    await begun.wait()
    assert await store.load() == Position()  # which writes its first row
    await writing
    await store.close()
    await books.close()


@pytest.mark.usefixtures("impatient")
async def test_services_outlast_another_process_that_holds_the_books(tmp_path: Path) -> None:
    """What could not be written is read from the log again, and booked once."""
    venue, keys = demo_venue()
    books = await _made(tmp_path)
    house = House(tmp_path, venue, keys, SystemClock())
    house.books = books
    await house.start()
    services = {}
    for market in venue.market:
        services[market.code] = SettlementService(house.log, market, books)
        house.run(services[market.code])
        house.run(RegistryService(house.log, market, venue, books))
        house.run(ReconciliationService(house.log, market, books, every_s=0.05))
    async with house.client("operator") as operator, asyncio.timeout(30):
        await operator.deposit_cash("EU", 102, "1000.00")
        await _until_settled(services["EU"], books)
        other = sqlite3.connect(books.path or "", isolation_level=None, check_same_thread=False)
        await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
        await operator.deposit_cash("EU", 102, "500.00")
        await asyncio.sleep(HELD_S)
        other.execute("ROLLBACK")
        other.close()
        await operator.deposit_cash("EU", 102, "0.50")
        await _until_settled(services["EU"], books, 3)
    assert _cash(books) == [100_000, 50_000, 50]
    await house.close()
    await books.close()


async def _made(folder: Path) -> Database:
    books = open_database(folder / "books.sqlite")
    await upgrade(books)
    return books


async def _until_settled(service: SettlementService, books: Database, rows: int = 1) -> None:
    while len(_cash(books)) < rows or not service.is_ready:  # a row is seen before it is noted
        await asyncio.sleep(0.02)


def _cash(books: Database) -> list[int]:
    connection = sqlite3.connect(books.path or "")
    query = "SELECT amount FROM transfer WHERE account = 102 ORDER BY event_number"
    found = [amount for (amount,) in connection.execute(query)]
    connection.close()
    return found
