"""Where an instruction stands, by what the registry said of it last."""

from __future__ import annotations

import pytest

from exchange.messages.registry import OffsetReversalChanged, RegistryRecord, YearFigures
from gateway.views.instructions import Instructions
from tests.books_venue import CCER, VENUE, YANGTZE


def told(number: int, *items: OffsetReversalChanged | YearFigures) -> RegistryRecord:
    return RegistryRecord(1, number, number, 10**18, items)


@pytest.mark.parametrize(
    ("state", "status"),
    [("ASKED", "PENDING"), ("UNDONE", "PENDING"), ("KEEPING", "PENDING"), ("DONE", "DONE")],
)
def test_a_reversal_over_two_registries_is_done_at_its_end(state: str, status: str) -> None:
    instructions = Instructions(VENUE, "CN", lambda _number: None)
    item = OffsetReversalChanged(
        9, 5, 8, YANGTZE, CCER, 2025, 10, state, "ann", "ben", "why"
    )  # fmt: skip
    instructions.apply_registry(told(0, item))
    assert instructions._states[9].status == status


def test_what_happens_by_time_is_no_instruction() -> None:
    instructions = Instructions(VENUE, "CN", lambda _number: None)
    blank = (None, None, None, None, 0, 0, 0, None, 0, 0, 0)
    instructions.apply_registry(told(0, YearFigures(0, YANGTZE, "cn-national", 2025, "", *blank)))
    assert not instructions._states
    instructions.apply_registry(told(1, YearFigures(7, YANGTZE, "cn-national", 2025, "", *blank)))
    assert list(instructions._states) == [7]
