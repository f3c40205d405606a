"""Two engine processes on a real Kafka: the leader is killed with -9, ten times, under load.

What stands on `events` is what an undisturbed run over the same `orders` says.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from deploy.local.kafka import KafkaServer
from deploy.local.process import REPO
from deploy.local.supervisor import Program, Supervisor
from deploy.local.venue import exchange
from exchange import audit, topics
from exchange.engine.snapshots import snapshots_of
from exchange.log.kafka import KafkaLog
from exchange.messages.frames import EventFollower, sound_commands
from matching import Engine
from matching.layout import Command
from tests.exchange.conftest import Flow
from tests.fixtures_kafka import own_kafka  # noqa: F401 - a fixture

KILLS = 10
PAUSE_S = 0.01  # between two records of `orders`
ANSWER_S = 120.0  # a dead engine may have to start first, on a machine that is full
NODE_SHIFT = 40
ORDERS, EVENTS = topics.orders(0), topics.events(0)


class Stream:
    """What a reader of `events` accepts, and who leads by what `orders` says."""

    def __init__(self, log: KafkaLog) -> None:
        self.follower = EventFollower()
        self.leader = 0
        self.epoch = 0  # of who said the last part
        self._log = log
        self._moved = asyncio.Event()

    async def follow(self) -> None:
        reader = await self._log.open_reader(EVENTS, 0)
        while True:
            for record in await reader.read():
                part = self.follower.accept(record.offset, record.value)
                self.epoch = self.epoch if part is None else part.epoch
            self._moved.set()

    async def watch(self) -> None:
        epoch, reader = 0, await self._log.open_reader(ORDERS, 0)
        while True:
            for record in await reader.read():
                rows = sound_commands(record.value)
                if rows is None or rows["kind"][0] != Command.EPOCH_START:
                    continue
                if rows["quantity"][0] == epoch + 1:  # the first that claims an epoch has it
                    epoch, self.leader = epoch + 1, int(rows["order_id"][0]) >> NODE_SHIFT
            self._moved.set()

    async def until(self, fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(ANSWER_S):
            while not fact():
                self._moved.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), 0.05)


class Load:
    """Records on `orders`, one after the other: how many, and where the last one lies."""

    def __init__(self, log: KafkaLog) -> None:
        self.last = -1
        self.taken = 0
        self._log = log

    async def run(self) -> None:
        flow = Flow(81)
        await self._log.append(ORDERS, [flow.opening()])
        while True:
            (self.last,) = await self._log.append(ORDERS, [flow.random_frame()])
            self.taken += 1
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def engines(server: KafkaServer, data: Path) -> AsyncIterator[Supervisor]:
    """Two processes `exchange engine --market EU`, nodes 1 and 2; restarted when they end."""
    settings = {
        "PYTHONPATH": str(REPO),
        "EXCHANGE_LOG": f"kafka:{server.bootstrap}",
        "EXCHANGE_DATA": str(data),
        "EXCHANGE_VENUE": str(REPO / "deploy" / "venue" / "demo.toml"),
    }
    command = exchange("engine", "--market", "EU")
    programs = [Program(str(n), command, settings | {"EXCHANGE_NODE": str(n)}) for n in (1, 2)]
    supervisor = Supervisor(programs, data / "logs")
    supervisor.start()

    async def attend() -> None:
        while True:
            supervisor.poll()
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(attend())
    try:
        yield supervisor
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await asyncio.to_thread(supervisor.stop)


async def kill_again_and_again(supervisor: Supervisor, stream: Stream, load: Load) -> None:
    """Until KILLS deaths each made another engine lead; that of a standby makes none."""
    deaths = 0
    for _ in range(2 * KILLS):
        await stream.until(lambda: supervisor.pid(str(stream.leader)) is not None)
        taken, epoch = load.taken, stream.epoch
        supervisor.kill(str(stream.leader))
        await stream.until(lambda t=taken: load.taken > t + 1)  # one of them was sent after it
        sent = load.last
        await stream.until(lambda s=sent: stream.follower.input_offset > s)
        deaths += stream.epoch > epoch
        if deaths == KILLS:
            return
    raise AssertionError(f"of {2 * KILLS} deaths {deaths} made another engine lead")


async def test_ten_leaders_die_and_nothing_is_lost_or_said_twice(
    own_kafka: Callable[..., KafkaServer],  # noqa: F811
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL", "aiokafka")
    server = own_kafka()
    log = KafkaLog(server.bootstrap)
    await log.start()
    await log.create(topics.of_market(0))
    stream, load = Stream(log), Load(log)
    tasks: list[asyncio.Task[Any]] = []
    try:
        async with engines(server, tmp_path) as supervisor:
            tasks += [asyncio.create_task(w()) for w in (stream.follow, stream.watch)]
            await stream.until(lambda: stream.leader > 0)
            working = asyncio.create_task(load.run())
            await kill_again_and_again(supervisor, stream, load)
            working.cancel()
            await asyncio.wait([working])
            last = load.last
            await stream.until(lambda: stream.follower.input_offset > last)
            restarts = sum(supervisor.restarts(str(node)) for node in (1, 2))
            assert restarts >= KILLS - 2  # the last two may still wait for theirs
        await assert_undisturbed(log, tmp_path)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await log.close()


async def assert_undisturbed(log: KafkaLog, data: Path) -> None:
    """`events` is one sound history, and the snapshot left at the stop has a plain run's hash."""
    found = await audit.verify(log, 0)
    assert found.differences == ()
    assert found.epoch > KILLS
    newest = snapshots_of(data, "EU").newest()
    assert newest is not None
    engine, reader = Engine(), await log.open_reader(ORDERS, 0)
    deadline = time.monotonic() + ANSWER_S
    while engine.next_offset < newest.next_offset:
        assert time.monotonic() < deadline
        for record in await reader.read(newest.next_offset - engine.next_offset):
            engine.apply(record.offset, record.append_ns, record.value)
    await reader.close()
    assert newest.state[-32:] == engine.state_hash()
