"""What a row of the route table is, and what a handler gets and gives."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

import msgspec

from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from exchange.settings import PAGE_MAX, WAIT_MS, WAIT_MS_MAX
from gateway.access.addresses import Origin
from gateway.context import Context
from gateway.refusal import Refused

Budget = Literal["public", "reads", "orders", "cancels"]


class Call(NamedTuple):
    """One request, checked: who, what."""

    context: Context
    caller: Key | None  # None on public routes
    body: Any  # of the row's body type
    query: Any  # of the row's query type
    path_id: str  # the part of the path in braces, "" where there is none
    origin: Origin = Origin("", is_secure=False)
    token: str = ""  # of a login, "" where there is none
    device: str = ""  # known from an earlier login, "" where there is none

    @property
    def key(self) -> Key:
        """The key that signed; only on routes that are not public."""
        if self.caller is None:
            raise Refused(EdgeReason.UNKNOWN_KEY)
        return self.caller


class Reply(NamedTuple):
    """What goes back."""

    value: Any
    status: int = 200
    cookies: tuple[str, ...] = ()  # that it sets


Handler = Callable[[Call], Awaitable[Reply]]
Answer = Callable[[Reply | Exception], None]
"""Takes the one answer, or why there is none."""
Starter = Callable[[Call, Answer], None]
"""A handler without a coroutine: it answers now or later, once, or raises Refused."""


@functools.cache  # rows that share a starter share its handler
def awaiting(start: Starter) -> Handler:
    """The handler that waits for what a starter answers."""

    @functools.wraps(start)  # the description takes names and words from handlers
    async def handler(call: Call) -> Reply:
        waited: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answered(reply: Reply | Exception) -> None:
            if waited.done():
                return
            if isinstance(reply, Exception):
                waited.set_exception(reply)
            else:
                waited.set_result(reply)

        start(call, answered)
        return await waited

    return handler


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A route without query parameters."""


class Wait(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long to wait for the engine's answer, ms; then the answer is PENDING."""

    wait_ms: int = WAIT_MS


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows after a sequence, at most `limit` of them."""

    after: int = 0
    limit: int = PAGE_MAX


class Route(NamedTuple):
    """One row."""

    method: str
    path: str
    summary: str
    handler: Handler
    reply: Any  # type of the value that comes back
    body: Any = None  # type of the JSON body, None for none
    query: type[msgspec.Struct] = NoQuery
    budget: Budget = "reads"
    start: Starter | None = None  # the handler without a coroutine, where there is one

    @property
    def action(self) -> str:
        """The row's name in `gateway.access.roles.ROLES`."""
        return f"{self.method} {self.path}"


def wait_s(wait_ms: int) -> float:
    """Seconds to wait; Refused (INVALID_FIELD) outside 0..WAIT_MS_MAX."""
    if not 0 <= wait_ms <= WAIT_MS_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"wait_ms: {wait_ms} is outside 0..{WAIT_MS_MAX}")
    return wait_ms / 1_000


def page_limit(limit: int) -> int:
    """Rows of one answer; Refused (INVALID_FIELD) outside 1..PAGE_MAX."""
    if not 1 <= limit <= PAGE_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"limit: {limit} is outside 1..{PAGE_MAX}")
    return limit
