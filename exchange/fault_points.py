"""Places in our own code where the simulation of faults may end a process or make a call fail.

`reached` does nothing until a hook is set, and only a simulated event loop may set one: a process
of a venue cannot. It stands on paths of frames and transactions, never of single orders.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Hook = Callable[[str], None]

NAMES = (
    "engine.append.before", "engine.append.after", "engine.snapshot.before",
    "engine.snapshot.after", "gateway.append.before", "gateway.append.after",
    "settlement.commit.before", "settlement.commit.after", "settlement.steps.after",
    "registry.commit.before", "registry.commit.after", "registry.deposits.after",
    "outbox.append.before", "outbox.append.after", "marketdata.append.before",
    "marketdata.append.after",
)  # fmt: skip
"""Every place, in the order of the data."""

_hook: Hook | None = None


def reached(name: str) -> None:
    """Says that execution is at the place of that name. O(1)."""
    if _hook is not None:
        _hook(name)


@contextmanager
def watched(loop: asyncio.AbstractEventLoop, hook: Hook) -> Iterator[None]:
    """Calls `hook` at each place; RuntimeError unless `loop` is a simulated one."""
    global _hook
    if not getattr(loop, "is_simulated", False):
        raise RuntimeError("fault points belong to the simulation")
    _hook = hook
    try:
        yield
    finally:
        _hook = None
