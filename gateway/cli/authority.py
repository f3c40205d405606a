"""Commands of the authority: freezing units, and undoing what was surrendered or cancelled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from exchange.messages.orders import ApproveReversal, FreezeUnits, ProposeReversal, UnfreezeUnits
from gateway.cli.options import (
    Account,
    KeyFile,
    Quantity,
    Reference,
    Symbol,
    instruct,
    make_table,
    whole,
    with_client,
)
from gateway.client import Client

SECOND_NS = 1_000_000_000


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (freeze, unfreeze, propose_reversal, approve_reversal, reversals):
        app.command()(command)


def freeze(
    symbol: Symbol,
    quantity: Quantity,
    account: Account,
    reference: Reference,
    key_file: KeyFile = None,
) -> None:
    """Freeze units of an account's registry position, for a court or the authority."""
    instruct(
        key_file,
        FreezeUnits(ref=0, symbol=symbol, account=account, quantity=quantity, reference=reference),
    )


def unfreeze(
    symbol: Symbol,
    quantity: Quantity,
    account: Account,
    reference: Reference,
    key_file: KeyFile = None,
) -> None:
    """Give frozen units back to the account's registry position."""
    instruct(
        key_file,
        UnfreezeUnits(
            ref=0, symbol=symbol, account=account, quantity=quantity, reference=reference
        ),
    )


def propose_reversal(
    symbol: Symbol,
    quantity: Quantity,
    original_id: Annotated[
        int,
        typer.Argument(
            help="Instruction id of the surrender or cancellation.",
            parser=whole,
            metavar="original_id",
        ),
    ],
    account: Account,
    reason: Annotated[str, typer.Option(help="Why.")],
    key_file: KeyFile = None,
) -> None:
    """Propose to undo a surrender or cancellation; another key has to approve it."""
    instruct(
        key_file,
        ProposeReversal(
            ref=0,
            symbol=symbol,
            account=account,
            quantity=quantity,
            original_id=original_id,
            reason=reason,
        ),
    )


def approve_reversal(
    symbol: Symbol,
    quantity: Quantity,
    proposal_id: Annotated[
        int,
        typer.Argument(help="Instruction id of the proposal.", parser=whole, metavar="proposal_id"),
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Approve what another key proposed to undo."""
    instruct(
        key_file,
        ApproveReversal(
            ref=0, symbol=symbol, account=account, quantity=quantity, proposal_id=proposal_id
        ),
    )


def reversals(key_file: KeyFile = None) -> None:
    """List what is proposed to be undone and not approved."""

    async def work(client: Client) -> None:
        table = make_table(
            "Proposed reversals", ">proposal", ">original", "account", "symbol", ">tonnes",
            "by", "until (UTC)", "reason",
        )  # fmt: skip
        for row in (await client.reversals()).reversals:
            until = datetime.fromtimestamp(row.expires_ns // SECOND_NS, UTC)
            table.add_row(
                str(row.proposal_id),
                str(row.original_id),
                str(row.account),
                row.symbol,
                f"{row.quantity:,}",
                row.proposed_by,
                f"{until:%Y-%m-%d %H:%M}",
                row.reason,
            )
        Console().print(table)

    with_client(key_file, work)
