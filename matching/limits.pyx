# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""What accounts and participants may send, hold and buy, for the compiled engine.

The same as `matching.reference.limits` and `.controls`; but what is held and being bought is
counted as it changes. Nothing here is for accounts and instruments without limits.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from matching.controls cimport Controls, Tonnes, tonnes_add, tonnes_differ, tonnes_pass
from matching.events cimport emit
from matching.layout cimport *
from matching.state cimport (
    Account, Holding, Instrument, State,
    account_after, controls_of, holding_find, holding_of, holding_total, participant_add,
    participant_find,
)

cdef enum:
    NS_PER_SECOND = 1_000_000_000

cdef struct Range:
    int64_t low
    int64_t high
    bint is_of_participants

# Filled from `parameters.py` when imported.
cdef Range[INSTRUMENT_HOLDING_MAX + 1] RANGES  # by AccountParameter

# -- commands ------------------------------------------------------------------------------------

cdef int account_parameter(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    cdef uint16_t instrument_id = 0, reason = parameter_refusal(c)
    cdef Controls* controls
    if reason:
        return reason
    if c.order_type == STP_GROUP:
        s.owners[account].stp_group = c.quantity
    else:
        if s.accounts[account].controls == 0:
            controls = controls_of(s, account)
            add_position(s, account, &controls.position)
        if c.order_type == INSTRUMENT_HOLDING_MAX:
            instrument_id = c.instrument_id
            s.holdings[holding_of(s, account, instrument_id)].holding_max = c.quantity
        else:
            set_control(controls_of(s, account), c.order_type, c.quantity)
    e = emit(s, ACCOUNT_CHANGED)
    e.account_id = c.account_id
    e.instrument_id = instrument_id
    e.order_type = c.order_type
    e.quantity = c.quantity
    return 0

cdef int participant_parameter(State* s, const CommandRecord* c) except -1 nogil:
    cdef uint32_t place
    cdef uint16_t reason
    if c.order_id == 0 or not has_account(s, c.order_id):
        return UNKNOWN_ACCOUNT
    reason = parameter_refusal(c)
    if reason:
        return reason
    place = participant_find(s, c.order_id)
    if place == 0:
        place = participant_add(s, c.order_id)
        take_accounts(s, place)
    set_control(&s.controls[place], c.order_type, c.quantity)
    e = emit(s, PARTICIPANT_CHANGED)
    e.order_type = c.order_type
    e.quantity = c.quantity
    e.order_id = c.order_id
    return 0

cdef bint has_account(const State* s, uint64_t participant) noexcept nogil:
    cdef uint32_t place
    place = account_after(s, 0)
    while place:
        if s.owners[place].participant == participant:
            return True
        place = account_after(s, place)
    return False

cdef void take_accounts(State* s, uint32_t controls) noexcept nogil:
    # The controls hold for all accounts of the participant there are; others come with them.
    cdef uint32_t place
    place = account_after(s, 0)
    while place:
        if s.owners[place].participant == s.controls[controls].participant:
            s.accounts[place].participant_controls = controls
            add_position(s, place, &s.controls[controls].position)
        place = account_after(s, place)

cdef uint16_t parameter_refusal(const CommandRecord* c) noexcept nogil:
    if not SUSPENDED <= c.order_type <= INSTRUMENT_HOLDING_MAX:
        return UNKNOWN_PARAMETER
    if c.kind == PARTICIPANT_PARAMETER and not RANGES[c.order_type].is_of_participants:
        return UNKNOWN_PARAMETER
    if not RANGES[c.order_type].low <= c.quantity <= RANGES[c.order_type].high:
        return PARAMETER_OUT_OF_RANGE
    return NONE

cdef void set_control(Controls* controls, uint8_t parameter, int64_t value) noexcept nogil:
    if parameter == SUSPENDED:
        controls.suspended = <uint32_t>value
    elif parameter == POSITION_MAX:
        controls.position_max = value
    else:
        controls.order_rate = <uint32_t>value
        if value == 0:
            controls.rate_count = 0
            controls.rate_second = 0

# -- orders that come ----------------------------------------------------------------------------

cdef uint16_t controls_refusal(State* s, uint32_t account) noexcept nogil:
    cdef Controls* own = &s.controls[s.accounts[account].controls]
    cdef Controls* common = &s.controls[s.accounts[account].participant_controls]
    cdef int64_t second = s.time_ns // NS_PER_SECOND
    if own.suspended or common.suspended:
        return ACCOUNT_SUSPENDED
    if is_rate_used_up(own, second) or is_rate_used_up(common, second):
        return ORDER_RATE_EXCEEDED
    count_order(own, second)
    count_order(common, second)
    return NONE

cdef bint is_rate_used_up(const Controls* controls, int64_t second) noexcept nogil:
    return (
        controls.order_rate != 0
        and controls.rate_second == second
        and controls.rate_count >= controls.order_rate
    )

cdef void count_order(Controls* controls, int64_t second) noexcept nogil:
    if controls.order_rate == 0:
        return
    if controls.rate_second != second:
        controls.rate_second = second
        controls.rate_count = 0
    controls.rate_count += 1

cdef uint16_t growth_refusal(
    const State* s, const Instrument* i, uint32_t account, uint8_t side, int64_t more
) noexcept nogil:
    # Whether an order may grow by `more` tonnes; only a buy that does is ever refused.
    cdef const Holding* holding = &s.holdings[holding_find(s, account, i.instrument_id)]
    cdef int64_t holding_max = holding.holding_max
    if side != BUY or more <= 0:
        return NONE
    if holding_max == 0:
        holding_max = i.parameters[HOLDING_MAX]
    if holding_max and holding_position(holding) + <uint64_t>more > <uint64_t>holding_max:
        return HOLDING_ABOVE_MAX
    if is_above(&s.controls[s.accounts[account].controls], more):
        return POSITION_ABOVE_MAX
    if is_above(&s.controls[s.accounts[account].participant_controls], more):
        return POSITION_ABOVE_MAX
    return NONE

cdef uint64_t holding_position(const Holding* holding) noexcept nogil:
    # At most 2**62 are held and, as each tonne costs something, 2**62 being bought.
    return <uint64_t>holding_total(holding) + <uint64_t>holding.buying

cdef bint is_above(const Controls* controls, int64_t more) noexcept nogil:
    return controls.position_max != 0 and tonnes_pass(
        &controls.position, more, controls.position_max
    )

# -- positions -----------------------------------------------------------------------------------

cdef void add_position(const State* s, uint32_t account, Tonnes* position) noexcept nogil:
    cdef uint32_t place = s.accounts[account].holdings
    while place:
        tonnes_add(position, holding_total(&s.holdings[place]))
        tonnes_add(position, s.holdings[place].buying)
        place = s.holdings[place].next

cdef void count_positions(State* s) noexcept nogil:
    # Of a state that was loaded: before, no position was counted.
    cdef const Account* account
    cdef uint32_t place
    place = account_after(s, 0)
    while place:
        account = &s.accounts[place]
        if account.controls:
            add_position(s, place, &s.controls[account.controls].position)
        if account.participant_controls:
            add_position(s, place, &s.controls[account.participant_controls].position)
        place = account_after(s, place)

cdef list check_positions(const State* s):
    cdef list wrong = []
    cdef Tonnes* found = <Tonnes*>calloc(s.control_pool.end, sizeof(Tonnes))
    cdef uint32_t place
    if found == NULL:
        raise MemoryError("the engine is out of memory")
    place = account_after(s, 0)
    while place:
        add_position(s, place, &found[s.accounts[place].controls])
        add_position(s, place, &found[s.accounts[place].participant_controls])
        place = account_after(s, place)
    for place in range(1, s.control_pool.end):
        if tonnes_differ(&found[place], &s.controls[place].position):
            wrong.append(f"controls {place}: the position is not that of the accounts")
    free(found)
    return wrong


def _read_ranges():
    from matching.parameters import ACCOUNT_PARAMETER_RANGE, OF_PARTICIPANTS

    for parameter, (low, high) in ACCOUNT_PARAMETER_RANGE.items():
        RANGES[<int>parameter].low = low
        RANGES[<int>parameter].high = high
        RANGES[<int>parameter].is_of_participants = parameter in OF_PARTICIPANTS


_read_ranges()
