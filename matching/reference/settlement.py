"""What settlement tells the engine of a trade: delivered, voided, or cancelled after delivery.

Whatever the amounts, cash and units of the market stay what they are together: units go between two
accounts, cash between two accounts and the fees, out of what is there.
"""

from __future__ import annotations

from struct import Struct

from matching.layout import Event, Parameter, Reason, Resale, SettlementStep
from matching.reference.accounts import Holding
from matching.reference.instruments import Instrument
from matching.reference.records import CommandRecord
from matching.reference.state import State

_STEPS = frozenset(SettlementStep)
_TERMS = Struct("<qQ")  # cash to the buyer, trade id


def settle_trade(state: State, c: CommandRecord) -> Reason:
    """SETTLE_TRADE. O(1)."""
    if c.order_type not in _STEPS:
        return Reason.INVALID_ORDER_TYPE
    if c.order_id not in state.accounts:
        return Reason.UNKNOWN_COUNTERPARTY
    reason = _refusal(state, c)
    if reason:
        return reason
    buyer, seller = state.accounts[c.account_id], state.accounts[c.order_id]
    bought = state.holding(c.account_id, c.instrument_id)
    if c.order_type == SettlementStep.REVERSE:
        seller.available -= c.price
        bought.locked -= max(c.quantity - bought.available, 0)
        bought.available -= min(c.quantity, bought.available)
    else:
        seller.locked -= c.price
        bought.locked -= c.quantity
    if c.order_type == SettlementStep.DELIVER:
        seller.available += c.price
        bought.available += c.quantity
    else:
        cash, _ = _TERMS.unpack(c.client_order_id)
        buyer.available += cash
        state.fees -= cash - c.price
        state.holding(seller.account_id, c.instrument_id).available += c.quantity
    state.emit_answer(Event.TRADE_SETTLED, c)
    return Reason.NONE


def _locked_today(state: State, c: CommandRecord, holding: Holding) -> int:
    """What is locked until the next DAY_ROLL, and not until its settlement. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    return 0 if instrument[Parameter.RESALE_NEXT_DAY] == Resale.SETTLED else holding.locked


def _refusal(state: State, c: CommandRecord) -> Reason:
    seller = state.accounts[c.order_id]
    bought = state.holding(c.account_id, c.instrument_id)
    is_settled = c.order_type == SettlementStep.REVERSE
    cash, _ = _TERMS.unpack(c.client_order_id)
    goes_back = c.order_type != SettlementStep.DELIVER
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.price > (seller.available if is_settled else seller.locked):
        return Reason.INSUFFICIENT_CASH
    if goes_back and cash > c.price + state.fees:
        return Reason.INSUFFICIENT_CASH
    units = bought.available + _locked_today(state, c, bought) if is_settled else bought.locked
    if c.quantity > units:
        return Reason.INSUFFICIENT_UNITS
    if c.price < 0 or cash < 0:
        return Reason.PARAMETER_OUT_OF_RANGE
    return Reason.NONE
