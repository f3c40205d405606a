"""Phases of an instrument, and the calls that end with one price."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.state cimport Instrument, State

cdef uint16_t phase_refusal(uint8_t phase, uint8_t time_in_force, bint must_match) noexcept nogil
cdef int phase_change(State* s, Instrument* named, const CommandRecord* c) except -1 nogil
cdef int clock_tick(State* s) except -1 nogil
cdef int enter(State* s, Instrument* i, uint8_t phase) except -1 nogil
cdef int interrupt(State* s, Instrument* i, uint64_t order_id) except -1 nogil
cdef uint32_t reach(
    const State* s, const Instrument* i, uint8_t side, uint32_t limit
) noexcept nogil
