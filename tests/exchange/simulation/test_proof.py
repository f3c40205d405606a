"""The checks fail when they should: a cent, a tonne, a public level, an unanswered command."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from exchange import topics
from exchange.clock import SystemClock
from exchange.database import Database, open_database
from exchange.database.connection import SQLITE_FILE
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.marketdata.book import encode_record
from exchange.messages.frames import Command, build_commands, command
from exchange.messages.market_data import MarketDataRecord
from exchange.settings import Settings
from exchange.simulation.proof import prove
from exchange.simulation.quotes import read_quotes
from exchange.simulation.run import simulate

FIXTURE = Path(__file__).parent / "quotes.csv"


@pytest.fixture
async def venue(tmp_path: Path) -> AsyncIterator[tuple[Log, Database, Path]]:
    """A venue at rest after one simulated day, sound so far."""
    settings = Settings(data=tmp_path)
    quotes = read_quotes(FIXTURE, date(2019, 3, 4), date(2019, 3, 4))
    await simulate(quotes, settings, SystemClock(), 1, lambda _: None)
    log, database = open_log(settings), open_database(settings.database, tmp_path)
    await log.start()
    assert await failed(log, database) == set()
    yield log, database, tmp_path / SQLITE_FILE
    await log.close()
    await database.close()


async def failed(log: Log, database: Database) -> set[str]:
    return {check.name for check in await prove(log, database, 0) if not check.ok}


async def send(log: Log, kind: Command) -> None:
    frame = build_commands([command(kind)], writer=1, batch=1, time_ns=1)
    await log.append(topics.orders(0), [frame])


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        assert connection.execute(statement).rowcount == 1
    connection.close()


async def test_a_cent_more_in_the_ledger(venue: tuple[Log, Database, Path]) -> None:
    log, database, file = venue
    change(file, "UPDATE balance SET amount = amount + 1 WHERE account = 101 AND asset = 0")
    assert await failed(log, database) == {"engine equals ledger", "cash conserved"}


async def test_a_block_in_other_hands(venue: tuple[Log, Database, Path]) -> None:
    log, database, file = venue
    change(
        file, "UPDATE block SET account = 102 WHERE block_id = (SELECT min(block_id) FROM block)"
    )
    assert await failed(log, database) == {"engine equals registry"}


async def test_a_public_record_is_missing(venue: tuple[Log, Database, Path]) -> None:
    log, database, _ = venue
    await log.append(
        topics.marketdata(0), [encode_record(MarketDataRecord(1, 1_000_000, 1_000_000, ()))]
    )
    assert await failed(log, database) == {"a subscriber's book equals the open orders"}


async def test_unanswered_command_but_no_sign_of_life(
    venue: tuple[Log, Database, Path],
) -> None:
    log, database, _ = venue
    await send(log, Command.CLOCK_TICK)
    await send(log, Command.EPOCH_START)
    assert await failed(log, database) == set()
    await send(log, Command.PHASE_CHANGE)
    assert await failed(log, database) == {"orders computed anew give events"}
