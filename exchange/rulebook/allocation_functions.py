"""The functions about allowances that vectors may name: caps, allocation, carry-over, positions.

As `exchange.rulebook.vector_functions`: each takes the rulebook, then the keys of `input`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from exchange.rulebook import allocation
from exchange.rulebook.allocation import share
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.selection import rules_named, scheme_named

Found = Mapping[str, Any]


def _scheme_cap(rulebook: Rulebook, scheme: str, year: int) -> Found:
    return {"cap_t": allocation.scheme_cap(scheme_named(rulebook, scheme), year)}


def _cap_change(rulebook: Rulebook, scheme: str, year: int) -> Found:
    known = scheme_named(rulebook, scheme)
    for rules in known.rules:
        if year in rules.emission_years and rules.cap_annual_reduction_t is not None:
            before_t = allocation.scheme_cap(known, year - 1)
            change_t = allocation.cap_change(rules, year)
            reduction_t = allocation.linear_reduction(rules, year)
            return {"reduction_t": reduction_t, "change_t": change_t, "cap_t": before_t + change_t}
    raise RulebookError(f"scheme {scheme}: no rules of {year} reduce the cap")


def _free_share(rulebook: Rulebook, scheme: str, year: int) -> Found:
    rules = rules_named(rulebook, scheme, year, dt.date(year, 12, 31))
    return {"share_bp": allocation.industry_free_share(rules, year)}


def _shortage(rulebook: Rulebook, verified_t: int, initial_allocation_t: int, cap_bp: int) -> Found:
    return allocation.shortage_top_up(verified_t, initial_allocation_t, cap_bp)._asdict()


def _provisional(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, base_t: int
) -> Found:
    rules = rules_named(rulebook, scheme, emission_year, on)
    if rules.provisional_allocation_bp is None:
        raise RulebookError(f"rules {rules.id} know no provisional allocation")
    return {"allocation_t": share(base_t, rules.provisional_allocation_bp)}


def _borrowing(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, verified_t: int,
    allocation_t: int,
) -> Found:  # fmt: skip
    rules = rules_named(rulebook, scheme, emission_year, on)
    return {"borrowing_max_t": allocation.borrowing_max(rules, verified_t, allocation_t)}


def _intensity(
    rulebook: Rulebook, emissions_t: int, balance_micro: int, intensity_micro: int
) -> Found:
    rules = rules_named(rulebook, "cn-national", 2026, dt.date(2026, 12, 31))
    found = allocation.intensity_allocation(rules, emissions_t, balance_micro, intensity_micro)
    return found._asdict()


def _carry_over(
    rulebook: Rulebook, sold_t: int, bought_t: int, position_t: int, scheme: str = "cn-national"
) -> Found:
    rule = scheme_named(rulebook, scheme).carry_over
    if rule is None:
        raise RulebookError(f"scheme {scheme} has no carry_over")
    return {"max_carry_t": allocation.carry_over(rule, sold_t, bought_t, position_t)}


def _carry_over_day(rulebook: Rulebook, applied_on: dt.date) -> Found:
    rule = scheme_named(rulebook, "cn-national").carry_over
    if rule is None:
        raise RulebookError("scheme cn-national has no carry_over")
    return {"processed_by": allocation.carry_over_processed_by(rule, applied_on) or ""}


def _sale_max(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, free_allocation_t: int
) -> Found:
    rules = rules_named(rulebook, scheme, emission_year, on)
    most_t = allocation.sale_max(rules, free_allocation_t)
    return {"sale_max_t": free_allocation_t if most_t is None else most_t}


def _position_limits(rulebook: Rulebook, unit: str, allocation_t: int | None = None) -> Found:
    market = allocation.position_market(rulebook, unit)
    if market is None:
        raise RulebookError(f"no market bounds positions in {unit}")
    limit_t, published_above_t = allocation.position_limits(market, allocation_t)
    return {"limit_t": limit_t, "published_above_t": published_above_t}


def _holding_limit(rulebook: Rulebook, scheme: str, annual_budget_t: int) -> Found:
    rule = scheme_named(rulebook, scheme).holding_limit
    if rule is None:
        raise RulebookError(f"scheme {scheme} has no holding_limit")
    return {"holding_limit_t": allocation.holding_limit(rule, annual_budget_t)}


FUNCTIONS: dict[str, Callable[..., Found]] = {
    "borrowing": _borrowing,
    "cap_change": _cap_change,
    "carry_over": _carry_over,
    "carry_over_day": _carry_over_day,
    "cn_intensity_allocation": _intensity,
    "holding_limit": _holding_limit,
    "industry_free_share": _free_share,
    "position_limits": _position_limits,
    "provisional_allocation": _provisional,
    "sale_max": _sale_max,
    "scheme_cap": _scheme_cap,
    "shortage_top_up": _shortage,
}
"""By the word that a vector's `function` names."""
