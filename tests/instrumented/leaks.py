"""Run by `sanitize` on the sanitized engine: does an engine that is gone leave memory behind?"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest

from matching import compiled
from tests.matching.flows import Flow, everything

ROUNDS = 4
ENGINES = 10
SLACK = 2_048
"""Bytes which Python may come to keep for itself in a round: 200 an engine, less than any of its
blocks; the least of some rounds is taken."""


def one_life(seed: int) -> None:
    """An engine that trades, is saved and restored, and gone; another that is never born whole."""
    flow = Flow(seed)
    engine = compiled.Engine()
    for record in (*flow.opening(), flow.rules(), *flow.frames(20, everything)):
        flow.hear(engine.apply(*record))
    data = engine.snapshot()
    assert compiled.Engine.restore(data).snapshot() == data
    with pytest.raises(ValueError, match="snapshot"):
        compiled.Engine.restore(data[:-1] + bytes([data[-1] ^ 1]))


def in_use() -> tuple[int, int]:
    """Bytes that malloc has given out, and pages of address space that are taken."""
    allocated = ctypes.CDLL(None).__sanitizer_get_current_allocated_bytes
    allocated.restype = ctypes.c_size_t
    return int(allocated()), int(Path("/proc/self/statm").read_text().split()[0])


def left_by_a_round() -> tuple[int, int]:
    """What a number of lives, the same ones each time, add to bytes and pages."""
    before = in_use()
    for seed in range(ENGINES):
        one_life(seed)
    gc.collect()
    after = in_use()
    return after[0] - before[0], after[1] - before[1]


def main() -> None:
    """Prints what each round left; AssertionError if each of them left something."""
    left = [left_by_a_round() for _ in range(ROUNDS)]
    print(f"left behind by {ENGINES} engines, (bytes, pages), round by round: {left}")
    assert min(count for count, _ in left) < SLACK
    assert min(pages for _, pages in left) < ENGINES  # an engine keeps address space for its pools


if __name__ == "__main__":
    main()
