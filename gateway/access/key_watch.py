"""Looks every KEYS_POLL_S for changed keys and operators, and ends what may no longer go on.

A changed file is in force within a second; one that is unsound, or that names keys which cannot be
read, changes nothing and says so. Connections of keys that are revoked, changed or expired are cut.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from exchange.clock import Clock
from exchange.reference.venue import Venue, load_venue
from gateway.access.file_watch import Prints, look_until, prints
from gateway.access.keyring import KeyRing
from gateway.access.logins import Logins
from gateway.access.operators import load_operators
from gateway.websocket.sockets import Connections


class KeyWatch:
    """Keeps the keys of one gateway as the files have them."""

    def __init__(
        self,
        venue: Venue,
        venue_path: Path,
        operators_path: Path,
        ring: KeyRing,
        logins: Logins | None,
        connections: Connections,
        clock: Clock,
    ) -> None:
        self._venue = venue
        self._venue_path = venue_path
        self._operators_path = operators_path
        self._ring = ring
        self._logins = logins
        self._connections = connections
        self._clock = clock
        self._seen = self._print()
        self._logger = structlog.get_logger().bind(service="gateway")

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until `stop`."""
        await look_until(stop, self.look)

    def look(self) -> None:
        """One look. O(connections), and O(keys) after a change."""
        found = self._print()
        if found != self._seen:
            self._seen = found
            self._read_again()
        now_ns = self._clock.now_ns()
        for connection in list(self._connections.open):
            connection.check(now_ns)

    def _read_again(self) -> None:
        try:
            venue = load_venue(self._venue_path)
            operators = load_operators(self._operators_path, venue)
            self._ring.replace(venue.key)
        except (OSError, ValueError) as error:
            self._logger.error("keys_unchanged", error=str(error))
            return
        self._venue = venue
        if self._logins is not None:
            self._logins.replace(operators)
        self._logger.info("keys_read", keys=len(venue.key), operators=len(operators))

    def _print(self) -> Prints:
        secrets = [Path(key.secret_file) for key in self._venue.key if key.secret_file]
        return prints((self._venue_path, self._operators_path, *secrets))
