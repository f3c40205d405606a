# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Growing: of a pool, an index, the events of a record; and what is said when memory ends."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from matching.layout cimport EventRecord
from matching.memory cimport HUGE_PAGE, Pool, take
from matching.state cimport State
from matching.tables cimport (
    PLACES_OF_BUCKET, Bucket, Index, index_close, index_open, index_place,
)

cdef int raise_memory_error() except -1 nogil:
    with gil:
        raise MemoryError("the engine is out of memory")

cdef int pool_grow(void* pool, uint64_t places) except -1 nogil:
    # Until `places` can be written, and twice as many as before. Those that were never written
    # hold zeros. After a huge page only whole ones are taken, or the last would be in small ones.
    cdef Pool* p = <Pool*>pool
    cdef size_t size = min(max(places, 2 * <uint64_t>p.ready), <uint64_t>p.places) * p.row
    if places > p.places:
        return raise_memory_error()
    if size > HUGE_PAGE:
        size = (size + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
    if take(p.base, size, HUGE_PAGE):
        return raise_memory_error()
    p.ready = <uint32_t>min(size // p.row, <uint64_t>p.places)
    return 0

cdef int index_widen(void* index, uint64_t room) except -1 nogil:
    # Buckets stand in order of their tags, so both tables are passed from one end to the other.
    cdef Index* x = <Index*>index
    cdef Index wider
    cdef const Bucket* bucket
    cdef uint64_t at
    cdef int nth
    index_open(&wider, room)
    for at in range(x.size):
        bucket = &x.buckets[at]
        for nth in range(PLACES_OF_BUCKET):
            if bucket.tags[nth]:
                index_place(&wider, bucket.tags[nth], bucket.places[nth])
    index_close(x)
    x[0] = wider
    return 0

cdef int events_grow(void* state) except -1 nogil:
    # Room for twice as many; from where they were lent they move to the state's own memory.
    cdef State* s = <State*>state
    cdef int64_t room = max(2 * s.events_capacity, s.own_capacity)
    cdef void* moved = realloc(s.own_events, room * sizeof(EventRecord))
    if moved == NULL:
        return raise_memory_error()
    if s.events != s.own_events:
        memcpy(moved, s.events, s.events_count * sizeof(EventRecord))
    s.events = s.own_events = <EventRecord*>moved
    s.events_capacity = s.own_capacity = room
    return 0
