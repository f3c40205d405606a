"""The compiled engine alone: frames in memory in, event records out.

`python -m benchmarks.engine [--only WORD] [--rounds N] [--keep]` prints every figure beside its
target, checks its own answers (the same bytes and state as the reference engine on a part of each
flow, the same state in every round, every fill counted) and writes results/engine.json. Rounds are
interleaved: every measurement once, then every one again, so that a slow spell hits all alike.

frames of 64, of 4,096      steady flow around 10,000 resting orders of 5,000 accounts, with client
                            order ids, sessions, holds and fees; events written out
1,000 instruments           the same over 100,000 accounts and 100,000 resting orders
frames of 64, from C        the first flow without checksum and Python: the core itself
steady, deep: p50 ...       time of each command inside a frame of 64, clock cost removed; the first
                            flow, and the deep book below while it grows
one call an order           the first flow, each command one Python call, each trade a tuple
growing a deep book         to 500,000 resting orders at 50,000 prices, nine new orders a cancel
sweeping a deep book        9,000 orders take 454,325 of its orders; a fill is told to both sides
one sweep of 10,000 orders  one command takes 10,000 resting orders
memory                      resident memory of a process while such a book grows and is cancelled
saving, loading             a snapshot of 1,000,000 resting orders to bytes in memory and back
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import track

from benchmarks.engine import depth, latency, snapshots, throughput
from benchmarks.engine.runs import choose_clock
from benchmarks.figures import Figures, wide

Measurement = Any
CLOCK = "cpu: this thread's time on a core, for a machine that others use too"

GROUPS: dict[str, Callable[[int], list[Measurement]]] = {
    "throughput": throughput.measurements,
    "latency": latency.measurements,
    "depth": lambda _: depth.measurements(),
    "snapshots": lambda _: [snapshots.Snapshots(labels) for labels in (False, True)],
}


def run(groups: list[str], commands: int, rounds: int, console: Console) -> tuple[Figures, Any]:
    """Every measurement in turn, some rounds, then their checks; AssertionError if one is wrong."""
    measured = [item for group in groups for item in GROUPS[group](commands)]
    targets = [target for item in measured for target in item.targets]
    figures = Figures("engine", [*targets, throughput.SHARE])
    gc.collect()
    gc.freeze()
    for _ in track(range(rounds), "rounds", console=console, transient=True):
        for item in measured:
            figures.add(item.round())
        many, one = figures.last("1,000 instruments"), figures.last("frames of 64")
        if many and one:
            figures.add({throughput.SHARE.name: many / one})
    checks = {}
    for item in track(measured, "checks", console=console, transient=True):
        checks[item.targets[0].name] = item.check()
    return figures, checks


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", choices=list(GROUPS), action="append", help="only these")
    parser.add_argument("--commands", type=int, default=512_000, help="in each flow")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help=CLOCK)
    parser.add_argument("--keep", action="store_true", help="add a line to history.jsonl")
    chosen = parser.parse_args()
    choose_clock(chosen.clock)
    console = wide()
    groups = chosen.only or list(GROUPS)
    figures, checks = run(groups, chosen.commands, chosen.rounds, console)
    figures.show(console)
    figures.save(checks, chosen.keep, chosen.clock)
    console.print(f"{len(checks)} measurements checked; counts and hashes in results/engine.json")


if __name__ == "__main__":
    main()
