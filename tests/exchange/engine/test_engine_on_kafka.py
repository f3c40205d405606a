"""Two engines on a real Kafka: the broker dies and comes back, then the leader dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deploy.local.kafka import KafkaServer
from exchange import topics
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import LogError
from tests.exchange.engine.test_engine_on_logs import ORDERS, assert_proven, wait_for_answers
from tests.fixtures_kafka import own_kafka  # noqa: F401 - a fixture

OpenLog = Callable[[str], Any]


@pytest.fixture
async def open_kafka(caplog: pytest.LogCaptureFixture) -> AsyncIterator[OpenLog]:
    caplog.set_level(logging.CRITICAL, "aiokafka")
    made: list[KafkaLog] = []

    async def open_log(bootstrap: str) -> KafkaLog:
        log = KafkaLog(bootstrap)
        await log.start()
        made.append(log)
        return log

    yield open_log
    for log in made:
        await log.close()


async def send(log: Any, frame: bytes) -> None:
    """As a gateway whose append is in doubt: again; the engine drops what it has heard."""
    while True:
        try:
            await log.append(ORDERS, [frame])
        except LogError:
            await asyncio.sleep(0.1)
        else:
            return


async def test_the_broker_dies_then_the_leader(
    own_kafka: Callable[..., KafkaServer],  # noqa: F811
    open_kafka: OpenLog,
    running: Any,
    until: Any,
    make_flow: Any,
) -> None:
    server = own_kafka()
    gateway = await open_kafka(server.bootstrap)
    await gateway.create(topics.of_market(0))
    quiet = {"settings": {"engine_tick_ms": 1_000, "engine_silence_ms": 400}}
    logs = [await open_kafka(server.bootstrap) for _ in range(2)]
    first = running.start(node=1, log=logs[0], **quiet)
    await until(lambda: first.is_leading)
    second = running.start(node=2, log=logs[1], **quiet)
    await until(lambda: second.is_ready)
    flow = make_flow(51)
    for frame in flow.frames(100):
        await send(gateway, frame)
    server.kill()
    await asyncio.sleep(0.5)
    await asyncio.get_running_loop().run_in_executor(None, server.start)
    for _ in range(50):
        await send(gateway, flow.random_frame())
    await wait_for_answers(gateway, first, second)
    leader, standby = (first, second) if first.is_leading else (second, first)
    await running.kill(leader)
    for _ in range(50):
        await send(gateway, flow.random_frame())
    await until(lambda: standby.is_leading)
    await wait_for_answers(gateway, standby)
    await running.stop(standby)
    await assert_proven(gateway, standby.engine)
