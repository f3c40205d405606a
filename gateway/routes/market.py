"""What everyone may see: instruments, phases, books, trades, time, health. No signature needed."""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.build import Build, this_build
from exchange.decimals import from_minor
from exchange.log.protocol import LogUnavailableError
from exchange.marketdata.bars import DAY_NS, HOUR_NS
from exchange.messages.frames import Parameter, Phase
from exchange.messages.market_data import (
    MINUTE_NS,
    BookLevel,
    RestingOrder,
)
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Instrument
from gateway.context import Context
from gateway.refusal import Refused
from gateway.replies.market import (
    BarList,
    BarRow,
    BookReply,
    CompositeList,
    CompositeRow,
    HealthReply,
    InstrumentList,
    InstrumentRow,
    LevelRow,
    OrderRow,
    PhaseList,
    PhaseRow,
    RecordList,
    RecordRow,
    TimeReply,
    TradeList,
    TradeRow,
)
from gateway.routes.accounts import MarketQuery
from gateway.routes.table import Call, Reply, Route, page_limit
from gateway.views.composites import composites
from gateway.views.headroom import rulebook
from gateway.websocket.feed import FeedInstrument

_WIDTHS = {"1m": MINUTE_NS, "1h": HOUR_NS, "1d": DAY_NS}
_PRICES = (
    Parameter.TICK_SIZE, Parameter.TICK_FROM_2, Parameter.TICK_SIZE_2, Parameter.TICK_FROM_3,
    Parameter.TICK_SIZE_3, Parameter.VALUE_MAX,
)  # fmt: skip


class BookQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument: level 2, at most `limit` levels a side, or 3, at most `limit` orders."""

    symbol: str
    limit: int = 50
    level: Literal[2, 3] = 2


class TradesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last trades, newest first; with `after` those with a higher id, oldest first."""

    symbol: str
    limit: int = 50
    after: int = -1


class BarsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last bars of a width; with `from_ns` the first that start then or later."""

    symbol: str
    limit: int = 50
    width: Literal["1m", "1h", "1d"] = "1m"
    from_ns: int = -1


class CompositesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last `limit` composite prices of a market."""

    market: str
    limit: int = 50


class RecordsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Records of `marketdata` of a market with a higher number than `after`, at most `limit`."""

    market: str
    after: int = -1
    limit: int = 100


async def get_instruments(call: Call) -> Reply:
    """Instruments of one market, or all."""
    context = call.context
    wanted = context.entry.desk(call.query.market).market.code if call.query.market else ""
    rows = [
        _instrument(context, item)
        for item in context.venue.instrument
        if not wanted or item.market == wanted
    ]
    return Reply(InstrumentList(context.venue.name, context.websocket_port, rows))


async def get_phases(call: Call) -> Reply:
    """Phases of every instrument."""
    rows = [PhaseRow(i.symbol, _phase(call.context, i)) for i in call.context.venue.instrument]
    dates = {code: view.positions.trading_date for code, view in call.context.views.items()}
    return Reply(PhaseList(rows, dates))


async def get_time(call: Call) -> Reply:
    """The clock that receive windows are judged by."""
    engines = {code: view.positions.time_ns for code, view in call.context.views.items()}
    return Reply(TimeReply(call.context.clock.now_ns(), engines))


async def get_book(call: Call) -> Reply:
    """The best levels, best first, or the orders, first to trade first."""
    context, query = call.context, call.query
    kept, digits = _kept(context, query.symbol)
    limit, item = page_limit(query.limit), kept.instrument
    phase, number = _phase(context, item), context.feed.number(item.market)
    book = context.feed.snapshot(query.symbol, limit)
    levels = _levels(book.bids, digits), _levels(book.asks, digits)
    if query.level != 3:
        reply = BookReply(query.symbol, book.sequence, book.checksum, phase, *levels, number)
        return Reply(reply)
    orders = context.feed.orders_snapshot(query.symbol)
    return Reply(
        BookReply(
            query.symbol,
            orders.sequence,
            orders.checksum,
            phase,
            *levels,
            number,
            _orders(orders.bids[:limit], digits),
            _orders(orders.asks[:limit], digits),
            is_complete=max(len(orders.bids), len(orders.asks)) <= limit,
        )
    )


async def get_trades(call: Call) -> Reply:
    """The last trades, or those after one."""
    query: TradesQuery = call.query
    kept, digits = _kept(call.context, query.symbol)
    limit, trades = page_limit(query.limit), list(kept.trades)
    if query.after < 0:
        rows = [TradeRow.of(trade, digits) for trade in trades[::-1][:limit]]
        newest = trades[-1].trade_id if trades else -1
        return Reply(TradeList(query.symbol, rows, next=newest))
    later = [trade for trade in trades if trade.trade_id > query.after]
    page = later[:limit]
    return Reply(
        TradeList(
            query.symbol,
            [TradeRow.of(trade, digits) for trade in page],
            is_complete=query.after >= kept.dropped and len(later) <= limit,
            next=page[-1].trade_id if page else max(query.after, kept.dropped),
        )
    )


async def get_bars(call: Call) -> Reply:
    """Minutes, hours or days for a chart."""
    query: BarsQuery = call.query
    kept, digits = _kept(call.context, query.symbol)
    limit, bars = page_limit(query.limit), kept.bars[_WIDTHS[query.width]].list()
    if query.from_ns < 0:
        page, rest = bars[-limit:], []
    else:
        later = [bar for bar in bars if bar.start_ns >= query.from_ns]
        page, rest = later[:limit], later[limit:]
    rows = [BarRow(b.start_ns, b.open, b.high, b.low, b.close, b.volume) for b in page]
    following = rest[0].start_ns if rest else -1
    return Reply(BarList(query.symbol, digits, rows, not rest, following))


async def get_records(call: Call) -> Reply:
    """What was said on `marketdata`, to fill a gap without a new snapshot."""
    query: RecordsQuery = call.query
    limit = page_limit(query.limit)
    market = call.context.entry.desk(query.market).market
    try:
        found = await call.context.feed.history(market, query.after, limit)
    except LogUnavailableError:
        raise Refused(EdgeReason.VENUE_BUSY, "the log does not answer: ask again") from None
    rows = [RecordRow(r.number, r.input_offset, r.items) for r in found.records]
    following = rows[-1].number if rows else query.after
    return Reply(RecordList(query.market, rows, found.is_complete, following))


async def get_composites(call: Call) -> Reply:
    """What a scheme's vintages together closed at."""
    query: CompositesQuery = call.query
    limit = page_limit(query.limit)
    desk = call.context.entry.desk(query.market)
    instruments = call.context.venue.instruments_of(query.market)
    closes = {item.id: desk.view.auctions.closes(item.id) for item in instruments}
    digits = desk.market.minor_digits
    rows = [
        CompositeRow(found.scheme, found.date, from_minor(found.price, digits))
        for found in composites(rulebook(), instruments, closes)[-limit:]
    ]
    return Reply(CompositeList(query.market, rows))


async def get_version(call: Call) -> Reply:
    """Version, commit, lock, and whether the engine is the compiled one."""
    return Reply(this_build())


async def get_health(call: Call) -> Reply:
    """The process lives."""
    return Reply(HealthReply("alive"))


async def get_ready(call: Call) -> Reply:
    """Whether the gateway has read what was on the log when it started.

    A market whose records cannot be trusted is named, and does not keep the others from trading.
    """
    waiting = call.context.not_ready()
    stopped = dict(call.context.feed.failures)
    stopped |= {code: str(v.failure) for code, v in call.context.views.items() if v.failure}
    status = "catching up" if waiting else "ready in part" if stopped else "ready"
    return Reply(HealthReply(status, waiting, stopped), 503 if waiting else 200)


def _kept(context: Context, symbol: str) -> tuple[FeedInstrument, int]:
    kept = context.feed.find(symbol)
    return kept, context.venue.market_of(kept.instrument.market).minor_digits


def _levels(levels: tuple[BookLevel, ...], digits: int) -> list[LevelRow]:
    return [LevelRow(from_minor(x.price, digits), x.quantity, x.orders) for x in levels]


def _orders(orders: tuple[RestingOrder, ...], digits: int) -> list[OrderRow]:
    return [OrderRow(x.order_id, from_minor(x.price, digits), x.quantity) for x in orders]


def _phase(context: Context, item: Instrument) -> str:
    state = context.views[item.market].positions.instruments.get(item.id)
    return (state.phase if state else Phase.CLOSED).name


def _instrument(context: Context, item: Instrument) -> InstrumentRow:
    market = context.venue.market_of(item.market)
    digits = market.minor_digits
    state = context.views[item.market].positions.instruments.get(item.id)
    parameters: dict[str, int | str] = {}
    for parameter, value in sorted(state.parameters.items() if state else ()):
        shown = from_minor(value, digits) if parameter in _PRICES else value
        parameters[parameter.name.lower()] = shown
    reference = state.reference_price if state else item.reference_price
    return InstrumentRow(
        item.symbol,
        item.id,
        item.market,
        market.currency,
        digits,
        item.product,
        item.scheme,
        item.kind,
        item.vintage,
        item.name,
        _phase(context, item),
        from_minor(reference, digits),
        from_minor(state.last_price, digits) if state and state.last_price else "",
        state.day_volume if state else 0,
        parameters,
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/time", "The clock for timestamps", get_time, TimeReply, budget="public"),
    Route("GET", "/instruments", "Instruments and parameters", get_instruments, InstrumentList,
          query=MarketQuery, budget="public"),
    Route("GET", "/phases", "Trading phases", get_phases, PhaseList, budget="public"),
    Route("GET", "/book", "Best levels of a book, or its orders", get_book, BookReply,
          query=BookQuery, budget="public"),
    Route("GET", "/trades", "Last trades", get_trades, TradeList, query=TradesQuery,
          budget="public"),
    Route("GET", "/bars", "Bars of a minute, an hour or a day", get_bars, BarList,
          query=BarsQuery, budget="public"),
    Route("GET", "/composites", "Composite prices of days", get_composites, CompositeList,
          query=CompositesQuery, budget="public"),
    Route("GET", "/marketdata", "Records of market data by number", get_records, RecordList,
          query=RecordsQuery, budget="public"),
    Route("GET", "/version", "What is running", get_version, Build, budget="public"),
    Route("GET", "/health", "The process lives", get_health, HealthReply, budget="public"),
    Route("GET", "/ready", "The gateway has caught up", get_ready, HealthReply, budget="public"),
)  # fmt: skip
