"""The whole state of a market, and its way to and from the canonical snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from matching.layout import BP, Event, Reason
from matching.protocol import Limits
from matching.reference.accounts import Account, Controls, Holding
from matching.reference.book import Order
from matching.reference.instruments import Auction, Instrument
from matching.reference.records import CommandRecord, event_record
from matching.reference.terms import Bidding, Terms
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
    terms: int = 0  # digest of the instructions and the terms


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
    participants: dict[int, Controls] = field(default_factory=dict)
    holdings: dict[tuple[int, int], Holding] = field(default_factory=dict)
    instruments: SortedDict[int, Instrument] = field(default_factory=SortedDict)
    orders: dict[int, Order] = field(default_factory=dict)  # those which rest
    sessions: dict[int, int] = field(default_factory=dict)  # the last ref of each
    client_order_ids: dict[Label, Body] = field(default_factory=dict)
    command_index: int = 0
    terms: Terms | None = None  # those right after the command at hand
    bidding: Bidding = Bidding()  # of the AUCTION_TERMS right after it
    stirred: set[int] = field(default_factory=set)  # instruments where stops may be triggered
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
            (
                a.account_id,
                a.controls.suspended,
                a.participant,
                a.available,
                a.held,
                a.locked,
                a.stp_group,
                *_control_columns(a.controls),
            )
            for _, a in sorted(state.accounts.items())
        ],
        "participants": [
            (participant, controls.suspended, *_control_columns(controls))
            for participant, controls in sorted(state.participants.items())
            if not controls.is_default()
        ],
        "holdings": [
            (account_id, instrument_id, 0, h.available, h.held, h.locked, h.holding_max)
            for (account_id, instrument_id), h in sorted(state.holdings.items())
            if h.total or h.holding_max
        ],
        "instruments": [_instrument_row(i) for i in state.instruments.values()],
        "auctions": [
            _auction_row(i.instrument_id, i.auction)
            for i in state.instruments.values()
            if i.auction
        ],
        "orders": [
            _order_row(order)
            for instrument in state.instruments.values()
            for queue in instrument.queues.values()
            for order in queue
        ],
        "order_terms": [
            (order_id, *terms)
            for order_id, order in sorted(state.orders.items())
            if any(terms := _order_terms(order))
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
    for account_id, suspended, participant, *rest in s.accounts.tolist():
        available, held, locked, group, *counted = rest
        controls = Controls(suspended, *counted)
        account = Account(account_id, participant, available, held, locked, group, controls)
        state.accounts[account_id] = account
    for participant, suspended, *rest in s.participants.tolist():
        state.participants[participant] = Controls(suspended, *rest)
    for account_id, instrument_id, _, *amounts in s.holdings.tolist():
        state.holdings[account_id, instrument_id] = Holding(*amounts)
    for row in s.instruments:
        instrument = Instrument(int(row["instrument_id"]), int(row["phase"]))
        for parameter, name in PARAMETER_FIELDS.items():
            instrument.parameters[parameter] = int(row[name])
        for name in _INSTRUMENT_FIELDS:
            setattr(instrument, name, int(row[name]))
        price, volume, surplus = (int(row[name]) for name in _INDICATIVE_FIELDS)
        instrument.indicative = (price, volume, surplus)
        state.instruments[instrument.instrument_id] = instrument
    for instrument_id, *terms in s.auctions.tolist():
        *rest, order_id, closes_ns, seed = terms
        state.instruments[instrument_id].auction = Auction(*(order_id, *rest, closes_ns, seed))
    rare = {order_id: terms for order_id, *terms in s.order_terms.tolist()}
    for row in s.orders.tolist():
        order = _order(row, rare.get(row[0], ()))
        state.orders[order.order_id] = order
        state.instruments[order.instrument_id].queues[order.queue, order.side].add(order)
    for session_id, _, ref in s.sessions.tolist():
        state.sessions[session_id] = ref
    for row in s.client_order_ids.tolist():
        label, account_id, instrument_id, side, order_type, tif, _, terms, order_id, *rest = row
        quantity, price = rest
        body = Body(order_id, instrument_id, side, order_type, tif, quantity, price, terms)
        state.client_order_ids[account_id, label.ljust(16, b"\0")] = body
    return state


_INSTRUMENT_FIELDS = (
    "change_to",
    "reference",
    "volume",
    "turnover",
    "last_price",
    "units",
    "call_price",
    "change_at_ns",
)
_INDICATIVE_FIELDS = ("indicative_price", "indicative_volume", "indicative_surplus")


def _control_columns(c: Controls) -> tuple[int, ...]:
    return (c.position_max, c.order_rate, c.rate_count, c.rate_second)


def _instrument_row(i: Instrument) -> tuple[Any, ...]:
    change_to, *day = (getattr(i, name) for name in _INSTRUMENT_FIELDS)
    parameters = (i[p] for p in PARAMETER_FIELDS)
    return (i.instrument_id, i.phase, change_to, 0, *parameters, *day, *i.indicative)


def _auction_row(instrument_id: int, a: Auction) -> tuple[Any, ...]:
    terms = (a.pricing, a.tie_break, a.flags, a.carry, a.bid_max_bp, a.bid_multiple)
    return (instrument_id, *terms, a.order_id, a.closes_ns, a.seed)


def _order_terms(o: Order) -> tuple[int, ...]:
    return (o.stop_price, o.display_quantity, o.visible, o.expire_date, o.counterparty)


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
        o.session_id,
        o.order_type,
        o.queue,
        o.instructions,
        0,
    )


def _order(row: tuple[Any, ...], terms: Iterable[int]) -> Order:
    order_id, account_id, instrument_id, side, tif, quantity, leaves, price, *rest = row
    charged, uncharged, label, session_id, order_type, queue, instructions, _ = rest
    return Order(
        order_id,
        account_id,
        instrument_id,
        side,
        order_type,
        tif,
        quantity,
        leaves,
        price,
        label.ljust(16, b"\0"),
        BP * charged + uncharged,
        charged,
        queue,
        session_id,
        instructions,
        *terms,
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
        bytes(3),
        b.terms,
        b.order_id,
        b.quantity,
        b.price,
    )
