"""The trading date that an operator may roll a market to."""

from __future__ import annotations

import datetime as dt

from exchange.messages.reasons import EdgeReason
from exchange.settings import TRADING_DATE_AHEAD_DAYS_MAX
from gateway.refusal import Refused


def trading_date(value: int, now_ns: int) -> int:
    """A date YYYYMMDD at most TRADING_DATE_AHEAD_DAYS_MAX days ahead; a roll is for good.

    Refused (INVALID_FIELD).
    """
    last = _today(now_ns) + dt.timedelta(TRADING_DATE_AHEAD_DAYS_MAX)
    try:
        date = dt.date(value // 10_000, value // 100 % 100, value % 100)
    except (ValueError, OverflowError):
        date = dt.date.max
    if date > last:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"trading_date: {value} is no date YYYYMMDD up to {last:%Y%m%d}, "
            f"{TRADING_DATE_AHEAD_DAYS_MAX} days from today",
        )
    return value


def is_ahead(date: int, now_ns: int) -> bool:
    """Whether a trading date (YYYYMMDD, 0 before the first) is a day still to come, UTC. O(1).

    A day is ended in its evening. Who ends one that has not come leaves the calendar behind, and
    with it what holds for a day: how far the reference may go, and when orders and terms end.
    """
    return date > int(f"{_today(now_ns):%Y%m%d}")


def _today(now_ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(now_ns // 10**9, dt.UTC).date()
