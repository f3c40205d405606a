"""The text of an instruction to the registry, as the NOTE commands that follow it.

A cancellation says its beneficiary and its reason; what freezes, pledges or undoes says the key
that gave it and a reference or reason, so that the books name who it was: two lines each. What a
project is, and of which project credits are, is JSON.
"""

from __future__ import annotations

import msgspec

from exchange.messages import orders as body
from exchange.messages.frames import notes
from exchange.messages.reasons import EdgeReason, RegistryReason
from exchange.messages.registry import IssuanceDetails
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
    if isinstance(request, body.ApproveReversal):
        return _two_lines(key.id, "", "key")
    if isinstance(request, body.RegisterProject):
        return _json(request.details, "details")
    if isinstance(request, body.IssueUnits):
        return _issuance(request)
    if isinstance(request, body.SurrenderUnits):
        return notes(str(request.project)) if request.project else []
    if isinstance(request, REFERENCE_NEEDED + REFERENCE_ALLOWED):
        return _two_lines(key.id, request.reference, "reference")
    return []


def _issuance(request: body.IssueUnits) -> list[bytes]:
    if not request.project and request.period_from is None and request.period_to is None:
        return []
    if request.period_from is None or request.period_to is None:
        raise Refused(
            RegistryReason.PROJECT_INVALID, "credits of a project name period_from and period_to"
        )
    told = IssuanceDetails(request.project, request.period_from, request.period_to)
    return _json(told, "project and period")


def _json(value: msgspec.Struct, name: str) -> list[bytes]:
    data = msgspec.json.encode(value)
    if len(data) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{name}: {len(data)} bytes as JSON, the limit is {NOTE_BYTES_MAX}",
        )
    return notes(data.decode())


def _two_lines(first: str, second: str, name: str) -> list[bytes]:
    is_plain = "\n" not in first + second and (first + second).isprintable()
    text = f"{first}\n{second}"
    if not is_plain or len(text.encode()) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{name}: printable text of one line each, together at most {NOTE_BYTES_MAX} bytes",
        )
    return notes(text)
