"""A surrender plan in print: what to give, what is left and why, what the caps leave."""

from __future__ import annotations

from rich.console import Console

from gateway.cli.options import make_table
from gateway.routes.compliance import SurrenderPlanReply


def print_plan(out: Console, plan: SurrenderPlanReply) -> None:
    """Prints a plan and the instructions that carry it out."""
    due = f", due {plan.due}" if plan.due else ""
    out.print(
        f"{plan.scheme}, emission year {plan.year}, account {plan.account}: obligation "
        f"{plan.obligation:,} t, surrendered {plan.surrendered:,} t, owed {plan.owed:,} t{due}",
        soft_wrap=True,
    )
    if plan.surrender:
        table = make_table("Surrender", "symbol", ">tonnes", ">price", "rule")
        for row in plan.surrender:
            table.add_row(row.symbol, f"{row.quantity:,}", row.price, row.rule)
        out.print(table)
    out.print(f"cost at the last prices: {plan.cost} {plan.currency}")
    if plan.missing:
        out.print(f"[bold]missing: {plan.missing:,} t[/bold] to be bought before it is due")
    if plan.left:
        table = make_table("Not in the plan", "symbol", ">tonnes", "why")
        for left in plan.left:
            table.add_row(left.symbol, f"{left.quantity:,}", left.reason)
        out.print(table)
    if plan.limits:
        table = make_table("Limits after it", "limit", ">tonnes", ">left")
        for limit in plan.limits:
            table.add_row(limit.name, f"{limit.limit:,}", f"{limit.left:,}")
        out.print(table)
    for row in plan.surrender:
        out.print(
            f"exchange surrender {row.symbol} {row.quantity} {plan.year} --account {plan.account}",
            soft_wrap=True,
        )
    out.print(f"source: {plan.source}", soft_wrap=True, style="dim")
