"""Which report answers which request, where a participant has more than one key.

Reports of all its accounts come on every connection, and each key counts refs of its own.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from exchange.clock import SystemClock
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import EdgeReason
from gateway.client import VenueBusyError, session
from gateway.client.keys import generate_key
from gateway.client.session import OrderStream, Waiting

encode = msgspec.json.Encoder().encode
REF, PLACE = 8, 99


def report(exec_type: str, sequence: int, place: int, **more: Any) -> ExecutionReport:
    made = ExecutionReport("EU", 101, exec_type, exec_type, sequence, place, ref=REF)
    return msgspec.structs.replace(made, **more)


ANOTHERS = report("REJECTED", 1, 77, reason=225)
PENDING = report("PENDING", 0, PLACE)


@pytest.fixture
def stream() -> OrderStream:
    return OrderStream("ws://nowhere", generate_key("northern"), SystemClock())


def sent(stream: OrderStream) -> Waiting:
    return stream.send(NewOrderSingle(ref=REF, symbol="EUA", account=101, side="BUY", quantity=1))


async def test_a_report_of_another_keys_request_answers_nothing(stream: OrderStream) -> None:
    waiting = sent(stream)
    stream.received(encode([ANOTHERS]))
    assert not waiting.taken.done()
    stream.received(encode([PENDING]))
    assert waiting.taken.done()
    assert not waiting.answered.done()
    stream.received(encode([report("NEW", 2, PLACE, ref=0)]))
    assert waiting.answered.result().exec_type == "NEW"
    assert [one.sequence for one in stream.reports] == [1, 2], "it is told all the same"


@pytest.mark.parametrize("exec_type", ["REJECTED", "ORDER_STATUS", "NEW"])
async def test_the_engines_word_may_come_before_the_logs(
    stream: OrderStream, exec_type: str
) -> None:
    waiting = sent(stream)
    stream.received(encode([ANOTHERS, report(exec_type, 2, PLACE)]))
    assert not waiting.answered.done()
    stream.received(encode([PENDING]))
    assert waiting.answered.result().sequence == 2


class Wire:
    """What was sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, _kind: object, data: bytes) -> None:
        self.sent.append(data)


def refusal(reason: EdgeReason) -> Reject:
    return Reject(int(reason), reason.name, "", REF, "", True, 1)


@pytest.mark.parametrize("reason", [EdgeReason.VENUE_BUSY, EdgeReason.THROTTLED])
async def test_what_the_log_may_have_keeps_its_number(
    stream: OrderStream, reason: EdgeReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another number it would be another order."""
    monkeypatch.setattr(session, "PAUSE_S", 0)
    waiting, wire = sent(stream), Wire()
    stream.received(encode([PENDING]))
    monkeypatch.setattr(stream, "_transport", wire)
    for count in (1, 2):
        stream.received(encode([refusal(reason)]))
        await asyncio.sleep(0.02)
        assert wire.sent == [encode(waiting.request)] * count
    stream.received(encode([report("ORDER_STATUS", 3, PLACE)]))
    assert waiting.answered.result().exec_type == "ORDER_STATUS"


async def test_what_the_log_cannot_have_is_refused_at_once(stream: OrderStream) -> None:
    waiting = sent(stream)
    stream.received(encode([refusal(EdgeReason.VENUE_BUSY)]))
    assert isinstance(waiting.answered.exception(), VenueBusyError)
