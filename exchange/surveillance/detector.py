"""What a detector is: it hears what happens and tells what passed its limits.

Every method is O(1) amortised but those of the close and the day, which are O(owners that traded).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from exchange.messages.frames import Reason
from exchange.surveillance.limits import Limits
from exchange.surveillance.scene import Finding, InstrumentScene, Order, Trade

BY_REQUEST = frozenset({Reason.CANCELLED_BY_REQUEST, Reason.CANCELLED_IN_MASS})
"""Why orders end that their owner wanted to end; the venue's own kill ends in mass too."""

Tell = Callable[[Hashable, Finding], None]
"""Takes what a finding is about, so that one pattern makes one alert, and the finding."""


class Detector:
    """Hears nothing by itself: each detector overrides what it wants to hear."""

    def __init__(self, limits: Limits, tell: Tell) -> None:
        self.limits = limits
        self.tell = tell

    def entered(self, order: Order) -> None:
        """An order was accepted; fills follow."""

    def replaced(self, order: Order, leaves_before: int, now_ns: int) -> None:
        """An order has new terms; the order tells them."""

    def refused(self, account: int, owner: int, instrument: InstrumentScene, now_ns: int) -> None:
        """A command of an account was refused."""

    def traded(self, trade: Trade) -> None:
        """Two orders met: their leaves are those after it, the prices those before it."""

    def cancelled(self, order: Order, reason: int, now_ns: int) -> None:
        """What was left of an order ended (frames.Reason)."""

    def phase_changed(self, instrument: InstrumentScene, before: int, now_ns: int) -> None:
        """The instrument is in another phase."""

    def day_closed(self, instrument: InstrumentScene, now_ns: int) -> None:
        """The day of an instrument ended."""

    def holding_changed(
        self, account: int, instrument: InstrumentScene, by: int, now_ns: int
    ) -> None:
        """Units of an account on the venue grew by so many tonnes, or fell."""

    def holding_bounded(
        self, account: int, instrument: InstrumentScene, most: int, now_ns: int
    ) -> None:
        """An account, 0 = each without a limit of its own, may hold so much; 0 = anything."""

    def day_started(self, date: int, owners: Mapping[int, int], now_ns: int) -> None:
        """A new trading date, YYYYMMDD, with the owner of each account."""
