"""How an order comes in by a command of its own: picks, blocks, bids and what is auctioned."""

from __future__ import annotations

from matching.draws import digest
from matching.layout import Event, OrderType, Reason, TimeInForce
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.limits import holding_refusal, sender_refusal
from matching.reference.orders import move_hold, names
from matching.reference.records import CommandRecord
from matching.reference.state import Body, State
from matching.reference.trading import REUSED, funds_refusal, label_refusal, remembered


def body_of(c: CommandRecord, order_type: OrderType, tif: TimeInForce, *terms: int) -> Body:
    """What is remembered of the command, but the order id: `terms` are its own words. O(1)."""
    words = (c.order_id, *terms)
    return Body(
        0,
        c.instrument_id,
        c.side,
        order_type,
        tif,
        c.quantity,
        c.price,
        digest(*words, *(0,) * (5 - len(words))),
    )


def is_resent(state: State, c: CommandRecord, body: Body) -> bool:
    """Whether the command was accepted before under its label; answered here if so. O(1)."""
    known = remembered(state, c)
    if known is None or known._replace(order_id=0) != body:
        return False
    state.duplicate(c, known.order_id)
    return True


def sent_refusal(state: State, c: CommandRecord, body: Body) -> Reason:
    """A label that is known with another body; an account that may not send now. O(1)."""
    known = remembered(state, c)
    if known is None:
        return sender_refusal(state, c.account_id)
    pairs = zip(known._replace(order_id=0), body, REUSED, strict=True)
    return next(reason for had, has, reason in pairs if had != has)


def room_refusal(state: State, c: CommandRecord) -> Reason:
    """Whether one more order, and its label, can be kept. O(1)."""
    if len(state.orders) >= state.limits.orders_max:
        return Reason.ORDERS_FULL
    return label_refusal(state, c)


def new_order_of(c: CommandRecord, position: int, body: Body, queue: int) -> Order:
    """The order that the command asks for. O(1)."""
    return Order(
        position,
        c.account_id,
        c.instrument_id,
        c.side,
        body.order_type,
        body.time_in_force,
        c.quantity,
        c.quantity,
        c.price,
        c.client_order_id,
        queue=queue,
        session_id=c.session_id,
    )


def admit(state: State, instrument: Instrument, order: Order, body: Body) -> Reason:
    """Hold, remember and say ACCEPTED, or refuse what the account may not hold or lacks. O(1)."""
    hold = order.hold(instrument.fee_max())
    reason = holding_refusal(state, instrument, order, order.quantity)
    reason = reason or funds_refusal(state, order, hold)
    if reason:
        return reason
    move_hold(state, order, hold)
    if any(order.client_order_id):
        label = (order.account_id, order.client_order_id)
        state.client_order_ids[label] = body._replace(order_id=order.order_id)
    state.emit(Event.ACCEPTED, value=hold, quantity=order.quantity, **names(order))
    return Reason.NONE
