"""From requests to frames on `orders`: one bounded queue and one append in flight for each market.

A frame takes what gathered while the last one was on its way to the log, at most GATEWAY_BATCH_MAX
commands, and frames start at least `batch_interval_us` apart, which gives the CPU back on small
machines. The queue holds GATEWAY_QUEUE_MAX commands, of which GATEWAY_CANCEL_RESERVE are for
cancels and operators only; past that a request is told VENUE_BUSY and when to come again. So it is
while the market's engine says nothing: what the log takes then would be decided nobody knows when.
Where the market's records cannot be trusted nothing but cancels and operators' acts is taken.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

import structlog

from exchange import metrics, topics
from exchange.clock import Clock
from exchange.fault_points import reached
from exchange.log.protocol import AppendUncertainError, Log, LogError
from exchange.messages.frames import aged_command, build_commands, order_id_of
from exchange.messages.reasons import EdgeReason, Reason
from exchange.reference.venue import Market
from exchange.settings import GATEWAY_BATCH_MAX, GATEWAY_CANCEL_RESERVE, GATEWAY_QUEUE_MAX
from gateway.refusal import Refused

MS = 1_000_000
BUSY_RETRY_MS = 100


class Ticket:
    """One request on its way: `done` is called once, with `position` or `refused` set."""

    __slots__ = ("arrived_ns", "commands", "done", "is_cancel", "position", "refused", "valid_ms")

    def __init__(
        self,
        commands: Sequence[bytes],
        done: Callable[[Ticket], None],
        *,
        is_cancel: bool = False,
        valid_ms: int = 0,
    ) -> None:
        self.commands = commands  # they stay together in one frame
        self.done = done
        self.is_cancel = is_cancel
        self.valid_ms = valid_ms  # may wait here at most so long; 0 = no limit
        self.arrived_ns = 0  # monotonic
        self.position = -1  # order id of the first command: its place in the log
        self.refused: Refused | None = None


_Done = Callable[[Ticket], None]


def awaited(heard: _Done = lambda _: None) -> tuple[asyncio.Future[int], _Done]:
    """A future of the position, and the `done` of the ticket that it waits for; Refused comes out.

    `heard` is told of a ticket that the log has, whether anybody still waits or not.
    """
    written: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def done(ticket: Ticket) -> None:
        if ticket.refused is None:
            heard(ticket)
        if written.done():
            return
        if ticket.refused is not None:
            written.set_exception(ticket.refused)
        else:
            written.set_result(ticket.position)

    return written, done


class Submitter:
    """The writer of one market's `orders` in this gateway."""

    def __init__(
        self,
        log: Log,
        market: Market,
        clock: Clock,
        *,
        writer: int,
        batch_interval_us: int,
        obstacle: Callable[[], Refused | None] = lambda: None,
        wrote: Callable[[int, bytes], None] = lambda _offset, _frame: None,
    ) -> None:
        """`obstacle` is why nothing but cancels can be taken now; None while all can.

        `wrote` is told of each frame that the log has, and where.
        """
        self.market = market
        self._obstacle = obstacle
        self._wrote = wrote
        self._log = log
        self._partition = topics.orders(market.partition)
        self._clock = clock
        self._writer = writer
        self._interval_ns = batch_interval_us * 1_000
        self._queue: deque[Ticket] = deque()  # bounded by _waiting
        self._waiting = 0  # commands in the queue
        self._batch = 0
        self._wake = asyncio.Event()
        self._logger = structlog.get_logger().bind(market=market.code)

    def submit(self, ticket: Ticket) -> None:
        """Takes a request into the queue; Refused when it is full, or by an obstacle. O(1)."""
        if not ticket.is_cancel and (refused := self._obstacle()) is not None:
            raise refused
        count = len(ticket.commands)
        room = GATEWAY_QUEUE_MAX - (0 if ticket.is_cancel else GATEWAY_CANCEL_RESERVE)
        if self._waiting + count > room:
            raise Refused(
                EdgeReason.VENUE_BUSY,
                f"{self._waiting} commands wait for the log of {self.market.code}",
                retry_after_ms=BUSY_RETRY_MS,
            )
        ticket.arrived_ns = self._clock.monotonic_ns()
        self._queue.append(ticket)
        self._waiting += count
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Writes frames until `stop`, then those still in the queue."""
        stopped = asyncio.create_task(stop.wait())
        stopped.add_done_callback(lambda _: self._wake.set())
        try:
            while True:
                await self._wake.wait()
                if not self._queue:
                    if stop.is_set():
                        return
                    self._wake.clear()
                    continue
                started = self._clock.monotonic_ns()
                await self._write(self._take())
                rest = self._interval_ns - (self._clock.monotonic_ns() - started)
                if rest > 0 and not stop.is_set():
                    await asyncio.sleep(rest / 1e9)
        finally:
            stopped.cancel()

    def _take(self) -> list[Ticket]:
        """The next frame's requests; those that waited longer than they allow are answered."""
        taken: list[Ticket] = []
        count = 0
        now = self._clock.monotonic_ns()
        while self._queue and count + len(self._queue[0].commands) <= GATEWAY_BATCH_MAX:
            ticket = self._queue.popleft()
            self._waiting -= len(ticket.commands)
            if ticket.valid_ms and now - ticket.arrived_ns > ticket.valid_ms * MS:
                self._finish(ticket, refused=Refused(Reason.EXPIRED, "it waited for the log"))
                continue
            taken.append(ticket)
            count += len(ticket.commands)
        metrics.GATEWAY_CAPACITY_USED.labels("orders").set(self._waiting / GATEWAY_QUEUE_MAX)
        return taken

    async def _write(self, tickets: list[Ticket]) -> None:
        if not tickets:
            return
        now = self._clock.monotonic_ns()
        commands: list[bytes] = []
        for ticket in tickets:
            age_ns = now - ticket.arrived_ns
            if ticket.valid_ms and age_ns >= MS:
                commands += [aged_command(command, age_ns) for command in ticket.commands]
            else:
                commands += ticket.commands
        frame = build_commands(
            commands, writer=self._writer, batch=self._batch, time_ns=self._clock.now_ns()
        )
        self._batch += 1
        refused: Refused | None = None
        offset = -1
        reached("gateway.append.before")
        try:
            (offset,) = await self._log.append(self._partition, [frame])
            reached("gateway.append.after")
            self._wrote(offset, frame)
        except AppendUncertainError as error:
            self._logger.warning("append_uncertain", commands=len(commands), error=str(error))
            refused = Refused(EdgeReason.STATUS_UNKNOWN)
        except LogError as error:
            self._logger.warning("append_failed", commands=len(commands), error=str(error))
            refused = Refused(
                EdgeReason.VENUE_BUSY, "the log takes nothing now", retry_after_ms=BUSY_RETRY_MS
            )
        index = 0
        for ticket in tickets:
            if refused is None:
                self._finish(ticket, position=order_id_of(offset, index))
            else:
                self._finish(ticket, refused=refused)
            index += len(ticket.commands)

    def _finish(
        self, ticket: Ticket, *, position: int = -1, refused: Refused | None = None
    ) -> None:
        ticket.position, ticket.refused = position, refused
        try:
            ticket.done(ticket)
        except Exception:
            # one broken connection must not stop the market's writer
            self._logger.exception("answer_failed", position=position)
