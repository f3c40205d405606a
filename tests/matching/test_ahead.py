"""What is looked at ahead of time reaches the machine code: gcc took it for nothing once."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import matching
from matching import compiled

SOURCE = Path(matching.__file__).with_name("ahead.pxd")
FUNCTION = re.compile(
    r"^cdef inline .*?\b(\w+)\(\n?(?:.|\n)*?\) noexcept nogil:\n((?:    .*\n|\n)+)", re.M
)
CALL = re.compile(r"\b(\w+)\(")
FETCHES = ("prefetch", "index_await")  # one fetch a call
OWN_CODE = re.compile(r"<__pyx_f_\d+matching_\d+ahead_(\w+)>:")
INSTRUCTION = re.compile(r"\b(?:prefetch|prfm)")


@cache
def bodies() -> dict[str, str]:
    """The functions of the source by name."""
    return dict(FUNCTION.findall(SOURCE.read_text("utf-8")))


def fetches(function: str, shared: set[str]) -> int:
    """How many instructions a function holds that fetch, with all that is compiled into it."""
    calls = CALL.findall(bodies()[function])
    return sum(
        1 if call in FETCHES else fetches(call, shared)
        for call in calls
        if (call in bodies() and call not in shared) or call in FETCHES
    )


def test_every_fetch_of_the_source_is_in_the_machine_code() -> None:
    command = ["objdump", "--disassemble", "--no-show-raw-insn", compiled.__file__]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shared = set(OWN_CODE.findall(done.stdout))  # compiled once, whoever calls it
    expected = sum(fetches(one, shared) for one in {"look", "await_next", *shared})
    assert expected > 60
    assert len(INSTRUCTION.findall(done.stdout)) >= expected
