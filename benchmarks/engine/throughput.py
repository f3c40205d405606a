"""Commands a second: one instrument and a thousand, by frames and one command a call."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.engine.runs import agree, clock, heard, opened, play, timed
from benchmarks.figures import Target
from benchmarks.workload import Commands, Plan, steady
from matching import compiled
from matching.layout import COMMAND, HEADER_SIZE, Event

MILLION = 1e6
SHARE = Target("1,000 instruments over one", "", 0.5)
ARGUMENTS = (
    "kind",
    "account_id",
    "instrument_id",
    "side",
    "order_type",
    "time_in_force",
    "quantity",
    "price",
    "order_id",
    "session_id",
    "ref",
    "client_order_id",
)


class Frames:
    """A flow in frames of some size; what is said is written out and counted."""

    def __init__(self, target: Target, plan: Plan, batch: int, like: Plan) -> None:
        self.target = target
        self.targets = [target]
        self._plan, self._workload = plan, plan.framed(batch)
        self._like, self._batch = like, batch
        self._hash = b""

    def round(self) -> dict[str, float]:
        """Million commands a second; AssertionError if the state differs from the first round."""
        engine = opened(self._workload)
        took, _ = timed(engine, self._workload)
        found = engine.state_hash()
        assert self._hash in (b"", found)
        self._hash = found
        return {self.target.name: self._workload.commands * 1e9 / took / MILLION}

    def check(self) -> dict[str, Any]:
        """Every command did its work, the trades are as many as a plain book makes, and both
        engines agree on the beginning of a flow like it.
        """
        agree(self._like, self._batch, 20_000)
        engine = opened(self._workload)
        said = heard(play(engine, self._workload, self._workload.flow, engine.next_offset))
        assert said.trades == self._plan.trades
        assert Event.REJECTED.name not in said.by_kind
        assert engine.state_hash() == self._hash
        assert engine.self_check() == []
        return {
            "commands": self._workload.commands,
            "trades": said.trades,
            "events": said.by_kind,
            "events_hash": said.hash,
            "state_hash": self._hash.hex(),
        }


class Calls:
    """One Python call an order, with plain integers; trades are handed over as tuples."""

    target = Target("one call an order", "M commands/s", 3)
    targets = [target]

    def __init__(self, plan: Plan) -> None:
        self._workload = workload = plan.framed(1)
        first = len(workload.opening)
        times = [workload.append_ns(first + at) for at in range(workload.commands)]
        data = b"".join(one[HEADER_SIZE:] for one in workload.flow)
        self._arguments = arguments(np.frombuffer(data, COMMAND), times)
        self._trades = plan.trades
        self._hash = b""

    def round(self) -> dict[str, float]:
        """Million commands a second; AssertionError unless every trade was handed over."""
        engine = opened(self._workload)
        begin = clock()
        trades = call(engine, self._arguments)
        took = clock() - begin
        assert trades == self._trades
        self._hash = self._hash or engine.state_hash()
        assert engine.state_hash() == self._hash
        return {self.target.name: self._workload.commands * 1e9 / took / MILLION}

    def check(self) -> dict[str, Any]:
        """The state is the one that frames of one command lead to."""
        engine = opened(self._workload)
        timed(engine, self._workload)
        assert engine.state_hash() == self._hash
        return {"commands": self._workload.commands, "trades": self._trades}


def arguments(rows: Commands, append_ns: list[int]) -> list[tuple[Any, ...]]:
    """What `apply_one` takes for each command. O(commands)."""
    return list(zip(append_ns, *(rows[name].tolist() for name in ARGUMENTS), strict=True))


def call(engine: compiled.Engine, prepared: list[tuple[Any, ...]]) -> int:
    """Applies each by one call; how many trades were handed over. O(commands + fills)."""
    apply, trades = engine.apply_one, 0
    for one in prepared:
        _, fills = apply(*one)
        if fills:
            trades += len(fills)
    return trades


def measurements(commands: int) -> list[Frames | Calls]:
    """Those of this module over so many commands."""
    one = steady(commands)
    like = steady(20_000, resting=2_000)
    many = steady(commands, resting=100_000, instruments=1_000, accounts=100_000)
    many_like = steady(20_000, resting=5_000, instruments=100, accounts=1_000)
    unit = "M commands/s"
    return [
        Frames(Target("frames of 64", unit, 10), one, 64, like),
        Frames(Target("frames of 4,096", unit, 10), one, 4_096, like),
        Frames(Target("1,000 instruments", unit), many, 64, many_like),
        Calls(one),
    ]
