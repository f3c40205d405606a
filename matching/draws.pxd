# cython: cdivision=True
"""`draws.py` for C: the same numbers from the same seeds."""

from libc.stdint cimport uint64_t

cdef inline uint64_t mix(uint64_t word) noexcept nogil:
    word = (word ^ word >> 30) * <uint64_t>0xBF58476D1CE4E5B9
    word = (word ^ word >> 27) * <uint64_t>0x94D049BB133111EB
    return word ^ word >> 31

cdef inline uint64_t draw(uint64_t seed, uint64_t key) noexcept nogil:
    return mix(mix(seed + <uint64_t>0x9E3779B97F4A7C15) ^ key)
