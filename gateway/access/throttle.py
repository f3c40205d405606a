"""How many messages a second somebody may send: GCRA, one number of state a budget.

The generic cell rate algorithm lets through `rate` messages a second on average and as many at
once. Cancels have a budget of their own, so that risk can always be reduced. Participants and
sessions are counted once they are known, addresses before: each public request, and each that
failed to say who it is.

Where a request waits for its answer, a refusal is not told at once: who asks again as soon as it is
told would ask as often as the gateway can answer, and keep it from everybody else.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, NamedTuple

from exchange.clock import Clock
from exchange.messages.reasons import EdgeReason
from exchange.settings import ADDRESSES_REMEMBERED_MAX, REFUSAL_S_MAX, REFUSALS_PER_SECOND
from gateway.refusal import Refused

SECOND = 1_000_000_000


class Allowance(NamedTuple):
    """What a budget still allows: for the RateLimit headers."""

    limit: int  # messages a second
    remaining: int  # messages that may be sent at once
    reset_s: int  # until the whole burst is there again


Kind = Literal["participant", "session"]


class Throttle:
    """The budgets of all participants, sessions and addresses; one entry each, O(1) a message."""

    def __init__(self, clock: Clock, per_second: int, address_per_second: int = 1_000) -> None:
        self.per_second = per_second
        self.address_per_second = address_per_second
        self._clock = clock
        self._due: dict[tuple[Kind, int, str], int] = {}  # theoretical arrival time, ns
        self._addresses: OrderedDict[str, int] = OrderedDict()  # the same; bounded
        self._told: dict[int, int] = {}  # participant -> when its last refusal is told, ns

    def take(
        self,
        number: int,
        budget: str,
        count: int = 1,
        *,
        now_ns: int | None = None,
        rate: int = 0,
        kind: Kind = "participant",
    ) -> Allowance:
        """Takes `count` messages of a budget; Refused (THROTTLED) with the time to wait.

        `now_ns` is when they were sent, for those read later; by default now (monotonic). A budget
        is always used with the same clock. `rate` 0 is the venue's own.
        """
        entry = kind, number, budget
        self._due[entry], allowance = self._taken(entry, count, now_ns, rate)
        return allowance

    def check(
        self,
        number: int,
        budget: str,
        count: int = 1,
        *,
        now_ns: int | None = None,
        rate: int = 0,
        kind: Kind = "participant",
    ) -> None:
        """Refused as `take` would refuse now; takes nothing, so that another budget may be asked.

        What passes, a `take` right after it gets: the clock goes on only.
        """
        self._taken((kind, number, budget), count, now_ns, rate)

    def _taken(
        self, entry: tuple[Kind, int, str], count: int, now_ns: int | None, rate: int
    ) -> tuple[int, Allowance]:
        kind, _, budget = entry
        now = self._clock.monotonic_ns() if now_ns is None else now_ns
        whose = budget if kind == "participant" else f"{budget} of the session"
        return _take(self._due.get(entry, 0), now, count, rate or self.per_second, whose)

    def refusal_wait_s(self, participant: int) -> float:
        """How long to wait before telling the participant of its next refusal, seconds. O(1)."""
        now = self._clock.monotonic_ns()
        told = max(self._told.get(participant, 0), now) + SECOND // REFUSALS_PER_SECOND
        self._told[participant] = told = min(told, now + REFUSAL_S_MAX * SECOND)
        return (told - now) / SECOND

    def take_address(self, address: str) -> None:
        """Counts a message of an address that nobody knows yet; Refused (THROTTLED). O(1)."""
        now = self._clock.monotonic_ns()
        due, _ = _take(self._addresses.get(address, 0), now, 1, self.address_per_second, "address")
        self._addresses[address] = due
        self._addresses.move_to_end(address)
        if len(self._addresses) > ADDRESSES_REMEMBERED_MAX:
            self._addresses.popitem(last=False)

    def check_address(self, address: str) -> None:
        """Refused (THROTTLED) while the address has sent too many such messages. O(1)."""
        due = self._addresses.get(address)
        if due is not None:
            _take(due, self._clock.monotonic_ns(), 1, self.address_per_second, "address")


def _take(due: int, now: int, count: int, limit: int, whose: str) -> tuple[int, Allowance]:
    interval = SECOND // max(limit, 1)
    due = max(due, now) + count * interval
    ahead = due - now
    if ahead > SECOND:
        raise Refused(
            EdgeReason.THROTTLED,
            f"{limit} messages a second ({whose})",
            retry_after_ms=(ahead - SECOND) // 1_000_000 + 1,
        )
    return due, Allowance(limit, (SECOND - ahead) // interval, -(-ahead // SECOND))
