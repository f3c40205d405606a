"""Surrender plans and headroom in print."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

from gateway.cli.output import make_table, show_table
from gateway.replies.compliance import OffsetHeadroomReply, SurrenderPlanReply
from gateway.replies.years import ComplianceYearReply

YEAR_FIGURES = (
    "reported", "verified", "provisional", "final", "deducted", "carried_in", "added",
    "obligation", "surrendered", "offsets", "closed", "owed", "deduction",
)  # fmt: skip


def print_plan(out: Console, plan: SurrenderPlanReply) -> None:
    """Prints a plan and the instructions that carry it out."""
    due = f", due {plan.due}" if plan.due else ""
    out.print(
        f"{plan.scheme}, emission year {plan.year}, account {plan.account}: obligation "
        f"{plan.obligation:,} t, surrendered {plan.surrendered:,} t, owed {plan.owed:,} t{due}",
        soft_wrap=True,
    )
    if plan.surrender:
        table = make_table("Surrender", "symbol", ">project", ">tonnes", ">price", "rule")
        for row in plan.surrender:
            table.add_row(
                row.symbol, _project(row.project), f"{row.quantity:,}", row.price, row.rule
            )
        show_table(out, table)
    out.print(f"cost at the last prices: {plan.cost} {plan.currency}")
    if plan.missing:
        out.print(f"[bold]missing: {plan.missing:,} t[/bold] to be bought before it is due")
    if plan.left:
        table = make_table("Not in the plan", "symbol", ">project", ">tonnes", "why")
        for left in plan.left:
            table.add_row(left.symbol, _project(left.project), f"{left.quantity:,}", left.reason)
        show_table(out, table)
    if plan.limits:
        table = make_table("Limits after it", "limit", ">tonnes", ">left")
        for limit in plan.limits:
            table.add_row(limit.name, f"{limit.limit:,}", f"{limit.left:,}")
        show_table(out, table)
    for row in plan.surrender:
        project = f" --project {row.project}" if row.project else ""
        out.print(
            f"exchange surrender {row.symbol} {row.quantity} {plan.year} --account {plan.account}"
            f"{project}",
            soft_wrap=True,
        )
    out.print(f"source: {plan.source}", soft_wrap=True, style="dim", markup=False)


def _project(number: int) -> str:
    return str(number) if number else ""


def print_year(out: Console, found: ComplianceYearReply) -> None:
    """Prints a compliance year: its figures and its steps, as tables or as lines."""
    figures = [
        (name, f"{value:,}") for name in YEAR_FIGURES if (value := getattr(found, name)) is not None
    ]
    steps = [
        (
            row.step,
            row.status,
            row.due,
            "" if row.quantity is None else f"{row.quantity:,}",
            f"{datetime.fromtimestamp(row.time_ns // 10**9, UTC):%Y-%m-%d}" if row.time_ns else "",
            row.by,
            row.detail,
        )
        for row in found.steps
    ]
    sector = f", {found.sector}" if found.sector else ""
    title = f"{found.scheme}, emission year {found.year}, account {found.account}{sector}"
    out.print(title, soft_wrap=True)
    table = make_table("Figures", "figure", ">tonnes")
    for figure in figures:
        table.add_row(*figure)
    show_table(out, table)
    table = make_table("Steps", "step", "status", "due", ">tonnes", "done (UTC)", "by", "detail")
    for step in steps:
        table.add_row(*step)
    show_table(out, table)
    _print_assessment(out, found)
    sources = dict.fromkeys(
        text for text in (found.source, *(s.source for s in found.steps)) if text
    )
    for text in sources:
        out.print(f"source: {text}", soft_wrap=True, style="dim", markup=False)


def _print_assessment(out: Console, found: ComplianceYearReply) -> None:
    row = found.assessment
    if row is None:
        return
    parts = [f"assessed: shortfall {row.shortfall:,} t"]
    if row.fine_max != row.fine_min:
        parts.append(f"fine {row.fine_min} to {row.fine_max} {found.currency}")
    elif row.shortfall and row.fine_min:
        parts.append(f"fine {row.fine_min} {found.currency}")
    named = (
        ("carried to the next year", row.carried),
        ("instruments due", row.instruments_due),
        ("surrendered by force", row.forced),
        ("off the next allocation", row.deduction),
    )
    parts += [f"{name} {amount:,} t" for name, amount in named if amount]
    parts += [text for text in (row.condition, row.consequence) if text]
    out.print(", ".join(parts), soft_wrap=True, markup=False)


def print_headroom(out: Console, found: OffsetHeadroomReply) -> None:
    """Prints what the years of an account leave of an offset."""
    table = make_table(
        f"{found.symbol}, account {found.account}",
        ">year",
        "base",
        ">tonnes",
        ">cap",
        ">used",
        ">left",
        ">elsewhere",
    )
    for row in found.years:
        figures = (row.base, row.cap, row.used, row.left)
        elsewhere = "" if row.elsewhere is None else f"{row.elsewhere:,}"
        told = (f"{figure:,}" for figure in figures)
        table.add_row(str(row.year), row.base_name, *told, elsewhere)
    show_table(out, table)
    enforced = "; a buy beyond it is refused" if found.is_enforced else ""
    out.print(
        f"held {found.held:,} t, being bought {found.buying:,} t: room for {found.room:,} t"
        f"{enforced}",
        soft_wrap=True,
    )
