"""A class: made from a seed, scored by arithmetic that can be done on paper."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.simulation.brokers import Pair, Product
from exchange.simulation.training import (
    STEPS,
    STUDENTS_MAX,
    Act,
    Figures,
    Prices,
    make_class,
    make_news,
    ranking,
    score,
)

PRICES = Prices(7_000, 6_000)
EVEN = Figures(
    account=301,
    name="student-01",
    cash_before=10_000_000,
    cash_after=10_000_000 - 100 * 6_000 - 1_900 * 7_000 + 10_000_000,
    allocated=8_000,
    verified=10_000,
    surrendered=10_000,
    offsets=100,
    offset_cap=500,
    allowances_left=0,
    offsets_left=0,
    shortfall=0,
    fine=0,
    deduction=0,
)


def test_a_score_is_what_was_spent_beside_what_it_could_have_cost() -> None:
    spent = 100 * 6_000 + 1_900 * 7_000
    done = score(msgspec.structs.replace(EVEN, cash_after=EVEN.cash_before - spent), PRICES)
    assert done.cost == spent == 13_900_000
    assert done.optimum == 500 * 6_000 + 1_500 * 7_000 == 13_500_000
    assert (done.penalty, done.above_optimum, done.profit) == (0, 400_000, -13_900_000)


def test_what_is_left_counts_at_the_average_and_a_shortfall_costs_its_penalty() -> None:
    idle = msgspec.structs.replace(
        EVEN,
        cash_after=EVEN.cash_before,
        surrendered=0,
        offsets=0,
        allowances_left=8_000,
        offsets_left=3,
        shortfall=10_000,
        fine=10_000 * 5 * 7_000,
        deduction=10_000,
    )
    done = score(idle, PRICES)
    assert done.cost == -(8_000 * 7_000 + 3 * 6_000)
    assert done.penalty == 10_000 * 5 * 7_000 + 10_000 * 7_000
    assert done.profit == -done.cost - done.penalty


def test_offsets_that_cost_more_are_no_part_of_the_optimum() -> None:
    done = score(EVEN, Prices(7_000, 7_001))
    assert done.optimum == 2_000 * 7_000
    few = msgspec.structs.replace(EVEN, verified=300, allocated=0)
    assert score(few, PRICES).optimum == 300 * 6_000  # no more than it owes


def test_the_ranking_begins_with_the_least_above_the_optimum() -> None:
    worse = msgspec.structs.replace(EVEN, account=302, cash_after=EVEN.cash_after - 1)
    same = msgspec.structs.replace(EVEN, account=300)
    ranked = ranking([worse, EVEN, same], PRICES)
    assert [(item.rank, item.account) for item in ranked] == [(1, 300), (2, 301), (3, 302)]


@given(seed=st.integers(0, 10**6), students=st.integers(1, STUDENTS_MAX))
def test_a_seed_makes_the_same_class(seed: int, students: int) -> None:
    made = make_class(seed, students, 7_410)
    assert made == make_class(seed, students, 7_410)
    assert len({item.account for item in made}) == students
    for item in made:
        assert 4_000 <= item.verified <= 20_000
        assert item.verified * 85 // 100 <= item.allocated <= item.verified * 115 // 100
        assert item.cash > 0
    assert make_news(seed) == make_news(seed)
    assert len(set(make_news(seed))) == sum(step.act is Act.NEWS for step in STEPS)


@pytest.mark.parametrize("students", [0, STUDENTS_MAX + 1])
def test_a_class_has_a_size(students: int) -> None:
    with pytest.raises(ValueError, match="a class has 1 to"):
        make_class(1, students, 7_410)


def test_steps_follow_each_other() -> None:
    assert [step.at_permille for step in STEPS] == sorted({step.at_permille for step in STEPS})
    assert [step.date for step in STEPS] == sorted(step.date for step in STEPS)
    assert {step.act for step in STEPS} == set(Act)


class Nowhere:
    """A client that nobody asks anything."""


def test_news_moves_where_brokers_quote() -> None:
    pair = Pair(Product("EUA", 1, 2, 10_000, 1_000), Nowhere(), Nowhere(), 1)  # type: ignore[arg-type]
    pair.news(250)
    assert (pair._middle, pair._fair) == (10_250, 10_250)
    pair.news(-200)
    assert pair._middle == 10_250 - 205
    pair.opened(9_000)
    assert (pair._reference, pair._middle) == (9_000, 10_045)
