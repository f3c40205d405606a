"""Recompute a market's history from `orders` and compare it with `events`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from exchange import topics
from exchange.log.protocol import Log, LogError, Reader
from exchange.messages.frames import (
    GENESIS,
    ChainBrokenError,
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


class Verification(NamedTuple):
    """What `verify` found; sound when `differences` is empty."""

    inputs: int  # records of `orders` recomputed
    unanswered: int  # records of `orders` without an answer on `events` yet
    events: int
    repeats: int  # records of `events` that said again what was said
    epoch: int
    chain: bytes
    state_hash: bytes
    differences: tuple[str, ...]

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


class _Recomputer:
    """Reads `orders` on demand and gives the chain after each part of each record's output."""

    def __init__(self, reader: Reader, engine: EngineProtocol) -> None:
        self.engine = engine
        self.chain = GENESIS
        self._reader = reader
        self._records: deque[Any] = deque(maxlen=READ_RECORDS_MAX)

    async def next_output(self) -> list[bytes]:
        """The sealed parts of the next record of `orders`; LogError if it cannot be read."""
        if not self._records:
            self._records.extend(await _read(self._reader))
        record = self._records.popleft()
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
    held = await log.end(orders)
    end = held if end is None else end
    if end > held:
        raise ValueError(
            f"end {end} is past the log's end: {orders.topic} {partition} ends at {held}"
        )
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


async def verify(
    log: Log,
    partition: int,
    *,
    engine: type[EngineProtocol] = Engine,
    progress: Progress | None = None,
) -> Verification:
    """Walks `orders` and `events` of a market from the first record to the present end. O(log).

    Compares the chain after every part, then the projection of the events with the engine's state.
    Stops at the first record that differs: what follows it means nothing. Raises LogError.
    """
    orders, events = topics.orders(partition), topics.events(partition)
    end = await log.end(events)
    commands = await log.open_reader(orders, 0)
    answers = await log.open_reader(events, 0)
    try:
        walk = _Walk(_Recomputer(commands, engine()), await log.end(orders))
        while answers.position < end and not walk.differences:
            for record in await _read(answers):
                if record.offset >= end or not await walk.take(record.offset, record.value):
                    break
            if progress is not None:
                progress(min(answers.position, end), end)
    finally:
        await commands.close()
        await answers.close()
    return walk.result()


class _Walk:
    """One pass over `events` beside the recomputation."""

    def __init__(self, recomputer: _Recomputer, orders_end: int) -> None:
        self.differences: list[str] = []
        self._recomputer = recomputer
        self._orders_end = orders_end
        self._follower = EventFollower()
        self._positions = Positions()
        self._expected: deque[bytes] = deque(maxlen=PARTS_MAX)
        self._repeats = 0

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
        return self._compare(part)

    def _compare(self, part: EventPart) -> bool:
        expected = self._expected.popleft() if self._expected else b""
        chain_end = len(expected) - len(part.events.tobytes())
        if expected[chain_end - 32 : chain_end] != part.chain:
            self.differences.append(
                f"events record {part.offset} (input {part.input_offset} part {part.part}) is not "
                "what the engine computes from orders"
            )
            return False
        self._positions.apply(part)
        return True

    def result(self) -> Verification:
        engine, answered = self._recomputer.engine, self._follower.input_offset
        if not self.differences and self._follower.part == 0:
            self.differences += compare_positions(self._positions, engine.snapshot())
        return Verification(
            inputs=answered,
            unanswered=max(self._orders_end - answered, 0),
            events=self._follower.next_event,
            repeats=self._repeats,
            epoch=engine.epoch,
            chain=self._follower.chain,
            state_hash=engine.state_hash(),
            differences=tuple(self.differences),
        )


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
