"""Uvicorn's HTTP connection with the bounds it lacks: slow or endless headers, unread answers.

A connection that has not sent its headers HEADER_TIMEOUT_S after it was made, or after the first
byte of a later request, is cut; so is one that takes nothing of its answer for WRITE_TIMEOUT_S. No
timer is made for headers that come in one piece, and one for many pauses between requests.
Above HEADERS_MAX lines or HEADER_BYTES_MAX bytes the answer is a problem document and the end, as
it is for one connection too many.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from exchange.messages.reasons import AccessReason
from exchange.settings import HEADER_BYTES_MAX, HEADER_TIMEOUT_S, HEADERS_MAX, WRITE_TIMEOUT_S
from gateway.access.connection_limits import ConnectionLimits, Counted, refusal_over_http
from gateway.refusal import Refused


class _TooLargeError(Exception):
    """Ends the parser's work on this connection."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection; counts the headers while they come in. O(1) a header line."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._counted = Counted(limits)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._is_heading = True
        self._is_too_large = False
        self._is_over = False  # the last answer was given: nothing more is heard
        self._idle_since: float | None = None  # None: a request is under way
        self._heard = 0  # bytes of a request whose headers are not complete
        self._bytes = 0  # of names and values
        self._lines = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts it, or answers with the reason; the time for the first headers begins."""
        super().connection_made(transport)
        try:
            self._counted.enter(transport)
        except Refused as refused:
            self._end(refused)
            return
        self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._cut)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._counted.leave()
        self._stop_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuses headers that never end, before the parser has gathered them."""
        if self._is_over:
            return
        super().data_received(data)
        self._heard += len(data)
        if self._is_heading and self._heard > 2 * HEADER_BYTES_MAX and not self._is_too_large:
            self._is_too_large = True
            self.send_400_response("")
        if self._is_heading and self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._cut)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._is_heading, self._lines, self._bytes, self._heard = True, 0, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a line, then keeps it as uvicorn does."""
        self._lines += 1
        self._bytes += len(name) + len(value)
        if self._lines > HEADERS_MAX or self._bytes > HEADER_BYTES_MAX:
            self._is_too_large = True
            raise _TooLargeError
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The headers came in time."""
        self._stop_timer()
        self._is_heading, self._heard = False, 0
        self.headed()

    def headed(self) -> None:
        """Starts the request whose headers are there."""
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The next request that waits, or the time that the connection may be quiet."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_quiet(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that was quiet for so long; another waits on."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch_quiet(left)
        else:
            self.transport.close()

    def _watch_quiet(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            seconds, self.timeout_keep_alive_handler
        )

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

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
        self._end(Refused(AccessReason.HEADERS_TOO_LARGE))

    def _end(self, refused: Refused) -> None:
        self._is_over = True
        self.transport.write(refusal_over_http(refused, "rest"))
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
