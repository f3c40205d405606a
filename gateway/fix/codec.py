"""FIX bytes in and out: by the table of `dictionary`, strict, bounded, no state but the buffer.

First BeginString, BodyLength and CheckSum: what fails there is garbled, and FIX says to ignore it.
Then every field against the table: what fails there is a message with a `fault`, which the session
layer answers with a Reject. Nothing else can come out of here, whatever the bytes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from exchange.settings import FIX_FIELDS_MAX, FIX_GROUP_MAX, FIX_MESSAGE_BYTES_MAX
from gateway.fix.dictionary import (
    BEGIN_STRING,
    CHECKS,
    FIELDS,
    HEADER,
    MESSAGES,
    Check,
    Field,
    Group,
    Layout,
)

SOH = "\x01"
PREFIX = f"8={BEGIN_STRING}{SOH}9=".encode()
TRAILER_BYTES = 7  # 10=nnn and its end
_LENGTH_DIGITS_MAX = 6
_SECOND = 1_000_000_000

Values = Iterable[tuple[int, str | int]]


class GarbledError(Exception):
    """Bytes that are no message: dropped, as FIX says. `is_fatal`: no way to go on after them."""

    def __init__(self, text: str, *, is_fatal: bool = False) -> None:
        super().__init__(text)
        self.is_fatal = is_fatal


class Fault(NamedTuple):
    """What is wrong with a message that was read: FIX's SessionRejectReason, the tag, words."""

    reason: int
    tag: int
    text: str


class Message(NamedTuple):
    """A message: its fields by tag as text, header among them; groups by the tag of their count."""

    msg_type: str
    fields: dict[int, str]
    groups: dict[int, list[dict[int, str]]]
    fault: Fault | None = None

    @property
    def sequence(self) -> int:
        """MsgSeqNum; 0 where it is missing or no number."""
        text = self.fields.get(34, "")
        return int(text) if CHECKS["SEQNUM"](text) else 0

    @property
    def is_dup(self) -> bool:
        """PossDupFlag."""
        return self.fields.get(43) == "Y"

    def get(self, tag: int) -> str:
        """The field's text, "" where it is absent."""
        return self.fields.get(tag, "")


class Framer:
    """Cuts a stream into messages. Memory is bounded by FIX_MESSAGE_BYTES_MAX and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | GarbledError]:
        """Whole messages of a right length and sum, or what was dropped. O(bytes).

        After a fatal error nothing more comes.
        """
        self._buffer += data
        while self._buffer:
            try:
                found = self._next()
            except GarbledError as error:
                yield error
                if error.is_fatal:
                    self._buffer.clear()
                continue
            if found is None:
                return
            yield found

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if not buffer.startswith(PREFIX):
            self._check_start()
            return None
        end = buffer.find(b"\x01", len(PREFIX), len(PREFIX) + _LENGTH_DIGITS_MAX + 1)
        if end < 0:
            if len(buffer) <= len(PREFIX) + _LENGTH_DIGITS_MAX:
                return None
            raise self._drop("BodyLength is no number")
        digits = bytes(buffer[len(PREFIX) : end])
        if not digits.isdigit() or digits.startswith(b"0"):
            raise self._drop("BodyLength is no number")
        length = int(digits)
        total = end + 1 + length + TRAILER_BYTES
        if total > FIX_MESSAGE_BYTES_MAX:
            raise GarbledError(
                f"a message of {total} bytes, at most {FIX_MESSAGE_BYTES_MAX}", is_fatal=True
            )
        if len(buffer) < total:
            return None
        message = bytes(buffer[:total])
        body = total - TRAILER_BYTES
        is_ended = message.startswith(b"10=", body) and message[body - 1] == message[-1] == 1
        if not is_ended:
            raise self._drop("BodyLength does not lead to CheckSum")
        if not message.startswith(b"35=", end + 1):
            raise self._drop("MsgType is not the third field")
        if message[body + 3 : -1] != b"%03d" % (sum(memoryview(message)[:body]) & 255):
            raise self._drop("CheckSum differs")
        del buffer[:total]
        return message

    def _check_start(self) -> None:
        buffer = self._buffer
        if PREFIX.startswith(buffer):
            return
        end = buffer.find(b"\x01", 0, 16)
        if buffer.startswith(b"8=FIX") and end > 0 and buffer[:end] != PREFIX[:-3]:
            raise GarbledError(
                f"BeginString is not {BEGIN_STRING}: {bytes(buffer[2:end])!r}", is_fatal=True
            )
        raise self._drop("no BeginString and BodyLength at the start of a message")

    def _drop(self, text: str) -> GarbledError:
        """Drops what stands before the next possible message."""
        start = self._buffer.find(b"8=FIX", 1)
        del self._buffer[: start if start > 0 else len(self._buffer)]
        return GarbledError(text)


class _Slot(NamedTuple):
    tag: int
    field: Field
    check: Check
    values: dict[str, str]
    is_header: bool
    group: Group | None


def _slots(layout: Layout) -> dict[str, _Slot]:
    tags = [*HEADER, *layout.members, *layout.groups]
    return {
        str(tag): _Slot(
            tag, FIELDS[tag], CHECKS[FIELDS[tag].kind], _closed(FIELDS[tag]), tag in HEADER,
            layout.groups.get(tag),
        )
        for tag in tags
    }  # fmt: skip


def _closed(field: Field) -> dict[str, str]:
    return {} if field.kind == "MULTIPLEVALUESTRING" else field.values


_SLOTS = {msg_type: _slots(layout) for msg_type, layout in MESSAGES.items()}
_REQUIRED = {
    msg_type: [tag for tag, is_needed in {**HEADER, **layout.members}.items() if is_needed]
    + [group.count_tag for group in layout.groups.values() if group.is_required]
    for msg_type, layout in MESSAGES.items()
}
_KNOWN = {str(tag) for tag in FIELDS}
_HEADER_SLOTS = _slots(Layout("", "", "", {}, {}))


class _FaultError(Exception):
    def __init__(self, reason: int, tag: int, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(reason, tag, text)


def decode(data: bytes) -> Message:
    """A message that a `Framer` gave; what is wrong with its fields is its `fault`. O(bytes)."""
    text = data.decode("latin-1")
    if f"{SOH}95=" in text:
        parts = _split_with_data(text)
    else:
        parts = text.split(SOH)
        parts.pop()
    fields: dict[int, str] = {8: BEGIN_STRING, 9: parts[1][2:], 10: parts[-1][3:]}
    groups: dict[int, list[dict[int, str]]] = {}
    name, _, msg_type = parts[2].partition("=") if len(parts) > 3 else ("", "", "")
    if name != "35" or not msg_type:
        return Message("", fields, groups, Fault(1, 35, "MsgType is not the third field"))
    fields[35] = msg_type
    slots = _SLOTS.get(msg_type)
    fault: Fault | None = None
    try:
        if len(parts) > FIX_FIELDS_MAX:
            raise _FaultError(99, 0, f"{len(parts)} fields, at most {FIX_FIELDS_MAX}")
        if slots is None:
            _read_header(parts, fields)
        else:
            _read(parts, slots, fields, groups)
            for tag in _REQUIRED[msg_type]:
                if tag not in fields:
                    raise _FaultError(1, tag, f"{FIELDS[tag].name} is missing")
    except _FaultError as error:
        fault = error.fault
        if 34 not in fields:
            _find_sequence(parts, fields)
    return Message(msg_type, fields, groups, fault)


def _read(
    parts: list[str],
    slots: dict[str, _Slot],
    fields: dict[int, str],
    groups: dict[int, list[dict[int, str]]],
) -> None:
    in_header = True
    place, end = 3, len(parts) - 1
    while place < end:
        name, sign, value = parts[place].partition("=")
        slot = slots.get(name)
        if slot is None:
            raise _unknown(name, sign)
        tag = slot.tag
        if not value:
            raise _FaultError(4, tag, f"{slot.field.name} has no value")
        if tag in fields:
            raise _FaultError(13, tag, f"{slot.field.name} stands twice")
        if slot.is_header:
            if not in_header:
                raise _FaultError(14, tag, f"{slot.field.name} stands after the header")
        else:
            in_header = False
        if not slot.check(value):
            raise _FaultError(6, tag, f"{slot.field.name} is no {slot.field.kind}")
        if slot.values and value not in slot.values:
            raise _FaultError(5, tag, f"{slot.field.name} is none of {', '.join(slot.values)}")
        fields[tag] = value
        place += 1
        if slot.group is not None:
            groups[tag], place = _read_group(parts, place, end, slot.group, int(value))


def _read_group(
    parts: list[str], place: int, end: int, group: Group, count: int
) -> tuple[list[dict[int, str]], int]:
    if not 1 <= count <= FIX_GROUP_MAX:
        raise _FaultError(16, group.count_tag, f"{count} entries, 1 to {FIX_GROUP_MAX} may be")
    members = {str(tag): tag for tag in group.members}
    first = next(iter(members))
    rows: list[dict[int, str]] = []
    while place < end:
        name, _, value = parts[place].partition("=")
        tag = members.get(name)
        if tag is None:
            break
        field = FIELDS[tag]
        if name == first:
            rows.append({})
        elif not rows:
            raise _FaultError(15, tag, f"the group does not begin with {FIELDS[int(first)].name}")
        if not value:
            raise _FaultError(4, tag, f"{field.name} has no value")
        if tag in rows[-1]:
            raise _FaultError(13, tag, f"{field.name} stands twice in one entry")
        if not CHECKS[field.kind](value):
            raise _FaultError(6, tag, f"{field.name} is no {field.kind}")
        if field.values and value not in field.values:
            raise _FaultError(5, tag, f"{field.name} is none of {', '.join(field.values)}")
        rows[-1][tag] = value
        place += 1
    if len(rows) != count:
        raise _FaultError(16, group.count_tag, f"{count} entries are said, {len(rows)} are there")
    for row in rows:
        for tag, is_needed in group.members.items():
            if is_needed and tag not in row:
                raise _FaultError(1, tag, f"{FIELDS[tag].name} is missing in an entry")
    return rows, place


def _unknown(name: str, sign: str) -> _FaultError:
    if not sign or not name.isascii() or not name.isdigit() or name.startswith("0"):
        return _FaultError(0, 0, "a field is no tag=value")
    if len(name) > 9:
        return _FaultError(0, 0, "a tag of more than nine digits")
    tag = int(name)
    if name in _KNOWN:
        return _FaultError(2, tag, f"{FIELDS[tag].name} is not of this message")
    return _FaultError(3, tag, f"tag {tag} is not known here")


def _read_header(parts: list[str], fields: dict[int, str]) -> None:
    """Of a message whose type is not known: as far as its header goes."""
    for place, part in enumerate(parts[3:-1], 3):
        if part.partition("=")[0] not in _HEADER_SLOTS:
            _read([*parts[:place], parts[-1]], _HEADER_SLOTS, fields, {})
            return
    _read(parts, _HEADER_SLOTS, fields, {})


def _find_sequence(parts: list[str], fields: dict[int, str]) -> None:
    """The number of a message that is rejected before its number was read."""
    for part in parts[3:-1]:
        if part.startswith("34="):
            if CHECKS["SEQNUM"](part[3:]):
                fields[34] = part[3:]
            return


def _split_with_data(text: str) -> list[str]:
    """Fields where RawData may hold the separator: it is as long as RawDataLength says."""
    parts: list[str] = []
    place, length = 0, -1
    while place < len(text):
        end = text.find(SOH, place)
        if length >= 0 and text.startswith("96=", place) and place + 3 + length < len(text):
            exact = place + 3 + length
            if text[exact] == SOH:
                end = exact
        part = text[place:end]
        name, _, value = part.partition("=")
        length = int(value) if name == "95" and CHECKS["LENGTH"](value) else -1
        parts.append(part)
        place = end + 1
    return parts


def encode(
    msg_type: str,
    sequence: int,
    sender: str,
    target: str,
    time_ns: int,
    values: Values,
    *,
    original_ns: int = 0,
) -> bytes:
    """The bytes of a message; `original_ns` makes it a resend (PossDupFlag). O(bytes)."""
    return frame(
        msg_type, sequence, sender, target, time_ns, body_text(values), original_ns=original_ns
    )


def body_text(values: Values) -> str:
    """Fields after the header as they stand in the message, without what cannot stand there."""
    return "".join([f"{tag}={value}{SOH}" for tag, value in values])


def frame(
    msg_type: str,
    sequence: int,
    sender: str,
    target: str,
    time_ns: int,
    body: str,
    *,
    original_ns: int = 0,
) -> bytes:
    """As `encode`, of a body that `body_text` made."""
    dup = f"43=Y{SOH}" if original_ns else ""
    first = f"122={utc_text(original_ns)}{SOH}" if original_ns else ""
    inside = (
        f"35={msg_type}{SOH}49={sender}{SOH}56={target}{SOH}34={sequence}{SOH}{dup}"
        f"52={utc_text(time_ns)}{SOH}{first}{body}"
    ).encode("ascii")
    data = b"%b%d\x01%b" % (PREFIX, len(inside), inside)
    return b"%b10=%03d\x01" % (data, sum(data) & 255)


def plain(text: str) -> str:
    """A text that may stand in a field: printable ASCII, at most 500 characters, never empty.

    A path that it sends the reader to is said to be of REST, another door than this one.
    """
    said = text.replace("GET /", "REST GET /")[:500]
    known = "".join([char if " " <= char <= "~" else "?" for char in said])
    return known or "?"


@lru_cache(maxsize=8)
def _day(days: int) -> str:
    return f"{dt.date.fromordinal(719_163 + days):%Y%m%d}"


def utc_text(time_ns: int) -> str:
    """Nanoseconds UTC as `YYYYMMDD-HH:MM:SS.mmm`, cut to the millisecond."""
    seconds, rest = divmod(time_ns, _SECOND)
    days, second = divmod(seconds, 86_400)
    hour, second = divmod(second, 3_600)
    minute, second = divmod(second, 60)
    return f"{_day(days)}-{hour:02}:{minute:02}:{second:02}.{rest // 1_000_000:03}"


@lru_cache(maxsize=8)
def _days(text: str) -> int:
    try:
        return dt.date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal() - 719_163
    except ValueError:
        return -1


def utc_ns(text: str) -> int:
    """The opposite of `utc_text`, down to the nanosecond; -1 for no time of a real day."""
    if not CHECKS["UTCTIMESTAMP"](text):
        return -1
    days = _days(text[:8])
    if days < 0:
        return -1
    seconds = int(text[9:11]) * 3_600 + int(text[12:14]) * 60 + int(text[15:17])
    return (days * 86_400 + seconds) * _SECOND + int(text[18:].ljust(9, "0"))
