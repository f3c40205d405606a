"""One participant floods each door while another trades: who is refused, why, who is served."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from exchange.messages.orders import NewOrderSingle, OrderCancelRequest
from exchange.messages.reasons import EdgeReason, Reason
from exchange.settings import GATEWAY_QUEUE_MAX
from gateway.client import Client
from gateway.entry.submitter import Submitter, Ticket
from gateway.fix.codec import utc_text
from tests.gateway.conftest import House, demo_venue
from tests.gateway.fix.client import Broker
from tests.gateway.rest.test_bad_input import Raw
from tests.gateway.websocket.test_gateway_sockets import connected, logon, say

LIMIT, SENT = 8, 200  # so that a busy machine, too, sends more than ten times the limit
NOTHING = "nothing"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    made = House(tmp_path, venue, keys)
    made.settings = msgspec.structs.replace(made.settings, fix_port=-1, throttle_per_second=LIMIT)
    await made.start()
    await made.endow()
    yield made
    await made.close()


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many commands waited after each that was taken."""
    found: list[int] = []
    submit = Submitter.submit

    def watched(self: Submitter, ticket: Ticket) -> None:
        submit(self, ticket)
        found.append(self._waiting)

    monkeypatch.setattr(Submitter, "submit", watched)
    return found


def order(ref: int) -> NewOrderSingle:
    return NewOrderSingle(
        ref=ref, symbol="EUA", account=102, side="BUY", quantity=1, price="10.00",
        client_order_id=f"f{ref}",
    )  # fmt: skip


def cancel(ref: int) -> OrderCancelRequest:
    return OrderCancelRequest(ref=ref, symbol="EUA", account=102, original_client_order_id=NOTHING)


class Flood:
    """SENT orders and LIMIT / 2 cancels of huadong at one door: reasons of each, 0 for none."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.orders: Counter[int] = Counter()
        self.cancels: Counter[int] = Counter()

    async def rest(self) -> None:
        raw = Raw(self.house)

        async def one(method: str, target: str, body: bytes, counts: Counter[int]) -> None:
            response = await raw.send(method, target, body, key="huadong")
            counts[response.json().get("reason", 0)] += 1

        bodies = [msgspec.json.encode(order(ref)) for ref in range(1, SENT + 1)]
        for at in range(0, SENT, 50):
            await asyncio.gather(
                *(one("POST", "/orders", body, self.orders) for body in bodies[at : at + 50])
            )
        for n in range(LIMIT // 2):
            target = f"/orders/{NOTHING}?symbol=EUA&account=102&ref={SENT + n + 1}"
            await one("DELETE", target, b"", self.cancels)
        await raw.http.aclose()

    async def socket(self) -> None:
        transport, wire = await connected(self.house.socket + "/orders")
        say(transport, logon(self.house, "huadong"))
        assert (await wire.next())["type"] == "LoggedOn"
        for ref in range(1, SENT + 1):
            say(transport, msgspec.json.encode(order(1_000 + ref)))
        for ref in range(LIMIT // 2):
            say(transport, msgspec.json.encode(cancel(2_000 + ref)))
        while self.orders.total() < SENT or self.cancels.total() < LIMIT // 2:
            item = await wire.next()
            if item.get("exec_type") == "PENDING":
                continue
            label, ref = item.get("client_order_id", ""), item.get("ref", 0)
            counts = self.orders if label.startswith("f") or ref < 2_000 else self.cancels
            counts[item.get("reason", 0)] += 1
        transport.disconnect()

    async def fix(self) -> None:
        assert self.house.gateway is not None
        broker = Broker(self.house.keys["huadong"], self.house.clock)
        await broker.enter(self.house.gateway.fix_port, (141, "Y"))
        for number in range(SENT):
            broker.order(f"f{number}", t1=102, t44="10.00")
        for number in range(LIMIT // 2):
            broker.say("F", (11, f"c{number}"), (41, NOTHING), (1, 102), (55, "EUA"), (54, 1),
                       (60, utc_text(self.house.clock.now_ns())))  # fmt: skip
        while self.orders.total() < SENT or self.cancels.total() < LIMIT // 2:
            message = await broker.next()
            assert message is not None
            if message.get(150) == "A" or message.msg_type not in ("8", "9"):
                continue
            counts = self.orders if message.msg_type == "8" else self.cancels
            counts[int(message.get(20001) or 0)] += 1
        assert broker.writer is not None
        broker.writer.close()


async def trade(client: Client, flooding: asyncio.Task[None], first: int) -> int:
    """Orders of the other one while the flood lasts and a little longer; how many were taken."""
    taken = 0
    while not flooding.done() or taken < 5:
        report = await client.new_order("EUA", 101, "BUY", 1, "11.00")
        assert (report.exec_type, report.reason) == ("NEW", 0)
        taken += 1
        await asyncio.sleep(1.2 / LIMIT)  # within its own limit
    return taken


@pytest.mark.parametrize("door", ["rest", "socket", "fix"])
async def test_a_flood_is_throttled_and_the_other_is_served(
    house: House, queued: list[int], northern: Client, door: str
) -> None:
    flood = Flood(house)
    flooding = asyncio.create_task(getattr(flood, door)())
    assert await trade(northern, flooding, 1) >= 5
    await flooding
    throttled = flood.orders.pop(EdgeReason.THROTTLED)
    assert throttled > LIMIT
    assert set(flood.orders) <= {0, EdgeReason.REF_PASSED_OVER}
    assert flood.orders.total() >= LIMIT  # its burst; what comes in one read loses no more
    assert flood.cancels == {Reason.UNKNOWN_ORDER: LIMIT // 2}  # heard, every one
    assert max(queued) < GATEWAY_QUEUE_MAX // 100
