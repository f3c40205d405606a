"""What every order holds and pays, to the cent, added up from the events by formulas of its own.

A buy holds its leaves at its limit and the worst fee that may still come, a sell holds tonnes. Each
hold that an event tells, each fee of a fill, and what an account has held in the end must be that.
`matching/RULES.md`, "Accept = hold", is where the formula stands; no tonne fees here, and both
sides pay.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from exchange.messages.frames import (
    Event,
    EventRow,
    Liquidity,
    Parameter,
    Side,
    TradeMethod,
    fill_tail,
)
from exchange.simulation.faults.oracle import History, held_of
from exchange.simulation.faults.promises import require

BP = 10_000
_FEES = (
    Parameter.MAKER_FEE_BP, Parameter.TAKER_FEE_BP, Parameter.BLOCK_FEE_BP, Parameter.AUCTION_FEE_BP
)  # fmt: skip
_FEE_OF = {
    TradeMethod.CALL_TRADE: Parameter.MAKER_FEE_BP,
    TradeMethod.BLOCK_TRADE: Parameter.BLOCK_FEE_BP,
    TradeMethod.AUCTION_TRADE: Parameter.AUCTION_FEE_BP,
}
_TELLS = (Event.REPLACED, Event.TRIGGERED)


class _Order:
    """What an order's hold follows from: minor units a tonne, tonnes, basis points."""

    __slots__ = ("account", "accrued", "charged", "instrument", "leaves", "price", "side", "worst")

    def __init__(self, row: EventRow, worst_bp: int) -> None:
        self.account, self.instrument, self.side = row.account_id, row.instrument_id, row.side
        self.price, self.leaves = row.price, row.quantity
        self.worst = worst_bp
        self.accrued = self.charged = 0

    @property
    def hold(self) -> int:
        """Minor units of a buy, tonnes of a sell. O(1)."""
        if self.side == Side.SELL:
            return self.leaves
        value = self.leaves * self.price
        return value + _half_up(self.accrued + value * self.worst) - self.charged

    def fee(self, value: int, fee_bp: int) -> int:
        """What a fill of that value costs, minor units. O(1)."""
        self.accrued += value * fee_bp
        fee = _half_up(self.accrued) - self.charged
        self.charged += fee
        return fee


def check(history: History) -> None:
    """Holds and fees of every event, and what is held in the end; BrokenPromiseError (P4).

    O(events + accounts).
    """
    orders: dict[int, _Order] = {}
    fees: defaultdict[int, Counter[int]] = defaultdict(Counter)  # by instrument and parameter
    for number, _, row in history.events:
        if row.kind == Event.PARAMETER_CHANGED and row.order_type in _FEES:
            fees[row.instrument_id][row.order_type] = row.quantity
        elif row.kind == Event.ACCEPTED:
            own = fees[row.instrument_id]
            order = orders[row.order_id] = _Order(row, max(own[fee] for fee in _FEES))
            _same(number, row, order.hold, row.value)
        elif row.order_id not in orders:
            continue
        elif row.kind == Event.FILL:
            order = orders[row.order_id]
            fee = order.fee(row.quantity * row.price, fees[row.instrument_id][_fee_of(row)])
            _same(number, row, fee, fill_tail(row)[1])
            order.leaves = row.value
        elif row.kind in _TELLS:
            order = orders[row.order_id]
            order.price, order.leaves = row.price, row.quantity
            _same(number, row, order.hold, row.value)
        elif row.kind == Event.CANCELLED:
            _same(number, row, orders.pop(row.order_id).hold, row.value)
    _in_the_end(history, orders)


def _fee_of(row: EventRow) -> int:
    own = Parameter.MAKER_FEE_BP if row.order_type == Liquidity.MAKER else Parameter.TAKER_FEE_BP
    return _FEE_OF.get(TradeMethod(row.reason), own)


def _same(number: int, row: EventRow, expected: int, found: int) -> None:
    require(found == expected, "P4", f"event {number} holds or takes {found} for {expected}: {row}")


def _in_the_end(history: History, orders: dict[int, _Order]) -> None:
    cash, units = Counter[int](), Counter[tuple[int, int]]()
    for order in orders.values():
        if order.side == Side.SELL:
            units[order.account, order.instrument] += order.leaves
        else:
            cash[order.account] += order.hold
    found_cash, found_units = held_of(history.engine)
    require(found_cash == +cash, "P4", f"cash held is {found_cash}, by the open orders {+cash}")
    require(found_units == +units, "P4", f"units held are {found_units}, by the orders {+units}")


def _half_up(ten_thousandths: int) -> int:
    return (2 * ten_thousandths + BP) // (2 * BP)
