"""Sealed-bid auctions."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.state cimport Instrument, Order, State

cdef int auction_open(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
cdef int auction_bid(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
cdef int auction_clear(State* s, Instrument* i, const CommandRecord* c) except -1 nogil
cdef int auction_cancel(State* s, Instrument* i, const CommandRecord* c) except -1 nogil
cdef uint16_t replaced_bid_refusal(
    const State* s, const Instrument* i, const CommandRecord* c, const Order* o
) noexcept nogil
cdef uint16_t fixed_refusal(
    const State* s, const Instrument* i, const Order* o
) noexcept nogil
