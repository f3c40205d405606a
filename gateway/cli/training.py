"""`exchange demo --training` and `exchange training scores`: a class, and how well it did."""

from __future__ import annotations

import asyncio
import csv
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from exchange.settings import Settings
from exchange.simulation.training import Score, ranking
from gateway.cli.options import USAGE
from gateway.cli.output import Json, make_table, show
from gateway.demo.demo_keys import key_path
from gateway.demo.demonstration import Demonstration
from gateway.demo.simulated import money
from gateway.demo.training import Exercise, TurnedClock, holder_of, load, prepared, within

DATA = Path(".local/training")
SCORES_FILE = "scores.csv"
COLUMNS = (
    "rank", "account", "name", "verified", "allocated", "surrendered", "offsets", "shortfall",
    "cost", "penalty", "optimum", "above_optimum", "profit",
)  # fmt: skip
MONEY = ("cost", "penalty", "optimum", "above_optimum", "profit")


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    training = typer.Typer(help="Classes: a compliance year in an hour, with scores.")
    training.command("scores")(scores)
    training.callback()(_training)
    app.add_typer(training, name="training", no_args_is_help=True)


def _training() -> None:
    """Classes: `exchange demo --training` holds one; here are its scores."""


def scores(
    data: Annotated[Path, typer.Option(help="Folder of the class.")] = DATA,
    out: Annotated[Path | None, typer.Option("--out", help="Write them as CSV too.")] = None,
    as_json: Json = False,
) -> None:
    """Show how a class did that has come to its end; computed anew from what the books said.

    exchange training scores --data .local/training
    """
    try:
        found = load(data)
        ranked = ranking(found.figures, found.prices)
        print_scores(ranked, as_json)
        if out is not None:
            write_scores(out, ranked)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None


def print_scores(ranked: Sequence[Score], as_json: bool = False) -> None:
    """Prints the scores, the best first; money in currency units."""
    table = make_table("Scores", *(f">{name.replace('_', ' ')}" for name in COLUMNS))
    rows = [_row(item) for item in ranked]
    for row in rows:
        table.add_row(*(f"{v:,}" if isinstance(v, int) else str(v) for v in row.values()))
    show(table, rows, as_json)


def write_scores(path: Path, ranked: Sequence[Score]) -> None:
    """Writes the scores as CSV; money in currency units."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_row(item) for item in ranked)


def _row(item: Score) -> dict[str, int | str]:
    values: dict[str, int | str] = msgspec.structs.asdict(item)
    return values | {name: _signed(getattr(item, name)) for name in MONEY}


def _signed(minor: int) -> str:
    return money(minor) if minor >= 0 else f"-{money(-minor)}"


async def hold_class(
    out: Console, settings: Settings, template: Path, seed: int, students: int, minutes: float
) -> None:
    """Runs a class on a venue of its own until its end or Ctrl-C; then its scores stand there.

    Raises ValueError for a folder where one was held, and what stops the venue.
    """
    made, people = prepared(settings.data, template, seed, students)
    clock = TurnedClock()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    holders = tuple(holder_of(student) for student in people)
    async with Demonstration.opened(settings, made, clock, holders) as venue:
        out.print(
            f"a class of {len(people)}, {minutes:g} minutes, seed {seed}\n"
            f"  page  {venue.url}/\n  keys  {key_path(settings.data, holders[0])} and so on, "
            f"accounts {people[0].account} to {people[-1].account}"
        )
        exercise = Exercise(venue, clock, people, seed, out.print)
        playing = asyncio.create_task(exercise.run(within(minutes * 60, stop), stop))
        await asyncio.wait({playing, venue.running}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        ranked = await playing
        if ranked:
            print_scores(ranked)
            write_scores(settings.data / SCORES_FILE, ranked)
            out.print(f"also in {settings.data / SCORES_FILE}; `exchange training scores` again")
        else:
            out.print("stopped before its end: there are no scores")
