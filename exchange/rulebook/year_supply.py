"""How many allowances a scheme auctions in a year: its cap, its share, and what the reserve moves.

What the reserve takes or gives for the allowances in circulation at the end of a year is moved in
twelve months from 1 September of the next one, the same each month. Tonnes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from exchange.rulebook.allocation import BP, half_up, scheme_cap, share
from exchange.rulebook.auction_calendar import auction_days, weights
from exchange.rulebook.auction_data import (
    Circulation,
    Programme,
    Series,
    SeriesYear,
    SupplyData,
    VolumePeriod,
)
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.selection import scheme_named
from exchange.rulebook.shapes import Scheme
from exchange.rulebook.shares import apportion
from exchange.rulebook.supply import ReserveMove, reserve_move, supply_control

MONTHS = 12
BEGINS_MONTH = 9  # of the reserve's twelve months


class Move(NamedTuple):
    """What the reserve moves in one window of whole months."""

    end_of_year: int
    tnac_t: int
    first: dt.date
    last: dt.date
    whole: ReserveMove


class YearSupply(NamedTuple):
    """A scheme's auctions of a year before they are laid over days."""

    scheme: str
    year: int
    cap_t: int  # 0 = not asked for: the gross volume was given
    share_bp: int
    gross_t: int
    deducted_t: int
    moves: tuple[Move, ...]

    def moved(self, first: dt.date, last: dt.date) -> ReserveMove:
        """What the reserve takes and gives in whole months. O(moves)."""
        found = [within(move, first, last) for move in self.moves]
        return ReserveMove(sum(m.intake_t for m in found), sum(m.release_t for m in found))

    @property
    def net_t(self) -> int:
        """What is auctioned. O(moves)."""
        moved = self.moved(dt.date(self.year, 1, 1), dt.date(self.year, 12, 31))
        return self.gross_t - self.deducted_t - moved.intake_t + moved.release_t


def year_supply(
    rulebook: Rulebook,
    data: SupplyData,
    scheme_id: str,
    year: int,
    *,
    tnac_t: Mapping[int, int] | None = None,
    gross_t: int | None = None,
) -> YearSupply:
    """The supply of a year. O(rules + moves).

    `tnac_t` are allowances in circulation by the year at whose end they were, beside or in place of
    the published ones; `gross_t` the volume before the reserve, in place of cap and share.
    RulebookError names what is not known: the cap, the auctions' share, the circulation; or a
    volume above the largest share that may be auctioned. ValueError: a volume below zero.
    """
    require_whole(gross_t=gross_t)
    scheme = scheme_named(rulebook, scheme_id)
    cap_t = share_bp = 0
    if gross_t is None:
        cap_t, share_bp = scheme_cap(scheme, year), auction_share(scheme, year)
        gross_t = share(cap_t, share_bp)
    most_t = auction_most(scheme, year)
    if most_t is not None and gross_t > most_t:
        raise RulebookError(
            f"scheme {scheme.id}: at most {most_t} t of {year} may be auctioned, not {gross_t} t"
        )
    deducted_t = sum(
        item.amount
        for deduction in data.deduction
        if deduction.scheme == scheme_id
        for item in deduction.amounts
        if item.year == year
    )
    moves = reserve_moves(scheme, data, year, tnac_t or {})
    found = YearSupply(scheme_id, year, cap_t, share_bp, gross_t, deducted_t, tuple(moves))
    if found.net_t < 0:
        raise RulebookError(f"scheme {scheme_id}: more is taken from {year} than is auctioned")
    return found


def auction_share(scheme: Scheme, year: int) -> int:
    """The share of the cap that is auctioned, basis points; RulebookError. O(rules)."""
    for rules in scheme.rules:
        if year in rules.emission_years and rules.auction_share_bp is not None:
            return rules.auction_share_bp
    raise RulebookError(
        f"scheme {scheme.id}: the share of {year} that is auctioned is not known; give the volume"
    )


def auction_most(scheme: Scheme, year: int) -> int | None:
    """The most that may be auctioned of a year's cap, tonnes, rounded down. O(rules).

    None where the rules of the year name no largest share. Source: Directive 2003/87/EC, Article 10
    as it stood until 2012: at least 95, from 2008 on 90 percent are free of charge.
    """
    for rules in scheme.rules:
        if year in rules.emission_years and rules.auction_share_max_bp is not None:
            return share(scheme_cap(scheme, year), rules.auction_share_max_bp)
    return None


# -- the reserve -----------------------------------------------------------------------------------


def reserve_moves(
    scheme: Scheme, data: SupplyData, year: int, tnac_t: Mapping[int, int]
) -> list[Move]:
    """What the reserve moves in a year, by window, rising; [] without a reserve. O(rows).

    RulebookError where a month falls under a reserve and no circulation acts on it.
    """
    rows = {row.end_of_year: row for row in data.circulation if row.scheme == scheme.id}
    moves: dict[int, Move] = {}
    for month in range(1, MONTHS + 1):
        day = dt.date(year, month, 1)
        if not _is_controlled(scheme, day):
            continue
        end_of_year = year - 1 if month >= BEGINS_MONTH else year - 2
        row = rows.get(end_of_year)
        known_t = tnac_t.get(end_of_year, row.tnac_t if row else None)
        if known_t is None:
            raise RulebookError(
                f"scheme {scheme.id}: the allowances in circulation at the end of {end_of_year} "
                f"are not known, and {day:%B %Y} depends on them; give them"
            )
        if end_of_year not in moves:
            moves[end_of_year] = _move(scheme, end_of_year, known_t, row)
    return [moves[key] for key in sorted(moves)]


def _is_controlled(scheme: Scheme, day: dt.date) -> bool:
    return any(rule.effective_from <= day <= rule.effective_to for rule in scheme.supply_control)


def _move(scheme: Scheme, end_of_year: int, tnac_t: int, row: Circulation | None) -> Move:
    first = row.applies_from if row else dt.date(end_of_year + 1, BEGINS_MONTH, 1)
    last = row.applies_to if row else dt.date(end_of_year + 2, BEGINS_MONTH - 1, 31)
    rule = supply_control(scheme, first)
    whole = reserve_move(rule, tnac_t)
    if row is not None and row.intake_bp is not None and whole.intake_t:
        whole = ReserveMove(half_up(tnac_t * row.intake_bp, BP), 0)
    return Move(end_of_year, tnac_t, first, last, whole)


def within(move: Move, first: dt.date, last: dt.date) -> ReserveMove:
    """The part of a move that falls on whole months; all parts add up to it. O(1)."""
    begin, end = max(move.first, first), min(move.last, last)
    if begin > end:
        return ReserveMove(0, 0)
    count = _months(move.first, move.last)
    before, until = _months(move.first, begin) - 1, _months(move.first, end)
    parts = [amount * until // count - amount * before // count for amount in move.whole]
    return ReserveMove(*parts)


def _months(first: dt.date, last: dt.date) -> int:
    return (last.year - first.year) * MONTHS + last.month - first.month + 1


# -- volumes of a series ---------------------------------------------------------------------------


def series_volumes(
    series: Series, rule: SeriesYear, supply: YearSupply, share_bp: int
) -> list[VolumePeriod]:
    """A series' share of the supply by period. O(days).

    Evenly over the auctions, then less or more what the reserve moves. RulebookError where it takes
    more than a period has.
    """
    days = auction_days(series, rule)
    ends = [dt.date.fromisoformat(f"{rule.year}-{end}") for end in series.period_ends]
    ends = [*ends, dt.date(rule.year, 12, 31)]
    sums = _weights_by_period(series, days, ends)
    gross = apportion(supply.gross_t - supply.deducted_t, sums)
    periods, first = [], dt.date(rule.year, 1, 1)
    for end, gross_t in zip(ends, gross, strict=True):
        moved = supply.moved(first, end)
        net_t = gross_t - moved.intake_t + moved.release_t
        if net_t < 0:
            raise RulebookError(f"series {series.id}: more is taken until {end} than is auctioned")
        periods.append(VolumePeriod(until=end, volume_t=share(net_t, share_bp)))
        first = end + dt.timedelta(1)
    return periods


def _weights_by_period(
    series: Series, days: Sequence[dt.date], ends: Sequence[dt.date]
) -> list[int]:
    sums = [0] * len(ends)
    for day, weight in zip(days, weights(series, days), strict=True):
        sums[sum(day > end for end in ends)] += weight
    return sums


def programme_volumes(
    programme: Programme, series: Series, supply: YearSupply | None
) -> dict[str, list[VolumePeriod]]:
    """Each auctioneer's volumes under a venue's programme. O(days x auctioneers).

    By volumes of its own, by a weight of the published ones, or by a share of the scheme's supply.
    RulebookError where these are asked for and not known.
    """
    rule = programme.year
    published = rule.volumes or _published(series, rule.year)
    if not programme.auctioneer:
        return {series.id: _known(series, rule.year, published)}
    found: dict[str, list[VolumePeriod]] = {}
    weighted = [item for item in programme.auctioneer if item.weight]
    for item in programme.auctioneer:
        if item.volumes:
            found[item.name] = list(item.volumes)
        elif item.share_bp:
            if supply is None:
                raise RulebookError(f"auctioneer {item.name}: a share needs the scheme's supply")
            found[item.name] = series_volumes(series, rule, supply, item.share_bp)
    if weighted:
        parted: dict[str, list[VolumePeriod]] = {item.name: [] for item in weighted} | found
        for period in _known(series, rule.year, published):
            parts = apportion(period.volume_t, [item.weight for item in weighted])
            for item, part in zip(weighted, parts, strict=True):
                parted[item.name].append(VolumePeriod(until=period.until, volume_t=part))
        found = {item.name: parted[item.name] for item in programme.auctioneer}
    return found


def _published(series: Series, year: int) -> tuple[VolumePeriod, ...]:
    return next((item.volumes for item in series.year if item.year == year), ())


def _known(series: Series, year: int, published: Sequence[VolumePeriod]) -> list[VolumePeriod]:
    if not published:
        raise RulebookError(
            f"series {series.id}: no volume of {year} is published here; give volumes, or a "
            "share of the scheme's auctions, in a programme of the venue"
        )
    return list(published)
