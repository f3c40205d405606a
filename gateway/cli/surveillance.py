"""Surveillance: `exchange alerts` asks the venue, `exchange surveil` looks at a recorded log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
import uvloop
from rich.console import Console

from exchange.audit import Check
from exchange.database.connection import DatabaseError
from exchange.log.protocol import LogError
from exchange.messages.alerts import Alert
from exchange.messages.frames import ChainBrokenError
from exchange.settings import PAGE_MAX
from exchange.simulation.report import print_checks
from exchange.surveillance import Monitor, limits_file, load_limits
from exchange.surveillance.records import AlertsBrokenError, made_anew
from gateway.cli.options import KeyFile, utc, with_client
from gateway.cli.proofs import Opened, alerts_made_anew, open_venue
from gateway.client import Client
from gateway.routes.alerts import AlertRow

USAGE_ERROR = 2
Format = Literal["text", "jsonl"]

_Markets = Annotated[
    list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
]
_Kind = Annotated[str, typer.Option(help="Of one kind, as WASH_TRADE; none: all.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (alerts, surveil):
        app.command()(command)


def alerts(
    market: Annotated[str, typer.Option(help="Market code; none: all.")] = "",
    kind: _Kind = "",
    after: Annotated[int, typer.Option(min=0, help="With a higher number only.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="At most so many.")] = 50,
    key_file: KeyFile = None,
) -> None:
    """List what surveillance saw, newest first: for operators and the authority."""

    async def work(client: Client) -> None:
        found = await client.alerts(market, after=after, kind=kind, limit=limit)
        out = Console(highlight=False, soft_wrap=True)
        for row in found.alerts:
            _line(out, row.id, row, (row.events[0], row.events[-1]))
        out.print(f"{len(found.alerts)} alerts")

    with_client(key_file, work)


def surveil(
    market: _Markets = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of an embedded venue; none: EXCHANGE_* settings."),
    ] = None,
    kind: _Kind = "",
    limits: Annotated[
        Path | None, typer.Option(help="A file that changes figures of the shipped limits.")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="text, or JSON Lines.")] = "text",
    check: Annotated[
        bool, typer.Option(help="Compare with the alerts that the venue told instead.")
    ] = False,
) -> None:
    """Run the detectors over a recorded log and print what they find: the same each time.

    Exit code 1: with --check, the venue told something else; 2: bad input or no log.
    """

    async def work() -> bool:
        async with open_venue(market, data) as opened:
            if check:
                checks: list[Check] = [
                    await alerts_made_anew(opened, item) for item in opened.markets
                ]
                print_checks(Console(highlight=False, soft_wrap=True), checks)
                return all(item.ok for item in checks)
            found = await _surveil(opened, limits)
            _print(opened, [alert for alert in found if kind in ("", alert.kind)], format_)
            return True

    try:
        is_sound = uvloop.run(work())
    except (ChainBrokenError, AlertsBrokenError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(1) from None
    except (LogError, DatabaseError, OSError, ValueError, KeyError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None
    if not is_sound:
        raise typer.Exit(1)


async def _surveil(opened: Opened, changes: Path | None) -> list[Alert]:
    limits = load_limits(changes or limits_file(opened.settings))
    found: list[Alert] = []
    for item in opened.markets:
        monitor = Monitor.of(opened.venue, item, limits)
        async for _, told in made_anew(opened.log, item, monitor):
            found += told
    return found


def _print(opened: Opened, found: list[Alert], format_: Format) -> None:
    if format_ == "jsonl":
        for alert in found:
            typer.echo(msgspec.json.encode(msgspec.structs.asdict(alert)).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    for alert in found:
        number = f"{alert.market}-{alert.number}"
        _line(out, number, alert, (alert.first_event, alert.last_event))
    markets = ", ".join(item.code for item in opened.markets)
    out.print(f"{len(found)} alerts in {markets}")


def _line(out: Console, number: str, alert: Alert | AlertRow, events: tuple[int, int]) -> None:
    accounts = ", ".join(map(str, alert.accounts))
    out.print(
        f"[bold]{number}  {alert.kind}[/bold]  {alert.symbol}  accounts {accounts}  "
        f"{utc(alert.to_ns)} UTC  score {alert.score:,}  events {events[0]} to {events[1]}\n"
        f"  {alert.text}"
    )
