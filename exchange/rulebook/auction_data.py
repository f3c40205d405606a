"""Supply as data (`auction_calendars.toml`): what the file may say, and reading it.

Series of auctions with their years, what is taken from a scheme's auctions, allowances in
circulation, reserve prices by format, shares of the revenue. A venue's own programme is a file of
the same words: it gives what a series leaves unknown.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from exchange.rulebook.allocation import BP
from exchange.rulebook.auctions import load_auction_formats
from exchange.rulebook.book import RulebookError
from exchange.rulebook.catalogue import Rule, Source
from exchange.rulebook.loading import convert, parse_toml, shipped
from exchange.rulebook.shapes import Table, YearAmount

FILE = "auction_calendars.toml"
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SERIES_ID_MAX = 7  # with a date it is the label of an auction on the engine, 16 characters
DAYS_MAX = 366
_HOME = "exchange/rulebook/"

Rest = Literal["first", "last"]
ReserveKind = Literal["given", "share_of_average", "share_of_close", "yearly"]


class VolumePeriod(Table, frozen=True, kw_only=True):
    """What is auctioned after the period before, up to a day."""

    until: dt.date
    volume_t: int


class SeriesYear(Table, frozen=True, kw_only=True):
    """A year of a series: the first and the last auction, or all its days."""

    year: int
    first: dt.date | None = None
    last: dt.date | None = None
    dates: tuple[dt.date, ...] = ()
    skipped: tuple[dt.date, ...] = ()
    volumes: tuple[VolumePeriod, ...] = ()
    note: str = ""
    sources: tuple[str, ...] = ()


class Series(Rule, frozen=True, kw_only=True):
    """Auctions that follow one another under one calendar; times are local."""

    id: str
    name: str
    scheme: str
    unit: str
    format: str
    time_zone: str
    opens: dt.time
    closes: dt.time
    weekdays: tuple[str, ...]
    every_weeks: int = 1
    months: tuple[int, ...] = ()  # () = all
    week_of_month: int = 0  # 0 = each
    closed_days: tuple[str, ...] = ()  # month-day
    closed_easter: tuple[int, ...] = ()  # days from Easter Sunday
    low_months: tuple[int, ...] = ()
    low_share_bp: int = BP  # of the volume of other months
    multiple_t: int
    rest: Rest
    period_ends: tuple[str, ...] = ()  # month-day
    year: tuple[SeriesYear, ...] = ()
    unknown: tuple[str, ...] = ()

    def year_of(self, year: int) -> SeriesYear:
        """The series in a year; RulebookError names those that are known. O(years)."""
        for item in self.year:
            if item.year == year:
                return item
        known = ", ".join(str(item.year) for item in self.year) or "none"
        raise RulebookError(
            f"series {self.id}: its days in {year} are not known (known: {known}); give first and "
            "last auction, or dates, in a programme of the venue"
        )


class Deduction(Rule, frozen=True, kw_only=True):
    """Tonnes taken from a scheme's auctions of a year for good or for later."""

    scheme: str
    why: str
    amounts: tuple[YearAmount, ...]


class Circulation(Rule, frozen=True, kw_only=True):
    """Allowances in circulation at the end of a year, and the months that they act on."""

    scheme: str
    end_of_year: int
    tnac_t: int
    applies_from: dt.date
    applies_to: dt.date
    intake_bp: int | None = None  # None = as the scheme's reserve says


class ReserveRule(Rule, frozen=True, kw_only=True):
    """How the lowest price of a format's auctions is found."""

    format: str
    kind: ReserveKind
    shares_bp: tuple[int, ...] = ()
    months: int = 0
    base_year: int = 0
    base_minor: int = 0
    increase_bp: int = 0
    observed: tuple[YearAmount, ...] = ()
    unknown: tuple[str, ...] = ()


class Beneficiary(Table, frozen=True, kw_only=True):
    """Who gets a share, basis points."""

    beneficiary: str
    share_bp: int


class RevenueRule(Rule, frozen=True, kw_only=True):
    """Whose the revenue is: `funds` by their share of the cap, the rest by `shares`."""

    scheme: str
    years: tuple[int, ...]
    funds: tuple[Beneficiary, ...] = ()
    shares: tuple[Beneficiary, ...]
    unknown: tuple[str, ...] = ()


class SupplyData(Table, frozen=True, kw_only=True):
    """The whole file."""

    schema_version: Literal[1]
    source: tuple[Source, ...]
    series: tuple[Series, ...] = ()
    deduction: tuple[Deduction, ...] = ()
    circulation: tuple[Circulation, ...] = ()
    reserve_rule: tuple[ReserveRule, ...] = ()
    revenue: tuple[RevenueRule, ...] = ()

    def series_of(self, series_id: str) -> Series:
        """The series with that id; RulebookError names those that are known. O(series)."""
        for item in self.series:
            if item.id == series_id:
                return item
        known = ", ".join(item.id for item in self.series)
        raise RulebookError(f"unknown series {series_id}; known: {known}")

    def reserve_of(self, auction_format: str) -> ReserveRule:
        """How the reserve of a format is found; RulebookError when nothing is known. O(rules)."""
        for item in self.reserve_rule:
            if item.format == auction_format:
                return item
        raise RulebookError(f"nothing is known of the reserve price of {auction_format}")

    def revenue_of(self, scheme: str, year: int) -> RevenueRule:
        """Whose the revenue of a year is; RulebookError when it is not known. O(rules)."""
        for item in self.revenue:
            if item.scheme == scheme and year in item.years:
                return item
        raise RulebookError(f"scheme {scheme}: whose the revenue of {year} is, is not known")


class ProgrammeShare(Table, frozen=True, kw_only=True):
    """An auctioneer's part: its volumes, or its share of the scheme's auctions."""

    name: str
    volumes: tuple[VolumePeriod, ...] = ()
    share_bp: int = 0
    weight: int = 0  # of the published volume; 0 = none


class Programme(Table, frozen=True, kw_only=True):
    """What a venue says of a series in a year, and the accounts it is held with."""

    series: str
    year: SeriesYear
    auctioneer: tuple[ProgrammeShare, ...] = ()
    symbol: str = ""
    holding_account: int = 0  # of the auctioneer in the registry (100-14)
    delivery_account: int = 0  # from which what is sold is delivered (100-13)
    reserve_symbol: str = ""  # whose closes the reserve is taken from; "" = `symbol`
    reserve_share_bp: int = 0  # one of the shares of the format's rule; 0 = the first
    price_rise_bp: dict[str, int] = {}  # of consumer prices, by year


def load_supply_data() -> SupplyData:
    """The data shipped with the package; RulebookError says what is wrong. O(rows)."""
    return parse_supply_data(shipped(FILE), _HOME + FILE)


def parse_supply_data(text: str, name: str) -> SupplyData:
    """`load_supply_data` for text that is at hand; `name` stands in error messages."""
    data = convert(parse_toml(text, name), SupplyData, name)
    problems = list(_problems(data))
    if problems:
        raise RulebookError(f"{name}: " + "; ".join(problems))
    return data


def load_programme(path: Path) -> Programme:
    """A venue's programme; RulebookError names file, table and key. O(rows)."""
    name = str(path)
    programme = convert(parse_toml(path.read_text("utf-8"), name), Programme, name)
    problems = list(_year_problems(f"year {programme.year.year}", programme.year))
    for share in programme.auctioneer:
        ways = (bool(share.volumes), share.share_bp > 0, share.weight > 0)
        if sum(ways) != 1 or min(share.share_bp, share.weight) < 0 or share.share_bp > BP:
            problems.append(
                f"auctioneer {share.name}: one of volumes, share_bp (1..{BP}) and weight"
            )
        problems += _volume_problems(f"auctioneer {share.name}", share.volumes)
    names = [share.name for share in programme.auctioneer]
    if len(set(names)) != len(names):
        problems.append("auctioneer: a name stands twice")
    if problems:
        raise RulebookError(f"{name}: " + "; ".join(problems))
    return programme


# -- soundness -------------------------------------------------------------------------------------


def _problems(data: SupplyData) -> Iterator[str]:
    known = {source.id for source in data.source}
    rows: list[tuple[str, Rule]] = [(f"series {item.id}", item) for item in data.series]
    rows += [(f"deduction {item.why}", item) for item in data.deduction]
    rows += [(f"circulation {item.end_of_year}", item) for item in data.circulation]
    rows += [(f"reserve_rule {item.format}", item) for item in data.reserve_rule]
    rows += [(f"revenue {item.scheme} {item.years[:1]}", item) for item in data.revenue]
    for where, row in rows:
        yield from (f"{where}: unknown source {name}" for name in row.sources if name not in known)
    for ids in (
        [item.id for item in data.series],
        [f"{item.scheme} {item.end_of_year}" for item in data.circulation],
        [item.format for item in data.reserve_rule],
        [f"{item.scheme} {year}" for item in data.revenue for year in item.years],
    ):
        yield from (f"{item} stands twice" for item in sorted({i for i in ids if ids.count(i) > 1}))
    for series in data.series:
        yield from _series_problems(f"series {series.id}", series, known)
    for reserve in data.reserve_rule:
        yield from _reserve_problems(f"reserve_rule {reserve.format}", reserve)
    for row in data.circulation:
        if row.applies_from > row.applies_to or row.applies_from.day != 1:
            yield f"circulation {row.end_of_year}: whole months, the first not after the last"
    for revenue in data.revenue:
        if sum(item.share_bp for item in revenue.shares) != BP:
            yield f"revenue {revenue.scheme} {revenue.years[:1]}: shares do not add up to {BP}"


def _series_problems(where: str, series: Series, known: set[str]) -> Iterator[str]:
    if not (series.id.isascii() and 1 <= len(series.id) <= SERIES_ID_MAX):
        yield f"{where}: an id has 1..{SERIES_ID_MAX} ASCII characters"
    try:
        zoneinfo.ZoneInfo(series.time_zone)
    except (OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        yield f"{where}: unknown time zone {series.time_zone}"
    if series.opens >= series.closes:
        yield f"{where}: closes is not after opens"
    yield from (f"{where}: unknown weekday {day}" for day in series.weekdays if day not in WEEKDAYS)
    for field, low, high in (
        ("every_weeks", 1, 52),
        ("week_of_month", 0, 5),
        ("low_share_bp", 1, BP),
        ("multiple_t", 1, 10**6),
    ):
        if not low <= getattr(series, field) <= high:
            yield f"{where}: {field} is outside {low}..{high}"
    try:
        shape = load_auction_formats().format_of(series.format)
        if series.multiple_t % shape.bid_multiple_t:
            yield f"{where}: multiple_t is no multiple of the bids' {shape.bid_multiple_t}"
    except RulebookError as error:
        yield f"{where}: {error}"
    if len({item.year for item in series.year}) != len(series.year):
        yield f"{where}: a year stands twice"
    for item in series.year:
        yield from _year_problems(f"{where}, year {item.year}", item)
        yield from (
            f"{where}, year {item.year}: unknown source {name}"
            for name in item.sources
            if name not in known
        )


def _year_problems(where: str, item: SeriesYear) -> Iterator[str]:
    is_span = item.first is not None and item.last is not None
    if is_span == bool(item.dates) or (item.first is None) != (item.last is None):
        yield f"{where}: either first and last, or dates"
    days = [*item.dates, *item.skipped, *(day for day in (item.first, item.last) if day)]
    days += [period.until for period in item.volumes]
    if any(day.year != item.year for day in days) or len(item.dates) > DAYS_MAX:
        yield f"{where}: a day lies in another year"
    if list(item.dates) != sorted(set(item.dates)):
        yield f"{where}: dates rise, each once"
    if item.first and item.last and item.first > item.last:
        yield f"{where}: first is after last"
    yield from _volume_problems(where, item.volumes)


def _volume_problems(where: str, volumes: tuple[VolumePeriod, ...]) -> Iterator[str]:
    ends = [period.until for period in volumes]
    if ends != sorted(set(ends)) or any(period.volume_t < 0 for period in volumes):
        yield f"{where}: volumes: periods rise, none is negative"


def _reserve_problems(where: str, rule: ReserveRule) -> Iterator[str]:
    needed = {
        "given": bool(rule.unknown),
        "share_of_average": bool(rule.shares_bp) and rule.months > 0,
        "share_of_close": bool(rule.shares_bp),
        "yearly": rule.base_year > 0 and rule.base_minor > 0,
    }
    if not needed[rule.kind]:
        yield f"{where}: a reserve {rule.kind} lacks what it is found from"
    if any(bp <= 0 for bp in rule.shares_bp):
        yield f"{where}: a share is above zero"
