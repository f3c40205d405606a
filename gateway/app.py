"""The REST interface: serves the route table through Litestar. The one module that knows the
framework.

For each request, in this order: size, signature, role, throttle, JSON, handler. Every refusal is a
problem document (RFC 9457) with the venue's numbered reason.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import structlog
from litestar import Litestar, Request, Response, route
from litestar.exceptions import HTTPException, MethodNotAllowedException
from litestar.handlers import HTTPRouteHandler

from exchange import metrics
from exchange.messages.executions import (
    ExecutionReport,
    InstructionReport,
    OperationReport,
    Problem,
)
from exchange.messages.reasons import EdgeReason, reason_text
from exchange.reference.venue import Key
from exchange.settings import BODY_BYTES_MAX, BODY_TIMEOUT_S
from gateway.addresses import counted
from gateway.console.files import FILES, PageFile
from gateway.context import Context
from gateway.decimals import whole_number
from gateway.fields import decode
from gateway.identity import Signed
from gateway.openapi import describe
from gateway.refusal import Refused
from gateway.roles import PUBLIC, ROLES, allow
from gateway.routes import ROUTES, Call, Reply, Route
from gateway.routes.logins import COOKIE
from gateway.throttle import Allowance

JSON = "application/json"
PROBLEM = "application/problem+json"
_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]")
_encode = msgspec.json.Encoder().encode
_logger = structlog.get_logger()

Raw = Response[bytes]


def build_app(context: Context) -> Litestar:
    """The ASGI application; ValueError names a route that no row of the roles table allows."""
    missing = [row.action for row in ROUTES if row.action not in ROLES]
    if missing:
        raise ValueError(f"gateway.roles.ROLES has no row for {', '.join(missing)}")
    handlers = [_handler(context, row) for row in ROUTES]
    handlers += [_page(context), _openapi()]
    return Litestar(
        route_handlers=handlers,
        openapi_config=None,
        exception_handlers={HTTPException: _http_error, Exception: _bug},
        logging_config=None,
    )


def _handler(context: Context, row: Route) -> HTTPRouteHandler:
    decoder = msgspec.json.Decoder(row.body) if row.body is not None else None

    async def serve(request: Request[Any, Any, Any]) -> Raw:
        metrics.GATEWAY_MESSAGES.labels("rest", "in", row.action).inc()
        headers = {"Cache-Control": "no-store"}
        sent: Any = None
        try:
            data = await _body_in_time(request)
            query_string: bytes = request.scope["query_string"]
            origin = context.origins.of(request.scope, request.headers)
            key, token = None, ""
            if ROLES[row.action] == PUBLIC:
                context.throttle.take_address(counted(origin.address))
            else:
                key, token = _caller(context, row, request, data, origin.address)
                allow(key, row.action)
                headers |= _rate_headers(context.take(key, row.budget))
            if decoder is not None:
                sent = decode(data, decoder)
            elif data:
                raise Refused(EdgeReason.INVALID_FIELD, "this request carries no body")
            query = _query(row.query, query_string)
            path_id = str(request.path_params.get("id", ""))
            reply = await row.handler(Call(context, key, sent, query, path_id, origin, token))
        except Refused as refused:
            return _refused(refused.about(sent), headers)
        return _answer(reply, headers | dict(reply.headers))

    return route(
        row.path,
        http_method=[row.method],  # type: ignore[list-item]
        status_code=200,
        name=row.action,
        media_type=JSON,
        sync_to_thread=None,
    )(_plain(serve))


def _plain(
    serve: Callable[[Request[Any, Any, Any]], Awaitable[Raw]],
) -> Callable[..., Awaitable[Raw]]:
    # Litestar wants the path parameter in the signature only when it is used: it is read from
    # the request here, so that every row has one signature
    @functools.wraps(serve)
    async def handler(request: Request[Any, Any, Any]) -> Raw:
        return await serve(request)

    handler.__annotations__ = {"request": Request, "return": Response}
    return handler


async def _body_in_time(request: Request[Any, Any, Any]) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _body(request)
    except TimeoutError:
        raise Refused(
            EdgeReason.MALFORMED_JSON, f"the body did not arrive within {BODY_TIMEOUT_S} s"
        ) from None


async def _body(request: Request[Any, Any, Any]) -> bytes:
    length = request.headers.get("content-length", "")
    if (whole_number(length) or 0) > BODY_BYTES_MAX:
        raise Refused(EdgeReason.BODY_TOO_LARGE, f"{length} bytes")
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise Refused(EdgeReason.BODY_TOO_LARGE, f"more than {BODY_BYTES_MAX} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _target(request: Request[Any, Any, Any]) -> str:
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _caller(
    context: Context, row: Route, request: Request[Any, Any, Any], data: bytes, address: str
) -> tuple[Key, str]:
    """Who asks, by signature or by the cookie of a login; the login's token."""
    token = request.cookies.get(COOKIE, "")
    if request.headers.get("x-exchange-key") or not token or context.logins is None:
        signed = _signed(request)
        return context.verified(row.method, _target(request), signed, data, address), ""
    csrf = None if row.method == "GET" else request.headers.get("x-exchange-csrf", "")
    context.throttle.check_address(counted(address))
    try:
        return context.logins.find(token, address, csrf), token
    except Refused:
        context.throttle.take_address(counted(address))
        raise


def _signed(request: Request[Any, Any, Any]) -> Signed:
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


def _query(model: type[msgspec.Struct], query_string: bytes) -> msgspec.Struct:
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=16)
    given = dict(pairs)
    if len(given) != len(pairs):
        raise Refused(EdgeReason.INVALID_FIELD, "a query parameter stands twice")
    try:
        return msgspec.convert(given, model, strict=False)
    except msgspec.ValidationError as error:
        text = str(error).replace("`", "")
        is_unknown = "unknown field" in text
        reason = EdgeReason.UNKNOWN_FIELD if is_unknown else EdgeReason.INVALID_FIELD
        raise Refused(reason, f"query: {text}") from None


def _rate_headers(allowance: Allowance) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(allowance.limit),
        "RateLimit-Remaining": str(allowance.remaining),
        "RateLimit-Reset": str(allowance.reset_s),
    }


def _answer(reply: Reply, headers: dict[str, str]) -> Raw:
    value = reply.value
    reason = getattr(value, "reason", 0)
    is_refused = isinstance(value, ExecutionReport | InstructionReport | OperationReport) and (
        reply.status == 422
    )
    if is_refused:
        row = reason_text(reason)
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
        return Response(
            _encode(problem), status_code=row.status, media_type=PROBLEM, headers=headers
        )
    return Response(_encode(value), status_code=reply.status, media_type=JSON, headers=headers)


def _refused(refused: Refused, headers: dict[str, str]) -> Raw:
    metrics.GATEWAY_REJECTIONS.labels("rest", refused.row.name).inc()
    if refused.retry_after_ms:
        headers = headers | {"Retry-After": str(-(-refused.retry_after_ms // 1_000))}
    problem = refused.problem()
    return Response(
        _encode(problem), status_code=problem.status, media_type=PROBLEM, headers=headers
    )


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Raw:
    is_method = isinstance(error, MethodNotAllowedException)
    reason = EdgeReason.METHOD_NOT_ALLOWED if is_method else EdgeReason.NOT_FOUND
    detail = f"{request.method} {request.url.path[:80]}"
    if error.status_code not in (404, 405):
        reason, detail = EdgeReason.INVALID_FIELD, str(error.detail)
    return _refused(Refused(reason, detail), {})


def _bug(request: Request[Any, Any, Any], error: Exception) -> Raw:
    _logger.error("request_failed", path=request.url.path[:80], exc_info=error)
    problem = Problem(
        "about:blank", "INTERNAL_ERROR", 500, "The gateway failed; the fault is logged.", 0
    )
    return Response(_encode(problem), status_code=500, media_type=PROBLEM)


# -- the page and the description ------------------------------------------------------------


def _page(context: Context) -> HTTPRouteHandler:
    async def page(request: Request[Any, Any, Any]) -> Raw:
        name = str(request.path_params.get("name", "index.html"))
        found: PageFile | None = FILES.get(name)
        if found is None:
            return _refused(Refused(EdgeReason.NOT_FOUND, name[:40]), {})
        return Response(
            found.content(),
            media_type=found.media_type,
            headers=_page_headers(request, context.websocket_port),
        )

    return route(["/", "/console/{name:str}"], http_method=["GET"], status_code=200, name="page")(
        _plain(page)
    )


def _page_headers(request: Request[Any, Any, Any], websocket_port: int) -> dict[str, str]:
    host = request.headers.get("host", "")
    host = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    sockets = ""
    if _HOST.fullmatch(host):
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


def _openapi() -> HTTPRouteHandler:
    async def openapi(request: Request[Any, Any, Any]) -> Raw:
        return Response(_encode(describe()), media_type=JSON)

    return route("/openapi.json", http_method=["GET"], status_code=200, name="openapi")(
        _plain(openapi)
    )
