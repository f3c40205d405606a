"""Instruments: phase, parameters, the band, the protection price, the close."""

from __future__ import annotations

from dataclasses import dataclass, field

from matching.layout import (
    BP,
    PRICE_LIMIT,
    TOTAL_LIMIT,
    CloseRule,
    Parameter,
    Phase,
    Queue,
    Side,
)
from matching.parameters import PARAMETER_DEFAULT
from matching.reference.book import BookSide, half_up

_FEES = (
    Parameter.MAKER_FEE_BP,
    Parameter.TAKER_FEE_BP,
    Parameter.BLOCK_FEE_BP,
    Parameter.AUCTION_FEE_BP,
)


@dataclass(slots=True)
class Auction:
    """The terms of a sealed-bid auction; its offer is an order."""

    order_id: int
    pricing: int
    tie_break: int
    flags: int
    carry: int
    bid_max_bp: int
    bid_multiple: int


def _queues() -> dict[tuple[int, int], BookSide]:
    return {(queue, side): BookSide(side, queue) for queue in Queue for side in Side}


@dataclass(slots=True)
class Instrument:
    """One instrument: its rules, its day, its book."""

    instrument_id: int
    phase: int = Phase.CLOSED
    parameters: dict[Parameter, int] = field(default_factory=lambda: dict(PARAMETER_DEFAULT))
    reference: int = 0
    volume: int = 0
    turnover: int = 0
    last_price: int = 0
    units: int = 0  # tonnes of it in all accounts
    call_price: int = 0  # of the day's last closing call
    change_at_ns: int = 0  # when a call ends by itself, 0 = it does not
    change_to: int = 0  # the Phase that follows then
    indicative: tuple[int, int, int] = (0, 0, 0)  # price, volume, surplus as last said
    auction: Auction | None = None
    queues: dict[tuple[int, int], BookSide] = field(default_factory=_queues)  # queue, side

    @property
    def bids(self) -> BookSide:
        """The buyers in the book. O(1)."""
        return self.queues[Queue.BOOK, Side.BUY]

    @property
    def asks(self) -> BookSide:
        """The sellers in the book. O(1)."""
        return self.queues[Queue.BOOK, Side.SELL]

    def __getitem__(self, parameter: Parameter) -> int:
        """The value of a parameter. O(1)."""
        return self.parameters[parameter]

    def book_side(self, side: int) -> BookSide:
        """Where orders of that side rest. O(1)."""
        return self.bids if side == Side.BUY else self.asks

    def opposite(self, side: int) -> BookSide:
        """What orders of that side trade against. O(1)."""
        return self.asks if side == Side.BUY else self.bids

    def is_empty(self) -> bool:
        """Whether no order stands in any queue. O(1)."""
        return not any(queue.levels for queue in self.queues.values())

    def fee_bp_max(self) -> int:
        """The worst fee a fill may bring. O(1)."""
        return max(self[parameter] for parameter in _FEES)

    def band(self) -> tuple[int, int] | None:
        """The lowest and the highest price allowed, None without a band. O(1)."""
        width = self[Parameter.BAND_BP]
        if width == 0 or self.reference == 0:
            return None
        tick = self[Parameter.TICK_SIZE]
        low = half_up(self.reference * (BP - width), BP * tick) * tick
        high = half_up(self.reference * (BP + width), BP * tick) * tick
        return max(low, tick), high

    def outside_band(self, price: int) -> bool:
        """Whether a resting order at that price has to go. O(1)."""
        band = self.band()
        return band is not None and not band[0] <= price <= band[1]

    def protection_price(self, side: int) -> int | None:
        """The limit of a market order, None when it has nothing to meet. O(1)."""
        best = self.opposite(side).best()
        if best is None:
            return None
        tick, walk, band = self[Parameter.TICK_SIZE], self[Parameter.PROTECTION_BP], self.band()
        if side == Side.BUY:
            limit = best * (BP + walk) // (BP * tick) * tick
            limit = min(limit, PRICE_LIMIT // tick * tick)
            return min(limit, band[1]) if band else limit
        limit = -(-best * (BP - walk) // (BP * tick)) * tick
        limit = max(limit, tick)
        return max(limit, band[0]) if band else limit

    def base_price(self) -> int:
        """What prices are measured against: the last of the day, else the reference. O(1)."""
        return self.last_price if self.volume else self.reference

    def closing_price(self) -> int:
        """The close by CLOSE_RULE; the reference stays on a thin day. O(1)."""
        rule = self[Parameter.CLOSE_RULE]
        if self.volume <= self[Parameter.CLOSE_VOLUME_MIN]:
            return self.reference
        if rule == CloseRule.VWAP:
            return half_up(self.turnover, self.volume)
        is_called = rule == CloseRule.CALL_PRICE and self.call_price
        return self.call_price if is_called else self.last_price

    def count_trade(self, quantity: int, price: int) -> None:
        """Add a trade to the day. O(1)."""
        self.volume = min(self.volume + quantity, TOTAL_LIMIT)
        self.turnover = min(self.turnover + quantity * price, TOTAL_LIMIT)
        self.last_price = price
