"""A position that goes from one owner to another and comes back at the same price."""

from __future__ import annotations

from functools import partial

from exchange.messages.frames import TradeMethod
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, Trade, against
from exchange.surveillance.windows import Entry, Sum, Table, Window

KIND = "CIRCULAR_TRADING"


class CircularTrading(Detector):
    """A chain of two: sold and bought back, or passed on to another account of the seller.

    Whoever trades with a market maker both ways pays the spread and trades with others too, as the
    maker does: so the two ways must have one price, and the pair must be most of what either did.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        ns = limits[KIND].ns("window_s")
        self._pairs: Table[tuple[int, int, int], Window] = Table(partial(Window, ns))
        self._markets: Table[int, Window] = Table(partial(Window, ns))
        self._owners: Table[tuple[int, int], Window] = Table(partial(Window, ns))

    def traded(self, trade: Trade) -> None:
        """Counts a trade between two owners, by who bought. O(1)."""
        buyer, seller = trade.buyer, trade.seller
        if buyer.owner == seller.owner or trade.method == TradeMethod.AUCTION_TRADE:
            return
        instrument, value = trade.instrument.instrument_id, trade.price * trade.quantity
        for owner in (buyer.owner, seller.owner):
            entry = Entry(trade.time_ns, trade.event, owner, trade.quantity, value)
            self._owners[instrument, owner].add(entry)
            self._markets[instrument].add(entry)
        low, high = sorted((buyer.owner, seller.owner))
        pair = self._pairs[instrument, low, high]
        pair.add(Entry(trade.time_ns, trade.event, buyer.owner, trade.quantity, value))
        self._judge(trade, pair, low, high)

    def _judge(self, trade: Trade, pair: Window, low: int, high: int) -> None:
        limit = self.limits[KIND]
        forth, back = pair.sum(low), pair.sum(high)
        ways, gross = min(forth.count, back.count), pair.all.quantity
        if ways < limit["trades_min"] or gross < limit["quantity_min_t"]:
            return
        if len(self._markets[trade.instrument.instrument_id].sums) < limit["owners_min"]:
            return
        net, gap = abs(forth.quantity - back.quantity), _gap_bp(forth, back)
        instrument = trade.instrument.instrument_id
        share = 10_000
        for owner in (low, high):
            window = self._owners[instrument, owner]
            window.advance(trade.time_ns)
            share = min(share, gross * 10_000 // window.all.quantity)
        if net * 10_000 > gross * limit["net_max_bp"] or gap > limit["price_max_bp"]:
            return
        if share < limit["share_min_bp"]:
            return
        text = (
            f"participants {low} and {high} passed {gross:,} t of {trade.instrument.symbol} "
            f"between them within {limit['window_s']} s, {forth.count} times one way and "
            f"{back.count} back, {net:,} t stayed moved, average prices {gap} bp apart, "
            f"{share} bp of what each traded; limit {limit['trades_min']} each way"
        )
        accounts = tuple(sorted((trade.buyer.account, trade.seller.account)))
        figures = {"forth": forth.count, "back": back.count, "quantity": gross, "net": net}
        figures |= {"price_gap_bp": gap, "share_bp": share}
        self.tell(
            (instrument, low, high),
            Finding(
                KIND, trade.instrument, accounts, pair.first.time_ns, pair.first.event,
                against(ways, limit["trades_min"]), figures, text,
            ),
        )  # fmt: skip


def _gap_bp(one: Sum, other: Sum) -> int:
    """How far two average prices lie apart, rounded up. O(1)."""
    low, high = sorted((one.value * other.quantity, other.value * one.quantity))
    return -(-(high - low) * 10_000 // low)
