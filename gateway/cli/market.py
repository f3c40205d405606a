"""What everyone may see: instruments, books and trades, once or as they move."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from exchange.decimals import from_minor
from exchange.messages.frames import Phase
from exchange.messages.market_data import BookLevel
from gateway.cli.options import MarketCode, Symbol, Url, whole, with_rest
from gateway.cli.output import Json, make_table, show, show_json
from gateway.client import BookFeed
from gateway.client.rest import Rest
from gateway.replies.market import (
    BookReply,
    InstrumentList,
    InstrumentRow,
    LevelRow,
    TradeList,
    TradeRow,
)

SECOND_NS = 1_000_000_000
QUIET_S = 3_600.0  # a market may be quiet for long; then the wait begins again

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")]
Updates = Annotated[
    int, typer.Option(help="With --follow: end after so many; 0: never.", parser=whole)
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (book, trades, instruments):
        app.command()(command)


def book(
    symbol: Symbol,
    url: Url = "",
    levels: Annotated[int, typer.Option(min=1, help="Of each side.")] = 10,
    follow: Follow = False,
    updates: Updates = 0,
    as_json: Json = False,
) -> None:
    """Show the best levels of a book; --follow keeps it up to date, checked by its checksums.

    exchange book EUA --follow
    """

    async def work(rest: Rest) -> None:
        if follow:
            await _follow_book(rest, symbol, levels, updates, as_json)
            return
        reply = await rest.get("/book", BookReply, symbol=symbol, limit=levels)
        if as_json:
            show_json(reply)
        else:
            show(_book_table(symbol, reply.phase, reply.bids, reply.asks), ())

    with_rest(url, work)


def trades(
    symbol: Symbol,
    url: Url = "",
    count: Annotated[int, typer.Option(min=1, help="How many, the last.")] = 20,
    follow: Follow = False,
    updates: Updates = 0,
    as_json: Json = False,
) -> None:
    """Show the last trades, newest first; --follow prints each as it happens, oldest first.

    exchange trades EUA --follow --json
    """

    async def work(rest: Rest) -> None:
        reply = await rest.get("/trades", TradeList, symbol=symbol, limit=count)
        if follow:
            await _follow_trades(rest, reply, updates, as_json)
            return
        table = make_table(
            f"{symbol}: trades", "time (UTC)", "taker", ">price", ">tonnes", ">id", "method"
        )
        for trade in reply.trades:
            table.add_row(*_trade_cells(trade))
        show(table, reply.trades, as_json)

    with_rest(url, work)


def instruments(market: MarketCode = "", url: Url = "", as_json: Json = False) -> None:
    """List everything traded.

    exchange instruments
    """

    async def work(rest: Rest) -> None:
        query = {"market": market} if market else {}
        reply = await rest.get("/instruments", InstrumentList, **query)
        table = make_table(
            reply.venue, "symbol", "market", "kind", "phase", "currency", ">reference", ">last",
            ">day t",
        )  # fmt: skip
        for row in reply.instruments:
            table.add_row(
                row.symbol, row.market, row.kind, row.phase, row.currency, row.reference_price,
                row.last_price, f"{row.day_volume:,}",
            )  # fmt: skip
        show(table, reply.instruments, as_json)

    with_rest(url, work)


async def _instrument(rest: Rest, symbol: str) -> InstrumentRow:
    rows = (await rest.get("/instruments", InstrumentList)).instruments
    for row in rows:
        if row.symbol == symbol:
            return row
    known = ", ".join(row.symbol for row in rows[:20])
    raise ValueError(f"no instrument {symbol}; there are {known}")


async def _follow_book(rest: Rest, symbol: str, levels: int, updates: int, as_json: bool) -> None:
    digits = (await _instrument(rest, symbol)).minor_digits
    console = Console()
    async with BookFeed(rest.url, [symbol]) as feed:
        if console.is_terminal and not as_json:
            with Live(console=console, auto_refresh=False) as live:
                await _each_book(feed, symbol, levels, updates, digits, live, as_json)
        else:
            await _each_book(feed, symbol, levels, updates, digits, None, as_json)


async def _each_book(
    feed: BookFeed,
    symbol: str,
    levels: int,
    updates: int,
    digits: int,
    live: Live | None,
    as_json: bool,
) -> None:
    done = 0
    while True:
        if symbol in feed.books:
            _show_book(feed, symbol, levels, digits, live, as_json)
            done += 1
        if updates and done >= updates:
            return
        await _updated(feed)


def _show_book(
    feed: BookFeed, symbol: str, levels: int, digits: int, live: Live | None, as_json: bool
) -> None:
    local = feed.books[symbol]
    bids, asks = (_levels(side, digits) for side in local.best(levels))
    phase = Phase(feed.phases[symbol]).name
    if live is not None:
        live.update(_book_table(symbol, phase, bids, asks), refresh=True)
    elif as_json:
        show_json(
            {"symbol": symbol, "sequence": local.sequence, "phase": phase, "bids": bids,
             "asks": asks}
        )  # fmt: skip
    else:
        bid, ask = (side[0] if side else LevelRow("", 0, 0) for side in (bids, asks))
        cells = (local.sequence, phase, bid.quantity, bid.price, ask.price, ask.quantity)
        typer.echo("\t".join(map(str, cells)))


async def _follow_trades(rest: Rest, before: TradeList, updates: int, as_json: bool) -> None:
    symbol = before.symbol
    digits = (await _instrument(rest, symbol)).minor_digits
    last = 0
    for trade in reversed(before.trades):
        _show_trade(trade, as_json)
        last = trade.trade_id
    done = 0
    async with BookFeed(rest.url, [symbol]) as feed:
        while not updates or done < updates:
            await _updated(feed)
            for tick in [t for t in feed.trades.get(symbol, ()) if t.trade_id > last]:
                _show_trade(TradeRow.of(tick, digits), as_json)
                last = tick.trade_id
                done += 1


async def _updated(feed: BookFeed) -> None:
    try:
        await feed.updated(QUIET_S)
    except TimeoutError:
        return


def _show_trade(trade: TradeRow, as_json: bool) -> None:
    if as_json:
        show_json(trade)
    else:
        typer.echo("\t".join(cell.replace(",", "") for cell in _trade_cells(trade)))


def _trade_cells(trade: TradeRow) -> tuple[str, ...]:
    moment = datetime.fromtimestamp(trade.time_ns // SECOND_NS, UTC)
    figures = (trade.price, f"{trade.quantity:,}", str(trade.trade_id), trade.method)
    return (f"{moment:%Y-%m-%d %H:%M:%S}", trade.side, *figures)


def _levels(side: Sequence[BookLevel], digits: int) -> list[LevelRow]:
    return [LevelRow(from_minor(row.price, digits), row.quantity, row.orders) for row in side]


def _book_table(
    symbol: str, phase: str, bids: Sequence[LevelRow], asks: Sequence[LevelRow]
) -> Table:
    table = make_table(
        f"{symbol}: {phase}",
        ">bid orders", ">bid t", ">bid", ">ask", ">ask t", ">ask orders",
    )  # fmt: skip
    for place in range(max(len(bids), len(asks))):
        bid = bids[place] if place < len(bids) else None
        ask = asks[place] if place < len(asks) else None
        table.add_row(
            *((str(bid.orders), f"{bid.quantity:,}", bid.price) if bid else ("", "", "")),
            *((ask.price, f"{ask.quantity:,}", str(ask.orders)) if ask else ("", "", "")),
        )
    return table
