"""A member's commands: `exchange order buy EUA 10 @71.25`, `cancel`, `book`, `positions`, ...

The key file says who and where: `--key-file`, or EXCHANGE_KEY_FILE. A refusal prints the venue's
reason and ends with exit code 1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from exchange.messages.executions import ExecutionReport, InstructionReport
from exchange.messages.orders import (
    CancelUnits,
    DepositUnits,
    EnforcePledge,
    FreezeUnits,
    Instruction,
    PledgeUnits,
    ReleasePledge,
    ReleaseUnits,
    SurrenderUnits,
    TimeInForceWord,
    TransferUnits,
    UnfreezeUnits,
)
from exchange.settings import Settings
from gateway.client import Client, SigningKey, VenueError, load_key
from gateway.client.keys import DEFAULT_URL
from gateway.client.rest import Rest
from gateway.decimals import INT64_MAX, whole_number
from gateway.routes.market import BookReply, InstrumentList, TradeList

KEY_VARIABLE = "EXCHANGE_KEY_FILE"
SECOND_NS = 1_000_000_000
RANGES_SHOWN = 6

_KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help=f"Key file; without it {KEY_VARIABLE} names one."),
]
_Url = Annotated[str, typer.Option("--url", help="Address of the venue.")]
_Symbol = Annotated[str, typer.Argument(help="Symbol of an instrument, such as EUA.")]


def _whole(text: str | int) -> int:
    """ASCII digits as a number: `int` would read 1_0 as 10, and Arabic digits too."""
    value = whole_number(str(text))
    if value is None or value > INT64_MAX:
        raise typer.BadParameter(f"{str(text)[:40]!r} is no whole number: write digits only")
    return value


def _tonnes(text: str | int) -> int:
    value = _whole(text)
    if not value:
        raise typer.BadParameter("0 tonnes: at least 1")
    return value


_Account = Annotated[
    int,
    typer.Option("--account", help="The account that acts.", parser=_whole, metavar="NUMBER"),
]
_Quantity = Annotated[int, typer.Argument(help="Tonnes.", parser=_tonnes, metavar="quantity")]
_Owner = Annotated[
    int, typer.Argument(help="The owner's account.", parser=_whole, metavar="owner_account")
]
_Reference = Annotated[str, typer.Option(help="The decision, order or notice behind it.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    order = typer.Typer(help="Enter an order.", no_args_is_help=True)
    order.command("buy")(order_buy)
    order.command("sell")(order_sell)
    app.add_typer(order, name="order")
    for command in (
        cancel, orders, book, trades, instruments, positions, holdings,
        deposit, release, transfer, surrender, retire, freeze, unfreeze, pledge, release_pledge,
        enforce_pledge,
    ):  # fmt: skip
        app.command()(command)


# -- orders -------------------------------------------------------------------------------------


def order_buy(
    symbol: _Symbol,
    quantity: _Quantity,
    price: Annotated[str, typer.Argument(help="@71.25, or `market`.")],
    account: _Account,
    key_file: _KeyFile = None,
    tif: Annotated[TimeInForceWord | None, typer.Option(help="Default: DAY, or IOC.")] = None,
    label: Annotated[str, typer.Option(help="Your own id of the order.")] = "",
) -> None:
    """Buy QUANTITY tonnes: exchange order buy EUA 10 @71.25 --account 101."""
    _order("BUY", symbol, quantity, price, account, key_file, tif, label)


def order_sell(
    symbol: _Symbol,
    quantity: _Quantity,
    price: Annotated[str, typer.Argument(help="@71.25, or `market`.")],
    account: _Account,
    key_file: _KeyFile = None,
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

    _with_client(key_file, work)


def cancel(
    symbol: _Symbol,
    order_id: Annotated[str, typer.Argument(help="The venue's id of the order, or yours.")],
    account: _Account,
    key_file: _KeyFile = None,
) -> None:
    """Cancel an order."""

    async def work(client: Client) -> None:
        number = whole_number(order_id) or 0
        label = "" if number else order_id
        report = await client.cancel_order(symbol, account, number, original_client_order_id=label)
        _print_report(report)

    _with_client(key_file, work)


def orders(key_file: _KeyFile = None) -> None:
    """List open orders."""

    async def work(client: Client) -> None:
        table = _table(
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

    _with_client(key_file, work)


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


def book(symbol: _Symbol, url: _Url = DEFAULT_URL, levels: int = 10) -> None:
    """Show the best levels of a book."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/book", BookReply, symbol=symbol, limit=levels)
        table = _table(
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

    _with_rest(url, work)


def trades(symbol: _Symbol, url: _Url = DEFAULT_URL, count: int = 20) -> None:
    """Show the last trades, newest first."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/trades", TradeList, symbol=symbol, limit=count)
        table = _table(f"{symbol}: trades", "time (UTC)", "taker", ">price", ">tonnes", ">id")
        for row in reply.trades:
            moment = datetime.fromtimestamp(row.time_ns // SECOND_NS, UTC)
            table.add_row(
                f"{moment:%H:%M:%S}", row.side, row.price, f"{row.quantity:,}", str(row.trade_id)
            )
        Console().print(table)

    _with_rest(url, work)


def instruments(url: _Url = DEFAULT_URL) -> None:
    """List everything traded."""

    async def work(rest: Rest) -> None:
        reply = await rest.get("/instruments", InstrumentList)
        table = _table(
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

    _with_rest(url, work)


# -- accounts and the registry -----------------------------------------------------------------


def positions(key_file: _KeyFile = None) -> None:
    """Show cash and tradable units."""

    async def work(client: Client) -> None:
        table = _table("Positions", "market", "account", "asset", ">available", ">held", ">locked")
        for row in (await client.positions()).positions:
            place = (row.market, str(row.account))
            table.add_row(*place, row.currency, row.cash.available, row.cash.held, "")
            for unit in row.units:
                figures = (unit.available, unit.held, unit.locked)
                table.add_row(*place, unit.symbol, *(f"{figure:,}" for figure in figures))
        Console().print(table)

    _with_client(key_file, work)


def holdings(key_file: _KeyFile = None) -> None:
    """Show units by serial number, and obligations."""

    async def work(client: Client) -> None:
        found = await client.holdings()
        table = _table("Holdings", "account", "symbol", "position", ">tonnes", "serial numbers")
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
            table = _table("Obligations", "account", "year", ">to surrender", "surrendered")
            for due in found.obligations:
                given = ", ".join(f"{t:,} t {symbol}" for symbol, t in due.surrendered.items())
                table.add_row(str(due.account), str(due.year), f"{due.obligation:,}", given)
            Console().print(table)

    _with_client(key_file, work)


def deposit(
    symbol: _Symbol, quantity: _Quantity, account: _Account, key_file: _KeyFile = None
) -> None:
    """Move units from the registry position to the trading position."""
    _instruct(key_file, DepositUnits(ref=0, symbol=symbol, account=account, quantity=quantity))


def release(
    symbol: _Symbol, quantity: _Quantity, account: _Account, key_file: _KeyFile = None
) -> None:
    """Move units from the trading position back to the registry position."""
    _instruct(key_file, ReleaseUnits(ref=0, symbol=symbol, account=account, quantity=quantity))


def transfer(
    symbol: _Symbol,
    quantity: _Quantity,
    to_account: Annotated[
        int, typer.Argument(help="The receiving account.", parser=_whole, metavar="to_account")
    ],
    account: _Account,
    key_file: _KeyFile = None,
) -> None:
    """Transfer units between registry positions."""
    _instruct(
        key_file,
        TransferUnits(
            ref=0, symbol=symbol, account=account, quantity=quantity, to_account=to_account
        ),
    )


def surrender(
    symbol: _Symbol,
    quantity: _Quantity,
    year: Annotated[int, typer.Argument(help="Compliance year.", parser=_whole, metavar="year")],
    account: _Account,
    key_file: _KeyFile = None,
) -> None:
    """Surrender units for a compliance year."""
    _instruct(
        key_file,
        SurrenderUnits(ref=0, symbol=symbol, account=account, quantity=quantity, year=year),
    )


def retire(
    symbol: _Symbol,
    quantity: _Quantity,
    account: _Account,
    beneficiary: Annotated[str, typer.Option(help="For whom.")],
    reason: Annotated[str, typer.Option(help="Why.")],
    key_file: _KeyFile = None,
) -> None:
    """Cancel units voluntarily, for good."""
    _instruct(
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


def freeze(
    symbol: _Symbol,
    quantity: _Quantity,
    account: _Account,
    reference: _Reference,
    key_file: _KeyFile = None,
) -> None:
    """Freeze units of an account's registry position, for a court or the authority."""
    _instruct(
        key_file,
        FreezeUnits(ref=0, symbol=symbol, account=account, quantity=quantity, reference=reference),
    )


def unfreeze(
    symbol: _Symbol,
    quantity: _Quantity,
    account: _Account,
    reference: _Reference,
    key_file: _KeyFile = None,
) -> None:
    """Give frozen units back to the account's registry position."""
    _instruct(
        key_file,
        UnfreezeUnits(
            ref=0, symbol=symbol, account=account, quantity=quantity, reference=reference
        ),
    )


def pledge(
    symbol: _Symbol,
    quantity: _Quantity,
    lender_account: Annotated[
        int, typer.Argument(help="The lender's account.", parser=_whole, metavar="lender_account")
    ],
    account: _Account,
    reference: Annotated[str, typer.Option(help="Of the loan.")] = "",
    key_file: _KeyFile = None,
) -> None:
    """Pledge units of the registry position to a lender."""
    _instruct(
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
    symbol: _Symbol,
    quantity: _Quantity,
    owner_account: _Owner,
    account: _Account,
    reference: Annotated[str, typer.Option(help="Of the loan.")] = "",
    key_file: _KeyFile = None,
) -> None:
    """As the lender, give pledged units back to their owner."""
    _instruct(
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
    symbol: _Symbol,
    quantity: _Quantity,
    owner_account: _Owner,
    account: _Account,
    reference: _Reference,
    key_file: _KeyFile = None,
) -> None:
    """As the lender, take pledged units when their owner has defaulted."""
    _instruct(
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


def _instruct(key_file: Path | None, instruction: Instruction) -> None:
    async def work(client: Client) -> None:
        report = await client.instruct(instruction)
        Console(highlight=False).print(
            f"[bold]{report.status}[/bold]: {report.kind} {report.quantity:,} t {report.symbol}, "
            f"instruction {report.instruction_id}"
        )
        for item in report.ranges[:RANGES_SHOWN]:
            Console(highlight=False).print(f"  {item.programme} {item.first}-{item.last}")

    _with_client(key_file, work)


# -- running ------------------------------------------------------------------------------------


def _key(key_file: Path | None) -> SigningKey:
    path = key_file or Path(Settings.from_environment().key_file)
    if not path.name:
        raise ValueError(f"give --key-file or set {KEY_VARIABLE}")
    return load_key(path)


def _with_client(key_file: Path | None, work: Callable[[Client], Awaitable[None]]) -> None:
    async def run() -> None:
        key = _key(key_file)
        async with Client(key.url, key) as client:
            await work(client)

    _attempt(run)


def _with_rest(url: str, work: Callable[[Rest], Awaitable[None]]) -> None:
    async def run() -> None:
        rest = Rest(url)
        try:
            await work(rest)
        finally:
            await rest.close()

    _attempt(run)


def _attempt(run: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await run()

    try:
        asyncio.run(main())
    except VenueError as error:
        lines = [f"{error.title} ({error.reason}): {error.text}"]
        if isinstance(error.report, InstructionReport) and error.report.rule:
            lines.append(f"rule {error.report.rule}; source: {error.report.source}")
        typer.echo("\n".join(lines), err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        is_figure = name.startswith(">")
        table.add_column(name.removeprefix(">"), justify="right" if is_figure else "left")
    return table
