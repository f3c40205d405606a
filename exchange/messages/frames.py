"""Frames of the hot path: build and read `orders`, seal and follow `events`.

The layout itself stands in `matching.layout`. Here are the three things services do with it:
`command` / `build_commands` (gateway, registry, operations), `seal_events` (the engine's host) and
`EventFollower` (every reader of `events`: accepts only the next part, drops repeats, stops on a
broken chain).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from isal.isal_zlib import crc32
from numpy.typing import NDArray

from matching.layout import (
    BP,
    COMMAND,
    COUNT_MAX,
    EVENT,
    FEE_BP_LIMIT,
    FILL,
    HEADER,
    HEADER_SIZE,
    INDEX_BITS,
    MAGIC,
    PART_RECORDS_MAX,
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

_PACKED_COMMAND = struct.Struct("<BBBBHHIIqqqQ16s")
_VALID_MS = slice(6, 8)  # of a packed command
_MS = 1_000_000


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
    events: NDArray[Any]  # EVENT records


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


def settlement_tail(cash_to_buyer: int, trade_id: int) -> bytes:
    """The last 16 bytes of a SETTLE_TRADE; struct.error when a value does not fit."""
    return _SETTLEMENT_TAIL.pack(cash_to_buyer, trade_id)


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

    Raises struct.error when a value does not fit its field.
    """
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
    """A frame of 1..COUNT_MAX commands; ValueError outside that. O(records)."""
    if not 1 <= len(records) <= COUNT_MAX:
        raise ValueError(f"a frame holds 1 to {COUNT_MAX} commands, not {len(records)}")
    body = b"".join(records)
    header = np.zeros(1, HEADER)
    header["magic"], header["version"], header["kind"] = MAGIC, VERSION, FrameKind.COMMANDS
    header["last"], header["count"], header["time_ns"] = 1, len(records), time_ns
    header["origin"], header["first"], header["checksum"] = writer, batch, crc32(body)
    return header.tobytes() + body


def read_commands(frame: bytes) -> NDArray[Any]:
    """The COMMAND records of a frame known to be sound (the engine is the judge of others)."""
    return np.frombuffer(frame, COMMAND, offset=HEADER_SIZE)


def sound_commands(frame: bytes) -> NDArray[Any] | None:
    """The COMMAND records of a frame which the engine takes; None for one which it refuses."""
    if len(frame) < HEADER_SIZE:
        return None
    header = np.frombuffer(frame, HEADER, 1)[0]
    body = frame[HEADER_SIZE:]
    count = int(header["count"])
    is_sound = (
        header["magic"] == MAGIC
        and header["version"] == VERSION
        and header["kind"] == FrameKind.COMMANDS
        and 1 <= count <= COUNT_MAX
        and len(body) == count * RECORD_SIZE
        and crc32(body) == int(header["checksum"])
    )
    return np.frombuffer(body, COMMAND) if is_sound else None


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
    bodies = [records[at : at + size] for at in range(0, len(records), size)] or [b""]
    parts = []
    for number, body in enumerate(bodies):
        header = np.zeros(1, HEADER)
        header["magic"], header["version"], header["kind"] = MAGIC, VERSION, FrameKind.EVENTS
        header["last"], header["count"] = number == len(bodies) - 1, len(body) // RECORD_SIZE
        header["part"], header["time_ns"], header["origin"] = number, time_ns, input_offset
        header["first"], header["checksum"] = first_event, crc32(body)
        chain = chain_of(chain, header, body)
        header["chain"], header["epoch"] = chain, epoch
        parts.append(header.tobytes() + body)
        first_event += len(body) // RECORD_SIZE
    return parts, chain


def chain_of(previous: bytes, header: NDArray[Any], body: bytes) -> bytes:
    """BLAKE2b-256(previous, header with epoch and chain zero, body)."""
    bare = header.copy()
    bare["epoch"], bare["chain"] = 0, b""
    return hashlib.blake2b(previous + bare.tobytes() + body, digest_size=32).digest()


class EventFollower:
    """Accepts the next part of `events` and nothing else.

    State is (`input_offset`, `part`, `next_event`, `chain`): a reader with a database stores it in
    the same transaction as its effect and gives it back after a restart.
    """

    def __init__(
        self, input_offset: int = 0, part: int = 0, next_event: int = 0, chain: bytes = GENESIS
    ) -> None:
        self.input_offset = input_offset
        self.part = part
        self.next_event = next_event
        self.chain = chain

    def accept(self, offset: int, value: bytes) -> EventPart | None:
        """The part if it is the next one, None if it was accepted before.

        Raises ChainBrokenError on a gap, a malformed frame, or a hash that does not continue.
        """
        header = self._header(offset, value)
        origin, part = int(header["origin"][0]), int(header["part"][0])
        if (origin, part) < (self.input_offset, self.part):
            return None
        if (origin, part) > (self.input_offset, self.part):
            raise ChainBrokenError(
                f"events record {offset}: expected input {self.input_offset} part {self.part}, "
                f"found input {origin} part {part}: records are missing"
            )
        body = value[HEADER_SIZE:]
        chain = chain_of(self.chain, header, body)
        if chain != header["chain"][0].ljust(32, b"\0") or int(header["first"][0]) != (
            self.next_event
        ):
            raise ChainBrokenError(
                f"events record {offset} (input {origin} part {part}): its hash does not continue "
                "the chain read so far: altered, or another history"
            )
        is_last = bool(header["last"][0])
        accepted = EventPart(
            offset,
            origin,
            part,
            is_last,
            int(header["time_ns"][0]),
            self.next_event,
            int(header["epoch"][0]),
            chain,
            np.frombuffer(body, EVENT),
        )
        self.chain = chain
        self.next_event += len(accepted.events)
        self.input_offset, self.part = (origin + 1, 0) if is_last else (origin, part + 1)
        return accepted

    @staticmethod
    def _header(offset: int, value: bytes) -> NDArray[Any]:
        if len(value) < HEADER_SIZE:
            raise ChainBrokenError(f"events record {offset}: {len(value)} bytes are no frame")
        header = np.frombuffer(value, HEADER, 1)
        body = value[HEADER_SIZE:]
        sound = (
            header["magic"][0] == MAGIC
            and header["version"][0] == VERSION
            and header["kind"][0] == FrameKind.EVENTS
            and len(body) == int(header["count"][0]) * RECORD_SIZE
            and crc32(body) == int(header["checksum"][0])
        )
        if not sound:
            raise ChainBrokenError(f"events record {offset}: malformed frame")
        return header
