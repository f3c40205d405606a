"""The only place which reads time or makes randomness; services take a `Clock`."""

from __future__ import annotations

import secrets
import time
from typing import Protocol


class Clock(Protocol):
    """Time as a service sees it; tests and simulations bring their own."""

    def now_ns(self) -> int:
        """Wall clock, ns UTC."""

    def monotonic_ns(self) -> int:
        """A clock that never goes back, for intervals."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Wall clock, ns UTC."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """A clock that never goes back, for intervals."""
        return time.monotonic_ns()


def random_id() -> int:
    """63 unpredictable bits, to name a run of a process."""
    return secrets.randbits(63)
