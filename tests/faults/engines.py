"""Engines as processes of their own on one embedded log, to be killed, starved and lied to.

python -m tests.faults.engines DATA NODE SNAPSHOT_EVERY      runs one until SIGTERM
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

import uvloop

from deploy.local.process import REPO, spawn
from exchange import topics
from exchange.audit import replay, verify
from exchange.clock import Clock, SystemClock
from exchange.engine import EngineService
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import Log
from exchange.logging import configure
from exchange.messages.frames import EventFollower
from exchange.reference.venue import Market
from exchange.settings import Settings

MARKET = Market(code="XX", partition=0, currency="EUR")
ORDERS, EVENTS = topics.orders(0), topics.events(0)
LOG_FILE = "log.sqlite"
WAIT_S = 90.0


class EngineProcess:
    """One engine. `wrap` are the words before its command, `environment` comes on top of ours."""

    def __init__(
        self,
        data: Path,
        node: int = 1,
        *,
        snapshot_every: int = 1 << 30,
        wrap: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log_file = data / LOG_FILE
        self.output = data / f"engine-{node}-{time.monotonic_ns()}.log"
        settings = {"PYTHONPATH": str(REPO), "PYTHONUNBUFFERED": "1", **(environment or {})}
        own = [sys.executable, "-m", "tests.faults.engines", str(data), str(node)]
        command = ["env", *(f"{name}={value}" for name, value in settings.items())]
        command += [*wrap, *own, str(snapshot_every)]
        self.process = spawn(command, self.output, death_signal=signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def said(self) -> str:
        """Everything it has logged."""
        return self.output.read_text(errors="replace")

    async def says(self, words: str, times: int = 1) -> None:
        """Waits until it has logged the words so often."""
        deadline = time.monotonic() + WAIT_S
        while self.said.count(words) < times:
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < deadline, f"{words!r} not in:\n{self.said[-3000:]}"
            await asyncio.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        os.kill(self.process.pid, number)

    async def freeze(self) -> None:
        """SIGSTOP, at a moment when it does not hold the log's file: nobody else could write."""
        while True:
            self.signal(signal.SIGSTOP)
            if await asyncio.to_thread(self._is_log_free):
                return
            self.signal(signal.SIGCONT)
            await asyncio.sleep(0.01)

    def _is_log_free(self) -> bool:
        with closing(sqlite3.connect(self._log_file, timeout=1.0, isolation_level=None)) as file:
            try:
                file.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            file.execute("ROLLBACK")
            return True

    def kill(self) -> None:
        """As a crash; idempotent."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, WAIT_S)


async def new_log(data: Path, clock: Clock | None = None) -> EmbeddedLog:
    """The test's own handle on the log of these processes; `clock` stamps what it appends."""
    log = EmbeddedLog(data / LOG_FILE, clock or SystemClock())
    await log.start()
    await log.create(topics.of_market(MARKET.partition))
    return log


async def answered(log: Log, *engines: EngineProcess) -> int:
    """Waits until `events` answers what `orders` holds now; where that ends."""
    end = await log.end(ORDERS)
    follower = EventFollower()
    reader = await log.open_reader(EVENTS, 0)
    deadline = time.monotonic() + WAIT_S
    try:
        while follower.input_offset < end:
            assert time.monotonic() < deadline, [engine.said[-2000:] for engine in engines]
            for record in await reader.read(wait_s=0.1):
                follower.accept(record.offset, record.value)
    finally:
        await reader.close()
    return end


async def assert_undisturbed(log: Log, end: int) -> None:
    """Records below `end` have one answer, that of an engine to which nothing ever happened."""
    found = await verify(log, MARKET.partition)
    assert found.differences == ()
    assert found.inputs >= end
    undisturbed = await replay(log, MARKET.partition, end=found.inputs)
    assert found.state_hash == undisturbed.state_hash


async def main(data: Path, node: int, snapshot_every: int) -> None:
    """Runs one engine until SIGTERM."""
    configure("info", service="engine")
    log = EmbeddedLog(data / LOG_FILE, SystemClock())
    await log.start()
    silence_ms = int(os.environ.get("SILENCE_MS", "400"))
    settings = Settings(data=data, node=node, engine_tick_ms=500, engine_silence_ms=silence_ms)
    service = EngineService(log, MARKET, settings, SystemClock(), snapshot_every=snapshot_every)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        await service.run(stop)
    finally:
        await log.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
