"""A plan borrows no more than the rules let be, and says so."""

from __future__ import annotations

import datetime as dt

import pytest

from exchange.compliance import Lot, plan_surrender
from exchange.rulebook import load_rulebook
from exchange.rulebook.allocation import Borrowing
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.selection import rules_in_force

ON = dt.date(2023, 10, 1)
RULES = rules_in_force(load_rulebook(), "cn-national", 2022, ON)
OLD = "old_filed_before_2017-03-14"


def planned(
    lots: list[Lot], owed_t: int, borrowing: Borrowing
) -> tuple[list[tuple[int, int]], int]:
    assert RULES is not None
    plan = plan_surrender(
        RULES, lots, owed_t=owed_t, emission_year=2022, on=ON,
        bases={"surrender_obligation": 1_000}, borrowing=borrowing,
    )  # fmt: skip
    return [(item.lot.lot_id, item.quantity_t) for item in plan.chosen], plan.short_t


@pytest.mark.parametrize(
    ("limit", "used", "chosen", "short"),
    [
        (100, 0, [(1, 350), (2, 100)], 0),  # the cheaper, up to the limit
        (100, 40, [(1, 390), (2, 60)], 0),
        (100, 100, [(1, 400)], 50),
        (0, 0, [(1, 400)], 50),
        (50, 0, [(1, 400), (2, 50)], 0),
        (49, 0, [(1, 400), (2, 49)], 1),
    ],
)
def test_up_to_the_limit(limit: int, used: int, chosen: list[tuple[int, int]], short: int) -> None:
    lots = [Lot(1, 400, 7_000, 2022), Lot(2, 900, 6_000, 2023), Lot(3, 900, 1, 2024)]
    assert planned(lots, 450, Borrowing(limit, used)) == (chosen, short)


def test_with_offsets_and_at_one_price() -> None:
    credit = Credit("CCER", 0, generation=OLD)
    lots = [
        Lot(1, 500, 6_000, 2023), Lot(2, 100, 6_000, 2022), Lot(3, 80, 5_000, 0, credit),
    ]  # fmt: skip
    # 50 t of offsets are let be; at one price the year's own go first
    assert planned(lots, 200, Borrowing(60, 0)) == ([(1, 50), (2, 100), (3, 50)], 0)
    assert planned(lots, 300, Borrowing(60, 0)) == ([(1, 60), (2, 100), (3, 50)], 90)


def test_what_is_left_and_why() -> None:
    assert RULES is not None
    lots = [Lot(1, 400, 7_000, 2022), Lot(2, 900, 6_000, 2023), Lot(3, 9, 1, 2024)]
    plan = plan_surrender(
        RULES, lots, owed_t=450, emission_year=2022, on=ON, bases={"surrender_obligation": 1_000},
        borrowing=Borrowing(100, 40),
    )  # fmt: skip
    (limit,) = [item for item in plan.limits if item.kind == "borrowing"]
    assert (limit.rule_id, limit.name) == ("cn-2021-2022", "CEA23 borrowed for 2022")
    assert (limit.limit_t, limit.left_t) == (100, 0)
    reasons = {item.lot.lot_id: item.reason for item in plan.refused}
    assert reasons[1] == "not needed"
    assert reasons[2] == "CEA23 borrowed for 2022: nothing is left of 100 t"
    assert reasons[3].startswith("rule cn-2021-2022 takes vintages CEA19-20, CEA21, CEA22; this is")
