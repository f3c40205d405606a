"""What comes in at the edge: bodies of orders and of instructions to the registry.

These are the JSON bodies of REST, of the order-entry socket (where `type` names them) and of a
broker's intake topic. Unknown fields are refused. Prices and amounts are decimal strings, so that
no binary fraction is ever involved; quantities are whole tonnes. `gateway.order_entry` checks them
and makes the 64-byte commands of `orders`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.settings import RECEIVE_WINDOW_MS

SideWord = Literal["BUY", "SELL"]
OrderTypeWord = Literal["LIMIT", "MARKET"]
TimeInForceWord = Literal["DAY", "GTC", "IOC", "FOK"]
PhaseWord = Literal["CLOSED", "CONTINUOUS", "HALT"]


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True, tag_field="type"):
    """What every request carries: `ref`, strictly increasing in the key's session."""

    ref: int


class NewOrderSingle(Body, frozen=True, kw_only=True):
    """FIX 35=D: a new order."""

    symbol: str
    account: int
    side: SideWord
    quantity: int | str  # tonnes; a JSON integer or a string of digits
    price: str = ""  # currency units a tonne, as "71.25"; empty for a MARKET order
    order_type: OrderTypeWord = "LIMIT"
    time_in_force: TimeInForceWord = "DAY"
    client_order_id: str = ""  # printable ASCII, at most 16 characters
    valid_ms: int = RECEIVE_WINDOW_MS  # refused if the log takes it later than this; 0 = no limit


class OrderCancelRequest(Body, frozen=True, kw_only=True):
    """FIX 35=F: cancel an order, named by the venue's id or by the client's."""

    symbol: str
    account: int
    order_id: int = 0
    original_client_order_id: str = ""


class OrderCancelReplaceRequest(Body, frozen=True, kw_only=True):
    """FIX 35=G: change total quantity and price; see `matching/RULES.md` for priority."""

    symbol: str
    account: int
    quantity: int | str
    price: str
    order_id: int = 0
    original_client_order_id: str = ""
    client_order_id: str = ""
    valid_ms: int = RECEIVE_WINDOW_MS


OrderRequest = NewOrderSingle | OrderCancelRequest | OrderCancelReplaceRequest


class UnitsBody(Body, frozen=True, kw_only=True):
    """An instruction about units of one instrument in one account."""

    symbol: str
    account: int
    quantity: int | str
    client_order_id: str = ""  # the sender's label, handed back


class IssueUnits(UnitsBody, frozen=True, kw_only=True):
    """New units to an account (operator). `year`: vintage or monitoring year."""

    year: int


class DepositUnits(UnitsBody, frozen=True, kw_only=True):
    """From the registry position to the trading position."""


class ReleaseUnits(UnitsBody, frozen=True, kw_only=True):
    """From the trading position back to the registry position."""


class TransferUnits(UnitsBody, frozen=True, kw_only=True):
    """Between registry positions of two accounts of the market."""

    to_account: int


class SurrenderUnits(UnitsBody, frozen=True, kw_only=True):
    """Units given up for a compliance year."""

    year: int


class CancelUnits(UnitsBody, frozen=True, kw_only=True):
    """Voluntary cancellation, for good, with a beneficiary and a reason."""

    beneficiary: str
    reason: str


class SetObligation(UnitsBody, frozen=True, kw_only=True):
    """What an account must surrender for a year (compliance). `symbol` names the scheme's unit."""

    year: int


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
    | SetObligation
    | FreezeUnits
    | UnfreezeUnits
    | PledgeUnits
    | ReleasePledge
    | EnforcePledge
    | ProposeReversal
    | ApproveReversal
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
