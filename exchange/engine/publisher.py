"""Who speaks on `events`: the leader publishes, a standby compares, a silence changes the roles.

The one rule of take-over: *a record stands on `orders` and its output has not come to `events` for
`engine_silence_ms`*. Then a standby appends EPOCH_START; the first in the log wins, and every
engine learns it from the log. An idle market needs no leader, so ticks may be rare: a leader
appends a CLOCK_TICK each `engine_tick_ms`, whose output is its sign of life, and a standby that has
heard nothing for two of those appends a tick itself, as a question. A leader ticks under load, too:
calls end and indicative prices are told at ticks alone. The cost is one record a tick; a dead
leader under load is noticed within the silence limit all the same.

Publishing is harmless at any time: what an engine says is a function of the log, so two publishers
repeat each other and readers drop repeats. Epochs only keep that rare.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from exchange import topics
from exchange.clock import Clock
from exchange.engine.outbox import HistoryMismatchError, place_of, with_epoch
from exchange.engine.replica import Replica
from exchange.fault_points import reached
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogUnavailableError,
    Reader,
    Record,
)
from exchange.messages.frames import Command, build_commands, command
from exchange.reference.venue import Market
from exchange.settings import (
    ENGINE_PUBLISH_BYTES_MAX,
    ENGINE_PUBLISH_PARTS_MAX,
    ENGINE_RETRY_S_MAX,
    READ_RECORDS_MAX,
    Settings,
)

PROBE_TICKS = 2  # a standby asks after so many silent ticks
FOLLOW_WAIT_S_MAX = 0.05
RETRY_S = 0.05
LATE_TOLD_NS = 10_000_000_000  # a leader that speaks late says so no oftener

log = structlog.get_logger(__name__)


class Publisher:
    """Moves the outbox onto `events` while leading, follows `events` otherwise."""

    def __init__(
        self,
        log_: Log,
        market: Market,
        settings: Settings,
        clock: Clock,
        replica: Replica,
        *,
        stop: asyncio.Event,
        on_mark: Callable[[int], None],
    ) -> None:
        self.work = asyncio.Event()  # records were applied
        self.room = asyncio.Event()  # the outbox has shrunk
        self.is_caught_up = False  # the service has applied what `orders` held at its start
        self.is_applying = True
        self._log = log_
        self._say = log.bind(market=market.code)
        self._orders = topics.orders(market.partition)
        self._events = topics.events(market.partition)
        self._clock = clock
        self._replica = replica
        self._stop = stop
        self._on_mark = on_mark  # with the place on `events` that confirms it
        self._tick_ns = settings.engine_tick_ms * 1_000_000
        # Two standbys should not claim in the same instant; a run's own bits are jitter enough.
        self._silence_ns = settings.engine_silence_ms * (1_000_000 + replica.run_id % 250_000)
        self._follow_s = min(FOLLOW_WAIT_S_MAX, self._silence_ns / 8e9)
        self._heard_ns = clock.monotonic_ns()  # last new record seen on `events`
        self._listened_ns = self._heard_ns  # last time it was looked
        self._asked_ns: int | None = None  # last tick of our own
        self._claimed_ns = 0
        self._claim_offset = -1  # of our last EPOCH_START
        self._batch = 0
        self._reader: Reader | None = None
        self._retry_s = RETRY_S
        self._late_ns = -LATE_TOLD_NS  # when that was told last

    async def run(self) -> None:
        """Until told to stop and the outbox is empty or another engine's; raises what must stop."""
        replica = self._replica
        try:
            while not self._is_done():
                if replica.is_behind:
                    await wait(self.work, self._follow_s)
                elif replica.is_leading or (self._is_candidate() and replica.outbox.is_full):
                    if await self._follow_to_end():
                        await self._publish()
                else:
                    await self._follow(self._follow_s)
                    if not self._stop.is_set():
                        await self._claim_if_silent()
        finally:
            await self._close_reader()

    def _is_done(self) -> bool:
        is_silent = not self._replica.is_leading or not len(self._replica.outbox)
        return self._stop.is_set() and not self.is_applying and is_silent

    def _is_candidate(self) -> bool:
        """Whether our claim is on the log and not reached yet.

        A candidate whose outbox is full publishes early: behind a long backlog it could not reach
        its own claim otherwise.
        """
        return self._claim_offset >= self._replica.next_offset

    # -- following ------------------------------------------------------------------------------

    async def _follow(self, wait_s: float) -> None:
        """Reads what is new on `events`, at most once, and compares."""
        at = self._replica.events_offset
        try:
            if self._reader is None:
                self._reader = await self._log.open_reader(self._events, at)
            records = await self._reader.read(READ_RECORDS_MAX, wait_s)
        except LogUnavailableError as error:
            self._say.warning("events cannot be read", error=str(error))
            if self._stop.is_set():
                raise
            await self._pause(self._retry_s)
            self._retry_s = min(2 * self._retry_s, ENGINE_RETRY_S_MAX)
            return
        self._retry_s = RETRY_S
        for record in records:
            if not await self._compare(record):
                return
        if records:
            self._heard_ns = self._clock.monotonic_ns()
            self.room.set()

    async def _compare(self, record: Record) -> bool:
        """Waits until the record's input is applied and compares; False when told to stop."""
        replica = self._replica
        origin, _ = place_of(record.offset, record.value)
        while origin >= replica.next_offset and not len(replica.outbox):
            if not self.is_applying:
                return False
            if not await wait(self.work, self._follow_s):
                await self._check_orders_hold(origin, record.offset)
        part = replica.outbox.confirm(record.offset, record.value)
        if part is None:
            replica.events_offset = record.offset + 1
        else:
            self._note(replica.confirmed(part, record.offset))
        return True

    async def _check_orders_hold(self, origin: int, offset: int) -> None:
        try:
            end = await self._log.end(self._orders)
        except LogUnavailableError:
            return  # asked again while the record waits
        if origin >= end:
            raise HistoryMismatchError(
                f"events record {offset} answers input {origin}, but orders ends at {end}: "
                "the command log has lost records or is another one"
            )

    async def _follow_to_end(self) -> bool:
        """Reads `events` to its present end; then the first part of the outbox is not there.

        False when it cannot be known now. The reader is closed: who publishes needs none.
        """
        try:
            end = await self._log.end(self._events)
            while self._replica.events_offset < end:
                if not self.is_applying and not len(self._replica.outbox):
                    return False
                await self._follow(self._follow_s)
        except LogUnavailableError as error:
            self._say.warning("end of events unknown", error=str(error))
            if self._stop.is_set():
                raise
            await self._pause(RETRY_S)
            return False
        await self._close_reader()
        return True

    async def _close_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await reader.close()

    # -- taking over ----------------------------------------------------------------------------

    async def _claim_if_silent(self) -> None:
        replica, now = self._replica, self._clock.monotonic_ns()
        if now - self._listened_ns > self._silence_ns:
            self._heard_ns = now  # who did not listen cannot speak of silence
        self._listened_ns = now
        if not (self.is_caught_up or replica.outbox.is_full) or self._is_candidate():
            return
        oldest = replica.outbox.oldest_ns
        if replica.engine.leader == 0 and oldest is None:
            await self._claim()  # the first engine of a market: nobody to wait for
        elif oldest is None:
            silent_since = max(self._heard_ns, self._asked_ns or 0)
            if self._asked_ns is None or now - silent_since > PROBE_TICKS * self._tick_ns:
                await self._tick()
        elif (silent_ns := now - max(self._heard_ns, self._claimed_ns, oldest)) > self._silence_ns:
            try:
                end = await self._log.end(self._events)
            except LogUnavailableError:
                return  # the log is silent, not the leader
            if end == replica.events_offset:
                await self._claim(silent_ns)

    async def _claim(self, silent_ns: int = 0) -> None:
        replica = self._replica
        epoch = replica.engine.epoch + 1
        self._claimed_ns = self._clock.monotonic_ns()
        self._say.info(
            "engine claims the market",
            epoch=epoch,
            offset=replica.next_offset,
            run=replica.run_id,
            silent_ms=silent_ns // 1_000_000,
        )
        offset = await self._command(
            command(Command.EPOCH_START, quantity=epoch, order_id=replica.run_id)
        )
        if offset is not None:
            self._claim_offset = offset

    def _until_tick_s(self) -> float:
        """How long until the next tick of a leader is due, 0 when it is. O(1)."""
        since_ns = self._clock.monotonic_ns() - max(self._asked_ns or 0, self._claimed_ns)
        return max(self._tick_ns - since_ns, 0) / 1e9

    def _idle_s(self) -> float:
        """How long to wait for something to say. O(1)."""
        if self._stop.is_set():
            return self._follow_s
        return self._until_tick_s() if self._replica.is_leading else self._tick_ns / 1e9

    async def _tick_if_due(self) -> None:
        is_speaking = self._replica.is_leading and not self._stop.is_set()
        if is_speaking and not self._until_tick_s():
            await self._tick()

    async def _tick(self) -> None:
        self._asked_ns = self._clock.monotonic_ns()
        await self._command(command(Command.CLOCK_TICK))

    async def _command(self, record: bytes) -> int | None:
        """Appends one command of the engine's own; None if the log did not say that it did."""
        self._batch += 1
        frame = build_commands(
            [record],
            writer=self._replica.run_id,
            batch=self._batch,
            time_ns=self._clock.now_ns(),
        )
        try:
            return (await self._log.append(self._orders, [frame]))[0]
        except (LogUnavailableError, AppendUncertainError) as error:
            self._say.warning("orders cannot be written", error=str(error))
            await self._pause(RETRY_S)
            return None

    # -- publishing -----------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Appends the outbox, batch by batch, while this engine may; returns to look again."""
        replica, retry_s = self._replica, RETRY_S
        while (replica.is_leading or self._is_candidate()) and not self._is_done():
            parts = replica.outbox.first(ENGINE_PUBLISH_PARTS_MAX, ENGINE_PUBLISH_BYTES_MAX)
            if not parts:
                await wait(self.work, self._idle_s())
                if not len(replica.outbox):
                    await self._tick_if_due()
                continue
            values = [with_epoch(part.value, replica.engine.epoch) for part in parts]
            asked_ns = self._clock.monotonic_ns()
            reached("engine.append.before")
            try:
                offsets = await self._log.append(self._events, values)
                reached("engine.append.after")
            except AppendUncertainError as error:
                self._say.warning(
                    "append to events uncertain: reading what is there",
                    offset=parts[0].input_offset,
                    error=str(error),
                )
                if self._stop.is_set():
                    raise  # who starts next reads what is there
                return
            except LogUnavailableError as error:
                self._say.warning(
                    "events cannot be written", offset=parts[0].input_offset, error=str(error)
                )
                if self._stop.is_set():
                    raise
                await self._pause(retry_s)
                retry_s = min(2 * retry_s, ENGINE_RETRY_S_MAX)
                continue
            retry_s = RETRY_S
            if parts[0].computed_ns > self._claimed_ns:  # else another one was late
                self._tell_if_late(asked_ns - parts[0].computed_ns, asked_ns)
            first = replica.events_offset
            if offsets != list(range(first, first + len(offsets))):
                return  # another engine spoke in between: read what stands there
            for offset in offsets:
                self._note(replica.confirmed(replica.outbox.pop(), offset))
            self.room.set()
            await self._tick_if_due()

    def _tell_if_late(self, waited_ns: int, asked_ns: int) -> None:
        """Says which part was slow where a standby soon would have thought that nobody leads. O(1).

        `waited_ns` from the computing to the asking: our own; the rest: the log's.
        """
        now = self._clock.monotonic_ns()
        took_ns = now - asked_ns
        if waited_ns + took_ns < self._silence_ns // 2 or now - self._late_ns < LATE_TOLD_NS:
            return
        self._late_ns = now
        self._say.warning(
            "engine speaks late",
            offset=self._replica.next_offset,
            waited_ms=waited_ns // 1_000_000,
            append_ms=took_ns // 1_000_000,
        )

    def _note(self, is_mark_confirmed: bool) -> None:
        if is_mark_confirmed:
            self._on_mark(self._replica.events_offset)

    async def _pause(self, seconds: float) -> None:
        await wait(self._stop, seconds, is_kept=True)


async def wait(event: asyncio.Event, seconds: float, *, is_kept: bool = False) -> bool:
    """Whether the event came within `seconds`; it is cleared unless `is_kept`. O(1)."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    if not is_kept:
        event.clear()
    return True
