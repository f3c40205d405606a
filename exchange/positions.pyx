# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Open orders, cash, units, parameters and phases of a market, from its `events` alone.

A second opinion on the engine: nothing here asks it anything. Holds are computed from the open
orders by the formula of `matching/RULES.md`, fees from the instruments' parameters, and each is
compared with what the event says; a difference is kept in `differences` and makes an audit fail.
The gateway answers queries from it, reconciliation and `exchange bootstrap` read it.

Amounts of one order, purse or day are 64 bits, as in the engine; sums over accounts have no bound.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t

from exchange.order_keys cimport order_key
from matching.layout cimport (
    ACCEPTED,
    AUCTION_TRADE,
    BLOCK_TRADE,
    BP,
    BUY,
    BUYERS,
    CALL_TRADE,
    CANCELLED,
    FILL,
    MAKER,
    RECORD_SIZE,
    REPLACED,
    SELL,
    SELLERS,
    SETTLED,
    TOTAL_LIMIT,
    TRIGGERED,
    EventRecord,
    FillRecord,
)

from types import MappingProxyType

from exchange import topics
from exchange.messages.frames import (
    PARAMETER_DEFAULT,
    Event,
    EventFollower,
    Parameter,
    Phase,
    SettlementStep,
    event_rows,
    settlement_terms,
)
from exchange.settings import POSITION_DIFFERENCES_MAX, READ_RECORDS_MAX

READ_WAIT_S = 0.5


cdef class OpenOrder:
    """An order that rests, or is being matched; money in minor units, quantities in tonnes."""

    cdef readonly uint64_t order_id
    cdef public int64_t account_id
    cdef public int64_t instrument_id
    cdef readonly int side
    cdef readonly int order_type
    cdef readonly int time_in_force
    cdef public int64_t quantity  # the order's total
    cdef public int64_t leaves
    cdef public int64_t price  # effective limit
    cdef readonly bytes client_order_id  # 16 bytes
    cdef public int64_t accrued  # 1/10000 minor unit over its fills
    cdef public int64_t charged  # fees so far

    def hold(self, InstrumentState instrument not None):
        """What the rest may still cost: cash for a buy, units for a sell. O(1)."""
        return _hold(self, instrument)


cdef class CashPosition:
    """The cash of an account, minor units."""

    cdef public int64_t available
    cdef public int64_t held
    cdef public int64_t locked  # proceeds of sales that are not settled

    @property
    def total(self):
        """Available, held and locked. O(1)."""
        return self.available + self.held + self.locked


cdef class UnitPosition:
    """What an account has of an instrument on the venue, tonnes."""

    cdef public int64_t available
    cdef public int64_t held
    cdef public int64_t locked  # bought, saleable from the next day or when settled

    @property
    def total(self):
        """Available, held and locked. O(1)."""
        return self.available + self.held + self.locked


cdef class AccountPosition:
    """An account: whose it is, its cash, its units by instrument, its open orders."""

    cdef readonly int64_t account_id
    cdef readonly uint64_t participant
    cdef readonly CashPosition cash
    cdef readonly dict units
    cdef dict orders  # by `order_key`

    def __init__(self, account_id, participant):
        self.account_id = account_id
        self.participant = participant
        self.cash = CashPosition()
        self.units = {}
        self.orders = {}


cdef class InstrumentState:
    """An instrument: its parameters, phase and day; prices in minor units a tonne."""

    cdef public int64_t instrument_id
    cdef readonly object parameters  # each one's value; not to be written to
    cdef dict _parameters
    cdef readonly object phase
    cdef public int64_t reference_price
    cdef public int64_t opening_reference  # with which the day began, or the first there was
    cdef public int64_t last_price
    cdef public int64_t day_volume  # tonnes
    cdef public int64_t day_turnover  # minor units
    cdef public int64_t trades
    cdef readonly object deposited  # tonnes, since the first event
    cdef readonly object released
    cdef public int64_t fee_bp_max  # the worst share of a fill's value, basis points
    cdef int64_t _maker_bp
    cdef int64_t _taker_bp
    cdef int64_t _block_bp
    cdef int64_t _auction_bp
    cdef int64_t _tonne_fee
    cdef int64_t _fee_sides
    cdef int64_t _resale

    def __init__(self, instrument_id):
        self.instrument_id = instrument_id
        self.phase = Phase.CLOSED
        self.deposited = self.released = 0
        self._parameters = dict(PARAMETER_DEFAULT)
        self.parameters = MappingProxyType(self._parameters)
        self._take_parameters()

    def __reduce__(self):
        return InstrumentState, (self.instrument_id,), (
            self.phase, self.reference_price, self.opening_reference, self.last_price,
            self.day_volume, self.day_turnover, self.trades, self.deposited, self.released,
            self._parameters,
        )

    def __setstate__(self, tuple state not None):
        (
            self.phase, self.reference_price, self.opening_reference, self.last_price,
            self.day_volume, self.day_turnover, self.trades, self.deposited, self.released,
            parameters,
        ) = state  # fmt: skip
        self._parameters.update(parameters)
        self._take_parameters()

    def set_parameter(self, parameter, value):
        """One parameter's value from now on. O(1)."""
        self._parameters[Parameter(parameter)] = value
        self._take_parameters()

    def fee(self, int side, int64_t fee_bp, int64_t quantity, int64_t value):
        """What a fill costs that side, 1/10000 minor unit. O(1)."""
        return _fee(self, side, fee_bp, quantity, value)

    cdef _take_parameters(self):
        self._maker_bp = self._parameters[Parameter.MAKER_FEE_BP]
        self._taker_bp = self._parameters[Parameter.TAKER_FEE_BP]
        self._block_bp = self._parameters[Parameter.BLOCK_FEE_BP]
        self._auction_bp = self._parameters[Parameter.AUCTION_FEE_BP]
        self._tonne_fee = self._parameters[Parameter.TONNE_FEE]
        self._fee_sides = self._parameters[Parameter.FEE_SIDES]
        self._resale = self._parameters[Parameter.RESALE_NEXT_DAY]
        self.fee_bp_max = max(self._maker_bp, self._taker_bp, self._block_bp, self._auction_bp)


cdef class Positions:
    """The projection: feed it every accepted part of `events`, in order.

    Memory is bounded by the engine's own tables: open orders, accounts, holdings, instruments.
    """

    cdef readonly dict accounts
    cdef readonly dict instruments
    cdef public object fees  # minor units, all accounts together
    cdef readonly object cash_deposited
    cdef readonly object cash_withdrawn
    cdef readonly int64_t trades
    cdef readonly int64_t trading_date
    cdef readonly int64_t epoch
    cdef readonly int64_t time_ns  # engine time
    cdef readonly int64_t next_input  # of `orders`: everything below is in here
    cdef readonly int64_t next_event
    cdef public list differences
    cdef int64_t _event

    def __init__(self):
        self.accounts = {}
        self.instruments = {}
        self.fees = self.cash_deposited = self.cash_withdrawn = 0
        self.differences = []

    def apply(self, part):
        """One accepted part of `events`. O(events)."""
        cdef bytes body = part.body
        cdef const EventRecord* rows = <const EventRecord*>PyBytes_AS_STRING(body)
        cdef Py_ssize_t index, count = PyBytes_GET_SIZE(body) // RECORD_SIZE
        self._event = part.first_event
        for index in range(count):
            if rows[index].kind == ACCEPTED:
                self._accepted(&rows[index])
            elif rows[index].kind == FILL:
                self._fill(<const FillRecord*>&rows[index])
            elif rows[index].kind == CANCELLED:
                self._cancelled(&rows[index])
            elif rows[index].kind == REPLACED:
                self._replaced(&rows[index])
            elif rows[index].kind == TRIGGERED:
                self._order(&rows[index]).order_type = rows[index].order_type
            else:
                handler = _HANDLERS.get(rows[index].kind)
                if handler is not None:
                    start = index * RECORD_SIZE
                    handler(self, next(event_rows(body[start : start + RECORD_SIZE])))
            self._event += 1
        self.next_event = self._event
        self.time_ns = part.time_ns
        self.next_input = part.input_offset + 1 if part.is_last else part.input_offset

    # -- questions ------------------------------------------------------------------------------

    def cash(self, account_id):
        """The cash of an account, zero when it has none. O(1)."""
        account = self.accounts.get(account_id)
        return account.cash if account is not None else CashPosition()

    def units(self, account_id, instrument_id):
        """The units of an account in an instrument, zero when it has none. O(1)."""
        account = self.accounts.get(account_id)
        found = account.units.get(instrument_id) if account is not None else None
        return found if found is not None else UnitPosition()

    @property
    def orders(self):
        """Open orders by id, account by account, each one's oldest first. O(orders)."""
        cdef AccountPosition account
        cdef OpenOrder order
        return {
            order.order_id: order
            for account in self.accounts.values()
            for order in account.orders.values()
        }

    def open_orders(self, account_id):
        """The open orders of an account, oldest first. O(orders of it)."""
        cdef AccountPosition account = self.accounts.get(account_id)
        return list(account.orders.values()) if account is not None else []

    def cash_totals(self):
        """(account, cash) of every account. O(accounts)."""
        return ((key, account.cash.total) for key, account in self.accounts.items())

    def unit_totals(self):
        """((account, instrument), tonnes) of every holding that is not empty. O(holdings)."""
        for account_id, account in self.accounts.items():
            for instrument_id, units in account.units.items():
                if units.total:
                    yield (account_id, instrument_id), units.total

    def held_by_orders(self):
        """Holds summed anew over the open orders: cash by account, units by holding. O(orders)."""
        cash = {}
        units = {}
        for order in self.orders.values():
            hold = order.hold(self.instruments[order.instrument_id])
            if order.side == BUY:
                cash[order.account_id] = cash.get(order.account_id, 0) + hold
            else:
                key = order.account_id, order.instrument_id
                units[key] = units.get(key, 0) + hold
        return cash, units

    def self_check(self):
        """Every difference seen and every invariant that does not hold; [] is sound. O(state)."""
        wrong = list(self.differences)
        cash_holds, unit_holds = self.held_by_orders()
        for account_id, account in self.accounts.items():
            if account.cash.held != cash_holds.get(account_id, 0):
                wrong.append(f"account {account_id}: cash held is not that of its open orders")
            if min(account.cash.available, account.cash.locked) < 0:
                wrong.append(f"account {account_id}: negative cash")
            for instrument_id, units in account.units.items():
                name = f"account {account_id}, instrument {instrument_id}"
                if units.held != unit_holds.get((account_id, instrument_id), 0):
                    wrong.append(f"{name}: units held are not those of its open orders")
                if min(units.available, units.locked) < 0:
                    wrong.append(f"{name}: negative units")
        total = sum(amount for _, amount in self.cash_totals())
        if total + self.fees != self.cash_deposited - self.cash_withdrawn:
            wrong.append("cash of the accounts and fees are not deposits less withdrawals")
        return wrong

    # -- orders ---------------------------------------------------------------------------------

    cdef _accepted(self, const EventRecord* row):
        cdef OpenOrder order = OpenOrder.__new__(OpenOrder)
        cdef AccountPosition account = self.accounts[row.account_id]
        order.order_id = row.order_id
        order.account_id = row.account_id
        order.instrument_id = row.instrument_id
        order.side = row.side
        order.order_type = row.order_type
        order.time_in_force = row.time_in_force
        order.quantity = order.leaves = row.quantity
        order.price = row.price
        order.client_order_id = _label(row)
        account.orders[order_key(row.order_id)] = order
        cdef int64_t hold = _hold(order, <InstrumentState>self.instruments[row.instrument_id])
        if hold != row.value:
            self._differ(f"order {order.order_id} holds {hold}, the engine says {row.value}")
        self._move_hold(account, order, hold)

    cdef OpenOrder _order(self, const EventRecord* row):
        return _open(<AccountPosition>self.accounts[row.account_id], row)

    cdef _replaced(self, const EventRecord* row):
        cdef AccountPosition account = self.accounts[row.account_id]
        cdef OpenOrder order = _open(account, row)
        cdef InstrumentState instrument = self.instruments[order.instrument_id]
        cdef int64_t old = _hold(order, instrument)
        order.quantity += row.quantity - order.leaves
        order.leaves = row.quantity
        order.price = row.price
        order.client_order_id = _label(row)
        cdef int64_t hold = _hold(order, instrument)
        if hold != row.value:
            self._differ(f"order {order.order_id} holds {hold}, the engine says {row.value}")
        self._move_hold(account, order, hold - old)

    cdef _cancelled(self, const EventRecord* row):
        cdef AccountPosition account = self.accounts[row.account_id]
        cdef OpenOrder order = _open(account, row)
        cdef int64_t hold = _hold(order, <InstrumentState>self.instruments[order.instrument_id])
        if hold != row.value or order.leaves != row.quantity:
            self._differ(
                f"order {order.order_id} gives back {hold} for {order.leaves} t, "
                f"the engine says {row.value} for {row.quantity} t"
            )
        self._move_hold(account, order, -hold)
        del account.orders[order_key(row.order_id)]

    cdef _fill(self, const FillRecord* row):
        cdef AccountPosition account = self.accounts[row.account_id]
        cdef OpenOrder order = _open(account, <const EventRecord*>row)
        cdef InstrumentState instrument = self.instruments[order.instrument_id]
        cdef int64_t quantity = row.quantity, value = row.quantity * row.price
        cdef bint is_maker = row.order_type == MAKER
        cdef int64_t old_hold = _hold(order, instrument)
        order.leaves -= quantity
        order.accrued += _fee(instrument, order.side, _rate(instrument, row), quantity, value)
        cdef int64_t fee = _half_up(order.accrued) - order.charged
        order.charged += fee
        if fee != row.fee or order.leaves != row.value:
            self._differ(
                f"order {order.order_id} pays a fee of {fee} and leaves {order.leaves} t, "
                f"the engine says {row.fee} and {row.value} t"
            )
        self._move_fill(account, order, instrument, quantity, value, fee, old_hold)
        if fee:
            self.fees += fee
        if is_maker:
            self.trades += 1
            instrument.trades += 1
        # blocks and auctions count neither for the last price nor for the day's volume
        if is_maker and row.reason != BLOCK_TRADE and row.reason != AUCTION_TRADE:
            instrument.last_price = row.price
            instrument.day_volume = min(instrument.day_volume + quantity, <int64_t>TOTAL_LIMIT)
            instrument.day_turnover = min(instrument.day_turnover + value, <int64_t>TOTAL_LIMIT)
        if order.leaves == 0:
            del account.orders[order_key(row.order_id)]

    cdef _move_fill(
        self, AccountPosition account, OpenOrder order, InstrumentState instrument,
        int64_t quantity, int64_t value, int64_t fee, int64_t old_hold,
    ):  # fmt: skip
        cdef CashPosition cash = account.cash
        cdef UnitPosition units = _holding(account, order.instrument_id)
        if order.side == SELL:
            units.held -= quantity
            if instrument._resale == SETTLED:
                cash.locked += value - fee
            else:
                cash.available += value - fee
            return
        cdef int64_t freed = old_hold - _hold(order, instrument)
        cash.held -= freed
        cash.available += freed - value - fee
        if instrument._resale:
            units.locked += quantity
        else:
            units.available += quantity

    cdef _move_hold(self, AccountPosition account, OpenOrder order, int64_t more):
        cdef CashPosition cash
        cdef UnitPosition units
        if order.side == BUY:
            cash = account.cash
            cash.available -= more
            cash.held += more
        else:
            units = _holding(account, order.instrument_id)
            units.available -= more
            units.held += more

    cdef _differ(self, str what):
        if len(self.differences) < POSITION_DIFFERENCES_MAX:
            self.differences.append(f"event {self._event}: {what}")

    # -- the rest: one event as Python sees it --------------------------------------------------

    def _trade_settled(self, row):
        cdef CashPosition seller = (<AccountPosition>self.accounts[row.order_id]).cash
        cdef AccountPosition account = self.accounts[row.account_id]
        cdef UnitPosition units = _holding(account, row.instrument_id)
        cdef int64_t price = row.price, quantity = row.quantity
        if row.order_type == SettlementStep.REVERSE:
            seller.available -= price
            units.locked -= max(quantity - units.available, <int64_t>0)
            units.available -= min(quantity, units.available)
        else:
            seller.locked -= price
            units.locked -= quantity
        if row.order_type == SettlementStep.DELIVER:
            seller.available += price
            units.available += quantity
            return
        cash, _ = settlement_terms(row)
        account.cash.available += <int64_t>cash
        self.fees -= cash - row.price
        units = _holding(<AccountPosition>self.accounts[row.order_id], row.instrument_id)
        units.available += quantity

    def _account_opened(self, row):
        self.accounts[row.account_id] = AccountPosition(row.account_id, row.order_id)

    def _cash_deposited(self, row):
        self.cash_deposited += row.quantity
        self._move_cash(row, row.quantity)

    def _cash_withdrawn(self, row):
        self.cash_withdrawn += row.quantity
        self._move_cash(row, -row.quantity)

    cdef _move_cash(self, row, int64_t amount):
        cdef CashPosition cash = (<AccountPosition>self.accounts[row.account_id]).cash
        cash.available += amount
        if cash.total != row.value:
            self._differ(f"account {row.account_id} has {cash.total}, the engine says {row.value}")

    def _units_deposited(self, row):
        (<InstrumentState>self.instruments[row.instrument_id]).deposited += row.quantity
        self._move_units(row, row.quantity, 0)

    def _units_released(self, row):
        (<InstrumentState>self.instruments[row.instrument_id]).released += row.quantity
        self._move_units(row, -row.quantity, 0)

    def _units_unlocked(self, row):
        self._move_units(row, row.quantity, row.quantity)

    cdef _move_units(self, row, int64_t quantity, int64_t unlocked):
        cdef AccountPosition account = self.accounts[row.account_id]
        cdef UnitPosition units = _holding(account, row.instrument_id)
        units.locked -= unlocked
        units.available += quantity
        if units.total != row.value:
            self._differ(
                f"account {row.account_id} has {units.total} t of instrument "
                f"{row.instrument_id}, the engine says {row.value} t"
            )

    def _instrument_opened(self, row):
        self.instruments[row.instrument_id] = InstrumentState(row.instrument_id)

    def _parameter_changed(self, row):
        self.instruments[row.instrument_id].set_parameter(row.order_type, row.quantity)

    def _phase_changed(self, row):
        (<InstrumentState>self.instruments[row.instrument_id]).phase = Phase(row.order_type)

    def _reference_changed(self, row):
        cdef InstrumentState instrument = self.instruments[row.instrument_id]
        instrument.reference_price = row.price
        instrument.opening_reference = instrument.opening_reference or row.price

    def _day_closed(self, row):
        cdef InstrumentState instrument = self.instruments[row.instrument_id]
        instrument.reference_price = instrument.opening_reference = row.price
        instrument.day_volume = instrument.day_turnover = 0

    def _day_started(self, row):
        self.trading_date = row.quantity

    def _epoch_started(self, row):
        self.epoch = row.quantity


# what the rarer events change; those in neither place (refusals, notes) change nothing
cdef dict _HANDLERS = {
    Event.ACCOUNT_OPENED: Positions._account_opened,
    Event.CASH_DEPOSITED: Positions._cash_deposited,
    Event.CASH_WITHDRAWN: Positions._cash_withdrawn,
    Event.UNITS_DEPOSITED: Positions._units_deposited,
    Event.UNITS_RELEASED: Positions._units_released,
    Event.UNITS_UNLOCKED: Positions._units_unlocked,
    Event.INSTRUMENT_OPENED: Positions._instrument_opened,
    Event.PARAMETER_CHANGED: Positions._parameter_changed,
    Event.PHASE_CHANGED: Positions._phase_changed,
    Event.REFERENCE_CHANGED: Positions._reference_changed,
    Event.TRADE_SETTLED: Positions._trade_settled,
    Event.DAY_CLOSED: Positions._day_closed,
    Event.DAY_STARTED: Positions._day_started,
    Event.EPOCH_STARTED: Positions._epoch_started,
}


cdef int64_t _half_up(int64_t accrued):
    # accrued is never negative: C's division is Python's
    return accrued // BP + (2 * (accrued % BP) >= BP)


cdef int64_t _fee(
    InstrumentState instrument, int side, int64_t fee_bp, int64_t quantity, int64_t value
):
    cdef int64_t spared = SELLERS if side == BUY else BUYERS
    if instrument._fee_sides == spared:
        return 0
    return value * fee_bp + quantity * instrument._tonne_fee


cdef int64_t _hold(OpenOrder order, InstrumentState instrument):
    if order.side == SELL:
        return order.leaves
    cdef int64_t value = order.leaves * order.price
    cdef int64_t worst = _fee(instrument, order.side, instrument.fee_bp_max, order.leaves, value)
    return value + _half_up(order.accrued + worst) - order.charged


cdef int64_t _rate(InstrumentState instrument, const FillRecord* row):
    if row.reason == CALL_TRADE:
        return instrument._maker_bp
    if row.reason == BLOCK_TRADE:
        return instrument._block_bp
    if row.reason == AUCTION_TRADE:
        return instrument._auction_bp
    return instrument._maker_bp if row.order_type == MAKER else instrument._taker_bp


cdef OpenOrder _open(AccountPosition account, const EventRecord* row):
    return account.orders[order_key(row.order_id)]


cdef UnitPosition _holding(AccountPosition account, object instrument_id):
    found = account.units.get(instrument_id)
    if found is None:
        found = account.units[instrument_id] = UnitPosition()
    return found


cdef bytes _label(const EventRecord* row):
    return PyBytes_FromStringAndSize(<const char*>&row.client_order_id, 16)


async def project(log, partition):
    """The positions of a market from the first event to the present end. O(events).

    Raises ChainBrokenError and LogError.
    """
    positions, follower = Positions(), EventFollower()
    events = topics.events(partition)
    end = await log.end(events)
    reader = await log.open_reader(events, 0)
    try:
        while reader.position < end:
            for record in await reader.read(READ_RECORDS_MAX, READ_WAIT_S):
                part = follower.accept(record.offset, record.value)
                if part is not None:
                    positions.apply(part)
    finally:
        await reader.close()
    return positions
