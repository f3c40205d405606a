"""The log on Apache Kafka: what a venue runs, and what scales past one machine.

No groups, no transactions, no compression: one supervised producer appends
(`kafka_producer.py`), each reader has a consumer of its own (`kafka_reader.py`), and this module
makes topics and tells their bounds. Offsets are dense because no writer uses transactions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import (
    InvalidPartitionsError,
    NoError,
    TopicAlreadyExistsError,
    for_code,
)

from exchange.log.kafka_access import PLAIN, KafkaAccess
from exchange.log.kafka_producer import REQUEST_BYTES_MAX, RETRY_S, SupervisedProducer
from exchange.log.kafka_reader import AWAY, KafkaReader, start_client, stop_consumer
from exchange.log.protocol import (
    LogError,
    LogUnavailableError,
    Partition,
    Reader,
    UnknownPartitionError,
    check_values,
)
from exchange.settings import APPEND_TIMEOUT_S, PRODUCER_AGE_S_MAX

Result = TypeVar("Result")


class KafkaLog:
    """`Log` over the cluster at `bootstrap` (`HOST:PORT[,HOST:PORT]`).

    Without `writes` it has no producer, for which a right is needed, and appends nothing.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        access: KafkaAccess = PLAIN,
        replication: int = 1,
        min_insync: int = 1,
        producer_age_s_max: float = PRODUCER_AGE_S_MAX,
        writes: bool = True,
    ) -> None:
        self._bootstrap = bootstrap
        self._writes = writes
        self._access = access
        self._replication = replication
        self._topic_configs = {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "min.insync.replicas": str(min_insync),
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(REQUEST_BYTES_MAX),
            # The broker unpacks what others write, so that a reader's memory has a bound.
            "compression.type": "uncompressed",
            "unclean.leader.election.enable": "false",
        }
        self._producer = SupervisedProducer(
            bootstrap, self._require, access=access, age_s_max=producer_age_s_max
        )
        self._admin: AIOKafkaAdminClient | None = None
        self._offsets: AIOKafkaConsumer | None = None  # asks for bounds, reads nothing
        self._connecting = asyncio.Lock()
        self._known: dict[str, int] = {}  # topic: partitions it has
        self._readers: set[KafkaReader] = set()
        self._is_open = False

    async def start(self) -> None:
        """Connects; LogUnavailableError names the address, and why we are not let in."""
        self._is_open = True
        try:
            if self._writes:
                await self._producer.start()
            else:
                self._known = await self._ask(self._describe)
        except LogUnavailableError as error:
            self._is_open = False
            fault = await self._access.fault(self._bootstrap)
            raise LogUnavailableError(f"Kafka at {fault}" if fault else str(error)) from error

    async def close(self) -> None:
        """Waits for what is in flight and disconnects; idempotent."""
        self._is_open = False
        await self._producer.close()
        for reader in list(self._readers):
            await reader.close()
        self._readers.clear()
        await self._drop_clients()

    async def create(self, partitions: Iterable[Partition]) -> None:
        """Makes topics and adds partitions to them where they are missing; idempotent."""
        counts: dict[str, int] = {}
        for topic, number in partitions:
            counts[topic] = max(counts.get(topic, 0), number + 1)
        deadline = asyncio.get_running_loop().time() + 3 * APPEND_TIMEOUT_S
        while True:
            have = await self._ask(self._describe)
            missing = {topic: count for topic, count in counts.items() if topic not in have}
            small = {t: n for t, n in counts.items() if t in have and have[t] < n}
            if not missing and not small:
                self._known = have
                return
            if asyncio.get_running_loop().time() > deadline:
                raise LogUnavailableError(
                    f"Kafka at {self._bootstrap}: topics not ready in {3 * APPEND_TIMEOUT_S} s: "
                    f"{', '.join([*missing, *small])}"
                )
            await self._ask(partial(self._make, missing, small))
            await asyncio.sleep(RETRY_S)

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends durably, in the given order, and returns the offset of each value."""
        check_values(partition, values)
        if not self._writes:
            raise LogError(f"Kafka at {self._bootstrap}: opened for reading alone")
        if not values:
            return []
        return await self._producer.append(partition, values)

    async def begin(self, partition: Partition) -> int:
        """The first offset still held."""
        return (await self._bounds(partition))[0]

    async def end(self, partition: Partition) -> int:
        """The offset the next append will have."""
        return (await self._bounds(partition))[1]

    async def open_reader(self, partition: Partition, offset: int) -> Reader:
        """A reader whose first record is the one at `offset` (which may not exist yet)."""
        if offset < 0:
            raise LogError(f"{partition.topic}/{partition.number}: no offset {offset}")
        await self._require(partition)
        reader = KafkaReader(self._bootstrap, partition, offset, self._bounds, self._access)
        await reader.open()
        self._readers = {reader for reader in self._readers if not reader.is_closed}
        self._readers.add(reader)
        return reader

    def _has(self, partition: Partition) -> bool:
        return 0 <= partition.number < self._known.get(partition.topic, 0)

    async def _require(self, partition: Partition) -> None:
        # All topics are listed: to ask for one by name would make it on some brokers.
        if not self._has(partition):
            self._known = await self._ask(self._describe)
        if not self._has(partition):
            raise UnknownPartitionError(
                f"Kafka at {self._bootstrap}: {partition.topic}/{partition.number} was never "
                "created"
            )

    async def _bounds(self, partition: Partition) -> tuple[int, int]:
        await self._require(partition)
        of = TopicPartition(partition.topic, partition.number)

        async def ask() -> tuple[int, int]:
            consumer = await self._offsets_client()
            begin = await consumer.beginning_offsets([of])
            end = await consumer.end_offsets([of])
            return int(begin[of]), int(end[of])

        return await self._ask(ask)

    async def _ask(self, question: Callable[[], Awaitable[Result]]) -> Result:
        """One answer of the cluster; LogUnavailableError when there is none in time."""
        try:
            async with asyncio.timeout(2 * APPEND_TIMEOUT_S):
                return await question()
        except AWAY as error:
            await self._drop_clients()
            raise LogUnavailableError(f"Kafka at {self._bootstrap}: {error!r}") from error

    async def _describe(self) -> dict[str, int]:
        """Partitions of each topic, as far as all lower ones have a leader, too."""
        admin = await self._admin_client()
        counts: dict[str, int] = {}
        for topic in await admin.describe_topics():
            led = {p["partition"] for p in topic["partitions"] if p["leader"] >= 0}
            counts[topic["topic"]] = next(n for n in range(len(led) + 1) if n not in led)
        return counts

    async def _make(self, missing: dict[str, int], small: dict[str, int]) -> None:
        admin = await self._admin_client()
        if missing:
            reply = await admin.create_topics(
                [
                    NewTopic(topic, count, self._replication, topic_configs=self._topic_configs)
                    for topic, count in missing.items()
                ]
            )
            for topic, code, *text in reply.topic_errors:
                # Another process may have been faster.
                if for_code(code) not in (NoError, TopicAlreadyExistsError):
                    raise LogError(
                        f"Kafka at {self._bootstrap}: topic {topic} cannot be made: "
                        f"{for_code(code).__name__} {text[0] if text else ''}"
                    )
        for topic, count in small.items():
            try:
                await admin.create_partitions({topic: NewPartitions(count)})
            except InvalidPartitionsError:  # it has as many by now, or they get leaders
                continue

    async def _admin_client(self) -> AIOKafkaAdminClient:
        async with self._connecting:
            self._check_open()
            if self._admin is None:
                admin = AIOKafkaAdminClient(
                    bootstrap_servers=self._bootstrap.split(","),
                    request_timeout_ms=APPEND_TIMEOUT_S * 1000,
                    **self._access.options(),
                )
                try:
                    await start_client(admin)
                except BaseException:
                    await admin.close()
                    raise
                self._admin = admin
            return self._admin

    async def _offsets_client(self) -> AIOKafkaConsumer:
        async with self._connecting:
            self._check_open()
            if self._offsets is None:
                consumer = AIOKafkaConsumer(
                    bootstrap_servers=self._bootstrap.split(","),
                    group_id=None,
                    enable_auto_commit=False,
                    request_timeout_ms=APPEND_TIMEOUT_S * 1000,
                    **self._access.options(),
                )
                try:
                    await start_client(consumer)
                except BaseException:
                    await stop_consumer(consumer)
                    raise
                self._offsets = consumer
            return self._offsets

    def _check_open(self) -> None:
        if not self._is_open:
            raise LogUnavailableError(f"Kafka at {self._bootstrap}: the log is not open")

    async def _drop_clients(self) -> None:
        admin, self._admin = self._admin, None
        offsets, self._offsets = self._offsets, None
        if offsets is not None:
            await stop_consumer(offsets)
        if admin is not None:
            with contextlib.suppress(*AWAY):
                await admin.close()
