"""Uvicorn's HTTP connection with the bounds it lacks: slow or endless headers, unread answers.

A connection that has not sent its headers HEADER_TIMEOUT_S after it was made, or after the first
byte of a later request, is cut; so is one that takes nothing of its answer for WRITE_TIMEOUT_S.
Above HEADERS_MAX lines or HEADER_BYTES_MAX bytes the answer is a problem document and the end.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exchange import metrics
from exchange.messages.reasons import AccessReason
from exchange.settings import HEADER_BYTES_MAX, HEADER_TIMEOUT_S, HEADERS_MAX, WRITE_TIMEOUT_S
from gateway.refusal import Refused


class _TooLargeError(Exception):
    """Ends the parser's work on this connection."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection; counts the headers while they come in. O(1) a header line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_heading = True
        self._is_too_large = False
        self._heard = 0  # bytes of a request whose headers are not complete
        self._bytes = 0  # of names and values
        self._lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The time for the first headers begins."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuses headers that never end, before the parser has gathered them."""
        if self._is_too_large:
            return
        super().data_received(data)
        self._heard += len(data)
        if self._is_heading and self._heard > 2 * HEADER_BYTES_MAX and not self._is_too_large:
            self._is_too_large = True
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_heading, self._lines, self._bytes, self._heard = True, 0, 0, 0
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._cut)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a line."""
        self._lines += 1
        self._bytes += len(name) + len(value)
        if self._lines > HEADERS_MAX or self._bytes > HEADER_BYTES_MAX:
            self._is_too_large = True
            raise _TooLargeError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_timer()
        self._is_heading, self._heard = False, 0
        super().on_headers_complete()

    def pause_writing(self) -> None:
        """The other side takes no more for now."""
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_TIMEOUT_S, self._abort)

    def resume_writing(self) -> None:
        """The other side goes on."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Says what was wrong with the headers; other nonsense is answered as before."""
        if not self._is_too_large:
            super().send_400_response(msg)
            return
        refused = Refused(AccessReason.HEADERS_TOO_LARGE)
        metrics.GATEWAY_REJECTIONS.labels("rest", refused.row.name).inc()
        problem = msgspec.json.encode(refused.problem())
        head = (
            "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            "content-type: application/problem+json\r\nconnection: close\r\n"
            f"content-length: {len(problem)}\r\n\r\n"
        )
        self.transport.write(head.encode() + problem)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        self._timer = None
        self.transport.close()

    def _abort(self) -> None:
        self._write_timer = None
        cast(asyncio.WriteTransport, self.transport).abort()
