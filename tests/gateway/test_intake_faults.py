"""Intake when things go wrong: a crash between answers, an outage, a backlog."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest

from exchange import topics
from exchange.log.protocol import Partition
from exchange.messages.reasons import EdgeReason
from tests.gateway.conftest import House, demo_venue
from tests.gateway.test_gateway_intake import PARTICIPANT, answered, answers, order, request

INTAKE, REPORTS = topics.intake(PARTICIPANT), topics.reports(PARTICIPANT)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    venue, keys = demo_venue()
    members = tuple(
        msgspec.structs.replace(member, intake=member.id == PARTICIPANT)
        for member in venue.participant
    )
    made = House(tmp_path, msgspec.structs.replace(venue, participant=members), keys)
    await made.start()
    await made.endow()
    await made.stop("gateway")
    try:
        yield made
    finally:
        await made.close()


async def crash(house: House) -> None:
    """The gateway ends at once, with whatever it had in hand."""
    _, task = house._running.pop("gateway")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_answers_cut_off_by_a_crash_are_given_by_the_next_gateway(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = house.keys["northern"]
    bad = [request(key, order(ref, symbol="NOPE")) for ref in range(1, 5)]
    await house.log.append(INTAKE, bad)
    append, is_cut = house.log.append, asyncio.Event()

    async def half(partition: Partition, values: Sequence[bytes]) -> list[int]:
        if partition != REPORTS:
            return await append(partition, values)
        await append(partition, values[:1])  # an append is not all or nothing
        is_cut.set()
        return await asyncio.Future()

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", half)
        await house.open_gateway()
        async with asyncio.timeout(5):
            await is_cut.wait()
        await crash(house)
    await house.open_gateway()
    await house.until(lambda: answered(house, 3))
    came = await answers(house)
    assert {m["ref"] for m in came if m["type"] == "Reject"} == {1, 2, 3, 4}
    assert [m.get("intake_offset", -1) for m in came] == [-1, -1, -1, -1, 3]


async def test_a_backlog_is_throttled_by_when_it_was_sent_not_by_when_it_is_read(
    house: House,
) -> None:
    key = house.keys["northern"]
    made = [request(key, order(ref, quantity=1)) for ref in range(1, 36)]
    for first, last in ((0, 10), (10, 20), (20, 35)):
        await house.log.append(INTAKE, made[first:last])
        await asyncio.sleep(1.1)
    await house.open_gateway(throttle_per_second=10)
    await house.until(lambda: answered(house, 34))
    came = await answers(house)
    refused = [(m["reason"], m["ref"]) for m in came if m["type"] == "Reject"]
    assert refused == [(EdgeReason.THROTTLED, ref) for ref in range(31, 36)]
