"""What one person moved in and out of a market without a second one.

A limit on what one may do alone is one on the sum: else it would be gone around in small pieces.
"""

from __future__ import annotations

from collections import deque

HOURS = 24
_HOUR_NS = 3_600 * 1_000_000_000


class MovedAlone:
    """Sums by person and direction, hour by hour; no more hours are kept than count."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, bool], deque[tuple[int, int]]] = {}  # (hour, minor units)

    def note(self, who: str, amount: int, time_ns: int) -> None:
        """A person paid in so many minor units, or out if below 0. Times rise. O(1)."""
        rows = self._sums.setdefault((who, amount < 0), deque(maxlen=HOURS + 1))
        hour, before = time_ns // _HOUR_NS, 0
        if rows and rows[-1][0] >= hour:
            hour, before = rows.pop()
        rows.append((hour, before + abs(amount)))

    def total(self, who: str, is_out: bool, now_ns: int) -> int:
        """Minor units in the hour of now and the HOURS before it. O(hours)."""
        first = now_ns // _HOUR_NS - HOURS
        return sum(amount for hour, amount in self._sums.get((who, is_out), ()) if hour >= first)
