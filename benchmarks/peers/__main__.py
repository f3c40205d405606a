"""Every matching engine on PyPI that could be driven, and ours, on one flow in one run.

`python -m benchmarks.peers [--rounds N] [--only NAME] [--allow-missing] [--keep]` installs the
peers, pinned, into environments under build/, drives each through its fastest public way in
interleaved rounds, each run in a process of its own, and compares the trades with those of a plain
book, one by one. A slow engine does a part of the flow. The trades of ours must be exact; what a
peer does wrong stands in the table. A peer that cannot be installed or run is named, and fails the
run unless `--allow-missing` is given. Results go to results/peers.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.figures import Figures, Target, wide
from benchmarks.peers import compiled, flow, interpreted, ours
from benchmarks.peers.driven import Peer
from benchmarks.peers.environment import HOME, ROOT, Environments

SEED = 20240601
OPERATIONS = 1_000_000
BUDGET_S = 1.0  # of a run
TIMEOUT_S = 60.0  # of a run and its verification
HANG_S = 10.0  # for those that are known to hang
NEVER_RETURNS = {"nanobook": "never returns: loops in the cancel of a partly filled order"}
*FRAMES, CALL = (peer.name for peer in ours.PEERS)
OVER = {name: f"{name.removeprefix('ours, ')} over best peer" for name in FRAMES}
TARGETS = [
    *(Target(name, "M operations/s", 10) for name in FRAMES),
    Target(CALL, "M operations/s", 3),
    Target("best peer", "M operations/s"),
    Target("best peer that tells trades", "M operations/s"),
    *(Target(name, "", 10) for name in OVER.values()),
    Target("call over best peer that tells trades", ""),
]


@dataclass(slots=True)
class Row:
    """What the rounds of one engine gave."""

    peer: Peer
    rates: list[float] = field(default_factory=list)  # operations a second
    verdict: str = ""
    missing: str = ""  # why it did not run


def workload() -> Path:
    """The flow, made once."""
    path = HOME / f"flow-{flow.VERSION}-{OPERATIONS}-{SEED}.bin"
    if not path.exists():
        HOME.mkdir(parents=True, exist_ok=True)
        flow.save(flow.make(OPERATIONS, SEED), path)
    return path


def drive(row: Row, python: Path, path: Path, clock: str) -> None:
    """One round of one engine; the first is verified."""
    module = [str(python), "-m", "benchmarks.peers.child"]
    command = [*module, row.peer.name, str(path), str(BUDGET_S), clock]
    command += [] if row.rates else ["verify"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=HANG_S if row.peer.name in NEVER_RETURNS else TIMEOUT_S,
            check=True,
            env=environment,
            cwd=HOME,
        )
    except subprocess.TimeoutExpired:
        row.missing = NEVER_RETURNS.get(row.peer.name, f"no answer in {TIMEOUT_S:.0f} s")
        return
    except subprocess.CalledProcessError as error:
        words = (error.stderr.strip().splitlines() or ["no words"])[-1]
        row.missing = f"ended with {error.returncode}: {words[:100]}"
        return
    result = json.loads(done.stdout.strip().splitlines()[-1])
    row.rates.append(result["operations"] / result["seconds"])
    row.verdict = row.verdict or result["verdict"]


def measure(rows: list[Row], rounds: int, clock: str, console: Console) -> None:
    """Installs what is not there, then every engine once, and every one again."""
    environments = Environments()
    path = workload()
    pythons: dict[str, Path] = {}
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("installing", total=len(rows))
        for row in rows:
            progress.update(task, advance=1, description=f"installing {row.peer.name}")
            try:
                pythons[row.peer.name] = environments.python(row.peer)
            except (RuntimeError, subprocess.SubprocessError) as error:
                row.missing = str(error)
        task = progress.add_task("running", total=rounds * len(rows))
        for _ in range(rounds):
            for row in rows:
                progress.update(task, advance=1, description=row.peer.name)
                if not row.missing:
                    drive(row, pythons[row.peer.name], path, clock)


def summary(rows: list[Row], rounds: int) -> Figures:
    """Ours beside the best peer of each round."""
    figures = Figures("peers", TARGETS)
    by_name = {row.peer.name: row.rates for row in rows if not row.missing}
    others = [row for row in rows if row.peer.distribution and not row.missing]
    for at in range(rounds):
        rates = {name: values[at] / 1e6 for name, values in by_name.items()}
        figures.add({name: rates[name] for name in (*FRAMES, CALL) if name in rates})
        peers = [rates[row.peer.name] for row in others]
        telling = [rates[row.peer.name] for row in others if row.peer.hands_over]
        if peers:
            figures.add({"best peer": max(peers)})
            figures.add(
                {over: rates[name] / max(peers) for name, over in OVER.items() if name in rates}
            )
        if telling:
            figures.add({"best peer that tells trades": max(telling)})
            if CALL in rates:
                name = "call over best peer that tells trades"
                figures.add({name: rates[CALL] / max(telling)})
    return figures


def show(rows: list[Row], console: Console) -> None:
    """All engines, the fastest first."""
    table = Table(box=SIMPLE_HEAD)
    for column in ("engine", "version", "core", "driven by"):
        table.add_column(column)
    table.add_column("median op/s", justify="right")
    table.add_column("best", justify="right")
    table.add_column("trades")
    for row in sorted(rows, key=lambda row: -statistics.median(row.rates or [0])):
        peer = row.peer
        rates = [statistics.median(row.rates), max(row.rates)] if row.rates else []
        table.add_row(
            peer.name,
            peer.distribution.rpartition("==")[2],
            peer.core,
            peer.way,
            *([f"{rate:,.0f}" for rate in rates] or ["", ""]),
            row.verdict if rates else f"[red]{row.missing}[/]",
        )
    console.print(table)


def main() -> int:
    """Measures, prints, keeps; 1 if one of ours is not exact or a peer is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", metavar="NAME", help="these and ours")
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--keep", action="store_true", help="add a line to history.jsonl")
    chosen = parser.parse_args()
    peers = [*compiled.PEERS, *interpreted.PEERS]
    if chosen.only:
        peers = [peer for peer in peers if peer.name in chosen.only]
    rows = [Row(peer) for peer in (*ours.PEERS, *peers)]
    console = wide()
    measure(rows, chosen.rounds, chosen.clock, console)
    show(rows, console)
    figures = summary(rows, chosen.rounds)
    figures.show(console)
    checks = {
        row.peer.name: {"trades": row.verdict, "missing": row.missing, "rates": row.rates}
        for row in rows
    }
    figures.save(checks, chosen.keep, chosen.clock)
    inexact = [row for row in rows if not row.peer.distribution and row.verdict != "exact"]
    absent = [
        row for row in rows if row.missing and row.peer.name not in NEVER_RETURNS and row.peer.core
    ]
    for row in (*inexact, *absent):
        print(f"{row.peer.name}: {row.missing or row.verdict}", file=sys.stderr)
    return int(bool(inexact) or (bool(absent) and not chosen.allow_missing))


if __name__ == "__main__":
    sys.exit(main())
