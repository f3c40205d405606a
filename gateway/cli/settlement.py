"""Commands of settlement: where trades stand, what fails and is settled late, what is cancelled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from exchange.messages.instructions import (
    ApproveTradeCancel,
    FailSettlement,
    ObjectToTrade,
    ProposeTradeCancel,
    RetrySettlement,
    VoidTrade,
)
from gateway.cli.options import (
    Account,
    KeyFile,
    Quantity,
    Symbol,
    instruct,
    make_table,
    whole,
    with_client,
)
from gateway.cli.output import Json, show, show_json
from gateway.client import Client

SECOND_NS = 1_000_000_000

TradeId = Annotated[int, typer.Argument(help="The trade's id.", parser=whole, metavar="trade_id")]
Reason = Annotated[str, typer.Option(help="Why.")]
cancel_trade = typer.Typer(help="Cancel a trade, which takes two persons.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Adds the commands to the program."""
    for command in (settlements, fail_settlement, object_to_trade, retry_settlement, void_trade):
        app.command()(command)
    app.add_typer(cancel_trade, name="cancel-trade")


def settlements(
    market: Annotated[str, typer.Option(help="Code of the market.")],
    state: Annotated[str, typer.Option(help="DUE, FAILED, LATE, VOID, CANCELLED, ...")] = "",
    count: Annotated[int, typer.Option(help="How many, the newest.")] = 100,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """List trades that are settled later, and those that were cancelled."""

    async def work(client: Client) -> None:
        found = await client.settlements(market, state=state.upper(), limit=count)
        table = make_table(
            f"Settlements of {found.market}", ">trade", "symbol", ">tonnes", ">price", "from, to",
            "state", "due (UTC)",
        )  # fmt: skip
        for row in found.trades:
            table.add_row(
                str(row.trade_id),
                row.symbol,
                f"{row.quantity:,}",
                row.price,
                f"{row.seller_account or '?'}, {row.buyer_account or '?'}",
                row.state,
                _moment(row.due_ns),
            )
        show(table, found.trades, as_json)
        for item in found.proposals:
            if as_json:
                show_json(item)
                continue
            Console(highlight=False, markup=False).print(
                f"proposal {item.proposal_id}: cancel trade {item.trade_id}, by "
                f"{item.proposed_by}, until {_moment(item.expires_ns)}: {item.reason}"
            )

    with_client(key_file, work)


def fail_settlement(
    symbol: Symbol,
    quantity: Quantity,
    trade_id: TradeId,
    account: Account,
    reason: Reason,
    key_file: KeyFile = None,
) -> None:
    """Say that a trade which is due cannot be settled; both legs stay held."""
    instruct(
        key_file,
        FailSettlement(
            ref=0, symbol=symbol, account=account, quantity=quantity, trade_id=trade_id,
            reason=reason,
        ),
    )  # fmt: skip


def object_to_trade(
    symbol: Symbol,
    quantity: Quantity,
    trade_id: TradeId,
    account: Account,
    reason: Reason,
    key_file: KeyFile = None,
) -> None:
    """Object to a trade of your own before its cut-off."""
    instruct(
        key_file,
        ObjectToTrade(
            ref=0, symbol=symbol, account=account, quantity=quantity, trade_id=trade_id,
            reason=reason,
        ),
    )  # fmt: skip


def retry_settlement(
    symbol: Symbol,
    quantity: Quantity,
    trade_id: TradeId,
    account: Account,
    reason: Reason,
    key_file: KeyFile = None,
) -> None:
    """Settle a failed trade after all: late, when its cut-off has passed."""
    instruct(
        key_file,
        RetrySettlement(
            ref=0, symbol=symbol, account=account, quantity=quantity, trade_id=trade_id,
            reason=reason,
        ),
    )  # fmt: skip


def void_trade(
    symbol: Symbol,
    quantity: Quantity,
    trade_id: TradeId,
    account: Account,
    reason: Reason,
    key_file: KeyFile = None,
) -> None:
    """Void a trade that failed longer ago than the instrument's days; both legs go back."""
    instruct(
        key_file,
        VoidTrade(
            ref=0, symbol=symbol, account=account, quantity=quantity, trade_id=trade_id,
            reason=reason,
        ),
    )  # fmt: skip


@cancel_trade.command()
def propose(
    symbol: Symbol,
    quantity: Quantity,
    trade_id: TradeId,
    account: Account,
    reason: Reason,
    key_file: KeyFile = None,
) -> None:
    """Propose to cancel a trade; another person has to approve it."""
    instruct(
        key_file,
        ProposeTradeCancel(
            ref=0, symbol=symbol, account=account, quantity=quantity, trade_id=trade_id,
            reason=reason,
        ),
    )  # fmt: skip


@cancel_trade.command()
def approve(
    symbol: Symbol,
    quantity: Quantity,
    proposal_id: Annotated[
        int,
        typer.Argument(help="Instruction id of the proposal.", parser=whole, metavar="proposal_id"),
    ],
    account: Account,
    key_file: KeyFile = None,
) -> None:
    """Approve what another person proposed to cancel."""
    instruct(
        key_file,
        ApproveTradeCancel(
            ref=0, symbol=symbol, account=account, quantity=quantity, proposal_id=proposal_id
        ),
    )


def _moment(time_ns: int) -> str:
    if not time_ns:
        return ""
    return f"{datetime.fromtimestamp(time_ns // SECOND_NS, UTC):%Y-%m-%d %H:%M}"
