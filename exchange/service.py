"""What every service is: it runs until told to stop, and says whether it is ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from exchange.log.protocol import Log, LogUnavailableError, Partition
from exchange.settings import DRAIN_S_MAX


class Service(Protocol):
    """One consumer of the log (engine, settlement, registry, market data, gateway)."""

    name: str

    @property
    def is_ready(self) -> bool:
        """True once the service has caught up with what the log held at its start."""

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then finishes what its topic holds there and returns.

        Raises when it must not go on (a broken chain, a lost log): the process then exits.
        """


class Drain:
    """Lets a reader that was told to stop read on to where its topic ended then; see `draining`."""

    def __init__(self) -> None:
        self.over = asyncio.Event()  # set: stop now
        self._end: int | None = None

    def reached(self, position: int) -> None:
        """Says that everything before `position` is done. O(1)."""
        if self._end is not None and position >= self._end:
            self.over.set()

    async def watch(self, log: Log, topic: Partition, stop: asyncio.Event) -> None:
        """Waits for `stop`, then for the reader, DRAIN_S_MAX at most; a log that is away: not."""
        try:
            await stop.wait()
            async with asyncio.timeout(DRAIN_S_MAX):
                self._end = await log.end(topic)
                await self.over.wait()
        except (LogUnavailableError, TimeoutError):
            pass
        finally:
            self.over.set()


@asynccontextmanager
async def draining(log: Log, topic: Partition, stop: asyncio.Event) -> AsyncIterator[Drain]:
    """A `Drain` for the reader of `topic`, while `stop` is watched.

    So what the services before this one have said is taken in before the venue stands still:
    a ledger and a registry that were stopped in this order end at the same record.
    """
    drain = Drain()
    watching = asyncio.create_task(drain.watch(log, topic, stop))
    try:
        yield drain
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def run_together(services: Sequence[Service], stop: asyncio.Event) -> None:
    """Runs services in one loop; the first failure stops all and is raised.

    Name them in the data's order: when `stop` is set each is told to stop when the one before it
    has ended, so that it still reads all that this one said.
    """
    stops = [asyncio.Event() for _ in services]
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_guarded(service, own, stop), name=service.name)
            for service, own in zip(services, stops, strict=True)
        ]
        await stop.wait()
        for own, task in zip(stops, tasks, strict=True):
            own.set()
            await asyncio.wait([task])


async def _guarded(service: Service, own: asyncio.Event, stop: asyncio.Event) -> None:
    try:
        await service.run(own)
    finally:
        stop.set()
