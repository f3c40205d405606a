"""Making the books again from the log, to compare them with the ones in use.

Ledger and registry are pure functions of `events`, so the same log gives the same tables, row for
row, whatever crashed in between: `database.table_hash` of both must be equal.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange import topics
from exchange.database import Database, table_hash, upgrade
from exchange.log.protocol import Log, LogError
from exchange.reference.venue import Market, Venue
from exchange.registry.service import RegistryService
from exchange.rulebook import Rulebook
from exchange.settings import APPEND_TIMEOUT_S, READ_RECORDS_MAX
from exchange.settlement.service import SettlementService


async def rebuild(
    log: Log,
    market: Market,
    venue: Venue,
    database: Database,
    *,
    rulebook: Rulebook | None = None,
    until: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """Fills a fresh database from `events` of a market, and returns its `table_hash`.

    Reads records below offset `until` (default: the topic's end now); writes nothing to the log.
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
        end = await log.end(events) if until is None else until
        reader = await log.open_reader(events, 0)
        try:
            while reader.position < end:
                wanted = min(READ_RECORDS_MAX, end - reader.position)
                records = await reader.read(wanted, APPEND_TIMEOUT_S)
                if not records:
                    raise LogError(f"events of {market.code} end at {reader.position}, not {end}")
                await settlement.settle(records)
                await _pass_on(settlement, registry)
                if progress is not None:
                    progress(reader.position, end)
        finally:
            await reader.close()
    finally:
        await settlement.close()
    return await table_hash(database, market.partition)


async def _pass_on(settlement: SettlementService, registry: RegistryService) -> None:
    while registry.position.settlement_number < settlement.position.number:
        values = await settlement.outbox(registry.position.settlement_number)
        await registry.register(values)
        registry.forget_outbox(registry.position.number)
        settlement.forget_outbox(registry.position.settlement_number)
