"""`exchange records`: what became of orders, field by field, from a recorded log."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
import uvloop

from exchange.audit.order_records import Selection, order_records
from exchange.audit.record_fields import OrderRecord
from exchange.database.connection import DatabaseError
from exchange.log.protocol import LogError
from exchange.messages.frames import ChainBrokenError
from gateway.cli.options import SECOND_NS, whole
from gateway.cli.proofs import Opened, open_venue

USAGE_ERROR = 2
Format = Literal["csv", "jsonl"]
COLUMNS = OrderRecord.__struct_fields__


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(records)


def records(
    market: Annotated[
        list[str] | None,
        typer.Option("--market", help="Market code; again for more; none: all."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of an embedded venue; none: EXCHANGE_* settings."),
    ] = None,
    order: Annotated[int, typer.Option(help="Of one order.", parser=whole, metavar="ORDER_ID")] = 0,
    account: Annotated[
        int, typer.Option(help="Of one account.", parser=whole, metavar="NUMBER")
    ] = 0,
    from_: Annotated[str, typer.Option("--from", help="From this moment, UTC.")] = "",
    to: Annotated[str, typer.Option(help="Until before this moment, UTC.")] = "",
    format_: Annotated[Format, typer.Option("--format", help="csv, or JSON Lines.")] = "csv",
) -> None:
    """Print the order records of RTS 24: every order, account and period, as far as the log knows.

    Moments are ISO 8601, a date alone is its midnight. deploy/docs/records.md says what each column
    is. Exit code 2: bad input or no log; 1: `events` are broken.
    """

    async def work() -> None:
        selection = Selection(
            order, account, _moment("--from", from_, 0), _moment("--to", to, 2**63 - 1)
        )
        async with open_venue(market, data) as opened:
            await _write(opened, selection, format_)

    try:
        uvloop.run(work())
    except ChainBrokenError as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(1) from None
    except (LogError, DatabaseError, OSError, ValueError, KeyError) as error:
        typer.echo(f"exchange: {error}", err=True)
        raise typer.Exit(USAGE_ERROR) from None


async def _write(opened: Opened, selection: Selection, format_: Format) -> None:
    rows = csv.writer(sys.stdout, lineterminator="\n")
    count = 0
    if format_ == "csv":
        rows.writerow(("market", *COLUMNS))
    for item in opened.markets:
        async for record in order_records(opened.log, opened.venue, item, selection):
            count += 1
            if format_ == "csv":
                rows.writerow((item.code, *msgspec.structs.astuple(record)))
            else:
                told = {"market": item.code} | msgspec.structs.asdict(record)
                sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    if not count:
        markets = ", ".join(item.code for item in opened.markets)
        typer.echo(f"exchange: no record of {markets} fits{_asked(selection)}", err=True)


def _asked(selection: Selection) -> str:
    """What narrows the records, in words."""
    named = {"order": selection.order_id, "account": selection.account}
    return "".join(f", {word} {number}" for word, number in named.items() if number)


def _moment(option: str, text: str, default: int) -> int:
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option} {text[:40]!r}: write YYYY-MM-DD or YYYY-MM-DDTHH:MM") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * SECOND_NS + moment.microsecond * 1_000
