"""The venue's processes: `exchange gateway`, `engine`, `settlement`, `registry`, `marketdata`,
`surveillance`.

Each reads its settings from EXCHANGE_* variables, serves /metrics, /health and /ready on
EXCHANGE_METRICS_PORT, runs until SIGINT or SIGTERM, then finishes what is in hand. A service that
must not go on (a broken chain, a lost log) ends the process with exit code 1.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, NamedTuple

import structlog
import typer
import uvloop

from exchange import topics
from exchange.clock import Clock, SystemClock
from exchange.database.connection import Database, DatabaseError, open_database, upgrade
from exchange.engine.bootstrap import bootstrap as bootstrap_market
from exchange.engine.service import EngineService
from exchange.health import serve_health
from exchange.log import open_log
from exchange.log.protocol import Log, LogError
from exchange.logging import configure
from exchange.marketdata.service import MarketDataService
from exchange.reference.venue import Market, Venue, load_venue
from exchange.registry.service import RegistryService
from exchange.service import Service, run_together
from exchange.settings import Settings
from exchange.settlement.service import SettlementService
from exchange.surveillance import SurveillanceService, limits_file, load_limits
from gateway.opening import OpeningGate
from gateway.service import GatewayService

USAGE_ERROR = 2
RETRY_S = 0.5
GC_OBJECTS_MIN = 50_000  # made since the last look for rings of objects
TRIES = 60

_MarketOption = Annotated[
    list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
]


class Parts(NamedTuple):
    """What services are made of."""

    settings: Settings
    venue: Venue
    log: Log
    clock: Clock
    markets: Sequence[Market]


Compose = Callable[[Parts, AsyncExitStack], Awaitable[list[Service]]]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (gateway, engine, settlement, registry, marketdata, surveillance, bootstrap):
        app.command()(command)


def gateway() -> None:
    """Serve REST, sockets, the page and intake: members' way in and back."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        books = await _database(parts.settings, stack)
        gate = OpeningGate(books, parts.clock)
        return [GatewayService(parts.log, parts.venue, parts.settings, parts.clock, books, gate)]

    _run("gateway", None, compose)


def engine(market: _MarketOption = None) -> None:
    """Run the matching engine of a market; a second one for the same market stands by."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        return [EngineService(parts.log, m, parts.settings, parts.clock) for m in parts.markets]

    _run("engine", market, compose)


def settlement(market: _MarketOption = None) -> None:
    """Settle trades delivery versus payment into the ledger."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        database = await _database(parts.settings, stack)
        return [
            SettlementService(
                parts.log,
                m,
                database,
                instruments=parts.venue.instruments_of(m.code),
                clock=parts.clock,
            )
            for m in parts.markets
        ]

    _run("settlement", market, compose)


def registry(market: _MarketOption = None) -> None:
    """Keep the registry of serial numbers and compliance."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        database = await _database(parts.settings, stack)
        return [
            RegistryService(parts.log, m, parts.venue, database, clock=parts.clock)
            for m in parts.markets
        ]

    _run("registry", market, compose)


def marketdata(market: _MarketOption = None) -> None:
    """Make the public books, trades and phases from events."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        return [MarketDataService(parts.log, m, parts.clock) for m in parts.markets]

    _run("marketdata", market, compose)


def surveillance(market: _MarketOption = None) -> None:
    """Look for market abuse in events, and tell it as alerts."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        limits = load_limits(limits_file(parts.settings))
        return [
            SurveillanceService(parts.log, m, parts.venue, limits, parts.clock)
            for m in parts.markets
        ]

    _run("surveillance", market, compose)


def bootstrap(market: _MarketOption = None) -> None:
    """Create topics and tables, and send what the venue file has and the engine lacks."""
    settings, venue, markets = _prepare("bootstrap", market)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            clock = SystemClock()
            log = await _open(settings, clock, stack)
            await _create(log, venue)
            await _database(settings, stack)
            for item in markets:
                count = await bootstrap_market(log, venue, item, clock)
                typer.echo(f"{item.code}: {count} commands sent")

    try:
        uvloop.run(work())
    except (LogError, DatabaseError, OSError, ValueError) as error:
        typer.echo(f"bootstrap: {error}", err=True)
        raise typer.Exit(1) from None


async def run_until_signalled(services: list[Service], stop: asyncio.Event) -> None:
    """Runs services in this loop; SIGINT and SIGTERM set `stop`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await run_together(services, stop)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _prepare(name: str, codes: list[str] | None) -> tuple[Settings, Venue, Sequence[Market]]:
    try:
        settings = Settings.from_environment()
        configure(settings.log_level, service=name)
        venue = load_venue(settings.venue)
        markets = [venue.market_of(code) for code in codes] if codes else list(venue.market)
    except (OSError, ValueError, KeyError) as error:
        typer.echo(f"{name}: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    return settings, venue, markets


def _run(name: str, codes: list[str] | None, compose: Compose) -> None:
    settings, venue, markets = _prepare(name, codes)
    # a service keeps most of what it makes: looking it all over for rings, as often as Python does
    # by itself, takes a third of a gateway's time
    gc.set_threshold(GC_OBJECTS_MIN, 50, 100)

    async def work() -> None:
        async with AsyncExitStack() as stack:
            clock = SystemClock()
            log = await _open(settings, clock, stack)
            await _create(log, venue)
            services = await compose(Parts(settings, venue, log, clock, markets), stack)
            if settings.metrics_port:
                server = await serve_health(settings.host, settings.metrics_port, services)
                stack.callback(server.close)
            await run_until_signalled(services, asyncio.Event())

    failed = False
    try:
        uvloop.run(work())
    except* (LogError, DatabaseError, OSError, ValueError) as errors:
        failed = True
        for error in _leaves(errors):
            typer.echo(f"{name}: {error}", err=True)
    if failed:
        raise typer.Exit(1)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


async def _open(settings: Settings, clock: Clock, stack: AsyncExitStack) -> Log:
    log = open_log(settings, clock)
    await _patiently("log", log.start)
    stack.push_async_callback(log.close)
    return log


async def _create(log: Log, venue: Venue) -> None:
    partitions = [p for m in venue.market for p in topics.of_market(m.partition)]
    for participant in venue.participant:
        if participant.intake:
            partitions += topics.of_participant(participant.id)
    await _patiently("topics", lambda: log.create(partitions))


async def _database(settings: Settings, stack: AsyncExitStack) -> Database:
    database = open_database(settings.database, settings.data)
    stack.push_async_callback(database.close)
    await _patiently("database", lambda: upgrade(database))
    return database


async def _patiently(what: str, attempt: Callable[[], Awaitable[object]]) -> None:
    """Processes of a venue start together: what is not up yet is tried again for a while."""
    for number in range(1, TRIES + 1):
        try:
            await attempt()
        except (LogError, DatabaseError, OSError) as error:
            if number == TRIES:
                raise
            structlog.get_logger().warning("not_up_yet", what=what, error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return
