"""The engine's tests under sanitizers and line coverage; and both find what is planted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.instrumented.build import ROOT, build_one
from tests.instrumented.coverage import Line, allowed, count_lines, forget, judge
from tests.instrumented.sanitize import run_python

HERE = Path(__file__).parent
FAULTS, LINES = HERE / "faults.pyx", HERE / "lines.pyx"

REPORTS = {
    "write_past_the_end": "heap-buffer-overflow",
    "write_before_the_start": "AddressSanitizer: heap-",
    "read_after_free": "heap-use-after-free",
    "free_twice": "attempting double-free",
    "write_past_the_array": "index 4 out of bounds",
    "signed_overflow": "signed integer overflow",
    "shift_too_far": "shift exponent 64 is too large",
    "divide_by_zero": "division by zero",
    "misaligned": "store to misaligned address",
    "null": "AddressSanitizer: SEGV",
}
"""What the sanitizers say of each planted fault."""


@pytest.fixture(scope="module")
def faults() -> Path:
    return build_one(FAULTS)


def test_every_planted_fault_is_tried() -> None:
    planted = set(re.findall(r"^def (\w+)", FAULTS.read_text("utf-8"), re.M))
    assert planted == REPORTS.keys() | {"nothing"}


@pytest.mark.parametrize("fault", REPORTS)
def test_planted_fault_is_found(fault: str, faults: Path) -> None:
    done = run_python(faults, "-c", f"import faults; faults.{fault}(4); print('lives')")
    assert done.returncode != 0
    assert "lives" not in done.stdout
    assert REPORTS[fault] in done.stderr
    assert "faults.pyx:" in done.stderr


def test_sound_code_is_left_alone(faults: Path) -> None:
    done = run_python(faults, "-c", "import faults; faults.nothing(4); print('lives')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "lives\n", "")


def test_lines_not_run_are_found() -> None:
    tree = build_one(LINES)
    forget(tree)
    done = run_python(tree, "-c", "import lines; lines.ask(0); lines.ask(3)")
    assert done.returncode == 0, done.stderr
    runs = count_lines(tree, ["lines"])
    source = LINES.read_text("utf-8").splitlines()
    wanted = [number for number, text in enumerate(source, 1) if text.endswith("# not run")]
    assert [line.number for line in sorted(runs) if not runs[line]] == wanted
    assert runs[Line("lines.pyx", 1 + source.index("    if number > 2:"))] == 5


def test_a_missed_line_needs_a_reason_and_a_reason_a_missed_line() -> None:
    listed = allowed("# file | source | why\na.pyx | return 1 | cannot be\na.pyx | y = 2 | old\n")
    missed = [(Line("a.pyx", 7), "return 1"), (Line("a.pyx", 9), "x = 1")]
    assert judge(missed, listed) == [
        "a.pyx:9: not run: x = 1",
        "unrun.txt: is run, or is not there: a.pyx | y = 2",
    ]
    with pytest.raises(ValueError, match="unpack"):
        allowed("a.pyx | return 1\n")


def test_every_line_of_the_engine_is_run_and_keeps_to_its_memory() -> None:
    command = [sys.executable, "-m", "tests.instrumented"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
