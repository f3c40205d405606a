# Under which number an order stands in a dictionary: another one for each order id.
#
# An id is offset << 16 | index, of which a frame uses some hundred of 65,536 indices, and Python
# begins to look for a number at its lowest bits: in a table of millions, ids of many frames would
# begin at the same few places. Here frames begin at places far from each other, and an order still
# lies beside its neighbours.

from libc.stdint cimport uint64_t

from matching.layout cimport INDEX_BITS

cdef enum:
    APART = 40503  # 2**16 over the golden ratio: multiples of it spread evenly

cdef inline uint64_t order_key(uint64_t order_id) noexcept nogil:
    cdef uint64_t offset = order_id >> INDEX_BITS
    cdef uint64_t indices = (<uint64_t>1 << INDEX_BITS) - 1
    return (order_id & ~indices) | ((order_id + offset * APART) & indices)
