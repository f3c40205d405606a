"""The network between a member and a gateway, in memory: slow, clogged, cut, and in order.

A message is on its way for a time drawn from the seed and never overtakes another of the same
direction. A clogged wire carries nothing; a cut one loses what was on its way, and each side learns
of the cut by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

from picows import WSMsgType

from exchange.simulation.faults.loop import SimulatedLoop
from gateway.service import GatewayService
from gateway.websocket.sessions import OrderSession
from gateway.websocket.sockets import Connection

DELAY_S_MAX = 0.003
NOTICE_S_MAX = 0.5  # until a side learns that the wire is cut
CLOG_CUT_S = 12.0  # as long as pings may go unanswered


class SimulatedGateway(GatewayService):
    """The gateway without ports: whoever wants in asks `open_session`."""

    @contextlib.asynccontextmanager
    async def _servers(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self._disconnects.stop()
            self._connections.close_all()

    def open_session(self) -> OrderSession:
        """A connection of order entry, as the listener of the port gives it."""
        return OrderSession(self._connections, self.context, self._hub, self._disconnects)


class _Frame:
    """One whole frame, as picows gives it."""

    __slots__ = ("_payload", "fin", "msg_type")

    def __init__(self, msg_type: WSMsgType, payload: bytes) -> None:
        self.msg_type = msg_type
        self.fin = True
        self._payload = payload

    def get_payload_as_bytes(self) -> bytes:
        """The message."""
        return self._payload


class Wire:
    """One connection. `received` and `lost` are called on the member's side."""

    def __init__(
        self,
        loop: SimulatedLoop,
        rng: random.Random,
        connection: Connection,
        *,
        context: Any,
        received: Callable[[bytes], None],
        lost: Callable[[], None],
    ) -> None:
        self.is_open = True
        self.clogged_until = 0.0
        self.underlying_transport = self  # the gateway asks it for its address and what waits
        self._loop = loop
        self._rng = rng
        self._connection = connection
        self._context = context  # of the gateway's process
        self._received = received
        self._lost = lost
        self._arrives = {"in": 0.0, "out": 0.0}
        self._unsent = 0
        context.run(connection.on_ws_connected, self)

    # -- the member's side ----------------------------------------------------------------------

    def say(self, data: bytes) -> None:
        """Sends a message to the gateway."""
        if self.is_open:
            self._loop.call_at(self._when("in"), self._hear, data, context=self._context)

    def cut(self) -> None:
        """The wire is gone; both sides notice, each in its own time."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.call_later(self._rng.random() * NOTICE_S_MAX, self._lost)
        disconnected: Any = self._connection.on_ws_disconnected
        self._loop.call_later(
            self._rng.random() * NOTICE_S_MAX, disconnected, self, context=self._context
        )

    def _hear(self, data: bytes) -> None:
        if self.is_open:
            self._connection.on_ws_frame(self, _Frame(WSMsgType.TEXT, data))  # type: ignore[arg-type]

    # -- the gateway's side: what it uses of picows' transports ----------------------------------

    def send(self, _type: WSMsgType, data: bytes) -> None:
        """Sends a message to the member."""
        if self.is_open:
            self._unsent += len(data)
            self._loop.call_at(self._when("out"), self._arrive, bytes(data))

    def send_close(self, *_: Any) -> None:
        """The close frame: the cut follows it."""

    def disconnect(self, *_: Any) -> None:
        """The gateway ends the connection."""
        self.cut()

    def get_extra_info(self, _name: str) -> tuple[str, int]:
        """The peer's address."""
        return "192.0.2.1", 1

    def get_write_buffer_size(self) -> int:
        """Bytes that have not arrived."""
        return self._unsent

    def _arrive(self, data: bytes) -> None:
        self._unsent -= len(data)
        if self.is_open:
            self._received(data)

    def _when(self, way: str) -> float:
        start = max(self._loop.time(), self.clogged_until)
        self._arrives[way] = max(self._arrives[way], start + self._rng.random() * DELAY_S_MAX)
        return self._arrives[way]


def drop_wires(wires: list[Wire]) -> None:
    """Cuts every wire of a gateway that died. O(wires)."""
    for wire in wires:
        wire.cut()


async def pause_s(seconds: float) -> None:
    """Virtual seconds."""
    await asyncio.sleep(seconds)
