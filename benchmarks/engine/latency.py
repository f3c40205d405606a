"""The time of each command inside a frame of 64, and the rate of the core called from C."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.engine.runs import clock, opened, timed
from benchmarks.engine.throughput import MILLION
from benchmarks.figures import Target
from benchmarks.native import driver
from benchmarks.workload import deep, steady
from matching.layout import COMMAND, HEADER_SIZE, Command

PERCENTILES = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9}
KINDS = {
    "new": (Command.NEW_ORDER,),
    "cancel": (Command.CANCEL_ORDER,),
    "replace": (Command.REPLACE_ORDER,),
}


class Latencies:
    """Percentiles of a flow's commands, the cost of the clock removed."""

    def __init__(self, name: str, commands: int, aims: tuple[int, int, int] | None) -> None:
        plan = steady(commands) if aims else deep(500_000, 50_000)
        self._name, self._workload = name, plan.framed(64)
        self._driver = driver()
        bounds = aims or (None, None, None)
        self.targets = [
            Target(f"{name}, {part}", "ns", bound, is_ceiling=True)
            for part, bound in zip(PERCENTILES, bounds, strict=True)
        ]
        self._by_kind: dict[str, dict[str, float]] = {}
        self._hash = b""

    def round(self) -> dict[str, float]:
        """Nanoseconds at each percentile; AssertionError if the state differs between rounds."""
        blank = np.zeros(100_000, np.int64)
        self._driver.empty(blank)
        took = np.zeros(self._workload.commands, np.int64)
        engine = opened(self._workload)
        assert self._driver.each(engine, self._workload.flow, took) == len(took)
        self._hash = self._hash or engine.state_hash()
        assert engine.state_hash() == self._hash
        cost, scale = np.median(blank), self._driver.ticks_a_microsecond() / 1e3
        spent = np.maximum(took - cost, 0) / scale
        kinds = np.concatenate(
            [
                np.frombuffer(data, COMMAND, offset=HEADER_SIZE)["kind"]
                for data in self._workload.flow
            ]
        )
        for kind, codes in KINDS.items():
            if (of := np.isin(kinds, codes)).any():
                self._by_kind[kind] = _percentiles(spent[of])
        found = _percentiles(spent)
        return {f"{self._name}, {part}": value for part, value in found.items()}

    def check(self) -> dict[str, Any]:
        """The state is the one that frames lead to; percentiles by kind of the last round."""
        engine = opened(self._workload)
        timed(engine, self._workload)
        assert engine.state_hash() == self._hash
        return {"ns_by_kind": self._by_kind, "state_hash": self._hash.hex()}


class Native:
    """The steady flow applied from C, frames of 64: no checksum and no Python object."""

    target = Target("frames of 64, from C", "M commands/s")
    targets = [target]

    def __init__(self, commands: int) -> None:
        self._workload = steady(commands).framed(64)
        self._driver = driver()
        self._hash = b""

    def round(self) -> dict[str, float]:
        """Million commands a second."""
        engine = opened(self._workload)
        begin = clock()
        self._driver.batches(engine, self._workload.flow)
        took = clock() - begin
        self._hash = engine.state_hash()
        return {self.target.name: self._workload.commands * 1e9 / took / MILLION}

    def check(self) -> dict[str, Any]:
        """The state is the one that the Python way leads to."""
        engine = opened(self._workload)
        timed(engine, self._workload)
        assert engine.state_hash() == self._hash
        return {"state_hash": self._hash.hex()}


def _percentiles(spent: np.typing.NDArray[np.float64]) -> dict[str, float]:
    return {part: float(np.percentile(spent, at)) for part, at in PERCENTILES.items()}


def measurements(commands: int) -> list[Any]:
    """Those of this module."""
    return [
        Native(commands),
        Latencies("steady", commands, (100, 500, 2_000)),
        Latencies("deep", commands, None),
    ]
