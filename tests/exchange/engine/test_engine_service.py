"""EngineService on a log: exactly one output, whatever dies, repeats or lies."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY

from exchange import topics
from exchange.engine import HistoryMismatchError
from exchange.log.protocol import AppendUncertainError, LogUnavailableError
from exchange.messages.frames import (
    ChainBrokenError,
    Command,
    Event,
    EventFollower,
    Reason,
    sound_commands,
)
from matching import reference

ORDERS, EVENTS = topics.orders(0), topics.events(0)


def drained(log: Any) -> bool:
    """Whether `events` answers every record of `orders`."""
    follower = EventFollower()
    for record in log.rows[EVENTS]:
        follower.accept(record.offset, record.value)
    return follower.input_offset == len(log.rows[ORDERS])


def answers(log: Any, offset: int) -> bool:
    follower = EventFollower()
    for record in log.rows[EVENTS]:
        follower.accept(record.offset, record.value)
    return follower.input_offset > offset


def ticks(log: Any) -> list[int]:
    """Where on `orders` an engine has said the time."""
    return [
        record.offset
        for record in log.rows[ORDERS]
        if (commands := sound_commands(record.value)) is not None
        and Command.CLOCK_TICK in commands["kind"]
    ]


def said(capsys: Any) -> str:
    return "".join(capsys.readouterr())


async def test_a_leader_ticks_under_load_too(memory_log, running, until, make_flow):
    """Calls end and indicative prices are told at ticks: a busy market needs them most."""
    service = running.start()
    await until(lambda: service.is_leading)
    before = len(ticks(memory_log))
    for frame in make_flow(3).frames(60):
        await memory_log.append(ORDERS, [frame])
        await asyncio.sleep(0.01)
    assert len(ticks(memory_log)) - before >= 3
    await running.stop(service)


async def test_a_leader_that_speaks_late_says_which_part_was_slow(
    memory_log, running, until, make_flow, monkeypatch, capsys
):
    """A standby soon takes over then: why is known to the leader alone."""
    service = running.start()
    await until(lambda: service.is_leading)
    append, flow = memory_log.append, make_flow(4)

    async def slow(partition: Any, values: Any) -> Any:
        if partition == EVENTS:
            await asyncio.sleep(0.25)
        return await append(partition, values)

    monkeypatch.setattr(memory_log, "append", slow)
    for _ in range(3):
        (last,) = await append(ORDERS, [flow.random_frame()])
        await until(partial(answers, memory_log, last))
    await running.stop(service)
    told = [line for line in said(capsys).splitlines() if "engine speaks late" in line]
    assert len(told) == 1  # not at each record
    assert int(told[0].partition("append_ms=")[2].split()[0]) >= 250


async def test_every_record_of_orders_has_one_answer(
    memory_log, running, until, accepted, undisturbed, make_flow
):
    service = running.start()
    await until(lambda: service.is_leading)
    assert service.is_ready
    for frame in make_flow(1).frames(200):
        await memory_log.append(ORDERS, [frame])
    await until(lambda: drained(memory_log))
    await running.stop(service)
    assert len({p.input_offset for p in accepted(memory_log)}) == service.engine.next_offset
    assert service.engine.state_hash() == undisturbed(memory_log, service)


async def test_an_idle_leader_ticks_and_says_so(memory_log, running, until):
    service = running.start()
    await until(lambda: len(memory_log.rows[ORDERS]) >= 4)
    await running.stop(service)
    assert len(memory_log.rows[EVENTS]) == service.engine.next_offset
    assert service.engine.epoch == 1


@pytest.mark.parametrize("is_clean", [True, False])
async def test_restart_from_a_snapshot_equals_an_undisturbed_run(
    memory_log, running, until, accepted, undisturbed, make_flow, tmp_path, is_clean
):
    flow = make_flow(2)
    frames = flow.frames(300)
    for part in range(3):
        service = running.start(node=part + 1, snapshot_every=50)
        for frame in frames[part * 100 : part * 100 + 100]:
            await memory_log.append(ORDERS, [frame])
            await asyncio.sleep(0)
        enough = part * 100 + 90
        await until(partial(answers, memory_log, enough))
        await (running.stop if is_clean else running.kill)(service)
    assert list((tmp_path / "snapshots" / "XX").glob("*.snapshot"))
    service = running.start(node=9, snapshot_every=50)
    await until(lambda: service.is_leading)
    await until(lambda: drained(memory_log))
    await running.stop(service)
    accepted(memory_log)
    assert service.engine.state_hash() == undisturbed(memory_log, service)
    assert len(list((tmp_path / "snapshots" / "XX").glob("*.snapshot"))) <= 3


class SlowToDescribe(reference.Engine):
    """An engine whose state is large: its output is confirmed long before it is described."""

    def snapshot(self) -> bytes:
        time.sleep(0.05)
        return super().snapshot()


async def test_a_snapshot_is_written_though_its_output_was_confirmed_first(
    memory_log, running, until, make_flow, tmp_path
):
    service = running.start(engine=SlowToDescribe, snapshot_every=20)
    folder = tmp_path / "snapshots" / "XX"
    await until(lambda: service.is_leading)
    for frame in make_flow(5).frames(25):
        await memory_log.append(ORDERS, [frame])
        await asyncio.sleep(0.002)
    await until(lambda: drained(memory_log) and list(folder.glob("*.snapshot")))
    await running.kill(service)


async def test_a_restored_engine_replays_only_the_tail(
    memory_log, running, until, make_flow, monkeypatch
):
    service = running.start()
    for frame in make_flow(3).frames(100):
        await memory_log.append(ORDERS, [frame])
    await until(lambda: service.is_leading and drained(memory_log))
    await running.stop(service)
    at = service.engine.next_offset
    opened: list[tuple[Any, int]] = []
    open_reader = memory_log.open_reader

    async def noting(partition: Any, offset: int) -> Any:
        opened.append((partition, offset))
        return await open_reader(partition, offset)

    monkeypatch.setattr(memory_log, "open_reader", noting)
    second = running.start(node=2)
    await until(lambda: second.is_leading)
    await running.stop(second)
    assert [offset for partition, offset in opened if partition == ORDERS] == [at]


@pytest.mark.parametrize("damage", ["torn", "flipped", "empty", "foreign"])
async def test_a_corrupt_snapshot_is_passed_over(
    memory_log, running, until, undisturbed, make_flow, tmp_path, damage, capsys
):
    service = running.start()
    for frame in make_flow(4).frames(60):
        await memory_log.append(ORDERS, [frame])
    await until(lambda: service.is_leading and drained(memory_log))
    await running.stop(service)
    (path,) = (tmp_path / "snapshots" / "XX").glob("*.snapshot")
    data = path.read_bytes()
    if damage == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        path.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
    elif damage == "empty":
        path.write_bytes(b"")
    else:  # sound, but of another log: another first record, and so another chain
        memory_log.rows[EVENTS].clear()
        rows = list(memory_log.rows[ORDERS])
        memory_log.rows[ORDERS].clear()
        memory_log.take(ORDERS, [b"another history", *(r.value for r in rows)])
    second = running.start(node=2)
    await until(lambda: second.is_leading and drained(memory_log))
    await running.stop(second)
    assert second.engine.state_hash() == undisturbed(memory_log, second)
    assert "snapshot passed over" in said(capsys)


async def test_uncertain_appends_lose_and_double_nothing(
    memory_log, running, until, accepted, undisturbed, make_flow
):
    rolls = make_flow(5).random

    def fault(partition: Any, values: Any) -> tuple[int, Exception] | None:
        if partition != EVENTS or rolls.random() > 0.4:
            return None
        if rolls.random() < 0.3:
            return 0, LogUnavailableError("no")
        return rolls.randrange(len(values) + 1), AppendUncertainError("timed out")

    service = running.start()
    await until(lambda: service.is_leading)
    memory_log.fault = fault
    for frame in make_flow(6).frames(150):
        memory_log.take(ORDERS, [frame])
        await asyncio.sleep(0.0005)
    await until(lambda: drained(memory_log))
    memory_log.fault = None
    await running.stop(service)
    accepted(memory_log)
    assert service.engine.state_hash() == undisturbed(memory_log, service)
    assert service.engine.epoch == 1


async def test_an_append_that_lands_late_is_a_repeat(memory_log, running, until, accepted):
    late: list[list[bytes]] = []

    def fault(partition: Any, values: Any) -> tuple[int, Exception] | None:
        if partition == EVENTS and not late:
            late.append(list(values))
            return 0, AppendUncertainError("still on its way")
        return None

    memory_log.fault = fault
    service = running.start()
    await until(lambda: len(memory_log.rows[EVENTS]) >= 3)
    memory_log.take(EVENTS, late[0])
    await running.stop(service)
    end = service.engine.next_offset
    assert len(accepted(memory_log)) == end
    assert len(memory_log.rows[EVENTS]) == end + len(late[0])


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_crash_between_apply_publish_and_acknowledgement(
    memory_log, running, until, accepted, undisturbed, make_flow, kept
):
    """The engine dies while its append is under way: none, some or all of it is taken."""
    service = running.start()
    await until(lambda: service.is_leading)
    dying = asyncio.Event()

    def fault(partition: Any, values: Any) -> tuple[int, Exception] | None:
        if partition != EVENTS:
            return None
        dying.set()
        return min(kept, len(values)), AppendUncertainError("the process dies here")

    memory_log.fault = fault
    memory_log.take(ORDERS, make_flow(7).frames(30))
    await dying.wait()
    await running.kill(service)
    memory_log.fault = None
    second = running.start(node=2)
    await until(lambda: second.is_leading and drained(memory_log))
    await running.stop(second)
    accepted(memory_log)
    assert second.engine.state_hash() == undisturbed(memory_log, second)
    assert second.engine.epoch == 2


async def test_a_second_engine_stands_by_and_takes_over(
    memory_log, running, until, accepted, undisturbed, make_flow, capsys
):
    first = running.start(node=1)
    await until(lambda: first.is_leading)
    second = running.start(node=2, settings={"engine_silence_ms": 800})
    await until(lambda: second.is_ready)
    flow = make_flow(8)
    for frame in flow.frames(60):
        await memory_log.append(ORDERS, [frame])
        await asyncio.sleep(0.002)
    await until(lambda: drained(memory_log))
    assert first.is_leading
    assert not second.is_leading
    assert second.is_ready
    assert first.engine.epoch == 1
    output = said(capsys)
    assert "engine ready: standing by" in output
    await running.kill(first)
    for _ in range(30):
        await memory_log.append(ORDERS, [flow.random_frame()])
    await until(lambda: second.is_leading and drained(memory_log))
    await running.stop(second)
    accepted(memory_log)
    assert second.engine.epoch == 2
    assert second.engine.state_hash() == undisturbed(memory_log, second)
    assert "engine leads" in said(capsys)


async def test_an_idle_market_with_a_dead_leader_gets_a_new_one(memory_log, running, until):
    first = running.start(node=1)
    await until(lambda: first.is_leading)
    second = running.start(node=2)
    await until(lambda: second.is_ready)
    await running.kill(first)
    await until(lambda: second.is_leading)
    assert second.engine.epoch == 2


class PausedLog:
    """The log as a stopped process sees it: nothing returns while it is paused."""

    def __init__(self, log: Any) -> None:
        self._log, self.going = log, asyncio.Event()
        self.going.set()

    async def create(self, partitions: Any) -> None:
        await self._log.create(partitions)

    async def append(self, *given: Any) -> Any:
        await self.going.wait()
        return await self._log.append(*given)

    async def end(self, partition: Any) -> int:
        await self.going.wait()
        return await self._log.end(partition)

    async def open_reader(self, partition: Any, offset: int) -> Any:
        reader = await self._log.open_reader(partition, offset)
        read, going = reader.read, self.going

        async def paused(*given: Any) -> Any:
            found = await read(*given)
            await going.wait()
            return found

        reader.read = paused
        return reader


async def test_a_zombie_only_repeats(
    memory_log, running, until, accepted, undisturbed, make_flow, capsys
):
    paused = PausedLog(memory_log)
    zombie = running.start(node=1, log=paused)
    await until(lambda: zombie.is_leading)
    second = running.start(node=2)
    flow = make_flow(9)
    await memory_log.append(ORDERS, [flow.opening()])
    await until(lambda: second.is_ready and drained(memory_log))
    paused.going.clear()
    for _ in range(60):
        await memory_log.append(ORDERS, [flow.random_frame()])
    await until(lambda: second.is_leading and drained(memory_log))
    before = len(memory_log.rows[EVENTS])
    paused.going.set()
    await until(lambda: not zombie.is_leading)
    for _ in range(30):
        await memory_log.append(ORDERS, [flow.random_frame()])
    await until(lambda: drained(memory_log))
    await until(lambda: zombie.engine.next_offset == len(memory_log.rows[ORDERS]))
    assert len(memory_log.rows[EVENTS]) >= before + 30
    await running.stop(second)
    await running.stop(zombie)
    accepted(memory_log)
    assert zombie.engine.epoch == 2
    for service in (zombie, second):
        assert service.engine.state_hash() == undisturbed(memory_log, service)
    assert "engine stands by: another engine leads" in said(capsys)


async def test_two_publishers_repeat_each_other_harmlessly(
    memory_log, running, until, accepted, undisturbed, make_flow
):
    """Both publish everything: readers accept each part once, byte for byte the same."""
    first = running.start(node=1)
    await until(lambda: first.is_leading)
    second = running.start(node=2)
    await until(lambda: second.is_ready and second._replica is not None)
    second._replica.is_leading = True
    for frame in make_flow(10).frames(80):
        await memory_log.append(ORDERS, [frame])
        await asyncio.sleep(0.001)
    await until(lambda: drained(memory_log))
    assert len(memory_log.rows[EVENTS]) > len(memory_log.rows[ORDERS])
    await running.stop(second)
    await running.stop(first)
    accepted(memory_log)
    assert first.engine.state_hash() == undisturbed(memory_log, first)


async def test_two_engines_started_at_once_agree_on_one_leader(memory_log, running, until):
    both = [running.start(node=n, settings={"engine_silence_ms": 800}) for n in (1, 2)]
    await until(lambda: any(s.is_leading for s in both) and all(s.is_ready for s in both))
    await asyncio.sleep(0.3)
    assert [s.is_leading for s in both].count(True) == 1
    assert both[0].engine.epoch == 1


async def test_a_malformed_frame_is_refused_and_the_venue_goes_on(
    memory_log, running, until, accepted, make_flow
):
    service = running.start()
    flow = make_flow(11)
    sound = flow.opening()
    flipped = sound[:100] + bytes([sound[100] ^ 1]) + sound[101:]
    values = [sound, b"", b"not a frame", flipped, sound[:-1], flow.random_frame()]
    await memory_log.append(ORDERS, values)
    await until(lambda: service.is_leading and drained(memory_log))
    await running.stop(service)
    refused = {
        p.input_offset: int(p.events["reason"][0])
        for p in accepted(memory_log)
        if len(p.events) and p.events["kind"][0] == Event.FRAME_REFUSED
    }
    first = next(r.offset for r in memory_log.rows[ORDERS] if r.value == sound)
    assert refused == {
        first + 1: Reason.FRAME_TOO_SHORT,
        first + 2: Reason.FRAME_TOO_SHORT,
        first + 3: Reason.FRAME_WRONG_CHECKSUM,
        first + 4: Reason.FRAME_WRONG_SIZE,
    }


@pytest.mark.parametrize("place", [30, 60, 70, 120])
async def test_an_altered_events_record_stops_engine_and_readers(
    memory_log, running, until, make_flow, place
):
    service = running.start()
    await memory_log.append(ORDERS, make_flow(12).frames(20))
    await until(lambda: service.is_leading and drained(memory_log))
    await running.kill(service)
    rows = memory_log.rows[EVENTS]
    victim = next(r for r in rows if len(r.value) > 200)
    value = victim.value[:place] + bytes([victim.value[place] ^ 4]) + victim.value[place + 1 :]
    rows[victim.offset] = victim._replace(value=value)
    with pytest.raises(ChainBrokenError, match=r"events record \d+"):
        drained(memory_log)
    labels = {"service": "engine-XX"}
    before = REGISTRY.get_sample_value("exchange_state_hash_mismatch_total", labels) or 0
    second = running.start(node=2)
    error = await running.failure(second)
    assert isinstance(error, HistoryMismatchError)
    assert "events record" in str(error)
    after = REGISTRY.get_sample_value("exchange_state_hash_mismatch_total", labels)
    assert after == before + 1


async def test_events_without_their_orders_stop_the_engine(memory_log, running, until, make_flow):
    service = running.start()
    await memory_log.append(ORDERS, make_flow(13).frames(20))
    await until(lambda: service.is_leading and drained(memory_log))
    await running.kill(service)
    del memory_log.rows[ORDERS][-5:]
    error = await running.failure(running.start(node=2))
    assert isinstance(error, HistoryMismatchError)
    assert "orders ends at" in str(error)


async def test_a_long_backlog_is_published_within_the_bound_of_memory(
    memory_log, running, until, accepted, make_flow, monkeypatch
):
    monkeypatch.setattr("exchange.engine.replica.ENGINE_OUTBOX_PARTS_MAX", 16)
    memory_log.take(ORDERS, make_flow(14).frames(200))
    service = running.start(settings={"engine_tick_ms": 2_000})
    largest = 0

    def fault(partition: Any, values: Any) -> None:
        nonlocal largest
        largest = max(largest, len(values))

    memory_log.fault = fault
    await until(lambda: service.is_leading and drained(memory_log))
    await running.stop(service)
    accepted(memory_log)
    assert largest <= 17


async def test_the_loop_is_given_back_while_a_backlog_is_applied(
    memory_log, running, until, make_flow
):
    memory_log.take(ORDERS, make_flow(15).frames(300))
    service = running.start(engine=reference.Engine)
    loop = asyncio.get_running_loop()
    worst, last = 0.0, loop.time()
    while not (service.is_leading and drained(memory_log)):
        await asyncio.sleep(0)
        now = loop.time()
        worst, last = max(worst, now - last), now
        if service.is_leading:
            await asyncio.sleep(0.01)
            last = loop.time()
    assert worst < 0.25


async def test_stop_before_anything_happened(running):
    service = running.start()
    await asyncio.sleep(0)
    await running.stop(service)
    assert not service.is_leading


@pytest.mark.parametrize("kind", [LogUnavailableError, AppendUncertainError])
async def test_a_leader_that_is_told_to_stop_ends_though_events_cannot_be_written(
    memory_log, running, until, make_flow, monkeypatch, kind
):
    service = running.start()
    await until(lambda: service.is_leading and drained(memory_log))
    append, tried = memory_log.append, asyncio.Event()

    async def refuse(partition: Any, values: Any) -> Any:
        if partition != EVENTS:
            return await append(partition, values)
        tried.set()
        await asyncio.sleep(0.01)
        raise kind("too few replicas are in sync")

    monkeypatch.setattr(memory_log, "append", refuse)
    memory_log.take(ORDERS, make_flow(17).frames(3))
    await tried.wait()
    task, stop = running.tasks[service]
    stop.set()
    await asyncio.wait([task], timeout=5)
    assert task.done()
    assert isinstance(await running.failure(service), kind)


@pytest.mark.parametrize(
    ("node", "settings", "words"),
    [
        (-1, {}, "node -1 is outside"),
        (2**23, {}, "node 8388608 is outside"),
        (1, {"engine_silence_ms": 0}, "10 ms or more"),
        (1, {"engine_tick_ms": 9}, "10 ms or more"),
        (1, {"engine_reserve_orders": -1}, "engine_reserve_orders -1 is outside 0..4194304"),
        (1, {"engine_reserve_client_order_ids": 2**30}, "outside 0..16777216"),
    ],
)
async def test_settings_that_cannot_work_are_refused(running, node, settings, words):
    with pytest.raises(ValueError, match=words):
        running.start(node=node, settings=settings)
