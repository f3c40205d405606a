"""Proofs that anyone can run: `exchange verify`, `replay`, `self-check`, `reconcile`, `rebuild`
and `rebuild-marketdata`.

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
from exchange.database import Database, first_difference, upgrade
from exchange.database.connection import DatabaseError, open_database
from exchange.engine.snapshots import EngineSnapshot, SnapshotStore, load, snapshots_of
from exchange.health import serve_health
from exchange.log import EMBEDDED_FILE, open_log
from exchange.log.protocol import Log, LogError
from exchange.logging import configure
from exchange.marketdata.proof import remake
from exchange.messages.frames import ChainBrokenError
from exchange.rebuild import Place, place_of, stand_of
from exchange.rebuild import rebuild as rebuild_books
from exchange.reference.venue import Market, Venue, load_venue
from exchange.settings import AUDIT_DIFFERENCES_MAX, Settings
from exchange.simulation.report import print_checks
from exchange.surveillance import Monitor, limits_file, load_limits
from exchange.surveillance.records import compare
from gateway.cli.services import run_until_signalled
from gateway.control.persons_audit import PersonsAudit

USAGE_ERROR = 2
LOOK_S = 30.0  # a busy venue is seldom between two records; then the look is tried again
VENUE_FILE = "venue.toml"
NEWEST = "newest"

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
    for command in (verify, replay, self_check, reconcile, rebuild, rebuild_marketdata):
        app.command()(command)


def verify(
    market: _Markets = None,
    data: _Data = None,
    engine: Annotated[
        str | None, typer.Option(help="compiled or reference.", show_default="compiled")
    ] = None,
    from_snapshot: Annotated[
        str,
        typer.Option(
            help="Begin there: `newest`, or a snapshot file of the one market. Events behind it "
            "are proved, nothing before it is proved, nor that its state is right."
        ),
    ] = "",
    books: Annotated[
        bool,
        typer.Option(
            help="Compare every balance and serial block too; that goes from the start of the log."
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            help="A checkpoint, or a folder of them: compare the records of the log with those "
            "instead; nothing is computed anew."
        ),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Of the checkpoints; none: public.key beside them.")
    ] = None,
) -> None:
    """Compute every event anew from `orders` and compare it, and the hash chain, with `events`.

    Snapshots on the way are compared with the state there, byte by byte; each that is damaged or
    differs is named. Of the history the first difference is named, and it ends there: the event, or
    with --books the row of ledger or registry. From the start of the log each act of an operator is
    judged, too: what takes two persons was proposed by one and approved by another, by the limits
    of the venue file. --against proves something else: that the log is what was signed. Run both.
    """
    _check_ways(engine, from_snapshot, books=books, against=against, public_key=public_key)
    body = engine or "compiled"
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        if against is not None:
            from gateway.cli.checkpoints import held_against  # it reads this module

            return await held_against(opened, against, public_key)
        checks = []
        for item in opened.markets:
            store = snapshots_of(opened.settings.data, item.code)
            begin = _begin(store, from_snapshot, opened.markets)
            persons = PersonsAudit(opened.venue, item, opened.settings.throttle_per_second)
            with progress_bar(f"verify {item.code}") as advance:
                found = await audit.verify(
                    opened.log,
                    item.partition,
                    engine=audit.engine_named(body),
                    progress=advance,
                    begin=begin,
                    snapshots=_snapshots_by_offset(store),
                    observer=persons,
                )
            told = "; ".join([_figures(found), *found.differences])
            checks.append(Check(f"{item.code} {body}", len(found.differences), told))
            checks += [] if begin else [_two_persons(item.code, persons)]
            if books:
                checks.append(await _rebuilt(opened, item))
        return checks

    _prove(out, market, data, work)


def _two_persons(code: str, persons: PersonsAudit) -> Check:
    name = f"{code} what takes two persons was proposed by one and approved by another"
    wrong = persons.difference
    told = f"{persons.figures}; {wrong}" if wrong else persons.figures
    return Check(name, int(bool(wrong)), told)


def _check_ways(
    engine: str | None,
    from_snapshot: str,
    *,
    books: bool,
    against: Path | None,
    public_key: Path | None,
) -> None:
    """Ends the program where an option would be left out in silence."""
    named = {"--books": books, "--from-snapshot": from_snapshot, "--engine": engine}
    unused = [name for name, value in named.items() if value]
    if against is not None and unused:
        lack = f"--against computes nothing anew: leave out {', '.join(unused)}, or run it apart"
    elif against is None and public_key is not None:
        lack = "--public-key goes with --against"
    else:
        return
    typer.echo(f"exchange: {lack}", err=True)
    raise typer.Exit(USAGE_ERROR)


def _begin(store: SnapshotStore, wanted: str, markets: Sequence[Market]) -> EngineSnapshot | None:
    """The snapshot to begin from; ValueError if there is none or it is not sound."""
    if not wanted:
        return None
    if wanted != NEWEST:
        if len(markets) > 1:
            raise ValueError("a snapshot file is one market's: name it with --market")
        return load(Path(wanted))
    newest = store.newest()
    if newest is None:
        raise ValueError(f"{store.directory}: no sound snapshot there")
    return newest


def _snapshots_by_offset(store: SnapshotStore) -> dict[int, Path]:
    """The files of the market's snapshots; one whose name is no offset is told and left out."""
    named = {}
    for path in store.newest_first():
        if path.stem.isascii() and path.stem.isdecimal():
            named[int(path.stem)] = path
        else:
            typer.echo(f"exchange: {path}: passed over, its name is no offset", err=True)
    return named


def _figures(found: audit.Verification) -> str:
    start = f" from record {found.begin}" if found.begin else ""
    figures = (
        f"{found.inputs - found.begin} records of orders{start} give events up to {found.events}, "
        f"epoch {found.epoch}, chain {found.chain.hex()[:16]}, state {found.state_hash.hex()[:16]}"
    )
    if found.snapshots:
        figures += f"; {found.snapshots} snapshots compared"
    if not found.is_whole:
        figures += f"; looked no further than before record {found.inputs} of orders"
    if found.unanswered:
        figures += f"; {found.unanswered} records not answered yet"
    return figures


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


def self_check(
    market: _Markets = None,
    data: _Data = None,
    engine: _Engine = "compiled",
    until: Annotated[
        int | None, typer.Option(min=0, help="Prove the state before this offset; none: the end.")
    ] = None,
    every: Annotated[
        int, typer.Option(min=0, help="And after each N records on the way; 0: only there.")
    ] = 0,
) -> None:
    """Apply `orders` and prove that what is held is what the open orders need, to the cent.

    The first place at which cash or units held differ from the open orders, or anything else of the
    state does not add up, is named by its offset.
    """
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        checks = []
        for item in opened.markets:
            with progress_bar(f"self-check {item.code}") as advance:
                found = await audit.self_check(
                    opened.log,
                    item.partition,
                    engine=audit.engine_named(engine),
                    until=until,
                    every=every,
                    progress=advance,
                )
            told = f"{found.checks} proofs, state {found.state_hash.hex()[:16]}"
            name = f"{item.code} {engine} holds are those of the open orders"
            at = f"before offset {found.inputs}"
            checks.append(
                Check(name, len(found.broken), "; ".join([f"{at}, {told}", *found.broken]))
            )
        return checks

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


def rebuild_marketdata(market: _Markets = None, data: _Data = None) -> None:
    """Compute market data anew from `events` and compare every record with what was said."""
    out = Console(highlight=False, soft_wrap=True)

    async def work(opened: Opened) -> list[Check]:
        checks = []
        for item in opened.markets:
            with progress_bar(f"rebuild-marketdata {item.code}") as advance:
                found = await remake(opened.log, item.partition, progress=advance)
            figures = (
                f"{found.records} records, {found.repeats} of them repeats, "
                f"from {found.inputs} records of events"
            )
            if found.unsaid:
                figures += f"; {found.unsaid} not said yet"
            name = f"{item.code} market data made anew from events equals what was said"
            told = f"{figures}; {found.difference}" if found.difference else figures
            checks.append(Check(name, int(bool(found.difference)), told))
        return checks

    _prove(out, market, data, work)


async def _rebuilt(opened: Opened, market: Market) -> Check:
    until, in_use = await stand_of(opened.database, market.partition)
    with tempfile.TemporaryDirectory(prefix="exchange-rebuild-") as folder:
        fresh = open_database("sqlite", Path(folder))
        try:
            with progress_bar(f"rebuild {market.code}") as advance:
                anew = await rebuild_books(
                    opened.log, market, opened.venue, fresh, until=until, progress=advance
                )
            name = f"{market.code} books made anew from the log equal the books in use"
            figures = (
                f"{until.events} records of events and {until.settlements} of settlements, "
                f"hash {anew.hex()[:16]}"
            )
            if anew == in_use:
                return Check(name, 0, figures)
            told = f"{figures}, but the books in use have {in_use.hex()[:16]}"
            return Check(name, 1, f"{told}; {await _row_told(opened, market, fresh, until)}")
        finally:
            await fresh.close()


async def _row_told(opened: Opened, market: Market, fresh: Database, until: Place) -> str:
    """The first row that differs, if the books still stand where they were made anew up to."""
    row = await first_difference(fresh, opened.database, market.partition)
    if await place_of(opened.database, market.partition) != until:
        return "they went on meanwhile: when trading stands still this names the row"
    return row or "they agreed when they were looked at again"


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
async def open_venue(
    codes: list[str] | None, data: Path | None, *, writes: bool = False
) -> AsyncIterator[Opened]:
    """A venue's log and books, for reading unless it `writes` to the log.

    OSError, ValueError, KeyError, LogError.
    """
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
    markets = (
        [venue.market_of(code) for code in dict.fromkeys(codes)] if codes else list(venue.market)
    )
    log = open_log(settings, SystemClock(), writes=writes)
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
