"""Calendars of auctions: days, windows, volumes that add up, and what a cancelled one leaves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rulebook import RulebookError, load_auction_formats
from exchange.rulebook.auction_calendar import (
    AuctionCalendar,
    AuctionResult,
    Share,
    auction_days,
    easter,
    lay,
    plan_calendar,
    window,
    with_carried,
    with_result,
)
from exchange.rulebook.auction_data import Series, SeriesYear, VolumePeriod, load_supply_data
from exchange.rulebook.shares import apportion
from exchange.rulebook.supply import spread

DATA = load_supply_data()
GERMANY = DATA.series_of("eex-de")
POLAND = DATA.series_of("eex-pl")
UNIT = 500


def date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def year(first: str, last: str, *skipped: str) -> SeriesYear:
    return SeriesYear(
        year=date(first).year,
        first=date(first),
        last=date(last),
        skipped=tuple(date(day) for day in skipped),
    )


def calendar_of(
    volumes: Sequence[int], shares: Sequence[int] = (1,), series: Series = POLAND
) -> AuctionCalendar:
    """Weekly auctions of just these volumes, from 2022-03-02 on, parted by the shares."""
    days = [date("2022-03-02") + dt.timedelta(7 * week) for week in range(len(volumes))]
    rule = SeriesYear(year=2022, dates=tuple(days))
    parts = [apportion(volume, shares, UNIT) for volume in volumes]
    named = {
        f"state {at}": [
            VolumePeriod(until=day, volume_t=part[at])
            for day, part in zip(days, parts, strict=True)
        ]
        for at in range(len(shares))
    }
    return plan_calendar(series, rule, named)


def label(at: int) -> str:
    return f"eex-pl-{date('2022-03-02') + dt.timedelta(7 * at):%Y%m%d}"


def offered(calendar: AuctionCalendar) -> list[int]:
    return [item.volume_t for item in calendar.auctions]


# -- days ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sunday",
    ["1954-04-18", "1981-04-19", "2013-03-31", "2019-04-21", "2024-03-31", "2038-04-25",
     "2049-04-18", "2285-03-22"],
)  # fmt: skip
def test_easter(sunday: str) -> None:
    assert easter(date(sunday).year) == date(sunday)


def test_no_auction_on_a_closed_day_nor_beyond_the_first_and_the_last() -> None:
    days = auction_days(GERMANY, year("2020-04-03", "2020-05-29"))
    assert days[0] == date("2020-04-03")
    assert days[-1] == date("2020-05-29")
    assert date("2020-04-10") not in days  # Good Friday
    assert date("2020-05-01") not in days  # fixed
    assert date("2020-05-22") not in days  # the day after Ascension
    assert [day.isoformat() for day in days] == [
        "2020-04-03", "2020-04-17", "2020-04-24", "2020-05-08", "2020-05-15", "2020-05-29",
    ]  # fmt: skip


def test_fortnights_go_on_over_a_closed_day() -> None:
    days = auction_days(POLAND, year("2019-04-03", "2019-05-15"))
    assert [f"{day:%m-%d}" for day in days] == ["04-03", "04-17", "05-15"]  # 05-01 is closed


def test_the_third_wednesday_of_four_months() -> None:
    days = auction_days(DATA.series_of("ca-qc"), year("2015-01-01", "2015-12-31"))
    assert [f"{day:%m-%d}" for day in days] == ["02-18", "05-20", "08-19", "11-18"]


def test_a_skipped_day_must_be_one() -> None:
    assert len(auction_days(GERMANY, year("2020-06-05", "2020-06-19", "2020-06-12"))) == 2
    with pytest.raises(RulebookError, match="skipped 2020-06-11 is no day of an auction"):
        auction_days(GERMANY, year("2020-06-05", "2020-06-19", "2020-06-11"))
    with pytest.raises(RulebookError, match="has no auction in 2020"):
        auction_days(GERMANY, year("2020-06-06", "2020-06-11"))
    with pytest.raises(RulebookError, match="by notice only; give dates"):
        auction_days(DATA.series_of("cn-once"), year("2025-07-01", "2025-07-31"))


@pytest.mark.parametrize(
    ("day", "opens"),
    [("2021-03-26", "08:00"), ("2021-03-29", "07:00"), ("2021-10-29", "07:00"),
     ("2021-11-01", "08:00"), ("2020-12-31", "08:00"), ("2021-01-01", "08:00")],
)  # fmt: skip
def test_bids_are_heard_by_the_local_clock(day: str, opens: str) -> None:
    opens_ns, closes_ns = window(GERMANY, date(day))
    assert closes_ns - opens_ns == 2 * 3_600 * 10**9
    assert opens_ns % 10**9 == 0
    moment = dt.datetime.fromtimestamp(opens_ns // 10**9, dt.UTC)
    assert (moment.date(), f"{moment:%H:%M}") == (date(day), opens)


def test_a_label_fits_the_engine() -> None:
    for series in DATA.series:
        for rule in series.year:
            found = plan_calendar(
                series, rule, {"all": [VolumePeriod(until=date(f"{rule.year}-12-31"), volume_t=0)]}
            )
            assert all(len(item.id) <= 16 and item.id.isascii() for item in found.auctions)


# -- volumes ---------------------------------------------------------------------------------------


@given(
    volume=st.integers(0, 10**10),
    parts=st.lists(st.sampled_from([5_000, 10_000]), min_size=1, max_size=200),
    multiple=st.sampled_from([1, 500, 1_000]),
)
def test_a_volume_is_laid_whole_and_in_multiples(
    volume: int, parts: list[int], multiple: int
) -> None:
    laid = lay(volume, parts, multiple, "last")
    assert sum(laid) == volume // multiple * multiple
    assert all(item >= 0 and item % multiple == 0 for item in laid)
    for weight in (5_000, 10_000):
        alike = {item for item, part in zip(laid[:-1], parts, strict=False) if part == weight}
        assert len(alike) <= 1
    # the last one has what rounding left or took of the others: less than two multiples of each
    even = volume * parts[-1] // sum(parts)
    assert abs(laid[-1] - even) < 2 * multiple * len(parts)


@given(
    first=st.integers(0, 10**9),
    second=st.integers(0, 10**9),
    third=st.integers(0, 10**9),
)
def test_a_calendar_adds_up_to_the_tonne(first: int, second: int, third: int) -> None:
    rule = year("2021-01-29", "2021-12-17")
    volumes = {
        "one": [
            VolumePeriod(until=date("2021-08-31"), volume_t=first),
            VolumePeriod(until=date("2021-12-31"), volume_t=second),
        ],
        "two": [VolumePeriod(until=date("2021-12-31"), volume_t=third)],
    }
    found = plan_calendar(GERMANY, rule, volumes)
    assert found.total_t == first + second + third
    assert sum(offered(found)) + found.left_t == first + second + third
    assert found.left_t < 3 * UNIT
    assert all(item.volume_t % UNIT == 0 for item in found.auctions)
    assert all(item.first_proposed_t == item.volume_t for item in found.auctions)


def test_auctioneers_are_laid_each_for_itself() -> None:
    """Twenty-five states that leave 499 t each below the multiple leave it all to the last."""
    rule = SeriesYear(year=2022, dates=(date("2022-03-02"), date("2022-03-09")))
    volumes = {
        f"state {at}": [VolumePeriod(until=date("2022-12-31"), volume_t=1_500)] for at in range(25)
    }
    found = plan_calendar(POLAND, rule, volumes)
    assert offered(found) == [25 * 500, 25 * 1_000]
    assert len(found.auctions[0].shares) == 25


def test_a_volume_without_an_auction_and_an_auction_without_a_volume_are_refused() -> None:
    rule = SeriesYear(year=2022, dates=(date("2022-03-02"), date("2022-09-07")))
    periods = [VolumePeriod(until=date("2022-02-28"), volume_t=500)]
    with pytest.raises(RulebookError, match="500 t of one until 2022-02-28, but no auction there"):
        plan_calendar(POLAND, rule, {"one": periods})
    periods = [VolumePeriod(until=date("2022-08-31"), volume_t=500)]
    with pytest.raises(RulebookError, match="no volume of one from 2022-09-07 on"):
        plan_calendar(POLAND, rule, {"one": periods})


def test_a_low_volume_is_rounded_half_up_while_there_is_enough() -> None:
    assert lay(22_000, [10_000, 5_000, 5_000], 500, "last") == [11_000, 5_500, 5_500]
    assert lay(22_500, [10_000, 5_000, 5_000, 5_000], 500, "last") == [9_000, 4_500, 4_500, 4_500]
    assert lay(21_500, [10_000, 5_000, 5_000, 5_000], 500, "last") == [8_500, 4_500, 4_500, 4_000]
    assert lay(1_000, [5_000] * 4, 500, "last") == [0, 0, 0, 1_000]


def test_the_first_take_the_rest_only_without_low_months() -> None:
    assert lay(2_500, [10_000] * 2, 500, "first") == [1_500, 1_000]
    with pytest.raises(RulebookError, match="has no low months"):
        lay(2_500, [10_000, 5_000], 500, "first")


# -- results ---------------------------------------------------------------------------------------


def test_a_held_auction_leaves_the_others_alone() -> None:
    plan = calendar_of([1_000, 2_000, 3_000])
    found = with_result(plan, label(0), AuctionResult(False, 1_000))
    assert [item.state for item in found.auctions] == ["HELD", "SCHEDULED", "SCHEDULED"]
    assert found.auctions[1:] == plan.auctions[1:]
    assert found.total_t == plan.total_t
    assert plan.auctions[0].state == "SCHEDULED"  # the plan is as it was


def test_what_is_not_sold_and_not_carried_stays_with_the_auctioneers() -> None:
    found = with_result(calendar_of([1_000, 2_000]), label(0), AuctionResult(False, 400))
    assert (found.unsold_t, found.total_t, offered(found)[1]) == (600, 3_000, 2_000)


@pytest.mark.parametrize(
    ("at", "carried_out"), [(0, []), (1, [500]), (2, [500, 500]), (4, [500] * 4)]
)
def test_pieces_beyond_the_last_auction_wait_for_the_next_year(
    at: int, carried_out: list[int]
) -> None:
    plan = calendar_of([2_000] * 5)
    found = with_result(plan, label(at), AuctionResult(True, 0, (500,) * 4))
    expected = [2_500 if at < place <= at + 4 else 2_000 for place in range(5)]
    assert offered(found) == expected
    assert [sum(s.volume_t for s in piece) for piece in found.carried_out] == carried_out
    assert found.total_t == 10_000
    later = with_carried(calendar_of([1_000] * 3), found.carried_out)
    expected = [1_000 + more for more in [*carried_out, 0, 0, 0][:3]]
    assert offered(later) == expected
    assert later.total_t == 3_000 + sum(carried_out)


def test_an_auction_that_ended_takes_nothing_more() -> None:
    found = with_result(calendar_of([500] * 4), label(1), AuctionResult(False, 500))
    found = with_result(found, label(0), AuctionResult(True, 0, (500, 0, 0, 0)))
    assert offered(found) == [500, 500, 1_000, 500]


@pytest.mark.parametrize(("proposed", "added"), [(4_000, 1_000), (3_999, 500), (4_500, 1_000)])
def test_the_cap_is_of_what_was_first_proposed_and_in_multiples(proposed: int, added: int) -> None:
    plan = calendar_of([5_000, 4_000])
    second = msgspec.structs.replace(plan.auctions[1], first_proposed_t=proposed)
    second = msgspec.structs.replace(second, shares=(Share("state 0", proposed),))
    plan = msgspec.structs.replace(plan, auctions=(plan.auctions[0], second))
    found = with_result(plan, label(0), AuctionResult(True, 0, (5_000,)), cap_bp=12_500)
    room = proposed * 5 // 4 - proposed
    assert room // UNIT * UNIT == added
    assert offered(found)[1] == proposed + added
    assert found.withheld_t == 5_000 - added


@given(
    volumes=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    shares=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    ends=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=8),
    cap_bp=st.sampled_from([0, 11_000, 12_500]),
)
def test_nothing_is_made_or_lost(
    volumes: list[int], shares: list[int], ends: list[tuple[bool, int]], cap_bp: int
) -> None:
    plan = calendar_of([volume * UNIT for volume in volumes], shares)
    total = plan.total_t
    for at, (is_cancelled, sold) in enumerate(ends[: len(volumes)]):
        volume = plan.auctions[at].volume_t
        sold_t = 0 if is_cancelled else min(sold * UNIT, volume)
        pieces = tuple(spread(volume - sold_t, 4, UNIT)) if volume > sold_t else ()
        plan = with_result(plan, label(at), AuctionResult(is_cancelled, sold_t, pieces), cap_bp)
        assert plan.total_t == total
        for item in plan.auctions:
            assert all(share.volume_t % UNIT == 0 for share in item.shares)
            assert len({share.auctioneer for share in item.shares}) == len(item.shares)
            if cap_bp:
                assert item.volume_t <= item.first_proposed_t * cap_bp // 10_000


@pytest.mark.parametrize(
    ("auction_id", "result", "words"),
    [
        ("eex-pl-20220303", AuctionResult(False, 1), "has no auction eex-pl-20220303"),
        (label(0), AuctionResult(False, 1_001), "1001 t sold of 1000 t"),
        (label(0), AuctionResult(False, -1), "-1 t sold of 1000 t"),
        (label(0), AuctionResult(True, 500), "500 t sold of 1000 t"),
        (label(0), AuctionResult(True, 0, (500,)), "500 t carried of 1000 t unsold"),
        (label(0), AuctionResult(False, 500, (1_000,)), "1000 t carried of 500 t unsold"),
    ],
)
def test_a_result_that_does_not_fit_is_refused(
    auction_id: str, result: AuctionResult, words: str
) -> None:
    with pytest.raises(RulebookError, match=words):
        with_result(calendar_of([1_000, 2_000]), auction_id, result)


def test_an_auction_ends_once() -> None:
    found = with_result(calendar_of([1_000]), label(0), AuctionResult(False, 1_000))
    with pytest.raises(RulebookError, match="has ended before: HELD"):
        with_result(found, label(0), AuctionResult(False, 1_000))


# -- amounts by weights ----------------------------------------------------------------------------


@given(
    amount=st.integers(0, 10**15),
    weights=st.lists(st.integers(0, 10**12), min_size=1, max_size=30).filter(any),
    unit=st.sampled_from([1, 500]),
)
def test_parts_add_up_and_are_no_more_than_a_unit_from_their_share(
    amount: int, weights: list[int], unit: int
) -> None:
    whole = amount // unit * unit
    parts = apportion(whole, weights, unit)
    assert sum(parts) == whole
    for part, weight in zip(parts, weights, strict=True):
        exact, total = whole * weight, sum(weights)
        assert abs(part * total - exact) < unit * total
        assert part % unit == 0
        assert part == 0 or weight > 0


@pytest.mark.parametrize(
    ("amount", "weights", "unit"),
    [(-1, [1], 1), (501, [1], 500), (1, [0, 0], 1), (1, [2, -1], 1), (1, [1], 0)],
)
def test_what_cannot_be_parted_is_refused(amount: int, weights: list[int], unit: int) -> None:
    with pytest.raises(ValueError, match="an amount is a multiple"):
        apportion(amount, weights, unit)


def test_every_format_has_a_rule_for_its_reserve() -> None:
    assert {item.id for item in load_auction_formats().auction_format} == {
        rule.format for rule in DATA.reserve_rule
    }
