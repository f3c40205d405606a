"""The records of `orders` as a gateway has them: its own at once, those of others by reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from exchange.log.protocol import Record
from exchange.messages.frames import Command, build_commands, command
from gateway.views import order_records
from gateway.views.order_records import FRAME_BYTES, OrderRecords


def frame(number: int, kind: int = Command.NEW_ORDER) -> bytes:
    """One command; frames differ by their number."""
    made = command(kind, ref=number, quantity=1)
    return build_commands([made], writer=1, batch=number, time_ns=number + 1)


class Topic:
    """`orders`, as a reader of it sees it: `read` gives `at_once` records and waits at the end."""

    def __init__(self, at_once: int = 100) -> None:
        self.values: list[bytes] = []
        self.reads = 0
        self._at_once = at_once
        self._position = 0

    async def read(self) -> Sequence[Record]:
        self.reads += 1
        for _ in range(10):
            if self._position < len(self.values):
                break
            await asyncio.sleep(0.002)
        new = self.values[self._position : self._position + self._at_once]
        records = [Record(self._position + at, 7, value) for at, value in enumerate(new)]
        self._position += len(records)
        return records


@asynccontextmanager
async def followed(topic: Topic) -> AsyncIterator[tuple[OrderRecords, list[Record]]]:
    """The records of a topic while they are followed, and those that were taken."""
    taken: list[Record] = []
    stop = asyncio.Event()
    records = OrderRecords(taken.append)
    following = asyncio.create_task(records.follow(topic.read, stop))
    try:
        yield records, taken
    finally:
        stop.set()
        await asyncio.wait_for(following, 5)


async def rested(topic: Topic, records: OrderRecords) -> None:
    """Until what the topic holds is read, and a while is left before it is looked at again."""
    while records.position < len(topic.values):
        await asyncio.sleep(0.001)


async def test_what_it_wrote_itself_is_there_without_a_read(monkeypatch) -> None:
    monkeypatch.setattr(order_records, "SWEEP_S", 1.0)
    topic = Topic()
    topic.values.append(frame(0))
    async with followed(topic) as (records, taken):
        assert await records.frame(0) == frame(0)
        await rested(topic, records)
        await asyncio.sleep(0.01)
        before = topic.reads
        for number in range(1, 50):
            topic.values.append(frame(number))
            records.wrote(number, frame(number))
            assert await records.frame(number) == frame(number)
        assert topic.reads == before
        assert [record.offset for record in taken] == [0]
        topic.values.append(frame(50))  # somebody else's: looked for at once, and all before it
        assert await asyncio.wait_for(records.frame(50), 5) == frame(50)
        assert [record.offset for record in taken] == list(range(51))


async def test_all_is_taken_in_order_after_a_while_without_being_asked_for() -> None:
    topic = Topic(at_once=3)
    async with followed(topic) as (records, taken):
        for number in range(20):
            topic.values.append(frame(number))
            records.wrote(number, frame(number))
        await asyncio.wait_for(rested(topic, records), 5)
        assert [record.value for record in taken] == topic.values


@pytest.mark.parametrize("kind", [Command.PHASE_CHANGE, Command.NOTE, Command.INSTRUCTION])
async def test_of_its_own_acts_it_is_told_by_the_log_alone_and_at_once(kind, monkeypatch) -> None:
    """The output of a command with a meaning beside it is not applied before that is known."""
    monkeypatch.setattr(order_records, "SWEEP_S", 1.0)
    topic = Topic()
    topic.values.append(frame(0))
    async with followed(topic) as (records, taken):
        assert await records.frame(0) == frame(0)
        await asyncio.sleep(0.01)
        records.wrote(1, frame(1, kind))
        asking = asyncio.create_task(records.frame(1))
        await asyncio.sleep(0.01)
        assert not asking.done()
        topic.values.append(frame(1, kind))
        assert await asyncio.wait_for(asking, 5) == frame(1, kind)
        assert [record.offset for record in taken] == [0, 1]


async def test_what_does_not_fit_is_to_be_read_again(monkeypatch) -> None:
    room = 3 * (len(frame(0)) + FRAME_BYTES)
    monkeypatch.setattr(order_records, "ORDERS_KEPT_BYTES_MAX", room)
    topic = Topic()
    topic.values += [frame(number) for number in range(6)]
    async with followed(topic) as (records, taken):
        await rested(topic, records)
        assert len(taken) == 6
        assert [await records.frame(at) for at in range(4)] == [*map(frame, range(3)), None]
        for offset in (3, 4, 5):
            records.passed(offset)
        topic.values.append(frame(6))
        assert await asyncio.wait_for(records.frame(6), 5) == frame(6)  # there is room again


async def test_how_far_the_log_goes_is_heard_of_once() -> None:
    ends: list[int] = []
    records = OrderRecords(lambda _: None, ends.append)
    records.reaches(3)
    records.wrote(1, frame(1))
    records.wrote(3, frame(3))
    assert ends == [3, 4]


async def test_who_waits_is_let_go_at_the_end() -> None:
    topic = Topic()
    async with followed(topic) as (records, _):
        asking = asyncio.create_task(records.frame(0))
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(asking, 5) is None
