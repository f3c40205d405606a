"""What would switch a rule off without a word: names that nothing has, shares above the whole.

A generation that no unit has, a group that no account can be of, a step that no calendar knows:
none breaks a type, and each leaves a rule that applies to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import msgspec

from exchange.messages.instructions import GroupWord
from exchange.rulebook.book import Rulebook
from exchange.rulebook.provisional import BASE_WORDS, provisional_base
from exchange.rulebook.shapes import (
    CalendarStep,
    CarryOver,
    ComplianceRules,
    CompositePrice,
    PenaltyRule,
    Scheme,
    SupplyControl,
)

BP = 10_000
_BEYOND = {"multiplier_bp", "vector"}  # a factor, and cases that may be wrong
_RANGES = (("multiple_min", "multiple_max"), ("fine_min_minor", "fine_max_minor"))


def strange_values(rulebook: Rulebook) -> Iterator[str]:
    """Every such value, in words, table and key first. O(values)."""
    for scheme in rulebook.scheme:
        where = f"scheme {scheme.id}"
        yield from _shares(scheme, where)
        for rules in scheme.rules:
            yield from _rules(rulebook, scheme, rules, f"{where}, rules {rules.id}")
        for control in scheme.supply_control:
            yield from _thresholds(control, f"{where}, supply_control {control.id}")
        if scheme.composite_price is not None:
            yield from _weights(scheme.composite_price, f"{where}, composite_price")
        if scheme.carry_over is not None:
            yield from _carry_over(rulebook, scheme, scheme.carry_over, f"{where}, carry_over")
        yield from _sectors(scheme, where)


def _shares(value: Any, where: str, key: str = "") -> Iterator[str]:
    if isinstance(value, msgspec.Struct):
        label = getattr(value, "id", "") or getattr(value, "kind", "")
        inside = f"{where}, {key} {label}".rstrip() if key else where
        for name, written in zip(
            value.__struct_fields__, value.__struct_encode_fields__, strict=True
        ):
            if name not in _BEYOND:
                yield from _shares(getattr(value, name), inside, written)
    elif isinstance(value, tuple):
        for item in value:
            yield from _shares(item, where, key)
    elif isinstance(value, int) and (key == "bp" or "_bp" in key) and value > BP:
        yield f"{where}: {key}: {value} basis points are more than the whole, {BP}"


def _rules(rulebook: Rulebook, scheme: Scheme, rules: ComplianceRules, where: str) -> Iterator[str]:
    groups = get_args(GroupWord)
    yield from _provisional(rules, where)
    if rules.penalty is not None:
        yield from _range(rules.penalty, f"{where}, penalty")
    if rules.applies_to and rules.applies_to not in groups:
        yield f"{where}: applies_to: {rules.applies_to} is none of {', '.join(groups)}"
    for key in ("usable_vintages", "borrowed_vintages", "arrears_vintages"):
        yield from _labels(rulebook, scheme, getattr(rules, key), f"{where}: {key}")
    units = {unit.code: unit for unit in rulebook.unit_type}
    for rule in rules.offset:
        here = f"{where}, offset {rule.id}"
        if rule.applies_to and rule.applies_to not in groups:
            yield f"{here}: applies_to: {rule.applies_to} is none of {', '.join(groups)}"
        for code in rule.credit_types:
            if code not in units or units[code].kind != "offset":
                yield f"{here}: credit_types: {code} is no unit_type of kind offset"
        found = [units[code].programme_generations for code in rule.credit_types if code in units]
        known = {generation for generations in found for generation in generations}
        for generation in rule.programme_generations:
            if generation not in known:
                yield f"{here}: programme_generations: no unit is of generation {generation}"


def _sectors(scheme: Scheme, where: str) -> Iterator[str]:
    """Names that the scheme does not declare, and steps of years whose rules do not cover them."""
    covered = {sector for rules in scheme.rules for sector in rules.sectors}
    if covered and not scheme.sectors:
        yield f"{where}: sectors is missing: its rules name {', '.join(sorted(covered))}"
        return
    declared = ", ".join(scheme.sectors) or "none"
    tables = [(f"{where}, rules {rules.id}", rules.sectors) for rules in scheme.rules]
    tables += [(_step(where, step), step.sectors) for step in scheme.calendar]
    for here, sectors in tables:
        for sector in sectors:
            if sector not in scheme.sectors:
                yield f"{here}: sectors: {sector} is no sector of the scheme, which has {declared}"
    for sector in scheme.sectors:
        if sector not in covered:
            yield f"{where}: sectors: no rules cover {sector}"
    for step in scheme.calendar:
        for year in step.emission_years:
            of_year = [rules for rules in scheme.rules if year in rules.emission_years]
            known = sorted({sector for rules in of_year for sector in rules.sectors})
            for sector in step.sectors if known else ():
                if sector in scheme.sectors and sector not in known:
                    yield (
                        f"{_step(where, step)}: sectors: no rules of {year} cover {sector}, only "
                        f"{', '.join(known)}"
                    )


def _step(where: str, step: CalendarStep) -> str:
    years = ", ".join(map(str, step.emission_years))
    return f"{where}, calendar {step.step} of {years}"


def _provisional(rules: ComplianceRules, where: str) -> Iterator[str]:
    """A share needs a base, and the registry reads its words."""
    if (rules.provisional_allocation_bp is None) == bool(rules.provisional_base):
        yield f"{where}: provisional_allocation_bp and provisional_base belong together"
    if not rules.provisional_base:
        return
    base = provisional_base(rules.provisional_base)
    if base is None:
        yield f"{where}: provisional_base: {rules.provisional_base} is none of {BASE_WORDS}"
    elif rules.emission_years and (base.named_year or 0) > max(rules.emission_years):
        yield (
            f"{where}: provisional_base: {base.named_year} is after the emission years, which end "
            f"with {max(rules.emission_years)}"
        )


def _range(penalty: PenaltyRule, where: str) -> Iterator[str]:
    for low, high in _RANGES:
        least, most = getattr(penalty, low), getattr(penalty, high)
        if least is not None and most is not None and least > most:
            yield f"{where}: {low} is above {high}"


def _labels(
    rulebook: Rulebook, scheme: Scheme, labels: tuple[str, ...], where: str
) -> Iterator[str]:
    units = [unit for unit in rulebook.unit_type if unit.code in scheme.allowance_units]
    known = {label for unit in units for label in unit.vintage_labels}
    for label in labels if known else ():
        if label not in known:
            yield f"{where}: {label} is no vintage_label of {', '.join(scheme.allowance_units)}"


def _carry_over(rulebook: Rulebook, scheme: Scheme, rule: CarryOver, where: str) -> Iterator[str]:
    yield from _labels(rulebook, scheme, rule.from_vintages, f"{where}: from_vintages")
    yield from _labels(rulebook, scheme, (rule.to_vintage,), f"{where}: to_vintage")
    if rule.net_sales_from > rule.net_sales_to:
        yield f"{where}: net_sales_from is after net_sales_to"
    ends = [batch.applied_until for batch in rule.batches]
    if ends != sorted(ends) or not ends or ends[-1] != rule.application_until:
        yield f"{where}: batches: applied_until rises to application_until"


def _thresholds(control: SupplyControl, where: str) -> Iterator[str]:
    middle = control.middle_threshold_t
    steps = [control.lower_threshold_t, *([] if middle is None else [middle])]
    if [*steps, control.upper_threshold_t] != sorted([*steps, control.upper_threshold_t]):
        yield f"{where}: lower_threshold_t, middle_threshold_t and upper_threshold_t do not rise"


def _weights(price: CompositePrice, where: str) -> Iterator[str]:
    for item in price.weights:
        whole = len(item.sample) * item.weight_bp_each
        if whole != BP:
            yield f"{where}: weights from {item.from_} are {whole} basis points together, not {BP}"
