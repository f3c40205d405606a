"""What the engine computed and does not know to stand on `events` yet, in order and bounded."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from exchange.messages.frames import HEADER_SIZE
from matching.layout import MAGIC, VERSION, FrameKind

# The largest output of one record: every resting order of a full engine filled in one sweep.
RECORD_PARTS_MAX = 2_048

_HEAD = struct.Struct("<IHBBIIqq")  # magic, version, kind, last, count, part, time, origin
_EPOCH_AT = 40  # the only four bytes in which two publishers may differ
_EPOCH_END = 44


class HistoryMismatchError(Exception):
    """What stands on the log is not what the engine computes from it.

    The message names the record. The engine must stop: the log was altered, belongs to another
    venue, or two builds of the engine differ.
    """


class Part(NamedTuple):
    """One record to be published: part `part` of the output of the record at `input_offset`."""

    input_offset: int
    part: int
    is_last: bool
    value: bytes
    computed_ns: int  # monotonic


class Outbox:
    """A bounded queue of parts; the first is the next one expected on `events`."""

    def __init__(self, next_input: int, *, parts_max: int, bytes_max: int) -> None:
        self._parts: deque[Part] = deque(maxlen=parts_max + RECORD_PARTS_MAX)
        self._parts_max = parts_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._expected = (next_input, 0)

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def expected(self) -> tuple[int, int]:
        """(input offset, part) of the next record that `events` lacks. O(1)."""
        return self._expected

    @property
    def is_full(self) -> bool:
        """Whether to wait before computing more. O(1)."""
        return len(self._parts) >= self._parts_max or self._bytes >= self._bytes_max

    @property
    def oldest_ns(self) -> int | None:
        """When the first part was computed (monotonic ns), None when nothing waits. O(1)."""
        return self._parts[0].computed_ns if self._parts else None

    def skip(self, input_offset: int, first: int) -> None:
        """What stands before part `first` of a record's output is known to be on `events`. O(1)."""
        self._expected = (input_offset, first)

    def add(self, input_offset: int, values: Sequence[bytes], now_ns: int, first: int = 0) -> None:
        """The parts of the next record's output, from part `first` on. O(parts)."""
        if len(self._parts) + len(values) > self._parts_max + RECORD_PARTS_MAX:
            raise OverflowError(f"input {input_offset}: {len(values)} parts exceed the outbox")
        last = first + len(values) - 1
        for number, value in enumerate(values, first):
            self._parts.append(Part(input_offset, number, number == last, value, now_ns))
            self._bytes += len(value)

    def first(self, parts_max: int, bytes_max: int) -> list[Part]:
        """The parts to publish next, at least one if there is any; they stay. O(parts given)."""
        chosen: list[Part] = []
        size = 0
        for part in self._parts:
            size += len(part.value)
            if chosen and (len(chosen) == parts_max or size > bytes_max):
                break
            chosen.append(part)
        return chosen

    def pop(self) -> Part:
        """Takes away the first part: it stands on `events`. O(1)."""
        part = self._parts.popleft()
        self._bytes -= len(part.value)
        self._expected = (
            (part.input_offset + 1, 0) if part.is_last else (part.input_offset, part.part + 1)
        )
        return part

    def confirm(self, offset: int, value: bytes) -> Part | None:
        """Compares the record at `offset` of `events` with the first part, and takes that away.

        None if the record repeats what is known. Raises HistoryMismatchError for any difference
        but the epoch, and for a gap. The caller has computed everything up to the record. O(bytes).
        """
        place = place_of(offset, value)
        if place < self._expected:
            return None
        if place > self._expected or not self._parts:
            raise HistoryMismatchError(
                f"events record {offset} answers input {place[0]} part {place[1]}, but input "
                f"{self._expected[0]} part {self._expected[1]} was expected: records are missing"
            )
        part = self._parts[0]
        if without_epoch(part.value) != without_epoch(value):
            raise HistoryMismatchError(
                f"events record {offset} (input {place[0]} part {place[1]}) is not what this "
                "engine computes from `orders`: altered, another history, or another build"
            )
        return self.pop()


def place_of(offset: int, value: bytes) -> tuple[int, int]:
    """(input offset, part) which a record of `events` answers; HistoryMismatchError if no frame."""
    if len(value) >= HEADER_SIZE:
        magic, version, kind, _, _, part, _, origin = _HEAD.unpack_from(value)
        if (magic, version, kind) == (MAGIC, VERSION, FrameKind.EVENTS):
            return origin, part
    raise HistoryMismatchError(f"events record {offset} is not a frame of events")


def without_epoch(value: bytes) -> tuple[bytes, bytes]:
    """What two publishers of one part must agree on."""
    return value[:_EPOCH_AT], value[_EPOCH_END:]


def with_epoch(value: bytes, epoch: int) -> bytes:
    """The part with the epoch of its publisher."""
    stamp = epoch.to_bytes(_EPOCH_END - _EPOCH_AT, "little")
    if value[_EPOCH_AT:_EPOCH_END] == stamp:
        return value
    return value[:_EPOCH_AT] + stamp + value[_EPOCH_END:]
