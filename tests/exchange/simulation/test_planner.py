"""A planned day shows the published open, range and volume and the nearest average."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.simulation.pilots import PILOTS, PilotRules
from exchange.simulation.planner import (
    MARKS,
    QUANTITY_MAX,
    DayPlan,
    band_of,
    half_up,
    plan_day,
    reference_for,
)
from exchange.simulation.quotes import Quote

DAY = date(2019, 3, 4)
RULES = PilotRules(1_000, 50, False, 0, False, "")
PRICE = st.integers(1, 10**6)


def quote(
    opening: int | None = None,
    high: int | None = None,
    low: int | None = None,
    average: int | None = None,
    volume: int | None = None,
    turnover: int | None = None,
) -> Quote:
    return Quote(DAY, "Venue", "A", opening, high, low, average, volume, turnover)


def average_of(plan: DayPlan) -> int:
    return half_up(plan.turnover, plan.volume)


@st.composite
def published_days(draw: st.DrawFn) -> Quote:
    low = draw(PRICE)
    high = draw(st.integers(low, max(low, low * 11 // 9)))
    average = draw(st.integers(low, high))
    return quote(
        draw(st.integers(low, high)), high, low, average, draw(st.integers(4, 10**6)), None
    )


@given(published_days(), PRICE, st.integers(0, 2**32))
def test_open_range_and_volume_are_exact_and_average_nearest(
    row: Quote, previous: int, seed: int
) -> None:
    plan = plan_day(row, RULES, previous, seed)
    prices = [trade.price for trade in plan.trades]
    assert plan.volume == row.volume
    assert all(0 < trade.quantity <= QUANTITY_MAX for trade in plan.trades)
    lower, upper = band_of(plan.reference, RULES.band_bp)
    assert all(lower <= price <= upper for price in prices)
    if "w" in plan.marks:
        return
    assert (prices[0], max(prices), min(prices)) == (row.open, row.high, row.low)
    assert row.average is not None
    assert row.volume is not None
    assert row.open
    assert row.low
    assert row.high
    if average_of(plan) != row.average:
        assert "b" in plan.marks
        shown = len({row.open, row.high, row.low})
        bounds = {
            row.open * (row.open not in (row.low, row.high)) + row.low * (row.low != row.high)
            + row.high + (row.volume - shown) * edge
            for edge in (row.low, row.high)
        }  # fmt: skip
        assert plan.turnover in bounds
    assert ("r" in plan.marks) == (plan.reference != previous)
    assert plan == plan_day(row, RULES, previous, seed)


@given(PRICE, st.integers(1, 10**5), st.integers(0, 10**5), PRICE, st.integers(0, 99))
def test_average_alone_is_met_to_the_minor_unit(
    average: int, volume: int, rest: int, previous: int, seed: int
) -> None:
    turnover = average * volume + rest % volume // 2
    plan = plan_day(quote(average=average, volume=volume, turnover=turnover), RULES, previous, seed)
    assert "a" in plan.marks
    assert plan.volume == volume
    if "w" not in plan.marks:
        assert average_of(plan) == average


@given(PRICE, PRICE, PRICE, st.sampled_from([0, 500, 1_000, 2_000]))
def test_reference_moves_least(one: int, two: int, previous: int, band_bp: int) -> None:
    low, high = min(one, two), max(one, two)
    reference = reference_for(low, high, previous, band_bp)

    def holds(price: int) -> bool:
        lower, upper = band_of(price, band_bp)
        return price > 0 and lower <= low and high <= upper

    if holds(previous):
        assert reference == previous
    elif holds(reference):
        nearer = reference + (1 if previous > reference else -1)
        assert not holds(nearer)
    else:  # wider than any band: the one taken still lets something trade
        lower, upper = band_of(reference, band_bp)
        assert max(lower, low) <= min(upper, high)


def test_bands_round_half_up_as_the_venue_says() -> None:
    assert band_of(1524, 1_000) == (1372, 1676)
    assert band_of(1825, 1_000) == (1643, 2008)  # 16.425 and 20.075: both half up
    assert band_of(0, 1_000)[0] == 1
    assert band_of(5, 2_000) == (4, 6)


def test_guangdong_opens_at_its_reference() -> None:
    rules = PILOTS["Guangdong"]
    plan = plan_day(quote(1805, 1860, 1820, 1840, 5_000), rules, 1790, 1)
    assert (plan.reference, plan.marks) == (1805, "r")
    assert min(t.price for t in plan.trades) == 1820
    far = plan_day(quote(1671, None, None, 529, 225_226), rules, 1588, 1)
    assert far.marks == "aor"
    assert average_of(far) == 529


@pytest.mark.parametrize(
    ("row", "marks", "trades"),
    [
        (quote(), "", 0),
        (quote(volume=0), "", 0),
        (quote(volume=15_000), "v", 0),
        (quote(2000, 2000, 2000, 2000), "p", 0),
        (quote(2000, 2000, 2000, 2000, 1), "", 1),
        (quote(2000, 2100, 1950, 2000, 1), "s", 1),
        (quote(2000, 2100, 1950, 2000, 2), "s", 2),
        (quote(2000, 2050, 2000, 2025, 2), "", 2),
        (quote(2000, 2000, 2000, 1427, 12_024), "b", 2),
        (quote(2000, 1950, 2050, 2000, 50), "h", None),
        (quote(1900, 2050, 1950, 2000, 50), "o", None),
        (quote(average=2000, volume=50, turnover=50), "at", None),
        (quote(volume=50, turnover=100_000), "ac", None),
        (quote(2000, 2600, 1700, 2200, 5_000), "w", None),
        (quote(2000, 2050, 1950, None, 5_000), "", None),
    ],
)
def test_oddities_are_marked(row: Quote, marks: str, trades: int | None) -> None:
    plan = plan_day(row, RULES, 2000, 7)
    assert plan.marks == marks
    assert set(marks) <= set(MARKS)
    if trades is not None:
        assert len(plan.trades) == trades


def test_first_day_without_a_close_takes_the_middle_of_the_range() -> None:
    assert plan_day(quote(2000, 2050, 1950, 2000, 50), RULES, 0, 7).reference == 2000
    assert plan_day(quote(), RULES, 0, 7) == DayPlan(0, (), "")
