"""Services of one loop: stopped in the data's order, each reading on to where its topic ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from exchange import service as services
from exchange import topics
from exchange.log.protocol import LogUnavailableError, Partition
from exchange.service import draining, run_together

EVENTS = topics.events(0)


class Worker:
    """Ends when told to, after a moment in which the others could end, too."""

    is_ready = True

    def __init__(self, name: str, ended: list[str], fails: str = "") -> None:
        self.name, self._ended, self._fails = name, ended, fails

    async def run(self, stop: asyncio.Event) -> None:
        if self._fails:
            raise ValueError(self._fails)
        await stop.wait()
        await asyncio.sleep(0.01)
        self._ended.append(self.name)


async def test_one_stops_when_the_one_before_has_ended() -> None:
    stop, ended = asyncio.Event(), list[str]()
    names = ["gateway", "engine", "settlement", "registry"]
    running = asyncio.create_task(run_together([Worker(name, ended) for name in names], stop))
    await asyncio.sleep(0)
    stop.set()
    await running
    assert ended == names


async def test_the_first_failure_stops_all() -> None:
    stop, ended = asyncio.Event(), list[str]()
    made = [Worker("engine", ended), Worker("registry", ended, fails="books differ")]
    with pytest.raises(ExceptionGroup) as raised:
        await run_together(made, stop)
    assert raised.group_contains(ValueError, match="books differ")
    assert stop.is_set()
    assert ended == []


async def test_one_that_ends_by_itself_stops_the_others() -> None:
    ended = list[str]()

    class Ends(Worker):
        async def run(self, stop: asyncio.Event) -> None:
            await super().run(stopped())

    async with asyncio.timeout(2):
        await run_together([Worker("engine", ended), Ends("registry", ended)], asyncio.Event())
    assert ended == ["registry", "engine"]


def stopped() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def test_a_reader_goes_on_to_where_its_topic_ended_at_the_stop(memory_log: Any) -> None:
    stop = asyncio.Event()
    await memory_log.append(EVENTS, [b"1", b"2", b"3"])
    async with asyncio.timeout(2), draining(memory_log, EVENTS, stop) as drain:
        drain.reached(3)
        await asyncio.sleep(0.01)
        assert not drain.over.is_set()  # nobody told it to stop
        stop.set()
        await asyncio.sleep(0.01)
        await memory_log.append(EVENTS, [b"4"])  # after the stop: for the next start
        drain.reached(2)
        assert not drain.over.is_set()
        drain.reached(3)
        assert drain.over.is_set()


async def test_a_log_that_is_away_is_not_waited_for(
    memory_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: Partition) -> int:
        raise LogUnavailableError("no broker")

    monkeypatch.setattr(memory_log, "end", away)
    async with asyncio.timeout(2), draining(memory_log, EVENTS, stopped()) as drain:
        await drain.over.wait()


async def test_a_reader_that_does_not_get_there_is_stopped(
    memory_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "DRAIN_S_MAX", 0.05)
    await memory_log.append(EVENTS, [b"1"])
    async with asyncio.timeout(2), draining(memory_log, EVENTS, stopped()) as drain:
        drain.reached(0)
        await drain.over.wait()
