"""What the refusals of who may do what say; the rows of `reasons` from 540 on."""

from __future__ import annotations

from enum import IntEnum

from exchange.messages.reason_numbers import AccessReason

ACCESS_ROWS: tuple[tuple[IntEnum, int, bool, str], ...] = (
    (AccessReason.ADDRESS_NOT_ALLOWED, 403, False,
     "The key may not be used from this address. Use it from one of the networks in its "
     "`addresses`, or have them changed in the venue file."),
    (AccessReason.KEY_NOT_YET_VALID, 401, False,
     "The key's time has not begun. Use it from its `not_before` on."),
    (AccessReason.KEY_EXPIRED, 401, False,
     "The key's time is over. Ask market operations for a new key."),
    (AccessReason.KEY_REVOKED, 401, False,
     "The key was revoked or changed, and its connections were cut. Ask market operations; after "
     "a change, log on again."),
    (AccessReason.SCOPE_NOT_ALLOWED, 403, False,
     "The key lacks the scope that this needs. Use another key of the participant, or have the "
     "scope added in the venue file."),
    (AccessReason.LOGIN_FAILED, 401, False,
     "Name, password and code do not belong together, or the code was used before. Try again with "
     "the next code."),
    (AccessReason.LOGIN_LOCKED, 429, False,
     "Too many logins from this address failed, or of this name elsewhere. Wait as long as "
     "retry_after_ms says, or log in on a device on which you did before."),
    (AccessReason.NOT_LOGGED_IN, 401, False,
     "The login is over: nobody used it for too long, it reached its end, or it was ended. POST "
     "/login again."),
    (AccessReason.CSRF_TOKEN_MISSING, 403, False,
     "A request with a login's cookie that changes something carries the login's csrf_token in "
     "X-Exchange-CSRF."),
    (AccessReason.LOGINS_FULL, 503, False,
     "The gateway keeps no more logins. End one with POST /logout, or wait until one is over."),
    (AccessReason.UNKNOWN_PROPOSAL, 404, False,
     "The market has no such proposal. See GET /operations/proposals."),
    (AccessReason.PROPOSAL_OVER, 409, False,
     "The proposal was carried out, declined, or its time is over. Propose it anew."),
    (AccessReason.SAME_PERSON_APPROVES, 403, False,
     "Another person than the one who proposed has to approve."),
    (AccessReason.TWO_PERSONS_NEEDED, 403, False,
     "The whole market was halted: send POST /operations/resume, which another operator approves."),
    (AccessReason.SESSION_KILLED, 403, False,
     "Market operations stopped this session: only cancels are heard. Ask them to lift it."),
    (AccessReason.PROPOSALS_FULL, 503, False,
     "The market has as many open proposals as it keeps. Approve or decline some first."),
    (AccessReason.APPROVED_MEANWHILE, 409, False,
     "Another approval came between, and nothing was done by this one. Look at GET "
     "/operations/proposals and approve again."),
    (AccessReason.HEADERS_TOO_LARGE, 431, False,
     "The request has too many header lines, or too many bytes in them. Send fewer."),
    (AccessReason.ADDRESS_CONNECTIONS, 429, True,
     "Your address has as many connections as one address may have. Close unused ones."),
    (AccessReason.ORDER_TO_TRADE_EXCEEDED, 429, True,
     "The member's orders to trades of the day are above the limit (GET /order-to-trade), so it "
     "sends orders slowly until trades or the next day bring them down. Wait as long as "
     "retry_after_ms says; cancels go through."),
    (AccessReason.ALERT_NOT_OPEN, 409, False,
     "The alert stands so that this cannot be done with it: a closed one is opened again first. "
     "Look at GET /alerts."),
)  # fmt: skip
"""(reason, HTTP status, may it be sent again, text)"""
