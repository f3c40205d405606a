# cython: boundscheck=False, wraparound=False, cdivision=True
"""What the compiled engine says: event records, written one after the other.

A record of the state's own memory, or of whoever lent some: `apply` lends the bytes it returns.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from matching.growth cimport events_grow
from matching.layout cimport (
    ACCEPTED, DUPLICATE, FILL, FILLED, NONE, REJECTED, CommandRecord, EventRecord, FillRecord,
)
from matching.memory cimport unlikely
from matching.state cimport Order, State, head_of

cdef enum:  # the first eight bytes of an order and of an event, on a little-endian machine
    OF_AN_EVENT = 0xFFFF_FFFF_FF00  # side, order type, time in force, instrument
    OF_A_FILL = 0xFFFF_0000_FF00  # side and instrument
    LIQUIDITY_SHIFT = 16
    STATUS_SHIFT = 24
    REASON_SHIFT = 48
    INSTRUCTIONS_SHIFT = 48  # of an order

# -- records -------------------------------------------------------------------------------------

cdef inline EventRecord* event_new(State* s) except NULL nogil:
    # The caller writes all its fields.
    cdef EventRecord* e
    if unlikely(s.events_count == s.events_capacity):
        events_grow(s)
    e = &s.events[s.events_count]
    s.events_count += 1
    return e

cdef inline void events_lend(State* s, EventRecord* events, int64_t capacity) noexcept nogil:
    # What is said next goes there, as long as there is room.
    s.events = events
    s.events_capacity = capacity
    s.events_count = 0

cdef inline void events_begin(State* s) noexcept nogil:
    # What is said next goes to the state's own memory.
    events_lend(s, s.own_events, s.own_capacity)

cdef inline EventRecord* emit(State* s, uint8_t kind) except NULL nogil:
    cdef EventRecord* e = event_new(s)
    memset(e, 0, sizeof(EventRecord))
    e.kind = kind
    e.command_index = s.command_index
    return e

cdef inline EventRecord* emit_answer(
    State* s, uint8_t kind, const CommandRecord* c
) except NULL nogil:
    # A command and its answer have the same fields in the same places, but for three.
    cdef EventRecord* e = event_new(s)
    e[0] = (<const EventRecord*>c)[0]
    e.kind = kind
    e.reason = NONE
    e.command_index = s.command_index
    return e

cdef inline int reject(State* s, const CommandRecord* c, uint16_t reason) except -1 nogil:
    cdef EventRecord* e = emit_answer(s, REJECTED, c)
    e.order_type = c.kind
    e.reason = reason
    return 0

cdef inline int accepted(
    State* s, const CommandRecord* c, uint64_t order_id, int64_t price, int64_t hold
) except -1 nogil:
    # Of a new order, in the words of its command. (All of them at once would be a wide load: it
    # waits for narrow stores, which those of a single command are.)
    cdef EventRecord* e = event_new(s)
    (<uint64_t*>e)[0] = (<const uint64_t*>c)[0] & OF_AN_EVENT | ACCEPTED
    e.account_id = c.account_id
    e.command_index = s.command_index
    e.value = hold
    e.quantity = c.quantity
    e.price = price
    e.order_id = order_id
    e.client_order_id = c.client_order_id
    return 0

cdef inline int duplicate(State* s, const CommandRecord* c, uint64_t order_id) except -1 nogil:
    cdef EventRecord* e = emit_answer(s, DUPLICATE, c)
    e.order_type = c.kind
    e.order_id = order_id
    return 0

cdef inline EventRecord* emit_order(
    State* s, uint8_t kind, const Order* o, uint16_t reason, int64_t value, int64_t quantity
) except NULL nogil:
    cdef EventRecord* e = event_new(s)
    (<uint64_t*>e)[0] = (
        head_of(o) & OF_AN_EVENT | kind | <uint64_t>reason << REASON_SHIFT
    )
    e.account_id = s.accounts[o.account].account_id
    e.command_index = s.command_index
    e.value = value
    e.quantity = quantity
    e.price = o.price
    e.order_id = o.order_id
    e.client_order_id = s.links[o - s.orders].client_order_id
    return e

cdef inline int emit_fill(
    State* s, const Order* o, const Order* contra, uint8_t liquidity, uint8_t method,
    int64_t quantity, int64_t price, int64_t fee,
) except -1 nogil:
    cdef FillRecord* e = <FillRecord*>event_new(s)
    (<uint64_t*>e)[0] = (
        head_of(o) & OF_A_FILL | FILL | <uint64_t>liquidity << LIQUIDITY_SHIFT
        | <uint64_t>(FILLED - (o.leaves != 0)) << STATUS_SHIFT | <uint64_t>method << REASON_SHIFT
    )
    e.account_id = s.accounts[o.account].account_id
    e.command_index = s.command_index
    e.value = o.leaves
    e.quantity = quantity
    e.price = price
    e.order_id = o.order_id
    e.contra_order_id = contra.order_id
    e.fee = fee
    return 0
