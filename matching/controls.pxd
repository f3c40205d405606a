# cython: boundscheck=False, wraparound=False, cdivision=True
"""What an account may do, or a participant with all its accounts, and how much it has of all.

Most accounts have no controls, and then nothing is counted for them.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef __int128 cx_tonnes;  /* each of 65,535 instruments may have 2**62 */
    static inline void cx_tonnes_add(cx_tonnes *t, int64_t more) { *t += more; }
    static inline int cx_tonnes_pass(const cx_tonnes *t, int64_t more, int64_t most) {
        return *t + more > most;
    }
    static inline int cx_tonnes_differ(const cx_tonnes *a, const cx_tonnes *b) {
        return *a != *b;
    }
    """
    ctypedef struct Tonnes "cx_tonnes":
        pass
    void tonnes_add "cx_tonnes_add"(Tonnes* t, int64_t more) noexcept nogil
    bint tonnes_pass "cx_tonnes_pass"(const Tonnes* t, int64_t more, int64_t most) noexcept nogil
    bint tonnes_differ "cx_tonnes_differ"(const Tonnes* a, const Tonnes* b) noexcept nogil

cdef struct Controls:
    Tonnes position  # held or being bought, of all instruments
    int64_t position_max
    int64_t rate_second
    uint64_t participant  # 0 = of one account
    uint32_t order_rate
    uint32_t rate_count
    uint32_t suspended
