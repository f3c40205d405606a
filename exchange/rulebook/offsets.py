"""How much of which credit may be surrendered: pure functions over the rulebook.

Cap = base x basis points / 10000, always rounded down, and always with the name of its base. The
order of checks is: a rule is in force; the credit's type; its generation; the generation's last
day; the cap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from exchange.rulebook.loading import ComplianceRules, OffsetRule, Rulebook

BP = 10_000


class Verdict(NamedTuple):
    """What the rulebook says of one surrender of offset credits. Quantities in tonnes.

    `accepted_t` is how much of the asked quantity the rule lets pass, `rule_id` the rule that
    decided ("" when none was in force), `refusal` the reason in words ("" when all passes).
    """

    accepted_t: int
    rule_id: str
    cap_t: int
    base_name: str
    base_t: int
    used_t: int
    headroom_t: int
    source: str
    refusal: str
    is_eligible: bool  # False: refused for what the unit is, not for how many


class VintageVerdict(NamedTuple):
    """Whether a vintage counts: the rule that decided, its source, the refusal ("" = counts)."""

    rule_id: str
    source: str
    refusal: str


def offset_cap(rule: OffsetRule, base_t: int) -> int:
    """The most tonnes of these credits for a base, rounded down. O(1).

    Raises ValueError for a negative base.
    """
    if base_t < 0:
        raise ValueError(f"a base is not negative: {base_t} t")
    return base_t * rule.cap_bp // BP


def rules_in_force(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date
) -> ComplianceRules | None:
    """The rules of a scheme for an emission year on the date of the act. O(rules)."""
    scheme = rulebook.scheme_of(scheme_id)
    if scheme is None:
        return None
    for rules in scheme.rules:
        if emission_year in rules.emission_years and (
            rules.effective_from <= on <= rules.effective_to
        ):
            return rules
    return None


def open_emission_years(rulebook: Rulebook, scheme_id: str, on: dt.date) -> tuple[int, ...]:
    """Emission years whose offset rules are in force on a date, rising. O(rules)."""
    scheme = rulebook.scheme_of(scheme_id)
    rules = scheme.rules if scheme else ()
    return tuple(
        sorted(
            year
            for item in rules
            if item.offset and item.effective_from <= on <= item.effective_to
            for year in item.emission_years
        )
    )


def offset_rule(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, product: str
) -> OffsetRule | None:
    """The rule for a credit type, None when there is none in force. O(rules)."""
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    offsets = rules.offset if rules else ()
    return next((rule for rule in offsets if product in rule.credit_types), None)


def check_surrender(
    rulebook: Rulebook,
    *,
    scheme_id: str,
    emission_year: int,
    on: dt.date,
    product: str,
    generation: str,
    quantity_t: int,
    bases: Mapping[str, int],
    used_t: int,
) -> Verdict:
    """Whether `quantity_t` of a credit may be surrendered, and what stops the rest. O(rules).

    `bases` gives the amount (t) of each base name of `loading.BASES` for the account and year;
    `used_t` is what was surrendered before under the same rule. Raises ValueError for a negative
    quantity or use, KeyError for a base that is not given.
    """
    if quantity_t < 0 or used_t < 0:
        raise ValueError(f"negative quantity {quantity_t} t or use {used_t} t")
    rule = offset_rule(rulebook, scheme_id, emission_year, on, product)
    if rule is None:
        return _without_rule(rulebook, scheme_id, emission_year, on, product, used_t)
    source = rulebook.citation(rule)
    base_t = bases[rule.cap_base]
    cap_t = offset_cap(rule, base_t)
    headroom_t = max(0, cap_t - used_t)
    unfit = _unfit(rule, generation, on)
    if unfit:
        return Verdict(
            0, rule.id, cap_t, rule.cap_base, base_t, used_t, headroom_t, source, unfit, False
        )
    accepted_t = min(quantity_t, headroom_t)
    refusal = ""
    if accepted_t < quantity_t:
        refusal = (
            f"{quantity_t} t of {product} refused: rule {rule.id} caps {product} at {cap_t} t = "
            f"{rule.cap_bp} basis points of {rule.cap_base} {base_t} t, rounded down; used {used_t}"
            f" t, headroom {headroom_t} t"
        )
    return Verdict(
        accepted_t,
        rule.id,
        cap_t,
        rule.cap_base,
        base_t,
        used_t,
        headroom_t,
        source,
        refusal,
        True,
    )


def check_vintage(
    rulebook: Rulebook, *, scheme_id: str, emission_year: int, on: dt.date, vintage: int
) -> VintageVerdict:
    """Whether allowances of a vintage count for an emission year on the date of the act. O(rules).

    Without a rule in force, or with one that names no vintages, every vintage counts.
    """
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    if rules is None or not rules.usable_vintages or vintage in rules.usable_vintages:
        return VintageVerdict(rules.id if rules else "", "", "")
    allowed = ", ".join(str(item) for item in rules.usable_vintages)
    text = (
        f"rule {rules.id} takes allowances of vintage {allowed} for {emission_year}; "
        f"these are of {vintage}"
    )
    return VintageVerdict(rules.id, rulebook.citation(rules), text)


def _unfit(rule: OffsetRule, generation: str, on: dt.date) -> str:
    if rule.programme_generations and generation not in rule.programme_generations:
        allowed = ", ".join(rule.programme_generations)
        shown = generation or "not stated for the instrument"
        return f"rule {rule.id} takes programme generation {allowed}; this one is {shown}"
    last = rule.last_dates.get(generation)
    if last is not None and on > last:
        return (
            f"rule {rule.id} took generation {generation} until {last.isoformat()}; the act is of "
            f"{on.isoformat()}"
        )
    return ""


def _without_rule(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date, product: str, used_t: int
) -> Verdict:
    rules = rules_in_force(rulebook, scheme_id, emission_year, on)
    if rulebook.scheme_of(scheme_id) is None:
        text = f"the rulebook knows no scheme {scheme_id}, so no {product} can be surrendered in it"
    elif rules is None:
        text = (
            f"scheme {scheme_id} has no rule in force on {on.isoformat()} for emission year "
            f"{emission_year}, so no {product} can be surrendered for it"
        )
    else:
        text = f"rule {rules.id} does not take {product} as an offset"
    return Verdict(0, rules.id if rules else "", 0, "", 0, used_t, 0, "", text, False)
