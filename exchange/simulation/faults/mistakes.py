"""Mistakes in the rules themselves, to be planted into the reference engine while a run lasts.

A venue whose engines both make them agrees with the auditor's engine, which makes them, too: only
who computes the outcome by other means can find them. Each function gives what `replaced` takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.messages.frames import Reason, Side
from matching.reference import allocation, auctions, calls, phases, trading
from matching.reference.allocation import Outcome
from matching.reference.book import Order
from matching.reference.call_price import CallPrice
from matching.reference.instruments import Instrument

Places = tuple[tuple[Any, str, Any], ...]


def auction_pays_bid() -> Places:
    """Everybody pays the own bid, whatever the auction's pricing. O(1)."""
    clear: Any = auctions.__dict__["clear"]

    def as_bid(auction: Any, side: int, offered: int, bids: Any, **terms: int) -> Outcome:
        outcome: Outcome = clear(auction, side, offered, bids, **terms)
        own = {bid.order_id: bid.price for bid in bids}
        awards = [award._replace(price=own[award.order_id]) for award in outcome.awards]
        return outcome._replace(awards=awards)

    return ((auctions, "clear", as_bid),)


def tie_by_time() -> Places:
    """Lots are not drawn: of equal bids the first is served. O(1)."""
    return ((allocation, "_drawn", lambda level, _: list(level)),)


def bid_hold_kept() -> Places:
    """The cash of bids that an auction ends without a trade stays held. O(1)."""
    end_all: Any = auctions.__dict__["end_all"]

    def keep(state: Any, instrument: Any, queue: Any, reason: Any) -> None:
        before = {number: account.held for number, account in state.accounts.items()}
        end_all(state, instrument, queue, reason)
        for number, account in state.accounts.items():
            account.available -= before[number] - account.held
            account.held = before[number]

    return ((auctions, "end_all", keep),)


def bounds_off_reference() -> Places:
    """Bounds, collars and calls go by the day's reference even after trades. O(1)."""
    return ((Instrument, "base_price", lambda instrument: instrument.reference),)


def call_not_drawn() -> Places:
    """Calls end by themselves without the part of the time that is drawn. O(1)."""
    return ((phases, "draw", lambda *_: 0),)


def collar_for_buys() -> Places:
    """Sells are not held against the collar. O(1)."""
    refusal: Any = trading.__dict__["collar_refusal"]

    def of_buys(instrument: Instrument, order: Order) -> Reason:
        found: Reason = refusal(instrument, order)
        return Reason.NONE if order.side == Side.SELL else found

    return ((trading, "collar_refusal", of_buys),)


def call_price_highest() -> Places:
    """A call ends at the highest price of the greatest volume, whatever is left over. O(1)."""
    price: Any = calls.__dict__["call_price"]

    def highest(bids: Mapping[int, int], asks: Mapping[int, int], reference: int) -> CallPrice:
        found: CallPrice = price(bids, asks, reference)
        if not found.volume:
            return found
        limits = sorted({*bids, *asks})
        all_of_them = [(_volume(bids, asks, limit), limit) for limit in limits]
        limit = max(limit for volume, limit in all_of_them if volume == found.volume)
        surplus = _bought(bids, limit) - _sold(asks, limit)
        return CallPrice(limit, found.volume, surplus)

    return ((calls, "call_price", highest),)


def _volume(bids: Mapping[int, int], asks: Mapping[int, int], limit: int) -> int:
    return min(_bought(bids, limit), _sold(asks, limit))


def _bought(bids: Mapping[int, int], limit: int) -> int:
    return sum(tonnes for price, tonnes in bids.items() if price >= limit)


def _sold(asks: Mapping[int, int], limit: int) -> int:
    return sum(tonnes for price, tonnes in asks.items() if price <= limit)
