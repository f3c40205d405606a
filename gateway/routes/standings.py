"""What accounts are in the registry, and the transfers that wait."""

from __future__ import annotations

import msgspec

from exchange.settings import PAGE_MAX
from gateway.routes.accounts import MarketQuery, views
from gateway.routes.table import Call, Reply, Route
from gateway.standings import AccountStanding


class TrustedRow(msgspec.Struct, frozen=True):
    """An account on a trusted list, or proposed for it."""

    account: int
    effective_ns: int  # it counts from then on, ns UTC; 0: proposed, not approved
    proposed_by: str = ""  # the key that cannot approve it


class AccountRow(msgspec.Struct, frozen=True):
    """An account of the registry."""

    market: str
    account: int
    name: str
    account_type: str  # a code of the rulebook; "" = never told
    eutl_code: str
    needs_two: bool  # a second person approves transfers, and what the registry names
    block: str  # reference of the block; "" = not blocked
    bound_market: str  # of the account in the other registry
    bound_account: int  # 0 = none
    representatives: list[str]  # ids of their keys
    trusted: list[TrustedRow]
    confirmed: int = 0  # the last year for which its data were confirmed; 0 = never


class AccountList(msgspec.Struct, frozen=True):
    """The accounts that the key sees."""

    accounts: list[AccountRow]


class TransferRow(msgspec.Struct, frozen=True):
    """A transfer that waits, or a surrender, issuance or allocation that needs a second person."""

    market: str
    transfer_id: int  # its instruction id: what an approval or a cancel names
    account: int
    to_account: int
    symbol: str
    quantity: int
    state: str  # PROPOSED: another person has to approve it; WAITING: for its time
    given_by: str
    approved_by: str
    due_ns: int  # carried out then, or (PROPOSED) forgotten then
    cancel_until_ns: int
    kind: str = "TRANSFER"  # or SURRENDER, ISSUE, ALLOCATE
    year: int = 0  # of these: compliance year, vintage or monitoring year


class TransferList(msgspec.Struct, frozen=True):
    """What waits from or to the accounts that the key sees, oldest first."""

    transfers: list[TransferRow]


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
        standing.block,
        standing.bound_market,
        standing.bound_account,
        sorted(standing.representatives),
        listed,
        standing.confirmed,
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
                item.argument,
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
