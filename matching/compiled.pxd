"""The compiled engine: one C state, and the Python face of it."""

from matching.state cimport State

cdef class Engine:
    cdef State state
    cdef bint is_broken  # memory ran out in the middle of a record
