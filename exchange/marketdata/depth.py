"""The public book of every instrument, from `events` alone: totals and order counts by level.

An order is shown while it stands in the book; of an iceberg only its slice. Stops, orders that wait
for the closing call, blocks and sealed bids are nobody else's business.

Pure: the same parts give the same records. What one record of `orders` caused is one change for the
public: levels touched and restored inside it (an order that came and was filled) say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from sortedcontainers import SortedDict

from exchange.marketdata.checksum import checksum
from exchange.marketdata.corrections import Close, TradeMemory
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
    BookDelta,
    BookLevel,
    BookSnapshot,
    DayTick,
    IndicativeTick,
    MarketDataItem,
    MarketDataRecord,
    PhaseTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.settings import FEED_DEPTH_LEVELS_MAX

RECORD_VERSION = 1

_IN_THE_BOOK = frozenset({OrderType.MARKET, OrderType.LIMIT})


@dataclass(slots=True)
class _Order:
    """An order as the events describe it; quantities in tonnes."""

    instrument_id: int
    side: int
    price: int
    leaves: int
    is_in_book: bool
    display: int = 0  # of an iceberg
    shown: int = 0  # what the public counts of it

    def slice(self) -> int:
        """What a newly shown order shows. O(1)."""
        if not self.is_in_book:
            return 0
        return min(self.display, self.leaves) if self.display else self.leaves


class _BookSide:
    """Price levels of one side, best first: key -> [quantity, orders]."""

    def __init__(self, side: int) -> None:
        self._sign = -1 if side == Side.BUY else 1
        self._levels: SortedDict[int, list[int]] = SortedDict()
        self._before: dict[int, tuple[int, int]] = {}  # touched keys, as the public knows them

    def add(self, price: int, quantity: int, orders: int) -> None:
        """Changes a level. O(log levels)."""
        key = self._sign * price
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = [0, 0]
        self._before.setdefault(key, (level[0], level[1]))
        level[0] += quantity
        level[1] += orders

    def changes(self) -> tuple[BookLevel, ...]:
        """Levels that differ from what `changes` last left, with their new totals. O(touched)."""
        changed = []
        for key in sorted(self._before):
            quantity, orders = self._levels[key]
            if orders == 0:
                del self._levels[key]
            if (quantity, orders) != self._before[key]:
                changed.append(BookLevel(self._sign * key, quantity, orders))
        self._before.clear()
        return tuple(changed)

    def __iter__(self) -> Iterator[BookLevel]:
        for key, (quantity, orders) in self._levels.items():
            yield BookLevel(self._sign * key, quantity, orders)


class _Book:
    """One instrument as the public sees it."""

    def __init__(self) -> None:
        self.sides = {side: _BookSide(side) for side in Side}
        self.sequence = 0
        self.phase = 0
        self.last_price = 0
        self.reference_price = 0
        self.trades = TradeMemory()
        self.close_rule = PARAMETER_DEFAULT[Parameter.CLOSE_RULE]
        self.close_volume_min = PARAMETER_DEFAULT[Parameter.CLOSE_VOLUME_MIN]
        self.call_price = 0  # of the day's last closing call


class Depth:
    """All books of a market: feed it every accepted part of `events`, in order."""

    def __init__(self) -> None:
        self.next_number = 0  # of the next MarketDataRecord
        self.time_ns = 0
        self._books: dict[int, _Book] = {}
        self._orders: dict[int, _Order] = {}
        self._touched: dict[int, None] = {}  # instruments, in order of first touch
        self._ticks: list[MarketDataItem] = []
        self._event = 0

    def apply(self, part: EventPart) -> MarketDataRecord | None:
        """What the part changed for the public; None if nothing, or if more parts follow.

        O(events x log levels).
        """
        self._event, self.time_ns = part.first_event, part.time_ns
        for row in event_rows(part.events):
            handler = _HANDLERS.get(row.kind)
            if handler is not None:
                handler(self, row)
            self._event += 1
        if not part.is_last:
            return None
        items = (*self._ticks, *self._deltas())
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
        return list(book.sides[Side(side)]) if book is not None else []

    def snapshot(self, instrument_id: int, levels_max: int = FEED_DEPTH_LEVELS_MAX) -> BookSnapshot:
        """The visible book of an instrument; KeyError if it was never opened. O(levels_max)."""
        book = self._books[instrument_id]
        bids = tuple(islice(book.sides[Side.BUY], levels_max))
        asks = tuple(islice(book.sides[Side.SELL], levels_max))
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

    def _deltas(self) -> Iterator[BookDelta]:
        for instrument_id in self._touched:
            book = self._books[instrument_id]
            bids, asks = book.sides[Side.BUY].changes(), book.sides[Side.SELL].changes()
            if not bids and not asks:
                continue
            book.sequence += 1
            yield BookDelta(
                instrument_id=instrument_id,
                previous_sequence=book.sequence - 1,
                sequence=book.sequence,
                bids=bids,
                asks=asks,
                checksum=checksum(book.sides[Side.BUY], book.sides[Side.SELL]),
                time_ns=self.time_ns,
            )
        self._touched.clear()

    # -- one event ------------------------------------------------------------------------------

    def _show(self, order: _Order, shown: int) -> None:
        if shown != order.shown:
            orders = (shown > 0) - (order.shown > 0)
            side = self._books[order.instrument_id].sides[Side(order.side)]
            side.add(order.price, shown - order.shown, orders)
            self._touched[order.instrument_id] = None
            order.shown = shown

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
            book = self._books[row.instrument_id]
            book.last_price = row.price
            book.trades.add(tick)
        self._ticks.append(tick)

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
            self._ticks += book.trades.take_back(trade_id, row.instrument_id, self.time_ns)
            book.last_price = book.trades.last_price

    def _cancelled(self, row: EventRow) -> None:
        self._show(self._orders.pop(row.order_id), 0)

    def _replaced(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        is_kept, shown = row.order_type == 1, order.shown
        self._show(order, 0)
        order.price, order.leaves = row.price, row.quantity
        self._show(order, min(shown, order.leaves) if is_kept else order.slice())

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
        close = Close(book.close_rule, book.close_volume_min, book.reference_price, book.call_price)
        book.reference_price, book.call_price = row.price, 0
        self._ticks.append(
            DayTick(row.instrument_id, row.price, row.quantity, row.value, self.time_ns)
        )
        corrected = book.trades.close_day(self._event, close, row.instrument_id, self.time_ns)
        if corrected is not None:
            self._ticks.append(corrected)


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
}
"""What the public sees of each event; holds, balances and refusals are nobody else's business."""
