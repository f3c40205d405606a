"""Who wins a sealed-bid auction, and at what price: a pure function of the bids and the terms.

The offer, the multiple and every bid are tonnes, the offer and the bids multiples of the multiple,
so all that is given out is, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from matching.draws import draw
from matching.layout import AuctionFlag, Pricing, Reason, Side, TieBreak
from matching.reference.instruments import Auction


class Bid(NamedTuple):
    """A bid as its queue knows it: tonnes, minor units a tonne."""

    order_id: int
    price: int
    quantity: int


class Award(NamedTuple):
    """What a bid gets, and what it pays (or is paid) a tonne."""

    order_id: int
    quantity: int
    price: int


class Outcome(NamedTuple):
    """How an auction ends: `reason` says why it is cancelled, NONE that it clears."""

    reason: Reason
    price: int  # of the last bid accepted; 0 when nothing is sold
    awards: list[Award]  # in the order of the trades

    @property
    def sold(self) -> int:
        """Tonnes of all awards. O(awards)."""
        return sum(award.quantity for award in self.awards)


def is_beyond(price: int, reserve: int, offer_side: int) -> bool:
    """Whether a bid is worse than the reserve; a reserve of 0 asks nothing. O(1)."""
    if reserve == 0:
        return False
    return price < reserve if offer_side == Side.SELL else price > reserve


def clear(
    auction: Auction,
    offer_side: int,
    offered: int,
    bids: Sequence[Bid],
    *,
    secret_reserve: int,
    seed: int,
) -> Outcome:
    """The outcome for bids in the order of their queue: best price first, then arrival.

    O(bids log bids at the price where the offer runs out).
    """
    heard = list(bids)
    if not auction.flags & AuctionFlag.CANCEL_BELOW_RESERVE:
        heard = [bid for bid in bids if not is_beyond(bid.price, secret_reserve, offer_side)]
    is_short = sum(bid.quantity for bid in heard) < offered
    if is_short and auction.flags & AuctionFlag.CANCEL_IF_SHORT:
        return Outcome(Reason.AUCTION_SHORT, 0, [])
    accepted = _accepted(auction, offered, heard, seed)
    if not accepted:
        return Outcome(Reason.NONE, 0, [])
    last = accepted[-1][0].price
    # Bids beyond the reserve are left here only where they cancel the whole.
    if is_beyond(last, secret_reserve, offer_side):
        return Outcome(Reason.AUCTION_BELOW_RESERVE, 0, [])
    is_uniform = auction.pricing == Pricing.UNIFORM
    awards = [
        Award(bid.order_id, quantity, last if is_uniform else bid.price)
        for bid, quantity in accepted
    ]
    return Outcome(Reason.NONE, last, awards)


def spread(unsold: int, parts: int, multiple: int) -> list[int]:
    """`unsold` in so many parts, as equal as the multiple allows, the greater first. O(parts)."""
    each, over = divmod(unsold // multiple, parts)
    return [(each + (place < over)) * multiple for place in range(parts)]


def _accepted(
    auction: Auction, offered: int, bids: Sequence[Bid], seed: int
) -> list[tuple[Bid, int]]:
    """The bids that get something, and what."""
    accepted: list[tuple[Bid, int]] = []
    rest = offered
    for _, at_price in groupby(bids, key=lambda bid: bid.price):
        level = list(at_price)
        asked = sum(bid.quantity for bid in level)
        if asked <= rest:
            accepted += [(bid, bid.quantity) for bid in level]
            rest -= asked
        else:
            accepted += _tie(auction, rest, level, seed)
            break
        if rest == 0:
            break
    return accepted


def _tie(auction: Auction, rest: int, level: list[Bid], seed: int) -> list[tuple[Bid, int]]:
    """How `rest` is shared by bids at one price that ask for more."""
    if auction.tie_break == TieBreak.PRO_RATA:
        shares = _pro_rata(rest, level, auction.bid_multiple, seed)
        return [(bid, shares[bid.order_id]) for bid in level if shares[bid.order_id]]
    queue = _drawn(level, seed) if auction.tie_break == TieBreak.AT_RANDOM else level
    given = []
    for bid in queue:
        quantity = min(bid.quantity, rest)
        rest -= quantity
        if quantity:
            given.append((bid, quantity))
    return given


def _pro_rata(rest: int, level: list[Bid], multiple: int, seed: int) -> dict[int, int]:
    asked = sum(bid.quantity for bid in level)
    shares = {bid.order_id: bid.quantity * rest // asked // multiple * multiple for bid in level}
    # Each lost less than a multiple by rounding, so one more for some of them is the whole rest.
    over = (rest - sum(shares.values())) // multiple
    for bid in _drawn(level, seed)[:over]:
        shares[bid.order_id] += multiple
    return shares


def _drawn(level: list[Bid], seed: int) -> list[Bid]:
    return sorted(level, key=lambda bid: (draw(seed, bid.order_id), bid.order_id))
