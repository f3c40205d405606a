"""The functions that vectors may name: from a file's words to the rule and back.

Each takes the rulebook, then the keys of `input` by name, and gives the keys of `expected`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from exchange.rulebook import (
    allocation_functions,
    others,
    penalties,
    prices,
    registries,
    supply,
    supply_functions,
)
from exchange.rulebook.allocation import share
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.eligibility import Credit
from exchange.rulebook.fees import FeePart, FeeSide, amount_of, fees_of, load_fee_schedules
from exchange.rulebook.figures import require_whole
from exchange.rulebook.offsets import Accepted, headroom, offset_plan
from exchange.rulebook.programmes import not_issuable, pre_issuable, programme_of
from exchange.rulebook.reference_limits import reference_limit
from exchange.rulebook.selection import (
    calendar,
    check_vintage,
    rules_in_force,
    rules_named,
    rules_of_group,
    scheme_named,
    surrender_deadline,
)
from exchange.rulebook.shapes import ComplianceRules, IntensityCoefficient, PenaltyRule
from exchange.rulebook.year import (
    STEPS,
    bases,
    cap_years,
    due,
    period_base,
    rules_of_year,
    sectors_of,
)

Found = Mapping[str, Any]
_INTENSITY = IntensityCoefficient(slope_bp=1_500, band_bp=2_000, max_bp=300, min_bp=-300)


def _rounding(word: str, known: str) -> None:
    if word != known:
        raise RulebookError(f"rounding is {known}, not {word}")


def _credits(tables: list[dict[str, Any]]) -> list[Credit]:
    tables = [{**table, "flags": tuple(table.get("flags", ()))} for table in tables]
    unknown = sorted({key for table in tables for key in table} - set(Credit._fields))
    if unknown:
        raise RulebookError(f"unknown key {', '.join(unknown)} of a credit")
    return [Credit(**table) for table in tables]


def _pre_issuance(rulebook: Rulebook, unit: str, expected_t: int) -> Found:
    for kind in rulebook.unit_type:
        if kind.code == unit:
            return {"most_t": pre_issuable(kind, expected_t)}
    raise RulebookError(f"the rulebook knows no unit_type {unit}")


# -- the compliance year ---------------------------------------------------------------------------


def _year_step(
    rulebook: Rulebook, scheme: str, emission_year: int, step: str, on: dt.date, sector: str = ""
) -> Found:
    scheme_named(rulebook, scheme)
    if step not in STEPS:
        raise RulebookError(f"step {step}: known are {', '.join(STEPS)}")
    rules = rules_of_year(rulebook, scheme, emission_year, on)
    known = sectors_of(rulebook, scheme, rules, emission_year)
    if sector and sector not in known:
        raise RulebookError(f"sector {sector}: known are {', '.join(known) or 'none'}")
    return {"due": due(rulebook, scheme, rules, emission_year, step, sector).day or ""}


def _year_bases(
    _rulebook: Rulebook,
    verified_t: int | None = None,
    initial_t: int | None = None,
    annual_t: int | None = None,
) -> Found:
    return bases(verified_t, initial_t, annual_t)


def _period_base(
    rulebook: Rulebook,
    scheme: str,
    emission_year: int,
    on: dt.date,
    verified_t: list[int | None],
    years: list[int],
    applies_to: str = "",
) -> Found:
    rules = rules_of_group(rulebook, scheme, emission_year, on, applies_to)
    if rules is None:
        raise RulebookError(f"scheme {scheme} has no rule in force on {on} for {emission_year}")
    found = period_base(rules, emission_year, dict(zip(years, verified_t, strict=True)))
    return {"bases": found, "cap_years": cap_years(rules, emission_year)}


# -- offsets and vintages --------------------------------------------------------------------------


def _offset_cap(rulebook: Rulebook, base_t: int, cap_bp: int, rounding: str = "floor") -> Found:
    _rounding(rounding, "floor")
    return {"cap_t": share(base_t, cap_bp)}


def _reference_limit(
    rulebook: Rulebook, scheme: str, base_t: int, emission_year: int, on: dt.date
) -> Found:
    return reference_limit(rulebook, scheme, base_t, emission_year=emission_year, on=on)._asdict()


def _offset_plan(
    rulebook: Rulebook,
    scheme: str = "",
    emission_year: int = 0,
    on: dt.date = dt.date.min,
    bases: dict[str, int] | None = None,
    credits: list[dict[str, Any]] | None = None,  # noqa: A002 - a word of the file
    used: list[dict[str, Any]] | None = None,
    scheme_used_t: int = 0,
    applies_to: str = "",
    obligation_t: int | None = None,
    ccer_t: int = 0,
    ffcer_t: int = 0,
    verified_t: int | None = None,
    local_t: int = 0,
    nonlocal_t: int = 0,
) -> Found:
    # Short for Fujian (an obligation) and Guangdong (verified emissions); else all by name.
    if obligation_t is not None:
        return _fujian(rulebook, obligation_t, ccer_t, ffcer_t)
    if verified_t is not None:
        return _guangdong(rulebook, verified_t, local_t, nonlocal_t)
    rules = rules_in_force(rulebook, scheme, emission_year, on, applies_to)
    if rules is not None:
        applies_to = ""
    else:
        rules = rules_named(rulebook, scheme, emission_year, on)
    if rules.offset and all(rule.applies_to != applies_to for rule in rules.offset):
        raise RulebookError(f"no offset rule of {rules.id} applies to {applies_to or 'everybody'}")
    found = offset_plan(
        rules,
        _credits(credits or []),
        emission_year=emission_year,
        on=on,
        bases=bases or {},
        used=_credits(used or []),
        scheme_used_t=scheme_used_t,
        applies_to=applies_to,
    )
    return {
        "accepted_t": [item.accepted_t for item in found],
        "total_t": sum(item.accepted_t for item in found),
        "rules": [item.rule_id for item in found],
        "reasons": [item.reason for item in found],
    }


def _fujian(rulebook: Rulebook, obligation_t: int, ccer_t: int, ffcer_t: int) -> Found:
    rules = rules_named(rulebook, "cn-pilot-fujian", 2024, dt.date(2025, 6, 30))
    offered = [
        Credit("CCER", ccer_t, region="CN-FJ", project_type="forestry"),
        Credit("FFCER", ffcer_t, region="CN-FJ", project_type="forestry"),
    ]
    bases = {"surrender_obligation": obligation_t}
    ccer, ffcer = _planned(rules, offered, 2024, bases)
    order = [rule.credit_types[0].lower() for rule in rules.offset]
    return {
        "ccer_accepted_t": ccer.accepted_t,
        "ffcer_accepted_t": ffcer.accepted_t,
        "order": f"{order[0]}_first",
    }


def _guangdong(rulebook: Rulebook, verified_t: int, local_t: int, nonlocal_t: int) -> Found:
    rules = rules_named(rulebook, "cn-pilot-guangdong", 2016, dt.date(2017, 6, 20))
    offered = [
        Credit("CCER", local_t, region="CN-GD", project_type="forestry", co2_ch4_share_bp=10_000),
        Credit("CCER", nonlocal_t, region="CN-XJ", project_type="wind", co2_ch4_share_bp=10_000),
    ]
    local, outside = _planned(rules, offered, 2016, {"verified_emissions": verified_t})
    return {
        "local_accepted_t": local.accepted_t,
        "nonlocal_accepted_t": outside.accepted_t,
        "reason": outside.reason or local.reason,
    }


def _planned(
    rules: ComplianceRules, offered: list[Credit], year: int, bases: dict[str, int]
) -> list[Accepted]:
    return offset_plan(rules, offered, emission_year=year, on=rules.effective_from, bases=bases)


def _offset_headroom(
    rulebook: Rulebook,
    scheme: str,
    emission_year: int,
    on: dt.date,
    bases: dict[str, int],
    used: list[dict[str, Any]] | None = None,
    scheme_used_t: int = 0,
) -> Found:
    limits = headroom(
        rules_named(rulebook, scheme, emission_year, on),
        emission_year=emission_year,
        bases=bases,
        used=_credits(used or []),
        scheme_used_t=scheme_used_t,
    )
    return {"left_t": [item.left_t for item in limits], "limits": [item.name for item in limits]}


def _vintage(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, vintage: int
) -> Found:
    verdict = check_vintage(
        rulebook, scheme_id=scheme, emission_year=emission_year, on=on, vintage=vintage
    )
    return {
        "counts": verdict.refusal == "",
        "is_borrowed": verdict.is_borrowed,
        "rule": verdict.rule_id,
    }


def _credit_issuance(
    rulebook: Rulebook,
    unit: str,
    generation: str,
    on: dt.date,
    reduction_from: dt.date,
    project_started: dt.date | None = None,
) -> Found:
    programme = programme_of(rulebook, unit, generation)
    if programme is None:
        raise RulebookError(f"no credit_programme of {unit}, generation {generation}")
    return {"issuable": not_issuable(programme, on, reduction_from, project_started) == ""}


def _rule_in_force(rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date) -> Found:
    rules = rules_in_force(rulebook, scheme, emission_year, on)
    return {"rule": rules.id if rules else ""}


def _deadline(rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date) -> Found:
    return {
        "due": surrender_deadline(rules_named(rulebook, scheme, emission_year, on), emission_year)
    }


def _calendar(rulebook: Rulebook, scheme: str, emission_year: int) -> Found:
    steps = calendar(scheme_named(rulebook, scheme), emission_year)
    return {"days": [day for day, _, _ in steps], "steps": [step for _, step, _ in steps]}


# -- penalties -------------------------------------------------------------------------------------


def _penalty(
    rulebook: Rulebook,
    shortfall_t: int,
    kind: str = "",
    scheme: str = "",
    emission_year: int = 0,
    on: dt.date | None = None,
    average_price_minor: int = 0,
    held_t: int = 0,
    decided_on: dt.date | None = None,
    multiple_min: int | None = None,
    multiple_max: int | None = None,
    amount_minor_per_t: int | None = None,
    instruments_per_missing: int | None = None,
) -> Found:
    # By a scheme's rule of that year and day, or by a kind with its own numbers. `decided_on` is
    # the day of a decision about a year whose rules may be over, as the registry assesses it.
    require_whole(
        multiple_min=multiple_min,
        multiple_max=multiple_max,
        amount_minor_per_t=amount_minor_per_t,
        instruments_per_missing=instruments_per_missing,
    )
    if kind:
        rule = PenaltyRule(
            kind=kind,
            multiple_min=multiple_min,
            multiple_max=multiple_max,
            amount_minor_per_t=amount_minor_per_t,
            instruments_per_missing=instruments_per_missing,
            shortfall_carried_to_next_year=True,
        )
    else:
        rules = _penalty_rules(rulebook, scheme, emission_year, on, decided_on)
        if rules.penalty is None:
            raise RulebookError(f"rules {rules.id} name no penalty")
        rule = rules.penalty
    found = penalties.penalty(
        rule,
        shortfall_t,
        year=emission_year,
        average_price_minor=average_price_minor,
        held_t=held_t,
        on=decided_on or on,
    )
    return {"fine_minor": found.fine_max_minor, **msgspec.structs.asdict(found)}


def _penalty_rules(
    rulebook: Rulebook, scheme: str, year: int, on: dt.date | None, decided_on: dt.date | None
) -> ComplianceRules:
    if decided_on is None:
        return rules_named(rulebook, scheme, year, on or dt.date.min)
    if on is not None:
        raise RulebookError("give on, or decided_on for a decision after the rules of the year")
    scheme_named(rulebook, scheme)
    rules = rules_of_year(rulebook, scheme, year, decided_on)
    if rules is None:
        raise RulebookError(f"scheme {scheme} has no rule for {year} until {decided_on}")
    return rules


def _false_data(
    rulebook: Rulebook,
    scheme: str,
    on: dt.date,
    gain_minor: int,
    next_allocation_t: int = 0,
    refusing: bool = False,
) -> Found:
    rule = penalties.false_data_rule(scheme_named(rulebook, scheme), on)
    found = penalties.false_data_penalty(
        rule, gain_minor, next_allocation_t=next_allocation_t, is_refusing=refusing
    )
    return {"rule": rule.id, **msgspec.structs.asdict(found)}


# -- what others do for an entity ------------------------------------------------------------------


def _held_for(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, account_type: str
) -> Found:
    rules = rules_of_year(rulebook, scheme, emission_year, on)
    return {"why_not": others.not_held(rules, account_type)}


def _released(
    rulebook: Rulebook, scheme: str, vintage: int, on: dt.date, owed: dict[str, int]
) -> Found:
    rules = rules_of_year(rulebook, scheme, vintage, on)
    by_year = {int(year): tonnes for year, tonnes in owed.items()}
    return {"why_not": others.not_released(rules, vintage, by_year)}


def _for_another(
    rulebook: Rulebook, scheme: str, emission_year: int, on: dt.date, frozen: bool
) -> Found:
    rules = rules_of_year(rulebook, scheme, emission_year, on)
    return {"why_not": others.not_for_another(rules, is_frozen=frozen)}


# -- supply ----------------------------------------------------------------------------------------


def _msr_intake(rulebook: Rulebook, regime: str, tnac_t: int) -> Found:
    for scheme in rulebook.scheme:
        for rule in scheme.supply_control:
            if rule.id == regime:
                return supply.reserve_move(rule, tnac_t)._asdict()
    raise RulebookError(f"the rulebook knows no supply_control {regime}")


def _redistribute(
    rulebook: Rulebook, cancelled_t: int, next_first_proposed_t: list[int], cap_bp: int
) -> Found:
    added, excess = supply.redistribute(cancelled_t, next_first_proposed_t, cap_bp)
    return {"added_t": added, "to_stability_account_t": excess}


# -- prices ----------------------------------------------------------------------------------------


def _price_band(
    rulebook: Rulebook, previous_close_minor: int, limit_bp: int, tick_minor: int,
    rounding: str = "half_up",
) -> Found:  # fmt: skip
    _rounding(rounding, "half_up")
    band = prices.price_band(previous_close_minor, limit_bp, tick_minor)
    return {"low_minor": band.low, "high_minor": band.high}


def _trades(tables: list[dict[str, int]]) -> list[prices.Trade]:
    return [(table["price_minor"], table["qty_t"]) for table in tables]


def _close_price(
    rulebook: Rulebook, rule: str, open_minor: int, trades: list[dict[str, int]]
) -> Found:
    least = {"guangdong": 100, "national": 0}
    if rule not in least:
        raise RulebookError(f"unknown rule {rule}; known: {', '.join(least)}")
    return {"close_minor": prices.close_price(_trades(trades), open_minor, least[rule])}


def _reserve_price(rulebook: Rulebook, share_bp: int, trades: list[dict[str, int]]) -> Found:
    return {"reserve_minor": prices.reserve_price(_trades(trades), share_bp)}


def _composite(rulebook: Rulebook, scheme: str, on: dt.date, closes: dict[str, int]) -> Found:
    rule = scheme_named(rulebook, scheme).composite_price
    if rule is None:
        raise RulebookError(f"scheme {scheme} has no composite_price")
    return {"composite_minor": prices.composite_price(rule, on, closes)}


def _order_to_trade(
    rulebook: Rulebook, order_volume_t: int, trade_volume_t: int, order_count: int,
    trade_count: int,
) -> Found:  # fmt: skip
    return {
        "volume_ratio": prices.order_to_trade(order_volume_t, trade_volume_t),
        "number_ratio": prices.order_to_trade(order_count, trade_count),
    }


def _fee(
    rulebook: Rulebook, qty_t: int, trading_minor_per_1000t: int, clearing_minor_per_1000t: int
) -> Found:
    amounts = {"trading": trading_minor_per_1000t, "clearing": clearing_minor_per_1000t}
    parts = [
        FeePart(name=name, sides="both", minor_per_lot=amount, lot_t=1_000)
        for name, amount in amounts.items()
    ]
    return {"fee_minor": sum(amount_of(part, qty_t, price_minor=1) for part in parts)}


def _venue_fee(
    rulebook: Rulebook, market: str, on: dt.date, side: str, qty_t: int, price_minor: int
) -> Found:
    if side not in {"buyer", "seller"}:
        raise RulebookError(f"side is buyer or seller, not {side}")
    schedule = load_fee_schedules().schedule_of(market, on)
    of: FeeSide = "buyer" if side == "buyer" else "seller"
    charges = fees_of(schedule, of, qty_t, price_minor)
    return {
        "fee_minor": sum(charge.amount for charge in charges),
        "charges": {charge.name: charge.amount for charge in charges},
    }


# -- registries ------------------------------------------------------------------------------------


def _registry_execution(
    rulebook: Rulebook,
    registry: str,
    trusted: bool,
    approved: dt.datetime,
    holidays: list[dt.date] | None = None,
) -> Found:
    hours = registries.hours_of(rulebook, registry, holidays or ())
    found = registries.transfer_execution(hours, approved, is_trusted=trusted)
    return {key: value for key, value in found._asdict().items() if value is not None}


def _trusted_list(
    rulebook: Rulebook,
    approved: dt.datetime,
    working_days: int,
    registry: str = "union-registry",
    holidays: list[dt.date] | None = None,
) -> Found:
    hours = registries.hours_of(rulebook, registry, holidays or ())
    return {"effective": registries.trusted_list_effective(hours, approved, working_days)}


def _split_block(rulebook: Rulebook, serial_start: int, serial_end: int, take_t: int) -> Found:
    found = registries.split_block(serial_start, serial_end, take_t)
    return {
        name: {"serial_start": first, "serial_end": last}
        for name, (first, last) in found._asdict().items()
    }


FUNCTIONS: dict[str, Callable[..., Found]] = {
    **allocation_functions.FUNCTIONS,
    **supply_functions.FUNCTIONS,
    "calendar": _calendar,
    "close_price": _close_price,
    "composite_price": _composite,
    "credit_issuance": _credit_issuance,
    "false_data_penalty": _false_data,
    "fee": _fee,
    "held_for_entity": _held_for,
    "msr_intake": _msr_intake,
    "offset_cap": _offset_cap,
    "reference_limit": _reference_limit,
    "offset_headroom": _offset_headroom,
    "offset_plan": _offset_plan,
    "order_to_trade": _order_to_trade,
    "penalty": _penalty,
    "period_base": _period_base,
    "pre_issuance": _pre_issuance,
    "price_band": _price_band,
    "redistribute": _redistribute,
    "registry_execution": _registry_execution,
    "release_of_held": _released,
    "reserve_price": _reserve_price,
    "rule_in_force": _rule_in_force,
    "split_block": _split_block,
    "surrender_deadline": _deadline,
    "surrender_for_another": _for_another,
    "trusted_list_effective": _trusted_list,
    "venue_fee": _venue_fee,
    "vintage": _vintage,
    "year_bases": _year_bases,
    "year_step": _year_step,
}
"""By the word that a vector's `function` names."""
