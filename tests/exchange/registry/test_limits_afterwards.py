"""What comes after a surrender leaves no more offsets than the limits let; issuance is counted."""

from __future__ import annotations

import pytest

from exchange.audit.watch import issued_units
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    EmissionsStated,
    ProjectRegistered,
    UnitsAllocated,
    UnitsIssued,
    UnitsSurrendered,
)
from tests.books_desk import CN, Desk, act_of, owed
from tests.books_venue import CEA_2024, YANGTZE, YEAR
from tests.books_years import OTHER, VERIFIER, Office, allocation

REPORT = Instruction.REPORT_EMISSIONS
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


@pytest.mark.parametrize(
    ("details", "why"),
    [
        ("", "excludes hydro; the type of this project is not stated"),
        (', "project_type": "wind"', "N2O, SF6; the gas of this project is not stated"),
        (', "project_type": "industry", "gas": "HFC23"', "excludes HFC23"),
        (', "project_type": "industry", "gas": "hfc23"', "excludes hfc23"),
        (', "project_type": "Hydro_small", "gas": "CO2"', "excludes Hydro_small"),
        (', "project_type": "wind", "gas": "CO2"', ""),
    ],
)
def test_beijing_takes_no_credits_that_do_not_state_what_it_asks(details: str, why: str) -> None:
    office = Office("2015-03-01")
    office.done(UnitsAllocated, ALLOCATE, "BJEA", 10_000, 2014, allocation("provisional"))
    office.owe("BJEA", 10_000, 2014)
    told = f'{{"name": "p", "region": "CN-BJ"{details}}}'
    office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, "BJ-CCER", 0, 1, told)
    made = '{"project": 1, "period_from": "2014-01-01", "period_to": "2014-12-31"}'
    office.done(UnitsIssued, ISSUE, "BJ-CCER", 10, 2014, made)
    if why:
        assert why in office.refused(SURRENDER, "BJ-CCER", 10, 2014).text
    else:
        office.done(UnitsSurrendered, SURRENDER, "BJ-CCER", 10, 2014)


@pytest.mark.parametrize("city", ["Shenzhen", "shenzhen"])
def test_a_city_is_the_same_place_however_it_is_written(city: str) -> None:
    """Shenzhen takes such credits from the city only, Guangdong from everywhere else in it."""
    office = Office("2021-03-01")
    for number, own, credit, kind in (
        (1, "SZEA", "SZ-CCER", "biomass_power"),
        (2, "GDEA", "GD-CCER", "wind"),
    ):
        office.owe(own, 10_000, 2020)
        told = (
            f'{{"name": "p", "region": "CN-GD:{city}", "project_type": "{kind}", '
            '"co2_ch4_share_bp": 10000}'
        )
        office.done(ProjectRegistered, Instruction.REGISTER_PROJECT, credit, 0, number, told)
        made = f'{{"project": {number}, "period_from": "2020-01-01", "period_to": "2020-12-31"}}'
        office.done(UnitsIssued, ISSUE, credit, 10, 2020, made)
    office.done(UnitsSurrendered, SURRENDER, "SZ-CCER", 10, 2020)
    refused = office.refused(SURRENDER, "GD-CCER", 10, 2020)
    assert f"excludes projects in CN-GD:{city}" in refused.text


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


EU_CAP_2014 = 2_046_037_610


@pytest.mark.parametrize("is_allocated", [True, False])
def test_the_cap_of_the_scheme_binds_what_is_issued(*, is_allocated: bool) -> None:
    office = Office("2014-03-01")
    if is_allocated:
        office.done(UnitsAllocated, ALLOCATE, "EUA", 1_000, 2014, allocation("final"))
    else:
        office.done(UnitsIssued, ISSUE, "EUA", 1_000, 2014)
    over = office.refused(ISSUE, "EUA", EU_CAP_2014 - 999, 2014)
    assert over.reason == RegistryReason.ALLOCATION_ABOVE_CAP
    assert (over.rule, bool(over.source)) == ("eu-ets-phase-3", True)
    assert f"{EU_CAP_2014 + 1} t of 2014 would be above the cap" in over.text
    office.done(UnitsIssued, ISSUE, "EUA", EU_CAP_2014 - 1_000, 2014)
    assert office.refused(ISSUE, "EUA", 1, 2014).reason == RegistryReason.ALLOCATION_ABOVE_CAP
    if not is_allocated:
        last = office.refused(ALLOCATE, "EUA", 1, 2014, allocation("final"))
        assert last.reason == RegistryReason.ALLOCATION_ABOVE_CAP
    office.done(UnitsIssued, ISSUE, "EUA", 1, 2013)  # of another year


def test_units_of_no_stated_vintage_count_together() -> None:
    office = Office("2014-03-01")
    over = office.refused(ISSUE, "EUA", EU_CAP_2014 + 1, 0)
    assert over.reason == RegistryReason.ALLOCATION_ABOVE_CAP
    office.done(UnitsIssued, ISSUE, "EUA", EU_CAP_2014, 0)
    assert office.refused(ISSUE, "EUA", 1, 0).reason == RegistryReason.ALLOCATION_ABOVE_CAP


def test_credits_and_schemes_without_a_cap_are_issued_freely() -> None:
    office = Office("2014-03-01")
    office.done(UnitsIssued, ISSUE, "CER", EU_CAP_2014 + 1, 2014)
    office.done(UnitsIssued, ISSUE, "CEA-2023", EU_CAP_2014 + 1, 2023)


@pytest.mark.parametrize(
    ("symbol", "year", "known"),
    [
        ("CEA-2023", 2023, "gas, power"),
        ("CEA-2024", 2024, "aluminium, cement, gas, power, steel"),
    ],
)
def test_a_sector_that_the_rules_do_not_know_is_refused(symbol: str, year: int, known: str) -> None:
    office = Office(f"{year + 1}-07-01")
    wrong = office.refused(REPORT, symbol, 10, year, "emitter\nsector stele")
    assert wrong.reason == RegistryReason.UNKNOWN_SECTOR
    assert f"knows no sector 'stele'; known are {known}" in wrong.text
    office.owe(symbol, 1_000, year, sector="power")
    wrong = office.refused(ALLOCATE, symbol, 1_000, year, allocation("final", sector="stele"))
    assert wrong.reason == RegistryReason.UNKNOWN_SECTOR
    if year == 2023:  # not covered yet, so it would have had no day
        early = office.refused(REPORT, symbol, 10, year, "emitter\nsector steel", OTHER)
        assert early.reason == RegistryReason.UNKNOWN_SECTOR


def test_a_sector_without_a_day_of_its_own_has_the_last_of_the_others() -> None:
    *_, stated = Office("2025-06-30").report("CEA-2024", 10, 2024, sector="gas")
    assert isinstance(stated, EmissionsStated)
    assert not stated.is_late
    *_, stated = Office("2025-07-01").report("CEA-2024", 10, 2024, sector="gas")
    assert isinstance(stated, EmissionsStated)
    assert stated.is_late


def test_where_the_rules_tell_no_sectors_apart_any_is_taken() -> None:
    assert len(Office("2014-03-01").report("EUA", 10, 2013, sector="chemicals")) == 2


async def test_allocated_units_count_as_issued(desk: Desk) -> None:
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    (*_, allocated) = await desk.act(
        *act_of(ALLOCATE, YANGTZE, CEA_2024, 800, YEAR, allocation("final"))
    )
    assert isinstance(allocated, UnitsAllocated)
    issued = await issued_units(desk.log, CN)
    assert issued == dict(desk.registry.holdings.issued)
    assert issued[CEA_2024] == 800
