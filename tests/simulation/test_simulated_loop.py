"""The simulation's own machine: time, order, processes that stop and die, fault points."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
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


@pytest.mark.parametrize("is_timer", [False, True])
def test_what_was_called_off_changes_no_order(is_timer: bool) -> None:
    """However many lie about, and wherever: the heap gives cancelled timers up when it likes."""

    def order_beside(called_off: Callable[[int], int]) -> list[tuple[int, float]]:
        made, said = SimulatedLoop(random.Random(7)), []
        at = made.time() + 1

        def put(callback: Callable[..., object], *args: Any) -> asyncio.Handle:
            if is_timer:
                return made.call_at(at, callback, *args)
            return made.call_soon(callback, *args)

        for number in range(20):
            for _ in range(called_off(number)):
                put(said.append, (-1, 0.0)).cancel()
            put(lambda n=number: said.append((n, made.elapsed_s)))
        made.call_at(at + 1, made.stop)
        made.run_forever()
        said.append((made.callbacks, made.elapsed_s))
        made.close()
        return said

    alone = order_beside(lambda _: 0)
    assert len(alone) == 21
    assert order_beside(lambda number: number == 7) == alone
    assert order_beside(lambda number: number % 3) == alone
    assert order_beside(lambda number: 6 * (number > 2)) == alone


def test_timers_of_one_moment_are_drawn_from_as_they_were_made(loop: SimulatedLoop) -> None:
    heard: list[list[Any]] = []
    shuffle = loop._shuffle
    loop._shuffle = lambda handles: (heard.append([h._args[0] for h in handles]), shuffle(handles))
    at = loop.time() + 1
    for number in range(20):
        loop.call_at(at - 0.5 + number / 100, int, -1).cancel()
        loop.call_at(at, int, number)
    loop.call_at(at + 1, loop.stop)
    loop.run_forever()
    assert heard == [list(range(20))]


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
