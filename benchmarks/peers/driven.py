"""What a driven engine is to the measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.flow import Operation, Trade

Module = Any  # a peer's: not installed where types are checked
Prepared = Any  # what `run` takes: operations, or frames of them


@dataclass(frozen=True, slots=True)
class Peer:
    """A published engine and the way it is driven."""

    name: str
    distribution: str  # with its pinned version, as pip reads it
    core: str
    way: str
    hands_over: bool  # whether the caller gets each trade while the clock runs
    open: Callable[[int, bool], Driven]  # (largest id, whether trades are to be kept)
    chunk: int = 20_000  # operations between two looks at the clock
    is_by_price: bool = False  # tells one line a price and taker, not one a trade
    python: tuple[int, int] = (3, 11)  # at least
    also: tuple[str, ...] = ()  # what it imports and does not ask for
    is_bare: bool = False  # asks for far more than it imports


def _as_they_are(operations: Sequence[Operation]) -> Prepared:
    return operations


@dataclass(slots=True)
class Driven:
    """An engine at the beginning; `trades` is filled by `run` or by `finish` when kept."""

    run: Callable[[Prepared], None]  # the timed part
    prepare: Callable[[Sequence[Operation]], Prepared] = _as_they_are  # untimed, before it
    trades: list[Trade] = field(default_factory=list)
    finish: Callable[[], list[Trade]] | None = None
    resting: Callable[[], tuple[int, int]] | None = None  # orders, volume
    check: Callable[[], list[str]] = list  # what is wrong with its state
    close: Callable[[], None] = lambda: None
