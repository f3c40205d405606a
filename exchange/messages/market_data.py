"""What market data says on `marketdata` and to subscribers.

The same structs go out as JSON or MessagePack on the WebSocket feed (`type` names them). A
subscriber of levels gets `BookSnapshot` first, then `BookDelta`s whose `previous_sequence` is the
sequence before; a subscriber of single orders `OrdersSnapshot` and `OrdersDelta`s. After each delta
the CRC-32 of its book must equal `checksum` (`exchange.marketdata.checksum` prints how). Prices are
integer minor units a tonne here; the feed adds nothing and rounds nothing.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from exchange.messages.frames import TradeMethod

MINUTE_NS = 60_000_000_000


class OrderAction(IntEnum):
    """What became of an order in an `OrdersDelta`."""

    ADD = 1  # new, last at its price
    CHANGE = 2  # another quantity, at the same place
    DELETE = 3  # gone; the quantity is 0
    MOVE = 4  # left its place and stands last at its price: a replace, the next slice of an iceberg


class BarState(IntEnum):
    """Why a bar is told."""

    CORRECTED = 0  # told before, otherwise: a trade of it went back
    RUNNING = 1  # trades may still come; on the feed only
    COMPLETE = 2  # its time is over


class BookLevel(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Price (minor units), quantity (tonnes, 0 = level gone), number of orders."""

    price: int
    quantity: int
    orders: int


class BookSnapshot(msgspec.Struct, frozen=True, tag="snapshot", tag_field="type"):
    """The whole visible book of one instrument; best level first on both sides."""

    instrument_id: int
    sequence: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    checksum: int
    phase: int
    time_ns: int
    last_price: int = 0
    reference_price: int = 0


class BookDelta(msgspec.Struct, frozen=True, tag="delta", tag_field="type"):
    """Levels that changed through one record of `events`, with their new totals."""

    instrument_id: int
    previous_sequence: int
    sequence: int  # event number of the change
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    checksum: int
    time_ns: int


class RestingOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Order id (of the public book alone), price (minor units), tonnes shown."""

    order_id: int
    price: int
    quantity: int


class OrderChange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An `OrderAction`, side (1 buy, 2 sell), order id, price, tonnes shown from now on."""

    action: int
    side: int
    order_id: int
    price: int
    quantity: int


class OrdersSnapshot(msgspec.Struct, frozen=True, tag="orders_snapshot", tag_field="type"):
    """Every order shown of one instrument, in the order in which they would trade.

    Ids count the orders that ever were shown in the market: they tell neither owner nor time.
    """

    instrument_id: int
    sequence: int
    bids: tuple[RestingOrder, ...]
    asks: tuple[RestingOrder, ...]
    checksum: int
    time_ns: int


class OrdersDelta(msgspec.Struct, frozen=True, tag="orders", tag_field="type"):
    """Orders that changed through one record of `events`: apply them one by one, as they stand.

    The sequence is of its own, beside that of `delta`.
    """

    instrument_id: int
    previous_sequence: int
    sequence: int  # event number of the change
    changes: tuple[OrderChange, ...]  # orders that came, changed or went
    checksum: int
    time_ns: int


class TopTick(msgspec.Struct, frozen=True, tag="top", tag_field="type", gc=False):
    """The best bid and ask and the last trade of the book; zeros where there is none."""

    instrument_id: int
    bid_price: int  # best price of who buys, minor units a tonne; 0 = none
    bid_quantity: int  # tonnes at it
    bid_orders: int  # orders at it
    ask_price: int  # best price of who sells, minor units a tonne; 0 = none
    ask_quantity: int  # tonnes at it
    ask_orders: int  # orders at it
    last_price: int
    last_quantity: int
    last_time_ns: int  # of the last trade, ns UTC
    time_ns: int


class TradeTick(msgspec.Struct, frozen=True, tag="trade", tag_field="type", gc=False):
    """One trade; `side` is the taker's (FIX: 1 buy, 2 sell)."""

    instrument_id: int
    trade_id: int
    price: int
    quantity: int
    side: int
    time_ns: int
    method: int = 0  # `frames.TradeMethod`: 0 book, 1 call, 2 listed, 3 block, 4 auction

    @property
    def is_of_the_book(self) -> bool:
        """Whether it makes a last price: blocks and auctions do not. O(1)."""
        return self.method not in (TradeMethod.BLOCK_TRADE, TradeMethod.AUCTION_TRADE)


class IndicativeTick(msgspec.Struct, frozen=True, tag="indicative", tag_field="type", gc=False):
    """What a call would trade now, or, with `is_final`, what it traded: price, tonnes.

    `surplus` is what more would be bought (above zero) or sold at that price; zeros: no cross.
    """

    instrument_id: int
    price: int
    volume: int
    surplus: int  # tonnes that would stay; above zero on the buy side
    is_final: bool  # whether the call has ended so
    time_ns: int


class PhaseTick(msgspec.Struct, frozen=True, tag="phase", tag_field="type", gc=False):
    """The instrument entered a trading phase (`frames.Phase`)."""

    instrument_id: int
    phase: int  # number of the trading phase
    time_ns: int


class DayTick(msgspec.Struct, frozen=True, tag="day", tag_field="type", gc=False):
    """The day of an instrument closed: price, volume (tonnes), turnover (minor units)."""

    instrument_id: int
    close_price: int  # minor units a tonne
    volume: int
    turnover: int
    time_ns: int


class TradeCancelledTick(
    msgspec.Struct, frozen=True, tag="trade_cancelled", tag_field="type", gc=False
):
    """A trade told before was voided or taken back: leave it out.

    What its minute and its day are without it follows in the same record, if it is remembered.
    """

    instrument_id: int
    trade_id: int
    quantity: int
    time_ns: int
    price: int = 0  # as it was told; 0 = older than what is remembered, or no trade of the book
    traded_ns: int = 0  # when it was made, ns UTC; 0 = older than what is remembered


class BarTick(msgspec.Struct, frozen=True, tag="bar", tag_field="type", gc=False):
    """A minute, an hour or a day (UTC) of trades of the book; volume 0: it is gone."""

    instrument_id: int
    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    time_ns: int
    width_ns: int = MINUTE_NS  # how long it is
    state: int = 0  # a `BarState`


class DayCorrectedTick(
    msgspec.Struct, frozen=True, tag="day_corrected", tag_field="type", gc=False
):
    """What a day is without its trades that went back, blocks and auctions not counted.

    The close is by the day's own rule; the reference price in force stays as it was.
    """

    instrument_id: int
    closed_ns: int  # of its `day`; 0 = the day that runs
    close_price: int  # 0 = the day runs
    last_price: int  # 0 = no trade is left
    high: int  # 0 = none is left, or not all are remembered
    low: int
    volume: int
    turnover: int
    time_ns: int


class StatisticsTick(msgspec.Struct, frozen=True, tag="statistics", tag_field="type", gc=False):
    """The trading day so far, or, with `close` not 0, as it closed: trades of the book alone.

    `vwap` is half up to the minor unit; `change` is last (or close) less `previous_close`, 0 where
    either is missing. After trades went back that are no longer remembered, open, high and low are
    0: not known.
    """

    instrument_id: int
    open: int
    high: int
    low: int
    last: int  # last price, minor units a tonne
    vwap: int  # average of the day by tonnes, minor units a tonne
    volume: int
    turnover: int
    trades: int  # how many today
    previous_close: int  # minor units a tonne
    close: int
    change: int  # from the previous close, minor units
    time_ns: int


class BiddingTick(msgspec.Struct, frozen=True, tag="bidding", tag_field="type", gc=False):
    """A sealed-bid auction with a closing time was opened: bids are heard until then.

    `side` is the offer's; GET /auctions has all terms. Its end follows as `auction`.
    """

    instrument_id: int
    auction_id: int
    side: int
    offered_quantity: int  # tonnes on offer
    closes_ns: int  # from then on no bid is heard, ns UTC
    time_ns: int


class AuctionTick(msgspec.Struct, frozen=True, tag="auction", tag_field="type", gc=False):
    """A sealed-bid auction ended; while it ran nothing of its bids was said.

    `side` is the offer's; `reason` is not 0 when it was cancelled, and then price and quantity are
    0. `bid_quantity` are all tonnes bid, `offered_quantity` those of the offer.
    """

    instrument_id: int
    auction_id: int
    side: int
    price: int
    quantity: int
    bid_quantity: int  # tonnes bid
    offered_quantity: int  # tonnes on offer
    reason: int
    time_ns: int


MarketDataItem = (
    BookDelta
    | TradeTick
    | IndicativeTick
    | PhaseTick
    | DayTick
    | TradeCancelledTick
    | BarTick
    | DayCorrectedTick
    | OrdersDelta
    | TopTick
    | StatisticsTick
    | AuctionTick
    | BiddingTick
)
FeedMessage = BookSnapshot | OrdersSnapshot | MarketDataItem


class MarketDataRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of `marketdata`: what one record of `events` changed for the public."""

    version: int
    number: int  # 0, 1, 2, ... of the market
    input_offset: int  # of `orders`
    items: tuple[MarketDataItem, ...]
