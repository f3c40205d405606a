"""The engine alone on a stream: both bodies agree, a difference is told, memory stays bounded."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from exchange.log.protocol import Record
from exchange.messages.frames import RECORD_SIZE, Command, Event
from exchange.messages.lines import LineError, command_line
from exchange.settings import MATCH_LINE_BYTES_MAX
from exchange.simulation.match import (
    Match,
    MatchError,
    bounded_lines,
    feed_lines,
    feed_scenario,
    looks_like_json,
)
from exchange.simulation.scenarios import LanguageError, ScenarioError
from matching import compiled, reference
from matching.protocol import Limits
from tests.matching.flows import Flow, broken_frames, everything
from tests.matching.frames import events as rows

BOTH = {"reference": reference.Engine, "compiled": compiled.Engine}


class Heard:
    """Keeps what a match said."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.events: list[bytes] = []
        self.limits: set[Limits] = set()

    def __call__(self, record: Record, limits: Limits, first_event: int, events: bytes) -> None:
        assert first_event == sum(map(len, self.events)) // RECORD_SIZE
        self.records.append(record)
        self.events.append(events)
        self.limits.add(limits)


def changed(place: int, at: int) -> type[reference.Engine]:
    """A reference engine that changes one byte of its answer to the record at `at`."""

    class Changed(reference.Engine):
        def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
            said = bytearray(super().apply(offset, append_ns, frame))
            if offset == at:
                said[place] ^= 1
            return bytes(said)

    return Changed


class Forgetful(reference.Engine):
    """Says the right things and keeps another state."""

    def state_hash(self) -> bytes:
        return bytes(32) if self.next_offset > 3 else super().state_hash()


class Broken(reference.Engine):
    """Finds a fault in itself."""

    def self_check(self) -> list[str]:
        return ["holds differ"] if self.next_offset > 3 else []


def stream(seed: int) -> list[tuple[int, int, bytes]]:
    flow = Flow(seed)
    opening = [*flow.opening(), flow.rules(), *flow.frames(40, everything)]
    return [*opening, *broken_frames(flow, 20), *flow.frames(20, everything)]


def lines(records: list[tuple[int, int, bytes]]) -> Iterator[bytes]:
    return (command_line(append_ns, frame) for _, append_ns, frame in records)


@pytest.mark.parametrize("seed", range(3))
def test_lines_give_what_the_frames_give(seed: int) -> None:
    records, heard = stream(seed), Heard()
    engine = reference.Engine()
    wanted = [engine.apply(*record) for record in records]
    match = Match(BOTH, heard, check_every=7)
    feed_lines(match, lines(records))
    figures = match.end()
    assert heard.events == wanted
    assert figures.state_hash == engine.state_hash()
    assert figures.records == len(records)
    kinds = [row.kind for said in wanted for row in rows(said)]
    assert figures.events == {kind: kinds.count(kind) for kind in set(kinds)}
    sound = [said for said in wanted if [e.kind for e in rows(said)] != [Event.FRAME_REFUSED]]
    assert len(sound) <= figures.commands


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (changed(32, 1), r"at offset 1, event \d+: reference says .*; other says "),
        (changed(0, 0), "at offset 0, event 0: reference says .*EPOCH_STARTED.*; other says "),
        (Forgetful, r"after 4 records the states differ: reference \w{64}, other 0{64}"),
        (Broken, "after 4 records: other: holds differ"),
    ],
)
def test_a_difference_is_told(other: type[reference.Engine], told: str) -> None:
    match = Match({"reference": reference.Engine, "other": other}, Heard(), check_every=2)
    with pytest.raises(MatchError, match=told):
        feed_lines(match, lines(stream(1)))


def test_an_engine_that_says_less_is_told() -> None:
    class Silent(reference.Engine):
        def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
            return super().apply(offset, append_ns, frame)[:-RECORD_SIZE]

    match = Match({"reference": reference.Engine, "other": Silent}, Heard())
    with pytest.raises(MatchError, match="other says nothing more"):
        feed_lines(match, lines(stream(1)))


def test_the_end_is_checked_without_being_asked() -> None:
    match = Match({"one": Broken}, Heard())
    feed_lines(match, lines(stream(1)))
    with pytest.raises(MatchError, match="one: holds differ"):
        match.end()


def test_lines_are_read_as_they_are_needed() -> None:
    """A stream of any length: a line is asked for when the one before was answered."""
    heard = Heard()
    match = Match({"compiled": compiled.Engine}, heard)

    def endless() -> Iterator[bytes]:
        number = 0
        while True:
            assert len(heard.records) == number
            yield b'{"kind": "CLOCK_TICK"}'
            number += 1
            if number == 100:
                yield b"stop"

    with pytest.raises(LineError, match="line 101: no JSON"):
        feed_lines(match, endless())
    assert len(heard.records) == 100


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b'\n\n{"kind": 5.0}', "line 3: kind: 5.0"),
        (b'{"kind": 25}\n{"limits": {}}', "line 2: limits: only once, before the first"),
        (b'{"limits": {"orders_max": 1}}\n{"limits": {}}', "line 2: limits: only once"),
    ],
)
def test_the_line_of_a_fault_is_told(text: bytes, told: str) -> None:
    match = Match({"compiled": compiled.Engine}, Heard())
    with pytest.raises(LineError, match=told):
        feed_lines(match, bounded_lines(io.BytesIO(text)))


def test_limits_hold() -> None:
    heard = Heard()
    text = [b'{"limits": {"accounts_max": 1}}']
    text += [json.dumps({"kind": "ACCOUNT_OPEN", "account_id": n}).encode() for n in (1, 2)]
    feed_lines(Match(BOTH, heard), text)
    assert [row.name for said in heard.events for row in rows(said)] == [
        "ACCOUNT_OPENED",
        "REJECTED",
    ]
    assert heard.limits == {Limits(accounts_max=1)}


def test_a_line_has_a_longest_length() -> None:
    longest = b" " * (MATCH_LINE_BYTES_MAX - 1) + b"\n"
    assert len(list(bounded_lines(io.BytesIO(longest)))) == 1
    with pytest.raises(LineError, match="line 2: longer than"):
        list(bounded_lines(io.BytesIO(b"a\n " + longest)))


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        (b"", True),
        (b"\n\n", False),
        (b'\n {"kind": 1}', True),
        (b"[", True),
        (b"account alice", False),
    ],
)
def test_json_is_known_by_its_first_letter(text: bytes, is_json: bool) -> None:
    found, again = looks_like_json(bounded_lines(io.BytesIO(text)))
    assert found == is_json
    assert list(again) == text.splitlines()


def test_a_scenario_is_heard_and_held_to_its_words() -> None:
    heard = Heard()
    match = Match(BOTH, heard)
    feed_scenario(match, [b"limits accounts_max 1", b"account alice", b"account bob -> REJECTED"])
    assert [row.name for said in heard.events for row in rows(said)] == [
        "ACCOUNT_OPENED",
        "REJECTED",
    ]
    assert match.end().commands == 2


@pytest.mark.parametrize(("text", "is_language"), [(b"account al -> REJECTED", 0), (b"bow", 1)])
def test_a_false_scenario_is_no_faulty_one(text: bytes, is_language: int) -> None:
    with pytest.raises(ScenarioError, match="line 1") as caught:
        feed_scenario(Match(BOTH, Heard()), [text])
    assert isinstance(caught.value, LanguageError) == is_language


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"bow", "'bow': no command, account, instrument, order or term is 'bow' here"),
        (b"account", "'account': a word is missing, or one too many"),
        (b"cancel bob", "'cancel bob': a word is missing, or one too many"),
        (b"account al cash x.00", "'account al cash x.00': 'x.00' is no number"),
    ],
)
def test_a_wrong_line_is_told_in_words(line: bytes, words: str) -> None:
    with pytest.raises(LanguageError) as caught:
        feed_scenario(Match(BOTH, Heard()), [line])
    assert words in str(caught.value)
    assert "Error(" not in str(caught.value)


def test_a_scenario_that_is_no_text_is_told() -> None:
    with pytest.raises(LineError, match="line 2: no UTF-8 at byte 1"):
        feed_scenario(Match(BOTH, Heard()), [b"tick", b"t\xff"])


def test_every_command_has_a_line() -> None:
    """What a kind is called on a line is what the layout calls it."""
    for kind in Command:
        match: Any = Match({"compiled": compiled.Engine}, heard := Heard())
        feed_lines(match, [json.dumps({"kind": kind.name}).encode()])
        assert heard.records[0].value[80] == kind
