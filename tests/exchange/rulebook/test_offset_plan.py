"""No plan exceeds a limit, whatever is offered and in whatever order."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.rulebook import load_rulebook
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import headroom, offset_plan
from exchange.rulebook.selection import offset_rule, rules_in_force
from exchange.rulebook.shapes import BASES, ComplianceRules

BOOK = load_rulebook()
CASES = [
    ("cn-national", 2023, dt.date(2024, 12, 31)),
    ("cn-pilot-beijing", 2015, dt.date(2016, 6, 15)),
    ("cn-pilot-shanghai", 2022, dt.date(2023, 9, 30)),
    ("cn-pilot-guangdong", 2017, dt.date(2018, 6, 20)),
    ("cn-pilot-hubei", 2014, dt.date(2015, 6, 30)),
    ("cn-pilot-chongqing", 2022, dt.date(2023, 6, 20)),
    ("cn-pilot-fujian", 2020, dt.date(2021, 6, 30)),
    ("ca-qc", 2025, dt.date(2026, 11, 1)),
]
CREDITS = st.builds(
    Credit,
    unit=st.sampled_from(["CCER", "PHCER", "BCER", "FFCER", "CQCER", "SHCER", "ARBOC", "CER"]),
    quantity_t=st.integers(1, 60_000),
    generation=st.sampled_from(
        ["old_filed_before_2017-03-14", "new_registered_from_2024-01-22"],
    ),
    project_type=st.sampled_from(["forestry", "wind", "rural_biogas", "hydro", ""]),
    gas=st.sampled_from(["CO2", "CO2", "HFC23", ""]),
    co2_ch4_share_bp=st.sampled_from([None, 4_999, 5_000, 10_000, 10_000]),
    region=st.sampled_from(["CN-BJ", "CN-GD", "CN-FJ", "CN-CQ", "CN-HB", "CN-SH", "CN-XJ", ""]),
    reduction_from=st.sampled_from([None, dt.date(2013, 1, 1), dt.date(2015, 5, 31)]),
    flags=st.sampled_from(
        [(), ("partner",), ("unregistered",), ("direct_environmental_benefit_in_state",)],
    ),
)


def rules_of(scheme: str, year: int, on: dt.date) -> ComplianceRules:
    rules = rules_in_force(BOOK, scheme, year, on)
    assert rules is not None
    return rules


@pytest.mark.parametrize(("scheme", "year", "on"), CASES, ids=[case[0] for case in CASES])
@given(
    offered=st.lists(CREDITS, max_size=12),
    base=st.integers(0, 10**6),
    shuffle=st.randoms(use_true_random=False),
)
def test_no_limit_is_passed_and_order_does_not_matter(
    scheme: str, year: int, on: dt.date, offered: list[Credit], base: int, shuffle: object
) -> None:
    rules = rules_of(scheme, year, on)
    bases = dict.fromkeys(BASES, base)
    found = offset_plan(rules, offered, emission_year=year, on=on, bases=bases)
    for credit, answer in zip(offered, found, strict=True):
        assert 0 <= answer.accepted_t <= credit.quantity_t
        assert bool(answer.reason) == (answer.accepted_t < credit.quantity_t)
    used = [
        credit._replace(quantity_t=answer.accepted_t)
        for credit, answer in zip(offered, found, strict=True)
        if answer.accepted_t
    ]
    total = sum(credit.quantity_t for credit in used)
    for rule in rules.offset:
        mine = [credit for credit in used if credit.unit in rule.credit_types]
        taken = sum(credit.quantity_t for credit in mine)
        cap_bp = {"sh-offset-2019": 500}.get(rule.id, rule.cap_bp or 0)
        assert taken * 10_000 <= base * cap_bp
        if rule.group_cap_bp is not None:
            assert total * 10_000 <= base * rule.group_cap_bp
        for item in rule.locality:
            local = sum(c.quantity_t for c in mine if c.region in item.region.split(","))
            flagged = sum(c.quantity_t for c in mine if item.flag in c.flags)
            if item.kind == "min_local_share":
                assert local * 10_000 >= taken * (item.share_bp or 0)
            elif item.kind == "max_nonlocal":
                assert (taken - local) * 10_000 <= base * (item.cap_bp or 0)
            elif item.kind == "max_share_without_flag":
                assert (taken - flagged) * 2 <= base * cap_bp // 10_000
            elif item.kind == "local_or_partner_only":
                assert taken - local <= (item.partner_cap_t or 0)
    mixed = list(range(len(offered)))
    shuffle.shuffle(mixed)  # type: ignore[attr-defined]
    again = offset_plan(
        rules, [offered[at] for at in mixed], emission_year=year, on=on, bases=bases
    )
    if "unregistered" not in {flag for credit in offered for flag in credit.flags}:
        assert sum(answer.accepted_t for answer in again) == total
    limits = headroom(rules, emission_year=year, bases=bases, used=used)
    assert all(0 <= limit.left_t <= limit.limit_t for limit in limits)


@pytest.mark.parametrize(
    ("case", "units", "home", "share_bp", "whole_t"),
    [(3, ("CCER", "PHCER"), "CN-GD:Meizhou", 7_000, 1_500_000),
     (5, ("CCER", "CQCER"), "CN-CQ", 6_000, None)],
    ids=["guangdong", "chongqing"],
)  # fmt: skip
@settings(max_examples=60)
@given(
    lots=st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.booleans()), max_size=8),
    base=st.integers(0, 9_999),
    others=st.integers(1_499_000, 1_500_001),
)
def test_the_local_share_and_what_all_accounts_may_use(
    case: int,
    units: tuple[str, str],
    home: str,
    share_bp: int,
    whole_t: int | None,
    lots: list[tuple[int, bool, bool]],
    base: int,
    others: int,
) -> None:
    """Everything offered is fit, so that only the limits decide: as much as they let, no more."""
    scheme, year, on = CASES[case]
    offered = [
        Credit(units[second], quantity, project_type="wind", gas="CO2", co2_ch4_share_bp=10_000,
               region=home if is_local else "CN-XJ")
        for quantity, is_local, second in lots
    ]  # fmt: skip
    found = offset_plan(
        rules_of(scheme, year, on), offered, emission_year=year, on=on,
        bases=dict.fromkeys(BASES, base), scheme_used_t=others,
    )  # fmt: skip
    taken = {True: 0, False: 0}
    held = {True: 0, False: 0}
    for (quantity, is_local, _), answer in zip(lots, found, strict=True):
        taken[is_local] += answer.accepted_t
        held[is_local] += quantity
    room = base // 10 if whole_t is None else min(base // 10, max(0, whole_t - others))
    local = min(held[True], room)
    assert taken[True] == local
    rest = [n for n in range(held[False] + 1) if n * share_bp <= local * (10_000 - share_bp)]
    assert taken[False] == min(max(rest), room - local)


def test_what_is_left_can_be_used_and_no_more() -> None:
    rules = rules_of(*CASES[6])
    bases = {"surrender_obligation": 100_000}
    used = [Credit("FFCER", 7_000, region="CN-FJ")]
    left = headroom(rules, emission_year=2020, bases=bases, used=used)
    assert [(limit.limit_t, limit.left_t) for limit in left] == [
        (5_000, 5_000),
        (10_000, 3_000),
        (10_000, 3_000),
        (10_000, 3_000),
    ]
    (answer,) = offset_plan(
        rules,
        [Credit("CCER", 3_001, region="CN-FJ", project_type="forestry")],
        emission_year=2020,
        on=CASES[6][2],
        bases=bases,
        used=used,
    )
    assert (answer.accepted_t, answer.reason) == (3_000, "cap of group fj-total")


def test_a_base_that_is_not_given_is_named() -> None:
    with pytest.raises(KeyError, match="ask for surrender_obligation"):
        offset_plan(
            rules_of(*CASES[6]),
            [Credit("CCER", 1, region="CN-FJ", project_type="forestry")],
            emission_year=2020,
            on=CASES[6][2],
            bases={},
        )


@given(
    whole=st.integers(1, 300), parts=st.lists(st.integers(1, 40), max_size=12),
    order=st.permutations([0, 1, 2]),
)  # fmt: skip
def test_a_share_of_what_is_not_registered_is_of_all_however_often_it_is_asked_for(
    whole: int, parts: list[int], order: list[int]
) -> None:
    rules = rules_in_force(BOOK, "cn-pilot-hubei", 2014, dt.date(2015, 6, 30))
    assert rules is not None
    credit = Credit(
        "CCER", 1, project_type="rural_biogas", region="CN-HB",
        reduction_from=dt.date(2015, 5, 1), flags=("unregistered",),
    )  # fmt: skip

    def taken(offered: list[int], used_t: int) -> int:
        answers = offset_plan(
            rules, [credit._replace(quantity_t=t) for t in offered if t], emission_year=2014,
            on=dt.date(2015, 6, 30), bases={"initial_allocation": 10**6},
            used=[credit._replace(quantity_t=used_t)] if used_t else [],
        )  # fmt: skip
        return sum(answer.accepted_t for answer in answers)

    share_t = whole * 6 // 10
    used_t = 0
    for part in parts:  # as much as is asked for and taken of what is left, again and again
        used_t += min(part, taken([whole - used_t], used_t))
    assert used_t + taken([whole - used_t], used_t) == share_t
    third = whole // 3
    pieces = [third, third, whole - 2 * third]
    assert taken([pieces[at] for at in order], 0) == share_t


@pytest.mark.parametrize(
    ("group", "rule_id"),
    [
        ("stationary", "eu-p3-rice-stationary"),
        ("new_entrant", "eu-p3-rice-new-entrant"),
        ("aircraft", "eu-p3-rice-aircraft"),
        ("", None),
        ("another", None),
    ],
)
def test_a_rule_of_one_group_is_no_rule_of_another(group: str, rule_id: str | None) -> None:
    found = offset_rule(BOOK, "eu-ets", 2014, dt.date(2015, 3, 1), "CER", group)
    assert (found.id if found is not None else None) == rule_id
