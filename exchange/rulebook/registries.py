"""When a registry carries a transfer out, and how long a trusted account waits. Local times."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import Table

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = dt.timedelta(days=1)


class Hours(Table, frozen=True, kw_only=True):
    """When a registry works. `holidays` are days on which it does not."""

    working_days: tuple[str, ...]
    open: dt.time
    close: dt.time
    untrusted_cutoff: dt.time
    cancel_until_hours: int
    holidays: tuple[dt.date, ...] = ()


class Execution(NamedTuple):
    """When a transfer is done, and until when it may be cancelled (None = it is done at once)."""

    executes: dt.datetime
    cancel_until: dt.datetime | None


class Split(NamedTuple):
    """Two ranges of serials, inclusive: the block keeps the lower one."""

    kept: tuple[int, int]
    taken: tuple[int, int]


def hours_of(rulebook: Rulebook, registry: str, holidays: Collection[dt.date] = ()) -> Hours:
    """The hours of a registry; RulebookError if the rulebook does not know them. O(registries)."""
    for rule in rulebook.registry_rule:
        if rule.id == registry and rule.open and rule.close and rule.untrusted_cutoff:
            return Hours(
                working_days=rule.working_days,
                open=rule.open,
                close=rule.close,
                untrusted_cutoff=rule.untrusted_cutoff,
                cancel_until_hours=rule.cancel_until_hours_before_execution or 0,
                holidays=tuple(sorted(holidays)),
            )
    raise RulebookError(f"the rulebook knows no hours of a registry {registry}")


def is_working_day(hours: Hours, day: dt.date) -> bool:
    """Whether the registry works on a day. O(holidays)."""
    return _DAYS[day.weekday()] in hours.working_days and day not in hours.holidays


def working_days_after(hours: Hours, day: dt.date, count: int) -> dt.date:
    """The `count`-th working day after a day; ValueError for a negative count. O(days)."""
    require_whole(count=count)
    while count:
        day += DAY
        count -= is_working_day(hours, day)
    return day


def clock_starts(hours: Hours, moment: dt.datetime) -> dt.datetime:
    """The moment itself within opening hours, else the next opening. O(days)."""
    if is_working_day(hours, moment.date()):
        if moment.time() < hours.open:
            return dt.datetime.combine(moment.date(), hours.open)
        if moment.time() < hours.close:
            return moment
    return dt.datetime.combine(working_days_after(hours, moment.date(), 1), hours.open)


def transfer_execution(hours: Hours, approved: dt.datetime, *, is_trusted: bool) -> Execution:
    """When a transfer that was approved then is carried out. O(days).

    To a trusted account at once within opening hours, else at the next opening. To another, if
    approved before the cut-off, at the cut-off of the next working day, else of the one after it.
    Source: Union Registry, as the Swedish Energy Agency explains it.
    """
    starts = clock_starts(hours, approved)
    if is_trusted:
        return Execution(starts, None)
    is_late = starts.time() >= hours.untrusted_cutoff
    day = working_days_after(hours, starts.date(), 2 if is_late else 1)
    executes = dt.datetime.combine(day, hours.untrusted_cutoff)
    return Execution(executes, executes - dt.timedelta(hours=hours.cancel_until_hours))


def trusted_list_effective(hours: Hours, approved: dt.datetime, working_days: int) -> dt.datetime:
    """When an account added to the trusted list counts; its clock runs in opening hours."""
    starts = clock_starts(hours, approved)
    return dt.datetime.combine(
        working_days_after(hours, starts.date(), working_days), starts.time()
    )


def split_block(serial_start: int, serial_end: int, take_t: int) -> Split:
    """A block that gives up `take_t` tonnes: it keeps the lower serials, the upper ones go. O(1).

    ValueError unless both keep a tonne at least.
    """
    held_t = serial_end - serial_start + 1
    if serial_start < 1 or not 0 < take_t < held_t:
        raise ValueError(f"cannot take {take_t} t of a block of {held_t} t")
    middle = serial_end - take_t
    return Split((serial_start, middle), (middle + 1, serial_end))
