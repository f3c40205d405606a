"""The port of the sockets: picows, with connections that are counted before they say anything."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any

import aiofastnet
import msgspec
from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)
from picows.api import WSProtocol  # type: ignore[attr-defined]

from exchange import metrics
from exchange.settings import HEADER_BYTES_MAX, HEADER_TIMEOUT_S
from gateway.access.connection_limits import ConnectionLimits, Counted, refusal_over_http
from gateway.refusal import Refused
from gateway.websocket.sockets import FRAME_BYTES_MAX

PING_S = 20
Factory = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener]


def refused_upgrade(refused: Refused) -> WSUpgradeResponseWithListener:
    """The answer to an upgrade that is not to be: the problem document, and the end."""
    metrics.GATEWAY_REJECTIONS.labels("websocket", refused.row.name).inc()
    answer = WSUpgradeResponse.create_error_response(
        refused.row.status,
        msgspec.json.encode(refused.problem()),
        {"Content-Type": "application/problem+json"},
    )
    return WSUpgradeResponseWithListener(answer, None)


class _CountedProtocol(WSProtocol):  # type: ignore[misc]
    counted: Counted
    is_admitted = False

    def connection_made(self, transport: Any) -> None:
        """Counts it, or answers with the reason and ends it."""
        try:
            self.counted.enter(transport)
        except Refused as refused:
            transport.write(refusal_over_http(refused, "websocket"))
            transport.close()
            return
        self.is_admitted = True
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.counted.leave()
        if self.is_admitted:
            super().connection_lost(exc)


async def open_sockets(
    factory: Factory,
    host: str,
    port: int,
    limits: ConnectionLimits,
    tls: ssl.SSLContext | None = None,
) -> asyncio.Server:
    """Listens; `factory` gives the listener of an upgrade, or `refused_upgrade`.

    An upgrade that has not come HEADER_TIMEOUT_S after the connection ends it. `ws_create_server`
    of picows has no place for a protocol of one's own, so what it does is done here.
    """
    logger = logging.getLogger("picows.server")

    def protocol() -> _CountedProtocol:
        made = _CountedProtocol(
            None, None, False, factory, logger, True, HEADER_TIMEOUT_S, True, PING_S, PING_S,
            WSAutoPingStrategy.PING_WHEN_IDLE, True, FRAME_BYTES_MAX, None, HEADER_BYTES_MAX,
        )  # fmt: skip
        made.counted = Counted(limits)
        return made

    return await aiofastnet.create_server(
        asyncio.get_running_loop(),
        protocol,
        host,
        port,
        ssl=tls,
        ssl_handshake_timeout=None if tls is None else HEADER_TIMEOUT_S,
    )
