# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Everything on the log but orders, for the compiled engine: accounts, instruments, phases, days.

The same as `matching.reference.administration`, command for command.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy, memmove

from matching.calls cimport clock_tick, phase_change
from matching.events cimport emit, emit_answer
from matching.holds cimport move_position
from matching.ladder cimport end_resting, ladder_next
from matching.layout cimport *
from matching.limits cimport account_parameter, participant_parameter
from matching.growth cimport raise_memory_error
from matching.memory cimport lines_of
from matching.state cimport (
    PARAMETERS, SIDES, Account, BookSide, Holding, Instrument, Order, State,
    account_add, account_find, half_up, holding_find, holding_of, holding_total, is_outside_band,
    order_find,
)
from matching.tables cimport labels_reindex
from matching.terms cimport DATE_MAX
from matching.ticks cimport round_half_up, round_up

cdef struct Range:
    int64_t low
    int64_t high
    int64_t default
    bint needs_empty_book

# Filled from `parameters.py` and `layout.py` when imported.
cdef Range[PARAMETERS + 1] PARAMETER_RANGES  # by Parameter


cdef int administer(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c, uint64_t position
) except -1 nogil:
    if c.kind == ACCOUNT_OPEN:
        return account_open(s, c)
    if c.kind == CASH_DEPOSIT:
        return cash_deposit(s, account, c)
    if c.kind == CASH_WITHDRAW:
        return cash_withdraw(s, account, c)
    if c.kind == UNITS_DEPOSIT:
        return units_deposit(s, i, account, c)
    if c.kind == UNITS_RELEASE:
        return units_release(s, i, account, c)
    if c.kind == ACCOUNT_PARAMETER:
        return account_parameter(s, account, c)
    if c.kind == PARTICIPANT_PARAMETER:
        return participant_parameter(s, c)
    if c.kind == INSTRUMENT_OPEN:
        return instrument_open(s, i, c)
    if c.kind == INSTRUMENT_PARAMETER:
        return instrument_parameter(s, i, c)
    if c.kind == PHASE_CHANGE:
        return phase_change(s, i, c)
    if c.kind == REFERENCE_PRICE:
        return reference_price(s, i, c)
    if c.kind == DAY_ROLL:
        return day_roll(s, c)
    if c.kind == EPOCH_START:
        return epoch_start(s, c)
    if c.kind == INSTRUCTION:
        return instruction(s, c, position)
    if c.kind == SETTLE_TRADE:
        return settle_trade(s, i, account, c)
    return clock_tick(s)

# -- accounts ------------------------------------------------------------------------------------

cdef int account_open(State* s, const CommandRecord* c) except -1 nogil:
    if c.account_id == 0:
        return UNKNOWN_ACCOUNT
    if account_find(s, c.account_id):
        return ACCOUNT_EXISTS
    if s.accounts_count >= s.accounts_max:
        return ACCOUNTS_FULL
    account_add(s, c.account_id, c.order_id)
    e = emit(s, ACCOUNT_OPENED)
    e.account_id = c.account_id
    e.order_id = c.order_id
    e.client_order_id = c.client_order_id
    return 0

cdef int cash_deposit(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > <int64_t>TOTAL_LIMIT - s.cash:
        return TOTAL_ABOVE_MAX
    s.accounts[account].available += c.quantity
    s.cash += c.quantity
    return emit_transfer(s, CASH_DEPOSITED, c, 0, cash_total(s, account))

cdef int cash_withdraw(State* s, uint32_t account, const CommandRecord* c) except -1 nogil:
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > s.accounts[account].available:
        return INSUFFICIENT_CASH
    s.accounts[account].available -= c.quantity
    s.cash -= c.quantity
    return emit_transfer(s, CASH_WITHDRAWN, c, 0, cash_total(s, account))

cdef int units_deposit(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c
) except -1 nogil:
    cdef Holding* holding
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.quantity > <int64_t>TOTAL_LIMIT - i.units:
        return TOTAL_ABOVE_MAX
    holding = &s.holdings[holding_of(s, account, i.instrument_id)]
    holding.available += c.quantity
    i.units += c.quantity
    move_position(s, account, c.quantity)
    return emit_transfer(s, UNITS_DEPOSITED, c, i.instrument_id, holding_total(holding))

cdef int units_release(
    State* s, Instrument* i, uint32_t account, const CommandRecord* c
) except -1 nogil:
    cdef uint32_t place = holding_find(s, account, i.instrument_id)
    cdef Holding* holding = &s.holdings[place]
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if place == 0 or c.quantity > holding.available:
        return INSUFFICIENT_UNITS
    holding.available -= c.quantity
    i.units -= c.quantity
    move_position(s, account, -c.quantity)
    return emit_transfer(s, UNITS_RELEASED, c, i.instrument_id, holding_total(holding))

cdef int64_t cash_total(const State* s, uint32_t account) noexcept nogil:
    return s.accounts[account].available + s.accounts[account].held + s.accounts[account].locked

cdef int emit_transfer(
    State* s, uint8_t kind, const CommandRecord* c, uint32_t instrument_id, int64_t total
) except -1 nogil:
    e = emit(s, kind)
    e.account_id = c.account_id
    e.instrument_id = instrument_id
    e.quantity = c.quantity
    e.value = total
    e.order_id = c.order_id
    e.client_order_id = c.client_order_id
    return 0

# -- instruments ---------------------------------------------------------------------------------

cdef int instrument_open(State* s, Instrument* i, const CommandRecord* c) except -1 nogil:
    if c.instrument_id == 0:
        return UNKNOWN_INSTRUMENT
    if i != NULL:
        return INSTRUMENT_EXISTS
    instrument_add(s, c.instrument_id)
    emit(s, INSTRUMENT_OPENED).instrument_id = c.instrument_id
    return 0

cdef int instrument_add(State* s, uint32_t instrument_id) except -1 nogil:
    cdef Instrument* i = <Instrument*>lines_of(sizeof(Instrument))
    cdef int64_t at = s.instruments_count
    cdef int parameter
    if i == NULL:
        return raise_memory_error()
    i.instrument_id = instrument_id
    i.phase = CLOSED
    for parameter in range(TICK_SIZE, PARAMETERS + 1):
        i.parameters[parameter] = PARAMETER_RANGES[parameter].default
    derive(i)
    s.instruments[instrument_id] = i
    while at > 0 and s.instrument_ids[at - 1] > instrument_id:
        at -= 1
    memmove(
        &s.instrument_ids[at + 1],
        &s.instrument_ids[at],
        (s.instruments_count - at) * sizeof(s.instrument_ids[0]),
    )
    s.instrument_ids[at] = instrument_id
    s.instruments_count += 1
    return 0

cdef bint is_empty(const Instrument* i) noexcept nogil:
    cdef int side
    for side in range(BUY, SIDES + 1):
        if i.sides[side].best:
            return False
    return True

cdef void derive(Instrument* i) noexcept nogil:
    # What every order asks for, kept ready: the worst fee, whether ticks differ, whether there are
    # limits, and the band.
    cdef int64_t width = i.parameters[BAND_BP]
    i.has_steps = i.parameters[TICK_FROM_2] != 0 or i.parameters[TICK_FROM_3] != 0
    i.is_listed = i.parameters[POLICY] == LISTED
    i.buyers_pay = -<int64_t>(i.parameters[FEE_SIDES] != SELLERS)
    i.sellers_pay = -<int64_t>(i.parameters[FEE_SIDES] != BUYERS)
    i.fee_max.bp = <int16_t>(i.buyers_pay & max(
        i.parameters[MAKER_FEE_BP], i.parameters[TAKER_FEE_BP],
        i.parameters[BLOCK_FEE_BP], i.parameters[AUCTION_FEE_BP],
    ))
    i.fee_max.tonne = <int16_t>(i.buyers_pay & i.parameters[TONNE_FEE])
    i.sellers_tonne = i.sellers_pay & i.parameters[TONNE_FEE]
    i.tick_size = <uint32_t>i.parameters[TICK_SIZE]
    i.lot_size = i.parameters[LOT_SIZE]
    i.quantity_min = i.parameters[QUANTITY_MIN]
    i.quantity_max = i.parameters[QUANTITY_MAX]
    i.value_max = i.parameters[VALUE_MAX]
    i.maker_fee_bp = <int32_t>i.parameters[MAKER_FEE_BP]
    i.taker_fee_bp = <int32_t>i.parameters[TAKER_FEE_BP]
    i.has_volatility = i.parameters[VOLATILITY_BP] != 0
    i.resale = <int32_t>i.parameters[RESALE_NEXT_DAY]
    i.has_limits = i.parameters[COLLAR_BP] != 0 or i.parameters[HOLDING_MAX] != 0
    i.band_low = 0
    i.band_high = -1
    if width and i.reference:
        i.band_low = max(round_half_up(i, i.reference * (BP - width), BP), round_up(i, 1))
        i.band_high = round_half_up(i, i.reference * (BP + width), BP)

cdef int instrument_parameter(State* s, Instrument* i, const CommandRecord* c) except -1 nogil:
    cdef Range* allowed
    if not TICK_SIZE <= c.order_type <= PARAMETERS:
        return UNKNOWN_PARAMETER
    allowed = &PARAMETER_RANGES[c.order_type]
    if not allowed.low <= c.quantity <= allowed.high or not may_set(i, c.order_type, c.quantity):
        return PARAMETER_OUT_OF_RANGE
    if allowed.needs_empty_book and not is_empty(i):
        return ORDERS_RESTING
    if c.order_type == RESALE_NEXT_DAY and not may_lock(s, i, c.quantity):
        return UNITS_LOCKED
    i.parameters[c.order_type] = c.quantity
    derive(i)
    e = emit(s, PARAMETER_CHANGED)
    e.instrument_id = c.instrument_id
    e.order_type = c.order_type
    e.quantity = c.quantity
    return 0

cdef bint may_lock(const State* s, const Instrument* i, int64_t value) noexcept nogil:
    # Whether what is locked of it now would still be unlocked by what locked it.
    cdef uint32_t place
    if (value == SETTLED) == (i.parameters[RESALE_NEXT_DAY] == SETTLED):
        return True
    for place in range(1, s.holding_pool.end):
        if s.holdings[place].instrument_id == i.instrument_id and s.holdings[place].locked:
            return False
    return True

cdef bint may_set(const Instrument* i, uint8_t parameter, int64_t value) noexcept nogil:
    # Whether each step of the tick table in force would still have its tick.
    cdef int64_t then[PARAMETERS + 1]
    memcpy(then, i.parameters, sizeof(then))
    then[parameter] = value
    return is_step(then[TICK_FROM_2], then[TICK_SIZE_2], then[TICK_SIZE]) and is_step(
        then[TICK_FROM_3], then[TICK_SIZE_3], then[TICK_SIZE]
    )

cdef bint is_step(int64_t start, int64_t tick, int64_t multiple_of) noexcept nogil:
    return start == 0 or (tick > 0 and tick % multiple_of == 0)

cdef int reference_price(State* s, Instrument* i, const CommandRecord* c) except -1 nogil:
    if not 1 <= c.price <= PRICE_LIMIT:
        return PARAMETER_OUT_OF_RANGE
    if i.phase == CONTINUOUS:
        return PHASE_TRANSITION_REFUSED
    i.reference = c.price
    derive(i)
    e = emit(s, REFERENCE_CHANGED)
    e.instrument_id = i.instrument_id
    e.price = c.price
    return end_outside_band(s, i, PARKED, 0)

# -- the day -------------------------------------------------------------------------------------

cdef int day_roll(State* s, const CommandRecord* c) except -1 nogil:
    cdef Instrument* i
    cdef int64_t at
    if c.quantity > DATE_MAX:
        return PARAMETER_OUT_OF_RANGE
    for at in range(s.instruments_count):
        if s.instruments[s.instrument_ids[at]].phase != CLOSED:
            return NOT_ALL_CLOSED
    if c.quantity <= s.trading_date:
        return DATE_NOT_LATER
    for at in range(s.instruments_count):
        i = s.instruments[s.instrument_ids[at]]
        i.reference = closing_price(i)
        derive(i)
        e = emit(s, DAY_CLOSED)
        e.instrument_id = i.instrument_id
        e.price = i.reference
        e.quantity = i.volume
        e.value = i.turnover
        end_outside_band(s, i, BLOCKS, c.quantity)
        i.volume = i.turnover = i.call_price = 0
    unlock(s)
    forget(s)
    s.trading_date = c.quantity
    emit(s, DAY_STARTED).quantity = c.quantity
    return 0

cdef int64_t closing_price(const Instrument* i) noexcept nogil:
    if i.volume <= i.parameters[CLOSE_VOLUME_MIN]:
        return i.reference
    if i.parameters[CLOSE_RULE] == VWAP:
        return half_up(i.turnover, i.volume)
    if i.parameters[CLOSE_RULE] == CALL_PRICE and i.call_price:
        return i.call_price
    return i.last_price

cdef int end_outside_band(
    State* s, Instrument* i, uint8_t last, int64_t next_date
) except -1 nogil:
    # In the queues from BOOK to `last`, and bids that have to be in the band; at the end of a day
    # also what does not live on to the next date, 0 = the day goes on.
    cdef int side
    for side in range(BUY, 2 * last + 1):
        end_in_line(s, i, &i.sides[side], next_date)
    if i.auction.order_id and i.auction.flags & IN_BAND:
        for side in range(2 * (BIDS - 1) + BUY, 2 * BIDS + 1):
            end_in_line(s, i, &i.sides[side], 0)
    return 0

cdef int end_in_line(
    State* s, Instrument* i, const BookSide* side, int64_t next_date
) except -1 nogil:
    cdef uint16_t reason
    cdef uint32_t at = side.best, after, place, behind
    while at:
        after = ladder_next(s, side, s.levels[at].key)
        place = s.levels[at].head
        while place:
            behind = s.links[place].next
            reason = end_reason(s, i, &s.orders[place], next_date)
            if reason:
                end_resting(s, i, place, reason)
            place = behind
        at = after
    return 0

cdef uint16_t end_reason(
    const State* s, const Instrument* i, const Order* o, int64_t next_date
) noexcept nogil:
    if next_date and (
        o.time_in_force == DAY
        or o.time_in_force == AT_THE_OPENING
        or o.time_in_force == AT_THE_CLOSE
        or o.queue == BLOCKS
    ):
        return DAY_ENDED
    if next_date and o.time_in_force == GTD and s.terms[o.terms].expire_date < next_date:
        return DATE_EXPIRED
    return BAND_MOVED if is_outside_band(i, o.price) else NONE

cdef struct Locked:
    uint64_t key  # account id << 16 | instrument id
    uint32_t holding

cdef int compare_locked(const void* a, const void* b) noexcept nogil:
    cdef uint64_t left = (<const Locked*>a).key
    cdef uint64_t right = (<const Locked*>b).key
    return (left > right) - (left < right)

cdef int unlock(State* s) except -1 nogil:
    cdef Locked* found = <Locked*>malloc(s.holding_pool.end * sizeof(Locked))
    cdef uint32_t place
    cdef size_t count = 0, at
    if found == NULL:
        return raise_memory_error()
    for place in range(1, s.holding_pool.end):
        if s.holdings[place].locked and is_of_the_day(s, &s.holdings[place]):
            found[count].key = (
                <uint64_t>s.accounts[s.holdings[place].account].account_id << 16
                | s.holdings[place].instrument_id
            )
            found[count].holding = place
            count += 1
    qsort(found, count, sizeof(Locked), compare_locked)
    for at in range(count):
        unlock_holding(s, &s.holdings[found[at].holding])
    free(found)
    return 0

cdef bint is_of_the_day(const State* s, const Holding* holding) noexcept nogil:
    # Whether the day's end unlocks it, not its settlement.
    return s.instruments[holding.instrument_id].parameters[RESALE_NEXT_DAY] != SETTLED

cdef int unlock_holding(State* s, Holding* holding) except -1 nogil:
    e = emit(s, UNITS_UNLOCKED)
    e.account_id = s.accounts[holding.account].account_id
    e.instrument_id = holding.instrument_id
    e.quantity = holding.locked
    e.value = holding_total(holding)
    holding.available += holding.locked
    holding.locked = 0
    return 0

cdef int forget(State* s) except -1 nogil:
    # Labels of orders that still rest stay.
    cdef uint32_t row, kept = 1
    for row in range(1, s.labels.pool.end):
        if order_find(s, s.labels.rows[row].row.order_id):
            s.labels.rows[kept] = s.labels.rows[row]
            kept += 1
    s.labels.pool.end = kept
    return labels_reindex(&s.labels)

# -- settlement ----------------------------------------------------------------------------------

cdef struct CashTerms:  # the last 16 bytes of a SETTLE_TRADE
    int64_t cash_to_buyer
    uint64_t trade_id

cdef int settle_trade(
    State* s, Instrument* i, uint32_t buyer, const CommandRecord* c
) except -1 nogil:
    # Between any two accounts and any amounts cash and units stay what they are together.
    cdef const CashTerms* terms = <const CashTerms*>&c.client_order_id
    cdef bint is_settled = c.order_type == REVERSE
    cdef uint32_t seller, place = holding_find(s, buyer, i.instrument_id)
    cdef Account* payer
    cdef Holding* holding = &s.holdings[place]
    if not DELIVER <= c.order_type <= REVERSE:
        return INVALID_ORDER_TYPE
    seller = account_find(s, <uint32_t>c.order_id) if c.order_id <= <uint64_t>0xFFFF_FFFF else 0
    if seller == 0:
        return UNKNOWN_COUNTERPARTY
    payer = &s.accounts[seller]
    if c.quantity <= 0:
        return QUANTITY_NOT_POSITIVE
    if c.price > (payer.available if is_settled else payer.locked):
        return INSUFFICIENT_CASH
    if c.order_type != DELIVER and terms.cash_to_buyer > c.price + s.fees:
        return INSUFFICIENT_CASH
    if place == 0 or c.quantity > units_of_step(i, holding, is_settled):
        return INSUFFICIENT_UNITS
    if c.price < 0 or terms.cash_to_buyer < 0:
        return PARAMETER_OUT_OF_RANGE
    if is_settled:
        payer.available -= c.price
        holding.locked -= max(c.quantity - holding.available, 0)
        holding.available -= min(c.quantity, holding.available)
    else:
        payer.locked -= c.price
        holding.locked -= c.quantity
    if c.order_type == DELIVER:
        payer.available += c.price
        holding.available += c.quantity
    else:
        give_back(s, i, buyer, seller, c, terms.cash_to_buyer)
    emit_answer(s, TRADE_SETTLED, c)
    return 0

cdef int64_t units_of_step(
    const Instrument* i, const Holding* holding, bint is_settled
) noexcept nogil:
    # What is locked until the day's end is the buyer's as well; what awaits settlement is not.
    if not is_settled:
        return holding.locked
    if i.parameters[RESALE_NEXT_DAY] == SETTLED:
        return holding.available
    return holding.available + holding.locked

cdef int give_back(
    State* s, Instrument* i, uint32_t buyer, uint32_t seller, const CommandRecord* c, int64_t cash
) except -1 nogil:
    s.accounts[buyer].available += cash
    s.fees -= cash - c.price
    s.holdings[holding_of(s, seller, i.instrument_id)].available += c.quantity
    move_position(s, buyer, -c.quantity)
    move_position(s, seller, c.quantity)
    return 0

# -- epochs, and what is passed on ---------------------------------------------------------------

cdef int epoch_start(State* s, const CommandRecord* c) except -1 nogil:
    if c.quantity != s.epoch + 1:
        return EPOCH_STALE
    s.epoch = c.quantity
    s.leader = c.order_id
    e = emit(s, EPOCH_STARTED)
    e.quantity = c.quantity
    e.order_id = c.order_id
    return 0

cdef int instruction(State* s, const CommandRecord* c, uint64_t position) except -1 nogil:
    if not (
        ISSUE <= c.order_type <= CANCEL
        or FREEZE <= c.order_type <= CARRY_OVER
        or SET_ACCOUNT_TYPE <= c.order_type <= CONFIRM_ACCOUNT
        or FAIL_SETTLEMENT <= c.order_type <= APPROVE_TRADE_CANCEL
    ):
        return UNKNOWN_INSTRUCTION
    emit_answer(s, INSTRUCTED, c).order_id = position
    s.is_note_heard = True
    return 0


def _read_ranges():
    from matching.parameters import (
        NEEDS_EMPTY_BOOK,
        PARAMETER_DEFAULT,
        PARAMETER_RANGE,
    )

    for parameter, (low, high) in PARAMETER_RANGE.items():
        PARAMETER_RANGES[<int>parameter].low = low
        PARAMETER_RANGES[<int>parameter].high = high
        PARAMETER_RANGES[<int>parameter].default = PARAMETER_DEFAULT[parameter]
        PARAMETER_RANGES[<int>parameter].needs_empty_book = parameter in NEEDS_EMPTY_BOOK


_read_ranges()
