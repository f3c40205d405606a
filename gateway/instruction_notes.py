"""The text of an instruction to the registry, as the NOTE commands that follow it.

A cancellation says its beneficiary and its reason; what freezes, pledges or undoes says the key
that gave it and a reference or reason, so that the books name who it was. Two lines each.
"""

from __future__ import annotations

from exchange.messages import orders as body
from exchange.messages.frames import notes
from exchange.messages.reasons import EdgeReason, RegistryReason, SettlementReason
from exchange.reference.venue import Key
from exchange.settings import NOTE_BYTES_MAX
from gateway.refusal import Refused

REFERENCE_NEEDED = (body.FreezeUnits, body.UnfreezeUnits, body.EnforcePledge)
REFERENCE_ALLOWED = (body.PledgeUnits, body.ReleasePledge)


def instruction_notes(key: Key, request: body.Instruction) -> list[bytes]:
    """The NOTE commands of a request, [] for most kinds; Refused when its text is no such text."""
    if isinstance(request, body.CancelUnits):
        if not (request.beneficiary.strip() and request.reason.strip()):
            raise Refused(RegistryReason.BENEFICIARY_MISSING)
        return _two_lines(request.beneficiary, request.reason, "beneficiary and reason")
    if isinstance(request, REFERENCE_NEEDED) and not request.reference.strip():
        raise Refused(RegistryReason.REFERENCE_MISSING)
    if isinstance(request, body.ProposeReversal):
        if not request.reason.strip():
            raise Refused(RegistryReason.REFERENCE_MISSING)
        return _two_lines(key.id, request.reason, "reason")
    if isinstance(request, body.TradeBody):
        reason: str = getattr(request, "reason", "")
        if not reason.strip():
            raise Refused(SettlementReason.WORDS_MISSING)
        return _two_lines(key.id, reason, "reason")
    if isinstance(request, body.ApproveReversal | body.ApproveTradeCancel):
        return _two_lines(key.id, "", "key")
    if isinstance(request, REFERENCE_NEEDED + REFERENCE_ALLOWED):
        return _two_lines(key.id, request.reference, "reference")
    return []


def _two_lines(first: str, second: str, name: str) -> list[bytes]:
    is_plain = "\n" not in first + second and (first + second).isprintable()
    text = f"{first}\n{second}"
    if not is_plain or len(text.encode()) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{name}: printable text of one line each, together at most {NOTE_BYTES_MAX} bytes",
        )
    return notes(text)
