"""Making the books again from the log, to compare them with the ones in use.

Ledger and registry are pure functions of `events`, so the same log gives the same tables, row for
row, whatever crashed in between: `database.table_hash` of both must be equal. The two need not
stand at the same record: each is made anew to its own place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange import topics
from exchange.database import Database, rows_hash, table_hash, upgrade
from exchange.database.schema import registry_position, settlement_position
from exchange.log.protocol import Log, LogError
from exchange.reference.venue import Market, Venue
from exchange.registry.service import RegistryService
from exchange.rulebook import Rulebook
from exchange.settings import APPEND_TIMEOUT_S, READ_RECORDS_MAX
from exchange.settlement.service import SettlementService


class Place(NamedTuple):
    """How far the books of a market are."""

    events: int  # the ledger has the records of `events` below this offset
    settlements: int  # the registry has the records of `settlements` below this number


async def stand_of(database: Database, market: int) -> tuple[Place, bytes]:
    """Where the books of a market are, and the hash of their rows there, in one transaction.

    Right at any moment, also while the venue runs. O(rows).
    """
    async with database.reading() as connection:
        return await _place_on(connection, market), await rows_hash(connection, market)


async def place_of(database: Database, market: int) -> Place:
    """Where the books of a market are. O(1)."""
    async with database.reading() as connection:
        return await _place_on(connection, market)


async def _place_on(connection: AsyncConnection, market: int) -> Place:
    ledger, registry = settlement_position.c, registry_position.c
    events = select(ledger.topic_offset).where(ledger.market == market)
    settlements = select(registry.settlement_number).where(registry.market == market)
    return Place(await connection.scalar(events) or 0, await connection.scalar(settlements) or 0)


async def rebuild(
    log: Log,
    market: Market,
    venue: Venue,
    database: Database,
    *,
    rulebook: Rulebook | None = None,
    until: Place | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Fills a fresh database from `events` of a market, and returns its `table_hash`.

    Goes as far as `until` (default: the end of `events` now); writes nothing to the log.
    `progress(done, all)` is called after each batch. Raises ValueError when the database has books
    of this market already, LogError when the log ends early, and what the services raise.
    """
    await upgrade(database)
    settlement = SettlementService(
        log, market, database, instruments=venue.instruments_of(market.code)
    )
    registry = RegistryService(log, market, venue, database, rulebook=rulebook)
    try:
        if (await settlement.load()).input_offset or (await registry.load()).settlement_number:
            raise ValueError(f"the database holds books of market {market.code} already")
        events = topics.events(market.partition)
        end = await log.end(events) if until is None else until.events
        reader = await log.open_reader(events, 0)
        try:
            while reader.position < end:
                wanted = min(READ_RECORDS_MAX, end - reader.position)
                records = await reader.read(wanted, APPEND_TIMEOUT_S)
                if not records:
                    raise LogError(f"events of {market.code} end at {reader.position}, not {end}")
                await settlement.settle(records)
                await _pass_on(settlement, registry, None if until is None else until.settlements)
                if progress is not None:
                    progress(reader.position, end)
        finally:
            await reader.close()
    finally:
        await settlement.close()
    return await table_hash(database, market.partition)


async def _pass_on(
    settlement: SettlementService, registry: RegistryService, until: int | None
) -> None:
    made = settlement.position.number
    end = made if until is None else min(made, until)
    while registry.position.settlement_number < end:
        values = await settlement.outbox(registry.position.settlement_number)
        await registry.register([value for value in values if value[0] < end])
        registry.forget_outbox(registry.position.number)
        settlement.forget_outbox(registry.position.settlement_number)
