"""A run of one owner's trades that moves the price, and a reversal at the better price."""

from __future__ import annotations

from dataclasses import dataclass

from exchange.messages.frames import Side, TradeMethod
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, Order, Trade, against, moved_bp
from exchange.surveillance.windows import Table

KIND = "MOMENTUM_IGNITION"


@dataclass(slots=True)
class _Run:
    """Trades of one side which an owner came for, one after the other."""

    side: int = 0  # 0 = none
    since_ns: int = 0
    event: int = 0
    price_before: int = 0
    last_ns: int = 0
    last_price: int = 0
    order_id: int = 0
    orders: int = 0
    quantity: int = 0
    value: int = 0
    reversed: int = 0
    came_before: int = 0  # tonnes that came on this side until the run began
    came: int = 0  # and during the run


class Momentum(Detector):
    """A large order that sweeps the book and is kept is no pattern: the reversal makes it one."""

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        self._runs: Table[tuple[int, int], _Run] = Table(_Run)
        self._came: dict[tuple[int, int], int] = {}  # by instrument and side: tonnes of takers

    def traded(self, trade: Trade) -> None:
        """Lengthens or reverses the runs of both owners. O(1)."""
        if trade.method != TradeMethod.BOOK_TRADE or trade.maker.owner == trade.taker.owner:
            return
        way = trade.instrument.instrument_id, trade.taker.side
        self._came[way] = self._came.get(way, 0) + trade.quantity
        if not self._reverse(trade, trade.taker):
            self._lengthen(trade)
        self._reverse(trade, trade.maker)

    def _lengthen(self, trade: Trade) -> None:
        taker = trade.taker
        way = trade.instrument.instrument_id, taker.side
        run = self._runs[trade.instrument.instrument_id, taker.owner]
        is_late = trade.time_ns - run.since_ns > self.limits[KIND].ns("window_s")
        if run.side != taker.side or is_late:
            run.side, run.since_ns, run.event = taker.side, trade.time_ns, trade.event
            run.price_before = trade.instrument.price
            run.came_before = self._came[way] - trade.quantity
            run.order_id = run.orders = run.quantity = run.value = run.reversed = 0
        if run.order_id != taker.order_id:
            run.order_id = taker.order_id
            run.orders += 1
        run.last_ns, run.last_price = trade.time_ns, trade.price
        run.came = self._came[way] - run.came_before
        run.quantity += trade.quantity
        run.value += trade.quantity * trade.price

    def _reverse(self, trade: Trade, order: Order) -> bool:
        """Whether the trade turns a run that moved the price."""
        limit = self.limits[KIND]
        run = self._runs.find((trade.instrument.instrument_id, order.owner))
        if run is None or run.side != 3 - order.side:
            return False
        moved = moved_bp(run.price_before, run.last_price, run.side)
        if run.orders < limit["orders_min"] or run.quantity < limit["quantity_min_t"]:
            return False
        if moved < limit["move_min_bp"]:
            return False
        if run.quantity * 10_000 < run.came * limit["share_min_bp"]:
            return False
        if trade.time_ns - run.last_ns > limit.ns("reversal_max_s"):
            return False
        gain = trade.price * run.quantity - run.value
        if (gain if run.side == Side.BUY else -gain) <= 0:
            return True
        run.reversed += trade.quantity
        if run.reversed * 10_000 >= run.quantity * limit["reversed_min_bp"]:
            self._tell(trade, order, run, moved)
            run.side = 0
        return True

    def _tell(self, trade: Trade, order: Order, run: _Run, moved: int) -> None:
        limit = self.limits[KIND]
        words = ("bought", "sold") if run.side == Side.BUY else ("sold", "bought")
        text = (
            f"participant {order.owner} {words[0]} {run.quantity:,} t of "
            f"{trade.instrument.symbol} with {run.orders} orders within "
            f"{(run.last_ns - run.since_ns) // 1_000_000_000} s, the price went {moved} bp its "
            f"way, and {words[1]} {run.reversed:,} t at a better price within "
            f"{(trade.time_ns - run.last_ns) // 1_000_000_000} s; limits {limit['move_min_bp']} bp "
            f"and {limit['reversed_min_bp']} bp of the run"
        )
        self.tell(
            (trade.instrument.instrument_id, order.owner),
            Finding(KIND, trade.instrument, (order.account,), run.since_ns, run.event,
                    against(moved, limit["move_min_bp"]),
                    {"orders": run.orders, "quantity": run.quantity, "moved_bp": moved,
                     "reversed": run.reversed}, text),
        )  # fmt: skip
