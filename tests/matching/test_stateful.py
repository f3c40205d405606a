"""Hypothesis says whatever it likes to both engines; what differs shrinks to a short scenario."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from exchange.simulation.scenarios import World
from matching import compiled, reference
from matching.layout import RECORD_SIZE, Event
from tests.matching.spoken import OPENING, DifferError, market_with

SETTINGS = settings(
    max_examples=40,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)


class Wrong(reference.Engine):
    """Gives another reason for every order that ends."""

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        said = bytearray(super().apply(offset, append_ns, frame))
        for place in range(0, len(said), RECORD_SIZE):
            said[place + 6] ^= said[place] == Event.CANCELLED
        return bytes(said)


def test_whatever_is_said() -> None:
    market = market_with(compiled.Engine)
    run_state_machine_as_test(market, settings=SETTINGS)  # type: ignore[no-untyped-call]
    assert len(market.heard) > len(Event) * 4 // 5, "a flow that meets nothing proves nothing"


def test_a_difference_shrinks_to_a_scenario() -> None:
    """It stands in the message, with the answers of the reference: a file of `scenarios`."""
    market = market_with(Wrong)
    short = settings(SETTINGS, stateful_step_count=10)
    with pytest.raises(DifferError) as caught:
        run_state_machine_as_test(market, settings=short)  # type: ignore[no-untyped-call]
    scenario = str(caught.value)
    said = scenario.splitlines()[1 + len(OPENING) :]
    assert len(said) < 5, scenario
    assert "CANCELLED" in said[-1]
    World(reference.Engine).run(scenario)
