"""The simulation's own machine: time, order, processes that stop and die, fault points."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from exchange import fault_points
from exchange.simulation.faults.loop import PROCESS, Process, SimulatedLoop, StandstillError


@pytest.fixture
def loop() -> Any:
    made = SimulatedLoop(random.Random(1))
    yield made
    made.close()


def test_an_hour_passes_at_once(loop: SimulatedLoop) -> None:
    before = loop.time()
    loop.run_until_complete(asyncio.sleep(3_600))
    assert loop.time() - before == pytest.approx(3_600, abs=0.01)


def order_under(seed: int) -> list[int]:
    said: list[int] = []

    async def say(number: int) -> None:
        await asyncio.sleep(0)
        said.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(say(number) for number in range(20)))

    made = SimulatedLoop(random.Random(seed))
    made.run_until_complete(all_of_them())
    made.close()
    return said


def test_what_is_ready_together_runs_in_the_seeds_order() -> None:
    assert order_under(1) == order_under(1)
    assert order_under(1) != order_under(2)
    assert sorted(order_under(2)) == list(range(20))


def test_a_paused_process_goes_on_where_it_stood(loop: SimulatedLoop) -> None:
    process, said = Process("p"), []

    async def work() -> None:
        for number in range(3):
            await asyncio.sleep(1)
            said.append((number, loop.elapsed_s))

    async def script() -> None:
        task = loop.spawn(process, work())
        await asyncio.sleep(1.5)
        process.is_paused = True
        await asyncio.sleep(10)
        assert len(said) == 1
        loop.go_on(process)
        await task

    loop.run_until_complete(script())
    assert [number for number, _ in said] == [0, 1, 2]
    assert [round(at, 1) for _, at in said] == [1.0, 11.5, 12.5]


def test_a_dead_process_has_no_effect_by_its_threads(loop: SimulatedLoop) -> None:
    process, done = Process("p"), []

    async def work() -> None:
        await asyncio.to_thread(done.append, PROCESS.get())

    async def script() -> None:
        task = loop.spawn(process, work())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        loop.kill(process)
        await asyncio.sleep(1)
        assert task.cancelled()

    loop.run_until_complete(script())
    assert done == []


def test_waiting_for_what_cannot_come_is_said(loop: SimulatedLoop) -> None:
    async def wait() -> None:
        await loop.create_future()

    with pytest.raises(StandstillError):
        loop.run_until_complete(wait())


async def test_fault_points_stay_off_outside_the_simulation() -> None:
    with (
        pytest.raises(RuntimeError, match="belong to the simulation"),
        fault_points.watched(asyncio.get_running_loop(), print),
    ):
        pass
    for name in fault_points.NAMES:
        fault_points.reached(name)
