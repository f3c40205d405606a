# cython: boundscheck=False, wraparound=False, cdivision=True
"""The tick table of an instrument: which prices are on the tick, and the nearest that is.

A step of the table is a multiple of TICK_SIZE, so whatever is on the tick is a multiple of it too.
"""

from libc.stdint cimport int64_t

from matching.layout cimport (
    TICK_FROM_2, TICK_FROM_3, TICK_SIZE, TICK_SIZE_2, TICK_SIZE_3,
)
from matching.memory cimport likely
from matching.state cimport Instrument

cdef inline int64_t tick_at(const Instrument* i, int64_t price) noexcept nogil:
    # The tick that holds at the price.
    if likely(not i.has_steps):
        return i.tick_size
    if 0 < i.parameters[TICK_FROM_3] <= price:
        return i.parameters[TICK_SIZE_3]
    if 0 < i.parameters[TICK_FROM_2] <= price:
        return i.parameters[TICK_SIZE_2]
    return i.parameters[TICK_SIZE]

cdef inline int64_t round_down(const Instrument* i, int64_t price) noexcept nogil:
    # The highest price on the tick that is not above; 0 below the first.
    cdef int64_t tick, found, start
    while True:
        tick = tick_at(i, price)
        found = price // tick * tick
        start = 0
        if i.parameters[TICK_FROM_2] <= price:
            start = i.parameters[TICK_FROM_2]
        if start < i.parameters[TICK_FROM_3] <= price:
            start = i.parameters[TICK_FROM_3]
        if found >= start:
            return found
        price = start - 1

cdef inline int64_t round_up(const Instrument* i, int64_t price) noexcept nogil:
    # The lowest price on the tick that is not below.
    cdef int64_t tick, found, end
    while True:
        tick = tick_at(i, price)
        found = (price + tick - 1) // tick * tick
        end = found + 1
        if i.parameters[TICK_FROM_2] > price:
            end = min(end, i.parameters[TICK_FROM_2])
        if i.parameters[TICK_FROM_3] > price:
            end = min(end, i.parameters[TICK_FROM_3])
        if found < end:
            return found
        price = end

cdef inline int64_t round_half_up(
    const Instrument* i, int64_t numerator, int64_t denominator
) noexcept nogil:
    # The price on the tick that is nearest to the quotient, of two the higher.
    cdef int64_t low = round_down(i, numerator // denominator)
    cdef int64_t high = round_up(i, (numerator + denominator - 1) // denominator)
    return low if numerator - low * denominator < high * denominator - numerator else high
