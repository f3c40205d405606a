"""What a sealed bid must keep, when it comes and when it is replaced."""

from __future__ import annotations

from matching.layout import (
    BP,
    PRICE_LIMIT,
    QUANTITY_LIMIT,
    VALUE_LIMIT,
    AuctionFlag,
    Queue,
    Reason,
    Side,
)
from matching.reference.allocation import is_beyond
from matching.reference.book import Order
from matching.reference.instruments import Auction, Instrument
from matching.reference.self_trade import are_one
from matching.reference.state import State


def offer_of(instrument: Instrument) -> Order:
    """What is offered in the auction that is open. O(1)."""
    offers = (instrument.queues[Queue.OFFERS, side].first() for side in Side)
    return next(offer for offer in offers if offer)


def is_irrevocable(instrument: Instrument, order: Order) -> bool:
    """Whether the order is a bid that must stay as it is. O(1)."""
    auction = instrument.auction
    if order.queue != Queue.BIDS or auction is None:
        return False
    return bool(auction.flags & AuctionFlag.IRREVOCABLE)


def closing_refusal(auction: Auction | None, time_ns: int) -> Reason:
    """BIDDING_CLOSED from the auction's closing time on, or none. O(1)."""
    if auction is None or not 0 < auction.closes_ns <= time_ns:
        return Reason.NONE
    return Reason.BIDDING_CLOSED


def fixed_refusal(instrument: Instrument, order: Order, time_ns: int) -> Reason:
    """Why a bid can be neither withdrawn nor changed now; nothing holds another order. O(1)."""
    if is_irrevocable(instrument, order):
        return Reason.BID_IRREVOCABLE
    if order.queue != Queue.BIDS:
        return Reason.NONE
    return closing_refusal(instrument.auction, time_ns)


def bid_refusal(
    state: State,
    instrument: Instrument,
    account_id: int,
    quantity: int,
    price: int,
    replaced: Order | None = None,
) -> Reason:
    """Quantity, price and value of a bid in the auction that is open. O(bids)."""
    auction = instrument.auction
    if auction is None:
        return Reason.AUCTION_NOT_OPEN
    offer = offer_of(instrument)
    reason = _quantity_refusal(auction, offer, quantity)
    if reason:
        return reason
    if auction.bid_max_bp:
        bids = instrument.queues[Queue.BIDS, Side.BUY + Side.SELL - offer.side]
        others = sum(
            bid.leaves
            for bid in bids
            if are_one(state, bid.account_id, account_id) and bid is not replaced
        )
        if others + quantity > offer.quantity * auction.bid_max_bp // BP:
            return Reason.BID_ABOVE_MAX
    return _price_refusal(instrument, auction, quantity, price)


def replaced_bid_refusal(
    state: State, instrument: Instrument, replaced: Order, quantity: int, price: int
) -> Reason:
    """As `bid_refusal`, with the old bid out of the way; one that is fixed stays. O(bids)."""
    return fixed_refusal(instrument, replaced, state.time_ns) or bid_refusal(
        state, instrument, replaced.account_id, quantity, price, replaced
    )


def reserve_refusal(instrument: Instrument, price: int) -> Reason:
    """Whether the price is worse than the public reserve of the auction that is open. O(1)."""
    if instrument.auction:
        offer = offer_of(instrument)
        if is_beyond(price, offer.price, offer.side):
            return Reason.PRICE_BEYOND_RESERVE
    return Reason.NONE


def _quantity_refusal(auction: Auction, offer: Order, quantity: int) -> Reason:
    if quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if quantity > QUANTITY_LIMIT:
        return Reason.QUANTITY_ABOVE_MAX
    if quantity % auction.bid_multiple:
        return Reason.QUANTITY_NOT_LOT
    if auction.flags & AuctionFlag.WHOLE_LOT and quantity != offer.quantity:
        return Reason.QUANTITY_DIFFERS
    return Reason.NONE


def _price_refusal(instrument: Instrument, auction: Auction, quantity: int, price: int) -> Reason:
    if price <= 0:
        return Reason.PRICE_NOT_POSITIVE
    if price > PRICE_LIMIT:
        return Reason.PRICE_ABOVE_MAX
    if price % instrument.tick_at(price):
        return Reason.PRICE_NOT_TICK
    band = instrument.band() if auction.flags & AuctionFlag.IN_BAND else None
    if band and price > band[1]:
        return Reason.PRICE_ABOVE_BAND
    if band and price < band[0]:
        return Reason.PRICE_BELOW_BAND
    return Reason.VALUE_ABOVE_MAX if quantity * price > VALUE_LIMIT else Reason.NONE
