"""Quotes: both sides of an account in an instrument, set and replaced at once."""

from libc.stdint cimport uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.state cimport Instrument, State

cdef int quote(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil
