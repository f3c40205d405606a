"""The little of ASGI that the REST interface has: requests, answers, paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.rest.asgi import GoneError, Paths, Request, Response, TooLargeError


def request(
    path: str = "/orders",
    headers: Sequence[tuple[bytes, bytes]] = (),
    messages: Sequence[dict[str, Any]] = ({"type": "http.request", "body": b""},),
    query: bytes = b"",
) -> Request:
    """A request whose messages come in this order."""
    waiting = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(waiting)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(),
        "query_string": query, "headers": headers,
    }  # fmt: skip
    return Request(scope, receive)


def chunks(*parts: bytes) -> list[dict[str, Any]]:
    """A body in parts."""
    return [
        {"type": "http.request", "body": part, "more_body": at + 1 < len(parts)}
        for at, part in enumerate(parts)
    ]


async def test_a_body_comes_in_parts() -> None:
    assert await request(messages=chunks(b"ab", b"", b"cd")).body(4) == b"abcd"
    assert await request().body(0) == b""


@pytest.mark.parametrize("told", [b"5", b"00000000005", b"9" * 5_000])
async def test_a_body_that_says_it_is_too_long_is_not_read(told: bytes) -> None:
    with pytest.raises(TooLargeError):
        await request(headers=[(b"content-length", told)], messages=()).body(4)


async def test_a_body_that_goes_on_is_not_read_to_its_end() -> None:
    with pytest.raises(TooLargeError, match="6 bytes"):
        await request(messages=chunks(b"abc", b"def", b"never asked for")).body(4)


async def test_a_connection_that_closes_gives_no_body() -> None:
    messages = [*chunks(b"ab", b"cd")[:1], {"type": "http.disconnect"}]
    with pytest.raises(GoneError):
        await request(messages=messages).body(10)


def test_a_header_sent_twice_is_one_and_neither_is_preferred() -> None:
    found = request(
        headers=[(b"x-forwarded-for", b"1.1.1.1"), (b"x-a", b"b"), (b"x-forwarded-for", b"2.2.2.2")]
    )
    assert found.headers == {"x-forwarded-for": "1.1.1.1, 2.2.2.2", "x-a": "b"}


@pytest.mark.parametrize(
    ("sent", "value"), [(b"a=1; session=x-y; b=2", "x-y"), (b"a=1", ""), (b"]=;\xff", "")]
)
def test_cookies(sent: bytes, value: str) -> None:
    assert request(headers=[(b"cookie", sent)]).cookie("session") == value
    assert request().cookie("session") == ""


def test_the_target_is_as_it_was_sent() -> None:
    assert request("/orders/%41", query=b"market=EU").target == "/orders/%41?market=EU"
    assert request("/orders").target == "/orders"


async def serve(_request: Request) -> Response:
    """Nothing."""
    return Response(b"", 200, "text/plain")


PATHS = Paths(
    [
        ("GET", "/", serve),
        ("GET", "/orders", serve),
        ("POST", "/orders", serve),
        ("GET", "/orders/{id:str}", serve),
        ("GET", "/orders/{id:str}/trades", serve),
        ("GET", "/orders/open", serve),
    ]
)


@pytest.mark.parametrize(
    ("path", "methods", "path_id"),
    [
        ("/", ["GET"], ""),
        ("/orders", ["GET", "POST"], ""),
        ("/orders/7", ["GET"], "7"),
        ("/orders/open", ["GET"], ""),
        ("/orders/a b", ["GET"], "a b"),
        ("/orders/7/trades", ["GET"], "7"),
    ],
)
def test_paths(path: str, methods: list[str], path_id: str) -> None:
    asked = request(path)
    found = PATHS.find(asked)
    assert found is not None
    assert (sorted(found), asked.path_id) == (methods, path_id)


@pytest.mark.parametrize(
    "path", ["", "/order", "/orders/", "/orders/7/", "/orders/7/8", "/orders//trades", "//orders"]
)
def test_paths_that_are_none(path: str) -> None:
    assert PATHS.find(request(path)) is None


def test_a_row_that_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="GET /a stands twice"):
        Paths([("GET", "/a", serve), ("GET", "/a", serve)])


async def test_an_answer_says_what_it_is_and_how_long() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await Response(b"{}", 202, "application/json", {"Retry-After": "1"}).send(send)
    assert sent == [
        {
            "type": "http.response.start",
            "status": 202,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", b"2"),
                (b"retry-after", b"1"),
            ],
        },
        {"type": "http.response.body", "body": b"{}"},
    ]


def test_an_answer_over_http_is_what_asgi_would_send() -> None:
    answer = Response(b"{}", 202, "application/json", {"Retry-After": "1"})
    head = b"HTTP/1.1 202 Accepted\r\ndate: now\r\ncontent-type: application/json\r\n"
    rest = b"content-length: 2\r\nretry-after: 1\r\n"
    defaults = [(b"date", b"now")]
    assert answer.over_http(defaults, keeps_open=True) == head + rest + b"\r\n{}"
    ended = head + rest + b"connection: close\r\n\r\n{}"
    assert answer.over_http(defaults, keeps_open=False) == ended


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\n", "\x00", "\x7f"])
def test_a_value_that_would_end_its_line_is_no_header(value: str) -> None:
    with pytest.raises(ValueError, match="no value of a header"):
        Response(b"", 200, "text/plain", {"X-A": value}).over_http([], keeps_open=True)
