"""Market data made anew from events: equal record by record, and one altered byte is told."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from exchange import topics
from exchange.clock import SystemClock
from exchange.log.embedded import EmbeddedLog
from exchange.marketdata.book import decode_record, encode_record
from exchange.marketdata.depth import Depth
from exchange.marketdata.proof import remake
from exchange.messages.frames import GENESIS, ChainBrokenError, EventFollower, seal_events
from gateway.cli import build
from matching import Engine

EVENTS, MARKETDATA = topics.events(0), topics.marketdata(0)


def said(frames: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The records of `events` and of `marketdata` that the frames lead to."""
    engine, depth, follower, chain = Engine(), Depth(), EventFollower(), GENESIS
    events, records = [], []
    for frame in frames:
        first = engine.next_event
        output = engine.apply(engine.next_offset, engine.next_offset, frame)
        parts, chain = seal_events(
            output, input_offset=engine.next_offset - 1, first_event=first, epoch=0,
            time_ns=engine.time_ns, chain=chain,
        )  # fmt: skip
        for value in parts:
            part = follower.accept(len(events), value)
            assert part is not None
            events.append(value)
            change = depth.apply(part)
            if change is not None:
                records.append(encode_record(change))
    return events, records


@pytest.fixture
def flow(make_flow: Any) -> tuple[list[bytes], list[bytes]]:
    return said(make_flow(3).frames(60))


async def test_a_sound_topic_with_repeats(memory_log, flow) -> None:
    events, records = flow
    memory_log.take(EVENTS, events)
    memory_log.take(MARKETDATA, [*records[:20], *records[10:20], *records[20:-2]])
    steps: list[tuple[int, int]] = []
    found = await remake(memory_log, 0, progress=lambda *step: steps.append(step))
    assert found.difference == ""
    assert (found.records, found.repeats, found.unsaid) == (len(records) + 8, 10, 2)
    assert found.inputs == len(events)
    assert steps[-1] == (len(events), len(events))


async def test_any_altered_byte_is_told(memory_log, flow) -> None:
    events, records = flow
    memory_log.take(EVENTS, events)
    memory_log.take(MARKETDATA, records)
    rows, rolls = memory_log.rows[MARKETDATA], random.Random(5)
    for _ in range(40):
        at = rolls.randrange(len(rows))
        sound, value = rows[at], bytearray(rows[at].value)
        value[rolls.randrange(len(value))] ^= 1 << rolls.randrange(8)
        rows[at] = sound._replace(value=bytes(value))
        found = await remake(memory_log, 0)
        assert found.difference.startswith(f"marketdata record {at} "), found.difference
        rows[at] = sound


async def test_the_difference_is_named(memory_log, flow) -> None:
    events, records = flow
    memory_log.take(EVENTS, events)
    record = decode_record(records[7])
    (first, *rest) = record.items
    other = msgspec.structs.replace(first, time_ns=first.time_ns + 1)
    for changed, told in (
        (msgspec.structs.replace(record, items=(other, *rest)), "item 0 is "),
        (msgspec.structs.replace(record, items=record.items[:-1]), " items, events say "),
        (msgspec.structs.replace(record, input_offset=77), "input_offset is 77, events say "),
        (msgspec.structs.replace(record, number=99), "number is 99, events say 7"),
    ):
        memory_log.rows[MARKETDATA].clear()
        memory_log.take(MARKETDATA, [*records[:7], encode_record(changed), *records[8:]])
        found = await remake(memory_log, 0)
        assert "record 7 (number 7): " in found.difference
        assert told in found.difference
        assert found.records == 7


async def test_lost_and_added_records_and_false_repeats(memory_log, flow) -> None:
    events, records = flow
    memory_log.take(EVENTS, events)
    false = msgspec.structs.replace(decode_record(records[3]), input_offset=1)
    for values, told in (
        ([*records[:5], *records[6:]], "record 5 (number 5): number is 6, events say 5"),
        ([*records[:9], encode_record(false)], "record 9 repeats number 3, but otherwise"),
        ([*records[:2], b"nonsense"], "record 2 (number 2) cannot be read"),
    ):
        memory_log.rows[MARKETDATA].clear()
        memory_log.take(MARKETDATA, values)
        assert told in (await remake(memory_log, 0)).difference
    memory_log.rows[MARKETDATA].clear()
    memory_log.take(MARKETDATA, records)
    del memory_log.rows[EVENTS][len(events) // 2 :]
    assert (await remake(memory_log, 0)).difference.endswith("events say no more")


async def test_broken_events_prove_nothing(memory_log, flow) -> None:
    events, records = flow
    memory_log.take(EVENTS, [*events[:4], events[4][:-1] + b"\x77", *events[5:]])
    memory_log.take(MARKETDATA, records)
    with pytest.raises(ChainBrokenError):
        await remake(memory_log, 0)


def test_the_command_says_ok_and_names_what_was_altered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flow
) -> None:
    monkeypatch.delenv("EXCHANGE_LOG", raising=False)
    events, records = flow
    broken = bytearray(records[-1])
    broken[len(broken) // 2] ^= 1

    async def write(folder: Path, last: bytes) -> None:
        folder.mkdir()
        log = EmbeddedLog(folder / "log.sqlite", SystemClock())
        await log.start()
        await log.create(topics.of_market(0))
        await log.append(EVENTS, events)
        await log.append(MARKETDATA, [*records[:-1], last])
        await log.close()

    for name, last, code in (("sound", records[-1], 0), ("altered", bytes(broken), 1)):
        asyncio.run(write(tmp_path / name, last))
        command = ["rebuild-marketdata", "--data", str(tmp_path / name), "--market", "EU"]
        done = CliRunner().invoke(build(command[0]), command)
        assert done.exit_code == code, done.output
        assert f"{len(records) - code} records, 0 of them repeats" in done.output
        assert (f"marketdata record {len(records) - 1} " in done.output) == bool(code)
