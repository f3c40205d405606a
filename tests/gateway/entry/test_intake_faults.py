"""Intake when things go wrong: a crash between answers, an outage, a backlog."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.log.protocol import AppendUncertainError, LogError, LogUnavailableError, Partition
from exchange.messages.frames import HEADER_SIZE, Command, read_commands
from exchange.messages.reasons import EdgeReason, Reason
from tests.gateway.conftest import House, demo_venue
from tests.gateway.entry.test_gateway_intake import PARTICIPANT, answered, answers, order, request

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


async def orders(house: House) -> list[Any]:
    """The NEW_ORDER commands on the log of EU."""
    partition = topics.orders(0)
    end = await house.log.end(partition)
    reader = await house.log.open_reader(partition, 0)
    found: list[Any] = []
    while reader.position < end:
        for record in await reader.read():
            commands = read_commands(record.value)
            found += [c for c in commands if c["kind"] == Command.NEW_ORDER]
    await reader.close()
    return found


async def rejects(house: House) -> list[tuple[int, int]]:
    return [(m["ref"], m["reason"]) for m in await answers(house) if m["type"] == "Reject"]


async def test_an_order_older_than_it_allows_is_not_entered_after_an_outage(house: House) -> None:
    key = house.keys["northern"]
    windows = {1: 400, 2: 60_000, 3: 0}
    made = [request(key, order(ref, valid_ms=window)) for ref, window in windows.items()]
    await house.log.append(INTAKE, made)
    await asyncio.sleep(0.6)
    await house.open_gateway()
    await house.until(lambda: answered(house, 2))
    assert await rejects(house) == [(1, Reason.EXPIRED)]
    entered = {int(c["ref"]): int(c["valid_ms"]) for c in await orders(house)}
    assert set(entered) == {2, 3}
    assert 30_000 < entered[2] <= 59_400
    assert entered[3] == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (LogUnavailableError("down"), Reason.EXPIRED),
        (AppendUncertainError("lost"), EdgeReason.STATUS_UNKNOWN),
    ],
)
async def test_the_window_is_checked_before_each_further_try(
    house: House, monkeypatch: pytest.MonkeyPatch, fault: LogError, reason: int
) -> None:
    key = house.keys["northern"]
    append = house.log.append
    tries: list[int] = []

    async def failing(partition: Partition, values: Sequence[bytes]) -> list[int]:
        if partition == topics.orders(0) and values[0][HEADER_SIZE] == Command.NEW_ORDER:
            tries.append(len(read_commands(values[0])))
            if tries[-1] == 2:
                raise fault
        return await append(partition, values)

    monkeypatch.setattr(house.log, "append", failing)
    await house.open_gateway()
    made = [request(key, order(1, valid_ms=700)), request(key, order(2, valid_ms=60_000))]
    await house.log.append(INTAKE, made)
    await house.until(lambda: answered(house, 1))
    assert len(tries) > 2
    assert await rejects(house) == [(1, reason)]
    assert [int(c["ref"]) for c in await orders(house)] == [2]


async def test_an_order_entered_before_a_crash_is_not_called_expired_after_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, is_cut = house.log.append, asyncio.Event()

    async def mute(partition: Partition, values: Sequence[bytes]) -> list[int]:
        if partition != REPORTS:
            return await append(partition, values)
        is_cut.set()
        return await asyncio.Future()

    with monkeypatch.context() as patch:
        patch.setattr(house.log, "append", mute)
        await house.open_gateway()
        made = request(house.keys["northern"], order(1, valid_ms=1_000))
        await house.log.append(INTAKE, [made])
        async with asyncio.timeout(5):
            await is_cut.wait()
        await crash(house)
    await asyncio.sleep(1.1)
    await house.open_gateway()
    await house.until(lambda: answered(house, 0))
    async with house.client("northern") as client:
        assert [o.order_quantity for o in await client.orders()] == [1]
    assert await rejects(house) == []
