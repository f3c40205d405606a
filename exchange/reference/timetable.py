"""The timetable of a trading day: which phase is due at a moment, as a function and nothing else.

Steps are in the local time of the market's zone, on its trading days: Monday to Friday but for its
holidays. What is due is the last step that has passed, be it of an earlier day: so a venue that was
away goes to the phase of now, and not through the calls that it has missed.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
import zoneinfo
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from exchange.messages.frames import PHASE_TRANSITIONS, Phase

STEPS_MAX = 64  # of one timetable
DAYS_LOOKED_MAX = 31  # for a trading day, forward and back; a day roll goes no further either
WEEKEND = 5
LISTED_POLICY = 2
"""The value of parameter `policy` of an instrument without calls, `frames.Policy.LISTED`."""

CALLS = frozenset({"OPENING_CALL", "CLOSING_CALL"})
PlannedPhase = Literal["CLOSED", "START_OF_DAY", "OPENING_CALL", "CONTINUOUS", "CLOSING_CALL"]
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND_NS = 1_000_000_000


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens at a time of the trading day: a phase, negotiated blocks, or both."""

    at: str  # HH:MM or HH:MM:SS, in the market's time zone
    phase: PlannedPhase | None = None
    blocks: bool | None = None  # whether blocks may be proposed and confirmed: BLOCK_OPEN
    at_random: bool = False  # the call before it ends within RANDOM_END_MS after `at`


class TradingCalendar(NamedTuple):
    """On which days a market trades, and where its clocks hang."""

    time_zone: str
    holidays: frozenset[dt.date] = frozenset()

    def is_trading_day(self, day: dt.date) -> bool:
        """Monday to Friday, but for the holidays. O(1)."""
        return day.weekday() < WEEKEND and day not in self.holidays

    def next_trading_day(self, day: dt.date) -> dt.date | None:
        """The first one after `day`, None when DAYS_LOOKED_MAX days have none."""
        return next((d for d in _days(day, 1) if self.is_trading_day(d)), None)


class Due(NamedTuple):
    """A step that has passed, the last one of its kind."""

    step: Step
    day: dt.date
    since_ns: int  # UTC

    @property
    def label(self) -> str:
        """Names the step for ever: `2026-11-30 09:00`. O(1)."""
        return f"{self.day.isoformat()} {self.step.at}"


class Standing(NamedTuple):
    """What a timetable says at a moment."""

    phase: Due | None  # None: it says nothing of phases, or has no day within reach
    blocks: Due | None
    next_ns: int | None  # when its next step is, None: on no day within reach


def standing(steps: Sequence[Step], calendar: TradingCalendar, now_ns: int) -> Standing:
    """What is due at `now_ns`, and when it changes. Pure; O(steps x days looked at).

    A step is due from its second on, to the nanosecond. A local time that clocks leave out comes
    when they have moved on; of one that comes twice the first is meant.
    """
    if not steps:
        return Standing(None, None, None)
    today = _local_day(calendar, now_ns)
    passed: list[Due] = []
    for day in (today, *_days(today, -1)):
        if not calendar.is_trading_day(day):
            continue
        passed = [due for due in _of_day(steps, calendar, day) if due.since_ns <= now_ns] + passed
        if day != today:
            break  # each trading day has all steps: an earlier one has nothing later
    return Standing(
        next((due for due in reversed(passed) if due.step.phase is not None), None),
        next((due for due in reversed(passed) if due.step.blocks is not None), None),
        _next(steps, calendar, today, now_ns),
    )


def due_date(roll_at: str, calendar: TradingCalendar, now_ns: int) -> int:
    """The trading date YYYYMMDD that should have begun; 0 = none within reach. Pure, O(days).

    At `roll_at` of a trading day the next one begins; on other days it has begun already.
    """
    today = _local_day(calendar, now_ns)
    is_over = now_ns >= instant_ns(today, roll_at, calendar.time_zone)
    day = today if calendar.is_trading_day(today) and not is_over else None
    day = day or calendar.next_trading_day(today)
    return int(f"{day:%Y%m%d}") if day is not None else 0


def instant_ns(day: dt.date, at: str, time_zone: str) -> int:
    """A local time of a day as ns UTC. O(1)."""
    zone = zoneinfo.ZoneInfo(time_zone)
    local = dt.datetime.combine(day, dt.time.fromisoformat(at), tzinfo=zone)
    return (local - _EPOCH) // dt.timedelta(seconds=1) * _SECOND_NS


def step_problems(steps: Sequence[Step], *, is_listed: bool = False) -> list[str]:
    """What is wrong with the steps of one day, in words; [] is sound. O(steps)."""
    if len(steps) > STEPS_MAX:
        return [f"{len(steps)} steps, at most {STEPS_MAX}"]
    problems = [f"{s.at!r} is no HH:MM or HH:MM:SS" for s in steps if not _TIME.fullmatch(s.at)]
    if problems:
        return problems
    for before, after in itertools.pairwise(steps):
        if dt.time.fromisoformat(after.at) <= dt.time.fromisoformat(before.at):
            problems.append(f"{after.at} stands behind {before.at}: steps rise in time")
    problems += [
        f"{s.at} says neither phase nor blocks"
        for s in steps
        if s.phase is None and s.blocks is None
    ]
    return problems + _phase_problems([s for s in steps if s.phase is not None], is_listed)


def roll_problems(roll_at: str, timetables: Sequence[Sequence[Step]]) -> list[str]:
    """What is wrong with the time of the day roll, beside these timetables; [] is sound."""
    if not roll_at:
        return []
    if not _TIME.fullmatch(roll_at):
        return [f"roll_at {roll_at!r} is no HH:MM or HH:MM:SS"]
    if not any(timetables):
        return ["roll_at without a timetable: nothing would be closed by then"]
    at = dt.time.fromisoformat(roll_at)
    late = {s.at for steps in timetables for s in steps if dt.time.fromisoformat(s.at) >= at}
    return [f"roll_at {roll_at} is not after the step at {max(late)}"] if late else []


def _phase_problems(steps: Sequence[Step], is_listed: bool) -> list[str]:
    if not steps:
        return []
    problems = []
    before, name = Phase.CLOSED, "CLOSED, in which the day begins,"
    for step in steps:
        phase = Phase[step.phase or ""]
        if (before, phase) not in PHASE_TRANSITIONS:
            problems.append(f"{step.at}: no way from {name} to {phase.name}")
        if is_listed and phase.name in CALLS:
            problems.append(f"{step.at}: {phase.name}, but a listed instrument has no calls")
        if step.at_random and before.name not in CALLS:
            problems.append(f"{step.at}: at_random, but no call ends there")
        before, name = phase, phase.name
    if before != Phase.CLOSED:
        problems.append(f"the day ends in {before.name}: the last phase is CLOSED")
    return problems


def _of_day(steps: Sequence[Step], calendar: TradingCalendar, day: dt.date) -> list[Due]:
    found, latest = [], 0
    for step in steps:
        # where clocks go forward a time they leave out lies behind the one after it
        latest = max(latest, instant_ns(day, step.at, calendar.time_zone))
        found.append(Due(step, day, latest))
    return found


def _next(
    steps: Sequence[Step], calendar: TradingCalendar, today: dt.date, now_ns: int
) -> int | None:
    for day in (today, *_days(today, 1)):
        if calendar.is_trading_day(day):
            for due in _of_day(steps, calendar, day):
                if due.since_ns > now_ns:
                    return due.since_ns
    return None


def _local_day(calendar: TradingCalendar, now_ns: int) -> dt.date:
    moment = dt.datetime.fromtimestamp(now_ns // _SECOND_NS, dt.UTC)
    return moment.astimezone(zoneinfo.ZoneInfo(calendar.time_zone)).date()


def _days(day: dt.date, direction: int) -> list[dt.date]:
    return [day + dt.timedelta(direction * count) for count in range(1, DAYS_LOOKED_MAX + 1)]
