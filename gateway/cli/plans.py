"""Surrender plans and headroom in print."""

from __future__ import annotations

from rich.console import Console

from gateway.cli.options import make_table
from gateway.routes.compliance import OffsetHeadroomReply, SurrenderPlanReply


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
        out.print(table)
    out.print(f"cost at the last prices: {plan.cost} {plan.currency}")
    if plan.missing:
        out.print(f"[bold]missing: {plan.missing:,} t[/bold] to be bought before it is due")
    if plan.left:
        table = make_table("Not in the plan", "symbol", ">project", ">tonnes", "why")
        for left in plan.left:
            table.add_row(left.symbol, _project(left.project), f"{left.quantity:,}", left.reason)
        out.print(table)
    if plan.limits:
        table = make_table("Limits after it", "limit", ">tonnes", ">left")
        for limit in plan.limits:
            table.add_row(limit.name, f"{limit.limit:,}", f"{limit.left:,}")
        out.print(table)
    for row in plan.surrender:
        project = f" --project {row.project}" if row.project else ""
        out.print(
            f"exchange surrender {row.symbol} {row.quantity} {plan.year} --account {plan.account}"
            f"{project}",
            soft_wrap=True,
        )
    out.print(f"source: {plan.source}", soft_wrap=True, style="dim")


def _project(number: int) -> str:
    return str(number) if number else ""


def print_headroom(out: Console, found: OffsetHeadroomReply) -> None:
    """Prints what the obligations of an account leave of an offset, year by year."""
    table = make_table(
        f"{found.symbol}, account {found.account}", ">year", ">obligation", ">cap", ">used", ">left"
    )
    for row in found.years:
        figures = (row.obligation, row.cap, row.used, row.left)
        table.add_row(str(row.year), *(f"{figure:,}" for figure in figures))
    out.print(table)
    enforced = "; a buy beyond it is refused" if found.is_enforced else ""
    out.print(
        f"held {found.held:,} t, being bought {found.buying:,} t: room for {found.room:,} t"
        f"{enforced}",
        soft_wrap=True,
    )
