"""Quotes both sides of a book around the last price, leans against its inventory, leaves nothing.

    python deploy/examples/market_maker.py --key-file KEY --symbol EUA --account 103

The more it has bought, the lower it quotes. A quote takes the place of the one before in one step,
so a lost connection or a restart leaves one at most; the last act is to withdraw it. When the venue
is away, `Client` connects again and this goes on. It is an example and no strategy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path
from typing import NamedTuple

from gateway.client import (
    BookFeed,
    Client,
    MarketClosedError,
    OperationFailedError,
    SigningKey,
    load_key,
)


class Terms(NamedTuple):
    """What is quoted: tonnes a side, half the spread and the lean in basis points."""

    symbol: str
    account: int
    size: int = 50
    half_spread_bp: int = 30
    lean_bp: int = 20  # moved for an inventory of `inventory_max`
    inventory_max: int = 500  # tonnes away from where it began; then one side only


class Sides(NamedTuple):
    """Prices in minor units; a quantity of 0 is no side."""

    bid_quantity: int
    bid: int
    offer_quantity: int
    offer: int


def sides(terms: Terms, middle: int, inventory: int, tick: int = 1) -> Sides:
    """What to quote around a price with so many tonnes bought (negative: sold) since the start."""
    lean = middle * terms.lean_bp * inventory // (terms.inventory_max * 10_000)
    half = max(middle * terms.half_spread_bp // 10_000, tick)
    bid = (middle - lean - half) // tick * tick
    offer = -(-(middle - lean + half) // tick) * tick
    return Sides(
        min(terms.size, max(terms.inventory_max - inventory, 0)),
        bid,
        min(terms.size, max(terms.inventory_max + inventory, 0)),
        offer,
    )


def money(minor: int) -> str:
    """Minor units of a currency with two digits, as a decimal string."""
    return f"{minor // 100}.{minor % 100:02}"


def minor(text: str) -> int:
    """The opposite of `money`."""
    whole, _, rest = text.partition(".")
    return int(whole) * 100 + int(rest.ljust(2, "0"))


async def inventory_of(client: Client, terms: Terms) -> int:
    """Tonnes of the symbol in the account's trading position."""
    for row in (await client.positions()).positions:
        for units in row.units:
            if (row.account, units.symbol) == (terms.account, terms.symbol):
                return units.available + units.held + units.locked
    return 0


async def quote_once(client: Client, feed: BookFeed, terms: Terms, began_with: int) -> Sides:
    """Sets the quote anew around the last trade or, before the first, the reference price."""
    traded = feed.trades.get(terms.symbol)
    rows = (await client.instruments()).instruments
    row = next(item for item in rows if item.symbol == terms.symbol)
    middle = traded[-1].price if traded else minor(row.reference_price)
    what = sides(terms, middle, await inventory_of(client, terms) - began_with)
    await client.quote(
        terms.symbol,
        terms.account,
        bid=(what.bid_quantity, money(what.bid)) if what.bid_quantity else None,
        offer=(what.offer_quantity, money(what.offer)) if what.offer_quantity else None,
    )
    return what


async def run(key: SigningKey, terms: Terms, stop: asyncio.Event, pause_s: float = 1.0) -> int:
    """Quotes until `stop`, then withdraws the quote; how many quotes it set."""
    done = 0
    async with Client(key.url, key) as client, BookFeed(key.url, [terms.symbol]) as feed:
        began_with = await inventory_of(client, terms)
        try:
            while not stop.is_set():
                try:
                    await quote_once(client, feed, terms, began_with)
                    done += 1
                except (OperationFailedError, MarketClosedError) as error:
                    print(f"waits: {error}")  # the venue is away, busy or closed
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause_s)
        finally:
            with contextlib.suppress(MarketClosedError):
                await client.quote(terms.symbol, terms.account)
    return done


async def main() -> None:
    """Runs until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--key-file", type=Path, required=True)
    parser.add_argument("--symbol", default="EUA")
    parser.add_argument("--account", type=int, required=True)
    given = parser.parse_args()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    done = await run(load_key(given.key_file), Terms(given.symbol, given.account), stop)
    print(f"{done} quotes set, the last one withdrawn")


if __name__ == "__main__":
    asyncio.run(main())
