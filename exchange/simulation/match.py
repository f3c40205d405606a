"""The engine alone on a stream of records: what `exchange match` runs.

`Match` is one engine, or two which must say the same byte for byte; `feed` gives it the records of
JSON Lines, of a scenario or of a recorded log. Memory is that of the engine and of one record: a
stream may be of any length. The same input gives the same output, always.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import Record
from exchange.messages.frames import RECORD_SIZE, TIME_MAX, Event, sound_commands
from exchange.messages.lines import (
    InputRecord,
    LineError,
    check_limits,
    command_line,
    event_lines,
    limits_line,
    read_line,
    record_fields,
)
from exchange.settings import MATCH_LINE_BYTES_MAX
from exchange.simulation.scenarios import World
from exchange.simulation.scenarios.words import MS, START_NS
from matching.protocol import EngineProtocol, Limits

Hear = Callable[[Record, Limits, int, bytes], None]
"""Called with each record, the engine's limits, the number of its first event, and its events."""


class MatchError(Exception):
    """The engines differ, or one is broken inside; the message says where."""


class Figures(NamedTuple):
    """What a stream was."""

    records: int
    commands: int
    events: Counter[Event]
    state_hash: bytes


class Match:
    """Engines by name, fed the same records; keeps `scenarios.Machine`.

    Every `check_every` records (0: only at the end) each engine checks itself, and their states are
    compared.
    """

    def __init__(
        self, engines: Mapping[str, type[EngineProtocol]], hear: Hear, check_every: int = 0
    ) -> None:
        self._types = engines
        self._hear = hear
        self._check_every = check_every
        self._commands = 0
        self._events: Counter[int] = Counter()
        self._engines: dict[str, EngineProtocol] = {}
        self._make(Limits())

    def begin(self, limits: Limits) -> Match:
        """New engines within `limits`, once; LineError beyond the largest there are, or again."""
        if self.limits != Limits():
            raise LineError("limits: only once, before the first record")
        check_limits(limits)
        self._make(limits)
        return self

    def _make(self, limits: Limits) -> None:
        self._engines = {name: make(limits) for name, make in self._types.items()}
        self._first = next(iter(self._engines.values()))
        self.limits = limits

    @property
    def next_offset(self) -> int:
        """How many records were fed."""
        return self._first.next_offset

    def apply(self, offset: int, append_ns: int, frame: bytes) -> bytes:
        """The events of the record, heard by `hear`; MatchError when the engines differ.

        LineError when its time is none that a log can have.
        """
        if append_ns > TIME_MAX:
            raise LineError(
                f"record {offset}: `late` takes the time to {append_ns} ns since 1970, at most "
                f"{TIME_MAX}: {(TIME_MAX - START_NS) // MS} ms after the scenario's begin"
            )
        first_event = self._first.next_event
        said = {
            name: engine.apply(offset, append_ns, frame) for name, engine in self._engines.items()
        }
        _compare_events(offset, first_event, said)
        events = next(iter(said.values()))
        commands = sound_commands(frame)
        self._commands += 0 if commands is None else len(commands)
        self._events.update(events[::RECORD_SIZE])
        self._hear(Record(offset, append_ns, frame), self.limits, first_event, events)
        if self._check_every and self.next_offset % self._check_every == 0:
            self.check()
        return events

    def snapshot(self) -> bytes:
        """The state of the first engine."""
        return self._first.snapshot()

    def self_check(self) -> list[str]:
        """What is broken in any engine."""
        return [
            f"{name}: {broken}"
            for name, engine in self._engines.items()
            for broken in engine.self_check()
        ]

    def check(self) -> bytes:
        """The state hash of all; MatchError if they differ or one is broken inside. O(state)."""
        at = f"after {self.next_offset} records"
        broken = self.self_check()
        if broken:
            raise MatchError(f"{at}: {'; '.join(broken)}")
        hashes = {name: engine.state_hash() for name, engine in self._engines.items()}
        if len(set(hashes.values())) > 1:
            told = ", ".join(f"{name} {found.hex()}" for name, found in hashes.items())
            raise MatchError(f"{at} the states differ: {told}")
        return next(iter(hashes.values()))

    def end(self) -> Figures:
        """The last check, and what the stream was. O(state)."""
        events = Counter({Event(kind): count for kind, count in sorted(self._events.items())})
        return Figures(self.next_offset, self._commands, events, self.check())


def _compare_events(offset: int, first_event: int, said: dict[str, bytes]) -> None:
    if len(set(said.values())) == 1:
        return
    size = max(map(len, said.values()))
    for place in range(0, size, RECORD_SIZE):
        each = {name: events[place : place + RECORD_SIZE] for name, events in said.items()}
        if len(set(each.values())) > 1:
            told = "; ".join(
                f"{name} says {record_fields(event, Event) if event else 'nothing more'}"
                for name, event in each.items()
            )
            number = first_event + place // RECORD_SIZE
            raise MatchError(f"the engines differ at offset {offset}, event {number}: {told}")


# -- what is heard --------------------------------------------------------------------------------


def event_printer(write: Callable[[bytes], object]) -> Hear:
    """Writes the events of each record as JSON Lines."""

    def hear(record: Record, limits: Limits, first_event: int, events: bytes) -> None:
        write(b"".join(event_lines(record.offset, first_event, events)))

    return hear


def command_printer(write: Callable[[bytes], object]) -> Hear:
    """Writes each record, and limits of its own before the first, as `read_line` reads them."""

    def hear(record: Record, limits: Limits, first_event: int, events: bytes) -> None:
        if record.offset == 0 and limits != Limits():
            write(limits_line(limits))
        write(command_line(record.append_ns, record.value))

    return hear


def silent(record: Record, limits: Limits, first_event: int, events: bytes) -> None:
    """Writes nothing."""


# -- sources --------------------------------------------------------------------------------------


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends, one at a time; LineError for one over MATCH_LINE_BYTES_MAX."""
    number = 0
    while line := stream.readline(MATCH_LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > MATCH_LINE_BYTES_MAX:
            raise LineError(f"line {number}: longer than {MATCH_LINE_BYTES_MAX} bytes")
        yield line.rstrip(b"\r\n")


def looks_like_json(lines: Iterator[bytes]) -> tuple[bool, Iterator[bytes]]:
    """Whether the first line that is not empty begins as JSON, and all the lines."""
    seen: list[bytes] = []
    for line in lines:
        seen.append(line)
        if line.strip():
            break
    return not seen or seen[-1].lstrip()[:1] in (b"{", b"["), chain(seen, lines)


def feed_lines(match: Match, lines: Iterable[bytes]) -> None:
    """Every line of JSON; empty ones are passed over. LineError names the first that is wrong."""
    append_ns = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            said = read_line(line, append_ns)
            if isinstance(said, InputRecord):
                append_ns = said.append_ns
            elif match.next_offset or match.limits != Limits():
                raise LineError("limits: only once, before the first record")
        except LineError as error:
            raise LineError(f"line {number}: {error}") from None
        if isinstance(said, InputRecord):
            match.apply(match.next_offset, append_ns, said.frame)
        else:
            match.begin(said)


def feed_scenario(match: Match, lines: Iterable[bytes]) -> None:
    """A scenario; ScenarioError names the first line which the engine does not confirm."""
    World(match.begin).run_lines(_texts(lines))


def feed_log(match: Match, path: Path, market: int) -> None:
    """Topic `orders` of a market in an embedded log's file, up to its present end; LogError."""
    with closing(_logged(path, market)) as records:
        for record in records:
            match.apply(record.offset, record.append_ns, record.value)


def _texts(lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise LineError(f"line {number}: no UTF-8 at byte {error.start}") from None


def _logged(path: Path, market: int) -> Generator[Record]:
    orders = topics.orders(market)
    log = EmbeddedLog(path, SystemClock())
    with asyncio.Runner() as runner:
        runner.run(log.start())
        try:
            end = runner.run(log.end(orders))
            reader = runner.run(log.open_reader(orders, 0))
            while reader.position < end:
                records = runner.run(reader.read())
                yield from (record for record in records if record.offset < end)
        finally:
            runner.run(log.close())
