"""A recorded flow leads to the recorded events and state, in every version to come."""

from __future__ import annotations

import json

from matching.protocol import EngineProtocol
from tests.matching.golden import OUTCOME, outcome


def test_golden_flow(engine_type: type[EngineProtocol]) -> None:
    expected = json.loads(OUTCOME.read_text("utf-8"))
    assert expected["records"] > 200
    assert expected["events"] > 1_000
    assert outcome(engine_type()) == expected
