"""Running primary auctions: units delivered, opened, closed, called off; bids, results.

What is on offer comes from the venue's programme and from what the log says of its auctions so far,
so nobody types a volume. The scheduler, `run`, is an operator's client like any other: what it does
stands on the log as commands of its key.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

from exchange.auctions import OPEN, calendar_now, next_act
from exchange.clock import SystemClock
from exchange.decimals import from_minor
from exchange.messages.instructions import DepositUnits, TransferUnits
from exchange.messages.operations import AuctionCancel, AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from exchange.rulebook import AuctionFormat, RulebookError, load_auction_formats, load_rulebook
from exchange.rulebook.auction_calendar import AuctionCalendar, ScheduledAuction
from exchange.rulebook.auction_data import Programme, SupplyData, load_programme, load_supply_data
from exchange.rulebook.reserves import TradedDay, reserve_on
from exchange.rulebook.revenue import Due, by_auctioneer, by_beneficiary
from exchange.rulebook.year_supply import year_supply
from gateway.cli.calendars import print_auction, print_calendar, print_result, print_rows
from gateway.cli.options import Account, KeyFile, Quantity, Symbol, whole, with_client
from gateway.cli.programmes import programme_calendar
from gateway.client import Client, VenueError
from gateway.entry.decimals import to_minor
from gateway.refusal import Refused
from gateway.replies.auctions import AuctionRow

SECOND_NS = 1_000_000_000
LOOK_S = 30.0  # the scheduler looks again at least this often

Label = Annotated[str, typer.Argument(help="The auction's id in the calendar.")]
File = Annotated[
    Path, typer.Option("--programme", help="The venue's programme of the series and the year.")
]
AnyTime = Annotated[bool, typer.Option("--any-time", help="Outside the hours of the calendar too.")]
Price = Annotated[str, typer.Option(help="The public reserve, where no rule finds it.")]
Pricing = Annotated[str, typer.Option(help="UNIFORM or PAY_AS_BID; none: the format's usual one.")]
Gross = Annotated[
    int | None, typer.Option(help="Tonnes before the reserve, as for `calendar`.", parser=whole)
]


class Desk(NamedTuple):
    """A programme, its calendar as the log has it, and the auctions behind it."""

    data: SupplyData
    plan: Programme
    format: AuctionFormat
    calendar: AuctionCalendar
    rows: list[AuctionRow]

    def item(self, label: str) -> ScheduledAuction:
        """An auction of the calendar; RulebookError names the ids. O(auctions)."""
        for item in self.calendar.auctions:
            if item.id == label:
                return item
        ids = ", ".join(item.id for item in self.calendar.auctions[:3])
        raise RulebookError(f"the programme has no auction {label}; it has {ids}, ...")

    def row(self, label: str) -> AuctionRow | None:
        """What the venue says of an auction, None before it was opened. O(auctions)."""
        return next((row for row in reversed(self.rows) if row.label == label), None)

    def opened(self, label: str) -> AuctionRow:
        """An auction that is open; RulebookError. O(auctions)."""
        row = self.row(label)
        if row is None or row.state != OPEN:
            raise RulebookError(f"auction {label} is not open")
        return row


def register(group: typer.Typer) -> None:
    """Adds the commands to `exchange auctions`."""
    for name, command in (
        ("now", show_now), ("reserve", show_reserve), ("deliver", deliver), ("open", open_auction),
        ("close", close_auction), ("call-off", call_off), ("result", show_result), ("bid", bid),
        ("run", run),
    ):  # fmt: skip
        group.command(name)(command)


async def look(client: Client, programme: Path, gross: int | None = None) -> Desk:
    """The programme and its calendar as the log has it now. RulebookError, VenueError."""
    data = load_supply_data()
    plan = load_programme(programme)
    if not plan.symbol or not plan.delivery_account:
        raise RulebookError(f"{programme}: give symbol and delivery_account")
    planned = programme_calendar(data, plan, None, gross)
    shape = load_auction_formats().format_of(planned.format)
    rows = await client.auctions(plan.symbol)
    return Desk(data, plan, shape, calendar_now(planned, rows, shape.carry_cap_bp), rows)


# -- what is there ---------------------------------------------------------------------------------


def show_now(programme: File, key_file: KeyFile = None, gross: Gross = None) -> None:
    """Print the programme's calendar after the auctions held so far."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        print_calendar(Console(highlight=False, soft_wrap=True), desk.calendar)

    with_client(key_file, work)


def show_reserve(
    label: Label, programme: File, price: Price = "", key_file: KeyFile = None, gross: Gross = None
) -> None:
    """Print the public reserve of an auction, from the closes of the days before it."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        found = await public_reserve(client, desk, desk.item(label), price)
        typer.echo(f"{label}: {found or 'no public reserve'}")

    with_client(key_file, work)


async def public_reserve(
    client: Client, desk: Desk, item: ScheduledAuction, price: str = ""
) -> str:
    """The reserve that all know, "" for a format without one. RulebookError names what lacks."""
    if desk.format.reserve not in ("public", "both"):
        if price:
            raise RulebookError(f"{desk.format.id} has no public reserve")
        return ""
    plan = desk.plan
    instruments = (await client.instruments()).instruments
    digits = next(row.minor_digits for row in instruments if row.symbol == plan.symbol)
    try:
        given = to_minor(price, digits) if price else 0
    except Refused as refused:
        raise RulebookError(refused.text) from None
    found = await client.closes(plan.reserve_symbol or plan.symbol)
    days = [
        TradedDay(
            dt.date(row.date // 10_000, row.date // 100 % 100, row.date % 100),
            to_minor(row.close, digits),
            row.volume_t,
            to_minor(row.turnover, digits),
        )
        for row in found.closes
        if row.date
    ]
    reserve = reserve_on(
        desk.data.reserve_of(desk.format.id),
        item.date,
        days=days,
        share_bp=plan.reserve_share_bp,
        price_rise_bp={int(year): bp for year, bp in plan.price_rise_bp.items()},
        given_minor=given,
    )
    return from_minor(reserve, digits)


def show_result(
    label: Label, programme: File, key_file: KeyFile = None, gross: Gross = None
) -> None:
    """Print an auction's result, and what of its revenue is due to whom."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        row = desk.row(label)
        if row is None:
            raise RulebookError(f"auction {label} has not been opened")
        out = Console(highlight=False, soft_wrap=True)
        print_result(out, row)
        if row.revenue:
            _print_dues(out, desk, desk.item(label), row)

    with_client(key_file, work)


def _print_dues(out: Console, desk: Desk, item: ScheduledAuction, row: AuctionRow) -> None:
    digits = len(row.revenue.partition(".")[2])
    revenue = to_minor(row.revenue, digits)
    parts = by_auctioneer(revenue, item.shares)
    _print_due(out, "due to the auctioneers, before fees", parts, digits)
    calendar = desk.calendar
    try:
        rule = desk.data.revenue_of(calendar.scheme, calendar.year)
        cap_t = auctioned_t = 0
        if rule.funds:
            supply = year_supply(load_rulebook(), desk.data, calendar.scheme, calendar.year)
            cap_t, auctioned_t = supply.cap_t, supply.net_t
        dues = by_beneficiary(rule, revenue, cap_t=cap_t, auctioned_t=auctioned_t)
    except RulebookError as error:
        out.print(str(error))
        return
    _print_due(out, "by beneficiary", dues, digits)


def _print_due(out: Console, title: str, dues: list[Due], digits: int) -> None:
    rows = [(due.name, from_minor(due.amount, digits)) for due in dues]
    rows.append(("together", from_minor(sum(due.amount for due in dues), digits)))
    print_rows(out, title, ("whose", ">amount"), rows)


# -- what is done ----------------------------------------------------------------------------------


def deliver(label: Label, programme: File, key_file: KeyFile = None, gross: Gross = None) -> None:
    """Bring an auction's units to the delivery account, as the auctioneer: what it lacks yet."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        plan, item = desk.plan, desk.item(label)
        positions = (await client.positions()).positions
        units = [unit for row in positions if row.account == plan.delivery_account
                 for unit in row.units if unit.symbol == plan.symbol]  # fmt: skip
        missing = item.volume_t - sum(unit.available for unit in units)
        if missing <= 0:
            typer.echo(f"account {plan.delivery_account} has what {label} offers")
            return
        if plan.holding_account and not await _is_moved(client, plan, missing):
            return
        await client.instruct(
            DepositUnits(ref=0, symbol=plan.symbol, account=plan.delivery_account, quantity=missing)
        )
        typer.echo(f"{missing:,} t {plan.symbol} deposited by account {plan.delivery_account}")

    with_client(key_file, work)


async def _is_moved(client: Client, plan: Programme, missing: int) -> bool:
    """Whether the delivery account's registry position has the units; sends what it lacks."""
    free = sum(
        row.quantity
        for row in (await client.holdings()).holdings
        if (row.account, row.symbol, row.position)
        == (plan.delivery_account, plan.symbol, "REGISTRY")
    )
    on_the_way = sum(
        row.quantity
        for row in (await client.transfers()).transfers
        if (row.to_account, row.symbol) == (plan.delivery_account, plan.symbol)
    )
    lacking = missing - free - on_the_way
    status = "DONE"
    if lacking > 0:
        report = await client.instruct(
            TransferUnits(
                ref=0, symbol=plan.symbol, account=plan.holding_account, quantity=lacking,
                to_account=plan.delivery_account,
            )
        )  # fmt: skip
        status = report.status
    if on_the_way or status != "DONE":
        typer.echo(
            f"{missing - free:,} t {plan.symbol} wait on their way to account "
            f"{plan.delivery_account} (exchange transfers): deliver again when they are there"
        )
        return False
    return True


def open_auction(
    label: Label,
    programme: File,
    key_file: KeyFile = None,
    price: Price = "",
    pricing: Pricing = "",
    any_time: AnyTime = False,
    gross: Gross = None,
) -> None:
    """Open an auction of the calendar with its volume and reserve (operator)."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        item = desk.item(label)
        _in_time(any_time, item.opens_ns, item.closes_ns, f"bids for {label} are heard from")
        await _open(client, desk, item, price, pricing, any_time)
        print_auction(Console(highlight=False, soft_wrap=True), item)

    with_client(key_file, work)


async def _open(
    client: Client,
    desk: Desk,
    item: ScheduledAuction,
    price: str = "",
    pricing: str = "",
    any_time: bool = False,
) -> None:
    if item.state != "SCHEDULED":
        raise RulebookError(f"auction {item.id} has ended before: {item.state}")
    await client.run_auction(
        AuctionOpen(
            ref=0,
            symbol=desk.plan.symbol,
            account=desk.plan.delivery_account,
            quantity=item.volume_t,
            format=desk.format.id,
            label=item.id,
            price=await public_reserve(client, desk, item, price),
            pricing=pricing,
            closes_ns=0 if any_time else item.closes_ns,
        )
    )


def close_auction(
    label: Label,
    programme: File,
    key_file: KeyFile = None,
    reserve: Annotated[str, typer.Option(help="The secret reserve; none: no such.")] = "",
    any_time: AnyTime = False,
    gross: Gross = None,
) -> None:
    """Close an auction: the best bids win, at a price for all or each at its own (operator)."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        item = desk.item(label)
        _in_time(any_time, item.closes_ns, None, f"{label} is closed from")
        await _close(client, desk, label, reserve)
        row = (await look(client, programme, gross)).row(label)
        if row is not None:
            print_result(Console(highlight=False, soft_wrap=True), row)

    with_client(key_file, work)


async def _close(client: Client, desk: Desk, label: str, reserve: str) -> None:
    row = desk.opened(label)
    await client.run_auction(
        AuctionClear(ref=0, symbol=desk.plan.symbol, auction_id=row.auction_id, reserve=reserve)
    )


def call_off(label: Label, programme: File, key_file: KeyFile = None, gross: Gross = None) -> None:
    """Call an auction off: nothing is sold, bids are given back (operator)."""

    async def work(client: Client) -> None:
        desk = await look(client, programme, gross)
        row = desk.opened(label)
        await client.run_auction(
            AuctionCancel(ref=0, symbol=desk.plan.symbol, auction_id=row.auction_id)
        )
        typer.echo(f"{label} is called off")

    with_client(key_file, work)


def bid(
    symbol: Symbol,
    quantity: Quantity,
    price: Annotated[str, typer.Argument(help="@71.25")],
    account: Account,
    key_file: KeyFile = None,
    label: Annotated[str, typer.Option(help="Your own id of the bid.")] = "",
) -> None:
    """Bid in the auction that is open: exchange auctions bid EUA 500 @71.25 --account 103."""

    async def work(client: Client) -> None:
        rows = [row for row in await client.auctions(symbol) if row.state == OPEN]
        if not rows:
            raise RulebookError(f"no auction of {symbol} is open")
        report = await client.bid(
            AuctionBid(
                ref=0,
                symbol=symbol,
                account=account,
                auction_id=rows[-1].auction_id,
                quantity=quantity,
                price=price.removeprefix("@"),
                side="BUY" if rows[-1].side == "SELL" else "SELL",
                client_order_id=label,
            )
        )
        typer.echo(
            f"{report.order_status or report.exec_type}: {report.order_quantity:,} t "
            f"@{report.price} in {rows[-1].label}, order id {report.order_id}"
        )

    with_client(key_file, work)


# -- the scheduler ---------------------------------------------------------------------------------


def run(
    programme: File,
    key_file: KeyFile = None,
    price: Price = "",
    reserve_file: Annotated[
        Path | None, typer.Option(help="Read at each closing: the secret reserve, if it exists.")
    ] = None,
    gross: Gross = None,
) -> None:
    """Open and close the programme's auctions at the calendar's times, until the last."""
    clock = SystemClock()

    async def work(client: Client) -> None:
        await look(client, programme, gross)  # what is wrong with the programme ends it at once
        while True:
            try:
                desk = await look(client, programme, gross)
                wait_s = await step(client, desk, clock.now_ns(), price, reserve_file)
            except (VenueError, RulebookError) as error:
                typer.echo(f"exchange: {error}; tried again in {LOOK_S:.0f} s", err=True)
                wait_s = LOOK_S
            if wait_s is None:
                typer.echo("no auction is left")
                return
            await asyncio.sleep(min(wait_s, LOOK_S))

    with_client(key_file, work)


async def step(
    client: Client, desk: Desk, now_ns: int, price: str = "", reserve_file: Path | None = None
) -> float | None:
    """Opens or closes what is due; seconds until the next act is, None when nothing is left.

    Raises VenueError and RulebookError; nothing was done then, and it may be tried again.
    """
    act = next_act(desk.calendar, desk.rows, now_ns)
    if act is None:
        return None
    if act.due_ns > now_ns:
        return (act.due_ns - now_ns) / SECOND_NS
    if act.kind == "OPEN":
        await _open(client, desk, desk.item(act.auction_id), price)
    else:
        await _close(client, desk, act.auction_id, _secret(reserve_file))
    typer.echo(f"{act.kind.lower()} {act.auction_id}: done")
    return 0.0


def _secret(reserve_file: Path | None) -> str:
    is_there = reserve_file is not None and reserve_file.is_file()
    return reserve_file.read_text("utf-8").strip() if reserve_file and is_there else ""


def _in_time(any_time: bool, first_ns: int, last_ns: int | None, words: str) -> None:
    now_ns = SystemClock().now_ns()
    if any_time or (first_ns <= now_ns and (last_ns is None or now_ns < last_ns)):
        return
    begin, end = (
        f"{dt.datetime.fromtimestamp(moment // SECOND_NS, dt.UTC):%Y-%m-%d %H:%M:%S}"
        for moment in (first_ns, last_ns or first_ns)
    )
    until = f" to {end}" if last_ns else ""
    raise RulebookError(f"{words} {begin}{until} UTC; --any-time passes this")
