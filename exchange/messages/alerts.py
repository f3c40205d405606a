"""What surveillance says on `alerts`: one record for each part of `events` that has alerts.

Records are numbered without gaps, alerts within them too, and are a pure function of `events` and
of the limits of `exchange/surveillance/limits.toml`, whose digest each record carries. An alert
says what was seen and which limit it passed; whether it was abuse is for people to find.
"""

from __future__ import annotations

import msgspec


class Alert(msgspec.Struct, frozen=True, array_like=True):
    """One pattern that passed its limits. Quantities in tonnes, ratios in basis points."""

    number: int  # 1, 2, ... in a market
    kind: str  # a table of limits.toml
    market: str
    symbol: str
    participants: tuple[int, ...]
    accounts: tuple[int, ...]
    from_ns: int  # engine time of the first event of the pattern
    to_ns: int  # and of the one that completed it
    score: int  # the figure that decides against its limit: 10,000 = at it, 20,000 = twice it
    figures: dict[str, int]
    text: str
    first_event: int  # numbers of events, to read them again
    last_event: int


class AlertRecord(msgspec.Struct, frozen=True, array_like=True):
    """One record of `alerts`."""

    version: int
    number: int  # 0, 1, ... in a market
    input_offset: int  # of `orders`: with `part`, whose output completed the patterns
    part: int
    limits: str  # digest of the limits in force
    alerts: tuple[Alert, ...]
