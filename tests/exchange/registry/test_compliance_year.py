"""The compliance year: reported, verified, allocated, surrendered, assessed, each by its day."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    AllocationReturned,
    EmissionsStated,
    UnitsAllocated,
    UnitsSurrendered,
    YearAssessed,
    YearFigures,
)
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.years import FINE_NOT_KNOWN
from exchange.rulebook import load_rulebook
from tests.books_years import EMITTER, OTHER, VERIFIER, Office, allocation

ALLOCATE, ASSESS = Instruction.ALLOCATE, Instruction.ASSESS
REPORT, VERIFY = Instruction.REPORT_EMISSIONS, Instruction.VERIFY_EMISSIONS
SURRENDER, ISSUE = Instruction.SURRENDER, Instruction.ISSUE
A = "authority"


# -- whole years ----------------------------------------------------------------------------------


def test_a_year_of_the_eu_with_a_shortfall_that_is_owed_with_the_next() -> None:
    office = Office("2024-06-28")
    granted = office.done(UnitsAllocated, ALLOCATE, "EUA", 700, 2024, allocation("final"))
    assert (granted.issued, granted.is_late, granted.ranges[0].last) == (700, False, 700)
    office.on("2025-03-31")
    *_, stated = office.report("EUA", 1_000, 2024)
    assert isinstance(stated, EmissionsStated)
    assert not stated.is_late
    figures, stated = office.verify("EUA", 1_010, 2024)  # the verifier's figure counts
    assert isinstance(figures, YearFigures)
    assert (figures.reported, figures.verified, figures.obligation) == (1_000, 1_010, 1_010)
    # Next year's free units arrive before this year's last day, and may be used.
    office.on("2025-06-30").done(UnitsAllocated, ALLOCATE, "EUA", 200, 2025, allocation("final"))
    office.on("2025-09-30").done(UnitsSurrendered, SURRENDER, "EUA", 850, 2024)
    early = office.on("2025-09-30").refused(ASSESS, "EUA", 0, 2024, A)
    assert early.reason == RegistryReason.DUE_DAY_NOT_OVER
    assert early.source == load_rulebook().citation_of(early.rule) != ""
    found = office.on("2025-10-01").done(YearAssessed, ASSESS, "EUA", 0, 2024, A)
    assert (found.obligation, found.surrendered, found.shortfall) == (1_010, 850, 160)
    assert (found.fine_min, found.fine_max) == (FINE_NOT_KNOWN, FINE_NOT_KNOWN)
    assert "the amount of 2024 was not observed; set observed_minor of 2024" in found.consequence
    assert (found.carried, found.deduction, found.due) == (160, 0, "2025-09-30")
    assert found.rule == "eu-ets-phase-4b"
    assert "[confidence medium]" in found.source
    office.issue("EUA", 5_000, 2025)
    closed = office.refused(SURRENDER, "EUA", 1, 2024)
    assert closed.reason == RegistryReason.SURRENDER_ABOVE_OBLIGATION
    assert office.figures("EUA", 2025).obligation == 160  # owed before anything is verified
    office.on("2026-02-01").owe("EUA", 900, 2025)
    assert office.figures("EUA", 2025).obligation == 1_060
    done = office.done(UnitsSurrendered, SURRENDER, "EUA", 1_060, 2025)
    assert not done.is_late
    met = office.on("2026-10-01").done(YearAssessed, ASSESS, "EUA", 0, 2025, A)
    assert (met.shortfall, met.fine_max, met.carried) == (0, 0, 0)


def test_a_year_of_china_with_relief_and_a_deduction_unless_made_good() -> None:
    office = Office("2024-03-01")
    office.owe("CEA-2023", 10_000, 2023, sector="power")
    office.on("2025-03-31").report("CEA-2024", 12_000, 2024, sector="power")
    above = office.on("2025-04-20").refused(
        ALLOCATE, "CEA-2024", 7_001, 2024, allocation("provisional")
    )
    assert above.reason == RegistryReason.ALLOCATION_ABOVE_PROVISIONAL
    assert "7000 basis points of 10000 t" in above.text
    first = office.done(
        UnitsAllocated, ALLOCATE, "CEA-2024", 7_000, 2024, allocation("provisional")
    )
    assert (first.issued, first.is_late) == (7_000, False)
    unverified = office.refused(ALLOCATE, "CEA-2024", 9_000, 2024, allocation("final"))
    assert unverified.reason == RegistryReason.EMISSIONS_NOT_VERIFIED
    office.on("2025-06-30")
    *_, stated = office.verify("CEA-2024", 12_000, 2024)
    assert isinstance(stated, EmissionsStated)
    assert not stated.is_late
    final = office.on("2025-08-20").done(
        UnitsAllocated, ALLOCATE, "CEA-2024", 9_000, 2024, allocation("final")
    )
    # 80 percent of 12,000 is 9,600: 600 more than decided, 2,600 more than given in advance.
    assert (final.relief, final.issued, final.is_late) == (600, 2_600, False)
    office.issue("CCER", 1_000)
    over = office.on("2025-12-01").refused(SURRENDER, "CCER", 601, 2024)
    assert (over.reason, over.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "cn-2024-ccer")
    office.done(UnitsSurrendered, SURRENDER, "CCER", 600, 2024)
    office.done(UnitsSurrendered, SURRENDER, "CEA-2024", 9_600, 2024)
    zone = "+08:00"
    last = office.on("2025-12-31T23:59:59", zone).refused(ASSESS, "CEA-2024", 0, 2024, A)
    assert last.reason == RegistryReason.DUE_DAY_NOT_OVER
    office.on("2026-01-01T00:00:00", zone)
    unpriced = office.refused(ASSESS, "CEA-2024", 0, 2024, A)
    assert unpriced.reason == RegistryReason.AVERAGE_PRICE_MISSING
    for text, reason in (
        ("1" * 17, RegistryReason.QUANTITY_OUT_OF_RANGE),
        ("1" * 19, RegistryReason.WORDS_NOT_READABLE),
        ("-1", RegistryReason.WORDS_NOT_READABLE),
        ("٣", RegistryReason.WORDS_NOT_READABLE),
    ):
        refusal = office.refused(ASSESS, "CEA-2024", 0, 2024, f"{A}\nprice {text}")
        assert refusal.reason == reason
    found = office.done(YearAssessed, ASSESS, "CEA-2024", 0, 2024, f"{A}\nprice 7463")
    assert (found.shortfall, found.carried) == (1_800, 0)
    assert (found.fine_min, found.fine_max) == (1_800 * 7463 * 5, 1_800 * 7463 * 10)
    assert (found.deduction, found.condition) == (1_800, "if refusing to correct")
    # 800 t are made good, late; what is left comes off the next allocation, and the year is closed.
    office.issue("CEA-2024", 800)
    late = office.on("2026-02-01").done(UnitsSurrendered, SURRENDER, "CEA-2024", 800, 2024)
    assert late.is_late
    office.on("2026-03-01").owe("CEA-2025", 12_000, 2025)
    next_year = office.on("2026-09-30").done(
        UnitsAllocated, ALLOCATE, "CEA-2025", 11_000, 2025, allocation("final")
    )
    assert (next_year.deducted, next_year.issued) == (1_000, 10_000)
    assert office.figures("CEA-2024", 2024).owed(11_000) == 0
    assert office.figures("CEA-2025", 2025).bases["annual_allocation"] == 10_000


def test_a_year_of_guangdong_with_a_fine_and_twice_the_shortfall_deducted() -> None:
    office = Office("2024-02-01")
    office.owe("GDEA", 1_000, 2023)
    office.done(UnitsAllocated, ALLOCATE, "GDEA", 800, 2023, allocation("final", "grandfathering"))
    office.issue("GD-CCER", 1)
    elsewhere = office.refused(SURRENDER, "GD-CCER", 1, 2023)  # of no stated project
    assert "the type of this project is not stated" in elsewhere.text
    office.credits("GD-CCER", 101, "CN-GD", 2023)
    over = office.refused(SURRENDER, "GD-CCER", 101, 2023)
    assert (over.reason, over.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "gd-offset")
    office.done(UnitsSurrendered, SURRENDER, "GD-CCER", 100, 2023)
    office.done(UnitsSurrendered, SURRENDER, "GDEA", 800, 2023)
    unknown = office.on("2024-08-01").refused(ASSESS, "GDEA", 0, 2023, A)
    assert unknown.reason == RegistryReason.DUE_DAY_UNKNOWN
    for text in ("9999-12-31", "0001-01-01", "2044-01-01", "2022-12-31"):
        far = office.refused(ASSESS, "GDEA", 0, 2023, f"{A}\ndue {text}")
        assert far.reason == RegistryReason.DUE_DAY_UNKNOWN
    for text in ("soon", "2024-02-30"):
        no_day = office.refused(ASSESS, "GDEA", 0, 2023, f"{A}\ndue {text}")
        assert no_day.reason == RegistryReason.WORDS_NOT_READABLE
    early = office.refused(ASSESS, "GDEA", 0, 2023, f"{A}\ndue 2024-08-01")
    assert early.reason == RegistryReason.DUE_DAY_NOT_OVER
    found = office.done(YearAssessed, ASSESS, "GDEA", 0, 2023, f"{A}\ndue 2024-07-31")
    assert (found.shortfall, found.fine_min, found.fine_max) == (100, 5_000_000, 5_000_000)
    assert (found.deduction, found.condition) == (200, "")
    office.on("2025-02-01").owe("GDEA", 900, 2024)
    granted = office.done(UnitsAllocated, ALLOCATE, "GDEA", 150, 2024, allocation("final"))
    assert (granted.deducted, granted.issued, granted.ranges) == (150, 0, ())
    # What the allocation could not bear comes off the one after.
    assert office.figures("GDEA", 2024).deduction == 50
    assert office.figures("GDEA", 2023).deduction == 0
    assert office.refused(SURRENDER, "GDEA", 1, 2023).reason == (
        RegistryReason.SURRENDER_ABOVE_OBLIGATION
    )
    third = office.done(UnitsAllocated, ALLOCATE, "GDEA", 60, 2025, allocation("final"))
    assert (third.deducted, third.issued) == (50, 10)
    assert office.figures("GDEA", 2024).owed(0) == 900  # that year is not over yet


def test_shenzhen_takes_by_force_what_is_held_and_the_rest_from_the_next_allocation() -> None:
    office = Office("2020-02-01")
    office.owe("SZEA", 1_000, 2019)
    office.issue("SZEA", 700)
    office.on("2020-07-01")
    text = f"{A}\nprice 2500\ndue 2020-06-30"
    said = office.act(ASSESS, "SZEA", 0, 2019, text)
    (forced,) = (item for item in said if isinstance(item, UnitsSurrendered))
    assert (forced.quantity, forced.is_late) == (700, True)
    found = said[-1]
    assert isinstance(found, YearAssessed)
    assert (found.shortfall, found.forced, found.deduction) == (1_000, 700, 300)
    assert found.fine_min == found.fine_max == 1_000 * 2_500 * 3
    assert office.holdings.surrendered[EMITTER, "cn-pilot-shenzhen", 2019] == 700


def test_california_asks_for_four_instruments_for_each_that_is_missing() -> None:
    office = Office("2023-03-01")
    office.issue("CALIFORNIA", 9_000)
    office.owe("CALIFORNIA", 1_000, 2022)  # 30 percent is due now, the rest with 2023
    office.done(UnitsSurrendered, SURRENDER, "CALIFORNIA", 290, 2022)
    office.on("2023-11-02")  # the evening of 1 November is over in California too
    found = office.done(YearAssessed, ASSESS, "CALIFORNIA", 0, 2022, A)
    assert (found.shortfall, found.instruments_due, found.carried) == (10, 40, 700)
    assert office.refused(SURRENDER, "CALIFORNIA", 41, 2022).text.startswith("41 t are more than")
    assert office.done(UnitsSurrendered, SURRENDER, "CALIFORNIA", 40, 2022).is_late
    office.on("2024-03-01").owe("CALIFORNIA", 500, 2023)
    assert office.figures("CALIFORNIA", 2023).obligation == 1_200
    office.done(UnitsSurrendered, SURRENDER, "CALIFORNIA", 1_199, 2023)
    last = office.on("2024-11-02").done(YearAssessed, ASSESS, "CALIFORNIA", 0, 2023, A)
    assert (last.shortfall, last.instruments_due, last.carried) == (1, 4, 0)


def test_who_gave_the_share_of_a_year_lacks_nothing() -> None:
    office = Office("2023-03-01")
    office.issue("CALIFORNIA", 9_000)
    office.owe("CALIFORNIA", 1_001, 2022)
    office.done(UnitsSurrendered, SURRENDER, "CALIFORNIA", 300, 2022)
    found = office.on("2023-12-01").done(YearAssessed, ASSESS, "CALIFORNIA", 0, 2022, A)
    assert (found.shortfall, found.carried) == (0, 701)


# -- reports and verification ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "is_late"), [("2025-03-30", False), ("2025-03-31", False), ("2025-04-01", True)]
)
def test_a_report_after_its_day_is_taken_and_marked(day: str, is_late: bool) -> None:
    office = Office(day)
    *_, stated = office.report("EUA", 10, 2024)
    assert isinstance(stated, EmissionsStated)
    assert stated.is_late == is_late
    *_, stated = office.verify("EUA", 10, 2024)
    assert isinstance(stated, EmissionsStated)
    assert stated.is_late == is_late
    assert [row.is_late for row in office.holdings.changes.emissions] == [is_late] * 2


@pytest.mark.parametrize(
    ("sector", "day", "is_late"),
    [
        ("power", "2025-03-31", False),
        ("power", "2025-04-01", True),
        ("steel", "2025-06-30", False),
        ("steel", "2025-07-01", True),
        ("", "2025-06-30", False),  # nobody is called late for a day that may not be theirs
    ],
)
def test_sectors_have_days_of_their_own(sector: str, day: str, is_late: bool) -> None:
    *_, stated = Office(day).report("CEA-2024", 10, 2024, sector=sector)
    assert isinstance(stated, EmissionsStated)
    assert stated.is_late == is_late


def test_the_day_is_the_schemes_own() -> None:
    zone = "+08:00"
    early = Office().on("2024-12-31T23:59:59", zone).refused(REPORT, "CEA-2024", 5, 2024, "emitter")
    assert early.reason == RegistryReason.YEAR_NOT_OVER
    office = Office().on("2025-01-01T00:00:00", zone)  # 2024 in UTC
    assert len(office.report("CEA-2024", 5, 2024)) == 2


def test_who_verifies_is_another() -> None:
    office = Office()
    none = office.refused(VERIFY, "EUA", 10, 2024, "verifier\nparticipant 5")
    assert none.reason == RegistryReason.EMISSIONS_NOT_REPORTED
    office.report("EUA", 10, 2024)
    for text in (
        f"emitter-{EMITTER}\nparticipant 5",  # the same key
        "verifier\nparticipant 4",  # the emitter's participant
        "verifier",
        "verifier\nparticipant 0",
    ):
        refusal = office.refused(VERIFY, "EUA", 10, 2024, text)
        assert refusal.reason == RegistryReason.VERIFIER_IS_EMITTER
    assert office.figures("EUA", 2024).obligation is None
    assert office.refused(SURRENDER, "EUA", 1, 2024).reason == RegistryReason.NO_OBLIGATION
    office.verify("EUA", 0, 2024)
    assert office.figures("EUA", 2024).obligation == 0
    again = office.refused(REPORT, "EUA", 11, 2024, "emitter")
    assert again.reason == RegistryReason.EMISSIONS_SETTLED
    row = office.holdings.changes.emissions[-1]
    assert (row.given_by, row.participant) == ("verifier", VERIFIER)


@pytest.mark.parametrize(
    "text", ["", "\nsector power", "emitter\ncolour red", "emitter\nsector power\nprice 3"]
)
def test_words_are_as_the_gateway_writes_them(text: str) -> None:
    refusal = Office().refused(REPORT, "EUA", 10, 2024, text)
    assert refusal.reason == RegistryReason.WORDS_NOT_READABLE


def test_a_correction_is_taken_until_something_rests_on_it() -> None:
    office = Office("2025-04-01")
    office.owe("CEA-2024", 1_000, 2024)
    office.verify("CEA-2024", 1_100, 2024)
    office.done(UnitsAllocated, ALLOCATE, "CEA-2024", 1_000, 2024, allocation("final"))
    fixed = office.refused(VERIFY, "CEA-2024", 1_000, 2024, "verifier\nparticipant 5")
    assert fixed.reason == RegistryReason.EMISSIONS_SETTLED
    office = Office("2025-04-01")
    office.owe("EUA", 1_000, 2024)
    office.issue("EUA", 1_000, 2024)
    office.done(UnitsSurrendered, SURRENDER, "EUA", 600, 2024)
    low = office.refused(VERIFY, "EUA", 599, 2024, "verifier\nparticipant 5")
    assert low.reason == RegistryReason.QUANTITY_OUT_OF_RANGE
    office.verify("EUA", 600, 2024)
    office.on("2025-10-01").done(YearAssessed, ASSESS, "EUA", 0, 2024, A)
    for kind, text in (
        (REPORT, "emitter"), (VERIFY, "verifier\nparticipant 5"), (ASSESS, A),
        (ALLOCATE, allocation("final")),
    ):  # fmt: skip
        assert office.refused(kind, "EUA", 1, 2024, text).reason == RegistryReason.YEAR_ASSESSED


# -- allocation -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "is_refused"), [(-1, False), (0, False), (1, True)])
def test_no_more_is_allocated_than_the_scheme_issues_in_a_year(more: int, is_refused: bool) -> None:
    cap = 1_386_051_745
    office = Office("2024-06-01")
    office.done(UnitsAllocated, ALLOCATE, "EUA", 1_000, 2024, allocation("final"))
    office.issue("EUA", cap - 3_000, 2024, account=OTHER)  # auctioned
    office.issue("EUA", 10**9, 2023)  # of another year
    args = (ALLOCATE, "EUA", 2_000 + more, 2024, allocation("final"), OTHER)
    if is_refused:
        refusal = office.refused(*args)
        assert refusal.reason == RegistryReason.ALLOCATION_ABOVE_CAP
        assert f"{cap + 1} t" in refusal.text
    else:
        office.done(UnitsAllocated, *args)


@pytest.mark.parametrize(("more", "is_refused"), [(0, False), (1, True)])
def test_what_is_auctioned_is_not_given_for_nothing(more: int, is_refused: bool) -> None:
    free = 2_084_301_856 * 4_300 // 10_000  # 57 percent of the cap of 2013 is auctioned
    office = Office("2013-02-20")
    office.done(UnitsAllocated, ALLOCATE, "EUA", 5_000, 2013, allocation("final"))
    args = (ALLOCATE, "EUA", free - 5_000 + more, 2013, allocation("final"), OTHER)
    if is_refused:
        refusal = office.refused(*args)
        assert refusal.reason == RegistryReason.ALLOCATION_ABOVE_CAP
        assert "free allocation" in refusal.text
    else:
        office.done(UnitsAllocated, *args)


def test_sectors_get_what_the_rules_give_them() -> None:
    office = Office("2013-02-20")
    power = office.refused(ALLOCATE, "EUA", 1, 2013, allocation("final", sector="power"))
    assert power.reason == RegistryReason.ALLOCATION_AGAINST_RULE
    assert "auctions all allowances for power" in power.text
    office = Office("2025-04-20")
    office.owe("CEA-2024", 5_000, 2024, sector="steel")
    advance = office.refused(ALLOCATE, "CEA-2024", 1, 2024, allocation("provisional", base=5_000))
    assert advance.reason == RegistryReason.ALLOCATION_AGAINST_RULE
    equal = allocation("final", "equal_to_emissions")
    for quantity in (4_999, 5_001):
        refusal = office.refused(ALLOCATE, "CEA-2024", quantity, 2024, equal)
        assert (refusal.reason, refusal.rule) == (
            RegistryReason.ALLOCATION_AGAINST_RULE, "cn-2024",
        )  # fmt: skip
    granted = office.on("2025-10-20").done(UnitsAllocated, ALLOCATE, "CEA-2024", 5_000, 2024, equal)
    assert (granted.issued, granted.relief, granted.is_late) == (5_000, 0, False)


def test_gas_units_are_never_short() -> None:
    office = Office("2025-07-01")
    office.owe("CEA-2024", 5_000, 2024)
    granted = office.done(
        UnitsAllocated, ALLOCATE, "CEA-2024", 3_000, 2024, allocation("final", sector="gas")
    )
    assert (granted.relief, granted.issued) == (2_000, 5_000)


def test_allocation_by_intensity_is_computed() -> None:
    office = Office("2026-08-01")
    office.owe("CEA-2025", 100_000, 2025, sector="steel")
    words = {"balance": 1_000_000, "intensity": 900_000}  # a tenth better: 1.5 percent more
    text = allocation("final", "intensity", **words)
    wrong = office.refused(ALLOCATE, "CEA-2025", 101_501, 2025, text)
    assert wrong.reason == RegistryReason.ALLOCATION_AGAINST_RULE
    assert "101500 t" in wrong.text
    office.done(UnitsAllocated, ALLOCATE, "CEA-2025", 101_500, 2025, text)
    unknown = Office("2025-08-01")
    unknown.owe("CEA-2024", 100, 2024)
    refusal = unknown.refused(ALLOCATE, "CEA-2024", 100, 2024, text)
    assert "knows no allocation by intensity" in refusal.text


def test_the_base_of_an_advance_is_the_registrys_or_given() -> None:
    office = Office("2025-04-01")
    none = office.refused(ALLOCATE, "CEA-2024", 70, 2024, allocation("provisional"))
    assert none.reason == RegistryReason.ALLOCATION_BASE_UNKNOWN
    above = office.refused(ALLOCATE, "CEA-2024", 71, 2024, allocation("provisional", base=101))
    assert above.reason == RegistryReason.ALLOCATION_ABOVE_PROVISIONAL
    office.owe("CEA-2023", 100, 2023)
    differs = office.refused(ALLOCATE, "CEA-2024", 70, 2024, allocation("provisional", base=101))
    assert differs.reason == RegistryReason.ALLOCATION_BASE_UNKNOWN
    for text in ("authority\nstage early\nmethod benchmarking", allocation("final", "luck")):
        refusal = office.refused(ALLOCATE, "CEA-2024", 70, 2024, text)
        assert refusal.reason == RegistryReason.WORDS_NOT_READABLE
    for symbol in ("CEA-2023", "CCER"):
        refusal = office.refused(ALLOCATE, symbol, 70, 2024, allocation("provisional"))
        assert refusal.reason == RegistryReason.NOT_ALLOWANCE_OF_YEAR
    zero = office.refused(ALLOCATE, "CEA-2024", 0, 2024, allocation("provisional"))
    assert zero.reason == RegistryReason.QUANTITY_OUT_OF_RANGE
    office.done(UnitsAllocated, ALLOCATE, "CEA-2024", 70, 2024, allocation("provisional"))
    twice = office.refused(ALLOCATE, "CEA-2024", 1, 2024, allocation("provisional"))
    assert twice.reason == RegistryReason.ALLOCATED_ALREADY


@pytest.mark.parametrize(
    ("gone", "returned", "added"), [(0, 2_000, 0), (5_500, 1_500, 500), (7_000, 0, 2_000)]
)
def test_what_was_too_much_is_taken_back_and_what_is_gone_is_owed(
    gone: int, returned: int, added: int
) -> None:
    office = Office("2025-04-01")
    office.owe("CEA-2024", 5_000, 2024)
    first = allocation("provisional", base=10_000)
    office.done(UnitsAllocated, ALLOCATE, "CEA-2024", 7_000, 2024, first)
    if gone:
        office.act(Instruction.TRANSFER, "CEA-2024", gone, OTHER)
    said = office.act(ALLOCATE, "CEA-2024", 5_000, 2024, allocation("final"))
    final = said[-1]
    assert isinstance(final, UnitsAllocated)
    assert (final.issued, final.returned, final.added) == (0, returned, added)
    back = [item for item in said if isinstance(item, AllocationReturned)]
    assert sum(item.quantity for item in back) == returned
    figures = office.figures("CEA-2024", 2024)
    assert figures.obligation == 5_000 + added
    # What is due besides the emissions does not widen a cap.
    assert figures.bases["surrender_obligation"] == 5_000
    kinds = [row[3] for row in office.holdings.changes.history]
    assert (int(HistoryKind.RETURNED) in kinds) == bool(returned)


@settings(max_examples=60, deadline=None)
@given(
    emissions=st.tuples(st.integers(0, 9_000), st.integers(0, 9_000)),
    decided=st.tuples(st.integers(1, 7_000), st.integers(0, 9_000), st.integers(0, 9_000)),
    gone=st.integers(0, 7_000),
    given_up=st.integers(0, 9_000),
)
def test_every_tonne_allocated_is_held_given_up_or_owed(
    emissions: tuple[int, int], decided: tuple[int, int, int], gone: int, given_up: int
) -> None:
    office = Office("2024-08-01")
    office.owe("GDEA", emissions[0], 2023)
    first, final, following = decided
    office.done(UnitsAllocated, ALLOCATE, "GDEA", first, 2023, allocation("provisional"))
    if 0 < gone <= first:
        office.act(Instruction.TRANSFER, "GDEA", gone, OTHER)
    last = office.done(UnitsAllocated, ALLOCATE, "GDEA", final, 2023, allocation("final"))
    assert first + last.issued - last.returned - last.added == final
    assert last.added <= gone
    assert office.figures("GDEA", 2023).obligation == emissions[0] + last.added
    office.act(SURRENDER, "GDEA", given_up, 2023)  # or refused
    found = office.done(YearAssessed, ASSESS, "GDEA", 0, 2023, f"{A}\ndue 2024-07-31")
    assert found.shortfall == max(0, found.obligation - found.surrendered)
    office.on("2025-03-01").owe("GDEA", emissions[1], 2024)
    after = office.done(UnitsAllocated, ALLOCATE, "GDEA", following, 2024, allocation("final"))
    left = office.figures("GDEA", 2024).deduction
    assert after.deducted + left == 2 * found.shortfall
    assert after.issued == following - after.deducted >= 0
    holdings = office.holdings
    issued = sum(holdings.issued.values())
    assert issued == first + last.issued + after.issued
    held = sum(holdings.totals.values())
    assert issued == held + sum(holdings.surrendered.values()) + last.returned


# -- bases of the pilots' caps --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "day", "year", "base", "cap"),
    [
        ("BJ", "2015-03-01", 2014, "annual_allocation", 450),  # 5 percent of 9,000
        ("BJ", "2025-03-01", 2024, "surrender_obligation", 500),
        ("GD", "2024-03-01", 2023, "verified_emissions", 1_000),
        ("SH", "2016-03-01", 2015, "annual_allocation", 450),
        ("SH", "2017-03-01", 2016, "annual_allocation", 90),
        ("SH", "2023-03-01", 2022, "verified_emissions", 500),
        ("SZ", "2023-03-01", 2022, "shortfall_before_offsets", 200),  # 20 percent of 1,000
        ("HB", "2016-03-01", 2015, "initial_allocation", 600),  # 10 percent of 6,000
    ],
)
def test_each_base_of_a_pilot_caps_at_its_tonne(
    code: str, day: str, year: int, base: str, cap: int
) -> None:
    office = Office(day)
    office.owe(f"{code}EA", 10_000, year)
    office.credits(f"{code}-CCER", 5_000, f"CN-{code}", year)
    if base not in ("surrender_obligation", "verified_emissions"):
        unknown = office.refused(SURRENDER, f"{code}-CCER", 1, year)
        assert unknown.reason == RegistryReason.UNIT_NOT_ELIGIBLE
        assert base in unknown.text
    office.done(UnitsAllocated, ALLOCATE, f"{code}EA", 6_000, year, allocation("provisional"))
    office.done(UnitsAllocated, ALLOCATE, f"{code}EA", 9_000, year, allocation("final"))
    above = office.refused(SURRENDER, f"{code}-CCER", cap + 1, year)
    assert above.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert f"caps CCER at {cap} t" in above.text
    office.done(UnitsSurrendered, SURRENDER, f"{code}-CCER", cap - 1, year)
    two = office.refused(SURRENDER, f"{code}-CCER", 2, year)
    assert "headroom 1 t" in two.text
    office.done(UnitsSurrendered, SURRENDER, f"{code}-CCER", 1, year)
    assert office.refused(SURRENDER, f"{code}-CCER", 1, year).reason == (
        RegistryReason.OFFSET_CAP_EXCEEDED
    )


def test_a_group_of_rules_shares_a_cap() -> None:
    office = Office("2024-03-01")
    office.owe("FJEA", 10_000, 2023)
    office.credits("FJ-CCER", 1_000, "CN-FJ", 2023)
    office.credits("FFCER", 1_000, "CN-FJ", 2023)
    office.done(UnitsSurrendered, SURRENDER, "FJ-CCER", 400, 2023)
    above = office.refused(SURRENDER, "FFCER", 601, 2023)
    assert (above.reason, above.rule) == (RegistryReason.OFFSET_CAP_EXCEEDED, "fj-offset-ffcer")
    assert "cap of group fj-total: 1000 t, headroom 600 t" in above.text
    office.done(UnitsSurrendered, SURRENDER, "FFCER", 600, 2023)
    assert "group" in office.refused(SURRENDER, "FJ-CCER", 1, 2023).text


def test_the_cap_of_a_scheme_counts_all_accounts() -> None:
    office = Office("2018-03-01")
    for account in (EMITTER, OTHER):
        office.owe("GDEA", 20_000_000, 2017, account)
        office.credits("GD-CCER", 2_000_000, "CN-GD", 2017, account)
    for _ in range(2):  # what an account used itself counts once
        office.done(UnitsSurrendered, SURRENDER, "GD-CCER", 500_000, 2017)
    above = office.refused(SURRENDER, "GD-CCER", 500_001, 2017, "", OTHER)
    assert above.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "cap of the scheme for 2017: 1500000 t, headroom 500000 t" in above.text
    office.done(UnitsSurrendered, SURRENDER, "GD-CCER", 500_000, 2017, "", OTHER)
    assert "headroom 0 t" in office.refused(SURRENDER, "GD-CCER", 1, 2017).text


def test_offsets_are_applied_for_until_a_day() -> None:
    office = Office("2023-12-15")
    office.owe("CEA-2022", 1_000, 2022)
    office.issue("CCER-OLD", 50)
    office.done(UnitsSurrendered, SURRENDER, "CCER-OLD", 10, 2022)
    closed = office.on("2023-12-16").refused(SURRENDER, "CCER-OLD", 10, 2022)
    assert closed.reason == RegistryReason.OFFSET_APPLICATION_CLOSED


# -- banking --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "year", "vintage", "rule"),
    [
        ("2008-04-01", 2007, 2005, ""),  # inside phase I
        ("2008-04-01", 2007, 2008, "eu-ets-phase-1"),  # nothing borrowed of phase II
        ("2009-04-01", 2008, 2007, "eu-ets-phase-2"),  # nothing banked into it
        ("2009-04-01", 2008, 2008, ""),
        ("2014-04-01", 2013, 2012, ""),  # II into III
        ("2022-04-01", 2021, 2013, ""),  # III into IV
        ("2013-04-01", 2012, 2013, "eu-ets-phase-2"),  # nothing borrowed of III
        ("2021-04-01", 2020, 2021, "eu-ets-phase-3"),  # nor of IV
        ("2023-04-01", 2022, 2023, ""),  # inside IV
        ("2025-04-01", 2024, 2025, ""),  # by timing
        ("2014-04-01", 2013, 2007, "eu-ets-phase-1"),  # never out of phase I
    ],
)
def test_which_vintages_pass_from_phase_to_phase(
    day: str, year: int, vintage: int, rule: str
) -> None:
    office = Office(day)
    office.owe("EUA", 100, year)
    office.issue("EUA", 100, vintage)
    if rule:
        refusal = office.refused(SURRENDER, "EUA", 100, year)
        assert (refusal.reason, refusal.rule) == (RegistryReason.UNIT_NOT_ELIGIBLE, rule)
        assert f"these are of {vintage}" in refusal.text
    else:
        office.done(UnitsSurrendered, SURRENDER, "EUA", 100, year)


def test_units_that_do_not_count_stay_where_they_are() -> None:
    office = Office("2009-04-01")
    office.owe("EUA", 100, 2008)
    office.issue("EUA", 60, 2007)  # the older come first, but do not count
    office.issue("EUA", 70, 2008)
    above = office.refused(SURRENDER, "EUA", 71, 2008)
    assert above.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    done = office.done(UnitsSurrendered, SURRENDER, "EUA", 70, 2008)
    assert (done.ranges[0].first, done.ranges[0].last) == (61, 130)
    assert office.holdings.held(EMITTER, Position.REGISTRY, done.instrument_id) == 60
    none = office.refused(SURRENDER, "EUA", 61, 2008)
    assert none.reason == RegistryReason.SURRENDER_ABOVE_OBLIGATION
    assert office.refused(SURRENDER, "EUA", 1, 2008).reason == RegistryReason.UNIT_NOT_ELIGIBLE


@pytest.mark.parametrize(
    ("moment", "is_late"),
    [("2025-09-30T23:59:59", False), ("2025-10-01T00:00:00", True)],
)
def test_a_surrender_after_its_day_is_taken_and_marked(moment: str, is_late: bool) -> None:
    office = Office("2025-03-01")
    office.owe("EUA", 100, 2024)
    office.issue("EUA", 100, 2024)
    done = office.on(moment, "+02:00").done(UnitsSurrendered, SURRENDER, "EUA", 100, 2024)
    assert done.is_late == is_late
    assert office.holdings.changes.surrenders[-1].is_late == is_late
