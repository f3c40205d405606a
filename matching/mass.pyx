# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Many orders ended by one command, for the compiled engine.

The same as `matching.reference.mass`. Of an account that is named only its own orders are looked
at, of an instrument those that stand there, of a participant the orders of its accounts.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort, realloc

from matching.events cimport emit_answer
from matching.growth cimport raise_memory_error
from matching.ladder cimport end_resting, ladder_next
from matching.layout cimport *
from matching.state cimport Instrument, Order, State, account_after

cdef enum:
    ROOM_AT_FIRST = 64

cdef struct Found:
    uint64_t order_id
    uint32_t place

cdef struct Finds:
    Found* rows
    int64_t count
    int64_t room

cdef int mass_cancel(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    # `account` is the place of the one that is named, 0 = none. O(looked at + found log found).
    cdef Finds found
    cdef int64_t at
    cdef Order* o
    if c.side > SELL:
        return INVALID_SIDE
    if c.time_in_force > BIDS_TOO:
        return INVALID_TIME_IN_FORCE
    found.count = 0
    found.room = ROOM_AT_FIRST
    found.rows = <Found*>malloc(found.room * sizeof(Found))
    if found.rows == NULL:
        return raise_memory_error()
    if account:
        find_of_account(s, account, c, &found)
    elif c.instrument_id and c.order_id == 0:
        find_of_instrument(s, s.instruments[c.instrument_id], c, &found)
    else:
        account = account_after(s, 0)
        while account:
            find_of_account(s, account, c, &found)
            account = account_after(s, account)
    qsort(found.rows, found.count, sizeof(Found), compare_found)
    for at in range(found.count):
        o = &s.orders[found.rows[at].place]
        end_resting(s, s.instruments[o.instrument_id], found.rows[at].place, CANCELLED_IN_MASS)
    free(found.rows)
    emit_answer(s, MASS_CANCELLED, c).value = found.count
    return 0

cdef int find_of_account(
    State* s, uint32_t account, const CommandRecord* c, Finds* found
) except -1 nogil:
    cdef uint32_t holding = s.accounts[account].holdings, place
    if c.order_id and c.order_id != s.owners[account].participant:
        return 0
    while holding:
        if c.instrument_id == 0 or c.instrument_id == s.holdings[holding].instrument_id:
            place = s.holdings[holding].orders
            while place:
                note_if_fits(s, c, place, found)
                place = s.links[place].own_next
        holding = s.holdings[holding].next
    return 0

cdef int find_of_instrument(
    State* s, Instrument* i, const CommandRecord* c, Finds* found
) except -1 nogil:
    cdef int side
    cdef uint32_t at, place
    for side in range(BUY, 2 * BIDS + 1):
        at = i.sides[side].best
        while at:
            place = s.levels[at].head
            while place:
                note_if_fits(s, c, place, found)
                place = s.links[place].next
            at = ladder_next(s, &i.sides[side], s.levels[at].key)
    return 0

cdef int note_if_fits(
    const State* s, const CommandRecord* c, uint32_t place, Finds* found
) except -1 nogil:
    cdef const Order* o = &s.orders[place]
    cdef void* moved
    if o.queue > (BIDS if c.time_in_force == BIDS_TOO else BLOCKS):
        return 0
    if c.side and c.side != o.side:
        return 0
    if c.quantity and c.quantity != <int64_t>o.session_id:
        return 0
    if c.time_in_force == ONLY_NON_PERSISTENT and not o.instructions & NON_PERSISTENT:
        return 0
    if found.count == found.room:
        moved = realloc(found.rows, 2 * found.room * sizeof(Found))
        if moved == NULL:
            return raise_memory_error()
        found.rows = <Found*>moved
        found.room *= 2
    found.rows[found.count].order_id = o.order_id
    found.rows[found.count].place = place
    found.count += 1
    return 0

cdef int compare_found(const void* a, const void* b) noexcept nogil:
    cdef uint64_t left = (<const Found*>a).order_id
    cdef uint64_t right = (<const Found*>b).order_id
    return (left > right) - (left < right)
