"""`exchange timetable`: what the venue file says of the trading day, before the clock does it.

Exit code 2: the file is not sound, or there is no such market; every fault is named.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from exchange.clock import SystemClock
from exchange.end_of_day.days import local_text
from exchange.reference.timetable import Due, due_date, standing
from exchange.reference.venue import Instrument, Market, Venue, load_venue
from exchange.settings import Settings
from gateway.cli.calendars import print_rows
from gateway.cli.options import USAGE

COLUMNS = ("market", "symbol", "phase", "since", "blocks", "next step", "trading date")


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("timetable")(timetable)


def timetable(
    venue: Annotated[
        Path | None, typer.Option(help="The venue file; none: that of EXCHANGE_VENUE.")
    ] = None,
    market: Annotated[
        list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
    ] = None,
    at: Annotated[
        str, typer.Option(help="A moment, as 2026-11-30T09:00:00+01:00; none: now.")
    ] = "",
) -> None:
    """Check the timetables of a venue file, and print what is due and when it changes.

    Nothing is asked and nothing done: gateways take the steps. Times are the market's own.
    """
    try:
        now_ns = _moment_ns(at) if at else SystemClock().now_ns()
        path = venue or Settings.from_environment().venue
        known = load_venue(path)
        markets = [known.market_of(code) for code in market] if market else known.market
    except (OSError, ValueError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE) from None
    except KeyError as error:
        typer.echo(f"exchange: {error.args[0]}", err=True)
        raise typer.Exit(USAGE) from None
    rows = [
        _row(known, item, instrument, now_ns)
        for item in markets
        for instrument in known.instruments_of(item.code)
    ]
    out = Console(highlight=False, soft_wrap=True)
    print_rows(out, f"{path}: the timetable", COLUMNS, rows)


def _row(venue: Venue, market: Market, item: Instrument, now_ns: int) -> tuple[str, ...]:
    steps = venue.timetable_of(item)
    found = standing(steps, market.calendar, now_ns)
    date = due_date(market.roll_at, market.calendar, now_ns) if market.roll_at else 0
    if not steps:
        return market.code, item.symbol, "moved by operators", "", "", "", str(date or "")
    following = local_text(found.next_ns, market.time_zone) if found.next_ns else "none in reach"
    return (
        market.code,
        item.symbol,
        *_said(found.phase),
        _blocks(found.blocks),
        following,
        str(date or "rolled by operators"),
    )


def _said(due: Due | None) -> Iterator[str]:
    yield (due.step.phase or "") if due else ""
    yield due.label if due else ""


def _blocks(due: Due | None) -> str:
    if due is None:
        return ""
    return "open" if due.step.blocks else "closed"


def _moment_ns(text: str) -> int:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"--at {text}: no offset from UTC; write +01:00 or Z behind it")
    return round(moment.timestamp()) * 1_000_000_000
