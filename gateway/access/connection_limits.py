"""How many connections there are, from each address and in all, over every door together.

A connection is counted from the moment the kernel hands it over until it is gone, whatever it says:
HTTP, the sockets and FIX share one count. Addresses of trusted proxies speak for many and count in
the total alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec

from exchange import metrics
from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.settings import CONNECTIONS_MAX
from gateway.access.addresses import Origins, counted
from gateway.refusal import Refused


class ConnectionLimits:
    """The one count; bounded by CONNECTIONS_MAX and, for each address, by `per_address`."""

    def __init__(self, per_address: int, origins: Origins) -> None:
        self.per_address = per_address
        self._origins = origins
        self._addresses: Counter[str] = Counter()
        self.total = 0

    def enter(self, address: str) -> str:
        """Counts a connection; what `leave` wants. O(1).

        Refused: TOO_MANY_CONNECTIONS in all, ADDRESS_CONNECTIONS of this address.
        """
        if self.total >= CONNECTIONS_MAX:
            raise Refused(EdgeReason.TOO_MANY_CONNECTIONS)
        place = "" if self._origins.is_trusted(address) else counted(address)
        if place and self._addresses[place] >= self.per_address:
            raise Refused(
                AccessReason.ADDRESS_CONNECTIONS, f"{self.per_address} connections from {place}"
            )
        self.total += 1
        self._addresses[place] += 1
        return place

    def leave(self, place: str) -> None:
        """A counted connection is gone. O(1)."""
        self.total -= 1
        self._addresses[place] -= 1
        if not self._addresses[place]:
            del self._addresses[place]


class Counted:
    """One connection's part in the count: entered at most once, left once."""

    __slots__ = ("_limits", "_place")

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._place: str | None = None

    def enter(self, transport: asyncio.BaseTransport) -> None:
        """Counts the connection of a transport; Refused as `ConnectionLimits.enter`."""
        peer = transport.get_extra_info("peername")
        self._place = self._limits.enter(str(peer[0]) if peer else "")

    def leave(self) -> None:
        """It is gone; idempotent."""
        place, self._place = self._place, None
        if place is not None:
            self._limits.leave(place)


def refusal_over_http(refused: Refused, interface: str) -> bytes:
    """A whole HTTP/1.1 answer with the problem document, after which the connection ends."""
    metrics.GATEWAY_REJECTIONS.labels(interface, refused.row.name).inc()
    problem = msgspec.json.encode(refused.problem())
    head = (
        f"HTTP/1.1 {refused.row.status} {refused.row.name}\r\n"
        "content-type: application/problem+json\r\nconnection: close\r\n"
        f"content-length: {len(problem)}\r\n\r\n"
    )
    return head.encode() + problem
