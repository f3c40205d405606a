"""The simulated log: its faults are those of a seed, and a crash keeps what is durable."""

from __future__ import annotations

import asyncio

import pytest

from exchange.clock import SystemClock
from exchange.log import simulated
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
)
from exchange.log.simulated import Faults, SimulatedDisk, SimulatedLog

ORDERS = Partition("orders")


async def history(seed: int, faults: Faults) -> tuple[list[str], list[bytes]]:
    disk = SimulatedDisk(SystemClock(), seed, faults)
    log = SimulatedLog(disk)
    await log.start()
    await log.create([ORDERS])
    said = []
    for number in range(300):
        try:
            await log.append(ORDERS, [b"%d" % number])
            said.append("ok")
        except LogError as error:
            said.append(type(error).__name__)
    return said, [record.value for record in disk.records(ORDERS)]


async def test_same_seed_same_faults() -> None:
    faults = Faults(refused=500, uncertain=1_000, delayed=2_000)
    first = await history(7, faults)
    assert first == await history(7, faults)
    assert first != await history(8, faults)


async def test_each_fault_does_what_it_says() -> None:
    said, values = await history(3, Faults(refused=1_000, uncertain=2_000))
    taken = {int(value) for value in values}
    outcomes = {(what, number in taken) for number, what in enumerate(said)}
    assert outcomes == {
        ("ok", True),
        ("LogUnavailableError", False),
        ("AppendUncertainError", True),
        ("AppendUncertainError", False),
    }


async def test_delayed_records_come_later_and_in_order() -> None:
    disk = SimulatedDisk(SystemClock(), 1, Faults(delayed=10_000, delay_turns_max=9))
    log = SimulatedLog(disk)
    await log.start()
    await log.create([ORDERS])
    reader = await log.open_reader(ORDERS, 0)
    calls = [asyncio.create_task(log.append(ORDERS, [b"%d" % n])) for n in range(9)]
    await asyncio.sleep(0)
    assert len(disk.records(ORDERS)) == 9
    assert await log.end(ORDERS) == 0
    values = []
    while len(values) < 9:
        values += [record.value for record in await reader.read()]
    assert values == [b"%d" % n for n in range(9)]
    await asyncio.gather(*calls)


async def test_crash_kills_the_handle_and_keeps_the_records() -> None:
    disk = SimulatedDisk(SystemClock())
    log = SimulatedLog(disk)
    await log.start()
    await log.create([ORDERS])
    assert await log.append(ORDERS, [b"durable"]) == [0]
    reader = await log.open_reader(ORDERS, 1)
    waiting = asyncio.create_task(reader.read(wait_s=20))
    in_flight = asyncio.create_task(log.append(ORDERS, [b"in flight"]))
    await asyncio.sleep(0)
    log.crash()
    with pytest.raises(AppendUncertainError):
        await in_flight
    for call in (waiting, log.append(ORDERS, [b"x"]), log.end(ORDERS), log.start()):
        with pytest.raises(LogUnavailableError, match="crashed"):
            await call
    again = SimulatedLog(disk)
    await again.start()
    records = await (await again.open_reader(ORDERS, 0)).read()
    assert [record.value for record in records] == [b"durable", b"in flight"]


async def made(faults: Faults = simulated.NO_FAULTS) -> tuple[SimulatedDisk, SimulatedLog]:
    disk = SimulatedDisk(SystemClock(), 1, faults)
    log = SimulatedLog(disk)
    await log.start()
    await log.create([ORDERS])
    return disk, log


async def test_a_retry_may_be_taken_twice() -> None:
    disk, log = await made(Faults(repeated=10_000))
    assert await log.append(ORDERS, [b"a", b"b"]) == [0, 1]
    await asyncio.sleep(0.01)
    assert [record.value for record in disk.records(ORDERS)] == [b"a", b"b", b"a", b"b"]
    assert disk.happened["append_repeated"] == 1


async def test_a_read_may_be_short_and_skips_nothing() -> None:
    _, log = await made(Faults(short=10_000))
    await log.append(ORDERS, [b"a", b"b", b"c"])
    reader = await log.open_reader(ORDERS, 0)
    assert [len(await reader.read()) for _ in range(3)] == [1, 1, 1]


async def test_who_is_cut_off_both_ways_appends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated, "CUT_TIMEOUT_S", 0.01)
    disk, log = await made()
    reader = await log.open_reader(ORDERS, 0)
    log.cut = "both"
    for call in (log.append(ORDERS, [b"a"]), log.end(ORDERS), reader.read(wait_s=0.01)):
        with pytest.raises(LogUnavailableError):
            await call
    assert disk.records(ORDERS) == []
    log.cut = ""
    assert await log.append(ORDERS, [b"a"]) == [0]


async def test_who_hears_no_answers_appends_and_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulated, "CUT_TIMEOUT_S", 0.01)
    disk, log = await made()
    log.cut = "answers"
    with pytest.raises(AppendUncertainError):
        await log.append(ORDERS, [b"a"])
    assert [record.value for record in disk.records(ORDERS)] == [b"a"]


async def test_a_reader_says_that_records_it_had_read_are_lost() -> None:
    disk, log = await made()
    await log.append(ORDERS, [b"a", b"b", b"c"])
    reader = await log.open_reader(ORDERS, 0)
    await reader.read()
    assert disk.truncate(ORDERS, 1) == 2
    with pytest.raises(LogError, match="ends at 1, but record 2 was read"):
        await reader.read(wait_s=0.01)


async def test_a_reader_says_that_retention_was_quicker() -> None:
    disk, log = await made()
    await log.append(ORDERS, [b"a", b"b", b"c"])
    reader = await log.open_reader(ORDERS, 0)
    disk.delete_before(ORDERS, 2)
    assert await log.begin(ORDERS) == 2
    with pytest.raises(LogError, match="begins at 2 now, records 0 to 1 are gone"):
        await reader.read(wait_s=0.01)
