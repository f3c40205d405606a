# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Planted faults: each of them must end the process in a sanitized build, but for `nothing`."""

from libc.stdint cimport INT64_MAX, int32_t, int64_t
from libc.stdlib cimport free, malloc

cdef int64_t* block(int count) except NULL:
    cdef int64_t* made = <int64_t*>malloc(count * sizeof(int64_t))
    if made == NULL:
        raise MemoryError
    made[0] = 1
    return made

def nothing(int count):
    """No fault: a block of memory used as it should be."""
    cdef int64_t* made = block(count)
    made[count - 1] = count
    free(made)

def write_past_the_end(int count):
    """One element too far."""
    cdef int64_t* made = block(count)
    made[count] = count
    free(made)

def write_before_the_start(int count):
    """One element too early."""
    cdef int64_t* made = block(count)
    made[-count] = count
    free(made)

def read_after_free(int count):
    """A block that is no more."""
    cdef int64_t* made = block(count)
    free(made)
    return made[0]

def free_twice(int count):
    """A block given back twice."""
    cdef int64_t* made = block(count)
    free(made)
    free(made)

def write_past_the_array(int count):
    """One element past an array on the stack."""
    cdef int64_t[4] array
    array[count] = count
    return array[count - 1]

def signed_overflow(int count):
    """A sum that 64 bits do not hold."""
    cdef int64_t largest = INT64_MAX
    return largest + count

def shift_too_far(int count):
    """As many bits as there are, and more."""
    cdef int64_t one = 1
    return one << (60 + count)

def divide_by_zero(int count):
    """By a number that is 0."""
    cdef int64_t one = 1
    return one // (count - 4)

def misaligned(int count):
    """Eight bytes at an odd place."""
    cdef int64_t* made = block(count)
    cdef int64_t* odd = <int64_t*>(<char*>made + count // 4)
    odd[0] = count
    free(made)

def null(int count):
    """Through a pointer to nothing."""
    cdef int32_t* missing = NULL
    return missing[count]
