"""The venue's day for operations: `exchange end-of-day` writes a market's files of a day.

Exit code 2: refused, and the number says why; nothing was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from exchange.clock import SystemClock
from exchange.database import Database, upgrade
from exchange.database.connection import SQLITE_FILE, DatabaseError, open_database
from exchange.end_of_day import Closed, DayRefusedError, close_day, parse_day
from exchange.end_of_day.names import Names
from exchange.logging import configure
from exchange.messages.reasons import DayReason
from exchange.reference.venue import Market, Venue, load_venue
from exchange.settings import Settings
from gateway.cli.proofs import USAGE_ERROR, VENUE_FILE

FOLDER = "end-of-day"


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    app.command()(end_of_day)


def end_of_day(
    day: Annotated[str, typer.Argument(help="Date YYYY-MM-DD in the market's own time zone.")],
    market: Annotated[
        list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the files, one below it a market; none: under the data."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of an embedded venue, as .local/demo; none: EXCHANGE_*."),
    ] = None,
) -> None:
    """Write trade file, unit file, statements (CSV and PDF) and totals of a finished day."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        settings = venue_settings(data)
        configure(settings.log_level, service="end-of-day")
        date = parse_day(day)
        venue = load_venue(settings.venue)
        markets = markets_named(venue, market)
        folder = out or settings.data / FOLDER / date.isoformat()
        for closed in asyncio.run(_close(settings, venue, markets, day, folder)):
            _tell(console, closed)
    except (DayRefusedError, DatabaseError, OSError, ValueError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None


async def _close(
    settings: Settings, venue: Venue, markets: list[Market], day: str, folder: Path
) -> list[Closed]:
    async with opened_books(settings) as database:
        return [
            await close_day(
                database,
                Names(venue, market),
                parse_day(day),
                folder / market.code,
                SystemClock().now_ns(),
            )
            for market in markets
        ]


@asynccontextmanager
async def opened_books(settings: Settings) -> AsyncIterator[Database]:
    """The books of a venue, brought to the newest schema. ValueError when there are none."""
    if settings.database == "sqlite" and not (settings.data / SQLITE_FILE).is_file():
        # Opening would make the file, and then there would be books of nothing.
        raise ValueError(f"{settings.data}: no {SQLITE_FILE} there; --data names a venue's folder")
    database = open_database(settings.database, settings.data)
    try:
        await upgrade(database)
        yield database
    finally:
        await database.close()


def _tell(console: Console, closed: Closed) -> None:
    told = closed.totals
    trades = told["trades"]
    console.print(
        f"{told['market']} {told['day']}: {trades['count']} trades, {trades['quantity_t']} t, "
        f"{trades['value']} {told['currency']}, {told['statements']} statements\n"
        f"  {closed.folder}\n  totals sha256 {closed.sha256}"
    )


def venue_settings(data: Path | None) -> Settings:
    """EXCHANGE_* settings, or those of an embedded venue's folder. ValueError as `Settings`."""
    settings = Settings.from_environment()
    if data is None:
        return settings
    settings = msgspec.structs.replace(settings, data=data)
    if (data / VENUE_FILE).exists():
        settings = msgspec.structs.replace(settings, venue=data / VENUE_FILE)
    return settings


def markets_named(venue: Venue, codes: list[str] | None) -> list[Market]:
    """The markets with these codes, or all. DayRefusedError (UNKNOWN_MARKET)."""
    try:
        return [venue.market_of(code) for code in codes] if codes else list(venue.market)
    except KeyError as error:
        raise DayRefusedError(DayReason.UNKNOWN_MARKET, str(error.args[0])) from None
