# cython: boundscheck=False, wraparound=False, cdivision=True
"""Self-trade prevention: what happens when an order would meet one of its own group."""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from matching.layout cimport SELF_TRADE_SHIFT
from matching.state cimport BookSide, Instrument, Order, State

cdef inline uint8_t mode_of(const Order* o) noexcept nogil:
    # The SelfTrade of the order's instructions.
    return o.instructions >> SELF_TRADE_SHIFT & 7

cdef inline bint are_one(const State* s, uint32_t account, uint32_t other) noexcept nogil:
    # Two accounts that must not trade with each other.
    cdef int64_t group = s.owners[account].stp_group
    return account == other or (group != 0 and group == s.owners[other].stp_group)

cdef bint is_fillable_by_others(
    const State* s, const BookSide* others, uint32_t limit, const Order* taker, int64_t wanted
) noexcept nogil
cdef bint prevent(State* s, Instrument* i, uint32_t place, Order* taker) except -1 nogil
