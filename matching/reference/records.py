"""Frames in, event records out, as plain tuples."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple
from zlib import crc32

from matching.layout import (
    COUNT_MAX,
    HEADER_SIZE,
    MAGIC,
    RECORD_SIZE,
    VERSION,
    Event,
    FrameKind,
    Reason,
)

_HEADER = Struct("<IHBBIIqqqII32s")
_RECORD = Struct("<BBBBHHIIqqqQ16s")
_TERMS_TAIL = Struct("<Qq")
_SEED_TAIL = Struct("<qq")
_FILL_TAIL = Struct("<Qq")

NO_LABEL = bytes(16)


class CommandRecord(NamedTuple):
    """One record of a command frame, field for field."""

    kind: int
    side: int
    order_type: int
    time_in_force: int
    instrument_id: int
    valid_ms: int
    account_id: int
    session_id: int
    ref: int
    quantity: int
    price: int
    order_id: int
    client_order_id: bytes


class CommandFrame(NamedTuple):
    """A sound frame: when its writer sent it, and what it carries."""

    time_ns: int
    commands: list[CommandRecord]


def decode(frame: bytes) -> CommandFrame | Reason:
    """The commands of a frame, or the first reason why it has none. O(commands)."""
    if len(frame) < HEADER_SIZE:
        return Reason.FRAME_TOO_SHORT
    header = _HEADER.unpack_from(frame)
    magic, version, kind, _, count, _, time_ns, _, _, _, checksum, _ = header
    records = frame[HEADER_SIZE:]
    if magic != MAGIC:
        return Reason.FRAME_WRONG_MAGIC
    if version != VERSION:
        return Reason.FRAME_WRONG_VERSION
    if kind != FrameKind.COMMANDS:
        return Reason.FRAME_WRONG_KIND
    if not 1 <= count <= COUNT_MAX:
        return Reason.FRAME_COUNT_OUT_OF_RANGE
    if len(records) != count * RECORD_SIZE:
        return Reason.FRAME_WRONG_SIZE
    if crc32(records) != checksum:
        return Reason.FRAME_WRONG_CHECKSUM
    return CommandFrame(time_ns, [CommandRecord(*r) for r in _RECORD.iter_unpack(records)])


def event_record(
    kind: Event,
    command_index: int,
    *,
    side: int = 0,
    order_type: int = 0,
    time_in_force: int = 0,
    instrument_id: int = 0,
    reason: int = 0,
    account_id: int = 0,
    value: int = 0,
    quantity: int = 0,
    price: int = 0,
    order_id: int = 0,
    client_order_id: bytes = NO_LABEL,
) -> bytes:
    """The 64 bytes of an event. O(1)."""
    return _RECORD.pack(
        kind,
        side,
        order_type,
        time_in_force,
        instrument_id,
        reason,
        account_id,
        command_index,
        value,
        quantity,
        price,
        order_id,
        client_order_id,
    )


def fill_tail(contra_order_id: int, fee: int) -> bytes:
    """The last 16 bytes of a FILL. O(1)."""
    return _FILL_TAIL.pack(contra_order_id, fee)


def seed_tail(seed: int, opening_seed: int) -> bytes:
    """The last 16 bytes of an AUCTION_CLEARED. O(1)."""
    return _SEED_TAIL.pack(seed, opening_seed)


def terms_tail(expire_date: int, instructions: int) -> bytes:
    """The last 16 bytes of a TERMS_SET. O(1)."""
    return _TERMS_TAIL.pack(expire_date, instructions)
