"""GatewayService: the views, the writers, REST, the sockets and intake of one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from picows import WSListener, WSUpgradeRequest, ws_create_server

from exchange import topics
from exchange.clock import Clock, random_id
from exchange.database.connection import Database
from exchange.log.protocol import Log
from exchange.reference.venue import Venue
from exchange.settings import SESSIONS_MAX, Settings
from gateway.alerts import Alerts
from gateway.app import build_app
from gateway.context import Context
from gateway.disconnects import Disconnects
from gateway.feed import Feed, Subscriber
from gateway.identity import Identities
from gateway.intake import Intake
from gateway.opening import OpeningGate
from gateway.order_entry import Desk, OrderEntry
from gateway.sessions import DropCopy, OrderSession, ReportHub
from gateway.sockets import FRAME_BYTES_MAX, Connections
from gateway.submitter import Submitter
from gateway.throttle import Throttle
from gateway.venue_view import MarketView

READY_POLL_S = 0.02
DRAIN_S = 2  # how long open HTTP requests may take when the venue stops
PING_S = 20


class _Server(uvicorn.Server):
    """Uvicorn inside our loop: signals belong to the process's command line."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals alone."""
        yield


class GatewayService:
    """Brokers' way in and back. Ports 0 are chosen by the system: `http_port`, `websocket_port`.

    Orders need no database: `books` answers questions to the registry only, and is only read.
    """

    name = "gateway"

    def __init__(
        self,
        log: Log,
        venue: Venue,
        settings: Settings,
        clock: Clock,
        books: Database | None = None,
        gate: OpeningGate | None = None,
    ) -> None:
        self._log = log
        self._venue = venue
        self._settings = settings
        self._clock = clock
        self._is_serving = False
        self._connections = Connections()
        self._views = {m.code: MarketView(log, venue, m, clock) for m in venue.market}
        self._hub = ReportHub(venue)
        for view in self._views.values():
            view.listeners.append(self._hub.publish)
        writer = random_id()
        self._submitters = {
            m.code: Submitter(
                log, m, clock, writer=writer, batch_interval_us=settings.batch_interval_us
            )
            for m in venue.market
        }
        desks = {
            m.code: Desk(m, self._submitters[m.code], self._views[m.code]) for m in venue.market
        }
        throttle = Throttle(clock, settings.throttle_per_second)
        self.context = Context(
            venue=venue,
            settings=settings,
            clock=clock,
            identities=Identities(venue, clock),
            throttle=throttle,
            entry=OrderEntry(venue, desks, throttle, clock),
            feed=Feed(log, venue, self._views, clock),
            views=self._views,
            alerts=Alerts(log, venue),
            not_ready=self._not_ready,
            books=books,
            gate=gate,
        )
        self._disconnects = Disconnects(self.context.entry)
        self._intake = Intake(log, self.context)
        for view in self._views.values():
            view.listeners.append(self._intake.changed)
        self.http_port = 0
        self.websocket_port = 0
        self.started = asyncio.Event()  # set when both ports answer
        self._logger = structlog.get_logger().bind(service=self.name)

    @property
    def is_ready(self) -> bool:
        """True once everything on the log at the start has been read and the ports answer."""
        return self._is_serving and not self._not_ready()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads what the log holds, then serves until `stop`; then finishes what is in hand."""
        await self._log.create(p for m in self._venue.market for p in topics.of_market(m.partition))
        await self._intake.create()  # who sees the ports answer may append there
        inner = asyncio.Event()  # views and writers outlive the servers, to answer what came last
        try:
            async with asyncio.TaskGroup() as group:
                for view in self._views.values():
                    group.create_task(view.run(inner))
                group.create_task(self.context.feed.run(inner))
                group.create_task(self.context.alerts.run(inner))
                while self._not_ready() and not stop.is_set():  # noqa: ASYNC110 - many conditions
                    await asyncio.sleep(READY_POLL_S)
                for submitter in self._submitters.values():
                    group.create_task(submitter.run(inner))
                async with self._servers():
                    self._is_serving = True
                    self.started.set()
                    self._logger.info(
                        "serving", http_port=self.http_port, websocket_port=self.websocket_port
                    )
                    await self._intake.run(stop)
                    self._is_serving = False
                inner.set()
        finally:
            inner.set()

    def _not_ready(self) -> list[str]:
        waiting = [f"view-{code}" for code, view in self._views.items() if not view.is_ready]
        waiting += [] if self.context.feed.is_ready else ["feed"]
        return waiting if self.context.alerts.is_ready else [*waiting, "alerts"]

    @contextlib.asynccontextmanager
    async def _servers(self) -> AsyncIterator[None]:
        sockets = await ws_create_server(
            self._listener,
            self._settings.host,
            self._settings.websocket_port,
            max_frame_size=FRAME_BYTES_MAX,
            enable_auto_ping=True,
            auto_ping_idle_timeout=PING_S,
            auto_ping_reply_timeout=PING_S,
        )
        self.websocket_port = sockets.sockets[0].getsockname()[1]
        self.context.websocket_port = self.websocket_port
        listener = socket.create_server((self._settings.host, self._settings.http_port))
        self.http_port = listener.getsockname()[1]
        config = uvicorn.Config(
            build_app(self.context),
            loop="none",
            lifespan="off",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=60,
            limit_concurrency=SESSIONS_MAX,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():  # noqa: ASYNC110 - no event
                await asyncio.sleep(READY_POLL_S)
            yield
        finally:
            server.should_exit = True
            self._disconnects.stop()
            self._connections.close_all()
            sockets.close()
            await serving
            await sockets.wait_closed()

    def _listener(self, request: WSUpgradeRequest) -> WSListener | None:
        path = request.path.decode("latin-1").partition("?")[0]
        if path == "/orders":
            return OrderSession(self._connections, self.context, self._hub, self._disconnects)
        if path == "/drop-copy":
            return DropCopy(self._connections, self.context, self._hub, self._disconnects)
        if path == "/marketdata":
            return Subscriber(self._connections, self.context.feed)
        return None
