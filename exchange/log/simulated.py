"""The log in memory for tests: deterministic under a seed, with the faults a real one has.

`SimulatedDisk` is what survives; each `SimulatedLog` is one process's handle on it. A handle
that crashed is dead for ever; what was appended is still on the disk for the next handle. A handle
may be cut off for a while, both ways or only from the answers.
"""

from __future__ import annotations

import asyncio
import random
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from exchange.clock import Clock
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
    Reader,
    Record,
    UnknownPartitionError,
    check_values,
)
from exchange.settings import READ_BYTES_MAX, READ_RECORDS_MAX

CUT_TIMEOUT_S = 2.0  # then who waits for a log that cannot be reached is told
BASIS = 10_000

Cut = Literal["", "both", "answers"]


class Faults(NamedTuple):
    """How often what goes wrong, in basis points of all appends or reads, and for how long."""

    refused: int = 0  # LogUnavailableError, nothing appended
    uncertain: int = 0  # AppendUncertainError; the seed decides whether it was appended
    delayed: int = 0  # readers see the records only after some turns of the loop
    delay_turns_max: int = 16
    repeated: int = 0  # a producer's retry is taken twice, the second time behind others
    short: int = 0  # a read gives one record though there are more
    latency_ms_max: int = 0  # an append is up to so long on its way there, and back


NO_FAULTS = Faults()


class _Held:
    """One partition: its records from `begin` on, and how far readers see."""

    __slots__ = ("begin", "records", "visible", "waiting")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.visible = 0
        self.begin = 0  # records below were deleted; they stay in `records`
        self.waiting: list[_Wait] = []


class _Wait:
    """A reader waits until its partition changes, or its time is over."""

    __slots__ = ("future", "is_over")

    def __init__(self, future: asyncio.Future[None]) -> None:
        self.future = future
        self.is_over = False

    def end(self) -> None:
        """Its time is over, whatever else has come at this moment."""
        self.is_over = True
        self.wake()

    def wake(self) -> None:
        """Lets the reader go on; idempotent."""
        if not self.future.done():
            self.future.set_result(None)


class SimulatedDisk:
    """The durable part: what every handle appended, with the faults drawn from one seed."""

    def __init__(self, clock: Clock, seed: int | str = 0, faults: Faults = NO_FAULTS) -> None:
        self.clock = clock
        self.faults = faults
        self.is_away = False  # no handle reaches it
        self.happened: Counter[str] = Counter()  # faults that came true, by name
        self._random = random.Random(seed)
        self._held: dict[Partition, _Held] = {}

    def draws(self, basis_points: int, name: str = "") -> bool:
        """True so often; nothing is drawn at 0, so that a fault left out changes no other."""
        if basis_points <= 0 or self._random.randrange(BASIS) >= basis_points:
            return False
        if name:
            self.happened[name] += 1
        return True

    def delay_turns(self) -> int:
        """How many turns of the loop a delayed append stays invisible."""
        return self._random.randint(1, self.faults.delay_turns_max)

    def latency_s(self) -> float:
        """How long one way takes now."""
        most = self.faults.latency_ms_max
        return self._random.randrange(most * 1_000) / 1e6 if most else 0.0

    def create(self, partition: Partition) -> None:
        """Makes a partition that does not exist yet."""
        self._held.setdefault(partition, _Held())

    def held(self, partition: Partition) -> _Held:
        """A partition; UnknownPartitionError."""
        try:
            return self._held[partition]
        except KeyError:
            raise UnknownPartitionError(
                f"simulated log: {partition.topic}/{partition.number} was never created"
            ) from None

    def partitions(self) -> list[Partition]:
        """Every partition, in the order in which they were made."""
        return list(self._held)

    def records(self, partition: Partition) -> list[Record]:
        """All records ever taken and not truncated; UnknownPartitionError."""
        return self.held(partition).records

    def take(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends; the append times of a partition never go back."""
        records = self.records(partition)
        now_ns = max(self.clock.now_ns(), records[-1].append_ns if records else 0)
        first = len(records)
        records.extend(Record(first + i, now_ns, bytes(v)) for i, v in enumerate(values))
        return list(range(first, len(records)))

    def end_visible(self, partition: Partition) -> int:
        """How far readers see."""
        return self.held(partition).visible

    def show(self, partition: Partition, end: int) -> None:
        """Lets readers see up to `end` and wakes them."""
        held = self.held(partition)
        end = min(end, len(held.records))
        if end > held.visible:
            held.visible = end
            wake(held)

    def truncate(self, partition: Partition, end: int) -> int:
        """Loses the records from `end` on, as an unclean election does; how many."""
        held = self.held(partition)
        lost = len(held.records) - end
        del held.records[end:]
        held.visible = min(held.visible, end)
        wake(held)
        return lost

    def delete_before(self, partition: Partition, begin: int) -> None:
        """Deletes the records below `begin`, as retention does."""
        held = self.held(partition)
        held.begin = max(held.begin, min(begin, held.visible))
        wake(held)

    def restore(self, partition: Partition) -> None:
        """Brings back what `delete_before` took, as from a mirror."""
        self.held(partition).begin = 0

    def wake(self) -> None:
        """Lets everybody who waits look again."""
        for held in self._held.values():
            wake(held)


def wake(held: _Held) -> None:
    """Lets everybody who waits for a partition look again."""
    waiting, held.waiting = held.waiting, []
    for wait in waiting:
        wait.wake()


@types.coroutine
def _turn() -> Iterator[None]:
    """Lets others go first, as `asyncio.sleep(0)` does."""
    yield


class SimulatedLog:
    """`Log` over a `SimulatedDisk`: one process's handle."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.cut: Cut = ""
        self._disk = disk
        self._is_open = False
        self._has_crashed = False

    async def start(self) -> None:
        """Opens the handle; a crashed one stays dead."""
        if self._has_crashed:
            raise LogUnavailableError("simulated log: this handle has crashed, make a new one")
        self._is_open = True

    async def close(self) -> None:
        """Closes the handle; idempotent."""
        self._is_open = False
        self._disk.wake()

    def crash(self) -> None:
        """The process dies: every call, also one that waits now, raises from here on."""
        self._has_crashed = True
        self._is_open = False
        self._disk.wake()

    async def create(self, partitions: Iterable[Partition]) -> None:
        """Makes the partitions that do not exist yet; idempotent."""
        self._check_open()
        for partition in partitions:
            self._disk.create(partition)

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends, or fails as the seed says."""
        self._check_open()
        check_values(partition, values)
        self._disk.records(partition)
        if not values:
            return []
        where = f"simulated log: {partition.topic}/{partition.number}"
        disk, faults = self._disk, self._disk.faults
        if disk.draws(faults.refused, "append_refused"):
            raise LogUnavailableError(f"{where}: nothing was appended")
        await self._reach(where)
        is_uncertain = disk.draws(faults.uncertain, "append_uncertain")
        if is_uncertain and disk.draws(BASIS // 2, "append_lost"):
            raise AppendUncertainError(f"{where}: the outcome is unknown")
        if faults.latency_ms_max:
            await asyncio.sleep(disk.latency_s())
            if self._has_crashed:
                raise LogUnavailableError(f"{where}: the process is dead")
        offsets = disk.take(partition, values)
        if disk.draws(faults.repeated, "append_repeated"):
            loop = asyncio.get_running_loop()
            loop.call_later(disk.latency_s(), _again, disk, partition, list(values))
        try:
            for _ in range(
                disk.delay_turns() if disk.draws(faults.delayed, "append_delayed") else 1
            ):
                await _turn()
        finally:
            disk.show(partition, offsets[-1] + 1)
        if faults.latency_ms_max:
            await asyncio.sleep(disk.latency_s())
        if self.cut:
            disk.happened["acknowledgement_cut"] += 1
            await asyncio.sleep(CUT_TIMEOUT_S)
            is_uncertain = True
        if is_uncertain or not self._is_open:
            raise AppendUncertainError(f"{where}: the outcome is unknown")
        return offsets

    async def begin(self, partition: Partition) -> int:
        """The first offset still held."""
        self._check_open()
        return self._disk.held(partition).begin

    async def end(self, partition: Partition) -> int:
        """The offset the next append will have, as far as readers can see."""
        self._check_open()
        self._disk.records(partition)
        await self._reach(f"simulated log: {partition.topic}/{partition.number}", is_answer=True)
        return self._disk.end_visible(partition)

    async def open_reader(self, partition: Partition, offset: int) -> Reader:
        """A reader whose first record is the one at `offset` (which may not exist yet)."""
        self._check_open()
        self._disk.records(partition)
        if offset < 0:
            raise LogError(f"{partition.topic}/{partition.number}: no offset {offset}")
        return SimulatedReader(self, self._disk, partition, offset)

    def is_cut(self, *, is_answer: bool) -> bool:
        """Whether a request does not get there, or its answer does not come back."""
        return self._disk.is_away or self.cut == "both" or (is_answer and self.cut == "answers")

    async def _reach(self, where: str, *, is_answer: bool = False) -> None:
        if self.is_cut(is_answer=is_answer):
            self._disk.happened["log_not_reached"] += 1
            await asyncio.sleep(CUT_TIMEOUT_S)
            self._check_open()
            raise LogUnavailableError(f"{where}: not reached within {CUT_TIMEOUT_S:.0f} s")

    def _check_open(self) -> None:
        if not self._is_open:
            state = "has crashed" if self._has_crashed else "is not open"
            raise LogUnavailableError(f"simulated log: {state}")


def _again(disk: SimulatedDisk, partition: Partition, values: list[bytes]) -> None:
    disk.show(partition, disk.take(partition, values)[-1] + 1)


class SimulatedReader:
    """Reads one partition of a `SimulatedDisk`."""

    def __init__(
        self, log: SimulatedLog, disk: SimulatedDisk, partition: Partition, offset: int
    ) -> None:
        self._log = log
        self._disk = disk
        self._held = disk.held(partition)
        self._partition = partition
        self._position = offset
        self._has_read = False
        self._is_closed = False

    @property
    def position(self) -> int:
        """The offset which `read` gives next."""
        return self._position

    async def read(self, records_max: int = READ_RECORDS_MAX, wait_s: float = 1.0) -> list[Record]:
        """Up to `records_max` next records; [] if none came within `wait_s` seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while True:
            self._log._check_open()
            if self._is_closed:
                raise LogUnavailableError(f"reader of {self._partition}: is closed")
            if self._log.is_cut(is_answer=True):
                await asyncio.sleep(wait_s)
                raise LogUnavailableError(f"reader of {self._partition}: the log is not reached")
            records = self._take(min(max(records_max, 1), READ_RECORDS_MAX))
            left_s = deadline - loop.time()
            if records or left_s <= 0:
                await _turn()
                return records
            if not await self._changes(loop, left_s):
                return []

    async def _changes(self, loop: asyncio.AbstractEventLoop, within_s: float) -> bool:
        """Waits until something is new, if that is soon enough. O(readers that wait) if not."""
        wait = _Wait(loop.create_future())
        timer = loop.call_at(loop.time() + within_s, wait.end)
        waiting = self._held.waiting
        waiting.append(wait)
        try:
            await wait.future
        except asyncio.CancelledError:
            wait.is_over = True
            raise
        finally:
            timer.cancel()
            if wait.is_over and self._held.waiting is waiting:
                waiting.remove(wait)
        return not wait.is_over

    def _take(self, records_max: int) -> list[Record]:
        held, position = self._held, self._position
        if position < held.begin:
            raise LogError(
                f"{self._where()}: the log begins at {held.begin} now, records {position} to "
                f"{held.begin - 1} are gone"
            )
        if position >= held.visible:
            if position > held.visible and self._has_read:
                raise LogError(
                    f"{self._where()}: the log ends at {held.visible}, but record {position - 1} "
                    "was read: acknowledged records are lost"
                )
            return []
        records = held.records[position : min(held.visible, position + records_max)]
        if len(records) > 1:
            if self._disk.draws(self._disk.faults.short, "read_short"):
                records = records[:1]
            size = 0
            for count, record in enumerate(records):
                size += len(record.value)
                if count and size > READ_BYTES_MAX:
                    records = records[:count]
                    break
        self._position = position + len(records)
        self._has_read = True
        return records

    def _where(self) -> str:
        return f"{self._partition.topic}/{self._partition.number}"

    async def close(self) -> None:
        """Reading is refused from now on; idempotent."""
        self._is_closed = True
