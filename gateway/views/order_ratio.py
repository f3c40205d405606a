"""Orders to trades of each member and instrument over a day, as RTS 9 counts them.

A projection of `events`, so every gateway counts alike and a restart counts again. Orders, changes
and cancels that a member asked for are messages, each with its tonnes; cancels in mass (a kill, a
lost connection), what ends by itself and the end of a call are none. Limits are of a member
(in each instrument) or of an instrument (for everybody); a member's own goes before.

Above a limit a member is not stopped, which would leave it no way back: it may send
ORDER_TRADE_PER_SECOND orders a second until trades, or the next day, bring the ratio down.

Source: Delegated Regulation (EU) 2017/566 (RTS 9), Articles 1 to 3; the slowing is RTS 7, Art. 18.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np

from exchange.messages.frames import RECORD_SIZE, Event, EventPart, kinds_mask
from exchange.reference.venue import Instrument
from exchange.rulebook.prices import order_to_trade
from exchange.settings import ORDER_TRADE_MESSAGES_MIN
from gateway.views.message_counts import Count, add_messages

RatioWord = Literal["ORDER_TRADE_RATIO", "VOLUME_TRADE_RATIO"]
RATIO_LIMITS: tuple[RatioWord, ...] = ("ORDER_TRADE_RATIO", "VOLUME_TRADE_RATIO")
RatioLimits = Mapping[tuple[RatioWord, int, str], int]
"""By word, participant (0 = everybody's) and symbol ("" = of every instrument); 0 = none."""

_ACCOUNTS_AND_DAYS = (Event.ACCOUNT_OPENED, Event.DAY_STARTED)
_MASK = kinds_mask(*_ACCOUNTS_AND_DAYS)


Counts = dict[tuple[int, int], Count]
"""By participant and instrument."""


class Excess(NamedTuple):
    """A ratio above its limit."""

    participant: int
    symbol: str
    word: RatioWord
    ratio: int
    limit: int


class OrderRatios:
    """Counts of the day and of the one before; bounded by members and instruments."""

    def __init__(self) -> None:
        self.today: Counts = {}
        self.closed: Counts = {}
        self._participants: dict[int, int] = {}  # by account

    def apply(self, part: EventPart) -> None:
        """One accepted part of `events`. O(events)."""
        start = 0
        if part.kinds & _MASK:
            kinds = part.events["kind"]
            for at in np.flatnonzero(np.isin(kinds, _ACCOUNTS_AND_DAYS)).tolist():
                add_messages(self.today, self._participants, part.body[start : at * RECORD_SIZE])
                start = at * RECORD_SIZE
                self._turn(part.events[at])
        add_messages(self.today, self._participants, part.body[start:])

    def _turn(self, row: np.void) -> None:
        if row["kind"] == Event.ACCOUNT_OPENED:
            self._participants[int(row["account_id"])] = int(row["order_id"])
        elif self.today:  # a day starts once for each instrument
            self.closed, self.today = self.today, {}


def ratio_of(count: Count, word: RatioWord) -> int:
    """Orders to trades less one, rounded down; without a trade as if there was one. O(1)."""
    if word == "ORDER_TRADE_RATIO":
        return order_to_trade(count.messages, max(count.trades, 1)) or 0
    return order_to_trade(count.ordered, max(count.traded, 1)) or 0


def limit_of(limits: RatioLimits, word: RatioWord, participant: int, symbol: str) -> int:
    """The limit that holds for a member in an instrument; 0 = none. O(1)."""
    own = limits.get((word, participant, ""), 0)
    return own or limits.get((word, 0, symbol), 0)


def excesses(
    counts: Counts, limits: RatioLimits, instruments: Iterable[Instrument], participant: int
) -> Iterator[Excess]:
    """Where a member is above a limit. O(instruments), O(1) while no limit is set."""
    if not limits:
        return
    for instrument in instruments:
        count = counts.get((participant, instrument.id))
        if count is None or count.messages < ORDER_TRADE_MESSAGES_MIN:
            continue
        for word in RATIO_LIMITS:
            limit, ratio = (
                limit_of(limits, word, participant, instrument.symbol),
                ratio_of(count, word),
            )
            if limit and ratio > limit:
                yield Excess(participant, instrument.symbol, word, ratio, limit)
