# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Orders with instructions and terms, for the compiled engine; nothing here is for plain orders.

The same as `matching.reference.terms`, check for check.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from matching.draws cimport mix
from matching.events cimport emit_order
from matching.ladder cimport level_append, level_unlink
from matching.layout cimport *
from matching.state cimport Asked, Instrument, Order, State, Terms, terms_free, terms_new
from matching.ticks cimport round_down, round_up

cdef packed struct TermsTail:  # the last 16 bytes of a TERMS_SET
    uint64_t expire_date
    int64_t instructions

# -- what is asked for ---------------------------------------------------------------------------

cdef void read_asked(const State* s, uint64_t instructions, Asked* asked) noexcept nogil:
    memset(asked, 0, sizeof(Asked))
    asked.instructions = <uint8_t>instructions
    if s.behind.kind == ORDER_TERMS:
        asked.has_terms = True
        asked.stop_price = s.behind.ref
        asked.display = s.behind.quantity
        asked.minimum = s.behind.price
        asked.expire_date = s.behind.order_id
    asked.digest = <uint32_t>mix(
        mix(
            mix(mix(mix(instructions) ^ asked.stop_price) ^ asked.display) ^ asked.minimum
        ) ^ asked.expire_date
    )

cdef uint16_t instructions_refusal(const CommandRecord* c) noexcept nogil:
    cdef uint64_t post_only = c.order_id & POST_ONLY_BITS
    if c.order_id & ~<uint64_t>INSTRUCTION_BITS or c.order_id >> SELF_TRADE_SHIFT > DECREMENT:
        return INVALID_INSTRUCTIONS
    if post_only == POST_ONLY_BITS:
        return INVALID_INSTRUCTIONS
    if post_only and not (c.order_type == LIMIT and is_resting(c.time_in_force)):
        return INVALID_INSTRUCTIONS
    return NONE

cdef bint is_resting(uint8_t time_in_force) noexcept nogil:
    return time_in_force == DAY or time_in_force == GTC or time_in_force == GTD

cdef uint16_t asked_refusal(
    const State* s, uint8_t order_type, uint8_t time_in_force, const Asked* asked
) noexcept nogil:
    # Terms that an order of that form has not, and the expire date.
    cdef bint is_stop = order_type == STOP or order_type == STOP_LIMIT
    cdef bint is_post_only = (asked.instructions & POST_ONLY_BITS) != 0
    if (asked.stop_price != 0) != is_stop:
        return INVALID_TERMS
    if asked.display and (
        order_type != LIMIT or is_post_only or time_in_force == IOC or time_in_force == FOK
    ):
        return INVALID_TERMS
    if asked.minimum and (
        (order_type != LIMIT and order_type != MARKET)
        or is_post_only
        or asked.display
        or not (is_resting(time_in_force) or time_in_force == IOC)
    ):
        return INVALID_TERMS
    if (asked.expire_date != 0) != (time_in_force == GTD):
        return INVALID_TERMS
    if asked.expire_date and (
        asked.expire_date > DATE_MAX
        or <int64_t>asked.expire_date < s.trading_date
    ):
        return EXPIRE_DATE_OUT_OF_RANGE
    return NONE

cdef uint16_t quantities_refusal(
    const Instrument* i, int64_t quantity, int64_t leaves, const Asked* asked
) noexcept nogil:
    # `quantity` and `leaves` are sound.
    cdef int64_t display = asked.display if asked.has_terms else asked.display_kept
    if asked.display and (
        not 1 <= asked.display <= quantity or asked.display % i.parameters[LOT_SIZE]
    ):
        return DISPLAY_QUANTITY_OUT_OF_RANGE
    if display and quantity > SLICES_MAX * display:
        return DISPLAY_QUANTITY_OUT_OF_RANGE
    if asked.minimum and not 1 <= asked.minimum <= leaves:
        return MINIMUM_QUANTITY_OUT_OF_RANGE
    return NONE

# -- post-only -----------------------------------------------------------------------------------

cdef int64_t best_opposite(const State* s, const Instrument* i, uint8_t side) noexcept nogil:
    # 0 when there is nothing to meet.
    cdef uint32_t best = i.sides[BUY + SELL - side].best
    return s.orders[s.levels[best].head].price if best else 0

cdef bint would_trade(
    const State* s, const Instrument* i, uint8_t side, int64_t price
) noexcept nogil:
    cdef int64_t best = best_opposite(s, i, side)
    return best != 0 and (price >= best if side == BUY else price <= best)

cdef int64_t price_behind(
    const State* s, const Instrument* i, uint8_t side, int64_t price
) noexcept nogil:
    # The limit next to `price` that meets nobody; `price` itself if there is none.
    cdef int64_t best = best_opposite(s, i, side), moved, low = 1, high = PRICE_LIMIT
    if not would_trade(s, i, side, price):
        return price
    if i.band_high >= 0:
        low = i.band_low
        high = min(high, i.band_high)
    moved = round_down(i, best - 1) if side == BUY else round_up(i, best + 1)
    return moved if low <= moved <= high else price

# -- accepted ------------------------------------------------------------------------------------

cdef int set_terms(State* s, Order* o, const Asked* asked) except -1 nogil:
    # The order's terms are those asked for and no others.
    cdef Terms* terms
    if not (asked.stop_price or asked.display or asked.expire_date):
        if o.terms:
            terms_free(s, o.terms)
            o.terms = 0
        return 0
    if o.terms == 0:
        o.terms = terms_new(s)
    terms = &s.terms[o.terms]
    terms.stop_price = asked.stop_price
    terms.display = asked.display
    terms.expire_date = <uint32_t>asked.expire_date
    return 0

cdef int say_terms(State* s, const Order* o, const Asked* asked) except -1 nogil:
    cdef TermsTail* tail
    e = emit_order(s, TERMS_SET, o, NONE, asked.stop_price, asked.display)
    e.price = asked.minimum
    tail = <TermsTail*>&e.client_order_id
    tail.expire_date = asked.expire_date
    tail.instructions = o.instructions
    return 0

cdef int refill(State* s, Instrument* i, uint32_t place) except -1 nogil:
    # The next slice of an iceberg goes last at its price.
    cdef Order* o = &s.orders[place]
    show(s, o)
    level_unlink(s, place)
    level_append(s, place, o.level)
    emit_order(s, REFILLED, o, NONE, 0, s.terms[o.terms].visible)
    return 0
