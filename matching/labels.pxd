# cython: boundscheck=False, wraparound=False, cdivision=True
"""What is remembered under the client order id of the command at hand."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport (
    CLIENT_ORDER_IDS_FULL, CLIENT_ORDER_ID_REUSED_INSTRUMENT, CLIENT_ORDER_ID_REUSED_ORDER_TYPE,
    CLIENT_ORDER_ID_REUSED_PRICE, CLIENT_ORDER_ID_REUSED_QUANTITY, CLIENT_ORDER_ID_REUSED_SIDE,
    CLIENT_ORDER_ID_REUSED_TERMS, CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE, NONE,
    ORDERS_FULL, ClientOrderId, CommandRecord,
)
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport Order, State
from matching.memory cimport unlikely, write_past
from matching.tables cimport labels_add, labels_count, labels_find

cdef enum:  # wider than int, and so unsigned in C
    OF_INSTRUMENT = 0xFFFF_0000_0000  # of the first eight bytes of an order
    OF_SIDE_AND_TYPE = 0xFFFF00
    OF_TIME_IN_FORCE = 0xFF

cdef inline ClientOrderIdRow* remembered(State* s, const CommandRecord* c) noexcept nogil:
    cdef ClientOrderId label = c.client_order_id
    if not (label.head or label.tail):
        return NULL
    return labels_find(&s.labels, c.account_id, &label, s.look.label_tag)

cdef inline int remember(
    State* s, const CommandRecord* c, uint64_t order_id, uint64_t head, uint32_t digest
) except -1 nogil:
    # `head` is the first word of the order: queue, side, order type and so on.
    cdef ClientOrderId label = c.client_order_id
    cdef uint64_t* row  # eight words, in the order of ClientOrderIdRow
    if not (label.head or label.tail):
        return 0
    row = labels_add(&s.labels, s.look.label_tag)
    write_past(row, label.head)
    write_past(row + 1, label.tail)
    write_past(row + 2, c.account_id | head & OF_INSTRUMENT | (head & OF_SIDE_AND_TYPE) << 40)
    write_past(row + 3, head >> 24 & OF_TIME_IN_FORCE | <uint64_t>digest << 32)
    write_past(row + 4, order_id)
    write_past(row + 5, <uint64_t>c.quantity)
    write_past(row + 6, <uint64_t>c.price)
    write_past(row + 7, 0)
    return 0

cdef inline uint16_t label_refusal(const State* s, const CommandRecord* c) noexcept nogil:
    if <int64_t>labels_count(&s.labels) < s.client_order_ids_max:
        return NONE
    return CLIENT_ORDER_IDS_FULL if c.client_order_id.head or c.client_order_id.tail else NONE

cdef inline uint16_t room_refusal(const State* s, const CommandRecord* c) noexcept nogil:
    # Why no order can be kept besides those that are, nor what it is called.
    return ORDERS_FULL if unlikely(s.orders_count >= s.orders_max) else label_refusal(s, c)

cdef inline uint16_t difference(
    const ClientOrderIdRow* known, const ClientOrderIdRow* asked
) noexcept nogil:
    # The first field of the body in which the two differ.
    if asked.instrument_id != known.instrument_id:
        return CLIENT_ORDER_ID_REUSED_INSTRUMENT
    if asked.side != known.side:
        return CLIENT_ORDER_ID_REUSED_SIDE
    if asked.order_type != known.order_type:
        return CLIENT_ORDER_ID_REUSED_ORDER_TYPE
    if asked.time_in_force != known.time_in_force:
        return CLIENT_ORDER_ID_REUSED_TIME_IN_FORCE
    if asked.quantity != known.quantity:
        return CLIENT_ORDER_ID_REUSED_QUANTITY
    if asked.price != known.price:
        return CLIENT_ORDER_ID_REUSED_PRICE
    return CLIENT_ORDER_ID_REUSED_TERMS if asked.terms != known.terms else NONE
