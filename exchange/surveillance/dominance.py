"""One owner is most of a day's buyers or sellers, and the price went its way."""

from __future__ import annotations

from dataclasses import dataclass, field

from exchange.messages.frames import Side, TradeMethod
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, InstrumentScene, Trade, against, moved_bp

KIND = "DOMINANT_SIDE"

_LEFT_OUT = frozenset({TradeMethod.BLOCK_TRADE, TradeMethod.AUCTION_TRADE})


@dataclass(slots=True)
class _Day:
    since_ns: int
    event: int
    price_before: int
    volume: int = 0
    net: dict[int, int] = field(default_factory=dict)  # by owner: bought less sold
    accounts: dict[int, set[int]] = field(default_factory=dict)


class Dominance(Detector):
    """DOMINANT_SIDE, judged when the day closes; bounded by the owners that traded in it."""

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        self._days: dict[int, _Day] = {}

    def traded(self, trade: Trade) -> None:
        """Adds a trade of the book to its day. O(1)."""
        if trade.method in _LEFT_OUT:
            return
        day = self._days.get(trade.instrument.instrument_id)
        if day is None:
            day = _Day(trade.time_ns, trade.event, trade.instrument.price)
            self._days[trade.instrument.instrument_id] = day
        day.volume += trade.quantity
        for order, sign in ((trade.buyer, 1), (trade.seller, -1)):
            day.net[order.owner] = day.net.get(order.owner, 0) + sign * trade.quantity
            day.accounts.setdefault(order.owner, set()).add(order.account)

    def day_closed(self, instrument: InstrumentScene, now_ns: int) -> None:
        """Judges the day and forgets it. O(owners that traded)."""
        day, limit = self._days.pop(instrument.instrument_id, None), self.limits[KIND]
        if day is None or day.volume < limit["quantity_min_t"]:
            return
        if len(day.net) < limit["owners_min"]:
            return
        for owner, net in sorted(day.net.items()):
            share = abs(net) * 10_000 // day.volume
            side = Side.BUY if net > 0 else Side.SELL
            moved = moved_bp(day.price_before, instrument.last_price, side)
            if share < limit["share_min_bp"] or moved < limit["move_min_bp"]:
                continue
            text = (
                f"participant {owner} {'bought' if net > 0 else 'sold'} {abs(net):,} t more than "
                f"the other way, {share} bp of the day's {day.volume:,} t of {instrument.symbol}, "
                f"and the price went {moved} bp its way, from {day.price_before} to "
                f"{instrument.last_price}; limits {limit['share_min_bp']} and "
                f"{limit['move_min_bp']} bp"
            )
            figures = {"net": abs(net), "volume": day.volume, "share_bp": share, "moved_bp": moved}
            self.tell(
                (instrument.instrument_id, owner),
                Finding(KIND, instrument, tuple(sorted(day.accounts[owner])), day.since_ns,
                        day.event, against(share, limit["share_min_bp"]), figures, text),
            )  # fmt: skip
