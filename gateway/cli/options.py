"""What the members' commands share: their options, and running one against the venue.

The key file says who and where: `--key-file`, or EXCHANGE_KEY_FILE. A refusal prints the venue's
reason and ends with exit code 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exchange.messages.executions import InstructionReport
from exchange.messages.orders import Instruction
from exchange.settings import Settings
from gateway.client import Client, SigningKey, VenueError, load_key
from gateway.client.rest import Rest
from gateway.decimals import INT64_MAX, whole_number

KEY_VARIABLE = "EXCHANGE_KEY_FILE"
RANGES_SHOWN = 6
SECOND_NS = 1_000_000_000

KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help=f"Key file; without it {KEY_VARIABLE} names one."),
]
Url = Annotated[str, typer.Option("--url", help="Address of the venue.")]
Symbol = Annotated[str, typer.Argument(help="Symbol of an instrument, such as EUA.")]


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
    typer.Option("--account", help="The account that acts.", parser=whole, metavar="NUMBER"),
]
Quantity = Annotated[int, typer.Argument(help="Tonnes.", parser=tonnes, metavar="quantity")]
Owner = Annotated[
    int, typer.Argument(help="The owner's account.", parser=whole, metavar="owner_account")
]
Reference = Annotated[str, typer.Option(help="The decision, order or notice behind it.")]


def instruct(key_file: Path | None, instruction: Instruction) -> None:
    """Sends an instruction to the registry and prints what became of it."""

    async def work(client: Client) -> None:
        report = await client.instruct(instruction)
        units = f" {report.quantity:,} t {report.symbol}" if report.quantity else ""
        Console(highlight=False).print(
            f"[bold]{report.status}[/bold]: {report.kind}{units}, "
            f"instruction {report.instruction_id}"
            + (f", waits until {utc(report.due_ns)} UTC" if report.due_ns else "")
        )
        for item in report.ranges[:RANGES_SHOWN]:
            Console(highlight=False).print(f"  {item.programme} {item.first}-{item.last}")

    with_client(key_file, work)


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
    """Runs `work` against public routes, without a key; exits as `with_client` does."""

    async def run() -> None:
        rest = Rest(url)
        try:
            await work(rest)
        finally:
            await rest.close()

    _attempt(run)


def _attempt(run: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await run()

    try:
        asyncio.run(main())
    except VenueError as error:
        lines = [f"{error.title} ({error.reason}): {error.text}"]
        if isinstance(error.report, InstructionReport) and error.report.rule:
            lines.append(f"rule {error.report.rule}; source: {error.report.source}")
        typer.echo("\n".join(lines), err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def make_table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name begins with > is of figures."""
    table = Table(title=title, title_justify="left")
    for name in columns:
        is_figure = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if is_figure else "left")
    return table
