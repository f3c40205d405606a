"""What settlement says on `settlements`: one record for each record of `events` with an effect.

Records are numbered without gaps, so the registry accepts the next number only. They are a pure
function of `events`.
"""

from __future__ import annotations

import msgspec


class TradeSettled(msgspec.Struct, frozen=True, array_like=True, tag=1, tag_field="k", gc=False):
    """Delivered against payment in the ledger. Money in minor units, quantity in tonnes."""

    trade_id: int  # event number of the maker's fill
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    buyer_fee: int
    seller_fee: int
    buyer_order_id: int
    seller_order_id: int


class UnitsDeposited(msgspec.Struct, frozen=True, array_like=True, tag=2, tag_field="k", gc=False):
    """Units arrived in the trading position of an account."""

    account_id: int
    instrument_id: int
    quantity: int
    transfer_id: int


class UnitsReleased(msgspec.Struct, frozen=True, array_like=True, tag=3, tag_field="k", gc=False):
    """Units left the trading position: the registry moves them to the registry position."""

    account_id: int
    instrument_id: int
    quantity: int
    transfer_id: int


class CashMoved(msgspec.Struct, frozen=True, array_like=True, tag=4, tag_field="k", gc=False):
    """Cash came in (positive amount) or went out (negative), minor units."""

    account_id: int
    amount: int
    transfer_id: int


class InstructionPassed(msgspec.Struct, frozen=True, array_like=True, tag=5, tag_field="k"):
    """An instruction to the registry, in the order of the log."""

    instruction_id: int  # log position of the command
    kind: int  # frames.Instruction
    account_id: int
    instrument_id: int
    quantity: int
    argument: int  # year or the other account
    label: str  # the sender's client_order_id
    notes: str  # free text, "" when none


class DayTurned(msgspec.Struct, frozen=True, array_like=True, tag=6, tag_field="k", gc=False):
    """The trading day ended and the next began (YYYYMMDD)."""

    trading_date: int


class AccountOpened(msgspec.Struct, frozen=True, array_like=True, tag=7, tag_field="k", gc=False):
    """An account exists from here on; the registry keeps one of the same number."""

    account_id: int
    participant: int


class TradeDue(msgspec.Struct, frozen=True, array_like=True, tag=8, tag_field="k", gc=False):
    """A trade that is settled later: both legs are held. Money in minor units, tonnes."""

    trade_id: int
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    buyer_fee: int
    seller_fee: int
    buyer_order_id: int
    seller_order_id: int
    due_ns: int  # the cut-off at which it is delivered


class TradeDelivered(msgspec.Struct, frozen=True, array_like=True, tag=9, tag_field="k", gc=False):
    """A trade that was due is delivered against payment: both legs left the holds."""

    trade_id: int
    instrument_id: int
    quantity: int
    buyer_account: int
    seller_account: int
    cash: int  # the seller's proceeds, minor units
    is_late: bool


class TradeVoided(msgspec.Struct, frozen=True, array_like=True, tag=10, tag_field="k", gc=False):
    """A trade that was not settled: both legs went back out of the holds."""

    trade_id: int
    instrument_id: int
    quantity: int
    buyer_account: int
    seller_account: int
    cash_from_seller: int
    cash_to_buyer: int  # with the fees that are given back


class TradeCancelled(msgspec.Struct, frozen=True, array_like=True, tag=11, tag_field="k", gc=False):
    """A settled trade was taken back: units to the seller, cash to the buyer."""

    trade_id: int
    instrument_id: int
    quantity: int
    buyer_account: int
    seller_account: int
    cash_from_seller: int
    cash_to_buyer: int


class SettlementAnswered(msgspec.Struct, frozen=True, array_like=True, tag=12, tag_field="k"):
    """An instruction to settlement was carried out."""

    instruction_id: int
    account_id: int
    trade_id: int
    state: int  # the trade's now, a `settlement.cycle.TradeState`


class SettlementRefused(msgspec.Struct, frozen=True, array_like=True, tag=13, tag_field="k"):
    """An instruction to settlement was refused: nothing moved."""

    instruction_id: int
    account_id: int
    reason: int  # a `reasons.SettlementReason`
    text: str


SettlementItem = (
    TradeSettled
    | UnitsDeposited
    | UnitsReleased
    | CashMoved
    | InstructionPassed
    | DayTurned
    | AccountOpened
    | TradeDue
    | TradeDelivered
    | TradeVoided
    | TradeCancelled
    | SettlementAnswered
    | SettlementRefused
)


class SettlementRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of `settlements`."""

    version: int
    number: int  # 0, 1, 2, ... of the market
    input_offset: int  # of `orders`
    time_ns: int  # engine time
    items: tuple[SettlementItem, ...]
