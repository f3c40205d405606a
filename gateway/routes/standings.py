"""What accounts are in the registry, and the transfers that wait."""

from __future__ import annotations

from exchange.settings import PAGE_MAX
from gateway.replies.standings import (
    AccountList,
    AccountRow,
    BlockRow,
    TransferList,
    TransferRow,
    TrustedRow,
)
from gateway.routes.accounts import MarketQuery, views
from gateway.routes.table import Call, Reply, Route
from gateway.views.standings import AccountStanding

OF_A_YEAR = ("SURRENDER", "ISSUE", "ALLOCATE")
"""Acts that wait whose argument is a year."""


async def get_accounts(call: Call) -> Reply:
    """Types, representatives, trusted lists, blocks and bindings."""
    rows = []
    for view in views(call.context, call.query.market):
        code = view.market.code
        visible = call.context.visible_accounts(call.key, code)
        rows += [
            _row(
                code,
                item.id,
                item.name,
                view.standings.accounts.get(item.id) or AccountStanding(),
            )
            for item in call.context.venue.accounts_of(code)
            if item.id in visible
        ]
    return Reply(AccountList(rows[:PAGE_MAX]))


def _row(market: str, account: int, name: str, standing: AccountStanding) -> AccountRow:
    listed = [TrustedRow(other, since) for other, since in sorted(standing.trusted.items())]
    listed += [TrustedRow(other, 0, key) for other, key in sorted(standing.proposed.items())]
    return AccountRow(
        market,
        account,
        name,
        standing.account_type,
        standing.eutl_code,
        standing.needs_two,
        "; ".join(item.text for item in standing.blocks.values()),
        standing.bound_market,
        standing.bound_account,
        sorted(standing.representatives),
        listed,
        standing.confirmed,
        [
            BlockRow(number, item.text, item.given_by, item.effective_ns)
            for number, item in standing.blocks.items()
        ],
    )


async def get_transfers(call: Call) -> Reply:
    """Transfers that wait for approval or for their time, and other acts that wait for a second."""
    rows = []
    for view in views(call.context, call.query.market):
        code = view.market.code
        symbols = {item.id: item.symbol for item in call.context.venue.instruments_of(code)}
        visible = call.context.visible_accounts(call.key, code)
        rows += [
            TransferRow(
                code,
                item.instruction_id,
                item.account_id,
                item.to_account,
                symbols.get(item.instrument_id, str(item.instrument_id)),
                item.quantity,
                item.state,
                item.given_by,
                item.approved_by,
                item.due_ns,
                item.cancel_until_ns,
                item.kind,
                item.argument if item.kind in OF_A_YEAR else 0,
                item.argument if item.kind == "UNBLOCK_ACCOUNT" else 0,
            )
            for item in view.standings.transfers.values()
            if item.account_id in visible or item.to_account in visible
        ]
    return Reply(TransferList(rows[:PAGE_MAX]))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/accounts", "What the accounts are in the registry", get_accounts, AccountList,
          query=MarketQuery),
    Route("GET", "/transfers", "Transfers and other acts that wait", get_transfers, TransferList,
          query=MarketQuery),
)  # fmt: skip
