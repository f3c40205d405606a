"""MarketDataService: reads `events` of a market, writes `marketdata`, dense and in order.

Nothing is stored: a restart reads `events` from the first record, says again to itself what the
last record of `marketdata` shows as said, and goes on after it. Two services at once repeat each
other; readers drop repeats by number.
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
from exchange.marketdata.book import decode_record, encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import ChainBrokenError, EventFollower
from exchange.messages.market_data import MarketDataRecord
from exchange.reference.venue import Market
from exchange.settings import MARKETDATA_RETRY_S, MARKETDATA_SLICE_RECORDS_MAX, READ_RECORDS_MAX

WAIT_S = 0.2
LAST_TRIES = 50  # reads for the last record before the log counts as unavailable
OBSERVE_NS = 1_000_000_000

log = structlog.get_logger(__name__)


class MarketDataService:
    """The one writer of `marketdata`: a pure function of `events`, kept by `Depth`."""

    def __init__(self, log_: Log, market: Market, clock: Clock) -> None:
        self.name = f"marketdata-{market.code}"
        self.depth = Depth()
        self._log = log_
        self._clock = clock
        self._market = market.code
        self._events = topics.events(market.partition)
        self._marketdata = topics.marketdata(market.partition)
        self._partitions = topics.of_market(market.partition)
        self._follower = EventFollower()
        self._said = 0  # numbers below stand on `marketdata`
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
        self._said = await self._read_said()
        end = await self._log.end(self._events)
        reader = await self._log.open_reader(self._events, 0)
        self._say.info("market data starts", said=self._said, events_end=end)
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
                for at in range(0, len(records), MARKETDATA_SLICE_RECORDS_MAX):
                    new = self._apply(records[at : at + MARKETDATA_SLICE_RECORDS_MAX])
                    if not await self._publish(new, stop):
                        return
                    await asyncio.sleep(0)
        except ChainBrokenError as error:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            self._say.error("market data stops: events are broken", error=str(error))
            raise
        finally:
            await reader.close()
        self._say.info("market data stopped", input_offset=self._follower.input_offset)

    def _apply(self, records: list[Record]) -> list[MarketDataRecord]:
        new = []
        for record in records:
            part = self._follower.accept(record.offset, record.value)
            change = None if part is None else self.depth.apply(part)
            if change is not None and change.number >= self._said:
                new.append(change)
        if records:
            age_s = max(self._clock.now_ns() - records[-1].append_ns, 0) / 1e9
            metrics.LOG_LAG_SECONDS.labels(topics.EVENTS.name, self._market, "marketdata").set(
                age_s
            )
        return new

    async def _publish(self, new: list[MarketDataRecord], stop: asyncio.Event) -> bool:
        """Appends the records not said yet; False when told to stop while the log is away."""
        while new:
            try:
                await self._log.append(self._marketdata, [encode_record(r) for r in new])
            except AppendUncertainError as error:
                self._say.warning(
                    "append uncertain: reading what is there",
                    number=new[0].number,
                    error=str(error),
                )
                try:
                    self._said = await self._read_said()
                except LogUnavailableError:
                    await _pause(stop)
                new = [record for record in new if record.number >= self._said]
            except LogUnavailableError as error:
                self._say.warning(
                    "marketdata cannot be written", number=new[0].number, error=str(error)
                )
                await _pause(stop)
            else:
                self._said = new[-1].number + 1
                return True
            if new and stop.is_set():
                return False
        return True

    async def _read_said(self) -> int:
        """The number after the last record of `marketdata`. O(1) records read."""
        end = await self._log.end(self._marketdata)
        if end <= await self._log.begin(self._marketdata):
            return 0
        reader = await self._log.open_reader(self._marketdata, end - 1)
        highest = -1
        try:
            for _ in range(LAST_TRIES):
                for record in await reader.read(READ_RECORDS_MAX, WAIT_S):
                    highest = max(highest, decode_record(record.value).number)
                if highest >= 0:
                    return highest + 1
        finally:
            await reader.close()
        raise LogUnavailableError(f"marketdata record {end - 1} of {self._market} cannot be read")

    async def _observe(self, position: int) -> None:
        now = self._clock.monotonic_ns()
        if now - self._observed_ns < OBSERVE_NS:
            return
        self._observed_ns = now
        try:
            end = await self._log.end(self._events)
        except LogError:
            return
        metrics.LOG_LAG_RECORDS.labels(topics.EVENTS.name, self._market, "marketdata").set(
            max(end - position, 0)
        )


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(MARKETDATA_RETRY_S):
            await stop.wait()
    except TimeoutError:
        return
