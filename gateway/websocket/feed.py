"""The public feed: follows `marketdata`, keeps what new subscribers need, and hands all on.

`gateway.websocket.subscriber` is a connection, `gateway.websocket.fan_out` how a message gets to
many of them. Every message carries `symbol` and `number`, that of the record of `marketdata` it is
from: what is missed can be asked for at GET /marketdata.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any, Literal, NamedTuple

import msgspec
import structlog

from exchange import metrics, topics
from exchange.log.protocol import Log, LogError, LogUnavailableError
from exchange.marketdata.bars import WIDTHS_NS, Bars
from exchange.marketdata.book import BookError, MarketBooks, decode_record
from exchange.messages.market_data import (
    MINUTE_NS,
    AuctionTick,
    BarState,
    BarTick,
    BiddingTick,
    BookDelta,
    BookSnapshot,
    DayCorrectedTick,
    DayTick,
    FeedMessage,
    IndicativeTick,
    MarketDataItem,
    MarketDataRecord,
    OrdersDelta,
    OrdersSnapshot,
    PhaseTick,
    StatisticsTick,
    TopTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Instrument, Market, Venue
from exchange.settings import (
    BARS_KEPT,
    FEED_DEPTH_LEVELS_MAX,
    FEED_INDEX_STEP,
    READ_RECORDS_MAX,
    TRADES_KEPT,
)
from exchange.stands import leads_to
from gateway.refusal import Refused
from gateway.views.following import READ_WAIT_S, follow
from gateway.views.venue_view import MarketView
from gateway.websocket.fan_out import EncodingName, FanOut, Group, Label, Member

ChannelName = Literal[
    "top", "book", "orders", "trades", "phases", "indicative", "bars", "day", "auctions"
]
CHANNELS_UNASKED: tuple[ChannelName, ...] = ("book", "trades", "phases", "indicative", "day")
CHANNEL: dict[type, ChannelName] = {
    TopTick: "top",
    BookDelta: "book",
    BookSnapshot: "book",
    OrdersDelta: "orders",
    OrdersSnapshot: "orders",
    TradeTick: "trades",
    TradeCancelledTick: "trades",
    PhaseTick: "phases",
    IndicativeTick: "indicative",
    BarTick: "bars",  # minutes that are corrected are told on `trades` too
    DayTick: "day",
    DayCorrectedTick: "day",
    StatisticsTick: "day",
    AuctionTick: "auctions",
    BiddingTick: "auctions",
}
STATES: frozenset[ChannelName] = frozenset({"top", "indicative", "bars", "day"})
"""Channels whose newest message replaces those before it, for one who lags."""


_STANDS = ("trades", "dropped", "bars", "bar_ticks", "bidding")
"""What of a FeedInstrument a stand holds."""


class History(NamedTuple):
    """Records of `marketdata`, by number."""

    records: list[MarketDataRecord]
    next_number: int  # of the market, when it was asked
    is_complete: bool  # nothing after these was known


class FeedInstrument:
    """What the feed keeps of one instrument besides its books."""

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.label = Label(instrument.symbol)
        self.trades: deque[TradeTick] = deque(maxlen=TRADES_KEPT)
        self.dropped = -1  # the last trade that is not kept any more for lack of room
        self.bars = {width: Bars(BARS_KEPT, width) for width in WIDTHS_NS}
        self.bar_ticks: dict[int, BarTick] = {}  # the newest of each width
        self.bidding: dict[int, BiddingTick] = {}  # auctions that are open, by id
        self.groups: dict[ChannelName, set[Group]] = {}

    def members(self, channel: ChannelName) -> set[Member]:
        """Who subscribes to a channel. O(members)."""
        return {member for group in self.groups.get(channel, ()) for member in group.members}


class Feed:
    """Follows `marketdata` of every market and serves its subscribers."""

    def __init__(self, log: Log, venue: Venue, views: dict[str, MarketView]) -> None:
        self._log = log
        self._views = views
        self.books = {market.code: MarketBooks() for market in venue.market}
        self.fan_out = FanOut()
        self.instruments = {item.symbol: FeedInstrument(item) for item in venue.instrument}
        self._by_id = {
            (item.instrument.market, item.instrument.id): item for item in self.instruments.values()
        }
        self._places = {market.code: array("q") for market in venue.market}
        self._next = {market.code: 0 for market in venue.market}  # of `marketdata`
        self._last = {market.code: b"" for market in venue.market}  # the record before
        self._amid: set[str] = set()  # markets of which a record is taken just now, or failed
        self._caught_up = {market.code: False for market in venue.market}
        self._markets = venue.market
        self.failures: dict[str, str] = {}  # market -> the record that cannot be trusted

    @property
    def is_ready(self) -> bool:
        """True once everything that was on `marketdata` at the start has been read."""
        return all(is_read or code in self.failures for code, is_read in self._caught_up.items())

    def stand(self) -> dict[str, Any] | None:
        """What was read, to go on from; None when a market's data cannot be trusted. O(kept)."""
        if self.failures or self._amid:
            return None
        kept = {
            symbol: {name: getattr(item, name) for name in _STANDS}
            for symbol, item in self.instruments.items()
        }
        return {
            "books": self.books, "places": self._places, "next": self._next, "last": self._last,
            "kept": kept,
        }  # fmt: skip

    async def follows(self, stand: dict[str, Any]) -> bool:
        """Whether `marketdata` as it is now led to a stand. Raises LogError."""
        known = stand["kept"].keys(), stand["next"].keys()
        if known != (self.instruments.keys(), self._next.keys()):
            return False
        for market in self._markets:
            partition, end = topics.marketdata(market.partition), stand["next"][market.code]
            if not await leads_to(self._log, partition, end, stand["last"][market.code]):
                return False
        return True

    def go_on(self, stand: dict[str, Any]) -> None:
        """Goes on from a stand that `follows`; to be called before `run`."""
        self.books, self._places = stand["books"], stand["places"]
        self._next, self._last = stand["next"], stand["last"]
        for symbol, kept in stand["kept"].items():
            for name, value in kept.items():
                setattr(self.instruments[symbol], name, value)

    def find(self, symbol: str) -> FeedInstrument:
        """What is kept of an instrument; Refused (UNKNOWN_SYMBOL, MARKET_STOPPED). O(1)."""
        kept = self.instruments.get(symbol)
        if kept is None:
            raise Refused(EdgeReason.UNKNOWN_SYMBOL, f"symbol {symbol[:40]!r}")
        code = kept.instrument.market
        if code in self.failures:
            raise Refused(EdgeReason.MARKET_STOPPED, f"{code}: {self.failures[code]}")
        return kept

    async def run(self, stop: asyncio.Event) -> None:
        """Follows until `stop`; a market whose data contradicts itself is over at that record."""
        async with asyncio.TaskGroup() as group:
            for market in self._markets:
                group.create_task(self._follow(market, stop))

    def snapshot(self, symbol: str, levels_max: int = FEED_DEPTH_LEVELS_MAX) -> BookSnapshot:
        """The book of an instrument as a new subscriber gets it."""
        item = self.instruments[symbol].instrument
        known = self._views[item.market].positions.instruments.get(item.id)
        reference = known.reference_price if known else item.reference_price
        return self.books[item.market].snapshot(item.id, levels_max, reference)

    def orders_snapshot(self, symbol: str) -> OrdersSnapshot:
        """Every order shown of an instrument, as a new subscriber gets it."""
        item = self.instruments[symbol].instrument
        return self.books[item.market].order_book(item.id).snapshot()

    def number(self, market: str) -> int:
        """The last record of `marketdata` that was read; -1 before the first. O(1)."""
        return self.books[market].next_number - 1

    def first(
        self,
        wanted: Iterable[FeedInstrument],
        channels: tuple[ChannelName, ...],
        encoding: EncodingName,
    ) -> bytes:
        """The frames that a new subscriber gets before all others. O(what it shows)."""
        self.fan_out.flush()  # what is on its way is in these already
        return b"".join(
            kept.label.frame(message, self.number(kept.instrument.market), encoding)
            for kept in wanted
            for message in self._first(kept, channels)
        )

    def _first(
        self, kept: FeedInstrument, channels: tuple[ChannelName, ...]
    ) -> Iterable[FeedMessage]:
        item = kept.instrument
        books = self.books[item.market]
        if "book" in channels or "phases" in channels:
            yield self.snapshot(item.symbol)
        if "orders" in channels:
            yield self.orders_snapshot(item.symbol)
        if "top" in channels:
            yield books.tops.get(item.id) or TopTick(item.id, *([0] * 10))
        if "indicative" in channels and item.id in books.indicatives:
            yield books.indicatives[item.id]
        if "bars" in channels:
            yield from kept.bar_ticks.values()
        if "auctions" in channels:
            yield from kept.bidding.values()
        if "day" in channels and item.id in books.statistics:
            yield books.statistics[item.id]

    def join(
        self,
        member: Member,
        key: Hashable,
        wanted: Iterable[FeedInstrument],
        channels: tuple[ChannelName, ...],
        encoding: EncodingName,
    ) -> Group:
        """From now on the member gets what the channels bring. O(instruments x channels)."""
        group = self.fan_out.group(key, encoding)
        for kept in wanted:
            for channel in channels:
                kept.groups.setdefault(channel, set()).add(group)
        group.members.add(member)
        return group

    def leave(self, member: Member, key: Hashable, group: Group) -> None:
        """Ends it; idempotent. O(1), O(instruments) for the last of a group."""
        group.members.discard(member)
        if group.members:
            return
        self.fan_out.forget(key, group)
        for kept in self.instruments.values():
            for groups in kept.groups.values():
                groups.discard(group)

    async def history(self, market: Market, after: int, records_max: int) -> History:
        """Records with a number above `after`, read from the log.

        Raises LogUnavailableError. O(records_max + FEED_INDEX_STEP) records read.
        """
        number, end = max(after + 1, 0), self.books[market.code].next_number
        if number >= end:
            return History([], end, is_complete=True)
        place = self._places[market.code][number // FEED_INDEX_STEP]
        reader = await self._log.open_reader(topics.marketdata(market.partition), place)
        found: list[MarketDataRecord] = []
        try:
            while len(found) < records_max and number < end:
                values = await reader.read(READ_RECORDS_MAX, READ_WAIT_S)
                if not values:
                    raise LogUnavailableError(f"marketdata {number} of {market.code} is not read")
                for value in values:
                    record = decode_record(value.value)
                    if record.number == number and len(found) < records_max:
                        found.append(record)
                        number += 1
        finally:
            await reader.close()
        return History(found, end, is_complete=number >= end)

    async def _follow(self, market: Market, stop: asyncio.Event) -> None:
        def take(offset: int, value: bytes) -> None:
            self._amid.add(market.code)
            self._apply(market.code, offset, value)
            self._next[market.code], self._last[market.code] = offset + 1, value
            self._amid.discard(market.code)

        def caught_up() -> None:
            self._caught_up[market.code] = True

        partition = topics.marketdata(market.partition)
        try:
            begin = self._next[market.code]
            await follow(self._log, partition, market.code, stop, take, caught_up, begin=begin)
        except (BookError, LogError, msgspec.MsgspecError, ValueError, KeyError) as error:
            self._stop(market.code, error)

    def _stop(self, market: str, error: Exception) -> None:
        """Its subscribers and who asks are told; orders and the other markets go on."""
        self.failures[market] = f"marketdata {self.number(market) + 1}: {error}"
        metrics.STATE_HASH_MISMATCH.labels("gateway").inc()
        logger = structlog.get_logger().bind(service="gateway", market=market)
        logger.error("marketdata_broken", error=self.failures[market])
        refused = Refused(EdgeReason.MARKET_STOPPED, f"{market}: {self.failures[market]}")
        over = {
            member
            for kept in self.instruments.values()
            if kept.instrument.market == market
            for channel in kept.groups
            for member in kept.members(channel)
        }
        self.fan_out.flush()  # what came before the record
        for member in over:
            member.cut(refused)

    def _apply(self, market: str, offset: int, value: bytes) -> None:
        record = self.books[market].apply(value)
        if record is None:
            return
        if record.number % FEED_INDEX_STEP == 0:
            self._places[market].append(offset)
        for item in record.items:
            kept = self._by_id.get((market, item.instrument_id))
            if kept is not None:
                self._publish(kept, item, record.number)

    def _publish(self, kept: FeedInstrument, item: MarketDataItem, number: int) -> None:
        if isinstance(item, TradeTick):
            if len(kept.trades) == kept.trades.maxlen:
                kept.dropped = kept.trades[0].trade_id
            kept.trades.append(item)
            self._trade_in_bars(kept, item, number)
        elif isinstance(item, TradeCancelledTick):
            left = [trade for trade in kept.trades if trade.trade_id != item.trade_id]
            kept.trades = deque(left, maxlen=TRADES_KEPT)
        elif isinstance(item, BarTick):
            self._bar_told(kept, item)
            if item.state == BarState.CORRECTED and item.width_ns == MINUTE_NS:
                self._hand_on(kept, "trades", item, number)
        elif isinstance(item, BiddingTick):
            kept.bidding[item.auction_id] = item
        elif isinstance(item, AuctionTick):
            kept.bidding.pop(item.auction_id, None)
        self._hand_on(kept, CHANNEL[type(item)], item, number)

    def _trade_in_bars(self, kept: FeedInstrument, trade: TradeTick, number: int) -> None:
        item = kept.instrument.id
        for width, bars in kept.bars.items():
            bar = bars.apply(trade)
            if bar is not None:
                tick = bar.tick(item, width, BarState.RUNNING, trade.time_ns)
                kept.bar_ticks[width] = tick
                self._hand_on(kept, "bars", tick, number)

    @staticmethod
    def _bar_told(kept: FeedInstrument, item: BarTick) -> None:
        kept.bars[item.width_ns].correct(item)
        newest = kept.bar_ticks.get(item.width_ns)
        if newest is not None and newest.start_ns == item.start_ns:
            kept.bar_ticks[item.width_ns] = item

    def _hand_on(
        self, kept: FeedInstrument, channel: ChannelName, item: FeedMessage, number: int
    ) -> None:
        groups = kept.groups.get(channel)
        if not groups:
            return
        frames: dict[EncodingName, bytes] = {}
        sent = 0
        for group in groups:
            frame = frames.get(group.encoding)
            if frame is None:
                frame = frames[group.encoding] = kept.label.frame(item, number, group.encoding)
            if channel in STATES:
                group.state((item.instrument_id, *_state_of(item)), frame)
            else:
                group.queue(frame)
            self.fan_out.changed(group)
            sent += len(group.members)
        metrics.FEED_MESSAGES.labels(channel).inc(sent)


def _state_of(item: FeedMessage) -> tuple[Hashable, ...]:
    """What a message tells the newest state of."""
    if isinstance(item, BarTick):
        return BarTick, item.width_ns, item.start_ns
    if isinstance(item, IndicativeTick):
        return IndicativeTick, item.is_final
    if isinstance(item, DayCorrectedTick):
        return DayCorrectedTick, item.closed_ns
    if isinstance(item, StatisticsTick):
        return StatisticsTick, bool(item.close)
    return (type(item),)
