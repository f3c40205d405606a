"""The log in memory for tests: deterministic under a seed, with the faults a real one has.

`SimulatedDisk` is what survives; each `SimulatedLog` is one process's handle on it. A handle
that crashed is dead for ever; what was appended is still on the disk for the next handle.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


class Faults(NamedTuple):
    """How often what goes wrong, in basis points of all appends, and for how long."""

    refused: int = 0  # LogUnavailableError, nothing appended
    uncertain: int = 0  # AppendUncertainError; the seed decides whether it was appended
    delayed: int = 0  # readers see the records only after some turns of the loop
    delay_turns_max: int = 16


NO_FAULTS = Faults()


class SimulatedDisk:
    """The durable part: what every handle appended, with the faults drawn from one seed."""

    def __init__(self, clock: Clock, seed: int = 0, faults: Faults = NO_FAULTS) -> None:
        self.clock = clock
        self.faults = faults
        self._random = random.Random(seed)
        self._records: dict[Partition, list[Record]] = {}
        self._visible: dict[Partition, int] = {}
        self.changed = asyncio.Event()

    def draws(self, basis_points: int) -> bool:
        """True so often; nothing is drawn at 0, so that a fault left out changes no other."""
        return basis_points > 0 and self._random.randrange(10_000) < basis_points

    def delay_turns(self) -> int:
        """How many turns of the loop a delayed append stays invisible."""
        return self._random.randint(1, self.faults.delay_turns_max)

    def create(self, partition: Partition) -> None:
        """Makes a partition that does not exist yet."""
        self._records.setdefault(partition, [])
        self._visible.setdefault(partition, 0)

    def records(self, partition: Partition) -> list[Record]:
        """All records of a partition; UnknownPartitionError."""
        try:
            return self._records[partition]
        except KeyError:
            raise UnknownPartitionError(
                f"simulated log: {partition.topic}/{partition.number} was never created"
            ) from None

    def take(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        """Appends; the append times of a partition never go back."""
        records = self.records(partition)
        now_ns = max(self.clock.now_ns(), records[-1].append_ns if records else 0)
        first = len(records)
        records.extend(Record(first + i, now_ns, bytes(v)) for i, v in enumerate(values))
        return list(range(first, len(records)))

    def end_visible(self, partition: Partition) -> int:
        """How far readers see."""
        self.records(partition)
        return self._visible[partition]

    def show(self, partition: Partition, end: int) -> None:
        """Lets readers see up to `end` and wakes them."""
        if end > self._visible[partition]:
            self._visible[partition] = end
            self.wake()

    def wake(self) -> None:
        """Lets everybody who waits look again."""
        self.changed.set()
        self.changed = asyncio.Event()


class SimulatedLog:
    """`Log` over a `SimulatedDisk`: one process's handle."""

    def __init__(self, disk: SimulatedDisk) -> None:
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
        faults = self._disk.faults
        if self._disk.draws(faults.refused):
            raise LogUnavailableError(f"{where}: nothing was appended")
        is_uncertain = self._disk.draws(faults.uncertain)
        if is_uncertain and self._disk.draws(5_000):
            raise AppendUncertainError(f"{where}: the outcome is unknown")
        offsets = self._disk.take(partition, values)
        try:
            for _ in range(self._disk.delay_turns() if self._disk.draws(faults.delayed) else 1):
                await asyncio.sleep(0)
        finally:
            self._disk.show(partition, offsets[-1] + 1)
        if is_uncertain or not self._is_open:
            raise AppendUncertainError(f"{where}: the outcome is unknown")
        return offsets

    async def begin(self, partition: Partition) -> int:
        """Always 0."""
        self._check_open()
        self._disk.records(partition)
        return 0

    async def end(self, partition: Partition) -> int:
        """The offset the next append will have, as far as readers can see."""
        self._check_open()
        return self._disk.end_visible(partition)

    async def open_reader(self, partition: Partition, offset: int) -> Reader:
        """A reader whose first record is the one at `offset` (which may not exist yet)."""
        self._check_open()
        self._disk.records(partition)
        if offset < 0:
            raise LogError(f"{partition.topic}/{partition.number}: no offset {offset}")
        return SimulatedReader(self, self._disk, partition, offset)

    def _check_open(self) -> None:
        if not self._is_open:
            state = "has crashed" if self._has_crashed else "is not open"
            raise LogUnavailableError(f"simulated log: {state}")


class SimulatedReader:
    """Reads one partition of a `SimulatedDisk`."""

    def __init__(
        self, log: SimulatedLog, disk: SimulatedDisk, partition: Partition, offset: int
    ) -> None:
        self._log = log
        self._disk = disk
        self._partition = partition
        self._position = offset
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
            records = self._take(min(max(records_max, 1), READ_RECORDS_MAX))
            left_s = deadline - loop.time()
            if records or left_s <= 0:
                await asyncio.sleep(0)
                return records
            changed = self._disk.changed
            try:
                await asyncio.wait_for(changed.wait(), left_s)
            except TimeoutError:
                return []

    def _take(self, records_max: int) -> list[Record]:
        end = min(self._disk.end_visible(self._partition), self._position + records_max)
        records = self._disk.records(self._partition)[self._position : max(end, self._position)]
        size = 0
        for count, record in enumerate(records):
            size += len(record.value)
            if count and size > READ_BYTES_MAX:
                records = records[:count]
                break
        self._position += len(records)
        return records

    async def close(self) -> None:
        """Reading is refused from now on; idempotent."""
        self._is_closed = True
