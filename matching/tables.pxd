# cython: boundscheck=False, wraparound=False, cdivision=True
"""Hash tables of the compiled engine: no Python object, no scan, mostly one line of memory.

An `Index` finds places of a pool. It is made of buckets, each a line of memory with seven places
and the tags that lead to them, 32 bits of the hash of a key; the key itself stands in the pool
only, and the caller compares it. What a full bucket would have held is in the next one that has
room, and each that was passed counts it. `Labels` holds what is remembered under a client order id.
No table has an order that anyone can see.
"""

from libc.stdint cimport uint32_t, uint64_t, uintptr_t

from matching.growth cimport index_widen, raise_memory_error
from matching.layout cimport ClientOrderId
from matching.memory cimport (
    HUGE_PAGE,
    Pool, likely, pool_close, pool_next, pool_open, pool_reserve, prefetch,
    release, reserve, take, touch, unlikely,
)
from matching.snapshot cimport ClientOrderIdRow

cdef extern from *:
    """
    #include <stdint.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif
    static inline uint64_t fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    typedef struct {  /* a line of memory */
        uint32_t tags[7];  /* 0 = free */
        uint32_t passed;  /* places behind it that belong here or in front */
        uint32_t places[8];  /* the last is nobody */
    } cx_bucket;
    static inline uint32_t cx_tagged(const cx_bucket *bucket, uint32_t tag) {
        /* A bit for each place which has the tag; with 0, for each free one. */
    #ifdef __SSE2__
        const __m128i same = _mm_set1_epi32((int)tag);
        const __m128i low = _mm_loadu_si128((const __m128i *)bucket->tags);
        const __m128i high = _mm_loadu_si128((const __m128i *)(bucket->tags + 3));
        return (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(low, same)))
            | (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(high, same))) << 3;
    #else
        uint32_t found = 0;
        for (int at = 0; at < 7; at++)
            found |= (uint32_t)(bucket->tags[at] == tag) << at;
        return found;
    #endif
    }
    static inline uint32_t cx_lowest(uint32_t word) { return (uint32_t)__builtin_ctz(word); }
    """
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil
    ctypedef struct Bucket "cx_bucket":
        uint32_t* tags
        uint32_t passed
        uint32_t* places
    uint32_t tagged "cx_tagged"(const Bucket* bucket, uint32_t tag) noexcept nogil
    uint32_t lowest "cx_lowest"(uint32_t word) noexcept nogil

cdef enum:
    PLACES_OF_BUCKET = 7
    FILLED = 4  # of them on average, before an index grows
    NOBODY = 1 << PLACES_OF_BUCKET  # the bit of the place that is none
    ROOM_AT_FIRST = 256
    ROWS_AT_ONCE = 32

# -- places by key -------------------------------------------------------------------------------

cdef struct Index:
    Bucket* buckets
    uint64_t size  # buckets
    uint64_t count
    uint64_t room  # for so many, before it grows

cdef struct Probe:  # a search
    Bucket* bucket
    uint32_t found  # places there that were not asked for yet

cdef inline uint32_t tag_of(uint64_t key) noexcept nogil:
    # Never 0, which is the tag of what is free.
    return <uint32_t>((key * <uint64_t>0x9E3779B97F4A7C15) >> 32) | 1

cdef inline uint32_t order_tag(uint64_t order_id) noexcept nogil:
    # Of an order's id, which is its place on the log: two neighbours there fall into one bucket,
    # so that a frame of new orders touches half as many. Never 0 either.
    cdef uint64_t mixed = (order_id >> 1) * <uint64_t>0x9E3779B97F4A7C15
    return (<uint32_t>(mixed >> 32) ^ <uint32_t>order_id) | 2

cdef inline uint64_t index_room(uint64_t count) noexcept nogil:
    # Of an index that as many places do not make grow.
    return (max(count, <uint64_t>ROOM_AT_FIRST) // FILLED + 1) * FILLED

cdef inline int index_open(Index* x, uint64_t room) except -1 nogil:
    cdef size_t size
    x.room = index_room(room)
    x.size = x.room // FILLED
    x.count = 0
    size = x.size * sizeof(Bucket)
    x.buckets = <Bucket*>reserve(size)
    if x.buckets == NULL or take(<char*>x.buckets, size, 0 if size >= HUGE_PAGE else size):
        return raise_memory_error()
    return 0

cdef inline void index_close(Index* x) noexcept nogil:
    release(<char*>x.buckets, x.size * sizeof(Bucket))

cdef inline int index_empty(Index* x, uint64_t room) except -1 nogil:
    index_close(x)
    x.buckets = NULL
    return index_open(x, room)

cdef inline Bucket* index_home(const Index* x, uint32_t tag) noexcept nogil:
    # Where a search for the tag begins.
    return &x.buckets[tag * x.size >> 32]

cdef inline Bucket* index_behind(const Index* x, Bucket* bucket) noexcept nogil:
    bucket += 1
    return x.buckets if unlikely(bucket == &x.buckets[x.size]) else bucket

cdef inline void index_await(const Index* x, uint32_t tag) noexcept nogil:
    # Has the bucket fetched where a search for the tag begins.
    prefetch(index_home(x, tag))

cdef inline uint32_t index_first(const Index* x, uint32_t tag, Probe* probe) noexcept nogil:
    # A place with the tag, whose key is most likely the one; 0 when there is none.
    probe.bucket = index_home(x, tag)
    probe.found = tagged(probe.bucket, tag)
    return index_next(x, tag, probe)

cdef inline uint32_t index_next(const Index* x, uint32_t tag, Probe* probe) noexcept nogil:
    # The next one.
    cdef uint32_t at
    while unlikely(probe.found == 0):
        if likely(probe.bucket.passed == 0):
            return 0
        probe.bucket = index_behind(x, probe.bucket)
        probe.found = tagged(probe.bucket, tag)
    at = lowest(probe.found)
    probe.found &= probe.found - 1
    return probe.bucket.places[at]

cdef inline uint32_t index_guess(const Index* x, uint32_t tag) noexcept nogil:
    # The place which the tag most likely stands for: the caller looks at its key. Only its own
    # bucket and no branch, because this is asked ahead of time.
    cdef const Bucket* bucket = index_home(x, tag)
    return bucket.places[lowest(tagged(bucket, tag) | NOBODY)]

cdef inline void index_place(Index* x, uint32_t tag, uint32_t place) noexcept nogil:
    cdef Bucket* bucket = index_home(x, tag)
    cdef uint32_t free = tagged(bucket, 0), at
    while unlikely(free == 0):
        bucket.passed += 1
        bucket = index_behind(x, bucket)
        free = tagged(bucket, 0)
    at = lowest(free)
    bucket.tags[at] = tag
    bucket.places[at] = place
    x.count += 1

cdef inline int index_reserve(Index* x, uint64_t count) except -1 nogil:
    # Room for as many, and the memory for it now.
    if count > x.room:
        index_widen(x, count)
    touch(<char*>x.buckets, x.size * sizeof(Bucket))
    return 0

cdef inline int index_emptied(Index* x, uint64_t reserved) except -1 nogil:
    # Nothing is in it any more: what it has beyond the room that was reserved goes back.
    if x.room > index_room(reserved):
        index_empty(x, reserved)
    return index_reserve(x, reserved) if reserved else 0

cdef inline int index_add(Index* x, uint32_t tag, uint32_t place) except -1 nogil:
    # The place must be absent.
    if unlikely(x.count == x.room):
        index_widen(x, 2 * x.room)
    index_place(x, tag, place)
    return 0

cdef inline void index_remove(Index* x, uint32_t tag, uint32_t place) noexcept nogil:
    # The place must be there.
    cdef Bucket* bucket = index_home(x, tag)
    cdef uint32_t found = tagged(bucket, tag)
    while unlikely(bucket.places[lowest(found | NOBODY)] != place):
        found &= found - 1
        if found == 0:
            bucket.passed -= 1
            bucket = index_behind(x, bucket)
            found = tagged(bucket, tag)
    bucket.tags[lowest(found)] = 0
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
    uint64_t reserved  # rows that memory was taken for

cdef inline uint64_t labels_count(const Labels* t) noexcept nogil:
    return t.pool.end - 1

cdef inline uint32_t label_tag(
    const Labels* t, uint32_t account_id, const ClientOrderId* label
) noexcept nogil:
    cdef uint64_t mixed = fold(label.head ^ t.seed, label.tail ^ <uint64_t>0xA0761D6478BD642F)
    return <uint32_t>(fold(mixed ^ account_id, t.seed ^ <uint64_t>0xE7037ED1A0B428DB) >> 32) | 1

cdef inline int labels_open(Labels* t, uint64_t places) except -1 nogil:
    pool_open(&t.pool, sizeof(LabelRow), places)
    index_open(&t.places, ROOM_AT_FIRST)
    t.rows = <LabelRow*>t.pool.base
    # Clients choose labels, so they must not know where they fall: an address will do as a
    # seed, since the order of the table shows nowhere.
    t.seed = fold(<uint64_t><uintptr_t>t.rows, <uint64_t>0x9E3779B97F4A7C15)
    return 0

cdef inline void labels_close(Labels* t) noexcept nogil:
    pool_close(&t.pool)
    index_close(&t.places)

cdef inline int labels_reindex(Labels* t) except -1 nogil:
    # Some rows at a time, so that one need not wait for the bucket of the one before.
    cdef uint32_t tags[ROWS_AT_ONCE]
    cdef uint32_t row, first = 1, end
    index_empty(&t.places, max(labels_count(t), t.reserved))
    while first < t.pool.end:
        end = min(first + ROWS_AT_ONCE, t.pool.end)
        for row in range(first, end):
            tags[row - first] = label_tag(
                t, t.rows[row].row.account_id, &t.rows[row].row.client_order_id
            )
            index_await(&t.places, tags[row - first])
        for row in range(first, end):
            index_add(&t.places, tags[row - first], row)
        first = end
    return 0

cdef inline int labels_reserve(Labels* t, uint64_t count) except -1 nogil:
    # Takes the memory of as many now, for good.
    t.reserved = max(t.reserved, count)
    pool_reserve(&t.pool, count)
    return index_reserve(&t.places, count)

cdef inline ClientOrderIdRow* labels_find(
    Labels* t, uint32_t account_id, const ClientOrderId* label, uint32_t tag
) noexcept nogil:
    cdef Probe probe
    cdef uint32_t place = index_first(&t.places, tag, &probe)
    cdef ClientOrderIdRow* row
    while place:
        row = &t.rows[place].row
        if (
            row.account_id == account_id
            and row.client_order_id.head == label.head
            and row.client_order_id.tail == label.tail
        ):
            return row
        place = index_next(&t.places, tag, &probe)
    return NULL

cdef inline uint64_t* labels_add(Labels* t, uint32_t tag) except NULL nogil:
    # The label must be absent; the caller writes the row.
    cdef uint32_t place = pool_next(&t.pool)
    index_add(&t.places, tag, place)
    return <uint64_t*>&t.rows[place]
