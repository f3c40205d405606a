"""The whole state of a market, and its way to and from the canonical snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from matching.layout import BP, Event, OrderType, Reason
from matching.protocol import Limits
from matching.reference.accounts import Account, Holding
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.records import CommandRecord, event_record
from matching.snapshot import PARAMETER_FIELDS, SECTIONS, Snapshot


class Body(NamedTuple):
    """What is remembered of an accepted order or replace under its client order id."""

    order_id: int
    instrument_id: int
    side: int
    order_type: int
    time_in_force: int
    quantity: int
    price: int


Label = tuple[int, bytes]  # account, client order id


@dataclass(slots=True)
class State:
    """Everything that the next events depend on, and the events of the command at hand."""

    limits: Limits
    next_offset: int = 0
    next_event: int = 0
    time_ns: int = 0
    epoch: int = 0
    leader: int = 0
    trading_date: int = 0
    fees: int = 0
    cash: int = 0  # of all accounts, and the fees
    accounts: dict[int, Account] = field(default_factory=dict)
    holdings: dict[tuple[int, int], Holding] = field(default_factory=dict)
    instruments: SortedDict[int, Instrument] = field(default_factory=SortedDict)
    orders: dict[int, Order] = field(default_factory=dict)  # those which rest
    sessions: dict[int, int] = field(default_factory=dict)  # the last ref of each
    client_order_ids: dict[Label, Body] = field(default_factory=dict)
    command_index: int = 0
    events: list[bytes] = field(default_factory=list)

    def emit(self, kind: Event, **values: Any) -> None:
        """Say that something happened. O(1)."""
        self.events.append(event_record(kind, self.command_index, **values))

    def emit_answer(self, kind: Event, c: CommandRecord, **values: Any) -> None:
        """Say it with the fields of the command as they came. O(1)."""
        came: dict[str, Any] = {
            "side": c.side,
            "order_type": c.order_type,
            "time_in_force": c.time_in_force,
            "instrument_id": c.instrument_id,
            "account_id": c.account_id,
            "value": c.ref,
            "quantity": c.quantity,
            "price": c.price,
            "order_id": c.order_id,
            "client_order_id": c.client_order_id,
        }
        self.emit(kind, **(came | values))

    def reject(self, c: CommandRecord, reason: Reason) -> None:
        """Say why the command is refused. O(1)."""
        self.emit_answer(Event.REJECTED, c, order_type=c.kind, reason=reason)

    def duplicate(self, c: CommandRecord, order_id: int) -> None:
        """Say that the command was heard before. O(1)."""
        self.emit_answer(Event.DUPLICATE, c, order_type=c.kind, order_id=order_id)

    def holding(self, account_id: int, instrument_id: int) -> Holding:
        """The holding, made at need. O(1)."""
        return self.holdings.setdefault((account_id, instrument_id), Holding())


def to_snapshot(state: State) -> Snapshot:
    """The state in the canonical order. O(state log state)."""
    tables: dict[str, list[tuple[Any, ...]]] = {
        "accounts": [
            (a.account_id, 0, a.participant, a.available, a.held)
            for _, a in sorted(state.accounts.items())
        ],
        "holdings": [
            (account_id, instrument_id, 0, h.available, h.held, h.locked)
            for (account_id, instrument_id), h in sorted(state.holdings.items())
            if h.total
        ],
        "instruments": [_instrument_row(i) for i in state.instruments.values()],
        "orders": [
            _order_row(order)
            for instrument in state.instruments.values()
            for book_side in (instrument.bids, instrument.asks)
            for order in book_side
        ],
        "sessions": [(session_id, 0, ref) for session_id, ref in sorted(state.sessions.items())],
        "client_order_ids": [
            _client_order_id_row(label, body)
            for label, body in sorted(state.client_order_ids.items())
        ],
    }
    return Snapshot(
        next_offset=state.next_offset,
        next_event=state.next_event,
        time_ns=state.time_ns,
        epoch=state.epoch,
        leader=state.leader,
        trading_date=state.trading_date,
        fees=state.fees,
        cash=state.cash,
        limits=state.limits,
        **{name: np.array(rows, SECTIONS[name]) for name, rows in tables.items()},
    )


def from_snapshot(s: Snapshot) -> State:
    """The state that a sound snapshot describes. O(state log state)."""
    state = State(
        s.limits,
        s.next_offset,
        s.next_event,
        s.time_ns,
        s.epoch,
        s.leader,
        s.trading_date,
        s.fees,
        s.cash,
    )
    for account_id, _, participant, available, held in s.accounts.tolist():
        state.accounts[account_id] = Account(account_id, participant, available, held)
    for account_id, instrument_id, _, available, held, locked in s.holdings.tolist():
        state.holdings[account_id, instrument_id] = Holding(available, held, locked)
    for row in s.instruments:
        instrument = Instrument(int(row["instrument_id"]), int(row["phase"]))
        for parameter, name in PARAMETER_FIELDS.items():
            instrument.parameters[parameter] = int(row[name])
        for name in ("reference", "volume", "turnover", "last_price", "units"):
            setattr(instrument, name, int(row[name]))
        state.instruments[instrument.instrument_id] = instrument
    for row in s.orders.tolist():
        order = _order(row)
        state.orders[order.order_id] = order
        state.instruments[order.instrument_id].book_side(order.side).add(order)
    for session_id, _, ref in s.sessions.tolist():
        state.sessions[session_id] = ref
    for row in s.client_order_ids.tolist():
        label, account_id, instrument_id, side, order_type, tif, _, order_id, *terms = row
        body = Body(order_id, instrument_id, side, order_type, tif, *terms)
        state.client_order_ids[account_id, label.ljust(16, b"\0")] = body
    return state


def _instrument_row(i: Instrument) -> tuple[Any, ...]:
    day = (i.reference, i.volume, i.turnover, i.last_price, i.units)
    return (i.instrument_id, i.phase, 0, *(i[p] for p in PARAMETER_FIELDS), *day)


def _order_row(o: Order) -> tuple[Any, ...]:
    return (
        o.order_id,
        o.account_id,
        o.instrument_id,
        o.side,
        o.time_in_force,
        o.quantity,
        o.leaves,
        o.price,
        o.charged,
        o.accrued - BP * o.charged,
        o.client_order_id,
    )


def _order(row: tuple[Any, ...]) -> Order:
    order_id, account_id, instrument_id, side, tif, quantity, leaves, price, *fees, label = row
    charged, uncharged = fees
    return Order(
        order_id,
        account_id,
        instrument_id,
        side,
        OrderType.LIMIT,
        tif,
        quantity,
        leaves,
        price,
        label.ljust(16, b"\0"),
        accrued=BP * charged + uncharged,
        charged=charged,
    )


def _client_order_id_row(label: Label, b: Body) -> tuple[Any, ...]:
    account_id, client_order_id = label
    return (
        client_order_id,
        account_id,
        b.instrument_id,
        b.side,
        b.order_type,
        b.time_in_force,
        bytes(7),
        b.order_id,
        b.quantity,
        b.price,
    )
