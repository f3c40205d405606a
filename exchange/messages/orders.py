"""What comes in at the edge: bodies of orders and of instructions to the registry.

These are the JSON bodies of REST, of the order-entry socket (where `type` names them) and of a
broker's intake topic. Unknown fields are refused. Prices and amounts are decimal strings, so that
no binary fraction is ever involved; quantities are whole tonnes. `gateway.order_entry` checks them
and makes the 64-byte commands of `orders`.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from exchange.messages.registry import ProjectDetails
from exchange.settings import RECEIVE_WINDOW_MS

SideWord = Literal["BUY", "SELL"]
OrderTypeWord = Literal["LIMIT", "MARKET", "STOP", "STOP_LIMIT"]
TimeInForceWord = Literal["DAY", "GTC", "GTD", "IOC", "FOK", "AT_THE_OPENING", "AT_THE_CLOSE"]
PostOnlyWord = Literal["", "REFUSE", "REPRICE"]
SelfTradeWord = Literal["", "CANCEL_NEWEST", "CANCEL_OLDEST", "CANCEL_BOTH", "DECREMENT"]
PhaseWord = Literal["CLOSED", "CONTINUOUS", "HALT"]


GroupWord = Literal["stationary", "new_entrant", "aircraft"]
StageWord = Literal["provisional", "final"]
MethodWord = Literal["grandfathering", "benchmarking", "equal_to_emissions", "intensity"]


class Body(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag=True,
    tag_field="type",
):  # fmt: skip
    """What every request carries: `ref`, strictly increasing in the key's session."""

    ref: int


class NewOrderSingle(Body, frozen=True, kw_only=True):
    """FIX 35=D: a new order; `matching/RULES.md` says which terms go with which type."""

    symbol: str
    account: int
    side: SideWord
    quantity: int | str  # tonnes; a JSON integer or a string of digits
    price: str = ""  # currency units a tonne, as "71.25"; empty for MARKET and STOP
    order_type: OrderTypeWord = "LIMIT"
    time_in_force: TimeInForceWord = "DAY"
    client_order_id: str = ""  # printable ASCII, at most 16 characters
    valid_ms: int = RECEIVE_WINDOW_MS  # refused if the log takes it later than this; 0 = no limit
    stop_price: str = ""  # STOP and STOP_LIMIT: enters the book when the last price reaches it
    display_quantity: int | str = 0  # iceberg: tonnes shown at a time; 0 = all
    minimum_quantity: int | str = 0  # tonnes that must trade on entry; 0 = none
    expire_date: dt.date | None = None  # GTD: the last day
    post_only: PostOnlyWord = ""  # what happens if it would trade on entry
    self_trade_prevention: SelfTradeWord = ""  # what happens if it would meet one of its group
    is_persistent: bool = True  # false: ends with a halt, a volatility call, the close


class OrderCancelRequest(Body, frozen=True, kw_only=True):
    """FIX 35=F: cancel an order, named by the venue's id or by the client's."""

    symbol: str
    account: int
    order_id: int = 0
    original_client_order_id: str = ""


class OrderCancelReplaceRequest(Body, frozen=True, kw_only=True):
    """FIX 35=G: change total quantity and price; see `matching/RULES.md` for priority.

    Without stop price, display, minimum and expire date the order keeps its own; with one of them
    all four are set anew.
    """

    symbol: str
    account: int
    quantity: int | str
    price: str = ""  # empty for a STOP
    order_id: int = 0
    original_client_order_id: str = ""
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS
    stop_price: str = ""
    display_quantity: int | str = 0
    minimum_quantity: int | str = 0
    expire_date: dt.date | None = None


class OrderMassCancelRequest(Body, frozen=True, kw_only=True):
    """FIX 35=q: cancel all orders of the participant in a market that fit what is named."""

    market: str
    symbol: str = ""  # "" = of all instruments
    account: int = 0  # 0 = of all accounts of the participant
    side: Literal["", "BUY", "SELL"] = ""
    own_session: bool = False  # only those which this key's session sent
    client_order_id: str = ""  # the sender's label, handed back


class Quote(Body, frozen=True, kw_only=True):
    """FIX 35=S: both sides of an account's quote, in the place of the one before.

    A quantity of 0 leaves that side empty; both 0 withdraw the quote.
    """

    symbol: str
    account: int
    bid_quantity: int | str = 0
    bid_price: str = ""
    offer_quantity: int | str = 0
    offer_price: str = ""
    post_only: Literal["", "REFUSE"] = ""
    self_trade_prevention: SelfTradeWord = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class PickOrder(Body, frozen=True, kw_only=True):
    """Takes tonnes of a listing, where takers name what they take (China's listed trading)."""

    symbol: str
    account: int
    side: SideWord  # the taker's
    listing_id: int  # order id of the listing
    quantity: int | str
    price: str  # the listing's
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class BlockProposal(Body, frozen=True, kw_only=True):
    """FIX 35=AE: one side of a negotiated trade; the other side has to confirm it."""

    symbol: str
    account: int
    side: SideWord
    quantity: int | str
    price: str
    counterparty_account: int
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class BlockConfirmation(Body, frozen=True, kw_only=True):
    """FIX 35=AE: the counterparty's word to a proposal, with its own side, same size and price.

    An OrderCancelRequest of the proposal's id withdraws it, or declines it.
    """

    symbol: str
    account: int
    side: SideWord
    quantity: int | str
    price: str
    proposal_id: int  # order id of the proposal
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


OrderRequest = (
    NewOrderSingle
    | OrderCancelRequest
    | OrderCancelReplaceRequest
    | OrderMassCancelRequest
    | Quote
    | PickOrder
    | BlockProposal
    | BlockConfirmation
)
"""Everything a member's order entry takes, at every door."""


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
    period_from: dt.date | None = None
    period_to: dt.date | None = None


class DepositUnits(UnitsBody, frozen=True, kw_only=True):
    """From the registry position to the trading position."""


class ReleaseUnits(UnitsBody, frozen=True, kw_only=True):
    """From the trading position back to the registry position."""


class TransferUnits(UnitsBody, frozen=True, kw_only=True):
    """Between registry positions of two accounts of the market."""

    to_account: int


class SurrenderUnits(UnitsBody, frozen=True, kw_only=True):
    """Units given up for a compliance year; credits may be those of one project."""

    year: int
    project: int = 0  # 0 = of any


class CancelUnits(UnitsBody, frozen=True, kw_only=True):
    """Voluntary cancellation, for good, with a beneficiary and a reason."""

    beneficiary: str
    reason: str


class FreezeUnits(UnitsBody, frozen=True, kw_only=True):
    """The authority freezes units of an account's registry position; `reference`: the court's."""

    reference: str


class UnfreezeUnits(UnitsBody, frozen=True, kw_only=True):
    """The authority gives frozen units back to the account's registry position."""

    reference: str


class PledgeUnits(UnitsBody, frozen=True, kw_only=True):
    """The owner pledges units of its registry position to a lender."""

    lender_account: int
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
    """Undo a whole surrender or cancellation (authority); another key has to approve it."""

    original_id: int  # the instruction to be undone
    reason: str


class ApproveReversal(UnitsBody, frozen=True, kw_only=True):
    """Carries out a proposed reversal (authority; not the key that proposed it)."""

    proposal_id: int  # instruction id of the proposal


class ProjectAsked(ProjectDetails, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a project is, as it comes in: a word that is not known here is refused."""


class RegisterProject(UnitsBody, frozen=True, kw_only=True):
    """A project of credits (authority). `symbol` names the programme, `account` the owner's."""

    quantity: int | str = 0  # tonnes a year that it is expected to reduce
    project: int
    details: ProjectAsked


class ExchangeCredits(UnitsBody, frozen=True, kw_only=True):
    """Credits of `symbol` for as many allowances, where the scheme's rules exchange them."""

    allowance: str  # the symbol of the allowances


class SetEntitlement(UnitsBody, frozen=True, kw_only=True):
    """The base of an account's entitlement to exchange credits (authority), tonnes.

    `symbol` names an allowance of the scheme; emissions of the period need no base.
    """

    group: GroupWord
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
    """

    year: int
    stage: StageWord
    method: MethodWord
    sector: str = ""
    base: int = 0
    balance: int = 0
    intensity: int = 0


class AssessYear(Body, frozen=True, kw_only=True):
    """What was owed for a year, what was given, and what follows (authority), after its last day.

    `price` is the average that the rule names as the base of its fine, in currency units; `due`
    the last day for surrender, ISO, where the rulebook knows none.
    """

    symbol: str  # an allowance of the scheme; a forced surrender takes these
    account: int
    year: int
    price: str = ""
    due: str = ""
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
    """What kind of account it is (authority): a code of the rulebook, or the EUTL's."""

    account_type: str
    needs_two: bool = False  # a second representative has to approve each transfer


class AppointRepresentative(AccountBody, frozen=True, kw_only=True):
    """A key may act for the account in the registry (authority)."""

    representative: str  # id of the key


class DismissRepresentative(AccountBody, frozen=True, kw_only=True):
    """A key may no longer act for the account in the registry (authority)."""

    representative: str


class BlockAccount(AccountBody, frozen=True, kw_only=True):
    """Nothing leaves the account or comes to it by instruction (authority)."""

    reference: str


class UnblockAccount(AccountBody, frozen=True, kw_only=True):
    """Ends a block (authority)."""

    reference: str


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
    """Approves another representative's transfer, repeating its symbol and quantity."""

    transfer_id: int  # instruction id of the transfer


class CancelTransfer(AccountBody, frozen=True, kw_only=True):
    """Cancels a transfer that waits."""

    transfer_id: int


class BindAccount(AccountBody, frozen=True, kw_only=True):
    """Binds an account to the one of the other registry with which credits are surrendered."""

    bound_account: int  # 0: ends the binding
    bound_market: str


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
    """Cancel a trade, settled or not (authority); another key has to approve it."""

    reason: str


class ApproveTradeCancel(UnitsBody, frozen=True, kw_only=True):
    """Carries out a proposed cancellation (authority; not the key that proposed it)."""

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


class OpeningOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Opens a market though its reconciliation is red or missing; both words are kept."""

    name: str  # who answers for it
    reason: str


class PhaseChange(Body, frozen=True, kw_only=True):
    """Moves one instrument, or all of the market (no symbol), to a trading phase (operator)."""

    market: str
    phase: PhaseWord
    symbol: str = ""
    override: OpeningOverride | None = None


class DayRoll(Body, frozen=True, kw_only=True):
    """Ends the trading day of a market and starts `trading_date`, YYYYMMDD (operator)."""

    market: str
    trading_date: int


class CashDeposit(Body, frozen=True, kw_only=True):
    """Cash arrived for an account (operator); a negative amount is a withdrawal."""

    market: str
    account: int
    amount: str  # currency units, as "1000000.00"


class ReferencePrice(Body, frozen=True, kw_only=True):
    """Sets the reference price of an instrument (operator; not in CONTINUOUS)."""

    symbol: str
    price: str


Operation = PhaseChange | DayRoll | CashDeposit | ReferencePrice


class AuctionBid(Body, frozen=True, kw_only=True):
    """A sealed bid in an auction that is open; changed and withdrawn like an order."""

    symbol: str
    account: int
    auction_id: int
    quantity: int | str
    price: str
    side: SideWord = "BUY"  # SELL where the auction buys
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


class AuctionOpen(Body, frozen=True, kw_only=True):
    """Opens a sealed-bid auction for an account that offers (operator)."""

    symbol: str
    account: int
    quantity: int | str
    format: str  # an id of `auction_formats.toml`
    label: str  # of the calendar, at most 16 characters
    price: str = ""  # the public reserve, "" = none
    pricing: str = ""  # "" = the usual one of the format


class AuctionClear(Body, frozen=True, kw_only=True):
    """Closes an auction: the best bids win (operator)."""

    symbol: str
    auction_id: int
    seed: int  # draws between equal bids
    reserve: str = ""  # the secret one, "" = none


class AuctionCancel(Body, frozen=True, kw_only=True):
    """Calls an auction off; nothing is sold (operator)."""

    symbol: str
    auction_id: int


AuctionOperation = AuctionOpen | AuctionClear | AuctionCancel
