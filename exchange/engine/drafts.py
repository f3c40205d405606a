"""A snapshot written while trading goes on: a forked child describes the state as it was.

The parent forks between two records of `orders` and goes on at once; the system copies a page when
one of the two writes it. The child sorts, hashes and writes for as long as it takes. It renames
nothing until the parent has told it where on `events` the output of the last record applied
stands; if the parent dies before, the child leaves without a trace.

Fork and threads: only the thread that forks lives on in the child, and a lock that another one
held stays held. So the child touches nothing that another thread of an engine's process may hold:
no log, no loop, no logger, no connection. It closes what it inherited, without saying anything
there, asks the engine for its bytes, writes them with plain system calls and leaves by `os._exit`.
The memory allocator and the interpreter's own locks are made good by the C library and by CPython
at a fork.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import struct
import warnings
from typing import NamedTuple, NoReturn

from exchange.engine.snapshots import EngineSnapshot, SnapshotStore
from matching import EngineProtocol

NICENESS = 5  # the engine comes first where processors are few
FAILURE_BYTES_MAX = 1_000
_PLACE = struct.Struct("<q")


class Mark(NamedTuple):
    """A place in the log at which a state was taken."""

    next_offset: int  # of `orders`: the first record that is not in the state
    next_event: int
    chain: bytes  # of `events`, there


class Draft:
    """One child of this process, on its way to a snapshot file."""

    def __init__(self, mark: Mark, store: SnapshotStore, engine: EngineProtocol, writer: int):
        """Forks: the state is the engine's now. Call between two records; raises OSError.

        Takes the time in which the system copies the page table: some 2 ms for a million resting
        orders (`benchmarks.recovery`).
        """
        self.mark = mark
        self._go, self._outcome = os.pipe(), os.pipe()
        try:
            self._pid = _fork()
        except OSError:
            _close(*self._go, *self._outcome)
            raise
        if self._pid == 0:
            _describe(mark, store, engine, writer, self._go[0], self._outcome[1])
        _close(self._go[0], self._outcome[1])
        self._is_confirmed = False

    def confirm(self, events_offset: int) -> None:
        """`events` holds, before this place, all that led to the state: it may be kept. O(1)."""
        self._is_confirmed = True
        try:
            os.write(self._go[1], _PLACE.pack(events_offset))
        except BrokenPipeError:
            return  # it has failed; `ended` says how

    def drop(self) -> None:
        """Ends a draft that was not confirmed. O(1)."""
        if not self._is_confirmed:
            os.kill(self._pid, signal.SIGKILL)

    async def ended(self) -> str | None:
        """Waits for the child: None when the file stands, else what went wrong."""
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
                os.kill(self._pid, signal.SIGKILL)
            _close(self._go[1], self._outcome[0])
            _, status = os.waitpid(self._pid, 0)  # noqa: ASYNC222 - it has let go: it is over
        if status == 0:
            return None
        return said.decode(errors="replace") or f"its writer ended with status {status}"


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 and later warn of what the module's text answers.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _close(*files: int) -> None:
    for file in files:
        os.close(file)


def _describe(
    mark: Mark, store: SnapshotStore, engine: EngineProtocol, writer: int, go: int, outcome: int
) -> NoReturn:
    """The child's whole life."""
    status = 1
    try:
        gc.disable()  # it would only write pages that the two still share
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the parent knows when it is over
        _close_all_but(go, outcome)
        os.nice(NICENESS)
        state = engine.snapshot()
        place = os.read(go, _PLACE.size)
        if len(place) == _PLACE.size:
            (events_offset,) = _PLACE.unpack(place)
            snapshot = EngineSnapshot(
                mark.next_offset, mark.next_event, events_offset, mark.chain, state
            )
            store.save(snapshot, writer=writer)
            status = 0
        else:
            os.write(outcome, b"the engine ended before its output stood on events")
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
