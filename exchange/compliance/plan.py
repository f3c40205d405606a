"""The cheapest admissible set of blocks to surrender: a small integer programme, solved by HiGHS.

A lot costs what its units would fetch. Lots that the rules treat alike and that cost the same are
one variable, so a thousand blocks are a handful of them; whole tonnes are then taken from the lots
in the order in which they were given. The solver counts in floating point: which credits it found
goes through the rulebook again, in integers, and the cheapest allowances make up the rest.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from exchange.rulebook.allocation import Borrowing
from exchange.rulebook.eligibility import Credit, unfit
from exchange.rulebook.offsets import (
    BP,
    Limit,
    Unregistered,
    headroom,
    is_nonlocal,
    is_unflagged,
    is_unregistered,
    offset_plan,
    usable,
)
from exchange.rulebook.shapes import ComplianceRules, OffsetRule
from exchange.rulebook.vintages import is_among
from exchange.settings import PLAN_LOTS_MAX, PLAN_PRICE_MAX, PLAN_SECONDS_MAX

ALLOWANCE = ""


class PlanError(ValueError):
    """No plan: too many lots, a price or quantity outside its limits, or the solver gave up."""


class Lot(NamedTuple):
    """Units that may be surrendered: `quantity_t` tonnes worth `price_minor` each.

    An allowance has a `vintage`, an offset a `credit` (whose own quantity does not count). `held`
    says why the units cannot be used now: frozen, pledged, on their way; "" = they can.
    """

    lot_id: int
    quantity_t: int
    price_minor: int
    vintage: int = 0
    credit: Credit | None = None
    held: str = ""
    project: int = 0  # of a credit, for whoever reads the plan


class Chosen(NamedTuple):
    """What to surrender of a lot, and the rule that takes it."""

    lot: Lot
    quantity_t: int
    rule_id: str


class Refused(NamedTuple):
    """Tonnes of a lot that are not in the plan, and why."""

    lot: Lot
    quantity_t: int
    reason: str


class SurrenderPlan(NamedTuple):
    """Chosen lots, their cost, what is still missing, the rest of the lots, and what caps leave."""

    chosen: tuple[Chosen, ...]
    cost_minor: int
    short_t: int
    refused: tuple[Refused, ...]
    limits: tuple[Limit, ...]  # after the plan


class _Class(NamedTuple):
    # Lots that every rule treats alike.
    rule_id: str  # ALLOWANCE, or the offset rule
    group: str
    is_nonlocal: bool
    is_unflagged: bool
    is_borrowed: bool = False


_ALLOWANCES = _Class(ALLOWANCE, "", is_nonlocal=False, is_unflagged=False)
_BORROWED = _ALLOWANCES._replace(is_borrowed=True)


class _Case(NamedTuple):
    # What a plan is made for.
    rules: ComplianceRules
    emission_year: int
    on: dt.date
    bases: Mapping[str, int]
    used: Sequence[Credit]
    scheme_used_t: int
    applies_to: str
    borrowing: Borrowing

    def limits(
        self, used: Sequence[Credit], scheme_used_t: int, borrowed_t: int = 0
    ) -> list[Limit]:
        limits = headroom(
            self.rules,
            emission_year=self.emission_year,
            bases=self.bases,
            used=used,
            scheme_used_t=scheme_used_t,
            applies_to=self.applies_to,
        )
        labels = self.rules.borrowed_vintages
        if labels:
            name = f"{', '.join(labels)} borrowed for {self.emission_year}"
            told = (self.borrowing.limit_t, self.borrowing.left_t - borrowed_t)
            limits.append(Limit(self.rules.id, "borrowing", name, *told))
        return limits


def plan_surrender(
    rules: ComplianceRules,
    lots: Sequence[Lot],
    *,
    owed_t: int,
    emission_year: int,
    on: dt.date,
    bases: Mapping[str, int],
    used: Sequence[Credit] = (),
    scheme_used_t: int = 0,
    applies_to: str = "",
    borrowing: Borrowing = Borrowing(0, 0),  # noqa: B008 - a tuple
) -> SurrenderPlan:
    """The cheapest way to surrender `owed_t` tonnes, or as much of it as the lots allow.

    `bases`, `used` and `scheme_used_t` as for `rulebook.offsets.offset_plan`. Raises PlanError, and
    KeyError for a base that the rules ask for and is not given. O(lots log lots) and the solver's
    time on the distinct kinds and prices among them.
    """
    _check(lots, owed_t)
    case = _Case(rules, emission_year, on, bases, used, scheme_used_t, applies_to, borrowing)
    by_unit = _rules_by_unit(rules, applies_to)
    reasons = {at: _unusable(case, lot, by_unit) for at, lot in enumerate(lots)}
    piles: dict[tuple[_Class, int], list[int]] = defaultdict(list)
    for at, lot in enumerate(lots):
        if not reasons[at]:
            piles[_class_of(case, lot, by_unit), lot.price_minor].append(at)
    limits = case.limits(used, scheme_used_t)
    most = _most(case, lots, by_unit)
    sizes = [sum(most[at] for at in pile) for pile in piles.values()]
    amounts = _solve(list(piles), sizes, limits, case, owed_t)
    taken: dict[int, int] = {}
    for (kind, _), pile, amount in zip(piles, piles.values(), amounts, strict=True):
        if kind.rule_id != ALLOWANCE:
            taken |= _take(most, pile, amount)
    taken = _passed(case, lots, taken)
    rest_t, left_t = owed_t - sum(taken.values()), borrowing.left_t
    for price, kind in sorted((price, kind) for kind, price in piles if kind.rule_id == ALLOWANCE):
        most_t = min(rest_t, left_t) if kind.is_borrowed else rest_t
        more = _take(most, piles[kind, price], most_t)
        rest_t -= sum(more.values())
        left_t -= sum(more.values()) * kind.is_borrowed
        taken |= more
    return _answer(case, lots, taken, most, reasons, by_unit, owed_t)


def _check(lots: Sequence[Lot], owed_t: int) -> None:
    if len(lots) > PLAN_LOTS_MAX:
        raise PlanError(f"{len(lots)} lots, the limit is {PLAN_LOTS_MAX}: transfer some together")
    if owed_t < 0:
        raise PlanError(f"{owed_t} t are owed: a quantity is not negative")
    for lot in lots:
        if lot.quantity_t < 1:
            raise PlanError(f"lot {lot.lot_id}: {lot.quantity_t} t, the least is 1 t")
        if not 0 <= lot.price_minor <= PLAN_PRICE_MAX:
            raise PlanError(
                f"lot {lot.lot_id}: price {lot.price_minor} is outside 0..{PLAN_PRICE_MAX}"
            )


def _rules_by_unit(rules: ComplianceRules, applies_to: str) -> dict[str, OffsetRule]:
    found: dict[str, OffsetRule] = {}
    for rule in rules.offset:
        for unit in rule.credit_types if rule.applies_to == applies_to else ():
            found.setdefault(unit, rule)
    return found


def _unusable(case: _Case, lot: Lot, by_unit: Mapping[str, OffsetRule]) -> str:
    if lot.held:
        return lot.held
    if lot.credit is not None:
        rule = by_unit.get(lot.credit.unit)
        if rule is None:
            return f"{lot.credit.unit} is not taken as an offset by {case.rules.id}"
        return unfit(rule, lot.credit, case.on)
    labels = case.rules.usable_vintages
    if labels and not is_among(lot.vintage, labels + case.rules.borrowed_vintages):
        return f"rule {case.rules.id} takes vintages {', '.join(labels)}; this is {lot.vintage}"
    return ""


def _class_of(case: _Case, lot: Lot, by_unit: Mapping[str, OffsetRule]) -> _Class:
    if lot.credit is None:
        return _BORROWED if is_among(lot.vintage, case.rules.borrowed_vintages) else _ALLOWANCES
    rule = by_unit[lot.credit.unit]
    return _Class(
        rule.id, rule.group, is_nonlocal(rule, lot.credit), is_unflagged(rule, lot.credit)
    )


def _most(case: _Case, lots: Sequence[Lot], by_unit: Mapping[str, OffsetRule]) -> list[int]:
    """How much of each lot may count: of what is not registered a share of all, cheapest first."""
    before: dict[str, Unregistered] = defaultdict(Unregistered)
    for used in case.used:
        rule = by_unit.get(used.unit)
        if rule is not None and is_unregistered(rule, used):
            before[rule.id] = before[rule.id].and_used(used.quantity_t)
    most = [lot.quantity_t for lot in lots]
    for at in sorted(range(len(lots)), key=lambda at: lots[at].price_minor):
        credit = lots[at].credit
        rule = by_unit.get(credit.unit) if credit is not None else None
        if credit is None or rule is None or not is_unregistered(rule, credit):
            continue
        if lots[at].held or unfit(rule, credit, case.on):
            continue
        whole = credit._replace(quantity_t=most[at])
        most[at] = usable(rule, whole, before[rule.id])
        before[rule.id] = before[rule.id].and_offered(whole.quantity_t, most[at])
    return most


def _solve(
    piles: list[tuple[_Class, int]], sizes: list[int], limits: list[Limit], case: _Case, owed_t: int
) -> list[int]:
    """Tonnes of each pile. Variables: the piles, what is missing, and the sum of each class.

    Only the sums are asked to be whole. The piles of a class then are too, since within a class
    the cheaper goes first, and a solver is quick with a handful of whole numbers. It is not asked
    to simplify first: thousands of columns that differ in their cost alone take it seconds.
    """
    if not piles or not owed_t:
        return [0] * len(piles)
    # Only here: to import it takes as long as all the rest of a command.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import lil_array

    kinds = sorted({kind for kind, _ in piles})
    prices = [price for _, price in piles]
    # What is missing costs more than any unit, so as much as possible is surrendered.
    costs = np.array([*prices, 2 * max(prices) + 1, *[0] * len(kinds)], dtype=np.float64)
    most = np.array([*sizes, owed_t, *[np.inf] * len(kinds)], dtype=np.float64)
    before = len(piles) + 1
    rows = lil_array((1 + len(kinds) + len(limits), len(costs)))
    low, high = np.full(rows.shape[0], -np.inf), np.zeros(rows.shape[0])
    rows[0, :before] = 1
    low[0] = high[0] = owed_t
    for at, kind in enumerate(kinds, 1):
        rows[at, [place for place, (of, _) in enumerate(piles) if of == kind]] = 1
        rows[at, before + at - 1] = -1
        low[at] = 0
    for at, limit in enumerate(limits, 1 + len(kinds)):
        row, high[at] = _row(limit, kinds, case)
        rows[at, before:] = row
    found = milp(
        costs,
        integrality=np.arange(len(costs)) >= before,
        bounds=Bounds(0, most),
        constraints=LinearConstraint(rows.tocsr(), low, high),
        options={"mip_rel_gap": 0, "presolve": False, "time_limit": PLAN_SECONDS_MAX},
    )
    if found.x is None:
        raise PlanError(f"the solver found no plan: {found.message}")
    return [round(amount) for amount in found.x[: len(piles)]]


def _row(limit: Limit, kinds: list[_Class], case: _Case) -> tuple[list[int], int]:
    mine = [kind.rule_id == limit.rule_id for kind in kinds]
    match limit.kind:
        case "group":
            rule = next(rule for rule in case.rules.offset if rule.id == limit.rule_id)
            return [int(kind.group == rule.group) for kind in kinds], limit.left_t
        case "borrowing":
            return [int(kind.is_borrowed) for kind in kinds], limit.left_t
        case "scheme":
            return [int(kind.rule_id != ALLOWANCE) for kind in kinds], limit.left_t
        case "max_share_without_flag":
            return [
                int(own and kind.is_unflagged) for own, kind in zip(mine, kinds, strict=True)
            ], limit.left_t
        case "max_nonlocal" | "local_or_partner_only":
            return [
                int(own and kind.is_nonlocal) for own, kind in zip(mine, kinds, strict=True)
            ], limit.left_t
        case "min_local_share":
            return _share_row(limit, kinds, case)
        case _:
            return [int(own) for own in mine], limit.left_t


def _share_row(limit: Limit, kinds: list[_Class], case: _Case) -> tuple[list[int], int]:
    # nonlocal x share <= local x (1 - share), over what was used and what will be.
    rule = next(rule for rule in case.rules.offset if rule.id == limit.rule_id)
    share = next(item.share_bp or BP for item in rule.locality if item.kind == limit.kind)
    weights = {True: share, False: share - BP}
    spent = sum(
        credit.quantity_t * weights[is_nonlocal(rule, credit)]
        for credit in case.used
        if credit.unit in rule.credit_types
    )
    if spent > 0:  # more from elsewhere was used than that: the rulebook takes none beside it
        return [int(kind.rule_id == rule.id and kind.is_nonlocal) for kind in kinds], 0
    row = [weights[kind.is_nonlocal] if kind.rule_id == rule.id else 0 for kind in kinds]
    return row, -spent


def _take(most: Sequence[int], pile: list[int], amount: int) -> dict[int, int]:
    taken = {}
    for at in pile:
        taken[at] = min(amount, most[at])
        amount -= taken[at]
    return taken


def _passed(case: _Case, lots: Sequence[Lot], taken: Mapping[int, int]) -> dict[int, int]:
    """What the rulebook lets pass of the offsets that the solver chose, tonnes by place."""
    places = [at for at, amount in taken.items() if amount]
    offered = []
    for at in places:
        credit = lots[at].credit
        if credit is not None:
            flags = tuple(flag for flag in credit.flags if flag != "unregistered")
            offered.append(credit._replace(quantity_t=taken[at], flags=flags))
    answers = offset_plan(
        case.rules,
        offered,
        emission_year=case.emission_year,
        on=case.on,
        bases=case.bases,
        used=case.used,
        scheme_used_t=case.scheme_used_t,
        applies_to=case.applies_to,
    )
    return {at: answer.accepted_t for at, answer in zip(places, answers, strict=True)}


def _answer(
    case: _Case,
    lots: Sequence[Lot],
    taken: Mapping[int, int],
    most: Sequence[int],
    reasons: Mapping[int, str],
    by_unit: Mapping[str, OffsetRule],
    owed_t: int,
) -> SurrenderPlan:
    chosen, refused, spent, borrowed_t = [], [], [], 0
    for at, lot in enumerate(lots):
        amount = taken.get(at, 0)
        if amount and lot.credit is not None:
            spent.append(lot.credit._replace(quantity_t=amount))
        elif is_among(lot.vintage, case.rules.borrowed_vintages):
            borrowed_t += amount
        if amount:
            rule_id = by_unit[lot.credit.unit].id if lot.credit else case.rules.id
            chosen.append(Chosen(lot, amount, rule_id))
    limits = case.limits([*case.used, *spent], case.scheme_used_t, borrowed_t)
    short_t = owed_t - sum(item.quantity_t for item in chosen)
    for at, lot in enumerate(lots):
        amount = taken.get(at, 0)
        if amount < lot.quantity_t:
            why = reasons[at]
            if not why and amount == most[at]:
                why = "the usable share of unregistered reductions"
            why = why or _left_out(case, lot, by_unit, limits, short_t)
            refused.append(Refused(lot, lot.quantity_t - amount, why))
    cost = sum(item.quantity_t * item.lot.price_minor for item in chosen)
    return SurrenderPlan(tuple(chosen), cost, short_t, tuple(refused), tuple(limits))


def _left_out(
    case: _Case,
    lot: Lot,
    by_unit: Mapping[str, OffsetRule],
    limits: list[Limit],
    short_t: int,
) -> str:
    if lot.credit is None:
        is_borrowed = is_among(lot.vintage, case.rules.borrowed_vintages)
        for limit in limits if is_borrowed else ():
            if limit.kind == "borrowing" and limit.left_t == 0:
                return f"{limit.name}: nothing is left of {limit.limit_t} t"
        return "not needed"
    rule = by_unit[lot.credit.unit]
    mine = [limit for limit in limits if limit.rule_id == rule.id and limit.left_t == 0]
    bound = [
        limit
        for limit in mine
        if limit.kind in {"rule", "group", "scheme"}
        or (limit.kind == "max_share_without_flag" and is_unflagged(rule, lot.credit))
        or (limit.kind.endswith(("local", "only", "share")) and is_nonlocal(rule, lot.credit))
    ]
    if bound:
        return f"{bound[0].name}: nothing is left of {bound[0].limit_t} t"
    return "the rules leave no room for it" if short_t else "dearer than what was chosen"
