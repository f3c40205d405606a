# cython: boundscheck=False, wraparound=False, cdivision=True
"""What every order is asked before it is accepted, in order of Reason.

`price` is the limit that the order would have, that of the command as it was asked for.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.calls cimport phase_refusal
from matching.layout cimport *
from matching.limits cimport collar_edge, collar_refusal
from matching.memory cimport unlikely
from matching.state cimport Asked, Instrument, State, base_price, is_outside_band
from matching.terms cimport POST_ONLY_BITS, must_match, quantities_refusal, would_trade
from matching.ticks cimport round_down, round_up, tick_at

cdef inline bint is_stop(uint8_t order_type) noexcept nogil:
    return order_type == STOP or order_type == STOP_LIMIT

cdef inline uint16_t refusal(
    const State* s, const Instrument* i, const CommandRecord* c, uint8_t side, uint8_t order_type,
    uint8_t time_in_force, int64_t price, int64_t executed, const Asked* asked,
) noexcept nogil:
    cdef uint16_t reason
    cdef int64_t base
    if unlikely(i.phase != CONTINUOUS or time_in_force == AT_THE_OPENING):
        reason = phase_refusal(i.phase, time_in_force, must_match(time_in_force, asked))
        if reason:
            return reason
    if unlikely(i.is_listed) and not is_listing(order_type, time_in_force, asked):
        return NOT_ALLOWED_BY_POLICY
    reason = quantity_refusal(i, c.quantity, executed)
    if reason:
        return reason
    if unlikely(asked.has_terms or asked.display_kept != 0):
        reason = quantities_refusal(i, c.quantity, c.quantity - executed, asked)
        if reason:
            return reason
    if order_type == MARKET:
        if not is_price(price):
            return NO_LIQUIDITY
    elif unlikely(order_type == STOP):
        # The lower end of a band may round up to a price that there is not.
        if is_price(asked.stop_price) and price > PRICE_LIMIT:
            return PRICE_ABOVE_MAX
        if is_price(asked.stop_price) and is_outside_band(i, price):
            return PRICE_ABOVE_BAND if price > i.band_high else PRICE_BELOW_BAND
    else:
        reason = price_refusal(i, c.price)
        if reason:
            return reason
    if is_value_above(i, price, c.quantity):
        return VALUE_ABOVE_MAX
    if unlikely(is_stop(order_type)) and not is_on_tick(i, asked.stop_price):
        return STOP_PRICE_OUT_OF_RANGE
    if unlikely(i.has_limits) and order_type != MARKET:
        base = asked.stop_price if is_stop(order_type) else base_price(i)
        if collar_refusal(i, side, price, base):
            return PRICE_OUTSIDE_COLLAR
    if unlikely(asked.instructions & POST_ONLY_BITS) and would_trade(s, i, side, price):
        return POST_ONLY_WOULD_TRADE
    return NONE

cdef inline bint is_plain_market(const Instrument* i) noexcept nogil:
    # Whether a plain order is asked only for its quantity, price and value.
    return i.phase == CONTINUOUS and not (i.is_listed | i.has_limits)

cdef inline uint16_t plain_refusal(const Instrument* i, const CommandRecord* c) noexcept nogil:
    # The same as `refusal`, of a plain order in a plain market.
    cdef uint16_t reason = quantity_refusal(i, c.quantity, 0)
    if not reason:
        reason = price_refusal(i, c.price)
    if not reason and is_value_above(i, c.price, c.quantity):
        return VALUE_ABOVE_MAX
    return reason

cdef inline uint16_t quantity_refusal(
    const Instrument* i, int64_t quantity, int64_t executed
) noexcept nogil:
    if quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if quantity > i.quantity_max:
        return QUANTITY_ABOVE_MAX
    if i.lot_size != 1 and quantity % i.lot_size:
        return QUANTITY_NOT_LOT
    if quantity <= executed:
        return QUANTITY_NOT_ABOVE_EXECUTED
    if quantity < i.quantity_min:
        return QUANTITY_BELOW_MIN
    return NONE

cdef inline bint is_value_above(
    const Instrument* i, int64_t price, int64_t quantity
) noexcept nogil:
    # The largest price times the largest quantity passes 63 bits, but not 64.
    return <uint64_t>price * <uint64_t>quantity > <uint64_t>i.value_max

cdef inline bint is_listing(
    uint8_t order_type, uint8_t time_in_force, const Asked* asked
) noexcept nogil:
    # A plain LIMIT order that may rest.
    return (
        order_type == LIMIT
        and (time_in_force == DAY or time_in_force == GTC or time_in_force == GTD)
        and not asked.instructions & (POST_ONLY_BITS | FROM_QUOTE)
        and not (asked.display or asked.minimum)
    )

cdef inline bint is_price(int64_t price) noexcept nogil:
    return 0 < price <= PRICE_LIMIT

cdef inline bint is_on_tick(const Instrument* i, int64_t price) noexcept nogil:
    return is_price(price) and price % tick_at(i, price) == 0

cdef inline uint16_t price_refusal(const Instrument* i, int64_t price) noexcept nogil:
    cdef int64_t tick = i.tick_size
    if price <= 0:
        return PRICE_NOT_POSITIVE
    if price > PRICE_LIMIT:
        return PRICE_ABOVE_MAX
    if unlikely(i.has_steps):
        tick = tick_at(i, price)
    if tick != 1 and price % tick:
        return PRICE_NOT_TICK
    if is_outside_band(i, price):
        return PRICE_ABOVE_BAND if price > i.band_high else PRICE_BELOW_BAND
    return NONE

cdef inline int64_t protection_price(
    const State* s, const Instrument* i, uint8_t side
) noexcept nogil:
    # The limit of a market order, no further than the collar; 0 when there is nothing to meet.
    cdef uint32_t best = i.sides[BUY + SELL - side].best
    cdef int64_t limit, edge
    if best == 0:
        return 0
    limit = protected(i, side, s.orders[s.levels[best].head].price)
    if unlikely(i.has_limits):
        edge = collar_edge(i, side, base_price(i))
        return min(limit, edge) if side == BUY else max(limit, edge)
    return limit

cdef inline int64_t protected(const Instrument* i, uint8_t side, int64_t price) noexcept nogil:
    # The limit of what trades at `price` or a little worse; 0 if there is no such price.
    if not is_price(price):
        return 0
    if side == BUY:
        price = price * (BP + i.parameters[PROTECTION_BP]) // BP
        price = round_down(i, min(price, <int64_t>PRICE_LIMIT))
        return min(price, i.band_high) if i.band_high >= 0 else price
    price = (price * (BP - i.parameters[PROTECTION_BP]) + BP - 1) // BP
    return max(round_up(i, max(price, <int64_t>1)), i.band_low)

cdef inline int64_t band_edge(const Instrument* i, uint8_t side) noexcept nogil:
    # 0 without a band.
    if i.band_high < 0:
        return 0
    return min(
        i.band_high if side == BUY else i.band_low, round_down(i, <int64_t>PRICE_LIMIT)
    )
