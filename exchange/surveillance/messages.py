"""Too many messages for the trades they make: in a burst, and over a day."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

from exchange.messages.frames import Reason
from exchange.surveillance.detector import Detector, Tell
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, InstrumentScene, Order, Trade, against
from exchange.surveillance.windows import Entry, Table, Window

STUFFING = "QUOTE_STUFFING"
RATIO = "ORDER_TO_TRADE"

_MESSAGE, _TRADE = "message", "trade"


class _Day:
    """Messages and trades of an owner in an instrument since the day began."""

    __slots__ = ("accounts", "messages", "ordered", "since_event", "since_ns", "traded", "trades")

    def __init__(self) -> None:
        self.messages = self.ordered = self.trades = self.traded = 0
        self.since_ns = self.since_event = 0
        self.accounts: set[int] = set()


class Messages(Detector):
    """Counts what a participant sends: orders, changes, cancels; refused commands in a burst only.

    As RTS 9 counts, what ends by itself (time in force, the end of a call, a kill) is no message.
    """

    def __init__(self, limits: Limits, tell: Tell) -> None:
        super().__init__(limits, tell)
        ns = limits[STUFFING].ns("window_s")
        self._bursts: Table[tuple[int, int], Window] = Table(partial(Window, ns))
        self._days: dict[int, dict[int, _Day]] = defaultdict(partial(defaultdict, _Day))

    def entered(self, order: Order) -> None:
        """A message, with its tonnes. O(1)."""
        self._message(order, order.quantity, order.entered_ns)

    def replaced(self, order: Order, leaves_before: int, now_ns: int) -> None:
        """A message, with the tonnes it asks for. O(1)."""
        self._message(order, order.leaves, now_ns)

    def cancelled(self, order: Order, reason: int, now_ns: int) -> None:
        """A message when its owner asked for it. O(1)."""
        if reason == Reason.CANCELLED_BY_REQUEST:
            self._message(order, order.leaves, now_ns)

    def refused(self, account: int, owner: int, instrument: InstrumentScene, now_ns: int) -> None:
        """A message of a burst. O(1)."""
        self._burst(account, owner, instrument, now_ns, 0)

    def traded(self, trade: Trade) -> None:
        """A trade of both. O(1)."""
        for order in (trade.maker, trade.taker):
            day = self._days[trade.instrument.instrument_id][order.owner]
            day.trades += 1
            day.traded += trade.quantity
            window = self._bursts[trade.instrument.instrument_id, order.owner]
            window.add(Entry(trade.time_ns, trade.event, _TRADE, trade.quantity, 0))

    def day_closed(self, instrument: InstrumentScene, now_ns: int) -> None:
        """Judges the day and forgets it. O(owners that sent something)."""
        limit = self.limits[RATIO]
        for owner, day in self._days.pop(instrument.instrument_id, {}).items():
            if day.messages < limit["messages_min"]:
                continue
            number = day.messages // max(day.trades, 1) - 1
            volume = day.ordered // max(day.traded, 1) - 1
            score = max(
                against(number, limit["number_ratio_max"]),
                against(volume, limit["volume_ratio_max"]),
            )
            if score < 10_000:
                continue
            text = (
                f"participant {owner} sent {day.messages:,} messages with {day.ordered:,} t in "
                f"{instrument.symbol} and made {day.trades:,} trades with {day.traded:,} t: "
                f"ratios {number} in number, {volume} in tonnes; limits "
                f"{limit['number_ratio_max']} and {limit['volume_ratio_max']}"
            )
            figures = {"messages": day.messages, "trades": day.trades, "number_ratio": number}
            figures["volume_ratio"] = volume
            self.tell(
                (instrument.instrument_id, owner),
                Finding(RATIO, instrument, tuple(sorted(day.accounts)), day.since_ns,
                        day.since_event, score, figures, text),
            )  # fmt: skip

    def _message(self, order: Order, tonnes: int, now_ns: int) -> None:
        day = self._days[order.instrument.instrument_id][order.owner]
        if not day.messages:
            day.since_ns, day.since_event = now_ns, order.event
        day.messages += 1
        day.ordered += tonnes
        day.accounts.add(order.account)
        self._burst(order.account, order.owner, order.instrument, now_ns, order.event)

    def _burst(
        self, account: int, owner: int, instrument: InstrumentScene, now_ns: int, event: int
    ) -> None:
        limit = self.limits[STUFFING]
        window = self._bursts[instrument.instrument_id, owner]
        window.add(Entry(now_ns, event, _MESSAGE, 0, 0))
        messages = window.sum(_MESSAGE).count
        if messages < limit["messages_min"]:
            return
        trades = window.sum(_TRADE).count
        if trades * 10_000 > messages * limit["trades_max_bp"]:
            return
        text = (
            f"participant {owner} sent {messages:,} messages about {instrument.symbol} within "
            f"{limit['window_s']} s and made {trades} trades; limit {limit['messages_min']:,} "
            f"messages with trades below {limit['trades_max_bp']} bp of them"
        )
        self.tell(
            (instrument.instrument_id, owner),
            Finding(STUFFING, instrument, (account,), window.first.time_ns, window.first.event,
                    against(messages, limit["messages_min"]),
                    {"messages": messages, "trades": trades}, text),
        )  # fmt: skip
