"""Instruments: phase, parameters, the band, the protection price, the close."""

from __future__ import annotations

from dataclasses import dataclass, field

from matching.layout import (
    BP,
    PRICE_LIMIT,
    TOTAL_LIMIT,
    CloseRule,
    FeeSides,
    Parameter,
    Phase,
    Policy,
    Queue,
    Side,
)
from matching.parameters import PARAMETER_DEFAULT
from matching.reference.book import BookSide, Fee, half_up

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
    closes_ns: int = 0  # from when on bids are not heard, 0 = until it is cleared
    seed: int = 0  # of the draw between bids of one price


_STEPS = (
    (Parameter.TICK_FROM_3, Parameter.TICK_SIZE_3),
    (Parameter.TICK_FROM_2, Parameter.TICK_SIZE_2),
)
"""Of the tick table, the step looked at first in front."""


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

    def fee(self, side: int, fee_bp: int) -> Fee:
        """What a fill costs that side, where the trade's share of the value is `fee_bp`. O(1)."""
        spared = FeeSides.SELLERS if side == Side.BUY else FeeSides.BUYERS
        if self[Parameter.FEE_SIDES] == spared:
            return Fee(0, 0)
        return Fee(fee_bp, self[Parameter.TONNE_FEE])

    def fee_max(self) -> Fee:
        """The worst fee a fill may bring a buyer. O(1)."""
        return self.fee(Side.BUY, max(self[parameter] for parameter in _FEES))

    def tick_at(self, price: int) -> int:
        """The tick that holds at a price. O(1)."""
        for start, tick in _STEPS:
            if 0 < self[start] <= price:
                return self[tick]
        return self[Parameter.TICK_SIZE]

    def is_on_tick(self, price: int) -> bool:
        """Whether an order may name the price. O(1)."""
        return 0 < price <= PRICE_LIMIT and price % self.tick_at(price) == 0

    def may_set(self, parameter: Parameter, value: int) -> bool:
        """Whether each step of the tick table in force would still have its tick. O(1)."""
        then = self.parameters | {parameter: value}
        sizes = [then[tick] for start, tick in _STEPS if then[start]]
        return all(size > 0 and size % then[Parameter.TICK_SIZE] == 0 for size in sizes)

    def round_down(self, price: int) -> int:
        """The highest price on the tick that is not above; 0 below the first. O(1)."""
        tick = self.tick_at(price)
        found = price // tick * tick
        start = max((self[s] for s, _ in _STEPS if self[s] <= price), default=0)
        return found if found >= start else self.round_down(start - 1)

    def round_up(self, price: int) -> int:
        """The lowest price on the tick that is not below. O(1)."""
        tick = self.tick_at(price)
        found = -(-price // tick) * tick
        end = min((self[s] for s, _ in _STEPS if self[s] > price), default=found + 1)
        return found if found < end else self.round_up(end)

    def round_half_up(self, numerator: int, denominator: int) -> int:
        """The price on the tick that is nearest to the quotient, of two the higher. O(1)."""
        low = self.round_down(numerator // denominator)
        high = self.round_up(-(-numerator // denominator))
        is_low = numerator - low * denominator < high * denominator - numerator
        return low if is_low else high

    def band(self, parameter: Parameter = Parameter.BAND_BP) -> tuple[int, int] | None:
        """The lowest and the highest price allowed, None without a band. O(1)."""
        width = self[parameter]
        if width == 0 or self.reference == 0:
            return None
        low = self.round_half_up(self.reference * (BP - width), BP)
        high = self.round_half_up(self.reference * (BP + width), BP)
        return max(low, self.round_up(1)), high

    def outside_band(self, price: int) -> bool:
        """Whether a resting order at that price has to go. O(1)."""
        band = self.band()
        return band is not None and not band[0] <= price <= band[1]

    def would_trade(self, side: int, price: int, gone: frozenset[int] = frozenset()) -> bool:
        """Whether an order of that side and limit meets one at once, but for those. O(gone)."""
        return any(o.order_id not in gone for o in self.opposite(side).within(price))

    def price_behind(self, side: int, price: int) -> int:
        """The limit next to `price` that meets nobody; `price` itself if there is none. O(1)."""
        best = self.opposite(side).best()
        if best is None or not self.would_trade(side, price):
            return price
        low, high = self.band() or (1, PRICE_LIMIT)
        moved = self.round_down(best - 1) if side == Side.BUY else self.round_up(best + 1)
        return moved if max(low, 1) <= moved <= min(high, PRICE_LIMIT) else price

    def protection_price(self, side: int) -> int | None:
        """The limit of a market order, None when it has nothing to meet. O(1)."""
        best = self.opposite(side).best()
        if best is None:
            return None
        limit, edge = self.protected(side, best), self.collar_edge(side, self.base_price())
        return min(limit, edge) if side == Side.BUY else max(limit, edge)

    def protected(self, side: int, price: int) -> int:
        """The limit of what trades at `price` or a little worse. O(1)."""
        walk, band = self[Parameter.PROTECTION_BP], self.band()
        if side == Side.BUY:
            limit = self.round_down(min(price * (BP + walk) // BP, PRICE_LIMIT))
            return min(limit, band[1]) if band else limit
        limit = self.round_up(max(-(-price * (BP - walk) // BP), 1))
        return max(limit, band[0]) if band else limit

    def collar_edge(self, side: int, base: int) -> int:
        """The furthest limit within the collar around `base`, of all prices without one. O(1)."""
        width = self[Parameter.COLLAR_BP]
        is_listed = self[Parameter.POLICY] == Policy.LISTED
        if width == 0 or base == 0 or is_listed:
            return PRICE_LIMIT if side == Side.BUY else 0
        if side == Side.BUY:
            return self.round_down(base * (BP + width) // BP)
        return self.round_up(-(-base * (BP - width) // BP))

    def base_price(self) -> int:
        """What prices are measured against: the last of the day, else the reference. O(1)."""
        return self.last_price if self.volume else self.reference

    def reach(self, side: int, limit: int) -> int:
        """The limit within which an order trades now: VOLATILITY_BP of the base. O(1).

        Nobody lies within it if the first of the other side is too far on the better side.
        """
        width, base, best = self[Parameter.VOLATILITY_BP], self.base_price(), None
        if width and base:
            best = self.opposite(side).best()
        if best is None:
            return limit
        low, high = -(-base * (BP - width) // BP), base * (BP + width) // BP
        if side == Side.BUY:
            return min(limit, high) if best >= low else 0
        return max(limit, low) if best <= high else PRICE_LIMIT + 1

    def band_edge(self, side: int) -> int | None:
        """The limit of a market order that waits for a call, None without a band. O(1)."""
        band = self.band()
        if band is None:
            return None
        return min(band[side == Side.BUY], self.round_down(PRICE_LIMIT))

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
