"""The commands that are no orders."""

from libc.stdint cimport uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.state cimport Instrument, State

cdef int administer(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
cdef int instrument_add(State* s, uint32_t instrument_id) except -1 nogil
cdef void derive(Instrument* i) noexcept nogil
