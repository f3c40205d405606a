"""What is done when room runs out: seldom, so kept out of the code of all who ask for room.

A pool, an index and a state are named by their address alone, for their own files cimport this.
"""

from libc.stdint cimport uint64_t

cdef int raise_memory_error() except -1 nogil
cdef int pool_grow(void* pool, uint64_t places) except -1 nogil
cdef int index_widen(void* index, uint64_t room) except -1 nogil
cdef int events_grow(void* state) except -1 nogil
