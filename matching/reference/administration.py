"""Everything on the log but orders: accounts, deposits, instruments, phases, the day, epochs.

Each command gives the reason why it is refused, and has then changed nothing.
"""

from __future__ import annotations

from matching.layout import (
    PRICE_LIMIT,
    TOTAL_LIMIT,
    Event,
    Instruction,
    Parameter,
    Phase,
    Reason,
    Resale,
)
from matching.parameters import NEEDS_EMPTY_BOOK, PARAMETER_RANGE
from matching.reference.accounts import Account
from matching.reference.instruments import Instrument
from matching.reference.records import CommandRecord
from matching.reference.state import State
from matching.reference.terms import DATE_MAX
from matching.reference.trading import end_of_day, end_outside_band

_INSTRUCTIONS = frozenset(Instruction)
_PARAMETERS = frozenset(Parameter)


def account_open(state: State, c: CommandRecord) -> Reason:
    """ACCOUNT_OPEN. O(1)."""
    if c.account_id == 0:
        return Reason.UNKNOWN_ACCOUNT
    if c.account_id in state.accounts:
        return Reason.ACCOUNT_EXISTS
    if len(state.accounts) >= state.limits.accounts_max:
        return Reason.ACCOUNTS_FULL
    state.accounts[c.account_id] = Account(c.account_id, c.order_id)
    _emit_transfer(state, Event.ACCOUNT_OPENED, c, 0)
    return Reason.NONE


def cash_deposit(state: State, c: CommandRecord) -> Reason:
    """CASH_DEPOSIT. O(1)."""
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if state.cash + c.quantity > TOTAL_LIMIT:
        return Reason.TOTAL_ABOVE_MAX
    account = state.accounts[c.account_id]
    account.available += c.quantity
    state.cash += c.quantity
    _emit_transfer(state, Event.CASH_DEPOSITED, c, account.total)
    return Reason.NONE


def cash_withdraw(state: State, c: CommandRecord) -> Reason:
    """CASH_WITHDRAW. O(1)."""
    account = state.accounts[c.account_id]
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.quantity > account.available:
        return Reason.INSUFFICIENT_CASH
    account.available -= c.quantity
    state.cash -= c.quantity
    _emit_transfer(state, Event.CASH_WITHDRAWN, c, account.total)
    return Reason.NONE


def units_deposit(state: State, c: CommandRecord) -> Reason:
    """UNITS_DEPOSIT. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if instrument.units + c.quantity > TOTAL_LIMIT:
        return Reason.TOTAL_ABOVE_MAX
    holding = state.holding(c.account_id, c.instrument_id)
    holding.available += c.quantity
    instrument.units += c.quantity
    _emit_transfer(state, Event.UNITS_DEPOSITED, c, holding.total)
    return Reason.NONE


def units_release(state: State, c: CommandRecord) -> Reason:
    """UNITS_RELEASE. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    holding = state.holding(c.account_id, c.instrument_id)
    if c.quantity <= 0:
        return Reason.QUANTITY_NOT_POSITIVE
    if c.quantity > holding.available:
        return Reason.INSUFFICIENT_UNITS
    holding.available -= c.quantity
    instrument.units -= c.quantity
    _emit_transfer(state, Event.UNITS_RELEASED, c, holding.total)
    return Reason.NONE


def _emit_transfer(state: State, kind: Event, c: CommandRecord, total: int) -> None:
    is_opened = kind == Event.ACCOUNT_OPENED
    is_cash = kind in (Event.CASH_DEPOSITED, Event.CASH_WITHDRAWN)
    state.emit(
        kind,
        account_id=c.account_id,
        instrument_id=0 if is_opened or is_cash else c.instrument_id,
        quantity=0 if is_opened else c.quantity,
        value=total,
        order_id=c.order_id,
        client_order_id=c.client_order_id,
    )


def instrument_open(state: State, c: CommandRecord) -> Reason:
    """INSTRUMENT_OPEN. O(log instruments)."""
    if c.instrument_id == 0:
        return Reason.UNKNOWN_INSTRUMENT
    if c.instrument_id in state.instruments:
        return Reason.INSTRUMENT_EXISTS
    state.instruments[c.instrument_id] = Instrument(c.instrument_id)
    state.emit(Event.INSTRUMENT_OPENED, instrument_id=c.instrument_id)
    return Reason.NONE


def instrument_parameter(state: State, c: CommandRecord) -> Reason:
    """INSTRUMENT_PARAMETER. O(1)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if c.order_type not in _PARAMETERS:
        return Reason.UNKNOWN_PARAMETER
    parameter = Parameter(c.order_type)
    low, high = PARAMETER_RANGE[parameter]
    if not low <= c.quantity <= high or not instrument.may_set(parameter, c.quantity):
        return Reason.PARAMETER_OUT_OF_RANGE
    if parameter in NEEDS_EMPTY_BOOK and not instrument.is_empty():
        return Reason.ORDERS_RESTING
    if parameter == Parameter.RESALE_NEXT_DAY and not _may_lock(state, instrument, c.quantity):
        return Reason.UNITS_LOCKED
    instrument.parameters[parameter] = c.quantity
    state.emit(
        Event.PARAMETER_CHANGED,
        instrument_id=c.instrument_id,
        order_type=parameter,
        quantity=c.quantity,
    )
    return Reason.NONE


def _may_lock(state: State, instrument: Instrument, value: int) -> bool:
    """Whether what is locked of it now would still be unlocked by what locked it. O(holdings)."""
    now = instrument[Parameter.RESALE_NEXT_DAY]
    if (value == Resale.SETTLED) == (now == Resale.SETTLED):
        return True
    return not any(
        holding.locked
        for (_, instrument_id), holding in state.holdings.items()
        if instrument_id == instrument.instrument_id
    )


def reference_price(state: State, c: CommandRecord) -> Reason:
    """REFERENCE_PRICE. O(orders of the instrument)."""
    instrument: Instrument = state.instruments[c.instrument_id]
    if not 1 <= c.price <= PRICE_LIMIT:
        return Reason.PARAMETER_OUT_OF_RANGE
    if instrument.phase == Phase.CONTINUOUS:
        return Reason.PHASE_TRANSITION_REFUSED
    instrument.reference = c.price
    state.emit(Event.REFERENCE_CHANGED, instrument_id=c.instrument_id, price=c.price)
    end_outside_band(state, instrument)
    return Reason.NONE


def day_roll(state: State, c: CommandRecord) -> Reason:
    """DAY_ROLL: close every instrument, unlock, forget, begin. O(state)."""
    if c.quantity > DATE_MAX:
        return Reason.PARAMETER_OUT_OF_RANGE
    if any(i.phase != Phase.CLOSED for i in state.instruments.values()):
        return Reason.NOT_ALL_CLOSED
    if c.quantity <= state.trading_date:
        return Reason.DATE_NOT_LATER
    for instrument in state.instruments.values():
        instrument.reference = instrument.closing_price()
        state.emit(
            Event.DAY_CLOSED,
            instrument_id=instrument.instrument_id,
            price=instrument.reference,
            quantity=instrument.volume,
            value=instrument.turnover,
        )
        end_of_day(state, instrument, c.quantity)
        instrument.volume = instrument.turnover = instrument.call_price = 0
    _unlock(state)
    state.client_order_ids = {
        label: body
        for label, body in state.client_order_ids.items()
        if body.order_id in state.orders
    }
    state.trading_date = c.quantity
    state.emit(Event.DAY_STARTED, quantity=c.quantity)
    return Reason.NONE


def _unlock(state: State) -> None:
    for (account_id, instrument_id), holding in sorted(state.holdings.items()):
        if holding.locked and _is_of_the_day(state, instrument_id):
            unlocked, holding.locked = holding.locked, 0
            holding.available += unlocked
            state.emit(
                Event.UNITS_UNLOCKED,
                account_id=account_id,
                instrument_id=instrument_id,
                quantity=unlocked,
                value=holding.total,
            )


def _is_of_the_day(state: State, instrument_id: int) -> bool:
    """Whether the day's end unlocks units of it, not their settlement. O(1)."""
    instrument: Instrument = state.instruments[instrument_id]
    return instrument[Parameter.RESALE_NEXT_DAY] != Resale.SETTLED


def epoch_start(state: State, c: CommandRecord) -> Reason:
    """EPOCH_START: the first to ask for the next epoch wins it. O(1)."""
    if c.quantity != state.epoch + 1:
        return Reason.EPOCH_STALE
    state.epoch, state.leader = c.quantity, c.order_id
    state.emit(Event.EPOCH_STARTED, quantity=c.quantity, order_id=c.order_id)
    return Reason.NONE


def instruction(state: State, c: CommandRecord, position: int) -> Reason:
    """INSTRUCTION, passed on. O(1)."""
    if c.order_type not in _INSTRUCTIONS:
        return Reason.UNKNOWN_INSTRUCTION
    state.emit_answer(Event.INSTRUCTED, c, order_id=position)
    return Reason.NONE


def note(state: State, c: CommandRecord) -> None:
    """NOTE right after an INSTRUCTION that was passed on. O(1)."""
    state.emit_answer(Event.NOTED, c)
