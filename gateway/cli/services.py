"""The venue's processes: `exchange gateway`, `engine`, `settlement`, `registry`, `marketdata`,
`surveillance`.

Each reads its settings from EXCHANGE_* variables, serves /metrics, /health and /ready on
EXCHANGE_METRICS_PORT, runs until SIGINT or SIGTERM, then finishes what is in hand. A service that
must not go on (a broken chain, a lost log) ends the process with exit code 1.

Each command imports its own service: an engine that is started anew reads no gateway and no
database before it leads, which takes less than half the time.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, NamedTuple

import structlog
import typer
import uvloop

from exchange import topics
from exchange.clock import Clock, SystemClock
from exchange.health import serve_health
from exchange.log import open_log
from exchange.log.protocol import Log, LogError
from exchange.logging import configure
from exchange.messages.frames import ChainBrokenError
from exchange.reference.venue import Market, Venue, load_venue
from exchange.service import Service, run_together
from exchange.settings import Settings

if TYPE_CHECKING:
    from exchange.database.connection import Database

USAGE_ERROR = 2
RETRY_S = 0.5
GC_OBJECTS_MIN = 10_000  # made since the last look for rings of objects: 3 ms
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
        from exchange.stands import FileStands
        from gateway.control.opening import OpeningGate
        from gateway.service import GatewayService

        books = await _database(parts.settings, stack)
        gate = OpeningGate(books, parts.clock)
        stands = FileStands(parts.settings.data, "gateway")
        return [
            GatewayService(parts.log, parts.venue, parts.settings, parts.clock, books, gate, stands)
        ]

    run_service("gateway", None, compose)


def engine(market: _MarketOption = None) -> None:
    """Run the matching engine of a market; a second one for the same market stands by."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        from exchange.engine.service import EngineService, check_build

        check_build()
        return [EngineService(parts.log, m, parts.settings, parts.clock) for m in parts.markets]

    run_service("engine", market, compose)


def settlement(market: _MarketOption = None) -> None:
    """Settle trades delivery versus payment into the ledger."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        from exchange.settlement.service import SettlementService

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

    run_service("settlement", market, compose)


def registry(market: _MarketOption = None) -> None:
    """Keep the registry of serial numbers and compliance."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        from exchange.registry.service import RegistryService

        database = await _database(parts.settings, stack)
        return [
            RegistryService(parts.log, m, parts.venue, database, clock=parts.clock)
            for m in parts.markets
        ]

    run_service("registry", market, compose)


def marketdata(market: _MarketOption = None) -> None:
    """Make the public books, trades and phases from events."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        from exchange.marketdata.service import MarketDataService
        from exchange.stands import FileStands

        data = parts.settings.data
        return [
            MarketDataService(parts.log, m, parts.clock, FileStands(data, f"marketdata-{m.code}"))
            for m in parts.markets
        ]

    run_service("marketdata", market, compose)


def surveillance(market: _MarketOption = None) -> None:
    """Look for market abuse in events, and tell it as alerts."""

    async def compose(parts: Parts, stack: AsyncExitStack) -> list[Service]:
        from exchange.stands import FileStands
        from exchange.surveillance import SurveillanceService, limits_file, load_limits

        data = parts.settings.data
        limits = load_limits(limits_file(parts.settings))
        return [
            SurveillanceService(
                parts.log,
                m,
                parts.venue,
                limits,
                parts.clock,
                FileStands(data, f"surveillance-{m.code}"),
            )
            for m in parts.markets
        ]

    run_service("surveillance", market, compose)


def bootstrap(market: _MarketOption = None) -> None:
    """Create topics and tables, and send what the venue file has and the engine lacks."""
    from exchange.database.connection import DatabaseError
    from exchange.engine.bootstrap import bootstrap as bootstrap_market

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


def run_service(name: str, codes: list[str] | None, compose: Compose) -> None:
    """One process of the venue until it is told to end; exit code 1 when it must not go on."""
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
    except* Exception as errors:
        _, others = errors.split(_stops())
        if others is not None:
            raise
        failed = True
        for error in _leaves(errors):
            typer.echo(f"{name}: {' '.join(str(error).split())}", err=True)
    if failed:
        raise typer.Exit(1)


def _stops() -> tuple[type[Exception], ...]:
    """What ends a service in one line: the log or the database is away or cannot be trusted."""
    import asyncpg
    from sqlalchemy.exc import OperationalError

    from exchange.database.connection import DatabaseError
    from exchange.engine import HistoryMismatchError

    return (
        LogError,
        ChainBrokenError,
        HistoryMismatchError,
        DatabaseError,
        OperationalError,
        asyncpg.InterfaceError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,  # it stops, or starts
        asyncpg.TransactionRollbackError,  # a deadlock
        asyncpg.InsufficientResourcesError,
        OSError,
        ValueError,
    )


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
    from exchange.database.connection import open_database, upgrade

    database = open_database(settings.database, settings.data)
    stack.push_async_callback(database.close)
    await _patiently("database", lambda: upgrade(database))
    return database


async def _patiently(what: str, attempt: Callable[[], Awaitable[object]]) -> None:
    """Processes of a venue start together: what is not up yet is tried again for a while."""
    for number in range(1, TRIES + 1):
        try:
            await attempt()
        except Exception as error:
            if number == TRIES or not isinstance(error, _not_up()):
                raise
            structlog.get_logger().warning("not_up_yet", what=what, error=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


def _not_up() -> tuple[type[Exception], ...]:
    from exchange.database.connection import DatabaseError

    return (LogError, DatabaseError, OSError)
