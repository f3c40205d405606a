"""Every cap of every offset rule: a tonne below, at it, and a tonne above.

The cases come from the file: a rule that is added is swept, one that gives no case fails.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest

from exchange.registry.exchanges import EMITTED, ENTITLEMENT
from exchange.rulebook import check_surrender, load_rulebook
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import (
    exceeded,
    headroom,
    most_from_elsewhere,
    offset_cap,
    offset_plan,
    wider_limits,
)
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import PERIOD, bases, period_base
from tests.offset_rules import (
    ALL_BASES,
    CASES,
    DAY,
    LAST_YEAR,
    OFFSETS,
    OUTSIDE,
    RAW,
    WHOLE,
    Case,
    base_names,
    bounds,
    fitting,
    in_force,
    part,
    room,
    rules_for,
    share_of,
    variants,
)

BOOK = load_rulebook()
AMOUNTS = (0, 1, 19, 20, 21, 999_999, 1_234_567, 10**9)
PLENTY = 10**11
TAKING = [case for case in CASES if case.rule["credit_types"]]
NONE_TAKEN = [case for case in CASES if not case.rule["credit_types"]]
WITH_CAPS = [case for case in TAKING if share_of(case.rule, case.year) is not None]
NOT_KNOWN = [case for case in TAKING if share_of(case.rule, case.year) is None]


def sweep(cases: list[Case]) -> pytest.MarkDecorator:
    """One test for each rule, over its years."""
    by_rule: dict[str, list[Case]] = {}
    for case in cases:
        by_rule.setdefault(case.rule["id"], []).append(case)
    return pytest.mark.parametrize("cases", by_rule.values(), ids=[*by_rule])


def rules_of(case: Case, on: dt.date | None = None) -> ComplianceRules:
    own = case.rules.get("applies_to", "")
    rules = rules_in_force(BOOK, case.scheme, case.year, on or case.first, own)
    assert rules is not None
    assert rules.id == case.rules["id"]
    return rules


def amounts_of(case: Case) -> Iterator[dict[str, int]]:
    """Each base of a rule small and large and about its first tonnes, with plenty of the others."""
    share = share_of(case.rule, case.year) or 1
    edges = [-(-WHOLE * tonnes // share) - less for tonnes in (1, 2, 20) for less in (0, 1)]
    for name in base_names(case.rule):
        for amount in sorted({*AMOUNTS, *edges}):
            yield dict.fromkeys(ALL_BASES, PLENTY) | {name: amount}


def scenes(case: Case, amounts: dict[str, int]) -> Iterator[tuple[list[Credit], int]]:
    """What the account and others used before: nothing, some of each, others of the group's."""
    mine = rules_for(case.rules, case.group)
    limits = bounds(case.rules, case.group, case.year, amounts)
    yield [], 0
    for used_t in (1, 7, 20):
        spent = [fitting(case.rule, quantity_t=used_t)]
        if all(limit.used(spent) <= limit.most_t for limit in limits):
            yield spent, 0
    spent = []
    for other in mine:
        if other["id"] != case.rule["id"]:
            credit = fitting(other)
            spent.append(credit._replace(quantity_t=room(limits, credit, spent)))
            yield list(spent), 0
    for wide in case.rule.get("scheme_wide_caps", ()):
        if wide["emission_year"] == case.year:
            yield from (([], wide["cap_t"] - left_t) for left_t in (20, 1, 0))


def planned(
    case: Case, offered: list[Credit], amounts: dict[str, int], spent: list[Credit], others_t: int
) -> list[tuple[int, str, bool]]:
    found = offset_plan(
        rules_of(case), offered, emission_year=case.year, on=case.first, bases=amounts, used=spent,
        scheme_used_t=others_t, applies_to=case.group,
    )  # fmt: skip
    for credit, answer in zip(offered, found, strict=True):
        assert bool(answer.reason) == (answer.accepted_t < credit.quantity_t)
    return [(each.accepted_t, each.rule_id, each.is_eligible) for each in found]


def test_every_rule_of_the_file_is_swept() -> None:
    written = {
        (scheme["id"], rules["id"], rule["id"])
        for scheme in RAW["scheme"]
        for rules in scheme["rules"]
        for rule in rules.get("offset", ())
    }
    assert {(c.scheme, c.rules["id"], c.rule["id"]) for c in CASES} == written
    known = {rule.id for scheme in BOOK.scheme for rules in scheme.rules for rule in rules.offset}
    assert {rule for _, _, rule in written} == known
    # what has no cap says that nobody knows it, or takes no credits: the others have cases
    assert all(case.rule["unknown"] for case in NOT_KNOWN)
    assert all(case.rule["cap_bp"] == 0 for case in NONE_TAKEN)
    for case in WITH_CAPS:
        assert list(amounts_of(case)), case.name


@pytest.mark.parametrize("case", WITH_CAPS, ids=[case.name for case in WITH_CAPS])
def test_a_tonne_below_at_and_above_every_limit(case: Case) -> None:
    decided = set()
    for amounts in amounts_of(case):
        for spent, others_t in scenes(case, amounts):
            limits = bounds(case.rules, case.group, case.year, amounts, others_t)
            for unit in case.rule["credit_types"]:
                for credit in variants(case.rule, unit):
                    most_t = room(limits, credit, spent)
                    decided |= {
                        (limit.rule_id, limit.kind)
                        for limit in limits
                        if limit.room(credit, spent) == most_t
                    }
                    for asked_t in {1, max(1, most_t - 1), max(1, most_t), most_t + 1}:
                        offer = [credit._replace(quantity_t=asked_t)]
                        expected = [(min(asked_t, most_t), case.rule["id"], True)]
                        assert planned(case, offer, amounts, spent, others_t) == expected, (
                            amounts, spent, others_t, offer,
                        )  # fmt: skip
    own = {(b.rule_id, b.kind) for b in limits if b.rule_id == case.rule["id"]}
    assert own <= decided, f"no case is decided by {own - decided}"


def check_cap(case: Case) -> None:
    rules = rules_of(case)
    (rule,) = [rule for rule in rules.offset if rule.id == case.rule["id"]]
    share, name = share_of(case.rule, case.year), case.rule["cap_base"]
    assert share is not None
    for amounts in amounts_of(case):
        cap_t = offset_cap(rule, amounts[name], case.year)
        assert cap_t * WHOLE <= amounts[name] * share < (cap_t + 1) * WHOLE
        assert cap_t == part(amounts[name], share)
        first = next(
            r for r in case.rules["offset"]
            if case.rule["credit_types"][0] in r["credit_types"]
            and r.get("applies_to", "") == case.group
        )  # fmt: skip
        if first is not case.rule or case.rules.get("applies_to"):
            continue  # of two rules of a group for a unit the first one answers
        for used_t in {0, max(0, cap_t - 1), cap_t, cap_t + 1}:
            verdict = check_surrender(
                BOOK, scheme_id=case.scheme, emission_year=case.year, on=case.first,
                product=case.rule["credit_types"][0], generation=fitting(case.rule).generation,
                quantity_t=2, bases=amounts, used_t=used_t, group=case.group,
            )  # fmt: skip
            left_t = max(0, cap_t - used_t)
            told = (verdict.rule_id, verdict.cap_t, verdict.base_name, verdict.base_t)
            assert told == (case.rule["id"], cap_t, name, amounts[name])
            assert (verdict.headroom_t, verdict.used_t) == (left_t, used_t)
            assert verdict.accepted_t == (min(2, left_t) if verdict.is_eligible else 0)
            assert bool(verdict.refusal) == (verdict.accepted_t < 2)


@sweep(WITH_CAPS)
def test_the_cap_is_the_share_of_its_base_and_never_more(cases: list[Case]) -> None:
    for case in cases:
        check_cap(case)


def check_left(case: Case) -> None:
    rules = rules_of(case)
    more = {"emission_year": case.year, "applies_to": case.group}
    for amounts in amounts_of(case):
        for spent, others_t in scenes(case, amounts):
            limits = bounds(case.rules, case.group, case.year, amounts)
            left = headroom(rules, bases=amounts, used=spent, scheme_used_t=others_t, **more)
            known = [limit for limit in left if limit.kind != "min_local_share"]
            expected = []
            for limit in limits:
                if limit.kind != "min_local_share":
                    used_t = limit.used(spent) + others_t * (limit.kind == "scheme")
                    told = (limit.rule_id, limit.kind, limit.most_t)
                    expected.append((*told, max(0, limit.most_t - used_t)))
            assert [(x.rule_id, x.kind, x.limit_t, x.left_t) for x in known] == expected
            assert not exceeded(rules, bases=amounts, used=spent, scheme_used_t=others_t, **more)
        for credit in variants(case.rule, case.rule["credit_types"][0]):
            whole = [credit._replace(quantity_t=room(limits, credit, []))]
            over = [credit._replace(quantity_t=whole[0].quantity_t + 1)]
            assert not exceeded(rules, bases=amounts, used=whole, scheme_used_t=0, **more)
            found = exceeded(rules, bases=amounts, used=over, scheme_used_t=0, **more)
            passed = {(b.rule_id, b.kind) for b in limits if b.used(over) > b.most_t}
            assert {(x.rule_id, x.kind) for x in found} == passed
            assert passed


@sweep(WITH_CAPS)
def test_what_is_left_and_what_is_too_much(cases: list[Case]) -> None:
    for case in cases:
        check_left(case)


def check_shared(case: Case) -> None:
    (rule,) = [rule for rule in rules_of(case).offset if rule.id == case.rule["id"]]
    for amounts in amounts_of(case):
        own = [
            limit
            for limit in bounds(case.rules, case.group, case.year, amounts)
            if limit.rule_id == rule.id
        ]
        for used_t in (0, 1, 20, PLENTY):
            found = wider_limits(rule, case.year, amounts, used_t, used_t)
            expected = [
                (limit.kind, limit.most_t, max(0, limit.most_t - used_t))
                for limit in own
                if limit.kind in ("group", "scheme")
            ]
            assert [(x.kind, x.limit_t, x.left_t) for x in found] == expected
            most = [limit.most_t for limit in own if limit.kind in OUTSIDE[::2]]
            for item in case.rule.get("locality", ()):
                if item["kind"] == "min_local_share":
                    most.append(part(own[0].most_t, WHOLE - item["share_bp"]))
            left = most_from_elsewhere(rule, case.year, amounts, used_t)
            assert left == (max(0, min(most) - used_t) if most else None)


@sweep([case for case in WITH_CAPS if {"group", "scheme_wide_caps", "locality"} & {*case.rule}])
def test_what_an_order_is_told_of_shared_limits(cases: list[Case]) -> None:
    for case in cases:
        check_shared(case)


def check_none_taken(case: Case) -> None:
    for unit in OFFSETS:
        amounts = dict.fromkeys(ALL_BASES, PLENTY)
        expected = [(0, case.rules["id"], False)]
        assert planned(case, [Credit(unit, 1)], amounts, [], 0) == expected
    (limit,) = headroom(rules_of(case), emission_year=case.year, bases=amounts)
    assert limit.limit_t == 0


def test_rules_without_offsets_take_none() -> None:
    for case in NONE_TAKEN:
        check_none_taken(case)


def test_a_cap_that_nobody_knows_is_named() -> None:
    for case in NOT_KNOWN:
        words = f"rule {case.rule['id']}: cap_bp is not known"
        with pytest.raises(ValueError, match=words):
            planned(case, [fitting(case.rule)], dict.fromkeys(ALL_BASES, PLENTY), [], 0)


def check_others(case: Case) -> None:
    taken = {unit for rule in rules_for(case.rules, case.group) for unit in rule["credit_types"]}
    amounts = dict.fromkeys(ALL_BASES, PLENTY)
    for unit in {*OFFSETS, "VCU", ""} - taken:
        credit = fitting(case.rule, unit) if case.rule["credit_types"] else Credit(unit, 1)
        expected = [(0, case.rules["id"], False)]
        assert planned(case, [credit._replace(unit=unit)], amounts, [], 0) == expected


@sweep(CASES)
def test_no_other_credit_is_taken(cases: list[Case]) -> None:
    for case in cases:
        check_others(case)


def check_days(case: Case) -> None:
    own = case.rules.get("applies_to", "")
    assert in_force(case.scheme, case.year, case.first, own) == case.rules["id"]
    for day in (case.first, case.last):
        for on in (day - DAY, day, day + DAY):
            found = rules_in_force(BOOK, case.scheme, case.year, on, own)
            assert (found.id if found else "") == in_force(case.scheme, case.year, on, own)


@sweep(CASES)
def test_rules_hold_from_their_first_day_to_their_last(cases: list[Case]) -> None:
    for case in cases:
        check_days(case)


def test_a_year_that_rules_do_not_name_is_not_theirs() -> None:
    for case in CASES:
        years = case.rules.get("emission_years", (case.year,))
        for year in (min(years) - 1, max(years) + 1, LAST_YEAR + 1):
            own = case.rules.get("applies_to", "")
            found = rules_in_force(BOOK, case.scheme, year, case.first, own)
            assert (found.id if found else "") == in_force(case.scheme, year, case.first, own)


def test_each_base_of_a_rule_is_an_amount_that_somebody_knows() -> None:
    given = bases(1_000_003, 700_001, 800_009) | {ENTITLEMENT: 1, EMITTED: 1}
    named = {case.rule["cap_base"] for case in WITH_CAPS}
    named |= {name for case in WITH_CAPS for name in base_names(case.rule)}
    assert named <= {*given, PERIOD}
    assert {name: given[name] for name in named & {*given} - {ENTITLEMENT, EMITTED}} == {
        name: tonnes
        for name, tonnes in {
            "verified_emissions": 1_000_003,
            "verified_emissions_by_emission_year": 1_000_003,
            "surrender_obligation": 1_000_003,
            "initial_allocation": 700_001,
            "annual_allocation": 800_009,
            "shortfall_before_offsets": 199_994,
        }.items()
        if name in named
    }
    for case in WITH_CAPS:
        if case.rule["cap_base"] != PERIOD:
            continue
        periods = [p["years"] for p in case.rules["compliance_periods"] if case.year in p["years"]]
        verified = {year: 10 ** (year % 10) for year in range(2000, LAST_YEAR + 1)}
        expected = {PERIOD: sum(verified[year] for year in periods[0])} if periods else {}
        assert period_base(rules_of(case), case.year, verified) == expected
