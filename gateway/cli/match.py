"""`exchange match`: the matching engine alone, on commands from a file or a pipe.

Commands come in as JSON Lines, as a scenario or as a recorded log; events go out as JSON Lines on
standard output, and what happened on standard error. Nothing else runs: no venue, no Kafka, no
clock. Exit code 1: the engines differ, one is broken inside, or a scenario does not come true; 2:
bad input. The events printed before are those of the lines before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from exchange.audit import engine_named
from exchange.log import EMBEDDED_FILE
from exchange.log.protocol import LogError
from exchange.messages.frames import Event
from exchange.messages.lines import LineError
from exchange.reference.venue import load_venue
from exchange.settings import Settings
from exchange.simulation.match import (
    Figures,
    Match,
    MatchError,
    bounded_lines,
    command_printer,
    event_printer,
    feed_lines,
    feed_log,
    feed_scenario,
    looks_like_json,
    silent,
)
from exchange.simulation.scenarios import LanguageError, ScenarioError

USAGE_ERROR = 2
STANDARD_INPUT = "-"
SQLITE_MAGIC = b"SQLite format 3\0"
VENUE_FILE = "venue.toml"
ENGINES = {
    "compiled": ("compiled",),
    "reference": ("reference",),
    "both": ("reference", "compiled"),
}


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command("match")(match)


def match(
    file: Annotated[
        str, typer.Argument(help="JSON Lines, a scenario, a log's file or folder; - reads a pipe.")
    ] = STANDARD_INPUT,
    engine: Annotated[
        Literal["compiled", "reference", "both"],
        typer.Option(help="Both: each event is compared, byte for byte."),
    ] = "compiled",
    form: Annotated[
        Literal["auto", "json", "scenario", "log"],
        typer.Option("--format", help="What FILE is; auto looks into it."),
    ] = "auto",
    market: Annotated[str, typer.Option(help="Code of the market of a log, such as EU.")] = "",
    only_hash: Annotated[
        bool, typer.Option("--hash", help="Print the hash of the last state instead of events.")
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Print the commands as JSON Lines instead of events.")
    ] = False,
    check_every: Annotated[
        int, typer.Option(min=0, help="Check state and holds after each N records; 0: at the end.")
    ] = 0,
) -> None:
    """Feed commands to the matching engine alone and print its events as JSON Lines.

    One line is one command, such as {"kind": "ACCOUNT_OPEN", "account_id": 101}; several in one
    frame are {"frame": [...]}. The same input gives the same output, always. deploy/docs/match.md
    has the fields and examples.
    """
    if only_hash and commands:
        raise typer.BadParameter("--hash and --commands: one of them")
    out = sys.stdout.buffer
    write = _writer(out, is_pipe=file == STANDARD_INPUT)
    hear = silent if only_hash else (command_printer(write) if commands else event_printer(write))
    types = {name: engine_named(name) for name in ENGINES[engine]}
    engines = Match(types, hear, check_every)
    try:
        _feed(engines, file, form, market)
        figures = engines.end()
    except BrokenPipeError:  # whoever reads the events has enough
        raise
    except OSError as error:
        raise _ended(out, f"{file}: {error.strerror or error}", USAGE_ERROR) from None
    except (LanguageError, LineError, LogError, ValueError) as error:
        raise _ended(out, f"{file}: {error}", USAGE_ERROR) from None
    except (MatchError, ScenarioError) as error:
        raise _ended(out, f"{file}: {error}", 1) from None
    if only_hash:
        out.write(figures.state_hash.hex().encode() + b"\n")
    out.flush()
    _tell(figures, engine)


def _ended(out: BinaryIO, text: str, code: int) -> typer.Exit:
    out.flush()
    typer.echo(f"exchange: {text}", err=True)
    return typer.Exit(code)


def _tell(figures: Figures, engine: str) -> None:
    kinds = ", ".join(f"{count} {kind.name}" for kind, count in figures.events.items())
    trades = figures.events[Event.FILL] // 2
    typer.echo(
        f"{figures.records} records, {figures.commands} commands, "
        f"{figures.events.total()} events, {trades} trades" + (f": {kinds}" if kinds else ""),
        err=True,
    )
    same = "reference and compiled, the same" if engine == "both" else engine
    typer.echo(f"state {figures.state_hash.hex()} ({same}), self-check sound", err=True)


def _writer(out: BinaryIO, is_pipe: bool) -> Callable[[bytes], None]:
    """Writes what one record gave; at once when the input is a pipe, so that one can converse."""

    def write(lines: bytes) -> None:
        out.write(lines)
        if is_pipe:
            out.flush()

    return write


# -- the input ------------------------------------------------------------------------------------


def _feed(engines: Match, file: str, form: str, market: str) -> None:
    path = None if file == STANDARD_INPUT else Path(file)
    if path is not None and (form == "log" or (form == "auto" and _is_log(path))):
        log = path / EMBEDDED_FILE if path.is_dir() else path
        if not log.is_file():  # opening would make it
            raise ValueError(f"no log there: {log} is missing")
        feed_log(engines, log, _partition(log.parent, market))
        return
    if form == "log" or market:
        raise ValueError("a log is a file or a folder, and only a log has markets")
    if path is None:
        _feed_text(engines, sys.stdin.buffer, form)
        return
    with path.open("rb") as stream:
        _feed_text(engines, stream, form)


def _feed_text(engines: Match, stream: BinaryIO, form: str) -> None:
    lines = bounded_lines(stream)
    is_json = form == "json"
    if form == "auto":
        is_json, lines = looks_like_json(lines)
    if is_json:
        feed_lines(engines, lines)
    else:
        feed_scenario(engines, lines)


def _is_log(path: Path) -> bool:
    if path.is_dir():
        return True
    with path.open("rb") as stream:
        return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _partition(folder: Path, market: str) -> int:
    """The market's partition, by the venue file beside the log or by EXCHANGE_VENUE."""
    beside = folder / VENUE_FILE
    venue = load_venue(beside if beside.exists() else Settings.from_environment().venue)
    codes = [known.code for known in venue.market]
    if not market and len(codes) > 1:
        raise ValueError(f"the log has the markets {', '.join(codes)}: choose by --market")
    if market and market not in codes:
        raise ValueError(f"the log has no market {market}, only {', '.join(codes)}")
    return venue.market_of(market or codes[0]).partition
