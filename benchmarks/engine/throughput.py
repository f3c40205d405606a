"""Commands a second: one instrument and a thousand, by frames and one command a call."""

from __future__ import annotations

from typing import Any

from benchmarks.engine.runs import agree, clock, heard, opened, play, timed
from benchmarks.figures import Target
from benchmarks.workload import Plan, steady
from matching import compiled
from matching.layout import RECORD_SIZE, Event, Liquidity

MILLION = 1e6
SHARE = Target("1,000 instruments over one", "", 0.5)
FILL, TAKER = int(Event.FILL), int(Liquidity.TAKER)


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
    """One Python call an order; trades are handed over as tuples."""

    target = Target("one call an order", "M commands/s", 3)
    targets = [target]

    def __init__(self, plan: Plan) -> None:
        self._workload = plan.framed(1)
        self._trades = plan.trades

    def round(self) -> dict[str, float]:
        """Million commands a second; AssertionError unless every trade was handed over."""
        engine = opened(self._workload)
        first = len(self._workload.opening)
        arguments = [
            (at, self._workload.append_ns(at), data)
            for at, data in enumerate(self._workload.flow, first)
        ]
        trades: list[tuple[int, int, int, int]] = []
        begin = clock()
        call(engine, arguments, trades)
        took = clock() - begin
        assert len(trades) == self._trades
        return {self.target.name: self._workload.commands * 1e9 / took / MILLION}

    def check(self) -> dict[str, Any]:
        """Each round has counted its trades."""
        return {"commands": self._workload.commands, "trades": self._trades}


def call(
    engine: compiled.Engine,
    arguments: list[tuple[int, int, bytes]],
    trades: list[tuple[int, int, int, int]],
) -> None:
    """Applies each; appends (maker, taker, price, quantity) of each trade. O(commands + fills)."""
    apply = engine.apply
    integer = int.from_bytes
    for offset, append_ns, data in arguments:
        said = apply(offset, append_ns, data)
        if len(said) > RECORD_SIZE and said[RECORD_SIZE] == FILL:
            for at in range(2 * RECORD_SIZE, len(said), 2 * RECORD_SIZE):
                trades.append(
                    (
                        integer(said[at + 48 : at + 56], "little"),
                        integer(said[at + 40 : at + 48], "little"),
                        integer(said[at + 32 : at + 40], "little"),
                        integer(said[at + 24 : at + 32], "little"),
                    )
                )


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
