"""What every request of the gateway can reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from exchange.clock import Clock
from exchange.database.connection import Database
from exchange.reference.venue import Key, Venue
from exchange.settings import Settings
from gateway.alerts import Alerts
from gateway.feed import Feed
from gateway.identity import Identities
from gateway.opening import OpeningGate
from gateway.order_entry import OrderEntry
from gateway.roles import sees_all_accounts
from gateway.throttle import Throttle
from gateway.venue_view import MarketView


@dataclass(slots=True)
class Context:
    """The parts of one gateway process."""

    venue: Venue
    settings: Settings
    clock: Clock
    identities: Identities
    throttle: Throttle
    entry: OrderEntry
    feed: Feed
    views: dict[str, MarketView]
    alerts: Alerts
    not_ready: Callable[[], list[str]]  # names of what has not caught up
    websocket_port: int = 0
    books: Database | None = None  # read only; a gateway without it answers no question to them
    gate: OpeningGate | None = None  # None: markets open whenever an operator says so

    def visible_accounts(self, key: Key, market: str) -> frozenset[int]:
        """The accounts of a market that a key may see."""
        if sees_all_accounts(key):
            return frozenset(account.id for account in self.venue.accounts_of(market))
        return self.entry.accounts_of(key, self.views[market].market)
