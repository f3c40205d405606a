"""Every condition of every offset rule: the day before, of and after; one barred and one not.

A condition is a key of a rule in the file. Each key is made into credits that it takes and credits
that it refuses; a key that is known to no sweep fails, and so does one that gives no case.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple

import pytest

from exchange.rulebook import load_rulebook
from exchange.rulebook.eligibility import Credit, unfit, unfit_all
from exchange.rulebook.offsets import offset_plan
from exchange.rulebook.shapes import ComplianceRules, OffsetRule
from tests.offset_rules import (
    ALL_BASES,
    DAY,
    FIRST_CASES,
    OUTSIDE,
    TYPE_KEYS,
    WHOLE,
    Case,
    Table,
    codes_of,
    elsewhere,
    fitting,
    may_be_barred,
    plain_type,
    share_of,
    wider,
    within,
)

BOOK = load_rulebook()
SUB_GASES = {"HFC": ("HFC23", "HFC134a", "HFC_23"), "PFC": ("PFC14", "PFC116")}
IN_WORDS = {
    "id", "article", "note", "confidence", "basis", "sources", "unknown", "cap_note",
    "cap_alternative", "use_mode",
}  # fmt: skip
"""Keys by which no credit is refused."""
OF_CAPS = {
    "credit_types", "cap_bp", "cap_base", "cap_rounding", "cap_steps", "period_cap", "group",
    "group_cap_bp", "group_cap_base", "scheme_wide_caps", "applies_to",
}  # fmt: skip
"""Keys which say how many: `test_offset_caps` has their cases."""


class Example(NamedTuple):
    """A credit, the day of the act, and whether the rule takes it then."""

    what: str
    credit: Credit
    is_taken: bool
    on: dt.date | None = None  # None: the first day of the rules
    accepted_t: int | None = None  # of its tonnes; None: all of them


Maker = Callable[[Table, Credit], Iterator[Example]]


def around(
    what: str, day: dt.date, credit: Credit, field: str, taken: tuple[bool, bool, bool]
) -> Iterator[Example]:
    """A day of the credit that is the day before, of and after another."""
    for shift, is_taken in zip((-1, 0, 1), taken, strict=True):
        made = day + shift * DAY
        yield Example(f"{what} {made}", credit._replace(**{field: made}), is_taken)


def acts(
    what: str, day: dt.date, credit: Credit, taken: tuple[bool, bool, bool]
) -> Iterator[Example]:
    """An act on the day before, of and after another."""
    for shift, is_taken in zip((-1, 0, 1), taken, strict=True):
        on = day + shift * DAY
        yield Example(f"{what}, act of {on}", credit, is_taken, on)


# -- when ------------------------------------------------------------------------------------------


def generations(rule: Table, credit: Credit) -> Iterator[Example]:
    for known in rule["programme_generations"]:
        yield Example(known, credit._replace(generation=known), is_taken=True)
    for other in ("", "another", known + "x"):
        yield Example(f"generation {other!r}", credit._replace(generation=other), is_taken=False)


def old_generation(rule: Table, credit: Credit) -> Iterator[Example]:
    last, old = rule["old_generation_usable_until"], rule["programme_generations"][0]
    yield from acts(old, last, credit._replace(generation=old), (True, True, False))
    for later in rule["programme_generations"][1:]:
        yield from acts(later, last, credit._replace(generation=later), (True, True, True))


def reductions(rule: Table, credit: Credit) -> Iterator[Example]:
    day = rule["reduction_from"]
    yield from around("reductions", day, credit, "reduction_from", (False, True, True))
    yield Example("no day", credit._replace(reduction_from=None), is_taken=False)


def forestry(rule: Table, credit: Credit) -> Iterator[Example]:
    day, tree = rule["reduction_from_forestry"], credit._replace(project_type="forestry")
    yield from around("forestry", day, tree, "reduction_from", (False, True, True))


def operation(rule: Table, credit: Credit) -> Iterator[Example]:
    day = rule["project_in_operation_after"]
    yield from around("begun", day, credit, "in_operation_from", (False, False, True))
    yield Example("no day", credit._replace(in_operation_from=None), is_taken=False)


def exempt(rule: Table, credit: Credit) -> Iterator[Example]:
    for kind in rule["project_in_operation_exempt_types"]:
        day, free = rule["project_in_operation_after"], credit._replace(project_type=kind)
        yield from around(kind, day, free, "in_operation_from", (True, True, True))
        old = credit._replace(in_operation_from=day, project_type=kind + "x")
        yield Example(old.project_type, old, is_taken=False)


def before_2013(rule: Table, credit: Credit) -> Iterator[Example]:
    last = rule["pre_2013_reductions_exchange_until"]
    for made, taken in (
        (None, (True, True, False)),
        (dt.date(2012, 12, 31), (True, True, False)),
        (dt.date(2008, 1, 1), (True, True, False)),
        (dt.date(2013, 1, 1), (True, True, True)),
    ):
        yield from acts(f"made {made}", last, credit._replace(reduction_from=made), taken)


def hosts(rule: Table, credit: Credit) -> Iterator[Example]:
    day = rule["host_condition_if_project_registered_after"]
    poor = credit._replace(host="least_developed_country")
    yield from around("registered", day, credit, "registered_on", (True, True, False))
    yield from around("there registered", day, poor, "registered_on", (True, True, True))
    yield Example("no day", credit._replace(registered_on=None), is_taken=False)
    yield Example("there, no day", poor._replace(registered_on=None), is_taken=True)


def unregistered(rule: Table, credit: Credit) -> Iterator[Example]:
    window = rule["unregistered_reductions"]
    first, last = window["reduction_from"], window["reduction_to"]
    flagged = credit._replace(flags=("unregistered",), quantity_t=WHOLE)
    for day, taken in ((first, (False, True, True)), (last, (True, True, False))):
        for example in around("not issued", day, flagged, "reduction_from", taken):
            yield example._replace(accepted_t=window["usable_share_bp"])
    late = credit._replace(reduction_from=last + DAY)
    yield Example("issued", late, is_taken=True)
    for tonnes in (1, 2, 99, 100, 101):
        usable_t = tonnes * window["usable_share_bp"] // WHOLE
        many = flagged._replace(reduction_from=first, quantity_t=tonnes)
        yield Example(f"{tonnes} t not issued", many, is_taken=True, accepted_t=usable_t)


# -- what ------------------------------------------------------------------------------------------


def excluded_on(
    key: str, rule: Table, credit: Credit, on: dt.date | None, *, is_taken: bool
) -> Iterator[Example]:
    for kind in rule[key]:
        vague = wider(kind, "_")  # of hydro it is open whether it is hydro_large
        for name in (kind, f"{kind}_small", kind.upper(), *vague):
            yield Example(f"{name} of {on}", credit._replace(project_type=name), is_taken, on)
        if "allowed_project_types" not in rule:
            for name in (f"{kind}x", *(f"{less}_elsewise" for less in vague)):
                other = credit._replace(project_type=name)  # hydro is barred, hydrogen is not
                yield Example(other.project_type, other, is_taken=True, on=on)
    is_open = is_taken and not is_asked(rule, {*TYPE_KEYS} - {key})
    yield Example(f"no type, {on}", credit._replace(project_type=""), is_open, on)


def excluded(rule: Table, credit: Credit) -> Iterator[Example]:
    key, first = "excluded_project_types", rule.get("exclusion_applies_to_use_from")
    yield Example("another type", credit, is_taken=True)
    yield from excluded_on(key, rule, credit, first, is_taken=False)
    if first:
        yield from excluded_on(key, rule, credit, first - DAY, is_taken=True)
        yield from excluded_on(key, rule, credit, first + DAY, is_taken=False)


def excluded_later(rule: Table, credit: Credit) -> Iterator[Example]:
    key, first = "later_excluded_project_types", rule["later_exclusion_from"]
    yield from excluded_on(key, rule, credit, first - DAY, is_taken=True)
    yield from excluded_on(key, rule, credit, first, is_taken=False)
    yield from excluded_on(key, rule, credit, first + DAY, is_taken=False)


def conditional(rule: Table, credit: Credit) -> Iterator[Example]:
    for item in rule["conditional_project_types"]:
        meant, free, flag = item["project_type"], item["except_types"], item["flag"]
        proven = (*credit.flags, flag)
        asked = {meant, f"{meant}_large", meant.upper(), *wider(meant, "_")}
        for kind in free:  # hydro_up may be hydro_up_to_20mw, and hydro_up_to_20mwh is another
            asked |= {f"{kind}x", *wider(kind, "_")}
            for name in (kind, f"{kind}_old", kind.upper()):
                for flags_ in (credit.flags, proven):
                    told = credit._replace(project_type=name, flags=flags_)
                    yield Example(f"{name} {flags_}", told, is_taken=True)
        for name in asked:
            for flags_ in (credit.flags, (*credit.flags, f"{flag}x"), proven):
                told = credit._replace(project_type=name, flags=flags_)
                yield Example(f"{name} {flags_}", told, is_taken=flag in flags_)
        for name in (f"{meant}x", credit.project_type):
            yield Example(name, credit._replace(project_type=name), is_taken=True)
        none = credit._replace(project_type="")
        is_open = not is_asked(rule, {*TYPE_KEYS} - {"conditional_project_types"})
        yield Example("no type", none, is_taken=False)
        yield Example("no type, proven", none._replace(flags=proven), is_taken=is_open)


def allowed(rule: Table, credit: Credit) -> Iterator[Example]:
    for kind in rule["allowed_project_types"]:
        region = next(iter(rule.get("local_regions", ())), credit.region)
        if kind not in rule.get("local_only_types", ()):
            region = credit.region
        yield Example(kind, credit._replace(project_type=kind, region=region), is_taken=True)
    for kind in ("", "nuclear", f"{plain_type(rule)}x"):
        yield Example(f"type {kind!r}", credit._replace(project_type=kind), is_taken=False)


def gases(rule: Table, credit: Credit) -> Iterator[Example]:
    for gas in rule["gases"]:
        yield Example(gas, credit._replace(gas=gas), is_taken=True)
    for gas in {"CO2", "CH4", "N2O", ""} - set(rule["gases"]):
        yield Example(f"gas {gas!r}", credit._replace(gas=gas), is_taken=False)


def barred_gases(rule: Table, credit: Credit) -> Iterator[Example]:
    barred = rule["excluded_gases"]
    for gas in barred:
        for name in (gas, *SUB_GASES.get(gas, ())):
            for word in (name, name.lower()):
                yield Example(word, credit._replace(gas=word), is_taken=False)
    for gas in {"CO2", "CH4", "N2O", "NF3"} - {*barred}:
        is_taken = gas in rule.get("gases", (gas,))
        yield Example(gas, credit._replace(gas=gas), is_taken)
    yield Example("no gas", credit._replace(gas=""), is_taken=False)


def mostly_co2(rule: Table, credit: Credit) -> Iterator[Example]:
    least = rule["co2_ch4_min_share_bp"]
    shares = ((0, False), (least - 1, False), (least, True), (least + 1, True), (None, False))
    for share, is_taken in shares:
        yield Example(f"{share} bp", credit._replace(co2_ch4_share_bp=share), is_taken)


def flags(rule: Table, credit: Credit) -> Iterator[Example]:
    for flag in rule["excluded_flags"]:
        yield Example(flag, credit._replace(flags=(*credit.flags, flag)), is_taken=False)
    yield Example("other flag", credit._replace(flags=(*credit.flags, "seen")), is_taken=True)


def pre_issued(rule: Table, credit: Credit) -> Iterator[Example]:
    for unit in rule["credit_types"]:
        early = credit._replace(unit=unit, flags=(*credit.flags, "pre_issued"))
        yield Example(f"{unit} pre-issued", early, unit in rule.get("pre_issued_types", ()))


# -- where -----------------------------------------------------------------------------------------


def localities(rule: Table, credit: Credit) -> Iterator[Example]:
    kinds = [item["kind"] for item in rule["locality"]]
    closed = {"local_only", "local_or_partner_only"} & set(kinds)
    for code in codes_of(rule):
        for region in (code, f"{code}:A city"):
            yield Example(region, credit._replace(region=region), is_taken=True)
        if closed:
            yield Example(f"{code}X", credit._replace(region=f"{code}X"), is_taken=False)
    for region in (elsewhere(rule), "", *(code.split("-")[0] for code in codes_of(rule))):
        away, is_known = credit._replace(region=region, flags=()), not may_be_barred(rule, region)
        yield Example(f"from {region!r}", away, is_taken=not closed and is_known)
        partner, is_barred = away._replace(flags=("partner",)), "local_only" in kinds
        yield Example(f"partner {region!r}", partner, is_taken=not is_barred and is_known)
    if not set(kinds) & {*OUTSIDE, "local_only"}:  # what is preferred is not asked for
        yield Example("preferred", credit._replace(region="XX"), is_taken=True)


def barred_regions(rule: Table, credit: Credit) -> Iterator[Example]:
    barred = rule["exclude_host_regions"]
    for code in barred:
        for region in (code, f"{code}:A city", code.lower()):
            yield Example(region, credit._replace(region=region), is_taken=False)
        province, _, city = code.partition(":")
        if city and not within(province, barred):
            known = credit._replace(region=f"{province}:Elsewhere")
            yield Example(known.region, known, is_taken=True)
        for region in {"", *wider(code, "-", ":")}:  # of CN it is open whether it is CN-BJ
            is_local = within(region, codes_of(rule))
            yield Example(f"{region!r}", credit._replace(region=region), is_taken=is_local)
    yield Example("elsewhere", credit._replace(region=elsewhere(rule)), is_taken=True)


def limited(rule: Table, credit: Credit) -> Iterator[Example]:
    listed = rule["allowed_regions_for_limited_types"]
    for kind in rule["region_limited_types"]:
        one = credit._replace(project_type=kind)
        yield from listed_only(listed, one)
    yield Example("other type", credit._replace(region="CN-BJ"), is_taken=True)


def local_types(rule: Table, credit: Credit) -> Iterator[Example]:
    for kind in rule["local_only_types"]:
        yield from listed_only(rule["local_regions"], credit._replace(project_type=kind))
    yield Example("other type", credit._replace(region="CN-BJ"), is_taken=True)


def listed_only(listed: list[str], credit: Credit) -> Iterator[Example]:
    for region in listed:
        for named in (region, f"{region}:Part", region.lower()):
            yield Example(f"{credit.project_type} {named}", credit._replace(region=named), True)
    vague = {less for code in listed for less in wider(code, "-", ":")}
    for region in {"", "XX", "CN-BJ", f"{listed[0]}X", *vague} - set(listed):
        what = f"{credit.project_type} {region!r}"
        yield Example(what, credit._replace(region=region), is_taken=False)


def covered(rule: Table, credit: Credit) -> Iterator[Example]:
    keys = {
        "scheme": "exclude_from_covered_projects",
        "other_pilot": "exclude_from_covered_projects_of_other_pilots",
    }
    for word, key in keys.items():
        inside = credit._replace(covered_by=word)
        yield Example(f"inside {word}", inside, is_taken=not rule.get(key, False))
    yield Example("outside", credit._replace(covered_by=""), is_taken=True)


CONDITIONS: dict[str, Maker] = {
    "programme_generations": generations,
    "old_generation_usable_until": old_generation,
    "reduction_from": reductions,
    "reduction_from_forestry": forestry,
    "project_in_operation_after": operation,
    "project_in_operation_exempt_types": exempt,
    "pre_2013_reductions_exchange_until": before_2013,
    "host_condition": hosts,
    "host_condition_if_project_registered_after": hosts,
    "unregistered_reductions": unregistered,
    "excluded_project_types": excluded,
    "exclusion_applies_to_use_from": excluded,
    "later_excluded_project_types": excluded_later,
    "later_exclusion_from": excluded_later,
    "allowed_project_types": allowed,
    "conditional_project_types": conditional,
    "gases": gases,
    "excluded_gases": barred_gases,
    "co2_ch4_min_share_bp": mostly_co2,
    "excluded_flags": flags,
    "pre_issued_types": pre_issued,
    "locality": localities,
    "exclude_host_regions": barred_regions,
    "region_limited_types": limited,
    "allowed_regions_for_limited_types": limited,
    "local_only_types": local_types,
    "local_regions": local_types,
    "exclude_from_covered_projects": covered,
    "exclude_from_covered_projects_of_other_pilots": covered,
}
ONE_SIDED = {"locality"}
"""Keys that may refuse nothing: a preferred region, a limit on how many."""
OLD = dt.date(1990, 1, 1)
NOT_ASKED: tuple[tuple[tuple[str, ...], str, tuple[object, ...]], ...] = (
    (("programme_generations",), "generation", ("", "any")),
    (("reduction_from", "pre_2013_reductions_exchange_until"), "reduction_from", (None, OLD)),
    (("project_in_operation_after",), "in_operation_from", (None, OLD)),
    (("host_condition",), "registered_on", (None, dt.date(2030, 1, 1))),
    (("gases",), "gas", ("CO2", "CH4", "NF3")),
    (("gases", "excluded_gases"), "gas", ("", "N2O", "HFC23", "hfc")),
    (("co2_ch4_min_share_bp",), "co2_ch4_share_bp", (None, 0)),
    (("excluded_flags",), "flags", (("pre_cdm",),)),
    (("allowed_project_types",), "project_type", ("something", "n2o", "hfc")),
    (TYPE_KEYS, "project_type", ("", "hydro", "hydro_large", "nuclear", "forestry")),
    (("exclude_from_covered_projects",), "covered_by", ("scheme",)),
    (("exclude_from_covered_projects_of_other_pilots",), "covered_by", ("other_pilot",)),
    (
        ("locality", "exclude_host_regions", "region_limited_types", "local_only_types"),
        "region",
        ("", "CN", "XX", "CN-FJ"),
    ),
)
"""What a rule without any of the keys must not ask."""


def rule_of(case: Case) -> tuple[ComplianceRules, OffsetRule]:
    for scheme in BOOK.scheme:
        for rules in scheme.rules if scheme.id == case.scheme else ():
            for rule in rules.offset if rules.id == case.rules["id"] else ():
                if rule.id == case.rule["id"]:
                    return rules, rule
    raise AssertionError(f"{case.name} is not read")


TAKING = [case for case in FIRST_CASES if case.rule["credit_types"]]
EACH = [(case, key) for case in TAKING for key in case.rule if key not in IN_WORDS | OF_CAPS]


def check_instruments(rule: OffsetRule, credit: Credit, on: dt.date) -> None:
    """Instruments under which a credit that is taken may be delivered, and which say less of it."""
    kinds = ["", *wider(credit.project_type, "_"), credit.project_type]
    places = ["", *wider(credit.region, "-", ":"), credit.region]
    for kind, place in product(kinds, places):
        told = unfit_all(
            rule, credit.unit, on, generation=credit.generation,
            project_types=[kind] if kind else [], regions=[place] if place else [],
        )  # fmt: skip
        assert not told, (kind, place)
    assert not unfit_all(rule, credit.unit, on)


def check(case: Case, example: Example) -> None:
    """The rule itself, a whole plan under it, and what is told of a kind of credits agree."""
    rules, rule = rule_of(case)
    on, credit = example.on or case.first, example.credit
    refusal = unfit(rule, credit, on)
    assert bool(refusal) != example.is_taken, (example, refusal)
    assert not refusal or refusal.startswith(f"rule {rule.id} ")
    if example.is_taken:
        check_instruments(rule, credit, on)
    if share_of(case.rule, case.year) is None:
        return
    local = [fitting(case.rule, credit.unit, quantity_t=10**6)]
    (answer,) = offset_plan(
        rules, [credit], emission_year=case.year, on=on, bases=dict.fromkeys(ALL_BASES, 10**12),
        used=local, applies_to=case.group,
    )  # fmt: skip
    wanted = credit.quantity_t if example.accepted_t is None else example.accepted_t
    assert answer.accepted_t == (wanted if example.is_taken else 0), example
    assert (answer.rule_id, answer.is_eligible) == (rule.id, example.is_taken)


@pytest.mark.parametrize("case", FIRST_CASES, ids=[case.rule["id"] for case in FIRST_CASES])
def test_every_key_of_a_rule_is_swept(case: Case) -> None:
    swept = IN_WORDS | OF_CAPS | CONDITIONS.keys()
    assert not case.rule.keys() - swept, "write the cases of the new key"
    assert case in TAKING or not case.rule.keys() & CONDITIONS.keys()


@pytest.mark.parametrize(
    ("case", "key"), EACH, ids=[f"{case.rule['id']}-{key}" for case, key in EACH]
)
def test_what_a_condition_takes_and_what_not(case: Case, key: str) -> None:
    for unit in case.rule["credit_types"]:
        made = list(CONDITIONS[key](case.rule, fitting(case.rule, unit)))
        assert any(example.is_taken for example in made)
        assert key in ONE_SIDED or not all(example.is_taken for example in made)
        for example in made:
            check(case, example)


@pytest.mark.parametrize("case", TAKING, ids=[case.rule["id"] for case in TAKING])
def test_what_a_rule_does_not_ask(case: Case) -> None:
    for unit in case.rule["credit_types"]:
        credit = fitting(case.rule, unit)
        check(case, Example("fits", credit, is_taken=True))
        for example in (*pre_issued(case.rule, credit), *covered(case.rule, credit)):
            check(case, example)
        for keys, field, values in NOT_ASKED:
            for value in () if is_asked(case.rule, keys) else values:
                what = f"no {keys}: {value!r}"
                check(case, Example(what, credit._replace(**{field: value}), is_taken=True))


def is_asked(rule: Table, keys: Iterable[str]) -> bool:
    return any(key in rule for key in keys)
