"""Calls and collars by the rules: what each trade, order and change of phase had to be.

A second reading of `matching/RULES.md`, "Phases and calls", "Volatility" and "Collar", which shares
no code with the engines but the drawing of lots: no trade lies outside the bounds, who reaches
beyond them starts a call, a call ends at its moment, at one price, and takes what calls take.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np

from exchange.messages.frames import (
    COMMAND,
    INDEX_BITS,
    RECORD_SIZE,
    Command,
    Event,
    EventRow,
    ExecInst,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
    fill_tail,
)
from exchange.simulation.faults.crossing import Book, Cross, Meeting, Standing
from exchange.simulation.faults.oracle import Heard, History
from exchange.simulation.faults.promises import require
from matching.draws import draw

BP, MS = 10_000, 1_000_000
CALLS = (Phase.OPENING_CALL, Phase.VOLATILITY_CALL, Phase.CLOSING_CALL)
_DEFAULTS: dict[int, int] = {
    Parameter.VOLATILITY_CALL_MS: 120_000,
    Parameter.RANDOM_END_MS: 30_000,
}
_ELSEWHERE = (OrderType.BLOCK, OrderType.BID, OrderType.OFFER, OrderType.PICK)
_STOPS = (OrderType.STOP, OrderType.STOP_LIMIT)
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
_BEFORE = (Phase.START_OF_DAY, Phase.OPENING_CALL)  # where orders for the opening are taken
_POST_ONLY = ExecInst.POST_ONLY | ExecInst.POST_ONLY_REPRICE
_FLEETING_END = (Phase.HALT, Phase.VOLATILITY_CALL, Phase.CLOSED)
_BLOCKS = (Command.BLOCK_PROPOSE, Command.BLOCK_CONFIRM)


class Incoming(NamedTuple):
    """The order that came last, and the base of its bounds: minor units."""

    order_id: int
    side: int
    limit: int
    base: int


class _Item:
    """One instrument."""

    def __init__(self) -> None:
        self.book = Book()
        self.parameters: defaultdict[int, int] = defaultdict(int, _DEFAULTS)
        self.phase = int(Phase.CLOSED)
        self.reference = self.last = self.volume = 0
        self.incoming: Incoming | None = None
        self.is_cut_off = False  # it ended with something left to reach
        self.ends: tuple[int, int] | None = None  # when the call ends by itself, and in what
        self.said = Cross()
        self.meetings: list[Meeting] = []  # of the uncrossing under way
        self.must_end: set[int] = set()  # orders that the present command has to end

    @property
    def base(self) -> int:
        """What prices are measured against: the last of the day, else the reference. O(1)."""
        return self.last if self.volume else self.reference

    def is_outside(self, price: int, base: int, width: Parameter, side: int = 0) -> bool:
        """Whether a price lies beyond so many basis points of a base, on a side or on both."""
        most = self.parameters[width]
        if not most or not base:
            return False
        high, low = price * BP > base * (BP + most), price * BP < base * (BP - most)
        return high if side == Side.BUY else low if side == Side.SELL else high or low

    def reaches_beyond(self) -> bool:
        """Whether the best that the last order may yet meet is out of bounds. O(orders)."""
        come = self.incoming
        if come is None:
            return False
        best = self.book.best(Side.BUY + Side.SELL - come.side)
        is_met = best and (best <= come.limit if come.side == Side.BUY else best >= come.limit)
        return bool(is_met) and self.is_outside(best, come.base, Parameter.VOLATILITY_BP)


class Calls:
    """Follows one market's history; BrokenPromiseError (P13) where it leaves the rules.

    `shapes` counts what was seen. O(events x orders of an instrument).
    """

    def __init__(self, history: History, shapes: Counter[str]) -> None:
        self._items: defaultdict[int, _Item] = defaultdict(_Item)
        self._shapes = shapes
        self._count = 0
        self._changed: set[int] = set()  # instruments whose phase the present command changed
        times = {part.input_offset: part.time_ns for part in history.parts}
        for heard in history.heard.values():
            self._heard(heard, times.get(heard.position >> INDEX_BITS, 0))

    def _heard(self, heard: Heard, time_ns: int) -> None:
        self._changed.clear()
        for item in self._items.values():
            item.incoming, item.is_cut_off = None, False
        is_tick = heard.kind == Command.CLOCK_TICK and not any(
            row.kind in (Event.REJECTED, Event.DUPLICATE) for _, row in heard.rows
        )
        items = self._items
        due = [n for n, i in items.items() if is_tick and i.ends and i.ends[0] <= time_ns]
        calling = [n for n, i in items.items() if is_tick and i.phase in CALLS]
        touched: dict[int, None] = {}
        for number, row in heard.rows:
            if row.instrument_id:
                touched[row.instrument_id] = None
                self._event(number, row, heard, time_ns)
        for number in due:
            what = f"the call of instrument {number}, due at {items[number].ends}"
            require(number in self._changed, "P13", f"{what}, goes on at {time_ns}")
        for number in calling:
            if number not in self._changed:
                item = items[number]
                found = item.book.cross(item.base)
                what = f"the tick at {heard.position} of instrument {number}"
                require(item.said == found, "P13", f"{what}: {item.said} stands for {found}")
        for number in touched:
            self._settled(number, heard.position)

    def _settled(self, number: int, position: int) -> None:
        """What holds after each command."""
        item, what = self._items[number], f"after {position} instrument {number}"
        if item.phase == Phase.CONTINUOUS:
            require(not item.book.is_crossed, "P13", f"{what} trades, and its book is crossed")
            is_missed = item.is_cut_off and item.reaches_beyond()
            require(not is_missed, "P13", f"{what}: {item.incoming} started no call")
        left = item.must_end & item.book.orders.keys()
        require(not left, "P13", f"{what}: orders {left} outlived the change of phase")
        item.must_end = set()

    # -- events ---------------------------------------------------------------------------------

    def _event(self, number: int, row: EventRow, heard: Heard, time_ns: int) -> None:
        item = self._items[row.instrument_id]
        match row.kind:
            case Event.PARAMETER_CHANGED:
                item.parameters[row.order_type] = row.quantity
            case Event.REFERENCE_CHANGED:
                item.reference = row.price
            case Event.DAY_CLOSED:
                item.reference, item.volume = row.price, 0
            case Event.ACCEPTED:
                self._accepted(item, row, heard)
            case Event.TERMS_SET:
                is_taken = item.phase == Phase.CONTINUOUS or not row.price
                require(is_taken, "P13", f"event {number}: a minimum outside trading: {row}")
            case Event.FILL:
                self._filled(number, item, row)
            case Event.REPLACED | Event.TRIGGERED | Event.REFILLED | Event.CANCELLED:
                if row.order_id in item.book.orders:
                    self._moved(item, row, item.book.orders[row.order_id])
            case Event.REJECTED:
                self._rejected(item, row, heard)
            case Event.UNCROSSED | Event.INDICATIVE:
                self._crossed(number, item, row)
            case Event.CALL_ENDING:
                seed = int(_record(heard.body)["quantity"])
                chance = draw(seed, row.instrument_id)
                item.ends = time_ns + _later(item, chance) * MS, row.order_type
                self._shapes["call_ending"] += 1
            case Event.PHASE_CHANGED:
                self._phase(item, row, heard, time_ns)

    def _accepted(self, item: _Item, row: EventRow, heard: Heard) -> None:
        what = f"at {heard.position} {row} is taken in {Phase(item.phase).name}"
        if row.order_type in (OrderType.BID, OrderType.OFFER):
            return
        if row.order_type in _ELSEWHERE:
            require(item.phase == Phase.CONTINUOUS, "P13", what)
            return
        is_new = heard.kind == Command.NEW_ORDER
        bits = heard.other if is_new else 0
        require(not _is_refused(item.phase, row.time_in_force, bits, 0), "P13", what)
        require(item.phase not in (Phase.CLOSED, Phase.HALT), "P13", what)
        order = item.book.orders[row.order_id] = Standing(row, self._next())
        order.is_fleeting = not is_new or bool(bits & ExecInst.NON_PERSISTENT)
        is_parked = row.time_in_force == TimeInForce.AT_THE_CLOSE
        is_parked = is_parked and item.phase != Phase.CLOSING_CALL
        order.is_in_book = not is_parked and row.order_type not in _STOPS
        stop = _stop_of(heard) if row.order_type in _STOPS else 0
        is_called = row.order_type == OrderType.MARKET and row.time_in_force not in _AT_ONCE
        if not is_called:
            self._inside(item, row, stop or item.base, what)
        if order.is_in_book:
            self._comes(item, order)
        self._shapes["order_in_volatility_call"] += item.phase == Phase.VOLATILITY_CALL

    def _inside(self, item: _Item, row: EventRow, base: int, what: str) -> None:
        is_outside = item.is_outside(row.price, base, Parameter.COLLAR_BP, row.side)
        require(not is_outside, "P13", f"{what}, outside the collar of {base}")

    def _comes(self, item: _Item, order: Standing) -> None:
        item.incoming = Incoming(order.order_id, order.side, order.price, item.base)
        item.is_cut_off = False

    def _moved(self, item: _Item, row: EventRow, order: Standing) -> None:
        """Replaced, triggered, shown anew or ended."""
        if row.kind == Event.CANCELLED:
            item.is_cut_off |= row.reason == Reason.IMMEDIATE_OR_CANCEL_REMAINDER
            del item.book.orders[row.order_id]
            return
        if row.kind == Event.REFILLED:
            order.arrived = self._next()
            return
        is_own = row.kind == Event.REPLACED and row.reason == Reason.SELF_TRADE_PREVENTED
        order.price, order.leaves = row.price, row.quantity
        if is_own or (row.kind == Event.REPLACED and row.order_type):
            return  # it keeps its place
        if row.kind == Event.TRIGGERED:
            order.is_in_book = True
        order.arrived = self._next()
        if not order.is_in_book:
            return
        if row.kind == Event.REPLACED:
            self._inside(item, row, item.base, f"replaced to {row}")
        self._comes(item, order)

    def _filled(self, number: int, item: _Item, row: EventRow) -> None:
        order = item.book.orders.get(row.order_id)
        if order is not None:
            order.leaves = row.value
            if not row.value:
                del item.book.orders[row.order_id]
        if row.order_type != Liquidity.MAKER:
            return
        what = f"event {number}: the trade {row}"
        contra = fill_tail(row)[0]
        if row.reason == TradeMethod.CALL_TRADE:
            found = Meeting(row.order_id, contra, row.quantity, row.price)
            due = item.meetings.pop(0) if item.meetings else None
            require(found == due, "P13", f"{what}: {found} for {due}")
        elif row.reason == TradeMethod.BOOK_TRADE:
            require(item.phase == Phase.CONTINUOUS, "P13", f"{what} in {Phase(item.phase).name}")
            come = item.incoming
            is_known = come is not None and come.order_id == contra
            require(is_known, "P13", f"{what}: {come} came")
            base = come.base if come is not None else 0
            is_outside = item.is_outside(row.price, base, Parameter.VOLATILITY_BP)
            require(not is_outside, "P13", f"{what} lies outside the bounds about {base}")
        else:
            return
        item.volume, item.last = item.volume + row.quantity, row.price

    def _rejected(self, item: _Item, row: EventRow, heard: Heard) -> None:
        """A refusal for the phase or the collar is due."""
        what = f"{Phase(item.phase).name}, base {item.base}: {row} is refused"
        if row.reason in (Reason.MARKET_HALTED, Reason.MARKET_CLOSED):
            phase = Phase.HALT if row.reason == Reason.MARKET_HALTED else Phase.CLOSED
            require(item.phase == phase, "P13", what)
        elif row.reason == Reason.ORDER_NOT_ALLOWED_IN_PHASE:
            self._shapes["refused_in_volatility_call"] += item.phase == Phase.VOLATILITY_CALL
            if heard.kind == Command.NEW_ORDER:
                is_due = _is_refused(
                    item.phase, row.time_in_force, heard.other, int(_terms(heard)["price"])
                )
                require(is_due, "P13", what)
            elif heard.kind in _BLOCKS:
                require(item.phase != Phase.CONTINUOUS, "P13", what)
        elif row.reason == Reason.PRICE_OUTSIDE_COLLAR:
            self._shapes["refused_outside_collar"] += 1
            kind = int(_record(heard.body)["order_type"])
            if heard.kind == Command.NEW_ORDER and kind == OrderType.LIMIT:
                is_due = item.is_outside(row.price, item.base, Parameter.COLLAR_BP, row.side)
                require(is_due, "P13", what)

    # -- calls ----------------------------------------------------------------------------------

    def _crossed(self, number: int, item: _Item, row: EventRow) -> None:
        found = item.book.cross(item.base)
        said = Cross(row.price, row.quantity, row.value)
        require(said == found, "P13", f"event {number}: a call gives {said} for {found}")
        if row.kind == Event.INDICATIVE:
            item.said = said
        else:
            item.meetings = item.book.meetings(found)
            self._shapes["call_uncrossed"] += 1

    def _phase(self, item: _Item, row: EventRow, heard: Heard, time_ns: int) -> None:
        before, phase, instrument = item.phase, row.order_type, row.instrument_id
        what = f"at {heard.position} instrument {instrument} goes to {Phase(phase).name}"
        is_closing = before == Phase.CLOSING_CALL and phase == Phase.CLOSED
        if phase == Phase.CONTINUOUS or is_closing:
            is_over = not item.meetings and not item.book.is_crossed
            require(is_over, "P13", f"{what} with trades to come: {item.meetings}")
        is_by_itself = heard.kind == Command.CLOCK_TICK and phase != Phase.VOLATILITY_CALL
        if is_by_itself:
            is_due = item.ends is not None and item.ends[0] <= time_ns and item.ends[1] == phase
            require(is_due, "P13", f"{what} at {time_ns}, due is {item.ends}")
            is_vola = before == Phase.VOLATILITY_CALL
            self._shapes["volatility_call_ended" if is_vola else "call_ended_at_random"] += 1
        item.phase, item.said, item.ends = phase, Cross(), None
        self._changed.add(instrument)
        if phase in _FLEETING_END:  # but for the second side of a quote, which comes after it
            item.must_end |= {o.order_id for o in item.book.orders.values() if o.is_fleeting}
        if phase == Phase.VOLATILITY_CALL:
            require(item.reaches_beyond(), "P13", f"{what}: {item.incoming} stays within bounds")
            lasts_ms = item.parameters[Parameter.VOLATILITY_CALL_MS]
            if lasts_ms and item.incoming is not None:
                later_ms = lasts_ms + _later(item, draw(item.incoming.order_id, instrument))
                item.ends = time_ns + later_ms * MS, int(Phase.CONTINUOUS)
            self._shapes["volatility_call"] += 1

    def _next(self) -> int:
        self._count += 1
        return self._count


def _later(item: _Item, chance: int) -> int:
    """How much later a call ends by chance, ms. O(1)."""
    return chance % (item.parameters[Parameter.RANDOM_END_MS] + 1)


def _is_refused(phase: int, time_in_force: int, bits: int, minimum: int) -> bool:
    """Whether a phase takes no such order. O(1)."""
    if time_in_force == TimeInForce.AT_THE_OPENING and phase not in _BEFORE:
        return True
    must_match = time_in_force in _AT_ONCE or minimum > 0 or bool(bits & _POST_ONLY)
    return must_match and phase != Phase.CONTINUOUS


def _record(body: bytes, at: int = 0) -> Any:
    return np.frombuffer(body[at * RECORD_SIZE : (at + 1) * RECORD_SIZE], COMMAND)[0]


def _terms(heard: Heard) -> Any:
    """The ORDER_TERMS of a command, zeros without them. O(1)."""
    if len(heard.body) >= 2 * RECORD_SIZE and heard.body[RECORD_SIZE] == Command.ORDER_TERMS:
        return _record(heard.body, 1)
    return np.zeros(1, COMMAND)[0]


def _stop_of(heard: Heard) -> int:
    return int(_terms(heard)["ref"])
