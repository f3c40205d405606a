"""Topics that are a pure function of `events`: what every service has which writes one.

A restart reads `events` from the first record, or from where a stand was kept (`exchange.stands`),
keeps to itself what lies at or before the last record of its topic, and goes on after it. Two
services at once repeat each other; readers drop repeats by number.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import structlog

from exchange import metrics, topics
from exchange.clock import Clock
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogError,
    LogUnavailableError,
    Partition,
    Reader,
    Record,
)
from exchange.messages.frames import ChainBrokenError, EventFollower, EventPart
from exchange.reference.venue import Market
from exchange.service import Drain, draining
from exchange.settings import DERIVED_RETRY_S, DERIVED_SLICE_RECORDS_MAX, READ_RECORDS_MAX
from exchange.stands import Keeper, Stands, Stood

WAIT_S = 0.2
LAST_TRIES = 50  # reads for the last record before the log counts as unavailable
OBSERVE_NS = 1_000_000_000

log = structlog.get_logger(__name__)

Made = TypeVar("Made")  # what a part of `events` gives
Said = TypeVar("Said")  # a record of the topic


class DerivedService(ABC, Generic[Made, Said]):
    """The one writer of a topic. A subclass says what a part gives, and how it is numbered."""

    def __init__(
        self,
        log_: Log,
        market: Market,
        topic: Partition,
        clock: Clock,
        stands: Stands | None = None,
    ) -> None:
        self.name = f"{topic.topic}-{market.code}"
        self.input_offset = 0  # everything below has been read and said
        self._log = log_
        self._clock = clock
        self._market = market.code
        self._events = topics.events(market.partition)
        self._topic = topic
        self._partitions = topics.of_market(market.partition)
        self._follower = EventFollower()
        self._next = 0  # of `events`
        self._keeper = Keeper(stands)
        self._say = log.bind(topic=topic.topic, market=market.code)
        self._is_ready = False
        self._observed_ns = 0

    @abstractmethod
    def _make(self, part: EventPart) -> Made | None:
        """What a part gives; None: nothing, or what the topic has already."""

    @abstractmethod
    def _records(self, new: Sequence[Made]) -> list[Said]:
        """The records of it, numbered on from the last one of the topic."""

    @abstractmethod
    def _encode(self, record: Said) -> bytes:
        """A record as it stands on the topic."""

    @abstractmethod
    def _stand_after(self, values: Sequence[bytes]) -> bool:
        """Takes up the last records of the topic; whether one of them counted."""

    @abstractmethod
    def _is_new(self, made: Made) -> bool:
        """Whether something is not on the topic yet."""

    @abstractmethod
    def _projection(self) -> Any:
        """What was made of all parts so far, and of nothing else: enough to go on from here."""

    @abstractmethod
    def _go_on(self, projection: Any) -> bool:
        """Goes on from such a projection; False, and nothing changed, where it does not fit."""

    def _count(self, records: Sequence[Said]) -> None:
        """Stands after records that are on the topic now."""

    @property
    def events_read(self) -> int:
        """How many records of `events` are said, or in the stand it began with. O(1)."""
        return self._next

    @property
    def is_ready(self) -> bool:
        """True once the service has caught up with what `events` held at its start. O(1)."""
        return self._is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; raises ChainBrokenError on a broken chain, LogError as given."""
        await self._log.create(self._partitions)
        await self._read_said()
        end = await self._log.end(self._events)
        await self._stand_up()
        reader = await self._log.open_reader(self._events, self._next)
        self._say.info("starts", events_begin=self._next, events_end=end)
        is_said = False
        try:
            async with draining(self._log, self._events, stop) as drain:
                is_said = await self._follow(reader, end, drain)
        except ChainBrokenError as error:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            self._say.error("stops: events are broken", error=str(error))
            raise
        finally:
            await reader.close()
        await self._keeper.close(self._state() if is_said else None, self._next)
        self._say.info("stopped", input_offset=self._follower.input_offset)

    async def _stand_up(self) -> None:
        """Goes on from the last stand, if the log led to it; the topic has all that it said."""
        found = await self._keeper.load()
        if found is None:
            return
        stood, projection = found
        if await self._leads_to(stood) and self._go_on(projection):
            self._next, self._follower = stood.offset, stood.follower
            self.input_offset = self._follower.input_offset
        self._keeper.begins(self._next)

    async def _leads_to(self, stood: Stood) -> bool:
        try:
            return await stood.follows(self._log, self._events)
        except LogUnavailableError:
            raise
        except LogError:  # what is wrong there is found by reading
            return False

    def _state(self) -> Any | None:
        """To be kept where all that was made is on the topic."""
        stood = Stood(self._follower)
        return (stood, self._projection()) if stood.is_whole else None

    async def _follow(self, reader: Reader, end: int, drain: Drain) -> bool:
        """Makes and says what `events` gives, until the drain is over; ready at `end`.

        Whether all that was made is said.
        """
        while not drain.over.is_set():
            self._is_ready = self._is_ready or reader.position >= end
            await self._observe(reader.position)
            try:
                records = await reader.read(READ_RECORDS_MAX, WAIT_S)
            except LogUnavailableError as error:
                self._say.warning("events cannot be read", error=str(error))
                await _pause(drain.over)
                continue
            if not self._is_ready:
                metrics.REPLAYED.labels(self.name).inc(len(records))
            for at in range(0, len(records), DERIVED_SLICE_RECORDS_MAX):
                new = self._apply(records[at : at + DERIVED_SLICE_RECORDS_MAX])
                if not await self._publish(new, drain.over):
                    return False
                self.input_offset = self._follower.input_offset
                self._next = records[at : at + DERIVED_SLICE_RECORDS_MAX][-1].offset + 1
                self._keep()
                await asyncio.sleep(0)
            drain.reached(reader.position)
        return True

    def _keep(self) -> None:
        if self._keeper.is_due(self._next):
            state = self._state()
            if state is not None:
                self._keeper.draft(state, self._next)

    def _apply(self, records: Sequence[Record]) -> list[Made]:
        new = []
        for record in records:
            part = self._follower.accept(record.offset, record.value)
            made = None if part is None else self._make(part)
            if made is not None:
                new.append(made)
        if records:
            age_s = max(self._clock.now_ns() - records[-1].append_ns, 0) / 1e9
            metrics.LOG_LAG_SECONDS.labels(*self._labels).set(age_s)
        return new

    async def _append(self, values: Sequence[bytes]) -> None:
        await self._log.append(self._topic, values)

    async def _publish(self, new: list[Made], stop: asyncio.Event) -> bool:
        """Appends what is not said yet; False when told to stop while the log is away."""
        while new:
            records = self._records(new)
            try:
                await self._append([self._encode(record) for record in records])
            except AppendUncertainError as error:
                self._say.warning("append uncertain: reading what is there", error=str(error))
                try:
                    await self._read_said()
                except LogUnavailableError:
                    await _pause(stop)
                new = [made for made in new if self._is_new(made)]
            except LogUnavailableError as error:
                self._say.warning("topic cannot be written", error=str(error))
                await _pause(stop)
            else:
                self._count(records)
                return True
            if new and stop.is_set():
                return False
        return True

    async def _read_said(self) -> None:
        """Stands after the last record of the topic. O(1) records read."""
        end = await self._log.end(self._topic)
        if end <= await self._log.begin(self._topic):
            return
        reader = await self._log.open_reader(self._topic, end - 1)
        try:
            for _ in range(LAST_TRIES):
                rows = await reader.read(READ_RECORDS_MAX, WAIT_S)
                if self._stand_after([row.value for row in rows]):
                    return
        finally:
            await reader.close()
        raise LogUnavailableError(f"{self.name}: record {end - 1} cannot be read")

    async def _observe(self, position: int) -> None:
        now = self._clock.monotonic_ns()
        if now - self._observed_ns < OBSERVE_NS:
            return
        self._observed_ns = now
        try:
            end = await self._log.end(self._events)
        except LogError:
            return
        metrics.LOG_LAG_RECORDS.labels(*self._labels).set(max(end - position, 0))

    @property
    def _labels(self) -> tuple[str, str, str]:
        return topics.EVENTS.name, self._market, self.name.rpartition("-")[0]


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(DERIVED_RETRY_S):
            await stop.wait()
    except TimeoutError:
        return
