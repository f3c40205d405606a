"""The surrender plan: cheapest, within every cap, and with a reason for what is left."""

from __future__ import annotations

import datetime as dt
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.compliance import Lot, PlanError, SurrenderPlan, plan_surrender
from exchange.rulebook import load_rulebook
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import offset_plan
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.shapes import BASES, ComplianceRules

BOOK = load_rulebook()
NEW = "new_registered_from_2024-01-22"
PHCER = Credit("PHCER", 0, region="CN-GD", project_type="solar", co2_ch4_share_bp=10_000)
XINJIANG = Credit("CCER", 0, region="CN-XJ", project_type="wind", co2_ch4_share_bp=10_000)


def rules_of(scheme: str, year: int, on: dt.date) -> ComplianceRules:
    rules = rules_in_force(BOOK, scheme, year, on)
    assert rules is not None
    return rules


def china(lots: list[Lot], owed_t: int, used_t: int = 0, base_t: int = 1_000_000) -> SurrenderPlan:
    on = dt.date(2026, 11, 1)
    return plan_surrender(
        rules_of("cn-national", 2025, on),
        lots,
        owed_t=owed_t,
        emission_year=2025,
        on=on,
        bases={"surrender_obligation": base_t},
        used=[Credit("CCER", used_t, generation=NEW)] if used_t else [],
    )


def allowance(lot_id: int, quantity_t: int, price: int, vintage: int = 2025) -> Lot:
    return Lot(lot_id, quantity_t, price, vintage=vintage)


def ccer(lot_id: int, quantity_t: int, price: int, generation: str = NEW) -> Lot:
    return Lot(lot_id, quantity_t, price, credit=Credit("CCER", 0, generation=generation))


def amounts(plan: SurrenderPlan) -> dict[int, int]:
    return {item.lot.lot_id: item.quantity_t for item in plan.chosen}


def reasons(plan: SurrenderPlan) -> dict[int, tuple[int, str]]:
    return {item.lot.lot_id: (item.quantity_t, item.reason) for item in plan.refused}


def test_cheap_credits_up_to_the_cap_then_the_cheapest_allowances() -> None:
    lots = [allowance(1, 10**6, 7463), allowance(2, 10**5, 7100), ccer(3, 80_000, 5000)]
    plan = china(lots, 1_000_000)
    assert amounts(plan) == {3: 50_000, 2: 100_000, 1: 850_000}
    assert plan.cost_minor == 50_000 * 5000 + 100_000 * 7100 + 850_000 * 7463
    assert plan.short_t == 0
    assert reasons(plan) == {
        1: (150_000, "not needed"),
        3: (30_000, "cap of cn-2025-2026-ccer: nothing is left of 50000 t"),
    }
    assert [(limit.limit_t, limit.left_t) for limit in plan.limits] == [(50_000, 0)]
    assert {item.rule_id for item in plan.chosen} == {"cn-2025-2026-draft", "cn-2025-2026-ccer"}


def test_dear_credits_stay() -> None:
    plan = china([allowance(1, 10**6, 7463), ccer(2, 80_000, 8350)], 1_000_000)
    assert amounts(plan) == {1: 1_000_000}
    assert reasons(plan)[2] == (80_000, "dearer than what was chosen")
    assert plan.limits[0].left_t == 50_000


def test_dear_credits_go_before_a_shortage() -> None:
    plan = china([allowance(1, 900_000, 7463), ccer(2, 80_000, 99_999)], 1_000_000)
    assert amounts(plan) == {1: 900_000, 2: 50_000}
    assert plan.short_t == 50_000


def test_what_cannot_be_used_says_why() -> None:
    lots = [
        allowance(1, 10, 7000, vintage=2024),
        ccer(2, 10, 5000, "old_filed_before_2017-03-14"),
        Lot(3, 10, 5000, credit=Credit("VCU", 0)),
        Lot(4, 10, 7000, vintage=2025, held="frozen by a court"),
    ]
    plan = china(lots, 100)
    assert (plan.chosen, plan.short_t, plan.cost_minor) == ((), 100, 0)
    told = reasons(plan)
    assert "takes vintages CEA25, CEA26; this is 2024" in told[1][1]
    assert "takes programme generation new_registered_from_2024-01-22" in told[2][1]
    assert told[3][1] == "VCU is not taken as an offset by cn-2025-2026-draft"
    assert told[4][1] == "frozen by a court"


def test_what_was_used_leaves_less() -> None:
    plan = china([allowance(1, 10**6, 7463), ccer(2, 80_000, 1)], 500_000, used_t=49_999)
    assert amounts(plan) == {2: 1, 1: 499_999}


def test_blocks_of_one_price_go_in_the_order_given() -> None:
    lots = [allowance(at, 10, 7000) for at in (5, 3, 9, 1)]
    assert amounts(china(lots, 25)) == {5: 10, 3: 10, 9: 5}


def test_nothing_owed_and_nothing_held() -> None:
    assert china([], 0) == SurrenderPlan((), 0, 0, (), china([], 0).limits)
    assert china([], 7).short_t == 7
    assert reasons(china([ccer(1, 5, 1)], 0)) == {1: (5, "dearer than what was chosen")}


def test_local_credits_make_room_for_others() -> None:
    """Guangdong: dear local credits are worth taking when they let cheap ones in."""
    on = dt.date(2017, 6, 20)
    local = Lot(1, 10_000, 2400, credit=PHCER)
    outside = Lot(2, 10_000, 100, credit=XINJIANG)
    plan = plan_surrender(
        rules_of("cn-pilot-guangdong", 2016, on),
        [local, outside, allowance(3, 10**6, 2000)],
        owed_t=100_000,
        emission_year=2016,
        on=on,
        bases={"verified_emissions": 100_000},
    )
    assert amounts(plan) == {1: 7_000, 2: 3_000, 3: 90_000}
    assert plan.cost_minor < 100_000 * 2000


def guangdong(lots: list[Lot], used: list[Credit]) -> SurrenderPlan:
    on = dt.date(2017, 6, 20)
    return plan_surrender(
        rules_of("cn-pilot-guangdong", 2016, on), lots, owed_t=50, emission_year=2016, on=on,
        bases={"verified_emissions": 10_000}, used=used,
    )  # fmt: skip


def test_too_many_from_elsewhere_were_used_and_there_is_a_plan_all_the_same() -> None:
    """As when a project turns out to be elsewhere: local ones and allowances are still taken."""
    used = [XINJIANG._replace(quantity_t=10)]
    local, outside = Lot(2, 5, 100, credit=PHCER), Lot(3, 5, 1, credit=XINJIANG)
    own = allowance(1, 100, 2000)
    assert amounts(guangdong([own], used)) == {1: 50}
    plan = guangdong([own, local, outside], used)
    assert amounts(plan) == {1: 45, 2: 5}
    assert reasons(plan)[3] == (5, "at least 70 percent local: nothing is left of 2 t")


def test_what_is_not_registered_counts_in_part_and_the_rest_says_so() -> None:
    """Hubei: 60 percent of reductions that are not registered; price is not what bars the rest."""
    on = dt.date(2015, 6, 20)
    made = Credit("CCER", 0, project_type="wind", region="CN-HB", reduction_from=on.replace(2014))
    plan = plan_surrender(
        rules_of("cn-pilot-hubei", 2014, on),
        [allowance(1, 1_000, 9), Lot(2, 100, 0, credit=made._replace(flags=("unregistered",)))],
        owed_t=500, emission_year=2014, on=on, bases={"initial_allocation": 10_000},
    )  # fmt: skip
    assert amounts(plan) == {1: 440, 2: 60}
    assert reasons(plan)[2] == (40, "the usable share of unregistered reductions")


@pytest.mark.parametrize(
    ("lots", "owed", "words"),
    [
        ([allowance(1, 0, 5)], 1, "lot 1: 0 t, the least is 1 t"),
        ([allowance(1, 1, -5)], 1, "lot 1: price -5 is outside"),
        ([allowance(1, 1, 10**9 + 1)], 1, "is outside 0..1000000000"),
        ([], -1, "-1 t are owed"),
        ([allowance(1, 1, 5)] * 20_001, 1, "20001 lots, the limit is 20000"),
    ],
)
def test_bad_input(lots: list[Lot], owed: int, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        china(lots, owed)


CREDITS = st.builds(
    Credit,
    unit=st.sampled_from(["CCER", "PHCER", "FFCER", "CQCER", "ARBOC"]),
    quantity_t=st.just(0),
    generation=st.just(NEW),
    project_type=st.sampled_from(["forestry", "wind"]),
    co2_ch4_share_bp=st.sampled_from([None, 10_000]),
    region=st.sampled_from(["CN-GD", "CN-FJ", "CN-CQ", "CN-XJ"]),
    flags=st.sampled_from([(), ("direct_environmental_benefit_in_state",)]),
)
LOTS = st.builds(
    Lot,
    lot_id=st.integers(0, 9),
    quantity_t=st.integers(1, 12),
    price_minor=st.integers(0, 9),
    vintage=st.just(2025),
    credit=st.none() | CREDITS,
    held=st.just(""),
)
CASES = [
    ("cn-national", 2025, dt.date(2026, 11, 1)),
    ("cn-pilot-guangdong", 2017, dt.date(2018, 6, 20)),
    ("cn-pilot-chongqing", 2022, dt.date(2023, 6, 20)),
    ("cn-pilot-fujian", 2020, dt.date(2021, 6, 30)),
    ("ca-qc", 2025, dt.date(2026, 11, 1)),
]


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
@settings(max_examples=60)
@given(lots=st.lists(LOTS, max_size=3), owed=st.integers(0, 30), base=st.integers(0, 120))
def test_no_plan_is_cheaper_and_none_passes_a_cap(
    case: tuple[str, int, dt.date], lots: list[Lot], owed: int, base: int
) -> None:
    """Against every other choice of whole tonnes, in the rulebook's own words."""
    scheme, year, on = case
    rules = rules_of(scheme, year, on)
    bases = dict.fromkeys(BASES, base)
    plan = plan_surrender(rules, lots, owed_t=owed, emission_year=year, on=on, bases=bases)
    best = (owed + 1, 0)
    for choice in product(*(range(min(lot.quantity_t, owed) + 1) for lot in lots)):
        if sum(choice) > owed:
            continue
        credits_ = [
            lot.credit._replace(quantity_t=amount)
            for lot, amount in zip(lots, choice, strict=True)
            if lot.credit is not None and amount
        ]
        passed = offset_plan(rules, credits_, emission_year=year, on=on, bases=bases)
        if all(a.accepted_t == c.quantity_t for a, c in zip(passed, credits_, strict=True)):
            cost = sum(a * lot.price_minor for a, lot in zip(choice, lots, strict=True))
            best = min(best, (owed - sum(choice), cost))
    assert (plan.short_t, plan.cost_minor) == best
    assert sum(item.quantity_t for item in plan.chosen) == owed - plan.short_t
    held = sum(lot.quantity_t for lot in lots)
    left = sum(item.quantity_t for item in plan.refused)
    assert left + owed - plan.short_t == held
    assert all(item.reason for item in plan.refused)
