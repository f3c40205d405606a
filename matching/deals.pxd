"""Trades with an order that the taker names: listings and blocks."""

from libc.stdint cimport uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.state cimport Instrument, State

cdef int pick_order(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
cdef int block_propose(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
cdef int block_confirm(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
