"""`make sanitize`: the engine's tests under gcc's address and undefined-behaviour sanitizers.

Every read and write outside of a block of memory, every use of a freed one, every signed overflow,
shift too far, misaligned access or null dereference in the compiled engine ends the run and names
its line. Leaks are not looked for at the end of the process, where Python itself leaves memory
behind; `leaks` looks for those of the engine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.gcc import LIBRARIES, find_library
from tests.instrumented.build import ROOT, SANITIZED, build
from tests.instrumented.rules import run_rules


def environment() -> dict[str, str]:
    """What a process needs that loads a sanitized module."""
    return {
        "LD_PRELOAD": " ".join(str(find_library(name)) for name in LIBRARIES),
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # each bytes object is a block with its own borders
    }


def run_python(tree: Path, *arguments: str, options: str = "") -> subprocess.CompletedProcess[str]:
    """A process of Python with the sanitized modules of the tree before all others.

    `options` are further ones of the address sanitizer.
    """
    more = environment() | {"PYTHONPATH": f"{tree}{os.pathsep}{ROOT}"}
    more["ASAN_OPTIONS"] += options
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


def sanitize(arguments: list[str]) -> int:
    """Build, run the tests, look for leaks; the exit code."""
    tree = build(SANITIZED)
    failed = run_rules(tree, environment(), arguments)
    if failed:
        return failed
    # What was freed is not kept aside: leaks are counted here, uses after free were looked for.
    options = ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    done = run_python(tree, "-m", "tests.instrumented.leaks", options=options)
    print(done.stdout + done.stderr)
    return done.returncode
