"""Kafka and PostgreSQL whose disk is full, whose disk cannot sync, whose clock jumps.

Both are real. What was promised stands there afterwards, once and in order; what could not be
written was never promised; and once the fault is over nothing of ours has to be told.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from asyncpg import InterfaceError, PostgresError
from sqlalchemy.exc import SQLAlchemyError

from deploy.local.fault_tools import clock_in, unsynced_while
from deploy.local.kafka import KafkaServer, build_class_archive
from deploy.local.postgres import PostgresServer
from exchange import topics
from exchange.database import open_database, table_hash, upgrade
from exchange.database.schema import SETTLEMENT_TABLES
from exchange.log.kafka import KafkaLog
from exchange.log.protocol import LogError, Partition, Record
from exchange.settings import APPEND_TIMEOUT_S
from exchange.settlement.queries import prove_ledger
from matching import Engine
from tests.exchange.conftest import Flow, MemoryLog
from tests.exchange.settlement.test_settlement_service import drain, fill
from tests.faults.length import LONG
from tests.faults.namespaces import Disk
from tests.fixtures_postgres import new_sqlite

KINDS = ("full", "unsynced") if LONG else ("full",)
ORDERS, EVENTS = topics.orders(0), topics.events(0)
KAFKA_MIB, POSTGRES_MIB = 96, 160
HOUR_NS = 3_600_000_000_000
WAIT_S = 60.0
FRAMES = 300


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "aiokafka")


class Fault:
    """A disk that is filled, or one that stops to sync."""

    def __init__(self, kind: str, disk: Disk, folder: Path) -> None:
        self._disk, self._is_full, self._file = disk, kind == "full", folder / "unsynced"
        self.environment = {} if self._is_full else unsynced_while(self._file, folder)

    def begin(self) -> None:
        if self._is_full:
            self._disk.fill()
        else:
            self._file.touch()

    def end(self) -> None:
        if self._is_full:
            self._disk.free()
        else:
            self._file.unlink()


@contextmanager
def faulty(kind: str, mib: int) -> Iterator[tuple[Path, Fault]]:
    """A folder for a server's files on a small disk, which any user may reach, and its fault."""
    with tempfile.TemporaryDirectory(prefix="faulty-", dir="/var/tmp") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with Disk(folder / "disk", mib) as disk:
            yield disk.folder / "server", Fault(kind, disk, folder)


# -- Kafka --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_broker_that_cannot_write_promises_nothing_it_does_not_have(kind: str) -> None:
    """It ends by itself; started again with room it has all that was acknowledged, once."""
    build_class_archive()
    flush = {"log.flush.interval.messages": "1"}
    with faulty(kind, KAFKA_MIB) as (data, fault):
        server = KafkaServer(data, fast_start=True, settings=flush, environment=fault.environment)
        try:
            await asyncio.to_thread(server.start)
            log = KafkaLog(server.bootstrap)
            await log.start()
            await log.create([ORDERS])
            writer = Writer(log)
            writing = asyncio.create_task(writer.run())
            async with asyncio.timeout(WAIT_S):
                await writer.has_written()
                fault.begin()
                await asyncio.to_thread(server.wait)
                fault.end()
                await asyncio.to_thread(server.start)
                await writer.has_written()
                writer.stop.set()
                await writing
                found = await read_all(log, ORDERS)
            await log.close()
        finally:
            server.kill()
    assert [offset for offset, _ in found] == list(range(len(found)))
    assert writer.acknowledged.items() <= dict(found).items()
    values = [value for _, value in found]
    assert len(set(values)) == len(values)


class Writer:
    """Writes one value after the other, each once, and keeps what was acknowledged."""

    def __init__(self, log: KafkaLog) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.stop = asyncio.Event()
        self._log = log

    async def run(self) -> None:
        number = 0
        while not self.stop.is_set():
            number += 1
            value = b"%d " % number * 4_000
            async with asyncio.timeout(APPEND_TIMEOUT_S + 5):  # it is told within a bounded time
                try:
                    (offset,) = await self._log.append(ORDERS, [value])
                except LogError:
                    await asyncio.sleep(0.2)
                else:
                    self.acknowledged[offset] = value
            await asyncio.sleep(0.01)

    async def has_written(self) -> None:
        """Waits until one more is acknowledged."""
        before = len(self.acknowledged)
        while len(self.acknowledged) == before:
            await asyncio.sleep(0.02)


async def read_all(log: KafkaLog, partition: Partition) -> list[tuple[int, bytes]]:
    end = await log.end(partition)
    reader = await log.open_reader(partition, 0)
    found: list[tuple[int, bytes]] = []
    while reader.position < end:
        found += [(record.offset, record.value) for record in await reader.read(wait_s=0.5)]
    await reader.close()
    return found


if LONG:  # a broker whose every look at the clock is watched starts in a minute

    async def test_a_brokers_clock_that_jumps_changes_no_order(tmp_path: Path) -> None:
        """An hour ahead and an hour back: the engine's time is the highest that a record had."""
        build_class_archive()
        file = tmp_path / "clock"
        file.write_text("+0")
        server = KafkaServer(tmp_path / "kafka", fast_start=True, environment=clock_in(file))
        log = None
        try:
            await asyncio.to_thread(server.start, timeout=300)
            log = KafkaLog(server.bootstrap)
            await log.start()
            async with asyncio.timeout(WAIT_S):
                while not await is_made(log):  # a broker as slow as this one is fenced for a while
                    await asyncio.sleep(1)
            flow, sent = Flow(8), []
            reader = await log.open_reader(ORDERS, 0)
            records: list[Record] = []
            for hours in (0, 1, -1):
                file.write_text(f"{hours * 3600:+d}")
                then = len(sent) + 5
                async with asyncio.timeout(WAIT_S):  # until it has looked
                    while len(sent) < then or not is_about(records[-1], hours):
                        sent.append(flow.random_frame())
                        await log.append(ORDERS, [sent[-1]])
                        while len(records) < len(sent):
                            records += await reader.read(wait_s=0.5)
            await reader.close()
        finally:
            if log is not None:  # else its tasks would look for the broker for ever
                await log.close()
            server.kill()
        assert [record.value for record in records] == sent
        stamps, times, engine = [record.append_ns for record in records], [], Engine()
        for record in records:
            engine.apply(record.offset, record.append_ns, record.value)
            times.append(engine.time_ns)
        jumps = [after - before for before, after in pairwise(stamps)]
        assert max(jumps) > 0.9 * HOUR_NS
        assert min(jumps) < -1.9 * HOUR_NS
        assert times == sorted(times)
        assert times[-1] == max(stamps)

    async def is_made(log: KafkaLog) -> bool:
        try:
            await log.create([ORDERS])
        except LogError:
            return False
        return True

    def is_about(record: Record, hours: int) -> bool:
        """Whether a broker took it by a clock that is so many hours ahead."""
        return abs(record.append_ns - time.time_ns() - hours * HOUR_NS) < HOUR_NS / 2


# -- PostgreSQL ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_books_that_cannot_be_written_stop_and_go_on_from_where_they_are(
    tmp_path: Path, kind: str
) -> None:
    """Nothing is booked in half, and afterwards the books are those of a sound disk."""
    whole, undisturbed = MemoryLog(), await new_sqlite(tmp_path / "books.sqlite")
    await whole.create(topics.of_market(0))
    await fill(whole, Flow(9), FRAMES)
    told = [row.value for row in whole.rows[EVENTS]]
    await drain(whole, undisturbed)
    expected = await table_hash(undisturbed, 0, SETTLEMENT_TABLES)
    await undisturbed.close()
    log = MemoryLog()
    await log.create(topics.of_market(0))
    small = {"min_wal_size": "32MB", "max_wal_size": "48MB"}
    with faulty(kind, POSTGRES_MIB) as (data, fault):
        server = PostgresServer(data, settings=small, environment=fault.environment)
        try:
            await asyncio.to_thread(server.start)
            dsn = server.create_database("books")
            books = open_database(dsn)
            await upgrade(books)
            log.take(EVENTS, told[: FRAMES // 10])
            await drain(log, books)
            await books.close()
            fault.begin()
            log.take(EVENTS, told[FRAMES // 10 :])
            books = open_database(dsn)
            with pytest.raises((PostgresError, InterfaceError, SQLAlchemyError, OSError)):
                await drain(log, books)
            await books.close()
            await asyncio.to_thread(server.kill)
            fault.end()
            await asyncio.to_thread(server.start)
            books = open_database(dsn)
            assert all(proof.is_ok for proof in await prove_ledger(books, 0))
            await drain(log, books)
            found = await table_hash(books, 0, SETTLEMENT_TABLES)
            await books.close()
        finally:
            server.remove()
    assert found == expected
