"""The life of a C state: made, freed, saved to a snapshot, loaded from one, checked."""

from libc.stdint cimport int64_t

from matching.state cimport State

cdef int state_open(State* s, object limits) except -1
cdef int state_reserve(State* s, int64_t orders, int64_t client_order_ids) except -1
cdef int books_emptied(State* s) except -1
cdef void state_close(State* s) noexcept
cdef object save(State* s)
cdef int load(State* s, object snapshot) except -1
cdef list check(const State* s)
