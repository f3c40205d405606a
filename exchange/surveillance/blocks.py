"""Negotiated trades far from the market."""

from __future__ import annotations

from exchange.messages.frames import TradeMethod
from exchange.surveillance.detector import Detector
from exchange.surveillance.scene import Finding, Trade, against

KIND = "BLOCK_OFF_MARKET"


class Blocks(Detector):
    """BLOCK_OFF_MARKET: each block against the last price of the book; remembers nothing."""

    def traded(self, trade: Trade) -> None:
        """Judges a block. O(1)."""
        anchor, limit = trade.instrument.price, self.limits[KIND]
        if trade.method != TradeMethod.BLOCK_TRADE or not anchor:
            return
        distance = abs(trade.price - anchor) * 10_000 // anchor
        if distance < limit["distance_max_bp"]:
            return
        buyer, seller = trade.buyer, trade.seller
        text = (
            f"a block of {trade.quantity:,} t of {trade.instrument.symbol} between participants "
            f"{buyer.owner} (buyer) and {seller.owner} at {trade.price}, {distance} bp from the "
            f"market's {anchor}; limit {limit['distance_max_bp']} bp"
        )
        self.tell(
            (trade.instrument.instrument_id, trade.event),
            Finding(KIND, trade.instrument, tuple(sorted({buyer.account, seller.account})),
                    trade.time_ns, trade.maker.event, against(distance, limit["distance_max_bp"]),
                    {"quantity": trade.quantity, "price": trade.price, "market": anchor,
                     "distance_bp": distance}, text),
        )  # fmt: skip
