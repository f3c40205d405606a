"""Orders over a member's own intake topic, and answers on its report topic."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deploy.local.kafka import KafkaServer
from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import Log, Partition
from exchange.messages.frames import Command, build_commands, command
from exchange.messages.orders import OrderRequest
from exchange.reference.venue import Key
from gateway.access.identity import sign
from gateway.client import SigningKey
from gateway.entry.order_entry import Prepared
from tests.fixtures_kafka import own_kafka  # noqa: F401 - a fixture
from tests.gateway.conftest import House, demo_venue
from tests.gateway.control.test_stopped_market import damage, is_stopped

PARTICIPANT = 2


@pytest.fixture(params=["embedded", "kafka"])
async def house(
    request: pytest.FixtureRequest, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    log: Log | None = None
    if request.param == "kafka":
        caplog.set_level(logging.CRITICAL, "aiokafka")
        make: Callable[[], KafkaServer] = request.getfixturevalue("own_kafka")
        log = KafkaLog(make().bootstrap)
    members = tuple(
        msgspec.structs.replace(member, intake=member.id == PARTICIPANT)
        for member in venue.participant
    )
    made = House(tmp_path, msgspec.structs.replace(venue, participant=members), keys, log=log)
    await made.start()
    await made.endow()
    try:
        yield made
    finally:
        await made.close()


def request(key: SigningKey, body: dict[str, Any], shift_ns: int = 0) -> bytes:
    text = json.dumps(body)
    signed = sign(
        key.private, key.id, "INTAKE", "", text.encode(), timestamp_ns=time.time_ns() + shift_ns
    )
    return json.dumps(
        {"key": key.id, "timestamp_ns": signed.timestamp_ns, "signature": signed.signature,
         "body": text}
    ).encode()  # fmt: skip


def order(ref: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "NewOrderSingle", "ref": ref, "symbol": "EUA", "account": 101, "side": "BUY",
        "quantity": ref, "price": "70.00",
    } | changes  # fmt: skip


async def answers(house: House) -> list[dict[str, Any]]:
    partition = topics.reports(PARTICIPANT)
    end = await house.log.end(partition)
    reader = await house.log.open_reader(partition, 0)
    found = []
    while reader.position < end:
        found += [json.loads(record.value) for record in await reader.read()]
    await reader.close()
    return found


async def answers_to_come(house: House, count: int) -> list[dict[str, Any]]:
    async def have_come() -> bool:
        return len(await answers(house)) >= count

    await house.until(have_come)
    return await answers(house)


class SlowLog(EmbeddedLog):
    """Makes topics late, as a busy cluster does."""

    async def create(self, partitions: Iterable[Partition]) -> None:
        await asyncio.sleep(0.2)
        await super().create(partitions)


async def test_who_sees_the_ports_answer_finds_the_intake(tmp_path: Path) -> None:
    venue, keys = demo_venue()
    members = tuple(msgspec.structs.replace(m, intake=True) for m in venue.participant)
    venue = msgspec.structs.replace(venue, participant=members)
    log = SlowLog(tmp_path / "log.sqlite", SystemClock())
    made = House(tmp_path, venue, keys, log=log)
    await made.start()
    for member in members:
        assert await log.append(topics.intake(member.id), [b"early"]) == [0]
    await made.close()


async def test_signed_requests_become_orders_and_reports_come_back(house: House) -> None:
    key = house.keys["northern"]
    stranger = house.keys["huadong"]
    good = [request(key, order(1)), request(key, order(2, symbol="CCER", account=201, price="83"))]
    bad = [
        (request(stranger, order(3)), 510),
        (request(key, order(3), -6 * 10**9), 512),
        (good[0], 513),
        (request(key, order(3, quantity=0)), 230),
        (request(key, order(3, account=102)), 515),
        (b"nonsense", 502),
        (request(house.keys["operator"], order(3)), 510),
        (request(key, order(3)).replace(b"70.00", b"71.00"), 511),
    ]
    intake = topics.intake(PARTICIPANT)
    await house.log.append(intake, [*good, *(record for record, _ in bad)])
    cancel = {"type": "OrderCancelRequest", "ref": 9, "symbol": "EUA", "account": 101,
              "order_id": 65_536 * 10**6}  # fmt: skip
    await house.log.append(intake, [request(key, cancel)])

    async def all_came() -> bool:
        came = await answers(house)
        return sum(m.get("exec_type") in ("NEW", "REJECTED") for m in came) == 3

    await house.until(all_came)
    await house.until(lambda: answered(house, 10))
    came = await answers(house)
    assert [m["reason"] for m in came if m["type"] == "Reject"] == [reason for _, reason in bad]
    pending = [m["ref"] for m in came if m.get("exec_type") == "PENDING"]
    assert sorted(pending) == [1, 2, 9]
    news = {m["market"]: m["order_quantity"] for m in came if m.get("exec_type") == "NEW"}
    assert news == {"EU": 1, "CN": 2}
    assert max(m.get("intake_offset", -1) for m in came) == 10


async def answered(house: House, offset: int) -> bool:
    return max((m.get("intake_offset", -1) for m in await answers(house)), default=-1) >= offset


async def test_a_new_gateway_goes_on_where_the_last_one_stopped(house: House) -> None:
    key = house.keys["northern"]
    intake = topics.intake(PARTICIPANT)
    await house.log.append(intake, [request(key, order(n)) for n in range(1, 6)])
    await house.until(lambda: answered(house, 4))
    await house.stop("gateway")
    # a fill while there is no gateway is reported by the next one
    sale = command(
        Command.NEW_ORDER, side=2, order_type=2, time_in_force=1, instrument_id=1, account_id=102,
        quantity=15, price=7000,
    )  # fmt: skip
    frame = build_commands([sale], writer=7, batch=1, time_ns=time.time_ns())
    await house.log.append(topics.orders(0), [frame])
    await house.log.append(intake, [request(key, order(n)) for n in range(6, 9)])
    await house.open_gateway()
    await house.until(lambda: answered(house, 7))

    async def all_known() -> bool:
        came = await answers(house)
        return sum(m.get("exec_type") == "NEW" for m in came) == 8

    await house.until(all_known)
    came = await answers(house)
    filled = [m for m in came if m.get("order_status") == "FILLED"]
    assert sorted(m["order_quantity"] for m in filled) == [1, 2, 3, 4, 5]
    sequences = [m["sequence"] for m in came if m.get("sequence")]
    assert sequences == sorted(sequences)
    assert len(set(sequences)) == len(sequences)
    async with house.client("northern") as client:
        assert sorted(o.order_quantity for o in await client.orders()) == [6, 7, 8]


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
@pytest.mark.parametrize("valid_ms", [65_536, 1 << 63])
async def test_a_number_of_any_size_is_refused_and_intake_goes_on(
    house: House, valid_ms: int
) -> None:
    """What one gateway cannot read the next would read first."""
    key = house.keys["northern"]
    await house.log.append(
        topics.intake(PARTICIPANT),
        [request(key, order(1, valid_ms=valid_ms)), request(key, order(2))],
    )
    found = await answers_to_come(house, 3)
    assert (found[0]["ref"], found[0]["title"]) == (1, "INVALID_FIELD")
    assert [a["exec_type"] for a in found[1:]] == ["PENDING", "NEW"]


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
async def test_a_record_on_which_the_gateway_fails_is_answered_and_intake_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert house.gateway is not None
    entry = house.gateway.context.entry
    prepare = entry.prepare

    def failing(key: Key, body: OrderRequest) -> Prepared:
        if body.ref == 1:
            raise OverflowError("a fault of ours")
        return prepare(key, body)

    monkeypatch.setattr(entry, "prepare", failing)
    key = house.keys["northern"]
    await house.log.append(
        topics.intake(PARTICIPANT), [request(key, order(1)), request(key, order(2))]
    )
    found = await answers_to_come(house, 3)
    assert (found[0]["ref"], found[0]["title"]) == (1, "INTERNAL_ERROR")
    assert [a["exec_type"] for a in found[1:]] == ["PENDING", "NEW"]


@pytest.mark.parametrize("house", ["embedded"], indirect=True)
async def test_a_market_that_stopped_takes_cancels_and_keeps_no_other_waiting(
    house: House,
) -> None:
    key = house.keys["northern"]
    async with house.client("northern") as northern:
        resting = await northern.new_order("CEA-2025", 201, "BUY", 1, "70.00")
    await damage(house, topics.events(1), b"garbage")
    await house.until(lambda: is_stopped(house))
    there = {"symbol": "CEA-2025", "account": 201}
    cancel = order(1_001, type="OrderCancelRequest", order_id=resting.order_id, **there)
    for name in ("side", "quantity", "price"):
        del cancel[name]
    intake, count = topics.intake(PARTICIPANT), len(await answers(house))
    before = await house.ends()
    await house.log.append(intake, [request(key, cancel)])
    await answers_to_come(house, count + 1)
    await house.log.append(
        intake,
        [request(key, order(1_002, valid_ms=0, **there)), request(key, order(1_003, valid_ms=0))],
    )
    told = (await answers_to_come(house, count + 4))[count:]
    assert [after - was for after, was in zip(await house.ends(), before, strict=True)] == [1, 1]
    found = {(a["ref"], a.get("title") or a["exec_type"]) for a in told if a.get("ref")}
    assert found >= {(1_001, "PENDING"), (1_002, "MARKET_STOPPED"), (1_003, "PENDING")}
