"""Who may do what: one table of actions and roles. What has no row is allowed to nobody.

`public` needs no signature. `participant` acts for its own accounts, an emitter's among them;
`operator` runs the market and sees all accounts; `authority` allocates, assesses, surrenders, and
sees all accounts. Both carry out what a court or the authority decides about units: an owner can
neither freeze nor unfreeze. `verifier` verifies emissions and sees the compliance years of all
accounts, nothing else of them.
"""

from __future__ import annotations

from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
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
    "GET /ready": PUBLIC,
    "GET /time": PUBLIC,
    "GET /instruments": PUBLIC,
    "GET /phases": PUBLIC,
    "GET /book": PUBLIC,
    "GET /trades": PUBLIC,
    "GET /bars": PUBLIC,
    "GET /auctions": PUBLIC,
    "GET /closes": PUBLIC,
    "GET /limits": EVERY_KEY,
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
    # messages of the order-entry socket and of intake topics
    "LOGON": TRADERS,
    "INTAKE": TRADERS,
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
    "BindAccount": AUTHORITIES,
    "ProposeTrust": TRADERS,
    "ApproveTrust": TRADERS,
    "RemoveTrust": TRADERS,
    "ApproveTransfer": TRADERS,
    "CancelTransfer": TRADERS,
    "FailSettlement": AUTHORITIES,
    "ObjectToTrade": TRADERS,
    "RetrySettlement": AUTHORITIES,
    "VoidTrade": AUTHORITIES,
    "ProposeTradeCancel": AUTHORITIES,
    "ApproveTradeCancel": AUTHORITIES,
}


def allow(key: Key, action: str) -> None:
    """Refused (ROLE_NOT_ALLOWED) unless the key's role stands in the action's row."""
    roles = ROLES.get(action, frozenset())
    if key.role not in roles:
        wanted = " or ".join(sorted(roles)) or "nobody"
        raise Refused(
            EdgeReason.ROLE_NOT_ALLOWED, f"{action} is for {wanted}; key {key.id} is {key.role}"
        )


def sees_all_accounts(key: Key) -> bool:
    """Market operations and the authority see every account; others see their own."""
    return key.role in AUTHORITIES


def sees_instruction(key: Key, kind: str) -> bool:
    """Whether a key sees instructions of a kind whosever they are: a verifier sees statements."""
    return sees_all_accounts(key) or (key.role in VERIFIERS and kind in STATEMENTS)
