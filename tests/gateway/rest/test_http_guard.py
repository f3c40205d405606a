"""What keeps a connection busy without asking anything is cut; what is too much is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import msgspec
import pytest
import uvicorn
from msgspec import inspect

from exchange.messages.executions import Logon
from exchange.messages.intake import SignedRequest
from exchange.messages.orders import OrderRequest
from exchange.settings import BODY_BYTES_MAX, HEADER_BYTES_MAX, HEADERS_MAX, JSON_DEPTH_MAX
from gateway.access.addresses import Origins
from gateway.access.connection_limits import ConnectionLimits
from gateway.entry.fields import decode
from gateway.refusal import Refused
from gateway.rest import http_guard
from gateway.rest.http_guard import GuardedProtocol
from gateway.routes import ROUTES
from gateway.websocket.subscriber import Subscribe

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


@asynccontextmanager
async def served(size: int = 2, keep_alive_s: float = 5) -> AsyncIterator[int]:
    """A small application behind the guard; its port."""

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(size).encode())]})  # type: ignore[operator]  # fmt: skip
        await send({"type": "http.response.body", "body": b"x" * size})  # type: ignore[operator]

    guard = partial(GuardedProtocol, ConnectionLimits(512, Origins("")))
    config = uvicorn.Config(
        app, http=guard, loop="none", lifespan="off", ws="none", log_config=None, port=0,
        timeout_keep_alive=keep_alive_s,
    )  # fmt: skip
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        await server.shutdown()


async def exchange(port: int, data: bytes) -> bytes:
    """What comes back until the other side ends it, or has answered whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await reader.read(4_096)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("lines", "size", "status"),
    [(HEADERS_MAX - 1, 10, 200), (HEADERS_MAX, 10, 431), (3, HEADER_BYTES_MAX // 4, 200),
     (4, HEADER_BYTES_MAX // 4, 431), (1, 3 * HEADER_BYTES_MAX, 431)],
)  # fmt: skip
async def test_headers_have_a_number_and_a_size(lines: int, size: int, status: int) -> None:
    many = b"".join(b"X-%d: %s\r\n" % (n, b"a" * size) for n in range(lines))
    async with served() as port:
        answer = await exchange(port, HEAD + many + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (b'"reason":557' in answer) == (status == 431)


async def test_a_header_line_without_end_is_refused_before_it_ends() -> None:
    async with served() as port:
        answer = await exchange(port, HEAD + b"X: " + b"a" * 3 * HEADER_BYTES_MAX)
        assert answer.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD, HEAD + b"X-Slow: "])
async def test_headers_that_do_not_come_end_the_connection(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_guard, "HEADER_TIMEOUT_S", 0.15)
    async with served() as port:
        assert await exchange(port, sent) == b""


async def test_a_drop_of_header_now_and_then_does_not_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_guard, "HEADER_TIMEOUT_S", 0.15)
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD)
        dripped = 0
        while not reader.at_eof() and dripped < 50:
            writer.write(b"X-%d: 1\r\n" % dripped)
            dripped += 1
            await asyncio.sleep(0.02)
            await asyncio.wait({asyncio.ensure_future(reader.read(1))}, timeout=0.001)
        assert dripped < 50
        writer.close()


async def test_a_quiet_connection_after_an_answer_has_the_time_between_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_guard, "HEADER_TIMEOUT_S", 0.15)
    async with served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"xx")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.3)
        writer.write(b"GET")  # a later request has its time, too
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_connection_is_quiet_only_so_long_after_each_answer() -> None:
    async with served(keep_alive_s=0.3) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"xx")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.2)  # one timer for all three: it waits on
        started = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert asyncio.get_running_loop().time() - started < 2
        writer.close()


async def test_an_answer_that_nobody_takes_is_thrown_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_guard, "WRITE_TIMEOUT_S", 0.15)
    async with served(size=64 << 20) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1_024)
        writer.write(HEAD + b"\r\n")
        await asyncio.sleep(0.6)
        taken = 0
        with suppress(ConnectionResetError):
            while data := await asyncio.wait_for(reader.read(1 << 20), 5):
                taken += len(data)
        assert taken < 64 << 20
        writer.close()


# -- JSON -----------------------------------------------------------------------------------------


def depth_of(kind: inspect.Type) -> int:
    """How deep a JSON text may be that is of a type; ValueError for one that has no end."""
    if isinstance(kind, inspect.AnyType | inspect.RawType):
        raise ValueError("anything may be in it")
    below: list[inspect.Type] = []
    if isinstance(kind, inspect.StructType):
        if not kind.forbid_unknown_fields:
            raise ValueError(f"{kind.cls.__name__} may have fields that nobody knows")
        below = [field.type for field in kind.fields]
    elif isinstance(kind, inspect.UnionType):
        return max(depth_of(one) for one in kind.types)
    elif isinstance(kind, inspect.DictType):
        below = [kind.value_type]
    elif isinstance(kind, inspect.TupleType):
        below = list(kind.item_types)
    elif isinstance(kind, inspect.CollectionType):
        below = [kind.item_type]
    else:
        return 0
    return 1 + max((depth_of(one) for one in below), default=0)


def test_no_message_that_fits_its_type_is_too_deep() -> None:
    bodies = [row.body for row in ROUTES if row.body is not None]
    for kind in (*bodies, Logon, Subscribe, SignedRequest, OrderRequest | list[OrderRequest]):
        assert depth_of(inspect.type_info(kind)) <= JSON_DEPTH_MAX
    with pytest.raises(ValueError, match="anything"):
        depth_of(inspect.type_info(list[Any]))


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_json_has_a_depth(opening: bytes) -> None:
    numbers = msgspec.json.Decoder(list[int] | dict[str, int])
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    for depth, word in ((JSON_DEPTH_MAX, "Expected"), (JSON_DEPTH_MAX + 1, "nested deeper")):
        data = opening * depth + b"1" + closing * depth
        assert word in refusal(data, numbers)
    words = msgspec.json.Decoder(list[str])
    assert refusal(b'["' + opening.replace(b'"', b"'") * 100 + b'\\""]', words) == ""
    assert "nested deeper" in refusal(opening * (BODY_BYTES_MAX // len(opening)), numbers)
    assert "at most" in refusal(b"[" * (BODY_BYTES_MAX + 1), numbers)


def refusal(data: bytes, decoder: msgspec.json.Decoder[Any]) -> str:
    """Why a message is refused; "" = it is not."""
    try:
        decode(data, decoder)
    except Refused as refused:
        return refused.detail
    return ""
