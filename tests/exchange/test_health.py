"""The small server every process shows itself through."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.parser import text_string_to_metric_families

from exchange import health
from exchange.health import HealthServer, serve_health
from exchange.settings import HEALTH_CONNECTIONS_MAX, HEALTH_REQUEST_BYTES_MAX


class Fake:
    """A service whose readiness the test sets."""

    def __init__(self, name: str, is_ready: bool) -> None:
        self.name = name
        self.is_ready = is_ready

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


@pytest.fixture
def services() -> list[Fake]:
    return [Fake("engine-EU", True), Fake("settlement", False)]


@pytest.fixture
async def port(services: list[Fake]) -> AsyncIterator[int]:
    server = await serve_health("127.0.0.1", 0, services)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def ask(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in rest)
    return int(first.split()[1]), headers, body


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode()


async def test_health_names_the_services(port: int) -> None:
    status, headers, body = await ask(port, get("/health"))
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert int(headers["content-length"]) == len(body)
    assert json.loads(body) == {"status": "alive", "services": ["engine-EU", "settlement"]}


async def test_ready_follows_the_services(port: int, services: list[Fake]) -> None:
    status, _, body = await ask(port, get("/ready"))
    assert status == 503
    assert json.loads(body)["not_ready"] == ["settlement"]
    services[1].is_ready = True
    status, _, body = await ask(port, get("/ready?verbose"))
    assert status == 200
    assert json.loads(body)["not_ready"] == []


async def test_metrics_are_prometheus_text(port: int) -> None:
    status, headers, body = await ask(port, get("/metrics"))
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    families = {family.name for family in text_string_to_metric_families(body.decode())}
    assert "python_info" in families
    assert b'exchange_build_info{commit="' in body


def test_metrics_come_from_the_registry_given() -> None:
    registry = CollectorRegistry()
    Gauge("exchange_trial", "trial", registry=registry).set(3)
    answer = HealthServer([], registry).answer(b"GET /metrics HTTP/1.1")
    assert b"exchange_trial 3.0" in answer.body


@pytest.mark.parametrize(
    ("request_bytes", "status", "word"),
    [
        (get("/nothing"), 404, "/metrics"),
        (get("/health", "POST"), 405, "GET"),
        (b"nonsense\r\n\r\n", 400, "first line"),
        (b"GET /health SPDY/3\r\n\r\n", 400, "first line"),
        (
            b"GET /health HTTP/1.1\r\nx: " + b"a" * HEALTH_REQUEST_BYTES_MAX + b"\r\n\r\n",
            431,
            str(HEALTH_REQUEST_BYTES_MAX),
        ),
    ],
)
async def test_bad_requests_are_told_why(
    port: int, request_bytes: bytes, status: int, word: str
) -> None:
    answered, _, body = await ask(port, request_bytes)
    assert answered == status
    assert word in json.loads(body)["detail"]
    assert (await ask(port, get("/health")))[0] == 200


async def test_head_has_no_body(port: int) -> None:
    status, headers, body = await ask(port, get("/health", "HEAD"))
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 0


async def test_slow_and_vanished_clients_are_let_go(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "HEALTH_TIMEOUT_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /hea")
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    _, gone = await asyncio.open_connection("127.0.0.1", port)
    gone.transport.abort()
    assert (await ask(port, get("/health")))[0] == 200


async def test_connections_are_bounded(port: int) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(HEALTH_CONNECTIONS_MAX)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get("/health"))
    try:
        answer = await asyncio.wait_for(reader.read(), 5)
    except ConnectionResetError:
        answer = b""
    assert answer == b""  # closed unread
    for _, other in [*idle, (reader, writer)]:
        other.close()
    await asyncio.sleep(0.05)
    assert (await ask(port, get("/health")))[0] == 200


async def test_a_taken_port_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match=str(port)):
        await serve_health("127.0.0.1", port, [])
