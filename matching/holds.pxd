# cython: boundscheck=False, wraparound=False, cdivision=True
"""Money and units: what an order holds, what it is charged, and how a fill settles."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t

from matching.controls cimport tonnes_add
from matching.layout cimport BP, BUY, SETTLED
from matching.memory cimport pick, unlikely
from matching.state cimport Account, Balance, Holding, Instrument, Order, State, WorstFee

cdef inline int64_t hold_of(const Order* o, WorstFee fee_max) noexcept nogil:
    cdef int64_t cash = cash_hold_of(o, fee_max)
    return <int64_t>pick(o.side & BUY, <uint64_t>cash, <uint64_t>o.leaves)

cdef inline int64_t cash_hold_of(const Order* o, WorstFee fee_max) noexcept nogil:
    # Of a buy.
    return cost_of(o.leaves, o.price, o.size.uncharged, fee_max)

cdef inline int64_t cost_of(
    int64_t quantity, int64_t price, int64_t uncharged, WorstFee fee_max
) noexcept nogil:
    # What a buyer may still pay. The fee stays below 2**63: VALUE_LIMIT x FEE_BP_LIMIT is
    # 9 x 10**18, QUANTITY_LIMIT x TONNE_FEE_LIMIT 9 x 10**13.
    cdef int64_t value = quantity * price
    cdef int64_t due = uncharged + value * fee_max.bp + quantity * fee_max.tonne
    return value + (due + BP // 2) // BP

cdef inline int64_t charge(Order* o, int64_t more) noexcept nogil:
    # `more` in 1/10000 minor unit.
    cdef int64_t due = o.size.uncharged + more
    cdef int64_t fee = (due + BP // 2) // BP
    o.size.uncharged = due - fee * BP
    o.charged += fee
    return fee

cdef inline Balance* balance_of(const State* s, const Order* o) noexcept nogil:
    # What the order holds: cash of the account or units of the holding.
    return pick_balance(o.side, &s.accounts[o.account], &s.holdings[o.holding])

cdef inline Balance* pick_balance(uint8_t side, Account* a, Holding* h) noexcept nogil:
    # Cash for a buy, units for a sale.
    cdef uint64_t cash = <uint64_t><uintptr_t>a, units = <uint64_t><uintptr_t>h
    return <Balance*><uintptr_t>pick(side & BUY, cash, units)

cdef inline void move_position(State* s, uint32_t account, int64_t more) noexcept nogil:
    # What the account holds or is buying of all instruments, counted where there are controls.
    cdef const Account* a = &s.accounts[account]
    if unlikely(a.controls | a.participant_controls):
        count_position(s, a, more)

cdef inline void count_position(State* s, const Account* a, int64_t more) noexcept nogil:
    tonnes_add(&s.controls[a.controls].position, more)
    tonnes_add(&s.controls[a.participant_controls].position, more)

cdef inline void move_hold(State* s, const Order* o, int64_t more, int64_t tonnes) noexcept nogil:
    # Holds that much more, for leaves that are so many tonnes more.
    hold_more(s, o.side, &s.accounts[o.account], &s.holdings[o.holding], more, tonnes)

cdef inline void hold_more(
    State* s, uint8_t side, Account* a, Holding* h, int64_t more, int64_t tonnes
) noexcept nogil:
    cdef Balance* balance = pick_balance(side, a, h)
    cdef int64_t bought = tonnes & (0 - <int64_t>(side & BUY))
    balance.available -= more
    balance.held += more
    h.buying += bought
    if unlikely(a.controls | a.participant_controls):
        count_position(s, a, bought)

cdef inline int64_t settle(
    State* s, const Instrument* i, Order* o, int64_t quantity, int64_t value, int64_t fee_bp
) noexcept nogil:
    # One side of a fill: pay or deliver, give back what the hold no longer needs; the fee.
    if o.side == BUY:
        return settle_buy(s, i, o, quantity, value, fee_bp)
    return settle_sell(s, i, o, quantity, value, fee_bp)

cdef inline int64_t settle_buy(
    State* s, const Instrument* i, Order* o, int64_t quantity, int64_t value, int64_t fee_bp
) noexcept nogil:
    cdef Account* account = &s.accounts[o.account]
    cdef Holding* holding = &s.holdings[o.holding]
    cdef int64_t freed = cash_hold_of(o, i.fee_max), fee
    fee = charge(o, (value * fee_bp & i.buyers_pay) + quantity * i.fee_max.tonne)
    o.leaves -= quantity
    freed -= cash_hold_of(o, i.fee_max)
    account.held -= freed
    account.available += freed - value - fee
    holding.buying -= quantity
    if unlikely(i.resale != 0):
        holding.locked += quantity
    else:
        holding.available += quantity
    s.fees += fee
    return fee

cdef inline int64_t settle_sell(
    State* s, const Instrument* i, Order* o, int64_t quantity, int64_t value, int64_t fee_bp
) noexcept nogil:
    cdef int64_t due = (value * fee_bp & i.sellers_pay) + quantity * i.sellers_tonne
    cdef int64_t fee = charge(o, due)
    o.leaves -= quantity
    s.holdings[o.holding].held -= quantity
    if unlikely(i.resale == SETTLED):
        s.accounts[o.account].locked += value - fee
    else:
        s.accounts[o.account].available += value - fee
    move_position(s, o.account, -quantity)
    s.fees += fee
    return fee
