"""Block trades: one side proposes to a named account, the other side confirms.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from matching.layout import (
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    VALUE_LIMIT,
    OrderType,
    Parameter,
    Queue,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
)
from matching.reference.calls import phase_refusal
from matching.reference.entry import (
    admit,
    body_of,
    is_resent,
    new_order_of,
    room_refusal,
    sent_refusal,
)
from matching.reference.instruments import Instrument
from matching.reference.orders import fill, rest, take_out
from matching.reference.records import CommandRecord
from matching.reference.self_trade import are_one
from matching.reference.state import State


def block_propose(state: State, c: CommandRecord, position: int) -> Reason:
    """BLOCK_PROPOSE: hold one side until the account named in `order_id` answers. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    body = body_of(c, OrderType.BLOCK, TimeInForce.DAY)
    if is_resent(state, c, body):
        return Reason.NONE
    reason = sent_refusal(state, c, body) or _hour_refusal(instrument)
    reason = reason or _counterparty_refusal(state, c.account_id, c.order_id)
    reason = reason or _quantity_refusal(instrument, c.quantity)
    reason = reason or _price_refusal(instrument, c.quantity, c.price)
    reason = reason or room_refusal(state, c)
    if reason:
        return reason
    order = new_order_of(c, position, body, Queue.BLOCKS)
    order.counterparty = c.order_id
    reason = admit(state, instrument, order, body)
    if not reason:
        rest(state, instrument, order)
    return reason


def block_confirm(state: State, c: CommandRecord, position: int) -> Reason:
    """BLOCK_CONFIRM: the other side, with the same quantity and price, trades at once. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    body = body_of(c, OrderType.BLOCK, TimeInForce.DAY)
    if is_resent(state, c, body):
        return Reason.NONE
    proposal = state.orders.get(c.order_id)
    if (
        proposal is None
        or proposal.instrument_id != c.instrument_id
        or proposal.queue != Queue.BLOCKS
        or proposal.counterparty != c.account_id
    ):
        return Reason.UNKNOWN_ORDER
    if c.side == proposal.side:
        return Reason.INVALID_SIDE
    reason = sent_refusal(state, c, body) or _hour_refusal(instrument)
    reason = reason or _counterparty_refusal(state, c.account_id, proposal.account_id)
    if not reason and c.quantity != proposal.leaves:
        reason = Reason.QUANTITY_DIFFERS
    reason = reason or room_refusal(state, c)
    if not reason and c.price != proposal.price:
        reason = Reason.PRICE_DIFFERS
    reason = reason or _quantity_refusal(instrument, c.quantity)
    reason = reason or _price_refusal(instrument, c.quantity, c.price)
    if reason:
        return reason
    order = new_order_of(c, position, body, Queue.BLOCKS)
    reason = admit(state, instrument, order, body)
    if reason:
        return reason
    fee_bp = instrument[Parameter.BLOCK_FEE_BP]
    pair, fees = (proposal, order), (fee_bp, fee_bp)
    fill(state, instrument, pair, c.quantity, c.price, fees, TradeMethod.BLOCK_TRADE)
    take_out(state, instrument, proposal)
    return Reason.NONE


def _hour_refusal(instrument: Instrument) -> Reason:
    reason = phase_refusal(instrument.phase, TimeInForce.FOK, must_match=True)
    if not reason and not instrument[Parameter.BLOCK_OPEN]:
        return Reason.BLOCKS_CLOSED
    return reason


def _counterparty_refusal(state: State, account_id: int, counterparty: int) -> Reason:
    is_known = counterparty in state.accounts
    if not is_known or are_one(state, account_id, counterparty):
        return Reason.UNKNOWN_COUNTERPARTY
    return Reason.NONE


def _quantity_refusal(instrument: Instrument, quantity: int) -> Reason:
    if quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if quantity > QUANTITY_LIMIT:
        return Reason.QUANTITY_ABOVE_MAX
    if quantity % instrument[Parameter.LOT_SIZE]:
        return Reason.QUANTITY_NOT_LOT
    if quantity < instrument[Parameter.BLOCK_QUANTITY_MIN]:
        return Reason.QUANTITY_BELOW_MIN
    return Reason.NONE


def _price_refusal(instrument: Instrument, quantity: int, price: int) -> Reason:
    if price <= 0:
        return Reason.PRICE_NOT_POSITIVE
    if price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if price % instrument.tick_at(price):
        return Reason.PRICE_NOT_TICK
    band = instrument.band(Parameter.BLOCK_BAND_BP)
    if band and price > band[1]:
        return Reason.PRICE_ABOVE_BAND
    if band and price < band[0]:
        return Reason.PRICE_BELOW_BAND
    return Reason.VALUE_ABOVE_MAX if quantity * price > VALUE_LIMIT else Reason.NONE
