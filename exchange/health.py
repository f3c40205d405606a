"""What a process shows from outside: `/metrics`, `/health` and `/ready` over plain HTTP.

A deliberately small server of its own, so that an engine needs no web framework and a stuck
gateway cannot hide the health of its process: GET only, one answer a connection, every read
bounded in bytes and time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

from exchange import metrics
from exchange.build import this_build
from exchange.service import Service
from exchange.settings import (
    HEALTH_CONNECTIONS_MAX,
    HEALTH_REQUEST_BYTES_MAX,
    HEALTH_TIMEOUT_S,
)

JSON = "application/json"


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: str
    content_type: str
    body: bytes


class HealthServer:
    """Answers for the services of this process. O(services) a request, O(series) for metrics."""

    def __init__(self, services: Sequence[Service], registry: CollectorRegistry = REGISTRY) -> None:
        self._services = tuple(services)
        self._registry = registry
        self._connections = 0

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Listens; OSError when the port is taken. The caller closes the server."""
        return await asyncio.start_server(
            self._connected, host, port, limit=HEALTH_REQUEST_BYTES_MAX
        )

    def answer(self, request_line: bytes) -> Answer:
        """The answer to `GET /path HTTP/1.1`."""
        words = request_line.split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _problem("400 Bad Request", "the first line must be: GET /path HTTP/1.1")
        if words[0] not in (b"GET", b"HEAD"):
            return _problem("405 Method Not Allowed", "only GET is answered here")
        match words[1].split(b"?")[0]:
            case b"/metrics":
                return Answer("200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry))
            case b"/health":
                names = [service.name for service in self._services]
                return _json("200 OK", {"status": "alive", "services": names})
            case b"/ready":
                return self._ready()
        return _problem("404 Not Found", "known paths: /metrics, /health, /ready")

    def _ready(self) -> Answer:
        waiting = [service.name for service in self._services if not service.is_ready]
        if waiting:
            return _json("503 Service Unavailable", {"status": "not ready", "not_ready": waiting})
        return _json("200 OK", {"status": "ready", "not_ready": []})

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            # Past the limit the connection is closed unread: monitoring must not become a load.
            if self._connections <= HEALTH_CONNECTIONS_MAX:
                async with asyncio.timeout(HEALTH_TIMEOUT_S):
                    await self._talk(reader, writer)
        except (TimeoutError, ConnectionError):
            pass  # a client that is slow or gone gets nothing more
        finally:
            self._connections -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError:
            text = f"a request may have {HEALTH_REQUEST_BYTES_MAX} bytes of headers"
            answer, line = _problem("431 Request Header Fields Too Large", text), b""
        else:
            line = head.split(b"\r\n", 1)[0]
            answer = self.answer(line)
        writer.write(
            f"HTTP/1.1 {answer.status}\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\n"
            "Cache-Control: no-store\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        if not line.startswith(b"HEAD"):
            writer.write(answer.body)
        await writer.drain()


def _json(status: str, body: Mapping[str, object]) -> Answer:
    return Answer(status, JSON, msgspec.json.encode(body))


def _problem(status: str, text: str) -> Answer:
    return _json(status, {"status": status, "detail": text})


async def serve_health(host: str, port: int, services: Sequence[Service]) -> asyncio.Server:
    """Serves `/metrics`, `/health` and `/ready` of `services` at `host:port` (0 = any free port).

    `/health` says that the process is alive, `/ready` is 503 while a service has not caught up.
    OSError when the port is taken.
    """
    build = this_build()
    metrics.BUILD_INFO.labels(
        build.version, str(build.compiled).lower(), build.commit, build.lock[:12]
    ).set(1)
    return await HealthServer(services).serve(host, port)
