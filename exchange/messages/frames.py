"""Frames of the hot path: build and read `orders`, seal and follow `events`.

The layout itself stands in `matching.layout`. Here are the three things services do with it:
`command` / `build_commands` (gateway, registry, operations), `seal_events` (the engine's host) and
`EventFollower` (every reader of `events`: accepts only the next part, drops repeats, stops on a
broken chain).
"""

from __future__ import annotations

import functools
import hashlib
import operator
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from exchange.messages.scan import kinds_of
from matching.layout import (
    BP,
    COMMAND,
    COUNT_MAX,
    EVENT,
    FEE_BP_LIMIT,
    FILL,
    HEADER_SIZE,
    INDEX_BITS,
    MAGIC,
    PART_RECORDS_MAX,
    PHASE_TRANSITIONS,
    QUOTE_SELL_BIT,
    RECORD_SIZE,
    SELF_TRADE_SHIFT,
    TONNE_FEE_LIMIT,
    TOTAL_LIMIT,
    VERSION,
    AccountParameter,
    AuctionFlag,
    CloseRule,
    Command,
    Event,
    ExecInst,
    FeeSides,
    FrameKind,
    Instruction,
    Liquidity,
    MassCancelScope,
    OrderStatus,
    OrderType,
    Parameter,
    Phase,
    Pricing,
    Reason,
    Resale,
    SelfTrade,
    SettlementStep,
    Side,
    TieBreak,
    TimeInForce,
    TradeMethod,
)
from matching.parameters import PARAMETER_DEFAULT

__all__ = [
    "BP",
    "COMMAND",
    "COUNT_MAX",
    "EVENT",
    "FEE_BP_LIMIT",
    "FILL",
    "HEADER_SIZE",
    "INDEX_BITS",
    "PARAMETER_DEFAULT",
    "PHASE_TRANSITIONS",
    "QUOTE_SELL_BIT",
    "RECORD_SIZE",
    "SELF_TRADE_SHIFT",
    "TONNE_FEE_LIMIT",
    "TOTAL_LIMIT",
    "AccountParameter",
    "AuctionFlag",
    "ChainBrokenError",
    "CloseRule",
    "Command",
    "Event",
    "EventFollower",
    "EventPart",
    "EventRow",
    "ExecInst",
    "FeeSides",
    "Instruction",
    "Liquidity",
    "MassCancelScope",
    "OrderStatus",
    "OrderType",
    "Parameter",
    "Phase",
    "Pricing",
    "Reason",
    "Resale",
    "SelfTrade",
    "SettlementStep",
    "Side",
    "TieBreak",
    "TimeInForce",
    "TradeMethod",
    "aged_command",
    "build_commands",
    "command",
    "event_rows",
    "fill_tail",
    "is_sound",
    "kinds_mask",
    "note_text",
    "notes",
    "order_id_of",
    "pack_command",
    "read_commands",
    "seal_events",
    "settlement_tail",
    "settlement_terms",
    "sound_commands",
]

GENESIS = bytes(32)
"""The chain before the first event part."""

NOTE_BYTES = 40

LABEL_BYTES = COMMAND["client_order_id"].itemsize
TIME_MAX = 2**63 - 1  # ns UTC, in the year 2262
_PACKED_COMMAND = struct.Struct("<BBBBHHIIqqqQ16s")
_VALID_MS = slice(6, 8)  # of a packed command
_MS = 1_000_000


_HEADER = struct.Struct("<IHBBIIqqqII32s")
"""`matching.layout.HEADER` as plain values: numpy takes ten times as long for one row."""


class ChainBrokenError(Exception):
    """`events` does not continue what was read: a gap, an alteration or another history.

    The message names the partition's record and what was expected. A reader must stop: nothing
    after it can be trusted until a human has looked.
    """


class EventPart(NamedTuple):
    """One accepted part of the output of one record of `orders`."""

    offset: int  # of `events`
    input_offset: int  # of `orders`
    part: int
    is_last: bool
    time_ns: int
    first_event: int
    epoch: int
    chain: bytes
    body: bytes  # EVENT records

    @property
    def events(self) -> NDArray[Any]:
        """The EVENT records as an array. O(1)."""
        return np.frombuffer(self.body, EVENT)

    @property
    def kinds(self) -> int:
        """Which kinds of events it holds, as `kinds_mask` makes such a set. O(events)."""
        return kinds_of(self.body)


def kinds_mask(*kinds: int) -> int:
    """Kinds of events or commands as a set of bits, to be met with those of a record. O(kinds)."""
    return functools.reduce(operator.or_, (1 << kind for kind in kinds))


class EventRow(NamedTuple):
    """One event as Python integers, for readers that go event by event; EVENT field for field."""

    kind: int
    side: int
    order_type: int
    time_in_force: int
    instrument_id: int
    reason: int
    account_id: int
    command_index: int
    value: int
    quantity: int
    price: int
    order_id: int
    client_order_id: bytes  # 16 bytes, not stripped; a fill's contra order and fee: `fill_tail`


_EVENT_ROW = struct.Struct("<BBBBHHIIqqqQ16s")
_FILL_TAIL = struct.Struct("<Qq")
_SETTLEMENT_TAIL = struct.Struct("<qQ")


def event_rows(events: NDArray[Any] | bytes) -> Iterator[EventRow]:
    """The events of a part, one by one. O(1) each."""
    data = events if isinstance(events, bytes) else events.tobytes()
    return map(EventRow._make, _EVENT_ROW.iter_unpack(data))


def fill_tail(row: EventRow) -> tuple[int, int]:
    """The contra order id and the fee (minor units) of a FILL."""
    contra, fee = _FILL_TAIL.unpack(row.client_order_id)
    return contra, fee


def seed_of(row: EventRow) -> int:
    """The seed of an AUCTION_CLEARED."""
    return int.from_bytes(row.client_order_id[:8], "little", signed=True)


def settlement_tail(cash_to_buyer: int, trade_id: int) -> bytes:
    """The last 16 bytes of a SETTLE_TRADE; ValueError when a value does not fit."""
    try:
        return _SETTLEMENT_TAIL.pack(cash_to_buyer, trade_id)
    except struct.error:
        raise ValueError(
            f"cash to the buyer {cash_to_buyer} or trade {trade_id}: outside 64 bits"
        ) from None


def settlement_terms(row: EventRow) -> tuple[int, int]:
    """The cash to the buyer (minor units) and the trade of a TRADE_SETTLED."""
    cash_to_buyer, trade_id = _SETTLEMENT_TAIL.unpack(row.client_order_id)
    return cash_to_buyer, trade_id


def command(kind: Command, **fields: Any) -> bytes:
    """One 64-byte command; fields not given are zero.

    Raises OverflowError or ValueError when a value does not fit its field.
    """
    record = np.zeros(1, COMMAND)
    record["kind"] = kind
    for name, value in fields.items():
        record[name] = value
    return record.tobytes()


def pack_command(
    kind: int,
    *,
    side: int = 0,
    order_type: int = 0,
    time_in_force: int = 0,
    instrument_id: int = 0,
    valid_ms: int = 0,
    account_id: int = 0,
    session_id: int = 0,
    ref: int = 0,
    quantity: int = 0,
    price: int = 0,
    order_id: int = 0,
    client_order_id: bytes = b"",
) -> bytes:
    """What `command` gives, some ten times faster: for the gateway's hot path.

    Raises ValueError, which names field, value and range, when a value does not fit.
    """
    if len(client_order_id) > LABEL_BYTES:  # `pack` would cut it
        raise _too_long(client_order_id)
    try:
        return _PACKED_COMMAND.pack(
            kind,
            side,
            order_type,
            time_in_force,
            instrument_id,
            valid_ms,
            account_id,
            session_id,
            ref,
            quantity,
            price,
            order_id,
            client_order_id,
        )
    except struct.error:
        values = (
            *(kind, side, order_type, time_in_force, instrument_id, valid_ms, account_id),
            *(session_id, ref, quantity, price, order_id),
        )
        raise _unfit(values) from None


def _too_long(label: bytes) -> ValueError:
    shown = label.decode(errors="replace")
    return ValueError(f"client_order_id: {shown!r} has {len(label)} bytes, at most {LABEL_BYTES}")


def _unfit(values: tuple[int, ...]) -> ValueError:
    for name, value in zip(COMMAND.names or (), values, strict=False):
        bounds = np.iinfo(COMMAND[name])
        if not bounds.min <= value <= bounds.max:
            return out_of_range(name, value, int(bounds.min), int(bounds.max))
    return ValueError("a command's fields are whole numbers")


def out_of_range(name: str, value: int, low: int, high: int) -> ValueError:
    """What is wrong with a number that does not fit, in the words of JSON Lines."""
    return ValueError(f"{name}: {value} is not allowed; a whole number, {low} to {high}")


def aged_command(record: bytes, age_ns: int) -> bytes:
    """The command with what `age_ns` leaves of its receive window, to the millisecond.

    The engine counts `valid_ms` from the frame's time: what went by before has to be taken off. At
    least 1 ms stays, for 0 is no limit: whoever knows that the window is over sends nothing.
    """
    window = int.from_bytes(record[_VALID_MS], "little")
    age_ms = age_ns // _MS
    if window == 0 or age_ms <= 0:
        return record
    left = max(window - age_ms, 1)
    return record[: _VALID_MS.start] + left.to_bytes(2, "little") + record[_VALID_MS.stop :]


def notes(text: str) -> list[bytes]:
    """NOTE commands that carry `text` (UTF-8) after an INSTRUCTION, 40 bytes each."""
    data = text.encode()
    return [
        bytes([Command.NOTE]) + bytes(23) + data[at : at + NOTE_BYTES].ljust(NOTE_BYTES, b"\0")
        for at in range(0, len(data), NOTE_BYTES)
    ]


def note_text(event: np.void | NDArray[Any]) -> bytes:
    """The 40 bytes of a NOTED event; join those of a run, then strip zeros and decode."""
    return event.tobytes()[RECORD_SIZE - NOTE_BYTES :]


def build_commands(records: Sequence[bytes], *, writer: int, batch: int, time_ns: int) -> bytes:
    """A frame of 1..COUNT_MAX commands; ValueError outside that and TIME_MAX. O(records)."""
    if not 1 <= len(records) <= COUNT_MAX:
        raise ValueError(f"a frame holds 1 to {COUNT_MAX} commands, not {len(records)}")
    if not -TIME_MAX - 1 <= time_ns <= TIME_MAX:
        raise out_of_range("time_ns", time_ns, -TIME_MAX - 1, TIME_MAX)
    body = b"".join(records)
    front = MAGIC, VERSION, FrameKind.COMMANDS, 1, len(records), 0
    return _HEADER.pack(*front, time_ns, writer, batch, 0, crc32(body), b"") + body


def read_commands(frame: bytes) -> NDArray[Any]:
    """The COMMAND records of a frame known to be sound (the engine is the judge of others)."""
    return np.frombuffer(frame, COMMAND, offset=HEADER_SIZE)


def is_sound(frame: bytes) -> bool:
    """Whether the engine takes the frame of commands. O(bytes)."""
    if len(frame) < HEADER_SIZE:
        return False
    magic, version, kind, _, count, _, _, _, _, _, checksum, _ = _HEADER.unpack_from(frame)
    return (
        (magic, version, kind) == (MAGIC, VERSION, FrameKind.COMMANDS)
        and 1 <= count <= COUNT_MAX
        and len(frame) == HEADER_SIZE + count * RECORD_SIZE
        and crc32(memoryview(frame)[HEADER_SIZE:]) == checksum
    )


def sound_commands(frame: bytes) -> NDArray[Any] | None:
    """The COMMAND records of a frame which the engine takes; None for one which it refuses."""
    return np.frombuffer(frame, COMMAND, offset=HEADER_SIZE) if is_sound(frame) else None


def order_id_of(offset: int, index: int) -> int:
    """The order id of command `index` of the record at `offset` of `orders`."""
    return offset << INDEX_BITS | index


def seal_events(
    records: bytes, *, input_offset: int, first_event: int, epoch: int, time_ns: int, chain: bytes
) -> tuple[list[bytes], bytes]:
    """The parts to publish for one record of `orders`, and the chain after them.

    `records` are the engine's event records (may be empty: one empty part says so). The chain
    covers every header field but `epoch`, so that a new leader repeats an old one byte for byte
    in all that readers compare. O(records).
    """
    size = PART_RECORDS_MAX * RECORD_SIZE
    parts: list[bytes] = []
    for at in range(0, max(len(records), 1), size):
        body = records[at : at + size]  # the same object where there is one part, as a rule
        count, is_last, checksum = len(body) // RECORD_SIZE, at + size >= len(records), crc32(body)
        front = (MAGIC, VERSION, FrameKind.EVENTS, is_last, count, len(parts), time_ns)
        bare = _HEADER.pack(*front, input_offset, first_event, 0, checksum, b"")
        chain = chain_of(chain, bare, body)
        head = _HEADER.pack(*front, input_offset, first_event, epoch, checksum, chain)
        parts.append(head + body)
        first_event += count
    return parts, chain


def chain_of(previous: bytes, bare: bytes, body: bytes | memoryview) -> bytes:
    """BLAKE2b-256(previous, header with epoch and chain zero, body)."""
    digest = hashlib.blake2b(previous + bare, digest_size=32)
    digest.update(body)
    return digest.digest()


def chain_of_part(value: bytes) -> bytes:
    """The chain written in a part. O(1)."""
    return value[HEADER_SIZE - len(GENESIS) : HEADER_SIZE]


class EventFollower:
    """Accepts the next part of `events` and nothing else.

    State is (`input_offset`, `part`, `next_event`, `chain`): a reader with a database stores it in
    the same transaction as its effect and gives it back after a restart. `position` is where the
    record after the last one accepted may lie: repeats behind that one are passed over once more.
    """

    def __init__(
        self, input_offset: int = 0, part: int = 0, next_event: int = 0, chain: bytes = GENESIS
    ) -> None:
        self.input_offset = input_offset
        self.part = part
        self.next_event = next_event
        self.chain = chain
        self.position = 0

    def expects(self, value: bytes) -> bool:
        """Whether a record says to be the next part: an answer to `input_offset`. O(1)."""
        if len(value) < HEADER_SIZE:
            return False
        front = _HEADER.unpack_from(value)
        return (front[7], front[5]) == (self.input_offset, self.part)

    def accept(self, offset: int, value: bytes) -> EventPart | None:
        """The part if it is the next one, None if it was accepted before.

        Raises ChainBrokenError on a gap, a malformed frame, or a hash that does not continue.
        """
        if len(value) < HEADER_SIZE:
            raise ChainBrokenError(f"events record {offset}: {len(value)} bytes are no frame")
        body = value[HEADER_SIZE:]
        *front, epoch, checksum, written = _HEADER.unpack_from(value)
        magic, version, kind, last, count, part, time_ns, origin, first = front
        if (
            (magic, version, kind) != (MAGIC, VERSION, FrameKind.EVENTS)
            or len(body) != count * RECORD_SIZE
            or crc32(body) != checksum
        ):
            raise ChainBrokenError(f"events record {offset}: malformed frame")
        if (origin, part) < (self.input_offset, self.part):
            return None
        if (origin, part) > (self.input_offset, self.part):
            raise ChainBrokenError(
                f"events record {offset}: expected input {self.input_offset} part {self.part}, "
                f"found input {origin} part {part}: records are missing"
            )
        chain = chain_of(self.chain, _HEADER.pack(*front, 0, checksum, b""), body)
        if chain != written or first != self.next_event:
            raise ChainBrokenError(
                f"events record {offset} (input {origin} part {part}): its hash does not continue "
                "the chain read so far: altered, or another history"
            )
        accepted = EventPart(offset, origin, part, bool(last), time_ns, first, epoch, chain, body)
        self.chain = chain
        self.position = offset + 1
        self.next_event += count
        self.input_offset, self.part = (origin + 1, 0) if last else (origin, part + 1)
        return accepted
