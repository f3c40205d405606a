"""Prices made when they count: in the last minutes, the closing call, the indicative price."""

from __future__ import annotations

from functools import partial

from exchange.messages.frames import Phase, Side, TradeMethod
from exchange.surveillance.detector import BY_REQUEST, Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, InstrumentScene, Order, Trade, against, moved_bp
from exchange.surveillance.windows import Entry, Table, Window

CLOSE = "MARKING_THE_CLOSE"
INDICATIVE = "INDICATIVE_PRICE"

_OPEN = frozenset({Phase.CONTINUOUS, Phase.CLOSING_CALL, Phase.VOLATILITY_CALL})
_OF_THE_BOOK = frozenset({
    TradeMethod.BOOK_TRADE, TradeMethod.CALL_TRADE, TradeMethod.LISTED_TRADE
})  # fmt: skip


class _Last:
    """The last minutes of an instrument: every trade, and what each owner came for."""

    __slots__ = ("accounts", "owners", "trades")

    def __init__(self, ns: int) -> None:
        self.trades = Window(ns)  # value: the price before the trade
        self.owners = Window(ns)  # quantity: bought less sold
        self.accounts: dict[int, set[int]] = {}


class Closing(Detector):
    """MARKING_THE_CLOSE: most of what came in the last minutes is one owner's, and moved the price.

    An order that rests moves nothing, so of the continuous book only takers count; in a call both.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        ns = limits[CLOSE].ns("window_s")
        self._last: Table[int, _Last] = Table(partial(_Last, ns))

    def traded(self, trade: Trade) -> None:
        """Takes a trade of the book into the last minutes. O(1)."""
        if trade.method not in _OF_THE_BOOK:
            return
        last = self._last[trade.instrument.instrument_id]
        entry = Entry(
            trade.time_ns, trade.event, _OF_THE_BOOK, trade.quantity, trade.instrument.price
        )
        last.trades.add(entry)
        is_call = trade.method == TradeMethod.CALL_TRADE
        for order in (trade.maker, trade.taker) if is_call else (trade.taker,):
            net = trade.quantity if order.side == Side.BUY else -trade.quantity
            last.owners.add(Entry(trade.time_ns, trade.event, order.owner, net, 0))
            last.accounts.setdefault(order.owner, set()).add(order.account)

    def phase_changed(self, instrument: InstrumentScene, before: int, now_ns: int) -> None:
        """Judges the minutes before the instrument closed. O(owners in them)."""
        if instrument.phase != Phase.CLOSED or before not in _OPEN:
            return
        last = self._last[instrument.instrument_id]
        last.trades.advance(now_ns)
        last.owners.advance(now_ns)
        for owner, total in sorted(last.owners.sums.items(), key=str):
            self._judge(instrument, last, owner, total.quantity)
        self._last.drop(instrument.instrument_id)

    def _judge(self, instrument: InstrumentScene, last: _Last, owner: object, net: int) -> None:
        limit = self.limits[CLOSE]
        volume = last.trades.all.quantity
        share = abs(net) * 10_000 // volume
        side = Side.BUY if net > 0 else Side.SELL
        moved = moved_bp(last.trades.first.value, instrument.last_price, side)
        if abs(net) < limit["quantity_min_t"] or share < limit["share_min_bp"]:
            return
        if moved < limit["move_min_bp"]:
            return
        word = "bought" if net > 0 else "sold"
        text = (
            f"participant {owner} {word} {abs(net):,} t of the {volume:,} t of "
            f"{instrument.symbol} that traded in the last {limit['window_s']} s before it closed, "
            f"{share} bp, and the price went {moved} bp its way, from {last.trades.first.value} "
            f"to {instrument.last_price}; limits {limit['share_min_bp']} and "
            f"{limit['move_min_bp']} bp"
        )
        accounts = tuple(sorted(last.accounts.get(owner, set()))) if isinstance(owner, int) else ()
        self.tell(
            (instrument.instrument_id, owner),
            Finding(CLOSE, instrument, accounts, last.trades.first.time_ns,
                    last.trades.first.event, against(moved, limit["move_min_bp"]),
                    {"quantity": abs(net), "volume": volume, "share_bp": share, "moved_bp": moved},
                    text),
        )  # fmt: skip


class IndicativePrice(Detector):
    """INDICATIVE_PRICE: what came into a call, moved what it shows, and left before it ended."""

    def cancelled(self, order: Order, reason: int, now_ns: int) -> None:
        """Judges an order that leaves a call. O(1)."""
        instrument, limit = order.instrument, self.limits[INDICATIVE]
        shown, volume = instrument.indicative_price, instrument.indicative_volume
        if reason not in BY_REQUEST or not instrument.is_in_call or not volume:
            return
        moved = moved_bp(order.entry_price, shown, order.side)
        share = order.leaves * 10_000 // volume
        if moved < limit["move_min_bp"] or share < limit["quantity_min_bp"]:
            return
        side = Side(order.side).name.lower()
        text = (
            f"participant {order.owner} had an order to {side} {order.leaves:,} t of "
            f"{instrument.symbol} in a call, {share} bp of its indicative volume; the indicative "
            f"price went {moved} bp its way, from {order.entry_price} to {shown}, and the order "
            f"was cancelled {(now_ns - order.entered_ns) // 1_000_000} ms after it came; limits "
            f"{limit['move_min_bp']} and {limit['quantity_min_bp']} bp"
        )
        self.tell(
            (instrument.instrument_id, order.owner),
            Finding(INDICATIVE, instrument, (order.account,), order.entered_ns, order.event,
                    against(moved, limit["move_min_bp"]),
                    {"quantity": order.leaves, "volume": volume, "moved_bp": moved}, text),
        )  # fmt: skip
