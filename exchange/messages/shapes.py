"""What each field of a command and of an event is called in JSON, and in which words.

The layout stands in `matching.layout`; this table only names what a kind of record uses a field
for. A kind without a row, and a field that its row does not name, go by the layout's own name. So a
new kind is readable before it has a row, and no byte of a record is ever lost.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

import numpy as np

from matching.layout import (
    COMMAND,
    EVENT,
    FILL,
    Command,
    Event,
    Instruction,
    Liquidity,
    OrderStatus,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
)

WORDS: dict[str, type[IntEnum]] = {
    "side": Side,
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "reason": Reason,
    "phase": Phase,
    "parameter": Parameter,
    "instruction": Instruction,
    "liquidity": Liquidity,
    "order_status": OrderStatus,
    "command": Command,
}
"""Fields, by their name in JSON, whose numbers have names."""

PLAIN = frozenset({"order_type", "time_in_force"})
"""Of these, what means something else in each kind: a number where no row names it."""

NOTE_COMMAND = np.dtype([*COMMAND.descr[:9], ("text", "S40")])
NOTE_EVENT = np.dtype([*EVENT.descr[:9], ("text", "S40")])
"""A NOTE's text takes the place of all that follows `ref` (or `value`)."""

COMMAND_LAYOUTS: dict[Command, np.dtype[Any]] = {Command.NOTE: NOTE_COMMAND}
EVENT_LAYOUTS: dict[Event, np.dtype[Any]] = {Event.NOTED: NOTE_EVENT, Event.FILL: FILL}
"""Kinds whose last bytes are not COMMAND's or EVENT's."""

_TRANSFER = "account_id quantity order_id=transfer_id"
_TRANSFER_UNITS = "account_id instrument_id quantity order_id=transfer_id"
_ORDER = "account_id instrument_id side order_type time_in_force quantity price"
_INSTRUCTION = "order_type=instruction account_id instrument_id quantity price"

COMMAND_ROWS: dict[Command, str] = {
    Command.NEW_ORDER: f"{_ORDER} client_order_id",
    Command.CANCEL_ORDER: "account_id order_id",
    Command.REPLACE_ORDER: "account_id order_id quantity price client_order_id",
    Command.ACCOUNT_OPEN: "account_id order_id=participant_id",
    Command.CASH_DEPOSIT: _TRANSFER,
    Command.CASH_WITHDRAW: _TRANSFER,
    Command.UNITS_DEPOSIT: _TRANSFER_UNITS,
    Command.UNITS_RELEASE: _TRANSFER_UNITS,
    Command.INSTRUMENT_OPEN: "instrument_id",
    Command.INSTRUMENT_PARAMETER: "instrument_id order_type=parameter quantity",
    Command.PHASE_CHANGE: "instrument_id order_type=phase",
    Command.REFERENCE_PRICE: "instrument_id price",
    Command.DAY_ROLL: "quantity=trading_date",
    Command.CLOCK_TICK: "",
    Command.EPOCH_START: "quantity=epoch order_id=node",
    Command.INSTRUCTION: _INSTRUCTION,
    Command.NOTE: "text",
}
EVENT_ROWS: dict[Event, str] = {
    Event.ACCEPTED: f"{_ORDER} order_id client_order_id value=hold",
    Event.REJECTED: "reason order_type=command account_id instrument_id value=ref",
    Event.DUPLICATE: "order_type=command account_id instrument_id order_id value=ref",
    Event.FILL: "account_id instrument_id side order_id contra_order_id order_type=liquidity "
    "time_in_force=order_status quantity price value=leaves fee",
    Event.CANCELLED: f"reason {_ORDER} order_id client_order_id value=released",
    Event.REPLACED: "account_id instrument_id side order_type=priority_kept time_in_force quantity "
    "price order_id client_order_id value=hold",
    Event.ACCOUNT_OPENED: "account_id order_id=participant_id",
    Event.CASH_DEPOSITED: f"{_TRANSFER} value=total",
    Event.CASH_WITHDRAWN: f"{_TRANSFER} value=total",
    Event.UNITS_DEPOSITED: f"{_TRANSFER_UNITS} value=total",
    Event.UNITS_RELEASED: f"{_TRANSFER_UNITS} value=total",
    Event.UNITS_UNLOCKED: "account_id instrument_id quantity value=total",
    Event.INSTRUMENT_OPENED: "instrument_id",
    Event.PARAMETER_CHANGED: "instrument_id order_type=parameter quantity",
    Event.PHASE_CHANGED: "instrument_id order_type=phase",
    Event.REFERENCE_CHANGED: "instrument_id price",
    Event.DAY_CLOSED: "instrument_id price=close quantity=volume value=turnover",
    Event.DAY_STARTED: "quantity=trading_date",
    Event.EPOCH_STARTED: "quantity=epoch order_id=node",
    Event.INSTRUCTED: f"{_INSTRUCTION} order_id value=ref",
    Event.NOTED: "text",
    Event.FRAME_REFUSED: "reason",
}
"""`slot` or `slot=name` for each field that means something in a kind, in the order of JSON."""


class Part(NamedTuple):
    """One field of a record of one kind."""

    place: int  # among the fields of the record
    name: str
    low: int  # of a number; 0 and 0 for bytes
    high: int
    width: int  # of bytes; 0 for a number
    words: type[IntEnum] | None
    is_shown: bool  # also when it is 0


class Shape(NamedTuple):
    """A kind of record: how its 64 bytes are cut, and its fields in the order of JSON."""

    record: Struct
    parts: tuple[Part, ...]

    def by_name(self) -> dict[str, Part]:
        """The parts, and the bytes once more by their names in hexadecimal."""
        named = {part.name: part for part in self.parts}
        return named | {f"{part.name}_hex": part for part in self.parts if part.width}


def command_shape(kind: int) -> Shape:
    """The shape of a command, known or not."""
    try:
        known = Command(kind)
    except ValueError:
        return _shape(COMMAND, None)
    return _shape(COMMAND_LAYOUTS.get(known, COMMAND), COMMAND_ROWS.get(known))


def event_shape(kind: int) -> Shape:
    """The shape of an event, known or not."""
    try:
        known = Event(kind)
    except ValueError:
        return _shape(EVENT, None)
    return _shape(EVENT_LAYOUTS.get(known, EVENT), EVENT_ROWS.get(known))


def _shape(layout: np.dtype[Any], row: str | None) -> Shape:
    shown = dict(_pair(term) for term in (row or "").split())
    slots = list(layout.names or ())
    order = [*shown, *(slot for slot in slots if slot not in shown)]
    formats = "".join(_format(layout[slot]) for slot in slots)
    parts = tuple(
        _part(slots.index(slot), shown.get(slot, slot), layout[slot], slot in shown, row is None)
        for slot in order
        if slot != "kind"
    )
    return Shape(Struct(f"<{formats}"), parts)


def _pair(term: str) -> tuple[str, str]:
    slot, _, name = term.partition("=")
    return slot, name or slot


def _format(field: np.dtype[Any]) -> str:
    if field.kind == "S":
        return f"{field.itemsize}s"
    letters = {1: "b", 2: "h", 4: "i", 8: "q"}
    letter = letters[field.itemsize]
    return letter.upper() if field.kind == "u" else letter


def _part(place: int, name: str, field: np.dtype[Any], is_shown: bool, is_bare: bool) -> Part:
    if field.kind == "S":
        return Part(place, name, 0, 0, field.itemsize, None, is_shown)
    bounds = np.iinfo(field)
    words = None if is_bare and name in PLAIN else WORDS.get(name)
    return Part(place, name, int(bounds.min), int(bounds.max), 0, words, is_shown)
