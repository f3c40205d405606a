"""What a visitor of the demo may take part in: an auction that says when it closes, and a block."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from gateway.demo.demo_keys import DESK, HUADONG, NORTHERN, OPERATIONS
from gateway.demo.demo_offers import BLOCK_T, OFFERED_T, Offers
from tests.gateway.demo_venue import demo_venue

OPEN_S = 4.0


async def test_a_visitor_bids_and_takes_a_block(tmp_path: Path) -> None:
    async with demo_venue(tmp_path) as venue, asyncio.timeout(60):
        members = venue.members
        desk = await members.client(DESK)
        clients = [await members.client(holder) for holder in (OPERATIONS, NORTHERN, HUADONG)]
        stop = asyncio.Event()
        offers = Offers(*clients, members._clock)
        running = asyncio.create_task(offers.run(stop, OPEN_S, 600))
        while not (rows := await desk.auctions("EUA")) or not (await desk.blocks()).proposals:
            assert not running.done(), running
            await asyncio.sleep(0.05)
        (row,) = rows
        assert (row.state, row.offered_t) == ("OPEN", OFFERED_T)
        assert re.fullmatch(r"demo \d\d:\d\d:\d\d", row.label)
        assert 0 <= row.closes_ns - row.opened_ns - int(OPEN_S * 1e9) + 10**9 <= 10**9
        await venue.do("auctions", "bid", "EUA", "500", "@75.00", "--account", "103")
        (block,) = (await desk.blocks()).proposals
        await venue.do("block", "confirm", str(block.order_id), "--yes")
        while (await desk.auctions("EUA"))[-1].state == "OPEN":
            await asyncio.sleep(0.1)
        methods = [report.trade_method async for report in desk.all_executions("EU")]
        assert [method for method in methods if method] == ["BLOCK", "AUCTION"]
        (row,) = await desk.auctions("EUA")
        assert (row.state, row.sold_t, row.bidders) == ("CLEARED", OFFERED_T, 2)
        assert row.ended_ns >= row.closes_ns
        stop.set()
        await asyncio.wait_for(running, 5)
        again = asyncio.create_task(offers.run(stop := asyncio.Event(), 600))
        while len(await desk.auctions("EUA")) < 2:
            await asyncio.sleep(0.05)
        assert [b.order_quantity for b in (await desk.blocks()).proposals] == [BLOCK_T]
        stop.set()
        await asyncio.wait_for(again, 5)
