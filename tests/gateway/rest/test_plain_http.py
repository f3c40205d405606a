"""Requests that are read where they lie: what is understood, and what is left to the parser."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.rest.asgi import Response
from gateway.rest.plain_http import read_plain, write_plain

HEAD = b"POST /orders?wait_ms=0 HTTP/1.1\r\n"
WHOLE = HEAD + b"Host: a:80\r\nX-Exchange-Key:k 1\r\ncontent-LENGTH: 2\r\n\r\n{}"


def read(data: bytes, body: int = 100, lines: int = 8, size: int = 400) -> Any:
    """What is read with these limits."""
    return read_plain(data, body, lines, size)


class Parsed:
    """What the server's parser makes of bytes."""

    def __init__(self, data: bytes) -> None:
        self.url, self.body, self.ends = b"", b"", 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method = self._parser.get_method()
        self.stays = self._parser.should_keep_alive()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ends += 1


def test_a_plain_request_is_read_whole() -> None:
    headers = {"host": "a:80", "x-exchange-key": "k 1", "content-length": "2"}
    found = ("POST", "/orders?wait_ms=0", "/orders", b"wait_ms=0", headers, b"{}")
    assert read(WHOLE) == found
    assert read(b"GET / HTTP/1.1\r\n\r\n") == ("GET", "/", "/", b"", {}, b"")
    assert read(b"PUT /a?b?c HTTP/1.1\r\n\r\n")[1:4] == ("/a?b?c", "/a", b"b?c")
    stays = WHOLE.replace(b"Host: a:80", b"Connection: Keep-Alive")
    assert read(stays)[4]["connection"] == "Keep-Alive"


@pytest.mark.parametrize(
    "line",
    [b"Transfer-Encoding: chunked", b"transfer-encoding: identity", b"Connection: close",
     b"Connection: keep-alive, upgrade", b"Proxy-Connection: close", b"Upgrade: websocket",
     b"Expect: 100-continue", b"Content-Length: 2", b"Host: b", b"HOST: a", b" folded: x", b"X-A:",
     b"X-A: ", b"X-A: b ", b"X-A : b", b"X_A: b", b"X-A\x00: b", b"X-A: b\x00", b"X-A: b\xff",
     b"X-A: b\tc", b"X-A: b\x7f", b": b", b"no colon", b"X-A: b\rX-B: c", b"X-A: b\nX-B: c",
     b"X" * 60 + b": b"],
)  # fmt: skip
def test_a_line_that_says_more_is_left_to_the_parser(line: bytes) -> None:
    assert read(WHOLE.replace(b"Host: a:80", b"X-B: c")) is not None
    assert read(WHOLE.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n")) is None


@pytest.mark.parametrize(
    "first",
    [b"HEAD / HTTP/1.1", b"PATCH / HTTP/1.1", b"post / HTTP/1.1", b"POST  / HTTP/1.1",
     b"POST * HTTP/1.1", b"POST http://a/ HTTP/1.1", b"POST /%41 HTTP/1.1", b"POST /#a HTTP/1.1",
     b"POST /\xc3 HTTP/1.1", b"POST /\x00 HTTP/1.1", b"POST / HTTP/1.0", b"POST / HTTP/1.1 ",
     b"POST / HTTP/2.0", b"POST /", b"POST", b"", b"\r\nPOST / HTTP/1.1"],
)  # fmt: skip
def test_a_first_line_that_is_not_plain_is_left_to_the_parser(first: bytes) -> None:
    assert read(WHOLE.replace(HEAD[:-2], first)) is None


@pytest.mark.parametrize(
    "told", [b"1", b"3", b"-2", b"+2", b"0x2", b"2,2", b"2 2", b"9999999999", b"9" * 20]
)
def test_a_length_is_the_bodys_or_the_parsers(told: bytes) -> None:
    assert read(WHOLE.replace(b": 2", b": " + told)) is None


def test_limits_are_kept_and_parts_are_no_request() -> None:
    assert read(WHOLE, lines=3, size=40, body=2) is not None
    assert read(WHOLE, lines=2) is None
    assert read(WHOLE, size=39) is None
    assert read(WHOLE, body=1) is None
    assert [end for end in range(len(WHOLE)) if read(WHOLE[:end]) is not None] == []
    assert read(WHOLE + b"x") is None
    assert read(WHOLE + WHOLE) is None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_what_is_read_is_what_the_parser_reads(data: st.DataObject) -> None:
    raw = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(0, 3), "changes")):
        at = data.draw(st.integers(0, len(raw) - 1), "place")
        new = data.draw(st.sampled_from([b"", b"\r\n", b" ", b":", b"a", b"-", b"?", b"\t"])
                        | st.binary(min_size=1, max_size=1), "new")  # fmt: skip
        raw[at : at + data.draw(st.integers(0, 1), "cut")] = new
    found = read(bytes(raw))
    if found is None:
        return
    parsed = Parsed(bytes(raw))
    method, target, path, query, headers, body = found
    assert (parsed.method.decode(), parsed.url.decode()) == (method, target)
    assert parsed.url.partition(b"?")[::2] == (path.encode(), query)
    assert parsed.headers == [(n.encode(), v.encode()) for n, v in headers.items()]
    assert (parsed.body, parsed.ends, parsed.stays) == (body, 1, True)


def test_an_answer_is_what_the_general_way_writes() -> None:
    head, defaults = b"HTTP/1.1 200 OK\r\n", [(b"Date", b"now")]
    headers = {"Cache-Control": "no-store", "X-A": ""}
    lines = b"content-type: text/plain\r\ncontent-length: 3\r\ncache-control: no-store\r\nx-a: \r\n"
    for keeps_open, end in ((True, b""), (False, b"connection: close\r\n")):
        made = write_plain(head, defaults, "text/plain", headers, b"abc", keeps_open)
        assert made == head + b"Date: now\r\n" + lines + end + b"\r\nabc"
    for name, value in (("X-A", "\xe4"), ("X-\xe4", "a"), ("X-A", "a\r\nB: c"), ("X\n", "a")):
        assert write_plain(head, [], "text/plain", {name: value}, b"", True) is None
    assert b"x-a: \xe4\r\n" in Response(b"", 200, "a", {"X-A": "\xe4"}).over_http(
        [], keeps_open=True
    )
