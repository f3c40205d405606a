"""The public book of every instrument, from `events` alone: order by order, and in totals by level.

An order is shown while it stands in the book; of an iceberg only its slice. Stops, orders that wait
for the closing call, blocks and sealed bids are nobody else's business. Orders are shown under ids
of their own: the venue's would tell how long a stop had waited.

Pure: the same parts give the same records. What one record of `orders` caused is one change for the
public: levels touched and restored inside it (an order that came and was filled) say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from msgspec.structs import replace

from exchange.marketdata.bars import WIDTHS_NS, Bars
from exchange.marketdata.checksum import checksum, written_checksum
from exchange.marketdata.corrections import Close, TradeMemory
from exchange.marketdata.orders import OrderSide
from exchange.messages.frames import (
    PARAMETER_DEFAULT,
    Event,
    EventPart,
    EventRow,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    SettlementStep,
    Side,
    TimeInForce,
    TradeMethod,
    event_rows,
    settlement_terms,
)
from exchange.messages.market_data import (
    MINUTE_NS,
    AuctionTick,
    BarState,
    BarTick,
    BiddingTick,
    BookDelta,
    BookLevel,
    BookSnapshot,
    DayTick,
    IndicativeTick,
    MarketDataItem,
    MarketDataRecord,
    OrderAction,
    OrderChange,
    OrdersDelta,
    OrdersSnapshot,
    PhaseTick,
    TopTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.settings import FEED_DEPTH_LEVELS_MAX

RECORD_VERSION = 2

_IN_THE_BOOK = frozenset({OrderType.MARKET, OrderType.LIMIT})


@dataclass(slots=True, eq=False)
class _Order:
    """An order as the events describe it; quantities in tonnes."""

    instrument_id: int
    side: int
    price: int
    leaves: int
    is_in_book: bool
    display: int = 0  # of an iceberg
    shown: int = 0  # what the public counts of it
    public_id: int = 0  # given when it is first shown

    def slice(self) -> int:
        """What a newly shown order shows. O(1)."""
        if not self.is_in_book:
            return 0
        return min(self.display, self.leaves) if self.display else self.leaves


class _Before(NamedTuple):
    """An order as the public knows it, before what one record of `orders` caused."""

    price: int
    shown: int
    is_moved: bool  # since then it went last at its price


class _Book:
    """One instrument as the public sees it, and what the public does not know of it yet."""

    def __init__(self) -> None:
        self.sides = {int(side): OrderSide(side) for side in Side}
        self.sequence = 0
        self.orders_sequence = 0
        self.phase = 0
        self.last_price = 0
        self.last_quantity = 0
        self.last_time_ns = 0
        self.top: TopTick | None = None
        self.reference_price = 0
        self.previous_close = 0
        self.trades = TradeMemory()
        self.bars = [Bars(1, width) for width in WIDTHS_NS]
        self.close_rule = PARAMETER_DEFAULT[Parameter.CLOSE_RULE]
        self.close_volume_min = PARAMETER_DEFAULT[Parameter.CLOSE_VOLUME_MIN]
        self.call_price = 0  # of the day's last closing call
        self._levels: dict[tuple[int, int], BookLevel] = {}  # touched, as they were
        self._orders: dict[_Order, _Before] = {}  # touched; those that moved as they stand now

    def show(self, order: _Order, shown: int) -> None:
        """What was not shown goes last at its price, what was keeps its place. O(log levels)."""
        side, before = self.sides[order.side], self._orders.get(order)
        if before is None:
            before = self._orders[order] = _Before(order.price, order.shown, False)
        touched = order.side, order.price
        if touched not in self._levels:
            self._levels[touched] = side.level(order.price)
        if not order.shown:
            side.append(order.public_id, order.price, shown)
            del self._orders[order]
            self._orders[order] = before._replace(is_moved=True)
        elif shown:
            side.change(order.public_id, order.price, shown)
        else:
            side.remove(order.public_id, order.price)
        order.shown = shown

    def level_changes(self) -> tuple[tuple[BookLevel, ...], tuple[BookLevel, ...]]:
        """Bids and asks, best first, that differ from what was told. O(touched log touched)."""
        changed: dict[int, list[BookLevel]] = {side: [] for side in self.sides}
        for (side, price), before in self._levels.items():
            level = self.sides[side].level(price)
            if level != before:
                changed[side].append(level)
        self._levels.clear()
        bids, asks = changed[Side.BUY], changed[Side.SELL]
        bids.sort(key=_price, reverse=True)
        asks.sort(key=_price)
        return tuple(bids), tuple(asks)

    def order_changes(self) -> tuple[OrderChange, ...]:
        """Orders that differ from what was told. O(touched)."""
        changes = []
        for order, before in self._orders.items():
            price = order.price
            if not before.shown:
                action = OrderAction.ADD if order.shown else 0
            elif not order.shown:
                action, price = OrderAction.DELETE, before.price
            elif before.is_moved:
                action = OrderAction.MOVE
            else:
                action = OrderAction.CHANGE if order.shown != before.shown else 0
            if action:
                changes.append(OrderChange(action, order.side, order.public_id, price, order.shown))
        self._orders.clear()
        return tuple(changes)

    def orders_checksum(self) -> int:
        """Of the single orders. O(levels written)."""
        return written_checksum(self.sides[Side.BUY].written(), self.sides[Side.SELL].written())


def _price(level: BookLevel) -> int:
    return level.price


class Depth:
    """All books of a market: feed it every accepted part of `events`, in order."""

    def __init__(self) -> None:
        self.next_number = 0  # of the next MarketDataRecord
        self.time_ns = 0
        self._books: dict[int, _Book] = {}
        self._orders: dict[int, _Order] = {}
        self._touched: dict[int, None] = {}  # instruments, in order of first touch
        self._traded: dict[int, None] = {}  # instruments whose day has other figures
        self._ticks: list[MarketDataItem] = []
        self._event = 0
        self._shown = 0  # orders that ever were shown
        self._auctions: dict[int, int] = {}  # open: tonnes offered
        self._bars_end_ns = 0  # when the first running bar is over; 0 = none runs

    def apply(self, part: EventPart) -> MarketDataRecord | None:
        """What the part changed for the public; None if nothing, or if more parts follow.

        O(events x log levels).
        """
        self._event, self.time_ns = part.first_event, part.time_ns
        if self._bars_end_ns and self.time_ns >= self._bars_end_ns:
            self._end_bars()
        for row in event_rows(part.body):
            handler = _HANDLERS.get(row.kind)
            if handler is not None:
                handler(self, row)
            self._event += 1
        if not part.is_last:
            return None
        items = (*self._ticks, *self._changes())
        self._ticks = []
        if not items:
            return None
        record = MarketDataRecord(RECORD_VERSION, self.next_number, part.input_offset, items)
        self.next_number += 1
        return record

    @property
    def instruments(self) -> list[int]:
        """Instruments opened so far, in that order. O(instruments)."""
        return list(self._books)

    def levels(self, instrument_id: int, side: int) -> list[BookLevel]:
        """All levels of one side, best first; [] for an unknown instrument. O(levels)."""
        book = self._books.get(instrument_id)
        return list(book.sides[side].levels()) if book is not None else []

    def public_id(self, order_id: int) -> int:
        """The id under which the public knows a live order; 0 if it was never shown. O(1)."""
        order = self._orders.get(order_id)
        return order.public_id if order is not None else 0

    def snapshot(self, instrument_id: int, levels_max: int = FEED_DEPTH_LEVELS_MAX) -> BookSnapshot:
        """The visible book of an instrument; KeyError if it was never opened. O(levels_max)."""
        book = self._books[instrument_id]
        bids = tuple(islice(book.sides[Side.BUY].levels(), levels_max))
        asks = tuple(islice(book.sides[Side.SELL].levels(), levels_max))
        return BookSnapshot(
            instrument_id=instrument_id,
            sequence=book.sequence,
            bids=bids,
            asks=asks,
            checksum=checksum(bids, asks),
            phase=book.phase,
            time_ns=self.time_ns,
            last_price=book.last_price,
            reference_price=book.reference_price,
        )

    def orders_snapshot(self, instrument_id: int) -> OrdersSnapshot:
        """Every order shown of an instrument; KeyError if it was never opened. O(orders)."""
        book = self._books[instrument_id]
        return OrdersSnapshot(
            instrument_id=instrument_id,
            sequence=book.orders_sequence,
            bids=tuple(book.sides[Side.BUY]),
            asks=tuple(book.sides[Side.SELL]),
            checksum=book.orders_checksum(),
            time_ns=self.time_ns,
        )

    # -- what one record of `orders` caused -----------------------------------------------------

    def _changes(self) -> Iterator[MarketDataItem]:
        for instrument_id in self._touched:
            yield from self._deltas(instrument_id, self._books[instrument_id])
        for instrument_id in self._touched | self._traded:
            top = self._top(instrument_id, self._books[instrument_id])
            if top is not None:
                yield top
        for instrument_id in self._traded:
            book = self._books[instrument_id]
            yield book.trades.statistics(instrument_id, book.previous_close, 0, self.time_ns)
        self._touched.clear()
        self._traded.clear()

    def _deltas(self, instrument_id: int, book: _Book) -> Iterator[MarketDataItem]:
        bids, asks = book.level_changes()
        if bids or asks:
            book.sequence += 1
            bid_side, ask_side = book.sides[Side.BUY], book.sides[Side.SELL]
            total = written_checksum(bid_side.summed(), ask_side.summed())
            yield BookDelta(
                instrument_id=instrument_id,
                previous_sequence=book.sequence - 1,
                sequence=book.sequence,
                bids=bids,
                asks=asks,
                checksum=total,
                time_ns=self.time_ns,
            )
        changes = book.order_changes()
        if changes:
            book.orders_sequence += 1
            yield OrdersDelta(
                instrument_id=instrument_id,
                previous_sequence=book.orders_sequence - 1,
                sequence=book.orders_sequence,
                changes=changes,
                checksum=book.orders_checksum(),
                time_ns=self.time_ns,
            )

    def _top(self, instrument_id: int, book: _Book) -> TopTick | None:
        bid, ask = book.sides[Side.BUY].best(), book.sides[Side.SELL].best()
        before = book.top
        top = TopTick(
            instrument_id,
            *(bid.price, bid.quantity, bid.orders),
            *(ask.price, ask.quantity, ask.orders),
            *(book.last_price, book.last_quantity, book.last_time_ns),
            self.time_ns if before is None else before.time_ns,
        )
        if top == before:
            return None
        book.top = top = replace(top, time_ns=self.time_ns)
        return top

    def _end_bars(self) -> None:
        ends = []
        for instrument_id, book in self._books.items():
            for at, width in enumerate(WIDTHS_NS):
                bar = book.bars[at].last
                if bar is None:
                    continue
                if bar.start_ns + width <= self.time_ns:
                    tick = bar.tick(instrument_id, width, BarState.COMPLETE, self.time_ns)
                    self._ticks.append(tick)
                    book.bars[at] = Bars(1, width)
                else:
                    ends.append(bar.start_ns + width)
        self._bars_end_ns = min(ends, default=0)

    # -- one event ------------------------------------------------------------------------------

    def _show(self, order: _Order, shown: int) -> None:
        if shown == order.shown:
            return
        if not order.public_id:
            self._shown += 1
            order.public_id = self._shown
        self._books[order.instrument_id].show(order, shown)
        self._touched[order.instrument_id] = None

    def _accepted(self, row: EventRow) -> None:
        is_parked = (
            row.time_in_force == TimeInForce.AT_THE_CLOSE
            and self._books[row.instrument_id].phase != Phase.CLOSING_CALL
        )
        is_in_book = row.order_type in _IN_THE_BOOK and not is_parked
        order = _Order(row.instrument_id, row.side, row.price, row.quantity, is_in_book)
        self._orders[row.order_id] = order
        self._show(order, order.slice())

    def _terms_set(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        if order.display != row.quantity:  # one that keeps its display may keep its place and slice
            order.display = row.quantity
            self._show(order, order.slice())

    def _triggered(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        order.is_in_book, order.price = True, row.price
        self._show(order, order.slice())

    def _refilled(self, row: EventRow) -> None:
        self._show(self._orders[row.order_id], row.quantity)

    def _fill(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        order.leaves -= row.quantity
        is_slice = row.order_type == Liquidity.MAKER and row.reason != TradeMethod.CALL_TRADE
        # A slice that is used up shows nothing until it is refilled.
        shown = max(order.shown - row.quantity, 0) if is_slice else order.slice()
        self._show(order, shown if order.is_in_book else 0)
        if not order.leaves:
            del self._orders[row.order_id]
        if row.order_type != Liquidity.MAKER:
            return
        taker = Side.SELL if row.side == Side.BUY else Side.BUY
        tick = TradeTick(
            row.instrument_id, self._event, row.price, row.quantity, taker, self.time_ns, row.reason
        )
        if tick.is_of_the_book:
            self._traded_in_book(self._books[row.instrument_id], tick)
        self._ticks.append(tick)

    def _traded_in_book(self, book: _Book, tick: TradeTick) -> None:
        book.last_price, book.last_quantity = tick.price, tick.quantity
        book.last_time_ns = tick.time_ns
        book.trades.add(tick)
        self._traded[tick.instrument_id] = None
        for bars in book.bars:
            bars.apply(tick)
        end = tick.time_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS  # no bar is over before the minute
        self._bars_end_ns = min(self._bars_end_ns or end, end)

    def _trade_settled(self, row: EventRow) -> None:
        if row.order_type == SettlementStep.DELIVER:
            return
        _, trade_id = settlement_terms(row)
        book = self._books[row.instrument_id]
        price, traded_ns = book.trades.find(trade_id)
        self._ticks.append(TradeCancelledTick(
            row.instrument_id, trade_id, row.quantity, self.time_ns, price, traded_ns
        ))  # fmt: skip
        if price:
            told = book.trades.take_back(trade_id, row.instrument_id, self.time_ns)
            for bar in told:
                for bars in book.bars:
                    if isinstance(bar, BarTick):
                        bars.correct(bar)
            self._ticks += told
            book.last_price, book.last_quantity, book.last_time_ns = book.trades.last
            self._traded[row.instrument_id] = None

    def _cancelled(self, row: EventRow) -> None:
        self._show(self._orders.pop(row.order_id), 0)

    def _replaced(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        if row.order_type == 1:  # it keeps its place, and so its price
            order.leaves = row.quantity
            self._show(order, min(order.shown, order.leaves))
            return
        self._show(order, 0)
        order.price, order.leaves = row.price, row.quantity
        self._show(order, order.slice())

    def _indicative(self, row: EventRow) -> None:
        is_final = row.kind == Event.UNCROSSED
        book = self._books[row.instrument_id]
        if is_final and book.phase == Phase.CLOSING_CALL:
            book.call_price = row.price
        tick = IndicativeTick(
            row.instrument_id, row.price, row.quantity, row.value, is_final, self.time_ns
        )
        self._ticks.append(tick)

    def _instrument_opened(self, row: EventRow) -> None:
        self._books[row.instrument_id] = _Book()

    def _phase_changed(self, row: EventRow) -> None:
        self._books[row.instrument_id].phase = row.order_type
        self._ticks.append(PhaseTick(row.instrument_id, row.order_type, self.time_ns))

    def _reference_changed(self, row: EventRow) -> None:
        self._books[row.instrument_id].reference_price = row.price

    def _parameter_changed(self, row: EventRow) -> None:
        book = self._books[row.instrument_id]
        if row.order_type == Parameter.CLOSE_RULE:
            book.close_rule = row.quantity
        elif row.order_type == Parameter.CLOSE_VOLUME_MIN:
            book.close_volume_min = row.quantity

    def _day_closed(self, row: EventRow) -> None:
        book = self._books[row.instrument_id]
        self._ticks.append(book.trades.statistics(
            row.instrument_id, book.previous_close, row.price, self.time_ns
        ))  # fmt: skip
        self._traded.pop(row.instrument_id, None)
        book.previous_close = row.price
        close = Close(book.close_rule, book.close_volume_min, book.reference_price, book.call_price)
        book.reference_price, book.call_price = row.price, 0
        self._ticks.append(
            DayTick(row.instrument_id, row.price, row.quantity, row.value, self.time_ns)
        )
        corrected = book.trades.close_day(self._event, close, row.instrument_id, self.time_ns)
        if corrected is not None:
            self._ticks.append(corrected)

    def _auction_opened(self, row: EventRow) -> None:
        self._auctions[row.order_id] = row.quantity

    def _bidding_closes(self, row: EventRow) -> None:
        offered = self._auctions[row.order_id]
        self._ticks.append(BiddingTick(
            row.instrument_id, row.order_id, row.side, offered, row.value, self.time_ns
        ))  # fmt: skip

    def _auction_ended(self, row: EventRow) -> None:
        offered = self._auctions.pop(row.order_id)
        is_cleared = row.kind == Event.AUCTION_CLEARED
        price, sold = (row.price, row.quantity) if is_cleared else (0, 0)
        self._ticks.append(AuctionTick(
            row.instrument_id, row.order_id, row.side, price, sold, row.value, offered,
            0 if is_cleared else row.reason, self.time_ns,
        ))  # fmt: skip


_HANDLERS: dict[int, Callable[[Depth, EventRow], None]] = {
    Event.ACCEPTED: Depth._accepted,
    Event.FILL: Depth._fill,
    Event.TRADE_SETTLED: Depth._trade_settled,
    Event.CANCELLED: Depth._cancelled,
    Event.REPLACED: Depth._replaced,
    Event.TERMS_SET: Depth._terms_set,
    Event.TRIGGERED: Depth._triggered,
    Event.REFILLED: Depth._refilled,
    Event.INDICATIVE: Depth._indicative,
    Event.UNCROSSED: Depth._indicative,
    Event.INSTRUMENT_OPENED: Depth._instrument_opened,
    Event.PHASE_CHANGED: Depth._phase_changed,
    Event.REFERENCE_CHANGED: Depth._reference_changed,
    Event.DAY_CLOSED: Depth._day_closed,
    Event.PARAMETER_CHANGED: Depth._parameter_changed,
    Event.AUCTION_OPENED: Depth._auction_opened,
    Event.BIDDING_CLOSES: Depth._bidding_closes,
    Event.AUCTION_CLEARED: Depth._auction_ended,
    Event.AUCTION_CANCELLED: Depth._auction_ended,
}
"""What the public sees of each event; holds, balances and refusals are nobody else's business."""
