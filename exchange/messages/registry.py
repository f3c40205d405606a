"""What the registry says on `registry`: one record for each record of `settlements` with an effect.

Serial numbers are integers inside a programme (`CEA`, `EUA`, `CCER`, ...); `serial_text` of
`exchange.registry.blocks` prints them. A range is inclusive at both ends.
"""

from __future__ import annotations

import msgspec


class Range(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`last - first + 1` tonnes of one block."""

    block_id: int
    programme: str
    first: int
    last: int


class UnitsIssued(msgspec.Struct, frozen=True, array_like=True, tag=1, tag_field="k"):
    """New units in an account's registry position."""

    instruction_id: int
    account_id: int
    instrument_id: int
    ranges: tuple[Range, ...]


class UnitsMoved(msgspec.Struct, frozen=True, array_like=True, tag=2, tag_field="k"):
    """Units changed account, position or both; `cause` is a trade, transfer or instruction id."""

    cause: str  # TRADE, DEPOSIT, RELEASE, TRANSFER
    cause_id: int
    from_account: int
    to_account: int
    instrument_id: int
    ranges: tuple[Range, ...]


class UnitsSurrendered(msgspec.Struct, frozen=True, array_like=True, tag=3, tag_field="k"):
    """Units given up for a compliance year."""

    instruction_id: int
    account_id: int
    instrument_id: int
    year: int
    quantity: int
    ranges: tuple[Range, ...]


class UnitsCancelled(msgspec.Struct, frozen=True, array_like=True, tag=4, tag_field="k"):
    """Units cancelled for good, for a beneficiary and a reason."""

    instruction_id: int
    account_id: int
    instrument_id: int
    quantity: int
    beneficiary: str
    reason: str
    ranges: tuple[Range, ...]


class ObligationSet(msgspec.Struct, frozen=True, array_like=True, tag=5, tag_field="k"):
    """What an account must surrender for a year, tonnes."""

    instruction_id: int
    account_id: int
    year: int
    quantity: int


class InstructionRefused(msgspec.Struct, frozen=True, array_like=True, tag=6, tag_field="k"):
    """Nothing was done; the rule, its limit and its legal source say why."""

    instruction_id: int
    account_id: int
    reason: int  # messages.reasons.Reason
    text: str
    rule: str = ""
    source: str = ""


class EncumbranceChanged(msgspec.Struct, frozen=True, array_like=True, tag=7, tag_field="k"):
    """Units frozen or pledged, or the end of it; the owner's until a pledge is enforced."""

    instruction_id: int
    kind: str  # FREEZE, UNFREEZE, PLEDGE, RELEASE_PLEDGE, ENFORCE_PLEDGE
    account_id: int  # the owner
    lender_id: int  # 0: frozen, not pledged
    instrument_id: int
    quantity: int
    given_by: str  # the key
    reference: str  # the court's, the loan's
    ranges: tuple[Range, ...]


class ReversalProposed(msgspec.Struct, frozen=True, array_like=True, tag=8, tag_field="k"):
    """Somebody proposes to undo a surrender or cancellation; nothing moved yet."""

    instruction_id: int
    original_id: int  # the instruction to be undone
    account_id: int
    instrument_id: int
    quantity: int
    proposed_by: str  # a key
    reason: str
    expires_ns: int  # later it cannot be approved


class UnitsReversed(msgspec.Struct, frozen=True, array_like=True, tag=9, tag_field="k"):
    """A surrender or cancellation was undone: its units are back in the registry position."""

    instruction_id: int  # of the approval
    original_id: int
    proposal_id: int
    account_id: int
    instrument_id: int
    year: int  # of the surrender; 0: it was a cancellation
    quantity: int
    proposed_by: str
    approved_by: str  # another key
    reason: str
    ranges: tuple[Range, ...]


class SettlementActed(msgspec.Struct, frozen=True, array_like=True, tag=20, tag_field="k"):
    """An instruction to settlement was carried out; what moved is told in items of its own."""

    instruction_id: int
    account_id: int
    trade_id: int
    state: int  # the trade's, a `settlement.cycle.TradeState`


RegistryItem = (
    UnitsIssued
    | UnitsMoved
    | UnitsSurrendered
    | UnitsCancelled
    | ObligationSet
    | InstructionRefused
    | EncumbranceChanged
    | ReversalProposed
    | UnitsReversed
    | SettlementActed
)


class RegistryRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of `registry`."""

    version: int
    number: int  # 0, 1, 2, ... of the market
    settlement_number: int
    time_ns: int
    items: tuple[RegistryItem, ...]
