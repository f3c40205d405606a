# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""How an order comes in by a command of its own: picks, blocks, bids and what is auctioned.

The same as `matching.reference.entry`.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from matching.draws cimport mix
from matching.events cimport duplicate, emit_fill, emit_order
from matching.holds cimport hold_of, move_hold, settle
from matching.labels cimport difference, remember, remembered
from matching.layout cimport *
from matching.limits cimport holding_refusal, sender_refusal
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport (
    Instrument, Order, State,
    holding_find, holding_of, head_of, order_free, order_new,
)

cdef void body_of(
    const CommandRecord* c, uint8_t order_type, uint8_t time_in_force, uint64_t second,
    uint64_t third, uint64_t fourth, ClientOrderIdRow* body,
) noexcept nogil:
    # What is remembered of the command, but the order id; the other words are its own.
    memset(body, 0, sizeof(ClientOrderIdRow))
    body.instrument_id = c.instrument_id
    body.side = c.side
    body.order_type = order_type
    body.time_in_force = time_in_force
    body.quantity = c.quantity
    body.price = c.price
    body.terms = <uint32_t>mix(mix(mix(mix(mix(c.order_id) ^ second) ^ third) ^ fourth))

cdef bint is_resent(
    State* s, const CommandRecord* c, const ClientOrderIdRow* body
) except -1 nogil:
    # Whether the command was accepted before under its label; answered here if so.
    cdef const ClientOrderIdRow* known = remembered(s, c)
    if known == NULL or difference(known, body):
        return False
    duplicate(s, c, known.order_id)
    return True

cdef uint16_t sent_refusal(
    State* s, uint32_t account, const CommandRecord* c, const ClientOrderIdRow* body
) noexcept nogil:
    # A label that is known with another body; an account that may not send now.
    cdef const ClientOrderIdRow* known = remembered(s, c)
    return sender_refusal(s, account) if known == NULL else difference(known, body)

cdef uint32_t order_of(
    State* s, const CommandRecord* c, uint32_t account, uint64_t position,
    const ClientOrderIdRow* body, uint8_t queue,
) except 0 nogil:
    # The place of the order that the command asks for, which nobody finds yet; its price is in
    # range.
    cdef uint32_t place = order_new(s)
    cdef Order* o = &s.orders[place]
    memset(o, 0, sizeof(Order))
    o.order_id = position
    o.price = <int>c.price
    o.leaves = o.size.quantity = c.quantity
    o.account = account
    o.instrument_id = c.instrument_id
    o.side = c.side
    o.order_type = body.order_type
    o.time_in_force = body.time_in_force
    o.queue = queue
    o.session_id = c.session_id
    s.links[place].client_order_id = c.client_order_id
    return place

cdef int admit(
    State* s, Instrument* i, uint32_t place, const CommandRecord* c, uint32_t digest
) except -1 nogil:
    # Holds, remembers and says ACCEPTED; or refuses what the account may not hold or lacks, and
    # then the order is gone.
    cdef Order* o = &s.orders[place]
    cdef int64_t hold = hold_of(o, i.fee_max)
    cdef uint16_t reason = holding_refusal(s, i, o.account, o.side, o.leaves)
    if not reason:
        reason = funds_refusal(s, o, hold)
    if reason:
        order_free(s, place)
        return reason
    o.holding = holding_of(s, o.account, o.instrument_id)
    move_hold(s, o, hold, o.leaves)
    remember(s, c, o.order_id, head_of(o), digest)
    emit_order(s, ACCEPTED, o, NONE, hold, o.size.quantity)
    return NONE

cdef uint16_t funds_refusal(const State* s, const Order* o, int64_t hold) noexcept nogil:
    if o.side == BUY:
        return INSUFFICIENT_CASH if hold > s.accounts[o.account].available else NONE
    holding = holding_find(s, o.account, o.instrument_id)
    if holding == 0 or hold > s.holdings[holding].available:
        return INSUFFICIENT_UNITS
    return NONE

cdef int deal(
    State* s, Instrument* i, Order* maker, Order* taker, int64_t quantity, int64_t price,
    int64_t maker_bp, int64_t taker_bp, uint8_t method,
) except -1 nogil:
    # Both sides of a trade that no book made.
    cdef int64_t fee = settle(s, i, maker, quantity, quantity * price, maker_bp)
    emit_fill(s, maker, taker, MAKER, method, quantity, price, fee)
    fee = settle(s, i, taker, quantity, quantity * price, taker_bp)
    return emit_fill(s, taker, maker, TAKER, method, quantity, price, fee)
