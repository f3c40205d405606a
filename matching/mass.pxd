"""Many orders ended by one command."""

from libc.stdint cimport uint32_t

from matching.layout cimport CommandRecord
from matching.state cimport State

cdef int mass_cancel(State* s, uint32_t account, const CommandRecord* c) except -1 nogil
