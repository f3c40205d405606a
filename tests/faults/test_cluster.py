"""Three brokers, as a venue has: one lost, two lost, and all of them with a shorter log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient

from deploy.local.kafka import KafkaServer, build_class_archive, kafka_cluster
from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import EngineService, HistoryMismatchError
from exchange.log import kafka_reader
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import LogError, Reader
from exchange.settings import Settings
from tests.exchange.conftest import Flow
from tests.exchange.engine.test_engine_on_logs import ORDERS, assert_proven, wait_for_answers
from tests.faults.engines import MARKET

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 120
SETTINGS = {
    "offsets.topic.replication.factor": "3",
    "broker.session.timeout.ms": "3000",
    "controller.quorum.election.timeout.ms": "500",
    "controller.quorum.fetch.timeout.ms": "1500",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[KafkaServer]]:
    build_class_archive()
    servers = kafka_cluster(tmp_path_factory.mktemp("cluster"), settings=SETTINGS)
    try:
        start(servers)
        yield servers
    finally:
        for server in servers:
            server.kill()


def start(servers: list[KafkaServer]) -> None:
    for server in servers:
        server.start(wait=False)
    for server in servers:
        server.wait_ready(WAIT_S)


@pytest_asyncio.fixture(loop_scope="module")
async def log(
    cluster: list[KafkaServer], caplog: pytest.LogCaptureFixture
) -> AsyncIterator[KafkaLog]:
    caplog.set_level(logging.CRITICAL, "aiokafka")
    addresses = ",".join(server.bootstrap for server in cluster)
    made = KafkaLog(addresses, replication=3, min_insync=2)
    await made.start()
    await made.create(topics.of_market(MARKET.partition))
    yield made
    await made.close()


async def leader_of_orders(cluster: list[KafkaServer]) -> KafkaServer:
    admin = AIOKafkaAdminClient(bootstrap_servers=",".join(s.bootstrap for s in cluster))
    await admin.start()
    try:
        (found,) = await admin.describe_topics([ORDERS.topic])
    finally:
        await admin.close()
    return cluster[found["partitions"][0]["leader"] - 1]


async def write(log: KafkaLog, flow: Flow, taken: dict[int, bytes], count: int) -> int:
    """Appends so many frames; one that is not acknowledged is sent again. How many were not."""
    failed = 0
    async with asyncio.timeout(WAIT_S):
        for _ in range(count):
            frame = flow.random_frame()
            while True:
                try:
                    (offset,) = await log.append(ORDERS, [frame])
                except LogError:
                    failed += 1
                    await asyncio.sleep(0.1)
                    continue
                taken[offset] = frame
                break
    return failed


async def held(log: KafkaLog) -> dict[int, bytes]:
    """Every record of `orders`."""
    end, found = await log.end(ORDERS), {}
    reader = await log.open_reader(ORDERS, 0)
    while reader.position < end:
        found |= {record.offset: record.value for record in await reader.read()}
    await reader.close()
    return found


async def test_one_broker_may_go_and_two_may_not(
    cluster: list[KafkaServer], log: KafkaLog, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, engine_tick_ms=500, engine_silence_ms=400)
    service = EngineService(log, MARKET, settings, SystemClock())
    stop = asyncio.Event()
    running = asyncio.create_task(service.run(stop))
    flow, taken = Flow(1), {}
    await log.append(ORDERS, [flow.opening()])
    await write(log, flow, taken, 50)
    lost = await leader_of_orders(cluster)
    await asyncio.to_thread(lost.kill)
    await write(log, flow, taken, 50)  # the others elect a leader and go on
    await wait_for_answers(log, service)
    second = next(server for server in cluster if server is not lost)
    await asyncio.to_thread(second.kill)
    with pytest.raises(LogError):  # one of three promises nothing
        await log.append(ORDERS, [flow.random_frame()])
    await asyncio.to_thread(start, [lost, second])
    await write(log, flow, taken, 50)
    await wait_for_answers(log, service)
    stop.set()
    await asyncio.wait_for(running, WAIT_S)
    found = await held(log)
    assert {offset: found[offset] for offset in taken} == taken
    await assert_proven(log, service.engine)


async def test_a_log_that_came_back_shorter_is_refused(
    cluster: list[KafkaServer], log: KafkaLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an unclean election: what was read is gone. Neither reader nor engine goes on."""
    monkeypatch.setattr(kafka_reader, "APPEND_TIMEOUT_S", 1)
    settings = Settings(data=tmp_path)
    stop = asyncio.Event()
    service = EngineService(log, MARKET, settings, SystemClock())
    running = asyncio.create_task(service.run(stop))
    await log.append(ORDERS, [b"lost soon"])
    await wait_for_answers(log, service)
    stop.set()
    await asyncio.wait_for(running, WAIT_S)
    reader = await log.open_reader(ORDERS, await log.end(ORDERS) - 1)
    assert len(await reader.read()) == 1
    for server in cluster:
        await asyncio.to_thread(server.kill)
    for server in cluster:
        shorten(server)
    await asyncio.to_thread(start, cluster)
    with pytest.raises(LogError, match="the brokers have lost acknowledged records"):
        await asyncio.wait_for(read_on(reader), WAIT_S)
    with pytest.raises(HistoryMismatchError, match="the command log has lost records"):
        await asyncio.wait_for(
            EngineService(log, MARKET, settings, SystemClock()).run(asyncio.Event()), WAIT_S
        )


async def read_on(reader: Reader) -> None:
    """Reads what is not there, until the reader says so."""
    while True:
        assert await reader.read() == []


def shorten(server: KafkaServer) -> None:
    """Takes the last bytes of `orders` away: the broker drops what is no whole batch then."""
    (segment,) = (server.data / "logs" / f"{ORDERS.topic}-{ORDERS.number}").glob("*.log")
    data = segment.read_bytes()
    segment.write_bytes(data[:-40])
