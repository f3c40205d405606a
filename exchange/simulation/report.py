"""The printed side of a simulated window: the table, the marks, the checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from exchange.simulation.pilots import rules_of
from exchange.simulation.planner import MARKS
from exchange.simulation.tape import RowResult

WIDTH_MIN = 100  # columns of a file or pipe


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
    table = Table(title="Published and produced, CNY a tonne and tonnes", title_justify="left")
    for name in ("day", "venue", "product", ""):
        table.add_column(name, no_wrap=True)
    for name in ("open", "high", "low", "average", "volume", "close"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("marks", no_wrap=True)
    for number, row in enumerate(rows):
        is_last = number + 1 == len(rows) or rows[number + 1].day != row.day
        table.add_row(*_cells(row), end_section=is_last)
    return table


def _cells(row: RowResult) -> list[Text | str]:
    quote, made = row.quote, row.produced
    names: list[Text | str] = [str(row.day), quote.venue, quote.product]
    has_quote = any((quote.open, quote.high, quote.low, quote.average, quote.volume))
    if not (has_quote or made.trades):
        return [*names, "no trades", *[""] * 5, money(made.close), row.plan.marks]
    pairs = (
        (money(quote.open), money(row.open)),
        (money(quote.high), money(made.high)),
        (money(quote.low), money(made.low)),
        (money(quote.average), money(made.average)),
        (tonnes(quote.volume), tonnes(made.volume)),
        ("", money(made.close)),
    )
    return [*names, "published\nproduced", *(_pair(*pair) for pair in pairs), row.plan.marks]


def _pair(published: str, produced: str) -> Text:
    is_other = published not in ("", "-", produced)
    text = Text(published + "\n", justify="right")
    return text.append(produced, style="bold yellow" if is_other else "")


def print_rows(out: Console, rows: Sequence[RowResult]) -> None:
    """The table, what its marks mean, and the rules with their sources."""
    out.print(days_table(rows))
    used = sorted({mark for row in rows for mark in row.plan.marks})
    for mark in used:
        count = sum(mark in row.plan.marks for row in rows)
        out.print(f"  {mark}  {MARKS[mark]} ({count} rows)", highlight=False)
    out.print("\nTrading rules applied:", highlight=False)
    for venue in sorted({row.quote.venue for row in rows}):
        rules = rules_of(venue)
        resale = "T+1" if rules.resale_next_day else "T+0"
        out.print(
            f"  {venue}: band {rules.band_bp // 100} %, fee {rules.fee_bp} bp a side, resale "
            f"{resale}. {rules.source}",
            highlight=False,
        )


def print_checks(out: Console, checks: Iterable[tuple[str, bool, str]]) -> None:
    """Each check with OK or FAIL and its figures."""
    out.print("\nChecks:", highlight=False)
    for name, is_ok, figures in checks:
        word = Text("OK  ", style="green") if is_ok else Text("FAIL", style="bold red")
        out.print(Text("  ").append(word).append(f"  {name}: {figures}"), soft_wrap=True)
