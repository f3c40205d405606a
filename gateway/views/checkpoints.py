"""What the gateway knows of topic `checkpoints`: the last CHECKPOINTS_KEPT_MAX of each market.

It takes every note as it stands: who keeps one checks its signature, not we.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

import structlog

from exchange import topics
from exchange.log.protocol import Log
from exchange.messages.checkpoints import parse_checkpoint
from exchange.reference.venue import Market, Venue
from exchange.settings import CHECKPOINTS_KEPT_MAX
from gateway.views.following import follow


class Kept(NamedTuple):
    """One signed checkpoint of a market."""

    number: int
    time_ns: int
    note: str


class Checkpoints:
    """Follows `checkpoints` of every market."""

    def __init__(self, log: Log, venue: Venue) -> None:
        self._log = log
        self._markets = venue.market
        self._kept: dict[str, deque[Kept]] = {
            market.code: deque(maxlen=CHECKPOINTS_KEPT_MAX) for market in venue.market
        }

    def newest(self, market: str, *, number: int = 0, limit: int) -> list[Kept]:
        """Checkpoints of a market, newest first; only that with a number, if one is given."""
        kept = self._kept[market]
        found = [item for item in reversed(kept) if number in (0, item.number)]
        return found[:limit]

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until `stop`."""
        async with asyncio.TaskGroup() as group:
            for market in self._markets:
                group.create_task(self._follow(market, stop))

    async def _follow(self, market: Market, stop: asyncio.Event) -> None:
        logger = structlog.get_logger().bind(service="gateway", market=market.code)
        kept = self._kept[market.code]

        def take(offset: int, value: bytes) -> None:
            try:
                note = value.decode()
                found = parse_checkpoint(note.rpartition("\n\n")[0] + "\n")
            except ValueError as error:
                logger.error("no_checkpoint", offset=offset, error=str(error))
                return
            if not kept or found.number > kept[-1].number:  # a repeat comes after a doubt
                kept.append(Kept(found.number, found.time_ns, note))

        partition = topics.checkpoints(market.partition)
        await follow(self._log, partition, market.code, stop, take, last=CHECKPOINTS_KEPT_MAX)
