"""The functions about supply that vectors may name: calendars, reserves, revenue.

As `exchange.rulebook.vector_functions`: each takes the rulebook, then the keys of `input`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from exchange.rulebook import auction_calendar as auctions
from exchange.rulebook.allocation import scheme_cap
from exchange.rulebook.auction_data import SeriesYear, VolumePeriod, load_supply_data
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.reserves import TradedDay, reserve_on
from exchange.rulebook.revenue import by_beneficiary
from exchange.rulebook.selection import scheme_named
from exchange.rulebook.shares import apportion
from exchange.rulebook.year_supply import reserve_moves, series_volumes, year_supply

Found = Mapping[str, Any]


def _apportion(rulebook: Rulebook, amount: int, weights: list[int], unit: int = 1) -> Found:
    return {"parts": apportion(amount, weights, unit)}


def _days(rulebook: Rulebook, series: str, year: int) -> Found:
    named = load_supply_data().series_of(series)
    days = auctions.auction_days(named, named.year_of(year))
    opens, closes = (
        dt.datetime.fromtimestamp(moment // 10**9, dt.UTC).replace(tzinfo=None)
        for moment in auctions.window(named, days[0])
    )
    return {
        "count": len(days), "first": days[0], "last": days[-1],
        "first_opens_utc": opens, "first_closes_utc": closes,
    }  # fmt: skip


def _calendar(
    rulebook: Rulebook,
    series: str,
    year: int,
    volumes: list[dict[str, Any]] | None = None,
    dates: list[dt.date] | None = None,
    ended: list[dict[str, Any]] | None = None,
    cap_bp: int = 0,
) -> Found:
    named = load_supply_data().series_of(series)
    rule = SeriesYear(year=year, dates=tuple(dates)) if dates else named.year_of(year)
    periods = [VolumePeriod(**row) for row in volumes] if volumes else rule.volumes
    if not periods:
        raise RulebookError(f"series {series}: no volume of {year} is known; give volumes")
    calendar = auctions.plan_calendar(named, rule, {"all": periods})
    for row in ended or []:
        result = auctions.AuctionResult(
            row["cancelled"], row.get("sold_t", 0), tuple(row.get("carried_t", ()))
        )
        label = f"{series}-{row['date']:%Y%m%d}"
        calendar = auctions.with_result(calendar, label, result, cap_bp)
    scheduled = [item for item in calendar.auctions if item.state == "SCHEDULED"]
    runs = [(volume_t, list(items)) for volume_t, items in groupby(scheduled, lambda i: i.volume_t)]
    return {
        "volumes_t": [volume_t for volume_t, _ in runs],
        "from": [items[0].date for _, items in runs],
        "auctions": [len(items) for _, items in runs],
        "total_t": calendar.total_t,
        "left_t": calendar.left_t,
        "withheld_t": calendar.withheld_t,
        "carried_out_t": [sum(s.volume_t for s in piece) for piece in calendar.carried_out],
    }


def _moves(
    rulebook: Rulebook, scheme: str, year: int, tnac_t: dict[str, int] | None = None
) -> Found:
    given = {int(key): amount for key, amount in (tnac_t or {}).items()}
    moves = reserve_moves(scheme_named(rulebook, scheme), load_supply_data(), year, given)
    return {
        "end_of_year": [move.end_of_year for move in moves],
        "intake_t": [move.whole.intake_t for move in moves],
        "release_t": [move.whole.release_t for move in moves],
        "from": [move.first for move in moves],
        "to": [move.last for move in moves],
    }


def _supply(
    rulebook: Rulebook, scheme: str, year: int, series: str = "", share_bp: int = 10_000,
    gross_t: int | None = None,
) -> Found:  # fmt: skip
    data = load_supply_data()
    supply = year_supply(rulebook, data, scheme, year, gross_t=gross_t)
    moved = supply.moved(dt.date(year, 1, 1), dt.date(year, 12, 31))
    periods: Sequence[VolumePeriod] = ()
    if series:
        named = data.series_of(series)
        periods = series_volumes(named, named.year_of(year), supply, share_bp)
    return {
        "cap_t": supply.cap_t, "gross_t": supply.gross_t, "deducted_t": supply.deducted_t,
        "intake_t": moved.intake_t, "release_t": moved.release_t, "net_t": supply.net_t,
        "periods_t": [period.volume_t for period in periods],
    }  # fmt: skip


def _reserve(
    rulebook: Rulebook,
    format: str,  # noqa: A002 - a word of the file
    on: dt.date,
    days: list[dict[str, Any]] | None = None,
    share_bp: int = 0,
    price_rise_bp: dict[str, int] | None = None,
    given_minor: int = 0,
) -> Found:
    rises = {int(key): value for key, value in (price_rise_bp or {}).items()}
    reserve = reserve_on(
        load_supply_data().reserve_of(format),
        on,
        days=[TradedDay(**row) for row in days or ()],
        share_bp=share_bp,
        price_rise_bp=rises,
        given_minor=given_minor,
    )
    return {"reserve_minor": reserve}


def _revenue(
    rulebook: Rulebook, scheme: str, year: int, revenue_minor: int, auctioned_t: int = 0
) -> Found:
    rule = load_supply_data().revenue_of(scheme, year)
    cap_t = scheme_cap(scheme_named(rulebook, scheme), year) if rule.funds else 0
    due = by_beneficiary(rule, revenue_minor, cap_t=cap_t, auctioned_t=auctioned_t)
    return {"due_minor": {item.name: item.amount for item in due}}


FUNCTIONS: dict[str, Callable[..., Found]] = {
    "apportion": _apportion,
    "auction_calendar": _calendar,
    "auction_days": _days,
    "auction_reserve": _reserve,
    "reserve_moves": _moves,
    "revenue": _revenue,
    "year_supply": _supply,
}
"""By the word that a vector's `function` names."""
