"""GatewayService: the views, the writers, REST, sockets, FIX and intake of one process."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncIterator, Iterator
from hashlib import blake2b
from typing import Any

import msgspec
import structlog
import uvicorn
from picows import WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener

from exchange import topics
from exchange.clock import Clock, random_id
from exchange.database.connection import Database
from exchange.log.protocol import Log, LogError
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Venue
from exchange.settings import Settings
from exchange.stands import Keeper, Stands
from gateway.access import operators
from gateway.access.addresses import Origins
from gateway.access.connection_limits import ConnectionLimits
from gateway.access.identity import Identities
from gateway.access.key_watch import KeyWatch
from gateway.access.logins import Logins
from gateway.access.operators import load_operators
from gateway.access.throttle import Throttle
from gateway.access.tls import Certificate
from gateway.context import Context
from gateway.control.opening import OpeningGate
from gateway.control.operations import Operations
from gateway.control.timetable import Timetables
from gateway.entry.intake import Intake
from gateway.entry.order_entry import Desk, OrderEntry
from gateway.entry.submitter import Submitter
from gateway.fix.acceptor import FixAcceptor
from gateway.refusal import Refused
from gateway.rest.app import App
from gateway.rest.http_direct import DirectProtocol
from gateway.views.alerts import Alerts
from gateway.views.checkpoints import Checkpoints
from gateway.views.venue_view import MarketView
from gateway.websocket.disconnects import Disconnects
from gateway.websocket.feed import Feed
from gateway.websocket.sessions import DropCopy, OrderSession, ReportHub
from gateway.websocket.socket_server import open_sockets, refused_upgrade
from gateway.websocket.sockets import Connections
from gateway.websocket.subscriber import Subscriber

READY_POLL_S = 0.02
KEEP_LOOK_S = 1.0  # between two looks whether a stand is due
DRAIN_S = 2  # how long open HTTP requests may take when the venue stops


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
        stands: Stands | None = None,
    ) -> None:
        self._log = log
        self._keeper = Keeper(stands)
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
            code: self._submitter(view, writer) for code, view in self._views.items()
        }
        desks = {
            m.code: Desk(m, self._submitters[m.code], self._views[m.code]) for m in venue.market
        }
        throttle = Throttle(
            clock, settings.throttle_per_second, settings.throttle_address_per_second
        )
        identities = Identities(venue, clock)
        operators_path = settings.data / operators.FILE
        logins = Logins(load_operators(operators_path, venue), settings.data, clock)
        self._watch = KeyWatch(
            venue, settings.venue, operators_path, identities.ring, logins, self._connections, clock
        )
        entry = OrderEntry(venue, desks, throttle, clock)
        self.context = Context(
            venue=venue,
            settings=settings,
            clock=clock,
            identities=identities,
            throttle=throttle,
            entry=entry,
            operations=Operations(entry, clock, settings.throttle_per_second),
            feed=Feed(log, venue, self._views),
            views=self._views,
            origins=Origins(settings.trusted_proxies),
            logins=logins,
            alerts=Alerts(log, venue, self._views),
            checkpoints=Checkpoints(log, venue),
            not_ready=self._not_ready,
            books=books,
            gate=gate,
        )
        operations, tick_ms = self.context.operations, settings.engine_tick_ms
        self.timetables = Timetables(venue, entry, operations, self._views, gate, clock, tick_ms)
        self._certificate = Certificate.of(settings)
        self._tls = None if self._certificate is None else self._certificate.context
        self._limits = ConnectionLimits(settings.connections_per_address, self.context.origins)
        self._disconnects = Disconnects(self.context.entry)
        self._intake = Intake(log, self.context)
        self.fix = self._fix()
        for view in self._views.values():
            view.listeners.append(self._intake.changed)
        self.http_port = self.websocket_port = 0
        self.fix_port = 0  # 0: there is none
        self.started = asyncio.Event()  # set when every port answers
        self._logger = structlog.get_logger().bind(service=self.name)

    def _submitter(self, view: MarketView, writer: int) -> Submitter:
        return Submitter(
            self._log,
            view.market,
            self._clock,
            writer=writer,
            batch_interval_us=self._settings.batch_interval_us,
            obstacle=view.obstacle,
            wrote=view.orders.wrote,
        )

    def _fix(self) -> FixAcceptor | None:
        if not self._settings.fix_port:
            return None
        return FixAcceptor(self.context, self._hub, self._disconnects, self._limits, self._tls)

    @property
    def is_ready(self) -> bool:
        """True once everything on the log at the start has been read and the ports answer."""
        return self._is_serving and not self._not_ready()

    async def run(self, stop: asyncio.Event) -> None:
        """Reads what the log holds, then serves until `stop`; then finishes what is in hand."""
        await self._log.create(p for m in self._venue.market for p in topics.of_market(m.partition))
        await self._intake.create()  # who sees the ports answer may append there
        await self._stand_up()
        inner = asyncio.Event()  # views and writers outlive the servers, to answer what came last
        try:
            async with asyncio.TaskGroup() as group:
                for view in self._views.values():
                    group.create_task(self._follow(view, inner))
                group.create_task(self.context.feed.run(inner))
                group.create_task(self.context.alerts.run(inner))
                group.create_task(self.context.checkpoints.run(inner))
                group.create_task(self._keep(inner))
                while self._not_ready() and not stop.is_set():  # noqa: ASYNC110 - many conditions
                    await asyncio.sleep(READY_POLL_S)
                for submitter in self._submitters.values():
                    group.create_task(submitter.run(inner))
                group.create_task(self._watch.run(inner))
                group.create_task(self.timetables.run(inner))
                if self._certificate is not None:
                    group.create_task(self._certificate.run(inner))
                async with self._servers():
                    self._is_serving = True
                    self.started.set()
                    self._logger.info(
                        "serving",
                        http_port=self.http_port,
                        websocket_port=self.websocket_port,
                        fix_port=self.fix_port,
                    )
                    await self._intake.run(stop)
                    self._is_serving = False
                inner.set()
            await self._keeper.close(self._stand(), self.events_read)
        finally:
            inner.set()

    # -- where it stands ---------------------------------------------------------------------------

    @property
    def events_read(self) -> int:
        """How many records of `events` are in the views, of all markets together. O(markets)."""
        return sum(view.events_read for view in self._views.values())

    def _stand(self) -> dict[str, Any] | None:
        views = {code: view.stand() for code, view in self._views.items()}
        feed = self.context.feed.stand()
        if not feed or not all(views.values()):
            return None
        return {"venue": self._digest(), "views": views, "feed": feed}

    def _digest(self) -> bytes:
        """Of what the projections take from the venue file."""
        venue = self._venue
        named = (venue.market, venue.instrument, venue.participant, venue.account)
        return blake2b(msgspec.msgpack.encode(named), digest_size=16).digest()

    async def _stand_up(self) -> None:
        """Goes on from the last stand, if the log led to all that is in it."""
        found = await self._keeper.load()
        if found is None:
            return
        try:
            feed = self.context.feed
            fits = (
                found["venue"] == self._digest()
                and await feed.follows(found["feed"])
                and all(
                    [
                        await self._views[code].follows(stand)
                        for code, stand in found["views"].items()
                    ]
                )
            )
        except LogError:
            fits = False  # then all is read, when it is there, and what is wrong is found
        if not fits:
            self._logger.warning("stand passed over: neither this log nor this venue led to it")
            return
        feed.go_on(found["feed"])
        for code, stand in found["views"].items():
            self._views[code].go_on(stand)
        self._keeper.begins(self.events_read)
        self._logger.info("stands", events_read=self.events_read)

    async def _keep(self, stop: asyncio.Event) -> None:
        """Keeps a stand each so many records of `events`, until `stop`."""
        while not stop.is_set():
            try:
                async with asyncio.timeout(KEEP_LOOK_S):
                    await stop.wait()
            except TimeoutError:
                count = self.events_read
                stand = self._stand() if self._keeper.is_due(count) else None
                if stand is not None:
                    self._keeper.draft(stand, count)

    async def _follow(self, view: MarketView, stop: asyncio.Event) -> None:
        """Follows a market; raises what stopped it when no other is left to serve."""
        await view.run(stop)
        if view.failure is not None and all(v.failure is not None for v in self._views.values()):
            raise view.failure

    def _not_ready(self) -> list[str]:
        waiting = [
            f"view-{code}"
            for code, view in self._views.items()
            if not view.is_ready and view.failure is None
        ]
        waiting += [] if self.context.feed.is_ready else ["feed"]
        return waiting if self.context.alerts.is_ready else [*waiting, "alerts"]

    @contextlib.asynccontextmanager
    async def _servers(self) -> AsyncIterator[None]:
        sockets = await open_sockets(
            self._listener,
            self._settings.host,
            self._settings.websocket_port,
            self._limits,
            self._tls,
        )
        self.websocket_port = sockets.sockets[0].getsockname()[1]
        self.context.websocket_port = self.websocket_port
        listener = socket.create_server((self._settings.host, self._settings.http_port))
        self.http_port = listener.getsockname()[1]
        config = uvicorn.Config(
            App(self.context),
            loop="none",
            http=functools.partial(DirectProtocol, self._limits),  # type: ignore[arg-type]
            lifespan="off",
            ws="none",
            proxy_headers=False,  # `Origins` judges them
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN_S,
            timeout_keep_alive=60,
        )
        config.load()
        config.ssl = self._tls  # uvicorn would make one of its own, that nobody reads again
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            if self.fix is not None:
                await self.fix.start()
                self.fix_port = self.fix.port
            while not server.started and not serving.done():  # noqa: ASYNC110 - no event
                await asyncio.sleep(READY_POLL_S)
            yield
        finally:
            server.should_exit = True
            self._disconnects.stop()
            if self.fix is not None:
                await self.fix.stop()
            self._connections.close_all()
            sockets.close()
            await serving
            await sockets.wait_closed()

    def _listener(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
        path = request.path.decode("latin-1").partition("?")[0]
        if path == "/orders":
            return OrderSession(self._connections, self.context, self._hub, self._disconnects)
        if path == "/drop-copy":
            return DropCopy(self._connections, self.context, self._hub, self._disconnects)
        if path == "/marketdata":
            return Subscriber(self._connections, self.context.feed)
        paths = "sockets are /orders, /drop-copy and /marketdata"
        return refused_upgrade(Refused(EdgeReason.NOT_FOUND, f"{path[:40]!r} is no path: {paths}"))
