"""The text of an instruction to the registry, as the NOTE commands that follow it.

A cancellation says its beneficiary and its reason; what freezes, pledges or undoes says the key
that gave it and a reference or reason, so that the books name who it was. So do those about an
account, and a transfer: two lines each. An issuance and a surrender begin with a line that says the
key. What a project is, and of which project credits are, is JSON. The steps of a compliance year
say the key, and what else they need as a name and a value a line. What a second person may have to
approve says the person beside the key (`exchange.reference.signers`).
"""

from __future__ import annotations

from typing import get_args

import msgspec

from exchange.messages import instructions
from exchange.messages.frames import notes
from exchange.messages.reasons import EdgeReason, RegistryReason, SettlementReason
from exchange.messages.registry import IssuanceDetails
from exchange.reference.venue import Key, Market
from exchange.settings import NOTE_BYTES_MAX
from gateway.entry.decimals import INT64_MAX, to_minor
from gateway.refusal import Refused

YearStep = (
    instructions.ReportEmissions
    | instructions.VerifyEmissions
    | instructions.AllocateUnits
    | instructions.AssessYear
    | instructions.ApplyCarryOver
    | instructions.ExchangeCredits
    | instructions.SetEntitlement
    | instructions.CarryOver
)
YEAR_STEPS = get_args(YearStep)
ALLOCATION_WORDS = ("stage", "method", "sector", "base", "balance", "intensity", "held_by")
REFERENCE_NEEDED = (
    instructions.FreezeUnits,
    instructions.UnfreezeUnits,
    instructions.EnforcePledge,
    instructions.BlockAccount,
    instructions.UnblockAccount,
)
KEY_ONLY = (instructions.RemoveTrust, instructions.ConfirmAccount)
BY_A_PERSON = (
    instructions.TransferUnits,
    instructions.ProposeTrust,
    instructions.ApproveTrust,
    instructions.ApproveReversal,
    instructions.ApproveTradeCancel,
)
BY_A_SIDE = (instructions.ApproveTransfer, instructions.CancelTransfer)
"""Said with the role of who gives it: the side that proposed decides."""
REFERENCE_ALLOWED = (instructions.PledgeUnits, instructions.ReleasePledge)


def instruction_notes(key: Key, request: instructions.Instruction, market: Market) -> list[bytes]:
    """The NOTE commands of a request, [] for most kinds; Refused when its text is no such text."""
    if isinstance(request, YEAR_STEPS):
        is_for_two = isinstance(request, instructions.AllocateUnits)
        by = key.signer if is_for_two else key.id
        return _words(by, _words_of(key, request, market))
    if isinstance(request, instructions.CancelUnits):
        if not (request.beneficiary.strip() and request.reason.strip()):
            raise Refused(RegistryReason.BENEFICIARY_MISSING)
        return _two_lines(request.beneficiary, request.reason, "beneficiary and reason")
    if isinstance(request, REFERENCE_NEEDED) and not request.reference.strip():
        raise Refused(RegistryReason.REFERENCE_MISSING)
    if isinstance(request, instructions.ProposeReversal):
        if not request.reason.strip():
            raise Refused(RegistryReason.REFERENCE_MISSING)
        return _two_lines(key.signer, request.reason, "reason")
    if isinstance(request, instructions.UnblockAccount) or (
        isinstance(request, instructions.UnfreezeUnits) and not request.held_for
    ):
        return _lines("reference", key.signer, request.reference, key.role)
    if isinstance(request, instructions.SetAccountType):
        return _lines("account_type", key.signer, request.account_type, key.role)
    if isinstance(request, instructions.AppointRepresentative | instructions.DismissRepresentative):
        return _two_lines(key.id, request.representative, "representative")
    if isinstance(request, instructions.BindAccount):
        return _two_lines(key.id, request.bound_market, "bound_market")
    if isinstance(request, instructions.TradeBody):
        reason: str = getattr(request, "reason", "")
        if not reason.strip():
            raise Refused(SettlementReason.WORDS_MISSING)
        is_for_two = isinstance(request, instructions.ProposeTradeCancel)
        return _two_lines(key.signer if is_for_two else key.id, reason, "reason")
    if isinstance(request, BY_A_SIDE):
        return _two_lines(key.signer, "" if key.role == "participant" else key.role, "key")
    if isinstance(request, BY_A_PERSON):
        return _two_lines(key.signer, "", "key")
    if isinstance(request, KEY_ONLY):
        return _two_lines(key.id, "", "key")
    if isinstance(request, instructions.RegisterProject):
        return _json(request.details, "details")
    if isinstance(request, instructions.IssueUnits):
        return _signed(key, _issuance(request))
    if isinstance(request, instructions.SurrenderUnits):
        return _signed(key, _surrender(request))
    if isinstance(request, REFERENCE_NEEDED + REFERENCE_ALLOWED):
        return _two_lines(key.id, request.reference, "reference")
    return []


def _signed(key: Key, text: str) -> list[bytes]:
    """A text behind the line that says who gave it, and for whom: the registry may ask."""
    line = f"{'by' if key.role == 'participant' else key.role} {key.signer}"
    whole = f"{line}\n{text}" if text else line
    if "\n" in line or not line.isprintable() or len(whole.encode()) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"the key and what it says are {len(whole.encode())} bytes of text, the limit is "
            f"{NOTE_BYTES_MAX} printable ones",
        )
    return notes(whole)


def _surrender(request: instructions.SurrenderUnits) -> str:
    if not 0 <= request.for_account <= INT64_MAX // 16:
        raise Refused(EdgeReason.INVALID_FIELD, f"for_account: {request.for_account}")
    if request.for_account and request.project:
        raise Refused(EdgeReason.INVALID_FIELD, "for_account: credits are surrendered by their own")
    if request.for_account:
        return f"for {request.for_account}"
    return str(request.project) if request.project else ""


def _issuance(request: instructions.IssueUnits) -> str:
    if not request.project and request.period_from is None and request.period_to is None:
        return ""
    if request.period_from is None or request.period_to is None:
        raise Refused(
            RegistryReason.PROJECT_INVALID, "credits of a project name period_from and period_to"
        )
    told = IssuanceDetails(request.project, request.period_from, request.period_to)
    return msgspec.json.encode(told).decode()


def _json(value: msgspec.Struct, name: str) -> list[bytes]:
    data = msgspec.json.encode(value)
    if len(data) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{name}: {len(data)} bytes as JSON, the limit is {NOTE_BYTES_MAX}",
        )
    return notes(data.decode())


def _words_of(key: Key, request: YearStep, market: Market) -> dict[str, str]:
    """What a step of a compliance year says besides its command."""
    words: dict[str, str | int]
    match request:
        case instructions.ReportEmissions():
            words = {"sector": request.sector}
        case instructions.SetEntitlement():
            words = {"group": request.group}
        case instructions.VerifyEmissions():
            words = {"participant": key.participant}
        case instructions.AllocateUnits():
            words = {name: getattr(request, name) for name in ALLOCATION_WORDS}
        case instructions.AssessYear():
            price = to_minor(request.price, market.minor_digits) if request.price else 0
            words = {"price": price, "due": request.due}
        case _:
            words = {}
    for name, value in words.items():
        if isinstance(value, int) and not 0 <= value <= INT64_MAX // 16:
            raise Refused(EdgeReason.INVALID_FIELD, f"{name}: {value} is out of range")
    return {name: str(value) for name, value in words.items() if value}


def _words(by: str, words: dict[str, str]) -> list[bytes]:
    text = "\n".join([by, *(f"{name} {value}" for name, value in words.items())])
    is_plain = all(line.isprintable() for line in text.split("\n"))
    is_whole = text.count("\n") == len(words)
    if not is_plain or not is_whole or len(text.encode()) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{', '.join(words)}: printable text of one line each, together at most "
            f"{NOTE_BYTES_MAX} bytes",
        )
    return notes(text)


def _two_lines(first: str, second: str, name: str) -> list[bytes]:
    return _lines(name, first, second)


def _lines(name: str, *texts: str) -> list[bytes]:
    is_plain = all("\n" not in text and text.isprintable() for text in texts)
    text = "\n".join(texts)
    if not is_plain or len(text.encode()) > NOTE_BYTES_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"{name}: printable text of one line each, together at most {NOTE_BYTES_MAX} bytes",
        )
    return notes(text)
