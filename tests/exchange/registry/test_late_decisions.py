"""Fines and deductions by year: decisions long after it, and amounts that were not observed."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.registry import YearAssessed
from exchange.registry.years import FINE_NOT_KNOWN
from tests.books_years import Office


@pytest.mark.parametrize(
    ("on", "deduction"), [("2026-08-14", 10_000), ("2026-08-15", 0), ("2026-09-01", 0)]
)
def test_a_late_decision_about_an_old_year_of_china_deducts_nothing(
    on: str, deduction: int
) -> None:
    """cn-plan-2025-2026-draft: from 2026-08-15 on no new deduction is decided."""
    office = Office("2025-03-01")
    office.owe("CEA-2024", 10_000, 2024, sector="power")
    found = office.on(f"{on}T12:00:00", "+08:00").done(
        YearAssessed, Instruction.ASSESS, "CEA-2024", 0, 2024, "authority\nprice 7463"
    )
    assert (found.shortfall, found.deduction) == (10_000, deduction)
    assert found.condition == ("if refusing to correct" if deduction else "")


@pytest.mark.parametrize(
    ("year", "day", "a_tonne"),
    [
        (2012, "2013-05-01", 10_000),  # the directive's own amount, before the index
        (2020, "2021-05-01", 10_700),  # as it was published
        (2021, "2022-05-01", None),
        (2022, "2023-05-01", 11_100),
    ],
)
def test_a_fine_of_the_eu_is_the_published_one_or_not_known(
    year: int, day: str, a_tonne: int | None
) -> None:
    office = Office(f"{year + 1}-03-01")
    office.owe("EUA", 10, year)
    found = office.on(day).done(YearAssessed, Instruction.ASSESS, "EUA", 0, year, "authority")
    fine = FINE_NOT_KNOWN if a_tonne is None else 10 * a_tonne
    assert (found.fine_min, found.fine_max, found.carried) == (fine, fine, 10)
    assert bool(found.consequence) == (a_tonne is None)
    assert office.figures("EUA", year + 1).obligation == 10
    (row,) = office.holdings.changes.assessments
    assert (row.fine_min, row.fine_max, row.consequence) == (fine, fine, found.consequence)
