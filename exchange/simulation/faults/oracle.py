"""A market's history as the reference engine tells it, compared with what stands on `events`.

One pass over `orders`: each command is judged by the readable engine and by a bookkeeping of
sessions of its own. What it finds is what the auditor and the members' evidence are held against.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from exchange import topics
from exchange.log.protocol import Log, Partition, Record
from exchange.messages.frames import (
    ChainBrokenError,
    Command,
    Event,
    EventFollower,
    EventPart,
    EventRow,
    event_rows,
    order_id_of,
    sound_commands,
)
from exchange.positions import Positions
from exchange.settings import READ_RECORDS_MAX
from exchange.simulation.faults.promises import BrokenPromiseError, require
from matching.reference import Engine as ReferenceEngine
from matching.snapshot import decode

ENGINES_OWN = (Command.CLOCK_TICK, Command.EPOCH_START)
LOOK_EVERY = 40  # inputs between two looks at the books
_PARTS = (Command.NOTE, Command.ORDER_TERMS, Command.AUCTION_TERMS)
_BOOK = 1  # a `matching.layout.Queue`

Levels = dict[tuple[int, int, int], tuple[int, int]]  # (instrument, side, price): tonnes, orders


class Heard(NamedTuple):
    """A command that the log has, and all that the engine said to it."""

    position: int
    kind: int
    session: int
    ref: int
    account: int
    rows: list[tuple[int, EventRow]]  # event number, event
    other: int = 0  # its `order_id`: an order, a participant, the other side of a block
    body: bytes = b""  # with its terms or words, without what each try makes anew
    seed: int = 0  # of the draw, of an AUCTION_OPEN

    @property
    def refused(self) -> int:
        """The engine's reason against it, 0 if there is none. O(answers)."""
        reasons = [row.reason for _, row in self.rows if row.kind == Event.REJECTED]
        return reasons[0] if reasons else 0


class History(NamedTuple):
    """What a market's log says."""

    inputs: int
    parts: list[EventPart]
    events: list[tuple[int, int, EventRow]]  # event number, input, event
    heard: dict[int, Heard]  # by position
    first: dict[tuple[int, int], int]  # (session, ref): position of the command that counts
    positions: Positions
    engine: ReferenceEngine
    books: dict[int, Levels]  # after some inputs


async def read_all(log: Log, partition: Partition) -> list[Record]:
    """Every record of a partition. O(records)."""
    end = await log.end(partition)
    reader = await log.open_reader(partition, 0)
    found: list[Record] = []
    while reader.position < end:
        found += await reader.read(READ_RECORDS_MAX, 0.5)
    await reader.close()
    return found


async def history_of(log: Log, market: int) -> History:
    """Judges a market's whole log. O(log).

    BrokenPromiseError: P2 when a resend has an effect, P3 when `events` are not what the reference
    engine says.
    """
    orders = await read_all(log, topics.orders(market))
    parts = _accepted(await read_all(log, topics.events(market)))
    answered = parts[-1].input_offset + 1 if parts else 0
    said: dict[int, list[bytes]] = {}
    for part in parts:
        said.setdefault(part.input_offset, []).append(part.events.tobytes())
    engine, books = ReferenceEngine(), {}
    for record in orders[:answered]:
        expected = engine.apply(record.offset, record.append_ns, record.value)
        found = b"".join(said.get(record.offset, ()))
        if found != expected:
            raise BrokenPromiseError("P3", _difference(record.offset, expected, found))
        if record.offset % LOOK_EVERY == 0:
            books[record.offset] = levels_of(engine)
    books[answered - 1] = levels_of(engine)
    positions, events = Positions(), []
    for part in parts:
        positions.apply(part)
        for at, row in enumerate(event_rows(part.events)):
            events.append((part.first_event + at, part.input_offset, row))
    heard, first = _sessions(orders[:answered], events)
    for record in orders[answered:]:
        commands = sound_commands(record.value)
        kinds = [] if commands is None else commands["kind"].tolist()
        unanswered = [kind for kind in kinds if kind not in ENGINES_OWN]
        require(not unanswered, "P1", f"input {record.offset} was never answered: {unanswered}")
    return History(answered, parts, events, heard, first, positions, engine, books)


def levels_of(engine: ReferenceEngine) -> Levels:
    """What the public may see of the books: displayed tonnes and orders a level. O(orders)."""
    state = decode(engine.snapshot())
    shown = {
        int(row["order_id"]): int(row["visible"])
        for row in state.order_terms
        if row["display_quantity"]
    }
    levels: Levels = {}
    for row in state.orders:
        if int(row["queue"]) != _BOOK:
            continue
        key = int(row["instrument_id"]), int(row["side"]), int(row["price"])
        tonnes, orders = levels.get(key, (0, 0))
        visible = shown.get(int(row["order_id"]), int(row["leaves"]))
        levels[key] = tonnes + visible, orders + 1
    return levels


def purses_of(engine: ReferenceEngine, account: int) -> tuple[int, Counter[int]]:
    """All cash (minor units) and all units (t, by instrument) of an account. O(state)."""
    state = decode(engine.snapshot())
    purses = ("available", "held", "locked")
    own = state.accounts[state.accounts["account_id"] == account]
    units = Counter[int]()
    for row in state.holdings[state.holdings["account_id"] == account]:
        units[int(row["instrument_id"])] = sum(int(row[name]) for name in purses)
    return sum(int(own[name].sum()) for name in purses), units


def held_of(engine: ReferenceEngine) -> tuple[Counter[int], Counter[tuple[int, int]]]:
    """What accounts hold for orders, without zeros: minor units by account, tonnes by account and
    instrument. O(state).
    """
    state = decode(engine.snapshot())
    cash, units = Counter[int](), Counter[tuple[int, int]]()
    for row in state.accounts:
        cash[int(row["account_id"])] = int(row["held"])
    for row in state.holdings:
        units[int(row["account_id"]), int(row["instrument_id"])] = int(row["held"])
    return +cash, +units


def _accepted(records: list[Record]) -> list[EventPart]:
    follower, parts = EventFollower(), []
    for record in records:
        try:
            part = follower.accept(record.offset, record.value)
        except ChainBrokenError as error:
            raise BrokenPromiseError("P2", str(error)) from error
        if part is not None:
            parts.append(part)
    return parts


def _difference(offset: int, expected: bytes, found: bytes) -> str:
    theirs, ours = list(event_rows(expected)), list(event_rows(found))
    for at in range(max(len(theirs), len(ours))):
        one = ours[at] if at < len(ours) else None
        other = theirs[at] if at < len(theirs) else None
        if one != other:
            return f"input {offset}, event {at} of its output: {one} for {other}"
    return f"input {offset}: bytes differ"


def _sessions(
    orders: list[Record], events: list[tuple[int, int, EventRow]]
) -> tuple[dict[int, Heard], dict[tuple[int, int], int]]:
    """Every command with its answers; a used ref must have been answered as such, and no more."""
    answers: dict[int, list[tuple[int, EventRow]]] = {}
    for number, offset, row in events:
        answers.setdefault(order_id_of(offset, row.command_index), []).append((number, row))
    heard: dict[int, Heard] = {}
    first: dict[tuple[int, int], int] = {}
    last: dict[int, int] = {}
    for record in orders:
        commands = sound_commands(record.value)
        if commands is None:
            continue
        fields = ("kind", "session_id", "ref", "account_id", "order_id")
        rows = zip(*(commands[name].tolist() for name in fields), strict=True)
        kinds = commands["kind"].tolist()
        for index, (kind, session, ref, account, other) in enumerate(rows):
            if kind in _PARTS:
                continue
            body, seed = _body(commands[index:], kinds[index:])
            position = order_id_of(record.offset, index)
            got = answers.get(position, [])
            heard[position] = Heard(position, kind, session, ref, account, got, other, body, seed)
            if not session:
                continue
            if ref > last.get(session, 0):
                last[session] = ref
                first[session, ref] = position
                continue
            said = [row.kind for _, row in got]
            require(
                said == [Event.DUPLICATE],
                "P2",
                f"command {position} of session {session} repeats ref {ref}: {said}",
            )
    return heard, first


def _body(commands: Any, kinds: list[int]) -> tuple[bytes, int]:
    """A command and what belongs to it, as it is the same each time that it is sent; its seed."""
    end = 1
    while end < len(kinds) and kinds[end] in _PARTS:
        end += 1
    rows, seed = commands[:end].copy(), 0
    rows["valid_ms"][0] = 0  # what its receive window has left
    if end > 1 and kinds[1] == Command.AUCTION_TERMS:
        seed = int(rows["price"][1])
        rows["price"][1] = 0
    return rows.tobytes(), seed
