"""The other end of market data: a local book, kept right by sequence and checksum.

`LocalBook` is one instrument's levels at a subscriber, `LocalOrderBook` its single orders; the
procedure is: subscribe, take the snapshot that comes first, then apply each delta. `MarketBooks`
follows topic `marketdata` itself (the gateway's
feed): it drops repeated records, refuses gaps, and gives snapshots to new subscribers.
"""

from __future__ import annotations

from itertools import islice

import msgspec
from sortedcontainers import SortedDict

from exchange.marketdata.checksum import checksum, written_checksum
from exchange.marketdata.orders import OrderSide
from exchange.messages.frames import Side
from exchange.messages.market_data import (
    BookDelta,
    BookLevel,
    BookSnapshot,
    DayTick,
    IndicativeTick,
    MarketDataRecord,
    OrderAction,
    OrderChange,
    OrdersDelta,
    OrdersSnapshot,
    PhaseTick,
    RestingOrder,
    StatisticsTick,
    TopTick,
    TradeTick,
)
from exchange.settings import FEED_DEPTH_LEVELS_MAX


class BookError(Exception):
    """The local book cannot be trusted: throw it away and take a new snapshot."""


class BookGapError(BookError):
    """A delta is missing."""


class ChecksumError(BookError):
    """The book differs from the venue's."""


class LocalBook:
    """One instrument's levels as a subscriber knows them; prices in minor units a tonne."""

    def __init__(self, instrument_id: int) -> None:
        self.instrument_id = instrument_id
        self.sequence = 0
        self.time_ns = 0
        self._bids: SortedDict[int, BookLevel] = SortedDict()  # key: -price
        self._asks: SortedDict[int, BookLevel] = SortedDict()  # key: price

    @classmethod
    def from_snapshot(cls, snapshot: BookSnapshot) -> LocalBook:
        """The book a snapshot describes; ChecksumError if it contradicts itself. O(levels)."""
        book = cls(snapshot.instrument_id)
        book.sequence, book.time_ns = snapshot.sequence, snapshot.time_ns
        book._bids.update((-level.price, level) for level in snapshot.bids)
        book._asks.update((level.price, level) for level in snapshot.asks)
        book._check(snapshot.checksum)
        return book

    @property
    def bids(self) -> list[BookLevel]:
        """Levels to buy, best first. O(levels)."""
        return list(self._bids.values())

    @property
    def asks(self) -> list[BookLevel]:
        """Levels to sell, best first. O(levels)."""
        return list(self._asks.values())

    def best(self, levels_max: int) -> tuple[tuple[BookLevel, ...], tuple[BookLevel, ...]]:
        """The best bids and asks, best first. O(levels_max)."""
        bids, asks = self._bids.values(), self._asks.values()
        return tuple(islice(bids, levels_max)), tuple(islice(asks, levels_max))

    def apply(self, delta: BookDelta) -> bool:
        """Applies the next delta; False if the book is past it already. O(levels x log levels).

        Raises BookGapError when deltas are missing and ChecksumError when the result differs from
        the venue's book; the book must then be thrown away.
        """
        if delta.instrument_id != self.instrument_id:
            raise ValueError(f"delta of instrument {delta.instrument_id}, not {self.instrument_id}")
        if delta.sequence <= self.sequence:
            return False
        if delta.previous_sequence != self.sequence:
            raise BookGapError(
                f"instrument {self.instrument_id}: delta follows sequence "
                f"{delta.previous_sequence}, the book is at {self.sequence}"
            )
        for level in delta.bids:
            _set(self._bids, -level.price, level)
        for level in delta.asks:
            _set(self._asks, level.price, level)
        self.sequence, self.time_ns = delta.sequence, delta.time_ns
        self._check(delta.checksum)
        return True

    def checksum(self) -> int:
        """As `exchange.marketdata.checksum` says. O(1)."""
        return checksum(self._bids.values(), self._asks.values())

    def _check(self, expected: int) -> None:
        found = self.checksum()
        if found != expected:
            raise ChecksumError(
                f"instrument {self.instrument_id} at sequence {self.sequence}: checksum {found}, "
                f"the venue says {expected}"
            )


def _set(side: SortedDict[int, BookLevel], key: int, level: BookLevel) -> None:
    if level.quantity:
        side[key] = level
    else:
        side.pop(key, None)


class LocalOrderBook:
    """One instrument's orders as a subscriber knows them, first to trade first."""

    def __init__(self, instrument_id: int) -> None:
        self.instrument_id = instrument_id
        self.sequence = 0
        self.time_ns = 0
        self._sides = {int(side): OrderSide(side) for side in Side}
        self._prices: dict[int, int] = {}  # of each order, for those that move

    @classmethod
    def from_snapshot(cls, snapshot: OrdersSnapshot) -> LocalOrderBook:
        """The book a snapshot describes; ChecksumError if it contradicts itself. O(orders)."""
        book = cls(snapshot.instrument_id)
        book.sequence, book.time_ns = snapshot.sequence, snapshot.time_ns
        for side, orders in ((Side.BUY, snapshot.bids), (Side.SELL, snapshot.asks)):
            for order in orders:
                book._sides[side].append(order.order_id, order.price, order.quantity)
                book._prices[order.order_id] = order.price
        book._check(snapshot.checksum)
        return book

    @property
    def bids(self) -> list[RestingOrder]:
        """Orders to buy, first to trade first. O(orders)."""
        return list(self._sides[Side.BUY])

    @property
    def asks(self) -> list[RestingOrder]:
        """Orders to sell, first to trade first. O(orders)."""
        return list(self._sides[Side.SELL])

    def levels(self, side: int) -> list[BookLevel]:
        """The totals by price that the orders of a side add up to, best first. O(levels)."""
        return list(self._sides[side].levels())

    def apply(self, delta: OrdersDelta) -> bool:
        """Applies the next delta; False if the book is past it. O(changes x log levels + orders).

        Raises BookGapError when deltas are missing and ChecksumError when the result differs from
        the venue's book; the book must then be thrown away.
        """
        if delta.instrument_id != self.instrument_id:
            raise ValueError(f"delta of instrument {delta.instrument_id}, not {self.instrument_id}")
        if delta.sequence <= self.sequence:
            return False
        if delta.previous_sequence != self.sequence:
            raise BookGapError(
                f"instrument {self.instrument_id}: orders follow sequence "
                f"{delta.previous_sequence}, the book is at {self.sequence}"
            )
        for change in delta.changes:
            try:
                self._change(change)
            except KeyError:
                raise ChecksumError(
                    f"instrument {self.instrument_id} at sequence {delta.sequence}: order "
                    f"{change.order_id} is not in the book"
                ) from None
        self.sequence, self.time_ns = delta.sequence, delta.time_ns
        self._check(delta.checksum)
        return True

    def snapshot(self) -> OrdersSnapshot:
        """What a new subscriber gets. O(orders)."""
        return OrdersSnapshot(
            instrument_id=self.instrument_id,
            sequence=self.sequence,
            bids=tuple(self._sides[Side.BUY]),
            asks=tuple(self._sides[Side.SELL]),
            checksum=self.checksum(),
            time_ns=self.time_ns,
        )

    def checksum(self) -> int:
        """As `exchange.marketdata.checksum` says. O(orders written)."""
        return written_checksum(self._sides[Side.BUY].written(), self._sides[Side.SELL].written())

    def _change(self, change: OrderChange) -> None:
        side, order_id = self._sides[change.side], change.order_id
        if change.action == OrderAction.CHANGE:
            side.change(order_id, change.price, change.quantity)
            return
        if change.action != OrderAction.ADD:
            side.remove(order_id, self._prices.pop(order_id))
        if change.action != OrderAction.DELETE:
            side.append(order_id, change.price, change.quantity)
            self._prices[order_id] = change.price

    def _check(self, expected: int) -> None:
        found = self.checksum()
        if found != expected:
            raise ChecksumError(
                f"instrument {self.instrument_id} at sequence {self.sequence}: checksum of the "
                f"orders {found}, the venue says {expected}"
            )


_decoder = msgspec.msgpack.Decoder(MarketDataRecord)
_encode = msgspec.msgpack.Encoder().encode


def encode_record(record: MarketDataRecord) -> bytes:
    """The bytes of a record of `marketdata`. O(items)."""
    return _encode(record)


def decode_record(value: bytes) -> MarketDataRecord:
    """A record of `marketdata`; msgspec.DecodeError or ValidationError if it is none. O(items)."""
    return _decoder.decode(value)


class MarketBooks:
    """Every book of a market from topic `marketdata`, read from its first record."""

    def __init__(self) -> None:
        self.next_number = 0
        self.books: dict[int, LocalBook] = {}
        self.order_books: dict[int, LocalOrderBook] = {}
        self.tops: dict[int, TopTick] = {}
        self.statistics: dict[int, StatisticsTick] = {}
        self.indicatives: dict[int, IndicativeTick] = {}
        self.phases: dict[int, int] = {}
        self.last_prices: dict[int, int] = {}
        self.closes: dict[int, int] = {}

    def apply(self, value: bytes) -> MarketDataRecord | None:
        """The record if it is the next one, None if it was applied before. O(items).

        Raises BookGapError when records are missing, ChecksumError when the books differ.
        """
        record = decode_record(value)
        if record.number < self.next_number:
            return None
        if record.number > self.next_number:
            raise BookGapError(f"marketdata {self.next_number} expected, found {record.number}")
        for item in record.items:
            if isinstance(item, BookDelta):
                self.book(item.instrument_id).apply(item)
            elif isinstance(item, OrdersDelta):
                self.order_book(item.instrument_id).apply(item)
            elif isinstance(item, TopTick):
                self.tops[item.instrument_id] = item
            elif isinstance(item, StatisticsTick):
                self.statistics[item.instrument_id] = item
            elif isinstance(item, IndicativeTick):
                self.indicatives[item.instrument_id] = item
            elif isinstance(item, TradeTick) and item.is_of_the_book:
                self.last_prices[item.instrument_id] = item.price
            elif isinstance(item, PhaseTick):
                self.phases[item.instrument_id] = item.phase
            elif isinstance(item, DayTick):
                self.closes[item.instrument_id] = item.close_price
        self.next_number += 1
        return record

    def book(self, instrument_id: int) -> LocalBook:
        """The book of an instrument, empty when nothing was said of it. O(1)."""
        book = self.books.get(instrument_id)
        if book is None:
            book = self.books[instrument_id] = LocalBook(instrument_id)
        return book

    def order_book(self, instrument_id: int) -> LocalOrderBook:
        """The orders of an instrument, none when nothing was said of it. O(1)."""
        book = self.order_books.get(instrument_id)
        if book is None:
            book = self.order_books[instrument_id] = LocalOrderBook(instrument_id)
        return book

    def snapshot(
        self, instrument_id: int, levels_max: int = FEED_DEPTH_LEVELS_MAX, reference_price: int = 0
    ) -> BookSnapshot:
        """What a new subscriber gets. O(levels_max).

        `reference_price` 0: the last close; the feed knows better (`exchange.positions`).
        """
        book = self.book(instrument_id)
        bids, asks = book.best(levels_max)
        return BookSnapshot(
            instrument_id=instrument_id,
            sequence=book.sequence,
            bids=bids,
            asks=asks,
            checksum=book.checksum(),
            phase=self.phases.get(instrument_id, 0),
            time_ns=book.time_ns,
            last_price=self.last_prices.get(instrument_id, 0),
            reference_price=reference_price or self.closes.get(instrument_id, 0),
        )
