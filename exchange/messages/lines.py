"""Commands and events as JSON Lines: what `exchange match` reads and prints.

An input line is an object: one command, several in one frame, a record as it stood on a log, or,
first of all, the limits of the engine:

    {"kind": "NEW_ORDER", "account_id": 101, "side": "BUY", "quantity": 5, "price": 7125, ...}
    {"frame": [{"kind": ...}, {"kind": ...}], "time_ns": 1700000000000000000}
    {"hex": "43584601..."}
    {"limits": {"orders_max": 100}}

`append_ns` (when the log took the record; never named: as the line before, first 0) and `time_ns`
(when its writer sent it; never named: `append_ns`) may stand beside a command, a frame or a hex.
What a kind calls its fields is told by `exchange.messages.shapes`. Numbers are whole, names of
enumerations may be numbers too, what is not named is 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, NoReturn

import msgspec
import numpy as np

from exchange.messages.frames import (
    COUNT_MAX,
    HEADER_SIZE,
    RECORD_SIZE,
    TIME_MAX,
    Command,
    Event,
    build_commands,
    sound_commands,
)
from exchange.messages.shapes import Part, Shape, command_shape, event_shape
from exchange.messages.words import Names, WordError, Words
from exchange.settings import RECORD_BYTES_MAX
from matching.layout import HEADER
from matching.protocol import Limits as Limits  # for who may read the vocabulary only

SHOWN_MAX = 60  # characters of a wrong value that a message repeats
KIND_MAX = 255
TIMES = ("append_ns", "time_ns")

Kinds = type[Command] | type[Event]
Fields = dict[str, Any]

_KINDS: dict[Kinds, Words] = {Command: Names(Command), Event: Names(Event)}


class LineError(ValueError):
    """A line that means nothing; the message says which field, what it is and what is allowed."""


class InputRecord(NamedTuple):
    """A line as a record of `orders`."""

    append_ns: int
    frame: bytes


# -- records ------------------------------------------------------------------------------------


@cache
def _shape(kind: int, kinds: Kinds) -> Shape:
    return command_shape(kind) if kinds is Command else event_shape(kind)


@cache
def _parts(kind: int, kinds: Kinds) -> dict[str, Part]:
    return _shape(kind, kinds).by_name()


@cache
def _nothing(kind: int, kinds: Kinds) -> list[Any]:
    values: list[Any] = [kind, *[0] * len(_shape(kind, kinds).parts)]
    for part in _shape(kind, kinds).parts:
        if part.width:
            values[part.place] = b""
    return values


def record_fields(record: bytes, kinds: Kinds) -> Fields:
    """A command or an event as JSON says it; `record_of` gives its bytes back. O(1)."""
    kind = record[0]
    shape = _shape(kind, kinds)
    values = shape.record.unpack(record)
    fields: Fields = {"kind": _KINDS[kinds].say(kind)}
    for place, name, _, _, width, words, _, is_shown in shape.parts:
        value = values[place]
        if width:
            value = value.rstrip(b"\0")
            if value:
                _put_bytes(fields, name, value)
        elif value or is_shown:
            fields[name] = words.say(value) if words is not None else value
    return fields


def record_of(fields: Any, kinds: Kinds) -> bytes:
    """The 64 bytes of a command or an event; LineError names what is wrong. O(fields)."""
    if not isinstance(fields, dict):
        raise LineError(f"{_shown(fields)} is no object with a kind")
    if "kind" not in fields:
        raise LineError(f"kind is missing: {_KINDS[kinds].allowed()}")
    kind = _number("kind", fields["kind"], 0, KIND_MAX, _KINDS[kinds])
    shape, parts = _shape(kind, kinds), _parts(kind, kinds)
    values = _nothing(kind, kinds).copy()
    named = set()
    for name, value in fields.items():
        if name == "kind":
            continue
        part = parts.get(name)
        if part is None:
            raise _unknown(name, fields["kind"], ("kind", *parts))
        if part.name in named:
            raise LineError(f"{part.name} is named twice, in words and in hexadecimal")
        named.add(part.name)
        if part.width:
            values[part.place] = _bytes(name, value, part)
        else:
            values[part.place] = _number(name, value, part.low, part.high, part.words)
    return shape.record.pack(*values)


def _put_bytes(fields: Fields, name: str, value: bytes) -> None:
    try:
        fields[name] = value.decode()
    except UnicodeDecodeError:
        fields[f"{name}_hex"] = value.hex()


def _bytes(name: str, value: Any, part: Part) -> bytes:
    if not isinstance(value, str):
        raise LineError(f"{name}: {_shown(value)} is no text")
    if name != part.name:
        data = _from_hex(name, value)
    else:
        try:
            data = value.encode()
        except UnicodeEncodeError:
            raise LineError(f"{name}: {_shown(value)} is no Unicode text") from None
    if len(data) > part.width:
        raise LineError(f"{name}: {_shown(value)} has {len(data)} bytes, at most {part.width}")
    return data


def _from_hex(name: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise LineError(f"{name}: {_shown(value)} is no hexadecimal text") from None


def _number(name: str, value: Any, low: int, high: int, words: Words | None = None) -> int:
    if words is not None:
        try:
            number = words.number(value)
        except WordError as error:
            raise LineError(f"{name}: {_shown(value)} is not allowed; {error}") from None
        if number is not None:
            return number
    if type(value) is not int or not low <= value <= high:
        allowed = f"a whole number, {low} to {high}"
        if words is not None:
            allowed = f"{words.allowed()}, or {allowed}"
        raise LineError(f"{name}: {_shown(value)} is not allowed; {allowed}")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}..."


def _unknown(name: str, owner: Any, allowed: tuple[str, ...]) -> LineError:
    return LineError(f"{owner} has no field {_shown(name)}; it has {', '.join(allowed)}")


# -- lines in -------------------------------------------------------------------------------------


def read_line(line: bytes, previous_ns: int) -> InputRecord | Limits:
    """What a line says; `previous_ns` is the append time of the one before. O(line).

    LineError names the field that is wrong and what is allowed.
    """
    said = _object(line)
    if "limits" in said:
        return _limits(said)
    times = {name: said.pop(name) for name in TIMES if name in said}
    append_ns = _time("append_ns", times, _time("time_ns", times, previous_ns))
    time_ns = _time("time_ns", times, append_ns)
    if "hex" in said:
        return InputRecord(append_ns, _raw(said, times))
    commands = _commands(said) if "frame" in said else [record_of(said, Command)]
    return InputRecord(append_ns, build_commands(commands, writer=0, batch=0, time_ns=time_ns))


def _object(line: bytes) -> Fields:
    try:
        said = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise LineError(f"no UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise LineError(f"no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise LineError("no JSON of ours: nested too deeply") from None
    except LineError:
        raise
    except ValueError:
        raise LineError("no JSON of ours: a number of thousands of digits") from None
    if not isinstance(said, dict):
        raise LineError(f"{_shown(said)} is no object: a command, a frame, a hex or limits")
    return said


def _pairs(pairs: list[tuple[str, Any]]) -> Fields:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise LineError(f"{_shown(twice)} is named twice")
    return fields


def _constant(word: str) -> NoReturn:
    raise LineError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant)


def _time(name: str, times: Fields, default: int) -> int:
    return _number(name, times.get(name, default), -TIME_MAX - 1, TIME_MAX)


def _limits(said: Fields) -> Limits:
    bounds = said["limits"]
    if len(said) > 1 or not isinstance(bounds, dict):
        raise LineError("limits: an object, alone on its line")
    for name, bound in bounds.items():
        if name not in Limits._fields:
            raise _unknown(name, "limits", Limits._fields)
        _bound(name, bound)
    return Limits(**bounds)


def check_limits(limits: Limits) -> None:
    """LineError names the bound that is below 0 or above what an engine may have."""
    for name, bound in limits._asdict().items():
        _bound(name, bound)


def _bound(name: str, bound: Any) -> None:
    _number(f"limits.{name}", bound, 0, getattr(Limits(), name))


def _raw(said: Fields, times: Fields) -> bytes:
    if len(said) > 1 or "time_ns" in times:
        raise LineError("hex: a record as it stood; beside it only append_ns")
    frame = _from_hex("hex", said["hex"])
    if len(frame) > RECORD_BYTES_MAX:
        raise LineError(f"hex: {len(frame)} bytes, at most {RECORD_BYTES_MAX}")
    return frame


def _commands(said: Fields) -> list[bytes]:
    listed = said["frame"]
    if len(said) > 1:
        raise _unknown(next(name for name in said if name != "frame"), "a frame", TIMES)
    if not isinstance(listed, list) or not 1 <= len(listed) <= COUNT_MAX:
        raise LineError(f"frame: a list of 1 to {COUNT_MAX} commands")
    commands = []
    for index, fields in enumerate(listed):
        try:
            commands.append(record_of(fields, Command))
        except LineError as error:
            raise LineError(f"frame[{index}]: {error}") from None
    return commands


# -- lines out ------------------------------------------------------------------------------------


def event_lines(offset: int, first_event: int, events: bytes) -> Iterator[bytes]:
    """The events which the record at `offset` caused, one line each. O(events)."""
    for place in range(0, len(events), RECORD_SIZE):
        fields = record_fields(events[place : place + RECORD_SIZE], Event)
        index = fields.pop("command_index", 0)
        number = first_event + place // RECORD_SIZE
        named = {"offset": offset, "number": number, "command_index": index}
        yield msgspec.json.encode(named | fields) + b"\n"


def command_line(append_ns: int, frame: bytes) -> bytes:
    """The line that `read_line` makes the same record of; header fields no engine reads go."""
    said: Fields = {"append_ns": append_ns}
    if sound_commands(frame) is None:
        return msgspec.json.encode(said | {"hex": frame.hex()}) + b"\n"
    said["time_ns"] = int(np.frombuffer(frame, HEADER, 1)["time_ns"][0])
    body = frame[HEADER_SIZE:]
    commands = [
        record_fields(body[at : at + RECORD_SIZE], Command)
        for at in range(0, len(body), RECORD_SIZE)
    ]
    said |= commands[0] if len(commands) == 1 else {"frame": commands}
    return msgspec.json.encode(said) + b"\n"


def limits_line(limits: Limits) -> bytes:
    """The line that `read_line` makes the same limits of."""
    return msgspec.json.encode({"limits": limits._asdict()}) + b"\n"
