"""Making `marketdata` again from `events`, to compare it byte for byte with what was said."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from exchange import topics
from exchange.log.protocol import Log, LogError, Reader, Record
from exchange.marketdata.book import decode_record, encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import EventFollower
from exchange.messages.market_data import MarketDataRecord
from exchange.settings import APPEND_TIMEOUT_S, READ_RECORDS_MAX

SHOWN_MAX = 400  # characters of an item in a difference

Progress = Callable[[int, int], None]
"""Called with (records of `events` done, records in all), once a batch."""


class Remade(NamedTuple):
    """What the comparison found; sound when `difference` is empty."""

    records: int  # of `marketdata` that were compared
    repeats: int  # of these, that said again what was said
    unsaid: int  # follow from `events` and do not stand on `marketdata` yet
    inputs: int  # records of `events` read
    difference: str  # the first one


class _Expected:
    """Reads `events` on demand and gives the records that follow from them, encoded."""

    def __init__(self, reader: Reader, end: int, progress: Progress | None) -> None:
        self._reader, self._end, self._progress = reader, end, progress
        self._depth, self._follower = Depth(), EventFollower()
        self._records: deque[Record] = deque(maxlen=READ_RECORDS_MAX)

    @property
    def position(self) -> int:
        """Records of `events` that were applied. O(1)."""
        return self._reader.position - len(self._records)

    async def next(self) -> bytes | None:
        """The next record, None when `events` say no more; ChainBrokenError, LogError."""
        while self.position < self._end:
            if not self._records:
                await self._read()
            record = self._records.popleft()
            part = self._follower.accept(record.offset, record.value)
            change = None if part is None else self._depth.apply(part)
            if change is not None:
                return encode_record(change)
        return None

    async def _read(self) -> None:
        wanted = min(READ_RECORDS_MAX, self._end - self._reader.position)
        found = await self._reader.read(wanted, APPEND_TIMEOUT_S)
        if not found:
            raise LogError(f"events end at {self._reader.position}, not {self._end}")
        self._records.extend(found)
        if self._progress is not None:
            self._progress(self._reader.position, self._end)


async def remake(log: Log, partition: int, *, progress: Progress | None = None) -> Remade:
    """Computes `marketdata` of a market from `events` and compares every record. O(log).

    Stops at the first record that differs. Keeps eight bytes a record, to know those that say again
    what was said (two services at once, or an append whose answer was lost). Raises LogError, and
    ChainBrokenError when `events` are broken.
    """
    said, heard = topics.marketdata(partition), topics.events(partition)
    said_end, heard_end = await log.end(said), await log.end(heard)
    answers = await log.open_reader(said, 0)
    events = await log.open_reader(heard, 0)
    expected = _Expected(events, heard_end, progress)
    digests = array("Q")
    records = repeats = 0
    try:
        while answers.position < said_end:
            found = await answers.read(
                min(READ_RECORDS_MAX, said_end - answers.position), APPEND_TIMEOUT_S
            )
            if not found:
                raise LogError(f"marketdata ends at {answers.position}, not {said_end}")
            for record in found:
                number = _number(record.value)
                if 0 <= number < len(digests):
                    difference = _repeated(record, number, digests)
                    repeats += 1
                else:
                    difference = _compared(record, len(digests), await expected.next())
                    digests.append(_digest(record.value))
                if difference:
                    return Remade(records, repeats, 0, expected.position, difference)
                records += 1
        unsaid = 0
        while await expected.next() is not None:
            unsaid += 1
        return Remade(records, repeats, unsaid, expected.position, "")
    finally:
        await answers.close()
        await events.close()


def _number(value: bytes) -> int:
    try:
        return decode_record(value).number
    except msgspec.MsgspecError:
        return -1


def _digest(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "big")


def _repeated(record: Record, number: int, digests: array[int]) -> str:
    if digests[number] == _digest(record.value):
        return ""
    return f"marketdata record {record.offset} repeats number {number}, but otherwise"


def _compared(record: Record, number: int, expected: bytes | None) -> str:
    if record.value == expected:
        return ""
    head = f"marketdata record {record.offset} (number {number})"
    if expected is None:
        return f"{head}: events say no more"
    try:
        found = decode_record(record.value)
    except msgspec.MsgspecError as error:
        return f"{head} cannot be read: {error}"
    return f"{head}: {_first_difference(found, decode_record(expected))}"


def _first_difference(found: MarketDataRecord, wanted: MarketDataRecord) -> str:
    for name in ("version", "number", "input_offset"):
        one, other = getattr(found, name), getattr(wanted, name)
        if one != other:
            return f"{name} is {one}, events say {other}"
    for at, (one, other) in enumerate(zip(found.items, wanted.items, strict=False)):
        if one != other:
            return f"item {at} is {str(one)[:SHOWN_MAX]}, events say {str(other)[:SHOWN_MAX]}"
    if len(found.items) != len(wanted.items):
        return f"{len(found.items)} items, events say {len(wanted.items)}"
    return "the same in other bytes"
