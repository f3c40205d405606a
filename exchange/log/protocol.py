"""The ordered log: what every body of it promises.

A *partition* is an append-only sequence of records numbered 0, 1, 2, ... without gaps. An append
that returned is durable and is read by everyone, in the same order, at the same offsets. Three
bodies keep this protocol: Kafka (`kafka.py`), one SQLite file (`embedded.py`) and a seeded double
for tests (`simulated.py`); `tests/exchange/log/` holds the conformance suite all three pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple, Protocol

from exchange.settings import READ_RECORDS_MAX, RECORD_BYTES_MAX

READ_WAIT_S = 0.5
CUT_LOOKS = 20  # READ_WAIT_S apart, at the end of a log that is shorter than it was
EMPTY_READS_MAX = 60  # then the log does not give what it says it holds


class Partition(NamedTuple):
    """One ordered sequence: a topic's name and the partition's number."""

    topic: str
    number: int = 0


class Record(NamedTuple):
    """One record as read: its offset, append time (ns UTC) and bytes."""

    offset: int
    append_ns: int
    value: bytes


class LogError(Exception):
    """The log could not do what was asked; the message says what, where and what to do."""


class LogUnavailableError(LogError):
    """Nothing was appended or read; try again."""


class AppendUncertainError(LogError):
    """The log may or may not have taken the records: read to find out, or send again."""


class RecordTooLargeError(LogError):
    """A value is larger than `settings.RECORD_BYTES_MAX`; nothing of the call was appended."""


class UnknownPartitionError(LogError):
    """The partition was never created."""


def check_values(partition: Partition, values: Sequence[bytes]) -> int:
    """The bytes of all values; RecordTooLargeError names the first value over the limit."""
    for index, value in enumerate(values):
        if len(value) > RECORD_BYTES_MAX:
            raise RecordTooLargeError(
                f"{partition.topic}/{partition.number}: value {index} of {len(values)} has "
                f"{len(value)} bytes; a record has at most {RECORD_BYTES_MAX}"
            )
    return sum(map(len, values))


class Reader(Protocol):
    """Reads one partition forward from an offset, holding a bounded number of bytes."""

    @property
    def position(self) -> int:
        """The offset which `read` gives next."""

    async def read(self, records_max: int = ..., wait_s: float = ...) -> list[Record]:
        """Up to `records_max` next records, in order; [] if none came within `wait_s` seconds.

        Returns as soon as at least one record is there; never skips an offset.
        """

    async def close(self) -> None:
        """Releases what the reader holds; idempotent."""


class Log(Protocol):
    """The log as services see it. One object a process; safe for many tasks of one loop."""

    async def start(self) -> None:
        """Connects or opens; LogUnavailableError with the address or path."""

    async def close(self) -> None:
        """Flushes and releases; idempotent."""

    async def create(self, partitions: Iterable[Partition]) -> None:
        """Makes the partitions that do not exist yet; idempotent."""

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends durably, in the given order, and returns the offset of each value.

        Values of one call keep their order; other writers' records may lie between them. A value
        is appended at most once by one call.
        """

    async def begin(self, partition: Partition) -> int:
        """The first offset still held (0 unless retention cut the log)."""

    async def end(self, partition: Partition) -> int:
        """The offset the next append will have."""

    async def open_reader(self, partition: Partition, offset: int) -> Reader:
        """A reader whose first record is the one at `offset` (which may not exist yet)."""


async def end_behind(log: Log, partition: Partition, position: int) -> int:
    """The end of a partition of which the records below `position` were read.

    A new leader may need a moment to know its own end; then LogError says what is lost.
    """
    for _ in range(CUT_LOOKS):
        end = await log.end(partition)
        if end >= position:
            return end
        await asyncio.sleep(READ_WAIT_S)
    raise LogError(
        f"{partition.topic}/{partition.number}: the log ends at {end}, but record {position - 1} "
        "was read: acknowledged records are lost, restore them"
    )


async def read_at(log: Log, partition: Partition, begin: int, end: int) -> list[Record]:
    """The records from `begin` until `end`, as far as the log gives them. O(bytes)."""
    found: list[Record] = []
    if begin >= end:
        return found
    reader = await log.open_reader(partition, begin)
    try:
        for _ in range(EMPTY_READS_MAX):
            found += await reader.read(end - reader.position, READ_WAIT_S)
            if reader.position >= end:
                break
    finally:
        await reader.close()
    return found


async def records(log: Log, partition: Partition, begin: int, end: int) -> AsyncIterator[Record]:
    """Records begin to end - 1. O(end - begin). LogError when the log does not give one."""
    if begin >= end:
        return
    reader = await log.open_reader(partition, begin)
    try:
        empty = 0
        while reader.position < end:
            rows = await reader.read(min(READ_RECORDS_MAX, end - reader.position), READ_WAIT_S)
            for row in rows:
                yield row
            empty = 0 if rows else empty + 1
            if empty == EMPTY_READS_MAX:
                raise LogUnavailableError(f"{partition.topic} record {reader.position} is not read")
    finally:
        await reader.close()
