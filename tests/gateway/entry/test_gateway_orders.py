"""Orders from a member to the engine and back, over the socket and over REST."""

from __future__ import annotations

import asyncio

import pytest

from exchange import topics
from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import NewOrderSingle
from gateway.client import Client, InsufficientFundsError, InvalidOrderError, OrderNotFoundError


async def test_an_order_rests_trades_and_is_reported_to_both_sides(
    house, northern: Client, huadong: Client
) -> None:
    sold = await northern.new_order("EUA", 101, "SELL", 10, "71.25", client_order_id="s1")
    assert (sold.exec_type, sold.order_status, sold.leaves_quantity) == ("NEW", "NEW", 10)
    bought = await huadong.new_order("EUA", 102, "BUY", 4, "71.30", time_in_force="IOC")
    assert (bought.exec_type, bought.order_status) == ("TRADE", "FILLED")
    assert (bought.last_price, bought.last_quantity, bought.liquidity) == ("71.25", 4, "TAKER")
    assert bought.fee == "0.09"  # 285.00 at 3 basis points
    await house.until(lambda: len((northern._stream or 0).reports) >= 2)
    maker = (await northern.stream()).reports[-1]
    assert (maker.order_id, maker.leaves_quantity, maker.liquidity) == (sold.order_id, 6, "MAKER")
    assert maker.trade_id == bought.trade_id == maker.sequence
    (left,) = await northern.orders()
    assert (left.order_status, left.cumulative_quantity) == ("PARTIALLY_FILLED", 4)
    gone = await northern.cancel_order("EUA", 101, original_client_order_id="s1")
    assert (gone.exec_type, gone.reason, gone.leaves_quantity) == ("CANCELLED", 401, 0)
    assert await northern.orders() == []


async def test_a_replace_keeps_the_id_and_tells_what_is_left(northern: Client) -> None:
    placed = await northern.new_order("EUA", 101, "BUY", 10, "70.00")
    changed = await northern.replace_order("EUA", 101, placed.order_id, 7, "70.00")
    assert (changed.exec_type, changed.order_id) == ("REPLACED", placed.order_id)
    assert (changed.order_quantity, changed.leaves_quantity, changed.price) == (7, 7, "70.00")


async def test_immediate_orders_end_with_their_reason(northern: Client) -> None:
    ioc = await northern.new_order("EUA", 101, "BUY", 10, "70.00", time_in_force="IOC")
    assert (ioc.exec_type, ioc.order_status, ioc.reason) == ("CANCELLED", "CANCELLED", 402)
    fok = await northern.new_order("EUA", 101, "BUY", 10, "70.00", time_in_force="FOK")
    assert fok.reason == 403


async def test_engine_refusals_are_typed_and_name_the_rule(northern: Client) -> None:
    await northern.new_order("EUA", 101, "SELL", 999_999, "71.00")
    with pytest.raises(InsufficientFundsError) as short:
        await northern.new_order("EUA", 101, "SELL", 2, "71.00")
    assert short.value.reason == 261
    with pytest.raises(InvalidOrderError) as high:
        await northern.new_order("CCER", 201, "BUY", 1, "99.00")
    assert high.value.reason == 243
    with pytest.raises(OrderNotFoundError) as unknown:
        await northern.cancel_order("EUA", 101, 65_536 * 10**6)
    assert unknown.value.reason == 206


async def test_many_orders_in_flight_are_each_answered_once(house) -> None:
    await house.stop("gateway")
    await house.open_gateway(throttle_per_second=5_000)
    northern = house.client("northern")
    waiting = [
        await northern.send(
            NewOrderSingle(
                ref=0, symbol="EUA", account=101, side="BUY", quantity=1, price=f"60.{n % 100:02}"
            )
        )
        for n in range(1_100)
    ]
    reports = await asyncio.gather(*(item.answered for item in waiting))
    assert len({report.order_id for report in reports}) == 1_100
    assert {report.exec_type for report in reports} == {"NEW"}
    assert len(await northern.orders()) == 1_100  # more than a page
    await northern.close()


@pytest.mark.parametrize("name", ["in doubt", "a?b=c&d", "100%", "x#y"])
async def test_an_order_is_found_by_a_name_of_any_characters(northern: Client, name: str) -> None:
    done = await northern.new_order("EUA", 101, "BUY", 1, "60.00", client_order_id=name)
    assert (await northern.find_order(name, market="EU")).order_id == done.order_id


async def test_rest_answers_with_the_engines_word_or_pending(house, northern: Client) -> None:
    body = NewOrderSingle(ref=1, symbol="EUA", account=101, side="BUY", quantity=5, price="70.5")
    done = await northern.rest.call("POST", "/orders", ExecutionReport, body=body)
    assert (done.exec_type, done.price, done.ref) == ("NEW", "70.50", 1)
    same = await northern.rest.call("POST", "/orders", ExecutionReport, body=body)
    assert (same.exec_type, same.order_id) == ("ORDER_STATUS", done.order_id)
    later = NewOrderSingle(ref=2, symbol="EUA", account=101, side="BUY", quantity=5, price="70.5")
    pending = await northern.rest.call(
        "POST", "/orders", ExecutionReport, body=later, query={"wait_ms": 0}
    )
    assert pending.exec_type == "PENDING"
    found = await northern.find_order(done.order_id)
    assert found.order_status == "NEW"
    gone = await northern.rest.call(
        "DELETE", f"/orders/{done.order_id}", ExecutionReport,
        query={"symbol": "EUA", "account": 101, "ref": 3},
    )  # fmt: skip
    assert gone.order_status == "CANCELLED"
    session = await northern.session()
    assert session.last_ref == {"EU": 3, "CN": 0}
    page = await northern.executions("EU")
    assert [r.exec_type for r in page.executions] == ["NEW", "ORDER_STATUS", "NEW", "CANCELLED"]


async def test_positions_show_cash_held_and_units(northern: Client) -> None:
    await northern.new_order("EUA", 101, "BUY", 10, "70.00")
    await northern.new_order("EUA", 101, "SELL", 30, "80.00")
    row = next(p for p in (await northern.positions("EU")).positions if p.account == 101)
    assert row.cash.held == "700.21"  # 700.00 and 3 basis points
    (units,) = row.units
    assert (units.symbol, units.available, units.held) == ("EUA", 999_970, 30)


async def test_a_malformed_frame_on_the_log_stops_neither_engine_nor_gateway(
    house, northern: Client
) -> None:
    before = await northern.positions()
    for garbage in (b"", b"\x00" * 200, b"\xff" * 64):
        await house.log.append(topics.orders(0), [garbage or b"x"])
    report = await northern.new_order("EUA", 101, "BUY", 1, "60.00")
    assert report.exec_type == "NEW"
    await northern.cancel_order("EUA", 101, report.order_id)
    assert await northern.positions() == before


async def test_a_new_gateway_knows_what_the_last_one_knew(house, northern: Client) -> None:
    kept = await northern.new_order("EUA", 101, "BUY", 10, "60.00", client_order_id="mine")
    gone = await northern.new_order("EUA", 101, "BUY", 5, "60.00", time_in_force="IOC")
    executions, positions = await northern.executions("EU"), await northern.positions()
    session = await northern.session()
    await house.stop("gateway")
    await house.open_gateway()
    async with house.client("northern") as again:
        assert await again.executions("EU") == executions
        assert await again.positions() == positions
        assert (await again.session()).last_ref == session.last_ref
        assert (await again.find_order("mine")).order_id == kept.order_id
        assert (await again.find_order(gone.order_id)).order_status == "CANCELLED"
