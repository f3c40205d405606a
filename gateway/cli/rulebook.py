"""`exchange rulebook check` and `exchange rulebook show`: the rules as data, checked and read.

Exit code 1: a rulebook is not sound or a vector does not come true; 2: bad input.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exchange.rulebook import Rulebook, RulebookError, load_auction_formats, load_rulebook
from exchange.rulebook.auction_data import load_supply_data
from exchange.rulebook.describe import Section, describe
from exchange.rulebook.fees import load_fee_schedules
from exchange.rulebook.vectors import read_vectors, run_vectors
from exchange.simulation.sealed_bids import auction

USAGE_ERROR = 2
FILE_BYTES_MAX = 16 * 2**20
ENGINE_FUNCTIONS = {"auction": auction}

_File = Annotated[
    Path | None,
    typer.Argument(help="A rulebook, or a file with [[vector]] tables; none: the package's own."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    group = typer.Typer(help="The rules as data: check them, read them.", no_args_is_help=True)
    group.command()(check)
    group.command()(show)
    app.add_typer(group, name="rulebook")


def check(
    file: _File = None,
    only_vectors: Annotated[
        bool, typer.Option("--only-vectors", help="Whatever else FILE holds, run its vectors only.")
    ] = False,
) -> None:
    """Check a rulebook and run its vectors, one line each.

    A file with schemes is checked as a rulebook and its vectors are run against it; a file with
    vectors alone, or with --only-vectors one whose rules are written otherwise, is run against the
    rulebook of the package.
    """
    _readable(file)
    try:
        rulebook, vectors, name = read_vectors(file, only_vectors=only_vectors)
        if file is None:
            load_auction_formats()
            load_fee_schedules()
            load_supply_data()
    except (RulebookError, UnicodeDecodeError) as error:
        typer.echo(f"exchange: {_where(file, error)}", err=True)
        if file is not None and not only_vectors:
            typer.echo("exchange: its vectors alone can be run: --only-vectors", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"rulebook {rulebook.meta.rulebook_version} is sound: {_counted(rulebook)} ({name})")
    failures = 0
    for outcome in run_vectors(rulebook, vectors, ENGINE_FUNCTIONS):
        failures += bool(outcome.problem)
        mark, why = ("FAILED", f": {outcome.problem}") if outcome.problem else ("ok    ", "")
        typer.echo(f"{mark} {outcome.vector.function:24} {outcome.vector.id}{why}")
    typer.echo(f"{len(vectors)} vectors, {failures} failed")
    if failures:
        raise typer.Exit(1)


def _where(file: Path | None, error: Exception) -> str:
    """The error, with the file where it is about bytes and names none."""
    return f"{file}: is not UTF-8: {error}" if isinstance(error, UnicodeDecodeError) else str(error)


def show(
    scheme: Annotated[str, typer.Argument(help="A scheme's id, as eu-ets or cn-national.")],
    on: Annotated[
        dt.datetime | None,
        typer.Option("--on", formats=["%Y-%m-%d"], help="Day of the act; none: today there."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="Another rulebook.")] = None,
) -> None:
    """Print the rules of a scheme in force on a day, with their sources."""
    _readable(file)
    try:
        rulebook = load_rulebook(file)
        day = on.date() if on else rulebook.local_date(scheme, time.time_ns())
        sections = describe(rulebook, scheme, day)
    except (RulebookError, UnicodeDecodeError) as error:
        typer.echo(f"exchange: {_where(file, error)}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    named = rulebook.scheme_of(scheme)
    out = Console(highlight=False, soft_wrap=True, markup=False)
    out.print(f"{named.name if named else scheme} on {day.isoformat()}")
    if not sections:
        out.print("no rule is in force on that day")
    for section in sections:
        _print(out, section)


def _readable(file: Path | None) -> None:
    if file is None:
        return
    if not file.is_file():
        typer.echo(f"exchange: {file}: no such file", err=True)
        raise typer.Exit(USAGE_ERROR)
    if file.stat().st_size > FILE_BYTES_MAX:
        typer.echo(f"exchange: {file}: more than {FILE_BYTES_MAX} bytes", err=True)
        raise typer.Exit(USAGE_ERROR)


def _counted(rulebook: Rulebook) -> str:
    rules = [rules for scheme in rulebook.scheme for rules in scheme.rules]
    offsets = sum(len(item.offset) for item in rules)
    return (
        f"{len(rulebook.scheme)} schemes, {len(rules)} sets of rules, {offsets} offset rules, "
        f"{len(rulebook.source)} sources"
    )


def _print(out: Console, section: Section) -> None:
    out.print(f"\n{section.title}")
    if out.is_terminal:
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        table.add_column(overflow="fold")
        for key, value in section.rows:
            table.add_row(f"  {key}", value)
        out.print(table, soft_wrap=False)
    else:
        for key, value in section.rows:
            out.print(f"  {key}: {value}")
    out.print(f"  source: {section.source}")
