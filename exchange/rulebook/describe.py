"""The rules of a scheme on a day, for reading: sections of key and value, with their sources.

A key that the venue applies nowhere says that it is for information.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from exchange.rulebook.allocation import ends_on
from exchange.rulebook.book import Rulebook
from exchange.rulebook.reference_limits import references_of
from exchange.rulebook.selection import calendar, is_in_force, scheme_named
from exchange.rulebook.shapes import FOR_INFORMATION, ComplianceRules, Scheme

_APART = {"id", "offset", "penalty", "surrender", "sources", "confidence", "basis", "unknown"}


class Section(NamedTuple):
    """One rule: its kind and id, what it says, and where that is from."""

    title: str
    rows: list[tuple[str, str]]
    source: str


def describe(rulebook: Rulebook, scheme_id: str, on: dt.date) -> list[Section]:
    """Every rule of a scheme in force on a day; RulebookError for an unknown scheme. O(rules).

    Of a scheme of which no more than its offset limit is known, that.
    """
    known = references_of(rulebook, scheme_id)
    if known:
        return [_section(rulebook, f"offset limit of {scheme_id}", limit) for limit in known]
    scheme = scheme_named(rulebook, scheme_id)
    sections: list[Section] = []
    for rules in scheme.rules:
        if is_in_force(rules, on):
            sections += _rules(rulebook, scheme, rules)
    for false in scheme.false_data:
        if false.in_force_from <= on <= (false.in_force_to or dt.date.max):
            sections.append(_section(rulebook, f"false data {false.id}", false))
    for control in scheme.supply_control:
        if control.effective_from <= on <= control.effective_to:
            sections.append(_section(rulebook, f"supply control {control.id}", control))
    carried = scheme.carry_over
    if carried is not None and carried.net_sales_from <= on <= ends_on(carried):
        sections.append(_section(rulebook, f"carry-over {carried.id}", carried))
    if scheme.composite_price is not None:
        sections.append(_section(rulebook, "composite price", scheme.composite_price))
    if scheme.holding_limit is not None:
        sections.append(_section(rulebook, "holding limit", scheme.holding_limit))
    return sections


def _rules(rulebook: Rulebook, scheme: Scheme, rules: ComplianceRules) -> Iterator[Section]:
    yield _section(rulebook, f"rules {rules.id}", rules)
    if rules.surrender is not None:
        yield _section(rulebook, f"surrender, {rules.id}", rules.surrender, rules.sources)
    days = {
        (f"{day.isoformat()} for {year}", step + (f" ({sectors})" if sectors else ""))
        for year in rules.emission_years
        for day, step, sectors in calendar(scheme, year)
    }
    if days:
        yield Section(f"calendar, {rules.id}", sorted(days), _of_calendar(rulebook, scheme, rules))
    for rule in rules.offset:
        yield _section(rulebook, f"offset {rule.id}", rule)
    if rules.penalty is not None:
        yield _section(rulebook, f"penalty, {rules.id}", rules.penalty, rules.sources)


def _of_calendar(rulebook: Rulebook, scheme: Scheme, rules: ComplianceRules) -> str:
    years = set(rules.emission_years)
    named = [
        source
        for step in scheme.calendar
        if years & set(step.emission_years)
        for source in step.sources
    ]
    return rulebook.cited(tuple(dict.fromkeys(named)))


def _section(
    rulebook: Rulebook, title: str, table: msgspec.Struct, otherwise: tuple[str, ...] = ()
) -> Section:
    informing = FOR_INFORMATION.get(type(table).__name__, frozenset())
    rows = [
        (
            field.encode_name + " (for information)" * (field.name in informing),
            _words(getattr(table, field.name)),
        )
        for field in msgspec.structs.fields(table)
        if field.name not in _APART and _is_said(field, getattr(table, field.name))
    ]
    unknown = getattr(table, "unknown", ())
    if unknown:
        rows.append(("not known, to be set", ", ".join(unknown)))
    sources = getattr(table, "sources", ()) or otherwise
    basis, confidence = getattr(table, "basis", None), getattr(table, "confidence", None)
    marks = [f"basis {basis}"] * bool(basis) + [f"confidence {confidence}"] * bool(confidence)
    source = rulebook.cited(sources) + (f" [{', '.join(marks)}]" if marks else "")
    return Section(title, rows, source)


def _is_said(field: Any, value: Any) -> bool:
    return value != field.default and value not in ((), "", None)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, msgspec.Struct):
        said = [
            f"{field.encode_name} {_words(getattr(value, field.name))}"
            for field in msgspec.structs.fields(value)
            if _is_said(field, getattr(value, field.name))
        ]
        return " ".join(said)
    if isinstance(value, tuple):
        apart = "; " if any(isinstance(item, msgspec.Struct) for item in value) else ", "
        return apart.join(_words(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)
