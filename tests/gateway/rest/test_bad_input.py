"""Bad input: each has a numbered reason and a clear text, and changes neither balances nor log."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec
import pytest

from exchange.messages.executions import Problem
from exchange.messages.frames import Command, command
from exchange.messages.reasons import EdgeReason
from exchange.settings import BODY_BYTES_MAX
from gateway.access.identity import sign
from gateway.client import SigningKey

ORDER: dict[str, Any] = {
    "ref": 10, "symbol": "EUA", "account": 101, "side": "BUY", "quantity": 5, "price": "71.00",
}  # fmt: skip


class Raw:
    """Signs like a client, but lets a test bend any part of a request."""

    def __init__(self, house: Any) -> None:
        self.house = house
        self.http = httpx.AsyncClient(base_url=house.url, trust_env=False)

    def headers(
        self, key: SigningKey, method: str, target: str, body: bytes, **bent: Any
    ) -> dict[str, str]:
        timestamp = bent.get("timestamp_ns", time.time_ns())
        signed = sign(
            key.private, key.id, method, target, body,
            timestamp_ns=timestamp, window_ms=bent.get("window_ms", 0),
        )  # fmt: skip
        return {
            "X-Exchange-Key": signed.key,
            "X-Exchange-Timestamp": str(signed.timestamp_ns),
            "X-Exchange-Window": str(signed.window_ms),
            "X-Exchange-Signature": signed.signature,
        }

    async def send(
        self,
        method: str,
        target: str,
        body: bytes | Mapping[str, Any] = b"",
        *,
        key: str = "northern",
        **bent: Any,
    ) -> httpx.Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = self.headers(self.house.keys[key], method, target, data, **bent)
        return await self.http.request(
            method, target, content=data, headers=headers | bent.get("headers", {})
        )


@pytest.fixture
async def raw(house):
    made = Raw(house)
    yield made
    await made.http.aclose()


def problem(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == "application/problem+json"
    found = msgspec.json.decode(response.content, type=Problem)
    assert found.status == response.status_code
    assert found.type == f"urn:exchange:reason:{found.reason}"
    assert found.title
    assert found.detail
    return found


async def balances(house) -> Any:
    async with house.client("northern") as client:
        return (await client.positions()).positions


class Unchanged:
    """Asserts that what happens inside leaves balances and log as they were."""

    def __init__(self, house: Any, added: int = 0) -> None:
        self.house, self.added = house, added

    async def __aenter__(self) -> None:
        self.before = await balances(self.house), await self.house.ends()

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return
        rows, ends = await balances(self.house), await self.house.ends()
        assert rows == self.before[0]
        assert sum(ends) == sum(self.before[1]) + self.added


BAD_BODIES: list[tuple[str, dict[str, Any], int, int, str]] = [
    ("unknown instrument", {"symbol": "NOPE"}, 505, 404, "'NOPE'"),
    ("zero quantity", {"quantity": 0}, 230, 422, "quantity 0"),
    ("negative quantity", {"quantity": -3}, 230, 422, "quantity -3"),
    ("negative quantity as text", {"quantity": "-3"}, 230, 422, "quantity -3"),
    ("quantity above 64 bits", {"quantity": 2**63}, 231, 422, "64 bits"),
    ("quantity far above 64 bits", {"quantity": 10**30}, 231, 422, "64 bits"),
    ("quantity above 64 bits as text", {"quantity": str(10**30)}, 231, 422, "64 bits"),
    ("fraction", {"quantity": 1.5}, 503, 422, "$.quantity"),
    ("not a number", {"quantity": "ten"}, 503, 422, "'ten' is no whole number"),
    ("NaN as text", {"quantity": "NaN"}, 503, 422, "'NaN' is no whole number"),
    ("empty quantity", {"quantity": ""}, 503, 422, "no whole number"),
    ("price as a number", {"price": 71.25}, 503, 422, "$.price"),
    ("price with an exponent", {"price": "7e1"}, 503, 422, "no decimal number"),
    ("price infinite", {"price": "Infinity"}, 503, 422, "no decimal number"),
    ("no price", {"price": ""}, 507, 422, "it needs one"),
    ("price too fine", {"price": "71.005"}, 506, 422, "more than 2 decimals"),
    ("price zero", {"price": "0.00"}, 240, 422, "price 0.00"),
    ("price negative", {"price": "-1"}, 240, 422, "price -1"),
    ("price above 64 bits", {"price": "9" * 19}, 503, 422, "64 bits"),
    ("unknown field", {"colour": "green"}, 504, 422, "colour"),
    ("unknown side", {"side": "HOLD"}, 503, 422, "$.side"),
    ("foreign account", {"account": 102}, 515, 403, "account 102"),
    ("account of nobody", {"account": 999}, 515, 403, "account 999"),
    ("account of another market", {"account": 201}, 515, 403, "account 201"),
    ("label too long", {"client_order_id": "x" * 17}, 503, 422, "16 characters"),
    ("label not ASCII", {"client_order_id": "订单"}, 503, 422, "printable ASCII"),
    ("ref zero", {"ref": 0}, 503, 422, "ref: 0"),
    ("ref above 64 bits", {"ref": 2**63}, 503, 422, "ref:"),
    ("ref that leaves none above it", {"ref": 2**63 - 1}, 503, 422, "last_ref"),
    ("window above 16 bits", {"valid_ms": 65_536}, 503, 422, "valid_ms"),
    ("market order with a price", {"order_type": "MARKET", "time_in_force": "IOC"}, 205, 422,
     "price 71.00"),
]  # fmt: skip


async def test_bad_bodies_are_refused_at_the_edge(house, raw: Raw) -> None:
    async with Unchanged(house):
        for name, change, reason, status, text in BAD_BODIES:
            response = await raw.send("POST", "/orders", ORDER | change)
            found = problem(response)
            assert (found.reason, found.status) == (reason, status), (name, found)
            assert text in found.detail, (name, found.detail)


ENGINE_REFUSALS: list[tuple[str, dict[str, Any], int, int]] = [
    ("above quantity_max", {"quantity": 10**6 + 1}, 231, 422),
    ("above the venue's price limit", {"price": "10000000.05"}, 241, 422),
    ("wrong tick", {"price": "71.01"}, 242, 422),
    ("above the band", {"symbol": "CCER", "account": 201, "price": "200.00"}, 243, 422),
    ("below the band", {"symbol": "CCER", "account": 201, "price": "1.00"}, 244, 422),
    ("market order that rests", {"order_type": "MARKET", "price": ""}, 204, 422),
    ("nothing to trade with",
     {"order_type": "MARKET", "price": "", "time_in_force": "IOC"}, 245, 409),
    ("not enough cash",
     {"quantity": 999_999, "order_type": "STOP_LIMIT", "stop_price": "99000.00",
      "price": "99999.00"}, 260, 422),
    ("not enough units",
     {"symbol": "CCER", "account": 201, "side": "SELL", "quantity": 999_999, "price": "83.50"},
     0, 201),
    ("not enough units left",
     {"symbol": "CCER", "account": 201, "side": "SELL", "quantity": 2, "price": "83.50"}, 261, 422),
]  # fmt: skip


async def test_what_the_engine_refuses_stands_on_the_log_and_changes_no_balance(
    house, raw: Raw
) -> None:
    tick = command(Command.INSTRUMENT_PARAMETER, instrument_id=1, order_type=1, quantity=5)
    await house.append(0, [tick])
    for number, (name, change, reason, status) in enumerate(ENGINE_REFUSALS):
        body = ORDER | {"ref": 100 + number} | change
        if not reason:
            assert (await raw.send("POST", "/orders", body)).status_code == status
            continue
        async with Unchanged(house, added=1):
            found = problem(await raw.send("POST", "/orders", body))
        assert (found.reason, found.status) == (reason, status), (name, found)
        assert found.report is not None
        assert found.report.order_status == "REJECTED"
        assert len(found.detail) > 20, name


async def test_the_same_label_with_another_body_names_the_field(house, raw: Raw) -> None:
    first = ORDER | {"client_order_id": "mine"}
    assert (await raw.send("POST", "/orders", first)).status_code == 201
    again = await raw.send("POST", "/orders", first | {"ref": 11})
    assert again.json()["exec_type"] == "ORDER_STATUS"
    other = problem(await raw.send("POST", "/orders", first | {"ref": 12, "quantity": 6}))
    assert (other.reason, other.title) == (215, "CLIENT_ORDER_ID_REUSED_QUANTITY")


async def test_malformed_json_and_large_bodies(house, raw: Raw) -> None:
    bodies = [
        (b"", 502),
        (b"{", 502),
        (b"nonsense", 502),
        (json.dumps(ORDER).encode() + b" trailing", 502),
        (b'{"quantity": NaN}', 502),
        (b"\xff\xfe", 502),
        (b'{"symbol": "\xff"}', 502),
        (b"[]", 503),
        (b"{}", 507),
        (b"[" * 5_000 + b"]" * 5_000, 502),
        (b'{"a":' * 9 + b"1" + b"}" * 9, 502),
        (b" " * (BODY_BYTES_MAX + 1), 501),
    ]
    async with Unchanged(house):
        for body, reason in bodies:
            found = problem(await raw.send("POST", "/orders", body))
            assert found.reason == reason, (body[:40], found)
        at_limit = json.dumps(ORDER).encode().ljust(BODY_BYTES_MAX)
    assert (await raw.send("POST", "/orders", at_limit)).status_code == 201


async def test_a_body_without_a_length_is_bounded_too(house, raw: Raw) -> None:
    async def endless() -> Any:
        for _ in range(64):
            yield b" " * 1_024

    async with Unchanged(house):
        response = await raw.http.post(
            "/orders",
            content=endless(),
            headers=raw.headers(house.keys["northern"], "POST", "/orders", b""),
        )
        assert problem(response).reason == 501


async def test_timestamps_outside_the_window(house, raw: Raw) -> None:
    second = 10**9
    async with Unchanged(house):
        for shift, window, text in (
            (-6 * second, 0, "the window is 5000 ms"),
            (-2 * second, 1_000, "the window is 1000 ms"),
            (+3 * second, 0, "in the future"),
            (0, 60_001, "outside 1..60000"),
            (-59 * second, 60_000, "before this gateway started"),
        ):
            found = problem(
                await raw.send(
                    "POST", "/orders", ORDER,
                    timestamp_ns=time.time_ns() + shift, window_ms=window,
                )
            )  # fmt: skip
            assert (found.reason, found.status) == (512, 401), (shift, found)
            assert text in found.detail
            assert found.may_retry
        odd = await raw.send("POST", "/orders", ORDER, headers={"X-Exchange-Timestamp": "soon"})
        assert problem(odd).reason == 512


async def test_signatures_bent_in_any_part(house, raw: Raw) -> None:
    body = json.dumps(ORDER).encode()
    key = house.keys["northern"]
    async with Unchanged(house):
        for method, target, signed_body, changes in (
            ("PUT", "/orders", body, {}),
            ("POST", "/orders?wait_ms=1", body, {}),
            ("POST", "/orders", body + b" ", {}),
            ("POST", "/orders", body, {"X-Exchange-Window": "5001"}),
            ("POST", "/orders", body, {"X-Exchange-Timestamp": str(time.time_ns())}),
            ("POST", "/orders", body, {"X-Exchange-Key": "huadong"}),
            ("POST", "/orders", body, {"X-Exchange-Signature": "AAAA"}),
            ("POST", "/orders", body, {"X-Exchange-Signature": "no base64!"}),
            ("POST", "/orders", body, {"X-Exchange-Signature": ""}),
        ):
            headers = raw.headers(key, method, target, signed_body) | changes
            found = problem(await raw.http.post("/orders", content=body, headers=headers))
            assert (found.reason, found.status) == (511, 401), (method, target, changes)
        unknown = raw.headers(key, "POST", "/orders", body) | {"X-Exchange-Key": "nobody"}
        found = problem(await raw.http.post("/orders", content=body, headers=unknown))
        assert (found.reason, found.status) == (510, 401)
        assert problem(await raw.http.post("/orders", content=body)).reason == 510


async def test_a_replayed_request_is_refused_and_its_order_exists_once(house, raw: Raw) -> None:
    body = json.dumps(ORDER).encode()
    headers = raw.headers(house.keys["northern"], "POST", "/orders", body)
    first = await raw.http.post("/orders", content=body, headers=headers)
    assert first.status_code == 201
    async with Unchanged(house):
        found = problem(await raw.http.post("/orders", content=body, headers=headers))
        assert (found.reason, found.title) == (513, "REPLAYED_REQUEST")


async def test_a_role_is_needed(house, raw: Raw) -> None:
    cash = {"ref": 1, "market": "EU", "account": 101, "amount": "5.00"}
    issue = {"type": "IssueUnits", "ref": 1, "symbol": "EUA", "account": 101, "quantity": 1,
             "year": 2024}  # fmt: skip
    async with Unchanged(house):
        for key, path, body in (
            ("northern", "/operations/cash-deposit", cash),
            ("authority", "/operations/cash-deposit", cash),
            ("operator", "/orders", ORDER),
            ("northern", "/instructions", issue),
            (
                "operator",
                "/instructions",
                issue | {"type": "AllocateUnits", "stage": "final", "method": "benchmarking"},
            ),
        ):
            found = problem(await raw.send("POST", path, body, key=key))
            assert (found.reason, found.status) == (514, 403), (key, path)
            assert key in found.detail


async def test_a_foreign_order_is_answered_like_an_unknown_one(house, raw: Raw) -> None:
    placed = (await raw.send("POST", "/orders", ORDER)).json()
    for order_id in (placed["order_id"], placed["order_id"] + 65_536 * 999):
        found = problem(await raw.send("GET", f"/orders/{order_id}", key="huadong"))
        assert (found.reason, found.status) == (523, 404)
        target = f"/orders/{order_id}?symbol=EUA&account=102&ref={order_id}"
        cancel = problem(await raw.send("DELETE", target, key="huadong"))
        assert cancel.reason == 206
    assert (await raw.send("GET", f"/orders/{placed['order_id']}")).json()["order_status"] == "NEW"


async def test_queries_are_checked(house, raw: Raw) -> None:
    for target, reason in (
        ("/orders?market=XX", 503),
        ("/orders?colour=green", 504),
        ("/orders?after=5", 503),
        ("/executions?market=EU&limit=0", 503),
        ("/executions?market=EU&limit=5000", 503),
        ("/executions?market=EU&after=x", 503),
        ("/executions?market=EU&market=CN", 503),
        ("/book?symbol=NOPE", 505),
        ("/book?symbol=EUA&limit=-1", 503),
        ("/instructions/77", 523),
        ("/nothing/here", 523),
    ):
        assert problem(await raw.send("GET", target)).reason == reason, target
    assert problem(await raw.send("PATCH", "/orders")).reason == 526


async def test_the_throttle_tells_how_long_to_wait_and_lets_cancels_pass(house) -> None:
    await house.stop("gateway")
    await house.open_gateway(throttle_per_second=5)
    raw = Raw(house)
    bodies = [ORDER | {"ref": number} for number in range(1, 9)]
    responses = await asyncio.gather(*(raw.send("POST", "/orders", body) for body in bodies))
    refused = [problem(r) for r in responses if r.status_code != 201]
    taken = [r for r in responses if r.status_code == 201 or r.status_code == 202]
    assert {found.reason for found in refused if found.reason != 0} <= {520}
    assert len(refused) >= 2
    assert all(found.retry_after_ms > 0 and found.may_retry for found in refused)
    assert taken[0].headers["RateLimit-Limit"] == "5"
    order_id = taken[0].json()["order_id"]
    gone = await raw.send("DELETE", f"/orders/{order_id}?symbol=EUA&account=101&ref=99")
    assert gone.json()["order_status"] == "CANCELLED"
    await raw.http.aclose()


@pytest.mark.parametrize("path", ["/orders", "/picks"])  # with and without a starter
async def test_who_is_throttled_is_told_so_later_and_nobody_else_waits(house, path: str) -> None:
    await house.stop("gateway")
    await house.open_gateway(throttle_per_second=1)
    raw = Raw(house)
    house.gateway.context.throttle.refusal_wait_s = lambda _participant: 2.0
    done: list[str] = []

    async def ask(name: str, method: str, target: str, body: object = None) -> None:
        response = await raw.send(method, target, body)
        done.append(name if response.status_code == 429 else f"not {name}")

    await raw.send("POST", path, ORDER | {"ref": 1})
    refused = [ask("refused", "POST", path, ORDER | {"ref": number}) for number in (2, 3, 4)]
    waiting = [asyncio.create_task(each) for each in refused]
    await asyncio.sleep(0.1)
    await ask("public", "GET", "/instruments")
    await asyncio.gather(*waiting)
    assert done == ["not public", *["refused"] * 3]
    await raw.http.aclose()


async def test_a_body_that_never_arrives_is_refused(house, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rest.app.BODY_TIMEOUT_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.http_port)
    writer.write(b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    answer = await asyncio.wait_for(reader.read(4_096), 5)
    assert b'"reason":502' in answer
    assert b"did not arrive" in answer
    writer.close()


async def test_a_query_of_too_many_parameters_is_refused(raw: Raw) -> None:
    for target in ("/serials?", "/marketdata?market=EU&"):
        refused = problem(await raw.http.get(target + "&".join(["after=1"] * 17)))
        assert refused.reason in (EdgeReason.INVALID_FIELD, EdgeReason.UNKNOWN_KEY)
    response = await raw.send("GET", "/orders?" + "&".join(f"a{n}=1" for n in range(400)))
    assert problem(response).reason == EdgeReason.INVALID_FIELD


async def test_digits_that_are_no_number_are_refused(raw: Raw) -> None:
    """Superscripts are digits to `str.isdigit` and nothing to `int`; long numbers are refused."""
    key, target = raw.house.keys["northern"], "/orders"
    for name in ("X-Exchange-Timestamp", "X-Exchange-Window"):
        for text in ("\xb2", "9" * 4_400):
            headers = raw.headers(key, "GET", target, b"") | {name: text}
            sent = {field: value.encode("latin-1") for field, value in headers.items()}
            refused = problem(await raw.http.get(target, headers=sent))
            assert refused.reason == EdgeReason.TIMESTAMP_OUTSIDE_WINDOW
    for text in ("%C2%B2", "9" * 4_400, "9" * 21):
        for method, path, query in (
            ("GET", "/orders/", ""),
            ("DELETE", "/orders/", "?symbol=EUA&account=101&ref=1"),
            ("GET", "/instructions/", ""),
        ):
            response = await raw.send(method, path + text + query)
            assert response.status_code in (404, 422), (method, path, text[:30])
            assert problem(response).reason
