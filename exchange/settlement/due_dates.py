"""When a trade is due: the cut-off of the next business day in the market's time zone. Pure.

EEX spot: T+1 before 16:00, else one day more (product specification). China's national market:
after the session, with objections in writing until the next open (settlement rules, 2021).
"""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from exchange.reference.venue import Instrument, Market

_NS = 1_000_000_000
_WEEKEND = 5  # Saturday


class SettlementRule(NamedTuple):
    """How an instrument's trades are settled when they are settled later."""

    time_zone: str = "UTC"
    cut_off: dt.time = dt.time(16)
    holidays: frozenset[dt.date] = frozenset()
    void_days: int = 0  # business days from the cut-off until one person may void a failed trade
    gives_fees_back: bool = True  # when a trade is voided or cancelled


def rules_of(market: Market, instruments: tuple[Instrument, ...]) -> dict[int, SettlementRule]:
    """The rules of a market's instruments, by id. O(instruments)."""
    return {
        item.id: SettlementRule(
            market.time_zone,
            dt.time.fromisoformat(item.settlement_cutoff),
            frozenset(market.holidays),
            item.settlement_void_days,
            item.cancelled_fees == "return",
        )
        for item in instruments
    }


def is_business_day(rule: SettlementRule, day: dt.date) -> bool:
    """Monday to Friday, but for the holidays. O(1)."""
    return day.weekday() < _WEEKEND and day not in rule.holidays


def due_ns(rule: SettlementRule, time_ns: int) -> int:
    """The cut-off of the business day after that of the trade, ns UTC. O(days between)."""
    return _cut_off(rule, local_date(rule, time_ns), 1)


def voidable_ns(rule: SettlementRule, due: int) -> int:
    """From when on one person may void a trade that was due then, ns UTC. O(days between)."""
    return _cut_off(rule, local_date(rule, due), rule.void_days) if rule.void_days else due


def cut_offs_missed(rule: SettlementRule, due: int, until_ns: int) -> int:
    """How many cut-offs passed with a trade unsettled that was due then and is at an instant.

    That of the due day counts, and each of a business day after it. O(days between).
    """
    day, missed = local_date(rule, due), 0
    while due <= until_ns:
        missed += 1
        due = _cut_off(rule, day, missed)
    return missed


def local_date(rule: SettlementRule, time_ns: int) -> dt.date:
    """The calendar day in the market's time zone. O(1)."""
    return dt.datetime.fromtimestamp(time_ns // _NS, ZoneInfo(rule.time_zone)).date()


@lru_cache(maxsize=1_024)
def _cut_off(rule: SettlementRule, day: dt.date, business_days: int) -> int:
    while business_days:
        day += dt.timedelta(1)
        business_days -= is_business_day(rule, day)
    moment = dt.datetime.combine(day, rule.cut_off, ZoneInfo(rule.time_zone))
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(seconds=1) * _NS
