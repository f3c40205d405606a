"""The calendar of a series of auctions, and what the end of an auction makes of it. Pure.

    auction_days          on which days auctions are held
    plan_calendar         volumes laid over them, by auctioneer, adding up to the tonne
    with_result           an auction ended: what it left goes to the next ones
    with_carried          what the year before left goes to the first ones

How an unsold volume is parted says the engine alone (AUCTION_CARRIED): here the pieces are laid
where they belong. Tonnes; times in ns UTC.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from exchange.rulebook.allocation import BP, half_up
from exchange.rulebook.auction_data import WEEKDAYS, Rest, Series, SeriesYear, VolumePeriod
from exchange.rulebook.auctions import carried
from exchange.rulebook.book import RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shares import apportion
from exchange.rulebook.supply import spread

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
WEEK = 7

State = Literal["SCHEDULED", "HELD", "CANCELLED"]


class Share(NamedTuple):
    """An auctioneer's part of an auction."""

    auctioneer: str
    volume_t: int


class ScheduledAuction(msgspec.Struct, frozen=True):
    """An auction of the calendar; `id` is its label on the engine."""

    id: str
    date: dt.date
    opens_ns: int
    closes_ns: int
    first_proposed_t: int  # before anything was carried to it
    shares: tuple[Share, ...]
    state: State = "SCHEDULED"
    sold_t: int = 0

    @property
    def volume_t(self) -> int:
        """What is on offer, all auctioneers together. O(auctioneers)."""
        return sum(share.volume_t for share in self.shares)


class AuctionCalendar(msgspec.Struct, frozen=True):
    """A series in a year.

    `left_t` is what no multiple holds, `withheld_t` what no auction may take (it goes to the
    reserve), `unsold_t` what stays with the auctioneers, `carried_out` the pieces for the first
    auctions of the next year.
    """

    series: str
    scheme: str
    unit: str
    format: str
    year: int
    multiple_t: int
    auctions: tuple[ScheduledAuction, ...]
    left_t: int = 0
    withheld_t: int = 0
    unsold_t: int = 0
    carried_out: tuple[tuple[Share, ...], ...] = ()

    @property
    def total_t(self) -> int:
        """All that the calendar accounts for: what was planned and carried in. O(auctions)."""
        scheduled = sum(item.volume_t for item in self.auctions if item.state == "SCHEDULED")
        sold = sum(item.sold_t for item in self.auctions)
        out = sum(share.volume_t for piece in self.carried_out for share in piece)
        return scheduled + sold + out + self.left_t + self.withheld_t + self.unsold_t


class AuctionResult(NamedTuple):
    """How an auction ended, as the engine said."""

    is_cancelled: bool
    sold_t: int
    pieces_t: tuple[int, ...] = ()  # AUCTION_CARRIED: to the first, the second, ... from here


# -- days ------------------------------------------------------------------------------------------


def easter(year: int) -> dt.date:
    """Easter Sunday of the Gregorian calendar. O(1)."""
    golden, century = year % 19, year // 100
    epact = (19 * golden + century - century // 4 - (8 * century + 13) // 25 + 15) % 30
    epact -= epact // 28 * (1 - epact // 28 * (29 // (epact + 1)) * ((21 - golden) // 11))
    weekday = (year + year // 4 + epact + 2 - century + century // 4) % 7
    days = epact - weekday
    month = 3 + (days + 40) // 44
    return dt.date(year, month, days + 28 - 31 * (month // 4))


def auction_days(series: Series, rule: SeriesYear) -> list[dt.date]:
    """The days of a series' auctions in a year, rising. O(days).

    RulebookError: a series by notice without dates, a day skipped that is none, no day at all.
    """
    if rule.dates:
        days = list(rule.dates)
    elif rule.first is None or rule.last is None or not series.weekdays:
        raise RulebookError(
            f"series {series.id}: its days in {rule.year} are known by notice only; give dates"
        )
    else:
        days = list(_regular(series, rule.first, rule.last))
    without = sorted(set(rule.skipped) - set(days))
    if without:
        raise RulebookError(f"series {series.id}: skipped {without[0]} is no day of an auction")
    days = [day for day in days if day not in rule.skipped]
    if not days:
        raise RulebookError(f"series {series.id} has no auction in {rule.year}")
    return days


def _regular(series: Series, first: dt.date, last: dt.date) -> Iterator[dt.date]:
    sunday = easter(first.year)
    closed = {sunday + dt.timedelta(days) for days in series.closed_easter}
    held = {WEEKDAYS.index(word) for word in series.weekdays}
    monday = first - dt.timedelta(first.weekday())
    for count in range((last - first).days + 1):
        day = first + dt.timedelta(count)
        is_week = (day - monday).days // WEEK % series.every_weeks == 0
        is_month = not series.months or day.month in series.months
        is_place = series.week_of_month in (0, (day.day - 1) // WEEK + 1)
        is_open = day not in closed and f"{day:%m-%d}" not in series.closed_days
        if day.weekday() in held and is_week and is_month and is_place and is_open:
            yield day


def window(series: Series, day: dt.date) -> tuple[int, int]:
    """When bids are heard on a day: opening and closing, ns UTC. O(1)."""
    zone = zoneinfo.ZoneInfo(series.time_zone)
    opens, closes = (
        dt.datetime.combine(day, time, zone) - EPOCH for time in (series.opens, series.closes)
    )
    second = dt.timedelta(seconds=1)
    return opens // second * 10**9, closes // second * 10**9


# -- volumes ---------------------------------------------------------------------------------------


def weights(series: Series, days: Sequence[dt.date]) -> list[int]:
    """What each auction's volume is to the others', basis points of a full one. O(days)."""
    return [series.low_share_bp if day.month in series.low_months else BP for day in days]


def lay(volume_t: int, parts: Sequence[int], multiple_t: int, rest: Rest) -> list[int]:
    """A volume over auctions by weight, in multiples; what is below one multiple stays out. O(n).

    `last`: a full volume rounded down, a low one its share rounded half up, the last one what
    remains: so EEX does. `first`: equal weights only, the first ones take a multiple more.
    """
    whole = volume_t // multiple_t * multiple_t
    if rest == "first":
        if len(set(parts)) != 1:
            raise RulebookError("a series whose first auctions take the rest has no low months")
        return spread(whole, len(parts), multiple_t)
    full = whole * BP // sum(parts) // multiple_t * multiple_t
    laid = [half_up(full * part, BP * multiple_t) * multiple_t for part in parts]
    if sum(laid[:-1]) > whole:  # a few multiples for many low ones
        laid = [full * part // BP // multiple_t * multiple_t for part in parts]
    laid[-1] += whole - sum(laid)
    return laid


def plan_calendar(
    series: Series, rule: SeriesYear, volumes: Mapping[str, Sequence[VolumePeriod]]
) -> AuctionCalendar:
    """The calendar of a year: each auctioneer's periods laid over the days. O(days x auctioneers).

    The volumes of the auctions and `left_t` add up to those given. RulebookError: as
    `auction_days`; a volume in a period without an auction; a period after the year. ValueError: a
    volume below zero.
    """
    for periods in volumes.values():
        for period in periods:
            require_whole(volume_t=period.volume_t)
    days = auction_days(series, rule)
    laid: list[list[Share]] = [[] for _ in days]
    left_t = 0
    for auctioneer, periods in volumes.items():
        left_t += _lay_periods(series, days, auctioneer, periods, laid)
    auctions = []
    for day, shares in zip(days, laid, strict=True):
        opens_ns, closes_ns = window(series, day)
        proposed_t = sum(share.volume_t for share in shares)
        auctions.append(
            ScheduledAuction(
                f"{series.id}-{day:%Y%m%d}", day, opens_ns, closes_ns, proposed_t, tuple(shares)
            )
        )
    return AuctionCalendar(
        series.id,
        series.scheme,
        series.unit,
        series.format,
        rule.year,
        series.multiple_t,
        tuple(auctions),
        left_t,
    )


def _lay_periods(
    series: Series,
    days: Sequence[dt.date],
    auctioneer: str,
    periods: Sequence[VolumePeriod],
    laid: list[list[Share]],
) -> int:
    begin = left_t = 0
    for period in periods:
        end = sum(day <= period.until for day in days)
        if begin == end:
            if period.volume_t:
                raise RulebookError(
                    f"series {series.id}: {period.volume_t} t of {auctioneer} until "
                    f"{period.until}, but no auction there"
                )
            continue
        parts = weights(series, days[begin:end])
        found = lay(period.volume_t, parts, series.multiple_t, series.rest)
        left_t += period.volume_t - sum(found)
        for at, volume_t in enumerate(found, begin):
            if volume_t:
                laid[at].append(Share(auctioneer, volume_t))
        begin = end
    if begin < len(days):
        raise RulebookError(f"series {series.id}: no volume of {auctioneer} from {days[begin]} on")
    return left_t


# -- results ---------------------------------------------------------------------------------------


def with_result(
    calendar: AuctionCalendar, auction_id: str, result: AuctionResult, cap_bp: int = 0
) -> AuctionCalendar:
    """The calendar after an auction ended. O(auctions x auctioneers).

    The engine's pieces are added to the scheduled auctions after it, each piece parted among the
    auctioneers by what they have left; where the year has too few they wait in `carried_out`. With
    `cap_bp` no auction grows beyond that share of what it first proposed, and the rest is withheld.
    Sources: Regulation (EU) 1031/2010 Article 9; the UK's regulation 11 for the cap. RulebookError:
    no such auction, one that ended before, or figures that do not add up.
    """
    at = _place(calendar, auction_id)
    ended = calendar.auctions[at]
    unsold_t = ended.volume_t - result.sold_t
    if not 0 <= result.sold_t <= ended.volume_t or (result.is_cancelled and result.sold_t):
        raise RulebookError(f"auction {auction_id}: {result.sold_t} t sold of {ended.volume_t} t")
    if result.pieces_t and sum(result.pieces_t) != unsold_t:
        raise RulebookError(
            f"auction {auction_id}: {sum(result.pieces_t)} t carried of {unsold_t} t unsold"
        )
    state: State = "CANCELLED" if result.is_cancelled else "HELD"
    auctions = list(calendar.auctions)
    auctions[at] = msgspec.structs.replace(ended, state=state, sold_t=result.sold_t)
    changed = msgspec.structs.replace(calendar, auctions=tuple(auctions))
    if not result.pieces_t:
        return msgspec.structs.replace(changed, unsold_t=calendar.unsold_t + unsold_t)
    pieces = _parted(ended.shares, result.pieces_t, calendar.multiple_t)
    later = [
        place
        for place, item in enumerate(auctions)
        if item.state == "SCHEDULED" and item.opens_ns > ended.opens_ns
    ]
    return _laid(changed, later, pieces, cap_bp)


def with_carried(
    calendar: AuctionCalendar, pieces: Sequence[Sequence[Share]], cap_bp: int = 0
) -> AuctionCalendar:
    """The calendar with what the year before left over (`carried_out`). O(auctions)."""
    later = [at for at, item in enumerate(calendar.auctions) if item.state == "SCHEDULED"]
    return _laid(calendar, later, pieces, cap_bp)


def _place(calendar: AuctionCalendar, auction_id: str) -> int:
    for at, item in enumerate(calendar.auctions):
        if item.id == auction_id:
            if item.state != "SCHEDULED":
                raise RulebookError(f"auction {auction_id} has ended before: {item.state}")
            return at
    raise RulebookError(f"{calendar.series} {calendar.year} has no auction {auction_id}")


def _parted(
    shares: Sequence[Share], pieces_t: Sequence[int], multiple_t: int
) -> list[tuple[Share, ...]]:
    names = [share.auctioneer for share in shares]
    left = apportion(sum(pieces_t), [share.volume_t for share in shares], multiple_t)
    pieces = []
    for piece_t in pieces_t:
        parts = apportion(piece_t, left, multiple_t) if piece_t else [0] * len(left)
        left = [have - part for have, part in zip(left, parts, strict=True)]
        found = zip(names, parts, strict=True)
        pieces.append(tuple(Share(name, part) for name, part in found if part))
    return pieces


def _laid(
    calendar: AuctionCalendar,
    places: Sequence[int],
    pieces: Sequence[Sequence[Share]],
    cap_bp: int,
) -> AuctionCalendar:
    auctions = list(calendar.auctions)
    withheld_t = calendar.withheld_t
    for place, piece in zip(places, pieces, strict=False):
        item = auctions[place]
        sizes = [share.volume_t for share in piece]
        added, beyond_t = carried(
            [sum(sizes)],
            [item.first_proposed_t],
            cap_bp,
            now=[item.volume_t],
            multiple_t=calendar.multiple_t,
        )
        withheld_t += beyond_t
        if added[0]:
            parts = apportion(added[0], sizes, calendar.multiple_t)
            more = [Share(s.auctioneer, p) for s, p in zip(piece, parts, strict=True) if p]
            auctions[place] = msgspec.structs.replace(item, shares=_merged(item.shares, more))
    beyond = pieces[len(places) :]
    return msgspec.structs.replace(
        calendar,
        auctions=tuple(auctions),
        withheld_t=withheld_t,
        carried_out=_joined(calendar.carried_out, beyond),
    )


def _joined(
    one: Sequence[Sequence[Share]], two: Sequence[Sequence[Share]]
) -> tuple[tuple[Share, ...], ...]:
    """Pieces for the same auctions of the next year, place by place."""
    count = max(len(one), len(two))
    padded = [[*pieces, *[()] * (count - len(pieces))] for pieces in (one, two)]
    return tuple(_merged(a, b) for a, b in zip(*padded, strict=True))


def _merged(one: Sequence[Share], two: Sequence[Share]) -> tuple[Share, ...]:
    sums: dict[str, int] = {}
    for share in (*one, *two):
        sums[share.auctioneer] = sums.get(share.auctioneer, 0) + share.volume_t
    return tuple(Share(name, volume_t) for name, volume_t in sums.items())
