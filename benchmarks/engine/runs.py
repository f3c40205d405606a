"""Running a workload on an engine: the timed way, and the way that keeps what was said."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from benchmarks.workload import Plan, Workload
from matching import compiled, reference
from matching.layout import EVENT, RECORD_SIZE, Event, Liquidity
from matching.protocol import EngineProtocol

_clocks = {"wall": time.perf_counter_ns, "cpu": time.thread_time_ns}
_chosen = ["wall"]


def choose_clock(name: str) -> None:
    """Whether rates count the time on the wall, or this thread's time on a core."""
    _chosen[0] = name


def clock() -> int:
    """Nanoseconds of the chosen clock."""
    return _clocks[_chosen[0]]()


@dataclass(frozen=True, slots=True)
class Said:
    """What an engine said to a whole flow: counts, and a hash of every byte."""

    events: int
    trades: int
    by_kind: dict[str, int]
    hash: str


def opened(workload: Workload) -> compiled.Engine:
    """A compiled engine after the opening, with the memory for the flow taken. O(opening)."""
    engine = compiled.Engine()
    play(engine, workload, workload.opening, 0)
    engine.reserve(workload.orders, workload.labels)
    return engine


def play(
    engine: EngineProtocol, workload: Workload, frames: list[bytes], offset: int
) -> list[bytes]:
    """What the engine says to each frame from an offset on."""
    return [
        engine.apply(at, workload.append_ns(at), data) for at, data in enumerate(frames, offset)
    ]


def timed(engine: compiled.Engine, workload: Workload) -> tuple[int, int]:
    """Nanoseconds for the flow, and the number of events said. What is said is dropped at once."""
    first, apply, size = len(workload.opening), engine.apply, 0
    arguments = [(at, workload.append_ns(at), data) for at, data in enumerate(workload.flow, first)]
    begin = clock()
    for offset, append_ns, data in arguments:
        size += len(apply(offset, append_ns, data))
    return clock() - begin, size // RECORD_SIZE


def heard(outputs: list[bytes]) -> Said:
    """Counts and a hash of outputs. O(events)."""
    data = b"".join(outputs)
    rows = np.frombuffer(data, EVENT)
    kinds, counts = np.unique(rows["kind"], return_counts=True)
    is_taken = (rows["kind"] == Event.FILL) & (rows["order_type"] == Liquidity.TAKER)
    return Said(
        len(rows),
        int(is_taken.sum()),
        {Event(kind).name: int(n) for kind, n in zip(kinds.tolist(), counts, strict=True)},
        blake2b(data, digest_size=16).hexdigest(),
    )


def agree(plan: Plan, batch: int, commands: int) -> None:
    """AssertionError unless both engines say the same bytes to the first commands of a flow.

    The book of a plan counts as flow here, for it is what takes the reference long.
    """
    whole = Plan(plan.opening, plan.table, plan.named)
    workload = whole.framed(batch, commands)
    slow, fast = reference.Engine(), compiled.Engine()
    for engine in (slow, fast):
        play(engine, workload, workload.opening, 0)
    first = len(workload.opening)
    expected = play(slow, workload, workload.flow, first)
    assert play(fast, workload, workload.flow, first) == expected
    assert fast.state_hash() == slow.state_hash()
    assert fast.self_check() == []
