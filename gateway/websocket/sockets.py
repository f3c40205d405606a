"""What the two kinds of WebSocket connection share: bounds, time-outs, a last word before a cut."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from exchange import metrics
from exchange.messages.executions import Closing
from exchange.messages.reasons import EdgeReason
from exchange.settings import LOGON_TIMEOUT_S, SESSION_BODY_BYTES_MAX, SESSIONS_MAX
from gateway.refusal import Refused

FRAME_BYTES_MAX = 2 * SESSION_BODY_BYTES_MAX  # above it the frame is not even read: cut at once
encode = msgspec.json.Encoder().encode
pack = msgspec.msgpack.Encoder().encode


class Connections:
    """How many connections there are; bounded by SESSIONS_MAX over both kinds."""

    def __init__(self) -> None:
        self.open: dict[Connection, None] = {}  # as they came; a set of them would have any order

    def close_all(self) -> None:
        """Says good-bye to everyone: the venue stops."""
        for connection in list(self.open):
            connection.cut(Refused(EdgeReason.VENUE_BUSY, "the gateway stops"))


class Connection(WSListener):
    """One connection: whole frames in and out, a bounded send buffer.

    JSON text frames; binary frames carry MessagePack where the kind of connection takes them, and
    then so do all that the venue sends.
    """

    interface = ""  # label of the metrics
    queue_bytes_max = 0
    takes_binary = False
    first_word = "Logon"  # what it must say in time, or it is cut
    is_binary = False  # what the other side speaks

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: WSTransport | None = None
        self._timeout: asyncio.TimerHandle | None = None
        self.address = ""
        self._spoken: WSMsgType | None = None  # None: nothing was said yet

    @property
    def is_open(self) -> bool:
        """Whether something can still be sent."""
        return self._transport is not None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Counts the connection and starts the time to introduce itself."""
        self._transport = transport
        peer = transport.underlying_transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        if len(self._connections.open) >= SESSIONS_MAX:
            self.cut(Refused(EdgeReason.TOO_MANY_CONNECTIONS))
            return
        self._connections.open[self] = None
        metrics.GATEWAY_SESSIONS.labels(self.interface, "connected").inc()
        loop = asyncio.get_running_loop()
        self._timeout = loop.call_later(LOGON_TIMEOUT_S, self._introduce_late)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forgets the connection."""
        self._transport = None
        self.introduced()
        if self in self._connections.open:
            del self._connections.open[self]
            metrics.GATEWAY_SESSIONS.labels(self.interface, "connected").dec()
            self.closed()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One message; what is no whole frame is refused, and all after a cut is dropped."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        if self._transport is None or frame.msg_type in (WSMsgType.PING, WSMsgType.PONG):
            return  # after the last word nothing is heard
        try:
            self._check_frame(frame)
            self.received(frame.get_payload_as_bytes())
        except Refused as refused:
            metrics.GATEWAY_REJECTIONS.labels(self.interface, refused.row.name).inc()
            self.refuse(refused)

    def _check_frame(self, frame: WSFrame) -> None:
        """The first message says what both sides speak."""
        if self._spoken is None and self.takes_binary and frame.msg_type == WSMsgType.BINARY:
            self.is_binary = True
        kind = self._frame_type
        if not frame.fin or frame.msg_type != kind:
            raise Refused(
                EdgeReason.MALFORMED_JSON,
                f"send whole {'binary' if self.is_binary else 'text'} frames",
            )
        self._spoken = kind

    def received(self, data: bytes) -> None:
        """One message; may raise Refused."""
        raise NotImplementedError

    def refuse(self, refused: Refused) -> None:
        """Answers a message that was refused; by default that ends the connection."""
        self.cut(refused)

    def closed(self) -> None:
        """The connection is gone."""

    def check(self, now_ns: int) -> None:
        """Called about once a second: whether the connection may stay."""

    def introduced(self) -> None:
        """The other side has said who it is or what it wants: it may stay."""
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def send(self, data: bytes) -> bool:
        """Sends a frame; cuts a reader that does not keep up, then returns False."""
        transport = self._transport
        if transport is None:
            return False
        if transport.underlying_transport.get_write_buffer_size() > self.queue_bytes_max:
            metrics.FEED_DROPPED.labels(self.interface).inc()
            self.cut(
                Refused(EdgeReason.SLOW_READER, f"more than {self.queue_bytes_max} bytes wait")
            )
            return False
        transport.send(self._frame_type, data)
        return True

    @property
    def _frame_type(self) -> WSMsgType:
        return WSMsgType.BINARY if self.is_binary else WSMsgType.TEXT

    def encoded(self, message: Any) -> bytes:
        """A message in the encoding that the other side speaks. O(bytes)."""
        return pack(message) if self.is_binary else encode(message)

    def cut(self, refused: Refused) -> None:
        """The last message says why; the close frame carries the reason's name."""
        transport, self._transport = self._transport, None
        if transport is None:
            return
        closing: Any = Closing(refused.row.number, refused.row.name, refused.text)
        transport.send(self._frame_type, self.encoded([closing]))
        transport.send_close(WSCloseCode.POLICY_VIOLATION, refused.row.name.encode())
        # what a slow reader has not taken by then is thrown away with the connection
        asyncio.get_running_loop().call_later(1, transport.disconnect, False)

    def _introduce_late(self) -> None:
        text = f"no {self.first_word} came within {LOGON_TIMEOUT_S} s"
        self.cut(Refused(EdgeReason.SILENT_CONNECTION, text))
