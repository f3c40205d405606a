"""Mistakes in the rules themselves, to be planted into the reference engine while a run lasts.

A venue whose engines both make them agrees with the auditor's engine, which makes them, too: only
who computes the outcome by other means can find them. Each function gives what `replaced` takes.
"""

from __future__ import annotations

from typing import Any

from matching.reference import allocation, auctions
from matching.reference.allocation import Outcome

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
