"""What everyone may see: instruments, phases, books, trades, time, health. No signature needed."""

from __future__ import annotations

import msgspec

from exchange.decimals import from_minor
from exchange.messages.frames import Parameter, Phase, Side
from exchange.messages.market_data import BookLevel
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Instrument
from gateway.context import Context
from gateway.feed import FeedInstrument
from gateway.refusal import Refused
from gateway.routes.accounts import MarketQuery
from gateway.routes.table import Call, Reply, Route, page_limit

_PRICES = (Parameter.TICK_SIZE, Parameter.VALUE_MAX)


class InstrumentRow(msgspec.Struct, frozen=True):
    """One instrument, with the parameters in force."""

    symbol: str
    id: int
    market: str
    currency: str
    minor_digits: int
    product: str
    scheme: str
    kind: str
    vintage: int
    name: str
    phase: str
    reference_price: str
    last_price: str
    day_volume: int
    parameters: dict[str, int | str]  # amounts as decimal strings


class InstrumentList(msgspec.Struct, frozen=True):
    """Everything traded here, and the port of the sockets."""

    venue: str
    websocket_port: int
    instruments: list[InstrumentRow]


class PhaseRow(msgspec.Struct, frozen=True):
    """The phase of an instrument."""

    symbol: str
    phase: str


class PhaseList(msgspec.Struct, frozen=True):
    """Phases, and the trading date of each market (YYYYMMDD, 0 before the first day)."""

    phases: list[PhaseRow]
    trading_dates: dict[str, int]


class TimeReply(msgspec.Struct, frozen=True):
    """The gateway's clock and the engines' times, ns UTC."""

    time_ns: int
    engine_time_ns: dict[str, int]


class SymbolQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument, at most `limit` rows."""

    symbol: str
    limit: int = 50


class LevelRow(msgspec.Struct, frozen=True):
    """A level of the book."""

    price: str
    quantity: int
    orders: int


class BookReply(msgspec.Struct, frozen=True):
    """The best levels of a book."""

    symbol: str
    sequence: int
    checksum: int
    phase: str
    bids: list[LevelRow]
    asks: list[LevelRow]


class TradeRow(msgspec.Struct, frozen=True):
    """One trade; `side` is the taker's."""

    trade_id: int
    price: str
    quantity: int
    side: str
    time_ns: int


class TradeList(msgspec.Struct, frozen=True):
    """The last trades, newest first."""

    symbol: str
    trades: list[TradeRow]


class BarRow(msgspec.Struct, frozen=True):
    """One minute; prices in minor units."""

    start_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class BarList(msgspec.Struct, frozen=True):
    """The last minutes with trades, oldest first."""

    symbol: str
    minor_digits: int
    bars: list[BarRow]


class HealthReply(msgspec.Struct, frozen=True):
    """Whether the process lives and has caught up."""

    status: str
    not_ready: list[str] = []


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
    """The best levels, best first."""
    context, symbol = call.context, call.query.symbol
    kept, digits = _kept(context, symbol)
    book = context.feed.snapshot(symbol, page_limit(call.query.limit))
    reply = BookReply(
        symbol,
        book.sequence,
        book.checksum,
        _phase(context, kept.instrument),
        _levels(book.bids, digits),
        _levels(book.asks, digits),
    )
    return Reply(reply)


async def get_trades(call: Call) -> Reply:
    """The last trades."""
    kept, digits = _kept(call.context, call.query.symbol)
    newest = list(kept.trades)[::-1][: page_limit(call.query.limit)]
    rows = [
        TradeRow(t.trade_id, from_minor(t.price, digits), t.quantity, Side(t.side).name, t.time_ns)
        for t in newest
    ]
    return Reply(TradeList(call.query.symbol, rows))


async def get_bars(call: Call) -> Reply:
    """Minutes for a chart."""
    kept, digits = _kept(call.context, call.query.symbol)
    bars = kept.bars.list()[-page_limit(call.query.limit) :]
    rows = [BarRow(b.start_ns, b.open, b.high, b.low, b.close, b.volume) for b in bars]
    return Reply(BarList(call.query.symbol, digits, rows))


async def get_health(call: Call) -> Reply:
    """The process lives."""
    return Reply(HealthReply("alive"))


async def get_ready(call: Call) -> Reply:
    """Whether the gateway has read what was on the log when it started."""
    waiting = call.context.not_ready()
    return Reply(
        HealthReply("catching up" if waiting else "ready", waiting), 503 if waiting else 200
    )


def _kept(context: Context, symbol: str) -> tuple[FeedInstrument, int]:
    kept = context.feed.instruments.get(symbol)
    if kept is None:
        raise Refused(EdgeReason.UNKNOWN_SYMBOL, f"symbol {symbol[:40]!r}")
    return kept, context.venue.market_of(kept.instrument.market).minor_digits


def _levels(levels: tuple[BookLevel, ...], digits: int) -> list[LevelRow]:
    return [LevelRow(from_minor(x.price, digits), x.quantity, x.orders) for x in levels]


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
    Route("GET", "/book", "Best levels of a book", get_book, BookReply, query=SymbolQuery,
          budget="public"),
    Route("GET", "/trades", "Last trades", get_trades, TradeList, query=SymbolQuery,
          budget="public"),
    Route("GET", "/bars", "One-minute bars", get_bars, BarList, query=SymbolQuery,
          budget="public"),
    Route("GET", "/health", "The process lives", get_health, HealthReply, budget="public"),
    Route("GET", "/ready", "The gateway has caught up", get_ready, HealthReply, budget="public"),
)  # fmt: skip
