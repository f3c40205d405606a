# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Self-trade prevention, for the compiled engine; nothing here is for orders without a mode.

The same as `matching.reference.self_trade`.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from matching.events cimport emit_order
from matching.holds cimport hold_of, move_hold
from matching.ladder cimport end_order, end_resting, ladder_next
from matching.layout cimport *
from matching.state cimport BookSide, Instrument, Order, State
from matching.terms cimport show_less, shown

cdef bint is_fillable_by_others(
    const State* s, const BookSide* others, uint32_t limit, const Order* taker, int64_t wanted
) noexcept nogil:
    # Whether the taker would trade as much at once. What an iceberg hides goes behind an own
    # order at its price, so is out of reach.
    cdef uint32_t at = others.best, place
    cdef int64_t better = 0, here, in_front
    cdef bint is_skipped = mode_of(taker) == CANCEL_OLDEST
    while at and s.levels[at].key <= limit and better < wanted:
        here = in_front = 0
        place = s.levels[at].head
        while place:
            if not are_one(s, taker.account, s.orders[place].account):
                here += s.orders[place].leaves
                in_front += shown(s, &s.orders[place])
            elif not is_skipped:
                return better + in_front >= wanted
            place = s.links[place].next
        better += here
        at = ladder_next(s, others, s.levels[at].key)
    return better >= wanted

cdef bint prevent(State* s, Instrument* i, uint32_t place, Order* taker) except -1 nogil:
    # Does instead of the trade what the taker's mode says; whether that has ended the taker.
    cdef uint8_t mode = mode_of(taker)
    if mode == DECREMENT:
        return decrement(s, i, place, taker)
    if mode != CANCEL_NEWEST:
        end_resting(s, i, place, SELF_TRADE_PREVENTED)
    if mode == CANCEL_OLDEST:
        return False
    end_order(s, i, taker, SELF_TRADE_PREVENTED)
    return True

cdef bint decrement(State* s, Instrument* i, uint32_t place, Order* taker) except -1 nogil:
    # Both lose what the smaller has, the resting one first.
    cdef Order* maker = &s.orders[place]
    cdef int64_t quantity = min(maker.leaves, taker.leaves)
    if maker.leaves == quantity:
        end_resting(s, i, place, SELF_TRADE_PREVENTED)
    else:
        s.levels[maker.level].quantity -= quantity
        lessen(s, i, maker, quantity)
    if taker.leaves == quantity:
        end_order(s, i, taker, SELF_TRADE_PREVENTED)
        return True
    lessen(s, i, taker, quantity)
    return False

cdef int lessen(State* s, Instrument* i, Order* o, int64_t quantity) except -1 nogil:
    cdef int64_t hold = hold_of(o, i.fee_max)
    o.size.quantity -= quantity
    o.leaves -= quantity
    if o.terms:
        show_less(s, o)
    move_hold(s, o, hold_of(o, i.fee_max) - hold, -quantity)
    emit_order(
        s, REPLACED, o, SELF_TRADE_PREVENTED, hold_of(o, i.fee_max), o.leaves
    ).order_type = 1
    return 0
