"""What a shortfall and false data cost: money in minor units, tonnes owed or deducted. Pure.

Which kind holds is the scheme's matter and dated; the kinds are those of `shapes.PENALTIES`.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from exchange.rulebook.book import RulebookError
from exchange.rulebook.shapes import FalseDataRule, PenaltyRule, Scheme

BP = 10_000


class Penalty(msgspec.Struct, frozen=True):
    """What follows a shortfall; 0 and "" = nothing of it.

    `fine_is_known` False: there is a fine, of an amount that the rulebook does not know; what it
    needs is the `consequence`, and nothing may be paid or counted by the 0 that stands here.

    A range (`fine_min_minor` to `fine_max_minor`) leaves the choice to the authority. `carried`
    is still owed next year, `deduction` is taken from next year's allocation, on `condition`.
    """

    fine_min_minor: int = 0
    fine_max_minor: int = 0
    carried_obligation_t: int = 0
    instruments_due_t: int = 0
    forced_deduction_t: int = 0
    next_year_deduction_t: int = 0
    condition: str = ""
    consequence: str = ""
    fine_is_known: bool = True


def penalty(
    rule: PenaltyRule,
    shortfall_t: int,
    *,
    year: int = 0,
    average_price_minor: int = 0,
    held_t: int = 0,
    on: dt.date | None = None,
) -> Penalty:
    """What the rule asks for a shortfall of an emission year, decided on a day. O(1).

    `average_price_minor` is the price which the rule names as its base, `held_t` what can be taken
    from the account by force. ValueError for a negative quantity or price, or a price that is
    missing. An indexed amount that was not observed is not guessed: the fine is not known, and what
    is carried is.
    """
    if min(shortfall_t, average_price_minor, held_t) < 0:
        raise ValueError("a shortfall, a price and a holding are not negative")
    match rule.kind:
        case "fixed_per_tonne_plus_carry_forward":
            carried_t = shortfall_t if rule.shortfall_carried_to_next_year else 0
            amount = amount_of_year(rule, year)
            if amount is None and shortfall_t:
                return Penalty(
                    carried_obligation_t=carried_t,
                    consequence=not_observed(rule, year),
                    fine_is_known=False,
                )
            fine = shortfall_t * (amount or 0)
            return Penalty(fine, fine, carried_obligation_t=carried_t)
        case "instrument_multiple":
            return Penalty(instruments_due_t=shortfall_t * (rule.instruments_per_missing or 0))
        case "no_fine":
            return Penalty(consequence=rule.consequence)
        case "multiple_of_market_price":
            low, high = _multiples(rule, shortfall_t, average_price_minor)
        case "forced_deduction_then_multiple_of_market_price":
            low, high = _multiples(rule, shortfall_t, average_price_minor)
            forced_t = min(shortfall_t, held_t)
            return Penalty(
                low, high, forced_deduction_t=forced_t, next_year_deduction_t=shortfall_t - forced_t
            )
        case _:
            low = rule.fine_minor if rule.fine_minor is not None else rule.fine_min_minor or 0
            high = rule.fine_minor if rule.fine_minor is not None else rule.fine_max_minor or 0
    if shortfall_t == 0:
        return Penalty()
    deduction_t, condition = _deduction(rule, shortfall_t, on)
    return Penalty(low, high, next_year_deduction_t=deduction_t, condition=condition)


class FalseDataPenalty(msgspec.Struct, frozen=True):
    """What follows false data, from the least to the most; the choice is the authority's."""

    fine_min_minor: int
    fine_max_minor: int
    deduction_min_t: int = 0  # from the next allocation, of one that refuses to correct
    deduction_max_t: int = 0


def false_data_rule(scheme: Scheme, on: dt.date) -> FalseDataRule:
    """The rule for acts of a day; RulebookError when the rulebook has none. O(rules)."""
    for rule in scheme.false_data:
        if rule.in_force_from <= on <= (rule.in_force_to or dt.date.max):
            return rule
    raise RulebookError(f"scheme {scheme.id} has no rule for false data in force on {on}")


def false_data_penalty(
    rule: FalseDataRule, gain_minor: int, *, next_allocation_t: int = 0, is_refusing: bool = False
) -> FalseDataPenalty:
    """What the rule asks for false data that brought a gain. O(1).

    The least deduction is rounded up, the most down: neither leaves the range. ValueError for a
    negative gain or allocation.
    """
    if min(gain_minor, next_allocation_t) < 0:
        raise ValueError("a gain and an allocation are not negative")
    fines = (rule.fine_min_minor, rule.fine_max_minor)
    if gain_minor >= rule.gain_threshold_minor:
        fines = (gain_minor * rule.multiple_min, gain_minor * rule.multiple_max)
    if not is_refusing:
        return FalseDataPenalty(*fines)
    least = -(-next_allocation_t * rule.refusal_deduction_min_bp // BP)
    return FalseDataPenalty(*fines, least, next_allocation_t * rule.refusal_deduction_max_bp // BP)


def amount_of_year(rule: PenaltyRule, year: int) -> int | None:
    """Minor units a tonne for an emission year; None: indexed, and not observed. O(years).

    The law's own amount where it is not indexed. Source: Directive 2003/87/EC, Article 16(3) and
    (4): 100 EUR, and from 2013 on with the European index of consumer prices.
    """
    if not rule.indexed_by:
        return rule.amount_minor_per_t
    return next((item.amount for item in rule.observed_minor if item.year == year), None)


def not_observed(rule: PenaltyRule, year: int) -> str:
    """What the rulebook needs to know the fine of a year, in words. O(1)."""
    return (
        f"the fine is not known: {rule.amount_minor_per_t} minor units a tonne rise by the "
        f"{rule.indexed_by}, and the amount of {year} was not observed; set observed_minor of "
        f"{year} in the rulebook"
    )


def _multiples(rule: PenaltyRule, shortfall_t: int, price_minor: int) -> tuple[int, int]:
    if shortfall_t and not price_minor:
        raise ValueError(f"the penalty needs a price: {rule.price_base or 'of the market'}")
    most = rule.fine_cap_minor
    fines = [shortfall_t * price_minor * (n or 0) for n in (rule.multiple_min, rule.multiple_max)]
    low, high = (fine if most is None else min(fine, most) for fine in fines)
    return low, high


def _deduction(rule: PenaltyRule, shortfall_t: int, on: dt.date | None) -> tuple[int, str]:
    ends = rule.next_year_deduction_ends_on  # of decisions, whatever year they are about
    if ends is not None and on is not None and on >= ends:
        return 0, ""
    match rule.next_year_deduction:
        case "none_for_new_decisions":  # until the end as under the regulation that the rule amends
            return (0, "") if on is None else (shortfall_t, "if refusing to correct")
        case "twice_the_shortfall":
            return 2 * shortfall_t, ""
        case "equal_to_shortfall_if_not_corrected":
            return shortfall_t, "if not corrected"
        case "equal_to_shortfall_if_refusing_to_correct":
            return shortfall_t, "if refusing to correct"
        case _:
            return 0, ""
