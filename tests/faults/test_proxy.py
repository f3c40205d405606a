"""The proxy does what it says: else a fault test would prove nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.local.process import LOOPBACK
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Door, Network


@pytest.fixture
def door() -> Iterator[Door]:
    """In front of a server that says everything back."""
    server = socket.create_server((LOOPBACK, 0))
    threading.Thread(target=echo, args=(server,), daemon=True).start()
    with Network() as network:
        yield network.door(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(1 << 16):
                connection.sendall(data)
        except OSError:
            return


def client(door: Door) -> socket.socket:
    made = socket.create_connection((LOOPBACK, door.port), 10)
    made.settimeout(10)
    return made


def heard(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := link.recv(size - len(data))):
        data += more
    return data


def is_silent(link: socket.socket) -> bool:
    link.settimeout(0.2)
    try:
        return link.recv(1) is None
    except TimeoutError:
        return True
    finally:
        link.settimeout(10)


def test_bytes_pass_unchanged_and_late(door: Door) -> None:
    with client(door) as link:
        data = bytes(range(256)) * 4_000
        threading.Thread(target=link.sendall, args=(data,), daemon=True).start()
        assert heard(link, len(data)) == data
        door.delay_s = 0.1
        begun = time.monotonic()
        link.sendall(b"late")
        assert heard(link, 4) == b"late"
        assert time.monotonic() - begun >= 0.2  # there and back


@pytest.mark.parametrize("way", [TO_SERVER, TO_CLIENT])
def test_what_is_held_comes_later(door: Door, way: str) -> None:
    with client(door) as link:
        link.sendall(b"a")
        assert heard(link, 1) == b"a"
        door.hold(way)  # type: ignore[arg-type]
        link.sendall(b"b")
        assert is_silent(link)
        with client(door) as new:
            new.sendall(b"c")
            assert is_silent(new)
            door.release()
            assert heard(link, 1) == b"b"
            assert heard(new, 1) == b"c"


def test_what_is_lost_never_comes(door: Door) -> None:
    with client(door) as link:
        door.lose(TO_CLIENT)
        link.sendall(b"a")
        assert is_silent(link)
        assert door.carried[TO_SERVER] == 1
        door.release()
        with pytest.raises(ConnectionResetError):
            link.recv(1)
    with client(door) as link:
        link.sendall(b"b")
        assert heard(link, 1) == b"b"


def test_a_stranded_connection_is_dead_and_open(door: Door) -> None:
    with client(door) as link:
        link.sendall(b"a")
        assert heard(link, 1) == b"a"
        door.strand()
        link.sendall(b"b")
        assert is_silent(link)
        with client(door) as new:
            new.sendall(b"c")
            assert heard(new, 1) == b"c"


def test_cut_and_closed_doors(door: Door) -> None:
    with client(door) as link:
        link.sendall(b"a")
        assert heard(link, 1) == b"a"
        door.cut()
        with pytest.raises(ConnectionResetError):
            link.recv(1)
    door.close()
    with pytest.raises(ConnectionRefusedError):
        client(door)
    door.open()
    with client(door) as link:
        link.sendall(b"b")
        assert heard(link, 1) == b"b"


def test_a_connection_can_be_edited(door: Door) -> None:
    door.edits[TO_CLIENT] = lambda: bytes.upper
    with client(door) as link:
        link.sendall(b"quiet")
        assert heard(link, 5) == b"QUIET"
