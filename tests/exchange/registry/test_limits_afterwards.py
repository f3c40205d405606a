"""What comes after a surrender leaves no more offsets than the limits let; issuance is counted."""

from __future__ import annotations

from exchange.audit.watch import issued_units
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    ProjectRegistered,
    UnitsAllocated,
    UnitsIssued,
    UnitsSurrendered,
)
from tests.books_desk import CN, Desk, act_of, owed
from tests.books_venue import CEA_2024, YANGTZE, YEAR
from tests.books_years import VERIFIER, Office, allocation

ALLOCATE, ASSESS = Instruction.ALLOCATE, Instruction.ASSESS
VERIFY, SURRENDER, ISSUE = Instruction.VERIFY_EMISSIONS, Instruction.SURRENDER, Instruction.ISSUE
A = "authority"


def _credits(office: Office, symbol: str, number: int, region: str, quantity: int) -> None:
    details = f'{{"name": "p", "project_type": "wind", "region": "{region}"}}'
    office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, symbol, 0, number, details)
    made = f'{{"project": {number}, "period_from": "2016-01-01", "period_to": "2016-12-31"}}'
    office.done(UnitsIssued, ISSUE, symbol, quantity, 2016, made)


def test_a_final_allocation_does_not_leave_more_credits_from_elsewhere_than_its_share() -> None:
    office = Office("2015-03-01")
    office.done(UnitsAllocated, ALLOCATE, "BJEA", 10_000, 2014, allocation("provisional"))
    office.owe("BJEA", 10_000, 2014)
    details = '{"name": "p", "project_type": "wind", "region": "CN-HE", "gas": "CO2"}'
    office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, "BJ-CCER", 0, 1, details)
    made = '{"project": 1, "period_from": "2014-01-01", "period_to": "2014-12-31"}'
    office.done(UnitsIssued, ISSUE, "BJ-CCER", 250, 2014, made)
    office.done(UnitsSurrendered, SURRENDER, "BJ-CCER", 250, 2014)
    low = office.refused(ALLOCATE, "BJEA", 9_999, 2014, allocation("final"))
    assert low.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "from outside CN-BJ would be 249 t, 1 t less than is used" in low.text
    office.done(UnitsAllocated, ALLOCATE, "BJEA", 10_000, 2014, allocation("final"))


def test_a_lower_figure_does_not_leave_a_group_beyond_its_cap() -> None:
    office = Office("2018-03-01")
    office.owe("FJEA", 10_000, 2017)
    _credits(office, "FJ-CCER", 1, "CN-FJ", 400)
    _credits(office, "FFCER", 2, "CN-FJ", 600)
    office.done(UnitsSurrendered, SURRENDER, "FJ-CCER", 400, 2017)
    office.done(UnitsSurrendered, SURRENDER, "FFCER", 600, 2017)
    refusal = office.refused(VERIFY, "FJEA", 9_990, 2017, f"verifier\nparticipant {VERIFIER}")
    assert refusal.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "cap of group fj-total would be 999 t, 1 t less" in refusal.text


def test_a_year_is_named_by_an_allowance() -> None:
    office = Office("2020-07-01")
    office.owe("SZEA", 1_000, 2019)
    text = f"{A}\nprice 2500\ndue 2020-06-30"
    refusal = office.refused(ASSESS, "SZ-CCER", 0, 2019, text)
    assert refusal.reason == RegistryReason.NOT_ALLOWANCE_OF_YEAR


async def test_allocated_units_count_as_issued(desk: Desk) -> None:
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    (*_, allocated) = await desk.act(
        *act_of(ALLOCATE, YANGTZE, CEA_2024, 800, YEAR, allocation("final"))
    )
    assert isinstance(allocated, UnitsAllocated)
    issued = await issued_units(desk.log, CN)
    assert issued == dict(desk.registry.holdings.issued)
    assert issued[CEA_2024] == 800
