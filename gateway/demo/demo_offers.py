"""What the demonstration offers to take part in: an auction of EUA at most times, and blocks.

Northern offers, Huadong bids for more than all of it; whoever bids above Huadong's lowest has some.
Bids are heard until the auction's closing time (`closes_ns`), then the operator clears it. Of the
blocks one is made between the two brokers and one proposed to the visitor.
"""

from __future__ import annotations

import asyncio
import datetime as dt

import structlog

from exchange.clock import Clock
from exchange.messages.executions import ExecutionReport
from exchange.messages.operations import AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from gateway.client import Client, VenueError
from gateway.demo.simulated import minor_units, money

SYMBOL = "EUA"
FORMAT = "eu-primary"
OFFERED_T = 5_000
BIDS = ((10_020, 2_000), (10_000, 2_000), (9_980, 1_500), (9_950, 1_500))  # bp of the last, tonnes
BLOCK_T = 1_000
NS = 1_000_000_000
OPEN_S = 600.0
PAUSE_S = 120.0
AGAIN_S = 5.0  # after a refusal, such as of a market that is closed
OFFERING, BIDDING, VISITING = 101, 102, 103  # accounts

log = structlog.get_logger(__name__)


class Offers:
    """Auctions and blocks of EUA, one after the other, until they are stopped."""

    def __init__(self, operations: Client, offering: Client, bidding: Client, clock: Clock) -> None:
        self._operations = operations
        self._offering = offering
        self._bidding = bidding
        self._clock = clock

    async def run(
        self, stop: asyncio.Event, open_s: float = OPEN_S, pause_s: float = PAUSE_S
    ) -> None:
        """Opens, waits and closes until `stop`; a refusal or a lost venue is tried again."""
        while not stop.is_set():
            try:
                await self._close(stop)  # what an earlier run left open
                if stop.is_set():
                    return
                await self._propose()
                await self._open(open_s)
                await _wait(stop, open_s)
                if not stop.is_set():
                    await self._close(stop)
                    await _wait(stop, pause_s)
            except (VenueError, ConnectionError) as error:
                log.info("no auction now", error=str(error))
                await _wait(stop, AGAIN_S)

    async def _open(self, open_s: float) -> None:
        now_ns = self._clock.now_ns()
        opened = dt.datetime.fromtimestamp(now_ns // NS, dt.UTC)
        await self._operations.run_auction(AuctionOpen(
            ref=0, symbol=SYMBOL, account=OFFERING, quantity=OFFERED_T, format=FORMAT,
            label=f"demo {opened:%H:%M:%S}", closes_ns=now_ns + int(open_s * NS),
        ))  # fmt: skip
        auction_id = (await self._operations.auctions(SYMBOL))[-1].auction_id
        last = await self._last_price()
        for share_bp, quantity in BIDS:
            await self._bidding.bid(AuctionBid(
                ref=0, symbol=SYMBOL, account=BIDDING, auction_id=auction_id, quantity=quantity,
                price=money(last * share_bp // 10_000),
            ))  # fmt: skip

    async def _close(self, stop: asyncio.Event) -> None:
        for row in await self._operations.auctions(SYMBOL):
            if row.state == "OPEN":
                await _wait(stop, (row.closes_ns - self._clock.now_ns()) / NS)
                if stop.is_set():
                    return
                await self._operations.run_auction(
                    AuctionClear(ref=0, symbol=SYMBOL, auction_id=row.auction_id)
                )

    async def _propose(self) -> None:
        """A block that Huadong takes, and one for the visitor in the place of the last."""
        for order in await self._offering.orders():
            if (order.symbol, order.order_type) == (SYMBOL, "BLOCK"):
                await self._offering.cancel_order(SYMBOL, OFFERING, order.order_id)
        proposed = await self._block_to(BIDDING)
        waiting = (await self._bidding.blocks()).proposals
        for row in waiting:
            if row.order_id == proposed.order_id:
                await self._bidding.confirm_block(row)
        await self._block_to(VISITING)

    async def _block_to(self, account: int) -> ExecutionReport:
        price = money(await self._last_price())
        return await self._offering.propose_block(SYMBOL, OFFERING, "SELL", BLOCK_T, price, account)

    async def _last_price(self) -> int:
        rows = (await self._operations.instruments()).instruments
        row = next(row for row in rows if row.symbol == SYMBOL)
        return minor_units(row.last_price or row.reference_price)


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
