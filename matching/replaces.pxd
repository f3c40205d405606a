"""How an order that stands is given another price or quantity."""

from libc.stdint cimport uint32_t

from matching.layout cimport CommandRecord
from matching.state cimport State

cdef int replace_order(State* s, uint32_t account, const CommandRecord* c) except -1 nogil
