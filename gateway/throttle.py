"""How many messages a second a participant may send: GCRA, one number of state a budget.

The generic cell rate algorithm lets through `rate` messages a second on average and `burst` at
once. Cancels have a budget of their own, so that risk can always be reduced.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.clock import Clock
from exchange.messages.reasons import EdgeReason
from gateway.refusal import Refused

SECOND = 1_000_000_000


class Allowance(NamedTuple):
    """What a budget still allows: for the RateLimit headers."""

    limit: int  # messages a second
    remaining: int  # messages that may be sent at once
    reset_s: int  # until the whole burst is there again


class Throttle:
    """The budgets of all participants; one entry each, O(1) a message."""

    def __init__(self, clock: Clock, per_second: int) -> None:
        self._clock = clock
        self._interval = SECOND // max(per_second, 1)
        self._limit = per_second
        self._due: dict[tuple[int, str], int] = {}  # theoretical arrival time, ns

    def take(
        self, participant: int, budget: str, count: int = 1, *, now_ns: int | None = None
    ) -> Allowance:
        """Takes `count` messages of a budget; Refused (THROTTLED) with the time to wait.

        `now_ns` is when they were sent, for those read later; by default now (monotonic). A budget
        is always used with the same clock.
        """
        now = self._clock.monotonic_ns() if now_ns is None else now_ns
        due = max(self._due.get((participant, budget), 0), now)
        ahead = due + count * self._interval - now
        if ahead > SECOND:
            raise Refused(
                EdgeReason.THROTTLED,
                f"{self._limit} messages a second ({budget})",
                retry_after_ms=(ahead - SECOND) // 1_000_000 + 1,
            )
        self._due[participant, budget] = due + count * self._interval
        return Allowance(self._limit, (SECOND - ahead) // self._interval, -(-ahead // SECOND))
