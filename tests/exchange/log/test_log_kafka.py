"""The Kafka log against a broker that dies, a producer in doubt, and topics others cut."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.admin import (
    AIOKafkaAdminClient,
    RecordsToDelete,
)
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition

from deploy.local.kafka import KafkaServer
from exchange.log import kafka_reader
from exchange.log.kafka import KafkaLog
from exchange.log.kafka_producer import REQUEST_BYTES_MAX
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
    UnknownPartitionError,
)
from tests.exchange.log.test_log_conformance import read_all

MakeKafka = Callable[..., KafkaServer]


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "aiokafka")


@pytest.fixture
async def log(kafka: KafkaServer) -> AsyncIterator[KafkaLog]:
    made = KafkaLog(kafka.bootstrap)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def partition(log: KafkaLog) -> Partition:
    made = Partition(f"k{uuid4().hex[:12]}.orders")
    await log.create([made])
    return made


async def in_thread(call: Callable[[], object]) -> None:
    await asyncio.get_running_loop().run_in_executor(None, call)


async def test_kill_9_of_appender_and_broker_loses_nothing_acknowledged(
    own_kafka: MakeKafka, start_appender: Callable[..., Any]
) -> None:
    server = own_kafka()
    orders = Partition("orders")
    acknowledged: dict[int, bytes] = {}
    for run, pause_s in enumerate((0.13, 0.31)):
        appender = await start_appender(f"kafka:{server.bootstrap}", orders, f"run{run}")
        async with asyncio.timeout(60):
            await appender.has_acknowledged(100)
        await asyncio.sleep(pause_s)
        if run:
            server.kill()
        await appender.kill()
        assert not acknowledged.keys() & appender.acknowledged.keys()
        acknowledged |= appender.acknowledged
    await in_thread(server.start)
    log = KafkaLog(server.bootstrap)
    await log.start()
    end = await log.end(orders)
    found = {record.offset: record.value for record in await read_all(log, orders, 0, end)}
    await log.close()
    assert list(found) == list(range(end))
    assert {offset: found[offset] for offset in acknowledged} == acknowledged


@pytest.mark.parametrize("outage_s", [0, 11])  # 11: longer than an append may take
async def test_outage_of_the_broker_is_survived(own_kafka: MakeKafka, outage_s: float) -> None:
    server = own_kafka()
    log = KafkaLog(server.bootstrap)
    await log.start()
    orders = Partition("orders")
    await log.create([orders])
    outcomes: dict[bytes, object] = {}
    seen: list[tuple[int, bytes]] = []
    stop = asyncio.Event()

    async def append(name: int) -> None:
        number = 0
        while not stop.is_set():
            value = b"%d:%d" % (name, number)
            try:
                outcomes[value] = (await log.append(orders, [value]))[0]
            except LogError as error:
                outcomes[value] = error
                await asyncio.sleep(0.2)
            number += 1
            await asyncio.sleep(0.002)

    async def read() -> None:
        reader = await log.open_reader(orders, 0)
        while not stop.is_set() or reader.position < await log.end(orders):
            seen.extend((r.offset, r.value) for r in await reader.read(wait_s=0.5))

    tasks = [asyncio.create_task(work) for work in (read(), *(append(n) for n in range(4)))]
    await asyncio.sleep(1)
    server.kill()
    await asyncio.sleep(outage_s)
    await in_thread(server.start)
    back = len(seen)
    async with asyncio.timeout(40):
        while len(seen) < back + 50:
            await asyncio.sleep(0.1)
    stop.set()
    async with asyncio.timeout(30):
        await asyncio.gather(*tasks)
    await log.close()
    assert [offset for offset, _ in seen] == list(range(len(seen)))
    values = [value for _, value in seen]
    assert len(set(values)) == len(values), "a value was appended twice"
    for value, outcome in outcomes.items():
        if isinstance(outcome, int):
            assert seen[outcome] == (outcome, value)
        elif isinstance(outcome, LogUnavailableError):
            assert value not in values
        else:
            assert isinstance(outcome, AppendUncertainError)
    if outage_s:
        assert any(isinstance(outcome, LogError) for outcome in outcomes.values())


async def test_silent_broker_leaves_the_outcome_uncertain_and_final(
    own_kafka: MakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped (not dead) broker: after the deadline nothing of the call may land later."""
    monkeypatch.setattr("exchange.log.kafka_producer.APPEND_TIMEOUT_S", 2)
    server = own_kafka(settings={"broker.session.timeout.ms": "60000"})
    log = KafkaLog(server.bootstrap)
    await log.start()
    orders = Partition("orders")
    await log.create([orders])
    assert await log.append(orders, [b"before"]) == [0]
    assert server._process is not None
    server._process.send_signal(19)  # SIGSTOP
    calls = [asyncio.create_task(log.append(orders, [b"%d" % n])) for n in range(8)]
    await asyncio.sleep(0.3)
    late = [asyncio.create_task(log.append(orders, [b"late %d" % n])) for n in range(8)]
    done = await asyncio.gather(*calls, *late, return_exceptions=True)
    assert all(isinstance(error, AppendUncertainError | LogUnavailableError) for error in done)
    assert any(isinstance(error, AppendUncertainError) for error in done)
    server._process.send_signal(18)  # SIGCONT
    async with asyncio.timeout(30):
        while True:
            try:
                (offset,) = await log.append(orders, [b"after"])
                break
            except LogUnavailableError:
                await asyncio.sleep(0.1)
    values = [record.value for record in await read_all(log, orders, 0, offset + 1)]
    # What was on the wire may be there; what still waited behind it never comes.
    assert values[0] == b"before"
    assert not [value for value in values if value.startswith(b"late")]
    await asyncio.sleep(0.5)
    assert await log.end(orders) == offset + 1
    await log.close()


async def test_doubt_about_one_producer_makes_another(log: KafkaLog, partition: Partition) -> None:
    assert await log.append(partition, [b"a"]) == [0]
    producer = log._producer._producer
    assert producer is not None
    # The broker has forgotten nothing, but the producer miscounts, as after a lost batch.
    sequence = producer._txn_manager._sequence_numbers
    sequence[TopicPartition(*partition)] += 5
    with pytest.raises(AppendUncertainError, match="OutOfOrderSequence"):
        await log.append(partition, [b"b"])
    assert await log.append(partition, [b"c"]) == [1]
    assert log._producer.made == 2
    records = await read_all(log, partition, 0, 2)
    assert [record.value for record in records] == [b"a", b"c"]


async def test_producer_is_made_anew_when_old_and_nobody_notices(kafka: KafkaServer) -> None:
    log = KafkaLog(kafka.bootstrap, producer_age_s_max=0.2)
    await log.start()
    partition = Partition(f"k{uuid4().hex[:12]}.orders")
    await log.create([partition])
    offsets: list[int] = []
    async with asyncio.timeout(60):
        while log._producer.made < 4:
            calls = [log.append(partition, [b"%d" % n]) for n in range(20)]
            offsets += [found[0] for found in await asyncio.gather(*calls)]
    await log.close()
    assert offsets == list(range(len(offsets)))


async def test_no_broker_is_said_with_its_address() -> None:
    log = KafkaLog("127.0.0.1:1")
    with pytest.raises(LogUnavailableError, match=r"Kafka at 127\.0\.0\.1:1"):
        await log.start()
    with pytest.raises(LogUnavailableError):
        await log.append(Partition("orders"), [b"x"])
    await log.close()


async def test_records_cut_by_retention_stop_the_reader(
    kafka: KafkaServer, log: KafkaLog, partition: Partition
) -> None:
    await log.append(partition, [b"%d" % n for n in range(10)])
    reader = await log.open_reader(partition, 2)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(*partition): RecordsToDelete(before_offset=6)})
    await admin.close()
    assert (await log.begin(partition), await log.end(partition)) == (6, 10)
    late = await log.open_reader(partition, 3)
    with pytest.raises(LogError, match=r"begins at 6 now, records 3 to 5 are gone"):
        await late.read(wait_s=10)
    with pytest.raises(LogError, match="records 3 to 5 are gone"):
        await late.read(wait_s=10)
    assert late.position == 3
    assert [r.offset for r in await (await log.open_reader(partition, 6)).read(wait_s=10)]
    await reader.close()


async def test_markers_of_foreign_transactions_stop_the_reader(
    kafka: KafkaServer, log: KafkaLog, partition: Partition
) -> None:
    from aiokafka import AIOKafkaProducer

    foreign = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=partition.topic)
    await foreign.start()
    async with foreign.transaction():
        await foreign.send_and_wait(partition.topic, b"foreign", partition=0)
    await foreign.stop()
    while await log.end(partition) < 2:  # the marker comes after the answer
        await asyncio.sleep(0.01)
    assert await log.append(partition, [b"ours"]) == [2]
    for records_max in (1, 100):
        reader = await log.open_reader(partition, 0)
        (record,) = await reader.read(records_max, wait_s=10)
        assert record.value == b"foreign"
        with pytest.raises(LogError, match="offset 2 came where 1 was due"):
            await reader.read(records_max, wait_s=10)
        assert reader.position == 1


async def test_silent_consumer_is_made_anew(
    log: KafkaLog, partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_reader, "READER_SILENCE_S_MAX", 0.5)
    reader = await log.open_reader(partition, 0)
    await log.append(partition, [b"a"])
    assert [record.value for record in await reader.read(wait_s=10)] == [b"a"]
    reader._consumer._fetcher._fetch_task.cancel()  # type: ignore[attr-defined]
    await log.append(partition, [b"b"])
    async with asyncio.timeout(20):
        while not (records := await reader.read(wait_s=0.2)):
            pass
    assert [(record.offset, record.value) for record in records] == [(1, b"b")]


async def test_who_gives_up_while_connecting_leaves_no_connection_open(
    kafka: KafkaServer, log: KafkaLog, partition: Partition
) -> None:
    for ms in range(0, 24, 2):
        other = KafkaLog(kafka.bootstrap)
        attempts: tuple[Coroutine[Any, Any, object], ...] = (
            log.open_reader(partition, 0), other.start()
        )  # fmt: skip
        for attempt in attempts:
            task = asyncio.create_task(attempt)
            await asyncio.sleep(ms / 1000)
            task.cancel()
            await asyncio.wait([task])
        await other.close()
    gc.collect()  # a connection that nobody closed says so, which fails the test


async def test_a_connection_that_ends_while_it_is_written_to_is_only_a_lost_one(
    log: KafkaLog, partition: Partition, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop's word for it is a RuntimeError, which is none of the client's own errors."""
    reader = await log.open_reader(partition, 0)

    async def ends(*_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")

    monkeypatch.setattr(await log._offsets_client(), "beginning_offsets", ends)
    with pytest.raises(LogUnavailableError, match="unable to perform"):
        await log.end(partition)
    assert await log.end(partition) == 0
    monkeypatch.setattr(reader._consumer, "getmany", ends)
    monkeypatch.setattr(log._producer._producer, "send", ends)
    with pytest.raises(LogUnavailableError, match="nothing was sent"):
        await log.append(partition, [b"a"])
    assert await log.append(partition, [b"b"]) == [0]
    async with asyncio.timeout(20):
        while not (records := await reader.read(wait_s=0.2)):
            pass
    assert [record.value for record in records] == [b"b"]


async def test_topics_are_made_to_keep_everything(kafka: KafkaServer, partition: Partition) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    (reply,) = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, partition.topic)]
    )
    await admin.close()
    found = {entry[0]: entry[1] for entry in reply.resources[0][4]}
    assert {
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(REQUEST_BYTES_MAX),
        "compression.type": "uncompressed",
        "min.insync.replicas": "1",
    }.items() <= found.items()


async def test_replication_the_cluster_cannot_give_is_said(kafka: KafkaServer) -> None:
    log = KafkaLog(kafka.bootstrap, replication=3, min_insync=2)
    await log.start()
    with pytest.raises(LogError, match=r"cannot be made: InvalidReplicationFactorError.*1"):
        await log.create([Partition(f"k{uuid4().hex[:12]}.orders")])
    await log.close()


async def test_asking_makes_no_topic_where_brokers_make_them_by_themselves(
    own_kafka: MakeKafka,
) -> None:
    server = own_kafka(settings={"auto.create.topics.enable": "true"})
    log = KafkaLog(server.bootstrap)
    await log.start()
    for _ in range(2):
        for call in (
            log.append(Partition("nobody"), [b"x"]),
            log.end(Partition("nobody")),
            log.open_reader(Partition("nobody"), 0),
        ):
            with pytest.raises(UnknownPartitionError):
                await call
    assert "nobody" not in await log._describe()
    await log.close()
