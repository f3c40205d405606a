"""A process that grows a book, empties it, and prints what memory that took, as JSON.

All frames are made before the first look at the memory. Orders carry no client order id here, for
an id is remembered until the day rolls, and so belongs to the day and not to the resting order.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import sys
from pathlib import Path

import numpy as np

from benchmarks.engine.runs import play
from benchmarks.native import driver
from benchmarks.workload import Plan, deep, steady
from matching import compiled
from matching.layout import COMMAND, COUNT_MAX, RECORD_SIZE, Command, Event


def resident() -> int:
    """Bytes of this process that are in memory. O(1)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def book(orders: int, levels: int) -> Plan:
    """A book that grows, one order at each level first, and is then cancelled as it stands."""
    plan = deep(orders, levels, cancels=0, labels=False)
    cancels = np.zeros(orders, COMMAND)
    cancels["kind"] = Command.CANCEL_ORDER
    cancels["account_id"] = plan.table["account_id"]
    table = np.concatenate([plan.table, cancels])
    named = np.concatenate([plan.named, np.arange(orders)])
    return Plan(plan.opening, table, named)


def run(engine: compiled.Engine, frames: list[bytes]) -> int:
    """Applies the frames; by how many orders the book grew."""
    more = 0
    for data in frames:
        kinds = engine.apply(engine.next_offset, 0, data)[::RECORD_SIZE]
        more += kinds.count(Event.ACCEPTED) - kinds.count(Event.CANCELLED)
    return more


def faults(commands: int) -> int:
    """Minor page faults while the second half of a steady flow runs, called from C.

    So they are the engine's: from Python the bytes that `apply` returns come and go too.
    """
    apply = driver().batches
    workload = steady(commands, labels=False).framed(64)
    engine = compiled.Engine()
    play(engine, workload, workload.opening, 0)
    half = len(workload.flow) // 2
    apply(engine, workload.flow[:half])
    second = workload.flow[half:]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    apply(engine, second)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def grow(orders: int, levels: int) -> list[float]:
    """Bytes an order, bytes a level, megabytes of all, per cent given back."""
    batch = COUNT_MAX // 2
    levels -= levels % batch  # whole frames of one order a level
    workload = book(orders - orders % batch, levels).framed(batch)
    engine = compiled.Engine()
    run(engine, workload.opening)
    total = len(workload.flow) // 2
    shallow = levels // batch
    seen, standing = [resident()], []
    for part in (slice(shallow), slice(shallow, total), slice(total, None)):
        standing.append(run(engine, workload.flow[part]))
        seen.append(resident())
    assert standing == [levels, total * batch - levels, -total * batch]
    assert run(engine, workload.flow[-1:]) == 0  # with the next record an empty book gives back
    seen.append(resident())
    assert engine.self_check() == []
    empty, thin, full, _, emptied = seen
    order = (full - thin) / (total * batch - levels)
    return [
        order,
        (thin - empty) / levels - order,
        (full - empty) / 1e6,
        100 * (full - emptied) / (full - empty),
    ]


if __name__ == "__main__":
    found = grow(int(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps([*found, faults(128_000)]))
