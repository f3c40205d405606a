# cython: boundscheck=False, wraparound=False, cdivision=True
"""Matching: what an accepted order does when it comes, is replaced anew, or is triggered.

Price, then arrival. Whatever only rare orders have is asked for behind one branch that is well
predicted: a mode of self-trade prevention, a minimum, an iceberg's slice, a stop price.
"""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uintptr_t

from matching.ahead cimport await_next
from matching.calls cimport interrupt, reach
from matching.events cimport emit_fill
from matching.holds cimport settle_buy, settle_sell
from matching.ladder cimport (
    KEY_MAX, book_rest, end_order, key_of, ladder_next, remove_filled, rest_at,
)
from matching.layout cimport (
    BOOK, BOOK_TRADE, BUY, CONTINUOUS, FILL_OR_KILL_UNFILLED, FOK,
    IMMEDIATE_OR_CANCEL_REMAINDER, IOC,
    MAKER, MAKER_FEE_BP, MINIMUM_QUANTITY_UNFILLED, SELL, STOPS, TAKER, TAKER_FEE_BP,
    VOLATILITY_BP,
)
from matching.memory cimport likely, pick, unlikely
from matching.self_trade cimport are_one, is_fillable_by_others, mode_of, prevent
from matching.state cimport (
    BookSide, Instrument, Order, State, count_trade, line_of, order_free, terms_free,
)
from matching.terms cimport is_used_up, refill, show, take_visible

cdef inline int enter_order(
    State* s, Instrument* i, uint32_t place, int64_t minimum
) except -1 nogil:
    # Lets an accepted order wait for its stop price or its call, or trade. It has its place in
    # the pool, but nobody finds it yet.
    if unlikely(s.orders[place].queue != BOOK):
        if s.orders[place].queue == STOPS:
            i.has_stops = True
        return book_rest(s, i, place)
    return trade(s, i, place, minimum)

cdef inline int trade(State* s, Instrument* i, uint32_t own, int64_t minimum) except -1 nogil:
    # The order in the place of its own meets the other side, if it is the time for it, then rests
    # or ends; `minimum` is what must trade at once.
    cdef const Order* o = &s.orders[own]
    if unlikely(i.phase != CONTINUOUS or i.is_listed):
        return rest(s, i, own, key_of(i, BUY + SELL - o.side, o.price))
    return cross(s, i, own, minimum)

cdef inline int cross(State* s, Instrument* i, uint32_t own, int64_t minimum) except -1 nogil:
    # It is the time for it.
    cdef const Order* taker = &s.orders[own]
    cdef const BookSide* others = &i.sides[BUY + SELL - taker.side]
    cdef uint32_t key = key_of(i, BUY + SELL - taker.side, taker.price)
    cdef uint16_t reason
    if others.best and s.levels[others.best].key <= key:
        return meet(s, i, own, key, minimum)
    if likely(taker.time_in_force != IOC and taker.time_in_force != FOK and minimum == 0):
        return rest(s, i, own, key)
    reason = IMMEDIATE_OR_CANCEL_REMAINDER
    if minimum:
        reason = MINIMUM_QUANTITY_UNFILLED
    if taker.time_in_force == FOK:
        reason = FILL_OR_KILL_UNFILLED
    return end_unseen(s, i, own, reason)

cdef inline int meet(
    State* s, Instrument* i, uint32_t own, uint32_t whole, int64_t minimum
) except -1 nogil:
    # There is somebody to meet: `whole` is the key of the order's price on their side.
    cdef Order* taker = &s.orders[own]
    cdef BookSide* others = &i.sides[BUY + SELL - taker.side]
    cdef uint32_t limit = whole
    cdef bint is_guarded = mode_of(taker) != 0, is_sweep = False, is_stopped
    cdef uint32_t place
    cdef uint64_t order_id
    if unlikely(i.has_volatility):
        limit = reach(s, i, taker.side, whole)
    if taker.time_in_force == FOK and not is_fillable(s, others, limit, taker, taker.leaves):
        return end_unseen(s, i, own, FILL_OR_KILL_UNFILLED)
    if unlikely(minimum != 0) and not is_fillable(s, others, limit, taker, minimum):
        return end_unseen(s, i, own, MINIMUM_QUANTITY_UNFILLED)
    while taker.leaves and others.best and s.levels[others.best].key <= limit:
        place = s.levels[others.best].head
        await_next(s, s.links[place].next, is_sweep)
        is_sweep = True
        if unlikely(is_guarded) and are_one(s, taker.account, s.orders[place].account):
            if prevent(s, i, place, taker):
                order_free(s, own)
                return 0
            continue
        fill(s, i, &s.orders[place], taker)
        if s.orders[place].leaves == 0:
            remove_filled(s, i, place)
        elif unlikely(s.orders[place].terms != 0) and is_used_up(s, &s.orders[place]):
            refill(s, i, place)
    if taker.leaves == 0:
        if unlikely(taker.terms != 0):
            terms_free(s, taker.terms)
        order_free(s, own)
        return 0
    is_stopped = unlikely(limit != whole) and others.best and s.levels[others.best].key <= whole
    order_id = taker.order_id
    if taker.time_in_force == IOC:
        end_unseen(s, i, own, IMMEDIATE_OR_CANCEL_REMAINDER)
    else:
        rest(s, i, own, whole)
    return interrupt(s, i, order_id) if is_stopped else 0

cdef inline int end_unseen(
    State* s, Instrument* i, uint32_t own, uint16_t reason
) except -1 nogil:
    # Of an order that nobody found.
    end_order(s, i, &s.orders[own], reason)
    order_free(s, own)
    return 0

cdef inline int rest(State* s, Instrument* i, uint32_t own, uint32_t whole) except -1 nogil:
    # `whole` is the key of its price on the other side.
    if unlikely(s.orders[own].terms != 0):
        show(s, &s.orders[own])
    return rest_at(s, line_of(i, &s.orders[own]), whole ^ <uint32_t>KEY_MAX, own)

cdef inline bint is_fillable(
    const State* s, const BookSide* others, uint32_t limit, const Order* taker, int64_t wanted
) noexcept nogil:
    # Whether the taker would trade as much at once.
    cdef uint32_t at = others.best
    if unlikely(mode_of(taker) != 0):
        return is_fillable_by_others(s, others, limit, taker, wanted)
    while at and s.levels[at].key <= limit:
        wanted -= s.levels[at].quantity
        if wanted <= 0:
            return True
        at = ladder_next(s, others, s.levels[at].key)
    return False

cdef inline int fill(State* s, Instrument* i, Order* maker, Order* taker) except -1 nogil:
    # Which of the two buys is as good as random, so this has no branch on it.
    cdef bint is_buying = taker.side == BUY
    cdef Order* buyer = choose_order(is_buying, taker, maker)
    cdef Order* seller = choose_order(is_buying, maker, taker)
    cdef int64_t buyer_bp = i.maker_fee_bp + is_buying * (i.taker_fee_bp - i.maker_fee_bp)
    cdef int64_t seller_bp = i.taker_fee_bp - is_buying * (i.taker_fee_bp - i.maker_fee_bp)
    cdef int64_t quantity = min(maker.leaves, taker.leaves)
    cdef int64_t price = maker.price
    cdef int64_t value, paid, received
    if unlikely(maker.terms != 0):
        quantity = take_visible(s, maker, quantity)
    value = quantity * price
    count_trade(i, quantity, price, value)
    s.levels[maker.level].quantity -= quantity
    paid = settle_buy(s, i, buyer, quantity, value, buyer_bp)
    received = settle_sell(s, i, seller, quantity, value, seller_bp)
    emit_fill(
        s, maker, taker, MAKER, BOOK_TRADE, quantity, price, choose_fee(is_buying, received, paid)
    )
    return emit_fill(
        s, taker, maker, TAKER, BOOK_TRADE, quantity, price, choose_fee(is_buying, paid, received)
    )

cdef inline Order* choose_order(bint is_first, Order* first, Order* second) noexcept nogil:
    return <Order*><uintptr_t>pick(
        is_first, <uint64_t><uintptr_t>first, <uint64_t><uintptr_t>second
    )

cdef inline int64_t choose_fee(bint is_first, int64_t first, int64_t second) noexcept nogil:
    return <int64_t>pick(is_first, <uint64_t>first, <uint64_t>second)
