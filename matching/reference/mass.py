"""Many orders ended by one command."""

from __future__ import annotations

from matching.layout import Event, ExecInst, MassCancelScope, Queue, Reason, Side
from matching.reference.book import Order
from matching.reference.orders import end_resting
from matching.reference.records import CommandRecord
from matching.reference.state import State

_QUEUES = frozenset({Queue.BOOK, Queue.STOPS, Queue.PARKED, Queue.BLOCKS})


def mass_cancel(state: State, c: CommandRecord) -> Reason:
    """MASS_CANCEL. O(orders log orders)."""
    if c.side not in (0, *Side):
        return Reason.INVALID_SIDE
    if c.time_in_force not in (0, *MassCancelScope):
        return Reason.INVALID_TIME_IN_FORCE
    found = sorted(order_id for order_id, order in state.orders.items() if _fits(state, c, order))
    for order_id in found:
        end_resting(state, state.orders[order_id], Reason.CANCELLED_IN_MASS)
    state.emit_answer(Event.MASS_CANCELLED, c, value=len(found))
    return Reason.NONE


def _fits(state: State, c: CommandRecord, order: Order) -> bool:
    return (
        _is_in_scope(c.time_in_force, order)
        and c.account_id in (0, order.account_id)
        and c.instrument_id in (0, order.instrument_id)
        and c.side in (0, order.side)
        and c.order_id in (0, state.accounts[order.account_id].participant)
        and c.quantity in (0, order.session_id)
    )


def _is_in_scope(scope: int, order: Order) -> bool:
    if order.queue == Queue.BIDS:
        return scope == MassCancelScope.BIDS_TOO
    is_persistent = not order.instructions & ExecInst.NON_PERSISTENT
    if scope == MassCancelScope.ONLY_NON_PERSISTENT and is_persistent:
        return False
    return order.queue in _QUEUES
