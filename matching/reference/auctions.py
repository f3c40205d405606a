"""Sealed-bid auctions: an offer, bids that nobody sees, one clearing.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from typing import Any

from matching.layout import (
    BP,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    VALUE_LIMIT,
    AuctionFlag,
    Event,
    OrderType,
    Parameter,
    Pricing,
    Queue,
    Reason,
    Side,
    TieBreak,
    TimeInForce,
    TradeMethod,
)
from matching.reference.allocation import Bid, Outcome, clear, spread
from matching.reference.bids import bid_refusal, closing_refusal, offer_of, reserve_refusal
from matching.reference.book import Order
from matching.reference.entry import (
    admit,
    body_of,
    is_resent,
    new_order_of,
    room_refusal,
    sent_refusal,
)
from matching.reference.instruments import Auction, Instrument
from matching.reference.orders import end_all, end_resting, fill, rest, take_out
from matching.reference.records import CommandRecord, seed_tail
from matching.reference.state import State
from matching.reference.terms import Bidding

_FLAGS = sum(AuctionFlag)
_PRICINGS = frozenset(Pricing)
_TIE_BREAKS = frozenset(TieBreak)


def auction_open(state: State, c: CommandRecord, position: int) -> Reason:
    """AUCTION_OPEN: hold what is offered, and hear bids from now on. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    auction = _terms_of(c, position, state.bidding)
    if not _is_sound(auction, c.quantity):
        return Reason.INVALID_AUCTION_TERMS
    terms = (c.order_type, c.time_in_force, auction.closes_ns)
    body = body_of(c, OrderType.OFFER, TimeInForce.GTC, *terms)
    if is_resent(state, c, body):
        return Reason.NONE
    reason = sent_refusal(state, c, body)
    if not reason and instrument.auction:
        reason = Reason.AUCTION_ALREADY_OPEN
    reason = reason or closing_refusal(auction, state.time_ns)
    reason = reason or _offer_refusal(instrument, c) or room_refusal(state, c)
    if reason:
        return reason
    order = new_order_of(c, position, body, Queue.OFFERS)
    reason = admit(state, instrument, order, body)
    if reason:
        return reason
    rest(state, instrument, order)
    instrument.auction = auction
    packed = c.order_id - 2**64 if c.order_id >= 2**63 else c.order_id
    state.emit_answer(Event.AUCTION_OPENED, c, order_id=position, value=packed)
    if auction.closes_ns:
        _say(state, Event.BIDDING_CLOSES, order, value=auction.closes_ns)
    return Reason.NONE


def auction_bid(state: State, c: CommandRecord, position: int) -> Reason:
    """AUCTION_BID: hold it, and let it wait unseen. O(bids) with a limit for each account."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.side not in (Side.BUY, Side.SELL):
        return Reason.INVALID_SIDE
    body = body_of(c, OrderType.BID, TimeInForce.GTC)
    if is_resent(state, c, body):
        return Reason.NONE
    auction = instrument.auction
    if auction and auction.order_id == c.order_id:
        if c.side == offer_of(instrument).side:
            return Reason.INVALID_SIDE
    else:
        auction = None
    reason = sent_refusal(state, c, body)
    if not reason and auction is None:
        reason = Reason.AUCTION_NOT_OPEN
    reason = reason or closing_refusal(auction, state.time_ns)
    reason = reason or bid_refusal(state, instrument, c.account_id, c.quantity, c.price)
    reason = reason or room_refusal(state, c) or reserve_refusal(instrument, c.price)
    if reason:
        return reason
    order = new_order_of(c, position, body, Queue.BIDS)
    reason = admit(state, instrument, order, body)
    if not reason:
        rest(state, instrument, order)
    return reason


def auction_clear(state: State, c: CommandRecord) -> Reason:
    """AUCTION_CLEAR: accept the best bids, trade, end the rest. O(bids log bids)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    auction = _named(instrument, c)
    if auction is None:
        return Reason.AUCTION_NOT_OPEN
    if c.price < 0:
        return Reason.PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if state.time_ns < auction.closes_ns:
        return Reason.BIDDING_NOT_CLOSED
    offer = offer_of(instrument)
    bids = [Bid(bid.order_id, bid.price, bid.leaves) for bid in _bids(instrument)]
    seed = auction.seed ^ c.quantity
    outcome = clear(auction, offer.side, offer.leaves, bids, secret_reserve=c.price, seed=seed)
    asked = sum(bid.quantity for bid in bids)
    if outcome.reason:
        _call_off(state, instrument, asked, outcome.reason)
        return Reason.NONE
    _say(
        state,
        Event.AUCTION_CLEARED,
        offer,
        price=outcome.price,
        quantity=outcome.sold,
        value=asked,
        client_order_id=seed_tail(seed, auction.seed),
    )
    _trade(state, instrument, offer, outcome)
    unsold = offer.leaves
    end_all(state, instrument, Queue.BIDS, Reason.BID_UNSUCCESSFUL)
    if unsold:
        end_resting(state, offer, Reason.OFFER_UNSOLD)
    else:
        take_out(state, instrument, offer)
    _carry(state, instrument, offer, unsold)
    return Reason.NONE


def auction_cancel(state: State, c: CommandRecord) -> Reason:
    """AUCTION_CANCEL: nobody gets anything. O(bids)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if _named(instrument, c) is None:
        return Reason.AUCTION_NOT_OPEN
    asked = sum(bid.leaves for bid in _bids(instrument))
    _call_off(state, instrument, asked, Reason.AUCTION_CALLED_OFF)
    return Reason.NONE


# -- checks ----------------------------------------------------------------------------------------


def _terms_of(c: CommandRecord, position: int, bidding: Bidding) -> Auction:
    packed = c.order_id
    return Auction(
        position,
        pricing=c.order_type,
        tie_break=c.time_in_force,
        flags=packed & 0xFF,
        carry=packed >> 8 & 0xFF,
        bid_max_bp=packed >> 16 & 0xFFFF,
        bid_multiple=packed >> 32 or 1,
        closes_ns=bidding.closes_ns,
        seed=bidding.seed,
    )


def _is_sound(a: Auction, offered: int) -> bool:
    is_known = a.pricing in _PRICINGS and a.tie_break in _TIE_BREAKS and not a.flags & ~_FLAGS
    # Who must bid for the whole can neither be limited to a part of it nor be given one.
    is_divided = a.bid_max_bp or a.tie_break == TieBreak.PRO_RATA
    is_whole = a.flags & AuctionFlag.WHOLE_LOT
    return (
        is_known
        and a.bid_max_bp <= BP
        and a.closes_ns >= 0
        and not (is_whole and is_divided)
        and offered % a.bid_multiple == 0
    )


def _offer_refusal(instrument: Instrument, c: CommandRecord) -> Reason:
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.quantity > QUANTITY_LIMIT:
        return Reason.QUANTITY_ABOVE_MAX
    if c.price < (c.side == Side.BUY):  # who buys must say what it pays at most
        return Reason.PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if c.price % instrument.tick_at(c.price):
        return Reason.PRICE_NOT_TICK
    return Reason.VALUE_ABOVE_MAX if c.quantity * c.price > VALUE_LIMIT else Reason.NONE


def _named(instrument: Instrument, c: CommandRecord) -> Auction | None:
    """The auction that the venue means: `order_id` names it, 0 is whichever is open."""
    auction = instrument.auction
    return auction if auction and c.order_id in (0, auction.order_id) else None


# -- the end of an auction -------------------------------------------------------------------------


def _bids(instrument: Instrument) -> list[Order]:
    return list(instrument.queues[Queue.BIDS, Side.BUY + Side.SELL - offer_of(instrument).side])


def _say(state: State, kind: Event, offer: Order, **values: Any) -> None:
    state.emit(
        kind,
        side=offer.side,
        instrument_id=offer.instrument_id,
        account_id=offer.account_id,
        order_id=offer.order_id,
        **values,
    )


def _trade(state: State, instrument: Instrument, offer: Order, outcome: Outcome) -> None:
    fee_bp = instrument[Parameter.AUCTION_FEE_BP]
    for award in outcome.awards:
        bid = state.orders[award.order_id]
        fill(
            state,
            instrument,
            (offer, bid),
            award.quantity,
            award.price,
            (fee_bp, fee_bp),
            TradeMethod.AUCTION_TRADE,
        )
        if not bid.leaves:
            take_out(state, instrument, bid)


def _call_off(state: State, instrument: Instrument, asked: int, reason: Reason) -> None:
    offer = offer_of(instrument)
    _say(
        state,
        Event.AUCTION_CANCELLED,
        offer,
        quantity=offer.leaves,
        value=asked,
        reason=reason,
    )
    unsold = offer.leaves
    end_all(state, instrument, Queue.BIDS, reason)
    end_resting(state, offer, reason)
    _carry(state, instrument, offer, unsold)


def _carry(state: State, instrument: Instrument, offer: Order, unsold: int) -> None:
    """What is left goes to the next auctions; the auction is over."""
    auction, instrument.auction = instrument.auction, None
    if auction is None or not unsold or not auction.carry:
        return
    for place, quantity in enumerate(spread(unsold, auction.carry, auction.bid_multiple), 1):
        _say(state, Event.AUCTION_CARRIED, offer, value=place, quantity=quantity)
