"""What is decided about an emission year long after it: by the law of the day of the decision."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.registry import YearAssessed
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
