"""The watch over running books: silent while they agree, loud when a balance or a block moves."""

from __future__ import annotations

import asyncio
import datetime as dt
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import REGISTRY

from exchange.audit.watch import ReconciliationService, compare, look
from exchange.clock import SystemClock
from exchange.database import Database
from exchange.database.connection import open_database
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.positions import project
from exchange.reference.venue import Market
from exchange.settings import Settings
from exchange.simulation.quotes import read_quotes
from exchange.simulation.run import simulate
from tests.behind_the_back import behind_the_back

QUOTES = Path(__file__).parent / "simulation/quotes.csv"
MARKET = Market("CN", 0, "CNY")


class Venue(NamedTuple):
    log: Log
    database: Database


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a venue that traded a few days and came to rest."""
    data = tmp_path_factory.mktemp("watch")
    settings = Settings(data=data, batch_interval_us=0)
    quotes = read_quotes(QUOTES, dt.date(2000, 1, 1), dt.date(2099, 12, 31))
    work = simulate(quotes, settings, SystemClock(), 7, lambda progress: None)
    asyncio.run(work)
    return data


@pytest.fixture
async def venue(traded: Path, tmp_path: Path) -> AsyncIterator[Venue]:
    """A copy of it, so that a test may spoil the books."""
    for file in ("exchange.sqlite", "log.sqlite"):
        with (
            closing(sqlite3.connect(traded / file)) as source,
            closing(sqlite3.connect(tmp_path / file)) as target,
        ):
            source.backup(target)
    log = open_log(Settings(data=tmp_path))
    await log.start()
    database = open_database("sqlite", tmp_path)
    yield Venue(log, database)
    await database.close()
    await log.close()


async def spoil(venue: Venue, statement: str, *values: int) -> None:
    assert venue.database.path is not None
    async with behind_the_back(venue.database.path) as books:
        triggers = books.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            books.execute(f"DROP TRIGGER {name}")
        assert books.execute(statement, values).rowcount > 0


async def watch(venue: Venue) -> dict[str, int]:
    """Check -> differences, of one look."""
    service = ReconciliationService(venue.log, MARKET, venue.database, every_s=0.01)
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    async with asyncio.timeout(60):
        while not service.checks and not running.done():
            await asyncio.sleep(0.01)
    stop.set()
    await running
    return {check.name: check.breaks for check in service.checks}


def gauge(check: str) -> float | None:
    labels = {"market": "CN", "check": check}
    return REGISTRY.get_sample_value("exchange_reconciliation_breaks", labels)


async def test_books_that_agree_are_quiet(venue: Venue) -> None:
    found = await watch(venue)
    assert set(found.values()) == {0}
    assert "engine equals registry" in found
    assert gauge("engine equals ledger") == 0
    assert gauge("engine equals registry") == 0


async def test_one_look_also_adds_up_the_issues(venue: Venue) -> None:
    service = ReconciliationService(venue.log, MARKET, venue.database)
    found = {check.name: check.breaks for check in await service.once(60)}
    assert found["units conserved"] == 0
    await spoil(
        venue, "UPDATE block SET last_serial = last_serial + 1 WHERE state = 1 AND block_id = 1"
    )
    fresh = ReconciliationService(venue.log, MARKET, venue.database)
    found = {check.name: check.breaks for check in await fresh.once(60)}
    assert found["units conserved"] == 1


async def test_a_look_that_cannot_be_taken_says_why(venue: Venue) -> None:
    await spoil(venue, "UPDATE registry_position SET settlement_number = settlement_number - 1")
    service = ReconciliationService(venue.log, MARKET, venue.database)
    with pytest.raises(TimeoutError, match="is the registry running"):
        await service.once(1)


async def test_a_cent_too_many_is_a_break(venue: Venue) -> None:
    await spoil(
        venue,
        "UPDATE balance SET amount = amount + 1 WHERE asset = 0 AND account ="
        " (SELECT min(account) FROM balance WHERE account > 0 AND asset = 0)",
    )
    found = await watch(venue)
    assert found["engine equals ledger"] == 1
    assert found["cash conserved"] == 1
    assert found["engine equals registry"] == 0
    assert gauge("engine equals ledger") == gauge("cash conserved") == 1
    assert gauge("engine equals registry") == 0


async def test_a_block_in_other_hands_is_a_break(venue: Venue) -> None:
    await spoil(
        venue,
        "UPDATE block SET account = 999 WHERE block_id ="
        " (SELECT min(block_id) FROM block WHERE position = 2 AND state = 1)",
    )
    found = await watch(venue)
    assert found["engine equals registry"] == 2
    assert found["engine equals ledger"] == 0


async def test_the_registry_is_compared_only_at_the_same_record(venue: Venue) -> None:
    await spoil(venue, "UPDATE registry_position SET settlement_number = settlement_number - 1")
    assert "engine equals registry" not in await watch(venue)


async def test_a_deposit_on_its_way_is_no_break(venue: Venue) -> None:
    """The registry has moved the units, the engine has not taken them yet."""
    positions = await project(venue.log, 0)
    (account, instrument), _ = next(iter(positions.unit_totals()))
    await spoil(
        venue,
        "UPDATE block SET last_serial = last_serial + 5 WHERE block_id = (SELECT max(block_id)"
        " FROM block WHERE account = ? AND instrument_id = ? AND position = 2 AND state = 1)",
        account,
        instrument,
    )
    differing = compare(await look(venue.database, 0), positions)
    assert sum(check.breaks for check in differing) == 1
    await spoil(
        venue,
        "INSERT INTO deposit (market, ref, instruction_id, account, instrument_id, quantity,"
        " confirmed) VALUES (0, 999999, 1, ?, ?, 5, 0)",
        account,
        instrument,
    )
    agreeing = compare(await look(venue.database, 0), positions)
    assert sum(check.breaks for check in agreeing) == 0
