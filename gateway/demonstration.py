"""The whole venue in one process: every service on the embedded log, and its members' keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from exchange import topics
from exchange.audit.watch import ReconciliationService
from exchange.clock import Clock
from exchange.database.connection import Database, open_database, upgrade
from exchange.engine import EngineService
from exchange.engine.bootstrap import bootstrap
from exchange.health import serve_health
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.marketdata.service import MarketDataService
from exchange.reference.venue import Venue, load_venue
from exchange.registry.service import RegistryService
from exchange.service import Service, run_together
from exchange.settings import Settings
from exchange.settlement import SettlementService
from gateway.demo_keys import prepare
from gateway.members import Members
from gateway.service import GatewayService

READY_S = 120.0


def all_services(
    log: Log, database: Database, venue: Venue, settings: Settings, clock: Clock
) -> tuple[list[Service], GatewayService]:
    """Every service of the venue in one process, the gateway last."""
    services: list[Service] = []
    for market in venue.market:
        services += [
            EngineService(log, market, settings, clock),
            SettlementService(log, market, database, clock=clock),
            RegistryService(log, market, venue, database, clock=clock),
            MarketDataService(log, market, clock),
            ReconciliationService(log, market, database),
        ]
    gateway = GatewayService(log, venue, settings, clock)
    return [*services, gateway], gateway


class Demonstration(Members):
    """A running venue in this process; made by `opened`."""

    def __init__(
        self,
        settings: Settings,
        venue: Venue,
        log: Log,
        gateway: GatewayService,
        clock: Clock,
        running: asyncio.Task[None],
    ) -> None:
        url = f"http://{settings.host}:{gateway.http_port}"
        super().__init__(settings.data, venue, url, clock)
        self.settings = settings
        self.metrics_url = ""
        self.running = running  # ends when a service ends
        self.stopped_at: dict[str, int] = {}  # where each `orders` ended when all had stopped
        self._log = log

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, settings: Settings, template: Path, clock: Clock
    ) -> AsyncIterator[Demonstration]:
        """Starts every service and waits until it is ready; stops them all at the end.

        Raises what stops a service, OSError for a port or file, ValueError for a bad venue file.
        """
        settings.data.mkdir(parents=True, exist_ok=True)
        prepare(settings.data, template, f"http://{settings.host}:{settings.http_port}")
        venue = load_venue(settings.venue)
        log = open_log(settings, clock)
        await log.start()
        database = open_database(settings.database, settings.data)
        stop = asyncio.Event()
        try:
            await upgrade(database)
            services, gateway = all_services(log, database, venue, settings, clock)
            for market in venue.market:
                await bootstrap(log, venue, market, clock)
            running = asyncio.create_task(run_together(services, stop))
            try:
                await _until_ready(services, gateway, running)
                demo = cls(settings, venue, log, gateway, clock, running)
                prepare(settings.data, template, demo.url)
                async with demo:
                    await demo._serve_metrics(services)
                    yield demo
                stop.set()
                await running
                demo.stopped_at = await demo.ends()
            finally:
                stop.set()
                await asyncio.gather(running, return_exceptions=True)
        finally:
            await database.close()
            await log.close()

    async def _serve_metrics(self, services: list[Service]) -> None:
        server = await serve_health(
            self.settings.host, max(self.settings.metrics_port, 0), services
        )
        self._stack.callback(server.close)
        self.metrics_url = f"http://{self.settings.host}:{server.sockets[0].getsockname()[1]}"

    async def ends(self) -> dict[str, int]:
        """Where each market's `orders` ends."""
        return {
            market.code: await self._log.end(topics.orders(market.partition))
            for market in self.venue.market
        }


async def _until_ready(
    services: list[Service], gateway: GatewayService, running: asyncio.Task[None]
) -> None:
    """Waits for every service; raises what ended one of them, TimeoutError after READY_S."""
    started = asyncio.create_task(gateway.started.wait())
    try:
        async with asyncio.timeout(READY_S):
            await asyncio.wait([started, running], return_when=asyncio.FIRST_COMPLETED)
            while not (  # noqa: ASYNC110 - readiness is a plain attribute
                running.done() or all(service.is_ready for service in services)
            ):
                await asyncio.sleep(0.02)
    finally:
        started.cancel()
    if running.done():
        running.result()
        raise RuntimeError("the venue ended before it was ready")
