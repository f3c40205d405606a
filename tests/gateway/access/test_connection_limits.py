"""Connections are counted before they say anything, over every door; slow and silent ones end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from exchange.messages.reasons import AccessReason, EdgeReason
from gateway.access import connection_limits
from gateway.access.addresses import Origins
from gateway.access.connection_limits import ConnectionLimits
from gateway.fix import acceptor
from gateway.refusal import Refused
from gateway.rest import http_guard
from gateway.websocket import socket_server
from tests.gateway.conftest import House, demo_venue

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
READ_S = 10
UPGRADE = (
    b"GET /marketdata HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PER_ADDRESS = 6


class Doors:
    """The three ports of a gateway, and raw connections to them."""

    def __init__(self, house: House) -> None:
        assert house.gateway is not None
        self.gateway = house.gateway
        self.ports = {
            "http": house.gateway.http_port,
            "websocket": house.gateway.websocket_port,
            "fix": house.gateway.fix_port,
        }
        self.opened: list[asyncio.StreamWriter] = []

    async def connect(self, door: str) -> Stream:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[door])
        self.opened.append(writer)
        return reader, writer

    def close(self) -> None:
        for writer in self.opened:
            writer.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    made = House(tmp_path, venue, keys)
    made.settings = msgspec.structs.replace(
        made.settings, fix_port=-1, connections_per_address=PER_ADDRESS
    )
    await made.start(with_engine=False)
    yield made
    await made.close()


@pytest.fixture
async def doors(house: House) -> AsyncIterator[Doors]:
    made = Doors(house)
    yield made
    made.close()


async def ended(stream: Stream) -> bytes:
    """What came until the other side ended it."""
    async with asyncio.timeout(READ_S):
        return await stream[0].read()


@pytest.mark.parametrize("door", ["http", "websocket", "fix"])
async def test_an_address_has_so_many_connections_over_all_doors(
    house: House, doors: Doors, door: str
) -> None:
    held = [await doors.connect(name) for name in ("http", "websocket", "fix") * 2]
    await house.until(lambda: doors.gateway._limits.total == PER_ADDRESS)
    answer = await ended(await doors.connect(door))
    if door == "fix":
        assert b"\x0135=5\x01" in answer
        assert b"\x0120001=558\x01" in answer
    else:
        assert answer.startswith(b"HTTP/1.1 429 ")
        assert b'"reason":558' in answer
    held[0][1].close()
    await house.until(lambda: doors.gateway._limits.total == PER_ADDRESS - 1)
    reader, writer = await doors.connect("websocket")
    writer.write(UPGRADE)
    assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")


async def test_nobody_is_counted_who_has_gone(house: House, doors: Doors) -> None:
    for _ in range(3):
        for name in doors.ports:
            (await doors.connect(name))[1].close()
        reader, writer = await doors.connect("websocket")
        writer.write(UPGRADE)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await house.until(lambda: not doors.gateway._limits.total)
    assert not doors.gateway._limits._addresses


async def test_half_open_and_slow_connections_end_at_every_door(
    house: House, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They say nothing at all, or a byte now and then, and never finish."""
    monkeypatch.setattr(http_guard, "HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(socket_server, "HEADER_TIMEOUT_S", 0.3)
    monkeypatch.setattr(acceptor, "LOGON_TIMEOUT_S", 0.3)
    silent = [await doors.connect(name) for name in doors.ports]
    slow = [await doors.connect(name) for name in doors.ports]
    logon = b"8=FIX.4.4\x019=300\x0135=A\x0134=1\x0149=northern\x01" + b"58=" + b"x" * 200
    texts = (UPGRADE, UPGRADE, logon)

    async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
        for byte in text:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    dripping = [
        asyncio.create_task(drip(writer, text))
        for (_, writer), text in zip(slow, texts, strict=True)
    ]
    answers = await asyncio.gather(*map(ended, [*silent, *slow]), return_exceptions=True)
    for answer in answers:
        assert answer == b"" or isinstance(answer, ConnectionResetError), answer
    await house.until(lambda: not doors.gateway._limits.total)
    assert not any(task.done() for task in dripping[:1])  # it had not said all
    await asyncio.gather(*dripping, return_exceptions=True)


def test_all_together_have_a_bound_and_proxies_count_in_it_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection_limits, "CONNECTIONS_MAX", 4)
    limits = ConnectionLimits(1, Origins("10.0.0.0/8"))
    places = [limits.enter(address) for address in ("10.1.1.1", "10.1.1.1", "192.0.2.1")]
    with pytest.raises(Refused) as caught:
        limits.enter("192.0.2.1")
    assert caught.value.row.number == AccessReason.ADDRESS_CONNECTIONS
    places.append(limits.enter("2001:db8::1"))
    with pytest.raises(Refused) as caught:
        limits.enter("192.0.2.2")
    assert caught.value.row.number == EdgeReason.TOO_MANY_CONNECTIONS
    for place in places:
        limits.leave(place)
    assert (limits.total, limits._addresses) == (0, {})


def test_addresses_of_one_ipv6_site_count_together() -> None:
    limits = ConnectionLimits(1, Origins(""))
    limits.enter("2001:db8::1")
    with pytest.raises(Refused):
        limits.enter("2001:db8::2")
