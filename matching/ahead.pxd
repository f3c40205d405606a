# cython: boundscheck=False, wraparound=False, cdivision=True
"""Looking ahead: what commands will need is fetched before the first of them is done.

A miss takes longer than a command, and a command misses four times in a row when its book or its
accounts are many. So some commands of a frame are taken through the steps below together. What
is found on the way is a guess by the tag: who uses it looks at the key, and searches if it is not
the right one or has changed since. So nothing here can change what a command does.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from matching.ladder cimport KEY_MAX, key_of, ladder_find
from matching.layout cimport NEW_ORDER, SELL, ClientOrderId, CommandRecord
from matching.memory cimport likely, pick, prefetch, unlikely
from matching.state cimport LOOKS, NEAR, Instrument, Look, Order, State, holding_key
from matching.tables cimport index_await, index_guess, label_tag, near_of, tag_of

cdef inline void look(
    State* s, const CommandRecord* c, uint32_t count, uint32_t index, uint64_t position
) noexcept nogil:
    # The LOOKS commands of the frame from `index` on, or as many as there are, and where those
    # behind them will ask. All kinds go the same way: to fetch what will not be used is cheaper
    # than to guess a branch wrong.
    cdef uint32_t at, end = min(count, index + LOOKS)
    cdef bint is_far = unlikely(not is_near(s))
    for at in range(index + LOOKS if index else 0, min(count, index + 2 * LOOKS)):
        look_up(s, &c[at], position | at, look_of(s, at))
    for at in range(index, end):
        look_at(s, &c[at], look_of(s, at))
        if is_far:
            look_at_far(s, &c[at], look_of(s, at))
    if not is_far:
        for at in range(index, end):
            look_near(s, look_of(s, at))
        return
    for at in range(index, end):
        look_behind(s, &c[at], look_of(s, at))
    for at in range(index, end):
        look_beside(s, look_of(s, at))

cdef inline Look* look_of(State* s, uint32_t index) noexcept nogil:
    return &s.looks[index % (2 * LOOKS)]

cdef inline bint is_near(const State* s) noexcept nogil:
    # Whether so little is kept that the last steps cost more than they save.
    return (
        s.orders_count + s.account_pool.end + <int64_t>s.holding_pool.end < <int64_t>NEAR
    )

cdef inline void look_alone(State* s, const CommandRecord* c, uint64_t position) noexcept nogil:
    # Nothing is gained ahead of a single command.
    look_up(s, c, position, &s.looks[0])
    look_at(s, c, &s.looks[0])
    look_near(s, &s.looks[0])

cdef inline void look_up(
    State* s, const CommandRecord* c, uint64_t position, Look* look
) noexcept nogil:
    # Where the tables will be asked, and where a new order will be found.
    cdef ClientOrderId label = c.client_order_id
    look.label_tag = label_tag(&s.labels, c.account_id, &label)
    index_await(&s.labels.places, look.label_tag)
    prefetch(near_of(&s.sessions_near, c.session_id))
    prefetch(near_of(&s.accounts_near, c.account_id))
    index_await(&s.order_places, tag_of(pick(c.kind == NEW_ORDER, position, c.order_id)))
    prefetch(&s.instruments[c.instrument_id])

cdef inline void look_at(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # What they will most likely answer.
    look.session = near_of(&s.sessions_near, c.session_id)[0]
    prefetch(&s.sessions[look.session])
    look.account = near_of(&s.accounts_near, c.account_id)[0]
    prefetch(&s.accounts[look.account])
    look.order = index_guess(&s.order_places, tag_of(c.order_id))
    prefetch(&s.orders[look.order])

cdef inline void look_near(State* s, Look* look) noexcept nogil:
    # Most accounts have one holding.
    look.holding = s.accounts[look.account].holdings
    prefetch(&s.holdings[look.holding])

cdef inline void look_at_far(State* s, const CommandRecord* c, const Look* look) noexcept nogil:
    cdef const Instrument* i = s.instruments[c.instrument_id]
    prefetch(&s.orders[look.order].own_previous)
    index_await(&s.holding_places, tag_of(holding_key(look.account, c.instrument_id)))
    if likely(i != NULL):
        prefetch(i)
        prefetch(&i.sides)

cdef inline void look_behind(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # What that leads to: its holding, where it would rest, and what the order it names touches.
    cdef Instrument* i = s.instruments[c.instrument_id]
    cdef uint8_t side = 1 + (c.side == SELL)
    look.holding = index_guess(
        &s.holding_places, tag_of(holding_key(look.account, c.instrument_id))
    )
    prefetch(&s.holdings[look.holding])
    look.level = 0
    if likely(i != NULL):
        look.level = ladder_find(s, &i.sides[side], key_of(i, side, c.price) & KEY_MAX)
    prefetch(&s.levels[look.level])
    await_order(s, look.order)

cdef inline void look_beside(State* s, const Look* look) noexcept nogil:
    # Who will stand beside it: at its price, and among the orders of its account.
    prefetch(&s.orders[s.levels[look.level].tail])
    prefetch(&s.orders[s.holdings[look.holding].orders].own_previous)

cdef inline void await_order(State* s, uint32_t place) noexcept nogil:
    # All that its end will touch. Its own memory should be there.
    cdef const Order* o = &s.orders[place]
    index_await(&s.order_places, tag_of(o.order_id))
    prefetch(&s.accounts[o.account])
    prefetch(&s.holdings[o.holding])
    prefetch(&s.levels[o.level])
    prefetch(&s.orders[o.next])
    prefetch(&s.orders[o.next].own_previous)
    prefetch(&s.orders[o.previous])
    prefetch(&s.orders[o.own_next].own_previous)
    prefetch(&s.orders[o.own_previous].own_previous)
