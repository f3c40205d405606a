"""The compliance year on the command line: its steps, given by emitter, verifier and authority."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from exchange.messages.orders import (
    AllocateUnits,
    ApplyCarryOver,
    AssessYear,
    CarryOver,
    ExchangeCredits,
    ReportEmissions,
    SetEntitlement,
    VerifyEmissions,
)
from gateway.cli.options import Account, KeyFile, Quantity, Symbol, instruct, whole, with_client
from gateway.cli.plans import print_year
from gateway.client import Client

Emitted = Annotated[int, typer.Argument(help="Tonnes, 0 or more.", parser=whole, metavar="tonnes")]
Year = Annotated[int, typer.Argument(help="Emission year.", parser=whole, metavar="year")]
Sector = Annotated[str, typer.Option(help="As the scheme's rules name it, such as power.")]


class Stage(Enum):
    """Of an allocation."""

    PROVISIONAL = "provisional"
    FINAL = "final"


class Method(Enum):
    """Of an allocation."""

    GRANDFATHERING = "grandfathering"
    BENCHMARKING = "benchmarking"
    EQUAL_TO_EMISSIONS = "equal_to_emissions"
    INTENSITY = "intensity"


class Group(Enum):
    """Of an account that exchanges credits."""

    STATIONARY = "stationary"
    NEW_ENTRANT = "new_entrant"
    AIRCRAFT = "aircraft"


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (
        year, report_emissions, verify_emissions, allocate, assess, apply_carry_over, carry_over,
        set_entitlement, exchange_credits,
    ):  # fmt: skip
        app.command()(command)


def year(
    account: Annotated[int, typer.Argument(help="Account.", parser=whole, metavar="account")],
    scheme: Annotated[str, typer.Argument(help="Scheme, such as cn-national.")],
    emission_year: Year,
    key_file: KeyFile = None,
) -> None:
    """Show a compliance year: its figures, and each step with its day."""

    async def work(client: Client) -> None:
        found = await client.compliance_year(account, scheme, emission_year)
        print_year(Console(highlight=False), found)

    with_client(key_file, work)


def report_emissions(
    symbol: Symbol,
    quantity: Emitted,
    emission_year: Year,
    account: Account,
    sector: Sector = "",
    key_file: KeyFile = None,
) -> None:
    """Report what an emitter's account emitted in a year; symbol: an allowance of the scheme."""
    instruct(
        key_file,
        ReportEmissions(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            year=emission_year,
            sector=sector,
        ),
    )


def verify_emissions(
    symbol: Symbol,
    quantity: Emitted,
    emission_year: Year,
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Confirm or correct what an account reported: as much is owed."""
    instruct(
        key_file,
        VerifyEmissions(
            ref=0, symbol=symbol, account=account, quantity=quantity, year=emission_year
        ),
    )


def allocate(
    symbol: Symbol,
    quantity: Emitted,
    emission_year: Year,
    stage: Annotated[Stage, typer.Argument(help="In advance, or the whole.")],
    account: Account,
    method: Annotated[Method, typer.Option(help="How it was found.")] = Method.BENCHMARKING,
    sector: Sector = "",
    base: Annotated[int, typer.Option(help="Base of a provisional allocation.", parser=whole)] = 0,
    balance: Annotated[int, typer.Option(help="Of the sector, millionths.", parser=whole)] = 0,
    intensity: Annotated[int, typer.Option(help="Of the firm, millionths.", parser=whole)] = 0,
    key_file: KeyFile = None,
) -> None:
    """Issue allowances of a year into an account, by the rules of the scheme."""
    instruct(
        key_file,
        AllocateUnits(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            year=emission_year,
            stage=stage.value,
            method=method.value,
            sector=sector,
            base=base,
            balance=balance,
            intensity=intensity,
        ),
    )


def assess(
    symbol: Symbol,
    emission_year: Year,
    account: Account,
    price: Annotated[str, typer.Option(help="Average price that the fine rests on.")] = "",
    due: Annotated[str, typer.Option(help="Last day, where the rulebook has none.")] = "",
    key_file: KeyFile = None,
) -> None:
    """Assess a year after its last day: shortfall, penalty, what goes on to the next year."""
    instruct(
        key_file,
        AssessYear(ref=0, symbol=symbol, account=account, year=emission_year, price=price, due=due),
    )


def apply_carry_over(
    symbol: Symbol,
    quantity: Quantity,
    vintage: Annotated[int, typer.Argument(help="New vintage.", parser=whole, metavar="vintage")],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Apply for old allowances of an account to become those of a new vintage."""
    instruct(
        key_file,
        ApplyCarryOver(ref=0, symbol=symbol, account=account, quantity=quantity, year=vintage),
    )


def carry_over(
    symbol: Symbol,
    quantity: Quantity,
    application_id: Annotated[
        int,
        typer.Argument(
            help="Instruction id of the application.", parser=whole, metavar="application_id"
        ),
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Carry out what an account applied for."""
    instruct(
        key_file,
        CarryOver(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            application_id=application_id,
        ),
    )


def set_entitlement(
    symbol: Symbol,
    base: Emitted,
    group: Annotated[Group, typer.Argument(help="Whose rule it is.")],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """State of how many credits an account may exchange a share for allowances (authority)."""
    instruct(
        key_file,
        SetEntitlement(ref=0, symbol=symbol, account=account, quantity=base, group=group.value),
    )


def exchange_credits(
    symbol: Symbol,
    quantity: Quantity,
    allowance: Annotated[str, typer.Argument(help="Symbol of the allowances.")],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Exchange credits for as many allowances, where the scheme's rules do so."""
    instruct(
        key_file,
        ExchangeCredits(
            ref=0, symbol=symbol, account=account, quantity=quantity, allowance=allowance
        ),
    )
