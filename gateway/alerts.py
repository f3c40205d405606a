"""What the gateway knows of topic `alerts`: the last ALERTS_KEPT_MAX of each market."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from exchange import topics
from exchange.log.protocol import Log, LogUnavailableError, Reader
from exchange.messages.alerts import Alert
from exchange.reference.venue import Market, Venue
from exchange.settings import ALERTS_KEPT_MAX
from exchange.surveillance.records import AlertFollower

READ_WAIT_S = 0.5
RETRY_S = 0.2


class Alerts:
    """Follows `alerts` of every market."""

    def __init__(self, log: Log, venue: Venue) -> None:
        self._log = log
        self._markets = venue.market
        self._kept: dict[str, deque[Alert]] = {
            market.code: deque(maxlen=ALERTS_KEPT_MAX) for market in venue.market
        }
        self._caught_up = {market.code: False for market in venue.market}

    @property
    def is_ready(self) -> bool:
        """True once everything that was on `alerts` at the start has been read."""
        return all(self._caught_up.values())

    def newest(self, market: str, *, after: int = 0, kind: str = "", limit: int) -> list[Alert]:
        """Alerts of a market with a number above `after`, newest first. O(alerts looked at)."""
        found: list[Alert] = []
        for alert in reversed(self._kept[market]):
            if alert.number <= after or len(found) == limit:
                break
            if not kind or alert.kind == kind:
                found.append(alert)
        return found

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until `stop`; raises AlertsBrokenError when a record is missing."""
        async with asyncio.TaskGroup() as group:
            for market in self._markets:
                group.create_task(self._follow(market, stop))

    async def _follow(self, market: Market, stop: asyncio.Event) -> None:
        partition, follower = topics.alerts(market.partition), AlertFollower()
        logger = structlog.get_logger().bind(service="gateway", market=market.code)
        reader: Reader | None = None
        target = 0
        try:
            while not stop.is_set():
                try:
                    if reader is None:
                        target = await self._log.end(partition)
                        reader = await self._log.open_reader(partition, 0)
                    records = await reader.read(wait_s=READ_WAIT_S)
                except LogUnavailableError as error:
                    logger.warning("log_unavailable", topic=partition.topic, error=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                for record in records:
                    accepted = follower.accept(record.value)
                    if accepted is not None:
                        self._kept[market.code].extend(accepted.alerts)
                self._caught_up[market.code] |= reader.position >= target
        finally:
            if reader is not None:
                await reader.close()
