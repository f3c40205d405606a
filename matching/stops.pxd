"""Stops: orders that wait for the last price to reach theirs."""

from matching.memory cimport unlikely
from matching.state cimport Instrument, State

cdef int trigger_stops(State* s, Instrument* i) except -1 nogil

cdef inline int heard(State* s, Instrument* i) except -1 nogil:
    # After each command that may have triggered a stop of the instrument.
    return trigger_stops(s, i) if unlikely(i.has_stops) else 0
