"""The short way of a plain request: from the parser to the application, and back in one write.

Uvicorn builds a scope, a cycle with an event and a task for each request, and hands the answer over
in two messages. A request that is HTTP/1.1, stays open, says no more than the length of its body,
has a route, and comes when nothing else is under way on its connection needs none of that. Every
other goes uvicorn's way; so does one whose body is not there BODY_GRACE_S after its headers. Of the
plain ones those that came whole are read where they lie (`plain_http`), without a parser.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

from exchange.settings import BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX
from gateway.access.connection_limits import ConnectionLimits
from gateway.rest.app import App, ServedRow
from gateway.rest.asgi import Message, Request, Response, Serve
from gateway.rest.http_guard import GuardedProtocol
from gateway.rest.plain_http import read_plain

BODY_GRACE_S = 0.05
LENGTH_DIGITS_MAX = len(str(BODY_BYTES_MAX))


class _Nobody:
    """Waits for no message."""

    def set(self) -> None:
        """Wakes nobody."""


class _Exchange:
    """A request and its answer; stands where uvicorn has its cycle, and has what it asks of one."""

    __slots__ = ("body", "disconnected", "keep_alive", "request", "response_complete", "serve")
    message_event = _Nobody()

    def __init__(self, request: Request, serve: Serve) -> None:
        self.request = request
        self.serve = serve
        self.body = b""
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False


async def _no_message() -> Message:
    raise RuntimeError("the body is there")


class DirectProtocol(GuardedProtocol):
    """One connection."""

    def __init__(self, limits: ConnectionLimits, *arguments: Any, **named: Any) -> None:
        super().__init__(limits, *arguments, **named)
        self._application = cast(App, self.config.app)
        self._exchange: _Exchange | None = None  # whose body is not there yet
        self._is_parsing = False  # the parser has a part of a request
        self._shared: dict[str, Any] = {}  # what a request's scope has of its connection
        self._grace: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keeps what all its requests have in common."""
        super().connection_made(transport)
        self._shared = {"client": self.client, "scheme": self.scheme}

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end_grace()
        self._exchange = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A request that came whole is served; a body that is not has BODY_GRACE_S to come."""
        cycle = self.cycle
        is_free = cycle is None or cycle.response_complete
        if is_free and not self._is_parsing and self._serve_whole(data):
            return
        super().data_received(data)
        if self._exchange is not None and self._grace is None:
            self._grace = self.loop.call_later(BODY_GRACE_S, self._hand_over)

    def _serve_whole(self, data: bytes) -> bool:
        """Serves the one plain request that `data` is; False: it is none, and nothing is done."""
        parts = read_plain(data, BODY_BYTES_MAX, HEADERS_MAX, HEADER_BYTES_MAX)
        if parts is None or self._is_over or self.flow.write_paused:
            return False
        request = Request.read(self._shared, parts)
        serve = self._application.find(request)
        if serve is None:
            return False
        self._stop_timer()
        self._is_heading, self._idle_since = False, None
        exchange = _Exchange(request, serve)
        self.cycle = cast(Any, exchange)
        self._start(exchange)
        return True

    def on_message_begin(self) -> None:
        """The parser begins a request."""
        self._is_parsing = True
        super().on_message_begin()

    def headed(self) -> None:
        """Finds out which way the request goes."""
        exchange = self._plain()
        if exchange is None:
            super().headed()
        else:
            self.cycle = cast(Any, exchange)
            self._exchange = exchange

    def on_body(self, body: bytes) -> None:
        """A part of the body; the parser gives no more than was told."""
        if self._exchange is None:
            super().on_body(body)
        else:
            self._exchange.body += body

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._is_parsing = False
        exchange = self._exchange
        if exchange is None:
            super().on_message_complete()
            return
        self._exchange = None
        self._end_grace()
        exchange.request.data = exchange.body
        self._start(exchange)

    def _start(self, exchange: _Exchange) -> None:
        """Lets the application answer a request that is whole."""
        serve = exchange.serve
        if isinstance(serve, ServedRow) and serve.starter is not None:
            serve.start(serve.starter, exchange.request, partial(self._send, exchange))
            return
        task = self.loop.create_task(self._answer(exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, exchange: _Exchange) -> None:
        response = await self._application.answer(exchange.request, exchange.serve)
        if response is not None:
            self._send(exchange, response)

    def _send(self, exchange: _Exchange, response: Response) -> None:
        if exchange.disconnected:
            return
        defaults, keeps_open = self.server_state.default_headers, exchange.keep_alive
        self.transport.write(response.over_http(defaults, keeps_open=keeps_open))
        exchange.response_complete = True
        if not keeps_open:
            self.transport.close()
        self.on_response_complete()

    def _plain(self) -> _Exchange | None:
        """The exchange of a request that can go the short way."""
        parser, url = self.parser, self.url
        is_busy = self.cycle is not None and not self.cycle.response_complete
        if is_busy or self.flow.write_paused or self.expect_100_continue:
            return None
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        path, _, query = url.partition(b"?")
        if not path.startswith(b"/") or b"%" in path or b"#" in url:
            return None
        scope: dict[str, Any] = cast(Any, self.scope)
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"] = path.decode("ascii"), path
        scope["query_string"] = query
        request = Request(scope, _no_message)
        headers = request.headers
        if request.has_repeats or "transfer-encoding" in headers or "upgrade" in headers:
            return None
        told = headers.get("content-length", "0")
        if len(told) > LENGTH_DIGITS_MAX or int(told) > BODY_BYTES_MAX:
            return None
        serve = self._application.find(request)
        return None if serve is None else _Exchange(request, serve)

    def _hand_over(self) -> None:
        """Lets uvicorn go on with a request whose body is slow."""
        self._grace = None
        exchange, self._exchange = self._exchange, None
        if exchange is None or self.transport.is_closing():
            return
        self.cycle = cast(Any, None)
        super().headed()
        self.cycle.keep_alive = self.cycle.keep_alive and exchange.keep_alive
        if exchange.body:
            super().on_body(exchange.body)

    def _end_grace(self) -> None:
        if self._grace is not None:
            self._grace.cancel()
            self._grace = None
