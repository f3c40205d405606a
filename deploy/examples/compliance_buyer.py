"""Buys what an emitter lacks for a compliance year, in slices, and surrenders by the plan.

    python deploy/examples/compliance_buyer.py --key-file KEY --account 203 --year 2025 \\
        --symbol CEA-2025 --limit 80.00

It reads the obligation, shows the room for offset credits, asks for the cheapest plan, buys the
missing tonnes up to a limit price, moves them to the registry and, asked once more, gives up what
the plan says. What is surrendered is gone for good, so nothing is without a yes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from exchange.messages.instructions import ReleaseUnits, SurrenderUnits
from gateway.client import Client, RefusedError, SigningKey, VenueError, load_key
from gateway.replies.compliance import SurrenderPlanReply


class Wish(NamedTuple):
    """Whose year it is, what is bought and at most for how much a tonne."""

    account: int
    year: int
    symbol: str
    limit: str
    slice_t: int = 200  # tonnes an order
    pause_s: float = 1.0
    orders_max: int = 1_000
    offset: str = "CCER"


async def show_room(client: Client, wish: Wish) -> None:
    """Prints what the rules still let the account surrender in offset credits."""
    try:
        found = await client.offset_headroom(wish.account, wish.offset)
    except RefusedError as error:
        print(f"no offsets: {error.text}")
        return
    for row in found.years:
        print(f"{wish.offset} for {row.year}: cap {row.cap:,} t, left {row.left:,} t")


async def buy(client: Client, wish: Wish, tonnes: int) -> int:
    """Buys in slices, each for what is offered now at the limit or better; tonnes bought."""
    got = 0
    for _ in range(wish.orders_max):
        if got >= tonnes:
            break
        quantity = min(wish.slice_t, tonnes - got)
        report = await client.new_order(
            wish.symbol, wish.account, "BUY", quantity, wish.limit, time_in_force="IOC"
        )
        got += report.cumulative_quantity
        print(f"bought {report.cumulative_quantity:,} of {quantity:,} t, {got:,} t in all")
        await asyncio.sleep(wish.pause_s)
    return got


async def release(client: Client, wish: Wish) -> int:
    """Moves what is free in the trading position to the registry; tonnes moved."""
    for row in (await client.positions()).positions:
        for units in row.units:
            if (row.account, units.symbol) != (wish.account, wish.symbol) or not units.available:
                continue
            await client.instruct(
                ReleaseUnits(
                    ref=0, symbol=wish.symbol, account=wish.account, quantity=units.available
                )
            )
            return units.available
    return 0


async def surrender(client: Client, plan: SurrenderPlanReply) -> int:
    """Gives up what the plan says, row by row; tonnes."""
    given = 0
    for row in plan.surrender:
        report = await client.instruct(
            SurrenderUnits(
                ref=0,
                symbol=row.symbol,
                account=plan.account,
                quantity=row.quantity,
                year=plan.year,
                project=row.project,
            )
        )
        given += report.quantity
    return given


async def run(key: SigningKey, wish: Wish, agreed: Callable[[str], bool]) -> int:
    """Buys and surrenders; tonnes still owed at the end."""
    async with Client(key.url, key) as client:
        plan = await client.surrender_plan(wish.account, wish.year)
        print(f"owed {plan.owed:,} t, to be bought {plan.missing:,} t, due {plan.due or 'unknown'}")
        await show_room(client, wish)
        if plan.missing and agreed(f"Buy {plan.missing:,} t {wish.symbol} at {wish.limit}?"):
            await buy(client, wish, plan.missing)
        try:
            print(f"released {await release(client, wish):,} t to the registry")
        except VenueError as error:  # some rules free what was bought on the next day only
            print(f"not released yet: {error.text}")
        plan = await client.surrender_plan(wish.account, wish.year)
        what = ", ".join(f"{row.quantity:,} t {row.symbol}" for row in plan.surrender)
        if not what or not agreed(f"Give up {what} for {wish.year}, for good?"):
            return plan.owed
        return plan.owed - await surrender(client, plan)


def ask(question: str) -> bool:
    """Whether the person at the terminal says yes."""
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


async def main() -> None:
    """One run; it may be started again, on the next day for instance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--account", type=int, required=True)
    parser.add_argument("--year", type=int, required=True)
    parser.add_argument("--symbol", required=True)
    parser.add_argument("--limit", required=True, help="as 80.00")
    given = parser.parse_args()
    wish = Wish(given.account, given.year, given.symbol, given.limit)
    print(f"still owed: {await run(load_key(given.key_file), wish, ask):,} t")


if __name__ == "__main__":
    asyncio.run(main())
