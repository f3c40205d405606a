from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import EngineService
from exchange.messages.frames import EventFollower, EventPart
from exchange.reference.venue import Market
from exchange.settings import Settings
from matching import Engine

MARKET = Market(code="XX", partition=0, currency="EUR")
ORDERS, EVENTS = topics.orders(0), topics.events(0)


class Running:
    """Services under test and their stops."""

    def __init__(self, log: Any, data: Path) -> None:
        self.log, self.data = log, data
        self.tasks: dict[EngineService, tuple[asyncio.Task[None], asyncio.Event]] = {}

    def start(self, node: int = 1, **given: Any) -> EngineService:
        given_settings = {
            "engine_tick_ms": 100,
            "engine_silence_ms": 60,
            "engine_reserve_orders": 1_000,
        }
        given_settings |= given.pop("settings", {})
        settings = Settings(data=self.data, **given_settings)
        log = given.pop("log", self.log)
        service = EngineService(log, MARKET, settings, SystemClock(), node, **given)
        stop = asyncio.Event()
        self.tasks[service] = asyncio.create_task(service.run(stop)), stop
        return service

    async def stop(self, service: EngineService) -> None:
        task, stop = self.tasks.pop(service)
        stop.set()
        await asyncio.wait_for(task, 10)

    async def kill(self, service: EngineService) -> None:
        """As kill -9: nothing more of it runs."""
        task, _ = self.tasks.pop(service)
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.2)

    async def failure(self, service: EngineService) -> BaseException:
        task, _ = self.tasks.pop(service)
        await asyncio.wait([task], timeout=10)
        error = task.exception()
        assert error is not None
        return error


@pytest.fixture
async def running(memory_log: Any, tmp_path: Path) -> AsyncIterator[Running]:
    running = Running(memory_log, tmp_path)
    yield running
    for service in list(running.tasks):
        await running.kill(service)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    async def wait(fact: Callable[[], bool]) -> None:
        async with asyncio.timeout(15):
            while not fact():
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def accepted() -> Callable[[Any], list[EventPart]]:
    """What a reader of `events` accepts, checked against a plain run over `orders`."""

    def read(log: Any) -> list[EventPart]:
        follower = EventFollower()
        parts = [follower.accept(r.offset, r.value) for r in log.rows[EVENTS]]
        taken = [part for part in parts if part is not None]
        engine = Engine()
        for record in log.rows[ORDERS][: follower.input_offset]:
            expected = engine.apply(record.offset, record.append_ns, record.value)
            found = b"".join(p.events.tobytes() for p in taken if p.input_offset == record.offset)
            assert found == expected
        return taken

    return read


@pytest.fixture
def undisturbed() -> Callable[[Any, EngineService], bytes]:
    """State hash of a plain run over `orders`, as far as the service came."""

    def run(log: Any, service: EngineService) -> bytes:
        engine = Engine()
        for record in log.rows[ORDERS][: service.engine.next_offset]:
            engine.apply(record.offset, record.append_ns, record.value)
        return engine.state_hash()

    return run
