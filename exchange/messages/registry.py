"""What the registry says on `registry`: one record for each record of `settlements` with an effect.

Serial numbers are integers inside a programme (`CEA`, `EUA`, `CCER`, ...); `serial_text` of
`exchange.registry.blocks` prints them. A range is inclusive at both ends.
"""

from __future__ import annotations

import datetime as dt

import msgspec


class ProjectDetails(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a project of credits is; words as the rulebook's rules have them, "" = not stated."""

    name: str  # of the project
    methodology: str = ""  # by which reductions are counted, as its programme names it
    project_type: str = ""  # wind, hydro_small, forestry, ...
    gas: str = ""  # CO2, CH4, N2O, ...
    region: str = ""  # CN-BJ, CN-GD:poor, ...
    host: str = ""  # "least_developed_country", or ""
    generation: str = ""  # of the programme
    registered_on: dt.date | None = None  # day of its registration; null = not stated
    in_operation_from: dt.date | None = None  # its first day; null = not stated
    covered_by: str = ""  # "scheme", "other_pilot": it is inside a covered entity
    co2_ch4_share_bp: int | None = None  # of its reductions, basis points; null = not stated
    flags: tuple[str, ...] = ()  # pre_cdm, unregistered, wcd_checked, ...: what rules ask for


class IssuanceDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which reductions credits stand for: project and period, both days inclusive."""

    project: int
    period_from: dt.date
    period_to: dt.date


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
    project: int = 0  # of credits; 0 = not stated
    period_from: int = 0  # YYYYMMDD, first and last day of the reductions; 0 = not stated
    period_to: int = 0
    vintage: int = 0  # of the units; 0 = not stated


class UnitsMoved(msgspec.Struct, frozen=True, array_like=True, tag=2, tag_field="k"):
    """Units changed account, position or both; `cause` is a trade, transfer or instruction id."""

    cause: str  # TRADE, DEPOSIT, RELEASE, TRANSFER, ... (gateway.views.holdings.MOVES)
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
    is_late: bool = False  # after the last day for the year


class UnitsCancelled(msgspec.Struct, frozen=True, array_like=True, tag=4, tag_field="k"):
    """Units cancelled for good, for a beneficiary and a reason."""

    instruction_id: int
    account_id: int
    instrument_id: int
    quantity: int
    beneficiary: str
    reason: str
    ranges: tuple[Range, ...]


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
    proposed_by: str  # the key, and its person in brackets where one is named
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
    approved_by: str  # another person, said likewise
    reason: str
    ranges: tuple[Range, ...]


class ProjectRegistered(msgspec.Struct, frozen=True, array_like=True, tag=5, tag_field="k"):
    """A project whose reductions may be issued as credits of a programme."""

    instruction_id: int
    account_id: int  # of its owner
    programme: str
    project: int  # its number, one a market
    details: ProjectDetails


class YearFigures(msgspec.Struct, frozen=True, array_like=True, tag=10, tag_field="k"):
    """An account's compliance year as it now is, tonnes; None = not yet."""

    instruction_id: int  # that changed it; 0: the end of the last day for surrender
    account_id: int
    scheme: str
    year: int
    sector: str
    reported: int | None
    verified: int | None
    provisional: int | None  # what was allocated first
    final: int | None  # what was allocated in the end, relief included
    deducted: int  # of the allocation, for a shortfall of the year before
    carried_in: int  # owed from the year before
    added: int  # owed besides: allocated too much and not given back, instruments of a penalty
    obligation: int | None  # all that is owed for the year; None: nothing is known
    closed: int  # of it, no longer asked for: carried to the next year or deducted there
    shortfall: int | None  # when the year was assessed
    deduction: int  # still to come off the next year's allocation


class EmissionsStated(msgspec.Struct, frozen=True, array_like=True, tag=11, tag_field="k"):
    """Emissions of a year: reported by the emitter, or verified by another."""

    instruction_id: int
    kind: str  # REPORT_EMISSIONS, VERIFY_EMISSIONS
    account_id: int
    scheme: str
    year: int
    quantity: int
    given_by: str  # a key
    is_late: bool


class UnitsAllocated(msgspec.Struct, frozen=True, array_like=True, tag=12, tag_field="k"):
    """Allowances of a year given to an account; `quantity` is what was decided, tonnes."""

    instruction_id: int
    account_id: int
    instrument_id: int
    scheme: str
    year: int
    stage: str  # provisional, final
    method: str
    quantity: int
    relief: int  # what a shortage adds to it
    deducted: int  # what a shortfall of the year before takes from it
    issued: int
    returned: int  # taken back of the provisional allocation
    added: int  # to be taken back, but gone: owed besides the emissions
    given_by: str
    is_late: bool
    ranges: tuple[Range, ...]  # issued


class AllocationReturned(msgspec.Struct, frozen=True, array_like=True, tag=13, tag_field="k"):
    """Units of a provisional allocation taken back, and cancelled."""

    instruction_id: int
    account_id: int
    instrument_id: int
    year: int
    quantity: int
    ranges: tuple[Range, ...]


class YearAssessed(msgspec.Struct, frozen=True, array_like=True, tag=14, tag_field="k"):
    """What was owed for a year and given, after its last day, and what follows. Minor units.

    A fine of an amount that the rulebook does not know is -1 from least to most, and the
    consequence says what is missing.
    """

    instruction_id: int  # 0: by itself, when the last day was over
    account_id: int
    scheme: str
    year: int
    obligation: int
    surrendered: int
    shortfall: int
    average_price: int  # the rule's base of the fine; 0: it needs none
    fine_min: int
    fine_max: int
    carried: int  # owed with the next year
    instruments_due: int
    forced: int  # surrendered by force
    deduction: int  # from the next allocation
    condition: str
    consequence: str
    due: str  # the last day, ISO
    given_by: str  # a key; "": by itself
    rule: str
    source: str


class CarryOverApplied(msgspec.Struct, frozen=True, array_like=True, tag=15, tag_field="k"):
    """An account asks that old allowances become new ones; nothing moved yet. Tonnes."""

    instruction_id: int
    account_id: int
    instrument_id: int  # the new ones
    quantity: int
    most: int  # what the rule allows
    sold: int
    bought: int
    position: int  # at the rule's instant
    process_by: str  # ISO
    given_by: str
    rule: str
    source: str


class UnitsCarriedOver(msgspec.Struct, frozen=True, array_like=True, tag=16, tag_field="k"):
    """Old allowances cancelled, and as many new ones issued."""

    instruction_id: int
    application_id: int
    account_id: int
    from_instrument: int
    instrument_id: int
    quantity: int
    given_by: str
    is_late: bool
    cancelled: tuple[Range, ...]
    ranges: tuple[Range, ...]  # issued


class EntitlementSet(msgspec.Struct, frozen=True, array_like=True, tag=17, tag_field="k"):
    """How many credits an account may exchange for allowances, by its group's rule."""

    instruction_id: int
    account_id: int
    scheme: str
    group: str
    base: int  # tonnes, of which the rule takes a share
    given_by: str


class CreditsExchanged(msgspec.Struct, frozen=True, array_like=True, tag=18, tag_field="k"):
    """Credits given up for good, and as many allowances issued for them."""

    instruction_id: int
    account_id: int
    instrument_id: int  # of the credits
    allowance_id: int
    quantity: int
    rule: str
    given_by: str
    cancelled: tuple[Range, ...]
    ranges: tuple[Range, ...]  # issued
    vintage: int = 0  # of the allowances; 0 = not stated


class AccountChanged(msgspec.Struct, frozen=True, array_like=True, tag=20, tag_field="k"):
    """What an account is, who represents it, whom it trusts, or to what it is bound."""

    instruction_id: int
    kind: str  # of the instruction
    account_id: int
    other_account: int  # trusted or bound; 0: none; CONFIRM_ACCOUNT: the year; UNBLOCK_ACCOUNT:
    # the block that ends, 0 of older ones: every one
    given_by: str  # the key
    text: str  # the type, the representative's key, the reference or the other registry's market
    eutl_code: str  # of a type
    effective_ns: int  # from when a trusted account counts; else when it was done
    needs_two: bool = False  # of a type: acts for which the registry asks for two persons wait


class TransferWaits(msgspec.Struct, frozen=True, array_like=True, tag=21, tag_field="k"):
    """A transfer was proposed or approved; its units lie apart until it is carried out.

    So does a surrender that needs two persons; an issuance or allocation has no units yet.
    """

    instruction_id: int  # of the transfer
    account_id: int
    to_account: int
    instrument_id: int
    quantity: int
    state: str  # PROPOSED: a second person has to approve it; WAITING: for its time
    given_by: str  # the key, and its person in brackets where one is named
    approved_by: str
    due_ns: int  # carried out then, or (PROPOSED) forgotten then
    cancel_until_ns: int
    approval_id: int  # the instruction that approved it; 0: none
    ranges: tuple[Range, ...]  # which came into the pending position by this; () on approval
    # or SURRENDER, ISSUE, ALLOCATE, SET_ACCOUNT_TYPE, UNFREEZE, UNBLOCK_ACCOUNT: what it then
    # does is told after it
    kind: str = "TRANSFER"
    argument: int = 0  # the year, of these; UNBLOCK_ACCOUNT: the block that ends


class TransferEnded(msgspec.Struct, frozen=True, array_like=True, tag=22, tag_field="k"):
    """The units left the pending position, to the receiver or back to the owner."""

    instruction_id: int  # of the transfer
    account_id: int
    to_account: int
    instrument_id: int
    quantity: int
    outcome: str  # DONE: to the receiver; CANCELLED, LAPSED, STOPPED: back to the owner
    text: str  # why it was stopped
    ended_by: int  # the instruction that ended it; 0: time, or its approval
    ranges: tuple[Range, ...]
    kind: str = "TRANSFER"


class CreditLot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Tonnes of credits of one project, and what the rules ask of them; "" = not stated."""

    project: int  # its number in the registry that keeps it; 0 = not stated
    quantity: int
    project_type: str = ""
    region: str = ""
    flags: tuple[str, ...] = ()  # pre_cdm, unregistered, wcd_checked, ...: what rules ask for


class OffsetSurrenderChanged(msgspec.Struct, frozen=True, array_like=True, tag=23, tag_field="k"):
    """A surrender of another registry's credits came a step further, here where it is owed."""

    instruction_id: int  # of the surrender
    account_id: int
    instrument_id: int
    year: int
    quantity: int
    state: str  # ASKED, BOOKED, RELEASING, DONE, FAILED
    credit_market: str
    credit_account: int
    is_counted: bool  # against the obligation and the cap
    rule: str = ""
    credits: tuple[CreditLot, ...] = ()  # once they are held there


class CreditsHeld(msgspec.Struct, frozen=True, array_like=True, tag=24, tag_field="k"):
    """Credits were frozen, retired or released for a surrender in another registry, or come back.

    When it is undone they are restored, and then returned, or kept as they were: retired.
    """

    instruction_id: int  # the request
    origin: str  # market of the surrender
    surrender_id: int  # its instruction id there
    account_id: int
    instrument_id: int
    quantity: int
    state: str  # FROZEN, RETIRED, RELEASED, REFUSED; RESTORED, RETURNED, KEPT
    ranges: tuple[Range, ...]


class OffsetReversalChanged(msgspec.Struct, frozen=True, array_like=True, tag=25, tag_field="k"):
    """Undoing a surrender of another registry's credits came a step further, where it counted."""

    instruction_id: int  # of the approval
    original_id: int  # the surrender
    proposal_id: int
    account_id: int
    instrument_id: int
    year: int
    quantity: int
    state: str  # ASKED, UNDONE, KEEPING, DONE, FAILED
    proposed_by: str
    approved_by: str  # another person, said likewise
    reason: str
    credits: tuple[CreditLot, ...] = ()


class SettlementActed(msgspec.Struct, frozen=True, array_like=True, tag=30, tag_field="k"):
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
    | InstructionRefused
    | EncumbranceChanged
    | ReversalProposed
    | UnitsReversed
    | ProjectRegistered
    | YearFigures
    | EmissionsStated
    | UnitsAllocated
    | AllocationReturned
    | YearAssessed
    | CarryOverApplied
    | UnitsCarriedOver
    | EntitlementSet
    | CreditsExchanged
    | AccountChanged
    | TransferWaits
    | TransferEnded
    | OffsetSurrenderChanged
    | CreditsHeld
    | OffsetReversalChanged
    | SettlementActed
)


class RegistryRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of `registry`."""

    version: int
    number: int  # 0, 1, 2, ... of the market
    settlement_number: int
    time_ns: int
    items: tuple[RegistryItem, ...]


def issued_by(item: RegistryItem) -> tuple[int, tuple[Range, ...]] | None:
    """Instrument and serials of units that an item brought into being; None: it brought none. O(1).

    Whoever proves that units are conserved counts these.
    """
    match item:
        case UnitsIssued() | UnitsAllocated() | UnitsCarriedOver():
            return item.instrument_id, item.ranges
        case CreditsExchanged():
            return item.allowance_id, item.ranges
        case _:
            return None
