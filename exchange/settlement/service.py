"""The settlement service of one market: follows `events`, books, then publishes `settlements`.

Exactly once: a batch's effect, its position in `events` and its outbox are one transaction, and the
follower accepts the next part only. What was booked but not published goes out at the next start.
Two processes at once are safe: the books' row lock lets one through, the other loads again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import structlog

from exchange import metrics, topics
from exchange.clock import Clock, SystemClock, random_id
from exchange.database import Database
from exchange.database.connection import REFUSALS, is_locked
from exchange.fault_points import reached
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogUnavailableError,
    Record,
    end_behind,
)
from exchange.messages.frames import (
    COUNT_MAX,
    ChainBrokenError,
    EventFollower,
    EventPart,
    build_commands,
)
from exchange.messages.settlement import InstructionPassed, SettlementRecord
from exchange.outbox import NumberedTopic, NumberedValue, OutboxGapError, pause
from exchange.reference.venue import Instrument, Market
from exchange.service import Drain, draining
from exchange.settings import (
    READ_RECORDS_MAX,
    READ_WAIT_MS,
    SETTLEMENT_BATCH_PARTS_MAX,
    SETTLEMENT_BATCH_TRADES_MAX,
)
from exchange.settlement.delivery import (
    DeliveryError,
    Settled,
    join_trades,
    net_changes,
    posting_columns,
    settle_part,
)
from exchange.settlement.due_dates import rules_of
from exchange.settlement.open_trades import OpenTrade, OpenTrades, SettlementBrokenError, Step
from exchange.settlement.store import (
    Batch,
    Position,
    PositionMovedError,
    SettlementStore,
    open_store,
)

RECORD_VERSION = 1
_LAG_EVERY_NS = 5_000_000_000
_encode = msgspec.msgpack.Encoder().encode
logger = structlog.get_logger(__name__)


class _Mark(NamedTuple):
    # How far `events` was accepted: the part of a position that the follower has.
    input_offset: int
    part: int
    next_event: int
    chain: bytes


class _Gathered:
    # Parts that are read and wait for others, to be booked in one transaction.
    def __init__(self) -> None:
        self.parts: list[tuple[EventPart, Settled]] = []
        self.trades = 0
        self.topic_offset = 0  # after the last one
        self.mark = _Mark(0, 0, 0, b"")

    @property
    def is_full(self) -> bool:
        too_many = len(self.parts) >= SETTLEMENT_BATCH_PARTS_MAX
        return too_many or self.trades >= SETTLEMENT_BATCH_TRADES_MAX

    def add(self, part: EventPart, settled: Settled, topic_offset: int, mark: _Mark) -> None:
        self.parts.append((part, settled))
        self.trades += len(settled.trades)
        self.topic_offset, self.mark = topic_offset, mark


class _Writing(NamedTuple):
    # A batch on its way into the books.
    batch: Batch
    instructions: int
    steps: list[Step]
    task: asyncio.Task[None]


class SettlementService:
    """Settles one market into `database`, whose schema must be up to date.

    `instruments` are the venue's: what is not among them is settled by the default rule.
    """

    def __init__(
        self,
        log: Log,
        market: Market,
        database: Database,
        *,
        instruments: tuple[Instrument, ...] = (),
        clock: Clock | None = None,
        store: SettlementStore | None = None,
    ) -> None:
        self.name = f"settlement-{market.code}"
        self._log = log
        self._market = market
        self._clock = clock or SystemClock()
        self._store = store or open_store(database, market.partition)
        self._topic = NumberedTopic(log, topics.settlements(market.partition))
        self._position = Position()
        self._open_trades = OpenTrades(rules_of(market, instruments), market.time_zone)
        self._steps: list[Step] = []  # not acknowledged by the log to this process
        self._writer, self._frames = random_id(), 0
        self._follower = EventFollower()
        self._writing: _Writing | None = None
        self._gathered = _Gathered()
        self._carry = b""
        self._ready = False
        self._lag_read_ns = 0
        self._logger = logger.bind(market=market.code)

    @property
    def is_ready(self) -> bool:
        """True once everything is settled that `events` held when the service started."""
        return self._ready

    @property
    def position(self) -> Position:
        """How far the books are."""
        return self._position

    async def run(self, stop: asyncio.Event) -> None:
        """Settles until `stop` is set; see `Service.run`.

        Raises ChainBrokenError, DeliveryError, SettlementBrokenError, OutboxGapError or the
        database's error.
        """
        try:
            async with draining(self._log, topics.events(self._market.partition), stop) as drain:
                while not drain.over.is_set():
                    await self._try_to_follow(drain)
        except (ChainBrokenError, DeliveryError, SettlementBrokenError) as error:
            metrics.STATE_HASH_MISMATCH.labels("settlement").inc()
            self._logger.error(
                "settlement stopped: events cannot be trusted",
                error=str(error),
                input_offset=self._position.input_offset,
                events_offset=self._position.topic_offset,
            )
            raise
        finally:
            await self.close()

    async def close(self) -> None:
        """Releases the store; idempotent."""
        await self._store.close()

    async def _try_to_follow(self, drain: Drain) -> None:
        """Follows until something is away or in the way, which is told and waited for."""
        try:
            await self._load_and_follow(drain)
        except PositionMovedError as error:
            self._logger.warning("another process settles this market", error=str(error))
        except LogUnavailableError as error:
            self._logger.warning("log unavailable, will retry", error=str(error))
            await pause(drain.over)
        except REFUSALS as error:
            if not is_locked(error):
                raise
            self._logger.warning("books are locked, will retry", error=str(error))
            await pause(drain.over)

    async def _load_and_follow(self, drain: Drain) -> None:
        stop = drain.over
        await self.load()
        self._topic.published = self._position.published
        await self._topic.look()
        await self._publish_left_over(stop)
        await self._send_steps(stop)
        events = topics.events(self._market.partition)
        target = await end_behind(self._log, events, self._position.topic_offset)
        reader = await self._log.open_reader(events, self._position.topic_offset)
        self._logger.info("settling", events_offset=reader.position, end=target)
        try:
            while not stop.is_set():
                if not self._ready and reader.position >= target:
                    await self.finish(stop)
                    self._ready = True
                # While something is written, what is there is read; else there is time to wait.
                wait_s = READ_WAIT_MS / 1000 if self._writing is None else 0
                records = await reader.read(READ_RECORDS_MAX, wait_s)
                if records:
                    await self.settle(records, stop, goes_on=True)
                    await self._show_lag(records[-1])
                else:
                    await self.finish(stop)
                    drain.reached(reader.position)
            await self.finish(stop)
        finally:
            await self._give_up()
            await reader.close()

    async def load(self) -> Position:
        """Takes up the position in the books, forgetting what was read past it."""
        self._position = position = await self._store.load()
        self._follower = EventFollower(
            position.input_offset, position.part, position.next_event, position.chain
        )
        self._gathered, self._carry = _Gathered(), position.carry
        self._steps = self._open_trades.load(await self._store.open_trades(position))
        return position

    async def settle(
        self,
        records: Sequence[Record],
        stop: asyncio.Event | None = None,
        *,
        goes_on: bool = False,
    ) -> int:
        """Books the records of `events` in batches; how many parts were new.

        With `stop` each batch is published after it is booked; without it (rebuilding) nothing is.
        While the database writes a batch the next one is made, with `goes_on` over calls too: what
        was read last is then booked with what is read next, or by `finish`. After an error: `load`
        again.
        """
        try:
            accepted = await self._settle(records, stop)
            if not goes_on:
                await self._book(stop)
                await self._written(stop)
            elif self._writing is None or self._writing.task.done():
                await self._book(stop)
        except BaseException:
            await self._give_up()
            raise
        return accepted

    async def finish(self, stop: asyncio.Event | None = None) -> None:
        """Books and publishes what `settle` left; errors as there."""
        try:
            await self._book(stop)
            await self._written(stop)
        except BaseException:
            await self._give_up()
            raise

    async def _settle(self, records: Sequence[Record], stop: asyncio.Event | None) -> int:
        accepted = 0
        for record in records:
            part = self._follower.accept(record.offset, record.value)
            if part is None:
                continue
            settled = settle_part(part, self._carry)
            if settled.steps or not self._open_trades.is_idle(part.time_ns):
                named = self._open_trades.named_by(settled.steps)
                if named:  # what they name is looked up in the books
                    await self._book(stop)
                settled = await self._follow(part, settled, named, stop)
            self._carry = settled.carry
            self._gathered.add(part, settled, record.offset + 1, _mark(self._follower))
            accepted += 1
            if self._writing is not None:
                await asyncio.sleep(0)  # what is written goes on
            if self._gathered.is_full:
                await self._book(stop)
        return accepted

    async def _follow(
        self, part: EventPart, settled: Settled, named: set[int], stop: asyncio.Event | None
    ) -> Settled:
        """Settles what is not settled with the fill."""
        past: dict[int, OpenTrade] = {}
        if named:
            await self._written(stop)
            past = await self._store.trades(named)
        return self._open_trades.follow(part.time_ns, settled, past)

    async def _book(self, stop: asyncio.Event | None) -> None:
        """Begins to write what is gathered, when the batch before is written."""
        gathered, self._gathered = self._gathered, _Gathered()
        parts = gathered.parts
        if not parts:
            return
        outbox = self._records(parts)
        last, settled = parts[-1]
        after = Position(
            gathered.topic_offset,
            *gathered.mark,
            settled.carry,
            self._position.number + len(outbox),
            max(self._position.published, self._topic.published),
            last.time_ns,
        )
        changes = self._open_trades.take()
        batch = _batch(self._position, after, parts, outbox)._replace(open_trades=changes)
        others = (item for _, settled in parts for _, item in settled.others)
        instructions = sum(isinstance(item, InstructionPassed) for item in others)
        await self._written(stop)
        self._position = after
        task = asyncio.create_task(self._store.write(batch))
        self._writing = _Writing(batch, instructions, changes.steps, task)

    async def _written(self, stop: asyncio.Event | None) -> None:
        """Waits until the batch before is booked, then publishes it."""
        if self._writing is None:
            return
        batch, instructions, steps, task = self._writing
        await task
        self._writing = None
        self._steps += steps
        metrics.SETTLEMENT_TRADES.labels(self._market.code).inc(len(batch.trades[0]))
        metrics.SETTLEMENT_INSTRUCTIONS.labels(self._market.code, "passed").inc(instructions)
        if stop is not None:
            await self._send_steps(stop)
            await self._topic.publish(batch.outbox, stop)

    async def _send_steps(self, stop: asyncio.Event) -> None:
        # One frame at a time, in order: a later `ref` must never arrive before an earlier one. The
        # engine knows each by its ref, so a repeat is harmless.
        while self._steps and not stop.is_set():
            run = self._steps[:COUNT_MAX]
            self._frames += 1
            frame = build_commands(
                [step.command for step in run],
                writer=self._writer,
                batch=self._frames,
                time_ns=self._clock.now_ns(),
            )
            try:
                await self._log.append(topics.orders(self._market.partition), [frame])
                reached("settlement.steps.after")
                self._steps = self._steps[len(run) :]
            except (LogUnavailableError, AppendUncertainError) as error:
                self._logger.warning("steps not acknowledged, sent again", error=str(error))
                await pause(stop)

    async def _give_up(self) -> None:
        """Lets what is being written end, well or not, and goes back to what is known."""
        self._gathered = _Gathered()
        if self._writing is None:
            return
        batch, task = self._writing.batch, self._writing.task
        self._writing = None
        self._position = batch.before
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _records(self, parts: list[tuple[EventPart, Settled]]) -> list[NumberedValue]:
        outbox: list[NumberedValue] = []
        for part, settled in parts:
            if settled.items:
                number = self._position.number + len(outbox)
                record = SettlementRecord(
                    RECORD_VERSION, number, part.input_offset, part.time_ns, settled.items
                )
                outbox.append((number, _encode(record)))
        return outbox

    async def _publish_left_over(self, stop: asyncio.Event) -> None:
        while self._topic.published < self._position.number and not stop.is_set():
            values = await self._store.outbox(self._topic.published, READ_RECORDS_MAX)
            if not values:
                values = [(self._position.number, b"")]  # a gap: publish says which
            try:
                await self._topic.publish(values, stop)
            except OutboxGapError:
                # Records leave the outbox only as the books go on, so this may be another's doing.
                if await self._store.load() != self._position:
                    raise PositionMovedError("published by another process meanwhile") from None
                raise

    async def outbox(self, number: int) -> list[NumberedValue]:
        """Booked records from `number` on that are not known to be published, a bounded run."""
        return await self._store.outbox(number, READ_RECORDS_MAX)

    def forget_outbox(self, number: int) -> None:
        """Lets the next booking drop records below `number` (rebuilding: nobody publishes)."""
        self._topic.published = number

    async def _show_lag(self, last: Record) -> None:
        now = self._clock.now_ns()
        if now - self._lag_read_ns < _LAG_EVERY_NS:
            return
        self._lag_read_ns = now
        for state, count in self._open_trades.counts(self._position.time_ns).items():
            metrics.SETTLEMENT_OPEN.labels(self._market.code, state).set(count)
        events = topics.events(self._market.partition)
        labels = (events.topic, self._market.code, "settlement")
        end = await self._log.end(events)
        metrics.LOG_LAG_RECORDS.labels(*labels).set(end - last.offset - 1)
        metrics.LOG_LAG_SECONDS.labels(*labels).set(max(0, now - last.append_ns) / 1_000_000_000)


def _mark(follower: EventFollower) -> _Mark:
    return _Mark(follower.input_offset, follower.part, follower.next_event, follower.chain)


def _batch(
    before: Position,
    after: Position,
    parts: list[tuple[EventPart, Settled]],
    outbox: list[NumberedValue],
) -> Batch:
    trades = join_trades([settled.trades for _, settled in parts])
    others = [posting for _, settled in parts for posting in settled.postings]
    places = np.cumsum([0, *(len(settled.trades) for _, settled in parts)])
    held = [settled.held + place for (_, settled), place in zip(parts, places[:-1], strict=True)]
    postings = posting_columns(trades, others, np.concatenate(held))
    times = np.repeat(
        np.array([part.time_ns for part, _ in parts], np.int64),
        [len(settled.trades) for _, settled in parts],
    )
    transfers: list[tuple[int, ...]] = [
        (*row, part.time_ns) for part, settled in parts for row in settled.transfers
    ]
    return Batch(
        before,
        after,
        (*trades, times),
        transfers,
        tuple(postings),
        others,
        net_changes(postings),
        outbox,
    )
