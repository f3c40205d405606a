# cython: boundscheck=False, wraparound=False, cdivision=True
"""Looking ahead: what commands will need is fetched before the first of them is done.

A miss takes longer than a command, and a command misses four times in a row when its book or its
accounts are many. So some commands of a frame are taken through the steps below together. What
is found on the way is a guess by some bits of the key: who uses it looks at the key, and searches
if it is not the right one or has changed since. So nothing here can change what a command does.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from matching.ladder cimport (
    KEY_MAX, WAY_BITS, WAY_MASK, branch_likely, key_of, ladder_find, leaf_likely, step,
)
from matching.layout cimport (
    BUY, CANCEL_ORDER, NEW_ORDER, SELL, ClientOrderId, CommandRecord,
)
from matching.memory cimport likely, pick, prefetch, seat_of, unlikely
from matching.state cimport (
    APART, FEW, LOOKS, LOOKS_KEPT, BookSide, Instrument, Level, Link, Look, Order, State,
    shelf_find,
)
from matching.tables cimport index_await, index_guess, label_tag, order_tag

# Before the commands of a frame `look_first`, and before each of them `look`: each step for one
# further on than the step after it, so that what it asked for has come. All kinds go the same way:
# to fetch what will not be used is cheaper than to guess a branch wrong.

cdef inline void look_first(
    State* s, const CommandRecord* c, uint32_t count, uint64_t position
) noexcept nogil:
    # What would have been looked at before the commands in front, if there were any.
    cdef uint32_t at
    for at in range(min(count, <uint32_t>(2 * LOOKS))):
        look_up(s, &c[at], position | at, look_of(s, at))
    for at in range(min(count, <uint32_t>LOOKS)):
        look_at(s, &c[at], look_of(s, at))

cdef inline void look(
    State* s, const CommandRecord* c, uint32_t count, uint32_t index, uint64_t position
) noexcept nogil:
    cdef uint32_t at = index + 2 * LOOKS
    if likely(at < count):
        look_up(s, &c[at], position | at, look_of(s, at))
    at = index + LOOKS
    if likely(at < count):
        look_at(s, &c[at], look_of(s, at))

cdef inline void look_first_far(
    State* s, const CommandRecord* c, uint32_t count, uint64_t position
) noexcept nogil:
    cdef uint32_t at
    for at in range(min(count, 4 * APART)):
        look_up_far(s, &c[at], position | at, look_of(s, at))
    for at in range(min(count, 3 * APART)):
        look_at_far(s, &c[at], look_of(s, at))
    for at in range(min(count, 2 * APART)):
        look_behind(s, &c[at], look_of(s, at))
    for at in range(min(count, APART)):
        look_beside(s, &c[at], look_of(s, at))

cdef inline void look_far(
    State* s, const CommandRecord* c, uint32_t count, uint32_t index, uint64_t position
) noexcept nogil:
    # The same in more steps.
    cdef uint32_t at = index + 4 * APART
    if likely(at < count):
        look_up_far(s, &c[at], position | at, look_of(s, at))
    at = index + 3 * APART
    if likely(at < count):
        look_at_far(s, &c[at], look_of(s, at))
    at = index + 2 * APART
    if likely(at < count):
        look_behind(s, &c[at], look_of(s, at))
    at = index + APART
    if likely(at < count):
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

cdef inline void look_up(
    State* s, const CommandRecord* c, uint64_t position, Look* look
) noexcept nogil:
    # Where the tables will be asked, and where a new order will be found.
    cdef ClientOrderId label = c.client_order_id
    look.label_tag = label_tag(&s.labels, c.account_id, &label)
    index_await(&s.labels.places, look.label_tag)
    prefetch(&s.sessions[seat_of(c.session_id)])
    prefetch(&s.accounts[seat_of(c.account_id)])
    look.order_tag = order_tag(pick(c.kind == NEW_ORDER, position, c.order_id))
    index_await(&s.order_places, look.order_tag)

cdef inline void look_up_far(
    State* s, const CommandRecord* c, uint64_t position, Look* look
) noexcept nogil:
    # The instrument as well.
    cdef const Instrument* i = s.instruments[c.instrument_id]
    look_up(s, c, position, look)
    if likely(i != NULL):
        prefetch(i)
        prefetch(&i.sides[BUY])
        prefetch(&i.sides[SELL])

cdef inline void look_at(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # What they will most likely answer, and the holding, if it is among the first of its account.
    look.order = index_guess(&s.order_places, look.order_tag)
    await_resting(s, look.order)
    look.holding = shelf_find(&s.accounts[seat_of(c.account_id)].shelf, c.instrument_id)
    prefetch(&s.holdings[look.holding])

cdef inline void look_at_far(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # The best of both sides as well, and the ladder where it would rest.
    cdef const Instrument* i = s.instruments[c.instrument_id]
    cdef uint8_t side = side_of(c)
    look_at(s, c, look)
    look.best = 0
    if likely(i != NULL):
        look.best = i.sides[BUY + SELL - side].best
        prefetch(&s.levels[look.best])
        prefetch(&s.levels[i.sides[side].best])
        await_leaf(s, &i.sides[side], key_of(i, side, c.price) & KEY_MAX)

cdef inline void look_behind(State* s, const CommandRecord* c, Look* look) noexcept nogil:
    # The level where it would rest, and whom it would meet first; or all that an order which goes
    # leaves.
    cdef Instrument* i = s.instruments[c.instrument_id]
    look.level = 0
    if c.kind == CANCEL_ORDER:
        look.best = 0
        await_leaving(s, look.order)
    elif likely(i != NULL):
        look.level = ladder_find(s, &i.sides[side_of(c)], key_of(i, c.side, c.price) & KEY_MAX)
        prefetch(&s.levels[look.level])
        look_for_trade(s, i, BUY + SELL - side_of(c), c.price, look)

cdef inline void look_for_trade(
    State* s, const Instrument* i, uint8_t side, int64_t price, Look* look
) noexcept nogil:
    # Keeps the best level of that side only if it would be met.
    cdef const Level* best = &s.levels[look.best]
    if look.best and best.key <= key_of(i, side, price):
        prefetch(&i.volume)
        await_resting(s, best.head)
        await_node(s, &i.sides[side], best.key)
    else:
        look.best = 0

cdef inline void look_beside(State* s, const CommandRecord* c, const Look* look) noexcept nogil:
    # Who stands beside it: at its price, among the orders of its holding, or in its way.
    prefetch(&s.links[s.levels[look.level].tail])
    prefetch(&s.links[s.holdings[look.holding].orders])
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
    await_way(s, leaf_likely(side, key), key)

cdef inline void await_leaf(const State* s, const BookSide* side, uint32_t key) noexcept nogil:
    # The same of any price: a book of thousands of prices has more last nodes than are remembered.
    # The nodes above them are near if the books are few; else it is as good to guess.
    cdef bint is_few = s.instruments_count <= FEW
    await_way(s, branch_way(s, side, key) if is_few else leaf_likely(side, key), key)

cdef inline uint32_t branch_way(const State* s, const BookSide* side, uint32_t key) noexcept nogil:
    # The node of the key's last step by the one above it, if that is remembered.
    return step(s, branch_likely(side, key), (key >> WAY_BITS) & WAY_MASK)

cdef inline void await_way(const State* s, uint32_t node, uint32_t key) noexcept nogil:
    prefetch(&s.nodes[node].present)
    prefetch(&s.nodes[node].child[key & WAY_MASK])

cdef inline void await_order(State* s, uint32_t place) noexcept nogil:
    # All that its end will touch. Its own memory should be there.
    cdef const Order* o = &s.orders[place]
    index_await(&s.order_places, order_tag(o.order_id))
    prefetch(&s.accounts[o.account])
    prefetch(&s.holdings[o.holding])
    prefetch(&s.levels[o.level])
    prefetch(&s.orders[s.links[place].next])
    await_neighbours(s, place)

cdef inline void await_leaving(State* s, uint32_t place) noexcept nogil:
    # The same of one that its account cancels.
    cdef const Order* o = &s.orders[place]
    cdef const Instrument* i = s.instruments[o.instrument_id]
    prefetch(&s.holdings[o.holding])
    prefetch(&s.levels[o.level])
    await_neighbours(s, place)
    if likely(i != NULL):
        await_node(s, &i.sides[o.side], key_of(i, o.side, o.price) & KEY_MAX)

cdef inline void await_neighbours(State* s, uint32_t place) noexcept nogil:
    cdef const Link* link = &s.links[place]
    prefetch(&s.links[link.next])
    prefetch(&s.links[link.previous])
    prefetch(&s.links[link.own_next])
    prefetch(&s.links[link.own_previous])
