# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Stops, for the compiled engine: the same as `matching.reference.stops`."""

from libc.stdint cimport uint32_t

from matching.events cimport emit_order
from matching.holds cimport hold_of
from matching.ladder cimport book_take
from matching.layout cimport *
from matching.state cimport BookSide, Instrument, Order, State, Terms, line_at, terms_free
from matching.trade cimport trade

cdef int trigger_stops(State* s, Instrument* i) except -1 nogil:
    # Each may trigger others, also on the other side.
    cdef uint32_t place = triggered(s, i)
    while place:
        trigger(s, i, place)
        place = triggered(s, i)
    i.has_stops = line_at(i, STOPS, BUY).best != 0 or line_at(i, STOPS, SELL).best != 0
    return 0

cdef uint32_t triggered(State* s, Instrument* i) noexcept nogil:
    # The stop that trades next, 0 = none.
    cdef uint32_t place
    if i.phase != CONTINUOUS or i.last_price == 0:
        return 0
    place = first(s, line_at(i, STOPS, BUY))
    if place and i.last_price >= s.terms[s.orders[place].terms].stop_price:
        return place
    place = first(s, line_at(i, STOPS, SELL))
    if place and i.last_price <= s.terms[s.orders[place].terms].stop_price:
        return place
    return 0

cdef uint32_t first(const State* s, const BookSide* line) noexcept nogil:
    return s.levels[line.best].head if line.best else 0

cdef int trigger(State* s, Instrument* i, uint32_t place) except -1 nogil:
    cdef Order* o = &s.orders[place]
    cdef Terms* terms = &s.terms[o.terms]
    book_take(s, i, place)
    o.queue = BOOK
    if o.order_type == STOP:
        o.order_type = MARKET
        o.time_in_force = IOC
    else:
        o.order_type = LIMIT
    terms.stop_price = 0
    if o.order_type == MARKET or terms.expire_date == 0:
        terms_free(s, o.terms)
        o.terms = 0
    emit_order(s, TRIGGERED, o, NONE, hold_of(o, i.fee_max), o.leaves)
    return trade(s, i, place, 0)
