"""One partition of Kafka read forward: assigned, never by group, nothing committed.

The place is the caller's (it stores position with effect). The consumer reconnects by itself;
where it fails or falls silent it is made anew at the same place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError

from exchange.log.kafka_access import PLAIN, KafkaAccess
from exchange.log.protocol import LogError, LogUnavailableError, Partition, Record
from exchange.settings import (
    APPEND_TIMEOUT_S,
    READ_BYTES_MAX,
    READ_RECORDS_MAX,
    READER_SILENCE_S_MAX,
)

# The client holds one answer in full, and its records one by one as they are read.
FETCH_BYTES_MAX = READ_BYTES_MAX // 4
RETRY_S = 0.05
BOUNDS_S_MAX = 1.0
STOP_S_MAX = 2.0

AWAY = (KafkaError, OSError, TimeoutError, RuntimeError)
"""What aiokafka says while the brokers are away.

RuntimeError is uvloop's, of a connection that was reset between two looks of the client at it.
"""

logger = structlog.get_logger()

Bounds = Callable[[Partition], Awaitable[tuple[int, int]]]


async def start_client(client: AIOKafkaConsumer | AIOKafkaProducer | AIOKafkaAdminClient) -> None:
    """Starts a client of aiokafka within APPEND_TIMEOUT_S; after an error it has to be stopped.

    aiokafka forgets the connection of a start that is cancelled, and nobody else knows it: so a
    start that the caller gives up has STOP_S_MAX to come to its end, where `stop` can close it.
    """
    starting = asyncio.create_task(client.start())
    try:
        async with asyncio.timeout(APPEND_TIMEOUT_S):
            await asyncio.shield(starting)
    except BaseException:
        await asyncio.wait([starting], timeout=STOP_S_MAX)
        if not starting.cancel() and not starting.cancelled():
            starting.exception()  # told by what is raised here
        raise


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stops a consumer whatever state it is in.

    aiokafka lets the cancellation of a fetch that waits for its next try out of `stop`, which
    would look like our own and leave the connections open: hence the task and the second step.
    """
    for step in (consumer.stop, consumer._client.close):
        stopping = asyncio.create_task(step())
        await asyncio.wait([stopping], timeout=STOP_S_MAX)
        if not stopping.done():
            stopping.cancel()
        elif not stopping.cancelled() and stopping.exception() is not None:
            logger.warning("consumer stopped badly", error=repr(stopping.exception()))


class KafkaReader:
    """Reads `partition` from `offset`; `bounds` tells the first offset held and the end."""

    def __init__(
        self,
        bootstrap: str,
        partition: Partition,
        offset: int,
        bounds: Bounds,
        access: KafkaAccess = PLAIN,
    ) -> None:
        self._bootstrap = bootstrap
        self._access = access
        self._partition = partition
        self._topic_partition = TopicPartition(partition.topic, partition.number)
        self._position = offset
        self._bounds = bounds
        self._consumer: AIOKafkaConsumer | None = None
        self._opening: asyncio.Task[AIOKafkaConsumer] | None = None
        self._heard_at = 0.0  # loop time of the last sign of life
        self._beyond_since: float | None = None  # loop time since when the log ends before us
        self._has_read = False
        self._failure: LogError | None = None
        self._is_closed = False

    @property
    def position(self) -> int:
        """The offset which `read` gives next."""
        return self._position

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._is_closed

    async def open(self) -> None:
        """Connects; LogUnavailableError names the address."""
        try:
            self._consumer = await self._connect()
        except AWAY as error:
            raise LogUnavailableError(f"Kafka at {self._bootstrap}: {error!r}") from error

    async def read(self, records_max: int = READ_RECORDS_MAX, wait_s: float = 1.0) -> list[Record]:
        """Up to `records_max` next records; [] if none came within `wait_s` seconds.

        While the brokers are away there are none. LogError when the next record is gone or the
        brokers do not let us read.
        """
        if self._is_closed:
            raise LogUnavailableError(f"reader of {self._partition}: is closed")
        records_max = min(max(records_max, 1), READ_RECORDS_MAX)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            if self._failure is not None:
                raise self._failure
            left_s = max(0.0, deadline - loop.time())
            try:
                records = await self._fetch(records_max, left_s)
                if records:
                    return records
                await self._break_silence(loop.time())
            except OffsetOutOfRangeError:
                await self._check_bounds(loop.time())
                await asyncio.sleep(min(RETRY_S, left_s))
            except TopicAuthorizationFailedError as error:
                self._failure = LogError(f"{self._where()}: the brokers do not let us read it")
                raise self._failure from error
            except AWAY as error:
                logger.warning("reader reconnects", partition=self._partition, error=repr(error))
                await self._disconnect()
                await asyncio.sleep(min(RETRY_S, left_s))
            if loop.time() >= deadline:
                return []

    async def close(self) -> None:
        """Disconnects; idempotent."""
        self._is_closed = True
        await self._disconnect()

    async def _fetch(self, records_max: int, left_s: float) -> list[Record]:
        consumer = await self._connected(left_s)
        if consumer is None:
            return []
        await asyncio.sleep(0)  # `getmany` need not suspend, and a caller may ask in a loop
        got = await consumer.getmany(
            self._topic_partition, timeout_ms=int(left_s * 1000), max_records=records_max
        )
        records = self._checked(got.get(self._topic_partition, ()))
        if records:
            self._position += len(records)
            self._has_read = True
            self._beyond_since = None
            self._heard_at = asyncio.get_running_loop().time()
        return records

    def _checked(self, records: Sequence[ConsumerRecord]) -> list[Record]:
        """The records up to a gap; a gap at once is raised, one behind them by the next read."""
        sound: list[Record] = []
        for expected, record in enumerate(records, self._position):
            if record.offset != expected:
                self._failure = LogError(
                    f"{self._where()}: offset {record.offset} came where {expected} was due: the "
                    "records between are gone (retention, truncation or a transaction's marker)"
                )
                if not sound:
                    raise self._failure
                break
            # An outsider's record may have no value; Kafka counts milliseconds.
            sound.append(Record(expected, record.timestamp * 1_000_000, record.value or b""))
        return sound

    async def _connected(self, left_s: float) -> AIOKafkaConsumer | None:
        """The consumer, or None when connecting takes longer; it goes on in the background."""
        if self._consumer is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._connect())
            done, _ = await asyncio.wait([self._opening], timeout=left_s)
            if not done:
                return None
            opening, self._opening = self._opening, None
            self._consumer = opening.result()
        return self._consumer

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap.split(","),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
            request_timeout_ms=APPEND_TIMEOUT_S * 1000,
            **self._access.options(),
        )
        try:
            await start_client(consumer)
            consumer.assign([self._topic_partition])
            consumer.seek(self._topic_partition, self._position)
        except BaseException:
            await stop_consumer(consumer)
            raise
        self._heard_at = asyncio.get_running_loop().time()
        return consumer

    async def _disconnect(self) -> None:
        opening, self._opening = self._opening, None
        consumer, self._consumer = self._consumer, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
            if not opening.cancelled() and opening.exception() is None:
                await stop_consumer(opening.result())
        if consumer is not None:
            await stop_consumer(consumer)

    async def _break_silence(self, now: float) -> None:
        """Makes the consumer anew when it says nothing although there are records."""
        if self._consumer is None or now - self._heard_at < READER_SILENCE_S_MAX:
            return
        self._heard_at = now
        try:
            async with asyncio.timeout(BOUNDS_S_MAX):
                _, end = await self._bounds(self._partition)
        except (LogError, TimeoutError):
            return  # the brokers are away: the consumer is trying, too
        if end > self._position:
            raise KafkaError(f"silent at {self._position} though the log ends at {end}")

    async def _check_bounds(self, now: float) -> None:
        """Finds out why the brokers have no record at our place; LogError when it is lost."""
        try:
            begin, end = await self._bounds(self._partition)
        except LogUnavailableError:
            return
        if self._position < begin:
            self._failure = LogError(
                f"{self._where()}: the log begins at {begin} now, records {self._position} to "
                f"{begin - 1} are gone: set its retention to -1 and restore them"
            )
        elif self._position > end and self._has_read:
            # A new leader may need a moment to know its own end.
            self._beyond_since = self._beyond_since or now
            if now - self._beyond_since > APPEND_TIMEOUT_S:
                self._failure = LogError(
                    f"{self._where()}: the log ends at {end}, but record {self._position - 1} was "
                    "read: the brokers have lost acknowledged records"
                )

    def _where(self) -> str:
        return f"{self._partition.topic}/{self._partition.number} on {self._bootstrap}"
