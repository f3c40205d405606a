"""Order records of a market: what became of each order, field by field as RTS 24 asks.

Commission Delegated Regulation (EU) 2017/580 (RTS 24), Annex, Table 2, says which details of orders
an operator of a trading venue keeps. Here is one row for each event of an order, from `orders` (who
sent it, when, with which instructions) and `events` (what became of it). Memory is bounded by the
live orders; a pass over the log is O(events). `FIELDS` says which column is which field, and what
the venue does not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange import topics
from exchange.audit.record_fields import NOT_KNOWN, OrderRecord
from exchange.decimals import from_minor
from exchange.log.protocol import Log, LogError, Reader
from exchange.messages.frames import (
    HEADER_SIZE,
    Command,
    Event,
    EventFollower,
    EventPart,
    EventRow,
    Liquidity,
    OrderStatus,
    OrderType,
    Phase,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
    event_rows,
    fill_tail,
    order_id_of,
    seed_of,
    sound_commands,
)
from exchange.messages.reasons import reason_text
from exchange.reference.venue import Key, Market, Venue
from exchange.settings import READ_RECORDS_MAX
from matching.layout import HEADER, SELF_TRADE_SHIFT, ExecInst

WAIT_S = 0.5
KEYS_SESSION_MIN = 1_000  # sessions below are the venue's own: a cancel on disconnect, a kill
EMPTY_READS_MAX = 60  # then the log does not give what it says it holds

_VALIDITY: dict[int, str] = {
    TimeInForce.DAY: "DAVY",
    TimeInForce.GTC: "GTCV",
    TimeInForce.GTD: "GTDV",
    TimeInForce.IOC: "IOCV",
    TimeInForce.FOK: "FOKV",
    TimeInForce.AT_THE_OPENING: "GATV",
    TimeInForce.AT_THE_CLOSE: "GATV",
}
_AUCTION_ONLY = frozenset({TimeInForce.AT_THE_OPENING, TimeInForce.AT_THE_CLOSE})
_STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_SHOWN = frozenset({OrderType.MARKET, OrderType.LIMIT})
_OF_ORDERS = frozenset({
    Command.NEW_ORDER, Command.CANCEL_ORDER, Command.REPLACE_ORDER, Command.QUOTE,
    Command.PICK_ORDER, Command.BLOCK_PROPOSE, Command.BLOCK_CONFIRM, Command.AUCTION_OPEN,
    Command.AUCTION_BID,
})  # fmt: skip
_OF_ONE_THERE = frozenset({Command.CANCEL_ORDER, Command.REPLACE_ORDER})
_TYPE_OF: dict[int, int] = {
    Command.QUOTE: OrderType.LIMIT,
    Command.PICK_ORDER: OrderType.PICK,
    Command.BLOCK_PROPOSE: OrderType.BLOCK,
    Command.BLOCK_CONFIRM: OrderType.BLOCK,
    Command.AUCTION_OPEN: OrderType.OFFER,
    Command.AUCTION_BID: OrderType.BID,
}
_BY_REQUEST = frozenset({
    Reason.CANCELLED_BY_REQUEST, Reason.CANCELLED_IN_MASS, Reason.QUOTE_REPLACED
})  # fmt: skip
_BY_TIME = frozenset({
    Reason.IMMEDIATE_OR_CANCEL_REMAINDER, Reason.FILL_OR_KILL_UNFILLED, Reason.DAY_ENDED,
    Reason.MINIMUM_QUANTITY_UNFILLED, Reason.DATE_EXPIRED, Reason.CALL_ENDED,
})  # fmt: skip


class Selection(NamedTuple):
    """Which rows are wanted; engine time from `from_ns` until before `to_ns`."""

    order_id: int = 0  # 0 = of any order
    account: int = 0  # 0 = of any account
    from_ns: int = 0
    to_ns: int = 2**63 - 1

    def takes(self, order_id: int, account: int, time_ns: int) -> bool:
        """Whether a row is wanted. O(1)."""
        return (
            self.order_id in (0, order_id)
            and self.account in (0, account)
            and self.from_ns <= time_ns < self.to_ns
        )


@dataclass(slots=True)
class _Order:
    """An order that has not ended."""

    order_id: int
    account: int
    instrument_id: int
    side: int
    order_type: int
    time_in_force: int
    price: int
    quantity: int
    leaves: int
    client_order_id: bytes
    received_ns: int
    priority_ns: int
    session: int
    is_quote: bool
    instructions: int
    stop: int = 0
    display: int = 0
    minimum: int = 0
    expire: int = 0
    shown: int = 0
    is_waiting: bool = False  # a stop, or at the close before the call


@dataclass(slots=True)
class _Book:
    """What a row says of the instrument."""

    phase: int = Phase.CLOSED
    price: int = 0  # indicative
    volume: int = 0
    seed: int = 0  # of the end of the call
    drawn: int = 0  # the seed of the auction that was cleared last


@dataclass(slots=True)
class _Frame:
    """The record of `orders` whose output is being read."""

    offset: int = -1
    sent_ns: int = 0
    commands: NDArray[Any] | None = field(default=None)

    def command(self, index: int) -> np.void | None:
        """The command at a place; None in a frame that was refused. O(1)."""
        if self.commands is None or index >= len(self.commands):
            return None
        row: np.void = self.commands[index]
        return row


class OrderRecords:
    """The rows of one market: feed it each part of `events` with its record of `orders`."""

    def __init__(self, venue: Venue, market: Market, selection: Selection) -> None:
        self._wanted = selection
        self._market = market
        self._instruments = {item.id: item for item in venue.instruments_of(market.code)}
        self._participants = {a.id: a.participant for a in venue.accounts_of(market.code)}
        self._members = {p.id: p.lei or f"participant {p.id}" for p in venue.participant}
        self._keys: dict[int, Key] = {key.session: key for key in venue.key}
        self._orders: dict[int, _Order] = {}
        self._books: dict[int, _Book] = {}
        self._frame = _Frame()
        self._event = self._time_ns = 0

    def apply(self, part: EventPart, frame: bytes) -> Iterator[OrderRecord]:
        """The wanted rows of a part of `events`; `frame` is the record it answers. O(events)."""
        if part.input_offset != self._frame.offset:
            commands = sound_commands(frame)
            sent_ns = 0
            if commands is not None:
                sent_ns = int(np.frombuffer(frame[:HEADER_SIZE], HEADER)["time_ns"][0])
            self._frame = _Frame(part.input_offset, sent_ns, commands)
            self._note_seeds()
        self._event, self._time_ns = part.first_event, part.time_ns
        for row in event_rows(part.body):
            handler = _HANDLERS.get(row.kind)
            told = handler(self, row) if handler is not None else None
            if told is not None:
                yield told
            self._event += 1

    # -- one event ------------------------------------------------------------------------------

    def _accepted(self, row: EventRow) -> OrderRecord | None:
        command = self._frame.command(row.command_index)
        order = _Order(
            row.order_id, row.account_id, row.instrument_id, row.side, row.order_type,
            row.time_in_force, row.price, row.quantity, row.quantity, row.client_order_id,
            self._frame.sent_ns, self._time_ns, 0, is_quote=False, instructions=0,
        )  # fmt: skip
        if command is not None:
            order.session = int(command["session_id"])
            order.is_quote = command["kind"] == Command.QUOTE
            if order.is_quote:
                order.instructions = int(command["order_type"])
            elif command["kind"] == Command.NEW_ORDER:
                order.instructions = int(command["order_id"])
        self._set_terms(order, row.command_index)
        order.is_waiting = order.order_type in _STOPS or (
            order.time_in_force == TimeInForce.AT_THE_CLOSE
            and self._book(row.instrument_id).phase != Phase.CLOSING_CALL
        )
        self._show(order)
        self._orders[order.order_id] = order
        return self._row("NEWO", order, row)

    def _replaced(self, row: EventRow) -> OrderRecord | None:
        order, command = self._orders[row.order_id], self._frame.command(row.command_index)
        is_asked = command is not None and command["kind"] == Command.REPLACE_ORDER
        order.quantity += row.quantity - order.leaves
        order.leaves, order.price = row.quantity, row.price
        if is_asked:
            order.client_order_id = row.client_order_id
            self._set_terms(order, row.command_index)
        if row.order_type == 1:  # its place is kept
            order.shown = min(order.shown, order.leaves)
        else:
            order.priority_ns = self._time_ns
            self._show(order)
        return self._row("REME" if is_asked else "REMA", order, row)

    def _triggered(self, row: EventRow) -> OrderRecord | None:
        order = self._orders[row.order_id]
        order.order_type, order.time_in_force = row.order_type, row.time_in_force
        order.price, order.priority_ns, order.is_waiting = row.price, self._time_ns, False
        self._show(order)
        return self._row("TRIG", order, row)

    def _refilled(self, row: EventRow) -> None:
        order = self._orders[row.order_id]
        order.shown, order.priority_ns = row.quantity, self._time_ns

    def _fill(self, row: EventRow) -> OrderRecord | None:
        order = self._orders[row.order_id]
        order.leaves -= row.quantity
        if order.display and row.order_type == Liquidity.MAKER:
            order.shown = max(order.shown - row.quantity, 0)
        else:
            self._show(order)
        is_filled = row.time_in_force == OrderStatus.FILLED
        told = self._row("FILL" if is_filled else "PARF", order, row)
        if not order.leaves:
            del self._orders[order.order_id]
        return told

    def _cancelled(self, row: EventRow) -> OrderRecord | None:
        order = self._orders.pop(row.order_id)
        kind = "EXPI" if row.reason in _BY_TIME else "CAMO"
        if row.reason in _BY_REQUEST:
            command = self._frame.command(row.command_index)
            session = int(command["session_id"]) if command is not None else 0
            key = self._keys.get(session)
            is_own = session >= KEYS_SESSION_MIN and (
                key is None or key.participant == self._participants.get(order.account)
            )
            kind = "CAME" if is_own else "CAMO"
        return self._row(kind, order, row)

    def _rejected(self, row: EventRow) -> OrderRecord | None:
        command = self._frame.command(row.command_index)
        if row.order_type == Command.PHASE_CHANGE:
            self._set_seed(row.instrument_id, 0)
        if row.order_type not in _OF_ORDERS or command is None:
            return None
        is_there = row.order_type in _OF_ONE_THERE and row.order_id
        order_id = row.order_id if is_there else order_id_of(self._frame.offset, row.command_index)
        known = self._orders.get(order_id)
        order = _Order(
            order_id, row.account_id,
            row.instrument_id or (known.instrument_id if known else 0),
            row.side or (known.side if known else 0), _asked_type(command, known),
            row.time_in_force, row.price, row.quantity, 0, row.client_order_id,
            self._frame.sent_ns, self._time_ns, int(command["session_id"]),
            is_quote=row.order_type == Command.QUOTE, instructions=0,
        )  # fmt: skip
        return self._row("REMO", order, row)

    def _phase_changed(self, row: EventRow) -> None:
        book = self._book(row.instrument_id)
        book.phase, book.price, book.volume, book.seed = row.order_type, 0, 0, 0

    def _indicative(self, row: EventRow) -> None:
        book = self._book(row.instrument_id)
        book.price, book.volume = row.price, row.quantity

    def _auction_ended(self, row: EventRow) -> None:
        is_cleared = row.kind == Event.AUCTION_CLEARED
        self._book(row.instrument_id).drawn = seed_of(row) if is_cleared else 0

    # -- pieces ---------------------------------------------------------------------------------

    def _book(self, instrument_id: int) -> _Book:
        return self._books.setdefault(instrument_id, _Book())

    def _note_seeds(self) -> None:
        """A call that ends by chance has its seed before it ends."""
        if self._frame.commands is None:
            return
        for command in self._frame.commands[self._frame.commands["kind"] == Command.PHASE_CHANGE]:
            self._set_seed(int(command["instrument_id"]), int(command["quantity"]))

    def _set_seed(self, instrument_id: int, seed: int) -> None:
        for number in (instrument_id,) if instrument_id else self._instruments:
            self._book(number).seed = seed

    def _seed(self, row: EventRow) -> int:
        command = self._frame.command(row.command_index)
        book = self._book(row.instrument_id)
        if command is not None and command["kind"] == Command.AUCTION_CLEAR:
            return book.drawn
        return book.seed

    def _set_terms(self, order: _Order, index: int) -> None:
        terms = self._frame.command(index + 1)
        if terms is None or terms["kind"] != Command.ORDER_TERMS:
            return
        order.stop, order.display = int(terms["ref"]), int(terms["quantity"])
        order.minimum, order.expire = int(terms["price"]), int(terms["order_id"])

    def _show(self, order: _Order) -> None:
        order.shown = min(order.display or order.leaves, order.leaves)
        if order.is_waiting or order.order_type not in _SHOWN:
            order.shown = 0

    def _row(self, kind: str, order: _Order, row: EventRow) -> OrderRecord | None:
        if not self._wanted.takes(order.order_id, order.account, self._time_ns):
            return None
        book, digits = self._book(order.instrument_id), self._market.minor_digits
        is_fill = row.kind == Event.FILL
        contra, fee = fill_tail(row) if is_fill else (0, 0)
        key, instrument = self._keys.get(order.session), self._instruments.get(order.instrument_id)
        participant = self._participants.get(order.account, 0)
        has_priority = row.reason != TradeMethod.CALL_TRADE if is_fill else False
        aggression = "PASV" if row.order_type == Liquidity.MAKER else "AGRE"
        trade = self._event - (row.order_type != Liquidity.MAKER)
        reason = row.reason if not is_fill else 0
        return OrderRecord(
            member_id=self._members.get(participant, NOT_KNOWN),
            direct_electronic_access=_access(key),
            client_id=str(order.account),
            investment_decision=(key and key.investment_decision) or NOT_KNOWN,
            execution_decision=_executor(key),
            non_executing_broker=key.non_executing_broker if key is not None else "",
            trading_capacity=(key and key.trading_capacity) or NOT_KNOWN,
            liquidity_provision=_truth(order.is_quote),
            date_and_time=stamp(self._time_ns),
            validity_period=_VALIDITY.get(order.time_in_force, "OTHR"),
            order_restriction="VFAR" if order.time_in_force in _AUCTION_ONLY else "",
            validity_until=str(order.expire) if order.expire else "",
            priority_time=stamp(order.priority_ns),
            sequence_number=self._event,
            segment_mic=self._market.mic or NOT_KNOWN,
            order_book_code=instrument.symbol if instrument is not None else "",
            instrument_code=(instrument and instrument.isin) or NOT_KNOWN,
            date_of_receipt=stamp(order.received_ns),
            order_id=order.order_id,
            event=kind,
            order_type=_type_name(order.order_type),
            order_type_classification="STOP" if order.order_type in _STOPS else "LMTO",
            limit_price=from_minor(order.price, digits) if order.price else "",
            stop_price=from_minor(order.stop, digits) if order.stop else "",
            transaction_price=from_minor(row.price, digits) if is_fill else "",
            price_currency=self._market.currency,
            price_notation="MONE",
            side={Side.BUY: "BUYI", Side.SELL: "SELL"}.get(Side(order.side), "")
            if order.side in (Side.BUY, Side.SELL)
            else "",
            order_status=_status(order, kind),
            quantity_notation="UNIT",
            initial_quantity=order.quantity,
            remaining_quantity=0 if kind in _ENDS else order.leaves,
            displayed_quantity=0 if kind in _ENDS else order.shown,
            traded_quantity=row.quantity if is_fill else 0,
            minimum_quantity=order.minimum,
            passive_only=_truth(bool(order.instructions & _PASSIVE)),
            passive_or_aggressive=aggression if has_priority else "",
            self_execution_prevention=_truth(bool(order.instructions >> SELF_TRADE_SHIFT & 7)),
            transaction_id=str(trade) if is_fill else "",
            trading_phase=Phase(book.phase).name,
            indicative_price=from_minor(book.price, digits) if book.volume else "",
            indicative_volume=book.volume,
            auction_seed=str(self._seed(row) or ""),
            account=order.account,
            participant=participant,
            client_order_id=order.client_order_id.rstrip(b"\0").decode("ascii", "replace"),
            contra_order_id=str(contra) if is_fill else "",
            fee=from_minor(fee, digits) if is_fill else "",
            trade_method=TradeMethod(row.reason).name if is_fill else "",
            reason=reason,
            reason_name=reason_text(reason).name if reason else "",
            orders_offset=self._frame.offset,
            command_index=row.command_index,
        )


_PASSIVE = ExecInst.POST_ONLY | ExecInst.POST_ONLY_REPRICE
_ENDS = frozenset({"CAME", "CAMO", "EXPI", "REMO", "FILL"})

_HANDLERS: dict[int, Callable[[OrderRecords, EventRow], OrderRecord | None]] = {
    Event.ACCEPTED: OrderRecords._accepted,
    Event.REJECTED: OrderRecords._rejected,
    Event.FILL: OrderRecords._fill,
    Event.CANCELLED: OrderRecords._cancelled,
    Event.REPLACED: OrderRecords._replaced,
    Event.TRIGGERED: OrderRecords._triggered,
    Event.REFILLED: OrderRecords._refilled,
    Event.PHASE_CHANGED: OrderRecords._phase_changed,
    Event.INDICATIVE: OrderRecords._indicative,
    Event.AUCTION_CLEARED: OrderRecords._auction_ended,
    Event.AUCTION_CANCELLED: OrderRecords._auction_ended,
}
"""What a row is made of; an indicative price ends with its phase."""


def stamp(time_ns: int) -> str:
    """ISO 8601 in UTC, to the nanosecond. O(1)."""
    second, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _access(key: Key | None) -> str:
    if key is None or key.direct_electronic_access is None:
        return NOT_KNOWN
    return _truth(key.direct_electronic_access)


def _executor(key: Key | None) -> str:
    if key is None:
        return NOT_KNOWN
    return key.execution_decision or f"key {key.id}"


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _asked_type(command: np.void, known: _Order | None) -> int:
    kind = int(command["kind"])
    if kind == Command.NEW_ORDER:
        return int(command["order_type"])
    return _TYPE_OF.get(kind, known.order_type if known is not None else 0)


def _type_name(order_type: int) -> str:
    known = {int(item): item.name for item in OrderType}
    return known.get(order_type, "")


def _status(order: _Order, kind: str) -> str:
    if kind in _ENDS:
        return "INAC"
    if order.is_waiting:
        return "SUSP"
    return "FIRM" if order.is_quote else "ACTI"


async def order_records(
    log: Log, venue: Venue, market: Market, selection: Selection
) -> AsyncIterator[OrderRecord]:
    """The wanted rows up to the present end of `events`, oldest first. O(log).

    Raises ChainBrokenError and LogError.
    """
    records, follower = OrderRecords(venue, market, selection), EventFollower()
    events = topics.events(market.partition)
    end = await log.end(events)
    answers = await log.open_reader(events, 0)
    commands = _Commands(await log.open_reader(topics.orders(market.partition), 0))
    try:
        while answers.position < end:
            for record in await answers.read(READ_RECORDS_MAX, WAIT_S):
                part = follower.accept(record.offset, record.value)
                if part is None:
                    continue
                if part.time_ns >= selection.to_ns:
                    return
                frame = await commands.at(part.input_offset)
                for row in records.apply(part, frame):
                    yield row
    finally:
        await answers.close()
        await commands.close()


class _Commands:
    """Reads `orders` beside `events`: offsets asked for never fall."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._rows: dict[int, bytes] = {}

    async def at(self, offset: int) -> bytes:
        """The record at an offset; LogError when the log does not give it."""
        for _ in range(EMPTY_READS_MAX):
            found = self._rows.get(offset)
            if found is not None:
                return found
            rows = await self._reader.read(READ_RECORDS_MAX, WAIT_S)
            if rows:
                self._rows = {row.offset: row.value for row in rows}
        raise LogError(f"orders record {offset} cannot be read, though events answer it")

    async def close(self) -> None:
        """Closes the reader."""
        await self._reader.close()
