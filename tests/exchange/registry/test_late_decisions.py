"""What a decision brings: years long past, amounts not observed, and what is taken by force."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.registry import UnitsSurrendered, YearAssessed
from exchange.registry.years import FINE_NOT_KNOWN
from tests.books_years import EMITTER, INSTRUMENTS, Office


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


def test_shenzhen_takes_by_force_of_every_vintage_that_is_not_to_come() -> None:
    """Each vintage is an instrument of its own; the year is named by one of them."""
    office = Office("2020-02-01")
    office.owe("SZEA-2020", 1_000, 2019)
    for symbol, quantity in (("SZEA-2020", 500), ("SZEA-2018", 300), ("SZEA", 200)):
        office.issue(symbol, quantity)
    office.on("2020-07-01")
    said = office.act(
        Instruction.ASSESS, "SZEA-2020", 0, 2019, "authority\nprice 2500\ndue 2020-06-30"
    )
    forced = [item for item in said if isinstance(item, UnitsSurrendered)]
    assert [(INSTRUMENTS[item.instrument_id].symbol, item.quantity) for item in forced] == [
        ("SZEA", 200), ("SZEA-2018", 300)
    ]  # fmt: skip
    found = said[-1]
    assert isinstance(found, YearAssessed)
    assert (found.shortfall, found.forced, found.deduction) == (1_000, 500, 500)
    assert office.holdings.surrendered[EMITTER, "cn-pilot-shenzhen", 2019] == 500
    numbers = [row.instruction_id for row in office.holdings.changes.surrenders]
    assert numbers == [found.instruction_id, -1]
    assert office.holdings.assessed_by_time == -1
