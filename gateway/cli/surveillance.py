"""Surveillance: `exchange alerts` asks the venue, `exchange surveil` looks at a recorded log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, cast, get_args

import msgspec
import typer
import uvloop
from rich.console import Console

from exchange.audit import Check
from exchange.database.connection import DatabaseError
from exchange.log.protocol import LogError
from exchange.messages.alerts import Alert
from exchange.messages.frames import ChainBrokenError
from exchange.messages.operations import AlertStateWord, HandleAlert
from exchange.settings import PAGE_MAX
from exchange.simulation.report import print_checks
from exchange.surveillance import Monitor, limits_file, load_limits
from exchange.surveillance.records import AlertsBrokenError, made_anew
from gateway.cli.options import KeyFile, utc, whole, with_client
from gateway.cli.output import Json, make_table, show_json, show_table
from gateway.cli.proofs import Opened, alerts_made_anew, open_venue
from gateway.client import Client
from gateway.replies.alerts import AlertRow

USAGE_ERROR = 2
Format = Literal["text", "jsonl"]

_Markets = Annotated[
    list[str] | None, typer.Option("--market", help="Market code; again for more; none: all.")
]
_Kind = Annotated[str, typer.Option(help="Of one kind, as WASH_TRADE; none: all.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (alerts, handle_alert, surveil):
        app.command()(command)


def alerts(
    market: Annotated[str, typer.Option(help="Market code; none: all.")] = "",
    kind: _Kind = "",
    after: Annotated[int, typer.Option(min=0, help="With a higher number only.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_MAX, help="At most so many.")] = 50,
    state: Annotated[str, typer.Option(help="OPEN, TAKEN or CLOSED; none: all.")] = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """List what surveillance saw, newest first: for operators and the authority.

    exchange alerts --state OPEN
    """

    async def work(client: Client) -> None:
        found = await client.alerts(
            market, after=after, kind=kind, state=_state(state), limit=limit
        )
        if as_json:
            for row in found.alerts:
                show_json(row)
            return
        out = Console(highlight=False, soft_wrap=True)
        if not out.is_terminal:
            _table(out, found.alerts)
            return
        for row in found.alerts:
            _line(out, row.id, row, (row.events[0], row.events[-1]))
            by = f" by {row.handled_by}, {utc(row.handled_ns)} UTC" if row.handled_by else ""
            why = f": {row.handled_reason}" if row.handled_reason else ""
            out.print(f"  [bold]{row.state}[/bold]{by}{why}")
        out.print(f"{len(found.alerts)} alerts")

    with_client(key_file, work)


def handle_alert(
    alert: Annotated[str, typer.Argument(help="Market and number, as EU-1.")],
    state: Annotated[str, typer.Argument(help="TAKEN, CLOSED, or OPEN again.")],
    reason: Annotated[str, typer.Option(help="What was found; needed unless taken.")] = "",
    key_file: KeyFile = None,
) -> None:
    """Take an alert, close it with what was found, or open it again; the log keeps who and why.

    exchange handle-alert EU-1 CLOSED --reason "a market maker's own error, corrected"
    """
    market, _, number = alert.rpartition("-")
    word = cast(AlertStateWord, _state(state))
    if not market or not word:
        raise typer.BadParameter(f"{alert[:40]!r}: write market and number, as EU-1, and a state")
    body = HandleAlert(ref=0, market=market, number=whole(number), state=word, reason=reason)

    async def work(client: Client) -> None:
        report = await client.operate("/operations/alert", body)
        typer.echo(f"{report.status}: alert {alert} is {word}")

    with_client(key_file, work)


def _state(word: str) -> str:
    if word not in ("", *get_args(AlertStateWord)):
        raise typer.BadParameter(f"{word[:40]!r} is none of {', '.join(get_args(AlertStateWord))}")
    return word


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


def _table(out: Console, found: Sequence[AlertRow]) -> None:
    table = make_table(
        "Alerts", "alert", "state", "kind", "symbol", "accounts", "last UTC", ">score",
        ">first event", ">last event", "what was seen", "by", "when UTC", "why",
    )  # fmt: skip
    for row in found:
        when = utc(row.handled_ns) if row.handled_by else ""
        table.add_row(
            row.id, row.state, row.kind, row.symbol, ", ".join(map(str, row.accounts)),
            utc(row.to_ns), str(row.score), str(row.events[0]), str(row.events[-1]), row.text,
            row.handled_by, when, row.handled_reason,
        )  # fmt: skip
    show_table(out, table)


def _line(out: Console, number: str, alert: Alert | AlertRow, events: tuple[int, int]) -> None:
    accounts = ", ".join(map(str, alert.accounts))
    out.print(
        f"[bold]{number}  {alert.kind}[/bold]  {alert.symbol}  accounts {accounts}  "
        f"{utc(alert.to_ns)} UTC  score {alert.score:,}  events {events[0]} to {events[1]}\n"
        f"  {alert.text}"
    )
