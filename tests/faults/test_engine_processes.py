"""Engine processes that are killed, stopped, starved, lied to about time, or left without a disk.

Whatever happens to them, `events` is what an engine says to which nothing ever happened.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.local.fault_tools import clock_in, failing
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.messages.frames import EventFollower
from tests.exchange.conftest import Flow
from tests.faults.engines import (
    EVENTS,
    ORDERS,
    EngineProcess,
    answered,
    assert_undisturbed,
    new_log,
)
from tests.faults.length import LONG
from tests.faults.namespaces import small_disk

KILLS = 100 if LONG else 5
LEADS = "engine leads"
STANDS_BY = "engine stands by: another engine leads"
NOT_WRITTEN = "snapshot not written: a restart will take longer"
WRITTEN = '"event": "snapshot written"'
HOUR_NS = 3_600_000_000_000


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    made = await new_log(tmp_path)
    yield made
    await made.close()


async def write(log: EmbeddedLog, flow: Flow, count: int, pause_s: float = 0.002) -> None:
    for _ in range(count):
        await log.append(ORDERS, [flow.random_frame()])
        await asyncio.sleep(pause_s)


async def test_kill_9_at_random_moments(log: EmbeddedLog, tmp_path: Path) -> None:
    rolls, flow = random.Random(1), Flow(1)
    await log.append(ORDERS, [flow.opening()])
    writing = asyncio.create_task(write(log, flow, 10**9, 0.004))
    for _ in range(KILLS):
        with EngineProcess(tmp_path, snapshot_every=40) as engine:
            await engine.says(LEADS)
            await asyncio.sleep(rolls.random() * 0.4)
    writing.cancel()
    with EngineProcess(tmp_path, snapshot_every=40) as last:
        await last.says("snapshot restored")
        end = await answered(log, last)
        assert await last.stop() == 0
    await assert_undisturbed(log, end)


async def test_a_stopped_leader_comes_back_as_a_zombie(log: EmbeddedLog, tmp_path: Path) -> None:
    flow = Flow(2)
    with EngineProcess(tmp_path, 1) as zombie:
        await zombie.says(LEADS)
        with EngineProcess(tmp_path, 2) as second:
            await second.says("engine ready: standing by")
            await log.append(ORDERS, [flow.opening()])
            await answered(log, zombie)
            await write(log, flow, 20)
            await zombie.freeze()
            await write(log, flow, 100)
            await second.says(LEADS)
            await answered(log, second)
            zombie.signal(signal.SIGCONT)
            await zombie.says(STANDS_BY)
            await write(log, flow, 50)
            end = await answered(log, second)
            assert await zombie.stop() == 0
            assert await second.stop() == 0
    await assert_undisturbed(log, end)


async def test_a_full_disk_for_snapshots_stops_no_trading(log: EmbeddedLog, tmp_path: Path) -> None:
    """It goes on, leaves nothing half-written, writes again when there is room, and restarts."""
    folder = tmp_path / "snapshots"
    flow = Flow(3)
    await log.append(ORDERS, [flow.opening()])
    with small_disk(folder, 1024) as disk:
        with EngineProcess(tmp_path, snapshot_every=20, wrap=disk.wrap) as engine:
            await engine.says(LEADS)
            await write(log, flow, 60)
            await engine.says(WRITTEN)
            disk.run(f"cat /dev/zero > '{folder}/other' || true")  # somebody else's: to the brim
            before = await answered(log, engine)
            await write(log, flow, 60)
            await engine.says(NOT_WRITTEN, times=2)
            assert "No space left on device" in engine.said
            assert await answered(log, engine) >= before + 60
            assert disk.run(f"find '{folder}' -name '*.draft'") == ""
            written = engine.said.count(WRITTEN)
            disk.run(f"rm '{folder}/other'")
            await write(log, flow, 60)
            await engine.says(WRITTEN, times=written + 1)
        with EngineProcess(tmp_path, snapshot_every=20, wrap=disk.wrap) as engine:
            await engine.says("snapshot restored")
            end = await answered(log, engine)
    await assert_undisturbed(log, end)


async def test_a_disk_that_cannot_sync_leaves_the_older_snapshot(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    flow = Flow(4)
    await log.append(ORDERS, [flow.opening()])
    with EngineProcess(tmp_path) as engine:
        await engine.says(LEADS)
        await write(log, flow, 30)
        await answered(log, engine)
        assert await engine.stop() == 0
    (sound,) = (tmp_path / "snapshots" / "XX").iterdir()
    broken = failing("posix/io/sync/fsync")
    with EngineProcess(tmp_path, snapshot_every=20, environment=broken) as engine:
        await engine.says(LEADS)
        await write(log, flow, 60)
        await engine.says(NOT_WRITTEN)
        assert "Input/output error" in engine.said
        await answered(log, engine)
    assert list((tmp_path / "snapshots" / "XX").iterdir()) == [sound]
    with EngineProcess(tmp_path) as engine:
        await engine.says("snapshot restored")
        end = await answered(log, engine)
    await assert_undisturbed(log, end)


async def test_a_log_that_cannot_sync_promises_nothing(log: EmbeddedLog, tmp_path: Path) -> None:
    """The engine's appends fail and nothing is on `events` that it does not say again later."""
    flow = Flow(5)
    await log.append(ORDERS, [flow.opening()])
    broken = failing("posix/io/sync/fdatasync", "posix/io/sync/fsync")
    with EngineProcess(tmp_path, environment=broken) as engine:
        await engine.says("orders cannot be written")
        await write(log, flow, 20)
        assert LEADS not in engine.said
    with EngineProcess(tmp_path) as engine:
        end = await answered(log, engine)
    await assert_undisturbed(log, end)


class JumpingClock(SystemClock):
    """A clock that its owner sets."""

    ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns


async def test_clocks_that_jump_change_no_order(tmp_path: Path) -> None:
    """An hour ahead, an hour back: the writer's clock, which stamps records, and the engine's."""
    clock = JumpingClock()
    log = await new_log(tmp_path, clock)
    file = tmp_path / "clock"
    file.write_text("+0")
    flow = Flow(6)
    await log.append(ORDERS, [flow.opening()])
    # who looks at its clock through a library is slow, and who is slow does not claim a market
    environment = {**clock_in(file), "SILENCE_MS": "3000"}
    with EngineProcess(tmp_path, environment=environment) as engine:
        await engine.says(LEADS)
        for hours in (1, -1, 0):
            clock.ahead_ns = hours * HOUR_NS
            file.write_text(f"{-hours * 3600:+d}")
            await asyncio.sleep(1.2)  # it has looked
            await write(log, flow, 60)
            await answered(log, engine)
        end = await answered(log, engine)
        assert await engine.stop() == 0
    assert engine.said.count(LEADS) == 1
    reader, follower = await log.open_reader(EVENTS, 0), EventFollower()
    times = []
    while follower.input_offset < end:
        for record in await reader.read():
            part = follower.accept(record.offset, record.value)
            times.append(part.time_ns if part is not None else times[-1])
    assert times == sorted(times)
    assert times[-1] - times[0] >= HOUR_NS
    await assert_undisturbed(log, end)
    await log.close()


async def test_an_engine_that_hardly_gets_a_core_loses_nothing(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    flow = Flow(7)
    await log.append(ORDERS, [flow.opening()])
    (core, *_) = sorted(os.sched_getaffinity(0))
    with EngineProcess(tmp_path) as engine, ExitStack() as stack:
        await engine.says(LEADS)
        os.sched_setaffinity(engine.process.pid, {core})
        for _ in range(4):
            burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(burner.wait)
            stack.callback(burner.kill)
            os.sched_setaffinity(burner.pid, {core})
        await write(log, flow, 150)
        end = await answered(log, engine)
        assert await engine.stop() == 0
    await assert_undisturbed(log, end)


async def test_an_engine_whose_memory_runs_out_ends_and_another_goes_on(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    """It says so, leaves nothing half-said, and nothing that was taken is lost."""
    flow = Flow(8)
    await log.append(ORDERS, [flow.opening()])
    with EngineProcess(tmp_path) as engine:
        await engine.says(LEADS)
        await write(log, flow, 20)
        await answered(log, engine)
        has = address_space(engine.process.pid)
        resource.prlimit(engine.process.pid, resource.RLIMIT_AS, (has, has))
        writing = asyncio.create_task(write(log, flow, 10**9, 0.001))
        while engine.process.poll() is None:
            await asyncio.sleep(0.02)
        writing.cancel()
        assert "MemoryError" in engine.said or "memory" in engine.said, engine.said[-2000:]
    with EngineProcess(tmp_path) as other:
        end = await answered(log, other)
        assert await other.stop() == 0
    await assert_undisturbed(log, end)


def address_space(pid: int) -> int:
    """Bytes that a process has mapped."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
