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
    label: str  # the calendar's name of the auction
    state: str  # OPEN, CLEARED, CANCELLED
    side: str
    pricing: str  # UNIFORM or PAY_AS_BID
    tie_break: str  # BY_TIME, AT_RANDOM or PRO_RATA
    offered_t: int  # tonnes on offer
    public_reserve: str  # a floor, currency units a tonne; "" = none
    opened_ns: int  # ns UTC
    ended_ns: int  # ns UTC; 0 = it is open
    reason: str  # name of the reason why it was cancelled; "" = it was not
    price: str
    sold_t: int  # tonnes sold
    bid_t: int  # tonnes bid
    cover_ratio: str  # tonnes bid for each offered
    bids: int  # how many there were
    successful_bids: int  # how many of them won
    bidders: int  # accounts that bid
    successful_bidders: int  # accounts that won
    min_bid: str  # lowest price bid, currency units a tonne
    max_bid: str  # highest price bid
    mean_bid: str  # of the tonnes bid
    median_bid: str  # of the tonnes bid
    revenue: str  # price times tonnes sold, currency units
    carried_t: tuple[int, ...] = ()  # tonnes that go to the next auctions in turn
    bid_multiple_t: int = 1  # bids are multiples of it
    bid_max_bp: int = 0  # of the offer, for bids of accounts of one group together; 0 = no bound
    closes_ns: int = 0  # until when bids are heard, ns UTC; 0 = until it is cleared
    seed: int = 0  # of the draw among bids of one price, told when it is cleared


class AuctionList(msgspec.Struct, frozen=True):
    """Auctions by id; if not complete, ask on with `after`."""

    auctions: list[AuctionRow]  # at most as many as were asked for
    is_complete: bool


class CloseRow(msgspec.Struct, frozen=True):
    """A day: its date YYYYMMDD, close, and what the book traded."""

    date: int
    close: str  # currency units a tonne
    volume_t: int  # tonnes of the book
    turnover: str  # currency units


class CloseList(msgspec.Struct, frozen=True):
    """Days of an instrument, oldest first."""

    symbol: str
    closes: list[CloseRow]  # a row for each trading day
