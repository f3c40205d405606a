# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Trades with an order that the taker names, for the compiled engine: listings and blocks.

The same as `matching.reference.listed` and `.blocks`, command for command.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from matching.calls cimport phase_refusal
from matching.entry cimport admit, body_of, deal, is_resent, order_of, sent_refusal
from matching.labels cimport room_refusal
from matching.ladder cimport book_rest, book_remove, ladder_next
from matching.layout cimport *
from matching.self_trade cimport are_one
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport (
    Instrument, Order, State, account_find, count_trade, order_find, order_free, terms_free,
    terms_new,
)
from matching.ticks cimport round_half_up, tick_at

# -- listings ------------------------------------------------------------------------------------

cdef int pick_order(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef ClientOrderIdRow body
    cdef uint32_t place
    cdef Order* listing
    cdef uint32_t own
    cdef int reason
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    body_of(c, PICK, FOK, 0, 0, 0, &body)
    if is_resent(s, c, &body):
        return 0
    place = order_find(s, c.order_id)
    listing = &s.orders[place]
    if place == 0 or listing.instrument_id != c.instrument_id or listing.queue != BOOK:
        return UNKNOWN_ORDER
    if listing.side == c.side:
        return INVALID_SIDE
    reason = sent_refusal(s, account, c, &body)
    if not reason:
        reason = pick_refusal(i, c, listing)
    if not reason:
        reason = room_refusal(s, c)
    if not reason:
        reason = reach_refusal(s, i, account, c, place)
    if reason:
        return reason
    own = order_of(s, c, account, position, &body, BOOK)
    reason = admit(s, i, own, c, body.terms)
    if reason:
        return reason
    count_trade(i, c.quantity, c.price, c.quantity * c.price)
    s.levels[listing.level].quantity -= c.quantity
    deal(
        s, i, listing, &s.orders[own], c.quantity, c.price,
        i.parameters[MAKER_FEE_BP], i.parameters[TAKER_FEE_BP], LISTED_TRADE,
    )
    remove_done(s, i, place)
    order_free(s, own)
    return 0

cdef uint16_t pick_refusal(
    const Instrument* i, const CommandRecord* c, const Order* listing
) noexcept nogil:
    # Phase, policy, quantity and value; the price is the listing's.
    cdef uint16_t reason = phase_refusal(i.phase, FOK, True)
    if reason:
        return reason
    if i.parameters[POLICY] != LISTED:
        return NOT_ALLOWED_BY_POLICY
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > i.parameters[QUANTITY_MAX]:
        return QUANTITY_ABOVE_MAX
    if c.quantity % i.parameters[LOT_SIZE]:
        return QUANTITY_NOT_LOT
    if c.quantity > listing.leaves:
        return QUANTITY_ABOVE_LISTED
    if listing.price * c.quantity > i.parameters[VALUE_MAX]:
        return VALUE_ABOVE_MAX
    return NONE

cdef uint16_t reach_refusal(
    const State* s, const Instrument* i, uint32_t account, const CommandRecord* c, uint32_t place
) noexcept nogil:
    # Whether the taker may have this listing, and at the price it named.
    cdef const Order* listing = &s.orders[place]
    cdef uint32_t level = i.sides[listing.side].best
    cdef int64_t left = i.parameters[PICK_LEVELS]
    if c.price != listing.price:
        return PRICE_DIFFERS
    if are_one(s, account, listing.account):
        return LISTING_OUT_OF_REACH
    while level != listing.level and left > 1:
        level = ladder_next(s, &i.sides[listing.side], s.levels[level].key)
        left -= 1
    if level != listing.level:
        return LISTING_OUT_OF_REACH
    if i.parameters[PICK_OLDEST] and s.levels[level].head != place:
        return LISTING_OUT_OF_REACH
    return NONE

cdef int remove_done(State* s, Instrument* i, uint32_t place) except -1 nogil:
    # Takes out an order of which nothing is left.
    if s.orders[place].leaves:
        return 0
    if s.orders[place].terms:
        terms_free(s, s.orders[place].terms)
    return book_remove(s, i, place)

# -- blocks --------------------------------------------------------------------------------------

cdef int block_propose(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef ClientOrderIdRow body
    cdef uint32_t other = 0
    cdef uint32_t own
    cdef int reason
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    body_of(c, BLOCK, DAY, 0, 0, 0, &body)
    if is_resent(s, c, &body):
        return 0
    reason = sent_refusal(s, account, c, &body)
    if not reason:
        reason = hour_refusal(i)
    if reason:
        return reason
    if c.order_id >> 32 == 0:
        other = account_find(s, <uint32_t>c.order_id)
    if other == 0 or are_one(s, account, other):
        return UNKNOWN_COUNTERPARTY
    reason = block_refusal(i, c)
    if not reason:
        reason = room_refusal(s, c)
    if reason:
        return reason
    own = order_of(s, c, account, position, &body, BLOCKS)
    reason = admit(s, i, own, c, body.terms)
    if reason:
        return reason
    terms = terms_new(s)
    s.orders[own].terms = terms
    s.terms[terms].counterparty = <uint32_t>c.order_id
    return book_rest(s, i, own)

cdef int block_confirm(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    cdef ClientOrderIdRow body
    cdef uint32_t place
    cdef Order* proposal
    cdef uint32_t own
    cdef int reason
    if c.side != BUY and c.side != SELL:
        return INVALID_SIDE
    body_of(c, BLOCK, DAY, 0, 0, 0, &body)
    if is_resent(s, c, &body):
        return 0
    place = order_find(s, c.order_id)
    proposal = &s.orders[place]
    if (
        place == 0
        or proposal.instrument_id != c.instrument_id
        or proposal.queue != BLOCKS
        or s.terms[proposal.terms].counterparty != c.account_id
    ):
        return UNKNOWN_ORDER
    if proposal.side == c.side:
        return INVALID_SIDE
    reason = sent_refusal(s, account, c, &body)
    if not reason:
        reason = hour_refusal(i)
    if reason:
        return reason
    if are_one(s, account, proposal.account):
        return UNKNOWN_COUNTERPARTY
    if c.quantity != proposal.leaves:
        return QUANTITY_DIFFERS
    reason = room_refusal(s, c)
    if reason:
        return reason
    if c.price != proposal.price:
        return PRICE_DIFFERS
    reason = block_refusal(i, c)
    if reason:
        return reason
    own = order_of(s, c, account, position, &body, BLOCKS)
    reason = admit(s, i, own, c, body.terms)
    if reason:
        return reason
    s.levels[proposal.level].quantity -= c.quantity
    deal(
        s, i, proposal, &s.orders[own], c.quantity, c.price,
        i.parameters[BLOCK_FEE_BP], i.parameters[BLOCK_FEE_BP], BLOCK_TRADE,
    )
    remove_done(s, i, place)
    order_free(s, own)
    return 0

cdef uint16_t hour_refusal(const Instrument* i) noexcept nogil:
    cdef uint16_t reason = phase_refusal(i.phase, FOK, True)
    if reason:
        return reason
    return NONE if i.parameters[BLOCK_OPEN] else BLOCKS_CLOSED

cdef uint16_t block_refusal(const Instrument* i, const CommandRecord* c) noexcept nogil:
    # Quantity, price and value.
    cdef int64_t width = i.parameters[BLOCK_BAND_BP]
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > <int64_t>QUANTITY_LIMIT:
        return QUANTITY_ABOVE_MAX
    if c.quantity % i.parameters[LOT_SIZE]:
        return QUANTITY_NOT_LOT
    if c.quantity < i.parameters[BLOCK_QUANTITY_MIN]:
        return QUANTITY_BELOW_MIN
    if c.price <= 0:
        return PRICE_NOT_POSITIVE
    if c.price > PRICE_LIMIT:
        return PRICE_ABOVE_MAX
    if c.price % tick_at(i, c.price):
        return PRICE_NOT_TICK
    if width and i.reference:
        if c.price > round_half_up(i, i.reference * (BP + width), BP):
            return PRICE_ABOVE_BAND
        if c.price < round_half_up(i, i.reference * (BP - width), BP):
            return PRICE_BELOW_BAND
    # The largest price times the largest quantity passes 63 bits, but not 64.
    if <uint64_t>c.price * <uint64_t>c.quantity > <uint64_t>VALUE_LIMIT:
        return VALUE_ABOVE_MAX
    return NONE
