"""`exchange match`: the matching engine alone, on commands from a file or a pipe.

Commands come in as JSON Lines, as a scenario or as a recorded log; events go out as JSON Lines on
standard output, and what happened on standard error. Nothing else runs: no venue, no Kafka, no
clock. Exit code 1: the engines differ, one is broken inside, or a scenario does not come true; 2:
bad input. The events printed before are those of the lines before.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
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
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
VENUE_FILE = "venue.toml"
ENGINES = {
    "compiled": ("compiled",),
    "reference": ("reference",),
    "both": ("reference", "compiled"),
}


class OutputError(Exception):
    """Standard output takes nothing more."""


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
        with _to_output():
            if only_hash:
                out.write(figures.state_hash.hex().encode() + b"\n")
            out.flush()
    except BrokenPipeError:  # whoever reads the events has enough
        raise
    except OutputError as error:
        raise _ended(out, str(error), USAGE_ERROR) from None
    except OSError as error:
        raise _ended(out, f"{file}: {error.strerror or error}", USAGE_ERROR) from None
    except (LanguageError, LineError, LogError, ValueError) as error:
        raise _ended(out, f"{file}: {error}", USAGE_ERROR) from None
    except (MatchError, ScenarioError) as error:
        raise _ended(out, f"{file}: {error}", 1) from None
    _tell(figures, engine)


@contextmanager
def _to_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: {error.strerror or error}") from None


def _ended(out: BinaryIO, text: str, code: int) -> typer.Exit:
    try:
        with _to_output():
            out.flush()
    except OutputError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, out.fileno())  # what is still in buffers goes there
        os.close(nowhere)
        if text != str(error):
            typer.echo(f"exchange: {error}", err=True)
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
        with _to_output():
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
    lines = _without_mark(bounded_lines(stream))
    is_json = form == "json"
    if form == "auto":
        first, lines = _first_line(lines)
        is_json, _ = looks_like_json(iter([first] if first else []))
        is_json = is_json or _is_json_value(first)
    if is_json:
        feed_lines(engines, lines)
    else:
        feed_scenario(engines, lines)


def _without_mark(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines; what some editors write before the first, to say UTF-8, is no part of it."""
    for number, line in enumerate(lines):
        yield line.removeprefix(BYTE_ORDER_MARK) if number == 0 else line


def _first_line(lines: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first line that is not empty, b"" when none is, and all the lines."""
    seen: list[bytes] = []
    for line in lines:
        seen.append(line)
        if line.strip():
            return line, chain(seen, lines)
    return b"", iter(seen)


def _is_json_value(line: bytes) -> bool:
    """Whether it is a value of JSON such as `5`: no command of ours, but no scenario either."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _is_log(path: Path) -> bool:
    if path.is_dir():
        return True
    with path.open("rb") as stream:
        return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def _partition(folder: Path, market: str) -> int:
    """The market's partition, by the venue file beside the log or by EXCHANGE_VENUE."""
    beside = folder / VENUE_FILE
    path = beside if beside.exists() else Settings.from_environment().venue
    try:
        venue = load_venue(path)
    except OSError as error:
        why = error.strerror or str(error)
        if path == beside:
            raise ValueError(f"the venue file beside the log, {path}: {why}") from None
        raise ValueError(
            f"the log's markets stand in a venue file: {beside} is missing, and the one of "
            f"EXCHANGE_VENUE, {path}, gives: {why}; put the venue's file beside "
            "the log, or set EXCHANGE_VENUE to its path"
        ) from None
    codes = [known.code for known in venue.market]
    if not market and len(codes) > 1:
        raise ValueError(f"the log has the markets {', '.join(codes)}: choose by --market")
    if market and market not in codes:
        raise ValueError(f"the log has no market {market}, only {', '.join(codes)}")
    return venue.market_of(market or codes[0]).partition
