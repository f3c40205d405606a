"""Which lines of the compiled engine do its tests not run?

gcov counts the lines of the C that Cython wrote. Before the code of each line of a .pyx or .pxd
stands a comment with its place; the first C line behind it that gcov counts says whether the line
was run. An inline function of a .pxd has a copy in each module, and one copy that runs is enough.

A line that no test can run is explained in `unrun.txt`; an explanation without such a line is an
error too, so that the list stays true.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.instrumented.build import modules, run

ALLOWED = Path(__file__).with_name("unrun.txt")
PLACE = re.compile(r'^ */\* "((?:matching/)?[a-z_]+\.(?:pyx|pxd))":(\d+)$')
END = re.compile(r"^ */\* function exit code \*/$")
TYPE = re.compile(r"cdef (?:packed )?(?:enum|struct)\b")  # no code of its own
SEPARATOR = " | "


class Line(NamedTuple):
    """A line of Cython: its file from the root of the project, and its number from 1."""

    path: str
    number: int


def places(c_text: str) -> dict[int, tuple[int, Line]]:
    """C line -> the number of its stretch, and the Cython line it was written for."""
    found: dict[int, tuple[int, Line]] = {}
    now: tuple[int, Line] | None = None
    for number, text in enumerate(c_text.splitlines(), 1):
        place = PLACE.match(text)
        if place:
            now = (number, Line(place[1], int(place[2])))
        elif END.match(text):
            now = None
        if now:
            found[number] = now
    return found


def executed(c_text: str, counts: dict[int, int]) -> Counter[Line]:
    """How often each Cython line was run, by what gcov counted of the C lines."""
    runs: Counter[Line] = Counter()
    seen = set()
    where = places(c_text)
    for number in sorted(counts):
        if number not in where:
            continue
        stretch, line = where[number]
        if stretch not in seen:  # what stands behind may belong to what is around the line
            seen.add(stretch)
            runs[line] += counts[number]
    return runs


def counts_of(tree: Path, stem: str) -> dict[int, int]:
    """C line -> times run, all copies of it together."""
    command = ["gcov", "--json-format", "--stdout", f"{stem}.gcda"]
    counts: Counter[int] = Counter()
    for file in json.loads(run(command, tree))["files"]:
        if file["file"] == f"{stem}.c":
            for line in file["lines"]:
                counts[line["line_number"]] += line["count"]
    return dict(counts)


def count_lines(tree: Path, stems: Iterable[str]) -> Counter[Line]:
    """How often each line of these modules was run, and of what they share."""
    runs: Counter[Line] = Counter()
    for stem in stems:
        text = (tree / f"{stem}.c").read_text("utf-8")
        runs.update(executed(text, counts_of(tree, stem)))
    return Counter({line: runs[line] for line in runs if not TYPE.match(source_of(tree, line))})


def allowed(text: str) -> dict[tuple[str, str], str]:
    """(file, source of the line) -> why no test runs it; ValueError for a line without a reason."""
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            path, source, reason = line.split(SEPARATOR)
            found[path, source] = reason
    return found


def judge(missed: Iterable[tuple[Line, str]], explained: dict[tuple[str, str], str]) -> list[str]:
    """In words: each missed line without a reason, each reason without a missed line."""
    wrong, used = [], set()
    for line, source in missed:
        if (line.path, source) in explained:
            used.add((line.path, source))
        else:
            wrong.append(f"{line.path}:{line.number}: not run: {source}")
    for path, source in explained.keys() - used:
        wrong.append(f"{ALLOWED.name}: is run, or is not there: {path}{SEPARATOR}{source}")
    return sorted(wrong)


def forget(tree: Path) -> None:
    """Nothing was run so far."""
    for counted in tree.rglob("*.gcda"):
        counted.unlink()


def unexplained(tree: Path) -> int:
    """Prints the lines that were not run since `forget`; how many have no reason for it."""
    runs = count_lines(tree, [module.stem for module in modules()])
    missed = [(line, source_of(tree, line)) for line in sorted(runs) if not runs[line]]
    wrong = judge(missed, allowed(ALLOWED.read_text("utf-8")))
    print(f"{len(runs)} lines of Cython, {len(missed)} not run, {len(wrong)} unexplained")
    for problem in wrong:
        print(problem)
    return len(wrong)


def source_of(tree: Path, line: Line) -> str:
    return (tree / line.path).read_text("utf-8").splitlines()[line.number - 1].strip()
