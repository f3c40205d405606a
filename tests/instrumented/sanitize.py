"""Runs under gcc's address and undefined-behaviour sanitizers.

Every read and write outside of a block of memory, every use of a freed one, every signed overflow,
shift too far, misaligned access or null dereference in the compiled engine ends the run and names
its line. Leaks are not looked for at the end of the process, where Python itself leaves memory
behind; `leaks` looks for those of the engine.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.local.gcc import LIBRARIES, find_library
from tests.instrumented.build import ROOT
from tests.instrumented.coverage import places

C_LINE = re.compile(r"((?:matching/)?\w+)\.c:(\d+)")


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
    done = subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )
    done.stderr = with_lines(tree, done.stderr)
    return done


def with_lines(tree: Path, report: str) -> str:
    """A report, with the line of Cython behind each line of C that it names. O(report + C)."""
    known: dict[str, dict[int, str]] = {}

    def named(found: re.Match[str]) -> str:
        stem, number = found[1], int(found[2])
        path = tree / f"{stem}.c"
        if stem not in known:
            text = path.read_text("utf-8") if path.exists() else ""
            known[stem] = {c: f"{line.path}:{line.number}" for c, (_, line) in places(text).items()}
        line = known[stem].get(number)
        return f"{line} ({found[0]})" if line else found[0]

    return C_LINE.sub(named, report)


def leak(tree: Path) -> int:
    """Looks for what engines leave behind; the exit code."""
    # What was freed is not kept aside: leaks are counted here, uses after free were looked for.
    options = ":quarantine_size_mb=0:thread_local_quarantine_size_kb=0"
    done = run_python(tree, "-m", "tests.instrumented.leaks", options=options)
    print(done.stdout + done.stderr)
    return done.returncode
