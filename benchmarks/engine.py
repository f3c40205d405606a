"""The engine alone: frames in memory in, event records out.

`python -m benchmarks.engine` prints commands a second of both engines, frame latencies, and checks
that both end in the same state. Results go to benchmarks/results/engine.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.workload import Workload, steady
from matching import compiled, reference
from matching.layout import EVENT, Event, Reason
from matching.protocol import EngineProtocol

RESULTS = Path(__file__).parent / "results" / "engine.json"


def run(
    engine: EngineProtocol, workload: Workload, frames: int | None = None
) -> tuple[list[int], list[bytes]]:
    """Nanoseconds of each frame of the flow, and what was said."""
    apply, append_ns = engine.apply, workload.append_ns
    for offset, data in enumerate(workload.opening):
        apply(offset, append_ns(offset), data)
    first = len(workload.opening)
    took: list[int] = []
    said: list[bytes] = []
    clock = time.perf_counter_ns
    for offset, data in enumerate(workload.flow[:frames], first):
        at = append_ns(offset)
        begin = clock()
        output = apply(offset, at, data)
        took.append(clock() - begin)
        said.append(output)
    return took, said


def mix(said: list[bytes]) -> dict[str, int]:
    """How often each event was said, refusals by their reason."""
    rows = np.frombuffer(b"".join(said), EVENT)
    counted = Counter(zip(rows["kind"].tolist(), rows["reason"].tolist(), strict=True))
    return {
        Event(kind).name + (f" {Reason(reason).name}" if reason else ""): count
        for (kind, reason), count in counted.most_common()
    }


def figures(took: list[int], commands: int) -> dict[str, float]:
    """Commands a second and latencies of a frame, us."""
    ordered = np.sort(np.array(took))
    at = {
        f"frame_us_p{p}": round(float(np.percentile(ordered, p)) / 1e3, 1) for p in (50, 99, 99.9)
    }
    return {"commands_per_second": round(commands * 1e9 / int(ordered.sum())), **at}


def measure(
    frames: int, reference_frames: int, batch: int, seed: int, rounds: int
) -> dict[str, Any]:
    """Both engines on one flow, the best of some rounds; AssertionError if they differ."""
    workload = steady(frames, batch=batch, seed=seed)
    best: dict[str, float] = {}
    for _ in range(rounds):
        engine = compiled.Engine()
        took, said = run(engine, workload)
        found = figures(took, workload.commands)
        if found["commands_per_second"] > best.get("commands_per_second", 0):
            best = found
    assert engine.self_check() == []
    slow, fast = reference.Engine(), compiled.Engine()
    took, expected = run(slow, workload, reference_frames)
    assert run(fast, workload, reference_frames)[1] == expected
    assert fast.snapshot() == slow.snapshot()
    slowly = figures(took, reference_frames * batch)
    return {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "commands": workload.commands,
        "batch": batch,
        "seed": seed,
        "events": mix(said),
        "state_hash": engine.state_hash().hex(),
        "prefix_commands": reference_frames * batch,
        "prefix_state_hash_of_both": fast.state_hash().hex(),
        "compiled": best,
        "reference": slowly,
        "ratio": round(best["commands_per_second"] / slowly["commands_per_second"], 1),
    }


def show(result: dict[str, Any], console: Console) -> None:
    """The result as tables."""
    table = Table(title=f"{result['commands']:,} commands, {result['batch']} a frame")
    for name in ("engine", "commands/s", "p50 us/frame", "p99", "p99.9"):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for name in ("compiled", "reference"):
        row = result[name]
        latencies = (f"{row[f'frame_us_p{p}']:,}" for p in (50, 99, 99.9))
        table.add_row(name, f"{row['commands_per_second']:,}", *latencies)
    console.print(table)
    console.print(f"ratio {result['ratio']}; state {result['state_hash'][:16]}")
    console.print(f"equal over the first {result['prefix_commands']:,} commands")
    heard = ", ".join(f"{name} {count:,}" for name, count in result["events"].items())
    console.print(f"events: {heard}")


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8_000)
    parser.add_argument("--reference-frames", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    result = measure(
        chosen.frames, chosen.reference_frames, chosen.batch, chosen.seed, chosen.rounds
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    show(result, Console())


if __name__ == "__main__":
    main()
