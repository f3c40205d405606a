"""Self-trade prevention: what happens when an order would meet one of its own group."""

from __future__ import annotations

from collections.abc import Iterable

from matching.layout import SELF_TRADE_SHIFT, Event, Reason, SelfTrade
from matching.reference.book import Order
from matching.reference.instruments import Instrument
from matching.reference.orders import end, end_resting, move_hold, names
from matching.reference.state import State

_MODE_BITS = 7


def are_one(state: State, account_id: int, other_id: int) -> bool:
    """Whether two accounts are the same to self-trade prevention. O(1)."""
    group = state.accounts[account_id].stp_group
    return account_id == other_id or (group != 0 and group == state.accounts[other_id].stp_group)


def prevents(state: State, taker: Order, maker: Order) -> bool:
    """Whether the taker must not trade with the maker. O(1)."""
    return bool(mode_of(taker)) and are_one(state, taker.account_id, maker.account_id)


def mode_of(order: Order) -> int:
    """The SelfTrade that the order's instructions carry. O(1)."""
    return order.instructions >> SELF_TRADE_SHIFT & _MODE_BITS


def fillable(state: State, taker: Order, makers: Iterable[Order]) -> int:
    """Tonnes that the taker would trade at once with the makers, who come in priority.

    O(makers). What an iceberg hides goes behind an own order at its price, so is out of reach.
    """
    mode = mode_of(taker)
    better = here = in_front = price = 0
    for maker in makers:
        if maker.price != price:
            better, here, in_front, price = better + here, 0, 0, maker.price
        if prevents(state, taker, maker):
            if mode == SelfTrade.CANCEL_OLDEST:
                continue
            return better + in_front
        here += maker.leaves
        in_front += maker.showing
    return better + here


def prevent(state: State, instrument: Instrument, taker: Order, maker: Order) -> None:
    """Do instead of the trade what the taker's mode says; ended, the taker has no leaves.

    O(log levels).
    """
    mode = mode_of(taker)
    if mode == SelfTrade.DECREMENT:
        quantity = min(maker.leaves, taker.leaves)
        _decrement(state, instrument, maker, quantity, is_resting=True)
        _decrement(state, instrument, taker, quantity, is_resting=False)
        return
    if mode != SelfTrade.CANCEL_NEWEST:
        end_resting(state, maker, Reason.SELF_TRADE_PREVENTED)
    if mode != SelfTrade.CANCEL_OLDEST:
        end(state, instrument, taker, Reason.SELF_TRADE_PREVENTED)
        taker.leaves = 0


def _decrement(
    state: State, instrument: Instrument, order: Order, quantity: int, *, is_resting: bool
) -> None:
    if order.leaves == quantity:
        if is_resting:
            end_resting(state, order, Reason.SELF_TRADE_PREVENTED)
        else:
            end(state, instrument, order, Reason.SELF_TRADE_PREVENTED)
        order.leaves = 0
        return
    old_hold = order.hold(instrument.fee_max())
    order.quantity -= quantity
    order.leaves -= quantity
    order.visible = min(order.visible, order.leaves)
    hold = order.hold(instrument.fee_max())
    move_hold(state, order, hold - old_hold)
    said = names(order) | {"order_type": 1, "reason": Reason.SELF_TRADE_PREVENTED}
    state.emit(Event.REPLACED, value=hold, quantity=order.leaves, **said)
