"""Whether a credit may be used at all under a rule, whatever the quantity.

A credit is refused where it does not state what the rule asks for, and what a rule excludes it
excludes in capitals and in small letters. That a project is inside a
covered entity, and what a flag says, hold only where they are stated. An instrument is not refused
for what it leaves open: the units that are delivered in it are asked then (`unfit_all`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from exchange.rulebook.regions import is_within
from exchange.rulebook.shapes import ConditionalType, OffsetRule

PRE_ISSUED = "pre_issued"
"""The flag of credits that were issued before their reductions were certified."""


class Credit(NamedTuple):
    """Tonnes of a credit, and what a rule may ask of it; "" and None = not stated."""

    unit: str  # its type: CCER, FFCER, ...
    quantity_t: int
    generation: str = ""
    project_type: str = ""
    gas: str = ""
    co2_ch4_share_bp: int | None = None  # of the project's reductions
    region: str = ""
    host: str = ""  # "least_developed_country", or ""
    reduction_from: dt.date | None = None  # the first day of the reductions
    registered_on: dt.date | None = None
    in_operation_from: dt.date | None = None
    covered_by: str = ""  # "scheme", "other_pilot": the project is inside a covered entity
    flags: tuple[str, ...] = ()


def unfit(rule: OffsetRule, credit: Credit, on: dt.date) -> str:
    """Why the rule does not take the credit on the day of the act, in words; "" = it does. O(1)."""
    found = (
        _generation(rule, credit, on)
        or _time(rule, credit)
        or _kind(rule, credit, on)
        or _place(rule, credit)
        or _boundary(rule, credit)
        or _host(rule, credit)
        or _last_exchange(rule, credit, on)
    )
    return f"rule {rule.id} {found}" if found else ""


def unfit_generation(rule: OffsetRule, unit: str, generation: str, on: dt.date) -> str:
    """Why the rule takes no units of a generation on a day, in words; "" = it does. O(1)."""
    found = _generation(rule, Credit(unit, 0, generation=generation), on)
    return f"rule {rule.id} {found}" if found else ""


def unfit_all(
    rule: OffsetRule,
    unit: str,
    on: dt.date,
    *,
    generation: str = "",
    project_types: Sequence[str] = (),
    regions: Sequence[str] = (),
) -> str:
    """Why the rule takes no credit at all of such a kind, in words; "" = it may take some.

    For who knows of credits what an instrument says, and no more: what is not stated ("" and ())
    refuses nothing. O(types x regions).
    """
    known = Credit(unit, 0, generation=generation, flags=("partner",))
    found = _generation(rule, known, on) if generation else ""
    texts = []
    for kind, region in product(project_types or ("",), regions or ("",)):
        told = known._replace(project_type=kind, region=region)
        text = _type(rule, told, on, is_open=True) if kind else ""
        texts.append(text or (_place(rule, told, is_open=True) if region else ""))
    if not found and all(texts):
        found = texts[0]
    return f"rule {rule.id} {found}" if found else ""


def may_be_within(region: str, wanted: str) -> bool:
    """Whether something in a region may be in one of the wanted ones, by commas. O(regions)."""
    return is_within(region, wanted) or any(
        is_within(one, region) for one in wanted.split(",") if one
    )


def _generation(rule: OffsetRule, credit: Credit, on: dt.date) -> str:
    taken = rule.programme_generations
    if not taken:
        return ""
    if credit.generation not in taken:
        shown = credit.generation or "not stated for the instrument"
        return f"takes programme generation {', '.join(taken)}; this one is {shown}"
    last = rule.old_generation_usable_until
    if last is not None and credit.generation == taken[0] and on > last:
        return f"took generation {taken[0]} until {last}; the act is of {on}"
    return ""


def _time(rule: OffsetRule, credit: Credit) -> str:
    first = rule.reduction_from
    if rule.reduction_from_forestry and credit.project_type == "forestry":
        first = rule.reduction_from_forestry
    if first is not None and (credit.reduction_from is None or credit.reduction_from < first):
        return f"takes reductions from {first} on; these are {_since(credit.reduction_from)}"
    after = rule.project_in_operation_after
    exempt = credit.project_type in rule.project_in_operation_exempt_types
    begun = credit.in_operation_from
    if after is not None and not exempt and (begun is None or begun <= after):
        return f"takes projects in operation after {after}; this one is {_since(begun)}"
    window = rule.unregistered_reductions
    if window is not None and "unregistered" in credit.flags:
        made = credit.reduction_from
        if made is None or not window.reduction_from <= made <= window.reduction_to:
            return (
                f"takes unregistered reductions of {window.reduction_from} to "
                f"{window.reduction_to}; these are {_since(made)}"
            )
    return ""


def _since(day: dt.date | None) -> str:
    return f"of {day}" if day else "of no stated day"


def _type(rule: OffsetRule, credit: Credit, on: dt.date, *, is_open: bool = False) -> str:
    # `is_open`: a type that may be more exact in the units than what is stated refuses nothing.
    is_excluding = rule.exclusion_applies_to_use_from is None or (
        on >= rule.exclusion_applies_to_use_from
    )
    later = rule.later_exclusion_from
    kinds = rule.excluded_project_types if is_excluding else ()
    kinds += rule.later_excluded_project_types if later is not None and on >= later else ()
    kind = credit.project_type
    if kinds and not kind:
        return f"excludes {', '.join(kinds)}; the type of this project is not stated"
    if any(_is_of(kind, excluded) for excluded in kinds):
        return f"excludes {kind}"
    vague = [excluded for excluded in kinds if _is_of(excluded, kind)]
    if vague and not is_open:
        return f"excludes {', '.join(vague)}; of this project of {kind} that is not stated"
    may_be_more_exact = is_open and any(_is_of(one, kind) for one in rule.allowed_project_types)
    is_allowed = kind in rule.allowed_project_types or may_be_more_exact
    if rule.allowed_project_types and not is_allowed:
        shown = kind or "not stated"
        return f"takes projects of {', '.join(rule.allowed_project_types)}; this one is {shown}"
    if is_open:
        return ""
    return next(
        (text for item in rule.conditional_project_types if (text := _condition(item, credit))), ""
    )


def _condition(item: ConditionalType, credit: Credit) -> str:
    kind = credit.project_type
    is_meant = _is_of(kind, item.project_type) or _is_of(item.project_type, kind) or not kind
    is_free = any(_is_of(kind, free) for free in item.except_types)
    if not is_meant or is_free or item.flag in credit.flags:
        return ""
    free = f", save {', '.join(item.except_types)}," if item.except_types else ""
    return (
        f"takes {item.project_type}{free} with the flag {item.flag} only: {item.proof}; "
        f"of this project of {kind or 'a type not stated'} it is not stated"
    )


def _is_of(kind: str, wider: str) -> bool:
    # hydro_small and Hydro are of hydro; a type not stated is of none, and none is of it.
    return bool(kind and wider) and f"{kind}_".lower().startswith(f"{wider}_".lower())


def _kind(rule: OffsetRule, credit: Credit, on: dt.date) -> str:
    found = _type(rule, credit, on) or _gas(rule, credit)
    if found:
        return found
    if PRE_ISSUED in credit.flags and credit.unit not in rule.pre_issued_types:
        return f"takes no {credit.unit} that were issued before their reductions were certified"
    refused = [flag for flag in rule.excluded_flags if flag in credit.flags]
    return f"excludes {', '.join(refused)}" if refused else ""


def _gas(rule: OffsetRule, credit: Credit) -> str:
    if rule.gases and credit.gas not in rule.gases:
        return f"takes {', '.join(rule.gases)} only; this is {credit.gas or 'not stated'}"
    if rule.excluded_gases and not credit.gas:
        return f"excludes {', '.join(rule.excluded_gases)}; the gas of this project is not stated"
    said = credit.gas.upper()
    if any(said.startswith(gas.upper()) for gas in rule.excluded_gases):  # hfc23 is of HFC
        return f"excludes {credit.gas}"
    share = credit.co2_ch4_share_bp
    if rule.co2_ch4_min_share_bp and (share is None or share < rule.co2_ch4_min_share_bp):
        shown = "not stated" if share is None else share
        return (
            f"asks for {rule.co2_ch4_min_share_bp} basis points of CO2 and CH4; these are {shown}"
        )
    return ""


def _place(rule: OffsetRule, credit: Credit, *, is_open: bool = False) -> str:
    # `is_open`: a region in which some units may be where the rule takes them refuses nothing.
    inside: Callable[[str, str], bool] = may_be_within if is_open else is_within
    shown = credit.region or "a region not stated"
    if is_within(credit.region, ",".join(rule.exclude_host_regions)):
        return f"excludes projects in {shown}"
    if not is_open and _may_be_excluded(rule, credit.region):
        places = ", ".join(rule.exclude_host_regions)
        return (
            f"excludes projects in {places}; where in {credit.region or 'the world'} this one "
            "is, is not stated"
        )
    for item in rule.locality:
        if item.kind == "local_only" and not inside(credit.region, item.region):
            return f"takes credits from {item.region} only; this one is from {shown}"
        is_partner = "partner" in credit.flags or inside(credit.region, item.region)
        if item.kind == "local_or_partner_only" and not is_partner:
            return f"takes credits from {item.region} and its partners; this one is from {shown}"
    kind = credit.project_type
    places = ",".join(rule.allowed_regions_for_limited_types)
    if kind in rule.region_limited_types and not inside(credit.region, places):
        return f"takes {kind} from listed regions only; this one is from {shown}"
    local = ",".join(rule.local_regions)
    if kind in rule.local_only_types and not inside(credit.region, local):
        return f"takes {kind} from {local} only; this one is from {shown}"
    return ""


def _may_be_excluded(rule: OffsetRule, region: str) -> bool:
    # CN may be CN-BJ; CN-GD is what a rule of Guangdong itself asks for.
    local = ",".join(item.region for item in rule.locality)
    excluded = ",".join(rule.exclude_host_regions)
    is_vague = not region or may_be_within(region, excluded)
    return bool(excluded) and is_vague and not is_within(region, local)


def _boundary(rule: OffsetRule, credit: Credit) -> str:
    if rule.exclude_from_covered_projects and credit.covered_by == "scheme":
        return "excludes projects inside the covered entities of the scheme"
    if rule.exclude_from_covered_projects_of_other_pilots and credit.covered_by == "other_pilot":
        return "excludes projects inside the covered entities of other pilots"
    return ""


def _last_exchange(rule: OffsetRule, credit: Credit, on: dt.date) -> str:
    last, made = rule.pre_2013_reductions_exchange_until, credit.reduction_from
    if last is not None and on > last and (made is None or made.year < 2013):
        shown = f"; these are {_since(made)}" if made is None else ""
        return f"took reductions made before 2013 until {last}; the act is of {on}{shown}"
    return ""


def _host(rule: OffsetRule, credit: Credit) -> str:
    after = rule.host_condition_if_project_registered_after
    if not rule.host_condition or after is None:
        return ""
    is_new = credit.registered_on is None or credit.registered_on > after
    if is_new and credit.host != "least_developed_country":
        return f"takes projects registered after {after} from least developed countries only"
    return ""
