"""What the members' commands share: their options, and running one against the venue.

The key file says who and where: `--key-file`, or EXCHANGE_KEY_FILE. What goes wrong is printed
with the venue's numbered reason; the exit code says which kind: REFUSED, USAGE, NOT_REACHED,
STATUS_UNKNOWN.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import Instruction
from exchange.messages.reasons import reason_text
from exchange.settings import Settings
from gateway.cli.completion import accounts, markets, symbols
from gateway.cli.output import STATUS_UNKNOWN, make_table, show_json
from gateway.client import (
    Client,
    OperationFailedError,
    SigningKey,
    StatusUnknownError,
    VenueError,
    load_key,
)
from gateway.client.keys import DEFAULT_URL
from gateway.client.rest import Rest
from gateway.entry.decimals import INT64_MAX, whole_number

KEY_VARIABLE = "EXCHANGE_KEY_FILE"
RANGES_SHOWN = 6
SECOND_NS = 1_000_000_000

REFUSED = 1  # by the venue: the same will be refused again
USAGE = 2  # bad input: nothing was sent
NOT_REACHED = 3  # no venue there, or it takes nothing now: nothing was done, try again
INTERRUPTED = 130  # Ctrl-C

__all__ = [
    "NOT_REACHED",
    "RANGES_SHOWN",
    "REFUSED",
    "STATUS_UNKNOWN",
    "USAGE",
    "Account",
    "KeyFile",
    "MarketCode",
    "Owner",
    "Price",
    "Quantity",
    "Reference",
    "Symbol",
    "Url",
    "Yes",
    "agreed",
    "instruct",
    "make_table",
    "price_of",
    "show_instruction",
    "tonnes",
    "utc",
    "whole",
    "with_client",
    "with_rest",
]

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help=f"Key file; without it {KEY_VARIABLE} names one."),
]
Url = Annotated[
    str,
    typer.Option("--url", help=f"Address of the venue; without it the one of {KEY_VARIABLE}."),
]
Symbol = Annotated[
    str, typer.Argument(help="Symbol of an instrument, such as EUA.", autocompletion=symbols)
]
MarketCode = Annotated[
    str, typer.Option("--market", help="Code of a market, or all.", autocompletion=markets)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for scripts.")]


def whole(text: str | int) -> int:
    """ASCII digits as a number: `int` would read 1_0 as 10, and Arabic digits too."""
    value = whole_number(str(text))
    if value is None or value > INT64_MAX:
        raise typer.BadParameter(f"{str(text)[:40]!r} is no whole number: write digits only")
    return value


def tonnes(text: str | int) -> int:
    """Digits as at least one tonne; typer.BadParameter."""
    value = whole(text)
    if not value:
        raise typer.BadParameter("0 tonnes: at least 1")
    return value


Account = Annotated[
    int,
    typer.Option(
        "--account",
        help="The account that acts.",
        parser=whole,
        metavar="NUMBER",
        autocompletion=accounts,
    ),
]
Quantity = Annotated[int, typer.Argument(help="Tonnes.", parser=tonnes, metavar="quantity")]
Owner = Annotated[
    int, typer.Argument(help="The owner's account.", parser=whole, metavar="owner_account")
]
Price = Annotated[str, typer.Argument(help="@71.25: currency units a tonne.")]
Reference = Annotated[str, typer.Option(help="The decision, order or notice behind it.")]


def instruct(key_file: Path | None, instruction: Instruction, *, as_json: bool = False) -> None:
    """Sends an instruction to the registry and prints what became of it."""

    async def work(client: Client) -> None:
        show_instruction(await client.instruct(instruction), as_json)

    with_client(key_file, work)


def show_instruction(report: InstructionReport, as_json: bool = False) -> None:
    """Prints where an instruction stands; typer.Exit(4) when nobody has answered it."""
    if as_json:
        show_json(report)
    else:
        units = f" {report.quantity:,} t {report.symbol}" if report.quantity else ""
        Console(highlight=False).print(
            f"[bold]{report.status}[/bold]: {report.kind}{units}, "
            f"instruction {report.instruction_id}"
            + (f", waits until {utc(report.due_ns)} UTC" if report.due_ns else "")
        )
        for item in report.ranges[:RANGES_SHOWN]:
            Console(highlight=False).print(f"  {item.programme} {item.first}-{item.last}")
    if report.status == "PENDING" and not report.due_ns:
        raise typer.Exit(STATUS_UNKNOWN)


def utc(time_ns: int) -> str:
    """A moment to the minute, UTC. O(1)."""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M}"


def _key(key_file: Path | None) -> SigningKey:
    path = key_file or Path(Settings.from_environment().key_file)
    if not path.name:
        raise ValueError(f"give --key-file or set {KEY_VARIABLE}")
    return load_key(path)


def with_client(key_file: Path | None, work: Callable[[Client], Awaitable[None]]) -> None:
    """Runs `work` with a client of the key; typer.Exit(1) on a refusal, (2) on bad input."""

    async def run() -> None:
        key = _key(key_file)
        async with Client(key.url, key) as client:
            await work(client)

    _attempt(run)


def with_rest(url: str, work: Callable[[Rest], Awaitable[None]]) -> None:
    """Runs `work` against public routes, without a key; exits as `with_client` does.

    Without an address it is that of the key file in EXCHANGE_KEY_FILE, else this machine's.
    """

    async def run() -> None:
        named = Settings.from_environment().key_file
        rest = Rest(url or (load_key(Path(named)).url if named else DEFAULT_URL))
        try:
            await work(rest)
        finally:
            await rest.close()

    _attempt(run)


def price_of(text: str) -> str:
    """A price as the venue takes it, of `@71.25` or `71.25`."""
    return text.removeprefix("@")


def agreed(question: str, is_sure: bool) -> bool:
    """Whether the user says yes, asked unless `is_sure`; ValueError when there is nobody to ask."""
    if is_sure:
        return True
    try:
        return typer.confirm(question, default=False)
    except typer.Abort:
        raise ValueError("no answer: say it again with --yes if it is meant") from None


def _attempt(run: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await run()

    try:
        asyncio.run(main())
    except VenueError as error:
        lines = [f"{error.title} ({error.reason}): {error.text}"]
        remedy = reason_text(error.reason).text if error.reason else ""
        if remedy not in error.text:
            lines.append(remedy)
        if isinstance(error.report, InstructionReport) and error.report.rule:
            lines.append(f"rule {error.report.rule}; source: {error.report.source}")
        typer.echo("\n".join(lines), err=True)
        raise typer.Exit(_exit_code(error)) from None
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(USAGE) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _exit_code(error: VenueError) -> int:
    if isinstance(error, StatusUnknownError):
        return STATUS_UNKNOWN
    return NOT_REACHED if isinstance(error, OperationFailedError) else REFUSED
