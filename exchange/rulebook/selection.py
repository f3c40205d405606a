"""Which rules hold: by scheme, then emission year, then the date of the act."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

import msgspec

from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.shapes import ComplianceRules, OffsetRule, Scheme
from exchange.rulebook.vintages import is_among


class VintageVerdict(NamedTuple):
    """Whether a vintage counts: the rule that decided, its source, the refusal ("" = counts).

    What is borrowed counts up to a limit (`allocation.borrowing`).
    """

    rule_id: str
    source: str
    refusal: str
    is_borrowed: bool = False


def scheme_named(rulebook: Rulebook, scheme_id: str) -> Scheme:
    """The scheme with that id; RulebookError names those that are known. O(schemes)."""
    scheme = rulebook.scheme_of(scheme_id)
    if scheme is None:
        known = ", ".join(item.id for item in rulebook.scheme)
        others = ", ".join(dict.fromkeys(i.scheme for i in rulebook.offset_limit_reference))
        known += f"; of {others} the offset limit alone" if others else ""
        raise RulebookError(f"the rulebook knows no scheme {scheme_id}; known: {known}")
    return scheme


def is_in_force(rules: ComplianceRules, on: dt.date) -> bool:
    """Whether an act of that day falls under the rules. O(1)."""
    return rules.effective_from <= on and (rules.effective_to is None or on <= rules.effective_to)


def rules_in_force(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, applies_to: str = ""
) -> ComplianceRules | None:
    """The rules of a scheme for an emission year on the date of the act. O(rules).

    `applies_to` names a group of entities that has rules of its own.
    """
    scheme = rulebook.scheme_of(scheme_id)
    for rules in scheme.rules if scheme else ():
        is_year = not rules.emission_years or emission_year in rules.emission_years
        if is_year and is_in_force(rules, on) and rules.applies_to == applies_to:
            return rules
    return None


def rules_named(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, applies_to: str = ""
) -> ComplianceRules:
    """`rules_in_force`, and RulebookError where there are none. O(rules)."""
    scheme_named(rulebook, scheme_id)
    rules = rules_in_force(rulebook, scheme_id, emission_year, on, applies_to)
    if rules is None:
        raise RulebookError(f"scheme {scheme_id} has no rule in force on {on} for {emission_year}")
    return rules


def rules_of_group(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, group: str
) -> ComplianceRules | None:
    """`rules_in_force`, with the offsets and periods of a group that has its own. O(rules)."""
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    own = rules_in_force(rulebook, scheme_id, emission_year, on, group) if group else None
    if rules is None or own is None:
        return rules
    return msgspec.structs.replace(
        rules, offset=own.offset, compliance_periods=own.compliance_periods
    )


def groups_of(rulebook: Rulebook, scheme_id: str) -> tuple[str, ...]:
    """The groups of entities that have rules of their own in a scheme, rising. O(rules)."""
    scheme = rulebook.scheme_of(scheme_id)
    rules = scheme.rules if scheme else ()
    named = {item.applies_to for item in rules}
    named.update(rule.applies_to for item in rules for rule in item.offset)
    return tuple(sorted(named - {""}))


def open_emission_years(rulebook: Rulebook, scheme_id: str, on: dt.date) -> tuple[int, ...]:
    """Emission years whose offset rules are in force on a date, rising. O(rules)."""
    scheme = rulebook.scheme_of(scheme_id)
    return tuple(
        sorted(
            year
            for rules in (scheme.rules if scheme else ())
            if any(rule.credit_types for rule in rules.offset) and is_in_force(rules, on)
            for year in rules.emission_years
        )
    )


def offset_rule(
    rulebook: Rulebook,
    scheme_id: str,
    emission_year: int,
    on: dt.date,
    product: str,
    group: str = "",
) -> OffsetRule | None:
    """The rule of the group for a credit type, None when there is none in force. O(rules).

    One that applies to the group goes before one for all; those of other groups are no rules of it.
    """
    rules = rules_of_group(rulebook, scheme_id, emission_year, on, group)
    offsets = [rule for rule in rules.offset if product in rule.credit_types] if rules else []
    own = [rule for rule in offsets if rule.applies_to == group]
    return next((rule for rule in own or offsets if rule.applies_to in (group, "")), None)


def is_exchange(rule: OffsetRule) -> bool:
    """Whether credits under the rule are exchanged for allowances, and never surrendered. O(1)."""
    return rule.use_mode.startswith("exchange_for_allowances")


def lives_elsewhere(rulebook: Rulebook, scheme_id: str, product: str) -> bool:
    """Whether a credit is of another scheme than the one that takes it. O(unit types).

    Then it lies in that scheme's registry, as CCERs do for the national scheme and for each pilot,
    and is surrendered over two registries.
    """
    return any(
        unit.code == product and unit.kind == "offset" and unit.scheme != scheme_id
        for unit in rulebook.unit_type
    )


def check_vintage(
    rulebook: Rulebook, *, scheme_id: str, emission_year: int, on: dt.date, vintage: int
) -> VintageVerdict:
    """Whether allowances of a vintage count for an emission year on the date of the act. O(rules).

    Without a rule in force, or with one that names no vintages and forbids no banking, every
    vintage counts; so does a vintage of 0, which is not known. For a year whose rules are over,
    the rules in force say with what arrears are made good, where they know.
    """
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    if rules is None:
        return _of_arrears(rulebook, scheme_id, emission_year, on, vintage)
    labels = rules.usable_vintages
    if not labels or is_among(vintage, labels):
        scheme = scheme_named(rulebook, scheme_id)
        unbanked = _unbanked(scheme, rules, vintage) if vintage else None
        if unbanked is None:
            return VintageVerdict(rules.id, "", "")
        barring, why = unbanked
        text = f"rule {barring.id} {why}; these are of {vintage}, for {emission_year}"
        return VintageVerdict(barring.id, rulebook.citation(barring), text)
    if is_among(vintage, rules.borrowed_vintages):
        return VintageVerdict(rules.id, rulebook.citation(rules), "", is_borrowed=True)
    text = (
        f"rule {rules.id} takes allowances of vintage {', '.join(labels)} for {emission_year}; "
        f"these are of {vintage}"
    )
    return VintageVerdict(rules.id, rulebook.citation(rules), text)


def not_surrendered_by(rules: ComplianceRules | None, unit: str, account_type: str) -> str:
    """Why accounts of a type do not surrender a unit, in words; "" = they do. O(units).

    An account of no stated type is none of those that a rule names.
    """
    for item in rules.reserved_units if rules is not None else ():
        if rules is not None and item.unit == unit and account_type not in item.account_types:
            shown = f"a {account_type}" if account_type else "of no stated type"
            return (
                f"rule {rules.id} lets {unit} be surrendered by {', '.join(item.account_types)} "
                f"only; the account is {shown}"
            )
    return ""


def check_mixed_vintage(
    rulebook: Rulebook, *, scheme_id: str, emission_year: int, on: dt.date, vintage: int
) -> VintageVerdict:
    """`check_vintage` for units of an instrument that keeps several vintages together. O(rules).

    What is borrowed is counted by instrument: of such a one nothing is.
    """
    verdict = check_vintage(
        rulebook, scheme_id=scheme_id, emission_year=emission_year, on=on, vintage=vintage
    )
    if not verdict.is_borrowed:
        return verdict
    text = (
        f"under rule {verdict.rule_id} allowances of {vintage} are borrowed for {emission_year} "
        "from an instrument of that vintage alone"
    )
    return verdict._replace(refusal=text, is_borrowed=False)


def _of_arrears(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, vintage: int
) -> VintageVerdict:
    scheme = rulebook.scheme_of(scheme_id)
    for rules in scheme.rules if scheme else ():
        if emission_year not in rules.arrears_years or not is_in_force(rules, on):
            continue
        labels = rules.arrears_vintages
        text = ""
        if not is_among(vintage, labels):
            text = (
                f"rule {rules.id} lets arrears of {emission_year} be made good with vintage "
                f"{', '.join(labels)}; these are of {vintage}"
            )
        return VintageVerdict(rules.id, rulebook.citation(rules) if text else "", text)
    return VintageVerdict("", "", "")


def _unbanked(
    scheme: Scheme, rules: ComplianceRules, vintage: int
) -> tuple[ComplianceRules, str] | None:
    """The rules by which a vintage does not pass into the years of `rules`, and what they say."""
    years = rules.emission_years
    if not years:
        return None
    if vintage < min(years):
        if rules.banking_in == "none":
            return rules, f"takes no allowances of years before {min(years)}"
        for earlier in scheme.rules:
            if vintage in earlier.emission_years and earlier.banking_out == "not_allowed":
                return earlier, f"lets no allowances be banked beyond {max(earlier.emission_years)}"
    if vintage > max(years) and rules.borrowing == "within_phase_by_timing_only":
        return rules, f"lets no allowances of years after {max(years)} be borrowed"
    return None


def surrender_deadline(rules: ComplianceRules, emission_year: int) -> dt.date:
    """The last day for an emission year, local; RulebookError when the rules name none. O(1)."""
    surrender = rules.surrender
    if surrender is not None and surrender.deadline is not None:
        return surrender.deadline.date()
    if surrender is None or not surrender.deadline_md:
        raise RulebookError(f"rules {rules.id} name no deadline for the surrender")
    year = emission_year + surrender.deadline_year_offset
    return dt.date.fromisoformat(f"{year}-{surrender.deadline_md}")


def calendar(scheme: Scheme, emission_year: int) -> list[tuple[dt.date, str, str]]:
    """The days of a compliance year, rising: day, step, sectors. O(steps log steps)."""
    steps = []
    for item in scheme.calendar:
        if emission_year in item.emission_years:
            year = emission_year + item.year_offset
            due = item.due or dt.date.fromisoformat(f"{year}-{item.due_md}")
            steps.append((due, item.step, ", ".join(item.sectors)))
    return sorted(steps)
