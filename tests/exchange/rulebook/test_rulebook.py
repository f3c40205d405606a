from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.rulebook import (
    RulebookError,
    Verdict,
    check_surrender,
    check_vintage,
    load_rulebook,
    offset_cap,
    open_emission_years,
)
from exchange.rulebook.loading import parse_rulebook
from exchange.rulebook.penalties import false_data_rule
from exchange.rulebook.selection import offset_rule, rules_in_force
from exchange.rulebook.year import FINAL, SURRENDER, due

BOOK = load_rulebook()
FINE = "fine_min_minor = 2000000"
CAP, BASE = "cap_bp = 500\n", 'cap_base = "surrender_obligation"'
TEXT = (Path(__file__).parents[3] / "exchange/rulebook/rulebook.toml").read_text("utf-8")
BASE_2021 = 'provisional_base = "2021 verified emissions"'
ALL_SECTORS = 'sectors = ["power", "steel", "cement", "aluminium"]'
STEL = "rules cn-2024: sectors: stel is no sector of the scheme, which has power, steel"
RULES = 'id = "cn-2019-2020-ccer"'
FROM = 'id = "cn-2019-2020"\neffective_from = 2021-01-01'
ARREARS, MSR = 'arrears_vintages = ["CEA19-20', "2019-01-01\neffective_to = 2023-12-31"
OLD, NEW = "old_filed_before_2017-03-14", "new_registered_from_2024-01-22"


def check(year: int, on: str, quantity: int, generation: str = NEW, used: int = 0) -> Verdict:
    return check_surrender(
        BOOK,
        scheme_id="cn-national",
        emission_year=year,
        on=dt.date.fromisoformat(on),
        product="CCER",
        generation=generation,
        quantity_t=quantity,
        bases={"surrender_obligation": 1_234_567},
        used_t=used,
    )


def test_five_percent_of_the_obligation_rounded_down() -> None:
    fits = check(2025, "2026-11-22", 61_728)
    assert (fits.accepted_t, fits.refusal, fits.headroom_t) == (61_728, "", 61_728)
    over = check(2025, "2026-11-22", 61_729)
    assert over.accepted_t == 61_728
    assert (over.rule_id, over.cap_t) == ("cn-2025-2026-ccer", 61_728)
    assert (over.base_name, over.base_t) == ("surrender_obligation", 1_234_567)
    assert "61729 t of CCER refused: rule cn-2025-2026-ccer caps CCER at 61728 t" in over.refusal
    assert "MEE Order 19 (full text) (2020-12-31)" in over.source
    assert "Order 19, Article 29" in over.source
    assert "confidence medium" in over.source


def test_what_was_used_counts() -> None:
    last = check(2025, "2026-11-22", 2, used=61_727)
    assert (last.accepted_t, last.headroom_t, last.used_t) == (1, 1, 61_727)


@pytest.mark.parametrize(
    ("year", "on", "rule"),
    [
        (2019, "2021-06-30", "cn-2019-2020"),
        (2020, "2021-12-31", "cn-2019-2020"),
        (2022, "2023-12-31", "cn-2021-2022"),
        (2023, "2024-01-01", "cn-2023"),
        (2024, "2025-12-31", "cn-2024"),
        (2026, "2027-12-31", "cn-2025-2026-draft"),
        (2024, "2026-01-01", None),  # after its last day
        (2023, "2023-12-31", None),  # before its first
        (2018, "2021-06-30", None),
    ],
)
def test_a_rule_is_chosen_by_year_then_date(year: int, on: str, rule: str | None) -> None:
    found = rules_in_force(BOOK, "cn-national", year, dt.date.fromisoformat(on))
    assert (found.id if found else None) == rule


@pytest.mark.parametrize(
    ("year", "on", "generation", "is_eligible"),
    [
        (2023, "2024-12-31", OLD, True),
        (2023, "2024-06-01", NEW, True),
        (2022, "2023-06-01", OLD, True),
        (2022, "2023-06-01", NEW, False),
        (2024, "2025-01-01", OLD, False),
        (2025, "2026-06-01", OLD, False),
        (2025, "2026-06-01", "", False),
    ],
)
def test_generations(year: int, on: str, generation: str, is_eligible: bool) -> None:
    verdict = check(year, on, 10, generation)
    assert verdict.is_eligible is is_eligible
    assert verdict.accepted_t == (10 if is_eligible else 0)
    assert bool(verdict.refusal) is not is_eligible
    assert verdict.source


def test_the_last_day_of_a_generation() -> None:
    at = TEXT.index('id = "cn-2023"')
    text = TEXT[:at] + TEXT[at:].replace(
        "effective_to = 2024-12-31", "effective_to = 2025-03-31", 1
    )
    book = parse_rulebook(text, "test")
    arguments = {
        "scheme_id": "cn-national",
        "emission_year": 2023,
        "product": "CCER",
        "generation": OLD,
        "quantity_t": 1,
        "bases": {"surrender_obligation": 100},
        "used_t": 0,
    }
    assert check_surrender(book, on=dt.date(2024, 12, 31), **arguments).accepted_t == 1
    late = check_surrender(book, on=dt.date(2025, 1, 1), **arguments)
    assert late.accepted_t == 0
    assert "until 2024-12-31" in late.refusal


def test_nothing_without_a_rule() -> None:
    none = check(2017, "2026-11-22", 5)
    assert (none.accepted_t, none.rule_id) == (0, "")
    assert "no rule in force on 2026-11-22 for emission year 2017" in none.refusal
    other = check_surrender(
        BOOK,
        scheme_id="eu-ets",
        emission_year=2025,
        on=dt.date(2026, 1, 1),
        product="CER",
        generation="",
        quantity_t=5,
        bases={},
        used_t=0,
    )
    assert "rule eu-ets-phase-4b does not take CER as an offset" in other.refusal
    assert offset_rule(BOOK, "cn-national", 2025, dt.date(2026, 5, 1), "VCU") is None


def test_open_emission_years() -> None:
    assert open_emission_years(BOOK, "cn-national", dt.date(2026, 11, 22)) == (2025, 2026)
    assert open_emission_years(BOOK, "cn-national", dt.date(2018, 11, 22)) == ()
    assert open_emission_years(BOOK, "eu-ets", dt.date(2026, 11, 22)) == ()
    assert open_emission_years(BOOK, "nowhere", dt.date(2026, 11, 22)) == ()


@pytest.mark.parametrize(
    ("year", "step", "day"),
    [(2016, FINAL, "2016-02-28"), (2024, FINAL, "2024-06-30"), (2024, SURRENDER, "2025-09-30")],
)
def test_the_days_of_the_rules_hold_where_no_calendar_says_them(
    year: int, step: str, day: str
) -> None:
    bare = tuple(msgspec.structs.replace(item, calendar=()) for item in BOOK.scheme)
    book = msgspec.structs.replace(BOOK, scheme=bare)
    rules = rules_in_force(book, "eu-ets", year, dt.date(year, 7, 1))
    assert due(book, "eu-ets", rules, year, step).day == dt.date.fromisoformat(day)


def test_the_date_of_an_act_is_local() -> None:
    midnight = 1_767_196_800 * 10**9  # 2025-12-31T16:00Z = 2026-01-01T00:00+08:00
    assert BOOK.local_date("cn-national", midnight) == dt.date(2026, 1, 1)
    assert BOOK.local_date("cn-national", midnight - 1) == dt.date(2025, 12, 31)
    assert BOOK.local_date("somewhere", midnight) == dt.date(2025, 12, 31)


@given(
    base=st.integers(0, 10**12),
    asked=st.lists(st.integers(0, 10**9), max_size=20),
)
def test_no_sequence_exceeds_the_cap(base: int, asked: list[int]) -> None:
    used = 0
    for quantity in asked:
        verdict = check_surrender(
            BOOK,
            scheme_id="cn-national",
            emission_year=2025,
            on=dt.date(2026, 11, 22),
            product="CCER",
            generation=NEW,
            quantity_t=quantity,
            bases={"surrender_obligation": base},
            used_t=used,
        )
        used += verdict.accepted_t
        assert used * 10_000 <= base * 500
        assert verdict.accepted_t <= quantity


@pytest.mark.parametrize("value", [0, 1, 19, 20, 1_234_567, 10**18])
def test_a_cap_is_rounded_down(value: int) -> None:
    rule = offset_rule(BOOK, "cn-national", 2025, dt.date(2026, 5, 1), "CCER")
    assert rule is not None
    assert offset_cap(rule, value) == value // 20
    with pytest.raises(ValueError, match="not negative"):
        offset_cap(rule, -1)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (CAP, "cap_bp = 500.0", "offset cn-2019-2020-ccer: cap_bp: a float is not allowed"),
        (CAP, 'cap_bp = "5%"', "rules cn-2019-2020, offset cn-2019-2020-ccer: cap_bp: Expected"),
        (CAP, "cap_bp = 10001", "offset cn-2019-2020-ccer: cap_bp 10001 is outside 0..10000"),
        (CAP, "cap_pb = 500", "offset cn-2019-2020-ccer: Object contains unknown field `cap_pb`"),
        (CAP, "", "cn-2019-2020-ccer: cap_bp is missing and not in unknown"),
        (BASE, 'cap_base = "moon"', "offset cn-2019-2020-ccer: cap_base: moon is none of"),
        ('"cn-2021-10-clearing"]', '"cn-nowhere"]', "sources: unknown source cn-nowhere"),
        (FROM, FROM.replace("2021", "2022"), "rules cn-2019-2020: effective_from is after"),
        (FROM, FROM[:20], "rules cn-2019-2020: Object missing required field `effective_from`"),
        ('id = "cn-2023-ccer"', 'id = "cn-2024-ccer"', "id cn-2024-ccer stands twice"),
        ("[meta]", "[meta", "line"),
        ('timezone = "Asia/Shanghai"', 'timezone = "Asia/Moon"', "unknown time zone Asia/Moon"),
        ("old_generation_usable_until", "older_usable_until", "unknown field `older_usable_until`"),
        ('confidence = "high"', 'confidence = "sure"', "confidence: Invalid enum value 'sure'"),
        ('usable_vintages = ["CEA19-20"]', 'usable_vintages = ["CEA"]', "CEA ends in no year"),
        (ARREARS, ARREARS[:-5], "arrears_vintages: CEA ends in no year"),
        ("arrears_years = [2019, 2020, 2021, 2022, 2023, 2024]", "", "arrears_years and arrears"),
        ('borrowed_vintages = ["CEA23"]', "", "borrowed_vintages, their least shortage and share"),
        ("borrowing_min_shortage_bp = 1000", "", "borrowed_vintages, their least shortage"),
        ('borrowed_vintages = ["CEA23"]', 'borrowed_vintages = ["CEA"]', "CEA ends in no year"),
        ('eutl_code = "100-15"', 'eutl_code = "100-14"', "id eutl_code 100-14 stands twice"),
        ('code = "cancellation"', 'code = "deletion"', "id deletion stands twice"),
        ("to = 2025-12-31, sample", "to = 2026-01-01, sample", "from 2026-01-01 are both in force"),
        (MSR, MSR.replace("2023", "2024"), "eu-msr-2024 are both in force from 2024-01"),
        ('deadline_md = "04-30"', 'deadline_md = "04-31"', "04-31 is no month and day"),
        ('kind = "instrument_multiple"', 'kind = "luck"', "penalty: kind: luck is none of"),
        ("instruments_per_missing = 4", "", "penalty: instruments_per_missing is missing"),
        ("group_cap_bp = 1000", "", "group and group_cap_bp belong together"),
        ('kind = "min_local_share"', 'kind = "near"', "locality near: kind is none of"),
        (", share_bp = 7000", "", "locality min_local_share: share_bp is missing"),
        (
            'sources = ["seee-2025-13"]\nnote = "First',
            'sources = ["no"]\nnote = "First',
            "scheme cn-national, composite_price: sources: unknown source no",
        ),
        ('sources = ["mar-522"]', 'sources = ["no"]', "surveillance_pattern auction_after_market"),
        (CAP, "cap_bp = -1", "offset cn-2019-2020-ccer: cap_bp: -1 is negative"),
        (FINE, "fine_min_minor = -1", "rules cn-2019-2020, penalty .*: fine_min_minor: -1 is neg"),
        ("entry_threshold_t = 26000", "entry_threshold_t = -1", "scheme cn-national: entry_thresh"),
        (
            "cap_first_year_t = 1386051745",
            "cap_first_year_t = -1",
            "rules eu-ets-phase-4b: cap_first_year_t: -1 is",
        ),
        (
            "cap_annual_reduction_t = 38264246\n",
            "",
            "rules eu-ets-phase-3: linear_reduction_factor_steps without a cap",
        ),
        (
            "{ from_year = 2028, bp = 440 }",
            "{ from_year = 2020, bp = 440 }",
            "rules eu-ets-phase-4b: linear_reduction_factor_steps: from_year does not rise",
        ),
        (
            "{ year = 2020, amount = 10",
            "{ year = 2020, amount = -10",
            "observed_minor: amount: -10",
        ),
        (
            "observed_minor = [{ year = 2020,",
            "observed_minor = [{ year = 2021,",
            "rules eu-ets-phase-3, penalty: observed_minor: 2021 is no emission year",
        ),
        (
            'indexed_by = "European index of consumer prices"\nobserved',
            "observed",
            "rules eu-ets-phase-3, penalty: observed_minor without indexed_by",
        ),
        ("lot_t = 1000", "lot_t = -1", "venue eex, market eex-eua-spot: lot_t: -1 is negative"),
        ("emission_years = [2024]", "emission_years = [-1]", "emission_years: -1 is negative"),
        (
            "multiple_min = 5\nmultiple_max = 10\nfine",
            "multiple_min = 11\nmultiple_max = 10\nfine",
            "false_data cn-false-data-775: multiple_min is above multiple_max",
        ),
        (
            "refusal_deduction_max_bp = 10000",
            "refusal_deduction_max_bp = 10001",
            "scheme cn-national, false_data cn-false-data-775: refusal_deduction_max_bp is above",
        ),
        (
            'at_risk_held_by = "cn_provincial_authority"',
            'at_risk_held_by = "cn_key_emitter"',
            "rules cn-2021-2022: at_risk_held_by: cn_key_emitter is no account_type",
        ),
        (
            "pre_issuance_bp = 6000",
            "pre_issuance_bp = 10001",
            "unit_type BCER: pre_issuance_bp 10001",
        ),
        (
            'pre_issued_types = ["BCER"]',
            'pre_issued_types = ["CCER"]',
            "offset bj-offset: pre_issued_types: CCER is no unit_type with a pre_issuance_bp",
        ),
        # words and figures that would switch a rule off without breaking a type
        ('banking_out = "not_allowed"', 'banking_out = "no"', "banking_out: Invalid enum value"),
        ('use_mode = "exchange_for_allowances_not_direct_surrender"', 'use_mode = "x"', "use_mode"),
        ('= "twice_the_shortfall"', '= "thrice"', "gd-2016, penalty: next_year_deduction: Inv"),
        ('applies_to = "aircraft"', 'applies_to = "plane"', "rice-aircraft: applies_to: plane is"),
        ('applies_to = "quebec"', 'applies_to = "qc"', "rules qc-offset-only: applies_to: qc is"),
        ('credit_types = ["CCER"]', 'credit_types = ["CEA"]', "credit_types: CEA is no unit_type"),
        (f'["{OLD}"]\ncap', '["older"]\ncap', "2019-2020-ccer: programme_generations: no unit"),
        ('vintages = ["CEA19-20"]', 'vintages = ["CEA18"]', "usable_vintages: CEA18 is no vint"),
        ('to_vintage = "CEA25"', 'to_vintage = "CEA52"', "carry_over: to_vintage: CEA52 is no"),
        ("auction_share_bp = 5700", "auction_share_bp = 10001", "phase-3: auction_share_bp: 10001"),
        ("share_bp = 7000", "share_bp = 10001", "locality min_local_share: share_bp: 10001 bas"),
        (
            "multiple_min = 5\nmultiple_max = 10\nprice",
            "multiple_min = 11\nmultiple_max = 10\nprice",
            "rules cn-2023, penalty: multiple_min is above multiple_max",
        ),
        (
            "fine_max_minor = 3000000",
            "fine_max_minor = 1",
            "penalty: fine_min_minor is above fine_m",
        ),
        (
            "lower_threshold_t = 400000000",
            "lower_threshold_t = 833000001",
            "eu-msr-2019: lower_thr",
        ),
        ("weight_bp_each = 2000", "weight_bp_each = 2001", "2025-04-29 are 10005 basis points"),
        (
            "applied_until = 2026-03-20",
            "applied_until = 2026-07-20",
            "batches: applied_until rises",
        ),
        ('step = "verified_report"', 'step = "report"', "step: Invalid enum value 'report'"),
        (
            'sectors = ["power"]\ndue',
            'sectors = ["coal"]\ndue',
            "calendar verified_report of 2024: sectors: coal is no sector of the scheme, which has "
            "power, steel, cement, aluminium",
        ),
        (
            'emission_years = [2024]\nsectors = ["steel", "cement", "aluminium"]',
            'emission_years = [2023]\nsectors = ["steel", "cement", "aluminium"]',
            "calendar verified_report of 2023: sectors: no rules of 2023 cover steel, only power",
        ),
        (ALL_SECTORS + "\nusable", ALL_SECTORS.replace("steel", "stel") + "\nusable", STEL),
        (ALL_SECTORS + "\nentry", "entry", "scheme cn-national: sectors is missing: its rules nam"),
        (ALL_SECTORS, ALL_SECTORS.replace("]", ', "glass"]'), "sectors: no rules cover glass"),
        (
            BASE_2021,
            BASE_2021.replace("ifi", "fi"),
            "base: 2021 verfied emissions is none of 'YEAR ou",
        ),
        (
            BASE_2021,
            'provisional_base = "emissions"',
            "rules cn-2021-2022: provisional_base: emiss",
        ),
        (
            BASE_2021,
            BASE_2021.replace("2021", "2203"),
            "provisional_base: 2203 is after the emissio",
        ),
        (BASE_2021, "", "provisional_allocation_bp and provisional_base belong together"),
        ("schema_version = 1", "schema_version = 7", "schema_version is 7, this program reads 1"),
    ],
)
def test_an_unsound_rulebook_is_refused_by_name(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in TEXT
    path = tmp_path / "rules.toml"
    at = TEXT.index(old, TEXT.index(RULES) if old in (CAP, BASE) else 0)
    path.write_text(TEXT[:at] + TEXT[at:].replace(old, new + "\n" * old.endswith("\n"), 1), "utf-8")
    with pytest.raises(RulebookError, match=words) as caught:
        load_rulebook(path)
    assert str(path) in str(caught.value)


def test_rules_in_force_at_once_are_refused() -> None:
    at = TEXT.index('id = "cn-2024"')
    text = TEXT[at:].replace("emission_years = [2024]", "emission_years = [2024, 2025]", 1)
    text = TEXT[:at] + text.replace("effective_to = 2025-12-31", "effective_to = 2026-01-01", 1)
    with pytest.raises(
        RulebookError,
        match="cn-2024 and cn-2025-2026-draft are both in force for 2025 from 2026-01-01",
    ):
        parse_rulebook(text, "test")


def test_a_difference_may_be_negative_and_zero_is_none() -> None:
    for old, new in (("min_bp = -300", "min_bp = -301"), (FINE, "fine_min_minor = 0")):
        assert old in TEXT
        parse_rulebook(TEXT.replace(old, new, 1), "test")


def test_what_false_data_cost_is_said_once_at_a_time() -> None:
    at = TEXT.index("[[scheme.false_data]]")
    table = TEXT[at : TEXT.index("[[scheme.calendar]]", at)]
    again = table.replace("cn-false-data-775", "again").replace("2024-05-01", "2026-08-15")
    with pytest.raises(RulebookError, match="again are both in force from 2026-08-15"):
        parse_rulebook(TEXT[:at] + table + again + TEXT[at + len(table) :], "test")
    ended = table.replace("in_force_from", "in_force_to = 2026-08-14\nin_force_from", 1)
    book = parse_rulebook(TEXT[:at] + ended + again + TEXT[at + len(table) :], "test")
    (scheme,) = (item for item in book.scheme if item.id == "cn-national")
    for day, rule in (("2026-08-14", "cn-false-data-775"), ("2026-08-15", "again")):
        assert false_data_rule(scheme, dt.date.fromisoformat(day)).id == rule


def test_negative_figures_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        check(2025, "2026-11-22", -1)


@pytest.mark.parametrize(
    ("year", "on", "vintage", "rule"),
    [
        # carbon-rules of the 2024 cycle: every vintage up to 2024 counts, none later
        (2024, "2025-12-31", 2019, ""),
        (2024, "2025-12-31", 2024, ""),
        (2024, "2025-12-31", 2025, "cn-2024"),
        # draft plan of 2026-07-27: vintages 2019-2024 count no more for 2025
        (2025, "2026-01-01", 2024, "cn-2025-2026-draft"),
        (2025, "2026-01-01", 2025, ""),
        # the same draft: arrears of 2019-2024 are made good with vintages 2019-2026
        (2024, "2026-01-01", 2024, ""),
        (2024, "2026-01-01", 2026, ""),
        (2024, "2026-01-01", 2027, "cn-2025-2026-draft"),
        # no rule in force for that year on that date: nothing to check
        (2024, "2028-01-01", 2030, ""),
    ],
)
def test_vintages_that_count(year: int, on: str, vintage: int, rule: str) -> None:
    verdict = check_vintage(
        BOOK,
        scheme_id="cn-national",
        emission_year=year,
        on=dt.date.fromisoformat(on),
        vintage=vintage,
    )
    assert bool(verdict.refusal) == bool(rule)
    if rule:
        assert verdict.rule_id == rule
        assert f"these are of {vintage}" in verdict.refusal
        assert verdict.source
