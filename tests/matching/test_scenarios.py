"""Market situations in the scenario language, on both engines, with equal ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from exchange.simulation.scenarios import ScenarioError, World
from matching import compiled, reference
from matching.protocol import EngineProtocol

SCENARIOS = sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))


def test_scenarios_are_found() -> None:
    assert len(SCENARIOS) >= 12


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(path: Path, engine_type: type[EngineProtocol]) -> None:
    World(engine_type).run(path.read_text("utf-8"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_ends_equal(path: Path) -> None:
    worlds = [World(engine_type) for engine_type in (reference.Engine, compiled.Engine)]
    for world in worlds:
        world.run(path.read_text("utf-8"))
    first, second = (world.engine for world in worlds)
    assert first.snapshot() == second.snapshot()
    assert first.next_event == second.next_event > 0


OPENED = "instrument EUA\naccount alice EUA 10\nphase CONTINUOUS\n"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("new alice a1 sell 1 70.00 DAY -> ACCEPTED a1 hold 2", "heard: ACCEPTED a1"),
        ("new alice a1 sell 1 70.00 DAY -> nothing", "heard: ACCEPTED a1"),
        ("new alice a1 sell 1 70.00 DAY -> ACCEPTED; CANCELLED", "heard: ACCEPTED a1"),
        ("new alice a1 sell 1 70.00 DAY -> REJECTED", "heard: ACCEPTED a1"),
        ("new alice a1 sell 1 70.00 DAY", "nothing expected"),
        ("new alice a1 sell 1 70.001 DAY -> ACCEPTED", "finer than a minor unit"),
        ("new nobody a1 sell 1 70.00 DAY -> ACCEPTED", "nobody"),
        ("amend alice a1 -> ACCEPTED", "amend"),
        ("account alice", "ACCOUNT_EXISTS"),
        ("book EUA -> sell a1 1 @70.00", "heard: empty"),
        ("book EUA", "needs an answer"),
        ("book CER -> empty", "CER"),
        ("note -> nothing", "a word is missing"),
        ("+", "no command"),
        ("within -> nothing", "a word is missing"),
        ("deposit alice 99999999999999999999.00", "quantity: 9+00 is not allowed; a whole number"),
        ("deposit alice x.00", "no number"),
        ("limits orders_max 1", "must come first"),
    ],
)
def test_a_wrong_line_fails(line: str, words: str) -> None:
    with pytest.raises(ScenarioError, match=words):
        World(reference.Engine).run(OPENED + line)


@pytest.mark.parametrize("line", ["limits orders_max", "limits orders 5", "limits orders_max many"])
def test_a_wrong_limit_fails(line: str) -> None:
    with pytest.raises(ScenarioError, match="line 1"):
        World(reference.Engine).run(line)
