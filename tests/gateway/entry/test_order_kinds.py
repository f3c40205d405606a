"""Every kind of order request, through a gateway, the engine and back."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import (
    BlockConfirmation,
    BlockProposal,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderMassCancelRequest,
    PickOrder,
    Quote,
)
from gateway.client import Client, InvalidOrderError, VenueError
from gateway.replies.trading import BlockList
from tests.gateway.conftest import House, demo_venue

BLOCKS = {"block_open": 1, "block_quantity_min": 100}
LISTED = {"policy": 2}
_CHANGES = {"EUA": BLOCKS, "CEA-2024": LISTED}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    instruments = tuple(
        msgspec.structs.replace(item, parameters=item.parameters | _CHANGES.get(item.symbol, {}))
        for item in venue.instrument
    )
    made = House(tmp_path, msgspec.structs.replace(venue, instrument=instruments), keys)
    await made.start()
    await made.endow()
    try:
        yield made
    finally:
        await made.close()


def order(side: str, quantity: int, price: str = "", **terms: Any) -> NewOrderSingle:
    fields = {"ref": 0, "symbol": "EUA", "account": 101, "side": side, "quantity": quantity}
    return NewOrderSingle(**(fields | {"price": price} | terms))


async def post(client: Client, path: str, body: Any) -> ExecutionReport:
    return await client.rest.call(
        "POST", path, ExecutionReport, body=body, query={"wait_ms": 5_000}
    )


async def trade(house: House, price: str) -> None:
    """Somebody else's trade at a price, which becomes the last price."""
    async with house.client("yangtze") as seller, house.client("huadong") as buyer:
        await seller.order(order("SELL", 1, price, account=103))
        done = await buyer.order(order("BUY", 1, price, account=102, time_in_force="IOC"))
        assert done.order_status == "FILLED"


def terms_of(report: ExecutionReport) -> dict[str, Any]:
    names = (
        "stop_price", "display_quantity", "minimum_quantity", "expire_date", "post_only",
        "self_trade_prevention", "is_persistent",
    )  # fmt: skip
    defaults = ExecutionReport("", 0, "", "")
    found = {name: getattr(report, name) for name in names}
    return {name: value for name, value in found.items() if value != getattr(defaults, name)}


async def test_terms_go_to_the_engine_and_come_back_in_the_report(northern: Client) -> None:
    ahead = dt.date.max.replace(year=2090)
    for sent, told in (
        ({"display_quantity": 3}, {"display_quantity": 3}),
        ({"time_in_force": "GTD", "expire_date": ahead}, {"expire_date": "2090-12-31"}),
        ({"post_only": "REFUSE"}, {"post_only": "REFUSE"}),
        ({"post_only": "REPRICE", "is_persistent": False},
         {"post_only": "REPRICE", "is_persistent": False}),
        ({"self_trade_prevention": "DECREMENT"}, {"self_trade_prevention": "DECREMENT"}),
        ({"order_type": "STOP_LIMIT", "stop_price": "90.00"}, {"stop_price": "90.00"}),
    ):  # fmt: skip
        report = await northern.order(order("BUY", 9, "60.00", **sent))
        assert (report.exec_type, terms_of(report)) == ("NEW", told), sent
        (again,) = [o for o in await northern.orders() if o.order_id == report.order_id]
        assert terms_of(again) == told
    with pytest.raises(InvalidOrderError) as wrong:
        await northern.order(order("BUY", 9, "60.00", minimum_quantity=3, display_quantity=2))
    assert wrong.value.reason == 208


async def test_a_stop_waits_and_tells_when_it_is_triggered(house: House, northern: Client) -> None:
    stop = await northern.order(
        order("BUY", 5, order_type="STOP", stop_price="72.00", time_in_force="GTC")
    )
    assert (stop.order_type, stop.price, stop.stop_price) == ("STOP", "74.16", "72.00")
    async with house.client("yangtze") as seller:
        await seller.order(order("SELL", 5, "72.10", account=103))
    await trade(house, "72.00")
    stream = await northern.stream()
    await house.until(lambda: any(r.exec_type == "TRADE" for r in stream.reports))
    triggered, filled = [r for r in stream.reports if r.order_id == stop.order_id][-2:]
    assert (triggered.exec_type, triggered.order_type) == ("TRIGGERED", "MARKET")
    assert (triggered.stop_price, triggered.time_in_force) == ("", "IOC")
    assert (filled.order_status, filled.last_price) == ("FILLED", "72.10")


async def test_who_triggers_a_stop_is_told_of_the_own_order_only(
    house: House, northern: Client, huadong: Client
) -> None:
    await huadong.order(order("SELL", 2, "71.00", account=102))
    await huadong.order(order("SELL", 9, "71.20", account=102))
    await northern.order(
        order("BUY", 7, order_type="STOP", stop_price="71.00", time_in_force="GTC")
    )
    own = await northern.order(order("BUY", 2, "71.00"))  # its trade triggers the stop above
    assert (own.exec_type, own.order_status, own.cumulative_quantity) == ("TRADE", "FILLED", 2)
    by_rest = await northern.rest.get(f"/orders/{own.order_id}", ExecutionReport)
    assert by_rest.cumulative_quantity == 2
    await huadong.order(order("SELL", 1, "71.30", account=102))
    body = order("BUY", 1, "71.30", ref=northern._ref + 1)
    answer = await post(northern, "/orders", body)
    assert answer.order_id == answer.request_id  # not the order of a stop that went with it


async def test_an_iceberg_shows_slice_after_slice(northern: Client, huadong: Client) -> None:
    hidden = await northern.order(order("SELL", 9, "71.25", display_quantity=4))
    await huadong.order(order("BUY", 6, "71.25", account=102, time_in_force="IOC"))
    stream = await northern.stream()
    kinds = [r.exec_type for r in stream.reports if r.order_id == hidden.order_id]
    assert kinds == ["NEW", "TRADE", "REFILLED", "TRADE"]


async def test_a_minimum_and_a_post_only_end_what_does_not_fit(
    northern: Client, huadong: Client
) -> None:
    await huadong.order(order("SELL", 2, "71.25", account=102))
    short = await northern.order(order("BUY", 9, "71.25", minimum_quantity=3))
    assert (short.exec_type, short.reason) == ("CANCELLED", 408)
    with pytest.raises(VenueError) as would:
        await northern.order(order("BUY", 1, "71.25", post_only="REFUSE"))
    assert would.value.reason == 249
    moved = await northern.order(order("BUY", 1, "71.25", post_only="REPRICE"))
    assert moved.price == "71.24"


async def test_a_replace_sets_terms_anew_or_keeps_them(northern: Client) -> None:
    placed = await northern.order(order("BUY", 9, "60.00", display_quantity=3))
    named = {"ref": 0, "symbol": "EUA", "account": 101, "order_id": placed.order_id}
    kept = await northern.order(OrderCancelReplaceRequest(**named, quantity=8, price="60.00"))
    assert (kept.leaves_quantity, terms_of(kept)) == (8, {"display_quantity": 3})
    other = await northern.order(
        OrderCancelReplaceRequest(**named, quantity=8, price="60.00", display_quantity=2)
    )
    assert terms_of(other) == {"display_quantity": 2}
    stop = await northern.order(order("BUY", 5, order_type="STOP", stop_price="80.00"))
    moved = await northern.order(OrderCancelReplaceRequest(
        ref=0, symbol="EUA", account=101, order_id=stop.order_id, quantity=4, stop_price="81.00"
    ))  # fmt: skip
    assert (moved.leaves_quantity, moved.stop_price) == (4, "81.00")


async def test_a_mass_cancel_ends_what_fits_and_counts_it(
    house: House, northern: Client, huadong: Client
) -> None:
    for side, price in (("BUY", "60.00"), ("BUY", "61.00"), ("SELL", "80.00")):
        await northern.order(order(side, 1, price))
    foreign = await huadong.order(order("BUY", 1, "60.00", account=102))
    some = await northern.order(
        OrderMassCancelRequest(ref=0, market="EU", side="BUY", symbol="EUA", client_order_id="m1")
    )
    assert (some.exec_type, some.affected_orders, some.client_order_id) == (
        "MASS_CANCELLED", 2, "m1",
    )  # fmt: skip
    rest = await northern.order(OrderMassCancelRequest(ref=0, market="EU", account=101))
    assert rest.affected_orders == 1
    none = await northern.order(OrderMassCancelRequest(ref=0, market="EU", own_session=True))
    assert none.affected_orders == 0
    assert await northern.orders() == []
    assert [o.order_id for o in await huadong.orders()] == [foreign.order_id]
    with pytest.raises(VenueError) as not_own:
        await northern.order(OrderMassCancelRequest(ref=0, market="EU", account=102))
    assert not_own.value.reason == 515
    kept = (await northern.executions("EU")).executions
    assert [r.exec_type for r in kept].count("MASS_CANCELLED") == 3


async def test_a_quote_takes_the_place_of_the_one_before(house: House, northern: Client) -> None:
    first = await northern.order(Quote(
        ref=0, symbol="EUA", account=101, bid_quantity=5, bid_price="71.00", offer_quantity=6,
        offer_price="71.50",
    ))  # fmt: skip
    assert (first.exec_type, first.client_order_id) == ("QUOTED", "")
    sides = await northern.orders()
    assert [(o.side, o.leaves_quantity, o.price) for o in sides] == [
        ("BUY", 5, "71.00"), ("SELL", 6, "71.50"),
    ]  # fmt: skip
    assert {o.order_id for o in sides} == {first.order_id, first.order_id | 1 << 15}
    await northern.order(Quote(ref=0, symbol="EUA", account=101, bid_quantity=2, bid_price="71.10"))
    assert [(o.side, o.leaves_quantity) for o in await northern.orders()] == [("BUY", 2)]
    await northern.order(Quote(ref=0, symbol="EUA", account=101))
    assert await northern.orders() == []
    with pytest.raises(VenueError) as crossed:
        await northern.order(Quote(
            ref=0, symbol="EUA", account=101, bid_quantity=5, bid_price="72", offer_quantity=6,
            offer_price="71.50",
        ))  # fmt: skip
    assert crossed.value.reason == 255


async def test_a_taker_picks_a_listing(northern: Client, huadong: Client) -> None:
    listed = {"symbol": "CEA-2024", "account": 201}
    listing = await northern.order(order("SELL", 50, "74.00", **listed))
    pick = PickOrder(
        ref=0, symbol="CEA-2024", account=202, side="BUY", listing_id=listing.order_id, quantity=20,
        price="74.00", client_order_id="p1",
    )  # fmt: skip
    taken = await huadong.order(pick)
    assert (taken.order_status, taken.cumulative_quantity, taken.order_type) == (
        "FILLED", 20, "PICK",
    )  # fmt: skip
    assert (taken.trade_method, taken.order_id) == ("LISTED", taken.request_id)
    with pytest.raises(VenueError) as differs:
        await huadong.order(msgspec.structs.replace(pick, price="74.01", client_order_id=""))
    assert differs.value.reason == 253


async def test_a_block_is_proposed_seen_and_confirmed_or_declined(
    house: House, northern: Client, huadong: Client
) -> None:
    seen = await huadong.stream()
    figures = {"ref": 0, "symbol": "EUA", "quantity": 500, "price": "70.90"}
    proposal = BlockProposal(
        **figures, account=101, side="SELL", counterparty_account=102, client_order_id="b1"
    )
    proposed = await northern.order(proposal)
    assert (proposed.exec_type, proposed.order_type) == ("NEW", "BLOCK")
    await house.until(lambda: bool(seen.reports))
    notice = seen.reports[-1]
    assert (notice.exec_type, notice.account, notice.client_order_id) == (
        "BLOCK_PROPOSED", 102, "",
    )  # fmt: skip
    (waiting,) = (await huadong.rest.get("/blocks", BlockList)).proposals
    assert (waiting.order_id, waiting.order_quantity) == (proposed.order_id, 500)
    assert (await northern.rest.get("/blocks", BlockList)).proposals == []
    confirm = BlockConfirmation(
        **figures, account=102, side="BUY", proposal_id=notice.order_id, client_order_id="c1"
    )
    done = await huadong.order(confirm)
    assert (done.order_status, done.trade_method, done.last_price) == ("FILLED", "BLOCK", "70.90")
    assert (await huadong.rest.get("/blocks", BlockList)).proposals == []
    second = await northern.order(msgspec.structs.replace(proposal, client_order_id=""))
    declined = await huadong.order(
        OrderCancelRequest(ref=0, symbol="EUA", account=102, order_id=second.order_id)
    )
    assert declined.exec_type in ("CANCELLED", "ORDER_STATUS")
    own = await northern.rest.get(f"/orders/{second.order_id}", ExecutionReport)
    assert (own.order_status, own.reason) == ("CANCELLED", 413)


async def test_a_resend_with_the_same_terms_is_done_once_and_with_others_refused(
    northern: Client,
) -> None:
    await northern.stream()
    body = order("BUY", 9, "60.00", display_quantity=3, ref=northern._ref + 1)
    first = await post(northern, "/orders", body)
    again = await post(northern, "/orders", body)
    assert (again.exec_type, again.order_id) == ("ORDER_STATUS", first.order_id)
    other = msgspec.structs.replace(body, display_quantity=4)
    with pytest.raises(VenueError) as reused:
        await post(northern, "/orders", other)
    assert reused.value.reason == 528
    assert len(await northern.orders()) == 1


UNUSABLE: tuple[tuple[str, dict[str, Any], int], ...] = (
    ("/orders", {"stop_price": "x"}, 503),
    ("/orders", {"stop_price": "1.001"}, 506),
    ("/orders", {"display_quantity": 2**63}, 503),
    ("/orders", {"post_only": "MAYBE"}, 503),
    ("/orders", {"order_type": "STOP", "price": "70.00"}, 205),
    ("/orders", {"order_type": "PICK"}, 503),
    ("/quotes", {"bid_price": "70.00"}, 208),
    ("/quotes", {"bid_quantity": 3}, 507),
    ("/picks", {"listing_id": 0, "quantity": 1, "side": "BUY", "price": "70"}, 503),
    ("/mass-cancels", {"symbol": "EUA", "market": "CN"}, 503),
    ("/mass-cancels", {"market": "XX"}, 503),
)


async def test_what_cannot_be_used_is_refused_at_the_edge(house: House, northern: Client) -> None:
    await northern.stream()
    ends = await house.ends()
    for path, change, reason in UNUSABLE:
        body: dict[str, Any] = {"ref": northern._ref + 1}
        if path == "/mass-cancels":
            body |= {"market": "EU"}
        else:
            body |= {"symbol": "EUA", "account": 101}
        if path == "/orders":
            body |= {"side": "BUY", "quantity": 9, "price": "60.00"}
        with pytest.raises(VenueError) as refused:
            await post(northern, path, body | change)
        assert refused.value.reason == reason, (path, change)
    assert await house.ends() == ends
