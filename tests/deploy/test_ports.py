"""Ports that servers of this machine are given before they bind them."""

from __future__ import annotations

import random
import socket

import pytest

from deploy.local import process
from deploy.local.process import LOOPBACK, LocalServerError, free_ports


def test_ports_are_neighbours_below_those_of_outgoing_connections() -> None:
    ports = free_ports(4)
    assert ports == list(range(ports[0], ports[0] + 4))
    assert ports[0] >= 20000
    assert ports[-1] < 32000


def test_a_run_with_a_port_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, last = free_ports(3)
    tried = iter([first, first + 3])
    monkeypatch.setattr(random.SystemRandom, "randrange", lambda *_: next(tried))
    with socket.create_server((LOOPBACK, last)):
        assert free_ports(3)[0] == first + 3


def test_no_port_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "port_is_free", lambda _port: False)
    with pytest.raises(LocalServerError, match="no 2 free TCP ports"):
        free_ports(2)
