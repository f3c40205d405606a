"""EngineService: one market's engine on the log, leading or standing by.

Start: newest sound snapshot, then replay of `orders`, comparing every computed part with what
stands on `events` (`outbox`) or, where that is long, the chain at its end (`tail`), then
leadership (`publisher`). Two tasks run side by side, so that
records are applied while the last append is on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from exchange import metrics, topics
from exchange.clock import Clock, random_id
from exchange.engine.drafts import Draft
from exchange.engine.outbox import HistoryMismatchError, place_of
from exchange.engine.publisher import RETRY_S, Publisher, wait
from exchange.engine.replica import NODE_SHIFT, Replica
from exchange.engine.snapshots import EngineSnapshot, load, snapshots_of
from exchange.engine.tail import find_tail
from exchange.log.protocol import Log, LogError, LogUnavailableError, Reader, Record, read_at
from exchange.messages import frames
from exchange.messages.frames import chain_of_part
from exchange.reference.venue import Market
from exchange.settings import (
    ENGINE_RETRY_S_MAX,
    ENGINE_SLICE_MS_MAX,
    READ_RECORDS_MAX,
    SNAPSHOT_EVERY_COMMANDS,
    SNAPSHOT_EVERY_RECORDS,
    Settings,
)
from matching import COMPILED, Engine, EngineProtocol, Limits

NODE_MAX = 2**23 - 1  # so that a run id fits 63 bits
INTERVAL_MS_MIN = 10
IDLE_WAIT_S = 0.1
CANCEL_AGAIN_S = 0.2
OBSERVE_NS = 1_000_000_000
SLICE_NS = ENGINE_SLICE_MS_MAX * 1_000_000
COMPARED_RECORDS_MAX = 4_096  # of a longer past, the chain at its end is compared
NOT_WRITTEN = "snapshot not written: a restart will take longer"

log = structlog.get_logger(__name__)


class EngineService:
    """Reads `orders`, writes `events`; several may run for one market, one of them leads."""

    def __init__(
        self,
        log_: Log,
        market: Market,
        settings: Settings,
        clock: Clock,
        node: int | None = None,
        *,
        engine: type[EngineProtocol] = Engine,
        snapshot_every: int = SNAPSHOT_EVERY_RECORDS,
        draft: type[Draft] = Draft,
    ) -> None:
        """`node` (default: the settings') numbers the process among engines, 0..NODE_MAX."""
        node = settings.node if node is None else node
        if not 0 <= node <= NODE_MAX:
            raise ValueError(f"node {node} is outside 0..{NODE_MAX}")
        if min(settings.engine_tick_ms, settings.engine_silence_ms) < INTERVAL_MS_MIN:
            raise ValueError(f"engine tick and silence must be {INTERVAL_MS_MIN} ms or more")
        _check_reserve("orders", settings.engine_reserve_orders, Limits().orders_max)
        most = Limits().client_order_ids_max
        _check_reserve("client_order_ids", settings.engine_reserve_client_order_ids, most)
        self.name = f"engine-{market.code}"
        self.run_id = node << NODE_SHIFT | random_id() % (1 << NODE_SHIFT)
        self._log = log_
        self._market = market
        self._say = log.bind(market=market.code)
        self._settings = settings
        self._clock = clock
        self._engine = engine
        self._snapshot_every = snapshot_every
        self._draft_type = draft
        self._store = snapshots_of(settings.data, market.code)
        self._orders = topics.orders(market.partition)
        self._events = topics.events(market.partition)
        self._replica: Replica | None = None
        self._publisher: Publisher | None = None
        self._draft: Draft | None = None
        self._saving: asyncio.Task[None] | None = None  # awaits the draft
        self._drafted_at = 0  # commands applied when the last snapshot was begun
        self._saved_offset = 0
        self._saved_ns = clock.monotonic_ns()
        self._observed_ns = 0

    @property
    def is_ready(self) -> bool:
        """True once the engine has applied what `orders` held at its start. O(1)."""
        return self._publisher is not None and self._publisher.is_caught_up

    @property
    def is_leading(self) -> bool:
        """True while this engine's epoch is in force. O(1)."""
        return self._replica is not None and self._replica.is_leading

    @property
    def engine(self) -> EngineProtocol:
        """The state machine, to look at between records; LookupError before the start. O(1)."""
        if self._replica is None:
            raise LookupError(f"{self.name} has not started")
        return self._replica.engine

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; HistoryMismatchError when log and engine differ."""
        try:
            await self._log.create(topics.of_market(self._market.partition))
            replica = self._replica = await self._recover()
            self._publisher = Publisher(
                self._log,
                self._market,
                self._settings,
                self._clock,
                replica,
                stop=stop,
                on_mark=self._confirm,
            )
            await self._skip_to_tail(replica)
            end = await self._log.end(self._orders)
            self._say.info(
                "engine starts", offset=replica.next_offset, orders_end=end, run=self.run_id
            )
            await _first_failure(self._apply_all(replica, end, stop), self._publisher.run())
            await self._save_at_stop(replica)
        except HistoryMismatchError as error:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            self._say.error("engine stops: log and engine differ", error=str(error))
            raise
        finally:
            metrics.ENGINE_LEADING.labels(self._market.code).set(0)
            await self._end_draft()
        self._say.info("engine stopped", offset=replica.next_offset)

    # -- start ----------------------------------------------------------------------------------

    async def _recover(self) -> Replica:
        for path in await asyncio.to_thread(self._store.newest_first):
            try:
                snapshot = await asyncio.to_thread(load, path)
                engine = await asyncio.to_thread(self._engine.restore, snapshot.state)
                await self._check_stands(snapshot, engine)
            except (OSError, ValueError) as error:
                self._say.warning("snapshot passed over", path=str(path), error=str(error))
                continue
            self._saved_offset = snapshot.next_offset
            self._say.info("snapshot restored", offset=snapshot.next_offset)
            return self._replicate(engine, snapshot.chain, snapshot.events_offset)
        return self._replicate(self._engine(), frames.GENESIS, 0)

    def _replicate(self, engine: EngineProtocol, chain: bytes, events_offset: int) -> Replica:
        engine.reserve(
            self._settings.engine_reserve_orders, self._settings.engine_reserve_client_order_ids
        )
        return Replica(
            engine,
            chain=chain,
            events_offset=events_offset,
            run_id=self.run_id,
            market=self._market.code,
            clock=self._clock,
        )

    async def _check_stands(self, snapshot: EngineSnapshot, engine: EngineProtocol) -> None:
        """ValueError unless `events` holds, where the snapshot says, the chain it was taken at.

        So a snapshot of another log, or of a log that has lost records, is never begun from.
        """
        at = snapshot.events_offset - 1
        end = await self._log.end(self._events)
        if not 0 <= at < end or await self._log.end(self._orders) < snapshot.next_offset:
            raise ValueError(f"the log ends before it: events at {end}")
        records = await read_at(self._log, self._events, at, at + 1)
        if not records:
            raise ValueError(f"events record {at} cannot be read")
        try:
            origin, _ = place_of(at, records[0].value)
        except HistoryMismatchError as error:
            raise ValueError(str(error)) from error
        chain = chain_of_part(records[0].value)
        stands = (origin + 1, chain) == (snapshot.next_offset, snapshot.chain)
        if not stands or engine.next_event != snapshot.next_event:
            raise ValueError(f"events record {at} is not the one it was taken after")

    async def _skip_to_tail(self, replica: Replica) -> None:
        """Spares reading `events` where a long way is to be computed anew."""
        tail = await find_tail(self._log, self._events)
        if tail is None or tail.input_offset - replica.next_offset <= COMPARED_RECORDS_MAX:
            return
        end = await self._log.end(self._orders)
        if tail.input_offset >= end:
            raise HistoryMismatchError(
                f"events record {tail.offset} answers input {tail.input_offset}, but orders ends "
                f"at {end}: the command log has lost records or is another one"
            )
        replica.skip_to(tail)

    # -- applying -------------------------------------------------------------------------------

    async def _apply_all(self, replica: Replica, end: int, stop: asyncio.Event) -> None:
        publisher = self._publisher
        assert publisher is not None  # noqa: S101 - made just before
        reader = await self._log.open_reader(self._orders, replica.next_offset)
        retry_s = RETRY_S
        try:
            while not stop.is_set():
                if replica.next_offset >= end:
                    self._announce_ready(publisher, replica)
                await self._observe(replica)
                try:
                    records = await reader.read(READ_RECORDS_MAX, IDLE_WAIT_S)
                except LogUnavailableError as error:
                    self._say.warning(
                        "orders cannot be read", offset=replica.next_offset, error=str(error)
                    )
                    await wait(stop, retry_s, is_kept=True)
                    retry_s = min(2 * retry_s, ENGINE_RETRY_S_MAX)
                    continue
                retry_s = RETRY_S
                await self._apply(replica, publisher, records, stop)
                self._count_replayed(publisher, records)
        finally:
            publisher.is_applying = False
            publisher.work.set()
            await _close(reader)

    async def _apply(
        self, replica: Replica, publisher: Publisher, records: list[Record], stop: asyncio.Event
    ) -> None:
        started = self._clock.monotonic_ns()
        for record in records:
            while replica.outbox.is_full and not stop.is_set():
                publisher.work.set()
                await wait(publisher.room, IDLE_WAIT_S)
            if stop.is_set():
                break
            try:
                replica.apply(record)
            except Exception:  # a fault of the engine's own: the data it refuses it answers
                self._say.exception("engine stops: it fails at a record", offset=record.offset)
                raise
            if self._is_snapshot_due(replica):
                self._begin_draft(replica)
            if self._clock.monotonic_ns() - started >= SLICE_NS:
                publisher.work.set()
                await asyncio.sleep(0)
                started = self._clock.monotonic_ns()
        if records:
            replica.tell()
            publisher.work.set()

    def _announce_ready(self, publisher: Publisher, replica: Replica) -> None:
        if publisher.is_caught_up:
            return
        publisher.is_caught_up = replica.is_timed = True
        self._say.info(
            "engine ready: standing by",
            offset=replica.next_offset,
            epoch=replica.engine.epoch,
            leader_node=replica.engine.leader >> NODE_SHIFT,
        )

    def _count_replayed(self, publisher: Publisher, records: list[Record]) -> None:
        if not publisher.is_caught_up:
            metrics.REPLAYED.labels(self.name).inc(len(records))
        if records:
            age_s = max(self._clock.now_ns() - records[-1].append_ns, 0) / 1e9
            metrics.LOG_LAG_SECONDS.labels(topics.ORDERS.name, self._market.code, "engine").set(
                age_s
            )

    async def _observe(self, replica: Replica) -> None:
        """Gauges that need a look at the log or the clock: once a second."""
        now = self._clock.monotonic_ns()
        if now - self._observed_ns < OBSERVE_NS:
            return
        self._observed_ns = now
        metrics.SNAPSHOT_AGE.labels(self.name).set((now - self._saved_ns) / 1e9)
        try:
            end = await self._log.end(self._orders)
        except LogError:
            return
        lag = max(end - replica.next_offset, 0)
        metrics.LOG_LAG_RECORDS.labels(topics.ORDERS.name, self._market.code, "engine").set(lag)

    # -- snapshots ------------------------------------------------------------------------------

    def _is_snapshot_due(self, replica: Replica) -> bool:
        """Whether so much was applied that a restart would take long without a newer one."""
        if replica.is_behind:
            return False  # where its output stands on `events` is not known
        if replica.next_offset % self._snapshot_every == 0:
            return True
        return replica.commands - self._drafted_at >= SNAPSHOT_EVERY_COMMANDS

    def _begin_draft(self, replica: Replica) -> None:
        """Forks a writer of the state as it is; skipped while the one before is still writing."""
        self._drafted_at = replica.commands
        if self._saving is not None and not self._saving.done():
            return
        begun = self._clock.monotonic_ns()
        try:
            self._draft = self._draft_type(replica.mark(), self._store, replica.engine, self.run_id)
        except OSError as error:
            self._say.error(NOT_WRITTEN, offset=replica.next_offset, error=str(error))
            return
        took_s = (self._clock.monotonic_ns() - begun) / 1e9
        metrics.ENGINE_SNAPSHOT_PAUSE.labels(self._market.code).observe(took_s)
        self._saving = asyncio.create_task(self._await_draft(self._draft))
        if replica.stands_at is not None:  # the long past ended here: nothing will confirm it
            self._confirm(replica.stands_at)

    def _confirm(self, events_offset: int) -> None:
        if self._draft is not None:
            self._draft.confirm(events_offset)

    async def _await_draft(self, draft: Draft) -> None:
        failure = await draft.ended()
        self._draft = None
        if failure is None:
            self._saved(draft.mark.next_offset)
        else:
            self._say.error(NOT_WRITTEN, offset=draft.mark.next_offset, error=failure)

    async def _end_draft(self) -> None:
        if self._draft is not None:
            self._draft.drop()
        if self._saving is not None:
            await self._saving

    def _saved(self, offset: int) -> None:
        self._saved_offset = offset
        self._saved_ns = self._clock.monotonic_ns()
        self._say.info("snapshot written", offset=offset)

    async def _save_at_stop(self, replica: Replica) -> None:
        """A clean stop leaves a snapshot, so that the next start replays nothing."""
        await self._end_draft()
        snapshot = replica.snapshot_now()
        if snapshot is None or snapshot.next_offset <= self._saved_offset:
            return
        try:
            await asyncio.to_thread(self._store.save, snapshot, writer=self.run_id)
        except OSError as error:
            self._say.error(NOT_WRITTEN, offset=snapshot.next_offset, error=str(error))
            return
        self._saved(snapshot.next_offset)


async def _close(reader: Reader) -> None:
    try:
        await reader.close()
    except LogError as error:
        log.warning("reader not closed", error=str(error))


def check_build() -> None:
    """ValueError unless the compiled engine is the one in use: no venue runs on the other."""
    if not COMPILED:
        raise ValueError(
            "MATCHING_PURE=1 chooses the reference engine, which is for tests: unset it, and build "
            "the compiled one (`make .venv/.built`)"
        )


def _check_reserve(what: str, count: int, most: int) -> None:
    if not 0 <= count <= most:
        raise ValueError(f"engine_reserve_{what} {count} is outside 0..{most}")


async def _first_failure(*works: Coroutine[Any, Any, None]) -> None:
    """Runs all; the first failure cancels the others and is raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        pending = set(tasks)
        while pending:  # asyncio.wait_for of Python 3.11 may lose a cancellation: say it again
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
