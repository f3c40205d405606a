"""A long past is compared by the chain at its end; of two claims at once the first wins."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from exchange import topics
from exchange.engine import HistoryMismatchError
from exchange.messages.frames import HEADER_SIZE
from matching.layout import Command
from tests.exchange.engine.test_engine_service import drained

ORDERS, EVENTS = topics.orders(0), topics.events(0)


@pytest.fixture
def short_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test's past counts as long."""
    monkeypatch.setattr("exchange.engine.service.COMPARED_RECORDS_MAX", 10)


async def written(memory_log: Any, running: Any, until: Any, frames: list[bytes]) -> None:
    """A leader answers the frames and dies."""
    service = running.start()
    await until(lambda: service.is_leading)
    memory_log.take(ORDERS, frames)
    await until(lambda: drained(memory_log))
    await running.kill(service)


@pytest.mark.usefixtures("short_past")
@pytest.mark.parametrize("repeats", [0, 25])
async def test_a_restart_over_a_long_past_reads_the_end_of_events_only(
    memory_log: Any, running: Any, until: Any, accepted: Any, undisturbed: Any, make_flow: Any,
    monkeypatch: pytest.MonkeyPatch, repeats: int,
) -> None:  # fmt: skip
    """However much a zombie has repeated there."""
    await written(memory_log, running, until, make_flow(71).frames(80))
    end = len(memory_log.rows[EVENTS])
    memory_log.take(EVENTS, [r.value for r in memory_log.rows[EVENTS][40 : 40 + repeats]])
    monkeypatch.setattr("exchange.engine.tail.READ_RECORDS_MAX", repeats + 5)
    opened: list[int] = []
    open_reader = memory_log.open_reader

    async def noting(partition: Any, offset: int) -> Any:
        if partition == EVENTS:
            opened.append(offset)
        return await open_reader(partition, offset)

    monkeypatch.setattr(memory_log, "open_reader", noting)
    second = running.start(node=2)
    await until(lambda: second.is_leading)
    memory_log.take(ORDERS, [make_flow(72).random_frame()])
    await until(lambda: drained(memory_log))
    await running.stop(second)
    assert min(opened) == end - 5
    accepted(memory_log)
    assert second.engine.state_hash() == undisturbed(memory_log, second)


@pytest.mark.usefixtures("short_past")
async def test_a_restart_goes_on_in_the_middle_of_an_output(
    memory_log: Any, running: Any, until: Any, accepted: Any, make_flow: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The leader died between two parts of one record's output."""
    monkeypatch.setattr("exchange.messages.frames.PART_RECORDS_MAX", 3)
    await written(memory_log, running, until, make_flow(73).frames(60))
    rows = memory_log.rows[EVENTS]
    cut = max(at for at, row in enumerate(rows[:-1]) if row.value[7] == 0)  # not a last part
    del rows[cut + 1 :]
    second = running.start(node=2)
    await until(lambda: second.is_leading and drained(memory_log))
    await running.stop(second)
    accepted(memory_log)


@pytest.mark.usefixtures("short_past")
@pytest.mark.parametrize(
    ("place", "words"),
    [(HEADER_SIZE - 1, "or one before it is not what this engine computes"), (30, "orders ends")],
)
async def test_another_history_at_the_end_of_events_stops_the_engine(
    memory_log: Any, running: Any, until: Any, make_flow: Any, place: int, words: str
) -> None:
    await written(memory_log, running, until, make_flow(74).frames(60))
    rows = memory_log.rows[EVENTS]
    last = rows[-1].value
    altered = last[:place] + bytes([last[place] ^ 4]) + last[place + 1 :]
    rows[-1] = rows[-1]._replace(value=altered)
    error = await running.failure(running.start(node=2))
    assert isinstance(error, HistoryMismatchError)
    assert words in str(error)


@pytest.mark.usefixtures("short_past")
async def test_a_snapshot_begun_where_a_long_past_ends_knows_its_place_on_events(
    memory_log: Any, running: Any, until: Any, make_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What led to it was said before this start: no append of this engine's confirms it."""
    await written(memory_log, running, until, make_flow(76).frames(80))
    monkeypatch.setattr("exchange.engine.service.SNAPSHOT_EVERY_COMMANDS", 100)
    second = running.start(node=2)
    await until(lambda: second.is_leading)
    memory_log.take(ORDERS, [make_flow(77).random_frame()])
    await until(lambda: drained(memory_log) and second._saved_offset)
    await running.kill(second)
    with capture_logs() as told:
        third = running.start(node=3)
        await until(lambda: third.is_ready)
    events = [line["event"] for line in told if line["event"].startswith("snapshot")]
    assert events[:1] == ["snapshot restored"]


class Halting:
    """A log whose `orders` give nothing from a place on, though they go on there."""

    def __init__(self, log: Any, place: int) -> None:
        self._log, self._place = log, place

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def open_reader(self, partition: Any, offset: int) -> Any:
        reader = await self._log.open_reader(partition, offset)
        read = reader.read

        async def halting(records_max: int, wait_s: float) -> Any:
            left = self._place - reader.position
            if left > 0:
                return await read(min(records_max, left), wait_s)
            await asyncio.sleep(wait_s)
            return []

        if partition == ORDERS:
            reader.read = halting
        return reader


@pytest.mark.usefixtures("short_past")
async def test_a_stop_amid_a_long_past_leaves_the_snapshots_as_they_are(
    memory_log: Any, running: Any, until: Any, make_flow: Any, tmp_path: Path
) -> None:
    """Where that state stands on `events` is not known yet."""
    folder = tmp_path / "snapshots" / "XX"
    first = running.start()
    await until(lambda: first.is_leading)
    memory_log.take(ORDERS, make_flow(78).frames(30))
    await until(lambda: drained(memory_log))
    await running.stop(first)
    sound = sorted(folder.iterdir())
    assert len(sound) == 1
    running.data = tmp_path / "elsewhere"  # another machine's engine leads meanwhile
    await written(memory_log, running, until, make_flow(79).frames(100))
    running.data = tmp_path
    place = first.engine.next_offset + 40
    second = running.start(log=Halting(memory_log, place))
    await until(lambda: second._replica is not None and second.engine.next_offset == place)
    assert not second.is_ready
    await running.stop(second)
    assert sorted(folder.iterdir()) == sound


class Together:
    """A log on which claims are taken only when two are there: the first in the log must win."""

    def __init__(self, log: Any, gate: list[asyncio.Event]) -> None:
        self._log, self._gate = log, gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, partition: Any, values: list[bytes]) -> list[int]:
        if partition == ORDERS and values[0][HEADER_SIZE] == Command.EPOCH_START:
            own = asyncio.Event()
            self._gate.append(own)
            if len(self._gate) >= 2:
                for event in self._gate:
                    event.set()
            await own.wait()
        return await self._log.append(partition, values)


async def test_of_two_standbys_that_claim_at_once_the_first_in_the_log_leads(
    memory_log: Any, running: Any, until: Any, accepted: Any, undisturbed: Any, make_flow: Any
) -> None:
    first = running.start(node=1)
    await until(lambda: first.is_leading)
    gate: list[asyncio.Event] = []
    standbys = [running.start(node=n, log=Together(memory_log, gate)) for n in (2, 3)]
    flow = make_flow(75)
    memory_log.take(ORDERS, [flow.opening()])
    await until(lambda: all(s.is_ready for s in standbys) and drained(memory_log))
    await running.kill(first)
    memory_log.take(ORDERS, [flow.random_frame() for _ in range(20)])
    await until(lambda: any(s.is_leading for s in standbys) and drained(memory_log))
    claims = [r for r in memory_log.rows[ORDERS] if r.value[HEADER_SIZE] == Command.EPOCH_START]
    end = len(memory_log.rows[ORDERS])
    await until(lambda: all(s.engine.next_offset >= end for s in standbys))
    assert len(claims) == 3  # one of the first engine, one of each standby
    assert [s.is_leading for s in standbys].count(True) == 1
    assert {s.engine.epoch for s in standbys} == {2}
    winner = next(s for s in standbys if s.is_leading)
    assert winner.run_id == winner.engine.leader
    for service in standbys:
        await running.stop(service)
        assert service.engine.state_hash() == undisturbed(memory_log, service)
    accepted(memory_log)
