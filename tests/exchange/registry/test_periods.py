"""California and Quebec: one cap on offsets for the emissions of a compliance period."""

from __future__ import annotations

import datetime as dt

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import EntitlementSet, UnitsSurrendered, YearAssessed
from exchange.registry.queries import Compliance, headroom_of
from exchange.registry.years import Figures
from exchange.rulebook import load_rulebook
from tests.books_years import BY_SYMBOL, EMITTER, OTHER, Office

SURRENDER, ENTITLE = Instruction.SURRENDER, Instruction.SET_ENTITLEMENT
QUEBEC = "authority\ngroup quebec"


def test_the_cap_grows_with_what_is_verified_of_the_period() -> None:
    office = Office("2014-09-01")
    office.issue("ARBOC", 2_000)
    office.owe("CALIFORNIA", 10_000, 2013)
    over = office.refused(SURRENDER, "ARBOC", 801, 2013)
    assert (over.reason, over.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "ca-offset-2013")
    assert "800 basis points of verified_emissions_of_period 10000 t" in over.text
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 800, 2013)
    office.on("2015-09-01").owe("CALIFORNIA", 5_012, 2014)  # 15,012 t: 1,200 t
    above = office.refused(SURRENDER, "ARBOC", 401, 2014)
    assert "used 800 t, headroom 400 t" in above.text
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 399, 2014)
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 1, 2013)  # for either of its years
    assert office.refused(SURRENDER, "ARBOC", 1, 2014).reason == over.reason
    # the next period has a cap of its own
    office.on("2016-09-01").owe("CALIFORNIA", 1_000, 2015)
    assert office.refused(SURRENDER, "ARBOC", 81, 2015).reason == over.reason
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 80, 2015)
    assert office.registrar.offset_use_bp((EMITTER, "ca-qc", 2015), "ARBOC", office.time_ns) == (
        10_000
    )


@pytest.mark.parametrize(
    ("verified", "cap", "headroom"), [(5_012, 1_200, 400), (5_013, 1_201, 401), (0, 800, 0)]
)
def test_the_read_side_counts_the_period_too(verified: int, cap: int, headroom: int) -> None:
    def row(year: int, quantity: int, offsets: int) -> Compliance:
        figures = Figures(reported=quantity, verified=quantity)
        return Compliance(EMITTER, "ca-qc", year, quantity, offsets, offsets, figures)

    first, second = row(2013, 10_000, 800), row(2014, verified, 0)
    other = row(2015, 9_000, 7)  # of the next period
    strange = first._replace(account=OTHER)
    found = headroom_of(
        load_rulebook(), BY_SYMBOL["ARBOC"], second, dt.date(2015, 9, 1), (first, other, strange)
    )
    assert (found.base_name, found.base) == ("verified_emissions_of_period", 10_000 + verified)
    assert (found.cap, found.used, found.headroom) == (cap, 800, headroom)


@pytest.mark.parametrize(("corrected", "is_refused"), [(4_987, True), (4_988, False)])
def test_a_correction_of_one_year_counts_for_what_was_used_in_another(
    corrected: int, is_refused: bool
) -> None:
    office = Office("2015-09-01")
    office.issue("ARBOC", 2_000)
    office.owe("CALIFORNIA", 10_000, 2013)
    office.owe("CALIFORNIA", 5_000, 2014)
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 1_199, 2013)
    told = (Instruction.VERIFY_EMISSIONS, "CALIFORNIA", corrected, 2014, "verifier\nparticipant 5")
    if is_refused:  # of 14,987 t 1,198 t
        refusal = office.refused(*told)
        assert (refusal.reason, refusal.rule) == (
            RegistryReason.OFFSET_CAP_EXCEEDED,
            "ca-offset-2013",
        )
    else:
        office.act(*told)
        assert office.figures("CALIFORNIA", 2014).verified == corrected


def test_a_year_that_is_assessed_leaves_what_it_used_counted() -> None:
    office = Office("2014-09-01")
    office.issue("ARBOC", 2_000)
    office.owe("CALIFORNIA", 10_000, 2013)
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 800, 2013)
    office.issue("CALIFORNIA", 5_000, 2013)
    office.done(UnitsSurrendered, SURRENDER, "CALIFORNIA", 2_200, 2013)
    found = office.on("2014-11-02").done(
        YearAssessed, Instruction.ASSESS, "CALIFORNIA", 0, 2013, "authority"
    )
    assert (found.shortfall, found.carried) == (0, 7_000)  # the rest is due with the last year
    office.on("2015-09-01").owe("CALIFORNIA", 1_000, 2014)
    assert "headroom 80 t" in office.refused(SURRENDER, "ARBOC", 81, 2014).text
    office.done(UnitsSurrendered, SURRENDER, "ARBOC", 80, 2014)


def test_quebec_has_a_cap_of_its_own() -> None:
    office = Office("2025-09-01")
    for account in (EMITTER, OTHER):
        office.issue("QC_OFFSET", 2_000, account=account)
        office.owe("CALIFORNIA", 10_000, 2024, account)
    told = office.done(EntitlementSet, ENTITLE, "CALIFORNIA", 0, 0, QUEBEC)
    assert (told.group, told.base) == ("quebec", 0)
    over = office.refused(SURRENDER, "QC_OFFSET", 801, 2024)
    assert (over.reason, over.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "qc-offset")
    office.done(UnitsSurrendered, SURRENDER, "QC_OFFSET", 800, 2024)
    # who is of no group has California's, half of it without benefits in the state
    other = office.refused(SURRENDER, "QC_OFFSET", 201, 2024, account=OTHER)
    assert (other.reason, other.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "ca-offset-2021")
    office.done(UnitsSurrendered, SURRENDER, "QC_OFFSET", 200, 2024, account=OTHER)
    # one cap over the years 2024 to 2026
    office.on("2026-09-01").owe("CALIFORNIA", 5_000, 2025)
    assert "headroom 400 t" in office.refused(SURRENDER, "QC_OFFSET", 401, 2025).text
    office.done(UnitsSurrendered, SURRENDER, "QC_OFFSET", 400, 2025)


def test_a_year_of_no_period_has_no_such_base() -> None:
    office = Office("2031-09-01")
    office.issue("QC_OFFSET", 10)
    office.owe("CALIFORNIA", 10_000, 2030)
    office.done(EntitlementSet, ENTITLE, "CALIFORNIA", 0, 0, QUEBEC)
    refusal = office.refused(SURRENDER, "QC_OFFSET", 1, 2030)
    assert refusal.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "the rules ask for verified_emissions_of_period, which is not known" in refusal.text


def test_a_group_is_one_of_its_scheme() -> None:
    office = Office("2014-03-01")
    for symbol, group in (("CALIFORNIA", "stationary"), ("EUA", "quebec"), ("BJEA", "quebec")):
        refusal = office.refused(ENTITLE, symbol, 0, 0, f"authority\ngroup {group}")
        assert refusal.reason == RegistryReason.ENTITLEMENT_UNKNOWN
    assert BY_SYMBOL["EUA"].scheme in office.refused(ENTITLE, "EUA", 0, 0, QUEBEC).text
