"""`exchange simulate`: published days traded again on the whole venue, and everything proved."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from exchange.clock import SystemClock
from exchange.log.protocol import LogError
from exchange.logging import configure
from exchange.settings import Settings
from exchange.simulation.quotes import Quotes, read_quotes
from exchange.simulation.report import console, print_checks, print_rows
from exchange.simulation.run import Outcome
from exchange.simulation.run import simulate as run_simulation
from exchange.simulation.window import Progress as Standing
from exchange.simulation.window import SimulationError
from gateway.cli.output import figures_bar

DAY = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("simulate")(simulate)


def simulate(
    quotes: Annotated[Path, typer.Option(help="CSV file of daily quotes.", dir_okay=False)],
    first: Annotated[datetime, typer.Option("--from", formats=DAY, help="First day.")],
    last: Annotated[datetime, typer.Option("--to", formats=DAY, help="Last day, included.")],
    kafka: Annotated[
        str, typer.Option(help="HOST:PORT of a Kafka to run on; without it an embedded log.")
    ] = "",
    seed: Annotated[int, typer.Option(min=0, help="The same seed sends the same orders.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="Where log, books and snapshots stay; without it they are deleted."),
    ] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "warning",
) -> None:
    """Trade published days again on the whole venue, and print published against produced.

    Opens one instrument for each product, lets seeded brokers trade each day inside the venue's
    band so that open, range and volume come out and the average as near as can be, closes each day
    by the venue's rule, settles, moves units, and checks everything. Exit code 1: a check failed;
    2: bad input, or the log cannot be reached.
    """
    out = console()
    if first > last:
        raise _refused(ValueError("--from is after --to"))
    try:
        configure(log_level, service="simulate")
        days = read_quotes(quotes, first.date(), last.date())
    except (OSError, ValueError, KeyError) as error:
        raise _refused(error) from error
    with ExitStack() as stack:
        folder = data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="exchange-simulate-"))
        )
        settings = Settings(log=f"kafka:{kafka}" if kafka else "embedded", data=folder)
        try:
            outcome = _run(out, days, settings, seed)
        except (SimulationError, LogError) as error:
            raise _refused(error) from error
    print_rows(out, outcome.rows)
    print_checks(out, outcome.checks)
    failed = sum(not check.ok for check in outcome.checks)
    out.print(
        f"\n{outcome.commands:,} commands, {outcome.events:,} events, {outcome.trades:,} trades of "
        f"{len({row.day for row in outcome.rows})} days and "
        f"{len({row.quote.key for row in outcome.rows})} products; "
        + (f"{failed} checks failed" if failed else "all checks passed"),
        highlight=False,
        soft_wrap=True,
    )
    if failed:
        raise typer.Exit(1)


def _refused(error: Exception) -> typer.Exit:
    console(stderr=True).print(f"simulate: {error}", highlight=False, soft_wrap=True)
    return typer.Exit(2)


def _run(out: Console, quotes: Quotes, settings: Settings, seed: int) -> Outcome:
    days = quotes.days()
    out.print(
        f"{len(quotes.rows)} rows of {len(days)} days, {days[0]} to {days[-1]}"
        + (f"; {quotes.unnamed} rows without a product passed over" if quotes.unnamed else ""),
        highlight=False,
    )
    with figures_bar(out) as bar:
        trading = bar.add_task("trading", total=len(days), figures="")
        proving = bar.add_task("proving", total=None, figures="", visible=False)

        def traded(standing: Standing) -> None:
            figures = f"{standing.commands:,} commands, {standing.trades:,} trades"
            bar.update(trading, completed=standing.day_number, figures=figures)
            if not out.is_terminal:
                line = f"day {standing.day_number} of {standing.days}: {standing.day} {figures}"
                out.print(line, highlight=False)

        def proved(done: int, total: int) -> None:
            bar.update(proving, completed=done, total=total, visible=True)

        return asyncio.run(run_simulation(quotes, settings, SystemClock(), seed, traded, proved))
