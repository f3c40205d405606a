"""Accounts of the registry: types, trusted lists, blocks, and the transfers that wait."""

from __future__ import annotations

from typing import Annotated

import typer

from exchange.messages.instructions import (
    AppointRepresentative,
    ApproveTransfer,
    ApproveTrust,
    BindAccount,
    BlockAccount,
    CancelTransfer,
    ConfirmAccount,
    DismissRepresentative,
    ProposeTrust,
    RemoveTrust,
    SetAccountType,
    UnblockAccount,
)
from gateway.cli.options import (
    Account,
    KeyFile,
    Reference,
    Symbol,
    instruct,
    make_table,
    utc,
    whole,
    with_client,
)
from gateway.cli.output import Json, show
from gateway.client import Client

Trusted = Annotated[
    int, typer.Argument(help="The account to trust.", parser=whole, metavar="trusted_account")
]
TransferId = Annotated[
    int,
    typer.Argument(help="Instruction id of the transfer.", parser=whole, metavar="transfer_id"),
]
KeyId = Annotated[str, typer.Argument(help="Id of the representative's key.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    trust = typer.Typer(help="The trusted list of an account.", no_args_is_help=True)
    trust.command("propose")(trust_propose)
    trust.command("approve")(trust_approve)
    trust.command("remove")(trust_remove)
    app.add_typer(trust, name="trust")
    account = typer.Typer(help="What an account is in the registry.", no_args_is_help=True)
    account.command("type")(account_type)
    account.command("appoint")(account_appoint)
    account.command("dismiss")(account_dismiss)
    account.command("bind")(account_bind)
    account.command("block")(block)
    account.command("unblock")(unblock)
    account.command("confirm")(confirm)
    app.add_typer(account, name="account")
    for command in (accounts, transfers, approve_transfer, cancel_transfer):
        app.command()(command)


def trust_propose(
    symbol: Symbol, trusted_account: Trusted, account: Account, key_file: KeyFile = None
) -> None:
    """Ask to put an account on the trusted list; another representative has to approve it."""
    instruct(
        key_file,
        ProposeTrust(ref=0, symbol=symbol, account=account, trusted_account=trusted_account),
    )


def trust_approve(
    symbol: Symbol, trusted_account: Trusted, account: Account, key_file: KeyFile = None
) -> None:
    """Put an account that another representative proposed on the trusted list."""
    instruct(
        key_file,
        ApproveTrust(ref=0, symbol=symbol, account=account, trusted_account=trusted_account),
    )


def trust_remove(
    symbol: Symbol, trusted_account: Trusted, account: Account, key_file: KeyFile = None
) -> None:
    """Take an account off the trusted list, at once."""
    instruct(
        key_file,
        RemoveTrust(ref=0, symbol=symbol, account=account, trusted_account=trusted_account),
    )


def account_type(
    symbol: Symbol,
    kind: Annotated[str, typer.Argument(help="Code of the rulebook or the EUTL, such as 100-12.")],
    account: Account,
    needs_two: Annotated[
        bool | None,
        typer.Option(
            "--needs-two/--needs-one",
            help="Whether a second person approves each act that needs two; not said: as before. "
            "To end it needs a second person, too.",
        ),
    ] = None,
    key_file: KeyFile = None,
) -> None:
    """Say what kind of account it is (authority).

    A type may need representatives, as those of the Union Registry need two: until `account
    appoint` has named as many, nothing leaves the account or comes to it
    (TOO_FEW_REPRESENTATIVES).
    """
    instruct(
        key_file,
        SetAccountType(
            ref=0, symbol=symbol, account=account, account_type=kind, needs_two=needs_two
        ),
    )


def account_appoint(
    symbol: Symbol, representative: KeyId, account: Account, key_file: KeyFile = None
) -> None:
    """Let a key act for the account in the registry (authority)."""
    instruct(
        key_file,
        AppointRepresentative(ref=0, symbol=symbol, account=account, representative=representative),
    )


def account_dismiss(
    symbol: Symbol, representative: KeyId, account: Account, key_file: KeyFile = None
) -> None:
    """No longer let a key act for the account in the registry (authority)."""
    instruct(
        key_file,
        DismissRepresentative(ref=0, symbol=symbol, account=account, representative=representative),
    )


def account_bind(
    symbol: Symbol,
    bound_account: Annotated[
        int,
        typer.Argument(
            help="The account in the other registry; 0 ends it.",
            parser=whole,
            metavar="bound_account",
        ),
    ],
    bound_market: Annotated[str, typer.Argument(help="Market of the other registry.")],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Bind a general holding of credits and the account of an obligation (authority)."""
    instruct(
        key_file,
        BindAccount(
            ref=0,
            symbol=symbol,
            account=account,
            bound_account=bound_account,
            bound_market=bound_market,
        ),
    )


def block(symbol: Symbol, account: Account, reference: Reference, key_file: KeyFile = None) -> None:
    """Block an account in the registry (authority): nothing leaves it or comes to it."""
    instruct(key_file, BlockAccount(ref=0, symbol=symbol, account=account, reference=reference))


def unblock(
    symbol: Symbol,
    account: Account,
    reference: Reference,
    block_id: Annotated[
        int, typer.Option("--block", help="Its instruction id, where there are several.")
    ] = 0,
    key_file: KeyFile = None,
) -> None:
    """End a block (authority): when another person has approved (`exchange approve-transfer`).

    Each block ends by itself; `exchange accounts` lists them with their ids. The account is free
    when the last has ended.
    """
    instruct(
        key_file,
        UnblockAccount(
            ref=0, symbol=symbol, account=account, reference=reference, block_id=block_id
        ),
    )


def confirm(
    symbol: Symbol,
    year: Annotated[int, typer.Argument(help="This year or the last.", parser=whole)],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Confirm that the account's data are complete, up to date and true, as each year.

    Where the registry asks for it (the Union Registry by 31 December), an account that nobody
    confirmed is blocked from the next day on (ACCOUNT_NOT_CONFIRMED) until somebody does.
    """
    instruct(key_file, ConfirmAccount(ref=0, symbol=symbol, account=account, year=year))


def approve_transfer(
    symbol: Symbol,
    quantity: Annotated[
        int,
        typer.Argument(help="Its tonnes; 0 of what has none.", parser=whole, metavar="quantity"),
    ],
    transfer_id: TransferId,
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Approve a transfer, or another act that waits, which another person proposed.

    Where an account needs two, transfers do, and what its registry's rule names: in the Union
    Registry surrenders, by another representative, and issuances and allocations, by another
    operator or authority. To end a freeze or a block always takes another operator or authority.
    `exchange transfers` lists what waits.
    """
    instruct(
        key_file,
        ApproveTransfer(
            ref=0, symbol=symbol, account=account, quantity=quantity, transfer_id=transfer_id
        ),
    )


def cancel_transfer(
    symbol: Symbol, transfer_id: TransferId, account: Account, key_file: KeyFile = None
) -> None:
    """Cancel a transfer or another act that waits; its units are free again."""
    instruct(
        key_file,
        CancelTransfer(ref=0, symbol=symbol, account=account, transfer_id=transfer_id),
    )


def accounts(
    market: Annotated[str, typer.Option(help="One market, or all.")] = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """Show what the accounts are in the registry, and whom they trust."""

    async def work(client: Client) -> None:
        found = (await client.accounts(market)).accounts
        table = make_table(
            "Accounts", "market", "account", "type", "EUTL", "two persons", "blocks",
            "representatives", "trusts", "bound to", "confirmed",
        )  # fmt: skip
        for row in found:
            table.add_row(
                row.market,
                str(row.account),
                row.account_type,
                row.eutl_code,
                "yes" if row.needs_two else "",
                ", ".join(f"{item.block_id} {item.reference}" for item in row.blocks),
                ", ".join(row.representatives),
                ", ".join(
                    f"{item.account} from {utc(item.effective_ns)}"
                    if item.effective_ns
                    else f"{item.account} proposed by {item.proposed_by}"
                    for item in row.trusted
                ),
                f"{row.bound_market} {row.bound_account}" if row.bound_account else "",
                str(row.confirmed or ""),
            )
        show(table, found, as_json)

    with_client(key_file, work)


def transfers(
    market: Annotated[str, typer.Option(help="One market, or all.")] = "",
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """List the transfers and other acts that wait for approval or for their time."""

    async def work(client: Client) -> None:
        found = (await client.transfers(market)).transfers
        table = make_table(
            "What waits", ">transfer", "kind", "from", "to", "year", "symbol", ">tonnes", "state",
            "by", "due (UTC)", "cancel until (UTC)",
        )  # fmt: skip
        for row in found:
            table.add_row(
                str(row.transfer_id),
                row.kind,
                str(row.account),
                str(row.to_account) if row.kind == "TRANSFER" else "",
                str(row.year or ""),
                row.symbol,
                f"{row.quantity:,}",
                row.state,
                row.given_by,
                utc(row.due_ns),
                utc(row.cancel_until_ns),
            )
        show(table, found, as_json)

    with_client(key_file, work)
