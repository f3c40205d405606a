"""What a measurement found: values of several rounds beside the target, as table, JSON, history."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

HOME = Path(__file__).parent
RESULTS = HOME / "results"
HISTORY = HOME / "history.jsonl"


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is, its unit, and what it should reach (None: shown for scale only)."""

    name: str
    unit: str
    value: float | None = None
    is_ceiling: bool = False  # smaller is better


@dataclass(slots=True)
class Figure:
    """A target and the values of the rounds, in its unit."""

    target: Target
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """The middle value. O(rounds log rounds)."""
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        """The largest value, or the smallest where smaller is better. O(rounds)."""
        return min(self.values) if self.target.is_ceiling else max(self.values)

    @property
    def ratio(self) -> float | None:
        """How far the median reaches the target: 1 and more is reached; None without one."""
        aim = self.target.value
        if aim is None:
            return None
        if self.target.is_ceiling:
            return 1 if self.median <= aim == 0 else aim / max(self.median, 1e-9)
        return self.median / aim


class Figures:
    """The figures of one run, in the order in which they were named."""

    def __init__(self, name: str, targets: Iterable[Target]) -> None:
        self.name = name
        self._by_name = {target.name: Figure(target) for target in targets}

    def last(self, name: str) -> float | None:
        """The value of the last round; None if it was not measured."""
        values = self._by_name[name].values if name in self._by_name else []
        return values[-1] if values else None

    def add(self, values: dict[str, float]) -> None:
        """Values of one round; KeyError for a name that no target has."""
        for name, value in values.items():
            self._by_name[name].values.append(value)

    def measured(self) -> list[Figure]:
        """Those that have values. O(figures)."""
        return [figure for figure in self._by_name.values() if figure.values]

    def as_json(self) -> dict[str, Any]:
        """By name: unit, target, median, best, all values."""
        return {
            figure.target.name: {
                "unit": figure.target.unit,
                "target": figure.target.value,
                "median": _short(figure.median),
                "best": _short(figure.best),
                "values": [_short(value) for value in figure.values],
            }
            for figure in self.measured()
        }

    def show(self, console: Console) -> None:
        """A table: reached (median, best) beside the target, and how far it is reached."""
        table = Table(box=SIMPLE_HEAD, title=self.name, title_justify="left")
        for column in ("figure", "median", "best", "target", "reached"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        table.add_column("unit")
        for figure in self.measured():
            aim, ratio = figure.target.value, figure.ratio
            bound = "<= " if figure.target.is_ceiling else ">= "
            style = "" if ratio is None else "green" if ratio >= 1 else "red"
            table.add_row(
                figure.target.name,
                text(figure.median),
                text(figure.best),
                "" if aim is None else bound + text(aim),
                "" if ratio is None else f"[{style}]{ratio:.2f} x[/]",
                figure.target.unit,
            )
        console.print(table)

    def save(self, checks: dict[str, Any], keep: bool, clock: str = "wall") -> None:
        """Writes results/NAME.json; with `keep` a line of history too."""
        run = {**stamp(), "clock": clock, "name": self.name}
        RESULTS.mkdir(exist_ok=True)
        result = {**run, "figures": self.as_json(), "checks": checks}
        (RESULTS / f"{self.name}.json").write_text(json.dumps(result, indent=2) + "\n")
        if keep:
            kept = ("unit", "target", "median", "best")
            short = {name: {key: row[key] for key in kept} for name, row in self.as_json().items()}
            with HISTORY.open("a") as history:
                history.write(json.dumps({**run, "figures": short}) + "\n")


def wide() -> Console:
    """A console; one that is no terminal gets room for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=110)


def stamp() -> dict[str, Any]:
    """When, of what, where: what makes two runs comparable or not."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def text(value: float) -> str:
    """Three figures or all before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
