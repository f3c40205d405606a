"""Quotes: both sides of an account in an instrument, set and replaced at once."""

from __future__ import annotations

from struct import Struct

from matching.layout import (
    QUOTE_SELL_BIT,
    Event,
    ExecInst,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.limits import holding_refusal, sender_refusal
from matching.reference.orders import end_resting, move_hold, names
from matching.reference.records import NO_LABEL, CommandRecord
from matching.reference.state import State
from matching.reference.terms import NO_TERMS, instructions_refusal
from matching.reference.trading import enter, funds_refusal, refusal

_TAIL = Struct("<qq")  # quantity and price to sell
_FLAGS = ExecInst.FROM_QUOTE | ExecInst.NON_PERSISTENT


def quote(state: State, c: CommandRecord, position: int) -> Reason:
    """QUOTE: refuse and leave the old one, or end it and set both sides. O(orders)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    sides = [
        (position, Side.BUY, c.quantity, c.price),
        (position | QUOTE_SELL_BIT, Side.SELL, *_TAIL.unpack(c.client_order_id)),
    ]
    reason = instructions_refusal(OrderType.LIMIT, TimeInForce.DAY, c.order_type)
    if reason or c.order_type & ExecInst.POST_ONLY_REPRICE:
        return Reason.INVALID_INSTRUCTIONS
    if any(price and not quantity for _, _, quantity, price in sides):
        return Reason.INVALID_TERMS
    orders = [_order(c, *side) for side in sides if side[2]]
    reason = sender_refusal(state, c.account_id) if orders else Reason.NONE
    if reason:
        return reason
    old = [
        order
        for line in (instrument.bids, instrument.asks)
        for order in line
        if order.account_id == c.account_id and order.instructions & ExecInst.FROM_QUOTE
    ]
    reason = _refusal(state, instrument, orders, old)
    if reason:
        return reason
    state.emit_answer(Event.QUOTED, c, order_id=position)
    for order in old:
        end_resting(state, order, Reason.QUOTE_REPLACED)
    for order in orders:
        hold = order.hold(instrument.fee_max())
        move_hold(state, order, hold)
        state.emit(Event.ACCEPTED, value=hold, quantity=order.quantity, **names(order))
        enter(state, instrument, order)
    return Reason.NONE


def _order(c: CommandRecord, order_id: int, side: int, quantity: int, price: int) -> Order:
    return Order(
        order_id,
        c.account_id,
        c.instrument_id,
        side,
        OrderType.LIMIT,
        TimeInForce.DAY,
        quantity,
        quantity,
        price,
        NO_LABEL,
        session_id=c.session_id,
        instructions=c.order_type | _FLAGS,
    )


def _refusal(state: State, instrument: Instrument, orders: list[Order], old: list[Order]) -> Reason:
    """Each side as an order, then both together."""
    gone = frozenset(order.order_id for order in old)
    for order in orders:
        reason = refusal(instrument, order, order.price, NO_TERMS, gone)
        if reason:
            return reason
    if len(state.orders) - len(old) + len(orders) > state.limits.orders_max:
        return Reason.ORDERS_FULL
    if len(orders) == len(Side) and orders[0].price >= orders[1].price:
        return Reason.QUOTE_CROSSED
    for order in orders:
        freed = sum(other.leaves for other in old if other.side == order.side)
        reason = holding_refusal(state, instrument, order, order.leaves - freed)
        if reason:
            return reason
    for order in orders:
        fee = instrument.fee_max()
        freed = sum(other.hold(fee) for other in old if other.side == order.side)
        reason = funds_refusal(state, order, order.hold(fee) - freed)
        if reason:
            return reason
    return Reason.NONE
