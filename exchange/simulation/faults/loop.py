"""An event loop without a machine: virtual time, a seeded order, processes that stop and die.

Time moves only when nothing is left to do, so a day costs what its callbacks cost. Whatever is
ready at one moment runs in an order drawn from the seed; what was called off is no part of it, nor
of what is drawn. A callback belongs to the process in whose context it was made: that of a paused
process waits, that of a dead one has no effect, because log, books and links refuse it. Work for
threads is done inline, at a later moment, also drawn.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import random
import sqlite3
from asyncio import format_helpers
from collections.abc import Callable, Coroutine
from typing import Any

from exchange.clock import Clock

CALLBACK_S = 0.000_001  # what one callback takes, so that no clock stands still
WORK_S_MAX = 0.004  # when a thread gets to its work
LOCKED_S = 0.002  # before work is tried again that found the books locked
CALLBACKS_MAX = 400_000  # within a second of virtual time: then something spins
_TIMERS_MIN = 64
_START_S = 1_000.0


class StandstillError(Exception):
    """Nothing is left that could ever run, or something runs for ever at one moment."""


class Process:
    """What dies, stops and goes on together: the tasks of one process of the venue."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.is_paused = False
        self.withheld: list[asyncio.Handle] = []
        self.tasks: dict[int, asyncio.Task[Any]] = {}

    def __repr__(self) -> str:
        return f"Process({self.name!r})"


PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is its number: sets of tasks have one order in every run."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _Future(asyncio.Future[Any]):
    """A future whose place in a set is its number."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class _Handle(asyncio.Handle):
    """A callback that waits; `asyncio`'s without what only its debug mode needs."""

    _callback: Any
    _args: Any
    _cancelled: bool
    __slots__ = ()

    def __init__(
        self, callback: Any, args: Any, loop: Any, context: contextvars.Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None

    def cancel(self) -> None:
        """Calls it off; idempotent."""
        self._cancelled = True
        self._callback = self._args = None


class _Timer(asyncio.TimerHandle):
    """A callback and its moment; the heap holds it with its moment and its number.

    So numbers compare, and what is due at one moment comes in the order in which it was made,
    whatever else the heap holds or has held.
    """

    _callback: Any
    _args: Any
    _cancelled: bool
    __slots__ = ()

    def __init__(
        self, when: float, callback: Any, args: Any, loop: Any, context: contextvars.Context | None
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        self._when = when
        self._scheduled = True

    def cancel(self) -> None:
        """Calls it off; idempotent."""
        if not self._cancelled:
            if self._scheduled:
                self._loop._timer_cancelled_count += 1
            self._cancelled = True
            self._callback = self._args = None


class _Selector:
    """What `BaseEventLoop` closes and never asks."""

    def close(self) -> None:
        """Nothing is open."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """One thread, one seed. O(log timers) a callback."""

    is_simulated = True

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.callbacks = 0
        self.until: Callable[[], bool] | None = None
        self._rng = rng
        self._getrandbits = rng.getrandbits
        self._time = _START_S
        self._number = self._timers = 0
        self._spun_at = (0, _START_S)
        self._selector = _Selector()
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """Virtual seconds."""
        return self._time

    @property
    def elapsed_s(self) -> float:
        """Virtual seconds since the beginning. O(1)."""
        return self._time - _START_S

    def create_future(self) -> asyncio.Future[Any]:
        """A future with a number."""
        future = _Future(loop=self)
        self._number = future.number = self._number + 1
        return future

    def next_number(self) -> int:
        """Numbers of tasks and futures, in the order in which they are made. O(1)."""
        self._number += 1
        return self._number

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Calls it at this moment, in an order drawn from the seed."""
        inside: Any = self
        if inside._closed:
            inside._check_closed()
        handle = _Handle(callback, args, self, context)
        inside._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls it at a moment of virtual time."""
        inside: Any = self
        if inside._closed:
            inside._check_closed()
        timer = _Timer(when, callback, args, self, context)
        self._timers = number = self._timers + 1
        heapq.heappush(inside._scheduled, (when, number, timer))
        return timer

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Calls it after some virtual seconds."""
        return self.call_at(self._time + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Does the work of a thread inline, up to WORK_S_MAX later."""
        future = self.create_future()
        self.call_later(
            self._rng.random() * WORK_S_MAX, self._work, future, PROCESS.get(), func, args
        )
        return future

    def _work(
        self,
        future: asyncio.Future[Any],
        process: Process | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        if process is not None and not process.is_alive:
            future.cancel()
            return
        if future.cancelled() and self._rng.random() < 0.5:
            return  # it was called off before a thread took it
        try:
            result = func(*args)
        except sqlite3.OperationalError as error:
            if "locked" in str(error):  # a thread would wait for the other writer
                self.call_later(LOCKED_S, self._work, future, process, func, args)
            elif not future.done():
                future.set_exception(error)
        except BaseException as error:
            if not future.done():
                future.set_exception(error)
            elif not isinstance(error, Exception):
                raise
        else:
            if not future.done():
                future.set_result(result)

    def spawn(self, process: Process, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task of a process; whatever it starts belongs to the process too."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(work, name=process.name, context=context)

    def kill(self, process: Process) -> None:
        """Ends a process in the middle of what it does. O(tasks)."""
        process.is_alive = False
        self.go_on(process)
        for task in list(process.tasks.values()):
            task.cancel()

    def go_on(self, process: Process) -> None:
        """Ends a pause; idempotent."""
        process.is_paused = False
        withheld, process.withheld = process.withheld, []
        inside: Any = self
        inside._ready.extend(withheld)

    # -- what BaseEventLoop asks for ------------------------------------------------------------

    def _run_once(self) -> None:
        inside: Any = self
        timers, ready = inside._scheduled, inside._ready
        if timers and (timers[0][2]._cancelled or len(timers) > _TIMERS_MIN):
            self._forget_cancelled(timers)
        handles = [handle for handle in ready if not handle._cancelled]
        ready.clear()
        if timers:
            if not handles and not inside._stopping:
                self._time = max(self._time, timers[0][0])
            while timers and timers[0][0] <= self._time:
                timer = heapq.heappop(timers)[2]
                timer._scheduled = False
                if timer._cancelled:
                    inside._timer_cancelled_count -= 1
                else:
                    handles.append(timer)
        if not handles and not inside._stopping:
            raise StandstillError("every task waits for what cannot come")
        if len(handles) > 1:
            self._shuffle(handles)
        for handle in handles:
            if handle._cancelled:  # by one that ran before it
                continue
            context = handle._context
            process = context.get(PROCESS)
            if process is not None and process.is_paused:
                process.withheld.append(handle)
                continue
            self._time += CALLBACK_S
            self.callbacks += 1
            try:
                context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self._failed(handle, error)
        count, since = self._spun_at
        if self._time - since > 1:
            self._spun_at = self.callbacks, self._time
        elif self.callbacks - count > CALLBACKS_MAX:
            raise StandstillError(f"{CALLBACKS_MAX} callbacks within a second")

    def _shuffle(self, handles: list[Any]) -> None:
        """As `random.shuffle` does, without a call for each place. O(handles)."""
        draw = self._getrandbits
        for last in range(len(handles) - 1, 0, -1):
            bits = (last + 1).bit_length()
            place = draw(bits)
            while place > last:
                place = draw(bits)
            handles[last], handles[place] = handles[place], handles[last]

    def _failed(self, handle: Any, error: BaseException) -> None:
        """Tells what a callback raised, in the words of `asyncio`."""
        source = format_helpers._format_callback_source(handle._callback, handle._args)
        message = f"Exception in callback {source}"
        self.call_exception_handler({"message": message, "exception": error, "handle": handle})

    def _forget_cancelled(self, timers: list[tuple[float, int, Any]]) -> None:
        inside: Any = self
        if len(timers) > _TIMERS_MIN and inside._timer_cancelled_count * 2 > len(timers):
            left = []
            for entry in timers:
                if entry[2]._cancelled:
                    entry[2]._scheduled = False
                else:
                    left.append(entry)
            heapq.heapify(left)
            timers[:] = left
            inside._timer_cancelled_count = 0
        while timers and timers[0][2]._cancelled:
            inside._timer_cancelled_count -= 1
            heapq.heappop(timers)[2]._scheduled = False

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


def _make_task(
    loop: asyncio.AbstractEventLoop, coro: Any, context: contextvars.Context | None = None
) -> _Task:
    assert isinstance(loop, SimulatedLoop)  # noqa: S101 - it is this loop's factory
    number = loop.next_number()
    process = (context or contextvars.copy_context()).get(PROCESS)
    _Task.number = number  # the constructor already puts the task into a set
    task = _Task(coro, loop=loop, context=context)
    task.number = number
    if process is not None:
        process.tasks[number] = task
        task.add_done_callback(lambda _: process.tasks.pop(number, None))
    return task


class World:
    """The wall clock that all processes share, apart from their own errors."""

    def __init__(self, loop: SimulatedLoop, epoch_ns: int) -> None:
        self.loop = loop
        self.epoch_ns = epoch_ns  # moved on by a night


class SimulatedClock(Clock):
    """The clocks of one process: `offset_ns` is how wrong its wall clock is."""

    def __init__(self, world: World, offset_ns: int = 0) -> None:
        self._world = world
        self.offset_ns = offset_ns

    def now_ns(self) -> int:
        """Wall clock, ns UTC."""
        world = self._world
        return world.epoch_ns + int((world.loop._time - _START_S) * 1e9) + self.offset_ns

    def monotonic_ns(self) -> int:
        """Virtual time; it never goes back."""
        return int(self._world.loop._time * 1e9)
