"""Orders of two owners that mirror each other: arranged before they were entered."""

from __future__ import annotations

from functools import partial

from exchange.messages.frames import TradeMethod
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, Trade, against
from exchange.surveillance.windows import Entry, Table, Window

KIND = "MATCHED_ORDERS"


class MatchedOrders(Detector):
    """Same price, same size, entered together, filled by each other, and of no ordinary size."""

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        ns = limits[KIND].ns("window_s")
        self._pairs: Table[tuple[int, int, int], Window] = Table(partial(Window, ns))

    def traded(self, trade: Trade) -> None:
        """Counts a mirrored trade of the book. O(1)."""
        if trade.method != TradeMethod.BOOK_TRADE or not self._is_mirrored(trade):
            return
        limit = self.limits[KIND]
        low, high = sorted((trade.buyer.owner, trade.seller.owner))
        window = self._pairs[trade.instrument.instrument_id, low, high]
        window.add(Entry(trade.time_ns, trade.event, trade.buyer.owner, trade.quantity, 0))
        count, quantity = window.all.count, window.all.quantity
        if count < limit["trades_min"]:
            return
        apart_ms = (trade.taker.entered_ns - trade.maker.entered_ns) // 1_000_000
        text = (
            f"orders of participants {low} and {high} filled each other {count} times in "
            f"{trade.instrument.symbol}, {quantity:,} t, each pair with the same price and size "
            f"and entered within {limit['entry_max_s']} s, the last {apart_ms} ms apart; "
            f"limit {limit['trades_min']} within {limit['window_s']} s"
        )
        self.tell(
            (trade.instrument.instrument_id, low, high),
            Finding(
                KIND, trade.instrument,
                tuple(sorted((trade.buyer.account, trade.seller.account))),
                window.first.time_ns, window.first.event, against(count, limit["trades_min"]),
                {"trades": count, "quantity": quantity, "apart_ms": apart_ms}, text,
            ),
        )  # fmt: skip

    def _is_mirrored(self, trade: Trade) -> bool:
        limit = self.limits[KIND]
        maker, taker, instrument = trade.maker, trade.taker, trade.instrument
        if maker.owner == taker.owner or maker.price != taker.price:
            return False
        if taker.entered_ns - maker.entered_ns > limit.ns("entry_max_s"):
            return False
        low, high = sorted((maker.quantity, taker.quantity))
        if (high - low) * 10_000 > high * limit["size_max_bp"] or trade.quantity != low:
            return False
        return instrument.is_multiple(low, limit["size_multiple_bp"])
