"""`exchange supply`: how many allowances a scheme auctions in a year, and what its reserve moves.

Exit code 2: what the rulebook does not know and the options do not say.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from exchange.rulebook import RulebookError, load_rulebook
from exchange.rulebook.allocation import capped_by
from exchange.rulebook.auction_calendar import AuctionCalendar, plan_calendar
from exchange.rulebook.auction_data import SupplyData, load_programme, load_supply_data
from exchange.rulebook.selection import scheme_named
from exchange.rulebook.supply import invalidated, supply_control
from exchange.rulebook.year_supply import YearSupply, series_volumes, within
from gateway.cli.calendars import print_rows, print_volumes
from gateway.cli.options import whole
from gateway.cli.programmes import supply_of

USAGE_ERROR = 2
WHOLE_BP = 10_000

SchemeId = Annotated[str, typer.Argument(help="A scheme's id, as eu-ets.")]
Year = Annotated[int, typer.Argument(help="Calendar year.", parser=whole, metavar="year")]
Circulation = Annotated[
    list[str] | None,
    typer.Option(
        "--tnac",
        metavar="[YEAR=]T",
        help="Allowances in circulation at the end of YEAR, none: of the year before; again for "
        "more.",
    ),
]
Gross = Annotated[
    int | None,
    typer.Option(help="Tonnes before the reserve, in place of cap and share.", parser=whole),
]


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(supply)


def supply(
    scheme: SchemeId,
    year: Year,
    tnac: Circulation = None,
    gross: Gross = None,
    series: Annotated[str, typer.Option(help="Lay it over the days of this series.")] = "",
    share_bp: Annotated[
        int, typer.Option(help="The series' share of the scheme's auctions.", parser=whole)
    ] = WHOLE_BP,
    programme: Annotated[
        Path | None, typer.Option(help="A venue's programme: the days of the series.")
    ] = None,
    held: Annotated[
        int | None, typer.Option(help="Tonnes in the reserve: what of them is void.", parser=whole)
    ] = None,
) -> None:
    """Print what a scheme auctions in a year, and what its reserve takes and gives."""
    try:
        data = load_supply_data()
        found = supply_of(data, scheme, year, tnac, gross)
        laid = _laid(data, found, series, share_bp, programme) if series else None
        void_t = None if held is None else _void(scheme, year, held)
    except (RulebookError, ValueError, OSError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    out = Console(highlight=False, soft_wrap=True)
    _print_supply(out, found)
    if void_t is not None:
        out.print(f"void of {held:,} t in the reserve on {year}-01-01: {void_t:,} t")
    if laid is not None:
        print_volumes(out, laid)


def _void(scheme: str, year: int, held: int) -> int:
    rule = supply_control(scheme_named(load_rulebook(), scheme), dt.date(year, 1, 1))
    return invalidated(rule, held)


def _laid(
    data: SupplyData, found: YearSupply, series: str, share_bp: int, programme: Path | None
) -> AuctionCalendar:
    named = data.series_of(series)
    if named.scheme != found.scheme:
        raise RulebookError(f"series {series} is of {named.scheme}, not of {found.scheme}")
    rule = load_programme(programme).year if programme else named.year_of(found.year)
    return plan_calendar(named, rule, {series: series_volumes(named, rule, found, share_bp)})


def _print_supply(out: Console, found: YearSupply) -> None:
    rows = [("cap", f"{found.cap_t:,}")] if found.cap_t else []
    name = f"auctioned share, {found.share_bp} bp" if found.share_bp else "given"
    rows.append((name, f"{found.gross_t:,}"))
    if found.deducted_t:
        rows.append(("deducted", f"-{found.deducted_t:,}"))
    begin, end = dt.date(found.year, 1, 1), dt.date(found.year, 12, 31)
    for move in found.moves:
        part = within(move, begin, end)
        first, last = max(move.first, begin), min(move.last, end)
        of = f"{first:%b}-{last:%b}, {move.tnac_t:,} t in circulation at the end of "
        of += str(move.end_of_year)
        if part.release_t:
            rows.append((f"release {of}", f"+{part.release_t:,}"))
        else:
            rows.append((f"intake {of}", f"-{part.intake_t:,}"))
    rows.append(("to be auctioned", f"{found.net_t:,}"))
    print_rows(out, f"{found.scheme}: auctions of {found.year}", ("what", ">tonnes"), rows)
    for move in found.moves:
        kind = "release" if move.whole.release_t else "intake"
        amount = move.whole.release_t or move.whole.intake_t
        out.print(f"{kind} {amount:,} t from {move.first} to {move.last}")
    if found.cap_t:
        out.print(_of_cap(found), markup=False)


def _of_cap(found: YearSupply) -> str:
    """Where the cap is from, and what its rules do not know."""
    rulebook = load_rulebook()
    rules, _ = capped_by(scheme_named(rulebook, found.scheme), found.year)
    unknown = f"; not known: {', '.join(rules.unknown)}" if rules.unknown else ""
    return f"cap by {rules.id}{unknown}; source: {rulebook.citation(rules)}"
