"""Listed trading: an order waits as it stands until a taker names it.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from itertools import islice

from matching.layout import (
    OrderType,
    Parameter,
    Policy,
    Queue,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
)
from matching.reference.book import Order
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
from matching.reference.orders import fill, take_out
from matching.reference.records import CommandRecord
from matching.reference.self_trade import are_one
from matching.reference.state import State


def pick_order(state: State, c: CommandRecord, position: int) -> Reason:
    """PICK_ORDER: take some of a listing, at its price and at once. O(log levels)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    body = body_of(c, OrderType.PICK, TimeInForce.FOK)
    if is_resent(state, c, body):
        return Reason.NONE
    listing = state.orders.get(c.order_id)
    if listing is None or listing.instrument_id != c.instrument_id or listing.queue != Queue.BOOK:
        return Reason.UNKNOWN_ORDER
    if c.side == listing.side:
        return Reason.INVALID_SIDE
    reason = sent_refusal(state, c, body)
    reason = reason or phase_refusal(instrument.phase, body.time_in_force, must_match=True)
    reason = reason or _terms_refusal(instrument, c, listing) or room_refusal(state, c)
    reason = reason or _reach_refusal(state, instrument, c, listing)
    if reason:
        return reason
    order = new_order_of(c, position, body, Queue.BOOK)
    reason = admit(state, instrument, order, body)
    if reason:
        return reason
    fees = instrument[Parameter.MAKER_FEE_BP], instrument[Parameter.TAKER_FEE_BP]
    instrument.count_trade(c.quantity, c.price)
    fill(state, instrument, (listing, order), c.quantity, c.price, fees, TradeMethod.LISTED_TRADE)
    if not listing.leaves:
        take_out(state, instrument, listing)
    return Reason.NONE


def _terms_refusal(instrument: Instrument, c: CommandRecord, listing: Order) -> Reason:
    """Policy, quantity and value; the price is the listing's."""
    if instrument[Parameter.POLICY] != Policy.LISTED:
        return Reason.NOT_ALLOWED_BY_POLICY
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.quantity > instrument[Parameter.QUANTITY_MAX]:
        return Reason.QUANTITY_ABOVE_MAX
    if c.quantity % instrument[Parameter.LOT_SIZE]:
        return Reason.QUANTITY_NOT_LOT
    if c.quantity > listing.leaves:
        return Reason.QUANTITY_ABOVE_LISTED
    if listing.price * c.quantity > instrument[Parameter.VALUE_MAX]:
        return Reason.VALUE_ABOVE_MAX
    return Reason.NONE


def _reach_refusal(
    state: State, instrument: Instrument, c: CommandRecord, listing: Order
) -> Reason:
    """Whether the taker may have this listing, and at the price it named. O(PICK_LEVELS)."""
    if c.price != listing.price:
        return Reason.PRICE_DIFFERS
    if are_one(state, c.account_id, listing.account_id):
        return Reason.LISTING_OUT_OF_REACH
    side = instrument.book_side(listing.side)
    levels = islice(side.levels.values(), instrument[Parameter.PICK_LEVELS])
    level = next((level for level in levels if listing.order_id in level), None)
    if level is None:
        return Reason.LISTING_OUT_OF_REACH
    is_oldest = next(iter(level)) == listing.order_id
    if instrument[Parameter.PICK_OLDEST] and not is_oldest:
        return Reason.LISTING_OUT_OF_REACH
    return Reason.NONE
