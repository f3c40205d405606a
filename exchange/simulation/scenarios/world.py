"""Runs a scenario on an engine and holds each line against what is heard."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from exchange.messages.frames import COUNT_MAX, INDEX_BITS, Event, build_commands, event_rows
from exchange.simulation.scenarios.commands import Speaker
from exchange.simulation.scenarios.heard import QUESTIONS, render, says
from exchange.simulation.scenarios.words import (
    MS,
    START_NS,
    LanguageError,
    Line,
    Names,
    ScenarioError,
    mode_of,
    pairs,
    parse,
    whole,
)
from matching.protocol import Limits
from matching.snapshot import decode

SPOKEN = ("new", "cancel", "replace", "cancel_label")  # must say what is heard


def _wrong(line: Line, error: Exception) -> str:
    """What is wrong with a line, in words."""
    match error:
        case KeyError():
            said = f"no command, account, instrument, order or term is {error.args[0]!r} here"
        case IndexError() | TypeError():
            said = "a word is missing, or one too many"
        case ArithmeticError():
            said = "a number is no number, or out of its range"
        case _:
            said = str(error)
    return f"line {line.number}: {line.text!r}: {said}"


class Machine(Protocol):
    """What a scenario asks of an engine: four of the doors of `matching.EngineProtocol`."""

    @property
    def next_offset(self) -> int:
        """The offset of `orders` which `apply` expects next."""

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """The event records of the record at `offset`."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def self_check(self) -> list[str]:
        """Every broken invariant in words; [] is sound."""


class World:
    """One engine, and the names that a scenario gives to what is in it.

    `engine_type` makes the engine: a class of `matching`, or whatever else keeps `Machine`.
    """

    def __init__(
        self, engine_type: Callable[[Limits], Machine], limits: Limits | None = None
    ) -> None:
        self._engine_type = engine_type
        self.engine = engine_type(limits or Limits())
        self.now = START_NS
        self.names = Names()
        self._speaker = Speaker(self.names)

    def run(self, text: str) -> None:
        """Every line, or a ScenarioError which names the first that fails."""
        self.run_lines(text.splitlines())

    def run_lines(self, lines: Iterable[str]) -> None:
        """As `run`, one line at a time: O(names + frame) of memory."""
        waiting: list[Line] = []
        for line in parse(lines):
            if waiting and not line.is_with_previous:
                self._run_frame(waiting)
                waiting = []
            if line.words[0] in QUESTIONS:
                self._answer(line)
            elif line.words[0] == "limits":
                self._limit(line)
            else:
                waiting.append(line)
        if waiting:
            self._run_frame(waiting)

    def _limit(self, line: Line) -> None:
        if self.engine.next_offset:
            raise LanguageError(f"line {line.number}: limits must come first")
        try:
            bounds = {name: whole(bound) for name, bound in pairs(line.words[1:])}
            unknown = [name for name in bounds if name not in Limits._fields]
            if unknown:
                raise ValueError(f"no limit is {unknown[0]}: {', '.join(Limits._fields)}")
            self.engine = self._engine_type(Limits()._replace(**bounds))
        except (TypeError, ValueError, OverflowError) as error:
            raise LanguageError(_wrong(line, error)) from error

    def _run_frame(self, lines: list[Line]) -> None:
        records: list[bytes] = []
        owners: list[Line] = []
        late_ms = 0
        for line in lines:
            position = self.engine.next_offset << INDEX_BITS | len(records)
            try:
                mode, words = mode_of(line.words)
                made = self._speaker.say(mode, words, position)
            except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
                raise LanguageError(_wrong(line, error)) from error
            late_ms = max(late_ms, mode.late_ms)
            records += made
            owners += [line] * len(made)
            if len(records) > COUNT_MAX:
                raise LanguageError(f"line {line.number}: more than {COUNT_MAX} in one frame")
        self.now += MS
        frame = build_commands(records, writer=0, batch=0, time_ns=self.now)
        self.now += late_ms * MS
        heard = list(event_rows(self.engine.apply(self.engine.next_offset, self.now, frame)))
        self.names.accepted |= {e.order_id for e in heard if e.kind == Event.ACCEPTED}
        for line in lines:
            mine = [e for e in heard if owners[e.command_index] is line]
            self._compare(line, list(render(self.names, mine)))
        wrong = self.engine.self_check()
        if wrong:
            raise ScenarioError(f"line {lines[-1].number}: {wrong}")

    def _answer(self, line: Line) -> None:
        if line.expected is None:
            raise LanguageError(f"line {line.number}: a question needs an answer")
        question = QUESTIONS[line.words[0]]
        try:
            said = question(self.names, decode(self.engine.snapshot()), *line.words[1:])
        except (KeyError, IndexError, TypeError) as error:
            raise LanguageError(_wrong(line, error)) from error
        self._compare(line, said)

    def _compare(self, line: Line, heard: list[str]) -> None:
        if line.expected is None:
            refused = [said for said in heard if said.startswith(("REJECTED", "FRAME_REFUSED"))]
            if refused or line.words[0] in SPOKEN:
                raise ScenarioError(f"line {line.number}: {line.text}: nothing expected of {heard}")
            return
        expected = [] if line.expected == ["nothing"] else line.expected
        is_same = len(expected) == len(heard)
        if not (is_same and all(map(says, heard, expected))):
            raise ScenarioError(f"line {line.number}: {line.text}\n  heard: {'; '.join(heard)}")
