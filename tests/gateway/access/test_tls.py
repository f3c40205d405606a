"""TLS at every port: what is spoken and what is not, and a certificate that is renewed."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest
import trustme
from picows import ws_connect

from exchange.settings import Settings
from gateway.access.tls import Certificate
from gateway.client import BookFeed, Client
from tests.gateway.conftest import House, demo_venue
from tests.gateway.fix.client import Broker
from tests.gateway.websocket.test_gateway_sockets import Wire

WEAK = "ECDHE-ECDSA-AES128-SHA256:AES128-SHA"  # encrypts, then authenticates; 1.2 only


class Authority:
    """A test CA and the files of a server's certificate."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.made = folder, trustme.CA()
        self.chain, self.key, self.root = (
            folder / name for name in ("chain.pem", "key.pem", "ca.pem")
        )
        issued = self.made.issue_cert("127.0.0.1", "localhost")
        issued.private_key_pem.write_to_path(self.key)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(self.chain, append=number > 0)
        self.made.cert_pem.write_to_path(self.root)

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.root)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
async def house(tmp_path: Path, authority: Authority) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    made = House(tmp_path, venue, keys)
    made.settings = msgspec.structs.replace(
        made.settings,
        fix_port=-1,
        tls_certificate=str(authority.chain),
        tls_key=str(authority.key),
    )
    await made.start()
    await made.endow()
    yield made
    await made.close()


def ports(house: House) -> tuple[int, int, int]:
    assert house.gateway is not None
    return house.gateway.http_port, house.gateway.websocket_port, house.gateway.fix_port


async def shaken(port: int, context: ssl.SSLContext) -> tuple[str, bytes]:
    """Version and certificate that a port offers; ssl.SSLError when it does not agree."""
    async with asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    connection = writer.get_extra_info("ssl_object")
    found = connection.version(), connection.getpeercert(binary_form=True)
    writer.close()
    return found


async def test_every_door_speaks_tls(
    house: House, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
    url = house.url.replace("http:", "https:")
    async with Client(url, house.keys["northern"], house.clock) as client:
        report = await client.new_order("EUA", 101, "BUY", 1, "70.00")  # over the socket
        assert report.exec_type == "NEW"
        assert [row.order_id for row in await client.orders()] == [report.order_id]
    async with BookFeed(url, ["EUA"]) as feed:
        await house.until(lambda: "EUA" in feed.books)
    broker = Broker(house.keys["huadong"], house.clock)
    broker._reader, broker.writer = await asyncio.open_connection(
        "127.0.0.1", ports(house)[2], ssl=authority.client()
    )
    broker.logon()
    await broker.take("A")
    broker.writer.close()


async def test_what_is_old_weak_or_plain_is_not_spoken(house: House, authority: Authority) -> None:
    for port in ports(house):
        assert (await shaken(port, authority.client()))[0] == "TLSv1.3"
        twelve = authority.client()
        twelve.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await shaken(port, twelve))[0] == "TLSv1.2"
        twelve.set_ciphers(WEAK)
        old = authority.client()
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        for context in (twelve, old, ssl.create_default_context()):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await shaken(port, context)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /time HTTP/1.1\r\nHost: x\r\n\r\n8=FIX.4.4\x019=5\x01")
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 10)
        writer.close()


async def test_a_renewed_certificate_is_served_without_a_restart(
    house: House, authority: Authority, tmp_path: Path
) -> None:
    before = await shaken(ports(house)[0], authority.client())
    transport, wire = await ws_connect(
        Wire, house.socket.replace("ws:", "wss:") + "/marketdata", ssl_context=authority.client()
    )
    other = Authority(tmp_path / "other")
    shutil.copy(other.chain, authority.chain)  # half of it: fits no key, changes nothing
    assert house.gateway is not None
    assert house.gateway._certificate is not None
    house.gateway._certificate.look()
    assert await shaken(ports(house)[0], authority.client()) == before
    shutil.copy(other.key, authority.key)

    async def is_new() -> bool:
        try:
            return (await shaken(ports(house)[0], other.client()))[1] != before[1]
        except ssl.SSLError:
            return False

    await house.until(is_new, 10)
    for port in ports(house):
        await shaken(port, other.client())
    assert not wire.closed.is_set()  # who is connected stays
    transport.disconnect()


async def test_a_login_over_tls_has_a_secure_cookie_scheme(
    house: House, authority: Authority
) -> None:
    async with httpx.AsyncClient(verify=authority.client(), trust_env=False) as http:
        page = await http.get(house.url.replace("http:", "https:") + "/")
        assert page.status_code == 200
        assert "wss:" in page.headers["content-security-policy"]


def test_half_of_a_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="EXCHANGE_TLS_KEY"):
        Certificate.of(Settings(tls_certificate="chain.pem"))
    with pytest.raises(FileNotFoundError):
        Certificate(tmp_path / "chain.pem", tmp_path / "key.pem")
