"""The offset rules of the shipped rulebook as plain tables, and their limits in plain arithmetic.

Read with tomllib and not with the code under test. A limit is a row of a sum: so many tonnes, each
credit with its weight, are at most so much. Whoever adds a rule adds its cases by that alone.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from exchange.rulebook.eligibility import Credit

Table = Mapping[str, Any]
PATH = Path(__file__).parents[1] / "exchange/rulebook/rulebook.toml"
RAW: Table = tomllib.loads(PATH.read_text("utf-8"))
WHOLE = 10_000  # basis points
DAY = dt.timedelta(days=1)
LAST_YEAR = max(y for s in RAW["scheme"] for r in s["rules"] for y in r.get("emission_years", ()))
OFFSETS = tuple(unit["code"] for unit in RAW["unit_type"] if unit["kind"] == "offset")
OUTSIDE = ("max_nonlocal", "min_local_share", "local_or_partner_only")
"""Kinds of locality which bound how many credits come from elsewhere."""
ELSEWHERE = ("CN-XJ", "CN-YN", "US-CA", "XX")
PLAIN_TYPES = ("wind", "solar", "geothermal", "anything_else")
PLAIN_GASES = ("CO2", "CH4", "N2O")
TYPE_KEYS = (
    "excluded_project_types", "later_excluded_project_types", "conditional_project_types",
    "allowed_project_types",
)  # fmt: skip
"""Keys which ask that a project states its type."""


class Case(NamedTuple):
    """One rule of one rule set of a scheme, for one emission year."""

    scheme: str
    rules: Table
    rule: Table
    year: int

    @property
    def group(self) -> str:
        """The group of entities for which the rule is."""
        return str(self.rule.get("applies_to", ""))

    @property
    def first(self) -> dt.date:
        return self.rules["effective_from"]

    @property
    def last(self) -> dt.date:
        """The last day of the rule set, or one far off."""
        return self.rules.get("effective_to", dt.date(LAST_YEAR, 12, 31))

    @property
    def name(self) -> str:
        return f"{self.year}-{self.rule['id']}"


def years_of(rules: Table) -> range | Sequence[int]:
    """The emission years of a rule set; of one for any year those in which it is in force."""
    last = rules.get("effective_to", dt.date(LAST_YEAR, 1, 1)).year
    return rules.get("emission_years") or range(rules["effective_from"].year, last + 1)


def all_cases() -> Iterator[Case]:
    for scheme in RAW["scheme"]:
        for rules in scheme["rules"]:
            for rule in rules.get("offset", ()):
                for year in years_of(rules):
                    yield Case(scheme["id"], rules, rule, year)


CASES = list(all_cases())
FIRST_CASES = list({case.rule["id"]: case for case in reversed(CASES)}.values())[::-1]
"""One case of each rule."""


def in_force(scheme: str, year: int, on: dt.date, applies_to: str = "") -> str:
    """The id of the rule set for a year on a day, "" = none."""
    for table in RAW["scheme"]:
        for rules in table["rules"] if table["id"] == scheme else ():
            years = rules.get("emission_years")
            if years and year not in years:
                continue
            last = rules.get("effective_to", dt.date.max)
            if rules.get("applies_to", "") == applies_to and rules["effective_from"] <= on <= last:
                return str(rules["id"])
    return ""


# -- credits ---------------------------------------------------------------------------------------


def within(region: str, codes: Iterable[str]) -> bool:
    """Whether a region is one of the codes, or a part of one."""
    parts = region.split(":")
    return any(code.split(":") == parts[: code.count(":") + 1] for code in codes if region)


def codes_of(rule: Table) -> list[str]:
    """The regions that count as local under a rule."""
    items = [item for item in rule.get("locality", ()) if "region" in item]
    return [] if not items else items[0]["region"].split(",")


def wider(name: str, *marks: str) -> list[str]:
    """What says less than a name: `a` and `a_b` of `a_b_c`, by the marks between its parts."""
    return [name[:at] for at, letter in enumerate(name) if at and letter in marks]


def may_be_barred(rule: Table, region: str) -> bool:
    """Whether all that is known of a region leaves open that a rule excludes it."""
    barred = rule.get("exclude_host_regions", ())
    is_vague = not region or any(region in wider(code, "-", ":") for code in barred)
    return bool(barred) and is_vague and not within(region, codes_of(rule))


def plain_type(rule: Table) -> str:
    """A type of project that a rule takes wherever it is, and without a proof."""
    barred = (
        *rule.get("excluded_project_types", ()), *rule.get("later_excluded_project_types", ()),
        *rule.get("region_limited_types", ()), *rule.get("local_only_types", ()),
        *rule.get("project_in_operation_exempt_types", ()),
        *(item["project_type"] for item in rule.get("conditional_project_types", ())),
    )  # fmt: skip
    kinds = rule.get("allowed_project_types", PLAIN_TYPES)
    return next((kind for kind in kinds if kind not in barred), kinds[0])


def plain_gas(rule: Table) -> str:
    """A gas that a rule takes, "" where it asks for none."""
    kinds = rule.get("gases", PLAIN_GASES if "excluded_gases" in rule else ("",))
    return next(gas for gas in kinds if gas not in rule.get("excluded_gases", ()))


def fitting(rule: Table, unit: str = "", **changes: Any) -> Credit:
    """A credit that states all that a rule asks: local, of the newest generation, flagged."""
    days = [rule[key] for key in ("reduction_from", "reduction_from_forestry") if key in rule]
    if "unregistered_reductions" in rule:
        days.append(rule["unregistered_reductions"]["reduction_from"])
    if "pre_2013_reductions_exchange_until" in rule:
        days.append(dt.date(2013, 1, 1))
    begun = rule.get("project_in_operation_after")
    registered = rule.get("host_condition_if_project_registered_after")
    regions = [*codes_of(rule), *rule.get("allowed_regions_for_limited_types", ())]
    regions += [elsewhere(rule)] * ("exclude_host_regions" in rule)
    made = Credit(
        unit or rule["credit_types"][0],
        1,
        generation=rule.get("programme_generations", ("",))[-1],
        project_type=plain_type(rule),
        gas=plain_gas(rule),
        co2_ch4_share_bp=rule.get("co2_ch4_min_share_bp"),
        region=next(iter(regions), ""),
        reduction_from=max(days, default=None),
        registered_on=registered,
        in_operation_from=begun + DAY if begun else None,
        flags=tuple(item["flag"] for item in rule.get("locality", ()) if "flag" in item),
    )
    return made._replace(**changes)


def elsewhere(rule: Table) -> str:
    """A region that is not local under a rule, nor excluded by it."""
    barred = [*codes_of(rule), *rule.get("exclude_host_regions", ())]
    return next(region for region in ELSEWHERE if not within(region, barred))


def variants(rule: Table, unit: str) -> list[Credit]:
    """A fitting credit, and those which further limits count: from elsewhere, without a flag."""
    credit = fitting(rule, unit)
    found = [credit]
    kinds = [item["kind"] for item in rule.get("locality", ())]
    if any(kind in OUTSIDE for kind in kinds):
        flags = (*credit.flags, *["partner"] * ("local_or_partner_only" in kinds))
        found.append(credit._replace(region=elsewhere(rule), flags=flags))
    if "max_share_without_flag" in kinds:
        found += [one._replace(flags=()) for one in found]
    return found


def is_outside(rule: Table, credit: Credit) -> bool:
    """Whether a credit is from elsewhere, for the limits on such ones."""
    kinds = [item["kind"] for item in rule.get("locality", ())]
    return any(kind in OUTSIDE for kind in kinds) and not within(credit.region, codes_of(rule))


# -- limits ----------------------------------------------------------------------------------------


class Bound(NamedTuple):
    """The sum of tonnes, each with the weight of its credit, is at most `most_t`."""

    rule_id: str
    kind: str
    most_t: int
    weight: Callable[[Credit], int]

    def used(self, spent: Iterable[Credit]) -> int:
        return sum(self.weight(credit) * credit.quantity_t for credit in spent)

    def room(self, credit: Credit, spent: Iterable[Credit]) -> int | None:
        """How many tonnes more of a credit pass; None = any number."""
        weight = self.weight(credit)
        return max(0, self.most_t - self.used(spent)) // weight if weight > 0 else None


def share_of(rule: Table, year: int) -> int | None:
    """The basis points of the base that count for a year, None = not known."""
    steps = [(s["from_emission_year"], s["cap_bp"]) for s in rule.get("cap_steps", ())]
    return max((step for step in steps if step[0] <= year), default=(0, rule.get("cap_bp")))[1]


def part(amount: int, share: int) -> int:
    """A share of an amount, rounded down: the rest stays."""
    return (amount * share - amount * share % WHOLE) // WHOLE


def rules_for(rules: Table, group: str) -> list[Table]:
    found = [rule for rule in rules.get("offset", ()) if rule.get("applies_to", "") == group]
    return [rule for rule in found if rule["credit_types"]]


def bounds(
    rules: Table, group: str, year: int, bases: Mapping[str, int], others_t: int = 0
) -> list[Bound]:
    """Every limit of a rule set for a year, after what other accounts used of the scheme."""
    mine = rules_for(rules, group)
    found = []
    for rule in mine:
        found += _own(rule, mine, year, bases)
        for wide in rule.get("scheme_wide_caps", ()):
            if wide["emission_year"] == year:
                units = [unit for each in mine for unit in each["credit_types"]]
                most_t = wide["cap_t"] - others_t
                found.append(Bound(rule["id"], "scheme", most_t, _weigh(units)))
    return found


def _own(rule: Table, mine: list[Table], year: int, bases: Mapping[str, int]) -> list[Bound]:
    name, units = rule["id"], rule["credit_types"]
    share = share_of(rule, year)
    assert share is not None
    cap_t = part(bases[rule["cap_base"]], share)
    found = [Bound(name, "rule", cap_t, _weigh(units))]
    if "group" in rule:
        alike = [r["credit_types"] for r in mine if r.get("group") == rule["group"]]
        most_t = part(bases[rule["group_cap_base"]], rule["group_cap_bp"])
        found.append(
            Bound(name, "group", most_t, _weigh([unit for each in alike for unit in each]))
        )
    for item in rule.get("locality", ()):
        kind = item["kind"]
        if kind == "max_share_without_flag":
            most_t = part(cap_t, item["share_bp"])
            found.append(Bound(name, kind, most_t, _weigh(units, _lacks(item["flag"]))))
        elif kind == "max_nonlocal":
            most_t = part(bases[item["cap_base"]], item["cap_bp"])
            found.append(Bound(name, kind, most_t, _weigh(units, _is_from_outside(rule))))
        elif kind == "local_or_partner_only":
            found.append(
                Bound(name, kind, item["partner_cap_t"], _weigh(units, _is_from_outside(rule)))
            )
        elif kind == "min_local_share":
            local = item["share_bp"]  # local x (1 - share) >= outside x share
            weight = _weigh(units, _is_from_outside(rule), local, local - WHOLE)
            found.append(Bound(name, kind, 0, weight))
        else:
            assert kind in ("local_only", "preferred"), f"{name}: no arithmetic for {kind}"
    return found


def _weigh(
    units: Iterable[str],
    counts: Callable[[Credit], bool] = lambda _: True,
    yes: int = 1,
    no: int = 0,
) -> Callable[[Credit], int]:
    known = frozenset(units)
    return lambda credit: (yes if counts(credit) else no) if credit.unit in known else 0


def _lacks(flag: str) -> Callable[[Credit], bool]:
    return lambda credit: flag not in credit.flags


def _is_from_outside(rule: Table) -> Callable[[Credit], bool]:
    return lambda credit: is_outside(rule, credit)


def base_names(rule: Table) -> list[str]:
    """The bases that a rule's limits name."""
    tables = [rule, *rule.get("locality", ())]
    names = [
        table[key] for table in tables for key in ("cap_base", "group_cap_base") if key in table
    ]
    return list(dict.fromkeys(names))


ALL_BASES = sorted({name for case in CASES for name in base_names(case.rule)})


def room(limits: Iterable[Bound], credit: Credit, spent: Sequence[Credit]) -> int:
    """How many tonnes more of a credit pass all limits."""
    rooms = [limit.room(credit, spent) for limit in limits]
    return min(each for each in rooms if each is not None)
