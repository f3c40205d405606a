"""One copy of a market's engine with its chain and its outbox: no log, no loop, no waiting."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import structlog

from exchange import metrics
from exchange.clock import Clock
from exchange.engine.outbox import Outbox, Part
from exchange.engine.snapshots import EngineSnapshot
from exchange.log.protocol import Record
from exchange.messages.frames import EVENT, RECORD_SIZE, Event, Liquidity, seal_events
from exchange.settings import ENGINE_OUTBOX_BYTES_MAX, ENGINE_OUTBOX_PARTS_MAX
from matching import EngineProtocol
from matching.layout import HEADER_SIZE

NODE_SHIFT = 40  # run id = node << 40 | random bits of the run

log = structlog.get_logger(__name__)


class Draft(NamedTuple):
    """A state taken at a place in the log, kept until `events` holds all that led to it."""

    next_offset: int
    next_event: int
    chain: bytes
    state: bytes


class Replica:
    """Applies the records of `orders` in order; holds what `events` does not show yet."""

    def __init__(
        self,
        engine: EngineProtocol,
        *,
        chain: bytes,
        events_offset: int,
        run_id: int,
        market: str,
        clock: Clock,
    ) -> None:
        self.engine = engine
        self.chain = chain
        self.run_id = run_id
        self.is_leading = False
        self.events_offset = events_offset  # the record of `events` to read next
        self.outbox = Outbox(
            engine.next_offset,
            parts_max=ENGINE_OUTBOX_PARTS_MAX,
            bytes_max=ENGINE_OUTBOX_BYTES_MAX,
        )
        self._market = market
        self._clock = clock
        self._epoch = engine.epoch
        self._confirmed_at = events_offset  # right after the last complete output
        self._draft: Draft | None = None
        self._commands = metrics.ENGINE_COMMANDS.labels(market)
        self._events = metrics.ENGINE_EVENTS.labels(market)
        self._trades = metrics.ENGINE_TRADES.labels(market)
        self._seconds = metrics.ENGINE_BATCH_SECONDS.labels(market)
        self._batch = metrics.ENGINE_BATCH_COMMANDS.labels(market)
        metrics.ENGINE_LEADING.labels(market).set(0)
        metrics.ENGINE_EPOCH.labels(market).set(engine.epoch)

    @property
    def next_offset(self) -> int:
        """The record of `orders` to apply next. O(1)."""
        return self.engine.next_offset

    def apply(self, record: Record) -> None:
        """Applies the next record of `orders` and puts its output into the outbox. O(frame)."""
        started = self._clock.monotonic_ns()
        engine, first_event = self.engine, self.engine.next_event
        events = engine.apply(record.offset, record.append_ns, record.value)
        parts, self.chain = seal_events(
            events,
            input_offset=record.offset,
            first_event=first_event,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=self.chain,
        )
        ended = self._clock.monotonic_ns()
        self.outbox.add(record.offset, parts, ended)
        self._count(record, events, (ended - started) / 1e9)
        if engine.epoch != self._epoch:
            self._enter_epoch(record.offset)

    def confirmed(self, part: Part, offset: int) -> EngineSnapshot | None:
        """Notes that `part` stands at `offset` of `events`; a snapshot, if one may be written now.

        A state is written only when `events` holds all that led to it: a restart from it could not
        say again what came before. O(1).
        """
        self.events_offset = offset + 1
        if not part.is_last:
            return None
        self._confirmed_at = offset + 1
        draft = self._draft
        if draft is None or part.input_offset + 1 < draft.next_offset:
            return None
        self._draft = None
        if part.input_offset + 1 > draft.next_offset:
            return None
        return self._snapshot(draft)

    def draft(self) -> None:
        """Takes the state as it is, to be written when `confirmed` allows. O(state)."""
        self._draft = self._drafted()

    def draft_if_confirmed(self) -> EngineSnapshot | None:
        """The draft, when all that led to it was confirmed while it was being taken. O(1)."""
        if self._draft is None or len(self.outbox):
            return None
        draft, self._draft = self._draft, None
        return self._snapshot(draft)

    def snapshot_now(self) -> EngineSnapshot | None:
        """The state as it is, None while a part waits in the outbox. O(state)."""
        return None if len(self.outbox) else self._snapshot(self._drafted())

    def _drafted(self) -> Draft:
        engine = self.engine
        return Draft(engine.next_offset, engine.next_event, self.chain, engine.snapshot())

    def _snapshot(self, draft: Draft) -> EngineSnapshot:
        return EngineSnapshot(
            draft.next_offset, draft.next_event, self._confirmed_at, draft.chain, draft.state
        )

    def _count(self, record: Record, events: bytes, seconds: float) -> None:
        commands = max(len(record.value) - HEADER_SIZE, 0) // RECORD_SIZE
        self._commands.inc(commands)
        self._batch.observe(commands)
        self._seconds.observe(seconds)
        if events:
            rows = np.frombuffer(events, EVENT)
            self._events.inc(len(rows))
            fills = (rows["kind"] == Event.FILL) & (rows["order_type"] == Liquidity.MAKER)
            self._trades.inc(int(np.count_nonzero(fills)))

    def _enter_epoch(self, offset: int) -> None:
        engine = self.engine
        self._epoch = engine.epoch
        metrics.ENGINE_EPOCH.labels(self._market).set(engine.epoch)
        was_leading, self.is_leading = self.is_leading, engine.leader == self.run_id
        if self.is_leading == was_leading:
            return
        metrics.ENGINE_LEADING.labels(self._market).set(int(self.is_leading))
        log.info(
            "engine leads" if self.is_leading else "engine stands by: another engine leads",
            market=self._market,
            offset=offset,
            epoch=engine.epoch,
            leader_node=engine.leader >> NODE_SHIFT,
            leader_run=engine.leader,
        )
