"""Surrender plans of every scheme: within every cap, in any order, and never dearer than need be.

The cases come from the file, the limits from plain arithmetic (`tests.offset_rules`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.compliance import Lot, SurrenderPlan, plan_surrender
from exchange.rulebook import load_rulebook
from exchange.rulebook.allocation import Borrowing
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.offsets import offset_plan
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.shapes import ComplianceRules
from tests.offset_rules import (
    ALL_BASES,
    CASES,
    WHOLE,
    Bound,
    Case,
    Table,
    bounds,
    elsewhere,
    fitting,
    room,
    rules_for,
    share_of,
    variants,
    wider,
)

BOOK = load_rulebook()
USABLE = "the usable share of unregistered reductions"
NEVER = dt.date(1900, 1, 1)


class Task(NamedTuple):
    """What is owed under the rules of a case, what is held, and what was used before."""

    case: Case
    lots: list[Lot]
    owed_t: int
    bases: dict[str, int]
    spent: list[Credit]
    others_t: int
    borrowing: Borrowing

    @property
    def limits(self) -> list[Bound]:
        case = self.case
        return bounds(case.rules, case.group, case.year, self.bases, self.others_t)


def is_capped(case: Case) -> bool:
    return bool(case.rule["credit_types"]) and share_of(case.rule, case.year) is not None


def plannable() -> Iterator[Case]:
    """A case of each kind of rules of each scheme: the last year, or one with a cap for all."""
    found: dict[tuple[object, ...], Case] = {}
    for case in CASES:
        if not is_capped(case):
            continue
        mine = rules_for(case.rules, case.group)
        kinds = (bound.kind for bound in bounds(case.rules, case.group, case.year, BIG))
        shape = {unit for rule in mine for unit in rule["credit_types"]} | set(kinds)
        shape |= {key for rule in mine for key in rule if key in ("programme_generations",)}
        labels = bool(case.rules.get("borrowed_vintages"))
        found[case.scheme, case.group, case.rules.get("applies_to"), labels, *sorted(shape)] = case
    yield from found.values()


BIG = dict.fromkeys(ALL_BASES, 10**9)
PLANNED = list(plannable())


def kinds_of(cases: list[Case]) -> set[str]:
    return {b.kind for c in cases for b in bounds(c.rules, c.group, c.year, BIG)}


def rules_of(case: Case) -> ComplianceRules:
    own = case.rules.get("applies_to", "")
    rules = rules_in_force(BOOK, case.scheme, case.year, case.first, own)
    assert rules is not None
    assert rules.id == case.rules["id"]
    return rules


def misfits(rule: Table) -> list[Credit]:
    """Credits that a rule takes at no time and in no number."""
    credit = fitting(rule, quantity_t=0)
    found = [credit._replace(unit="VCU")]
    kinds = [item["kind"] for item in rule.get("locality", ())]
    if "local_only" in kinds or "local_or_partner_only" in kinds:
        found.append(credit._replace(region=elsewhere(rule), flags=()))
    if "excluded_project_types" in rule:
        kind = rule["excluded_project_types"][0]
        found += [credit._replace(project_type=name) for name in (kind, "", *wider(kind, "_"))]
    for item in rule.get("conditional_project_types", ()):
        found.append(credit._replace(project_type=item["project_type"]))
    if "excluded_gases" in rule:
        found += [credit._replace(gas=gas) for gas in (rule["excluded_gases"][0], "")]
    if "co2_ch4_min_share_bp" in rule:
        found.append(credit._replace(co2_ch4_share_bp=None))
    if "exclude_host_regions" in rule:
        found += [credit._replace(region=name) for name in (rule["exclude_host_regions"][0], "CN")]
    if "programme_generations" in rule:
        found.append(credit._replace(generation=""))
    if "reduction_from" in rule:
        found.append(credit._replace(reduction_from=NEVER))
    return found


def fits(rule: Table) -> list[Credit]:
    found = [one for unit in rule["credit_types"] for one in variants(rule, unit)]
    if "unregistered_reductions" in rule:
        found += [one._replace(flags=(*one.flags, "unregistered")) for one in found]
    for item in rule.get("conditional_project_types", ()):
        proven = {"project_type": item["project_type"], "flags": (item["flag"],)}
        found += [fitting(rule, unit, **proven) for unit in rule["credit_types"]]
    return [one._replace(quantity_t=0) for one in found]


def vintages(rules: Table, key: str, otherwise: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(2000 + int(label[-2:]) for label in rules.get(key, ())) or otherwise


@st.composite
def tasks(draw: st.DrawFn, case: Case, most_t: int, price: int, credits_: int) -> Task:
    """Holdings about as large as the caps, most of them of use and cheaper than allowances."""
    mine = rules_for(case.rules, case.group)
    good, bad = [c for r in mine for c in fits(r)], [c for r in mine for c in misfits(r)]
    sizes, prices = st.integers(1, most_t), st.integers(0, price)
    kinds = draw(st.lists(st.sampled_from(good * 5 + bad), min_size=2, max_size=credits_))
    usable = vintages(case.rules, "usable_vintages", (case.year,))
    years = (*usable * 3, *vintages(case.rules, "borrowed_vintages", usable))
    years += (1999,) * ("usable_vintages" in case.rules)
    dated = draw(st.lists(st.sampled_from(years), min_size=1, max_size=3))
    lots = [Lot(at, draw(sizes), draw(prices), credit=c) for at, c in enumerate(kinds)]
    dearer = st.integers(price // 2, price + 1)
    lots += [Lot(at, draw(sizes), draw(dearer), year) for at, year in enumerate(dated, 50)]
    if draw(st.integers(0, 7)) == 0:
        lots[0] = lots[0]._replace(held="frozen by the authority")
    # a limit that rules or accounts share is to be reached before that of each
    wide = [w["cap_t"] for r in mine for w in r.get("scheme_wide_caps", ())]
    others_t = max(0, wide[0] - draw(st.integers(0, most_t))) if wide else 0
    least_t, caps_t = most_t * bool(wide), most_t // (2 if "group" in mine[0] else 1)
    bases = {}
    for name in ALL_BASES:
        share = min([share_of(r, case.year) or 1 for r in mine if r["cap_base"] == name], default=1)
        tonnes = least_t + draw(st.integers(0, caps_t))
        bases[name] = tonnes * WHOLE // share + draw(st.integers(0, 30))
    limits = bounds(case.rules, case.group, case.year, bases, others_t)
    spent: list[Credit] = []
    for credit in draw(st.lists(st.sampled_from(good), max_size=2)):
        at_most = room(limits, credit, spent)
        spent.append(credit._replace(quantity_t=min(at_most, draw(sizes))))
    borrowed = (draw(st.integers(0, most_t)), draw(st.integers(0, most_t)))
    owed_t = draw(st.integers(most_t, 4 * most_t) | st.integers(0, most_t))
    mixed = draw(st.permutations(lots))
    return Task(case, mixed, owed_t, bases, spent, others_t, Borrowing(*borrowed))


def plan_of(task: Task, lots: Sequence[Lot]) -> SurrenderPlan:
    return plan_surrender(
        rules_of(task.case), lots, owed_t=task.owed_t, emission_year=task.case.year,
        on=task.case.first, bases=task.bases, used=task.spent, scheme_used_t=task.others_t,
        applies_to=task.case.group, borrowing=task.borrowing,
    )  # fmt: skip


# -- what must come out ----------------------------------------------------------------------------


def usable_t(task: Task, lot: Lot) -> int:
    """How much of a lot may be used, whatever the limits."""
    rules = task.case.rules
    if lot.held:
        return 0
    if lot.credit is None:
        known = vintages(rules, "usable_vintages", (lot.vintage,))
        return lot.quantity_t * (lot.vintage in known or is_borrowed(task, lot))
    for rule in rules_for(rules, task.case.group):
        if lot.credit in fits(rule):
            window = rule.get("unregistered_reductions")
            is_whole = window is None or "unregistered" not in lot.credit.flags
            return lot.quantity_t if is_whole else share_t(task, lot, rule, window)
    return 0


def share_t(task: Task, lot: Lot, rule: Table, window: Table) -> int:
    """What a lot brings to the share of all that is or was not registered, cheapest lots first."""
    units = rule["credit_types"]
    used_t = sum(
        credit.quantity_t
        for credit in task.spent
        if credit.unit in units and "unregistered" in credit.flags
    )
    offered_t = used_t
    for other in sorted(task.lots, key=lambda one: one.price_minor):
        credit = other.credit
        if credit is None or other.held or "unregistered" not in credit.flags:
            continue
        if credit not in fits(rule):
            continue
        offered_t += other.quantity_t
        most_t = offered_t * window["usable_share_bp"] // WHOLE - used_t
        brought_t = min(max(most_t, 0), other.quantity_t)
        used_t += brought_t
        if other.lot_id == lot.lot_id:
            return brought_t
    raise AssertionError(lot)


def is_borrowed(task: Task, lot: Lot) -> bool:
    return lot.credit is None and lot.vintage in vintages(task.case.rules, "borrowed_vintages", ())


def filled(task: Task, chosen: Sequence[tuple[Lot, int]]) -> tuple[int, int]:
    """What is short and what it costs when the cheapest allowances make up the rest."""
    rest_t = task.owed_t - sum(amount for _, amount in chosen)
    cost = sum(lot.price_minor * amount for lot, amount in chosen)
    left_t = max(0, task.borrowing.limit_t - task.borrowing.used_t)
    for lot in sorted(task.lots, key=lambda lot: lot.price_minor):
        if lot.credit is None:
            amount = min(rest_t, usable_t(task, lot))
            if is_borrowed(task, lot):
                amount = min(amount, left_t)
                left_t -= amount
            rest_t -= amount
            cost += amount * lot.price_minor
    return rest_t, cost


def best_of_all(task: Task) -> tuple[int, int]:
    """The least short and then the cheapest of every choice of whole tonnes of the credits."""
    held = [lot for lot in task.lots if lot.credit is not None]
    rows = []
    for limit in task.limits:
        weights = [limit.weight(lot.credit) for lot in held if lot.credit is not None]
        rows.append((weights, limit.most_t - limit.used(task.spent)))
    best = (task.owed_t + 1, 0)
    for choice in product(*(range(min(usable_t(task, lot), task.owed_t) + 1) for lot in held)):
        if sum(choice) <= task.owed_t and all(
            sum(map(int.__mul__, weights, choice)) <= most_t or not any(choice)
            for weights, most_t in rows
        ):
            best = min(best, filled(task, list(zip(held, choice, strict=True))))
    return best


def by_price(task: Task) -> tuple[int, int]:
    """The same where each limit lies within or apart from the others: cheap ones first."""
    spent, rest_t, cost = list(task.spent), task.owed_t, 0
    left_t = max(0, task.borrowing.limit_t - task.borrowing.used_t)
    for lot in sorted(task.lots, key=lambda lot: lot.price_minor):
        amount = min(rest_t, usable_t(task, lot))
        if amount and lot.credit is not None:
            amount = min(amount, room(task.limits, lot.credit, spent))
            spent.append(lot.credit._replace(quantity_t=amount))
        elif is_borrowed(task, lot):
            amount = min(amount, left_t)
            left_t -= amount
        rest_t -= amount
        cost += amount * lot.price_minor
    return rest_t, cost


def check(task: Task, plan: SurrenderPlan) -> None:
    """Within every limit, nothing lost, and a true reason for whatever is not in it."""
    taken = {item.lot.lot_id: item.quantity_t for item in plan.chosen}
    left = {item.lot.lot_id: item.quantity_t for item in plan.refused}
    assert min([*taken.values(), *left.values()]) > 0
    for lot in task.lots:
        assert taken.get(lot.lot_id, 0) + left.get(lot.lot_id, 0) == lot.quantity_t
        assert taken.get(lot.lot_id, 0) <= usable_t(task, lot)
    assert plan.short_t == task.owed_t - sum(taken.values())
    assert plan.short_t >= 0
    assert plan.cost_minor == sum(i.quantity_t * i.lot.price_minor for i in plan.chosen)
    new = [
        lot.credit._replace(quantity_t=taken[lot.lot_id])
        for lot in task.lots
        if lot.credit is not None and lot.lot_id in taken
    ]
    check_limits(task, plan, new)
    check_reasons(task, plan)


def check_limits(task: Task, plan: SurrenderPlan, new: list[Credit]) -> None:
    case, rules = task.case, rules_of(task.case)
    expected = []
    for limit in task.limits:
        used_t = limit.used([*task.spent, *new])
        assert used_t <= limit.most_t or limit.used(new) <= 0, limit
        if limit.kind != "min_local_share":
            most_t = limit.most_t + task.others_t * (limit.kind == "scheme")
            told = (limit.rule_id, limit.kind, most_t)
            expected.append((*told, max(0, limit.most_t - used_t)))
    lent = sum(item.quantity_t for item in plan.chosen if is_borrowed(task, item.lot))
    if case.rules.get("borrowed_vintages"):
        may_t = max(0, task.borrowing.limit_t - task.borrowing.used_t)
        assert lent <= may_t
        told = (case.rules["id"], "borrowing", task.borrowing.limit_t, may_t - lent)
        expected.append(told)
    found = [limit for limit in plan.limits if limit.kind != "min_local_share"]
    assert [(x.rule_id, x.kind, x.limit_t, x.left_t) for x in found] == expected
    for order in (new, new[::-1]):
        passed = offset_plan(
            rules,
            [c._replace(flags=tuple(f for f in c.flags if f != "unregistered")) for c in order],
            emission_year=case.year, on=case.first, bases=task.bases, used=task.spent,
            scheme_used_t=task.others_t, applies_to=case.group,
        )  # fmt: skip
        assert [a.accepted_t for a in passed] == [c.quantity_t for c in order]


def check_reasons(task: Task, plan: SurrenderPlan) -> None:
    own = [i.lot.price_minor for i in plan.chosen if i.lot.credit is None]
    taken = {item.lot.lot_id: item.quantity_t for item in plan.chosen}
    for lot, _, reason in plan.refused:
        assert reason
        most_t = usable_t(task, lot)
        if lot.held:
            assert reason == lot.held
        elif not most_t and (lot.credit is None or "unregistered" not in lot.credit.flags):
            words = ("rule ", "VCU is not taken as an offset by ")
            assert reason.startswith(words), reason
        elif taken.get(lot.lot_id, 0) == most_t:
            assert reason == USABLE
        elif plan.short_t:  # more would have been of use: a limit forbids it
            assert "nothing is left of" in reason or reason == "the rules leave no room for it"
        elif reason == "dearer than what was chosen":
            assert lot.price_minor >= max(own, default=0)


@pytest.mark.parametrize("case", PLANNED, ids=[case.name for case in PLANNED])
def test_no_cap_is_passed_and_nothing_is_cheaper(case: Case) -> None:
    @settings(max_examples=8 if kinds_of([case]) == {"rule"} else 30)
    @given(task=tasks(case, 7, 6, 3), shuffle=st.randoms(use_true_random=False))
    def holds(task: Task, shuffle: object) -> None:
        plan = plan_of(task, task.lots)
        check(task, plan)
        assert (plan.short_t, plan.cost_minor) == best_of_all(task)
        mixed = list(task.lots)
        shuffle.shuffle(mixed)  # type: ignore[attr-defined]
        again = plan_of(task, mixed)
        # of two at one price the first that is offered brings the share of unregistered ones
        check(task._replace(lots=mixed), again)
        assert (again.short_t, again.cost_minor) == (plan.short_t, plan.cost_minor)

    holds()


NESTED = [case for case in PLANNED if "min_local_share" not in kinds_of([case])]


@pytest.mark.parametrize("case", NESTED, ids=[case.name for case in NESTED])
def test_millions_of_tonnes_are_counted_to_the_last(case: Case) -> None:
    @settings(max_examples=8)
    @given(task=tasks(case, 9_999_999, 99_999, 6))
    def holds(task: Task) -> None:
        plan = plan_of(task, task.lots)
        check(task, plan)
        assert (plan.short_t, plan.cost_minor) == by_price(task)

    holds()


@pytest.mark.parametrize("case", [case for case in PLANNED if case.group], ids=lambda c: c.name)
def test_who_is_of_no_group_uses_nothing_of_a_groups_rules(case: Case) -> None:
    """The EU's third phase: credits are exchanged by a group's rules, and never surrendered."""
    rule, own = case.rule, Lot(1, 100, 9, vintage=case.year)
    lots = [own, *(Lot(at, 5, 1, credit=c) for at, c in enumerate(fits(rule), 2))]
    owed_t = 5 * len(fits(rule)) - 2
    task = Task(case, lots, owed_t, dict.fromkeys(ALL_BASES, 10**6), [], 0, Borrowing(0, 0))
    assert [item.lot.credit for item in plan_of(task, lots).chosen] == fits(rule)
    alone = task._replace(case=case._replace(rule={**rule, "applies_to": ""}))
    plan = plan_of(alone, lots)
    assert [(item.lot, item.quantity_t) for item in plan.chosen] == [(own, owed_t)]
    told = {reason for lot, _, reason in plan.refused if lot.credit is not None}
    assert all("is not taken as an offset by" in reason for reason in told)


def test_every_scheme_with_a_cap_has_plans() -> None:
    capped = [case for case in CASES if is_capped(case)]
    assert {case.scheme for case in PLANNED} == {case.scheme for case in capped}
    assert {case.group for case in PLANNED} == {case.group for case in capped}
    assert kinds_of(PLANNED) == kinds_of(capped)
