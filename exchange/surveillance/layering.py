"""Orders that are not meant to trade: one side loaded, a trade on the other, the load cancelled."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from exchange.messages.frames import OrderType, Side, TradeMethod
from exchange.surveillance.detector import BY_REQUEST, Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, Order, Trade, against
from exchange.surveillance.windows import Entry, Table, Window

LAYERING = "LAYERING"
SPOOFING = "SPOOFING"
LOADED_MAX = 1_000  # young orders of one side that are looked at

_NEGOTIATED = frozenset({TradeMethod.BLOCK_TRADE, TradeMethod.AUCTION_TRADE})
_IN_THE_BOOK = frozenset({OrderType.LIMIT, OrderType.MARKET})


@dataclass(slots=True)
class _SideLoad:
    """What an owner has on one side of one instrument."""

    orders: dict[int, int] = field(default_factory=dict)  # leaves of all of it, by id
    resting: int = 0  # their tonnes
    loaded: int = 0  # tonnes of the young ones
    young: OrderedDict[int, list[int]] = field(default_factory=OrderedDict)  # id: entered, leaves

    def advance(self, before_ns: int) -> None:
        """Lets orders grow old. O(1) amortised."""
        while self.young:
            order_id, (entered_ns, leaves) = next(iter(self.young.items()))
            if entered_ns >= before_ns and len(self.young) <= LOADED_MAX:
                return
            del self.young[order_id]
            self.loaded -= leaves

    def add(self, order_id: int, leaves: int) -> None:
        """An order of the book. O(1)."""
        self.orders[order_id] = leaves
        self.resting += leaves

    def change(self, order_id: int, by: int) -> None:
        """More or less of an order; of one that was not added nothing. O(1)."""
        leaves = self.orders.get(order_id)
        if leaves is None:
            return
        self.resting += by
        self.orders[order_id] = leaves + by
        if not leaves + by:
            del self.orders[order_id]
        row = self.young.get(order_id)
        if row is not None:
            row[1] += by
            self.loaded += by
            if not row[1]:
                del self.young[order_id]


@dataclass(slots=True)
class _Episode:
    """A trade against a loaded side, and what became of the load."""

    time_ns: int
    event: int
    side: int  # that is loaded
    traded: int
    loaded: int
    imbalance_bp: int
    waiting: set[int]  # ids of loaded orders
    cancelled: int = 0
    orders: int = 0


@dataclass(slots=True)
class _Owner:
    sides: tuple[_SideLoad, _SideLoad] = field(default_factory=lambda: (_SideLoad(), _SideLoad()))
    episode: _Episode | None = None
    cycles: Window | None = None


class LoadedSide(Detector):
    """LAYERING or SPOOFING, which differ in how many orders make the load.

    A market maker has both sides, a seller sells: there must be an imbalance of the load, a trade
    on the other side, and the cancelling after it, more than once.
    """

    def __init__(self, limits: Limits, tell: Tell, kind: str) -> None:
        super().__init__(limits, tell)
        self._kind = kind
        self._limit = limits[kind]
        self._owners: Table[tuple[int, int], _Owner] = Table(_Owner)

    def entered(self, order: Order) -> None:
        """Takes an order of the book into its side. O(1) amortised."""
        if order.order_type not in _IN_THE_BOOK:
            return
        load = self._load(order)
        load.add(order.order_id, order.leaves)
        limit, anchor = self._limit, order.entry_price
        if abs(order.price - anchor) * 10_000 > anchor * limit["distance_max_bp"]:
            return
        load.advance(order.entered_ns - limit.ns("window_s"))
        load.young[order.order_id] = [order.entered_ns, order.leaves]
        load.loaded += order.leaves

    def replaced(self, order: Order, leaves_before: int, now_ns: int) -> None:
        """Follows the quantity. O(1)."""
        self._load(order).change(order.order_id, order.leaves - leaves_before)

    def traded(self, trade: Trade) -> None:
        """Looks at the other side of both owners. O(loaded orders) when it is loaded."""
        for order in (trade.maker, trade.taker):
            self._load(order).change(order.order_id, -trade.quantity)
        if trade.maker.owner != trade.taker.owner and trade.method not in _NEGOTIATED:
            for order in (trade.maker, trade.taker):
                self._open(trade, order)

    def cancelled(self, order: Order, reason: int, now_ns: int) -> None:
        """Counts what leaves a loaded side after a trade. O(1)."""
        self._load(order).change(order.order_id, -order.leaves)
        owner = self._owners[order.instrument.instrument_id, order.owner]
        episode = owner.episode
        if episode is None or order.order_id not in episode.waiting or reason not in BY_REQUEST:
            return
        if now_ns - episode.time_ns > self._limit.ns("cancel_max_s"):
            owner.episode = None
            return
        episode.waiting.remove(order.order_id)
        episode.cancelled += order.leaves
        episode.orders += 1
        if episode.cancelled * 10_000 >= episode.loaded * self._limit["cancelled_min_bp"]:
            owner.episode = None
            self._judge(order, owner, episode, now_ns)

    def _load(self, order: Order) -> _SideLoad:
        owner = self._owners[order.instrument.instrument_id, order.owner]
        return owner.sides[order.side - 1]

    def _open(self, trade: Trade, order: Order) -> None:
        limit = self._limit
        owner = self._owners[trade.instrument.instrument_id, order.owner]
        own, other = owner.sides[order.side - 1], owner.sides[2 - order.side]
        running = owner.episode
        if running is not None and running.side == 3 - order.side:
            if trade.time_ns - running.time_ns <= limit.ns("cancel_max_s"):
                running.traded += trade.quantity
                running.time_ns = trade.time_ns
                return
            owner.episode = None
        other.advance(trade.time_ns - limit.ns("window_s"))
        if other.loaded * 10_000 < trade.quantity * limit["quantity_multiple_bp"]:
            return
        if not trade.instrument.is_multiple(other.loaded, limit["size_multiple_bp"]):
            return
        imbalance = other.loaded * 10_000 // max(own.resting, 1)
        if imbalance >= limit["imbalance_min_bp"]:
            owner.episode = _Episode(
                trade.time_ns, trade.event, 3 - order.side, trade.quantity, other.loaded,
                imbalance, set(other.young),
            )  # fmt: skip

    def _judge(self, order: Order, owner: _Owner, episode: _Episode, now_ns: int) -> None:
        limit = self._limit
        is_many = episode.orders > limit.figures.get("orders_max", episode.orders)
        if episode.orders < limit["orders_min"] or is_many:
            return
        if episode.loaded * 10_000 < episode.traded * limit["quantity_multiple_bp"]:
            return
        owner.cycles = owner.cycles or Window(limit.ns("cycles_window_s"))
        owner.cycles.add(Entry(now_ns, episode.event, episode.side, episode.cancelled, 0))
        cycles = owner.cycles.all.count
        if cycles < limit["cycles_min"]:
            return
        side, traded_side = Side(episode.side).name.lower(), Side(3 - episode.side).name.lower()
        text = (
            f"participant {order.owner} had {episode.loaded:,} t to {side} "
            f"{order.instrument.symbol} in front of it, traded {episode.traded:,} t as a "
            f"{traded_side} and cancelled {episode.cancelled:,} t in {episode.orders} orders "
            f"{(now_ns - episode.time_ns) // 1_000_000} ms later; {cycles} times within "
            f"{limit['cycles_window_s']} s, limit {limit['cycles_min']}"
        )
        figures = {
            "cycles": cycles, "loaded": episode.loaded, "traded": episode.traded,
            "cancelled": episode.cancelled, "orders": episode.orders,
        }  # fmt: skip
        self.tell(
            (order.instrument.instrument_id, order.owner),
            Finding(
                self._kind, order.instrument, (order.account,), owner.cycles.first.time_ns,
                owner.cycles.first.event, against(cycles, limit["cycles_min"]), figures, text,
            ),
        )  # fmt: skip
