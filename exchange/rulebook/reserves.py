"""Reserve prices by the rule of a format, on the day. Minor units a tonne; pure."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.rulebook.allocation import BP, half_up
from exchange.rulebook.auction_data import ReserveRule
from exchange.rulebook.book import RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.prices import reserve_of_turnover

MONTHS = 12


class TradedDay(NamedTuple):
    """A day's listed trades: its close, tonnes and minor units."""

    date: dt.date
    close: int
    volume_t: int
    turnover_minor: int


def reserve_on(
    rule: ReserveRule,
    on: dt.date,
    *,
    days: Sequence[TradedDay] = (),
    share_bp: int = 0,
    price_rise_bp: Mapping[int, int] | None = None,
    given_minor: int = 0,
) -> int:
    """The lowest price of an auction on a day. O(days + years).

    `days` are those before it, rising; `share_bp` chooses among the shares the rule names, 0 = the
    first; `price_rise_bp` is by how much consumer prices rose, by the year for which it counts.
    RulebookError names what is missing; ValueError a figure below zero.
    """
    require_whole(share_bp=share_bp, given_minor=given_minor)
    for day in days:
        require_whole(close=day.close, volume_t=day.volume_t, turnover_minor=day.turnover_minor)
    if rule.kind == "given":
        if given_minor <= 0:
            unknown = ", ".join(rule.unknown)
            raise RulebookError(f"reserve of {rule.format}: not known ({unknown}); give the price")
        return given_minor
    if given_minor:
        raise RulebookError(f"reserve of {rule.format}: it is found by rule ({rule.kind})")
    if rule.kind == "yearly":
        return yearly(rule, on.year, price_rise_bp or {})
    chosen = share_bp or rule.shares_bp[0]
    if chosen not in rule.shares_bp:
        known = " or ".join(map(str, rule.shares_bp))
        raise RulebookError(f"reserve of {rule.format}: {known} basis points, not {chosen}")
    before = [day for day in days if day.date < on]
    if rule.kind == "share_of_close":
        closes = [day.close for day in before if day.close > 0]
        if not closes:
            raise RulebookError(f"reserve of {rule.format}: no close before {on}")
        return half_up(closes[-1] * chosen, BP)
    begin = months_before(on, rule.months)
    counted = [day for day in before if day.date >= begin]
    return reserve_of_turnover(
        sum(day.turnover_minor for day in counted), sum(day.volume_t for day in counted), chosen
    )


def months_before(on: dt.date, months: int) -> dt.date:
    """The same day so many months before, the month's last where it is shorter. O(1)."""
    year, month = divmod(on.year * MONTHS + on.month - 1 - months, MONTHS)
    last = calendar.monthrange(year, month + 1)[1]
    return dt.date(year, month + 1, min(on.day, last))


def yearly(rule: ReserveRule, year: int, price_rise_bp: Mapping[int, int]) -> int:
    """A reserve that rises each year; an announced one counts before the rule. O(years).

    Source: title 17 CCR section 95911 (c)(3). RulebookError names the year whose price rise is not
    known.
    """
    if year < rule.base_year:
        raise RulebookError(f"reserve of {rule.format}: none before {rule.base_year}")
    announced = {item.year: item.amount for item in rule.observed} | {
        rule.base_year: rule.base_minor
    }
    begin = max(item for item in announced if item <= year)
    amount = announced[begin]
    for item in range(begin + 1, year + 1):
        if item not in price_rise_bp:
            raise RulebookError(
                f"reserve of {rule.format}: by how much prices rose for {item} is not known; "
                "give it"
            )
        amount = half_up(amount * (BP + rule.increase_bp + price_rise_bp[item]), BP)
    return amount
