"""A member's commands: `exchange order buy EUA 10 @71.25`, `cancel`, `book`, `positions`, ..."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import (
    CancelUnits,
    DepositUnits,
    EnforcePledge,
    PledgeUnits,
    ReleasePledge,
    ReleaseUnits,
    SurrenderUnits,
    TimeInForceWord,
    TransferUnits,
)
from gateway.cli.options import (
    RANGES_SHOWN,
    Account,
    KeyFile,
    Owner,
    Quantity,
    Reference,
    Symbol,
    Url,
    instruct,
    make_table,
    whole,
    with_client,
    with_rest,
)
from gateway.cli.plans import print_headroom, print_plan
from gateway.client import Client
from gateway.client.keys import DEFAULT_URL
from gateway.client.rest import Rest
from gateway.decimals import whole_number
from gateway.routes.market import BookReply, InstrumentList, TradeList

SECOND_NS = 1_000_000_000


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    order = typer.Typer(help="Enter an order.", no_args_is_help=True)
    order.command("buy")(order_buy)
    order.command("sell")(order_sell)
    app.add_typer(order, name="order")
    for command in (
        cancel, orders, book, trades, instruments, positions, holdings, holdings_at,
        deposit, release, transfer, plan, headroom, surrender, retire,
        pledge, release_pledge, enforce_pledge,
    ):  # fmt: skip
        app.command()(command)


# -- orders -------------------------------------------------------------------------------------


def order_buy(
    symbol: Symbol,
    quantity: Quantity,
    price: Annotated[str, typer.Argument(help="@71.25, or `market`.")],
    account: Account,
    key_file: KeyFile = None,
    tif: Annotated[TimeInForceWord | None, typer.Option(help="Default: DAY, or IOC.")] = None,
    label: Annotated[str, typer.Option(help="Your own id of the order.")] = "",
) -> None:
    """Buy QUANTITY tonnes: exchange order buy EUA 10 @71.25 --account 101."""
    _order("BUY", symbol, quantity, price, account, key_file, tif, label)


def order_sell(
    symbol: Symbol,
    quantity: Quantity,
    price: Annotated[str, typer.Argument(help="@71.25, or `market`.")],
    account: Account,
    key_file: KeyFile = None,
    tif: Annotated[TimeInForceWord | None, typer.Option(help="Default: DAY, or IOC.")] = None,
    label: Annotated[str, typer.Option(help="Your own id of the order.")] = "",
) -> None:
    """Sell QUANTITY tonnes: exchange order sell EUA 10 @71.25 --account 101."""
    _order("SELL", symbol, quantity, price, account, key_file, tif, label)


def _order(
    side: Literal["BUY", "SELL"],
    symbol: str,
    quantity: int,
    price: str,
    account: int,
    key_file: Path | None,
    tif: TimeInForceWord | None,
    label: str,
) -> None:
    is_market = price == "market"

    async def work(client: Client) -> None:
        report = await client.new_order(
            symbol,
            account,
            side,
            quantity,
            "" if is_market else price.removeprefix("@"),
            order_type="MARKET" if is_market else "LIMIT",
            time_in_force=tif or ("IOC" if is_market else "DAY"),
            client_order_id=label,
        )
        _print_report(report)

    with_client(key_file, work)


def cancel(
    symbol: Symbol,
    order_id: Annotated[str, typer.Argument(help="The venue's id of the order, or yours.")],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Cancel an order."""

    async def work(client: Client) -> None:
        number = whole_number(order_id) or 0
        label = "" if number else order_id
        report = await client.cancel_order(symbol, account, number, original_client_order_id=label)
        _print_report(report)

    with_client(key_file, work)


def orders(key_file: KeyFile = None) -> None:
    """List open orders."""

    async def work(client: Client) -> None:
        table = make_table(
            "Open orders", "market", "account", "symbol", "side", ">leaves", ">price", ">order id"
        )
        for row in await client.orders():
            table.add_row(
                row.market,
                str(row.account),
                row.symbol,
                row.side,
                f"{row.leaves_quantity:,}",
                row.price,
                str(row.order_id),
            )
        Console().print(table)

    with_client(key_file, work)


def _print_report(report: ExecutionReport) -> None:
    console = Console(highlight=False)
    done = f", traded {report.cumulative_quantity:,} t" if report.cumulative_quantity else ""
    last = f", last at {report.last_price}" if report.last_price else ""
    why = f" ({report.title})" if report.title else ""
    console.print(
        f"[bold]{report.order_status or report.exec_type}[/bold]{why}: {report.side} "
        f"{report.order_quantity:,} t {report.symbol} @{report.price or 'market'}{done}{last}, "
        f"leaves {report.leaves_quantity:,} t, order id {report.order_id}",
        soft_wrap=True,
    )


# -- the market --------------------------------------------------------------------------------


def book(symbol: Symbol, url: Url = DEFAULT_URL, levels: int = 10) -> None:
    """Show the best levels of a book."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/book", BookReply, symbol=symbol, limit=levels)
        table = make_table(
            f"{symbol}: {reply.phase}", ">orders", ">bid t", ">bid", ">ask", ">ask t", ">orders"
        )
        for place in range(max(len(reply.bids), len(reply.asks))):
            bid = reply.bids[place] if place < len(reply.bids) else None
            ask = reply.asks[place] if place < len(reply.asks) else None
            table.add_row(
                *((str(bid.orders), f"{bid.quantity:,}", bid.price) if bid else ("", "", "")),
                *((ask.price, f"{ask.quantity:,}", str(ask.orders)) if ask else ("", "", "")),
            )
        Console().print(table)

    with_rest(url, work)


def trades(symbol: Symbol, url: Url = DEFAULT_URL, count: int = 20) -> None:
    """Show the last trades, newest first."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/trades", TradeList, symbol=symbol, limit=count)
        table = make_table(f"{symbol}: trades", "time (UTC)", "taker", ">price", ">tonnes", ">id")
        for row in reply.trades:
            moment = datetime.fromtimestamp(row.time_ns // SECOND_NS, UTC)
            table.add_row(
                f"{moment:%H:%M:%S}", row.side, row.price, f"{row.quantity:,}", str(row.trade_id)
            )
        Console().print(table)

    with_rest(url, work)


def instruments(url: Url = DEFAULT_URL) -> None:
    """List everything traded."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/instruments", InstrumentList)
        table = make_table(
            reply.venue, "symbol", "market", "kind", "phase", ">reference", ">last", ">day t"
        )
        for row in reply.instruments:
            table.add_row(
                row.symbol,
                row.market,
                row.kind,
                row.phase,
                f"{row.reference_price} {row.currency}",
                row.last_price,
                f"{row.day_volume:,}",
            )
        Console().print(table)

    with_rest(url, work)


# -- accounts and the registry -----------------------------------------------------------------


def positions(key_file: KeyFile = None) -> None:
    """Show cash and tradable units."""

    async def work(client: Client) -> None:
        table = make_table(
            "Positions", "market", "account", "asset", ">available", ">held", ">locked"
        )
        for row in (await client.positions()).positions:
            place = (row.market, str(row.account))
            table.add_row(*place, row.currency, row.cash.available, row.cash.held, row.cash.locked)
            for unit in row.units:
                figures = (unit.available, unit.held, unit.locked)
                table.add_row(*place, unit.symbol, *(f"{figure:,}" for figure in figures))
        Console().print(table)

    with_client(key_file, work)


def holdings(key_file: KeyFile = None) -> None:
    """Show units by serial number, and obligations."""

    async def work(client: Client) -> None:
        found = await client.holdings()
        table = make_table("Holdings", "account", "symbol", "position", ">tonnes", "serial numbers")
        for row in found.holdings:
            ranges = [f"{r.programme} {r.first}-{r.last}" for r in row.ranges[:RANGES_SHOWN]]
            more = len(row.ranges) - RANGES_SHOWN
            ranges += [f"and {more} more ranges"] if more > 0 else []
            position = f"{row.position} to {row.lender}" if row.lender else row.position
            table.add_row(
                str(row.account), row.symbol, position, f"{row.quantity:,}", "\n".join(ranges)
            )
        Console().print(table)
        if found.obligations:
            table = make_table("Obligations", "account", "year", ">to surrender", "surrendered")
            for due in found.obligations:
                given = ", ".join(f"{t:,} t {symbol}" for symbol, t in due.surrendered.items())
                table.add_row(str(due.account), str(due.year), f"{due.obligation:,}", given)
            Console().print(table)

    with_client(key_file, work)


def holdings_at(
    market: Annotated[str, typer.Argument(help="Market code, such as EU.")],
    moment: Annotated[
        datetime,
        typer.Argument(help="UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Show what an account had in each position at a moment."""
    time_ns = int(moment.replace(tzinfo=UTC).timestamp()) * SECOND_NS

    async def work(client: Client) -> None:
        found = await client.holdings_at(market, account, time_ns)
        table = make_table(
            f"Account {account} at {moment:%Y-%m-%d %H:%M:%S} UTC", "symbol", "position",
            ">tonnes", "since (UTC)",
        )  # fmt: skip
        for row in found.holdings:
            since = datetime.fromtimestamp(row.since_ns // SECOND_NS, UTC)
            table.add_row(
                row.symbol, row.position, f"{row.quantity:,}", f"{since:%Y-%m-%d %H:%M:%S}"
            )
        Console().print(table)

    with_client(key_file, work)


def deposit(symbol: Symbol, quantity: Quantity, account: Account, key_file: KeyFile = None) -> None:
    """Move units from the registry position to the trading position."""
    instruct(key_file, DepositUnits(ref=0, symbol=symbol, account=account, quantity=quantity))


def release(symbol: Symbol, quantity: Quantity, account: Account, key_file: KeyFile = None) -> None:
    """Move units from the trading position back to the registry position."""
    instruct(key_file, ReleaseUnits(ref=0, symbol=symbol, account=account, quantity=quantity))


def transfer(
    symbol: Symbol,
    quantity: Quantity,
    to_account: Annotated[
        int, typer.Argument(help="The receiving account.", parser=whole, metavar="to_account")
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Transfer units between registry positions."""
    instruct(
        key_file,
        TransferUnits(
            ref=0, symbol=symbol, account=account, quantity=quantity, to_account=to_account
        ),
    )


def plan(
    year: Annotated[int, typer.Argument(help="Emission year.", parser=whole, metavar="year")],
    account: Account,
    key_file: KeyFile = None,
    scheme: Annotated[str, typer.Option(help="Where a market has several.")] = "",
) -> None:
    """Plan the cheapest surrender for a year; nothing is done by it."""

    async def work(client: Client) -> None:
        print_plan(Console(highlight=False), await client.surrender_plan(account, year, scheme))

    with_client(key_file, work)


def headroom(symbol: Symbol, account: Account, key_file: KeyFile = None) -> None:
    """Show how much more of an offset an account could use."""

    async def work(client: Client) -> None:
        print_headroom(Console(highlight=False), await client.offset_headroom(account, symbol))

    with_client(key_file, work)


def surrender(
    symbol: Symbol,
    quantity: Quantity,
    year: Annotated[int, typer.Argument(help="Compliance year.", parser=whole, metavar="year")],
    account: Account,
    project: Annotated[int, typer.Option(help="Credits of this project; 0: any.")] = 0,
    key_file: KeyFile = None,
) -> None:
    """Surrender units for a compliance year."""
    instruct(
        key_file,
        SurrenderUnits(
            ref=0, symbol=symbol, account=account, quantity=quantity, year=year, project=project
        ),
    )


def retire(
    symbol: Symbol,
    quantity: Quantity,
    account: Account,
    beneficiary: Annotated[str, typer.Option(help="For whom.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    key_file: KeyFile = None,
) -> None:
    """Cancel units voluntarily, for good."""
    instruct(
        key_file,
        CancelUnits(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            beneficiary=beneficiary,
            reason=reason,
        ),
    )


def pledge(
    symbol: Symbol,
    quantity: Quantity,
    lender_account: Annotated[
        int, typer.Argument(help="The lender's account.", parser=whole, metavar="lender_account")
    ],
    account: Account,
    reference: Annotated[str, typer.Option(help="Of the loan.")] = "",
    key_file: KeyFile = None,
) -> None:
    """Pledge units of the registry position to a lender."""
    instruct(
        key_file,
        PledgeUnits(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            lender_account=lender_account,
            reference=reference,
        ),
    )


def release_pledge(
    symbol: Symbol,
    quantity: Quantity,
    owner_account: Owner,
    account: Account,
    reference: Annotated[str, typer.Option(help="Of the loan.")] = "",
    key_file: KeyFile = None,
) -> None:
    """As the lender, give pledged units back to their owner."""
    instruct(
        key_file,
        ReleasePledge(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            owner_account=owner_account,
            reference=reference,
        ),
    )


def enforce_pledge(
    symbol: Symbol,
    quantity: Quantity,
    owner_account: Owner,
    account: Account,
    reference: Reference,
    key_file: KeyFile = None,
) -> None:
    """As the lender, take pledged units when their owner has defaulted."""
    instruct(
        key_file,
        EnforcePledge(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            owner_account=owner_account,
            reference=reference,
        ),
    )
