# cython: boundscheck=False, wraparound=False, cdivision=True
"""Hash tables of the compiled engine: open addressing, no Python object, no scan.

An `Index` finds places of a pool: a slot is 32 bits of the key's hash, the tag, and the place; the
key itself stands in the pool only, and the caller compares it. `Labels` holds what is remembered
under a client order id; its rows are those of the snapshot. No table has an order that anyone can
see.
"""

from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from matching.layout cimport ClientOrderId
from matching.memory cimport (
    HUGE_PAGE,
    Pool, likely, pick, pool_close, pool_next, pool_open, pool_reserve, prefetch,
    raise_memory_error, release, reserve, take, touch, unlikely,
)
from matching.snapshot cimport ClientOrderIdRow

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil

cdef enum:
    INDEX_BITS_AT_FIRST = 10
    SMALL_BITS = 16  # of an index that stays near
    ROWS_AHEAD = 16  # that are fetched before their turn

# -- places by key -------------------------------------------------------------------------------

cdef struct Index:
    uint64_t* slots  # tag << 32 | place; 0 = free
    uint64_t mask
    uint64_t count
    uint64_t room  # for so many, before it grows
    int shift  # of a tag, to where its search begins

cdef inline uint32_t tag_of(uint64_t key) noexcept nogil:
    return <uint32_t>((key * <uint64_t>0x9E3779B97F4A7C15) >> 32)

cdef inline uint64_t index_room(int bits) noexcept nogil:
    # A quarter of a small one, so that nearly every search ends at its first slot; half of others.
    return (<uint64_t>1 << bits) >> (2 if bits <= SMALL_BITS else 1)

cdef inline int index_open(Index* x, int bits) except -1 nogil:
    cdef size_t size = sizeof(uint64_t) << bits
    x.slots = <uint64_t*>reserve(size)
    if x.slots == NULL or take(<char*>x.slots, size, 0 if size >= HUGE_PAGE else size):
        return raise_memory_error()
    x.mask = (<uint64_t>1 << bits) - 1
    x.count = 0
    x.room = index_room(bits)
    x.shift = 32 - bits
    return 0

cdef inline void index_close(Index* x) noexcept nogil:
    release(<char*>x.slots, (x.mask + 1) * sizeof(uint64_t))

cdef inline int index_empty(Index* x, int bits) except -1 nogil:
    index_close(x)
    x.slots = NULL
    return index_open(x, bits)

cdef inline int index_bits(uint64_t count) noexcept nogil:
    # Of an index that as many places do not make grow.
    cdef int bits = INDEX_BITS_AT_FIRST
    while index_room(bits) < count:
        bits += 1
    return bits

cdef inline void index_await(const Index* x, uint32_t tag) noexcept nogil:
    # Has the slot fetched where a search for the tag will begin.
    prefetch(&x.slots[tag >> x.shift])

cdef inline uint64_t index_begin(const Index* x, uint32_t tag) noexcept nogil:
    return tag >> x.shift

cdef inline uint32_t index_next(const Index* x, uint32_t tag, uint64_t* at) noexcept nogil:
    # The next place with the tag, whose key is most likely the one; 0 when there is none.
    cdef uint64_t slot = x.slots[at[0]]
    while slot:
        at[0] = (at[0] + 1) & x.mask
        if slot >> 32 == tag:
            return <uint32_t>slot
        slot = x.slots[at[0]]
    return 0

cdef inline uint32_t index_guess(const Index* x, uint32_t tag) noexcept nogil:
    # The place which the tag most likely stands for: the caller looks at its key. Two slots and no
    # branch, because this is asked ahead of time.
    cdef uint64_t at = index_begin(x, tag)
    cdef uint64_t first = x.slots[at], second = x.slots[(at + 1) & x.mask]
    return <uint32_t>pick(<uint32_t>(first >> 32) == tag, first, second)

cdef inline void index_place(Index* x, uint64_t slot) noexcept nogil:
    cdef uint64_t at = index_begin(x, <uint32_t>(slot >> 32))
    while x.slots[at] != 0:
        at = (at + 1) & x.mask
    x.slots[at] = slot
    x.count += 1

cdef inline int index_grow(Index* x) except -1 nogil:
    # Slots stand in order of their tags, so both tables are passed from one end to the other.
    return index_widen(x, 33 - x.shift)

cdef inline int index_widen(Index* x, int bits) except -1 nogil:
    cdef Index wider
    cdef uint64_t full[64]
    cdef uint64_t at, some = 0, place
    index_open(&wider, bits)
    for at in range(x.mask + 1):
        full[some] = x.slots[at]
        some += x.slots[at] != 0
        if some == 64 or at == x.mask:
            for place in range(some):
                index_place(&wider, full[place])
            some = 0
    index_close(x)
    x[0] = wider
    return 0

cdef inline int index_reserve(Index* x, uint64_t count) except -1 nogil:
    # Room for as many, and the memory for it now.
    if count > x.room:
        index_widen(x, index_bits(count))
    touch(<char*>x.slots, (x.mask + 1) * sizeof(uint64_t))
    return 0

cdef inline int index_add(Index* x, uint32_t tag, uint32_t place) except -1 nogil:
    # The place must be absent.
    if unlikely(x.count == x.room):
        index_grow(x)
    index_place(x, <uint64_t>tag << 32 | place)
    return 0

cdef inline void index_remove(Index* x, uint32_t tag, uint32_t place) noexcept nogil:
    # Backward shift: what follows moves up, so there are no tombstones to pass. The place must
    # be there.
    cdef uint64_t slot = <uint64_t>tag << 32 | place
    cdef uint64_t gap = index_begin(x, tag), at
    while x.slots[gap] != slot:
        gap = (gap + 1) & x.mask
    at = gap
    while True:
        at = (at + 1) & x.mask
        slot = x.slots[at]
        if slot == 0:
            break
        if ((at - (slot >> 32 >> x.shift)) & x.mask) >= ((at - gap) & x.mask):
            x.slots[gap] = slot
            gap = at
    x.slots[gap] = 0
    x.count -= 1

# -- client order ids ----------------------------------------------------------------------------

cdef struct LabelRow:  # a line of memory, written past the caches
    ClientOrderIdRow row
    uint64_t unused

cdef struct Labels:
    LabelRow* rows  # from 1, in no order; forgotten only all at once
    Pool pool  # of the rows
    Index places
    uint64_t seed
    uint64_t missed_at  # where the last search that found nothing ended, for which tag, and when
    uint64_t missed_count
    uint32_t missed_tag
    uint64_t reserved  # rows that memory was taken for

cdef inline uint64_t labels_count(const Labels* t) noexcept nogil:
    return t.pool.end - 1

cdef inline uint32_t label_tag(
    const Labels* t, uint32_t account_id, const ClientOrderId* label
) noexcept nogil:
    cdef uint64_t mixed = fold(label.head ^ t.seed, label.tail ^ <uint64_t>0xA0761D6478BD642F)
    return <uint32_t>(fold(mixed ^ account_id, t.seed ^ <uint64_t>0xE7037ED1A0B428DB) >> 32)

cdef inline int labels_open(Labels* t, uint64_t places) except -1 nogil:
    pool_open(&t.pool, sizeof(LabelRow), places)
    index_open(&t.places, INDEX_BITS_AT_FIRST)
    t.rows = <LabelRow*>t.pool.base
    # Clients choose labels, so they must not know where they fall: an address will do as a
    # seed, since the order of the table shows nowhere.
    t.seed = fold(<uint64_t><uintptr_t>t.rows, <uint64_t>0x9E3779B97F4A7C15)
    return 0

cdef inline void labels_close(Labels* t) noexcept nogil:
    pool_close(&t.pool)
    index_close(&t.places)

cdef inline int labels_reindex(Labels* t) except -1 nogil:
    cdef uint32_t row
    index_empty(&t.places, index_bits(max(labels_count(t), t.reserved)))
    t.missed_count = 0
    for row in range(1, t.pool.end):
        index_add(
            &t.places,
            label_tag(t, t.rows[row].row.account_id, &t.rows[row].row.client_order_id),
            row,
        )
    return 0

cdef inline int labels_reserve(Labels* t, uint64_t count) except -1 nogil:
    # Takes the memory of as many now, for good.
    t.reserved = max(t.reserved, count)
    pool_reserve(&t.pool, count)
    return index_reserve(&t.places, count)

cdef inline ClientOrderIdRow* labels_find(
    Labels* t, uint32_t account_id, const ClientOrderId* label, uint32_t tag
) noexcept nogil:
    cdef uint64_t at = index_begin(&t.places, tag)
    cdef uint32_t place = index_next(&t.places, tag, &at)
    cdef ClientOrderIdRow* row
    while place:
        row = &t.rows[place].row
        if (
            row.account_id == account_id
            and row.client_order_id.head == label.head
            and row.client_order_id.tail == label.tail
        ):
            return row
        place = index_next(&t.places, tag, &at)
    t.missed_at = at
    t.missed_tag = tag
    t.missed_count = t.places.count
    return NULL

cdef inline uint64_t* labels_add(Labels* t, uint32_t tag) except NULL nogil:
    # The label must be absent; the caller writes the row.
    cdef uint32_t place = pool_next(&t.pool)
    cdef Index* x = &t.places
    if likely(t.missed_tag == tag and t.missed_count == x.count and x.count < x.room):
        x.slots[t.missed_at] = <uint64_t>tag << 32 | place
        x.count += 1
    else:
        index_add(x, tag, place)
    return <uint64_t*>&t.rows[place]
