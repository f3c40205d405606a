# cython: boundscheck=False, wraparound=False, cdivision=True
"""Hash tables of the compiled engine: open addressing, no Python object, no scan.

`Map` holds one integer under a key that is never 0. `Labels` holds what is remembered under a
client order id; its rows are those of the snapshot. Neither has an order that anyone can see.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc, realloc

from matching.layout cimport ClientOrderId
from matching.snapshot cimport ClientOrderIdRow

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    #define cx_likely(x) __builtin_expect(!!(x), 1)
    #define cx_unlikely(x) __builtin_expect(!!(x), 0)
    """
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil
    bint likely "cx_likely"(bint fact) noexcept nogil
    bint unlikely "cx_unlikely"(bint fact) noexcept nogil

cdef inline int raise_memory_error() except -1 nogil:
    with gil:
        raise MemoryError("the engine is out of memory")

# -- integers ------------------------------------------------------------------------------------

cdef struct MapEntry:
    uint64_t key  # 0 = free
    uint64_t value

cdef struct Map:
    MapEntry* entries
    uint64_t mask
    uint64_t count
    int shift

cdef inline uint64_t map_home(const Map* m, uint64_t key) noexcept nogil:
    return (key * <uint64_t>0x9E3779B97F4A7C15) >> m.shift

cdef inline int map_open(Map* m, int bits) except -1 nogil:
    m.entries = <MapEntry*>calloc(<size_t>1 << bits, sizeof(MapEntry))
    if m.entries == NULL:
        return raise_memory_error()
    m.mask = (<uint64_t>1 << bits) - 1
    m.count = 0
    m.shift = 64 - bits
    return 0

cdef inline MapEntry* map_find(const Map* m, uint64_t key) noexcept nogil:
    cdef uint64_t at = map_home(m, key)
    while m.entries[at].key != key:
        if m.entries[at].key == 0:
            return NULL
        at = (at + 1) & m.mask
    return &m.entries[at]

cdef inline void map_place(Map* m, uint64_t key, uint64_t value) noexcept nogil:
    cdef uint64_t at = map_home(m, key)
    while m.entries[at].key != 0:
        at = (at + 1) & m.mask
    m.entries[at].key = key
    m.entries[at].value = value
    m.count += 1

cdef inline int map_grow(Map* m) except -1 nogil:
    cdef Map wider
    cdef uint64_t at
    map_open(&wider, 65 - m.shift)
    for at in range(m.mask + 1):
        if m.entries[at].key != 0:
            map_place(&wider, m.entries[at].key, m.entries[at].value)
    free(m.entries)
    m[0] = wider
    return 0

cdef inline int map_add(Map* m, uint64_t key, uint64_t value) except -1 nogil:
    # The key must be absent. At most half full, so that a probe ends after a step or two.
    if unlikely(2 * m.count > m.mask):
        map_grow(m)
    map_place(m, key, value)
    return 0

cdef inline void map_remove(Map* m, uint64_t key) noexcept nogil:
    # Backward shift: what follows moves up, so there are no tombstones to scan past.
    cdef MapEntry* found = map_find(m, key)
    cdef uint64_t gap, at
    if found == NULL:
        return
    gap = at = <uint64_t>(found - m.entries)
    while True:
        at = (at + 1) & m.mask
        if m.entries[at].key == 0:
            break
        if ((at - map_home(m, m.entries[at].key)) & m.mask) >= ((at - gap) & m.mask):
            m.entries[gap] = m.entries[at]
            gap = at
    m.entries[gap].key = 0
    m.count -= 1

# -- client order ids ----------------------------------------------------------------------------

cdef struct Labels:
    ClientOrderIdRow* rows  # in no order; forgotten only all at once
    uint64_t* index  # high half: tag of the hash; low half: place in rows + 1, 0 = free
    uint64_t count
    uint64_t capacity  # of rows; the index has twice as many places
    uint64_t seed

cdef inline uint64_t label_hash(
    const Labels* t, uint32_t account_id, const ClientOrderId* label
) noexcept nogil:
    cdef uint64_t mixed = fold(label.head ^ t.seed, label.tail ^ <uint64_t>0xA0761D6478BD642F)
    return fold(mixed ^ account_id, t.seed ^ <uint64_t>0xE7037ED1A0B428DB)

cdef inline int labels_open(Labels* t, uint64_t capacity) except -1 nogil:
    t.rows = <ClientOrderIdRow*>malloc(capacity * sizeof(ClientOrderIdRow))
    t.index = <uint64_t*>calloc(2 * capacity, sizeof(uint64_t))
    if t.rows == NULL or t.index == NULL:
        return raise_memory_error()
    t.count = 0
    t.capacity = capacity
    # Clients choose labels, so they must not know where they fall: an address will do as a
    # seed, since the order of the table shows nowhere.
    t.seed = fold(<uint64_t><uintptr_t>t.rows, <uint64_t>0x9E3779B97F4A7C15)
    return 0

cdef inline void labels_place(Labels* t, uint64_t row, uint64_t mixed) noexcept nogil:
    cdef uint64_t mask = 2 * t.capacity - 1
    cdef uint64_t at = mixed & mask
    while t.index[at] != 0:
        at = (at + 1) & mask
    t.index[at] = (mixed >> 32 << 32) | (row + 1)

cdef inline void labels_reindex(Labels* t) noexcept nogil:
    # The index must be all zeros.
    cdef uint64_t row
    for row in range(t.count):
        labels_place(
            t, row, label_hash(t, t.rows[row].account_id, &t.rows[row].client_order_id)
        )

cdef inline int labels_grow(Labels* t) except -1 nogil:
    cdef ClientOrderIdRow* rows
    cdef uint64_t* index
    rows = <ClientOrderIdRow*>realloc(t.rows, 2 * t.capacity * sizeof(ClientOrderIdRow))
    if rows == NULL:
        return raise_memory_error()
    t.rows = rows
    index = <uint64_t*>calloc(4 * t.capacity, sizeof(uint64_t))
    if index == NULL:
        return raise_memory_error()
    free(t.index)
    t.index = index
    t.capacity *= 2
    labels_reindex(t)
    return 0

cdef inline ClientOrderIdRow* labels_find(
    const Labels* t, uint32_t account_id, const ClientOrderId* label
) noexcept nogil:
    cdef uint64_t mask = 2 * t.capacity - 1
    cdef uint64_t mixed = label_hash(t, account_id, label)
    cdef uint64_t at = mixed & mask
    cdef ClientOrderIdRow* row
    while t.index[at] != 0:
        if t.index[at] >> 32 == mixed >> 32:
            row = &t.rows[<uint32_t>t.index[at] - 1]
            if (
                row.account_id == account_id
                and row.client_order_id.head == label.head
                and row.client_order_id.tail == label.tail
            ):
                return row
        at = (at + 1) & mask
    return NULL

cdef inline ClientOrderIdRow* labels_add(
    Labels* t, uint32_t account_id, const ClientOrderId* label
) except NULL nogil:
    # The label must be absent; the caller fills the rest of the row.
    cdef ClientOrderIdRow* row
    if unlikely(t.count == t.capacity):
        labels_grow(t)
    row = &t.rows[t.count]
    row.account_id = account_id
    row.client_order_id = label[0]
    labels_place(t, t.count, label_hash(t, account_id, label))
    t.count += 1
    return row
