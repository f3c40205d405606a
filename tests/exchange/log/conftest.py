"""The three bodies of the log, each as something that gives handles on one and the same log."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import Log, Partition
from exchange.log.simulated import SimulatedDisk, SimulatedLog
from tests.fixtures_kafka import kafka, own_kafka

__all__ = ["kafka", "own_kafka"]

APPENDER = Path(__file__).with_name("appender.py")


class Body:
    """One log; `handle` gives what a process has of it."""

    def __init__(self, kind: str, make: Callable[[], Log]) -> None:
        self.kind = kind
        self.prefix = f"t{uuid4().hex[:12]}"
        self._make = make
        self._handles: list[Log] = []

    def partition(self, name: str = "orders", number: int = 0) -> Partition:
        return Partition(f"{self.prefix}.{name}", number)

    async def handle(self) -> Log:
        log = self._make()
        await log.start()
        self._handles.append(log)
        return log

    async def close(self) -> None:
        for log in self._handles:
            await log.close()


@pytest.fixture(params=["simulated", "embedded", "kafka"])
async def body(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Body]:
    if request.param == "simulated":
        disk = SimulatedDisk(SystemClock())
        found = Body("simulated", lambda: SimulatedLog(disk))
    elif request.param == "embedded":
        path = tmp_path / "venue" / "log.sqlite"
        found = Body("embedded", lambda: EmbeddedLog(path, SystemClock()))
    else:
        bootstrap = request.getfixturevalue("kafka").bootstrap
        found = Body("kafka", lambda: KafkaLog(bootstrap))
    yield found
    await found.close()


@pytest.fixture
async def log(body: Body) -> Log:
    return await body.handle()


@pytest.fixture
async def partition(body: Body, log: Log) -> Partition:
    made = body.partition()
    await log.create([made])
    return made


class Appender:
    """`appender.py` in a process of its own; remembers what it said was acknowledged."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.acknowledged: dict[int, bytes] = {}
        self.failures: list[str] = []
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            if line.startswith(b"!"):
                self.failures.append(line.decode().strip())
            elif line.endswith(b"\n"):  # the last line may be cut by the kill
                offset, value = line.split()
                self.acknowledged[int(offset)] = value

    async def has_acknowledged(self, count: int) -> None:
        while len(self.acknowledged) < count:
            assert self.process.returncode is None, "the appender ended"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._listening


@pytest.fixture
async def start_appender() -> AsyncIterator[Callable[..., object]]:
    started: list[Appender] = []

    async def start(where: str, partition: Partition, name: str) -> Appender:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(APPENDER),
            where,
            partition.topic,
            name,
            stdout=asyncio.subprocess.PIPE,
            cwd=APPENDER.parents[3],
        )
        started.append(Appender(process))
        return started[-1]

    yield start
    for appender in started:
        await appender.kill()
