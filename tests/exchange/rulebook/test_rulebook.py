from __future__ import annotations

import datetime as dt
from pathlib import Path

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
from exchange.rulebook.offsets import offset_rule, rules_in_force

BOOK = load_rulebook()
TEXT = (Path(__file__).parents[3] / "exchange/rulebook/rulebook.toml").read_text("utf-8")
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
    assert "MEE Order 19 (2020-12-31)" in over.source
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
    text = TEXT.replace("effective_to = 2024-12-31", "effective_to = 2025-03-31")
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
    assert "knows no scheme eu-ets" in other.refusal
    assert offset_rule(BOOK, "cn-national", 2025, dt.date(2026, 5, 1), "VCU") is None


def test_open_emission_years() -> None:
    assert open_emission_years(BOOK, "cn-national", dt.date(2026, 11, 22)) == (2025, 2026)
    assert open_emission_years(BOOK, "cn-national", dt.date(2018, 11, 22)) == ()
    assert open_emission_years(BOOK, "eu-ets", dt.date(2026, 11, 22)) == ()


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
        ("cap_bp = 500", "cap_bp = 500.0", r"a float is not allowed at \$\.scheme\[0\].*cap_bp"),
        ("cap_bp = 500", 'cap_bp = "5%"', r"Expected `int`.*scheme\[.*cap_bp"),
        ("cap_bp = 500", "cap_bp = 10001", "offset cn-2019-2020-ccer: cap_bp 10001 is outside"),
        ("cap_bp = 500", "cap_pb = 500", "unknown field `cap_pb`"),
        ('cap_base = "surrender_obligation"', 'cap_base = "moon"', "cap_base moon is none of"),
        ('"cn-2021-10-clearing"]', '"cn-nowhere"]', "unknown source cn-nowhere"),
        ("effective_from = 2021-01-01", "effective_from = 2022-01-01", "is after effective_to"),
        ("effective_to = 2021-12-31", "", "missing required field `effective_to`"),
        ('id = "cn-2023-ccer"', 'id = "cn-2024-ccer"', "id cn-2024-ccer stands twice"),
        ("emission_years = [2024]", "emission_years = []", "emission_years is empty"),
        ("[meta]", "[meta", "line"),
        ("utc_offset_minutes = 480", "utc_offset_minutes = 4800", "utc_offset_minutes"),
        ('{ "old_filed_before_2017-03-14" =', '{ "older" =', "last_dates names older"),
        ('confidence = "high"', 'confidence = "sure"', "Invalid enum value 'sure'"),
    ],
)
def test_an_unsound_rulebook_is_refused_by_name(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    assert old in TEXT
    path = tmp_path / "rules.toml"
    path.write_text(TEXT.replace(old, new, 1), "utf-8")
    with pytest.raises(RulebookError, match=words) as caught:
        load_rulebook(path)
    assert str(path) in str(caught.value)


def test_rules_in_force_at_once_are_refused() -> None:
    text = TEXT.replace("emission_years = [2024]", "emission_years = [2024, 2025]").replace(
        "effective_to = 2025-12-31", "effective_to = 2026-01-01"
    )
    with pytest.raises(RulebookError, match="cn-2024 and cn-2025-2026-draft are both in force"):
        parse_rulebook(text, "test")


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
        # no rule in force for that year on that date: nothing to check
        (2024, "2026-01-01", 2030, ""),
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
