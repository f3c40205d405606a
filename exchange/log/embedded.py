"""The log in one SQLite file: nothing to install, durable, shared by processes of one machine.

One thread writes with group commit: what is appended while a transaction is in flight is
committed together by the next. Another thread reads. Readers are woken by the commit, those of
other processes by their bells (`bells.py`); in case one was not heard, a task looks every
`LOG_POLL_S` while somebody waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from exchange.clock import Clock
from exchange.log.bells import Bells, heard
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
    Reader,
    Record,
    check_values,
)
from exchange.log.sqlite_file import Append, SqliteFile
from exchange.settings import (
    APPEND_BATCH_BYTES_MAX,
    APPEND_PENDING_BYTES_MAX,
    LOG_BUSY_TIMEOUT_S,
    LOG_POLL_S,
    READ_RECORDS_MAX,
)

Result = TypeVar("Result")


class _Pending(NamedTuple):
    append: Append
    size: int
    offsets: asyncio.Future[list[int]]


class EmbeddedLog:
    """`Log` over one SQLite file at `path`."""

    def __init__(
        self, path: Path, clock: Clock, *, busy_timeout_s: float = LOG_BUSY_TIMEOUT_S
    ) -> None:
        self._path = path
        self._write_file = SqliteFile(path, clock, busy_timeout_s)
        self._read_file = SqliteFile(path, clock, busy_timeout_s)
        self._writer: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._turn = asyncio.Lock()  # calls that wait for room keep their order
        self._room = asyncio.Event()
        self._pending: deque[_Pending] = deque()  # bounded by APPEND_PENDING_BYTES_MAX
        self._pending_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._polling: asyncio.Task[None] | None = None
        self._bells = Bells(path)
        self._hung: dict[Partition, int] = {}  # partition with a reader -> descriptor of its bell
        self._ends: dict[Partition, int] = {}  # ends seen so far of partitions with readers
        self._waiting: dict[asyncio.Future[None], tuple[Partition, int]] = {}

    async def start(self) -> None:
        """Opens the file, making it where missing; LogUnavailableError names the path."""
        if self._writer is not None:
            return
        self._writer = ThreadPoolExecutor(1, "log-writer")
        self._reader = ThreadPoolExecutor(1, "log-reader")
        try:
            await self._in_thread(self._writer, self._write_file.open)
            await self._in_thread(self._reader, self._read_file.open)
        except LogError:
            await self.close()
            raise

    async def close(self) -> None:
        """Commits what is pending and releases the file; idempotent."""
        writer, reader = self._writer, self._reader
        self._writer = None  # new calls are refused from here on
        if writer is None or reader is None:
            return
        if self._committing is not None:
            await asyncio.wait([self._committing])
        self._reader = None
        self._fail_waiting(self._closed())
        self._take_bells_down()
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
            self._polling = None
        await self._in_thread(reader, self._read_file.close)
        await self._in_thread(writer, self._write_file.close)
        reader.shutdown(wait=False)
        writer.shutdown(wait=False)

    async def create(self, partitions: Iterable[Partition]) -> None:
        """Makes the partitions that do not exist yet; idempotent."""
        wanted = list(partitions)
        await self._in_thread(self._writer, lambda: self._write_file.create(wanted))

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends durably, all values or none, and returns the offset of each."""
        size = check_values(partition, values)
        if not values:
            return []
        async with self._turn:
            while self._pending and self._pending_bytes + size > APPEND_PENDING_BYTES_MAX:
                self._room.clear()
                await self._room.wait()
            if self._writer is None:
                raise self._closed()
            offsets: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
            self._pending.append(_Pending(Append(partition, tuple(values)), size, offsets))
            self._pending_bytes += size
            if self._committing is None:
                self._committing = asyncio.create_task(self._commit(self._writer))
        return await offsets

    async def begin(self, partition: Partition) -> int:
        """The first offset still held: 0, for this log is never cut."""
        return (await self._bounds(partition))[0]

    async def end(self, partition: Partition) -> int:
        """The offset the next append will have."""
        return (await self._bounds(partition))[1]

    async def open_reader(self, partition: Partition, offset: int) -> Reader:
        """A reader whose first record is the one at `offset` (which may not exist yet)."""
        if offset < 0:
            raise LogError(f"{partition.topic}/{partition.number}: no offset {offset}")
        end = await self.end(partition)
        self._hang_bell(partition)
        self._saw(partition, end)
        return EmbeddedReader(self, partition, offset)

    async def read(self, partition: Partition, offset: int, records_max: int) -> list[Record]:
        """What lies at `offset` and after it now; [] at the end. `EmbeddedReader` waits."""
        return await self._in_thread(
            self._reader, lambda: self._read_file.read(partition, offset, records_max)
        )

    async def wait_for(self, partition: Partition, offset: int, wait_s: float) -> bool:
        """Waits until the record at `offset` is there; False when it did not come in time."""
        if self._reader is None:
            raise self._closed()
        if self._ends.get(partition, 0) > offset:
            return True
        if wait_s <= 0:
            return False
        there: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[there] = (partition, offset)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            await asyncio.wait([there], timeout=wait_s)
            if there.done():
                there.result()
            return there.done()
        finally:
            self._waiting.pop(there, None)
            there.cancel()

    async def _bounds(self, partition: Partition) -> tuple[int, int]:
        return await self._in_thread(self._reader, lambda: self._read_file.bounds(partition))

    async def _commit(self, writer: ThreadPoolExecutor) -> None:
        """Commits batch after batch until nothing is pending."""
        while self._pending:
            batch = self._take_batch()
            failure: LogError | None = None
            results: Sequence[list[int] | LogError] = []
            if batch:
                try:
                    appends = [pending.append for pending in batch]
                    results = await self._in_thread(writer, partial(self._write, appends))
                except LogError as error:
                    failure = error
                except Exception as error:
                    failure = AppendUncertainError(f"log {self._path}: {error!r}")
            self._room.set()
            for index, pending in enumerate(batch):
                self._answer(pending, failure or results[index])
        self._committing = None

    def _write(self, appends: Sequence[Append]) -> Sequence[list[int] | LogError]:
        """In the writer's thread: one transaction, then the other processes are told."""
        results = self._write_file.append(appends)
        ends = {
            append.partition: offsets[-1] + 1
            for append, offsets in zip(appends, results, strict=True)
            if not isinstance(offsets, LogError)
        }
        for partition, end in ends.items():
            self._bells.ring(partition, end)
        return results

    def _hang_bell(self, partition: Partition) -> None:
        if partition in self._hung or self._reader is None:
            return
        try:
            bell = self._bells.hang(partition)
        except OSError as error:
            raise LogUnavailableError(f"log {self._path}: no bell: {error}") from error
        self._hung[partition] = bell
        asyncio.get_running_loop().add_reader(bell, self._heard, partition, bell)

    def _heard(self, partition: Partition, bell: int) -> None:
        self._saw(partition, heard(bell))

    def _take_bells_down(self) -> None:
        for bell in self._hung.values():
            asyncio.get_running_loop().remove_reader(bell)
        self._hung.clear()
        self._bells.close()

    def _take_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        size = 0
        while self._pending and (
            not batch or size + self._pending[0].size < APPEND_BATCH_BYTES_MAX
        ):
            pending = self._pending.popleft()
            self._pending_bytes -= pending.size
            if not pending.offsets.cancelled():
                batch.append(pending)
                size += pending.size
        return batch

    def _answer(self, pending: _Pending, result: list[int] | LogError) -> None:
        if not isinstance(result, LogError):
            self._saw(pending.append.partition, result[-1] + 1)
        if pending.offsets.done():  # the caller was cancelled; the records are appended
            return
        if isinstance(result, LogError):
            # Each caller raises its own copy: a shared exception would gather tracebacks.
            pending.offsets.set_exception(type(result)(str(result)))
        else:
            pending.offsets.set_result(result)

    async def _poll(self) -> None:
        """Looks for other processes' appends while anybody waits."""
        while self._waiting and self._reader is not None:
            partitions = list({partition for partition, _ in self._waiting.values()})
            try:
                work = partial(self._read_file.changed_ends, partitions)
                ends = await self._in_thread(self._reader, work)
            except LogError as error:
                self._fail_waiting(error)
                continue
            for partition, end in ends.items():
                self._saw(partition, end)
            await asyncio.sleep(LOG_POLL_S)
        self._polling = None

    def _saw(self, partition: Partition, end: int) -> None:
        if end <= self._ends.get(partition, 0):
            return
        self._ends[partition] = end
        for there, (waits_on, offset) in self._waiting.items():
            if waits_on == partition and offset < end and not there.done():
                there.set_result(None)

    def _fail_waiting(self, error: LogError) -> None:
        for there in self._waiting:
            if not there.done():
                there.set_exception(type(error)(str(error)))
        self._waiting.clear()

    def _closed(self) -> LogUnavailableError:
        return LogUnavailableError(f"log {self._path}: is not open")

    async def _in_thread(
        self, thread: ThreadPoolExecutor | None, work: Callable[[], Result]
    ) -> Result:
        if thread is None:
            raise self._closed()
        return await asyncio.get_running_loop().run_in_executor(thread, work)


class EmbeddedReader:
    """Reads one partition; holds nothing between calls."""

    def __init__(self, log: EmbeddedLog, partition: Partition, offset: int) -> None:
        self._log = log
        self._partition = partition
        self._position = offset
        self._is_closed = False

    @property
    def position(self) -> int:
        """The offset which `read` gives next."""
        return self._position

    async def read(self, records_max: int = READ_RECORDS_MAX, wait_s: float = 1.0) -> list[Record]:
        """Up to `records_max` next records; [] if none came within `wait_s` seconds."""
        if self._is_closed:
            raise LogUnavailableError(f"reader of {self._partition}: is closed")
        if not await self._log.wait_for(self._partition, self._position, wait_s):
            return []
        records = await self._log.read(
            self._partition, self._position, min(max(records_max, 1), READ_RECORDS_MAX)
        )
        self._position += len(records)
        return records

    async def close(self) -> None:
        """Nothing is held; reading is refused from now on."""
        self._is_closed = True
