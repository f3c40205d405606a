"""Publishing numbered records in order, exactly once for whoever reads them.

Settlement and registry commit their records to an outbox table in the transaction that made them,
and publish after it. What the topic already has is found from its last record; a record that goes
out twice after all (an uncertain append, two processes at once) is harmless, because readers accept
the next number only and drop lower ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec
import structlog

from exchange.fault_points import reached
from exchange.log.protocol import AppendUncertainError, Log, LogUnavailableError, Partition
from exchange.settings import APPEND_TIMEOUT_S, OUTBOX_BYTES_MAX, RETRY_PAUSE_S

NumberedValue = tuple[int, bytes]
logger = structlog.get_logger(__name__)


class Numbered(msgspec.Struct, frozen=True, array_like=True):
    """How every record of `settlements` and `registry` begins."""

    version: int
    number: int


class OutboxGapError(Exception):
    """Records are neither on the topic nor in the outbox: the books must be rebuilt."""


def number_of(value: bytes) -> int:
    """The number of a record of `settlements` or `registry`. O(1) but for the scan of its items."""
    return msgspec.msgpack.decode(value, type=Numbered).number


class NumberedTopic:
    """One partition of `settlements` or `registry` as its writer sees it.

    `published` is the number of the first record not known to be on the topic.
    """

    def __init__(self, log: Log, partition: Partition, published: int = 0) -> None:
        self._log = log
        self._partition = partition
        self.published = published

    async def look(self) -> None:
        """Raises `published` to what the topic's last record says; LogUnavailableError."""
        end = await self._log.end(self._partition)
        if end == 0:
            return
        reader = await self._log.open_reader(self._partition, end - 1)
        try:
            records = await reader.read(1, APPEND_TIMEOUT_S)
        finally:
            await reader.close()
        if not records:
            raise LogUnavailableError(
                f"{self._partition.topic}-{self._partition.number}: record {end - 1} cannot be read"
            )
        self.published = max(self.published, number_of(records[0].value) + 1)

    async def publish(self, values: Sequence[NumberedValue], stop: asyncio.Event) -> None:
        """Appends what is not there yet, in order; tries again until `stop` is set.

        Raises OutboxGapError when a number between is missing.
        """
        while not stop.is_set():
            waiting = [pair for pair in values if pair[0] >= self.published]
            if not waiting:
                return
            if waiting[0][0] != self.published:
                raise OutboxGapError(
                    f"{self._partition.topic}-{self._partition.number}: record {self.published} "
                    f"is neither there nor in the outbox, which begins at {waiting[0][0]}"
                )
            try:
                for chunk in chunks(waiting):
                    reached("outbox.append.before")
                    await self._log.append(self._partition, [value for _, value in chunk])
                    reached("outbox.append.after")
                    self.published = chunk[-1][0] + 1
            except (LogUnavailableError, AppendUncertainError) as error:
                logger.warning("publish failed", topic=self._partition.topic, error=str(error))
                await pause(stop)
                await self._look_again(stop)

    async def _look_again(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.look()
            except LogUnavailableError:
                await pause(stop)
            else:
                return


def chunks(values: Sequence[NumberedValue]) -> Iterator[list[NumberedValue]]:
    """Runs of values of at most OUTBOX_BYTES_MAX together (at least one each)."""
    chunk: list[NumberedValue] = []
    size = 0
    for pair in values:
        if chunk and size + len(pair[1]) > OUTBOX_BYTES_MAX:
            yield chunk
            chunk, size = [], 0
        chunk.append(pair)
        size += len(pair[1])
    if chunk:
        yield chunk


async def pause(stop: asyncio.Event) -> None:
    """Waits RETRY_PAUSE_S, or less when `stop` is set."""
    try:
        await asyncio.wait_for(stop.wait(), RETRY_PAUSE_S)
    except TimeoutError:
        return
