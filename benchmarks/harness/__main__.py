"""Our engine in the public cross-engine benchmark, beside the adapters that its copy has built.

`python -m benchmarks.harness FOLDER [--rounds N] [--cores M,D] [--keep]` builds our adapter into
FOLDER, a copy of flash1-dev/matching-engine-benchmark with `harness` and `generator` made; runs its
five scenarios with every adapter there, in interleaved rounds; and puts our adapter through the
conformance gate, with the agreement of all other adapters as the oracle and Liquibook's for the
state of the book. Every report stream must have the hash that the benchmark publishes. README.md
says how to make such a copy. Results go to results/harness.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.figures import Figures, Target, wide
from benchmarks.harness.build import NAME, build

SCENARIOS = ("normal", "static", "swing-25", "swing-40", "flash-crash")
OURS = NAME.removesuffix("_adapter.so")
SLOW = ("liquibook",)  # under 0.1 million messages/s: an oracle of the gate only
UNIT = "M messages/s"
TARGETS = [
    *(Target(scenario, UNIT) for scenario in SCENARIOS),
    Target("worst scenario", UNIT, 8),
    Target("best other engine, worst scenario", UNIT),
    Target("worst over best other worst", ""),
]
Rates = dict[str, dict[str, list[float]]]  # engine -> scenario -> million messages a second


def drive(folder: Path, engine: str, scenario: str, cores: tuple[str, str]) -> dict[str, Any]:
    """The benchmark's own result of one run; RuntimeError if it has none."""
    command = ["./harness", "--engine", f"./{engine}_adapter.so", "--scenario", scenario]
    command += ["--mode", "perf", "--matcher-core", cores[0], "--drainer-core", cores[1]]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("Result file: "):
            path = folder / line.removeprefix("Result file: ")
            result: dict[str, Any] = json.loads(path.read_text())
            return result
    raise RuntimeError(f"{engine}, {scenario}: {done.stderr.strip()[-200:]}")


def measure(
    folder: Path, engines: list[str], rounds: int, cores: tuple[str, str], console: Console
) -> tuple[Rates, list[str]]:
    """Every engine and scenario once, and again; the rates, and runs that were not right."""
    rates: Rates = {engine: {scenario: [] for scenario in SCENARIOS} for engine in engines}
    wrong = []
    for _ in track(range(rounds), "rounds", console=console, transient=True):
        for scenario in SCENARIOS:
            for engine in engines:
                result = drive(folder, engine, scenario, cores)
                rates[engine][scenario].append(result["throughput_msgs_per_s"] / 1e6)
                status = result["correctness"]["status"]
                if status != "PASS" or result["verdict"] != "VALID":
                    wrong.append(f"{engine}, {scenario}: {status}, {result['verdict']}")
    return rates, wrong


def gate(folder: Path, oracles: list[str], console: Console) -> dict[str, str]:
    """What each case of the conformance gate says of our adapter."""
    spec = importlib.util.spec_from_file_location(
        "conformance_check", folder / "scripts" / "conformance_check.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    verdicts = {}
    cases = list(module.EDGE_CASES.items())
    for case, messages in track(cases, "gate", console=console, transient=True):
        scenario, count = module.scen_name(case), len(messages)
        module.write_bin(folder / f"orders_{scenario}_s0_n{count}.bin", messages)
        expected = {module.run_hash(f"./{name}_adapter.so", scenario, count) for name in oracles}
        if len(expected) != 1 or "<" in next(iter(expected)):
            verdicts[case] = "no agreement among the others"
        elif module.run_hash(f"./{NAME}", scenario, count) not in expected:
            verdicts[case] = "WRONG reports"
        elif count > module.AUDIT_POINTS:
            verdicts[case] = "reports right"
        else:
            is_right = module.run_audit(f"./{NAME}", scenario, count)
            verdicts[case] = "reports and book right" if is_right else "WRONG book"
    return verdicts


def figures_of(rates: Rates, rounds: int) -> Figures:
    """Ours by scenario, and the worst scenario of each round beside that of the others."""
    figures = Figures("harness", TARGETS)
    for at in range(rounds):
        now = {name: {key: of[at] for key, of in rows.items()} for name, rows in rates.items()}
        figures.add(now[OURS])
        worst = {name: min(rows.values()) for name, rows in now.items()}
        figures.add({"worst scenario": worst[OURS]})
        others = [rate for name, rate in worst.items() if name != OURS]
        if others:
            figures.add({"best other engine, worst scenario": max(others)})
            figures.add({"worst over best other worst": worst[OURS] / max(others)})
    return figures


def show(rates: Rates, console: Console) -> None:
    """Medians by engine and scenario, the best worst case first."""
    table = Table(box=SIMPLE_HEAD, title=f"{UNIT}, median", title_justify="left")
    table.add_column("engine")
    for column in (*SCENARIOS, "worst"):
        table.add_column(column, justify="right")
    medians = {
        name: [statistics.median(values) for values in rows.values()]
        for name, rows in rates.items()
    }
    for name, row in sorted(medians.items(), key=lambda item: -min(item[1])):
        table.add_row(name, *(f"{value:.1f}" for value in (*row, min(row))))
    console.print(table)


def main() -> int:
    """Builds, measures, checks; 1 if a run or a case was not right."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    last = (os.cpu_count() or 2) - 1
    parser.add_argument("--cores", default=f"{last - 1},{last}", help="of matcher and drainer")
    parser.add_argument("--keep", action="store_true", help="add a line to history.jsonl")
    chosen = parser.parse_args()
    console = wide()
    folder: Path = chosen.folder.resolve()
    build(folder)
    found = sorted(path.name.removesuffix("_adapter.so") for path in folder.glob("*_adapter.so"))
    engines = [OURS, *(name for name in found if name != OURS and name not in SLOW)]
    matcher, drainer = chosen.cores.split(",")
    rates, wrong = measure(folder, engines, chosen.rounds, (matcher, drainer), console)
    oracles = [name for name in found if name != OURS]
    verdicts = gate(folder, oracles, console) if oracles else {}
    show(rates, console)
    figures = figures_of(rates, chosen.rounds)
    figures.show(console)
    wrong += [f"{case}: {said}" for case, said in verdicts.items() if "WRONG" in said]
    right = [said for said in verdicts.values() if "right" in said]
    books = [said for said in right if "book" in said]
    console.print(f"gate: {len(right)} of {len(verdicts)} report streams, {len(books)} books right")
    figures.save({"rates": rates, "gate": verdicts, "wrong": wrong}, chosen.keep)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(any(line.startswith(OURS) or ": WRONG" in line for line in wrong))


if __name__ == "__main__":
    sys.exit(main())
