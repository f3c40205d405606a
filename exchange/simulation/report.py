"""The printed side of a simulated window: the table, the marks, the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from exchange.audit import Check
from exchange.simulation.pilots import NATIONAL_CLOSE, rules_of
from exchange.simulation.planner import MARKS
from exchange.simulation.tape import OPEN_OUTSIDE, RowResult

WIDTH_MIN = 100  # columns of a file or pipe
MEANINGS = MARKS | {
    OPEN_OUTSIDE: "the open is no trade: it is the previous close, by this market's own rule, and "
    "lies outside the day's trades",
}


def console(*, stderr: bool = False) -> Console:
    """A console that does not wrap tables when it is no terminal."""
    plain = Console(stderr=stderr)
    return plain if plain.is_terminal else Console(stderr=stderr, width=WIDTH_MIN)


def money(value: int | None) -> str:
    """Minor units as currency units, "-" for none."""
    return f"{value // 100}.{value % 100:02}" if value else "-"


def tonnes(value: int | None) -> str:
    """Tonnes with thousands separated, "-" for none."""
    return f"{value:,}" if value else "-"


def days_table(rows: Sequence[RowResult]) -> Table:
    """Published above produced, for each day and product; what differs stands in bold yellow."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("product", "venue", ""):
        table.add_column(name, no_wrap=True)
    for name in ("open", "high", "low", "average", "volume", "close"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("marks", no_wrap=True)
    for number, row in enumerate(rows):
        if not number or rows[number - 1].day != row.day:
            table.add_row(Text(str(row.day), style="bold cyan"))
        is_last = number + 1 == len(rows) or rows[number + 1].day != row.day
        table.add_row(*_cells(row), end_section=is_last)
    return table


def _cells(row: RowResult) -> list[Text | str]:
    quote, made = row.quote, row.produced
    names: list[Text | str] = [quote.product, quote.venue]
    has_quote = any((quote.open, quote.high, quote.low, quote.average, quote.volume))
    if not (has_quote or made.trades):
        return [*names, "no trades", *[""] * 5, money(made.close), row.marks]
    pairs = (
        (money(quote.open), money(row.open)),
        (money(quote.high), money(made.high)),
        (money(quote.low), money(made.low)),
        (money(quote.average), money(made.average)),
        (tonnes(quote.volume), tonnes(made.volume)),
        ("", money(made.close)),
    )
    return [*names, "published\nproduced", *(_pair(*pair) for pair in pairs), row.marks]


def _pair(published: str, produced: str) -> Text:
    is_other = published not in ("", "-", produced)
    text = Text(published + "\n", justify="right")
    return text.append(produced, style="bold yellow" if is_other else "")


def print_rows(out: Console, rows: Sequence[RowResult]) -> None:
    """The table, what its marks mean, and the rules with their sources."""
    out.print("Published and produced, CNY a tonne and tonnes:", highlight=False)
    out.print(days_table(rows))
    used = sorted({mark for row in rows for mark in row.marks})
    for mark in used:
        count = sum(mark in row.marks for row in rows)
        out.print(f"  {mark}  {MEANINGS[mark]} ({count} rows)", highlight=False, soft_wrap=True)
    out.print("\nTrading rules applied:", highlight=False)
    for venue in sorted({row.quote.venue for row in rows}):
        rules = rules_of(venue)
        resale = "T+1" if rules.resale_next_day else "T+0"
        out.print(
            f"  {venue}: band {rules.band_bp // 100} %, fee {rules.fee_bp} bp a side, resale "
            f"{resale}. {rules.source}",
            highlight=False,
            soft_wrap=True,
        )
    out.print(f"  {NATIONAL_CLOSE}", highlight=False, soft_wrap=True)


def print_checks(out: Console, checks: Iterable[Check]) -> None:
    """Each check with OK or FAIL and its figures."""
    out.print("\nChecks:", highlight=False)
    for check in checks:
        word = Text("OK  ", style="green") if check.ok else Text("FAIL", style="bold red")
        line = Text("  ").append(word).append(f"  {check.name}: {check.figures}")
        out.print(line, soft_wrap=True)
