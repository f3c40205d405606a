"""What is due at a moment: one second before, at and after each step, over nights and holidays."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.frames import Phase
from exchange.reference.timetable import (
    STEPS_MAX,
    Standing,
    Step,
    TradingCalendar,
    due_date,
    instant_ns,
    standing,
    step_problems,
)
from exchange.reference.venue import LISTED_POLICY, Venue, check_venue, load_venue

BERLIN = TradingCalendar("Europe/Berlin", frozenset({dt.date(2026, 12, 25), dt.date(2027, 1, 1)}))
DAY = (
    Step("08:45", "OPENING_CALL"),
    Step("09:00", "CONTINUOUS", at_random=True),
    Step("09:30", blocks=True),
    Step("16:55", "CLOSING_CALL", blocks=False),
    Step("17:05", "CLOSED", at_random=True),
)
SECOND = 10**9
VENUE = Path(__file__).parents[2] / "deploy/venue"


def at(local: str, zone: str = "Europe/Berlin", *, fold: int = 0) -> int:
    moment = dt.datetime.fromisoformat(local).replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold)
    return round(moment.timestamp()) * SECOND


def told(found: Standing) -> tuple[str, str]:
    """The labels of what is due: phase, blocks."""
    phase, blocks = found.phase, found.blocks
    return (
        f"{phase.label} {phase.step.phase}" if phase else "",
        f"{blocks.label} {blocks.step.blocks}" if blocks else "",
    )


def test_a_step_is_due_from_its_nanosecond_on() -> None:
    before = ("2026-11-30 08:45 OPENING_CALL", "2026-11-27 16:55 False")
    after = ("2026-11-30 09:00 CONTINUOUS", "2026-11-27 16:55 False")
    nine = at("2026-11-30T09:00")
    for shift, expected in ((-SECOND, before), (-1, before), (0, after), (SECOND, after)):
        found = standing(DAY, BERLIN, nine + shift)
        assert told(found) == expected
        assert found.next_ns == (nine if shift < 0 else at("2026-11-30T09:30"))


@pytest.mark.parametrize(
    ("moment", "phase", "blocks", "following"),
    [
        ("2026-11-30T03:00", "2026-11-27 17:05", "2026-11-27 16:55", "2026-11-30T08:45"),
        ("2026-11-30T16:54:59", "2026-11-30 09:00", "2026-11-30 09:30", "2026-11-30T16:55"),
        ("2026-11-30T16:55", "2026-11-30 16:55", "2026-11-30 16:55", "2026-11-30T17:05"),
        ("2026-12-04T23:59:59", "2026-12-04 17:05", "2026-12-04 16:55", "2026-12-07T08:45"),
        ("2026-12-05T10:00", "2026-12-04 17:05", "2026-12-04 16:55", "2026-12-07T08:45"),
        ("2026-12-24T18:00", "2026-12-24 17:05", "2026-12-24 16:55", "2026-12-28T08:45"),
        ("2026-12-25T10:00", "2026-12-24 17:05", "2026-12-24 16:55", "2026-12-28T08:45"),
        ("2027-01-01T10:00", "2026-12-31 17:05", "2026-12-31 16:55", "2027-01-04T08:45"),
    ],
)  # fmt: skip
def test_nights_weekends_and_holidays(moment: str, phase: str, blocks: str, following: str) -> None:
    found = standing(DAY, BERLIN, at(moment))
    assert found.phase is not None
    assert found.blocks is not None
    assert (found.phase.label, found.blocks.label) == (phase, blocks)
    assert found.next_ns == at(following)


def test_the_same_wall_clock_before_and_after_clocks_change() -> None:
    """Berlin leaves summer time on 2026-10-25 and comes back to it on 2027-03-28."""
    for day, hour in ((dt.date(2026, 10, 23), 7), (dt.date(2026, 10, 26), 8)):
        nine = int(dt.datetime(day.year, day.month, day.day, hour, tzinfo=dt.UTC).timestamp())
        assert told(standing(DAY, BERLIN, nine * SECOND))[0] == f"{day} 09:00 CONTINUOUS"
        assert told(standing(DAY, BERLIN, nine * SECOND - 1))[0] == f"{day} 08:45 OPENING_CALL"


class EveryDay(TradingCalendar):
    """Clocks change on Sundays."""

    def is_trading_day(self, day: dt.date) -> bool:
        return day not in self.holidays


def test_times_that_clocks_leave_out_or_give_twice() -> None:
    steps = (Step("02:10", "OPENING_CALL"), Step("02:40", "CONTINUOUS"), Step("03:05", "CLOSED"))
    zone = EveryDay("Europe/Berlin")
    spring = at("2027-03-28T01:59:59")  # then it is 03:00
    assert told(standing(steps, zone, spring))[0] == "2027-03-27 03:05 CLOSED"
    for minutes, label in ((5, "27 03:05 CLOSED"), (11, "28 02:10 OPENING_CALL"),
                           (40, "28 02:10 OPENING_CALL"), (41, "28 03:05 CLOSED")):  # fmt: skip
        found = standing(steps, zone, spring + minutes * 60 * SECOND)
        assert told(found)[0] == f"2027-03-{label}", minutes
    first, again = at("2026-10-25T02:40"), at("2026-10-25T02:40", fold=1)
    assert again - first == 3_600 * SECOND
    assert told(standing(steps, zone, first - 1))[0] == "2026-10-25 02:10 OPENING_CALL"
    for moment in (first, first + 1_800 * SECOND, again):  # 02:10 comes again, and is not due again
        assert told(standing(steps, zone, moment))[0] == "2026-10-25 02:40 CONTINUOUS"
    assert told(standing(steps, zone, at("2026-10-25T03:05")))[0] == "2026-10-25 03:05 CLOSED"


@given(st.integers(at("2026-10-20T00:00"), at("2026-11-05T00:00")))
def test_between_two_steps_nothing_changes(now: int) -> None:
    found = standing(DAY, BERLIN, now)
    assert found.next_ns is not None
    assert found.next_ns > now
    assert standing(DAY, BERLIN, found.next_ns - 1) == found
    assert standing(DAY, BERLIN, found.next_ns)[:2] != found[:2]
    assert found.phase is not None
    assert found.phase.since_ns <= now


def test_a_market_without_days_or_steps_has_nothing_due() -> None:
    first = dt.date(2026, 1, 1)
    never = frozenset(first + dt.timedelta(day) for day in range(800))
    shut = TradingCalendar("UTC", never)
    assert standing(DAY, shut, at("2026-12-01T10:00")) == Standing(None, None, None)
    assert due_date("18:00", shut, at("2026-12-01T10:00")) == 0
    assert standing((), BERLIN, at("2026-12-01T10:00")) == Standing(None, None, None)


@pytest.mark.parametrize(
    ("moment", "date"),
    [
        ("2026-11-30T00:00", 20261130), ("2026-11-30T17:59:59", 20261130),
        ("2026-11-30T18:00", 20261201), ("2026-12-04T18:00", 20261207),
        ("2026-12-05T09:00", 20261207), ("2026-12-24T18:00", 20261228),
        ("2026-12-25T10:00", 20261228),
    ],
)  # fmt: skip
def test_the_trading_date_that_should_have_begun(moment: str, date: int) -> None:
    assert due_date("18:00", BERLIN, at(moment)) == date


def test_a_local_time_is_of_its_zone() -> None:
    day = dt.date(2026, 11, 30)
    hour = 3_600 * SECOND
    assert instant_ns(day, "09:00", "UTC") - instant_ns(day, "09:00", "Asia/Shanghai") == 8 * hour


# -- what a venue file may say ---------------------------------------------------------------------


def steps_of(*words: str) -> tuple[Step, ...]:
    return tuple(
        Step(time, phase)  # type: ignore[arg-type]
        for time, phase in (word.split() for word in words)
    )


OPEN, SHUT = Step("09:00", "CONTINUOUS"), Step("17:00", "CLOSED")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ((), None), (DAY, None), ((Step("09:00:01", "CONTINUOUS"), SHUT), None),
        (steps_of("09:30 CONTINUOUS", "11:30 CLOSED", "13:00 CONTINUOUS", "15:00 CLOSED"), None),
        ((Step("10:00", blocks=True), Step("12:00", blocks=False)), None),
        ((Step("9:00", "CONTINUOUS"), SHUT), "'9:00' is no HH:MM or HH:MM:SS"),
        ((Step("24:00", "CONTINUOUS"), SHUT), "'24:00' is no HH:MM"),
        ((Step("09:00\n", "CONTINUOUS"), SHUT), "is no HH:MM"),
        ((Step("\u0660\u0669:00", "CONTINUOUS"), SHUT), "is no HH:MM"),
        ((SHUT, OPEN), "09:00 stands behind 17:00: steps rise in time"),
        ((OPEN, Step("09:00:00", "CLOSED")), "09:00:00 stands behind 09:00"),
        ((Step("08:00"), OPEN, SHUT), "08:00 says neither phase nor blocks"),
        (steps_of("09:00 CLOSING_CALL", "17:00 CLOSED"),
         "09:00: no way from CLOSED, in which the day begins, to CLOSING_CALL"),
        (steps_of("09:00 OPENING_CALL", "17:00 CLOSING_CALL", "17:05 CLOSED"),
         "17:00: no way from OPENING_CALL to CLOSING_CALL"),
        (steps_of("09:00 CONTINUOUS", "10:00 CONTINUOUS", "17:05 CLOSED"),
         "10:00: no way from CONTINUOUS to CONTINUOUS"),
        ((OPEN,), "the day ends in CONTINUOUS: the last phase is CLOSED"),
        ((Step("09:00", "CONTINUOUS", at_random=True), SHUT), "no call ends there"),
        (tuple(Step(f"10:{n // 60:02}:{n % 60:02}", blocks=True) for n in range(STEPS_MAX + 1)),
         f"{STEPS_MAX + 1} steps, at most {STEPS_MAX}"),
    ],
)  # fmt: skip
def test_steps_that_cannot_be_are_named(steps: tuple[Step, ...], problem: str | None) -> None:
    found = "; ".join(step_problems(steps))
    assert problem in found if problem else not found


def changed(**market: object) -> Venue:
    venue = load_venue(VENUE / "demo.toml")
    first, *rest = venue.market
    return msgspec.structs.replace(venue, market=(msgspec.structs.replace(first, **market), *rest))


@pytest.mark.parametrize(
    ("market", "problem"),
    [
        ({"timetable": DAY}, ""), ({"timetable": DAY, "roll_at": "18:00"}, ""),
        ({"timetable": (OPEN,)}, "market EU: timetable: the day ends in CONTINUOUS"),
        ({"timetable": DAY, "roll_at": "17:05"}, "roll_at 17:05 is not after the step at 17:05"),
        ({"timetable": DAY, "roll_at": "6pm"}, "roll_at '6pm' is no HH:MM"),
        ({"roll_at": "18:00"}, "roll_at without a timetable"),
        ({"timetable": DAY, "time_zone": "Europe/Nowhere"}, "unknown time zone"),
        ({"timetable": DAY, "holidays": tuple(dt.date(2026, 1, 1) + dt.timedelta(n)
                                              for n in range(1_001))}, "1001 holidays"),
    ],
)  # fmt: skip
def test_a_market_with_a_timetable(market: dict[str, object], problem: str) -> None:
    found = "; ".join(check_venue(changed(**market)))
    assert problem in found if problem else not found


def test_an_instrument_has_its_own_timetable_or_its_markets() -> None:
    venue = changed(timetable=DAY)
    (eua,) = venue.instruments_of("EU")
    assert venue.timetable_of(eua) == DAY
    for own in ((), (OPEN, SHUT)):
        assert venue.timetable_of(msgspec.structs.replace(eua, timetable=own)) == own
    listed = msgspec.structs.replace(eua, parameters={"policy": LISTED_POLICY})
    others = [item for item in venue.instrument if item != eua]
    found = check_venue(msgspec.structs.replace(venue, instrument=(listed, *others)))
    assert (
        "instrument EUA: timetable: 08:45: OPENING_CALL, but a listed instrument has no calls"
        in found
    )
    free = msgspec.structs.replace(listed, timetable=(OPEN, SHUT))
    assert check_venue(msgspec.structs.replace(venue, instrument=(free, *others))) == []


def test_no_timetable_halts() -> None:
    for phase in (Phase.HALT, Phase.VOLATILITY_CALL):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"at": "09:00", "phase": phase.name}, Step)
