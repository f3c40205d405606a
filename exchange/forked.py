"""A forked child that writes what this process had in memory, while the process goes on.

The system copies a page when one of the two writes it, so the child has the state as it was at the
fork for as long as it takes.

Fork and threads: only the thread that forks lives on in the child, and a lock that another one
held stays held. So what the child does touches nothing that another thread of its process may hold:
no log, no loop, no logger, no connection. It closes what it inherited, without saying anything
there, makes its bytes, writes them with plain system calls and leaves by `os._exit`. The memory
allocator and the interpreter's own locks are made good by the C library and by CPython at a fork.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import warnings
from collections.abc import Callable
from typing import NoReturn

NICENESS = 5  # who answers comes first where processors are few
FAILURE_BYTES_MAX = 1_000


class Child:
    """One child of this process, on its way through one piece of work."""

    def __init__(self, work: Callable[[], None], *kept: int) -> None:
        """Forks; of the open files the child keeps the `kept`. Raises OSError.

        Takes the time in which the system copies the page table: some 2 ms for a million resting
        orders (`benchmarks.recovery`).
        """
        self._outcome = os.pipe()
        try:
            self.pid = _fork()
        except OSError:
            close_files(*self._outcome)
            raise
        if self.pid == 0:
            _live(work, self._outcome[1], kept)
        os.close(self._outcome[1])

    def kill(self) -> None:
        """Ends it as it is. O(1)."""
        os.kill(self.pid, signal.SIGKILL)

    async def ended(self) -> str | None:
        """Waits for the child: None when the work is done, else what went wrong."""
        loop, said, is_over = asyncio.get_running_loop(), bytearray(), asyncio.Event()

        def hear() -> None:
            piece = os.read(self._outcome[0], FAILURE_BYTES_MAX)
            said.extend(piece)
            if not piece:
                loop.remove_reader(self._outcome[0])
                is_over.set()

        loop.add_reader(self._outcome[0], hear)
        try:
            await is_over.wait()
        finally:
            loop.remove_reader(self._outcome[0])
            if not is_over.is_set():
                self.kill()
            os.close(self._outcome[0])
            status = _status(self.pid)
        if status == 0 or (status is None and not said):
            return None
        return said.decode(errors="replace") or f"its writer ended with status {status}"


def _status(pid: int) -> int | None:
    """How a child ended that has let go; None where the system keeps no account of children."""
    try:
        return os.waitpid(pid, 0)[1]
    except ChildProcessError:  # SIGCHLD is ignored: inherited from who started this process
        return None


def close_files(*files: int) -> None:
    """Closes file descriptors."""
    for file in files:
        os.close(file)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of what the module's text answers.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _live(work: Callable[[], None], outcome: int, kept: tuple[int, ...]) -> NoReturn:
    """The child's whole life."""
    status = 1
    try:
        gc.disable()  # it would only write pages that the two still share
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the parent knows when it is over
        _close_all_but(outcome, *kept)
        os.nice(NICENESS)
        work()
        status = 0
    except BaseException as error:
        os.write(outcome, repr(error).encode()[:FAILURE_BYTES_MAX])
    finally:
        os._exit(status)


def _close_all_but(*kept: int) -> None:
    """Closes sockets and files of the parent, which has them still."""
    first = 3  # behind input, output and errors
    for file in sorted(kept):
        os.closerange(first, file)
        first = file + 1
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(first, soft)
