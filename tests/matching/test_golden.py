"""A recorded flow leads to the recorded events and state, in every version to come."""

from __future__ import annotations

import json

from matching import compiled
from matching.layout import Event
from matching.protocol import EngineProtocol
from tests.matching.frames import events
from tests.matching.golden import OUTCOME, outcome, records


def test_golden_flow(engine_type: type[EngineProtocol]) -> None:
    expected = json.loads(OUTCOME.read_text("utf-8"))
    assert expected["records"] > 700
    assert expected["events"] > 3_000
    assert outcome(engine_type()) == expected


def test_it_meets_every_event() -> None:
    engine = compiled.Engine()
    heard = {event.kind for record in records() for event in events(engine.apply(*record))}
    assert heard == set(Event)
