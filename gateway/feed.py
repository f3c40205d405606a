"""The public feed: from `marketdata` to subscribers of ws://HOST:PORT/marketdata.

A subscriber sends `{"type": "subscribe", "symbols": [...], "channels": [...]}` and gets, for each
symbol, first a `snapshot`, then every `delta` with `previous_sequence` and `checksum`
(`exchange.marketdata.checksum` says how to keep the local book). Channels are `book`, `trades`,
`phases` and `day`; symbols `["*"]` are all. Every message carries `symbol`. Each change is encoded
once and sent to all; a subscriber with FEED_QUEUE_BYTES_MAX unsent bytes is cut.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Literal

import msgspec
import structlog

from exchange import metrics, topics
from exchange.clock import Clock
from exchange.log.protocol import Log, LogUnavailableError, Reader
from exchange.marketdata.bars import Bars
from exchange.marketdata.book import BookError, MarketBooks
from exchange.messages.market_data import (
    BarTick,
    BookDelta,
    BookSnapshot,
    DayCorrectedTick,
    DayTick,
    FeedMessage,
    IndicativeTick,
    MarketDataItem,
    PhaseTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Instrument, Market, Venue
from exchange.settings import (
    BARS_KEPT,
    FEED_DEPTH_LEVELS_MAX,
    FEED_QUEUE_BYTES_MAX,
    SUBSCRIPTIONS_MAX,
    TRADES_KEPT,
)
from gateway.fields import decode
from gateway.refusal import Refused
from gateway.sockets import Connection, Connections, encode
from gateway.venue_view import MarketView

READ_WAIT_S = 0.5
RETRY_S = 0.2
SLICE_NS = 5_000_000
ChannelName = Literal["book", "trades", "phases", "indicative", "day"]
CHANNELS: tuple[ChannelName, ...] = ("book", "trades", "phases", "indicative", "day")
CHANNEL: dict[type, str] = {
    BookDelta: "book",
    BookSnapshot: "book",
    TradeTick: "trades",
    TradeCancelledTick: "trades",
    BarTick: "trades",
    PhaseTick: "phases",
    IndicativeTick: "indicative",
    DayTick: "day",
    DayCorrectedTick: "day",
}


class Subscribe(
    msgspec.Struct, frozen=True, tag="subscribe", tag_field="type", forbid_unknown_fields=True
):
    """What a subscriber wants; a second one replaces the first."""

    symbols: list[str]
    channels: tuple[ChannelName, ...] = CHANNELS


_subscribe = msgspec.json.Decoder(Subscribe)


class FeedInstrument:
    """What the feed keeps of one instrument besides its book."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.prefix = b'{"symbol":' + encode(instrument.symbol) + b","
        self.trades: deque[TradeTick] = deque(maxlen=TRADES_KEPT)
        self.bars = Bars(BARS_KEPT)
        self.subscribers: dict[str, set[Subscriber]] = {channel: set() for channel in CHANNELS}

    def message(self, item: FeedMessage) -> bytes:
        """An item as subscribers get it: JSON with the symbol in front."""
        return self.prefix + encode(item)[1:]


class Feed:
    """Follows `marketdata` of every market and serves its subscribers."""

    def __init__(self, log: Log, venue: Venue, views: dict[str, MarketView], clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._views = views
        self.books = {market.code: MarketBooks() for market in venue.market}
        self.instruments = {item.symbol: FeedInstrument(item) for item in venue.instrument}
        self._by_id = {
            (item.instrument.market, item.instrument.id): item for item in self.instruments.values()
        }
        self._caught_up = {market.code: False for market in venue.market}
        self._markets = venue.market

    @property
    def is_ready(self) -> bool:
        """True once everything that was on `marketdata` at the start has been read."""
        return all(self._caught_up.values())

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until `stop`; raises BookError when market data contradicts itself."""
        async with asyncio.TaskGroup() as group:
            for market in self._markets:
                group.create_task(self._follow(market, stop))

    def snapshot(self, symbol: str, levels_max: int = FEED_DEPTH_LEVELS_MAX) -> BookSnapshot:
        """The book of an instrument as a new subscriber gets it."""
        item = self.instruments[symbol].instrument
        known = self._views[item.market].positions.instruments.get(item.id)
        reference = known.reference_price if known else item.reference_price
        return self.books[item.market].snapshot(item.id, levels_max, reference)

    async def _follow(self, market: Market, stop: asyncio.Event) -> None:
        partition = topics.marketdata(market.partition)
        logger = structlog.get_logger().bind(service="gateway", market=market.code)
        reader: Reader | None = None
        target = 0
        sliced = self._clock.monotonic_ns()
        try:
            while not stop.is_set():
                try:
                    if reader is None:
                        target = await self._log.end(partition)
                        reader = await self._log.open_reader(partition, 0)
                    records = await reader.read(wait_s=READ_WAIT_S)
                except LogUnavailableError as error:
                    logger.warning("log_unavailable", topic=partition.topic, error=str(error))
                    await asyncio.sleep(RETRY_S)
                    continue
                for record in records:
                    self._apply(market.code, record.value)
                    if self._clock.monotonic_ns() - sliced > SLICE_NS:
                        await asyncio.sleep(0)
                        sliced = self._clock.monotonic_ns()
                self._caught_up[market.code] |= reader.position >= target
        except BookError as error:
            metrics.STATE_HASH_MISMATCH.labels("gateway").inc()
            logger.error("marketdata_broken", error=str(error))
            raise
        finally:
            if reader is not None:
                await reader.close()

    def _apply(self, market: str, value: bytes) -> None:
        record = self.books[market].apply(value)
        for item in record.items if record else ():
            kept = self._by_id.get((market, item.instrument_id))
            if kept is not None:
                self._publish(kept, item)

    @staticmethod
    def _publish(kept: FeedInstrument, item: MarketDataItem) -> None:
        if isinstance(item, TradeTick):
            kept.trades.append(item)
            kept.bars.apply(item)
        elif isinstance(item, TradeCancelledTick):
            left = [trade for trade in kept.trades if trade.trade_id != item.trade_id]
            kept.trades = deque(left, maxlen=TRADES_KEPT)
        elif isinstance(item, BarTick):
            kept.bars.correct(item)
        channel = CHANNEL[type(item)]
        subscribers = kept.subscribers[channel]
        if not subscribers:
            return
        message = kept.message(item)
        for subscriber in list(subscribers):
            subscriber.send(message)
        metrics.FEED_MESSAGES.labels(channel).inc(len(subscribers))


class Subscriber(Connection):
    """One connection of the public feed."""

    interface = "feed"
    queue_bytes_max = FEED_QUEUE_BYTES_MAX

    def __init__(self, connections: Connections, feed: Feed) -> None:
        super().__init__(connections)
        self._feed = feed
        self._wanted: list[tuple[FeedInstrument, str]] = []

    def received(self, data: bytes) -> None:
        """A subscription: checked whole, then snapshots first and everything after."""
        request = decode(data, _subscribe)
        wanted = self._instruments(request.symbols)
        self.closed()
        self.introduced()
        names = [item.instrument.symbol for item in wanted]
        channels = sorted(set(request.channels))
        self.send(encode({"type": "subscribed", "symbols": names, "channels": channels}))
        for item in wanted:
            if "book" in channels or "phases" in channels:
                self.send(item.message(self._feed.snapshot(item.instrument.symbol)))
            for channel in channels:
                item.subscribers[channel].add(self)
                self._wanted.append((item, channel))
                metrics.FEED_SUBSCRIBERS.labels(channel).inc()

    def refuse(self, refused: Refused) -> None:
        """Says what was wrong with the subscription; the connection stays."""
        self.send(encode(refused.reject()))

    def closed(self) -> None:
        """Ends every subscription."""
        for item, channel in self._wanted:
            item.subscribers[channel].discard(self)
            metrics.FEED_SUBSCRIBERS.labels(channel).dec()
        self._wanted.clear()

    def cut(self, refused: Refused) -> None:
        """Ends the subscriptions with the connection."""
        self.closed()
        super().cut(refused)

    def _instruments(self, symbols: list[str]) -> list[FeedInstrument]:
        known: dict[str, Any] = self._feed.instruments
        if symbols == ["*"]:
            return list(known.values())
        if not 1 <= len(symbols) <= SUBSCRIPTIONS_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"symbols: name 1 to {SUBSCRIPTIONS_MAX}")
        for symbol in symbols:
            if symbol not in known:
                raise Refused(EdgeReason.UNKNOWN_SYMBOL, f"symbol {symbol[:40]!r}")
        return [known[symbol] for symbol in dict.fromkeys(symbols)]
