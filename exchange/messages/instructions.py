"""Bodies of instructions to the registry and to settlement, like those of `orders`."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from exchange.messages.orders import Body
from exchange.messages.registry import ProjectDetails

GroupWord = Literal["stationary", "new_entrant", "aircraft", "quebec"]
StageWord = Literal["provisional", "final"]
MethodWord = Literal["grandfathering", "benchmarking", "equal_to_emissions", "intensity"]

AS_BEFORE = 2  # argument of SET_ACCOUNT_TYPE: as many persons as now; 1 = two, 0 = one


class UnitsBody(Body, frozen=True, kw_only=True):
    """An instruction about units of one instrument in one account."""

    symbol: str
    account: int
    quantity: int | str
    client_order_id: str = ""  # the sender's label, handed back


class IssueUnits(UnitsBody, frozen=True, kw_only=True):
    """New units to an account (operator). `year`: vintage or monitoring year.

    Credits name the project and the days of the reductions, which lie in that year.
    """

    year: int
    project: int = 0
    period_from: dt.date | None = None  # of credits: first day of the reductions
    period_to: dt.date | None = None  # of credits: last day of the reductions


class DepositUnits(UnitsBody, frozen=True, kw_only=True):
    """From the registry position to the trading position."""


class ReleaseUnits(UnitsBody, frozen=True, kw_only=True):
    """From the trading position back to the registry position."""


class TransferUnits(UnitsBody, frozen=True, kw_only=True):
    """Between registry positions of two accounts of the market."""

    to_account: int


class SurrenderUnits(UnitsBody, frozen=True, kw_only=True):
    """Units given up for a compliance year; credits may be those of one project.

    `for_account` is another whose obligation they are for: one for which the account, a province's,
    holds them, or one that is frozen, where the rules let others help it.
    """

    year: int
    project: int = 0  # 0 = of any
    for_account: int = 0  # 0 = the account's own


class CancelUnits(UnitsBody, frozen=True, kw_only=True):
    """Voluntary cancellation, for good, with a beneficiary and a reason."""

    beneficiary: str  # for whom they are cancelled, as the certificate names it
    reason: str


class FreezeUnits(UnitsBody, frozen=True, kw_only=True):
    """The authority freezes units of an account's registry position; `reference`: the court's."""

    reference: str


class UnfreezeUnits(UnitsBody, frozen=True, kw_only=True):
    """The authority gives frozen units back to the account's registry position: two persons do.

    With `held_for`, what the account, a province's, holds for an entity goes to that one instead,
    at once, when what it owes is met.
    """

    reference: str
    held_for: int = 0  # number of the entity's account for which they are held; 0 = of nobody


class PledgeUnits(UnitsBody, frozen=True, kw_only=True):
    """The owner pledges units of its registry position to a lender."""

    lender_account: int  # number of the account of the lender in the same market
    reference: str = ""  # of the loan


class ReleasePledge(UnitsBody, frozen=True, kw_only=True):
    """The lender (`account`) gives pledged units back to their owner."""

    owner_account: int
    reference: str = ""


class EnforcePledge(UnitsBody, frozen=True, kw_only=True):
    """The lender (`account`) takes units pledged to it, on the owner's default."""

    owner_account: int
    reference: str  # of the default


class ProposeReversal(UnitsBody, frozen=True, kw_only=True):
    """Undo a whole surrender or cancellation (authority); another person has to approve it."""

    original_id: int  # the instruction to be undone
    reason: str


class ApproveReversal(UnitsBody, frozen=True, kw_only=True):
    """Carries out a proposed reversal (authority; not who proposed it)."""

    proposal_id: int  # instruction id of the proposal


class ProjectAsked(ProjectDetails, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a project is, as it comes in: a word that is not known here is refused."""


class RegisterProject(UnitsBody, frozen=True, kw_only=True):
    """A project of credits (authority). `symbol` names the programme, `account` the owner's."""

    quantity: int | str = 0  # tonnes a year that it is expected to reduce
    project: int
    details: ProjectAsked  # what it is; words as the rulebook's rules have them


class ExchangeCredits(UnitsBody, frozen=True, kw_only=True):
    """Credits of `symbol` for as many allowances, where the scheme's rules exchange them."""

    allowance: str  # the symbol of the allowances


class SetEntitlement(UnitsBody, frozen=True, kw_only=True):
    """The group of an account by whose rules it uses credits (authority).

    `quantity` is the base of an entitlement to exchange them, tonnes; emissions of the period need
    none. `symbol` names an allowance of the scheme.
    """

    group: GroupWord  # stationary, new_entrant, aircraft, or quebec
    quantity: int | str = 0


class ReportEmissions(UnitsBody, frozen=True, kw_only=True):
    """An emitter's emissions of a year, tonnes. `symbol` names an allowance of the scheme."""

    year: int
    sector: str = ""  # as the scheme's rules name it


class VerifyEmissions(UnitsBody, frozen=True, kw_only=True):
    """Confirms or corrects what was reported (verifier, not of the emitter's participant)."""

    year: int


class AllocateUnits(UnitsBody, frozen=True, kw_only=True):
    """Allowances of a year, issued into an account (authority): what is decided, tonnes.

    `base` is the figure on which a provisional allocation rests, where the registry has none;
    `balance` and `intensity`, millionths of a tonne a unit of output, are for the method intensity.
    `held_by` is the account of the province that holds them for an entity at risk.
    """

    year: int
    stage: StageWord  # provisional: before emissions are verified; final: after
    method: MethodWord  # how the figure was found; the rulebook says which a scheme knows
    sector: str = ""  # of the entity, as the rulebook names sectors; "" = as reported
    base: int = 0  # on which a provisional one rests, where the registry has none; 0 = none
    balance: int = 0  # of the sector, millionths of a tonne a unit of output; 0 = not by intensity
    intensity: int = 0  # of the entity, millionths of a tonne a unit of output
    held_by: int = 0  # 0 = they go to the account


class AssessYear(Body, frozen=True, kw_only=True):
    """What was owed for a year, what was given, and what follows (authority), after its last day.

    `price` is the average that the rule names as the base of its fine, in currency units; `due`
    the last day for surrender, ISO, where the rulebook knows none.
    """

    symbol: str  # an allowance of the scheme; a forced surrender takes these
    account: int
    year: int
    price: str = ""
    due: str = ""  # last day for surrender, ISO date; "" = as the rulebook has it
    client_order_id: str = ""


class ApplyCarryOver(UnitsBody, frozen=True, kw_only=True):
    """Asks that old allowances become those of `symbol`, of the vintage `year`."""

    year: int


class CarryOver(UnitsBody, frozen=True, kw_only=True):
    """Carries out what an account applied for (authority)."""

    application_id: int  # instruction id of the application


class AccountBody(Body, frozen=True, kw_only=True):
    """An instruction about an account itself; `symbol`: any instrument of its market and scheme."""

    symbol: str
    account: int
    client_order_id: str = ""


class SetAccountType(AccountBody, frozen=True, kw_only=True):
    """What kind of account it is (authority): a code of the rulebook, or the EUTL's.

    To end the need of two persons is an act that waits for a second one itself.
    """

    account_type: str  # a code of the rulebook, or of the EUTL such as 100-7
    needs_two: bool | None = None  # a second person approves what leaves it; null = as before


class AppointRepresentative(AccountBody, frozen=True, kw_only=True):
    """A key may act for the account in the registry (authority)."""

    representative: str  # id of the key


class DismissRepresentative(AccountBody, frozen=True, kw_only=True):
    """A key may no longer act for the account in the registry (authority)."""

    representative: str  # id of the key


class BlockAccount(AccountBody, frozen=True, kw_only=True):
    """Nothing leaves the account or comes to it by instruction (authority), until it has ended.

    Each block is a measure of its own: the account is free when the last has ended.
    """

    reference: str


class UnblockAccount(AccountBody, frozen=True, kw_only=True):
    """Ends a block (authority), when a second person of an office has approved; others stand."""

    reference: str
    block_id: int = 0  # the instruction that set it; 0: the only one there is


class ConfirmAccount(AccountBody, frozen=True, kw_only=True):
    """The data of the account are complete, up to date and true (a representative, each year)."""

    year: int  # for which; where nobody confirms by the registry's day, the account is blocked


class ProposeTrust(AccountBody, frozen=True, kw_only=True):
    """Asks to put an account on the trusted list; another representative has to approve it."""

    trusted_account: int


class ApproveTrust(AccountBody, frozen=True, kw_only=True):
    """Puts a proposed account on the trusted list; it counts some working days later."""

    trusted_account: int


class RemoveTrust(AccountBody, frozen=True, kw_only=True):
    """Takes an account off the trusted list, or a proposal back, at once."""

    trusted_account: int


class ApproveTransfer(UnitsBody, frozen=True, kw_only=True):
    """Approves what another person proposed and waits, repeating symbol and quantity.

    A transfer or surrender: another representative's. An issuance, an allocation, or a surrender
    that the authority gave: another operator's or authority's, as who proposed it is.
    """

    transfer_id: int  # instruction id of what waits
    quantity: int | str = 0  # tonnes; an allocation may be of none


class CancelTransfer(AccountBody, frozen=True, kw_only=True):
    """Cancels a transfer, or another act that waits; by the side that may approve it."""

    transfer_id: int  # instruction id of what waits, from GET /transfers


class BindAccount(AccountBody, frozen=True, kw_only=True):
    """Binds an account to the one of the other registry with which credits are surrendered."""

    bound_account: int  # 0: ends the binding
    bound_market: str  # code of the market of the other registry


class TradeBody(UnitsBody, frozen=True, kw_only=True):
    """About a trade: `account` is a party of it, `symbol` and `quantity` are its own."""

    trade_id: int


class FailSettlement(TradeBody, frozen=True, kw_only=True):
    """A trade that is due cannot be settled (authority); both legs stay held."""

    reason: str


class ObjectToTrade(TradeBody, frozen=True, kw_only=True):
    """A party objects to a trade before its cut-off; none is an acceptance."""

    reason: str


class RetrySettlement(TradeBody, frozen=True, kw_only=True):
    """A failed trade is settled after all (authority)."""

    reason: str


class VoidTrade(TradeBody, frozen=True, kw_only=True):
    """A trade that failed too long ago: both legs go back (authority)."""

    reason: str


class ProposeTradeCancel(TradeBody, frozen=True, kw_only=True):
    """Cancel a trade, settled or not (authority); another person has to approve it."""

    reason: str


class ApproveTradeCancel(UnitsBody, frozen=True, kw_only=True):
    """Carries out a proposed cancellation (authority; not who proposed it)."""

    proposal_id: int  # instruction id of the proposal


Instruction = (
    IssueUnits
    | DepositUnits
    | ReleaseUnits
    | TransferUnits
    | SurrenderUnits
    | CancelUnits
    | FreezeUnits
    | UnfreezeUnits
    | PledgeUnits
    | ReleasePledge
    | EnforcePledge
    | ProposeReversal
    | ApproveReversal
    | RegisterProject
    | ExchangeCredits
    | SetEntitlement
    | ReportEmissions
    | VerifyEmissions
    | AllocateUnits
    | AssessYear
    | ApplyCarryOver
    | CarryOver
    | SetAccountType
    | AppointRepresentative
    | DismissRepresentative
    | BlockAccount
    | UnblockAccount
    | ConfirmAccount
    | ProposeTrust
    | ApproveTrust
    | RemoveTrust
    | ApproveTransfer
    | CancelTransfer
    | BindAccount
    | FailSettlement
    | ObjectToTrade
    | RetrySettlement
    | VoidTrade
    | ProposeTradeCancel
    | ApproveTradeCancel
)
