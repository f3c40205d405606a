# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The trading day of an instrument for the compiled engine: phases, and calls with one price.

The same as `matching.reference.phases`, `.calls` and `.call_price`. The price of a call is found
from the levels that cross, whatever stands at each of them.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort

from matching.draws cimport draw
from matching.events cimport emit, emit_fill, emit_order
from matching.holds cimport hold_of, settle
from matching.ladder cimport (
    end_resting, key_of, ladder_level, ladder_next, ladder_remove, level_append, level_unlink,
    order_key, remove_filled,
)
from matching.layout cimport *
from matching.growth cimport raise_memory_error
from matching.memory cimport unlikely
from matching.state cimport (
    NS_PER_MS,
    SIDES, BookSide, CallPrice, Instrument, Order, State,
    base_price, count_trade, line_at, order_find, price_of,
)
from matching.terms cimport show

cdef enum:  # wider than int
    TIME_MAX = 0x7FFF_FFFF_FFFF_FFFF

cdef uint8_t[CLOSING_CALL + 1] PHASES_AFTER  # by Phase, a bit for each Phase that may follow

# -- phases --------------------------------------------------------------------------------------

cdef bint is_call(uint8_t phase) noexcept nogil:
    return phase == OPENING_CALL or phase == VOLATILITY_CALL or phase == CLOSING_CALL

cdef uint16_t phase_refusal(uint8_t phase, uint8_t time_in_force, bint must_match) noexcept nogil:
    if phase == CLOSED:
        return MARKET_CLOSED
    if phase == HALT:
        return MARKET_HALTED
    if time_in_force == AT_THE_OPENING and phase != START_OF_DAY and phase != OPENING_CALL:
        return ORDER_NOT_ALLOWED_IN_PHASE
    return ORDER_NOT_ALLOWED_IN_PHASE if must_match and phase != CONTINUOUS else NONE

cdef int phase_change(State* s, Instrument* named, const CommandRecord* c) except -1 nogil:
    cdef int64_t at, first = s.events_count
    if c.order_type > CLOSING_CALL:
        return UNKNOWN_PHASE
    if c.instrument_id:
        move(s, named, c.order_type, c.quantity)
    else:
        for at in range(s.instruments_count):
            move(s, s.instruments[s.instrument_ids[at]], c.order_type, c.quantity)
    return PHASE_TRANSITION_REFUSED if s.events_count == first else 0

cdef int move(State* s, Instrument* i, uint8_t phase, int64_t seed) except -1 nogil:
    # At once, or with a seed at a random moment; says nothing if it may not be.
    if not may_enter(i, phase) or (seed and not is_call(i.phase)):
        return 0
    if seed == 0:
        return enter(s, i, phase)
    end_later(s, i, phase, 0, draw(<uint64_t>seed, i.instrument_id))
    e = emit(s, CALL_ENDING)
    e.instrument_id = i.instrument_id
    e.order_type = phase
    return 0

cdef bint may_enter(const Instrument* i, uint8_t phase) noexcept nogil:
    if i.is_listed and is_call(phase):
        return False
    return PHASES_AFTER[i.phase] >> phase & 1

cdef void end_later(
    const State* s, Instrument* i, uint8_t phase, int64_t after_ms, uint64_t chance
) noexcept nogil:
    cdef int64_t after
    after_ms += <int64_t>(chance % <uint64_t>(i.parameters[RANDOM_END_MS] + 1))
    after = after_ms * <int64_t>NS_PER_MS
    i.change_at_ns = max(min(s.time_ns, <int64_t>TIME_MAX - after) + after, 1)
    i.change_to = phase

cdef int clock_tick(State* s) except -1 nogil:
    # Calls end whose moment has come, then the indicative prices.
    cdef Instrument* i
    cdef int64_t at
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        if 0 < i.change_at_ns <= s.time_ns:
            i.change_at_ns = 0
            if may_enter(i, i.change_to):
                enter(s, i, i.change_to)
            else:
                i.change_to = 0
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        if is_call(i.phase):
            say_indicative(s, i)
    return 0

cdef int enter(State* s, Instrument* i, uint8_t phase) except -1 nogil:
    # Changes the phase, with all that goes before and after it.
    cdef bint is_closing = i.phase == CLOSING_CALL
    cdef CallPrice found
    if phase == CONTINUOUS or (is_closing and phase == CLOSED):
        uncross(s, i, &found)
        if is_closing and found.volume:
            i.call_price = found.price
    if phase == CONTINUOUS:
        end_call_orders(s, i, AT_THE_OPENING)
    if is_closing:
        end_call_orders(s, i, AT_THE_CLOSE)
    i.phase = phase
    i.change_at_ns = 0
    i.change_to = 0
    i.indicative.price = i.indicative.volume = i.indicative.surplus = 0
    e = emit(s, PHASE_CHANGED)
    e.instrument_id = i.instrument_id
    e.order_type = phase
    if phase == HALT or phase == VOLATILITY_CALL or phase == CLOSED:
        end_non_persistent(s, i)
    if phase == CLOSING_CALL:
        enter_the_book(s, i, line_at(i, PARKED, BUY))
        enter_the_book(s, i, line_at(i, PARKED, SELL))
    return 0

cdef int enter_the_book(State* s, Instrument* i, BookSide* parked) except -1 nogil:
    # The orders parked for this call, in order of arrival.
    cdef uint32_t place
    cdef Order* o
    while parked.best:
        place = s.levels[parked.best].head
        o = &s.orders[place]
        level_unlink(s, place)
        if s.levels[o.level].head == 0:
            ladder_remove(s, parked, o.level)
        o.queue = BOOK
        level_append(s, place, ladder_level(s, &i.sides[o.side], order_key(s, i, o)))
        if o.terms:
            show(s, o)
        emit_order(s, TRIGGERED, o, NONE, hold_of(o, i.fee_max), o.leaves)
    return 0

cdef int compare_ids(const void* a, const void* b) noexcept nogil:
    cdef uint64_t left = (<const uint64_t*>a)[0]
    cdef uint64_t right = (<const uint64_t*>b)[0]
    return (left > right) - (left < right)

cdef int end_non_persistent(State* s, Instrument* i) except -1 nogil:
    # In rising order of id.
    cdef uint64_t* found
    cdef size_t count = 0, at
    cdef int side
    for side in range(BUY, SIDES + 1):
        count += find_non_persistent(s, &i.sides[side], NULL)
    if count == 0:
        return 0
    found = <uint64_t*>malloc(count * sizeof(uint64_t))
    if found == NULL:
        return raise_memory_error()
    count = 0
    for side in range(BUY, SIDES + 1):
        count += find_non_persistent(s, &i.sides[side], &found[count])
    qsort(found, count, sizeof(uint64_t), compare_ids)
    for at in range(count):
        end_resting(s, i, order_find(s, found[at]), NOT_PERSISTENT)
    free(found)
    return 0

cdef size_t find_non_persistent(
    const State* s, const BookSide* side, uint64_t* found
) noexcept nogil:
    # How many there are; `found` is NULL or has a place for each id.
    cdef uint32_t at = side.best, place
    cdef size_t count = 0
    while at:
        place = s.levels[at].head
        while place:
            if s.orders[place].instructions & NON_PERSISTENT:
                if found != NULL:
                    found[count] = s.orders[place].order_id
                count += 1
            place = s.links[place].next
        at = ladder_next(s, side, s.levels[at].key)
    return count

cdef int interrupt(State* s, Instrument* i, uint64_t order_id) except -1 nogil:
    # A volatility call because of an order.
    enter(s, i, VOLATILITY_CALL)
    if i.parameters[VOLATILITY_CALL_MS]:
        end_later(
            s, i, CONTINUOUS, i.parameters[VOLATILITY_CALL_MS], draw(order_id, i.instrument_id)
        )
    return 0

cdef uint32_t reach(
    const State* s, const Instrument* i, uint8_t side, uint32_t limit
) noexcept nogil:
    # The key within which an order trades now: VOLATILITY_BP of the base; 0 = with nobody.
    cdef int64_t base = base_price(i), width = i.parameters[VOLATILITY_BP], low, high, price
    cdef int64_t tick = i.parameters[TICK_SIZE]
    cdef uint32_t best = i.sides[BUY + SELL - side].best
    if base == 0 or best == 0:
        return limit
    low = (base * (BP - width) + BP - 1) // BP
    high = base * (BP + width) // BP
    price = price_of(s, best)
    if price < low if side == BUY else price > high:
        return 0
    if side == BUY:
        return min(limit, key_of(i, SELL, min(high, <int64_t>PRICE_LIMIT)))
    return min(limit, key_of(i, BUY, (low + tick - 1) // tick * tick))

cdef int end_call_orders(State* s, Instrument* i, uint8_t time_in_force) except -1 nogil:
    # The call is over for which they were.
    end_those(s, i, &i.sides[BUY], time_in_force)
    return end_those(s, i, &i.sides[SELL], time_in_force)

cdef int end_those(
    State* s, Instrument* i, const BookSide* side, uint8_t time_in_force
) except -1 nogil:
    cdef uint32_t at = side.best, after, place, behind
    while at:
        after = ladder_next(s, side, s.levels[at].key)
        place = s.levels[at].head
        while place:
            behind = s.links[place].next
            if s.orders[place].time_in_force == time_in_force:
                end_resting(s, i, place, CALL_ENDED)
            place = behind
        at = after
    return 0

# -- one price -----------------------------------------------------------------------------------

cdef struct Best:  # of the limits so far: those with the most volume and the least surplus
    CallPrice lowest
    CallPrice highest
    CallPrice nearest  # to the reference

cdef int find_price(State* s, const Instrument* i, CallPrice* found) except -1 nogil:
    # From the lowest limit that crosses to the highest; zeros when nothing does.
    cdef const BookSide* bids = &i.sides[BUY]
    cdef const BookSide* asks = &i.sides[SELL]
    cdef uint32_t bid = bids.best, ask = asks.best
    cdef uint32_t* crossing  # bids, best first
    cdef int64_t lowest, buys = 0, count = 0, at
    found.price = found.volume = found.surplus = 0
    if bid == 0 or ask == 0 or i.is_listed:
        return 0
    lowest = price_of(s, ask)
    while bid and price_of(s, bid) >= lowest:
        buys += s.levels[bid].quantity
        count += 1
        bid = ladder_next(s, bids, s.levels[bid].key)
    if count == 0:
        return 0
    crossing = <uint32_t*>malloc(count * sizeof(uint32_t))
    if crossing == NULL:
        return raise_memory_error()
    bid = bids.best
    for at in range(count):
        crossing[at] = bid
        bid = ladder_next(s, bids, s.levels[bid].key)
    choose(s, i, crossing, count - 1, buys, found)
    free(crossing)
    return 0

cdef void choose(
    const State* s, const Instrument* i, const uint32_t* crossing, int64_t at, int64_t buys,
    CallPrice* found,
) noexcept nogil:
    # `at` is the place of the lowest bid that crosses, `buys` what all of them want.
    cdef int64_t highest = price_of(s, crossing[0]), reference = base_price(i), bid_price, ask_price
    cdef uint32_t ask = i.sides[SELL].best
    cdef CallPrice limit
    cdef Best best
    best.highest.volume = 0
    limit.surplus = buys
    limit.volume = 0
    while at >= 0:
        bid_price = price_of(s, crossing[at])
        ask_price = price_of(s, ask) if ask else highest + 1
        limit.price = min(bid_price, ask_price)
        if ask_price == limit.price:
            limit.surplus -= s.levels[ask].quantity
            ask = ladder_next(s, &i.sides[SELL], s.levels[ask].key)
        limit.volume = min(buys, buys - limit.surplus)
        consider(&best, &limit, reference)
        if bid_price == limit.price:
            buys -= s.levels[crossing[at]].quantity
            limit.surplus -= s.levels[crossing[at]].quantity
            at -= 1
    # From limit to limit the surplus only falls, so the ends tell of which sides it is.
    if best.highest.surplus > 0:
        found[0] = best.highest
    elif best.lowest.surplus < 0:
        found[0] = best.lowest
    else:
        found[0] = best.nearest

cdef void consider(Best* best, const CallPrice* limit, int64_t reference) noexcept nogil:
    # Limits come from the lowest on.
    cdef int64_t less = limit.volume - best.highest.volume
    if less < 0:
        return
    if less == 0:
        less = distance(best.highest.surplus, 0) - distance(limit.surplus, 0)
        if less < 0:
            return
    best.highest = limit[0]
    if less > 0:
        best.lowest = best.nearest = limit[0]
    elif distance(limit.price, reference) <= distance(best.nearest.price, reference):
        best.nearest = limit[0]

cdef int64_t distance(int64_t a, int64_t b) noexcept nogil:
    return a - b if a > b else b - a

cdef int say_indicative(State* s, Instrument* i) except -1 nogil:
    cdef CallPrice found
    find_price(s, i, &found)
    if (
        found.price == i.indicative.price
        and found.volume == i.indicative.volume
        and found.surplus == i.indicative.surplus
    ):
        return 0
    i.indicative = found
    return say(s, INDICATIVE, i, &found)

cdef int say(State* s, uint8_t kind, const Instrument* i, const CallPrice* found) except -1 nogil:
    e = emit(s, kind)
    e.instrument_id = i.instrument_id
    e.price = found.price
    e.quantity = found.volume
    e.value = found.surplus
    return 0

# -- uncrossing ----------------------------------------------------------------------------------

cdef int uncross(State* s, Instrument* i, CallPrice* found) except -1 nogil:
    # Trades all that crosses at one price, the best buy with the best sell.
    cdef int64_t rest
    find_price(s, i, found)
    if found.volume == 0:
        return 0
    say(s, UNCROSSED, i, found)
    rest = found.volume
    while rest:
        rest -= meet(s, i, rest, found.price)
    return 0

cdef int64_t meet(State* s, Instrument* i, int64_t rest, int64_t price) except -1 nogil:
    cdef uint32_t bid = s.levels[i.sides[BUY].best].head, ask = s.levels[i.sides[SELL].best].head
    cdef Order* buy = &s.orders[bid]
    cdef Order* sell = &s.orders[ask]
    cdef int64_t quantity = min(min(buy.leaves, sell.leaves), rest)
    count_trade(i, quantity, price, quantity * price)
    if buy.order_id < sell.order_id:
        called(s, i, buy, sell, MAKER, quantity, price)
        called(s, i, sell, buy, TAKER, quantity, price)
    else:
        called(s, i, sell, buy, MAKER, quantity, price)
        called(s, i, buy, sell, TAKER, quantity, price)
    if buy.leaves == 0:
        remove_filled(s, i, bid)
    if sell.leaves == 0:
        remove_filled(s, i, ask)
    return quantity

cdef int called(
    State* s, Instrument* i, Order* o, const Order* contra, uint8_t liquidity, int64_t quantity,
    int64_t price,
) except -1 nogil:
    # One side of a trade at the price of the call.
    cdef int64_t fee
    s.levels[o.level].quantity -= quantity
    fee = settle(s, i, o, quantity, quantity * price, i.parameters[MAKER_FEE_BP])
    if unlikely(o.terms != 0):
        show(s, o)
    return emit_fill(s, o, contra, liquidity, CALL_TRADE, quantity, price, fee)


def _read_transitions():
    from matching.layout import PHASE_TRANSITIONS

    for before, after in PHASE_TRANSITIONS:
        PHASES_AFTER[<int>before] |= 1 << <int>after


_read_transitions()
