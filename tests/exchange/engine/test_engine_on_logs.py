"""Engines on the logs of the package: the embedded file, and the simulated one with faults."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from exchange import topics
from exchange.audit import compare_positions, replay, verify
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.simulated import Faults, SimulatedDisk, SimulatedLog
from exchange.positions import project

ORDERS, EVENTS = topics.orders(0), topics.events(0)


async def wait_for_answers(log: Any, *services: Any) -> None:
    """Until one of the services leads and `events` answers all that `orders` holds now."""
    end = await log.end(ORDERS)
    async with asyncio.timeout(20):
        while not any(service.is_leading for service in services):
            await asyncio.sleep(0.01)
        while (await project(log, 0)).next_input < end:
            await asyncio.sleep(0.05)


async def assert_proven(log: Any, engine: Any) -> None:
    """Everything on `events` is the engine's, once, up to where `engine` stopped."""
    found = await verify(log, 0)
    assert found.differences == ()
    assert found.inputs == engine.next_offset
    again = await replay(log, 0, end=found.inputs)
    assert engine.state_hash() == found.state_hash == again.state_hash
    assert compare_positions(await project(log, 0), engine.snapshot()) == []


async def test_two_engines_on_one_embedded_file(running, until, make_flow, tmp_path: Path):
    """Each has its own handle, as two processes have; the file is opened anew at the end.

    Which of the two leads when one is killed is left open: on a busy machine the second may find
    the first silent before.
    """
    handles = [EmbeddedLog(tmp_path / "log.sqlite", SystemClock()) for _ in range(3)]
    for handle in handles:
        await handle.start()
    await handles[0].create(topics.of_market(0))
    first = running.start(node=1, log=handles[0])
    await until(lambda: first.is_leading)
    second = running.start(node=2, log=handles[1])
    flow = make_flow(31)
    for frame in flow.frames(60):
        await handles[2].append(ORDERS, [frame])
    await until(lambda: second.is_ready)
    await wait_for_answers(handles[2], first, second)
    killed, left = (first, second) if first.is_leading else (second, first)
    await running.kill(killed)
    for _ in range(40):
        await handles[2].append(ORDERS, [flow.random_frame()])
    await wait_for_answers(handles[2], left)
    await running.stop(left)
    for handle in handles:
        await handle.close()
    reopened = EmbeddedLog(tmp_path / "log.sqlite", SystemClock())
    await reopened.start()
    third = running.start(node=3, log=reopened)
    await until(lambda: third.is_leading)
    await running.stop(third)
    await assert_proven(reopened, third.engine)
    assert third.engine.epoch >= 3
    await reopened.close()


@pytest.mark.parametrize("seed", range(4))
async def test_engines_that_die_at_random_on_a_log_with_faults(
    running, until, make_flow, seed: int
):
    """Two engines, each killed and started anew at random; refused, uncertain, late appends."""
    rolls = random.Random(seed)
    faults = Faults(refused=800, uncertain=1_500, delayed=3_000)
    disk = SimulatedDisk(SystemClock(), seed, faults)
    log = SimulatedLog(disk)
    await log.start()
    await log.create(topics.of_market(0))

    async def start(node: int) -> tuple[Any, SimulatedLog]:
        handle = SimulatedLog(disk)
        await handle.start()
        return running.start(node, log=handle, snapshot_every=20), handle

    engines = [await start(node) for node in (1, 2)]
    for frame in make_flow(40 + seed).frames(250):
        offsets = disk.take(ORDERS, [frame])
        disk.show(ORDERS, offsets[-1] + 1)
        await asyncio.sleep(rolls.random() * 0.006)
        if rolls.random() < 0.04:
            victim = rolls.randrange(2)
            service, handle = engines[victim]
            handle.crash()
            await running.kill(service)
            engines[victim] = await start(victim + 1)
    disk.faults = Faults()
    await wait_for_answers(log, *(service for service, _ in engines))
    for service, _ in engines:
        await until(lambda s=service: s.is_ready)
        await running.stop(service)
    found = await verify(log, 0)
    assert found.differences == ()
    for service, _ in engines:
        again = await replay(log, 0, end=service.engine.next_offset)
        assert service.engine.state_hash() == again.state_hash
