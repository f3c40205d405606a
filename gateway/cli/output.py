"""How commands print: tables on a terminal, lines with tabs elsewhere, JSON Lines with `--json`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from exchange.messages.executions import ExecutionReport

STATUS_UNKNOWN = 4  # exit code: the log has the request, the engine has not answered

_SEPARATOR = re.compile(r"(?<=\d),(?=\d{3})")

Json = Annotated[bool, typer.Option("--json", help="JSON Lines: one document for each row.")]


def make_table(title: str, *columns: str) -> Table:
    """An empty table; a column whose name begins with > is of figures."""
    table = Table(title=title, title_justify="left")
    for name in columns:
        is_figure = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if is_figure else "left")
    return table


def figures_bar(out: Console) -> Progress:
    """A bar of tasks with their `figures`, gone when done and not there without a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        console=out,
        transient=True,
        disable=not out.is_terminal,
    )


def show(table: Table, rows: Sequence[Any], as_json: bool = False) -> None:
    """Prints a table whose rows stand for `rows`, which `--json` prints as the venue sent them.

    Where no terminal reads it: title, names of the columns, then a line for each row, tabs between
    and figures without separators. O(rows).
    """
    if as_json:
        for row in rows:
            show_json(row)
        return
    show_table(Console(), table)


def show_table(out: Console, table: Table) -> None:
    """Prints a table on a terminal; elsewhere its lines, with tabs and plain figures. O(rows)."""
    if out.is_terminal:
        out.print(table)
        return
    columns = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    figures = [column.justify == "right" for column in table.columns]
    lines = [str(table.title)]
    for line in zip(*columns, strict=True):
        cells = (
            plain(cell) if is_figure else cell.replace("\n", ", ")
            for cell, is_figure in zip(line, figures, strict=True)
        )
        lines.append("\t".join(cells))
    out.file.write("".join(f"{line}\n" for line in lines))  # `print` would make blanks of tabs


def plain(text: str) -> str:
    """Figures without the separators of thousands, as other programs read them. O(text)."""
    return _SEPARATOR.sub("", text)


def show_json(document: Any) -> None:
    """Prints one JSON document on a line."""
    typer.echo(msgspec.json.encode(document).decode())


def show_report(report: ExecutionReport, as_json: bool = False) -> None:
    """Prints what became of a request; typer.Exit(4) while the engine has not answered."""
    if as_json:
        show_json(report)
    else:
        Console(highlight=False).print(_sentence(report), soft_wrap=True)
    if report.exec_type == "PENDING":
        raise typer.Exit(STATUS_UNKNOWN)


def _sentence(report: ExecutionReport) -> str:
    if report.exec_type == "MASS_CANCELLED":
        return f"[bold]CANCELLED[/bold]: {report.affected_orders:,} orders of {report.market}"
    if report.exec_type == "QUOTED":
        return f"[bold]QUOTED[/bold]: {report.symbol}, account {report.account}"
    done = f", traded {report.cumulative_quantity:,} t" if report.cumulative_quantity else ""
    last = f", last at {report.last_price}" if report.last_price else ""
    why = f" ({report.title})" if report.title else ""
    stop = f", stop {report.stop_price}" if report.stop_price else ""
    return (
        f"[bold]{report.order_status or report.exec_type}[/bold]{why}: {report.side} "
        f"{report.order_quantity:,} t {report.symbol} @{report.price or 'market'}{stop}{done}{last}"
        f", leaves {report.leaves_quantity:,} t, order id {report.order_id}"
    )
