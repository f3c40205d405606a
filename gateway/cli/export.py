"""`exchange export`: what a key sees, as CSV or JSON Lines, to a file or standard output.

Rows are flat, with the same columns in both forms; the venue is asked page by page.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TextIO

import msgspec
import typer

from exchange.messages.executions import ExecutionReport
from exchange.settings import PAGE_MAX
from gateway.cli.options import KeyFile, MarketCode, whole, with_client
from gateway.client import Client

Row = dict[str, Any]

UNITS_COLUMNS = ("market", "account", "asset", "available", "held", "locked")
TRADE_COLUMNS = ("symbol", "trade_id", "time_ns", "side", "quantity", "price")
HOLDING_COLUMNS = (
    "market", "account", "symbol", "position", "lender", "programme", "first", "last", "quantity",
)  # fmt: skip
REPORT_COLUMNS = tuple(name for name in ExecutionReport.__struct_fields__ if name != "ref")


class What(Enum):
    """What is exported."""

    ORDERS = "orders"
    EXECUTIONS = "executions"
    TRADES = "trades"
    POSITIONS = "positions"
    HOLDINGS = "holdings"


class Form(Enum):
    """As what it is written."""

    CSV = "csv"
    JSONL = "jsonl"


COLUMNS: dict[What, tuple[str, ...]] = {
    What.ORDERS: REPORT_COLUMNS,
    What.EXECUTIONS: REPORT_COLUMNS,
    What.TRADES: TRADE_COLUMNS,
    What.POSITIONS: UNITS_COLUMNS,
    What.HOLDINGS: HOLDING_COLUMNS,
}


def register(app: typer.Typer) -> None:
    """Adds the command to the program."""
    app.command()(export)


def export(
    what: Annotated[What, typer.Argument(help="What to write.")],
    market: MarketCode = "",
    form: Annotated[Form, typer.Option("--format", help="csv or jsonl.")] = Form.CSV,
    out: Annotated[
        Path | None, typer.Option("--out", help="A file, replaced when all is there.")
    ] = None,
    after: Annotated[
        int, typer.Option(help="Executions with a higher sequence only.", parser=whole)
    ] = 0,
    key_file: KeyFile = None,
) -> None:
    """Write open orders, executions, public trades, positions or holdings as CSV or JSON Lines.

    Executions and trades go back as far as the gateway remembers. A file that is there is replaced
    only when the whole of the new one is written.

    exchange export executions --market EU --format jsonl --out executions.jsonl
    """

    async def work(client: Client) -> None:
        rows = _rows(client, what, market, after)
        if out is None:
            await _write(sys.stdout, rows, COLUMNS[what], form)
            return
        draft = out.with_name(out.name + ".part")
        with draft.open("w", encoding="utf-8", newline="") as file:
            count = await _write(file, rows, COLUMNS[what], form)
        draft.replace(out)
        typer.echo(f"{count} rows in {out}", err=True)

    with_client(key_file, work)


async def _write(
    file: TextIO, rows: AsyncIterator[Row], columns: tuple[str, ...], form: Form
) -> int:
    """Writes the rows; how many. O(rows)."""
    table = csv.DictWriter(file, columns, lineterminator="\n")
    if form is Form.CSV:
        table.writeheader()
    count = 0
    async for row in rows:
        count += 1
        if form is Form.CSV:
            table.writerow(row)
        else:
            file.write(msgspec.json.encode(row).decode() + "\n")
    return count


async def _rows(client: Client, what: What, market: str, after: int) -> AsyncIterator[Row]:
    if what is What.ORDERS:
        for order in await client.orders(market):
            yield _report(order)
    elif what is What.EXECUTIONS:
        for code in [market] if market else await _codes(client):
            async with aclosing(client.all_executions(code, after)) as reports:
                async for report in reports:
                    yield _report(report)
    elif what is What.TRADES:
        for item in (await client.instruments()).instruments:
            if market in ("", item.market):
                for trade in reversed((await client.trades(item.symbol, PAGE_MAX)).trades):
                    yield {"symbol": item.symbol, **msgspec.structs.asdict(trade)}
    elif what is What.POSITIONS:
        for row in (await client.positions(market)).positions:
            place = {"market": row.market, "account": row.account}
            yield {**place, "asset": row.currency, **msgspec.structs.asdict(row.cash)}
            for units in row.units:
                figures = msgspec.structs.asdict(units)
                yield {**place, "asset": figures.pop("symbol"), **figures}
    else:
        for holding in (await client.holdings(market)).holdings:
            base = msgspec.structs.asdict(holding)
            for item in base.pop("ranges"):
                serials = msgspec.structs.asdict(item)
                yield {**base, **serials, "quantity": item.last - item.first + 1}
            rest = holding.quantity - sum(r.last - r.first + 1 for r in holding.ranges)
            if rest:  # in more ranges than the venue lists
                yield {**base, "programme": "", "first": "", "last": "", "quantity": rest}


async def _codes(client: Client) -> list[str]:
    rows = (await client.instruments()).instruments
    return list(dict.fromkeys(row.market for row in rows))


def _report(report: ExecutionReport) -> Row:
    return {name: getattr(report, name) for name in REPORT_COLUMNS}
