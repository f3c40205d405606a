"""An idempotent producer under supervision: one uncertain answer and it is made anew.

aiokafka's producer keeps order and writes nothing twice as long as all goes well, but it never
gives up a batch while the leader is known, stays broken after `OutOfOrderSequenceNumber` and
`UnknownProducerId`, and wraps its sequence numbers wrongly after 2**31 records. So each append
has a deadline of its own; after any failure the producer is cut off from the brokers, its callers
hear `AppendUncertainError`, and a new one with a new producer id takes over; also once a day.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import RecordMetadata

from exchange.log.kafka_access import PLAIN, KafkaAccess
from exchange.log.kafka_reader import AWAY, start_client
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
)
from exchange.settings import APPEND_TIMEOUT_S, PRODUCER_AGE_S_MAX, RECORD_BYTES_MAX

BATCH_OVERHEAD_BYTES = 64 << 10  # headers of a batch and of its records
REQUEST_BYTES_MAX = RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES
RETRY_S = 0.1
RETRY_S_MAX = 2.0
ABANDON_S_MAX = 2.0  # for a producer to let go; its connections are closed before

# With these answers the broker has surely taken nothing.
REFUSALS = (
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

logger = structlog.get_logger()


class SupervisedProducer:
    """Appends to the cluster at `bootstrap`; made anew when in doubt.

    `require` returns when a partition exists and raises UnknownPartitionError when it does not.
    """

    def __init__(
        self,
        bootstrap: str,
        require: Callable[[Partition], Awaitable[None]],
        *,
        access: KafkaAccess = PLAIN,
        age_s_max: float = PRODUCER_AGE_S_MAX,
    ) -> None:
        self._bootstrap = bootstrap
        self._require = require
        self._access = access
        self._age_s_max = age_s_max
        self._producer: AIOKafkaProducer | None = None
        self._usable = asyncio.Event()
        self._doubt = asyncio.Event()  # the producer in use must go
        self._idle = asyncio.Event()  # nothing is in flight
        self._idle.set()
        self._in_flight = 0
        self._turns: dict[Partition, asyncio.Lock] = {}  # calls to one partition keep their order
        self._supervisor: asyncio.Task[None] | None = None
        self.made = 0  # producers so far

    async def start(self) -> None:
        """Connects; LogUnavailableError names the address."""
        if self._supervisor is None:
            first = await self._make()
            self._supervisor = asyncio.create_task(self._supervise(first))
            await self._usable.wait()

    async def close(self) -> None:
        """Waits for what is in flight, at most APPEND_TIMEOUT_S, and disconnects; idempotent."""
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None:
            return
        while not supervisor.done():  # a cancellation may be lost: say it again
            supervisor.cancel()
            await asyncio.wait([supervisor], timeout=3 * ABANDON_S_MAX)
        producer, self._producer = self._producer, None
        self._usable.set()  # who waits for a producer hears that there is none
        if producer is not None:
            await self._retire(producer)

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Sends the values and returns their offsets once all replicas in sync have them.

        LogUnavailableError: nothing was sent. AppendUncertainError: the answer is unknown.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + APPEND_TIMEOUT_S
        turn = self._turns.setdefault(partition, asyncio.Lock())
        sent: list[asyncio.Future[RecordMetadata]] = []
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout_at(deadline):
                async with turn:
                    await self._require(partition)
                    producer = await self._take()
                    await self._send(producer, partition, values, sent)
                await asyncio.wait(sent)
        except (*AWAY, LogUnavailableError) as error:
            self._distrust(producer, error)
            where = f"{partition.topic}/{partition.number} on {self._bootstrap}"
            if sent:
                raise AppendUncertainError(f"{where}: no answer: {error!r}") from error
            raise LogUnavailableError(f"{where}: nothing was sent: {error!r}") from error
        finally:
            if producer is not None:
                self._give_back()
        return self._offsets(producer, partition, sent)

    async def _send(
        self,
        producer: AIOKafkaProducer,
        partition: Partition,
        values: Sequence[bytes],
        sent: list[asyncio.Future[RecordMetadata]],
    ) -> None:
        # The producer does not look for partitions that were added after it had met the topic.
        while partition.number not in await producer.partitions_for(partition.topic):
            await producer.client.force_metadata_update()
            await asyncio.sleep(RETRY_S)
        for value in values:
            future = await producer.send(partition.topic, value, partition=partition.number)
            future.add_done_callback(_heard)
            sent.append(future)

    def _offsets(
        self,
        producer: AIOKafkaProducer,
        partition: Partition,
        sent: Sequence[asyncio.Future[RecordMetadata]],
    ) -> list[int]:
        errors = [error for future in sent if (error := future.exception()) is not None]
        where = f"{partition.topic}/{partition.number} on {self._bootstrap}"
        if errors:
            self._distrust(producer, errors[0])
            if len(errors) == len(sent) and all(isinstance(e, REFUSALS) for e in errors):
                raise LogError(f"{where}: the broker refused: {errors[0]!r}") from errors[0]
            raise AppendUncertainError(
                f"{where}: {len(errors)} of {len(sent)} records failed: {errors[0]!r}"
            ) from errors[0]
        offsets = [int(future.result().offset) for future in sent]
        # A repeat the broker has forgotten the offset of; and the promise of order, checked.
        if offsets[0] < 0 or any(b <= a for a, b in itertools.pairwise(offsets)):
            self._distrust(producer, KafkaError(f"offsets {offsets[:8]}"))
            raise AppendUncertainError(f"{where}: appended, but at which offsets is unknown")
        return offsets

    async def _take(self) -> AIOKafkaProducer:
        await self._usable.wait()
        if self._producer is None:
            raise LogUnavailableError("closed or not started")
        self._in_flight += 1
        self._idle.clear()
        return self._producer

    def _give_back(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def _distrust(self, producer: AIOKafkaProducer | None, error: BaseException) -> None:
        if producer is not None and producer is self._producer:
            logger.warning("producer in doubt", bootstrap=self._bootstrap, error=repr(error))
            self._producer = None
            self._usable.clear()
            self._doubt.set()

    async def _supervise(self, producer: AIOKafkaProducer) -> None:
        try:
            while True:
                self._doubt.clear()
                self._producer = producer
                self._usable.set()
                try:
                    async with asyncio.timeout(self._age_s_max):
                        await self._doubt.wait()
                except TimeoutError:
                    self._producer = None
                    self._usable.clear()
                    await self._retire(producer)
                else:
                    await self._abandon(producer)
                producer = await self._make_at_last()
        finally:
            if self._producer is not producer:  # interrupted while it let go
                await self._abandon(producer)

    async def _make_at_last(self) -> AIOKafkaProducer:
        pause_s = RETRY_S
        while True:
            try:
                return await self._make()
            except LogUnavailableError as error:
                logger.warning("no producer yet", error=str(error))
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_S_MAX)

    async def _make(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=REQUEST_BYTES_MAX,
            max_request_size=REQUEST_BYTES_MAX,
            request_timeout_ms=APPEND_TIMEOUT_S * 1000,
            **self._access.options(),
        )
        try:
            await start_client(producer)
        except BaseException as error:
            with contextlib.suppress(*AWAY):
                await producer.stop()
            if isinstance(error, AWAY):
                raise LogUnavailableError(f"Kafka at {self._bootstrap}: {error!r}") from error
            raise
        self.made += 1
        return producer

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        """Lets a sound producer finish, then stops it."""
        with contextlib.suppress(*AWAY):
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                await self._idle.wait()
                await producer.stop()
                return
        await self._abandon(producer)

    async def _abandon(self, producer: AIOKafkaProducer) -> None:
        """Cuts a producer off, so that nothing it holds can reach the log later.

        `stop` alone would first deliver what is pending, perhaps after the callers were told
        that the outcome is unknown and have read the log to find out. aiokafka has no public way
        to do this; its version is pinned and `tests/exchange/log` covers it.
        """
        task = producer._sender.sender_task
        if task is not None:
            task.cancel()
        for connection in list(producer.client._conns.values()):
            connection.close()
        try:
            for step in (producer.stop, producer.client.close):
                with contextlib.suppress(*AWAY):  # a task of its own may have met a reset
                    async with asyncio.timeout(ABANDON_S_MAX):
                        await step()
        finally:
            producer._message_accumulator.fail_all(KafkaError("the producer was abandoned"))


def _heard(future: asyncio.Future[RecordMetadata]) -> None:
    """Takes note of the outcome for callers that were cancelled."""
    if not future.cancelled():
        future.exception()
