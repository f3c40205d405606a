"""What an account has, on the command line: positions, holdings, and moving units about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from exchange.messages.instructions import (
    CancelUnits,
    DepositUnits,
    EnforcePledge,
    PledgeUnits,
    ReleasePledge,
    ReleaseUnits,
    TransferUnits,
)
from gateway.cli.options import (
    RANGES_SHOWN,
    Account,
    KeyFile,
    MarketCode,
    Owner,
    Quantity,
    Reference,
    Symbol,
    instruct,
    whole,
    with_client,
)
from gateway.cli.output import Json, make_table, show, show_json
from gateway.client import Client

SECOND_NS = 1_000_000_000


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (
        positions, holdings, holdings_at, deposit, release, transfer, retire, pledge,
        release_pledge, enforce_pledge,
    ):  # fmt: skip
        app.command()(command)


def positions(market: MarketCode = "", key_file: KeyFile = None, as_json: Json = False) -> None:
    """Show cash and tradable units.

    exchange positions
    """

    async def work(client: Client) -> None:
        found = (await client.positions(market)).positions
        table = make_table(
            "Positions", "market", "account", "asset", ">available", ">held", ">locked"
        )
        for row in found:
            place = (row.market, str(row.account))
            table.add_row(*place, row.currency, row.cash.available, row.cash.held, row.cash.locked)
            for unit in row.units:
                figures = (unit.available, unit.held, unit.locked)
                table.add_row(*place, unit.symbol, *(f"{figure:,}" for figure in figures))
        show(table, found, as_json)

    with_client(key_file, work)


def holdings(market: MarketCode = "", key_file: KeyFile = None, as_json: Json = False) -> None:
    """Show units by serial number, and obligations; with --json one document.

    exchange holdings
    """

    async def work(client: Client) -> None:
        found = await client.holdings(market)
        if as_json:
            show_json(found)
            return
        table = make_table("Holdings", "account", "symbol", "position", ">tonnes", "serial numbers")
        for row in found.holdings:
            ranges = [f"{r.programme} {r.first}-{r.last}" for r in row.ranges[:RANGES_SHOWN]]
            more = len(row.ranges) - RANGES_SHOWN
            ranges += [f"and {more} more ranges"] if more > 0 else []
            position = f"{row.position} to {row.lender}" if row.lender else row.position
            table.add_row(
                str(row.account), row.symbol, position, f"{row.quantity:,}", "\n".join(ranges)
            )
        show(table, found.holdings)
        if found.obligations:
            table = make_table("Obligations", "account", "year", ">to surrender", "surrendered")
            for due in found.obligations:
                given = ", ".join(f"{t:,} t {symbol}" for symbol, t in due.surrendered.items())
                table.add_row(str(due.account), str(due.year), f"{due.obligation:,}", given)
            show(table, found.obligations)

    with_client(key_file, work)


def holdings_at(
    market: Annotated[str, typer.Argument(help="Market code, such as EU.")],
    moment: Annotated[
        datetime,
        typer.Argument(help="UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ],
    account: Account,
    key_file: KeyFile = None,
    as_json: Json = False,
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
        show(table, found.holdings, as_json)

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
