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
    participants: list[int]  # numbers of the member firms concerned
    accounts: list[int]
    from_ns: int  # engine time of the first event of the pattern, ns UTC
    to_ns: int  # engine time of the last event of the pattern, ns UTC
    score: int  # the figure that decides, basis points of its limit
    figures: dict[str, int]  # what was measured, by name; limits.toml says in which units
    text: str
    events: list[int]  # numbers of the first and of the last event of the pattern
    state: AlertStateWord  # OPEN until somebody takes it; CLOSED with what was found
    handled_by: str  # who opened, took or closed it last; "" = nobody did anything yet
    handled_ns: int  # and when
    handled_reason: str  # and why


class AlertList(msgspec.Struct, frozen=True):
    """Alerts, newest first."""

    alerts: list[AlertRow]  # at most as many as were asked for
