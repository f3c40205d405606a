"""What the gateway knows of topic `alerts`: the last ALERTS_KEPT_MAX of each market."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from typing import get_args

from exchange import metrics, topics
from exchange.log.protocol import Log
from exchange.messages.alerts import Alert
from exchange.messages.operations import AlertStateWord
from exchange.reference.venue import Market, Venue
from exchange.settings import ALERTS_KEPT_MAX
from exchange.surveillance.records import AlertFollower
from gateway.views.acts import UNTOUCHED, Handling
from gateway.views.following import follow
from gateway.views.venue_view import MarketView


class Alerts:
    """Follows `alerts` of every market."""

    def __init__(self, log: Log, venue: Venue, views: Mapping[str, MarketView]) -> None:
        self._log = log
        self._views = views
        self._counted: dict[str, tuple[int, int]] = {}
        self._markets = venue.market
        self._kept: dict[str, deque[Alert]] = {
            market.code: deque(maxlen=ALERTS_KEPT_MAX) for market in venue.market
        }
        self._caught_up = {market.code: False for market in venue.market}

    @property
    def is_ready(self) -> bool:
        """True once everything that was on `alerts` at the start has been read."""
        return all(self._caught_up.values())

    def find(self, market: str, number: int) -> Alert | None:
        """An alert by its number; None when there is none or it is forgotten. O(1)."""
        kept = self._kept[market]
        at = number - kept[0].number if kept else -1
        return kept[at] if 0 <= at < len(kept) else None

    def newest(self, market: str, *, after: int = 0, kind: str = "", limit: int) -> list[Alert]:
        """Alerts of a market with a number above `after`, newest first. O(alerts looked at)."""
        found: list[Alert] = []
        for alert in reversed(self._kept[market]):
            if alert.number <= after or len(found) == limit:
                break
            if not kind or alert.kind == kind:
                found.append(alert)
        return found

    def handling(self, alert: Alert) -> Handling:
        """How far people are with an alert. O(1)."""
        return self._views[alert.market].acts.handlings.get(alert.number, UNTOUCHED)

    def _count(self, market: str) -> None:
        """Tells the metrics how many alerts stand where, when something changed. O(alerts)."""
        kept = self._kept[market]
        seen = (kept[-1].number if kept else 0, self._views[market].acts.handled)
        if self._counted.get(market) == seen:
            return
        self._counted[market] = seen
        states = Counter(self.handling(alert).state for alert in kept)
        for state in get_args(AlertStateWord):
            metrics.ALERTS_HANDLED.labels(market, state).set(states[state])

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until `stop`; raises AlertsBrokenError when a record is missing."""
        async with asyncio.TaskGroup() as group:
            for market in self._markets:
                group.create_task(self._follow(market, stop))

    async def _follow(self, market: Market, stop: asyncio.Event) -> None:
        follower, kept = AlertFollower(), self._kept[market.code]

        def take(_offset: int, value: bytes) -> None:
            accepted = follower.accept(value)
            if accepted is not None:
                kept.extend(accepted.alerts)

        def caught_up() -> None:
            self._caught_up[market.code] = True
            self._count(market.code)

        partition = topics.alerts(market.partition)
        await follow(self._log, partition, market.code, stop, take, caught_up)
