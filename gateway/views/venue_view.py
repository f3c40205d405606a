"""What the gateway knows of a market: projections of `orders`, `events` and `registry`.

Nothing is shown to anyone that does not stand on the log. `orders` is known (`order_records`) for
the sessions' refs and what operators did (to its end for the last ones, beside `events` for what a
resend repeats), `events` is read for orders, reports and balances, `registry` for holdings and
instructions. Whoever waits for the outcome of a command is woken here. A record that cannot be
trusted stops its market at its place, and no other.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import structlog
from prometheus_client import Histogram

from exchange import metrics, topics
from exchange.auctions import Auctions
from exchange.clock import Clock
from exchange.log.protocol import Log, LogError, LogUnavailableError, Reader, Record
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import (
    INDEX_BITS,
    ChainBrokenError,
    EventFollower,
    EventPart,
    EventRow,
    event_rows,
    is_sound,
)
from exchange.messages.reasons import EdgeReason
from exchange.messages.registry import RegistryRecord
from exchange.messages.scan import raise_refs
from exchange.positions import Positions
from exchange.reference.venue import Market, Venue
from exchange.settings import (
    ENGINE_BACKLOG_RECORDS_MAX,
    ENGINE_SILENCE_S_MAX,
    GATEWAY_QUEUE_MAX,
    OUTCOME_BYTES_MAX,
)
from exchange.stands import Stood, leads_to
from gateway.refusal import Refused
from gateway.views.acts import Acts
from gateway.views.controls import Controls
from gateway.views.executions import Execution
from gateway.views.figures import Figures
from gateway.views.holdings import Holdings
from gateway.views.instructions import Instructions
from gateway.views.order_records import OrderRecords
from gateway.views.reports import Reports
from gateway.views.requests import PARTICIPANT_SESSIONS, Original, Requests
from gateway.views.standings import Standings

SLICE_NS = 5_000_000  # the loop is given back at least this often while catching up
READ_WAIT_S = 0.5
RETRY_S = 0.2
LAG_EVERY_NS = 1_000_000_000
SECOND = 1_000_000_000
REPORT_BYTES = 1_024  # what one kept report costs, about
SILENT_RETRY_MS = 1_000
PART_BYTES = 1_024  # what one kept part costs besides its events and reports, about


_STANDS = (
    "positions", "controls", "auctions", "holdings", "standings", "requests", "acts", "last_ref",
    "follower", "_orders_next", "_orders_last", "_registry_next", "_registry_last",
    "_registry_number",
)  # fmt: skip
"""What of a MarketView its stand holds as it is."""


class Outcome(NamedTuple):
    """What the engine made of one command."""

    reports: tuple[ExecutionReport, ...]  # those that answer it
    events: tuple[EventRow, ...]  # all it caused
    time_ns: int
    original: Original | None = None  # what the command repeats; None: its ref was new


class _Output:
    """The engine's output of one record of `orders`, kept for answers still on their way."""

    __slots__ = ("is_complete", "parts", "reported", "resent", "size")

    def __init__(self) -> None:
        self.parts: list[EventPart] = []
        self.reported: list[Execution] = []
        self.resent: dict[int, Original] = {}  # by command index
        self.is_complete = False
        self.size = 0

    def outcome(self, index: int) -> Outcome:
        rows = [
            row
            for part in self.parts
            for row in event_rows(part.events[part.events["command_index"] == index])
        ]
        reports = [r.report for r in self.reported if r.command_index == index and r.is_answer]
        original = self.resent.get(index)
        return Outcome(tuple(reports), tuple(rows), self.parts[0].time_ns, original)


Listener = Callable[["MarketView", list[Execution]], None]


class MarketView:
    """The projections of one market, and those who wait for news from it."""

    def __init__(self, log: Log, venue: Venue, market: Market, clock: Clock) -> None:
        self.market = market
        self.positions = Positions()
        self.controls = Controls()
        figures = Figures(market, self.positions, self.controls)
        self.reports = Reports(venue, market.code, figures.of)
        self.auctions = Auctions()
        self.holdings = Holdings()
        self.standings = Standings()
        self.instructions = Instructions(venue, market.code, self._instruction_changed)
        self.requests = Requests()
        self.acts = Acts()
        self.last_ref: dict[int, int] = {}  # session -> highest ref on the log, answered or not
        self.listeners: list[Listener] = []
        self.follower = EventFollower()
        self.orders = OrderRecords(self._take_order, self._note_end)
        self.failure: Exception | None = None  # what stopped it: nothing more is read
        self._registry_number = 0
        self._events_next = 0  # what lies below is in the projections
        self._registry_next = 0
        self._orders_last = self._registry_last = b""  # the last record read of each
        self._amid: set[str] = set()  # topics of which a record is taken just now, or failed
        self._log = log
        self._clock = clock
        self._orders_next = 0  # the records below were noted beside `events`
        self._rereader: Reader | None = None
        self._applied_next = 0  # outputs below are kept or forgotten
        self._outputs: OrderedDict[int, _Output] = OrderedDict()
        self._outputs_size = 0
        self._waiters: dict[int, list[tuple[int, asyncio.Future[Outcome | None]]]] = {}
        self._arrivals: dict[int, list[tuple[str, int]]] = {}
        self._measured: dict[str, Histogram] = {}  # round trips, by interface
        self._instruction_waiters: dict[int, list[asyncio.Future[None]]] = {}
        self._caught_up = {"orders": False, "events": False, "registry": False}
        self._lag_next_ns = 0
        self._orders_end = 0  # `orders` is known to hold the records below
        self._heard_ns = clock.monotonic_ns()  # last answer, or since when one is due
        self._logger = structlog.get_logger().bind(service="gateway", market=market.code)
        metrics.GATEWAY_MARKET_STOPPED.labels(market.code).set(0)

    @property
    def is_ready(self) -> bool:
        """True once everything that was on the log at the start has been read."""
        return all(self._caught_up.values())

    def stand(self) -> dict[str, Any] | None:
        """The projections as they are, to go on from; None amid the output of one record.

        Those who wait and what is kept for their answers are not in it.
        """
        if self.failure is not None or self._amid or not Stood(self.follower).is_whole:
            return None
        return {name: getattr(self, name) for name in _STANDS} | {
            "reports": self.reports.stand(),
            "instructions": self.instructions.stand(),
            "orders": self.orders.position,
        }

    async def follows(self, stand: dict[str, Any]) -> bool:
        """Whether the log as it is now led to a stand. Raises LogError."""
        partition = self.market.partition
        orders, registry = topics.orders(partition), topics.registry(partition)
        return (
            await self._log.end(orders) >= stand["_orders_next"]
            and await leads_to(self._log, orders, stand["orders"], stand["_orders_last"])
            and await leads_to(
                self._log, registry, stand["_registry_next"], stand["_registry_last"]
            )
            and await Stood(stand["follower"]).follows(self._log, topics.events(partition))
        )

    def go_on(self, stand: dict[str, Any]) -> None:
        """Goes on from a stand that `follows`; to be called before `run`."""
        for name in _STANDS:
            setattr(self, name, stand[name])
        self._events_next = self.follower.position
        self._applied_next = self.follower.input_offset
        figures = Figures(self.market, self.positions, self.controls)
        self.reports.go_on(stand["reports"], figures.of)
        self.instructions.go_on(stand["instructions"])
        self.orders.begin(stand["orders"], self._orders_next)

    @property
    def events_read(self) -> int:
        """How many records of `events` are in the projections. O(1)."""
        return self._events_next

    async def run(self, stop: asyncio.Event) -> None:
        """Follows the topics until `stop`, or until one cannot be trusted: see `failure`."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_orders(stop))
                group.create_task(self._follow_events(stop))
                group.create_task(self._follow_registry(stop))
        except* (ChainBrokenError, LogError, ValueError) as broken:
            self._fail(broken.exceptions[0])

    def _fail(self, error: Exception) -> None:
        """The market is over here; who waits for something of it is told that it is not known."""
        self.failure = error
        metrics.STATE_HASH_MISMATCH.labels("gateway").inc()
        metrics.GATEWAY_MARKET_STOPPED.labels(self.market.code).set(1)
        self._logger.error("market_stopped", error=str(error))
        self._arrivals.clear()
        waiters, self._waiters = self._waiters, {}
        for waiting in waiters.values():
            for _, future in waiting:
                if not future.done():
                    future.set_result(None)
        for instruction_id in self._instruction_waiters:
            self._instruction_changed(instruction_id)

    def obstacle(self) -> Refused | None:
        """Why nothing more should be asked of the engine now; None while it answers. O(1)."""
        if self.failure is not None:
            return Refused(EdgeReason.MARKET_STOPPED, f"{self.market.code}: {self.failure}")
        silence = self._silence()
        if not silence:
            return None
        return Refused(EdgeReason.VENUE_BUSY, silence, retry_after_ms=SILENT_RETRY_MS)

    def _silence(self) -> str:
        waiting = self._orders_end - self._applied_next
        if waiting <= 0:
            return ""
        silent_ns = self._clock.monotonic_ns() - self._heard_ns
        if silent_ns <= ENGINE_SILENCE_S_MAX * SECOND and waiting <= ENGINE_BACKLOG_RECORDS_MAX:
            return ""
        return (
            f"the engine of {self.market.code} has not answered for {silent_ns // SECOND} s: "
            f"{waiting} records of orders wait for it"
        )

    # -- waiting -----------------------------------------------------------------------------------

    def watch(self, position: int) -> asyncio.Future[Outcome | None]:
        """The outcome of the command at a log position, now or later; None if it was forgotten.

        While the engine is silent no more than GATEWAY_QUEUE_MAX records are waited for.
        """
        future: asyncio.Future[Outcome | None] = asyncio.get_running_loop().create_future()
        known = self.known(position)
        offset = position >> INDEX_BITS
        if known is not None:
            future.set_result(known)
        elif (
            offset < self._applied_next
            or len(self._waiters) >= GATEWAY_QUEUE_MAX
            or self.failure is not None
        ):
            future.set_result(None)
        else:
            index = position & ((1 << INDEX_BITS) - 1)
            self._waiters.setdefault(offset, []).append((index, future))
        return future

    def known(self, position: int) -> Outcome | None:
        """The outcome of the command at a log position if it is there and kept. O(its events)."""
        output = self._outputs.get(position >> INDEX_BITS)
        if output is None or not output.is_complete:
            return None
        return output.outcome(position & ((1 << INDEX_BITS) - 1))

    def arrived(self, position: int, arrived_ns: int, interface: str) -> None:
        """Measures the round trip of a command that came in at `arrived_ns` (monotonic)."""
        offset = position >> INDEX_BITS
        if offset < self._applied_next:
            self._round_trip(interface, arrived_ns)
        elif len(self._arrivals) < GATEWAY_QUEUE_MAX and self.failure is None:
            self._arrivals.setdefault(offset, []).append((interface, arrived_ns))

    async def wait_instruction(self, instruction_id: int, timeout_s: float) -> None:
        """Returns when the registry has answered the instruction, or after the time.

        A transfer that waits for another day is answered; a surrender that waits for another
        registry is not.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            rest = deadline - asyncio.get_running_loop().time()
            is_over = self.failure is not None or rest <= 0
            if self.instructions.is_answered(instruction_id) or is_over:
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            waiters = self._instruction_waiters.setdefault(instruction_id, [])
            waiters.append(future)
            try:
                await asyncio.wait_for(future, rest)
            except TimeoutError:
                return
            finally:
                if future in waiters:
                    waiters.remove(future)
                if not waiters:
                    self._instruction_waiters.pop(instruction_id, None)

    def acknowledge(self, session: int, ref: int) -> None:
        """The log has a request with that ref of a session. O(1)."""
        if ref > self.last_ref.get(session, 0):
            self.last_ref[session] = ref

    # -- orders ------------------------------------------------------------------------------------

    async def _follow_orders(self, stop: asyncio.Event) -> None:
        """Reads `orders` to its end however far the engine is, for the sessions' last refs."""
        partition = topics.orders(self.market.partition)
        target = await self._end(partition)
        self.orders.reaches(target)
        self._caught_up["orders"] |= self.orders.position >= target
        reader = await self._open(partition, self.orders.position)

        async def read() -> list[Record]:
            self._caught_up["orders"] |= reader.position >= target
            return await self._read(reader)

        try:
            await self.orders.follow(read, stop)
        finally:
            await reader.close()

    def _take_order(self, record: Record) -> None:
        self._amid.add("orders")
        if is_sound(record.value):
            raise_refs(record.value, PARTICIPANT_SESSIONS, self.last_ref)
        self.acts.note(record.offset, record.value, record.append_ns)
        self._orders_last = record.value
        self._amid.discard("orders")

    def _note_end(self, end: int) -> None:
        if self._orders_end <= self._applied_next:  # nothing was due before
            self._heard_ns = self._clock.monotonic_ns()
        self._orders_end = end

    # -- events -------------------------------------------------------------------------

    async def _follow_events(self, stop: asyncio.Event) -> None:
        target = await self._end(topics.events(self.market.partition))
        events = await self._open(topics.events(self.market.partition), self._events_next)
        self._caught_up["events"] |= events.position >= target
        try:
            sliced = self._clock.monotonic_ns()
            while not stop.is_set():
                for record in await self._read(events):
                    if self.follower.expects(record.value):
                        await self._note_orders(self.follower.input_offset, stop)
                        if stop.is_set():
                            return
                    part = self.follower.accept(record.offset, record.value)
                    if part is not None:
                        self._amid.add("events")
                        self._apply(part)
                        self._amid.discard("events")
                    self._events_next = record.offset + 1
                    if part is None:
                        continue
                    if self._clock.monotonic_ns() - sliced > SLICE_NS:
                        await asyncio.sleep(0)
                        sliced = self._clock.monotonic_ns()
                self._caught_up["events"] |= events.position >= target
                await self._measure_lag(events)
        finally:
            await events.close()
            await self._end_rereading()

    async def _note_orders(self, last: int, stop: asyncio.Event) -> None:
        """Notes the requests of `orders` up to the record `last`, however it can have them."""
        while self._orders_next <= last and not stop.is_set():
            frame = await self.orders.frame(self._orders_next)
            if frame is None:
                await self._reread_orders()
                continue
            self.requests.note(self._orders_next, frame)
            self._orders_next += 1
            await self._end_rereading()

    async def _reread_orders(self) -> None:
        """Notes what was not kept, by a reader of its own: at the start, and behind a jam."""
        if self._rereader is None:
            partition = topics.orders(self.market.partition)
            self._rereader = await self._open(partition, self._orders_next)
        for record in await self._read(self._rereader):
            self.requests.note(record.offset, record.value)
            self.orders.passed(record.offset)
            self._orders_next = record.offset + 1

    async def _end_rereading(self) -> None:
        if self._rereader is not None:
            rereader, self._rereader = self._rereader, None
            await rereader.close()

    def _apply(self, part: EventPart) -> None:
        self.positions.apply(part)
        self.auctions.apply(part)
        self.controls.apply(part)
        resent = self.requests.answered(part)
        proposed, record = self.requests.proposed(part), self.requests.record(part)
        reported = self.reports.apply(part, resent, proposed, record)
        self.instructions.apply_events(part)
        self._keep(part, reported, resent)
        if reported:
            for listener in self.listeners:
                listener(self, reported)

    def _keep(
        self, part: EventPart, reported: list[Execution], resent: dict[int, Original]
    ) -> None:
        offset = part.input_offset
        output = self._outputs.setdefault(offset, _Output())
        output.parts.append(part)
        output.reported += reported
        output.resent = resent
        size = PART_BYTES + len(part.body) + len(reported) * REPORT_BYTES
        output.size += size
        self._outputs_size += size
        if part.is_last:
            output.is_complete = True
            self._applied_next = offset + 1
            self._heard_ns = self._clock.monotonic_ns()
            for interface, arrived_ns in self._arrivals.pop(offset, ()):
                self._round_trip(interface, arrived_ns)
            for index, future in self._waiters.pop(offset, ()):
                if not future.done():
                    future.set_result(output.outcome(index))
        while self._outputs_size > OUTCOME_BYTES_MAX and len(self._outputs) > 1:
            _, gone = self._outputs.popitem(last=False)
            self._outputs_size -= gone.size

    def _round_trip(self, interface: str, arrived_ns: int) -> None:
        took = (self._clock.monotonic_ns() - arrived_ns) / 1e9
        measured = self._measured.get(interface)
        if measured is None:  # to look it up takes as long as to count
            measured = self._measured[interface] = metrics.GATEWAY_ROUND_TRIP.labels(interface)
        measured.observe(took)

    # -- registry ----------------------------------------------------------------------------------

    async def _follow_registry(self, stop: asyncio.Event) -> None:
        partition = topics.registry(self.market.partition)
        target = await self._end(partition)
        decoder = msgspec.msgpack.Decoder(RegistryRecord)
        reader = await self._open(partition, self._registry_next)
        self._caught_up["registry"] |= reader.position >= target
        try:
            while not stop.is_set():
                for record in await self._read(reader):
                    try:
                        said = decoder.decode(record.value)
                    except msgspec.DecodeError as error:
                        words = f"registry record {record.offset} is none: {error}"
                        raise ChainBrokenError(words) from error
                    self._amid.add("registry")
                    self._apply_registry(said)
                    self._registry_next, self._registry_last = record.offset + 1, record.value
                    self._amid.discard("registry")
                await asyncio.sleep(0)
                self._caught_up["registry"] |= reader.position >= target
        finally:
            await reader.close()

    def _apply_registry(self, record: RegistryRecord) -> None:
        if record.number < self._registry_number:
            return
        if record.number > self._registry_number:
            raise ChainBrokenError(
                f"registry: expected record {self._registry_number}, found {record.number}"
            )
        self._registry_number += 1
        for item in record.items:
            self.holdings.apply(item)
            self.standings.apply(item)
        self.instructions.apply_registry(record)

    def _instruction_changed(self, instruction_id: int) -> None:
        for future in self._instruction_waiters.get(instruction_id, ()):
            if not future.done():
                future.set_result(None)

    # -- the log -----------------------------------------------------------------------------------

    async def reads_to_the_end(self, seconds: float) -> bool:
        """Whether what `orders` holds now is answered and read within so many seconds.

        Who decides by what is in force has to know it. O(records).
        """
        try:
            async with asyncio.timeout(seconds):
                end = await self._end(topics.orders(self.market.partition))
                await self.watch((end - 1) << INDEX_BITS)
        except TimeoutError:
            return False
        return self._applied_next >= end

    async def _end(self, partition: Any) -> int:
        while True:
            try:
                return await self._log.end(partition)
            except LogUnavailableError as error:
                self._logger.warning("log_unavailable", topic=partition.topic, error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _open(self, partition: Any, offset: int = 0) -> Reader:
        while True:
            try:
                return await self._log.open_reader(partition, offset)
            except LogUnavailableError as error:
                self._logger.warning("log_unavailable", topic=partition.topic, error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _read(self, reader: Reader) -> list[Any]:
        try:
            return await reader.read(wait_s=READ_WAIT_S)
        except LogUnavailableError as error:
            self._logger.warning("log_unavailable", offset=reader.position, error=str(error))
            await asyncio.sleep(RETRY_S)
            return []

    async def _measure_lag(self, events: Reader) -> None:
        now = self._clock.monotonic_ns()
        if now < self._lag_next_ns:
            return
        self._lag_next_ns = now + LAG_EVERY_NS
        try:
            end = await self._log.end(topics.events(self.market.partition))
        except LogUnavailableError:
            return
        labels = ("events", self.market.code, "gateway")
        metrics.LOG_LAG_RECORDS.labels(*labels).set(end - events.position)
