"""What is answered: auctions with their results, and closes of days."""

from __future__ import annotations

import msgspec


class AuctionRow(msgspec.Struct, frozen=True):
    """An auction; of an open one, its terms alone. Tonnes, decimal strings, ns UTC.

    `mean_bid` and `median_bid` are of the tonnes bid; `cover_ratio` is tonnes bid for each offered;
    `carried_t` goes to the next auctions in turn.
    """

    symbol: str
    auction_id: int
    label: str
    state: str  # OPEN, CLEARED, CANCELLED
    side: str
    pricing: str
    tie_break: str
    offered_t: int
    public_reserve: str
    opened_ns: int
    ended_ns: int
    reason: str
    price: str
    sold_t: int
    bid_t: int
    cover_ratio: str
    bids: int
    successful_bids: int
    bidders: int
    successful_bidders: int
    min_bid: str
    max_bid: str
    mean_bid: str
    median_bid: str
    revenue: str
    carried_t: tuple[int, ...] = ()
    bid_multiple_t: int = 1  # bids are multiples of it
    bid_max_bp: int = 0  # of the offer, for one account's bids together; 0 = no bound


class AuctionList(msgspec.Struct, frozen=True):
    """Auctions by id; if not complete, ask on with `after`."""

    auctions: list[AuctionRow]
    is_complete: bool


class CloseRow(msgspec.Struct, frozen=True):
    """A day: its date YYYYMMDD, close, and what the book traded."""

    date: int
    close: str
    volume_t: int
    turnover: str


class CloseList(msgspec.Struct, frozen=True):
    """Days of an instrument, oldest first."""

    symbol: str
    closes: list[CloseRow]
