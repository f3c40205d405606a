"""How much accounts and participants may send, hold and buy, and how far an order may reach."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from matching.layout cimport (
    BP, BUY, COLLAR_BP, NONE, PRICE_LIMIT, PRICE_OUTSIDE_COLLAR, CommandRecord,
)
from matching.memory cimport likely, unlikely
from matching.state cimport Instrument, State
from matching.ticks cimport round_down, round_up

cdef int account_parameter(State* s, uint32_t account, const CommandRecord* c) except -1 nogil
cdef int participant_parameter(State* s, const CommandRecord* c) except -1 nogil
cdef uint16_t controls_refusal(State* s, uint32_t account) noexcept nogil
cdef uint16_t growth_refusal(
    const State* s, const Instrument* i, uint32_t account, uint8_t side, int64_t more
) noexcept nogil
cdef void count_positions(State* s) noexcept nogil
cdef list check_positions(const State* s)

cdef inline bint has_controls(const State* s, uint32_t account) noexcept nogil:
    # Its own or its participant's; most accounts have none.
    return (s.accounts[account].controls | s.accounts[account].participant_controls) != 0

cdef inline uint16_t sender_refusal(State* s, uint32_t account) noexcept nogil:
    # Whether the account may send a command that makes orders now; counts it if so.
    return controls_refusal(s, account) if unlikely(has_controls(s, account)) else NONE

cdef inline uint16_t holding_refusal(
    const State* s, const Instrument* i, uint32_t account, uint8_t side, int64_t more
) noexcept nogil:
    # Whether an order may grow by `more` tonnes; only buys that do may not.
    if likely((i.has_limits | has_controls(s, account)) == 0):
        return NONE
    return growth_refusal(s, i, account, side, more)

cdef inline int64_t collar_edge(const Instrument* i, uint8_t side, int64_t base) noexcept nogil:
    # The furthest limit within the collar around `base`, on the tick; without a collar of all.
    cdef int64_t width = i.parameters[COLLAR_BP]
    if width == 0 or base == 0 or i.is_listed:
        return PRICE_LIMIT if side == BUY else 0
    if side == BUY:
        return round_down(i, base * (BP + width) // BP)
    return round_up(i, (base * (BP - width) + BP - 1) // BP)

cdef inline uint16_t collar_refusal(
    const Instrument* i, uint8_t side, int64_t price, int64_t base
) noexcept nogil:
    # Whether a limit reaches too far from the last price, or a stop's from its own.
    cdef int64_t edge = collar_edge(i, side, base)
    cdef bint is_beyond = price > edge if side == BUY else price < edge
    return PRICE_OUTSIDE_COLLAR if is_beyond else NONE
