"""The FIX port: connections, their logon, their bounds; one connection for each session.

The first message is a Logon of a participant's key: SenderCompID is the key's id, RawData is base64
of the Ed25519 signature over MsgType, SenderCompID, TargetCompID, MsgSeqNum and SendingTime, joined
by SOH. A connection that cannot say who it is gets a Logout and uses up no number of the session.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from functools import partial

import structlog

from exchange import metrics
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from exchange.settings import (
    FIX_CONNECTIONS_MAX,
    FIX_GARBLED_MAX,
    FIX_QUEUE_BYTES_MAX,
    LOGON_TIMEOUT_S,
)
from gateway.access.connection_limits import ConnectionLimits, Counted
from gateway.access.identity import Signed
from gateway.access.roles import allow
from gateway.context import Context
from gateway.fix import session
from gateway.fix.codec import SOH, Framer, GarbledError, Message, decode, encode, plain, utc_ns
from gateway.fix.dictionary import CHECKS
from gateway.fix.member import MemberSession
from gateway.fix.store import FixStore, StoreError
from gateway.refusal import Refused
from gateway.websocket.disconnects import Disconnects
from gateway.websocket.sessions import ReportHub

CANCELLING = ("S", "P")  # CancelOrdersOnDisconnect
TICK_S = 0.25
STORE_FILE = "fix.sqlite"
LAST_WORD_S = 1  # what a slow reader has not taken by then goes with the connection


def signed_logon(sender: str, target: str, sequence: int | str, sending_time: str) -> bytes:
    """The text that a Logon's signature is over."""
    return SOH.join(("A", sender, target, str(sequence), sending_time)).encode()


class FixAcceptor:
    """The FIX server of a gateway."""

    def __init__(
        self,
        context: Context,
        hub: ReportHub,
        disconnects: Disconnects,
        limits: ConnectionLimits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._tls = tls
        self.limits = limits
        self._context = context
        self._hub = hub
        self._disconnects = disconnects
        self._store: FixStore | None = None
        self._members: dict[str, MemberSession] = {}
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.connections: set[FixConnection] = set()
        self.port = 0
        self.logger = structlog.get_logger().bind(service="gateway", interface="fix")

    async def start(self) -> None:
        """Opens the store and the port; OSError says what is in the way."""
        settings = self._context.settings
        self._store = FixStore(settings.data / STORE_FILE)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: FixConnection(self),
                settings.host,
                max(settings.fix_port, 0),
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else LOGON_TIMEOUT_S,
            )
        except OSError:
            self._store.close()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Logs every session out and closes the port; idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        if self._ticking is not None:
            self._ticking.cancel()
        for connection in list(self.connections):
            connection.say_goodbye()
        await asyncio.sleep(0)
        for member in self._members.values():
            member.retire()
        if self._store is not None:
            self._store.close()

    def log_on(self, connection: FixConnection, message: Message) -> MemberSession:
        """The session that a Logon opens; Refused if it may not."""
        if self._store is None:
            raise Refused(EdgeReason.VENUE_BUSY, "the gateway starts")
        if message.msg_type != "A":
            raise Refused(EdgeReason.UNKNOWN_KEY, "the first message must be a Logon")
        if message.fault is not None:
            raise Refused(EdgeReason.INVALID_FIELD, message.fault.text)
        sender, target = message.get(49), message.get(56)
        ours = self._context.settings.fix_comp_id
        if target != ours:
            raise Refused(EdgeReason.INVALID_FIELD, f"TargetCompID is {ours} here")
        sending = message.get(52)
        signed = Signed(sender, utc_ns(sending), 0, message.get(96))
        text = signed_logon(sender, target, message.get(34), sending)
        key = self._context.verified_text(signed, text, connection.address)
        allow(key, "FIX_LOGON")
        if message.get(8013) in CANCELLING:  # what ends orders needs leave to
            allow(key, "OrderMassCancelRequest")
        member = self._members.get(key.id)
        if member is None or member.is_retired:
            member = MemberSession(key, self._context, self._hub, self._disconnects, self._store)
            self._members[key.id] = member
        member.key = key  # scopes may have changed since
        if member.is_connected:
            raise Refused(EdgeReason.TOO_MANY_CONNECTIONS, f"key {key.id} is logged on already")
        if member.is_new and message.sequence != 1 and message.get(141) != "Y":
            raise Refused(
                EdgeReason.INVALID_FIELD,
                "This gateway knows no numbers of this session: begin with MsgSeqNum 1 or "
                "ResetSeqNumFlag=Y",
            )
        return member

    def tick(self) -> None:
        """Time has passed, for every connection. O(connections)."""
        for connection in list(self.connections):
            try:
                connection.tick()
            except Exception:
                # one broken session must not stop the others' heartbeats
                self.logger.exception("fix_tick_failed")
                connection.abort("the session failed")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def standing(self, key: Key) -> Refused | None:
        """Why a key may no longer be used; None while it may. O(1)."""
        return self._context.identities.ring.standing(key, self.now_ns())

    def now_ns(self) -> int:
        """The gateway's clock."""
        return self._context.clock.now_ns()

    @property
    def comp_id(self) -> str:
        """The venue's CompID."""
        return self._context.settings.fix_comp_id


class FixConnection(asyncio.Protocol):
    """One connection to the port."""

    def __init__(self, acceptor: FixAcceptor) -> None:
        self._acceptor = acceptor
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._member: MemberSession | None = None
        self._since_ns = acceptor.now_ns()
        self._garbled = 0
        self._counted = Counted(acceptor.limits)
        self.address = ""

    def connection_made(  # type: ignore[override]
        self, transport: asyncio.Transport
    ) -> None:
        """Counts it; one too many gets a Logout with the reason."""
        self._transport = transport
        try:
            if len(self._acceptor.connections) >= FIX_CONNECTIONS_MAX:
                raise Refused(EdgeReason.TOO_MANY_CONNECTIONS)
            self._counted.enter(transport)
        except Refused as refused:
            self._turn_away("UNKNOWN", refused)
            return
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._acceptor.connections.add(self)
        metrics.GATEWAY_SESSIONS.labels("fix", "connected").inc()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets it; the session goes on without a connection."""
        self._transport = None
        self._counted.leave()
        self._leave_member()
        if self in self._acceptor.connections:
            self._acceptor.connections.discard(self)
            metrics.GATEWAY_SESSIONS.labels("fix", "connected").dec()

    def data_received(self, data: bytes) -> None:
        """Whole messages go to the session; garbled ones are dropped, as FIX says."""
        for found in self._framer.feed(data):
            if self._transport is None:
                return
            if isinstance(found, GarbledError):
                self._drop(found)
                continue
            self._guarded(partial(self._hear, decode(found)))

    def send(self, data: bytes) -> None:
        """Sends bytes; cuts a reader that does not keep up."""
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() > FIX_QUEUE_BYTES_MAX:
            metrics.FEED_DROPPED.labels("fix").inc()
            self.abort("it does not read what is sent to it")
            return
        transport.write(data)

    def close(self, why: str) -> None:
        """Ends the connection after what was sent; nothing more is heard."""
        transport, self._transport = self._transport, None
        self._leave_member()
        if transport is None:
            return
        self._acceptor.logger.info("fix_closed", key=self._name(), why=why)
        transport.close()
        asyncio.get_running_loop().call_later(LAST_WORD_S, transport.abort)

    def tick(self) -> None:
        """Time has passed."""
        member = self._member
        if member is not None:
            over = self._acceptor.standing(member.key)
            if over is None:
                self._guarded(member.tick)
            else:
                self._guarded(lambda: member.leave(plain(over.text), over.row.number))
                self.close(over.text)
        elif self._acceptor.now_ns() - self._since_ns > LOGON_TIMEOUT_S * session.SECOND:
            self.close(f"no Logon within {LOGON_TIMEOUT_S} s")

    def say_goodbye(self) -> None:
        """The gateway stops."""
        member = self._member
        if member is not None:
            self._guarded(lambda: member.leave("The gateway stops", EdgeReason.VENUE_BUSY))
        self.close("the gateway stops")

    def abort(self, why: str) -> None:
        """Ends the connection at once."""
        transport, self._transport = self._transport, None
        self._leave_member()
        if transport is not None:
            self._acceptor.logger.warning("fix_cut", why=why)
            transport.abort()

    def _guarded(self, work: Callable[[], None]) -> None:
        """A store that fails ends the connection: nothing is said that is not kept."""
        try:
            work()
        except StoreError as error:
            if self._member is not None:
                self._member.fail(error)
            self.abort("the store failed")

    def _hear(self, message: Message) -> None:
        if self._member is not None:
            self._member.received(message)
        else:
            self._log_on(message)

    def _log_on(self, message: Message) -> None:
        try:
            member = self._acceptor.log_on(self, message)
        except Refused as refused:
            named = message.get(49)
            self._turn_away(named if CHECKS["STRING"](named) else "UNKNOWN", refused)
            return
        self._member = member
        member.attach(self, message)

    def _turn_away(self, target: str, refused: Refused) -> None:
        metrics.GATEWAY_REJECTIONS.labels("fix", refused.row.name).inc()
        values = ((58, plain(refused.text)), (20001, refused.row.number))
        self.send(encode("5", 1, self._acceptor.comp_id, target, self._acceptor.now_ns(), values))
        self.close(refused.text)

    def _drop(self, error: GarbledError) -> None:
        metrics.GATEWAY_REJECTIONS.labels("fix", "GARBLED").inc()
        self._garbled += 1
        if error.is_fatal or self._garbled > FIX_GARBLED_MAX:
            member = self._member
            if member is not None:
                self._guarded(lambda: member.leave(str(error), EdgeReason.BODY_TOO_LARGE))
            self.close(str(error))

    def _leave_member(self) -> None:
        member, self._member = self._member, None
        if member is not None:
            self._guarded(member.detach)

    def _name(self) -> str:
        return self._member.key.id if self._member is not None else ""
