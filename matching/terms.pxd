"""Orders with instructions and terms: icebergs, post-only, minimum quantity, GTD."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport FOK, IOC, CommandRecord
from matching.state cimport Asked, Instrument, Order, State, Terms

cdef enum:
    POST_ONLY_BITS = 3  # either of the two kinds
    DATE_MAX = 9999_12_31

cdef void read_asked(const State* s, uint64_t instructions, Asked* asked) noexcept nogil
cdef uint16_t instructions_refusal(const CommandRecord* c) noexcept nogil
cdef uint16_t asked_refusal(
    const State* s, uint8_t order_type, uint8_t time_in_force, const Asked* asked
) noexcept nogil
cdef uint16_t quantities_refusal(
    const Instrument* i, int64_t quantity, int64_t leaves, const Asked* asked
) noexcept nogil
cdef bint would_trade(
    const State* s, const Instrument* i, uint8_t side, int64_t price
) noexcept nogil
cdef int64_t price_behind(
    const State* s, const Instrument* i, uint8_t side, int64_t price
) noexcept nogil
cdef int set_terms(State* s, Order* o, const Asked* asked) except -1 nogil
cdef int say_terms(State* s, const Order* o, const Asked* asked) except -1 nogil
cdef int refill(State* s, Instrument* i, uint32_t place) except -1 nogil

cdef inline void show(State* s, const Order* o) noexcept nogil:
    # The first slice of an order that comes into the book.
    cdef Terms* terms = &s.terms[o.terms]
    terms.visible = min(terms.display, o.leaves)

cdef inline void show_less(State* s, const Order* o) noexcept nogil:
    # A quantity that fell takes from the hidden part first.
    cdef Terms* terms = &s.terms[o.terms]
    terms.visible = min(terms.visible, o.leaves)

cdef inline bint is_used_up(const State* s, const Order* o) noexcept nogil:
    return s.terms[o.terms].display != 0 and s.terms[o.terms].visible == 0

cdef inline int64_t shown(const State* s, const Order* o) noexcept nogil:
    # Tonnes that can be met before the order goes last.
    return s.terms[o.terms].visible if s.terms[o.terms].display else o.leaves

cdef inline int64_t take_visible(State* s, const Order* o, int64_t quantity) noexcept nogil:
    # As much of the quantity as the order shows.
    cdef Terms* terms = &s.terms[o.terms]
    if terms.display:
        quantity = min(quantity, terms.visible)
        terms.visible -= quantity
    return quantity

cdef inline bint is_same_place(
    const State* s, const Order* o, const Asked* asked
) noexcept nogil:
    # Whether the terms asked for leave the order where it stands.
    return (
        asked.stop_price == s.terms[o.terms].stop_price
        and asked.display == s.terms[o.terms].display
    )

cdef inline bint must_match(uint8_t time_in_force, const Asked* asked) noexcept nogil:
    # Whether the order makes sense only where orders meet.
    return (
        time_in_force == IOC
        or time_in_force == FOK
        or asked.minimum != 0
        or (asked.instructions & POST_ONLY_BITS) != 0
    )
