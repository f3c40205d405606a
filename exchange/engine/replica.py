"""One copy of a market's engine with its chain and its outbox: no log, no loop, no waiting."""

from __future__ import annotations

import structlog

from exchange import metrics
from exchange.clock import Clock
from exchange.engine.drafts import Mark
from exchange.engine.outbox import HistoryMismatchError, Outbox, Part
from exchange.engine.snapshots import EngineSnapshot
from exchange.engine.tail import Tail
from exchange.log.protocol import Record
from exchange.messages.frames import RECORD_SIZE, Event, chain_of_part, seal_events
from exchange.settings import ENGINE_OUTBOX_BYTES_MAX, ENGINE_OUTBOX_PARTS_MAX
from matching import EngineProtocol
from matching.layout import HEADER_SIZE

NODE_SHIFT = 40  # run id = node << 40 | random bits of the run

log = structlog.get_logger(__name__)


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
        self.commands = 0  # applied by this copy
        self.is_timed = False  # how long a record takes says nothing while the past is applied
        self.events_offset = events_offset  # the record of `events` to read next
        self.outbox = Outbox(
            engine.next_offset,
            parts_max=ENGINE_OUTBOX_PARTS_MAX,
            bytes_max=ENGINE_OUTBOX_BYTES_MAX,
        )
        self._told = 0  # commands that the counters know of
        self._events_said = 0
        self._fills_said = 0
        self._market = market
        self._clock = clock
        self._epoch = engine.epoch
        self._confirmed_at = events_offset  # right after the last complete output
        self._tail: Tail | None = None
        self._marked: int | None = None  # next offset of a state that waits to be confirmed
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

    @property
    def is_behind(self) -> bool:
        """True before the place where `events` ended at the start: nothing to say until then."""
        return self._tail is not None

    @property
    def stands_at(self) -> int | None:
        """The place on `events` behind all that was applied; None while a part waits. O(1)."""
        return None if len(self.outbox) or self.is_behind else self._confirmed_at

    def skip_to(self, tail: Tail) -> None:
        """What is computed up to there is on `events` if it leads to the same chain. O(1)."""
        self._tail = tail

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
        if self._tail is None:
            self.outbox.add(record.offset, parts, ended)
        elif record.offset == self._tail.input_offset:
            self._reach(self._tail, parts, ended)
        commands = max(len(record.value) - HEADER_SIZE, 0) // RECORD_SIZE
        self.commands += commands
        self._events_said += len(events) // RECORD_SIZE
        self._fills_said += events[::RECORD_SIZE].count(Event.FILL)
        if self.is_timed:
            self._seconds.observe((ended - started) / 1e9)
            self._batch.observe(commands)
        if engine.epoch != self._epoch:
            self._enter_epoch(record.offset)

    def _reach(self, tail: Tail, parts: list[bytes], now_ns: int) -> None:
        found = chain_of_part(parts[tail.part]) if tail.part < len(parts) else b""
        if found != tail.chain:
            raise HistoryMismatchError(
                f"events record {tail.offset} (input {tail.input_offset} part {tail.part}) or one "
                "before it is not what this engine computes from `orders`: altered, another "
                "history, or another build; `exchange verify` names the first one"
            )
        self._tail = None
        self.events_offset = tail.offset + 1
        first = tail.part + 1
        if first == len(parts):
            self._confirmed_at = self.events_offset
            self.outbox.skip(tail.input_offset + 1, 0)
        else:
            self.outbox.skip(tail.input_offset, first)
            self.outbox.add(tail.input_offset, parts[first:], now_ns, first)

    def confirmed(self, part: Part, offset: int) -> bool:
        """Notes that `part` stands at `offset` of `events`; True when that confirms the mark.

        A state is kept only when `events` holds all that led to it: a restart from it could not
        say again what came before. O(1).
        """
        self.events_offset = offset + 1
        if not part.is_last:
            return False
        self._confirmed_at = offset + 1
        if self._marked is None or part.input_offset + 1 < self._marked:
            return False
        self._marked = None
        return True

    def mark(self) -> Mark:
        """The place where the engine is, right after a record; `confirmed` waits for it. O(1)."""
        self._marked = self.next_offset if len(self.outbox) else None
        return Mark(self.next_offset, self.engine.next_event, self.chain)

    def snapshot_now(self) -> EngineSnapshot | None:
        """The state as it is, None while a part waits in the outbox. O(state)."""
        if len(self.outbox) or self.is_behind:  # where it stands on `events` is not known
            return None
        engine = self.engine
        return EngineSnapshot(
            engine.next_offset, engine.next_event, self._confirmed_at, self.chain, engine.snapshot()
        )

    def tell(self) -> None:
        """Moves the counters by what was applied since the last call. O(1)."""
        self._commands.inc(self.commands - self._told)
        self._told = self.commands
        self._events.inc(self._events_said)
        self._trades.inc(self._fills_said // 2)  # each trade is said to both sides
        self._events_said = self._fills_said = 0

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
