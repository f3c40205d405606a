"""Proofs that anyone can run: `exchange verify`, `replay`, `reconcile` and `rebuild`.

They read the log and the books and write neither, but that `reconcile` keeps what it found in the
books: a market's day opens on it. Exit code 1: something differs; 2: bad input, or
the log or the database cannot be reached.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from exchange import audit
from exchange.audit import Check
from exchange.audit.watch import ReconciliationService
from exchange.clock import SystemClock
from exchange.database import Database, table_hash, upgrade
from exchange.database.connection import DatabaseError, open_database
from exchange.health import serve_health
from exchange.log import EMBEDDED_FILE, open_log
from exchange.log.protocol import Log, LogError
from exchange.logging import configure
from exchange.messages.frames import ChainBrokenError
from exchange.rebuild import rebuild as rebuild_books
from exchange.reference.venue import Market, Venue, load_venue
from exchange.registry.queries import position_of as registry_position
from exchange.settings import AUDIT_DIFFERENCES_MAX, Settings
from exchange.settlement.queries import position_of as settlement_position
from exchange.simulation.report import print_checks
from exchange.surveillance import Monitor, limits_file, load_limits
from exchange.surveillance.records import compare
from gateway.cli.services import run_until_signalled

USAGE_ERROR = 2
LOOK_S = 30.0  # a busy venue is seldom between two records; then the look is tried again
HASH_TRIES = 100
HASH_RETRY_S = 0.1
VENUE_FILE = "venue.toml"

_Markets = Annotated[
    list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
]
_Data = Annotated[
    Path | None,
    typer.Option(help="Folder of an embedded venue, as .local/demo; none: EXCHANGE_* settings."),
]
_Engine = Annotated[str, typer.Option(help="compiled or reference.")]
Advance = Callable[[int, int], None]


class Opened(NamedTuple):
    """A venue's log and books, opened for reading."""

    settings: Settings
    venue: Venue
    markets: Sequence[Market]
    log: Log
    database: Database


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (verify, replay, reconcile, rebuild):
        app.command()(command)


def verify(market: _Markets = None, data: _Data = None, engine: _Engine = "compiled") -> None:
    """Compute every event anew from `orders` and compare it, and the hash chain, with `events`."""
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        checks = []
        for item in opened.markets:
            with progress_bar(f"verify {item.code}") as advance:
                found = await audit.verify(
                    opened.log, item.partition, engine=audit.engine_named(engine), progress=advance
                )
            figures = (
                f"{found.inputs} records of orders give {found.events} events, "
                f"epoch {found.epoch}, chain {found.chain.hex()[:16]}, "
                f"state {found.state_hash.hex()[:16]}"
            )
            if found.unanswered:
                figures += f"; {found.unanswered} records not answered yet"
            told = "; ".join([figures, *found.differences])
            checks.append(Check(f"{item.code} {engine}", len(found.differences), told))
        return checks

    _prove(out, market, data, work)


def replay(
    market: _Markets = None,
    data: _Data = None,
    engine: _Engine = "compiled",
    end: Annotated[int | None, typer.Option(min=0, help="Stop before this offset.")] = None,
) -> None:
    """Apply `orders` from the first record on and print the hash of the state it leads to."""
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        for item in opened.markets:
            with progress_bar(f"replay {item.code}") as advance:
                found = await audit.replay(
                    opened.log,
                    item.partition,
                    engine=audit.engine_named(engine),
                    end=end,
                    progress=advance,
                )
            out.print(
                f"{item.code} {engine}: {found.inputs} records, {found.events} events, "
                f"epoch {found.epoch}\n  chain {found.chain.hex()}\n"
                f"  state {found.state_hash.hex()}"
            )
        return []

    _prove(out, market, data, work)


def reconcile(
    market: _Markets = None,
    data: _Data = None,
    watch: Annotated[
        bool, typer.Option(help="Go on until stopped, and show it on EXCHANGE_METRICS_PORT.")
    ] = False,
) -> None:
    """Compare engine, ledger and registry to the tonne and the cent, also while they run."""
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        await upgrade(opened.database)
        services = [ReconciliationService(opened.log, m, opened.database) for m in opened.markets]
        if watch:
            async with AsyncExitStack() as stack:
                if opened.settings.metrics_port:
                    settings = opened.settings
                    server = await serve_health(settings.host, settings.metrics_port, services)
                    stack.callback(server.close)
                await run_until_signalled(list(services), asyncio.Event())
            return []
        checks = []
        for item, service in zip(opened.markets, services, strict=True):
            found = await service.once(LOOK_S)
            await service.keep()
            checks += [check._replace(name=f"{item.code} {check.name}") for check in found]
        return checks

    _prove(out, market, data, work)


def rebuild(market: _Markets = None, data: _Data = None) -> None:
    """Make ledger, registry and alerts anew from the log and compare them with those in use."""
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        checks = [await _rebuilt(opened, item) for item in opened.markets]
        return checks + [await alerts_made_anew(opened, item) for item in opened.markets]

    _prove(out, market, data, work)


async def _rebuilt(opened: Opened, market: Market) -> Check:
    until, in_use = await _hash_at_rest(opened.database, market)
    with tempfile.TemporaryDirectory(prefix="exchange-rebuild-") as folder:
        fresh = open_database("sqlite", Path(folder))
        try:
            with progress_bar(f"rebuild {market.code}") as advance:
                anew = await rebuild_books(
                    opened.log, market, opened.venue, fresh, until=until, progress=advance
                )
        finally:
            await fresh.close()
    name = f"{market.code} books made anew from the log equal the books in use"
    figures = f"{until} records of events, hash {anew.hex()[:16]}"
    if anew == in_use:
        return Check(name, 0, figures)
    return Check(name, 1, f"{figures}, but the books in use have {in_use.hex()[:16]}")


async def alerts_made_anew(opened: Opened, market: Market) -> Check:
    """Whether `alerts` says what `events` and the limits give. O(events)."""
    limits = load_limits(limits_file(opened.settings))
    monitor = Monitor.of(opened.venue, market, limits)
    found = await compare(opened.log, market, monitor, limits.digest())
    told = f"{found.alerts} alerts made anew, {found.compared} records compared"
    if found.other_limits:
        told += f", {found.other_limits} made under other limits and left out"
    if found.unsaid:
        told += f", {found.unsaid} alerts not on the topic yet"
    differences = found.differences[:AUDIT_DIFFERENCES_MAX]
    name = f"{market.code} alerts made anew from events equal those on the topic"
    return Check(name, len(found.differences), "; ".join([told, *differences]))


async def _hash_at_rest(database: Database, market: Market) -> tuple[int, bytes]:
    """Where `events` was read up to, and the hash of the books there.

    Books change only with the numbers of settlement and registry, so the hash is one of a moment
    when these stood still and level. ValueError when they never did.
    """
    for _ in range(HASH_TRIES):
        settled = await settlement_position(database, market.partition)
        registered = await registry_position(database, market.partition)
        found = await table_hash(database, market.partition)
        after = await settlement_position(database, market.partition)
        later = await registry_position(database, market.partition)
        is_level = registered.settlement_number == settled.number
        if is_level and (settled.number, registered.number) == (after.number, later.number):
            return settled.topic_offset, found
        await asyncio.sleep(HASH_RETRY_S)
    raise ValueError(f"the books of {market.code} never stood still: stop trading and try again")


def _prove(
    out: Console,
    codes: list[str] | None,
    data: Path | None,
    work: Callable[[Opened], Awaitable[list[Check]]],
) -> None:
    async def run() -> list[Check]:
        async with open_venue(codes, data) as opened:
            return await work(opened)

    try:
        checks = uvloop.run(run())
    except ChainBrokenError as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(1) from None
    except (LogError, DatabaseError, OSError, ValueError, KeyError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    if checks:
        print_checks(out, checks)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


@asynccontextmanager
async def open_venue(codes: list[str] | None, data: Path | None) -> AsyncIterator[Opened]:
    """A venue's log and books for reading: OSError, ValueError, KeyError, LogError."""
    settings = Settings.from_environment()
    if data is not None:
        settings = msgspec.structs.replace(settings, data=data)
        if (data / VENUE_FILE).exists():
            settings = msgspec.structs.replace(settings, venue=data / VENUE_FILE)
    configure(settings.log_level, service="proof")
    if settings.log == "embedded" and not (settings.data / EMBEDDED_FILE).is_file():
        # Opening would make the file, and a proof writes nothing.
        lack = f"no {EMBEDDED_FILE} there" if settings.data.is_dir() else "no such folder"
        raise ValueError(f"{settings.data}: {lack}; --data names that of a venue")
    venue = load_venue(settings.venue)
    markets = [venue.market_of(code) for code in codes] if codes else list(venue.market)
    log = open_log(settings, SystemClock())
    database = open_database(settings.database, settings.data)
    await log.start()
    try:
        yield Opened(settings, venue, markets, log, database)
    finally:
        await database.close()
        await log.close()


class progress_bar:  # noqa: N801 - reads as a function in a `with`
    """A progress bar on standard error, gone when done."""

    def __init__(self, title: str) -> None:
        self._progress = Progress(
            TextColumn(title),
            BarColumn(),
            TextColumn("{task.completed} of {task.total} records"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )

    def __enter__(self) -> Advance:
        self._progress.start()
        task = self._progress.add_task("", total=None)
        return lambda done, total: self._progress.update(task, completed=done, total=total)

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
