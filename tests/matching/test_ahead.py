"""What is looked at ahead of time reaches the machine code: gcc took it for nothing once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
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
LABEL = re.compile(r"^[0-9a-f]+ <(\S+)>:$", re.M)
OWN_CODE = re.compile(r"__pyx_f_\d+matching_\d+ahead_(\w+)$")
INSTRUCTION = re.compile(r"\b(?:prefetch|prfm)")


@cache
def bodies() -> dict[str, str]:
    """The functions of the source by name."""
    return dict(FUNCTION.findall(SOURCE.read_text("utf-8")))


def fetches(function: str, shared: Collection[str]) -> int:
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
    parts = LABEL.split(done.stdout)  # a label, then its code, in turn
    code = dict(zip(parts[1::2], parts[2::2], strict=True))
    own = {name: text for label, text in code.items() for name in OWN_CODE.findall(label)}
    for function, text in own.items():
        expected = fetches(function, own.keys() - {function})
        assert len(INSTRUCTION.findall(text)) >= expected, function
    # what is asked for in a sweep is compiled into what sweeps, the looks into who looks
    others = sum(len(INSTRUCTION.findall(text)) for text in code.values())
    others -= sum(len(INSTRUCTION.findall(text)) for text in own.values())
    looks = {"look", "look_first", "look_far", "look_first_far", "look_alone"}
    elsewhere = (looks | {"await_next"}) - own.keys()
    assert others >= sum(fetches(name, own.keys()) for name in elsewhere) > 0
