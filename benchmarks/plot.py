"""Draws history.svg from history.jsonl: `python -m benchmarks.plot`.

One small chart for each figure that has a target, runs of one machine and clock together: median as
a line, best as points, the target as a dashed line. Times and sizes are drawn as they are, so there
lower is better.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from benchmarks.figures import HISTORY, text

PICTURE = HISTORY.with_suffix(".svg")
COLUMNS, WIDTH, HEIGHT, MARGIN = 3, 300, 150, 34
STYLE = """
text { font: 11px sans-serif; fill: #24292f } .title { font-weight: bold }
.small { fill: #57606a; font-size: 10px } .frame { fill: none; stroke: #d0d7de }
.target { stroke: #cf222e; stroke-dasharray: 4 3 } .median { fill: none; stroke: #0969da }
.point { fill: #0969da } .best { fill: #8c959f }
"""


@dataclass(slots=True)
class Series:
    """One figure through the runs."""

    title: str
    unit: str
    target: float | None
    runs: list[tuple[str, float, float]] = field(default_factory=list)  # commit, median, best


def series(lines: list[str]) -> dict[str, list[Series]]:
    """By machine: every figure that the newest run with it gives a target. O(lines x figures)."""
    machines: dict[str, dict[str, Series]] = {}
    for line in lines:
        run = json.loads(line)
        for name, row in run["figures"].items():
            clock = "time on a core" if run["clock"] == "cpu" else "time on the wall"
            found = machines.setdefault(f"{run['machine']}; {clock}", {})
            one = found.setdefault(f"{run['name']}: {name}", Series(name, "", None))
            one.unit, one.target = row["unit"], row["target"]
            one.runs.append((run["commit"], row["median"], row["best"]))
    return {
        machine: [one for one in found.values() if one.target]
        for machine, found in machines.items()
    }


def chart(one: Series, left: int, top: int) -> Iterator[str]:
    """One chart, 0 at its foot."""
    values = [value for _, median, best in one.runs for value in (median, best)]
    most = _nice(max([*values, one.target or 0]))
    width, height = WIDTH - MARGIN - 10, HEIGHT - 2 * MARGIN + 8
    step = width / max(len(one.runs) - 1, 1)

    def x(at: int) -> float:
        return left + MARGIN + (at * step if len(one.runs) > 1 else width / 2)

    def y(value: float) -> float:
        return top + MARGIN + height * (1 - value / most)

    right, foot = left + MARGIN + width, top + MARGIN + height
    yield f'<text class="title" x="{left + 4}" y="{top + 14}">{escape(one.title)}</text>'
    unit = f" {one.unit}" if one.unit else ""
    now = f"{text(one.runs[-1][1])}{unit}, target {text(one.target or 0)}"
    yield f'<text class="small" x="{left + 4}" y="{top + 28}">{escape(now)}</text>'
    size = f'width="{width}" height="{height}"'
    yield f'<rect class="frame" x="{left + MARGIN}" y="{top + MARGIN}" {size}/>'
    yield f'<text class="small" x="{left + 4}" y="{top + MARGIN + 8}">{text(most)}</text>'
    yield f'<text class="small" x="{left + 4}" y="{foot}">0</text>'
    aim = y(one.target or 0)
    yield f'<line class="target" x1="{left + MARGIN}" x2="{right}" y1="{aim:.1f}" y2="{aim:.1f}"/>'
    line = " ".join(f"{x(at):.1f},{y(run[1]):.1f}" for at, run in enumerate(one.runs))
    yield f'<polyline class="median" points="{line}"/>'
    for at, (commit, median, best) in enumerate(one.runs):
        note = f"<title>{escape(commit)}: median {text(median)}, best {text(best)}</title>"
        yield f'<circle class="best" r="2" cx="{x(at):.1f}" cy="{y(best):.1f}">{note}</circle>'
        yield f'<circle class="point" r="2.5" cx="{x(at):.1f}" cy="{y(median):.1f}">{note}</circle>'
    yield f'<text class="small" x="{left + MARGIN}" y="{foot + 12}">{escape(one.runs[0][0])}</text>'
    if len(one.runs) > 1:
        end = f'<text class="small" text-anchor="end" x="{right}" y="{foot + 12}">'
        yield f"{end}{escape(one.runs[-1][0])}</text>"


def _nice(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    if value <= 0:
        return 1
    power = 10 ** math.floor(math.log10(value))
    return float(next(power * step for step in (1, 2, 5, 10) if power * step >= value))


def draw(machines: dict[str, list[Series]]) -> str:
    """The whole picture."""
    parts, top = [], 0
    for machine, found in machines.items():
        parts.append(f'<text class="title" x="4" y="{top + 16}">{escape(machine)}</text>')
        top += 24
        for at, one in enumerate(found):
            parts += chart(one, at % COLUMNS * WIDTH, top + at // COLUMNS * HEIGHT)
        top += -(-len(found) // COLUMNS) * HEIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * WIDTH} {top}">'
    white = f'<rect width="{COLUMNS * WIDTH}" height="{top}" fill="#ffffff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", white, *parts, "</svg>\n"])


def main(history: Path = HISTORY, picture: Path = PICTURE) -> None:
    """Draws it."""
    picture.write_text(draw(series(history.read_text().splitlines())))
    print(f"wrote {picture}")


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m benchmarks.plot", description=__doc__).parse_args()
    main()
