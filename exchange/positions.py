"""Open orders, cash, units, parameters and phases of a market, from its `events` alone.

A second opinion on the engine: nothing here asks it anything. Holds are computed from the open
orders by the formula of `matching/RULES.md`, fees from the instruments' parameters, and each is
compared with what the event says; a difference is kept in `differences` and makes an audit fail.
The gateway answers queries from it, reconciliation and `exchange bootstrap` read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from exchange import topics
from exchange.log.protocol import Log
from exchange.messages.frames import (
    BP,
    PARAMETER_DEFAULT,
    TOTAL_LIMIT,
    Event,
    EventFollower,
    EventPart,
    EventRow,
    FeeSides,
    Liquidity,
    Parameter,
    Phase,
    Resale,
    SettlementStep,
    Side,
    TradeMethod,
    event_rows,
    fill_tail,
    settlement_terms,
)
from exchange.settings import POSITION_DIFFERENCES_MAX, READ_RECORDS_MAX

READ_WAIT_S = 0.5

_FEES = (
    Parameter.MAKER_FEE_BP,
    Parameter.TAKER_FEE_BP,
    Parameter.BLOCK_FEE_BP,
    Parameter.AUCTION_FEE_BP,
)
_FEE_OF_BOTH: dict[int, Parameter] = {
    TradeMethod.CALL_TRADE: Parameter.MAKER_FEE_BP,
    TradeMethod.BLOCK_TRADE: Parameter.BLOCK_FEE_BP,
    TradeMethod.AUCTION_TRADE: Parameter.AUCTION_FEE_BP,
}
_NOT_OF_THE_DAY = frozenset({TradeMethod.BLOCK_TRADE, TradeMethod.AUCTION_TRADE})
"""Trades that count neither for the last price nor for the day's volume."""


@dataclass(slots=True)
class OpenOrder:
    """An order that rests, or is being matched; money in minor units, quantities in tonnes."""

    order_id: int
    account_id: int
    instrument_id: int
    side: int
    order_type: int
    time_in_force: int
    quantity: int  # the order's total
    leaves: int
    price: int  # effective limit
    client_order_id: bytes  # 16 bytes
    accrued: int = 0  # 1/10000 minor unit over its fills
    charged: int = 0  # fees so far

    def hold(self, instrument: InstrumentState) -> int:
        """What the rest may still cost: cash for a buy, units for a sell. O(1)."""
        if self.side == Side.SELL:
            return self.leaves
        value = self.leaves * self.price
        worst = instrument.fee(self.side, instrument.fee_bp_max, self.leaves, value)
        return value + _half_up(self.accrued + worst) - self.charged


@dataclass(slots=True)
class CashPosition:
    """The cash of an account, minor units."""

    available: int = 0
    held: int = 0
    locked: int = 0  # proceeds of sales that are not settled

    @property
    def total(self) -> int:
        """Available, held and locked. O(1)."""
        return self.available + self.held + self.locked


@dataclass(slots=True)
class UnitPosition:
    """What an account has of an instrument on the venue, tonnes."""

    available: int = 0
    held: int = 0
    locked: int = 0  # bought, saleable from the next day or when settled

    @property
    def total(self) -> int:
        """Available, held and locked. O(1)."""
        return self.available + self.held + self.locked


@dataclass(slots=True)
class AccountPosition:
    """An account: whose it is, its cash, its units by instrument, its open orders by id."""

    account_id: int
    participant: int
    cash: CashPosition = field(default_factory=CashPosition)
    units: dict[int, UnitPosition] = field(default_factory=dict)
    orders: dict[int, OpenOrder] = field(default_factory=dict)


@dataclass(slots=True)
class InstrumentState:
    """An instrument: its parameters, phase and day; prices in minor units a tonne."""

    instrument_id: int
    parameters: dict[Parameter, int] = field(default_factory=lambda: dict(PARAMETER_DEFAULT))
    phase: Phase = Phase.CLOSED
    reference_price: int = 0
    last_price: int = 0
    day_volume: int = 0  # tonnes
    day_turnover: int = 0  # minor units
    trades: int = 0
    deposited: int = 0  # tonnes, since the first event
    released: int = 0

    @property
    def fee_bp_max(self) -> int:
        """The worst share of a fill's value, basis points. O(1)."""
        return max(self.parameters[fee] for fee in _FEES)

    def fee(self, side: int, fee_bp: int, quantity: int, value: int) -> int:
        """What a fill costs that side, 1/10000 minor unit. O(1)."""
        spared = FeeSides.SELLERS if side == Side.BUY else FeeSides.BUYERS
        if self.parameters[Parameter.FEE_SIDES] == spared:
            return 0
        return value * fee_bp + quantity * self.parameters[Parameter.TONNE_FEE]


class Positions:
    """The projection: feed it every accepted part of `events`, in order.

    Memory is bounded by the engine's own tables: open orders, accounts, holdings, instruments.
    """

    def __init__(self) -> None:
        self.orders: dict[int, OpenOrder] = {}
        self.accounts: dict[int, AccountPosition] = {}
        self.instruments: dict[int, InstrumentState] = {}
        self.fees = 0  # minor units, all accounts together
        self.cash_deposited = 0
        self.cash_withdrawn = 0
        self.trades = 0
        self.trading_date = 0
        self.epoch = 0
        self.time_ns = 0  # engine time
        self.next_input = 0  # of `orders`: everything below is in here
        self.next_event = 0
        self.differences: list[str] = []
        self._event = 0

    def apply(self, part: EventPart) -> None:
        """One accepted part of `events`. O(events)."""
        self._event = part.first_event
        for row in event_rows(part.events):
            handler = _HANDLERS.get(row.kind)
            if handler is not None:
                handler(self, row)
            self._event += 1
        self.next_event = self._event
        self.time_ns = part.time_ns
        self.next_input = part.input_offset + 1 if part.is_last else part.input_offset

    # -- questions ------------------------------------------------------------------------------

    def cash(self, account_id: int) -> CashPosition:
        """The cash of an account, zero when it has none. O(1)."""
        account = self.accounts.get(account_id)
        return account.cash if account is not None else CashPosition()

    def units(self, account_id: int, instrument_id: int) -> UnitPosition:
        """The units of an account in an instrument, zero when it has none. O(1)."""
        account = self.accounts.get(account_id)
        found = account.units.get(instrument_id) if account is not None else None
        return found if found is not None else UnitPosition()

    def open_orders(self, account_id: int) -> list[OpenOrder]:
        """The open orders of an account, oldest first. O(orders of it)."""
        account = self.accounts.get(account_id)
        return list(account.orders.values()) if account is not None else []

    def cash_totals(self) -> Iterator[tuple[int, int]]:
        """(account, cash) of every account. O(accounts)."""
        return ((key, account.cash.total) for key, account in self.accounts.items())

    def unit_totals(self) -> Iterator[tuple[tuple[int, int], int]]:
        """((account, instrument), tonnes) of every holding that is not empty. O(holdings)."""
        for account_id, account in self.accounts.items():
            for instrument_id, units in account.units.items():
                if units.total:
                    yield (account_id, instrument_id), units.total

    def held_by_orders(self) -> tuple[dict[int, int], dict[tuple[int, int], int]]:
        """Holds summed anew over the open orders: cash by account, units by holding. O(orders)."""
        cash: dict[int, int] = {}
        units: dict[tuple[int, int], int] = {}
        for order in self.orders.values():
            hold = order.hold(self.instruments[order.instrument_id])
            if order.side == Side.BUY:
                cash[order.account_id] = cash.get(order.account_id, 0) + hold
            else:
                key = order.account_id, order.instrument_id
                units[key] = units.get(key, 0) + hold
        return cash, units

    def self_check(self) -> list[str]:
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

    # -- one event ------------------------------------------------------------------------------

    def _differ(self, what: str) -> None:
        if len(self.differences) < POSITION_DIFFERENCES_MAX:
            self.differences.append(f"event {self._event}: {what}")

    def _holding(self, account_id: int, instrument_id: int) -> UnitPosition:
        units = self.accounts[account_id].units
        if instrument_id not in units:
            units[instrument_id] = UnitPosition()
        return units[instrument_id]

    def _move_hold(self, order: OpenOrder, more: int) -> None:
        purse: CashPosition | UnitPosition = (
            self.accounts[order.account_id].cash
            if order.side == Side.BUY
            else self._holding(order.account_id, order.instrument_id)
        )
        purse.available -= more
        purse.held += more

    def _drop(self, order: OpenOrder) -> None:
        del self.orders[order.order_id]
        del self.accounts[order.account_id].orders[order.order_id]

    def _accepted(self, row: EventRow) -> None:
        order = OpenOrder(
            row.order_id, row.account_id, row.instrument_id, row.side, row.order_type,
            row.time_in_force, row.quantity, row.quantity, row.price, row.client_order_id,
        )  # fmt: skip
        self.orders[order.order_id] = order
        self.accounts[order.account_id].orders[order.order_id] = order
        hold = order.hold(self.instruments[order.instrument_id])
        if hold != row.value:
            self._differ(f"order {order.order_id} holds {hold}, the engine says {row.value}")
        self._move_hold(order, hold)

    def _replaced(self, row: EventRow) -> None:
        order = self.orders[row.order_id]
        instrument = self.instruments[order.instrument_id]
        old = order.hold(instrument)
        order.quantity += row.quantity - order.leaves
        order.leaves, order.price = row.quantity, row.price
        order.client_order_id = row.client_order_id
        hold = order.hold(instrument)
        if hold != row.value:
            self._differ(f"order {order.order_id} holds {hold}, the engine says {row.value}")
        self._move_hold(order, hold - old)

    def _triggered(self, row: EventRow) -> None:
        self.orders[row.order_id].order_type = row.order_type

    def _cancelled(self, row: EventRow) -> None:
        order = self.orders[row.order_id]
        hold = order.hold(self.instruments[order.instrument_id])
        if hold != row.value or order.leaves != row.quantity:
            self._differ(
                f"order {order.order_id} gives back {hold} for {order.leaves} t, "
                f"the engine says {row.value} for {row.quantity} t"
            )
        self._move_hold(order, -hold)
        self._drop(order)

    def _fill(self, row: EventRow) -> None:
        order = self.orders[row.order_id]
        instrument = self.instruments[order.instrument_id]
        quantity, value = row.quantity, row.quantity * row.price
        is_maker = row.order_type == Liquidity.MAKER
        own = Parameter.MAKER_FEE_BP if is_maker else Parameter.TAKER_FEE_BP
        rate = _FEE_OF_BOTH.get(row.reason, own)
        old_hold = order.hold(instrument)
        order.leaves -= quantity
        order.accrued += instrument.fee(order.side, instrument.parameters[rate], quantity, value)
        fee = _half_up(order.accrued) - order.charged
        order.charged += fee
        _, said = fill_tail(row)
        if fee != said or order.leaves != row.value:
            self._differ(
                f"order {order.order_id} pays a fee of {fee} and leaves {order.leaves} t, "
                f"the engine says {said} and {row.value} t"
            )
        self._move_fill(order, instrument, quantity, value, fee, old_hold)
        self.fees += fee
        if is_maker:
            self.trades += 1
            instrument.trades += 1
        if is_maker and row.reason not in _NOT_OF_THE_DAY:
            instrument.last_price = row.price
            instrument.day_volume = min(instrument.day_volume + quantity, TOTAL_LIMIT)
            instrument.day_turnover = min(instrument.day_turnover + value, TOTAL_LIMIT)
        if order.leaves == 0:
            self._drop(order)

    def _move_fill(
        self, order: OpenOrder, instrument: InstrumentState, quantity: int, value: int, fee: int,
        old_hold: int,
    ) -> None:  # fmt: skip
        cash = self.accounts[order.account_id].cash
        units = self._holding(order.account_id, order.instrument_id)
        if order.side == Side.SELL:
            units.held -= quantity
            if instrument.parameters[Parameter.RESALE_NEXT_DAY] == Resale.SETTLED:
                cash.locked += value - fee
            else:
                cash.available += value - fee
            return
        freed = old_hold - order.hold(instrument)
        cash.held -= freed
        cash.available += freed - value - fee
        if instrument.parameters[Parameter.RESALE_NEXT_DAY]:
            units.locked += quantity
        else:
            units.available += quantity

    def _trade_settled(self, row: EventRow) -> None:
        seller = self.accounts[row.order_id].cash
        units = self._holding(row.account_id, row.instrument_id)
        if row.order_type == SettlementStep.REVERSE:
            seller.available -= row.price
            units.locked -= max(row.quantity - units.available, 0)
            units.available -= min(row.quantity, units.available)
        else:
            seller.locked -= row.price
            units.locked -= row.quantity
        if row.order_type == SettlementStep.DELIVER:
            seller.available += row.price
            units.available += row.quantity
            return
        cash, _ = settlement_terms(row)
        self.accounts[row.account_id].cash.available += cash
        self.fees -= cash - row.price
        self._holding(row.order_id, row.instrument_id).available += row.quantity

    def _account_opened(self, row: EventRow) -> None:
        self.accounts[row.account_id] = AccountPosition(row.account_id, row.order_id)

    def _cash_deposited(self, row: EventRow) -> None:
        self.cash_deposited += row.quantity
        self._move_cash(row, row.quantity)

    def _cash_withdrawn(self, row: EventRow) -> None:
        self.cash_withdrawn += row.quantity
        self._move_cash(row, -row.quantity)

    def _move_cash(self, row: EventRow, amount: int) -> None:
        cash = self.accounts[row.account_id].cash
        cash.available += amount
        if cash.total != row.value:
            self._differ(f"account {row.account_id} has {cash.total}, the engine says {row.value}")

    def _units_deposited(self, row: EventRow) -> None:
        self.instruments[row.instrument_id].deposited += row.quantity
        self._move_units(row, row.quantity)

    def _units_released(self, row: EventRow) -> None:
        self.instruments[row.instrument_id].released += row.quantity
        self._move_units(row, -row.quantity)

    def _units_unlocked(self, row: EventRow) -> None:
        self._holding(row.account_id, row.instrument_id).locked -= row.quantity
        self._move_units(row, row.quantity)

    def _move_units(self, row: EventRow, quantity: int) -> None:
        units = self._holding(row.account_id, row.instrument_id)
        units.available += quantity
        if units.total != row.value:
            self._differ(
                f"account {row.account_id} has {units.total} t of instrument "
                f"{row.instrument_id}, the engine says {row.value} t"
            )

    def _instrument_opened(self, row: EventRow) -> None:
        self.instruments[row.instrument_id] = InstrumentState(row.instrument_id)

    def _parameter_changed(self, row: EventRow) -> None:
        parameters = self.instruments[row.instrument_id].parameters
        parameters[Parameter(row.order_type)] = row.quantity

    def _phase_changed(self, row: EventRow) -> None:
        self.instruments[row.instrument_id].phase = Phase(row.order_type)

    def _reference_changed(self, row: EventRow) -> None:
        self.instruments[row.instrument_id].reference_price = row.price

    def _day_closed(self, row: EventRow) -> None:
        instrument = self.instruments[row.instrument_id]
        instrument.reference_price = row.price
        instrument.day_volume = instrument.day_turnover = 0

    def _day_started(self, row: EventRow) -> None:
        self.trading_date = row.quantity

    def _epoch_started(self, row: EventRow) -> None:
        self.epoch = row.quantity


_HANDLERS: dict[int, Callable[[Positions, EventRow], None]] = {
    Event.ACCEPTED: Positions._accepted,
    Event.FILL: Positions._fill,
    Event.CANCELLED: Positions._cancelled,
    Event.REPLACED: Positions._replaced,
    Event.TRIGGERED: Positions._triggered,
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
"""What each event changes; those not here (refusals, instructions, notes) change nothing."""


def _half_up(accrued: int) -> int:
    return (2 * accrued + BP) // (2 * BP)


async def project(log: Log, partition: int) -> Positions:
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
