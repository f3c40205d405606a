"""One whole run: an empty market, the venue's services, the days, rest, proof."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec

from exchange import topics
from exchange.audit import Check
from exchange.clock import Clock
from exchange.database.connection import Database, open_database, upgrade
from exchange.engine import EngineService
from exchange.engine.bootstrap import bootstrap
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.marketdata.service import MarketDataService
from exchange.reference.venue import Market
from exchange.registry.service import RegistryService
from exchange.service import Service, run_together
from exchange.settings import Settings
from exchange.settlement import SettlementService
from exchange.simulation.proof import Progress as ProofProgress
from exchange.simulation.proof import prove, reproduction
from exchange.simulation.quotes import Quotes
from exchange.simulation.tape import RowResult
from exchange.simulation.window import Progress, SimulationError, Window, venue_of

MARKETS_MAX = 256  # market numbers tried on a log that other runs have used
REST_S_MAX = 60.0
POLL_S = 0.02
TICK_MS = 3_600_000


class Outcome(msgspec.Struct, frozen=True):
    """What a run gave."""

    market: int  # partition number
    rows: list[RowResult]
    checks: list[Check]
    commands: int
    trades: int
    events: int


async def free_market(log: Log) -> int:
    """The first market number whose `orders` is empty, its partitions made. O(markets)."""
    for number in range(MARKETS_MAX):
        await log.create(topics.of_market(number))
        if await log.end(topics.orders(number)) == 0:
            return number
    raise SimulationError(f"markets 0 to {MARKETS_MAX - 1} of this log are all in use")


async def simulate(
    quotes: Quotes,
    settings: Settings,
    clock: Clock,
    seed: int,
    report: Callable[[Progress], None],
    proof_progress: ProofProgress | None = None,
) -> Outcome:
    """Trades the days of `quotes` on a fresh market of the log and proves the result.

    Books and snapshots go under `settings.data`. Raises SimulationError, LogError, and whatever
    stops a service.
    """
    log = open_log(settings, clock)
    await log.start()
    database = open_database(settings.database, _made(settings.data))
    try:
        await upgrade(database)
        number = await free_market(log)
        market = Market(f"CN-{number}", number, "CNY")
        return await _run(
            log, database, market, quotes, settings, clock, seed, report, proof_progress
        )
    finally:
        await database.close()
        await log.close()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


async def _run(
    log: Log,
    database: Database,
    market: Market,
    quotes: Quotes,
    settings: Settings,
    clock: Clock,
    seed: int,
    report: Callable[[Progress], None],
    proof_progress: ProofProgress | None,
) -> Outcome:
    # No clock ticks: nothing may come onto the log after the last command, so that it has an end.
    settings = msgspec.structs.replace(settings, engine_tick_ms=TICK_MS)
    venue = venue_of(quotes, market)
    window = Window(log, quotes, venue, clock, seed)
    engine = EngineService(log, market, settings, clock)
    settlement = SettlementService(
        log, market, database, instruments=venue.instruments_of(market.code), clock=clock
    )
    registry = RegistryService(log, market, venue, database, clock=clock)
    readers: list[Service] = [settlement, registry, MarketDataService(log, market, clock)]
    stops = [asyncio.Event(), asyncio.Event()]
    await bootstrap(log, venue, market, clock)
    tasks = [
        asyncio.create_task(run_together([engine], stops[0])),
        asyncio.create_task(run_together(readers, stops[1])),
        asyncio.create_task(window.follow()),
    ]
    script = asyncio.create_task(_script(window, report))
    try:
        await _unless_one_stops(script, tasks)
        await _until_rest(log, market, window, settlement, registry)
        for stop, task in zip(stops, tasks, strict=False):
            stop.set()
            await task
    finally:
        for stop in stops:
            stop.set()
        for task in (script, tasks[2]):
            task.cancel()
        await asyncio.gather(script, *tasks, return_exceptions=True)
    checks = await prove(
        log, database, market.partition, engine=engine.engine, progress=proof_progress
    )
    checks += reproduction(window.results)
    checks.append(Check("public tape adds up", len(window.tape.breaks), _tape_figures(window)))
    return Outcome(
        market.partition,
        window.results,
        checks,
        window.commands,
        window.positions.trades,
        window.positions.next_event,
    )


async def _script(window: Window, report: Callable[[Progress], None]) -> None:
    await window.endow()
    await window.trade(report)


async def _unless_one_stops(script: asyncio.Task[None], tasks: list[asyncio.Task[None]]) -> None:
    """Waits for the script; a service that ends before it ends the run with its error."""
    await asyncio.wait([script, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task.done() and not script.done():
            task.result()
            raise SimulationError("a service of the venue ended during the run")
    script.result()


async def _until_rest(
    log: Log,
    market: Market,
    window: Window,
    settlement: SettlementService,
    registry: RegistryService,
) -> None:
    """Waits until what was sent has gone through every service."""
    end = await log.end(topics.orders(market.partition))
    try:
        async with asyncio.timeout(REST_S_MAX):
            while not (  # noqa: ASYNC110 - the services' positions are plain attributes
                window.positions.next_input == end
                and settlement.position.input_offset == end
                and registry.position.settlement_number == settlement.position.number
            ):
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise SimulationError(
            f"after {REST_S_MAX:.0f} s orders ends at {end}, settlement is at "
            f"{settlement.position.input_offset}, the registry at "
            f"{registry.position.settlement_number} of {settlement.position.number}"
        ) from None


def _tape_figures(window: Window) -> str:
    figures = f"{window.tape.next_number} public records, {len(window.results)} days of products"
    return "; ".join([figures, *window.tape.breaks[:5]])
