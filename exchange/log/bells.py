"""How the processes that share one embedded log wake each other: named pipes beside its file.

Who waits on a partition has a pipe `<file>.bells/<topic>.<number>/<process>.<count>`; who committed
writes the partition's new end into each pipe of its folder. A ring only hastens: one is lost where
a pipe is full, so a reader also looks at the file now and then. A pipe that nobody reads any more
is removed by whoever rings next.
"""

from __future__ import annotations

import errno
import itertools
import os
from contextlib import suppress
from pathlib import Path

from exchange.log.protocol import Partition

END_BYTES = 8
RINGS_READ_MAX = 512  # of one look into a pipe

_counts = itertools.count()


class Bells:
    """The pipes of one log, as one process sees them; methods do not block."""

    def __init__(self, path: Path) -> None:
        self._folder = path.with_name(f"{path.name}.bells")
        self._own: dict[Path, int] = {}  # pipe -> descriptor; bounded by the partitions

    def hang(self, partition: Partition) -> int:
        """The descriptor of a new pipe for the rings of a partition; OSError."""
        folder = self._of(partition)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}.{next(_counts)}"
        made, hung = folder / f".{name}", folder / name
        made.unlink(missing_ok=True)
        os.mkfifo(made)
        # Open for writing, too: else it would read as ended between two rings.
        descriptor = os.open(made, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        made.rename(hung)  # there is somebody who reads whatever has its name
        self._own[hung] = descriptor
        return descriptor

    def ring(self, partition: Partition, end: int) -> None:
        """Tells the other processes that wait on the partition where it ends now. O(they).

        Never fails: the record is on the disk, and is found by looking, too.
        """
        folder = self._of(partition)
        try:
            pipes = list(folder.iterdir())
        except OSError:
            return
        told = end.to_bytes(END_BYTES, "little")
        for pipe in pipes:
            if pipe not in self._own and not pipe.name.startswith("."):
                _ring(pipe, told)

    def close(self) -> None:
        """Takes the own pipes down; idempotent."""
        while self._own:
            path, descriptor = self._own.popitem()
            os.close(descriptor)
            path.unlink(missing_ok=True)

    def _of(self, partition: Partition) -> Path:
        return self._folder / f"{partition.topic}.{partition.number}"


def heard(descriptor: int) -> int:
    """The last end that was rung since the last look; 0: none."""
    with suppress(BlockingIOError):
        rung = os.read(descriptor, END_BYTES * RINGS_READ_MAX)
        return int.from_bytes(rung[-END_BYTES:], "little")
    return 0


def _ring(path: Path, told: bytes) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nobody reads it
            with suppress(OSError):
                path.unlink()
        return
    try:
        with suppress(OSError):
            os.write(pipe, told)
    finally:
        os.close(pipe)
