"""Who may do what: one table of actions and roles. What has no row is allowed to nobody.

`public` needs no signature. `participant` acts for its own accounts; `operator` runs the market and
sees all accounts; `compliance` sets obligations, surrenders, and sees all accounts. Both carry out
what a court or the authority decides about units: an owner can neither freeze nor unfreeze.
"""

from __future__ import annotations

from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from gateway.refusal import Refused

PUBLIC = frozenset({"public"})
TRADERS = frozenset({"participant"})
OPERATORS = frozenset({"operator"})
COMPLIANCE = frozenset({"compliance"})
REGISTRANTS = TRADERS | COMPLIANCE
AUTHORITIES = OPERATORS | COMPLIANCE
EVERY_KEY = TRADERS | OPERATORS | COMPLIANCE

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
    "GET /limits": EVERY_KEY,
    "GET /session": EVERY_KEY,
    "GET /orders": EVERY_KEY,
    "GET /orders/{id:str}": EVERY_KEY,
    "GET /executions": EVERY_KEY,
    "GET /positions": EVERY_KEY,
    "GET /holdings": EVERY_KEY,
    "GET /instructions/{id:int}": EVERY_KEY,
    "GET /surrender-plan": EVERY_KEY,
    "GET /offset-headroom": EVERY_KEY,
    "GET /reversals": AUTHORITIES,
    "GET /settlements": EVERY_KEY,
    "GET /serials": AUTHORITIES,
    "GET /issuances/duplicates": AUTHORITIES,
    "GET /holdings/at": EVERY_KEY,
    "POST /orders": TRADERS,
    "PUT /orders/{id:str}": TRADERS,
    "DELETE /orders/{id:str}": TRADERS,
    "POST /instructions": EVERY_KEY,
    "POST /operations/phase": OPERATORS,
    "POST /operations/day-roll": OPERATORS,
    "POST /operations/cash-deposit": OPERATORS,
    "POST /operations/reference-price": OPERATORS,
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
    "SetObligation": COMPLIANCE,
    "FreezeUnits": AUTHORITIES,
    "UnfreezeUnits": AUTHORITIES,
    "PledgeUnits": TRADERS,
    "ReleasePledge": TRADERS,
    "EnforcePledge": TRADERS,
    "ProposeReversal": AUTHORITIES,
    "ApproveReversal": AUTHORITIES,
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
    """Market operations and compliance see every account; a participant sees its own."""
    return key.role != "participant"
