"""A number that was used, passed over or forgotten: the answer is what really became of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from exchange import topics
from exchange.engine.service import EngineService
from exchange.log.protocol import AppendUncertainError
from exchange.messages.frames import Command, command
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import EdgeReason
from gateway.access.identity import sign
from gateway.client import InsufficientFundsError, RefForgottenError, RefNotTakenError
from gateway.client.errors import error_class
from gateway.views import requests, venue_view

ORDER: dict[str, Any] = {
    "ref": 1, "symbol": "EUA", "account": 101, "side": "SELL", "quantity": 1, "price": "71.25",
}  # fmt: skip
CASH: dict[str, Any] = {"ref": 100, "market": "EU", "account": 101, "amount": "5000000.00"}


class Caller:
    """Sends signed requests with numbers of the test's own."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.http = httpx.AsyncClient(base_url=house.url, trust_env=False)

    async def __call__(
        self, name: str, method: str, target: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        data = json.dumps(body).encode() if body is not None else b""
        key = self.house.keys[name]
        signed = sign(
            key.private, key.id, method, target, data, timestamp_ns=self.house.clock.now_ns()
        )
        headers = {
            "X-Exchange-Key": signed.key,
            "X-Exchange-Timestamp": str(signed.timestamp_ns),
            "X-Exchange-Window": str(signed.window_ms),
            "X-Exchange-Signature": signed.signature,
        }
        response = await self.http.request(method, target, content=data, headers=headers)
        return response.status_code, response.json()

    async def cash(self) -> str:
        _, found = await self("operator", "GET", "/positions?market=EU")
        return next(p["cash"]["available"] for p in found["positions"] if p["account"] == 101)


@pytest.fixture(autouse=True)
def one_person_pays_out(house) -> None:
    """Any withdrawal is one operator's, so that the engine is asked."""
    desks = house.gateway.context.entry.desks
    market = msgspec.structs.replace(desks["EU"].market, withdrawal_alone_max=10**15)
    desks["EU"] = desks["EU"]._replace(market=market)


@pytest.fixture
async def call(house):
    made = Caller(house)
    yield made
    await made.http.aclose()


async def test_a_refused_operation_stays_refused_and_an_unsent_one_is_not_done(call) -> None:
    target, before = "/operations/cash-deposit", await call.cash()
    short = CASH | {"amount": "-99999999999.00"}
    answers = [await call("operator", "POST", target, short) for _ in range(2)]
    assert [(status, said["title"]) for status, said in answers] == [(422, "INSUFFICIENT_CASH")] * 2
    assert answers[0][1]["report"]["request_id"] == answers[1][1]["report"]["request_id"]
    status, said = await call("operator", "POST", target, CASH | {"ref": 50})
    assert (status, said["title"], said.get("may_retry", False)) == (
        409, "REF_PASSED_OVER", False,
    )  # fmt: skip
    status, said = await call("operator", "POST", target, CASH)
    assert (status, said["title"]) == (409, "REF_REUSED")
    assert await call.cash() == before
    for expected in ("", "sent before with this ref; done once"):
        status, said = await call("operator", "POST", target, CASH | {"ref": 101})
        assert (status, said["status"], said.get("text", "")) == (200, "DONE", expected)
    assert float(await call.cash()) == float(before) + 5_000_000


async def test_a_withdrawal_whose_answer_was_lost_is_told_as_it_ended(house) -> None:
    real, lost = house.log.append, []

    async def once(partition: Any, values: Any) -> Any:
        taken = await real(partition, values)
        if not lost and partition == topics.orders(0) and values[0][80] == Command.CASH_WITHDRAW:
            lost.append(taken)
            raise AppendUncertainError("no answer")
        return taken

    house.log.append = once
    async with house.client("operator") as operator:
        with pytest.raises(InsufficientFundsError):
            await operator.deposit_cash("EU", 101, "-99999999999.00")
        assert lost
        # a second writer of the same key: the number is taken, nothing was done, a new one is
        operator._ref = 0
        await operator.deposit_cash("EU", 101, "1.00")


async def test_an_order_under_a_number_passed_over_is_refused(call, house) -> None:
    status, first = await call("northern", "POST", "/orders", ORDER | {"ref": 10})
    assert (status, first["exec_type"]) == (201, "NEW")
    status, again = await call("northern", "POST", "/orders", ORDER | {"ref": 10})
    assert (status, again["order_id"]) == (201, first["order_id"])
    status, said = await call("northern", "POST", "/orders", ORDER | {"ref": 9, "quantity": 7})
    assert (status, said["title"], said["report"]["exec_type"]) == (
        409, "REF_PASSED_OVER", "REJECTED",
    )  # fmt: skip
    assert "order_id" not in said["report"]
    status, said = await call("northern", "POST", "/orders", ORDER | {"ref": 10, "quantity": 7})
    assert (status, said["title"]) == (409, "REF_REUSED")
    poor = ORDER | {"ref": 20, "quantity": 1_000_000}
    answers = [await call("northern", "POST", "/orders", poor) for _ in range(2)]
    assert [(status, said["title"]) for status, said in answers] == [
        (422, "INSUFFICIENT_UNITS")
    ] * 2
    gone = "/orders/99?symbol=EUA&account=101&ref=30"
    answers = [await call("northern", "DELETE", gone) for _ in range(2)]
    assert [(status, said["title"]) for status, said in answers] == [(404, "UNKNOWN_ORDER")] * 2
    status, said = await call(
        "northern", "POST", "/instructions",
        {"type": "TransferUnits", "ref": 5, "symbol": "EUA", "account": 101, "quantity": 1,
         "to_account": 102},
    )  # fmt: skip
    assert (status, said["title"]) == (409, "REF_PASSED_OVER")
    assert len((await call("northern", "GET", "/orders"))[1]["orders"]) == 1
    cancel = f"/orders/{first['order_id']}?symbol=EUA&account=101&ref=31"
    for expected in ("CANCELLED", "ORDER_STATUS"):
        status, said = await call("northern", "DELETE", cancel)
        assert (status, said["exec_type"], said["order_status"], said["order_id"]) == (
            200, expected, "CANCELLED", first["order_id"],
        )  # fmt: skip


async def test_the_socket_refuses_a_number_passed_over(house, call) -> None:
    await call("northern", "POST", "/orders", ORDER | {"ref": 10})
    async with house.client("northern") as northern:
        stream = await northern.stream()
        waiting = stream.send(
            NewOrderSingle(ref=9, symbol="EUA", account=101, side="SELL", quantity=2, price="72.00")
        )
        report = await waiting.answered
        assert (report.exec_type, report.reason, report.order_id) == ("REJECTED", 527, 0)
        northern._ref = stream.last_ref = 3  # as if another writer had used the key
        placed = await northern.new_order("EUA", 101, "SELL", 3, "72.00")
        assert (placed.exec_type, northern._ref) == ("NEW", 11)


async def test_the_session_tells_the_last_ref_while_the_engine_is_away(house, call) -> None:
    await house.stop("engine-EU")
    for ref in (1, 2, 3):
        status, said = await call("northern", "POST", "/orders?wait_ms=0", ORDER | {"ref": ref})
        assert (status, said["order_id"]) == (202, said["request_id"])
    _, session = await call("northern", "GET", "/session")
    assert session["last_ref"]["EU"] == 3
    status, said = await call("northern", "POST", "/orders?wait_ms=0", ORDER)
    assert status == 202
    assert "order_id" not in said  # its place on the log is no order
    await house.stop("gateway")
    await house.open_gateway()
    call.http.base_url = httpx.URL(house.url)
    _, session = await call("northern", "GET", "/session")
    assert session["last_ref"]["EU"] == 3
    house.run(EngineService(house.log, house.venue.market_of("EU"), house.settings, house.clock))
    async with house.client("northern") as northern:
        placed = await northern.new_order("EUA", 101, "SELL", 777, "72.00")
        assert (placed.exec_type, northern._ref) == ("NEW", 4)


async def test_no_member_makes_the_venue_forget_anothers_requests(house, call) -> None:
    view = house.gateway.context.views["EU"]
    view.requests = requests.Requests(remembered_max=20)
    _, first = await call("northern", "POST", "/orders", ORDER)
    for ref in range(1, 31):
        await call("huadong", "DELETE", f"/orders/99?symbol=EUA&account=102&ref={ref}")
    status, again = await call("northern", "POST", "/orders", ORDER)
    assert (status, again["order_id"]) == (201, first["order_id"])
    status, said = await call("huadong", "DELETE", "/orders/99?symbol=EUA&account=102&ref=10")
    assert (status, said["title"]) == (409, "REF_FORGOTTEN")
    status, said = await call("huadong", "DELETE", "/orders/99?symbol=EUA&account=102&ref=11")
    assert (status, said["title"]) == (404, "UNKNOWN_ORDER")
    async with house.client("huadong") as huadong:
        stream = await huadong.stream()
        huadong._ref = stream.last_ref = 4
        before = await house.ends()
        with pytest.raises(RefForgottenError) as unknown:
            await huadong.new_order("EUA", 102, "SELL", 1, "72.00")
        assert unknown.value.reason == EdgeReason.REF_FORGOTTEN
        assert sum(await house.ends()) == sum(before) + 1  # sent once, not again as a new one


def test_the_refusals_of_numbers_are_typed() -> None:
    for reason in (EdgeReason.REF_PASSED_OVER, EdgeReason.REF_REUSED):
        assert error_class(reason) is RefNotTakenError
    assert error_class(EdgeReason.REF_FORGOTTEN) is RefForgottenError


async def test_a_connection_lost_while_the_engine_is_silent_doubles_no_order(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resend is not told that nothing was done, which the client would do anew."""
    monkeypatch.setattr(venue_view, "ENGINE_SILENCE_S_MAX", 0.3)
    async with house.client("northern") as client:
        stream = await client.stream()
        before = await house.ends()
        await house.stop("engine-EU")
        task = asyncio.create_task(client.new_order("EUA", 101, "BUY", 7, "60.00", wait_s=30))

        async def is_on_the_log() -> bool:
            return (await house.ends())[0] > before[0]

        await house.until(is_on_the_log)
        await asyncio.sleep(0.5)
        stream._transport.disconnect()
        await asyncio.sleep(0.5)
        market = next(m for m in house.venue.market if m.code == "EU")
        house.run(EngineService(house.log, market, house.settings, house.clock))
        report = await asyncio.wait_for(task, 20)
        assert report.exec_type in ("NEW", "ORDER_STATUS")
        assert [row.order_id for row in await client.orders("EU")] == [report.order_id]


async def test_a_resent_cancel_by_label_is_about_the_order_that_it_ended(house, call) -> None:
    """Another order may have the label by then."""
    bid = ORDER | {"client_order_id": "a", "side": "BUY", "price": "60.00"}
    _, first = await call("northern", "POST", "/orders", bid)
    target = "/orders/a?symbol=EUA&account=101&ref=2"
    _, done = await call("northern", "DELETE", target)
    assert (done["exec_type"], done["order_id"]) == ("CANCELLED", first["order_id"])
    async with house.client("operator") as operator:
        await operator.set_phase("EU", "CLOSED")
        await operator.roll_day("EU", 20261201)
    await house.append(0, [command(Command.PHASE_CHANGE, order_type=1)])
    _, second = await call("northern", "POST", "/orders", bid | {"ref": 3})
    assert second["exec_type"] == "NEW"
    _, again = await call("northern", "DELETE", target)
    assert (again["order_id"], again["order_status"]) == (first["order_id"], "CANCELLED")
