# cython: boundscheck=False, wraparound=False, cdivision=True
"""Looking ahead: what commands will need is fetched before the first of them is done.

A miss takes longer than a command, and a command misses four times in a row when its book or its
accounts are many. So some commands of a frame are taken through the steps below together. What
is found on the way is a guess by some bits of the key: who uses it looks at the key, and searches
if it is not the right one or has changed since. So nothing here can change what a command does.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from matching.ladder cimport KEY_MAX, WAY_MASK, key_of, ladder_find, leaf_likely
from matching.layout cimport (
    BUY, CANCEL_ORDER, NEW_ORDER, SELL, ClientOrderId, CommandRecord,
)
from matching.memory cimport likely, pick, prefetch, seat_of, unlikely
from matching.state cimport (
    APART, LOOKS, LOOKS_KEPT, BookSide, Instrument, Level, Link, Look, Order, State,
    shelf_find,
)
from matching.tables cimport index_await, index_guess, label_tag, tag_of

cdef inline void look(
    State* s, const CommandRecord* c, uint32_t count, uint32_t index, uint64_t position
) noexcept nogil:
    # Before the commands of the frame from `index` on, LOOKS of them. All kinds go the same way: to
    # fetch what will not be used is cheaper than to guess a branch wrong.
    cdef uint32_t at
    if unlikely(s.is_far):
        look_far(s, c, count, index, position)
        return
    for at in range(index + 2 * LOOKS if index else 0, min(count, index + 3 * LOOKS)):
        look_up(s, &c[at], position | at, look_of(s, at))
    for at in range(index + LOOKS if index else 0, min(count, index + 2 * LOOKS)):
        look_at(s, &c[at], look_of(s, at))
        look_at_holding(s, &c[at], look_of(s, at))

cdef inline void look_far(
    State* s, const CommandRecord* c, uint32_t count, uint32_t index, uint64_t position
) noexcept nogil:
    # Before each command: each step for one further on than the step after it, so that what it
    # asked for has come.
    cdef uint32_t at
    for at in range(index + 5 * APART if index else 0, min(count, index + 5 * APART + 1)):
        look_up(s, &c[at], position | at, look_of(s, at))
    for at in range(index + 4 * APART if index else 0, min(count, index + 4 * APART + 1)):
        look_at(s, &c[at], look_of(s, at))
        look_at_far(s, &c[at])
    for at in range(index + 3 * APART if index else 0, min(count, index + 3 * APART + 1)):
        look_into(s, &c[at], look_of(s, at))
    for at in range(index + 2 * APART if index else 0, min(count, index + 2 * APART + 1)):
        look_behind(s, &c[at], look_of(s, at))
    for at in range(index + APART if index else 0, min(count, index + APART + 1)):
        look_beside(s, &c[at], look_of(s, at))

cdef inline Look* look_of(State* s, uint32_t index) noexcept nogil:
    return &s.looks[index % LOOKS_KEPT]

cdef inline bint is_far(const State* s) noexcept nogil:
    # Whether more is kept than stays near: else the last steps cost more than they save.
    return s.orders_count + s.accounts_count + <int64_t>s.holding_pool.end > s.near

cdef inline void look_alone(State* s, const CommandRecord* c, uint64_t position) noexcept nogil:
    # Nothing is gained ahead of a single command.
    look_up(s, c, position, &s.looks[0])
    look_at(s, c, &s.looks[0])
    look_at_holding(s, c, &s.looks[0])

cdef inline void look_up(
    State* s, const CommandRecord* c, uint64_t position, Look* look
) noexcept nogil:
    # Where the tables will be asked, and where a new order will be found.
    cdef ClientOrderId label = c.client_order_id
    look.label_tag = label_tag(&s.labels, c.account_id, &label)
    index_await(&s.labels.places, look.label_tag)
    prefetch(&s.sessions[seat_of(c.session_id)])
    prefetch(&s.accounts[seat_of(c.account_id)])
    index_await(&s.order_places, tag_of(pick(c.kind == NEW_ORDER, position, c.order_id)))
    prefetch(&s.instruments[c.instrument_id])

cdef inline void look_at(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # What they will most likely answer.
    look.order = index_guess(&s.order_places, tag_of(c.order_id))
    await_resting(s, look.order)

cdef inline void look_at_holding(State* s, const CommandRecord* c, const Look* look) noexcept nogil:
    # The holding, if it is among the first of the account.
    cdef uint32_t holding = shelf_find(&s.accounts[seat_of(c.account_id)].shelf, c.instrument_id)
    prefetch(&s.holdings[holding])

cdef inline void look_at_far(State* s, const CommandRecord* c) noexcept nogil:
    # The book, and the place of a new order when none was given back.
    cdef const Instrument* i = s.instruments[c.instrument_id]
    await_resting(s, s.order_pool.end + 5 * APART)
    if likely(i != NULL):
        prefetch(i)
        prefetch(&i.volume)
        prefetch(&i.sides[BUY])
        prefetch(&i.sides[SELL])

cdef inline void look_into(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # The holding; the best of both sides and the ladder where it would rest, or all that the order
    # it names touches.
    cdef const Instrument* i = s.instruments[c.instrument_id]
    cdef uint8_t side = side_of(c)
    look_at_holding(s, c, look)
    look.best = 0
    if c.kind == CANCEL_ORDER:
        await_order(s, look.order)
    elif likely(i != NULL):
        await_node(s, &i.sides[side], key_of(i, side, c.price) & KEY_MAX)
        look.best = i.sides[BUY + SELL - side].best
        prefetch(&s.levels[i.sides[side].best])
    prefetch(&s.levels[look.best])

cdef inline void look_behind(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # The level where it would rest, and whom it would meet first; the ladder that an order which
    # goes leaves.
    cdef uint8_t side = side_of(c)
    cdef const Order* o = &s.orders[look.order]
    cdef Instrument* i
    look.level = 0
    if c.kind == CANCEL_ORDER:
        i = s.instruments[o.instrument_id]
        if likely(i != NULL):
            await_node(s, &i.sides[o.side], key_of(i, o.side, o.price) & KEY_MAX)
        return
    i = s.instruments[c.instrument_id]
    if likely(i != NULL):
        look.level = ladder_find(s, &i.sides[side], key_of(i, side, c.price) & KEY_MAX)
        prefetch(&s.levels[look.level])
        look_for_trade(s, i, BUY + SELL - side, c.price, look)

cdef inline void look_for_trade(
    State* s, const Instrument* i, uint8_t side, int64_t price, Look* look
) noexcept nogil:
    # Keeps the best level of that side only if it would be met.
    cdef const Level* best = &s.levels[look.best]
    if look.best and best.key <= key_of(i, side, price):
        await_resting(s, best.head)
        await_node(s, &i.sides[side], best.key)
    else:
        look.best = 0

cdef inline void look_beside(State* s, const CommandRecord* c, const Look* look) noexcept nogil:
    # Who stands beside it: at its price, among the orders of its holding, or in its way.
    cdef uint32_t holding = shelf_find(&s.accounts[seat_of(c.account_id)].shelf, c.instrument_id)
    prefetch(&s.links[s.levels[look.level].tail])
    prefetch(&s.links[s.holdings[holding].orders])
    if look.best:
        await_order(s, s.levels[look.best].head)

cdef inline uint8_t side_of(const CommandRecord* c) noexcept nogil:
    # Whatever the command says, one of the two.
    return SELL if c.side == SELL else BUY

cdef inline void await_next(State* s, uint32_t place, bint is_sweep) noexcept nogil:
    # The order that a taker may meet after this one: all of it, if it has met more than one.
    if is_sweep:
        await_order(s, place)
    else:
        await_resting(s, place)

cdef inline void await_resting(State* s, uint32_t place) noexcept nogil:
    prefetch(&s.orders[place])
    prefetch(&s.links[place])

cdef inline void await_node(State* s, const BookSide* side, uint32_t key) noexcept nogil:
    # Where the ladder holds the level of the key, if its last node is remembered.
    cdef uint32_t node = leaf_likely(side, key)
    prefetch(&s.nodes[node].present)
    prefetch(&s.nodes[node].child[key & WAY_MASK])

cdef inline void await_order(State* s, uint32_t place) noexcept nogil:
    # All that its end will touch. Its own memory should be there.
    cdef const Order* o = &s.orders[place]
    cdef const Link* link = &s.links[place]
    index_await(&s.order_places, tag_of(o.order_id))
    prefetch(&s.accounts[o.account])
    prefetch(&s.holdings[o.holding])
    prefetch(&s.levels[o.level])
    await_resting(s, link.next)
    prefetch(&s.links[link.previous])
    prefetch(&s.links[link.own_next])
    prefetch(&s.links[link.own_previous])
