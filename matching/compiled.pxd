"""The compiled engine: one C state, the Python face of it, and the way in from C.

Whoever holds a `State` may apply commands without the GIL: all of an array at once, or one after
the other with `begin_commands` and then `apply_next` for each index, in order. `position` is the
order id of the first new order, with zeros for the index in its low bits; the others follow. What
is said stands in `events` of the state, to which each command adds: the caller empties it by
`events_count = 0`. A new order must have an id that no resting order has, and the log of such a
state is the caller's business.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from cpython.object cimport PyObject

from matching.layout cimport CommandRecord
from matching.state cimport State

cdef class Engine:
    cdef State state
    cdef bint is_broken  # memory ran out in the middle of a record
    cdef bytes answer  # events of the last record, None when they stand in the state
    cdef int64_t said_before  # how many they were

    cdef PyObject* lend_answer(self) except NULL
    cdef bytes take_answer(self, PyObject* answer)
    cdef int begin_record(self, int64_t append_ns) except -1
    cdef void end_record(self) noexcept

cdef int apply_commands(
    State* s, const CommandRecord* commands, uint32_t count, int64_t sent_ns, uint64_t position
) except -1 nogil

cdef void begin_commands(State* s) noexcept nogil

cdef int apply_next(
    State* s, const CommandRecord* commands, uint32_t count, uint32_t index, int64_t sent_ns,
    uint64_t position,
) except -1 nogil
