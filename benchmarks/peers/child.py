"""One engine, one run, in a process of its own: prints a line of JSON.

python -m benchmarks.peers.child NAME FLOW SECONDS wall|cpu [verify]
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.peers import compiled, interpreted
from benchmarks.peers.driven import Driven, Peer
from benchmarks.peers.flow import MARK, Flow, Trade, load


def peer(name: str) -> Peer:
    """The peer of that name; ours needs our environment, so it is looked for last."""
    for one in (*compiled.PEERS, *interpreted.PEERS):
        if one.name == name:
            return one
    from benchmarks.peers import ours

    return next(one for one in ours.PEERS if one.name == name)


def timed(one: Peer, flow: Flow, budget_s: float, clock: str) -> tuple[int, float]:
    """Operations done and the seconds they took; no chunk is begun after the budget."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    driven = one.open(flow.id_max, False)
    driven.run(driven.prepare(flow.fill))
    gc.collect()
    gc.freeze()
    done, spent = 0, 0.0
    while done < len(flow.operations) and spent < budget_s:
        part = flow.operations[done : done + one.chunk]
        prepared = driven.prepare(part)
        begin = now()
        driven.run(prepared)
        spent += now() - begin
        done += len(part)
    driven.close()
    return done, spent


def verified(one: Peer, flow: Flow, done: int) -> str:
    """How the trades of the first operations compare with those of the reference book."""
    driven = one.open(flow.id_max, True)
    driven.run(driven.prepare(flow.fill))
    done -= done % MARK if done >= MARK else 0
    for at in range(0, done, one.chunk):
        driven.run(driven.prepare(flow.operations[at : min(done, at + one.chunk)]))
    told = driven.trades if driven.finish is None else driven.finish()
    wrong = driven.check()
    verdict = f"unsound: {wrong[0]}" if wrong else _compared(one, flow, done, driven, told)
    driven.close()
    return verdict


def _compared(one: Peer, flow: Flow, done: int, driven: Driven, told: list[Trade]) -> str:
    if done < MARK:
        expected = flow.trades[: len(told)]
    else:
        mark = flow.marks[done // MARK - 1]
        expected = flow.trades[: mark[0]]
        if driven.resting is not None:
            return "volume" if driven.resting() == mark[1:] else "WRONG volume"
        if driven.finish is None and not told:
            return "not told"
    if one.is_by_price:
        same = _by_price(expected) == _by_price(told)
        return "by price" if same else "WRONG by price"
    for at, (right, said) in enumerate(zip(expected, told, strict=False)):
        if any(b is not None and a != b for a, b in zip(right, said, strict=True)):
            return f"WRONG at trade {at}"
    return "exact" if len(expected) == len(told) else "WRONG number"


def _by_price(trades: list[Trade]) -> dict[tuple[Any, Any], int]:
    total: dict[tuple[Any, Any], int] = {}
    for _, taker, price, quantity in trades:
        total[taker, price] = total.get((taker, price), 0) + quantity
    return total


def main() -> None:
    """Runs, and prints what came of it."""
    name, path, budget_s, clock, *verify = sys.argv[1:]
    one, flow = peer(name), load(Path(path))
    done, spent = timed(one, flow, float(budget_s), clock)
    distribution = one.distribution.split("==")[0]
    result = {
        "operations": done,
        "seconds": spent,
        "version": version(distribution) if distribution else "",
        "verdict": verified(one, flow, done) if verify else "",
    }
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)  # some peers leave threads behind


if __name__ == "__main__":
    main()
