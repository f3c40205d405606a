"""The doors of the flood benchmark: an answer goes to the request that waits for it alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from picows import WSMsgType

from benchmarks.flood import DONE, FixDoor, Flow, Request, SocketDoor
from gateway.client.keys import generate_key
from gateway.fix.codec import Framer, decode, encode

KEY = generate_key("northern")
ACCOUNT = 101


class Wire:
    """What a door wrote."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.said.append(data)

    def send(self, _type: WSMsgType, data: bytes) -> None:
        self.said.append(data)


class FramePayload:
    """A frame of the socket."""

    msg_type = WSMsgType.TEXT

    def __init__(self, *items: dict[str, Any]) -> None:
        self._data = msgspec.json.encode(items)

    def get_payload_as_bytes(self) -> bytes:
        return self._data


def report(label: str, *more: tuple[int, Any]) -> bytes:
    """An ExecutionReport as the venue sends it; the number is nobody's here."""
    values = [(37, 7), (17, f"E-{label}"), (150, 0), (39, 0), (11, label), *more]
    return encode("8", 2, "CARBON", KEY.id, time.time_ns(), values)


def a_fix_door() -> tuple[FixDoor, Wire]:
    door, wire = FixDoor(KEY, 0), Wire()
    door._framer, door._wire = Framer(), wire  # type: ignore[assignment]
    return door, wire


async def asked(door: FixDoor | SocketDoor, request: Request) -> asyncio.Task[str]:
    task = asyncio.create_task(door.send(request))
    await asyncio.sleep(0)
    return task


async def test_fix_hears_its_own_answer_and_passes_over_those_of_other_doors() -> None:
    door, wire = a_fix_door()
    flow = Flow(ACCOUNT)
    elsewhere, order = flow.order(), flow.order()
    task = await asked(door, order)
    label = decode(wire.said[0]).get(11)
    door.data_received(report(elsewhere.client_order_id) + report("by-hand"))
    await asyncio.sleep(0)
    assert not task.done()
    door.data_received(report(label))
    assert await task == DONE


@pytest.mark.parametrize("reason", ["205", ""])
async def test_fix_cancels_end_with_their_reason(reason: str) -> None:
    door, wire = a_fix_door()
    task = await asked(door, Flow(ACCOUNT).cancel())
    label = decode(wire.said[0]).get(11)
    more = ((20001, reason),) if reason else ()
    refused = [(37, "NONE"), (11, label), (41, "nothing"), (39, 8), (434, 1), (102, 1), *more]
    door.data_received(encode("9", 2, "CARBON", KEY.id, time.time_ns(), refused))
    assert await task == (reason or DONE)


async def test_the_socket_finds_orders_by_label_and_cancels_by_ref() -> None:
    door = SocketDoor(KEY, 0)
    door._wire = Wire()
    flow = Flow(ACCOUNT)
    order, cancel = flow.order(), flow.cancel()
    first, second = await asked(door, order), await asked(door, cancel)
    door.on_ws_frame(None, FramePayload(
        {"exec_type": "NEW", "client_order_id": "by-hand"},
        {"exec_type": "PENDING", "ref": order.ref, "client_order_id": order.client_order_id},
        {"exec_type": "NEW", "client_order_id": order.client_order_id},
        {"exec_type": "REJECTED", "ref": cancel.ref, "client_order_id": "nothing", "reason": 205},
    ))  # fmt: skip
    assert (await first, await second) == (DONE, "205")
