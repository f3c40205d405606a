# cython: boundscheck=False, wraparound=False, cdivision=True
"""Memory of the compiled engine: address space is kept once, pages are taken as they are needed.

A `Pool` hands out places, counted from 1. It never moves and growing it copies nothing, so a
pointer into it stays good. Pages beyond the first two megabytes are huge ones where the system has
them: a book in small pages spends its time looking up pages.
"""

from libc.stdint cimport uint32_t, uint64_t

from matching.growth cimport pool_grow, raise_memory_error

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/mman.h>
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif
    #ifndef MAP_NORESERVE
    #define MAP_NORESERVE 0
    #endif
    #define cx_likely(x) __builtin_expect(!!(x), 1)
    #define cx_unlikely(x) __builtin_expect(!!(x), 0)
    #define CX_HUGE_PAGE ((size_t)2 << 20)
    #define CX_WHOLE(size) (((size) + CX_HUGE_PAGE - 1) & ~(CX_HUGE_PAGE - 1))

    static inline uint64_t cx_pick(int is_first, uint64_t first, uint64_t second) {
    #ifdef __x86_64__  /* as it is written, or the compiler finds the branch again */
        __asm__("test %1, %1\\n\\tcmovne %2, %0"
                : "+r"(second) : "r"(is_first), "rm"(first) : "cc");
        return second;
    #else
        uint64_t mask = -(uint64_t)(is_first != 0);
        __asm__("" : "+r"(mask));
        return second ^ ((first ^ second) & mask);
    #endif
    }
    static inline uint32_t *cx_pick_place(int is_first, uint32_t *first, uint32_t *second) {
        return (uint32_t *)(uintptr_t)cx_pick(is_first, (uintptr_t)first, (uintptr_t)second);
    }
    static inline char *cx_reserve(size_t size) {
        /* Huge pages begin at their own multiples: so does the memory. What is in front goes. */
        size_t room = CX_WHOLE(size) + CX_HUGE_PAGE, before;
        char *at = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANON | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
            return NULL;
        before = CX_WHOLE((uintptr_t)at) - (uintptr_t)at;
        if (before)
            munmap(at, before);
        munmap(at + before + CX_WHOLE(size), CX_HUGE_PAGE - before);
        return at + before;
    }
    static inline void *cx_lines_of(size_t size) {
        /* Zeros that begin with a line of the processor's; for free(). */
        void *at = aligned_alloc(64, (size + 63) & ~(size_t)63);
        return at == NULL ? NULL : memset(at, 0, size);
    }
    static inline int cx_take(char *base, size_t size, size_t in_small_pages) {
        int failed = mprotect(base, size, PROT_READ | PROT_WRITE);
    #ifdef MADV_HUGEPAGE
        if (!failed && size > in_small_pages)  /* advice: a system without them says no */
            (void)madvise(base + in_small_pages, size - in_small_pages, MADV_HUGEPAGE);
    #endif
        return failed;
    }
    static inline int cx_give_back(char *base, size_t size) {
        /* What is read there afterwards is zero. */
        return mmap(base, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANON | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED;
    }
    static inline void cx_touch(char *at, size_t size) {
        /* Writes what is there, so that the system gives the pages now. */
        for (volatile char *page = at; page < at + size; page += 4096)
            *page = *page;
    }
    static inline void cx_prefetch(const void *at) {
        /* Into the first cache: each command asks for few lines at a time. */
        __builtin_prefetch(at, 0, 3);
        __asm__ volatile("");  /* else gcc drops calls of what does nothing but this */
    }
    static inline void cx_write_past(uint64_t *at, uint64_t word) {
    #ifdef __SSE2__
        _mm_stream_si64((long long *)at, (long long)word);
    #else
        *at = word;
    #endif
    }
    static inline void cx_release(char *base, size_t size) {
        if (base != NULL)
            munmap(base, CX_WHOLE(size));
    }
    """
    bint likely "cx_likely"(bint fact) noexcept nogil
    bint unlikely "cx_unlikely"(bint fact) noexcept nogil
    # The first if it is so, else the second, without a branch: for sides and kinds, which come as
    # they like, so that every other guess of the processor would be wrong.
    uint64_t pick "cx_pick"(bint is_first, uint64_t first, uint64_t second) noexcept nogil
    # The same for where to write.
    uint32_t* pick_place "cx_pick_place"(
        bint is_first, uint32_t* first, uint32_t* second
    ) noexcept nogil
    char* reserve "cx_reserve"(size_t size) noexcept nogil
    void* lines_of "cx_lines_of"(size_t size) noexcept nogil
    bint take "cx_take"(char* base, size_t size, size_t in_small_pages) noexcept nogil
    bint give_back "cx_give_back"(char* base, size_t size) noexcept nogil
    void touch "cx_touch"(char* at, size_t size) noexcept nogil
    void release "cx_release"(char* base, size_t size) noexcept nogil
    # Past the caches: for whole lines that nobody will read soon.
    void write_past "cx_write_past"(uint64_t* at, uint64_t word) noexcept nogil
    void prefetch "cx_prefetch"(const void* at) noexcept nogil

cdef enum:
    HUGE_PAGE = 0x20_0000
    PLACES_AT_FIRST = 1024
    PLACES_MAX = 0x7FFF_FFFF
    SEATS = 0x2_0000  # places kept for numbers, of pools which have seats

# -- pools ---------------------------------------------------------------------------------------

cdef struct Pool:
    char* base
    size_t row  # bytes of a place
    uint32_t end  # the first place that was never handed out
    uint32_t ready  # places that can be written
    uint32_t places  # that address space is kept for
    uint32_t seats_end  # the first seat behind all that were taken

cdef inline int pool_open(Pool* p, size_t row, uint64_t places) except -1 nogil:
    # Place 0 is nobody and all zeros. (Of controls, what nobody holds is counted, and never asked.)
    p.row = row
    p.places = <uint32_t>min(max(places + 1, <uint64_t>PLACES_AT_FIRST), <uint64_t>PLACES_MAX)
    p.end = 1
    p.base = reserve(p.places * row)
    if p.base == NULL:
        return raise_memory_error()
    return pool_grow(p, PLACES_AT_FIRST)

cdef inline int seats_open(Pool* p, size_t row, uint64_t places) except -1 nogil:
    # A pool whose first places are seats: each is for the numbers that end like it, and the first
    # of them takes it. Whoever finds it taken gets a place behind the seats.
    pool_open(p, row, places + SEATS)
    pool_grow(p, SEATS + 1)
    p.end = SEATS
    p.seats_end = 1
    return 0

cdef inline uint32_t seat_of(uint32_t number) noexcept nogil:
    # Seat 0 is nobody's.
    return number % SEATS

cdef inline void seat_take(Pool* p, uint32_t seat) noexcept nogil:
    p.seats_end = max(p.seats_end, seat + 1)

cdef inline uint32_t seat_after(const Pool* p, uint32_t place) noexcept nogil:
    # The next place that may be in use; 0 after the last.
    place += 1
    if place < p.seats_end:
        return place
    place = max(place, <uint32_t>SEATS)
    return place if place < p.end else 0

cdef inline void pool_close(Pool* p) noexcept nogil:
    release(p.base, p.places * p.row)

cdef inline int pool_reserve(Pool* p, uint64_t places) except -1 nogil:
    # Takes the memory of as many places now, so that none is taken when they are handed out.
    if places >= p.ready:
        pool_grow(p, places + 1)
    touch(p.base, (places + 1) * p.row)
    return 0

cdef inline uint32_t pool_next(Pool* p) except 0 nogil:
    # A place that was never handed out.
    cdef uint32_t place = p.end
    if unlikely(place == p.ready):
        pool_grow(p, <uint64_t>place + 1)
    p.end += 1
    return place

cdef inline int pool_empty(Pool* p, uint64_t kept) except -1 nogil:
    # Nothing is in use any more: the pages behind so many places go back to the system. All places
    # can still be read, since some may be looked at ahead of time.
    cdef size_t begin = 0, end = p.ready * p.row
    if kept:
        begin = ((kept + 1) * p.row + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
    if begin < end and (
        give_back(p.base + begin, end - begin)
        or take(p.base + begin, end - begin, 0 if begin else HUGE_PAGE)
    ):
        return raise_memory_error()
    p.end = 1
    return 0
