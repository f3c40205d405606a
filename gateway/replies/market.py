"""What is answered: instruments, phases, books, trades, bars, time and health."""

from __future__ import annotations

import msgspec

from exchange.decimals import from_minor
from exchange.messages.frames import Side, TradeMethod
from exchange.messages.market_data import MarketDataItem, TradeTick


class InstrumentRow(msgspec.Struct, frozen=True):
    """One instrument, with the parameters in force."""

    symbol: str
    id: int  # its number in its market
    market: str
    currency: str
    minor_digits: int
    product: str  # EUA, CEA, CCER, ...
    scheme: str
    kind: str  # allowance or offset
    vintage: int  # year of the units; 0 = of none
    name: str  # what it is, in words
    phase: str
    reference_price: str
    last_price: str
    day_volume: int  # tonnes traded today
    parameters: dict[str, int | str]  # amounts as decimal strings


class InstrumentList(msgspec.Struct, frozen=True):
    """Everything traded here, and the port of the sockets."""

    venue: str  # its name
    websocket_port: int  # of the sockets for orders and market data, TCP
    instruments: list[InstrumentRow]  # everything that is traded here


class PhaseRow(msgspec.Struct, frozen=True):
    """The phase of an instrument."""

    symbol: str
    phase: str


class PhaseList(msgspec.Struct, frozen=True):
    """Phases, and the trading date of each market (YYYYMMDD, 0 before the first day)."""

    phases: list[PhaseRow]  # of each instrument
    trading_dates: dict[str, int]  # by code of the market, YYYYMMDD


class TimeReply(msgspec.Struct, frozen=True):
    """The gateway's clock and the engines' times, ns UTC."""

    time_ns: int
    engine_time_ns: dict[str, int]  # by code of the market, ns UTC


class LevelRow(msgspec.Struct, frozen=True):
    """A level of the book."""

    price: str
    quantity: int
    orders: int  # how many


class OrderRow(msgspec.Struct, frozen=True):
    """An order of the public book, under the id it has there alone."""

    order_id: int
    price: str
    quantity: int


class BookReply(msgspec.Struct, frozen=True):
    """The best levels of a book; at level 3 its orders, first to trade first.

    At level 3 sequence and checksum are those of channel `orders`, the checksum of the whole book;
    `is_complete` says whether the rows are. `number`: the last record of `marketdata` in it.
    """

    symbol: str
    sequence: int  # event number of the last change
    checksum: int
    phase: str
    bids: list[LevelRow]
    asks: list[LevelRow]
    number: int  # record of market data
    bid_orders: list[OrderRow] = []  # single orders of who buys
    ask_orders: list[OrderRow] = []  # single orders of who sells
    is_complete: bool = True


class TradeRow(msgspec.Struct, frozen=True):
    """One trade; `side` is the taker's."""

    trade_id: int
    price: str
    quantity: int
    side: str
    time_ns: int
    method: str  # BOOK, CALL, LISTED, BLOCK or AUCTION; the last two make no last price and no bar

    @classmethod
    def of(cls, tick: TradeTick, digits: int) -> TradeRow:
        """The row of what the feed told. O(1)."""
        price, side = from_minor(tick.price, digits), Side(tick.side).name
        method = TradeMethod(tick.method).name.removesuffix("_TRADE")
        return cls(tick.trade_id, price, tick.quantity, side, tick.time_ns, method)


class TradeList(msgspec.Struct, frozen=True):
    """Trades of an instrument; `is_complete`: none is missing between `after` and the newest.

    If it is not, ask on with `after` = `next`; trades that are no longer kept are in the records.
    """

    symbol: str
    trades: list[TradeRow]  # newest first; of those after one, oldest first
    is_complete: bool = True
    next: int = -1  # asks on, as `after`


class BarRow(msgspec.Struct, frozen=True):
    """One bar; prices in minor units."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class BarList(msgspec.Struct, frozen=True):
    """Bars with trades, oldest first; if more follow, ask on with `from_ns` = `next_ns`."""

    symbol: str
    minor_digits: int
    bars: list[BarRow]  # at most as many as were asked for
    is_complete: bool = True
    next_ns: int = -1  # start of the first bar that is left out, ns UTC; -1 = none is


class CompositeRow(msgspec.Struct, frozen=True):
    """A day: its date YYYYMMDD and the composite price of a scheme's vintages."""

    scheme: str
    date: int
    price: str


class CompositeList(msgspec.Struct, frozen=True):
    """The last days of each scheme, oldest first; by the weights of the rulebook."""

    market: str
    composites: list[CompositeRow]  # a row for each scheme and day


class RecordRow(msgspec.Struct, frozen=True):
    """One record of `marketdata`: its number, the place on `orders` of its cause, its items."""

    number: int  # 0, 1, 2, ... of the market
    input_offset: int  # of the record of `orders` that caused it
    items: tuple[MarketDataItem, ...]  # messages of the feed, in their order


class RecordList(msgspec.Struct, frozen=True):
    """Records by number, none missing; if not complete, ask on with `after` = `next`."""

    market: str
    records: list[RecordRow]  # at most as many as were asked for
    is_complete: bool
    next: int  # number of the last one given


class HealthReply(msgspec.Struct, frozen=True):
    """Whether the process lives and has caught up, and the markets that it no longer serves."""

    status: str  # ready, ready in part (a market stopped), or catching up
    not_ready: list[str] = []  # what has not caught up with the log
    stopped: dict[str, str] = {}  # market -> the record that cannot be trusted
