"""Deep books: growing one, sweeping it, and the memory it takes and gives back."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.engine.runs import agree, clock, heard, opened, play, timed
from benchmarks.engine.throughput import MILLION, Frames
from benchmarks.figures import Target
from benchmarks.workload import deep, sweeping

RESTING, LEVELS = 500_000, 50_000
SWEEPS = 9_000
ONE_SWEEP = 10_000  # resting orders that one command takes


class Sweeps:
    """Orders that take about fifty resting ones each, in frames of 64."""

    target = Target("sweeping a deep book", "M fills/s", 5)
    targets = [target]

    def __init__(self) -> None:
        self._workload = sweeping(RESTING, 2_000, SWEEPS).framed(64)
        engine = opened(self._workload)
        said = play(engine, self._workload, self._workload.flow, engine.next_offset)
        self._trades = heard(said).trades
        self._hash = engine.state_hash()

    def round(self) -> dict[str, float]:
        """Million fills a second; a fill is one meeting of two orders, said to both."""
        engine = opened(self._workload)
        took, _ = timed(engine, self._workload)
        assert engine.state_hash() == self._hash
        return {self.target.name: self._trades * 1e9 / took / MILLION}

    def check(self) -> dict[str, Any]:
        """Both engines agree on the beginning of a smaller one."""
        agree(sweeping(10_000, 100, 150), 64, 10_150)
        return {"fills": self._trades, "sweeps": SWEEPS}


class OneSweep:
    """One command takes 10,000 resting orders."""

    target = Target("one sweep of 10,000 orders", "ms", 3, is_ceiling=True)
    targets = [target]

    def __init__(self) -> None:
        plan = deep(2 * ONE_SWEEP, 200, cancels=0)
        plan.table["side"] = 2  # all sell, at 1 to 100 ticks
        plan.table["price"] = abs(plan.table["price"] - 100_000) + 100_000
        plan.table["quantity"] = 10
        taker = plan.table[ONE_SWEEP : ONE_SWEEP + 1]
        taker["side"], taker["price"], taker["quantity"] = 1, 200_000, 10 * ONE_SWEEP
        self._plan = plan
        self._workload = plan.framed(ONE_SWEEP // 5, ONE_SWEEP)
        self._last = plan.framed(1, ONE_SWEEP + 1).flow[-1]

    def round(self) -> dict[str, float]:
        """Milliseconds; AssertionError unless every resting order is taken, once."""
        engine = opened(self._workload)
        play(engine, self._workload, self._workload.flow, engine.next_offset)
        offset = engine.next_offset
        begin = clock()
        said = engine.apply(offset, 0, self._last)
        took = clock() - begin
        assert heard([said]).trades == ONE_SWEEP
        return {self.target.name: took / 1e6}

    def check(self) -> dict[str, Any]:
        """Both engines agree on all of it."""
        agree(self._plan, ONE_SWEEP // 5, ONE_SWEEP + 1)
        return {"fills": ONE_SWEEP}


class Memory:
    """Resident memory of a process that grows a book and empties it: `benchmarks.engine.memory`."""

    targets = [
        Target("memory of a resting order", "bytes", 128, is_ceiling=True),
        Target("memory of a level", "bytes"),
        Target("memory of a deep book", "MB"),
        Target("given back by an empty book", "%"),
        Target("page faults in steady flow", "", 0, is_ceiling=True),
    ]

    def round(self) -> dict[str, float]:
        """Each figure from a process of its own."""
        command = [sys.executable, "-m", "benchmarks.engine.memory", str(RESTING), str(LEVELS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        values: list[float] = json.loads(done.stdout)
        return dict(zip((target.name for target in self.targets), values, strict=True))

    def check(self) -> dict[str, Any]:
        """The process has asserted that the book was full and is empty."""
        return {"resting": RESTING, "levels": LEVELS}


def measurements() -> list[Any]:
    """Those of this module."""
    unit = "M commands/s"
    like, book = deep(16_000, 2_000), deep(RESTING, LEVELS)
    growing = [
        Frames(Target("growing a deep book", unit, 8), book, 64, like),
        Frames(Target("growing, frames of 1,024", unit, 8), book, 1_024, like),
    ]
    return [*growing, Sweeps(), OneSweep(), Memory()]
