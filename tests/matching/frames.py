"""Command frames from words, and events back into words."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, NamedTuple
from zlib import crc32

from matching.layout import MAGIC, RECORD_SIZE, VERSION, Command, Event, FrameKind

HEADER = Struct("<IHBBIIqqqII32s")
RECORD = Struct("<BBBBHHIIqqqQ16s")
FILL_TAIL = Struct("<Qq")


_NOTHING: dict[str, Any] = {
    "side": 0,
    "order_type": 0,
    "time_in_force": 0,
    "instrument_id": 0,
    "valid_ms": 0,
    "account_id": 0,
    "session_id": 0,
    "ref": 0,
    "quantity": 0,
    "price": 0,
    "order_id": 0,
    "client_order_id": b"",
}


class EventRow(NamedTuple):
    """An event, field for field."""

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
    client_order_id: bytes

    @property
    def name(self) -> str:
        return Event(self.kind).name

    @property
    def contra_order_id(self) -> int:
        return int(FILL_TAIL.unpack(self.client_order_id)[0])

    @property
    def fee(self) -> int:
        return int(FILL_TAIL.unpack(self.client_order_id)[1])


def command(kind: int, **fields: Any) -> bytes:
    """The 64 bytes of a command; fields that are not named are 0."""
    unknown = fields.keys() - _NOTHING.keys()
    if unknown:
        raise TypeError(f"a command has no {unknown}")
    return RECORD.pack(kind, *(_NOTHING | fields).values())


def header(records: bytes, time_ns: int = 0, **changes: Any) -> bytes:
    """The header that belongs to the records, or a wrong one."""
    fields = {
        "magic": MAGIC,
        "version": VERSION,
        "kind": FrameKind.COMMANDS,
        "last": 0,
        "count": len(records) // RECORD_SIZE,
        "part": 0,
        "time_ns": time_ns,
        "origin": 7,
        "first": 0,
        "epoch": 0,
        "checksum": crc32(records),
        "chain": bytes(32),
    } | changes
    return HEADER.pack(*fields.values())


def frame(commands: Iterable[bytes], time_ns: int = 0, **changes: Any) -> bytes:
    """A sound frame, or one with the named header fields changed."""
    records = b"".join(commands)
    return header(records, time_ns, **changes) + records


def events(data: bytes) -> list[EventRow]:
    """The events in the output of an engine."""
    return [EventRow(*row) for row in RECORD.iter_unpack(data)]


def note_text(text: bytes) -> dict[str, Any]:
    """The fields of a NOTE that carry the text."""
    quantity, price, order_id, tail = Struct("<qqQ16s").unpack(text.ljust(40, b"\0"))
    return {"quantity": quantity, "price": price, "order_id": order_id, "client_order_id": tail}


__all__ = ["Command", "EventRow", "command", "events", "frame", "header", "note_text"]
