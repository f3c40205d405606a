"""What every service is: it runs until told to stop, and says whether it is ready."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Service(Protocol):
    """One consumer of the log (engine, settlement, registry, market data, gateway)."""

    name: str

    @property
    def is_ready(self) -> bool:
        """True once the service has caught up with what the log held at its start."""

    async def run(self, stop: asyncio.Event) -> None:
        """Works until `stop` is set, then finishes the record in hand and returns.

        Raises when it must not go on (a broken chain, a lost log): the process then exits.
        """


async def run_together(services: list[Service], stop: asyncio.Event) -> None:
    """Runs services in one loop; the first failure stops all and is raised."""
    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(_guarded(service, stop), name=service.name)


async def _guarded(service: Service, stop: asyncio.Event) -> None:
    try:
        await service.run(stop)
    finally:
        stop.set()
