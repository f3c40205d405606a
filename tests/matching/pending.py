"""What the flows do not meet yet."""

from __future__ import annotations

from matching.layout import Event, Reason

PENDING_EVENTS = {
    Event.AUCTION_OPENED,
    Event.AUCTION_CLEARED,
    Event.AUCTION_CANCELLED,
    Event.AUCTION_CARRIED,
}

PENDING_REASONS = {
    # listings, blocks, sealed bids
    Reason.BLOCKS_CLOSED,
    Reason.UNKNOWN_COUNTERPARTY,
    Reason.QUANTITY_ABOVE_LISTED,
    Reason.QUANTITY_DIFFERS,
    Reason.PRICE_DIFFERS,
    Reason.LISTING_OUT_OF_REACH,
    Reason.BLOCK_DECLINED,
    Reason.AUCTION_NOT_OPEN,
    Reason.AUCTION_ALREADY_OPEN,
    Reason.BID_IRREVOCABLE,
    Reason.BID_ABOVE_MAX,
    Reason.PRICE_BEYOND_RESERVE,
    Reason.INVALID_AUCTION_TERMS,
    Reason.BID_UNSUCCESSFUL,
    Reason.OFFER_UNSOLD,
    Reason.AUCTION_SHORT,
    Reason.AUCTION_BELOW_RESERVE,
    Reason.AUCTION_CALLED_OFF,
    # limits
}
