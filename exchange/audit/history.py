"""Recompute a market's history from `orders` and compare it with `events`, and with snapshots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from exchange import topics
from exchange.engine.snapshots import EngineSnapshot, load
from exchange.log.protocol import Log, LogError, Reader
from exchange.messages.frames import (
    EVENT,
    GENESIS,
    HEADER_SIZE,
    ChainBrokenError,
    Event,
    EventFollower,
    EventPart,
    Phase,
    seal_events,
)
from exchange.positions import Positions
from exchange.settings import AUDIT_DIFFERENCES_MAX, READ_RECORDS_MAX
from matching import Engine, EngineProtocol
from matching.snapshot import PARAMETER_FIELDS, Snapshot, decode

WAIT_S = 0.5
EMPTY_READS_MAX = 60  # then the log does not give what it says it holds
PARTS_MAX = 1 << 16  # of one record's output

Progress = Callable[[int, int], None]
"""Called with (records done, records in all), once a batch."""


class Observer(Protocol):
    """Who goes along with `verify` from the first record on, to judge by what stands."""

    positions: Positions  # those of the walk, in its hands from the start

    def record(self, offset: int, append_ns: int, frame: bytes) -> None:
        """The next record of `orders`, before its events."""

    def part(self, part: EventPart) -> None:
        """The next events, proved, before `positions` has them."""


class Verification(NamedTuple):
    """What `verify` found; sound when `differences` is empty."""

    begin: int  # the first record of `orders` recomputed
    inputs: int  # where that ended: with `begin` 0, how many
    unanswered: int  # records of `orders` without an answer on `events` yet; 0 if not looked at
    events: int
    repeats: int  # records of `events` that said again what was said
    epoch: int
    chain: bytes
    state_hash: bytes
    snapshots: int  # that were passed and compared
    differences: tuple[str, ...]
    is_whole: bool  # it went to the end: nothing in the history itself stopped it

    @property
    def is_sound(self) -> bool:
        """Whether log, engine and projection agree. O(1)."""
        return not self.differences


class Replayed(NamedTuple):
    """Where a replay of `orders` ended."""

    inputs: int
    events: int
    epoch: int
    chain: bytes  # as `events` must show after the last of them
    state_hash: bytes
    snapshot: bytes  # the engine's canonical state


class SelfChecked(NamedTuple):
    """What an engine said of itself on its way through a log; sound when `broken` is empty."""

    inputs: int  # records replayed: behind the last of them the first difference shows
    checks: int  # how often it was asked
    state_hash: bytes
    broken: tuple[str, ...]  # in words, of the first place where anything is


class _Recomputer:
    """Reads `orders` on demand and gives the chain after each part of each record's output."""

    def __init__(
        self,
        reader: Reader,
        engine: EngineProtocol,
        chain: bytes = GENESIS,
        observer: Observer | None = None,
    ) -> None:
        self.engine = engine
        self._observer = observer
        self.chain = chain
        self._reader = reader
        self._records: deque[Any] = deque(maxlen=READ_RECORDS_MAX)

    async def next_output(self) -> list[bytes]:
        """The sealed parts of the next record of `orders`; LogError if it cannot be read."""
        if not self._records:
            self._records.extend(await _read(self._reader))
        record = self._records.popleft()
        if self._observer is not None:
            self._observer.record(record.offset, record.append_ns, record.value)
        engine, first_event = self.engine, self.engine.next_event
        events = engine.apply(record.offset, record.append_ns, record.value)
        parts, self.chain = seal_events(
            events,
            input_offset=record.offset,
            first_event=first_event,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=self.chain,
        )
        return parts


async def replay(
    log: Log,
    partition: int,
    *,
    engine: type[EngineProtocol] = Engine,
    end: int | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Applies `orders` of a market up to `end` (default: its present end). O(log).

    Raises LogError, and ValueError when `end` is past the log's end.
    """
    orders = topics.orders(partition)
    end = await _end(log, partition, end)
    reader = await log.open_reader(orders, 0)
    try:
        recomputer = _Recomputer(reader, engine())
        for done in range(end):
            await recomputer.next_output()
            if progress is not None and done % READ_RECORDS_MAX == 0:
                progress(done, end)
    finally:
        await reader.close()
    if progress is not None:
        progress(end, end)
    made = recomputer.engine
    return Replayed(
        end, made.next_event, made.epoch, recomputer.chain, made.state_hash(), made.snapshot()
    )


async def self_check(
    log: Log,
    partition: int,
    *,
    engine: type[EngineProtocol] = Engine,
    until: int | None = None,
    every: int = 0,
    progress: Progress | None = None,
) -> SelfChecked:
    """Replays `orders` up to `until` (default: its present end), and lets the engine prove itself.

    There and after every so many records: holds are those of the open orders, and all else adds up.
    It ends at the first place where something is broken. O(log + proofs x state). Raises LogError,
    and ValueError when `until` is past the log's end.
    """
    end = await _end(log, partition, until)
    reader = await log.open_reader(topics.orders(partition), 0)
    checks = 0
    broken: tuple[str, ...] = ()
    try:
        recomputer = _Recomputer(reader, engine())
        made = recomputer.engine
        for done in range(end + 1):
            if done == end or (done and every and done % every == 0):
                checks, broken = checks + 1, tuple(made.self_check())
            if done == end or broken:
                break
            await recomputer.next_output()
            if progress is not None and done % READ_RECORDS_MAX == 0:
                progress(done, end)
    finally:
        await reader.close()
    return SelfChecked(made.next_offset, checks, made.state_hash(), broken)


async def _end(log: Log, partition: int, wanted: int | None) -> int:
    orders = topics.orders(partition)
    held = await log.end(orders)
    if wanted is not None and wanted > held:
        raise ValueError(
            f"end {wanted} is past the log's end: {orders.topic} {partition} ends at {held}"
        )
    return held if wanted is None else wanted


async def verify(
    log: Log,
    partition: int,
    *,
    engine: type[EngineProtocol] = Engine,
    progress: Progress | None = None,
    begin: EngineSnapshot | None = None,
    snapshots: Mapping[int, Path] | None = None,
    observer: Observer | None = None,
) -> Verification:
    """Walks `orders` and `events` of a market to the present end. O(log).

    From the first record, or from the state in the snapshot `begin`. Compares the chain after every
    part; from the first record also the projection of the events with the engine's state; and each
    file of `snapshots` (by the offset in it) with the state when that offset is reached. Stops at
    the first record that differs: what follows it means nothing. A snapshot that is damaged or
    differs is one more difference, and the history is proved on. An `observer` goes along from the
    first record, not from a snapshot. Raises LogError, and ValueError when `begin` is not sound.
    """
    orders, events = topics.orders(partition), topics.events(partition)
    end = await log.end(events)
    commands = await log.open_reader(orders, begin.next_offset if begin else 0)
    answers = await log.open_reader(events, begin.events_offset if begin else 0)
    first = answers.position
    try:
        orders_end = await log.end(orders)
        walk = _Walk(commands, orders_end, engine, begin, snapshots or {}, observer)
        while answers.position < end and not walk.differences:
            for record in await _read(answers):
                if record.offset >= end or not await walk.take(record.offset, record.value):
                    break
            if progress is not None:
                progress(min(answers.position, end) - first, end - first)
    finally:
        await commands.close()
        await answers.close()
    return walk.result()


class _Walk:
    """One pass over `events` beside the recomputation."""

    def __init__(
        self,
        commands: Reader,
        orders_end: int,
        engine: type[EngineProtocol],
        begin: EngineSnapshot | None,
        snapshots: Mapping[int, Path],
        observer: Observer | None = None,
    ) -> None:
        self.differences: list[str] = []
        self._begin = begin.next_offset if begin else 0
        self._snapshots = snapshots
        self._snapshots_wrong: list[str] = []
        self._compared = 0
        self._orders_end = orders_end
        self._expected: deque[bytes] = deque(maxlen=PARTS_MAX)
        self._repeats = 0
        self._positions: Positions | None = None
        self._observer: Observer | None = None
        if begin is None:
            self._observer = observer
            self._recomputer = _Recomputer(commands, engine(), observer=observer)
            self._follower = EventFollower()
            self._positions = Positions()
            if observer is not None:
                observer.positions = self._positions
            return
        made = engine.restore(begin.state)
        self._recomputer = _Recomputer(commands, made, begin.chain)
        self._follower = EventFollower(begin.next_offset, 0, begin.next_event, begin.chain)

    async def take(self, offset: int, value: bytes) -> bool:
        """Compares one record of `events`; False when it differs."""
        try:
            part = self._follower.accept(offset, value)
        except ChainBrokenError as error:
            self.differences.append(str(error))
            return False
        if part is None:
            self._repeats += 1
            return True
        if part.part == 0 and part.input_offset >= self._orders_end:
            self.differences.append(
                f"events record {offset} answers input {part.input_offset}, "
                f"but orders ends at {self._orders_end}"
            )
            return False
        if part.part == 0:
            self._expected.extend(await self._recomputer.next_output())
        if not self._compare(part):
            return False
        if part.is_last:
            self._compare_snapshot()
        return True

    def _compare(self, part: EventPart) -> bool:
        expected = self._expected.popleft() if self._expected else b""
        chain_end = len(expected) - len(part.body)
        if expected[chain_end - 32 : chain_end] != part.chain:
            self.differences.append(
                f"events record {part.offset} (input {part.input_offset} part {part.part}) is not "
                f"what the engine computes from orders: {first_difference(part, expected)}"
            )
            return False
        if self._observer is not None:
            self._observer.part(part)
        if self._positions is not None:
            self._positions.apply(part)
        return True

    def _compare_snapshot(self) -> None:
        """Compares the snapshot taken here, if there is one, with the whole state. O(state)."""
        engine = self._recomputer.engine
        path = self._snapshots.get(engine.next_offset)
        if path is None:
            return
        self._compared += 1
        try:
            found = load(path)
        except (OSError, ValueError) as error:
            self._snapshots_wrong.append(f"snapshot {path.name}: {error}")
            return
        own = engine.state_hash()
        ours = (engine.next_offset, engine.next_event, own.hex(), self._recomputer.chain)
        said = found.state[-len(own) :].hex()
        theirs = (found.next_offset, found.next_event, said, found.chain)
        if ours != theirs:
            self._snapshots_wrong.append(
                f"snapshot {path.name}: its state is {theirs[2][:16]} after event {theirs[1]}, "
                f"but orders give {ours[2][:16]} after event {ours[1]}"
            )
        elif found.state != engine.snapshot():
            self._snapshots_wrong.append(
                f"snapshot {path.name}: its state is not that of the hash at its end"
            )

    def result(self) -> Verification:
        engine, answered = self._recomputer.engine, self._follower.input_offset
        is_whole = not self.differences
        if self._positions is not None and is_whole and self._follower.part == 0:
            self.differences += compare_positions(self._positions, engine.snapshot())
        return Verification(
            begin=self._begin,
            inputs=answered,
            unanswered=max(self._orders_end - answered, 0) if is_whole else 0,
            events=self._follower.next_event,
            repeats=self._repeats,
            epoch=engine.epoch,
            chain=self._follower.chain,
            state_hash=engine.state_hash(),
            snapshots=self._compared,
            differences=(*self.differences, *self._snapshots_wrong),
            is_whole=is_whole,
        )


def first_difference(part: EventPart, expected: bytes) -> str:
    """The first event in which a part differs from the sealed part expected, in words. O(part)."""
    ours, theirs = (
        np.frombuffer(expected, EVENT, offset=min(HEADER_SIZE, len(expected))),
        part.events,
    )
    for at, (own, other) in enumerate(zip(ours, theirs, strict=False)):
        if own.tobytes() != other.tobytes():
            names = [name for name in EVENT.names or () if own[name] != other[name]]
            told = ", ".join(f"{name} {other[name]} where {own[name]} is right" for name in names)
            return f"event {part.first_event + at} ({Event(own['kind']).name}) says {told}"
    if len(ours) != len(theirs):
        return f"{len(theirs)} events where {len(ours)} are right"
    return "its events are right, but not what is written above them"


def compare_positions(positions: Positions, snapshot: bytes) -> list[str]:
    """Where the projection of events and an engine's state differ, in words; [] is equal.

    At most AUDIT_DIFFERENCES_MAX of them. O(state). ValueError if the snapshot is not sound.
    """
    state = decode(snapshot)
    if positions.next_input != state.next_offset:
        return [f"positions stand at input {positions.next_input}, engine at {state.next_offset}"]
    wrong = positions.self_check()
    wrong += _differences("cash (available, held, locked) of account", *_cash(positions, state))
    wrong += _differences("units (available, held, locked) of", *_units(positions, state))
    wrong += _differences("order (leaves, quantity, price, fees)", *_orders(positions, state))
    wrong += _differences("instrument", *_instruments(positions, state))
    totals = {"fees": positions.fees, "trading date": positions.trading_date}
    wrong += _differences("total", totals, {"fees": state.fees, "trading date": state.trading_date})
    return wrong[:AUDIT_DIFFERENCES_MAX]


def _differences(what: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> list[str]:
    return [
        f"{what} {key}: events give {ours.get(key)}, the engine has {theirs.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


_Pair = tuple[dict[Any, Any], dict[Any, Any]]


def _columns(rows: Any, *names: str) -> list[tuple[int, ...]]:
    return list(zip(*(rows[name].tolist() for name in names), strict=True))


def _cash(positions: Positions, state: Snapshot) -> _Pair:
    purses = ("available", "held", "locked")
    ours = {k: tuple(getattr(a.cash, p) for p in purses) for k, a in positions.accounts.items()}
    rows = _columns(state.accounts, "account_id", *purses)
    return ours, {key: tuple(amounts) for key, *amounts in rows}


def _units(positions: Positions, state: Snapshot) -> _Pair:
    ours = {
        (account_id, instrument_id): (units.available, units.held, units.locked)
        for account_id, account in positions.accounts.items()
        for instrument_id, units in account.units.items()
        if units.total
    }
    names = ("account_id", "instrument_id", "available", "held", "locked")
    return ours, {(a, i): tuple(t) for a, i, *t in _columns(state.holdings, *names)}


def _orders(positions: Positions, state: Snapshot) -> _Pair:
    ours = {o.order_id: (o.leaves, o.quantity, o.price, o.charged) for o in _open(positions)}
    names = ("order_id", "leaves", "quantity", "price", "charged")
    return ours, {key: tuple(terms) for key, *terms in _columns(state.orders, *names)}


def _open(positions: Positions) -> list[Any]:
    return list(positions.orders.values())


def _instruments(positions: Positions, state: Snapshot) -> _Pair:
    ours = {
        key: (
            int(i.phase),
            i.reference_price,
            i.day_volume,
            i.last_price,
            i.deposited - i.released,
            *(i.parameters[parameter] for parameter in PARAMETER_FIELDS),
        )
        for key, i in positions.instruments.items()
    }
    names = ("phase", "reference", "volume", "last_price", "units", *PARAMETER_FIELDS.values())
    rows = _columns(state.instruments, "instrument_id", *names)
    return ours, {key: (int(Phase(phase)), *rest) for key, phase, *rest in rows}


async def _read(reader: Reader) -> list[Any]:
    """Records that are known to be there; LogError if the log does not give them."""
    for _ in range(EMPTY_READS_MAX):
        records = await reader.read(READ_RECORDS_MAX, WAIT_S)
        if records:
            return records
    raise LogError(f"record {reader.position} cannot be read, though the log says it holds it")
