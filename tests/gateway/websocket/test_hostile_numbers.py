"""Numbers that fit no field are refused alone; orders behind a quote are on the next page."""

from __future__ import annotations

import pytest

from exchange.messages.executions import ExecutionReport
from exchange.messages.reasons import EdgeReason
from gateway.client import Client, RefusedError
from gateway.replies.trading import OrderList
from tests.gateway.conftest import House
from tests.gateway.websocket.test_gateway_sockets import connected, logon, order, say


@pytest.mark.parametrize("valid_ms", [65_536, 1 << 63, 1 << 80, -(1 << 70)])
async def test_a_window_of_any_size_takes_no_neighbour_with_it(house: House, valid_ms: int) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house))
    await wire.next()
    cancel = {
        "type": "OrderCancelRequest",
        "ref": 2,
        "symbol": "EUA",
        "account": 101,
        "order_id": 5,
    }
    say(transport, [order(1), cancel, order(3, valid_ms=valid_ms), order(4)])
    told = [await wire.next() for _ in range(7)]
    outcomes = {(m["ref"], m.get("exec_type", m.get("title"))) for m in told if m.get("ref")}
    assert outcomes >= {(2, "REJECTED"), (3, "INVALID_FIELD"), (4, "PENDING")}
    assert [m["exec_type"] for m in told if m.get("exec_type") == "NEW"] == ["NEW"] * 2


async def test_a_request_on_which_the_gateway_fails_takes_no_neighbour_with_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.gateway is not None
    entry = house.gateway.context.entry
    monkeypatch.setattr(entry, "prepare", lambda *_: 1 // 0)
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house))
    await wire.next()
    say(transport, [order(1), order(2, order_type="MARKET", price=""), order(3)])
    told = [await wire.next() for _ in range(5)]
    assert {m["ref"]: m["title"] for m in told if m["type"] == "Reject"} == {2: "INTERNAL_ERROR"}
    assert sorted(m["ref"] for m in told if m.get("exec_type") == "PENDING") == [1, 3]


@pytest.mark.parametrize("number", [(1 << 63) - 1, 1 << 64, 10**40])
async def test_an_id_of_any_size_is_not_found(northern: Client, number: int) -> None:
    with pytest.raises(RefusedError) as refused:
        await northern.rest.get(f"/orders/{number}", ExecutionReport)
    assert refused.value.reason == EdgeReason.NOT_FOUND


async def test_pages_of_orders_leave_none_out_behind_a_quote(
    house: House, northern: Client
) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house))
    await wire.next()
    quote = {"type": "Quote", "ref": 1, "symbol": "EUA", "account": 101, "bid_quantity": 5,
             "bid_price": "69.00", "offer_quantity": 5, "offer_price": "73.00"}  # fmt: skip
    say(transport, [quote, order(2, price="68.00"), order(3, price="68.50")])
    for _ in range(8):  # three PENDING, QUOTED, four NEW
        await wire.next()
    whole = [row.order_id for row in (await northern.rest.get("/orders", OrderList)).orders]
    assert len(whole) == 4
    paged: list[int] = []
    page = OrderList([], is_complete=False)
    while not page.is_complete:
        after = paged[-1] if paged else 0
        page = await northern.rest.get("/orders", OrderList, market="EU", after=after, limit=2)
        paged += [row.order_id for row in page.orders]
    assert paged == whole
