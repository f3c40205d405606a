"""The venue's numbered reasons as FIX's few codes: one row each, so that none is forgotten.

FIX has about ten words for why an order is refused, the venue has more than two hundred; each
answer carries the venue's own number in VenueReason (20001) and its words in Text (58).
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.reasons import REASONS, EdgeReason, Reason

BROKER_OPTION, UNKNOWN_SYMBOL, EXCHANGE_CLOSED, EXCEEDS_LIMIT, TOO_LATE = 0, 1, 2, 3, 4
UNKNOWN_ORDER, DUPLICATE, STALE, UNSUPPORTED, WRONG_QUANTITY, UNKNOWN_ACCOUNT = 5, 6, 8, 11, 13, 15
OTHER = 99
ENGINE_REASONS_END = 500  # below are the engine's, from here on the edge's and others'

_ORDER: dict[int, tuple[int, ...]] = {
    UNKNOWN_SYMBOL: (Reason.UNKNOWN_INSTRUMENT, EdgeReason.UNKNOWN_SYMBOL),
    EXCHANGE_CLOSED: (
        Reason.MARKET_CLOSED, Reason.MARKET_HALTED, Reason.ORDER_NOT_ALLOWED_IN_PHASE,
        Reason.BLOCKS_CLOSED, Reason.AUCTION_NOT_OPEN,
    ),
    EXCEEDS_LIMIT: (
        Reason.ORDER_RATE_EXCEEDED, Reason.QUANTITY_ABOVE_MAX, Reason.PRICE_ABOVE_MAX,
        Reason.PRICE_ABOVE_BAND, Reason.PRICE_BELOW_BAND, Reason.VALUE_ABOVE_MAX,
        Reason.PRICE_OUTSIDE_COLLAR, Reason.HOLDING_ABOVE_MAX, Reason.POSITION_ABOVE_MAX,
        Reason.INSUFFICIENT_CASH, Reason.INSUFFICIENT_UNITS, Reason.BID_ABOVE_MAX,
        EdgeReason.THROTTLED, EdgeReason.OFFSET_HEADROOM_EXCEEDED,
    ),
    UNKNOWN_ORDER: (Reason.UNKNOWN_ORDER, EdgeReason.NOT_FOUND),
    DUPLICATE: (
        Reason.CLIENT_ORDER_ID_REUSED_ORDER, Reason.CLIENT_ORDER_ID_REUSED_INSTRUMENT,
        Reason.CLIENT_ORDER_ID_REUSED_SIDE, Reason.CLIENT_ORDER_ID_REUSED_ORDER_TYPE,
        Reason.CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE, Reason.CLIENT_ORDER_ID_REUSED_QUANTITY,
        Reason.CLIENT_ORDER_ID_REUSED_PRICE, Reason.CLIENT_ORDER_ID_REUSED_TERMS,
        EdgeReason.REF_REUSED, EdgeReason.REF_PASSED_OVER, EdgeReason.REF_FORGOTTEN,
    ),
    STALE: (Reason.EXPIRED,),
    UNSUPPORTED: (
        Reason.INVALID_ORDER_TYPE, Reason.INVALID_TIME_IN_FORCE, Reason.INVALID_INSTRUCTIONS,
        Reason.INVALID_TERMS, Reason.MARKET_ORDER_CANNOT_REST, Reason.MARKET_ORDER_HAS_PRICE,
        Reason.NOT_ALLOWED_BY_POLICY, Reason.EXPIRE_DATE_OUT_OF_RANGE, EdgeReason.UNKNOWN_FIELD,
    ),
    WRONG_QUANTITY: (
        Reason.QUANTITY_NOT_POSITIVE, Reason.QUANTITY_NOT_LOT, Reason.QUANTITY_NOT_ABOVE_EXECUTED,
        Reason.QUANTITY_BELOW_MIN, Reason.DISPLAY_QUANTITY_OUT_OF_RANGE,
        Reason.MINIMUM_QUANTITY_OUT_OF_RANGE, Reason.QUANTITY_ABOVE_LISTED,
        Reason.QUANTITY_DIFFERS,
    ),
    UNKNOWN_ACCOUNT: (
        Reason.UNKNOWN_ACCOUNT, Reason.UNKNOWN_COUNTERPARTY, EdgeReason.NOT_OWN_ACCOUNT,
    ),
    BROKER_OPTION: (
        Reason.ACCOUNT_SUSPENDED, EdgeReason.ROLE_NOT_ALLOWED, Reason.PRICE_NOT_TICK,
        Reason.PRICE_NOT_POSITIVE, Reason.STOP_PRICE_OUT_OF_RANGE, Reason.POST_ONLY_WOULD_TRADE,
        Reason.NO_LIQUIDITY, EdgeReason.PRICE_TOO_FINE,
    ),
}  # fmt: skip
_ORDER_ROW = {int(reason): code for code, reasons in _ORDER.items() for reason in reasons}

ORDER_REJECT: dict[int, int] = {number: _ORDER_ROW.get(number, OTHER) for number in REASONS}
"""Venue's reason -> OrdRejReason (103); a row for every reason, 99 where FIX has no word."""

_CANCEL = {EXCHANGE_CLOSED: 2, UNKNOWN_ORDER: 1, DUPLICATE: 6, BROKER_OPTION: 2, STALE: 0}
CANCEL_REJECT: dict[int, int] = {
    number: _CANCEL.get(code, OTHER) for number, code in ORDER_REJECT.items()
}
"""Venue's reason -> CxlRejReason (102)."""

_BUSINESS = {
    EdgeReason.UNKNOWN_SYMBOL: 2,
    EdgeReason.MISSING_FIELD: 5,
    EdgeReason.NOT_FOUND: 1,
    EdgeReason.NOT_OWN_ACCOUNT: 6,
    EdgeReason.ROLE_NOT_ALLOWED: 6,
    EdgeReason.VENUE_BUSY: 4,
    EdgeReason.STATUS_UNKNOWN: 4,
    EdgeReason.THROTTLED: 4,
}
BUSINESS_REJECT: dict[int, int] = {
    number: {int(reason): code for reason, code in _BUSINESS.items()}.get(number, 0)
    for number in REASONS
}
"""Venue's reason -> BusinessRejectReason (380)."""


class Codes(NamedTuple):
    """FIX's codes for one of the venue's reasons."""

    order: int
    cancel: int
    business: int


def codes(number: int) -> Codes:
    """The row of a reason; one newer than this software is OTHER. O(1)."""
    return Codes(
        ORDER_REJECT.get(number, OTHER),
        CANCEL_REJECT.get(number, OTHER),
        BUSINESS_REJECT.get(number, 0),
    )
