"""A member's orders: `exchange order buy EUA 10 @71.25`, `cancel`, `quote`, `fills`, ..."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import (
    OrderTypeWord,
    PostOnlyWord,
    SelfTradeWord,
    SideWord,
    TimeInForceWord,
)
from exchange.messages.reason_numbers import EdgeReason
from gateway.cli.completion import open_orders
from gateway.cli.options import (
    Account,
    KeyFile,
    MarketCode,
    Price,
    Quantity,
    Symbol,
    Yes,
    agreed,
    price_of,
    tonnes,
    whole,
    with_client,
)
from gateway.cli.output import Json, make_table, show, show_report
from gateway.client import Client, OrderNotFoundError, VenueError
from gateway.entry.decimals import whole_number

SECOND_NS = 1_000_000_000
MARKET = "market"

SideName = Literal["buy", "sell"]
PostOnlyName = Literal["refuse", "reprice"]
SelfTradeName = Literal["cancel-newest", "cancel-oldest", "cancel-both", "decrement"]
Side = Annotated[SideName, typer.Argument(help="buy or sell.")]
OrderId = Annotated[
    str, typer.Argument(help="The venue's id of the order, or yours.", autocompletion=open_orders)
]
Label = Annotated[str, typer.Option(help="Your own id of the order: 16 characters at most.")]
Stop = Annotated[str, typer.Option(help="Stop price: enters the book when this has traded.")]
Display = Annotated[int, typer.Option(help="Iceberg: tonnes shown at a time.", parser=whole)]
Minimum = Annotated[int, typer.Option(help="Tonnes that must trade on entry.", parser=whole)]
Until = Annotated[datetime | None, typer.Option(help="GTD: the last day.", formats=["%Y-%m-%d"])]
SelfTrade = Annotated[
    SelfTradeName | None, typer.Option(help="What happens if it would meet one of your own.")
]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    block = typer.Typer(help="Negotiated trades: one proposes, the other confirms.")
    block.command("propose")(block_propose)
    block.command("list")(block_list)
    block.command("confirm")(block_confirm)
    block.command("decline")(block_decline)
    for command in (order, replace, cancel, cancel_all, quote, pick, orders, fills):
        app.command()(command)
    app.add_typer(block, name="block", no_args_is_help=True)


def order(
    side: Side,
    symbol: Symbol,
    quantity: Quantity,
    price: Annotated[str, typer.Argument(help="@71.25, or `market`.")],
    account: Account,
    tif: Annotated[
        TimeInForceWord | None, typer.Option(help="How long. Default: DAY, GTD, or IOC.")
    ] = None,
    until: Until = None,
    stop: Stop = "",
    display: Display = 0,
    minimum: Minimum = 0,
    post_only: Annotated[
        PostOnlyName | None, typer.Option(help="What happens if it would trade on entry.")
    ] = None,
    self_trade: SelfTrade = None,
    persistent: Annotated[bool, typer.Option(help="Outlives a halt and the close.")] = True,
    label: Label = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Enter an order of any kind; prints what the engine made of it.

    exchange order buy EUA 10 @71.25 --account 103

    exchange order sell EUA 500 @72.00 --display 50 --until 2026-12-18 --account 103

    exchange order buy EUA 10 market --stop 74.00 --account 103
    """
    is_market = price == MARKET
    kind: OrderTypeWord = "MARKET" if is_market else "LIMIT"
    if stop:
        kind = "STOP" if is_market else "STOP_LIMIT"
    usual: TimeInForceWord = "GTD" if until else "IOC" if kind == "MARKET" else "DAY"

    async def work(client: Client) -> None:
        report = await client.new_order(
            symbol,
            account,
            _side(side),
            quantity,
            "" if is_market else price_of(price),
            order_type=kind,
            time_in_force=tif or usual,
            stop_price=price_of(stop),
            display_quantity=display,
            minimum_quantity=minimum,
            expire_date=until.date() if until else None,
            post_only=_post_only(post_only),
            self_trade_prevention=_self_trade(self_trade),
            is_persistent=persistent,
            client_order_id=label,
        )
        show_report(report, as_json)
        if side == "buy" and not as_json:
            await _show_room(client, account, symbol)

    with_client(key_file, work)


async def _show_room(client: Client, account: int, symbol: str) -> None:
    """What the caps of its obligations leave an account of an offset; nothing of other units."""
    try:
        found = await client.offset_headroom(account, symbol)
    except VenueError:
        return
    if found.years:
        years = ", ".join(f"{year.year}: {year.left:,} t left of {year.cap:,} t by {year.rule}"
                          for year in found.years)  # fmt: skip
        typer.echo(
            f"room of account {account} for {symbol}: {found.room:,} t ({years}; held "
            f"{found.held:,} t, being bought {found.buying:,} t)"
        )


def replace(
    symbol: Symbol,
    order_id: OrderId,
    quantity: Annotated[
        int,
        typer.Argument(
            help="Tonnes in all, the traded ones too.", parser=tonnes, metavar="quantity"
        ),
    ],
    price: Annotated[str, typer.Argument(help="@71.25, or `market` for a stop.")],
    account: Account,
    until: Until = None,
    stop: Stop = "",
    display: Display = 0,
    minimum: Minimum = 0,
    label: Label = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Change an order's quantity and price; with a term, all four terms anew.

    exchange replace EUA 4711 20 @71.30 --account 103
    """

    async def work(client: Client) -> None:
        number = whole_number(order_id) or 0
        report = await client.replace_order(
            symbol,
            account,
            number,
            quantity,
            "" if price == MARKET else price_of(price),
            original_client_order_id="" if number else order_id,
            stop_price=price_of(stop),
            display_quantity=display,
            minimum_quantity=minimum,
            expire_date=until.date() if until else None,
            client_order_id=label,
        )
        show_report(report, as_json)

    with_client(key_file, work)


def cancel(
    symbol: Symbol,
    order_id: OrderId,
    account: Account,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Cancel an order.

    exchange cancel EUA 4711 --account 103
    """

    async def work(client: Client) -> None:
        number = whole_number(order_id) or 0
        label = "" if number else order_id
        report = await client.cancel_order(symbol, account, number, original_client_order_id=label)
        show_report(report, as_json)

    with_client(key_file, work)


def cancel_all(
    market: MarketCode = "",
    symbol: Annotated[str, typer.Option(help="Of one instrument.")] = "",
    account: Annotated[int, typer.Option(help="Of one account; 0: of all.", parser=whole)] = 0,
    side: Annotated[SideName | None, typer.Option(help="Of one side.")] = None,
    own_session: Annotated[bool, typer.Option("--own-session", help="This key's only.")] = False,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Cancel all orders of the participant that fit, at once; asks nothing. Bids in auctions stay.

    exchange cancel-all --symbol EUA --side sell
    """

    async def work(client: Client) -> None:
        codes = [market] if market else await _markets(client, symbol)
        for code in codes:
            report = await client.mass_cancel(
                code,
                symbol=symbol,
                account=account,
                side=_side(side) if side else None,
                own_session=own_session,
            )
            show_report(report, as_json)

    with_client(key_file, work)


def quote(
    symbol: Symbol,
    account: Account,
    bid: Annotated[str, typer.Option(help="100@71.00: tonnes and price.")] = "",
    offer: Annotated[str, typer.Option(help="100@71.50: tonnes and price.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the quote back.")] = False,
    post_only: Annotated[bool, typer.Option("--post-only", help="Refused if it trades.")] = False,
    self_trade: SelfTrade = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Set both sides of a quote in the place of the one before; a side not given is empty.

    exchange quote EUA --bid 100@71.00 --offer 100@71.50 --account 103
    """

    async def work(client: Client) -> None:
        if withdraw == bool(bid or offer):
            raise ValueError("give --bid or --offer or both, or else --withdraw")
        report = await client.quote(
            symbol,
            account,
            bid=_tonnes_at(bid),
            offer=_tonnes_at(offer),
            post_only="REFUSE" if post_only else "",
            self_trade_prevention=_self_trade(self_trade),
        )
        show_report(report, as_json)

    with_client(key_file, work)


def pick(
    side: Side,
    symbol: Symbol,
    quantity: Quantity,
    price: Price,
    listing: Annotated[
        int, typer.Argument(help="Order id of the listing.", parser=tonnes, metavar="listing")
    ],
    account: Account,
    label: Label = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Take tonnes of a listing, where takers choose whom they trade with.

    exchange pick buy CEA-2025 20 @74.00 4711 --account 203
    """

    async def work(client: Client) -> None:
        report = await client.pick(
            symbol, account, _side(side), listing, quantity, price_of(price), client_order_id=label
        )
        show_report(report, as_json)

    with_client(key_file, work)


def block_propose(
    side: Side,
    symbol: Symbol,
    quantity: Quantity,
    price: Price,
    counterparty: Annotated[
        int, typer.Argument(help="Account of the other side.", parser=whole, metavar="counterparty")
    ],
    account: Account,
    label: Label = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Propose a negotiated trade to another account.

    exchange block propose sell EUA 5000 @70.90 102 --account 101
    """

    async def work(client: Client) -> None:
        report = await client.propose_block(
            symbol, account, _side(side), quantity, price_of(price), counterparty,
            client_order_id=label,
        )  # fmt: skip
        show_report(report, as_json)

    with_client(key_file, work)


def block_list(market: MarketCode = "", key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the blocks that wait for your word.

    exchange block list
    """

    async def work(client: Client) -> None:
        found = (await client.blocks(market)).proposals
        table = make_table(
            "Proposed blocks", "market", "account", "symbol", "they", ">tonnes", ">price",
            ">proposal",
        )  # fmt: skip
        for row in found:
            table.add_row(
                row.market, str(row.account), row.symbol, row.side, f"{row.order_quantity:,}",
                row.price, str(row.order_id),
            )  # fmt: skip
        show(table, found, as_json)

    with_client(key_file, work)


Proposal = Annotated[
    int, typer.Argument(help="Id of the proposal.", parser=tonnes, metavar="proposal")
]


def block_confirm(
    proposal: Proposal,
    market: MarketCode = "",
    yes: Yes = False,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Confirm a block that was proposed to you: it trades at once.

    exchange block confirm 4711
    """

    async def work(client: Client) -> None:
        found = await _proposed(client, market, proposal)
        own = "buy" if found.side == "SELL" else "sell"
        what = f"{found.order_quantity:,} t {found.symbol} @{found.price}, account {found.account}"
        if not agreed(f"You {own} {what}. Confirm?", yes):
            raise ValueError("not confirmed: the proposal waits")
        show_report(await client.confirm_block(found), as_json)

    with_client(key_file, work)


def block_decline(
    proposal: Proposal, market: MarketCode = "", key_file: KeyFile = None, as_json: Json = False
) -> None:
    """Decline a block that was proposed to you; your own proposal ends with `exchange cancel`.

    exchange block decline 4711
    """

    async def work(client: Client) -> None:
        found = await _proposed(client, market, proposal)
        report = await client.cancel_order(found.symbol, found.account, found.order_id)
        show_report(report, as_json)

    with_client(key_file, work)


def orders(market: MarketCode = "", key_file: KeyFile = None, as_json: Json = False) -> None:
    """List open orders.

    exchange orders --json
    """

    async def work(client: Client) -> None:
        found = await client.orders(market)
        table = make_table(
            "Open orders", "market", "account", "symbol", "side", "type", "tif", ">leaves",
            ">price", ">stop", ">order id", "yours",
        )  # fmt: skip
        for row in found:
            table.add_row(
                row.market, str(row.account), row.symbol, row.side, row.order_type,
                row.time_in_force, f"{row.leaves_quantity:,}", row.price, row.stop_price,
                str(row.order_id), row.client_order_id,
            )  # fmt: skip
        show(table, found, as_json)

    with_client(key_file, work)


def fills(
    market: MarketCode = "",
    after: Annotated[int, typer.Option(help="With a higher sequence only.", parser=whole)] = 0,
    everything: Annotated[
        bool, typer.Option("--all", help="Every report, not those of trades alone.")
    ] = False,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """List your executions, oldest first, as far back as the gateway remembers.

    exchange fills --market EU --after 1200
    """

    async def work(client: Client) -> None:
        codes = [market] if market else await _markets(client, "")
        table = make_table(
            "Executions", "time (UTC)", "market", ">sequence", "account", "what", "symbol", "side",
            ">tonnes", ">price", ">fee", ">order id", ">trade",
        )  # fmt: skip
        found: list[ExecutionReport] = []
        for code in codes:
            async for row in client.all_executions(code, after):
                if not everything and row.exec_type != "TRADE":
                    continue
                found.append(row)
                moment = datetime.fromtimestamp(row.transact_time_ns // SECOND_NS, UTC)
                table.add_row(
                    f"{moment:%Y-%m-%d %H:%M:%S}", code, str(row.sequence), str(row.account),
                    row.exec_type, row.symbol, row.side, f"{row.last_quantity:,}", row.last_price,
                    row.fee, str(row.order_id), str(row.trade_id or ""),
                )  # fmt: skip
        show(table, found, as_json)

    with_client(key_file, work)


async def _markets(client: Client, symbol: str) -> list[str]:
    rows = (await client.instruments()).instruments
    codes = list(dict.fromkeys(r.market for r in rows if not symbol or r.symbol == symbol))
    if not codes:
        raise ValueError(f"no instrument {symbol}: `exchange instruments` lists them")
    return codes


async def _proposed(client: Client, market: str, proposal: int) -> ExecutionReport:
    for row in (await client.blocks(market)).proposals:
        if row.order_id == proposal:
            return row
    text = f"no block {proposal} waits for you: `exchange block list`."
    raise OrderNotFoundError(EdgeReason.NOT_FOUND, text)


def _side(name: SideName) -> SideWord:
    return "BUY" if name == "buy" else "SELL"


def _post_only(name: PostOnlyName | None) -> PostOnlyWord:
    words: dict[PostOnlyName, PostOnlyWord] = {"refuse": "REFUSE", "reprice": "REPRICE"}
    return words[name] if name else ""


def _self_trade(name: SelfTradeName | None) -> SelfTradeWord:
    words: dict[SelfTradeName, SelfTradeWord] = {
        "cancel-newest": "CANCEL_NEWEST",
        "cancel-oldest": "CANCEL_OLDEST",
        "cancel-both": "CANCEL_BOTH",
        "decrement": "DECREMENT",
    }
    return words[name] if name else ""


def _tonnes_at(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    quantity, at, price = text.partition("@")
    if not at or not price:
        raise typer.BadParameter(f"{text[:40]!r}: write tonnes and price, as 100@71.00")
    return tonnes(quantity), price
