# cython: boundscheck=False, wraparound=False, cdivision=True
"""The book: price levels in a ladder, orders in a queue at each level.

A ladder is a tree of 64-way nodes over 30 bits of price in ticks: five steps reach any price, and
a word of bits in each node finds the next one. Nothing is scanned and nothing is moved, however
many levels there are. Bids are kept by `KEY_MAX - ticks`, so that on both sides the lowest key is
the best price. The nodes touched last are remembered: near them one step is enough.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from matching.events cimport emit_order
from matching.holds cimport hold_of, move_hold
from matching.layout cimport BIDS, BOOK, BUY, CANCELLED, SELL, STOPS, TICK_SIZE
from matching.memory cimport likely, pick_place, unlikely
from matching.state cimport (
    BRANCHES, LEAVES, BookSide, Instrument, Level, Order, State,
    level_free, level_new, line_of, node_free, node_new, order_free, own_add, own_remove,
    terms_free,
)
from matching.tables cimport index_add, index_remove, order_tag

cdef extern from *:
    int lowest_bit "__builtin_ctzll"(uint64_t word) noexcept nogil

cdef enum:
    KEY_MAX = 0x3FFF_FFFF  # PRICE_LIMIT fits
    WAY_BITS = 6
    WAY_MASK = 63
    TOP_SHIFT = 24  # of the root's way; the last step's is 0

cdef inline uint32_t key_of(const Instrument* i, uint8_t side, int64_t price) noexcept nogil:
    # Most ticks are 1, and no division is as dear as one of 64 bits. Sides come as they like, so
    # there is no branch on them: KEY_MAX is all ones, and what is taken from it is its complement.
    cdef uint32_t ticks = <uint32_t>price
    if unlikely(i.tick_size != 1):
        ticks //= i.tick_size
    return ticks ^ (<uint32_t>KEY_MAX & (0 - <uint32_t>(side == BUY)))

# -- ladder --------------------------------------------------------------------------------------

cdef inline uint32_t leaf_likely(const BookSide* side, uint32_t key) noexcept nogil:
    # The node of the key's last step, or another like it, or 0.
    return side.leaves[(key >> WAY_BITS) % LEAVES]

cdef inline uint32_t leaf_known(const State* s, const BookSide* side, uint32_t key) noexcept nogil:
    # The node of the key's last step, if it is remembered, else 0.
    cdef uint32_t node = leaf_likely(side, key)
    return node if likely(s.nodes[node].prefix == key >> WAY_BITS) else 0

cdef inline uint32_t ladder_find(const State* s, BookSide* side, uint32_t key) noexcept nogil:
    # The level at the key, 0 if there is none.
    cdef uint32_t node = leaf_known(s, side, key)
    if node == 0:
        node = branch_known(s, side, key)
        if node == 0:
            node = branch_find(s, side, key)
        node = step(s, node, (key >> WAY_BITS) & WAY_MASK)
        if node == 0:
            return 0
        remember_leaf(side, key, node)
    return step(s, node, key & WAY_MASK)

cdef inline uint32_t step(const State* s, uint32_t node, uint32_t way) noexcept nogil:
    # The child that way, 0 if there is none; of node 0, nobody.
    return s.nodes[node].child[way] & (0 - <uint32_t>(s.nodes[node].present >> way & 1))

cdef inline uint32_t branch_find(const State* s, BookSide* side, uint32_t key) noexcept nogil:
    cdef uint32_t node = side.root
    cdef int shift = TOP_SHIFT
    while shift > WAY_BITS:
        node = step(s, node, (key >> shift) & WAY_MASK)
        shift -= WAY_BITS
    if node:
        remember_branch(side, key, node)
    return node

cdef inline void remember_leaf(BookSide* side, uint32_t key, uint32_t node) noexcept nogil:
    side.leaves[(key >> WAY_BITS) % LEAVES] = node

cdef inline uint32_t branch_likely(const BookSide* side, uint32_t key) noexcept nogil:
    return side.branches[(key >> 2 * WAY_BITS) % BRANCHES]

cdef inline uint32_t branch_known(
    const State* s, const BookSide* side, uint32_t key
) noexcept nogil:
    # The same for the last step but one.
    cdef uint32_t node = branch_likely(side, key)
    return node if likely(s.nodes[node].prefix == key >> 2 * WAY_BITS) else 0

cdef inline void remember_branch(BookSide* side, uint32_t key, uint32_t node) noexcept nogil:
    side.branches[(key >> 2 * WAY_BITS) % BRANCHES] = node

cdef inline uint32_t ladder_leaf(State* s, BookSide* side, uint32_t key) except 0 nogil:
    cdef uint32_t node = branch_known(s, side, key), child, way
    cdef int shift = WAY_BITS
    if node == 0:
        shift = TOP_SHIFT
        if side.root == 0:
            side.root = node_new(s)
        node = side.root
    while shift > 0:
        way = (key >> shift) & WAY_MASK
        if s.nodes[node].present >> way & 1:
            child = s.nodes[node].child[way]
        else:
            child = node_new(s)
            s.nodes[child].prefix = key >> shift
            s.nodes[node].present |= <uint64_t>1 << way
            s.nodes[node].child[way] = child
        node = child
        shift -= WAY_BITS
        if shift == WAY_BITS:
            remember_branch(side, key, node)
    remember_leaf(side, key, node)
    return node

cdef inline uint32_t ladder_level(State* s, BookSide* side, uint32_t key) except 0 nogil:
    # The level at the key, made at need.
    cdef uint32_t node = leaf_known(s, side, key), place, way = key & WAY_MASK
    if node == 0:
        node = ladder_leaf(s, side, key)
    if s.nodes[node].present >> way & 1:
        return s.nodes[node].child[way]
    place = level_new(s)
    s.levels[place].quantity = 0
    s.levels[place].head = s.levels[place].tail = 0
    s.levels[place].key = key
    s.nodes[node].present |= <uint64_t>1 << way
    s.nodes[node].child[way] = place
    if side.best == 0 or key < s.levels[side.best].key:
        side.best = place
    return place

cdef inline uint32_t ladder_lowest(const State* s, uint32_t node, int shift) noexcept nogil:
    while shift >= 0:
        node = s.nodes[node].child[lowest_bit(s.nodes[node].present)]
        shift -= WAY_BITS
    return node

cdef inline uint32_t ladder_next(const State* s, const BookSide* side, uint32_t key) noexcept nogil:
    # The level after the one at the key, which must be there; 0 after the last.
    cdef uint32_t path[5]
    cdef uint32_t node = leaf_known(s, side, key)
    cdef uint64_t behind
    cdef int shift = TOP_SHIFT, depth = 0
    if node:
        behind = s.nodes[node].present & ~((<uint64_t>2 << (key & WAY_MASK)) - 1)
        if behind:
            return s.nodes[node].child[lowest_bit(behind)]
    node = side.root
    while shift > 0:
        path[depth] = node
        node = s.nodes[node].child[(key >> shift) & WAY_MASK]
        depth += 1
        shift -= WAY_BITS
    path[depth] = node
    while depth >= 0:
        behind = s.nodes[path[depth]].present & ~((<uint64_t>2 << ((key >> shift) & WAY_MASK)) - 1)
        if behind:
            node = s.nodes[path[depth]].child[lowest_bit(behind)]
            return ladder_lowest(s, node, shift - WAY_BITS)
        depth -= 1
        shift += WAY_BITS
    return 0

cdef inline void ladder_remove(State* s, BookSide* side, uint32_t place) noexcept nogil:
    cdef uint32_t key = s.levels[place].key
    cdef uint32_t path[5]
    cdef uint32_t node = leaf_known(s, side, key)
    cdef int shift = TOP_SHIFT, depth = 0
    if side.best == place:
        side.best = ladder_next(s, side, key)
    level_free(s, place)
    if node:
        s.nodes[node].present &= ~(<uint64_t>1 << (key & WAY_MASK))
        if s.nodes[node].present:
            return
    node = side.root
    while shift > 0:
        path[depth] = node
        node = s.nodes[node].child[(key >> shift) & WAY_MASK]
        depth += 1
        shift -= WAY_BITS
    path[depth] = node
    while depth >= 0:
        s.nodes[path[depth]].present &= ~(<uint64_t>1 << ((key >> shift) & WAY_MASK))
        if s.nodes[path[depth]].present:
            return
        if shift == 0 and leaf_known(s, side, key):
            remember_leaf(side, key, 0)
        if shift == WAY_BITS and branch_known(s, side, key):
            remember_branch(side, key, 0)
        node_free(s, path[depth])
        depth -= 1
        shift += WAY_BITS
    side.root = 0

# -- orders in the book --------------------------------------------------------------------------

cdef inline uint32_t order_key(
    const State* s, const Instrument* i, const Order* o
) noexcept nogil:
    # By price, stops by stop price, the one reached first in front; the others stand in one line.
    if likely(o.queue == BOOK or o.queue == BIDS):
        return key_of(i, o.side, o.price)
    if o.queue == STOPS:
        return key_of(i, BUY + SELL - o.side, s.terms[o.terms].stop_price)
    return 0

cdef inline void level_append(State* s, uint32_t place, uint32_t at) noexcept nogil:
    # Puts the order last at the level. Whether there is somebody before or behind is as good as
    # random, so this has no branch, nor has its counterpart.
    cdef Level* level = &s.levels[at]
    cdef uint32_t before = level.tail
    s.links[place].next = 0
    s.links[place].previous = before
    pick_place(before, &s.links[before].next, &level.head)[0] = place
    level.tail = place
    level.quantity += s.orders[place].leaves
    s.orders[place].level = at

cdef inline void level_unlink(State* s, uint32_t place) noexcept nogil:
    cdef Level* level = &s.levels[s.orders[place].level]
    cdef uint32_t before = s.links[place].previous, behind = s.links[place].next
    pick_place(before, &s.links[before].next, &level.head)[0] = behind
    pick_place(behind, &s.links[behind].previous, &level.tail)[0] = before
    level.quantity -= s.orders[place].leaves

cdef inline int book_rest(State* s, Instrument* i, uint32_t place) except -1 nogil:
    # Puts the order last where it belongs in its queue.
    cdef const Order* o = &s.orders[place]
    return rest_at(s, line_of(i, o), order_key(s, i, o), place)

cdef inline int rest_at(State* s, BookSide* side, uint32_t key, uint32_t place) except -1 nogil:
    cdef uint32_t at = ladder_level(s, side, key)
    index_add(&s.order_places, order_tag(s.orders[place].order_id), place)
    level_append(s, place, at)
    own_add(s, place)
    return 0

cdef inline void book_take(State* s, Instrument* i, uint32_t place) noexcept nogil:
    # Takes the order out of its queue, and its level with the last one; the order stays for
    # whoever took it out, and so do its terms.
    cdef const Order* o = &s.orders[place]
    level_unlink(s, place)
    if s.levels[o.level].head == 0:
        ladder_remove(s, line_of(i, o), o.level)
    index_remove(&s.order_places, order_tag(o.order_id), place)
    own_remove(s, place)

cdef inline int book_remove(State* s, Instrument* i, uint32_t place) except -1 nogil:
    # Takes the order out of its queue and the pool.
    book_take(s, i, place)
    order_free(s, place)
    return 0

cdef inline int remove_filled(State* s, Instrument* i, uint32_t place) except -1 nogil:
    if unlikely(s.orders[place].terms != 0):
        terms_free(s, s.orders[place].terms)
    return book_remove(s, i, place)

cdef inline int end_order(
    State* s, const Instrument* i, const Order* o, uint16_t reason
) except -1 nogil:
    # Gives back the hold of an order that rests nowhere, and its terms, and says why.
    cdef int64_t hold = hold_of(o, i.fee_max)
    move_hold(s, o, -hold, -o.leaves)
    emit_order(s, CANCELLED, o, reason, hold, o.leaves)
    if unlikely(o.terms != 0):
        terms_free(s, o.terms)
    return 0

cdef inline int end_resting(
    State* s, Instrument* i, uint32_t place, uint16_t reason
) except -1 nogil:
    book_take(s, i, place)
    end_order(s, i, &s.orders[place], reason)
    order_free(s, place)
    return 0

cdef inline int end_line(
    State* s, Instrument* i, const BookSide* side, uint16_t reason
) except -1 nogil:
    # Ends every order there, in its order.
    while side.best:
        end_resting(s, i, s.levels[side.best].head, reason)
    return 0
