"""Trades that change no owner: wash trades, and a position that goes back and forth inside one."""

from __future__ import annotations

from functools import partial

from exchange.messages.frames import TradeMethod
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, Trade, against
from exchange.surveillance.windows import Entry, Table, Window

WASH = "WASH_TRADE"
CROSS = "CROSS_ACCOUNT"


class WashTrades(Detector):
    """One owner on both sides, counted by instrument and owner. Sealed bids are left out."""

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        wash, cross = limits[WASH], limits[CROSS]
        self._wash: Table[tuple[int, int], Window] = Table(partial(Window, wash.ns("window_s")))
        self._cross: Table[tuple[int, int, int], Window] = Table(
            partial(Window, cross.ns("window_s"))
        )

    def traded(self, trade: Trade) -> None:
        """Counts a trade whose buyer is the seller too. O(1)."""
        buyer, seller = trade.buyer, trade.seller
        if buyer.owner != seller.owner or trade.method == TradeMethod.AUCTION_TRADE:
            return
        way = buyer.account, seller.account
        entry = Entry(trade.time_ns, trade.event, way, trade.quantity, 0)
        window = self._wash[trade.instrument.instrument_id, buyer.owner]
        window.add(entry)
        self._judge_wash(trade, window)
        if buyer.account != seller.account:
            low, high = sorted(way)
            pair = self._cross[trade.instrument.instrument_id, low, high]
            pair.add(entry)
            self._judge_cross(trade, pair, low, high)

    def _judge_wash(self, trade: Trade, window: Window) -> None:
        limit = self.limits[WASH]
        count, quantity = window.all.count, window.all.quantity
        if count < limit["trades_min"] or quantity < limit["quantity_min_t"]:
            return
        owner = trade.buyer.owner
        accounts = tuple(sorted({account for way in window.sums for account in _pair(way)}))
        text = (
            f"participant {owner} was buyer and seller of {count} trades of "
            f"{trade.instrument.symbol}, {quantity:,} t, within {limit['window_s']} s; "
            f"limit {limit['trades_min']} trades and {limit['quantity_min_t']:,} t"
        )
        self.tell(
            (trade.instrument.instrument_id, owner),
            Finding(
                WASH, trade.instrument, accounts, window.first.time_ns, window.first.event,
                against(count, limit["trades_min"]),
                {"trades": count, "quantity": quantity}, text,
            ),
        )  # fmt: skip

    def _judge_cross(self, trade: Trade, window: Window, low: int, high: int) -> None:
        limit = self.limits[CROSS]
        forth, back = window.sum((low, high)), window.sum((high, low))
        ways, gross = min(forth.count, back.count), forth.quantity + back.quantity
        net = abs(forth.quantity - back.quantity)
        if ways < limit["trades_min"] or gross < limit["quantity_min_t"]:
            return
        if net * 10_000 > gross * limit["net_max_bp"]:
            return
        text = (
            f"accounts {low} and {high} of participant {trade.buyer.owner} passed {gross:,} t of "
            f"{trade.instrument.symbol} between them, {forth.count} times one way and "
            f"{back.count} back, {net:,} t stayed moved; limit {limit['trades_min']} each way"
        )
        self.tell(
            (trade.instrument.instrument_id, low, high),
            Finding(
                CROSS, trade.instrument, (low, high), window.first.time_ns, window.first.event,
                against(ways, limit["trades_min"]),
                {"forth": forth.count, "back": back.count, "quantity": gross, "net": net}, text,
            ),
        )  # fmt: skip


def _pair(way: object) -> tuple[int, ...]:
    return way if isinstance(way, tuple) else ()
