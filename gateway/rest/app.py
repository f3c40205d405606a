"""The REST interface: serves the route table over ASGI.

For each request, in this order: size, signature, role, throttle, JSON, handler. Every refusal is a
problem document (RFC 9457) with the venue's numbered reason.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog

from exchange import metrics
from exchange.messages.executions import (
    ExecutionReport,
    InstructionReport,
    OperationReport,
    Problem,
)
from exchange.messages.reasons import EdgeReason, reason_text
from exchange.reference.venue import Key
from exchange.settings import BODY_BYTES_MAX, BODY_TIMEOUT_S, QUERY_FIELDS_MAX
from gateway.access.addresses import counted
from gateway.access.identity import Signed
from gateway.access.roles import PUBLIC, ROLES, allow
from gateway.console.files import FILES, PageFile
from gateway.context import Context
from gateway.entry.decimals import whole_number
from gateway.entry.fields import decode, invalid
from gateway.refusal import Refused
from gateway.rest.asgi import (
    GoneError,
    Paths,
    Receive,
    Request,
    Response,
    Send,
    Serve,
    TooLargeError,
)
from gateway.rest.openapi import describe
from gateway.routes import ROUTES, Call, Reply, Route
from gateway.routes.logins import COOKIE, DEVICE_COOKIE
from gateway.routes.table import Starter

JSON = "application/json"
PROBLEM = "application/problem+json"
NOT_KEPT = {"Cache-Control": "no-store"}
QUERIES_REMEMBERED = 256
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]")
_encode = msgspec.json.Encoder().encode
_logger = structlog.get_logger()


class App:
    """The ASGI application."""

    def __init__(self, context: Context) -> None:
        """ValueError names a route that no row of the roles table allows."""
        missing = [row.action for row in ROUTES if row.action not in ROLES]
        if missing:
            raise ValueError(f"gateway.access.roles.ROLES has no row for {', '.join(missing)}")
        page = _page(context)
        self._paths = Paths(
            [
                *((row.method, row.path, ServedRow(context, row)) for row in ROUTES),
                ("GET", "/", page),
                ("GET", "/console/{name}", page),
                ("GET", "/openapi.json", _openapi),
            ]
        )

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """One request; a failure of ours is logged and answered 500."""
        request = Request(scope, receive)
        response = await self.answer(request, self._answer)
        if response is not None:
            await response.send(send)

    def find(self, request: Request) -> Serve | None:
        """Who serves the request; None: nobody, which the application says."""
        methods = self._paths.find(request)
        return None if methods is None else methods.get(request.method)

    async def answer(self, request: Request, serve: Serve) -> Response | None:
        """What is answered; None: nobody is there any more. A failure of ours is logged."""
        try:
            return await serve(request)
        except GoneError:
            return None
        except Exception as error:
            return _failed(request, error)

    async def _answer(self, request: Request) -> Response:
        methods = self._paths.find(request)
        detail = f"{request.method} {request.path[:80]}"
        if methods is None:
            text = f"{detail}: there is no such path, /openapi.json has all"
            return _refused(Refused(EdgeReason.NOT_FOUND, text), {})
        serve = methods.get(request.method)
        if serve is None:
            headers = {"Allow": ", ".join(sorted(methods))}
            return _refused(Refused(EdgeReason.METHOD_NOT_ALLOWED, detail), headers)
        return await serve(request)


class ServedRow:
    """A row of the route table with all that its requests share."""

    def __init__(self, context: Context, row: Route) -> None:
        self._context = context
        self._row = row
        self._action = row.action
        self._is_public = ROLES[row.action] == PUBLIC
        self._decoder = msgspec.json.Decoder(row.body) if row.body is not None else None
        self._received = metrics.GATEWAY_MESSAGES.labels("rest", "in", row.action)
        self.starter = row.start

    async def __call__(self, request: Request) -> Response:
        """The answer to a request."""
        self._received.inc()
        request.reply_headers = NOT_KEPT
        try:
            data = await _body(request) if request.data is None else request.data
            reply = await self._row.handler(self._call(request, data))
        except Refused as refused:
            if refused.wait_s:
                await asyncio.sleep(refused.wait_s)
            return _refused(refused.about(request.sent), request.reply_headers)
        return _answer(reply, request.reply_headers)

    def start(self, starter: Starter, request: Request, answer: Callable[[Response], None]) -> None:
        """The same of a row with a starter and a body that is there, without a coroutine."""

        def done(reply: Reply | Exception) -> None:
            try:
                response = _responded(reply, request)
            except Exception as error:
                response = _failed(request, error)
            if isinstance(reply, Refused) and reply.wait_s:
                asyncio.get_running_loop().call_later(reply.wait_s, answer, response)
            else:
                answer(response)

        self._received.inc()
        request.reply_headers = NOT_KEPT
        try:
            starter(self._call(request, request.data or b""), done)
        except Exception as error:
            done(error)

    def _call(self, request: Request, data: bytes) -> Call:
        """What a request asks, and of whom; Refused."""
        context, row = self._context, self._row
        origin = context.origins.of(request.scope, request.headers)
        key, token = None, ""
        if self._is_public:
            context.throttle.take_address(counted(origin.address))
        else:
            key, token = _caller(context, row, request, data, origin.address)
            allow(key, self._action)
            try:
                allowance = context.take(key, row.budget)
            except Refused as refused:
                refused.wait_s = context.throttle.refusal_wait_s(key.participant)
                raise
            request.reply_headers = {
                "Cache-Control": "no-store",
                "RateLimit-Limit": str(allowance.limit),
                "RateLimit-Remaining": str(allowance.remaining),
                "RateLimit-Reset": str(allowance.reset_s),
            }
        if self._decoder is not None:
            request.sent = decode(data, self._decoder)
        elif data:
            raise Refused(EdgeReason.INVALID_FIELD, "this request carries no body")
        query = _query(row.query, request.query)
        device = request.cookie(DEVICE_COOKIE) if self._is_public else ""
        return Call(context, key, request.sent, query, request.path_id, origin, token, device)


def _responded(reply: Reply | Exception, request: Request) -> Response:
    if isinstance(reply, Refused):
        return _refused(reply.about(request.sent), request.reply_headers)
    if isinstance(reply, Exception):
        return _failed(request, reply)
    return _answer(reply, request.reply_headers)


def _failed(request: Request, error: Exception) -> Response:
    """The answer where the fault is ours, which is logged."""
    _logger.error("request_failed", path=request.path[:80], exc_info=error)
    return _bug()


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.body(BODY_BYTES_MAX)
    except TooLargeError as error:
        raise Refused(EdgeReason.BODY_TOO_LARGE, str(error)) from None
    except TimeoutError:
        raise Refused(
            EdgeReason.MALFORMED_JSON, f"the body did not arrive within {BODY_TIMEOUT_S} s"
        ) from None


def _caller(
    context: Context, row: Route, request: Request, data: bytes, address: str
) -> tuple[Key, str]:
    """Who asks, by signature or by the cookie of a login; the login's token."""
    token = request.cookie(COOKIE)
    if request.headers.get("x-exchange-key") or not token or context.logins is None:
        signed = _signed(request)
        return context.verified(row.method, request.target, signed, data, address), ""
    csrf = None if row.method == "GET" else request.headers.get("x-exchange-csrf", "")
    context.throttle.check_address(counted(address))
    try:
        return context.logins.find(token, address, csrf), token
    except Refused:
        context.throttle.take_address(counted(address))
        raise


def _signed(request: Request) -> Signed:
    headers = request.headers
    key = headers.get("x-exchange-key", "")
    if not key:
        raise Refused(EdgeReason.UNKNOWN_KEY)
    timestamp = whole_number(headers.get("x-exchange-timestamp", ""))
    window = whole_number(headers.get("x-exchange-window", "0"))
    if timestamp is None or window is None:
        raise Refused(EdgeReason.TIMESTAMP_OUTSIDE_WINDOW, "timestamp and window are whole numbers")
    signature = headers.get("x-exchange-signature", "")
    return Signed(key, timestamp, window, signature)


@functools.lru_cache(QUERIES_REMEMBERED)  # what they give cannot be changed
def _query(model: type[msgspec.Struct], query_string: bytes) -> msgspec.Struct:
    text = query_string.decode("latin-1")
    if text.count("&") >= QUERY_FIELDS_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"more than {QUERY_FIELDS_MAX} query parameters")
    pairs = parse_qsl(text, keep_blank_values=True)
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Refused(EdgeReason.INVALID_FIELD, "a query parameter stands twice")
    try:
        return msgspec.convert(given, model, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(error, model, "query: ") from None


def _answer(reply: Reply, headers: dict[str, str]) -> Response:
    value = reply.value
    if reply.status == 422 and isinstance(
        value, ExecutionReport | InstructionReport | OperationReport
    ):
        row = reason_text(value.reason)
        metrics.GATEWAY_REJECTIONS.labels("rest", row.name).inc()
        problem = Problem(
            f"urn:exchange:reason:{row.number}",
            row.name,
            row.status,
            value.text,
            row.number,
            row.may_retry,
            ref=getattr(value, "ref", 0),
            client_order_id=getattr(value, "client_order_id", ""),
            report=value,
        )
        return Response(_encode(problem), row.status, PROBLEM, headers)
    return Response(_encode(value), reply.status, JSON, headers, reply.cookies)


def _refused(refused: Refused, headers: dict[str, str]) -> Response:
    metrics.GATEWAY_REJECTIONS.labels("rest", refused.row.name).inc()
    if refused.retry_after_ms:
        headers = {**headers, "Retry-After": str(-(-refused.retry_after_ms // 1_000))}
    problem = refused.problem()
    return Response(_encode(problem), problem.status, PROBLEM, headers)


def _bug() -> Response:
    problem = Problem(
        "about:blank", "INTERNAL_ERROR", 500, "The gateway failed; the fault is logged.", 0
    )
    return Response(_encode(problem), 500, PROBLEM)


# -- the page and the description ------------------------------------------------------------


def _page(context: Context) -> Serve:
    async def page(request: Request) -> Response:
        name = request.path_id or "index.html"
        found: PageFile | None = FILES.get(name)
        if found is None:
            return _refused(Refused(EdgeReason.NOT_FOUND, name[:40]), {})
        try:
            headers = _page_headers(request, context.websocket_port)
        except Refused as refused:
            return _refused(refused, {})
        return Response(found.content(), 200, found.media_type, headers)

    return page


def _page_headers(request: Request, websocket_port: int) -> dict[str, str]:
    host = request.headers.get("host", "")
    host = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    if _HOST.fullmatch(host) is None:  # it goes into the policy below
        raise Refused(EdgeReason.INVALID_FIELD, f"Host: {host[:40]!r} is no name of a host")
    sockets = f" ws://{host}:{websocket_port} wss://{host}:{websocket_port}"
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }


@functools.cache
def _described() -> bytes:
    return _encode(describe())


async def _openapi(_request: Request) -> Response:
    # made once, and not on the loop: it takes as long as thousands of orders
    return Response(await asyncio.to_thread(_described), 200, JSON)
