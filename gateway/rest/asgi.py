"""What the REST interface needs of ASGI, and no more: a request, an answer, a table of paths.

Why no framework: `deploy/docs/decisions/0028-rest-without-a-framework.md`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.rest.plain_http import write_plain

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Plain = tuple[str, str, str, bytes, dict[str, str], bytes]
"""Method, target, path, query, headers and body."""


class GoneError(Exception):
    """The other side closed the connection before the whole request was there."""


class TooLargeError(Exception):
    """The body is longer than it may be; `size` bytes were told or seen."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class Request:
    """One HTTP request. Header names are lower case; a repeated header is one, joined by commas."""

    __slots__ = (
        "_receive", "data", "has_repeats", "headers", "method", "path", "path_id", "query",
        "reply_headers", "scope", "sent", "target",
    )  # fmt: skip

    def __init__(self, scope: Mapping[str, Any], receive: Receive) -> None:
        self.scope = scope
        self.data: bytes | None = None  # the body, where somebody has read it
        self.sent: Any = None  # what the body says
        self.reply_headers: dict[str, str] = {}  # of the answer, whatever it will be
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.path_id = ""  # the part of the path that a template has in braces
        self._receive = receive
        target: str = scope["raw_path"].decode("latin-1")
        self.target = f"{target}?{self.query.decode('latin-1')}" if self.query else target
        """Path and query as they were sent: what a signature covers."""
        sent: list[tuple[bytes, bytes]] = scope["headers"]
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent}
        self.has_repeats = len(self.headers) != len(sent)
        if self.has_repeats:
            self.headers = _joined(sent)

    @classmethod
    def read(cls, scope: Mapping[str, Any], parts: Plain) -> Request:
        """A request whose parts were read already. `scope` says what all of a connection share."""
        made = cls.__new__(cls)
        made.scope = scope
        made.method, made.target, made.path, made.query, made.headers, made.data = parts
        made.sent = None
        made.reply_headers = {}
        made.path_id = ""
        made.has_repeats = False
        return made

    def cookie(self, name: str) -> str:
        """A cookie's value, "" where there is none. O(bytes of the header)."""
        sent = self.headers.get("cookie")
        if sent is None:
            return ""
        try:
            found = SimpleCookie(sent).get(name)
        except CookieError:
            return ""
        return found.value if found is not None else ""

    async def body(self, limit: int) -> bytes:
        """The whole body; TooLargeError above `limit` bytes, GoneError when it breaks off."""
        told = self.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and (len(told) > len(str(limit)) or int(told) > limit):
            raise TooLargeError(int(told[:20]))
        data, is_more = b"", True
        while is_more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            data += message.get("body", b"")
            is_more = message.get("more_body", False)
            if len(data) > limit:
                raise TooLargeError(len(data))
        return data


def _joined(sent: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in sent:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


class Response(NamedTuple):
    """One answer, whole."""

    content: bytes
    status: int
    media_type: str
    headers: dict[str, str] = {}
    cookies: tuple[str, ...] = ()

    def _headers(self) -> Iterator[tuple[str, str]]:
        yield from self.headers.items()
        for cookie in self.cookies:
            yield "set-cookie", cookie

    def over_http(self, defaults: list[tuple[bytes, bytes]], *, keeps_open: bool) -> bytes:
        """The answer in HTTP/1.1; ValueError if a value could end its line. O(bytes)."""
        content, status, media_type, headers, cookies = self
        if not cookies:
            plain = write_plain(
                STATUS_LINE[status], defaults, media_type, headers, content, keeps_open
            )
            if plain is not None:
                return plain
        lines = [f"content-type: {self.media_type}\r\ncontent-length: {len(self.content)}\r\n"]
        for name, value in self._headers():
            if not value.isprintable():
                raise ValueError(f"{name}: {value[:80]!r} is no value of a header")
            lines.append(f"{name.lower()}: {value}\r\n")
        lines.append("\r\n" if keeps_open else "connection: close\r\n\r\n")
        parts = [STATUS_LINE[self.status]]
        for default in defaults:
            parts += (default[0], b": ", default[1], b"\r\n")
        parts += ("".join(lines).encode("latin-1"), self.content)
        return b"".join(parts)

    async def send(self, send: Send) -> None:
        """Sends it. O(bytes)."""
        headers = [
            (b"content-type", self.media_type.encode("latin-1")),
            (b"content-length", str(len(self.content)).encode("latin-1")),
        ]
        for name, value in self._headers():
            headers.append((name.lower().encode("latin-1"), value.encode("latin-1")))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.content})


Serve = Callable[[Request], Awaitable[Response]]
_Methods = dict[str, Serve]


class Paths:
    """Templates of paths, each with at most one part in braces, and who serves their methods."""

    def __init__(self, rows: Iterable[tuple[str, str, Serve]]) -> None:
        """Rows of method, template, server; ValueError names a row that stands twice."""
        self._whole: dict[str, _Methods] = {}
        self._open: dict[tuple[str, str], _Methods] = {}  # by what is before and after the braces
        for method, template, serve in rows:
            before, brace, rest = template.partition("{")
            methods = (
                self._open.setdefault((before, rest.partition("}")[2]), {})
                if brace
                else self._whole.setdefault(template, {})
            )
            if method in methods:
                raise ValueError(f"{method} {template} stands twice")
            methods[method] = serve

    def find(self, request: Request) -> _Methods | None:
        """Who serves the path, by method; sets `path_id`. O(templates with braces)."""
        found = self._whole.get(request.path)
        if found is not None:
            return found
        for (before, after), methods in self._open.items():
            part = request.path[len(before) : len(request.path) - len(after)]
            if part and "/" not in part and request.path == f"{before}{part}{after}":
                request.path_id = part
                return methods
        return None
