"""What every body of the log promises, one suite over all three."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from exchange.log.protocol import (
    Log,
    LogError,
    LogUnavailableError,
    Partition,
    Record,
    RecordTooLargeError,
    UnknownPartitionError,
)
from exchange.settings import READ_BYTES_MAX, RECORD_BYTES_MAX
from tests.exchange.log.conftest import Body

MIB = 1 << 20
HELD_BYTES_MAX = 48 * MIB  # by a reader, its connection's buffers and the allocator's reserve


async def read_all(log: Log, partition: Partition, offset: int, end: int) -> list[Record]:
    reader = await log.open_reader(partition, offset)
    records: list[Record] = []
    async with asyncio.timeout(60):
        while reader.position < end:
            records += await reader.read(wait_s=5)
    await reader.close()
    return records


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_offsets_are_dense_and_values_keep_their_order(body: Body, log: Log) -> None:
    partition = body.partition()
    await log.create([partition])
    other = await body.handle()
    acknowledged: dict[int, bytes] = {}

    async def appender(name: int, handle: Log) -> None:
        last = -1
        for call in range(20):
            values = [f"{name}/{call}/{index}".encode() for index in range(1 + call % 4)]
            offsets = await handle.append(partition, values)
            assert offsets == sorted(offsets)
            assert offsets[0] > last, "a later call of one writer lies before an earlier one"
            last = offsets[-1]
            for offset, value in zip(offsets, values, strict=True):
                assert offset not in acknowledged
                acknowledged[offset] = value

    await asyncio.gather(*(appender(name, log if name % 2 else other) for name in range(32)))
    assert sorted(acknowledged) == list(range(32 * 50))
    records = await read_all(log, partition, 0, len(acknowledged))
    assert {record.offset: record.value for record in records} == acknowledged
    assert [record.offset for record in records] == list(range(len(acknowledged)))


async def test_concurrent_calls_lie_in_the_order_they_were_made(
    log: Log, partition: Partition
) -> None:
    calls = [asyncio.create_task(log.append(partition, [b"%d" % n])) for n in range(500)]
    offsets = [(await call)[0] for call in calls]
    assert offsets == list(range(500))


async def test_partitions_are_apart(body: Body, log: Log) -> None:
    partitions = [body.partition("orders", 0), body.partition("orders", 1), body.partition("x", 2)]
    await log.create(partitions)
    for round_ in range(3):
        for number, partition in enumerate(partitions):
            assert await log.append(partition, [b"%d" % number] * 2) == [2 * round_, 2 * round_ + 1]
    for number, partition in enumerate(partitions):
        assert {r.value for r in await read_all(log, partition, 0, 6)} == {b"%d" % number}


@pytest.mark.parametrize("offset", [0, 1, 37, 98, 99])
async def test_reads_from_any_offset(log: Log, partition: Partition, offset: int) -> None:
    await log.append(partition, [b"%d" % number for number in range(60)])
    await log.append(partition, [b"%d" % number for number in range(60, 100)])
    records = await read_all(log, partition, offset, 100)
    assert [record.value for record in records] == [b"%d" % n for n in range(offset, 100)]


async def test_reads_no_more_records_than_asked(log: Log, partition: Partition) -> None:
    await log.append(partition, [b"%d" % number for number in range(10)])
    reader = await log.open_reader(partition, 0)
    for expected in (0, 3, 6, 9):
        assert reader.position == expected
        records = await reader.read(3, wait_s=10)
        assert [r.offset for r in records] == list(range(expected, min(expected + 3, 10)))


async def test_reader_beyond_the_end_waits_for_its_record(log: Log, partition: Partition) -> None:
    await log.append(partition, [b"0"])
    reader = await log.open_reader(partition, 3)
    assert await reader.read(wait_s=0.3) == []
    waiting = asyncio.create_task(reader.read(wait_s=20))
    for value in (b"1", b"2", b"3"):
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await log.append(partition, [value])
    assert [(r.offset, r.value) for r in await waiting] == [(3, b"3")]
    assert reader.position == 4


async def test_waiting_ends_as_soon_as_there_is_a_record(body: Body, log: Log) -> None:
    partition = body.partition()
    await log.create([partition])
    other = await body.handle()
    for writer in (log, other):
        reader = await log.open_reader(partition, await log.end(partition))
        waiting = asyncio.create_task(reader.read(wait_s=30))
        await asyncio.sleep(0.3)
        started = asyncio.get_running_loop().time()
        await writer.append(partition, [b"here"])
        assert [record.value for record in await waiting] == [b"here"]
        assert asyncio.get_running_loop().time() - started < 5
        await reader.close()


async def test_waiting_ends_after_the_time_given(log: Log, partition: Partition) -> None:
    reader = await log.open_reader(partition, 0)
    started = asyncio.get_running_loop().time()
    assert await reader.read(wait_s=0.25) == []
    assert 0.24 <= asyncio.get_running_loop().time() - started < 5
    assert await reader.read(wait_s=0) == []


async def test_many_readers_wait_at_once(body: Body, log: Log) -> None:
    partitions = [body.partition("orders", number) for number in range(3)]
    await log.create(partitions)
    readers = [await log.open_reader(partition, 0) for partition in partitions for _ in range(2)]
    waiting = [asyncio.create_task(reader.read(wait_s=20)) for reader in readers]
    await asyncio.sleep(0.1)
    for number, partition in enumerate(partitions):
        await log.append(partition, [b"%d" % number])
    values = [[record.value for record in await task] for task in waiting]
    assert values == [[b"0"], [b"0"], [b"1"], [b"1"], [b"2"], [b"2"]]


async def test_unknown_partition_is_named(body: Body, log: Log, partition: Partition) -> None:
    for unknown in (body.partition("nobody"), body.partition("orders", 7)):
        for call in (
            log.append(unknown, [b"x"]),
            log.begin(unknown),
            log.end(unknown),
            log.open_reader(unknown, 0),
        ):
            with pytest.raises(UnknownPartitionError, match=f"{unknown.topic}/{unknown.number}"):
                await call
    # None of the questions has made it.
    with pytest.raises(UnknownPartitionError):
        await (await body.handle()).end(body.partition("nobody"))
    assert await log.append(partition, [b"x"]) == [0]


async def test_too_large_a_record_is_refused_with_its_whole_call(
    log: Log, partition: Partition
) -> None:
    large = bytes(RECORD_BYTES_MAX + 1)
    with pytest.raises(RecordTooLargeError, match=f"value 1 of 2 has {RECORD_BYTES_MAX + 1}"):
        await log.append(partition, [b"small", large])
    assert await log.end(partition) == 0
    assert await log.append(partition, [large[1:]]) == [0]
    assert len((await read_all(log, partition, 0, 1))[0].value) == RECORD_BYTES_MAX


async def test_create_is_idempotent_and_keeps_records(body: Body, log: Log) -> None:
    first, third = body.partition("orders", 0), body.partition("orders", 2)
    await log.create([first])
    await log.append(first, [b"kept"])
    other = await body.handle()
    await asyncio.gather(log.create([first, third]), other.create([third, first]))
    await log.create([first, third, first])
    assert await log.append(third, [b"a"]) == [0]
    assert await other.append(third, [b"b"]) == [1]
    assert [record.value for record in await read_all(other, first, 0, 1)] == [b"kept"]


async def test_begin_and_end(log: Log, partition: Partition) -> None:
    assert (await log.begin(partition), await log.end(partition)) == (0, 0)
    await log.append(partition, [b"a", b"b", b"c"])
    assert (await log.begin(partition), await log.end(partition)) == (0, 3)
    assert await log.append(partition, []) == []
    assert await log.end(partition) == 3


async def test_append_times_are_now_and_never_go_back(log: Log, partition: Partition) -> None:
    from exchange.clock import SystemClock

    before = SystemClock().now_ns()
    for number in range(20):
        await log.append(partition, [b"%d" % number] * 2)
    times = [record.append_ns for record in await read_all(log, partition, 0, 40)]
    assert times == sorted(times)
    millisecond = 1_000_000  # Kafka's resolution
    assert before - millisecond <= times[0] <= times[-1] <= SystemClock().now_ns()


async def test_slow_reader_holds_a_bounded_number_of_bytes(log: Log, partition: Partition) -> None:
    value = bytes(MIB)
    for _ in range(72):
        await log.append(partition, [value])
    reader = await log.open_reader(partition, 0)
    assert len(await reader.read(1, wait_s=10)) == 1
    before = resident_bytes()
    highest = before
    for offset in range(1, 72):
        (record,) = await reader.read(1, wait_s=10)
        assert (record.offset, len(record.value)) == (offset, MIB)
        if offset % 4 == 0:
            highest = max(highest, resident_bytes())
    assert highest - before < HELD_BYTES_MAX
    again = await log.open_reader(partition, 0)
    while again.position < 72:
        assert sum(len(r.value) for r in await again.read(wait_s=10)) <= READ_BYTES_MAX


async def test_two_handles_see_each_others_records(body: Body, log: Log) -> None:
    partition = body.partition()
    await log.create([partition])
    other = await body.handle()
    for number in range(6):
        writer, listener = (log, other) if number % 2 else (other, log)
        assert await writer.append(partition, [b"%d" % number]) == [number]
        assert await listener.end(partition) == number + 1
        (record,) = await read_all(listener, partition, number, number + 1)
        assert record.value == b"%d" % number


async def test_a_new_handle_finds_everything(body: Body, log: Log, partition: Partition) -> None:
    await log.append(partition, [b"a", b"b"])
    await log.close()
    again = await body.handle()
    assert await again.append(partition, [b"c"]) == [2]
    assert [r.value for r in await read_all(again, partition, 0, 3)] == [b"a", b"b", b"c"]


async def test_cancelled_read_loses_nothing(log: Log, partition: Partition) -> None:
    reader = await log.open_reader(partition, 0)
    for _ in range(5):
        waiting = asyncio.create_task(reader.read(wait_s=20))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await log.append(partition, [b"a", b"b"])
    values = []
    while len(values) < 2:
        values += [record.value for record in await reader.read(wait_s=10)]
    assert values == [b"a", b"b"]


async def test_cancelled_append_harms_no_other(log: Log, partition: Partition) -> None:
    calls = [asyncio.create_task(log.append(partition, [b"%d" % n])) for n in range(40)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    kept = [offsets[0] for offsets in done if isinstance(offsets, list)]
    assert len(kept) >= 20
    assert kept == sorted(kept)
    end = await log.end(partition)
    by_offset = {r.offset: r.value for r in await read_all(log, partition, 0, end)}
    assert all(
        by_offset[offsets[0]] == b"%d" % n
        for n, offsets in enumerate(done)
        if isinstance(offsets, list)
    )


async def test_closed_log_refuses(log: Log, partition: Partition) -> None:
    reader = await log.open_reader(partition, 0)
    await log.close()
    await log.close()
    for call in (log.append(partition, [b"x"]), log.end(partition), reader.read(wait_s=5)):
        with pytest.raises(LogUnavailableError):
            await call
    await reader.close()


async def test_closed_reader_refuses(log: Log, partition: Partition) -> None:
    reader = await log.open_reader(partition, 0)
    await reader.close()
    await reader.close()
    with pytest.raises(LogUnavailableError):
        await reader.read()


async def test_negative_offset_is_refused(log: Log, partition: Partition) -> None:
    with pytest.raises(LogError, match="-1"):
        await log.open_reader(partition, -1)
