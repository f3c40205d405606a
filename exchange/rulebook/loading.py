"""The rulebook as typed data: what a rule may say, and reading it from TOML with checked words.

Another scheme is another `[[scheme]]` table; nothing here names a country.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import msgspec

Confidence = Literal["high", "medium", "low"]
Basis = Literal["stored", "knowledge"]
BASES = ("surrender_obligation",)
"""Names a `cap_base` may have: what the registry can tell of an account and year."""


class RulebookError(ValueError):
    """The rulebook is not sound; the message names the file, the table and the key."""


class Meta(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rulebook this is."""

    rulebook_id: str
    rulebook_version: str
    schema_version: Literal[1]
    compiled_on: dt.date
    disclaimer: str


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A legal text, and how it was read."""

    id: str
    title: str
    date: dt.date
    kind: str
    url: str = ""
    note: str = ""


class OffsetRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which credits may be surrendered and up to what share (basis points) of which base.

    `exclude_from_covered_projects` binds whoever issues the instrument: units carry no project yet.
    """

    id: str
    credit_types: tuple[str, ...]
    programme_generations: tuple[str, ...]  # () = no distinction
    cap_bp: int
    cap_base: str
    cap_rounding: Literal["floor"]
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]
    article: str = ""
    last_dates: dict[str, dt.date] = {}  # generation: last day of use
    exclude_from_covered_projects: bool = False


class ComplianceRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules for some emission years, in force between two dates (inclusive).

    `usable_vintages` are the allowance vintages that count for these years; () = any.
    """

    id: str
    effective_from: dt.date
    effective_to: dt.date
    emission_years: tuple[int, ...]
    confidence: Confidence
    basis: Basis
    sources: tuple[str, ...]
    status: str = "in_force"
    usable_vintages: tuple[int, ...] = ()
    offset: tuple[OffsetRule, ...] = ()


class Scheme(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One emission trading system. Its local time is a fixed distance from UTC."""

    id: str
    name: str
    utc_offset_minutes: int
    rules: tuple[ComplianceRules, ...] = ()


class Rulebook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    meta: Meta
    source: tuple[Source, ...]
    scheme: tuple[Scheme, ...]

    def scheme_of(self, scheme_id: str) -> Scheme | None:
        """The scheme with that id, None when the rulebook does not know it. O(schemes)."""
        return next((item for item in self.scheme if item.id == scheme_id), None)

    def local_date(self, scheme_id: str, time_ns: int) -> dt.date:
        """The day of an act in a scheme's local time, in UTC for an unknown scheme. O(schemes)."""
        scheme = self.scheme_of(scheme_id)
        minutes = scheme.utc_offset_minutes if scheme else 0
        days = (time_ns // 1_000_000_000 + minutes * 60) // 86_400
        return dt.date(1970, 1, 1) + dt.timedelta(days=days)

    def citation(self, rule: OffsetRule | ComplianceRules) -> str:
        """The legal texts behind a rule, in words: title, date, article, and what is uncertain."""
        texts = {item.id: item for item in self.source}
        named = [f"{texts[key].title} ({texts[key].date.isoformat()})" for key in rule.sources]
        text = rule.article if isinstance(rule, OffsetRule) else ""
        article = f"; {text}" if text else ""
        return "; ".join(named) + article + f" [confidence {rule.confidence}]"


def load_rulebook(path: Path | None = None) -> Rulebook:
    """The rulebook at `path`, or the one shipped with the package.

    Raises RulebookError naming file, table and key: not TOML, a float, an unknown or missing key,
    a wrong type, an id that stands twice, a source that is not listed, dates in the wrong order.
    """
    if path is None:
        name = "exchange/rulebook/rulebook.toml"
        text = files("exchange.rulebook").joinpath("rulebook.toml").read_text("utf-8")
    else:
        name, text = str(path), path.read_text("utf-8")
    return parse_rulebook(text, name)


def parse_rulebook(text: str, name: str) -> Rulebook:
    """`load_rulebook` for text that is at hand; `name` stands in error messages."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulebookError(f"{name}: {error}") from error
    broken = _floats(raw, "$")
    if broken:
        raise RulebookError(f"{name}: a float is not allowed at {broken[0]}: write basis points")
    try:
        rulebook = msgspec.convert(raw, Rulebook)
    except msgspec.ValidationError as error:
        raise RulebookError(f"{name}: {error}") from error
    problems = check_rulebook(rulebook)
    if problems:
        raise RulebookError(f"{name}: " + "; ".join(problems))
    return rulebook


def check_rulebook(rulebook: Rulebook) -> list[str]:
    """Every inconsistency in words; [] is sound."""
    known = {source.id for source in rulebook.source}
    ids = [s.id for s in rulebook.source] + [s.id for s in rulebook.scheme]
    problems: list[str] = []
    for scheme in rulebook.scheme:
        if not -14 * 60 <= scheme.utc_offset_minutes <= 14 * 60:
            problems.append(f"scheme {scheme.id}: utc_offset_minutes is not within a day's zones")
        for rules in scheme.rules:
            where = f"scheme {scheme.id}, rules {rules.id}"
            ids.append(rules.id)
            if rules.effective_from > rules.effective_to:
                problems.append(f"{where}: effective_from is after effective_to")
            if not rules.emission_years:
                problems.append(f"{where}: emission_years is empty")
            problems += [f"{where}: unknown source {s}" for s in rules.sources if s not in known]
            for rule in rules.offset:
                ids.append(rule.id)
                problems += _check_offset(f"{where}, offset {rule.id}", rule, known)
        problems += _check_overlaps(scheme)
    problems += [f"id {item} stands twice" for item in sorted({i for i in ids if ids.count(i) > 1})]
    return problems


def _check_offset(where: str, rule: OffsetRule, known: set[str]) -> list[str]:
    problems = []
    if not 0 <= rule.cap_bp <= 10_000:
        problems.append(f"{where}: cap_bp {rule.cap_bp} is outside 0..10000")
    if rule.cap_base not in BASES:
        problems.append(f"{where}: cap_base {rule.cap_base} is none of {', '.join(BASES)}")
    if not rule.credit_types:
        problems.append(f"{where}: credit_types is empty")
    if not rule.sources:
        problems.append(f"{where}: sources is empty")
    problems += [f"{where}: unknown source {s}" for s in rule.sources if s not in known]
    problems += [
        f"{where}: last_dates names {generation}, which programme_generations does not"
        for generation in rule.last_dates
        if generation not in rule.programme_generations
    ]
    return problems


def _check_overlaps(scheme: Scheme) -> list[str]:
    return [
        f"scheme {scheme.id}: rules {a.id} and {b.id} are both in force for {year}"
        for place, a in enumerate(scheme.rules)
        for b in scheme.rules[place + 1 :]
        for year in sorted(set(a.emission_years) & set(b.emission_years))
        if a.effective_from <= b.effective_to and b.effective_from <= a.effective_to
    ]


def _floats(value: Any, path: str) -> list[str]:
    """Paths of float values, depth first. The words `float` and `inf` alone are TOML's own."""
    if isinstance(value, dict):
        return [hit for key, item in value.items() for hit in _floats(item, f"{path}.{key}")]
    if isinstance(value, list):
        return [hit for at, item in enumerate(value) for hit in _floats(item, f"{path}[{at}]")]
    return [] if isinstance(value, str | int | dt.date | dt.time) else [path]
