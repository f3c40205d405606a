"""Who may do what: one table of actions, roles and scopes. What has no row is allowed to nobody.

`public` needs no signature. `participant` acts for its own accounts, an emitter's among them;
`operator` runs the market and sees all accounts; `authority` allocates, assesses, surrenders, and
sees all accounts. Both carry out what a court or the authority decides about units: an owner can
neither freeze nor unfreeze. `verifier` verifies emissions and sees the compliance years of all
accounts, nothing else of them.
"""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.reference.venue import SCOPES, Key, Scope
from gateway.refusal import Refused

PUBLIC = frozenset({"public"})
TRADERS = frozenset({"participant"})
OPERATORS = frozenset({"operator"})
AUTHORITY = frozenset({"authority"})
VERIFIERS = frozenset({"verifier"})
REGISTRANTS = TRADERS | AUTHORITY
AUTHORITIES = OPERATORS | AUTHORITY
HOLDERS = TRADERS | OPERATORS | AUTHORITY
EVERY_KEY = HOLDERS | VERIFIERS
STATEMENTS = frozenset({"REPORT_EMISSIONS", "VERIFY_EMISSIONS"})

ROLES: dict[str, frozenset[str]] = {
    "GET /": PUBLIC,
    "GET /console/{name:str}": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /health": PUBLIC,
    "GET /version": PUBLIC,
    "GET /ready": PUBLIC,
    "GET /time": PUBLIC,
    "POST /login": PUBLIC,
    "POST /logout": AUTHORITIES,
    "GET /instruments": PUBLIC,
    "GET /phases": PUBLIC,
    "GET /book": PUBLIC,
    "GET /trades": PUBLIC,
    "GET /bars": PUBLIC,
    "GET /marketdata": PUBLIC,
    "GET /auctions": PUBLIC,
    "GET /closes": PUBLIC,
    "GET /composites": PUBLIC,
    "GET /checkpoints": PUBLIC,
    "GET /limits": EVERY_KEY,
    "GET /order-to-trade": HOLDERS,
    "GET /session": EVERY_KEY,
    "GET /orders": HOLDERS,
    "GET /orders/{id:str}": HOLDERS,
    "GET /executions": HOLDERS,
    "GET /positions": HOLDERS,
    "GET /holdings": HOLDERS,
    "GET /instructions/{id:int}": EVERY_KEY,
    "GET /projects": EVERY_KEY,
    "GET /surrender-plan": HOLDERS,
    "GET /offset-headroom": HOLDERS,
    "GET /compliance-year": EVERY_KEY,
    "GET /reversals": AUTHORITIES,
    "GET /accounts": EVERY_KEY,
    "GET /transfers": EVERY_KEY,
    "GET /settlements": EVERY_KEY,
    "GET /alerts": AUTHORITIES,
    "GET /serials": AUTHORITIES,
    "GET /issuances/duplicates": AUTHORITIES,
    "GET /holdings/at": HOLDERS,
    "GET /blocks": HOLDERS,
    "POST /orders": TRADERS,
    "POST /mass-cancels": TRADERS,
    "POST /quotes": TRADERS,
    "POST /picks": TRADERS,
    "POST /blocks": TRADERS,
    "POST /blocks/confirmations": TRADERS,
    "PUT /orders/{id:str}": TRADERS,
    "DELETE /orders/{id:str}": TRADERS,
    "POST /auctions/bids": TRADERS,
    "POST /instructions": EVERY_KEY,
    "POST /operations/phase": OPERATORS,
    "POST /operations/day-roll": OPERATORS,
    "POST /operations/cash-deposit": OPERATORS,
    "POST /operations/reference-price": OPERATORS,
    "POST /operations/auction-open": OPERATORS,
    "POST /operations/auction-clear": OPERATORS,
    "POST /operations/auction-cancel": OPERATORS,
    "POST /operations/halt": OPERATORS,
    "POST /operations/resume": OPERATORS,
    "POST /operations/kill": OPERATORS,
    "POST /operations/lift": OPERATORS,
    "POST /operations/limit": OPERATORS,
    "POST /operations/alert": AUTHORITIES,
    "POST /operations/approve": OPERATORS,
    "POST /operations/decline": OPERATORS,
    "GET /operations/opening": AUTHORITIES,
    "GET /operations/proposals": OPERATORS,
    "GET /operations/acts": AUTHORITIES,
    # messages of the order-entry socket, of intake topics and of FIX
    "LOGON": TRADERS,
    "INTAKE": TRADERS,
    "FIX_LOGON": TRADERS,
    "NewOrderSingle": TRADERS,
    "OrderCancelRequest": TRADERS,
    "OrderCancelReplaceRequest": TRADERS,
    "OrderMassCancelRequest": TRADERS,
    "Quote": TRADERS,
    "PickOrder": TRADERS,
    "BlockProposal": TRADERS,
    "BlockConfirmation": TRADERS,
    "AuctionBid": TRADERS,
    # instructions, inside POST /instructions
    "IssueUnits": OPERATORS,
    "DepositUnits": TRADERS,
    "ReleaseUnits": TRADERS,
    "TransferUnits": TRADERS,
    "SurrenderUnits": REGISTRANTS,
    "CancelUnits": TRADERS,
    "FreezeUnits": AUTHORITIES,
    "UnfreezeUnits": AUTHORITIES,
    "PledgeUnits": TRADERS,
    "ReleasePledge": TRADERS,
    "EnforcePledge": TRADERS,
    "ProposeReversal": AUTHORITIES,
    "ApproveReversal": AUTHORITIES,
    "RegisterProject": AUTHORITIES,
    "ExchangeCredits": TRADERS,
    "SetEntitlement": AUTHORITY,
    "ReportEmissions": TRADERS,
    "VerifyEmissions": VERIFIERS,
    "AllocateUnits": AUTHORITY,
    "AssessYear": AUTHORITY,
    "ApplyCarryOver": TRADERS,
    "CarryOver": AUTHORITY,
    "SetAccountType": AUTHORITIES,
    "AppointRepresentative": AUTHORITIES,
    "DismissRepresentative": AUTHORITIES,
    "BlockAccount": AUTHORITIES,
    "UnblockAccount": AUTHORITIES,
    "ConfirmAccount": TRADERS,
    "BindAccount": AUTHORITIES,
    "ProposeTrust": TRADERS,
    "ApproveTrust": TRADERS,
    "RemoveTrust": TRADERS,
    "ApproveTransfer": HOLDERS,
    "CancelTransfer": HOLDERS,
    "FailSettlement": AUTHORITIES,
    "ObjectToTrade": TRADERS,
    "RetrySettlement": AUTHORITIES,
    "VoidTrade": AUTHORITIES,
    "ProposeTradeCancel": AUTHORITIES,
    "ApproveTradeCancel": AUTHORITIES,
}


SCOPE_RULES: tuple[tuple[str, frozenset[Scope]], ...] = (
    ("GET /session", frozenset(SCOPES)),
    ("GET /limits", frozenset(SCOPES)),
    ("POST /logout", frozenset(SCOPES)),
    ("GET /orders", frozenset({"read", "drop_copy"})),
    ("GET /executions", frozenset({"read", "drop_copy"})),
    ("GET /", frozenset({"read"})),
    ("POST /orders", frozenset({"trade"})),
    ("PUT /orders", frozenset({"trade"})),
    ("DELETE /orders", frozenset({"trade"})),
    ("POST /mass-cancels", frozenset({"trade"})),
    ("POST /quotes", frozenset({"trade"})),
    ("POST /picks", frozenset({"trade"})),
    ("POST /blocks", frozenset({"trade"})),
    ("POST /auctions/bids", frozenset({"trade"})),
    ("POST /instructions", frozenset({"registry"})),
    ("POST /operations/", frozenset({"operate"})),
    ("LOGON", frozenset({"trade", "drop_copy"})),
    ("FIX_LOGON", frozenset({"trade", "drop_copy"})),
    ("INTAKE", frozenset({"trade"})),
    ("NewOrderSingle", frozenset({"trade"})),
    ("Order", frozenset({"trade"})),
    ("Quote", frozenset({"trade"})),
    ("PickOrder", frozenset({"trade"})),
    ("BlockProposal", frozenset({"trade"})),
    ("BlockConfirmation", frozenset({"trade"})),
    ("AuctionBid", frozenset({"trade"})),
)
"""How an action begins, and the scopes of which a key needs one: the first that fits counts.

What fits none and has no space, is an instruction to the registry.
"""


class Row(NamedTuple):
    """Whose keys may do an action: any of the roles, and any of the scopes."""

    roles: frozenset[str]
    scopes: frozenset[Scope]


def scopes_of(action: str) -> frozenset[Scope]:
    """The scopes that allow an action; none for one that no rule knows. O(rules)."""
    for beginning, scopes in SCOPE_RULES:
        if action.startswith(beginning):
            return scopes
    return frozenset() if " " in action else frozenset({"registry"})


MATRIX: dict[str, Row] = {action: Row(roles, scopes_of(action)) for action, roles in ROLES.items()}
"""Every action with roles and scopes."""

_NOBODY = Row(frozenset(), frozenset())


def allow(key: Key, action: str) -> None:
    """Refused (ROLE_NOT_ALLOWED, SCOPE_NOT_ALLOWED) unless the action's row has the key's. O(1)."""
    row = MATRIX.get(action, _NOBODY)
    if key.role not in row.roles:
        wanted = " or ".join(sorted(row.roles)) or "nobody"
        raise Refused(
            EdgeReason.ROLE_NOT_ALLOWED, f"{action} is for {wanted}; key {key.id} is {key.role}"
        )
    if row.scopes.isdisjoint(key.scopes):
        raise Refused(
            AccessReason.SCOPE_NOT_ALLOWED,
            f"{action} is for {' or '.join(sorted(row.scopes))}; key {key.id} has "
            f"{', '.join(key.scopes) or 'none'}",
        )


def may(key: Key, action: str) -> bool:
    """Whether `allow` lets the action pass. O(1)."""
    row = MATRIX.get(action, _NOBODY)
    return key.role in row.roles and not row.scopes.isdisjoint(key.scopes)


def sees_all_accounts(key: Key) -> bool:
    """Market operations and the authority see every account; others see their own."""
    return key.role in AUTHORITIES


def sees_instruction(key: Key, kind: str) -> bool:
    """Whether a key sees instructions of a kind whosever they are: a verifier sees statements."""
    return sees_all_accounts(key) or (key.role in VERIFIERS and kind in STATEMENTS)
