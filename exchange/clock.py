"""The only place which reads time or makes randomness; services take a `Clock`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


_random_bits: Callable[[int], int] = secrets.randbits


def random_id() -> int:
    """63 unpredictable bits, to name a run of a process."""
    return _random_bits(63)


@contextmanager
def ids_drawn_from(random_bits: Callable[[int], int]) -> Iterator[None]:
    """Lets `random_id` draw from a seed, for a simulation that must come out the same again."""
    global _random_bits
    before, _random_bits = _random_bits, random_bits
    try:
        yield
    finally:
        _random_bits = before
