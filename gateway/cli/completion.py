"""What the shell offers behind TAB: symbols, markets, accounts and open orders of the venue.

The venue is the one of the key file on the line or in EXCHANGE_KEY_FILE, else of `--url`, else this
machine's. It is asked for at most PATIENCE_S; whatever goes wrong, nothing is offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import typer

from exchange.settings import Settings
from gateway.client import SigningKey, VenueError, load_key
from gateway.client.keys import DEFAULT_URL
from gateway.client.rest import Rest
from gateway.replies.accounts import PositionList
from gateway.replies.market import InstrumentList
from gateway.replies.trading import OrderList

PATIENCE_S = 1.5

Offers = list[tuple[str, str]]  # what may stand there, and what it is


def symbols(context: typer.Context, incomplete: str) -> Offers:
    """Symbols of the venue's instruments, in any case of letters."""

    async def work(rest: Rest) -> Offers:
        found = (await rest.get("/instruments", InstrumentList)).instruments
        return [(row.symbol, row.name) for row in found]

    return _offered(context, incomplete, work)


def markets(context: typer.Context, incomplete: str) -> Offers:
    """Codes of the venue's markets."""

    async def work(rest: Rest) -> Offers:
        found = (await rest.get("/instruments", InstrumentList)).instruments
        return list({row.market: (row.market, row.currency) for row in found}.values())

    return _offered(context, incomplete, work)


def accounts(context: typer.Context, incomplete: str) -> Offers:
    """Accounts that the key sees."""

    async def work(rest: Rest) -> Offers:
        found = (await rest.get("/positions", PositionList)).positions
        return [(str(row.account), f"{row.market}, {row.currency}") for row in found]

    return _offered(context, incomplete, work)


def open_orders(context: typer.Context, incomplete: str) -> Offers:
    """Ids of the key's open orders."""

    async def work(rest: Rest) -> Offers:
        found = (await rest.get("/orders", OrderList)).orders
        return [
            (str(row.order_id), f"{row.side} {row.leaves_quantity} t {row.symbol} @{row.price}")
            for row in found
        ]

    return _offered(context, incomplete, work)


def _offered(
    context: typer.Context, incomplete: str, work: Callable[[Rest], Awaitable[Offers]]
) -> Offers:
    async def ask() -> Offers:
        key = _key(context)
        url = str(context.params.get("url") or (key.url if key else DEFAULT_URL))
        rest = Rest(url, key)
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await work(rest)
        finally:
            await rest.close()

    try:
        found = asyncio.run(ask())
    except (VenueError, OSError, ValueError):
        return []
    wanted = incomplete.upper()
    return [offer for offer in found if offer[0].upper().startswith(wanted)]


def _key(context: typer.Context) -> SigningKey | None:
    path = context.params.get("key_file") or Settings.from_environment().key_file
    return load_key(Path(path)) if path else None
