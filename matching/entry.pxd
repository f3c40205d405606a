"""How an order comes in by a command of its own: picks, blocks, bids and what is auctioned."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.layout cimport CommandRecord
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport Instrument, Order, State

cdef void body_of(
    const CommandRecord* c, uint8_t order_type, uint8_t time_in_force, uint64_t second,
    uint64_t third, uint64_t fourth, ClientOrderIdRow* body,
) noexcept nogil
cdef bint is_resent(
    State* s, const CommandRecord* c, const ClientOrderIdRow* body
) except -1 nogil
cdef uint16_t sent_refusal(
    State* s, uint32_t account, const CommandRecord* c, const ClientOrderIdRow* body
) noexcept nogil
cdef uint32_t order_of(
    State* s, const CommandRecord* c, uint32_t account, uint64_t position,
    const ClientOrderIdRow* body, uint8_t queue,
) except 0 nogil
cdef int admit(
    State* s, Instrument* i, uint32_t place, const CommandRecord* c, uint32_t digest
) except -1 nogil
cdef int deal(
    State* s, Instrument* i, Order* maker, Order* taker, int64_t quantity, int64_t price,
    int64_t maker_bp, int64_t taker_bp, uint8_t method,
) except -1 nogil
