"""Runs `tests/matching`, and what is tested only there, on the engine of another tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.instrumented.build import ROOT
from tests.matching.test_equivalence import FLOWS, SEEDS

NOT_HERE = (
    "tests/matching/test_stub.py",
    "tests/matching/test_mutants.py",
    "tests/matching/test_deal_mutants.py",
    "tests/matching/test_memory.py",
    "tests/matching/test_ahead.py",
)
"""The first compares types with a stub and runs no engine; the next two plant bugs in the
reference, and the flows which find them are those of the other files; the fourth counts pages of
memory, of which these builds need many of their own; the fifth reads the machine code of the usual
build. Of the others `only_compiled` leaves out what runs the reference alone."""

NOT_THESE = (
    "tests/matching/test_stateful.py::test_a_difference_shrinks_to_a_scenario",
    "tests/matching/test_equivalence.py::test_flows_meet_every_event_and_reason",
    "tests/matching/test_call_price.py::test_random_books",
    "tests/matching/test_equivalence.py::test_drawn_flow",
    *(f"tests/matching/test_equivalence.py::test_flow[{name}-{SEEDS[-1]}]" for name in FLOWS),
)
"""The first is about an engine that is wrong on purpose, and shrinks what shows it, which is long
here; the second is about the flows, which `test_flow` gives to the engine anyway; the third is
about a function of the reference; the fourth draws what the flows of `test_flow` and the machine of
`test_stateful` say to this engine; the others are a third seed of what two have shown."""

DAMAGE_RULES = "tests/instrumented/damage_rules.py"
"""What only these builds allow to be tested."""


def run_rules(tree: Path, environment: dict[str, str], arguments: list[str]) -> tuple[int, str]:
    """The exit code of pytest, 1 if it ran on another engine than that of the tree; its words."""
    path = {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        *(sys.executable, "-m", "pytest", "-o", f"pythonpath={tree}", "-p", "no:cacheprovider"),
        *(
            *("--tb=short", "--capture=sys"),  # what a sanitizer says last is not lost with pytest
            *("-p", "tests.instrumented.only_compiled"),
            *(f"--ignore={path}" for path in NOT_HERE),
            *(f"--deselect={name}" for name in NOT_THESE),
            "tests/matching",
            DAMAGE_RULES,
            *arguments,
        ),
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | path | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if f"compiled engine: {tree}" not in done.stdout:
        return 1, f"{done.stdout}\nthe engine under test was not that of {tree}"
    return done.returncode, done.stdout
