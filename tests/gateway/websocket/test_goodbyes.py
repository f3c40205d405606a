"""In which order a gateway turns to its connections: that in which they came, in every run.

A set of them would go by their addresses, and a seed of the simulation would not come out the same.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gateway.refusal import Refused
from gateway.websocket.sessions import ReportHub
from gateway.websocket.sockets import Connections

MANY = 64


class Listener:
    """A connection that notes its turn."""

    def __init__(self, number: int, turns: list[int]) -> None:
        self.number, self.turns = number, turns

    def cut(self, _refused: Refused) -> None:
        self.turns.append(self.number)

    def receive(self, _market: str, _executions: list[Any]) -> None:
        self.turns.append(self.number)


def listeners() -> tuple[list[Any], list[int]]:
    turns: list[int] = []
    made = [Listener(number, turns) for number in range(MANY)]
    made.reverse()  # neither by address nor by number
    return made, turns


def test_goodbyes_are_said_in_the_order_in_which_connections_came() -> None:
    connections = Connections()
    came, turns = listeners()
    for connection in came:
        connections.open[connection] = None
    connections.close_all()
    assert turns == list(range(MANY))[::-1]


def test_reports_are_told_in_the_order_in_which_sessions_joined() -> None:
    own: Any = SimpleNamespace(market="EU", id=101, participant=1)
    venue: Any = SimpleNamespace(account=[own])
    hub = ReportHub(venue)
    came, turns = listeners()
    for session in came:
        hub.join(1, session.receive)
    hub.leave(1, came[2].receive)
    hub.join(1, came[2].receive)
    hub.leave(2, came[3].receive)
    view: Any = SimpleNamespace(market=SimpleNamespace(code="EU"))
    report: Any = SimpleNamespace(account=101, participant=0)
    hub.publish(view, [report])
    expected = [session.number for session in came]
    assert turns == [*expected[:2], *expected[3:], expected[2]]
