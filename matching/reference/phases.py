"""The trading day of an instrument: which phase may follow, and what a change of phase does."""

from __future__ import annotations

from matching.draws import draw
from matching.layout import (
    PHASE_TRANSITIONS,
    Event,
    ExecInst,
    Parameter,
    Phase,
    Policy,
    Queue,
    Reason,
    Side,
    TimeInForce,
)
from matching.reference.book import Order
from matching.reference.call_price import NOTHING_CROSSES
from matching.reference.calls import CALLS, say_indicative, uncross
from matching.reference.instruments import Instrument
from matching.reference.orders import end_resting, names, rest, take_out
from matching.reference.records import CommandRecord
from matching.reference.state import State

NS_PER_MS = 1_000_000
TIME_MAX = 2**63 - 1

_PHASES = frozenset(Phase)
_LISTED_PHASES = frozenset({Phase.CLOSED, Phase.START_OF_DAY, Phase.CONTINUOUS, Phase.HALT})
_NON_PERSISTENT_END = frozenset({Phase.HALT, Phase.VOLATILITY_CALL, Phase.CLOSED})


def phase_change(state: State, c: CommandRecord) -> Reason:
    """PHASE_CHANGE of one instrument, or of all that allow it; at once, or at a random moment.

    O(instruments + orders of those which change).
    """
    if c.order_type not in _PHASES:
        return Reason.UNKNOWN_PHASE
    phase, seed = Phase(c.order_type), c.quantity
    named = [state.instruments[c.instrument_id]] if c.instrument_id else state.instruments.values()
    moving = [i for i in named if _may_enter(i, phase) and (not seed or i.phase in CALLS)]
    if not moving:
        return Reason.PHASE_TRANSITION_REFUSED
    for instrument in moving:
        if seed:
            end_later(state, instrument, phase, 0, draw(seed, instrument.instrument_id))
            named_so = {"instrument_id": instrument.instrument_id, "order_type": phase}
            state.emit(Event.CALL_ENDING, **named_so)
        else:
            enter(state, instrument, phase)
    return Reason.NONE


def clock_tick(state: State, c: CommandRecord) -> Reason:
    """CLOCK_TICK: calls end whose moment has come, then the indicative prices. O(state)."""
    for instrument in state.instruments.values():
        if 0 < instrument.change_at_ns <= state.time_ns:
            phase = Phase(instrument.change_to)
            instrument.change_at_ns = instrument.change_to = 0
            if _may_enter(instrument, phase):
                enter(state, instrument, phase)
    for instrument in state.instruments.values():
        if instrument.phase in CALLS:
            say_indicative(state, instrument)
    return Reason.NONE


def end_later(
    state: State, instrument: Instrument, phase: Phase, after_ms: int, chance: int
) -> None:
    """Let the call end by itself `after_ms` from now, and at most RANDOM_END_MS later. O(1)."""
    after_ms += chance % (instrument[Parameter.RANDOM_END_MS] + 1)
    instrument.change_at_ns = min(max(state.time_ns + after_ms * NS_PER_MS, 1), TIME_MAX)
    instrument.change_to = phase


def enter(state: State, instrument: Instrument, phase: Phase) -> None:
    """Change the phase, with all that goes before and after it. O(orders of the instrument)."""
    before = Phase(instrument.phase)
    is_closing = before == Phase.CLOSING_CALL
    if phase == Phase.CONTINUOUS or (is_closing and phase == Phase.CLOSED):
        found = uncross(state, instrument)
        if is_closing and found.volume:
            instrument.call_price = found.price
    if phase == Phase.CONTINUOUS:
        _end_call_orders(state, instrument, TimeInForce.AT_THE_OPENING)
    if is_closing:
        _end_call_orders(state, instrument, TimeInForce.AT_THE_CLOSE)
    instrument.phase = phase
    state.stirred.add(instrument.instrument_id)
    instrument.change_at_ns = instrument.change_to = 0
    instrument.indicative = NOTHING_CROSSES
    state.emit(Event.PHASE_CHANGED, instrument_id=instrument.instrument_id, order_type=phase)
    if phase in _NON_PERSISTENT_END:
        _end_non_persistent(state, instrument)
    if phase == Phase.CLOSING_CALL:
        _enter_the_book(state, instrument)


def interrupt(state: State, instrument: Instrument, order_id: int) -> None:
    """Start a volatility call because of an order. O(orders of the instrument)."""
    enter(state, instrument, Phase.VOLATILITY_CALL)
    lasting_ms = instrument[Parameter.VOLATILITY_CALL_MS]
    if lasting_ms:
        chance = draw(order_id, instrument.instrument_id)
        end_later(state, instrument, Phase.CONTINUOUS, lasting_ms, chance)


def _may_enter(instrument: Instrument, phase: Phase) -> bool:
    is_listed = instrument[Parameter.POLICY] == Policy.LISTED
    if is_listed and phase not in _LISTED_PHASES:
        return False
    return (Phase(instrument.phase), phase) in PHASE_TRANSITIONS


def _end_call_orders(state: State, instrument: Instrument, time_in_force: TimeInForce) -> None:
    """The call is over for which they were."""
    for book_side in (instrument.bids, instrument.asks):
        for order in list(book_side):
            if order.time_in_force == time_in_force:
                end_resting(state, order, Reason.CALL_ENDED)


def _end_non_persistent(state: State, instrument: Instrument) -> None:
    orders: list[Order] = [order for queue in instrument.queues.values() for order in queue]
    for order in sorted(orders, key=lambda order: order.order_id):
        if order.instructions & ExecInst.NON_PERSISTENT:
            end_resting(state, order, Reason.NOT_PERSISTENT)


def _enter_the_book(state: State, instrument: Instrument) -> None:
    """The orders parked for this call, in order of arrival."""
    for side in Side:
        for order in list(instrument.queues[Queue.PARKED, side]):
            take_out(state, instrument, order)
            order.queue = Queue.BOOK
            rest(state, instrument, order)
            hold = order.hold(instrument.fee_max())
            state.emit(Event.TRIGGERED, value=hold, quantity=order.leaves, **names(order))
