"""The compliance year on the command line: its steps, given by emitter, verifier and authority.

What is surrendered is given up for good, so `surrender` repeats it and asks.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from exchange.messages.instructions import (
    AllocateUnits,
    ApplyCarryOver,
    AssessYear,
    CarryOver,
    ExchangeCredits,
    ReportEmissions,
    SetEntitlement,
    SurrenderUnits,
    VerifyEmissions,
)
from gateway.cli.options import (
    Account,
    KeyFile,
    Quantity,
    Symbol,
    Yes,
    agreed,
    instruct,
    show_instruction,
    whole,
    with_client,
)
from gateway.cli.output import Json, show_json
from gateway.cli.plans import print_headroom, print_plan, print_year
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
    """Of an account, where the rules for credits tell them apart."""

    STATIONARY = "stationary"
    NEW_ENTRANT = "new_entrant"
    AIRCRAFT = "aircraft"
    QUEBEC = "quebec"


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (
        year, plan, headroom, surrender, report_emissions, verify_emissions, allocate, assess,
        apply_carry_over, carry_over, set_entitlement, exchange_credits,
    ):  # fmt: skip
        app.command()(command)


def year(
    account: Annotated[int, typer.Argument(help="Account.", parser=whole, metavar="account")],
    scheme: Annotated[str, typer.Argument(help="Scheme, such as cn-national.")],
    emission_year: Year,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show a compliance year: its figures, and each step with its day.

    exchange year 203 cn-national 2025
    """

    async def work(client: Client) -> None:
        found = await client.compliance_year(account, scheme, emission_year)
        if as_json:
            show_json(found)
        else:
            print_year(Console(highlight=False), found)

    with_client(key_file, work)


def plan(
    emission_year: Year,
    account: Account,
    key_file: KeyFile = None,
    scheme: Annotated[str, typer.Option(help="Where a market has several.")] = "",
    as_json: Json = False,
) -> None:
    """Plan the cheapest surrender for a year; nothing is done by it.

    exchange plan 2025 --account 203
    """

    async def work(client: Client) -> None:
        found = await client.surrender_plan(account, emission_year, scheme)
        if as_json:
            show_json(found)
        else:
            print_plan(Console(highlight=False), found)

    with_client(key_file, work)


def headroom(
    symbol: Symbol, account: Account, key_file: KeyFile = None, as_json: Json = False
) -> None:
    """Show how much more of an offset an account could use.

    exchange headroom CCER --account 203
    """

    async def work(client: Client) -> None:
        found = await client.offset_headroom(account, symbol)
        if as_json:
            show_json(found)
        else:
            print_headroom(Console(highlight=False), found)

    with_client(key_file, work)


def surrender(
    symbol: Symbol,
    quantity: Quantity,
    emission_year: Year,
    account: Account,
    project: Annotated[int, typer.Option(help="Credits of this project; 0: any.")] = 0,
    for_account: Annotated[int, typer.Option(help="Whose obligation; 0: the account's own.")] = 0,
    yes: Yes = False,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Surrender units for a compliance year, for good; repeats what is given up and asks.

    exchange surrender CEA-2025 1000 2025 --account 203
    """
    instruction = SurrenderUnits(
        ref=0,
        symbol=symbol,
        account=account,
        quantity=quantity,
        year=emission_year,
        project=project,
        for_account=for_account,
    )

    async def work(client: Client) -> None:
        if not yes:
            typer.echo(await _given_up(client, instruction), err=True)
        if not agreed("Surrender them?", yes):
            raise ValueError("nothing was surrendered")
        show_instruction(await client.instruct(instruction), as_json)

    with_client(key_file, work)


async def _given_up(client: Client, what: SurrenderUnits) -> str:
    """What a surrender takes and what it is for, as it stands now."""
    found = await client.holdings()
    held = sum(
        row.quantity
        for row in found.holdings
        if (row.account, row.symbol, row.position) == (what.account, what.symbol, "REGISTRY")
    )
    of_project = f" of project {what.project}" if what.project else ""
    lines = [
        f"{int(what.quantity):,} t {what.symbol}{of_project} of account {what.account} are given "
        f"up for {what.year}, for good; its registry position has {held:,} t."
    ]
    for due in found.obligations:
        if (due.account, due.year) == (what.for_account or what.account, what.year):
            given = sum(due.surrendered.values())
            lines.append(
                f"{due.scheme} {due.year}: obligation {due.obligation:,} t, surrendered {given:,} "
                f"t, owed {max(due.obligation - given, 0):,} t."
            )
    return "\n".join(lines)


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
    held_by: Annotated[int, typer.Option(help="The province's account that holds them.")] = 0,
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
            held_by=held_by,
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
    """State an account's group, and of how many credits it may exchange a share (authority)."""
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
