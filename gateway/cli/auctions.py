"""`exchange auctions`: the calendar of primary auctions, and running them.

Exit code 1: the venue refused; 2: bad input, or what the rulebook does not know.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from exchange.clock import SystemClock
from exchange.rulebook import RulebookError
from exchange.rulebook.auction_calendar import AuctionCalendar, ScheduledAuction, plan_calendar
from exchange.rulebook.auction_data import (
    Programme,
    Series,
    SupplyData,
    load_programme,
    load_supply_data,
)
from exchange.rulebook.year_supply import programme_volumes
from gateway.cli import auction_desk
from gateway.cli.calendars import print_auction, print_calendar
from gateway.cli.programmes import programme_calendar
from gateway.cli.supply import USAGE_ERROR, Circulation, Gross, SchemeId, Year

SeriesId = Annotated[str, typer.Option("--series", help="One series; none: all of the scheme.")]
ProgrammeFile = Annotated[
    Path | None,
    typer.Option(
        "--programme",
        help="A venue's programme: days, auctioneers, accounts. Needed for a year whose days "
        "nobody has published.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, a list of calendars.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    group = typer.Typer(help="Primary auctions: calendar, bids, results.", no_args_is_help=True)
    group.command("calendar")(show_calendar)
    group.command("next")(show_next)
    auction_desk.register(group)
    app.add_typer(group, name="auctions")


def show_calendar(
    scheme: SchemeId,
    year: Year,
    series: SeriesId = "",
    programme: ProgrammeFile = None,
    tnac: Circulation = None,
    gross: Gross = None,
    as_json: AsJson = False,
) -> None:
    """Print the auctions of a scheme in a year: days, windows, volumes that add up.

    Schemes with series of auctions: eu-ets, ca-qc, cn-national. For a year whose days are not
    published the venue's own programme is needed: --programme FILE.
    """
    calendars = _calendars(scheme, year, series, programme, tnac, gross)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(calendars)).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    for calendar in calendars:
        print_calendar(out, calendar)


def show_next(
    scheme: SchemeId,
    series: SeriesId = "",
    programme: ProgrammeFile = None,
    after: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC; none: now."),
    ] = None,
    tnac: Circulation = None,
    gross: Gross = None,
    as_json: AsJson = False,
) -> None:
    """Print the next auction of each series whose bidding has not ended.

    Schemes with series of auctions: eu-ets, ca-qc, cn-national. For a year whose days are not
    published, as this one's may be, the venue's own programme is needed: --programme FILE.
    """
    now_ns = SystemClock().now_ns()
    if after is not None:
        now_ns = int(after.replace(tzinfo=dt.UTC).timestamp()) * 10**9
    year = dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC).year
    calendars = _calendars(scheme, year, series, programme, tnac, gross)
    found = [item for item in (next_auction(c, now_ns) for c in calendars) if item is not None]
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    for auction in found:
        print_auction(out, auction)
    if not found:
        out.print(f"no auction of {scheme} is left in {year}")


def next_auction(calendar: AuctionCalendar, now_ns: int) -> ScheduledAuction | None:
    """The first scheduled auction whose bidding has not ended; None after the last. O(auctions)."""
    for item in calendar.auctions:
        if item.state == "SCHEDULED" and item.closes_ns > now_ns:
            return item
    return None


def _calendars(
    scheme: str,
    year: int,
    series: str,
    programme: Path | None,
    tnac: list[str] | None,
    gross: int | None,
) -> list[AuctionCalendar]:
    try:
        data = load_supply_data()
        if programme is not None:
            plan = load_programme(programme)
            if plan.year.year != year:
                raise RulebookError(f"{programme} is of {plan.year.year}, not of {year}")
            return [programme_calendar(data, plan, tnac, gross)]
        return _published(data, scheme, year, series)
    except (RulebookError, ValueError, OSError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None


def _published(data: SupplyData, scheme: str, year: int, series: str) -> list[AuctionCalendar]:
    named = [data.series_of(series)] if series else list(data.series)
    found, why = [], []
    for item in named:
        if item.scheme != scheme:
            continue
        try:
            found.append(_published_one(item, year))
        except RulebookError as error:
            why.append(str(error))
    if not found and why:
        raise RulebookError("\n".join([*why, "name such a programme with --programme FILE"]))
    if not found:
        known: dict[str, list[str]] = {}
        for item in data.series:
            known.setdefault(item.scheme, []).append(item.id)
        told = "; ".join(f"{name} has {', '.join(ids)}" for name, ids in known.items())
        raise RulebookError(f"no series of auctions of {scheme} is known: {told}")
    for text in why:
        typer.echo(f"exchange: {text}", err=True)
    return found


def _published_one(series: Series, year: int) -> AuctionCalendar:
    plan = Programme(series=series.id, year=series.year_of(year))
    return plan_calendar(series, plan.year, programme_volumes(plan, series, None))
