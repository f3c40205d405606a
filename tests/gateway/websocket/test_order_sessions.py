"""The order-entry socket: encodings, restatement, cancel on disconnect, drop copy."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from picows import WSFrame, WSMsgType, WSTransport, ws_connect

from exchange import settings
from exchange.messages.executions import ExecutionReport
from exchange.messages.reasons import EdgeReason
from gateway.client import Client
from gateway.context import Context
from gateway.refusal import Refused
from gateway.websocket import disconnects
from tests.gateway.conftest import House
from tests.gateway.websocket.test_gateway_sockets import Wire, connected, logon, order, say

GRACE_S = 0.15


class PackedWire(Wire):
    """A bare connection that speaks MessagePack."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.BINARY:
            for item in msgspec.msgpack.decode(frame.get_payload_as_bytes()):
                self.came.put_nowait(item)
        else:
            super().on_ws_frame(transport, frame)


@pytest.fixture(autouse=True)
def _grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disconnects, "DISCONNECT_GRACE_S", GRACE_S)
    monkeypatch.setattr(disconnects, "DISCONNECT_RETRY_S", 0.02)


async def logged_on(house: House, name: str = "northern", **changes: Any) -> tuple[Any, Wire]:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house, name, **changes))
    assert (await wire.next())["type"] == "LoggedOn"
    return transport, wire


async def lost(transport: WSTransport, wire: Wire) -> None:
    transport.disconnect()
    await wire.closed.wait()


async def until_word(wire: Wire, **what: Any) -> dict[str, Any]:
    while True:
        message = await wire.next()
        if what.items() <= message.items():
            return message


# -- encodings ----------------------------------------------------------------------------------


async def test_a_session_in_messagepack_hears_what_one_in_json_hears(house: House) -> None:
    packed, wire = await ws_connect(PackedWire, house.socket + "/orders")
    assert isinstance(wire, PackedWire)
    say_packed = lambda item: packed.send(WSMsgType.BINARY, msgspec.msgpack.encode(item))  # noqa: E731
    _, plain = await logged_on(house)
    say_packed(logon(house))
    assert (await wire.next())["type"] == "LoggedOn"
    say_packed([order(1), order(2, price="70.10"), order(3, quantity="x")])
    reject = await until_word(wire, type="Reject")
    assert (reject["ref"], reject["reason"]) == (3, 503)
    first = await until_word(wire, exec_type="NEW")
    assert first == await until_word(plain, exec_type="NEW")
    for bad, reason in (
        (b"\xc1", 502),
        (msgspec.msgpack.encode({"type": "Surprise"}), 503),
        (b"\x91" * 3_000 + b"\x90", 503),
        (b"\xdd\xff\xff\xff\xff", 502),
    ):
        packed.send(WSMsgType.BINARY, bad)
        assert (await until_word(wire, type="Reject"))["reason"] == reason, bad[:9]
    packed.send(WSMsgType.TEXT, json.dumps(order(4)).encode())
    assert (await until_word(wire, type="Reject"))["reason"] == 502
    await lost(packed, wire)


@pytest.mark.parametrize("is_packed", [False, True])
async def test_a_request_that_cannot_be_read_is_named_and_its_neighbours_are_entered(
    house: House, is_packed: bool
) -> None:
    transport, wire = await ws_connect(PackedWire if is_packed else Wire, house.socket + "/orders")
    assert isinstance(wire, Wire)
    kind = WSMsgType.BINARY if is_packed else WSMsgType.TEXT
    pack = msgspec.msgpack.encode if is_packed else msgspec.json.encode
    transport.send(kind, pack(logon(house)))
    assert (await wire.next())["type"] == "LoggedOn"
    bad = [order(2, side="buy", client_order_id="mine"), order(3, prise="1"), {"ref": "x"}, 7]
    transport.send(kind, pack([order(1), *bad, order(4)]))
    rejects = [await until_word(wire, type="Reject") for _ in bad]
    assert [(r.get("ref", 0), r["reason"]) for r in rejects] == [
        (2, 503), (3, 504), (0, 507), (0, 503),
    ]  # fmt: skip
    assert rejects[0]["client_order_id"] == "mine"
    assert [(await until_word(wire, exec_type="PENDING"))["ref"] for _ in "14"] == [1, 4]
    transport.send(kind, pack(order(5, side="buy")))
    assert (await until_word(wire, type="Reject"))["ref"] == 5
    transport.send(kind, pack([order(6, side="buy")] * 129))
    assert "at most 128" in (await until_word(wire, type="Reject"))["text"]
    await lost(transport, wire)


async def test_what_cannot_be_read_takes_from_the_budget_of_orders(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, wire = await logged_on(house)
    monkeypatch.setattr(Context, "take", Mock(side_effect=[None, Refused(EdgeReason.THROTTLED)]))
    say(transport, [order(2, side="buy"), order(3, side="buy")])
    rejects = [await until_word(wire, type="Reject") for _ in range(2)]
    assert [(r["ref"], r["reason"]) for r in rejects] == [(2, 503), (3, 520)]
    await lost(transport, wire)


# -- what was missed ----------------------------------------------------------------------------


async def test_a_gap_tells_up_to_where_reports_may_be_missing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One account's reports before 50 were forgotten, another's of 20 is still there."""
    kept = ExecutionReport("EU", 101, "NEW", "NEW", sequence=20)
    reports = SimpleNamespace(
        after_of=lambda *_: [], after=lambda *_: [kept], first_kept=lambda _account: 50
    )
    with monkeypatch.context() as patched:  # ends before the gateway, whose stand holds them
        patched.setattr(house.gateway.context.views["EU"], "reports", reports)
        _, wire = await logged_on(house, resume_from={"EU": 10})
        assert await wire.next() == {"type": "Gap", "market": "EU", "first_sequence": 50}
        assert (await wire.next())["sequence"] == 20
        _, wire = await logged_on(house, resume_from={"EU": 49})
        assert (await wire.next())["type"] == "ExecutionReport"


# -- restatement --------------------------------------------------------------------------------


async def test_open_orders_are_restated_as_they_stand(house: House, huadong: Client) -> None:
    transport, wire = await logged_on(house)
    say(transport, [order(1, quantity=9), order(2, price="69.00"), order(3, price="68.00")])
    ids = [(await until_word(wire, exec_type="NEW"))["order_id"] for _ in range(3)]
    await huadong.new_order("EUA", 102, "SELL", 4, "70.00")
    await until_word(wire, exec_type="TRADE")
    await lost(transport, wire)
    _, wire = await logged_on(house, restate=True)
    told = [await wire.next() for _ in range(5)]
    assert [m.get("exec_type") for m in told] == ["RESTATED"] * 3 + [None] * 2
    assert [m["order_id"] for m in told[:3]] == ids
    assert (told[0]["leaves_quantity"], told[0]["cumulative_quantity"]) == (5, 4)
    ends = {m["market"]: m["orders"] for m in told[3:]}
    assert ends == {"EU": 3, "CN": 0}
    assert all(m["type"] == "Restatement" for m in told[3:])


# -- cancel on disconnect -----------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["NONE", "SESSION", "PARTICIPANT"])
async def test_orders_of_the_scope_end_when_nobody_returns(house: House, scope: str) -> None:
    transport, wire = await logged_on(house, "yangtze", cancel_on_disconnect=scope)
    say(transport, order(1, account=103))
    await until_word(wire, exec_type="NEW")
    async with house.client("deputy") as deputy:  # another key of the same firm, over REST
        await deputy.new_order("EUA", 103, "BUY", 1, "69.00")
    await lost(transport, wire)
    async with house.client("yangtze") as rest:
        left = {"NONE": 2, "SESSION": 1, "PARTICIPANT": 0}[scope]
        if scope == "NONE":
            await asyncio.sleep(2 * GRACE_S)
        await house.until(lambda: _open(rest, left))
        kinds = [r.exec_type for r in (await rest.executions("EU")).executions]
    assert kinds.count("CANCELLED") == 2 - left
    assert kinds.count("MASS_CANCELLED") == (scope != "NONE")


async def test_our_client_lets_its_orders_end_with_it(house: House) -> None:
    key = house.keys["northern"]
    async with Client(house.url, key, cancel_on_disconnect="SESSION") as client:
        ended = await client.new_order("EUA", 101, "BUY", 5, "69.00")
    await house.until(lambda: not house.gateway.context.views["EU"].reports.orders)
    async with house.client("northern") as client:
        report = await client.find_order(ended.order_id)
        assert (report.order_status, report.leaves_quantity) == ("CANCELLED", 0)


async def test_who_returns_in_time_keeps_the_orders_and_so_does_a_second_connection(
    house: House, northern: Client
) -> None:
    transport, wire = await logged_on(house, cancel_on_disconnect="SESSION")
    say(transport, order(1))
    await until_word(wire, exec_type="NEW")
    await lost(transport, wire)
    back, again = await logged_on(house, cancel_on_disconnect="SESSION")
    other, third = await logged_on(house, cancel_on_disconnect="SESSION")
    await lost(back, again)
    await asyncio.sleep(2 * GRACE_S)
    assert len(await northern.orders()) == 1
    await lost(other, third)
    await house.until(lambda: _open(northern, 0))


async def test_a_log_that_is_away_is_asked_again_and_a_stop_of_the_venue_cancels_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport, wire = await logged_on(house, cancel_on_disconnect="SESSION")
    say(transport, order(1))
    await until_word(wire, exec_type="NEW")
    assert house.gateway is not None
    submitter = house.gateway.context.entry.desks["EU"].submitter
    monkeypatch.setattr("gateway.entry.submitter.GATEWAY_QUEUE_MAX", 0)
    await lost(transport, wire)
    await asyncio.sleep(2 * GRACE_S)
    assert not submitter._queue
    monkeypatch.undo()
    monkeypatch.setattr(disconnects, "DISCONNECT_RETRY_S", 0.02)
    async with house.client("northern") as northern:
        await house.until(lambda: _open(northern, 0))
        await northern.new_order("EUA", 101, "BUY", 1, "69.00")
    stays, _ = await logged_on(house, cancel_on_disconnect="PARTICIPANT")
    await house.stop("gateway")
    await house.open_gateway()
    await asyncio.sleep(2 * GRACE_S)
    async with house.client("northern") as northern:
        assert len(await northern.orders()) == 1
    stays.disconnect()


async def _open(client: Client, count: int) -> bool:
    return len(await client.orders()) == count


# -- drop copy ----------------------------------------------------------------------------------


async def test_a_drop_copy_hears_all_and_takes_nothing(house: House, northern: Client) -> None:
    transport, wire = await connected(house.socket + "/drop-copy")
    say(transport, logon(house))
    await wire.next()
    placed = await northern.new_order("EUA", 101, "BUY", 1, "69.00")
    assert (await until_word(wire, exec_type="NEW"))["order_id"] == placed.order_id
    before = await house.ends()
    say(transport, order(7))
    refused = await until_word(wire, type="Reject")
    assert refused["reason"] == 514
    assert await house.ends() == before
    say(transport, [order(1)] * (settings.SESSION_BATCH_MAX + 1))
    assert (await until_word(wire, type="Reject"))["reason"] == 503
    transport.disconnect()


async def copied(house: House, **changes: Any) -> tuple[Any, Wire]:
    transport, wire = await connected(house.socket + "/drop-copy")
    say(transport, logon(house, **changes))
    assert (await wire.next())["type"] == "LoggedOn"
    return transport, wire


@pytest.mark.parametrize("is_there_before", [True, False], ids=["before", "in the grace"])
async def test_no_order_stays_because_a_drop_copy_is_there(
    house: House, northern: Client, is_there_before: bool
) -> None:
    transport, wire = await logged_on(house, cancel_on_disconnect="PARTICIPANT")
    say(transport, order(1))
    await until_word(wire, exec_type="NEW")
    if is_there_before:
        copy, _ = await copied(house)
    await lost(transport, wire)
    if not is_there_before:
        copy, _ = await copied(house)
    await house.until(lambda: _open(northern, 0))
    copy.disconnect()


async def test_no_order_ends_with_a_drop_copy(house: House, northern: Client) -> None:
    transport, wire = await logged_on(house)
    say(transport, order(1))
    await until_word(wire, exec_type="NEW")
    await lost(transport, wire)
    await lost(*await copied(house, cancel_on_disconnect="PARTICIPANT"))
    await asyncio.sleep(2 * GRACE_S)
    assert len(await northern.orders()) == 1


# -- resends ------------------------------------------------------------------------------------


async def test_who_resends_a_mass_cancel_is_told_what_became_of_it(house: House) -> None:
    transport, wire = await logged_on(house)
    request = {"type": "OrderMassCancelRequest", "ref": 5, "market": "EU"}
    say(transport, request)
    await until_word(wire, exec_type="MASS_CANCELLED")
    say(transport, request)
    repeated = await until_word(wire, exec_type="ORDER_STATUS", ref=5)
    assert "reason" not in repeated
    say(transport, {**request, "side": "BUY"})
    other = await until_word(wire, exec_type="REJECTED", ref=5)
    assert other["title"] == "REF_REUSED"
    say(transport, {**request, "ref": 3})
    passed_over = await until_word(wire, exec_type="REJECTED", ref=3)
    assert passed_over["title"] == "REF_PASSED_OVER"
    await lost(transport, wire)
