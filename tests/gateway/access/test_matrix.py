"""Who may do what: the whole table, over every route and message, role, scope and owner."""

from __future__ import annotations

import asyncio
import json
import typing
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from exchange.messages import instructions
from exchange.messages.reasons import AccessReason, EdgeReason, Reason
from exchange.reference.venue import SCOPES, Key, Role
from gateway.access import roles
from gateway.access.identity import sign
from gateway.access.roles import MATRIX, PUBLIC, ROLES, allow
from gateway.client import SigningKey
from gateway.entry import intake
from gateway.entry.order_entry import INSTRUCTION
from gateway.refusal import Refused
from gateway.routes import ROUTES, Route
from gateway.websocket import sessions
from tests.gateway.conftest import House, demo_venue
from tests.golden.vocabulary import make

EVERY_ROLE: tuple[Role, ...] = typing.get_args(Role)
HOLDER = {"participant": "northern", "operator": "operator", "authority": "authority",
          "verifier": "verifier"}  # fmt: skip
one_venue = pytest.mark.asyncio(loop_scope="module")  # these change nothing that another asks
INSTRUCTIONS = typing.get_args(instructions.Instruction)
OWN, FOREIGN, UNKNOWN = 101, 102, 999
TRADER = {"own": OWN, "foreign": FOREIGN, "unknown": UNKNOWN}


def requests_of(decoder: Any) -> set[type]:
    """Every message that a decoder of a socket or a topic takes."""
    found: set[type] = set()
    waiting = [decoder.type]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            found.add(kind)
        waiting += typing.get_args(kind)
    return found


# -- the table ------------------------------------------------------------------------------------


def test_every_route_message_and_instruction_has_a_row_with_a_scope() -> None:
    named = [row.action for row in ROUTES]
    named += [kind.__name__ for kind in requests_of(sessions._requests)]
    named += [kind.__name__ for kind in requests_of(intake._request)]
    named += [kind.__name__ for kind in INSTRUCTIONS]
    assert set(named) <= set(ROLES)
    for action, row in MATRIX.items():
        assert row.roles, action
        if row.roles != PUBLIC:
            assert row.scopes, (
                f"{action} has no scope: add a rule to gateway.access.roles.SCOPE_RULES"
            )
    assert {kind for kind in INSTRUCTIONS if kind not in INSTRUCTION} == {instructions.ReleaseUnits}


def test_no_rule_of_scopes_is_dead() -> None:
    hit = {
        next(b for b, _ in roles.SCOPE_RULES if action.startswith(b))
        for action in ROLES
        if any(action.startswith(b) for b, _ in roles.SCOPE_RULES)
    }
    assert hit == {beginning for beginning, _ in roles.SCOPE_RULES}


@pytest.mark.parametrize("action", [a for a in sorted(ROLES) if ROLES[a] != PUBLIC])
def test_each_cell_of_roles_and_scopes(action: str) -> None:
    row = MATRIX[action]
    for role in EVERY_ROLE:
        for scope in (*SCOPES, ""):
            key = Key("k", 2, role, 1_001, "-", scopes=(scope,) if scope else ())  # type: ignore[arg-type]
            if role not in row.roles:
                expected: int = EdgeReason.ROLE_NOT_ALLOWED
            elif scope not in row.scopes:
                expected = AccessReason.SCOPE_NOT_ALLOWED
            else:
                expected = 0
            assert reason_of(key, action) == expected, (role, scope)


def reason_of(key: Key, action: str) -> int:
    try:
        allow(key, action)
    except Refused as refused:
        return refused.row.number
    return 0


def test_what_has_no_row_is_allowed_to_nobody() -> None:
    for role in EVERY_ROLE:
        key = Key("k", 2, role, 1_001, "-")
        for action in ("GET /secrets", "NewMessage", "POST /orders/", ""):
            assert reason_of(key, action) == EdgeReason.ROLE_NOT_ALLOWED


# -- over the wire --------------------------------------------------------------------------------


class Wire:
    """Signed requests of any kind, answered as (status, reason, body)."""

    def __init__(self, house: House, http: httpx.AsyncClient) -> None:
        self.house, self.http = house, http

    async def call(
        self, who: str, method: str, target: str, content: bytes = b""
    ) -> tuple[int, int, str]:
        key: SigningKey = self.house.keys[who]
        now = self.house.clock.now_ns()
        signed = sign(key.private, key.id, method, target, content, timestamp_ns=now)
        headers = {
            "X-Exchange-Key": signed.key, "X-Exchange-Timestamp": str(signed.timestamp_ns),
            "X-Exchange-Signature": signed.signature,
        }  # fmt: skip
        answer = await self.http.request(method, target, content=content, headers=headers)
        said = answer.json()
        reason = said.get("reason", 0) if isinstance(said, dict) else 0
        return answer.status_code, reason, answer.text

    async def order(self, who: str, account: int, **changes: Any) -> tuple[int, int, str]:
        request = {"type": "NewOrderSingle", "ref": self.house.clock.now_ns(), "symbol": "EUA",
                   "account": account, "side": "BUY", "quantity": 1, "price": "60.00"}  # fmt: skip
        return await self.call(who, "POST", "/orders", json.dumps(request | changes).encode())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Wire]:
    venue, keys = demo_venue()
    house = House(tmp_path_factory.mktemp("venue"), venue, keys)
    await house.start()
    await house.endow()
    async with httpx.AsyncClient(base_url=house.url, trust_env=False) as http:
        yield Wire(house, http)
    await house.close()


@one_venue
async def test_the_wire_answers_as_the_table_says(wire: Wire) -> None:
    """Identity and role are judged before the body is read, so nothing has to be sound here."""
    asked = [(row, role) for row in ROUTES for role in (*EVERY_ROLE, "")]
    wrong = []
    for start in range(0, len(asked), 64):
        some = asked[start : start + 64]
        answers = await asyncio.gather(*(ask(wire, *each) for each in some))
        for (row, role), (status, reason) in zip(some, answers, strict=True):
            is_public = ROLES[row.action] == PUBLIC
            is_right = is_public or role in ROLES[row.action]
            is_denied = reason == EdgeReason.ROLE_NOT_ALLOWED if role else status == 401
            if is_denied == is_right:
                wrong.append((row.action, role, status, reason))
    assert not wrong


async def ask(wire: Wire, row: Route, role: str) -> tuple[int, int]:
    target = row.path.replace("{id:str}", "1").replace("{id:int}", "1")
    content = b"{" if row.body is not None else b""
    if not role:
        answer = await wire.http.request(row.method, target, content=content)
        return answer.status_code, 0
    status, reason, _ = await wire.call(HOLDER[role], row.method, target, content)
    return status, reason


@one_venue
async def test_instructions_are_judged_by_role_first_and_by_owner_next(wire: Wire) -> None:
    entry = wire.house.gateway.context.entry
    ring = wire.house.gateway.context.identities.ring
    for kind in INSTRUCTIONS:
        for role in EVERY_ROLE:
            key = ring.find(HOLDER[role])
            found = {
                account: prepared(entry, key, instruction(kind, account))
                for account in (OWN, FOREIGN, UNKNOWN)
            }
            numbers = {account: number for account, (number, _) in found.items()}
            if role not in ROLES[kind.__name__]:
                assert set(numbers.values()) == {EdgeReason.ROLE_NOT_ALLOWED}, (kind, role)
            elif role == "participant":
                assert numbers[FOREIGN] == numbers[UNKNOWN] == EdgeReason.NOT_OWN_ACCOUNT, kind
                assert numbers[OWN] != EdgeReason.NOT_OWN_ACCOUNT, kind
                told = {found[n][1].replace(str(n), "N") for n in (FOREIGN, UNKNOWN)}
                assert len(told) == 1, kind
            else:
                assert numbers[UNKNOWN] == Reason.UNKNOWN_ACCOUNT, (kind, role)
                assert numbers[FOREIGN] != EdgeReason.NOT_OWN_ACCOUNT, (kind, role)


def instruction(kind: type[Any], account: int) -> Any:
    made = make(kind)
    changes = {"ref": 1, "symbol": "EUA", "account": account, "quantity": 1, "year": 2025}
    return msgspec.structs.replace(
        made, **{name: v for name, v in changes.items() if name in kind.__struct_fields__}
    )


def prepared(entry: Any, key: Key, request: Any) -> tuple[int, str]:
    try:
        entry.prepare_instruction(key, request)
    except Refused as refused:
        return refused.row.number, refused.text
    return 0, ""


def account_calls(row: Route, account: int) -> tuple[str, bytes] | None:
    """A call of a route about an account; None for routes that name none."""
    values = {"account": account, "symbol": "EUA", "market": "EU", "year": 2025, "ref": 7,
              "scheme": "eu-ets", "auction_id": 65_536, "quantity": 1, "price": "60.00",
              "side": "BUY", "order_id": 0, "wait_ms": 0, "listing_id": 65_536,
              "proposal_id": 65_536, "counterparty_account": 103}  # fmt: skip
    target = row.path.replace("{id:str}", "65536000000")
    fields = row.query.__struct_fields__
    if "account" in fields:
        needed = [name for name in fields if name in values and name != "order_id"]
        return target + "?" + "&".join(f"{name}={values[name]}" for name in needed), b""
    is_single = isinstance(row.body, type) and "account" in row.body.__struct_fields__
    if not is_single:
        return None
    said = {name: values[name] for name in row.body.__struct_fields__ if name in values}
    if "{id" in row.path:
        said.pop("order_id", None)
    return target, json.dumps({"type": row.body.__name__} | said).encode()


@one_venue
async def test_a_foreign_account_is_answered_like_one_that_is_not(wire: Wire) -> None:
    tried = []
    for row in ROUTES:
        if "participant" not in ROLES[row.action] or account_calls(row, UNKNOWN) is None:
            continue
        answers = {}
        for whose, account in TRADER.items():
            target, content = account_calls(row, account) or ("", b"")
            status, reason, text = await wire.call("northern", row.method, target, content)
            answers[whose] = (status, reason, text.replace(str(account), "N"))
        assert answers["foreign"] == answers["unknown"], row.action
        assert answers["foreign"][0] in (403, 404), (row.action, answers["foreign"])
        # an own account that owes nothing has no plan either
        has_nothing = row.method == "GET" and answers["own"][1] == EdgeReason.NOT_FOUND
        assert has_nothing or answers["own"][1] != answers["foreign"][1], row.action
        tried.append(row.action)
    assert set(tried) >= {
        "POST /orders", "POST /quotes", "POST /blocks", "POST /picks", "POST /mass-cancels",
        "PUT /orders/{id:str}", "DELETE /orders/{id:str}", "POST /auctions/bids",
        "GET /surrender-plan", "GET /offset-headroom", "GET /compliance-year",
    }  # fmt: skip


@one_venue
async def test_a_foreign_order_is_answered_like_one_that_is_not(wire: Wire) -> None:
    _, _, text = await wire.order("huadong", FOREIGN, client_order_id="mine")
    foreign = json.loads(text)["order_id"]
    unknown = foreign + 65_536 * 1_000
    for method, path, content in (
        ("GET", "/orders/{}", b""),
        ("DELETE", "/orders/{}?symbol=EUA&account=101&ref={}", b""),
        ("GET", "/instructions/{}?market=EU", b""),
    ):
        said = []
        for number in (foreign, unknown):
            target = path.format(number, wire.house.clock.now_ns())
            status, reason, text = await wire.call("northern", method, target, content)
            report = json.loads(text)
            for place in (report, report.get("report", {})):
                for moving in ("request_id", "ref", "sequence", "transact_time_ns"):
                    place.pop(moving, None)
            said.append((status, reason, json.dumps(report).replace(str(number), "N")))
        assert said[0] == said[1], path
        assert said[0][0] == 404, said
    for path in ("/orders", "/executions?market=EU", "/positions", "/holdings"):
        _, _, text = await wire.call("northern", "GET", path)
        assert '"account":102' not in text
        _, _, all_of_it = await wire.call("operator", "GET", path)
        if path in ("/orders", "/positions"):
            assert '"account":102' in all_of_it
    label = [await wire.call("northern", "GET", f"/orders/{name}") for name in ("mine", "none")]
    assert label[0][:2] == label[1][:2] == (404, EdgeReason.NOT_FOUND)
