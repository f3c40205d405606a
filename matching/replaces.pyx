# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""How an order that stands is given another price or quantity, for the compiled engine.

It keeps its place only if the price stays and the quantity falls. The same as in
`matching.reference.orders`.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t

from matching.auctions cimport replaced_bid_refusal
from matching.calls cimport phase_refusal
from matching.checks cimport protected, refusal
from matching.events cimport duplicate, emit_order
from matching.holds cimport balance_of, hold_of, move_hold
from matching.labels cimport label_refusal, remember, remembered
from matching.ladder cimport book_take
from matching.layout cimport *
from matching.limits cimport holding_refusal, sender_refusal
from matching.memory cimport likely, unlikely
from matching.snapshot cimport ClientOrderIdRow
from matching.state cimport Asked, Instrument, Order, State, head_of, order_named
from matching.stops cimport heard
from matching.terms cimport (
    asked_refusal, is_same_place, price_behind, read_asked, say_terms, set_terms, show_less,
)
from matching.trade cimport enter_order

cdef Asked PLAIN  # what most replaces ask for: nothing

cdef int replace_order(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    cdef ClientOrderIdRow* known = remembered(s, c)
    cdef uint32_t place
    cdef Instrument* i
    cdef Order changed
    cdef int64_t executed, price = c.price, more
    cdef uint16_t reason
    cdef bint is_kept
    cdef Asked asked = PLAIN
    if unlikely(s.behind.kind == ORDER_TERMS):
        read_asked(s, 0, &asked)
    if known != NULL and is_same_replace(c, known, asked.digest):
        return duplicate(s, c, known.order_id)
    place = order_named(s, c.order_id)
    if place == 0 or s.orders[place].account != account:
        return UNKNOWN_ORDER
    changed = s.orders[place]
    if unlikely(changed.queue == OFFERS):
        return UNKNOWN_ORDER
    asked.instructions = changed.instructions
    if unlikely(changed.order_type == STOP and c.price != 0):
        return MARKET_ORDER_HAS_PRICE
    if likely(not asked.has_terms):
        asked.stop_price = s.terms[changed.terms].stop_price
        asked.display_kept = s.terms[changed.terms].display
    else:
        reason = asked_refusal(s, changed.order_type, changed.time_in_force, &asked)
        if reason:
            return reason
    if known != NULL:
        return reused_by_replace(c, known)
    reason = sender_refusal(s, account)
    if reason:
        return reason
    executed = changed.size.quantity - changed.leaves
    i = s.instruments[changed.instrument_id]
    if unlikely(changed.order_type == STOP):
        price = protected(i, changed.side, asked.stop_price)
    elif unlikely(changed.instructions & POST_ONLY_REPRICE):
        price = price_behind(s, i, changed.side, price)
    reason = replace_refusal(s, i, c, &changed, price, executed, &asked)
    if not reason:
        reason = holding_refusal(s, i, account, changed.side, c.quantity - changed.size.quantity)
    if reason:
        return reason
    is_kept = (
        price == changed.price
        and c.quantity < changed.size.quantity
        and (not asked.has_terms or is_same_place(s, &changed, &asked))
    )
    more = -hold_of(&changed, i.fee_max)
    changed.price = <int32_t>price
    changed.size.quantity = c.quantity
    changed.leaves = c.quantity - executed
    more += hold_of(&changed, i.fee_max)
    if more > balance_of(s, &changed).available:
        return INSUFFICIENT_CASH if changed.side == BUY else INSUFFICIENT_UNITS
    move_hold(s, &changed, more, changed.leaves - s.orders[place].leaves)
    if c.client_order_id.head or c.client_order_id.tail:
        s.links[place].client_order_id = c.client_order_id
    remember(s, c, changed.order_id, head_of(&changed), asked.digest)
    return put_changed(s, i, place, &changed, &asked, is_kept)

cdef int put_changed(
    State* s, Instrument* i, uint32_t place, const Order* changed, const Asked* asked, bint is_kept
) except -1 nogil:
    # What was accepted stays where it stands, or enters anew.
    cdef Order* o = &s.orders[place]
    if is_kept:
        s.levels[o.level].quantity += changed.leaves - o.leaves
    else:
        book_take(s, i, place)
    o[0] = changed[0]
    emit_order(s, REPLACED, o, NONE, hold_of(o, i.fee_max), o.leaves).order_type = is_kept
    if unlikely(asked.has_terms):
        set_terms(s, o, asked)
        say_terms(s, o, asked)
    if not is_kept:
        enter_order(s, i, place, asked.minimum)
        return heard(s, i)
    if unlikely(o.terms != 0):
        show_less(s, o)
    return 0

cdef uint16_t replace_refusal(
    const State* s, const Instrument* i, const CommandRecord* c, const Order* o, int64_t price,
    int64_t executed, const Asked* asked,
) noexcept nogil:
    # As of a new order; what only its own command may change, none.
    cdef uint16_t reason
    if unlikely(o.queue == BIDS):
        return replaced_bid_refusal(s, i, c, o)
    if unlikely(o.instructions & FROM_QUOTE or o.order_type == MARKET or o.queue == BLOCKS):
        reason = phase_refusal(i.phase, o.time_in_force, False)
        return reason if reason else NOT_ALLOWED_BY_POLICY
    reason = refusal(s, i, c, o.side, o.order_type, o.time_in_force, price, executed, asked)
    return reason if reason else label_refusal(s, c)

cdef bint is_same_replace(
    const CommandRecord* c, const ClientOrderIdRow* known, uint32_t digest
) noexcept nogil:
    return (
        c.order_id == known.order_id
        and c.quantity == known.quantity
        and c.price == known.price
        and digest == known.terms
    )

cdef uint16_t reused_by_replace(
    const CommandRecord* c, const ClientOrderIdRow* known
) noexcept nogil:
    if c.order_id != known.order_id:
        return CLIENT_ORDER_ID_REUSED_ORDER
    if c.quantity != known.quantity:
        return CLIENT_ORDER_ID_REUSED_QUANTITY
    if c.price != known.price:
        return CLIENT_ORDER_ID_REUSED_PRICE
    return CLIENT_ORDER_ID_REUSED_TERMS
