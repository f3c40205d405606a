"""Requests that go the short way through the HTTP server, and those that must not."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.rest import http_direct
from gateway.rest.http_direct import DirectProtocol
from tests.gateway.rest.test_bad_input import ORDER, Raw


def encoded(raw: Raw, ref: int, *lines: str, version: str = "1.1") -> tuple[bytes, bytes]:
    """Head and body of a signed order."""
    body = msgspec.json.encode(ORDER | {"ref": ref})
    target = "/orders?wait_ms=0"
    headers = raw.headers(raw.house.keys["northern"], "POST", target, body)
    fields = [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"POST {target} HTTP/{version}", "Host: x", *fields, *lines])
    return f"{head}\r\n".encode(), body


def whole(raw: Raw, ref: int, *lines: str, version: str = "1.1") -> bytes:
    """A signed order with its length."""
    head, body = encoded(raw, ref, *lines, version=version)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body of the next answer."""
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split()[1]), headers, body

    async def end(self) -> bytes:
        """What comes until the other side ends it."""
        return await asyncio.wait_for(self.reader.read(), 5)


@pytest.fixture
async def raw(house):
    """Signed requests without a client."""
    made = Raw(house)
    yield made
    await made.http.aclose()


@pytest.fixture
async def line(house):
    """A connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.http_port)
    yield Line(reader, writer)
    writer.close()


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that went the short way."""
    found: list[int] = []
    send = DirectProtocol._send

    def noted(self, exchange, response) -> None:
        found.append(response.status)
        send(self, exchange, response)

    monkeypatch.setattr(DirectProtocol, "_send", noted)
    return found


async def test_an_order_goes_the_short_way_again_and_again(raw: Raw, line: Line, direct) -> None:
    for ref in range(1, 4):
        line.writer.write(whole(raw, ref))
        status, headers, body = await line.answer()
        assert status in (201, 202)
        assert msgspec.json.decode(body)["ref"] == ref
        assert headers["cache-control"] == "no-store"
        assert headers["content-type"] == "application/json"
        assert int(headers["ratelimit-limit"]) > int(headers["ratelimit-remaining"])
        assert "date" in headers
        assert "connection" not in headers
    assert len(direct) == 3


async def test_refusals_and_questions_go_it_too(raw: Raw, line: Line, direct) -> None:
    line.writer.write(whole(raw, 1).replace(b"X-Exchange-Signature: ", b"X-Exchange-Signature: A"))
    status, headers, body = await line.answer()
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert msgspec.json.decode(body)["reason"] > 0
    line.writer.write(b"GET /venue HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await line.answer())[0] in (200, 404)


async def test_requests_that_come_together_are_answered_in_their_order(
    raw: Raw, line: Line
) -> None:
    line.writer.write(b"".join(whole(raw, ref) for ref in range(1, 6)))
    answers = [await line.answer() for _ in range(5)]
    assert [msgspec.json.decode(body)["ref"] for _, _, body in answers] == [1, 2, 3, 4, 5]
    line.writer.write(whole(raw, 6))
    assert (await line.answer())[0] in (201, 202)


@pytest.mark.parametrize(("pause_s", "is_direct"), [(0.01, True), (0.3, False)])
async def test_a_body_may_come_later(
    raw: Raw, line: Line, direct, monkeypatch: pytest.MonkeyPatch, pause_s: float, is_direct: bool
) -> None:
    monkeypatch.setattr(http_direct, "BODY_GRACE_S", 5.0 if is_direct else 0.02)
    sent = whole(raw, 1)
    for part in (sent[:-100], sent[-100:-50], sent[-50:]):
        line.writer.write(part)
        await asyncio.sleep(pause_s)
    assert (await line.answer())[0] in (201, 202)
    assert len(direct) == is_direct
    line.writer.write(whole(raw, 2))
    assert (await line.answer())[0] in (201, 202)


async def test_a_request_that_says_more_goes_the_long_way(raw: Raw, line: Line, direct) -> None:
    head, body = encoded(raw, 1)
    line.writer.write(
        head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    )
    assert (await line.answer())[0] in (201, 202)
    line.writer.write(whole(raw, 2, "Expect: 100-continue"))
    assert await line.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await line.answer())[0] in (201, 202)
    line.writer.write(b"HEAD /orders HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await line.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 405")
    assert direct == []
    line.writer.write(whole(raw, 3, "Connection: close"))
    assert b"connection: close" in await line.end()


async def test_an_older_protocol_is_answered_and_ended(raw: Raw, line: Line) -> None:
    line.writer.write(whole(raw, 1, version="1.0"))
    answer = await line.end()
    assert answer.startswith(b"HTTP/1.1 20")
    assert b"connection: close" in answer


async def test_who_leaves_before_the_answer_leaves_the_order(raw: Raw, line: Line, house) -> None:
    line.writer.write(whole(raw, 1))
    await line.writer.drain()
    line.writer.transport.abort()
    view = house.gateway.context.views["EU"]
    await house.until(lambda: bool(view.last_ref))
    half = whole(raw, 2)[:-10]
    _, writer = await asyncio.open_connection("127.0.0.1", house.gateway.http_port)
    writer.write(half)
    await asyncio.sleep(0.02)
    writer.transport.abort()
    assert (await raw.send("POST", "/orders", ORDER | {"ref": 3})).status_code == 201


async def test_whole_requests_and_parts_take_turns(raw: Raw, line: Line, direct) -> None:
    for ref in range(1, 9, 2):
        line.writer.write(whole(raw, ref))
        assert (await line.answer())[0] in (201, 202)
        part, rest = (sent := whole(raw, ref + 1))[: 30 * ref], sent[30 * ref :]
        line.writer.write(part)
        await asyncio.sleep(0.01)
        line.writer.write(rest)
        assert (await line.answer())[0] in (201, 202)
    assert len(direct) == 8
    line.writer.write(whole(raw, 9)[:10])  # what follows belongs to it, and is no request
    await asyncio.sleep(0.01)
    line.writer.write(whole(raw, 10))
    assert (await line.answer())[0] == 400
    assert await line.end() == b""
