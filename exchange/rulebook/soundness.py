"""What types cannot say of a rulebook: ids, sources, dates, names of bases, kinds and zones."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from exchange.rulebook.book import Rulebook
from exchange.rulebook.reference_limits import counts
from exchange.rulebook.shapes import (
    BASES,
    LOCALITIES,
    PENALTIES,
    ComplianceRules,
    FalseDataRule,
    Locality,
    OffsetRule,
    PenaltyRule,
    Scheme,
)
from exchange.rulebook.values import strange_values
from exchange.rulebook.vintages import vintage_years

BP = 10_000
_SIGNED = {"min_bp", "rebasing_t", "scope_change_t", "vector"}  # may say numbers below zero
_NEEDED = {  # by kind of penalty
    "fine_plus_double_deduction": ("fine_minor",),
    "fine_range_then_deduction": ("fine_min_minor", "fine_max_minor"),
    "fixed_per_tonne_plus_carry_forward": ("amount_minor_per_t",),
    "forced_deduction_then_multiple_of_market_price": ("multiple_min", "multiple_max"),
    "instrument_multiple": ("instruments_per_missing",),
    "multiple_of_market_price": ("multiple_min", "multiple_max"),
    "no_fine": (),
}
_NEEDED_LOCALITY = {  # by kind of locality
    "local_only": ("region",),
    "local_or_partner_only": ("region", "partner_cap_t"),
    "max_nonlocal": ("region", "cap_bp", "cap_base"),
    "max_share_without_flag": ("flag", "share_bp"),
    "min_local_share": ("region", "share_bp"),
    "preferred": ("region",),
}


def problems_of(rulebook: Rulebook) -> list[str]:
    """Every inconsistency in words, table and key first; [] is sound. O(rules squared)."""
    problems = [f"id {item} stands twice" for item in _twice(rulebook)]
    problems += _negative(rulebook, (), "")
    known = {source.id for source in rulebook.source}
    for where, sources in _sourced(rulebook):
        problems += [f"{where}: sources: unknown source {item}" for item in sources - known]
    for scheme in rulebook.scheme:
        problems += _scheme(scheme)
    problems += strange_values(rulebook)
    problems += _at_risk(rulebook)
    problems += _pre_issued(rulebook) + _reserved(rulebook)
    limits = rulebook.offset_limit_reference
    problems += [
        f"offset_limit_reference {one.scheme}: two limits hold for {year or 'any year'}"
        for at, one in enumerate(limits)
        for two in limits[at + 1 :]
        if one.scheme == two.scheme
        for year in (max(one.emission_years_from or 0, two.emission_years_from or 0),)
        if counts(one, year) and counts(two, year)
    ]
    for registry in rulebook.registry_rule:
        where = f"registry_rule {registry.id}"
        problems += _zone(where, registry.timezone)
        problems += _month_day(f"{where}: data_confirmed_by", registry.data_confirmed_by)
        if registry.unconfirmed_account not in ("", "blocked", "open"):
            problems.append(
                f"{where}: unconfirmed_account: {registry.unconfirmed_account} is not blocked or "
                "open"
            )
        problems += [
            f"{where}: two_persons_for: {code} is no transaction_type with four_eyes"
            for code in registry.two_persons_for
            if code not in {change.code for change in rulebook.transaction_type if change.four_eyes}
        ]
        problems += [
            f"registry_rule {registry.id}: schemes: unknown scheme {scheme}"
            for scheme in registry.schemes
            if rulebook.scheme_of(scheme) is None
        ]
    for venue in rulebook.venue:
        problems += _zone(f"venue {venue.id}", venue.timezone)
    return problems


def _negative(value: Any, tables: tuple[str, ...], key: str) -> list[str]:
    """Numbers below zero that are no differences, wherever they stand. O(values)."""
    if key in _SIGNED:
        return []
    if isinstance(value, msgspec.Struct):
        inside = (*tables, _label(key, value)) if key else tables
        return [
            hit
            for name, written in zip(
                value.__struct_fields__, value.__struct_encode_fields__, strict=True
            )
            for hit in _negative(getattr(value, name), inside, written)
        ]
    if isinstance(value, tuple):
        return [hit for item in value for hit in _negative(item, tables, key)]
    if isinstance(value, dict):
        return [hit for name, item in value.items() for hit in _negative(item, tables, f"{name}")]
    if isinstance(value, int) and value < 0:
        return [f"{', '.join(tables) or 'the file'}: {key}: {value} is negative"]
    return []


def _label(key: str, table: msgspec.Struct) -> str:
    names = (getattr(table, name, "") for name in ("id", "code", "kind", "scheme", "step"))
    return f"{key} {next((name for name in names if name), '')}".strip()


def _twice(rulebook: Rulebook) -> list[str]:
    ids = Counter(source.id for source in rulebook.source)
    rules: Counter[str] = Counter(scheme.id for scheme in rulebook.scheme)
    for scheme in rulebook.scheme:
        rules.update(item.id for item in scheme.rules)
        rules.update(rule.id for item in scheme.rules for rule in item.offset)
        rules.update(item.id for item in scheme.supply_control)
        rules.update(item.id for item in scheme.false_data)
    units = Counter(unit.code for unit in rulebook.unit_type)
    accounts = Counter(account.code for account in rulebook.account_type)
    codes = (account.eutl_code for account in rulebook.account_type)
    accounts.update(f"eutl_code {code}" for code in codes if code)
    changes = Counter(change.code for change in rulebook.transaction_type)
    markets = Counter(market.id for venue in rulebook.venue for market in venue.market)
    vectors = Counter(vector.id for vector in rulebook.vector)
    kept = Counter(
        f"scheme {s} of registry_rule" for r in rulebook.registry_rule for s in r.schemes
    )
    every = (ids, rules, units, accounts, changes, markets, vectors, kept)
    return sorted(item for counter in every for item, count in counter.items() if count > 1)


def _sourced(rulebook: Rulebook) -> Iterator[tuple[str, set[str]]]:
    for unit in rulebook.unit_type:
        yield f"unit_type {unit.code}", set(unit.sources)
    for account in rulebook.account_type:
        yield f"account_type {account.code}", set(account.sources)
    for change in rulebook.transaction_type:
        yield f"transaction_type {change.code}", set(change.sources)
    for programme in rulebook.credit_programme:
        yield f"credit_programme {programme.id}", set(programme.sources)
    for registry in rulebook.registry_rule:
        yield f"registry_rule {registry.id}", set(registry.sources)
    for control in rulebook.control:
        yield f"control {control.id}", set(control.sources)
    for venue in rulebook.venue:
        yield f"venue {venue.id}", set(venue.sources)
        for market in venue.market:
            yield f"venue {venue.id}, market {market.id}", set(market.sources)
    for scheme in rulebook.scheme:
        for rules in scheme.rules:
            where = f"scheme {scheme.id}, rules {rules.id}"
            yield where, set(rules.sources)
            yield f"{where}, surrender", set(rules.surrender.sources if rules.surrender else ())
            yield f"{where}, penalty", set(rules.penalty.sources if rules.penalty else ())
            for rule in rules.offset:
                yield f"{where}, offset {rule.id}", set(rule.sources)
        for step in scheme.calendar:
            yield f"scheme {scheme.id}, calendar {step.step}", set(step.sources)
        for name in ("carry_over", "composite_price", "holding_limit"):
            table = getattr(scheme, name)
            yield f"scheme {scheme.id}, {name}", set(table.sources if table else ())
        for false in scheme.false_data:
            yield f"scheme {scheme.id}, false_data {false.id}", set(false.sources)
        for reserve in scheme.supply_control:
            yield f"scheme {scheme.id}, supply_control {reserve.id}", set(reserve.sources)
    if rulebook.unit_block:
        yield "unit_block", set(rulebook.unit_block.sources)
    for limit in rulebook.offset_limit_reference:
        yield f"offset_limit_reference {limit.scheme}", set(limit.sources)
    for fact in rulebook.market_fact:
        yield f"market_fact {fact.id}", set(fact.sources)
    for pattern in rulebook.surveillance_pattern:
        yield f"surveillance_pattern {pattern.id}", set(pattern.sources)
    for vector in rulebook.vector:
        yield f"vector {vector.id}", set(vector.sources)


def _scheme(scheme: Scheme) -> list[str]:
    where = f"scheme {scheme.id}"
    problems = _zone(where, scheme.timezone)
    for rules in scheme.rules:
        problems += _rules(f"{where}, rules {rules.id}", rules)
    for at, one in enumerate(scheme.rules):
        problems += [
            f"{where}: rules {one.id} and {two.id} are both in force for "
            f"{_shared_years(one, two)} from {max(one.effective_from, two.effective_from)}"
            for two in scheme.rules[at + 1 :]
            if _clash(one, two)
        ]
    for at, control in enumerate(scheme.supply_control):
        if control.effective_from > control.effective_to:
            problems.append(
                f"{where}, supply_control {control.id}: effective_from is after effective_to"
            )
        problems += [
            f"{where}: supply_control {control.id} and {other.id} are both in force from "
            f"{max(control.effective_from, other.effective_from)}"
            for other in scheme.supply_control[at + 1 :]
            if max(control.effective_from, other.effective_from)
            <= min(control.effective_to, other.effective_to)
        ]
    weights = scheme.composite_price.weights if scheme.composite_price else ()
    problems += [
        f"{where}, composite_price: weights from {one.from_} and from {two.from_} are both in force"
        for at, one in enumerate(weights)
        for two in weights[at + 1 :]
        if max(one.from_, two.from_) <= min(one.to or dt.date.max, two.to or dt.date.max)
    ]
    problems += _false_data(where, scheme.false_data)
    for step in scheme.calendar:
        if (step.due is None) == (step.due_md == ""):
            problems.append(f"{where}, calendar {step.step}: either due or due_md must be given")
        problems += _month_day(f"{where}, calendar {step.step}: due_md", step.due_md)
    return problems


def _at_risk(rulebook: Rulebook) -> list[str]:
    """Allowances of entities at risk go to a type of account that holds for others."""
    holders = {kind.code: kind.scheme for kind in rulebook.account_type if kind.holds_for_others}
    return [
        f"scheme {scheme.id}, rules {rules.id}: at_risk_held_by: {rules.at_risk_held_by} is no "
        "account_type of the scheme that holds_for_others"
        for scheme in rulebook.scheme
        for rules in scheme.rules
        if rules.at_risk_held_by and holders.get(rules.at_risk_held_by) != scheme.id
    ]


def _reserved(rulebook: Rulebook) -> list[str]:
    """Units that some accounts alone surrender, and the types of these, are known."""
    units = {unit.code for unit in rulebook.unit_type}
    types = {kind.code for kind in rulebook.account_type if kind.can_surrender}
    found = [
        (f"scheme {scheme.id}, rules {rules.id}: reserved_units", item)
        for scheme in rulebook.scheme
        for rules in scheme.rules
        for item in rules.reserved_units
    ]
    problems = [f"{where}: unknown unit {i.unit}" for where, i in found if i.unit not in units]
    return problems + [
        f"{where}: {code} is no account_type that can_surrender"
        for where, item in found
        for code in item.account_types
        if code not in types
    ]


def _pre_issued(rulebook: Rulebook) -> list[str]:
    """Shares are shares, and a rule counts pre-issued credits only of types that have them."""
    shares = {unit.code: unit.pre_issuance_bp for unit in rulebook.unit_type}
    problems = [
        f"unit_type {code}: pre_issuance_bp {share} is outside 0..{BP}"
        for code, share in shares.items()
        if share > BP
    ]
    problems += [
        f"scheme {scheme.id}, rules {rules.id}, offset {rule.id}: pre_issued_types: {code} is no "
        "unit_type with a pre_issuance_bp"
        for scheme in rulebook.scheme
        for rules in scheme.rules
        for rule in rules.offset
        for code in rule.pre_issued_types
        if not shares.get(code)
    ]
    return problems


def _zone(where: str, name: str) -> list[str]:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, zoneinfo.ZoneInfoNotFoundError):
        return [f"{where}: timezone: unknown time zone {name}"]
    return []


def _clash(one: ComplianceRules, two: ComplianceRules) -> bool:
    begin = max(one.effective_from, two.effective_from)
    end = min(one.effective_to or dt.date.max, two.effective_to or dt.date.max)
    years = not one.emission_years or not two.emission_years
    years = years or bool(set(one.emission_years) & set(two.emission_years))
    return one.applies_to == two.applies_to and begin <= end and years


def _shared_years(one: ComplianceRules, two: ComplianceRules) -> str:
    shared = set(one.emission_years) & set(two.emission_years)
    years = sorted(shared or {*one.emission_years, *two.emission_years})
    return ", ".join(map(str, years)) or "any year"


def _rules(where: str, rules: ComplianceRules) -> list[str]:
    problems = []
    if rules.effective_to and rules.effective_from > rules.effective_to:
        problems.append(f"{where}: effective_from is after effective_to")
    steps = [step.from_year for step in rules.linear_reduction_factor_steps]
    if steps and (rules.cap_first_year_t is None or rules.cap_annual_reduction_t is None):
        problems.append(f"{where}: linear_reduction_factor_steps without a cap that they reduce")
    if steps != sorted(steps):
        problems.append(f"{where}: linear_reduction_factor_steps: from_year does not rise")
    for key in ("usable_vintages", "borrowed_vintages", "arrears_vintages"):
        problems += [
            f"{where}: {key}: {label} ends in no year"
            for label in getattr(rules, key)
            if not vintage_years(label)
        ]
    bounds = (rules.borrowing_min_shortage_bp, rules.borrowing_max_bp_of_shortage)
    if any((bound is None) == bool(rules.borrowed_vintages) for bound in bounds):
        problems.append(f"{where}: borrowed_vintages, their least shortage and share are one rule")
    if bool(rules.arrears_years) != bool(rules.arrears_vintages):
        problems.append(f"{where}: arrears_years and arrears_vintages belong together")
    if rules.surrender:
        for key in ("deadline_md", "report_due_md", "allocation_md"):
            value = getattr(rules.surrender, key)
            problems += _month_day(f"{where}, surrender: {key}", value)
    if rules.penalty:
        problems += _penalty(f"{where}, penalty", rules.penalty, rules.emission_years)
    for rule in rules.offset:
        problems += _offset(f"{where}, offset {rule.id}", rule)
    return problems


def _month_day(where: str, text: str) -> list[str]:
    try:
        if text:
            dt.date.fromisoformat(f"2001-{text}")
    except ValueError:
        return [f"{where}: {text} is no month and day"]
    return []


def _penalty(where: str, penalty: PenaltyRule, years: tuple[int, ...]) -> list[str]:
    if penalty.kind not in PENALTIES:
        return [f"{where}: kind: {penalty.kind} is none of {', '.join(PENALTIES)}"]
    missing = [key for key in _NEEDED[penalty.kind] if getattr(penalty, key) is None]
    problems = [f"{where}: {key} is missing, a penalty {penalty.kind} needs it" for key in missing]
    if penalty.observed_minor and not penalty.indexed_by:
        problems.append(f"{where}: observed_minor without indexed_by")
    problems += [
        f"{where}: observed_minor: {item.year} is no emission year of the rules"
        for item in penalty.observed_minor
        if item.year not in years
    ]
    return problems


def _false_data(where: str, rules: tuple[FalseDataRule, ...]) -> list[str]:
    problems = []
    for at, rule in enumerate(rules):
        here, end = f"{where}, false_data {rule.id}", rule.in_force_to or dt.date.max
        if rule.in_force_from > end:
            problems.append(f"{here}: in_force_from is after in_force_to")
        for low, high in (
            ("multiple_min", "multiple_max"),
            ("fine_min_minor", "fine_max_minor"),
            ("refusal_deduction_min_bp", "refusal_deduction_max_bp"),
        ):
            if getattr(rule, low) > getattr(rule, high):
                problems.append(f"{here}: {low} is above {high}")
        if rule.refusal_deduction_max_bp > BP:
            problems.append(f"{here}: refusal_deduction_max_bp is above {BP}")
        problems += [
            f"{where}: false_data {rule.id} and {other.id} are both in force from "
            f"{max(rule.in_force_from, other.in_force_from)}"
            for other in rules[at + 1 :]
            if max(rule.in_force_from, other.in_force_from)
            <= min(end, other.in_force_to or dt.date.max)
        ]
    return problems


def _offset(where: str, rule: OffsetRule) -> list[str]:
    problems = []
    if not rule.sources:
        problems.append(f"{where}: sources is empty")
    if rule.cap_bp is None and "cap_bp" not in rule.unknown:
        problems.append(f"{where}: cap_bp is missing and not in unknown")
    if rule.credit_types and rule.cap_base not in BASES:
        problems.append(f"{where}: cap_base: {rule.cap_base} is none of {', '.join(BASES)}")
    if bool(rule.group) != (rule.group_cap_bp is not None):
        problems.append(f"{where}: group and group_cap_bp belong together")
    if rule.group and rule.group_cap_base not in BASES:
        problems.append(f"{where}: group_cap_base: {rule.group_cap_base} is none of the bases")
    if rule.old_generation_usable_until and not rule.programme_generations:
        problems.append(f"{where}: old_generation_usable_until without programme_generations")
    shares = [("cap_bp", rule.cap_bp), ("group_cap_bp", rule.group_cap_bp)]
    shares += [("cap_steps", step.cap_bp) for step in rule.cap_steps]
    shares += [("co2_ch4_min_share_bp", rule.co2_ch4_min_share_bp)]
    problems += [
        f"{where}: {key} {value} is outside 0..{BP}"
        for key, value in shares
        if value is not None and not 0 <= value <= BP
    ]
    for local in rule.locality:
        problems += _locality(f"{where}, locality {local.kind}", local)
    return problems


def _locality(where: str, local: Locality) -> list[str]:
    if local.kind not in LOCALITIES:
        return [f"{where}: kind is none of {', '.join(LOCALITIES)}"]
    needed = _NEEDED_LOCALITY[local.kind]
    problems = [f"{where}: {key} is missing" for key in needed if getattr(local, key) in (None, "")]
    if local.kind == "min_local_share" and local.share_bp == 0:
        problems.append(f"{where}: share_bp 0 asks for nothing")
    if local.cap_base and local.cap_base not in BASES:
        problems.append(f"{where}: cap_base: {local.cap_base} is none of the bases")
    return problems
