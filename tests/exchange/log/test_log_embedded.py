"""The embedded log: kill -9, several processes, a full disk, a held lock, a wrong file."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from exchange.clock import SystemClock
from exchange.log import sqlite_file
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import (
    LogError,
    LogUnavailableError,
    Partition,
    UnknownPartitionError,
)
from exchange.settings import APPEND_PENDING_BYTES_MAX
from tests.exchange.log.test_log_conformance import read_all

ORDERS = Partition("orders")


class SetClock:
    """Says what it is told."""

    def __init__(self, now_ns: int) -> None:
        self.now = now_ns

    def now_ns(self) -> int:
        return self.now

    def monotonic_ns(self) -> int:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[EmbeddedLog]:
    made = EmbeddedLog(path, SystemClock())
    await made.start()
    await made.create([ORDERS])
    yield made
    await made.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_kill_9_loses_nothing_acknowledged(
    path: Path, start_appender: Callable[..., Any], seed: int
) -> None:
    acknowledged: dict[int, bytes] = {}
    for run in range(2):
        appender = await start_appender(f"embedded:{path}", ORDERS, f"run{run}")
        await appender.has_acknowledged(50)
        await asyncio.sleep(random.Random(seed * 10 + run).uniform(0, 0.4))
        await appender.kill()
        assert appender.failures == []
        assert not acknowledged.keys() & appender.acknowledged.keys()
        acknowledged |= appender.acknowledged
    log = EmbeddedLog(path, SystemClock())
    await log.start()
    end = await log.end(ORDERS)
    found = {record.offset: record.value for record in await read_all(log, ORDERS, 0, end)}
    await log.close()
    assert list(found) == list(range(end))
    assert {offset: found[offset] for offset in acknowledged} == acknowledged


async def test_processes_share_one_order(
    log: EmbeddedLog, path: Path, start_appender: Callable[..., Any]
) -> None:
    appenders = [await start_appender(f"embedded:{path}", ORDERS, name) for name in "abc"]
    reader = await log.open_reader(ORDERS, 0)
    seen = {}
    async with asyncio.timeout(60):
        while any(len(appender.acknowledged) < 300 for appender in appenders):
            seen |= {r.offset: r.value for r in await reader.read(wait_s=5)}
            await log.append(ORDERS, [b"here"])
    for appender in appenders:
        await appender.kill()
        assert appender.failures == []
    while records := await reader.read(wait_s=0.2):
        seen |= {record.offset: record.value for record in records}
    assert list(seen) == list(range(await log.end(ORDERS)))
    for appender in appenders:
        assert {o: seen[o] for o in appender.acknowledged} == appender.acknowledged


async def test_appends_in_flight_share_transactions(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    commit = log._write_file.append

    def counted(appends: Any) -> Any:
        sizes.append(len(appends))
        return commit(appends)

    monkeypatch.setattr(log._write_file, "append", counted)
    await asyncio.gather(*(log.append(ORDERS, [b"x"]) for _ in range(400)))
    assert sum(sizes) == 400
    assert len(sizes) < 20


async def test_unknown_partition_fails_alone_in_its_transaction(log: EmbeddedLog) -> None:
    wanted = [ORDERS, Partition("nobody"), ORDERS]
    calls = [asyncio.create_task(log.append(partition, [b"x"])) for partition in wanted]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert (done[0], done[2]) == ([0], [1])
    assert isinstance(done[1], UnknownPartitionError)


async def test_callers_wait_when_too_much_is_pending(log: EmbeddedLog) -> None:
    value = bytes(1 << 20)
    highest = 0
    calls = [asyncio.create_task(log.append(ORDERS, [value])) for _ in range(48)]
    while not all(call.done() for call in calls):
        highest = max(highest, log._pending_bytes)
        await asyncio.sleep(0)
    assert 0 < highest <= APPEND_PENDING_BYTES_MAX
    assert [call.result() for call in calls] == [[offset] for offset in range(48)]


async def test_append_times_do_not_follow_a_clock_back(path: Path) -> None:
    clock = SetClock(5_000)
    log = EmbeddedLog(path, clock)
    await log.start()
    await log.create([ORDERS])
    for now_ns in (5_000, 3_000, 6_000):
        clock.now = now_ns
        await log.append(ORDERS, [b"x"])
    records = await read_all(log, ORDERS, 0, 3)
    await log.close()
    assert [record.append_ns for record in records] == [5_000, 5_000, 6_000]


async def test_held_lock_is_unavailable_and_passes(path: Path, log: EmbeddedLog) -> None:
    impatient = EmbeddedLog(path, SystemClock(), busy_timeout_s=0.2)
    await impatient.start()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogUnavailableError, match=f"{path}.*another process holds"):
        await impatient.append(ORDERS, [b"x"])
    with pytest.raises(LogUnavailableError, match="another process holds"):
        await impatient.create([Partition("more")])
    holder.execute("ROLLBACK")
    holder.close()
    assert await impatient.append(ORDERS, [b"y"]) == [0]
    await impatient.close()


async def test_wrong_files_are_refused_by_name(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no database at all, but long enough to look at " * 9)
    other = tmp_path / "other.sqlite"
    database = sqlite3.connect(other)
    database.execute("CREATE TABLE money (amount)")
    database.close()
    for path, why in (
        (text, "no log file"),
        (other, "is no log of this version"),
        (text / "log.sqlite", "Not a directory|File exists"),
        (tmp_path, "cannot be opened"),
    ):
        log = EmbeddedLog(path, SystemClock())
        with pytest.raises(LogUnavailableError, match=f"{path}.*({why})"):
            await log.start()
        await log.close()
    assert text.read_text().startswith("no database")


async def test_lost_record_stops_the_reader(log: EmbeddedLog, path: Path) -> None:
    await log.append(ORDERS, [b"0", b"1", b"2", b"3"])
    thief = sqlite3.connect(path)
    thief.execute("DELETE FROM record WHERE value = ?", (b"2",))
    thief.commit()
    thief.close()
    reader = await log.open_reader(ORDERS, 0)
    assert len(await reader.read(2)) == 2
    with pytest.raises(LogError, match=r"orders/0: offset 2 .* missing"):
        await reader.read()
    assert reader.position == 2


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from exchange.clock import SystemClock
from exchange.log import sqlite_file
from exchange.log.embedded import EmbeddedLog
from exchange.log.protocol import LogError, Partition

async def main(path, limit):
    log = EmbeddedLog(Path(path), SystemClock())
    await log.start()
    await log.create([Partition("orders")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    while True:
        try:
            await log.append(Partition("orders"), [bytes(50_000)])
            print("appended", flush=True)
        except LogError as error:
            print("failed", type(error).__name__, error, flush=True)
            break
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("again", await log.append(Partition("orders"), [b"room again"]), flush=True)
    await log.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_file_that_cannot_grow_fails_loudly_and_keeps_the_rest(path: Path) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", FULL_DISK, str(path), "1000000"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    said = (await process.communicate())[0].decode().splitlines()
    assert process.returncode == 0
    appended = said.count("appended")
    assert appended > 5
    assert str(path) in said[-2]
    assert said[-2].split()[:2] in (
        ["failed", "LogUnavailableError"],
        ["failed", "AppendUncertainError"],
    )
    again = int(said[-1].removeprefix("again [").rstrip("]"))
    log = EmbeddedLog(path, SystemClock())
    await log.start()
    records = await read_all(log, ORDERS, 0, again + 1)
    await log.close()
    assert appended <= again <= appended + 1
    assert [len(record.value) for record in records] == [50_000] * again + [len(b"room again")]


async def test_full_database_is_unavailable(log: EmbeddedLog, path: Path) -> None:
    await log.append(ORDERS, [b"before"])
    connection = log._write_file._open_connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LogUnavailableError, match=f"{path}.*disk is full: free space"):
        await log.append(ORDERS, [bytes(100_000)])
    connection.execute("PRAGMA max_page_count = 1073741823")
    assert await log.append(ORDERS, [b"after"]) == [1]


async def test_a_held_lock_is_tried_again_soon_however_long_it_was_held(
    path: Path, log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite itself would look ever more seldom, and find it held by the other's next commit."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 100:
            other.execute("ROLLBACK")

    monkeypatch.setattr(sqlite_file.time, "sleep", wait)
    assert await log.append(ORDERS, [b"after it"]) == [0]
    assert waits == [sqlite_file.LOCK_RETRY_S] * 100
    other.close()


@pytest.fixture
async def other(
    path: Path, log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EmbeddedLog]:
    """The same file, as another process sees it; nobody looks at the file for a minute."""
    monkeypatch.setattr("exchange.log.embedded.LOG_POLL_S", 60.0)
    made = EmbeddedLog(path, SystemClock())
    await made.start()
    yield made
    monkeypatch.undo()
    await made.close()


async def test_other_processes_are_told_of_a_commit(log: EmbeddedLog, other: EmbeddedLog) -> None:
    await log.create([Partition("events")])
    readers = [await other.open_reader(Partition(topic), 0) for topic in ("orders", "events")]
    for number in range(3):
        reading = [asyncio.create_task(reader.read(wait_s=30)) for reader in readers]
        await asyncio.sleep(0.05)  # the look at the file is over
        await log.append(ORDERS, [b"%d" % number, b"and"])
        await log.append(Partition("events"), [b"%d" % number])
        orders, events = await asyncio.wait_for(asyncio.gather(*reading), 10)
        assert [record.value for record in orders] == [b"%d" % number, b"and"]
        assert [record.value for record in events] == [b"%d" % number]


async def test_bells_that_nobody_hears_hold_nobody_up(
    path: Path, log: EmbeddedLog, other: EmbeddedLog
) -> None:
    folder = path.with_name("log.sqlite.bells") / "orders.0"
    await other.open_reader(ORDERS, 0)
    (bell,) = folder.iterdir()
    os.mkfifo(folder / "99999999.0")  # of a process that was killed
    with os.fdopen(os.open(bell, os.O_WRONLY | os.O_NONBLOCK), "wb", buffering=0) as pipe:
        while pipe.write(bytes(4096)):  # as if its process were stopped for long
            pass
    assert await log.append(ORDERS, [b"x"]) == [0]
    assert list(folder.iterdir()) == [bell]
    await other.close()
    assert list(folder.iterdir()) == []
    assert await log.append(ORDERS, [b"y"]) == [1]


async def test_a_ring_that_is_lost_delays_only(path: Path, log: EmbeddedLog) -> None:
    other = EmbeddedLog(path, SystemClock())
    await other.start()
    reader = await other.open_reader(ORDERS, 0)
    for bell in (path.with_name("log.sqlite.bells") / "orders.0").iterdir():
        bell.unlink()
    reading = asyncio.create_task(reader.read(wait_s=30))
    await log.append(ORDERS, [b"x"])
    assert [record.value for record in await asyncio.wait_for(reading, 20)] == [b"x"]
    await other.close()
