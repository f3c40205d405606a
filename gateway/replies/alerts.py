"""What is answered: what surveillance saw and what became of it."""

from __future__ import annotations

import msgspec

from exchange.messages.operations import AlertStateWord


class AlertRow(msgspec.Struct, frozen=True):
    """One alert."""

    id: str  # MARKET-NUMBER
    number: int  # in its market: what `after` counts by
    kind: str  # a table of exchange/surveillance/limits.toml
    market: str
    symbol: str
    participants: list[int]
    accounts: list[int]
    from_ns: int
    to_ns: int
    score: int  # the figure that decides, basis points of its limit
    figures: dict[str, int]
    text: str
    events: list[int]  # numbers of the first and of the last event of the pattern
    state: AlertStateWord
    handled_by: str  # who opened, took or closed it last; "" = nobody did anything yet
    handled_ns: int  # and when
    handled_reason: str  # and why


class AlertList(msgspec.Struct, frozen=True):
    """Alerts, newest first."""

    alerts: list[AlertRow]
