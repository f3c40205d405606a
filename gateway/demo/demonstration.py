"""The whole venue in one process: every service on the embedded log, and its members' keys."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from exchange import topics
from exchange.audit.checkpoints import CheckpointService
from exchange.audit.signed_note import key_name, load_signer, make_key
from exchange.audit.vault import CHECKPOINTS_FOLDER, Vault, publish_key
from exchange.audit.watch import ReconciliationService
from exchange.clock import Clock
from exchange.database.connection import Database, open_database, upgrade
from exchange.derived import DerivedService
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
from exchange.stands import FileStands
from exchange.surveillance import SurveillanceService, limits_file, load_limits
from gateway.control.opening import OpeningGate
from gateway.demo.demo_keys import CHECKPOINT_KEY, KEYS_FOLDER, Holder, prepare
from gateway.demo.members import Members, Say
from gateway.service import GatewayService

READY_S = 120.0
TELL_S = 3.0  # between two words on how far the log is read
LOOK_S = 0.02
READERS = 3  # of a market's `events`: the gateway, market data, surveillance
RECONCILE_S = 1.0  # between two looks at the books; the opening waits for the first of a day
LOCK_FILE = "lock"


def all_services(
    log: Log, database: Database, venue: Venue, settings: Settings, clock: Clock
) -> tuple[list[Service], GatewayService]:
    """Every service of the venue in one process, in the data's order, the gateway first."""
    gate = OpeningGate(database, clock)
    data = settings.data
    gateway = GatewayService(
        log, venue, settings, clock, database, gate, FileStands(data, "gateway")
    )
    services: list[Service] = [gateway]
    for market in venue.market:
        services += [
            EngineService(log, market, settings, clock),
            SettlementService(
                log,
                market,
                database,
                instruments=venue.instruments_of(market.code),
                clock=clock,
            ),
            RegistryService(log, market, venue, database, clock=clock),
            MarketDataService(log, market, clock, FileStands(data, f"marketdata-{market.code}")),
            SurveillanceService(
                log,
                market,
                venue,
                load_limits(limits_file(settings)),
                clock,
                FileStands(data, f"surveillance-{market.code}"),
            ),
            ReconciliationService(log, market, database, RECONCILE_S, clock=clock),
        ]
    services += checkpoint_services(log, venue, settings, clock)
    return services, gateway


def checkpoint_services(
    log: Log, venue: Venue, settings: Settings, clock: Clock
) -> list[CheckpointService]:
    """Checkpoints of every market, into the data folder: a real venue has them on another disk."""
    folder, path = settings.data / CHECKPOINTS_FOLDER, settings.data / KEYS_FOLDER / CHECKPOINT_KEY
    signer = load_signer(path) if path.exists() else make_key(path, key_name(venue.name))
    publish_key(folder, signer.verifier)
    return [
        CheckpointService(
            log, venue.name, market, Vault(folder, market.code), signer, clock,
            settings.checkpoint_every_s,
        )
        for market in venue.market
    ]  # fmt: skip


def _nothing(_words: str) -> None:
    """Says nothing."""


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
        self.fix_address = f"{settings.host}:{gateway.fix_port}" if gateway.fix_port else ""
        self.running = running  # ends when a service ends
        self.stopped_at: dict[str, int] = {}  # where each `orders` ended when all had stopped
        self._log = log

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        settings: Settings,
        template: Path,
        clock: Clock,
        more: tuple[Holder, ...] = (),
        say: Say = _nothing,
    ) -> AsyncIterator[Demonstration]:
        """Starts every service and waits until it is ready; stops them all at the end.

        What takes long is told to `say`.

        Raises what stops a service, OSError for a folder in use, a port or a file, ValueError for
        a bad venue file. `more` get keys too. Folder and ports are tried before anything is
        written or started.
        """
        with held(settings.data):
            check_ports(settings)
            async with cls._started(settings, template, clock, more, say) as demo:
                yield demo

    @classmethod
    @asynccontextmanager
    async def _started(
        cls, settings: Settings, template: Path, clock: Clock, more: tuple[Holder, ...], say: Say
    ) -> AsyncIterator[Demonstration]:
        prepare(settings.data, template, f"http://{settings.host}:{settings.http_port}", more)
        venue = load_venue(settings.venue)
        log = open_log(settings, clock)
        await log.start()
        database = open_database(settings.database, settings.data)
        stop = asyncio.Event()
        try:
            await upgrade(database)
            services, gateway = all_services(log, database, venue, settings, clock)
            for market in venue.market:
                known = FileStands(settings.data, f"bootstrap-{market.code}")
                await bootstrap(log, venue, market, clock, known)
            running = asyncio.create_task(run_together(services, stop))
            try:
                await _until_ready(services, running, await _to_read(log, venue), say)
                demo = cls(settings, venue, log, gateway, clock, running)
                prepare(settings.data, template, demo.url, more)
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


@contextmanager
def held(data: Path) -> Iterator[None]:
    """Holds the folder, made if missing, for one venue; OSError when another process has it.

    The kernel lets go of the lock when the process ends, however it ends.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(f"--data {data}: there is a file; name a folder") from error
    with (data / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                f"--data {data}: another exchange demo is running on this folder; "
                "stop it (Ctrl-C) or name another folder"
            ) from error
        yield


def check_ports(settings: Settings) -> None:
    """OSError, naming port and option, unless every port given can be listened at.

    All are held until the last is tried, so that one number given twice is found too.
    """
    ports = {
        "--port": settings.http_port,
        "--websocket-port": settings.websocket_port,
        "--fix-port": settings.fix_port,
        "--metrics-port": settings.metrics_port,
    }
    with ExitStack() as stack:
        for option, port in ports.items():
            if port <= 0:
                continue  # the system chooses a free one
            try:
                stack.enter_context(socket.create_server((settings.host, port)))
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                raise OSError(
                    f"{option} {port}: {reason}; name another port, or 0 for any free one"
                ) from error


async def _to_read(log: Log, venue: Venue) -> int:
    """Records of `events`, as often as there are services that read them from their own place."""
    ends = [await log.end(topics.events(market.partition)) for market in venue.market]
    return READERS * sum(ends)


async def _until_ready(
    services: list[Service], running: asyncio.Task[None], to_read: int, say: Say
) -> None:
    """Waits for every service; raises what ended one of them.

    TimeoutError when for READY_S nothing was read and none became ready.
    """
    loop = asyncio.get_running_loop()
    moved_s = told_s = loop.time()
    stood = (-1, -1)
    while not running.done():
        read = sum(
            s.events_read for s in services if isinstance(s, GatewayService | DerivedService)
        )
        ready = sum(service.is_ready for service in services)
        if ready == len(services):
            return
        now_s = loop.time()
        if (read, ready) != stood:
            stood, moved_s = (read, ready), now_s
        elif now_s - moved_s > READY_S:
            waits = ", ".join(s.name for s in services if not s.is_ready)
            raise TimeoutError(f"not ready, and nothing was read for {READY_S:.0f} s: {waits}")
        if now_s - told_s > TELL_S and to_read:
            told_s = now_s
            say(f"reading the log: {min(read * 100 // to_read, 100)} %")
        await asyncio.sleep(LOOK_S)
    running.result()
    raise RuntimeError("the venue ended before it was ready")
