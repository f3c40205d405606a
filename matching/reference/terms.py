"""What an order carries beside its quantity and price: instructions, and the terms behind it."""

from __future__ import annotations

from typing import NamedTuple

from matching.draws import digest
from matching.layout import (
    INSTRUCTION_BITS,
    SELF_TRADE_SHIFT,
    SLICES_MAX,
    Command,
    ExecInst,
    OrderType,
    Parameter,
    Reason,
    SelfTrade,
    TimeInForce,
)
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.records import CommandRecord

DATE_MAX = 9999_12_31

IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})
RESTING = frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD})
AT_A_CALL = frozenset({TimeInForce.AT_THE_OPENING, TimeInForce.AT_THE_CLOSE})
STOPS = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
POST_ONLY = ExecInst.POST_ONLY | ExecInst.POST_ONLY_REPRICE
"""Either of the two is set in an order that must not trade when it comes."""


class Terms(NamedTuple):
    """What an ORDER_TERMS asks for; 0 = nothing."""

    stop_price: int = 0
    display_quantity: int = 0
    minimum_quantity: int = 0
    expire_date: int = 0  # YYYYMMDD

    def digest(self, instructions: int) -> int:
        """What the memory of labels keeps of instructions and terms. O(1)."""
        return digest(instructions, *self)


NO_TERMS = Terms()


def terms_in(record: CommandRecord | None) -> Terms | None:
    """The terms of the order before it, if the record carries any. O(1)."""
    if record is None or record.kind != Command.ORDER_TERMS:
        return None
    return Terms(record.ref, record.quantity, record.price, record.order_id)


class Bidding(NamedTuple):
    """Terms of an auction which stand in the record after it."""

    closes_ns: int = 0  # from when on bids are not heard, 0 = until it is cleared
    seed: int = 0  # of the draw between bids of one price


def bidding_in(record: CommandRecord | None) -> Bidding:
    """The terms of the auction before it; the usual ones if the record carries none. O(1)."""
    if record is None or record.kind != Command.AUCTION_TERMS:
        return Bidding()
    return Bidding(record.quantity, record.price)


def instructions_refusal(order_type: int, time_in_force: int, instructions: int) -> Reason:
    """INVALID_INSTRUCTIONS, or none. O(1)."""
    post_only = instructions & POST_ONLY
    is_sound = (
        instructions & ~INSTRUCTION_BITS == 0
        and instructions >> SELF_TRADE_SHIFT <= max(SelfTrade)
        and post_only != POST_ONLY
        and (not post_only or (order_type == OrderType.LIMIT and time_in_force in RESTING))
    )
    return Reason.NONE if is_sound else Reason.INVALID_INSTRUCTIONS


def form_refusal(order_type: int, time_in_force: int, instructions: int, terms: Terms) -> Reason:
    """INVALID_TERMS of an order of that form, or none. O(1)."""
    is_limit = order_type == OrderType.LIMIT
    is_post_only = bool(instructions & POST_ONLY)
    may_rest = time_in_force not in IMMEDIATE
    may_show_a_part = is_limit and may_rest and not is_post_only
    may_ask_a_minimum = (
        (is_limit or order_type == OrderType.MARKET)
        and not is_post_only
        and time_in_force != TimeInForce.FOK
        and time_in_force not in AT_A_CALL
        and not terms.display_quantity
    )
    is_sound = (
        bool(terms.stop_price) == (order_type in STOPS)
        and (not terms.display_quantity or may_show_a_part)
        and (not terms.minimum_quantity or may_ask_a_minimum)
        and bool(terms.expire_date) == (time_in_force == TimeInForce.GTD)
    )
    return Reason.NONE if is_sound else Reason.INVALID_TERMS


def date_refusal(trading_date: int, terms: Terms) -> Reason:
    """EXPIRE_DATE_OUT_OF_RANGE, or none. O(1)."""
    if terms.expire_date and not trading_date <= terms.expire_date <= DATE_MAX:
        return Reason.EXPIRE_DATE_OUT_OF_RANGE
    return Reason.NONE


def quantities_refusal(instrument: Instrument, order: Order, terms: Terms) -> Reason:
    """Display and minimum beyond what the order has, or none. O(1)."""
    shown, lot = terms.display_quantity, instrument[Parameter.LOT_SIZE]
    if shown and (not 1 <= shown <= order.quantity or shown % lot):
        return Reason.DISPLAY_QUANTITY_OUT_OF_RANGE
    if order.display_quantity and order.quantity > SLICES_MAX * order.display_quantity:
        return Reason.DISPLAY_QUANTITY_OUT_OF_RANGE
    if terms.minimum_quantity and not 1 <= terms.minimum_quantity <= order.leaves:
        return Reason.MINIMUM_QUANTITY_OUT_OF_RANGE
    return Reason.NONE


def must_match(order: Order, terms: Terms) -> bool:
    """Whether the order makes sense only where orders meet. O(1)."""
    is_post_only = bool(order.instructions & POST_ONLY)
    return order.time_in_force in IMMEDIATE or bool(terms.minimum_quantity) or is_post_only
