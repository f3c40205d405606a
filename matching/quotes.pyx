# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Quotes, for the compiled engine: the same as `matching.reference.quotes`."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from matching.calls cimport phase_refusal
from matching.checks cimport refusal
from matching.events cimport emit_answer, emit_order
from matching.holds cimport hold_of, move_hold
from matching.ladder cimport end_resting, key_of, ladder_next
from matching.layout cimport *
from matching.limits cimport holding_refusal, sender_refusal
from matching.state cimport (
    Asked, BookSide, Instrument, Order, State,
    holding_find, holding_of, order_find, order_new,
)
from matching.stops cimport heard
from matching.terms cimport instructions_refusal
from matching.trade cimport enter_order

cdef packed struct QuoteTail:  # the last 16 bytes of a QUOTE
    int64_t quantity
    int64_t price

cdef struct Quote:  # by side: 0 is free
    CommandRecord asked[SELL + 1]  # as orders; without quantity there is none
    uint32_t old[SELL + 1]  # places of what the last one left, 0 = none

cdef int quote(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef Quote q
    cdef uint16_t reason
    cdef uint8_t side
    read_quote(s, i, account, c, &q)
    reason = quote_refusal(s, i, account, &q)
    if reason:
        return reason
    emit_answer(s, QUOTED, c).order_id = position
    for side in range(BUY, SELL + 1):
        if q.old[side]:
            end_resting(s, i, q.old[side], QUOTE_REPLACED)
    for side in range(BUY, SELL + 1):
        if q.asked[side].quantity:
            accept_side(s, i, account, &q.asked[side], position)
    return heard(s, i)

cdef void read_quote(
    State* s, const Instrument* i, uint32_t account, const CommandRecord* c, Quote* q
) noexcept nogil:
    cdef const QuoteTail* tail = <const QuoteTail*>&c.client_order_id
    cdef uint32_t holding = holding_find(s, account, i.instrument_id)
    cdef uint64_t last = s.holdings[holding].quote if holding else 0
    cdef uint8_t side
    for side in range(BUY, SELL + 1):
        q.asked[side] = c[0]
        q.asked[side].side = side
        q.asked[side].order_type = LIMIT
        q.asked[side].time_in_force = DAY
        q.asked[side].order_id = c.order_type
    q.asked[SELL].quantity = tail.quantity
    q.asked[SELL].price = tail.price
    q.old[BUY] = order_find(s, last) if last else 0
    q.old[SELL] = order_find(s, last | QUOTE_SELL_BIT) if last else 0

cdef uint16_t quote_refusal(
    State* s, const Instrument* i, uint32_t account, const Quote* q
) noexcept nogil:
    # Each side as an order, then both together.
    cdef uint16_t reason = instructions_refusal(&q.asked[BUY])
    cdef int sides = 0
    cdef uint8_t side
    if reason or q.asked[BUY].order_id & POST_ONLY_REPRICE:
        return INVALID_INSTRUCTIONS
    for side in range(BUY, SELL + 1):
        if q.asked[side].price and not q.asked[side].quantity:
            return INVALID_TERMS
    if q.asked[BUY].quantity or q.asked[SELL].quantity:
        reason = sender_refusal(s, account)
        if reason:
            return reason
    for side in range(BUY, SELL + 1):
        if q.asked[side].quantity:
            reason = side_refusal(s, i, &q.asked[side], q.old[BUY + SELL - side])
            if reason:
                return reason
            sides += 1
    if s.orders_count + sides - (q.old[BUY] != 0) - (q.old[SELL] != 0) > s.orders_max:
        return ORDERS_FULL
    if sides == 2 and q.asked[BUY].price >= q.asked[SELL].price:
        return QUOTE_CROSSED
    reason = holding_refusal(s, i, account, BUY, growth(s, q))
    return reason if reason else funds_refusal(s, i, account, q)

cdef int64_t growth(const State* s, const Quote* q) noexcept nogil:
    # What the buy has more than the old one.
    cdef int64_t quantity = q.asked[BUY].quantity
    return quantity - s.orders[q.old[BUY]].leaves if q.old[BUY] else quantity

cdef uint16_t side_refusal(
    const State* s, const Instrument* i, const CommandRecord* asked, uint32_t gone
) noexcept nogil:
    # `gone` is the order of the other side that will be out of the way.
    cdef uint16_t reason = phase_refusal(i.phase, DAY, (asked.order_id & POST_ONLY) != 0)
    cdef Asked plain
    if reason:
        return reason
    memset(&plain, 0, sizeof(Asked))
    plain.instructions = FROM_QUOTE
    reason = refusal(s, i, asked, asked.side, LIMIT, DAY, asked.price, 0, &plain)
    if not reason and asked.order_id & POST_ONLY and meets(s, i, asked, gone):
        return POST_ONLY_WOULD_TRADE
    return reason

cdef bint meets(
    const State* s, const Instrument* i, const CommandRecord* asked, uint32_t gone
) noexcept nogil:
    cdef uint8_t side = BUY + SELL - asked.side
    cdef const BookSide* others = &i.sides[side]
    cdef uint32_t limit = key_of(i, side, asked.price), at = others.best, place
    while at and s.levels[at].key <= limit:
        place = s.levels[at].head
        if place == gone:
            place = s.links[place].next
        if place:
            return True
        at = ladder_next(s, others, s.levels[at].key)
    return False

cdef uint16_t funds_refusal(
    State* s, const Instrument* i, uint32_t account, const Quote* q
) noexcept nogil:
    # With the holds of the old sides given back first.
    cdef uint32_t holding = holding_find(s, account, i.instrument_id)
    cdef Order o
    memset(&o, 0, sizeof(Order))
    o.side = BUY
    o.price = <int32_t>q.asked[BUY].price
    o.leaves = q.asked[BUY].quantity
    if more(s, i, &o, q.old[BUY]) > s.accounts[account].available and o.leaves:
        return INSUFFICIENT_CASH
    o.side = SELL
    o.leaves = q.asked[SELL].quantity
    if more(s, i, &o, q.old[SELL]) > s.holdings[holding].available and o.leaves:
        return INSUFFICIENT_UNITS
    return NONE

cdef int64_t more(
    const State* s, const Instrument* i, const Order* o, uint32_t old
) noexcept nogil:
    cdef int64_t hold = hold_of(o, i.fee_max)
    return hold - hold_of(&s.orders[old], i.fee_max) if old else hold

cdef int accept_side(
    State* s, Instrument* i, uint32_t account, const CommandRecord* asked, uint64_t position
) except -1 nogil:
    cdef uint32_t place = order_new(s)
    cdef Order* o = &s.orders[place]
    cdef int64_t hold
    memset(o, 0, sizeof(Order))
    memset(&s.links[place].client_order_id, 0, sizeof(ClientOrderId))
    o.order_id = position | QUOTE_SELL_BIT if asked.side == SELL else position
    o.price = <int32_t>asked.price
    o.leaves = o.size.quantity = asked.quantity
    o.account = account
    o.holding = holding_of(s, account, i.instrument_id)
    o.instrument_id = i.instrument_id
    o.side = asked.side
    o.order_type = LIMIT
    o.time_in_force = DAY
    o.instructions = <uint8_t>asked.order_id | FROM_QUOTE | NON_PERSISTENT
    o.queue = BOOK
    o.session_id = asked.session_id
    s.holdings[o.holding].quote = position
    hold = hold_of(o, i.fee_max)
    move_hold(s, o, hold, o.leaves)
    emit_order(s, ACCEPTED, o, NONE, hold, o.size.quantity)
    return enter_order(s, i, place, 0)
