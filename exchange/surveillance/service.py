"""SurveillanceService: reads `events` of a market, writes `alerts`, each once and in order.

Nothing is stored: a restart reads `events` from the first record, keeps to itself what lies at or
before the place of the last record of `alerts`, and numbers what follows after it. So limits may
change between two runs: what was said stays. Two services at once repeat each other; readers drop
repeats by number.
"""

from __future__ import annotations

import asyncio

import structlog

from exchange import metrics, topics
from exchange.clock import Clock
from exchange.log.protocol import (
    AppendUncertainError,
    Log,
    LogError,
    LogUnavailableError,
    Record,
)
from exchange.messages.alerts import Alert, AlertRecord
from exchange.messages.frames import ChainBrokenError, EventFollower
from exchange.reference.venue import Market, Venue
from exchange.settings import (
    READ_RECORDS_MAX,
    SURVEILLANCE_RETRY_S,
    SURVEILLANCE_SLICE_RECORDS_MAX,
)
from exchange.surveillance.limits import Limits
from exchange.surveillance.monitor import Monitor
from exchange.surveillance.records import (
    RECORD_VERSION,
    Place,
    decode_record,
    encode_record,
    numbered,
)

WAIT_S = 0.2
LAST_TRIES = 50  # reads for the last record before the log counts as unavailable
OBSERVE_NS = 1_000_000_000

log = structlog.get_logger(__name__)

Batch = list[tuple[Place, tuple[Alert, ...]]]


class SurveillanceService:
    """The one writer of `alerts`: a pure function of `events` and limits, kept by `Monitor`."""

    def __init__(
        self, log_: Log, market: Market, venue: Venue, limits: Limits, clock: Clock
    ) -> None:
        self.name = f"surveillance-{market.code}"
        self.monitor = Monitor.of(venue, market, limits)
        self.input_offset = 0  # everything below has been read and said
        self._digest = limits.digest()
        self._log = log_
        self._clock = clock
        self._market = market.code
        self._events = topics.events(market.partition)
        self._alerts = topics.alerts(market.partition)
        self._partitions = topics.of_market(market.partition)
        self._follower = EventFollower()
        self._said: Place = (-1, -1)
        self._number = 0  # of the next record
        self._alert_number = 1  # of the next alert
        self._say = log.bind(market=market.code)
        self._is_ready = False
        self._observed_ns = 0

    @property
    def is_ready(self) -> bool:
        """True once the service has caught up with what `events` held at its start. O(1)."""
        return self._is_ready

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop; raises ChainBrokenError on a broken chain, LogError as given."""
        await self._log.create(self._partitions)
        await self._read_said()
        end = await self._log.end(self._events)
        reader = await self._log.open_reader(self._events, 0)
        self._say.info("surveillance starts", said=self._number, events_end=end)
        try:
            while not stop.is_set():
                self._is_ready = self._is_ready or reader.position >= end
                await self._observe(reader.position)
                try:
                    records = await reader.read(READ_RECORDS_MAX, WAIT_S)
                except LogUnavailableError as error:
                    self._say.warning("events cannot be read", error=str(error))
                    await _pause(stop)
                    continue
                if not self._is_ready:
                    metrics.REPLAYED.labels(self.name).inc(len(records))
                for at in range(0, len(records), SURVEILLANCE_SLICE_RECORDS_MAX):
                    new = self._apply(records[at : at + SURVEILLANCE_SLICE_RECORDS_MAX])
                    if not await self._publish(new, stop):
                        return
                    self.input_offset = self._follower.input_offset
                    await asyncio.sleep(0)
        except ChainBrokenError as error:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            self._say.error("surveillance stops: events are broken", error=str(error))
            raise
        finally:
            await reader.close()
        self._say.info("surveillance stopped", input_offset=self._follower.input_offset)

    def _apply(self, records: list[Record]) -> Batch:
        new: Batch = []
        for record in records:
            part = self._follower.accept(record.offset, record.value)
            alerts = [] if part is None else self.monitor.apply(part)
            if part is not None and alerts and (part.input_offset, part.part) > self._said:
                new.append(((part.input_offset, part.part), tuple(alerts)))
        if records:
            age_s = max(self._clock.now_ns() - records[-1].append_ns, 0) / 1e9
            metrics.LOG_LAG_SECONDS.labels(topics.EVENTS.name, self._market, "surveillance").set(
                age_s
            )
        return new

    def _records(self, new: Batch) -> list[AlertRecord]:
        records, alert_number = [], self._alert_number
        for number, ((offset, part), alerts) in enumerate(new, self._number):
            told = numbered(alerts, alert_number)
            alert_number += len(told)
            records.append(AlertRecord(RECORD_VERSION, number, offset, part, self._digest, told))
        return records

    async def _publish(self, new: Batch, stop: asyncio.Event) -> bool:
        """Appends what is not said yet; False when told to stop while the log is away."""
        while new:
            records = self._records(new)
            try:
                await self._log.append(self._alerts, [encode_record(r) for r in records])
            except AppendUncertainError as error:
                self._say.warning("append uncertain: reading what is there", error=str(error))
                try:
                    await self._read_said()
                except LogUnavailableError:
                    await _pause(stop)
                new = [(place, alerts) for place, alerts in new if place > self._said]
            except LogUnavailableError as error:
                self._say.warning("alerts cannot be written", error=str(error))
                await _pause(stop)
            else:
                self._count(records)
                return True
            if new and stop.is_set():
                return False
        return True

    def _count(self, records: list[AlertRecord]) -> None:
        for record in records:
            for alert in record.alerts:
                metrics.SURVEILLANCE_ALERTS.labels(self._market, alert.kind).inc()
                self._say.warning(
                    "alert", kind=alert.kind, number=alert.number, symbol=alert.symbol
                )
        self._stand_after(records[-1])

    def _stand_after(self, record: AlertRecord) -> None:
        self._said = record.input_offset, record.part
        self._number = record.number + 1
        self._alert_number = record.alerts[-1].number + 1

    async def _read_said(self) -> None:
        """Stands after the last record of `alerts`. O(1) records read."""
        end = await self._log.end(self._alerts)
        if end <= await self._log.begin(self._alerts):
            return
        reader = await self._log.open_reader(self._alerts, end - 1)
        found: list[AlertRecord] = []
        try:
            for _ in range(LAST_TRIES):
                rows = await reader.read(READ_RECORDS_MAX, WAIT_S)
                found += [decode_record(row.value) for row in rows]
                if found:
                    self._stand_after(max(found, key=lambda record: record.number))
                    return
        finally:
            await reader.close()
        raise LogUnavailableError(f"alerts record {end - 1} of {self._market} cannot be read")

    async def _observe(self, position: int) -> None:
        now = self._clock.monotonic_ns()
        if now - self._observed_ns < OBSERVE_NS:
            return
        self._observed_ns = now
        try:
            end = await self._log.end(self._events)
        except LogError:
            return
        metrics.LOG_LAG_RECORDS.labels(topics.EVENTS.name, self._market, "surveillance").set(
            max(end - position, 0)
        )


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(SURVEILLANCE_RETRY_S):
            await stop.wait()
    except TimeoutError:
        return
