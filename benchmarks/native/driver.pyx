# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Drives the compiled engine from C, without the GIL: whole batches, or command by command.

Ticks are those of the time stamp counter on x86-64, elsewhere nanoseconds.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from cpython.bytes cimport PyBytes_AS_STRING

from matching.compiled cimport Engine, apply_commands, apply_next, begin_commands
from matching.layout cimport HEADER_SIZE, INDEX_BITS, CommandRecord, Header
from matching.state cimport State

cdef extern from *:
    """
    #include <stdint.h>
    #include <time.h>
    static inline int64_t nanoseconds(void) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        return at.tv_sec * (int64_t)1000000000 + at.tv_nsec;
    }
    #if defined(__x86_64__)
    #include <x86intrin.h>
    static inline int64_t ticks(void) {  /* after all that was begun before it */
        unsigned core;
        int64_t at = (int64_t)__rdtscp(&core);
        _mm_lfence();
        return at;
    }
    #else
    static inline int64_t ticks(void) { return nanoseconds(); }
    #endif
    """
    int64_t nanoseconds() noexcept nogil
    int64_t ticks() noexcept nogil


def ticks_a_microsecond():
    """How many ticks a microsecond has, measured over 50 ms."""
    cdef int64_t begin = nanoseconds(), first = ticks(), end = begin, last
    with nogil:
        while end < begin + 50_000_000:
            end = nanoseconds()
        last = ticks()
    return (last - first) * 1e3 / (end - begin)


def empty(int64_t[::1] took):
    """Fills `took` with the ticks that looking at the clock twice takes."""
    cdef Py_ssize_t at
    cdef int64_t begin
    with nogil:
        for at in range(took.shape[0]):
            begin = ticks()
            took[at] = ticks() - begin


def each(Engine engine not None, list frames not None, int64_t[::1] took not None):
    """Applies frames in order; fills `took` with the ticks of each command in turn.

    Frames are taken as sound, and as appended when they were sent. Ticks include those of the
    clock itself.
    """
    cdef State* s = &engine.state
    cdef const CommandRecord* commands
    cdef const Header* header
    cdef Py_ssize_t done = 0
    cdef int64_t begin
    cdef uint32_t index
    for frame in frames:
        header = <const Header*>PyBytes_AS_STRING(frame)
        commands = <const CommandRecord*>(<const char*>header + HEADER_SIZE)
        if done + header.count > took.shape[0]:
            raise ValueError("more commands than places for their ticks")
        with nogil:
            s.events_count = 0
            s.time_ns = header.time_ns
            begin_commands(s)
            for index in range(header.count):
                begin = ticks()
                apply_next(
                    s, commands, header.count, index, header.time_ns,
                    <uint64_t>s.next_offset << INDEX_BITS,
                )
                took[done + index] = ticks() - begin
        done += header.count
        s.next_offset += 1
        s.next_event += s.events_count
    return done


def batches(Engine engine not None, list frames not None):
    """Applies frames in order. No checksum, no Python object an output."""
    cdef State* s = &engine.state
    cdef const Header* header
    for frame in frames:
        header = <const Header*>PyBytes_AS_STRING(frame)
        with nogil:
            s.events_count = 0
            s.time_ns = header.time_ns
            apply_commands(
                s, <const CommandRecord*>(<const char*>header + HEADER_SIZE), header.count,
                header.time_ns, <uint64_t>s.next_offset << INDEX_BITS,
            )
        s.next_offset += 1
        s.next_event += s.events_count
