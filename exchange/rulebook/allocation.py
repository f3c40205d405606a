"""Who gets how many allowances, and what becomes of old ones. Tonnes; pure integer arithmetic."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.catalogue import VenueMarket
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import CarryOver, ComplianceRules, HoldingLimit, Scheme

BP = 10_000
_FREE_FROM, _FREE_TO = 2013, 2020


class TopUp(NamedTuple):
    """What a shortage cap adds to an allocation."""

    top_up_t: int
    final_allocation_t: int


class Borrowing(NamedTuple):
    """How much of a later vintage may be surrendered for a year, and how much was."""

    limit_t: int
    used_t: int

    @property
    def left_t(self) -> int:
        """What may still be. O(1)."""
        return max(0, self.limit_t - self.used_t)


class Intensity(NamedTuple):
    """An allocation by the deviation from the sector's intensity; basis points toward zero."""

    deviation_bp: int
    alpha_bp: int
    allocation_t: int


def half_up(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest whole, a half upwards. The denominator is above zero."""
    return (2 * numerator + denominator) // (2 * denominator)


def share(amount: int, share_bp: int) -> int:
    """A share of an amount, rounded down. ValueError for a negative amount or share."""
    if amount < 0:
        raise ValueError(f"an amount is not negative: {amount}")
    require_whole(share_bp=share_bp)
    return amount * share_bp // BP


def scheme_cap(scheme: Scheme, year: int) -> int:
    """How many allowances a scheme issues for a year, tonnes. O(rules x years).

    RulebookError when the rulebook does not know the year.
    """
    return capped_by(scheme, year)[1]


def capped_by(scheme: Scheme, year: int) -> tuple[ComplianceRules, int]:
    """The rules that say a scheme's cap of a year, and the cap, tonnes. O(rules x years).

    A cap that falls by steps goes on until other rules name another, or until its own end.
    RulebookError when the rulebook does not know the year.
    """
    found: tuple[int, ComplianceRules, int] | None = None
    for rules in scheme.rules:
        begins = rules.cap_first_year or min(rules.emission_years, default=year + 1)
        ends = rules.effective_to.year if rules.effective_to else year
        if rules.emission_years and rules.cap_first_year is not None:
            ends = min(ends, max(rules.emission_years))
        if not begins <= year <= ends or (found is not None and begins <= found[0]):
            continue
        cap_t = cap_of_year(rules, begins, year)
        if cap_t is not None:
            found = begins, rules, cap_t
    if found is None:
        raise RulebookError(f"scheme {scheme.id}: the cap of {year} is not known")
    return found[1:]


def cap_of_year(rules: ComplianceRules, begins: int, year: int) -> int | None:
    """The cap of a year from the first one, tonnes; None: the rules name none. O(years).

    Each year it falls by the linear reduction, and changes by what is rebased or joins. Source:
    Directive 2003/87/EC, Article 9, and the Commission's decisions on the Union-wide quantity.
    """
    cap_t = rules.cap_first_year_t
    if cap_t is None:
        return rules.cap_per_year_t
    for following in range(begins + 1, year + 1):
        cap_t += cap_change(rules, following)
    return cap_t


def cap_change(rules: ComplianceRules, year: int) -> int:
    """By how many tonnes the cap of a year is above that of the year before. O(steps)."""
    steps = (*rules.rebasing_t, *rules.scope_change_t)
    besides_t = sum(item.amount for item in steps if item.year == year)
    return besides_t - linear_reduction(rules, year)


def linear_reduction(rules: ComplianceRules, year: int) -> int:
    """By how many tonnes the cap of a year falls by the linear factor, half up. O(steps).

    The amount of the first factor is the published one; a later factor counts in proportion, of the
    same base.
    """
    amount_t = rules.cap_annual_reduction_t or 0
    factors = [item.bp for item in rules.linear_reduction_factor_steps if item.from_year <= year]
    if not factors:
        return amount_t
    return half_up(amount_t * factors[-1], rules.linear_reduction_factor_steps[0].bp)


def industry_free_share(rules: ComplianceRules, year: int) -> int:
    """The free share of industry in basis points: equal steps from 2013 to 2020. O(1).

    Source: Directive 2009/29/EC, Article 10a(11). RulebookError outside these years or rules.
    """
    first, last = rules.industry_free_share_2013_bp, rules.industry_free_share_2020_bp
    if first is None or last is None or not _FREE_FROM <= year <= _FREE_TO:
        raise RulebookError(f"rules {rules.id} name no free share of industry for {year}")
    return half_up(first * (_FREE_TO - year) + last * (year - _FREE_FROM), _FREE_TO - _FREE_FROM)


def shortage_top_up(verified_t: int, initial_allocation_t: int, cap_bp: int) -> TopUp:
    """Nobody is short of more than `cap_bp` of its verified emissions: the rest is added. O(1).

    Source: China's allocation plans (2019-20 on): 20 percent. The allocation is at least what is
    left, rounded down. ValueError for a negative figure.
    """
    require_whole(initial_allocation_t=initial_allocation_t, cap_bp=cap_bp)
    least_t = share(verified_t, BP - cap_bp)
    top_up_t = max(0, least_t - initial_allocation_t)
    return TopUp(top_up_t, initial_allocation_t + top_up_t)


def borrowing_max(rules: ComplianceRules, verified_t: int, allocation_t: int) -> int:
    """How much of a later vintage may pay for a shortage, rounded down. O(1).

    Nothing unless the rules let borrow and the shortage is at least the share of verified
    emissions that they name. ValueError for a negative figure.
    """
    require_whole(verified_t=verified_t, allocation_t=allocation_t)
    least_bp, most_bp = rules.borrowing_min_shortage_bp, rules.borrowing_max_bp_of_shortage
    shortage_t = max(0, verified_t - allocation_t)
    if least_bp is None or most_bp is None or shortage_t * BP < verified_t * least_bp:
        return 0
    return share(shortage_t, most_bp)


def borrowing(
    rules: ComplianceRules, verified_t: int | None, final_t: int | None, used_t: int
) -> Borrowing:
    """What an account may borrow for a year, after what it did; nothing before it is allocated.

    The shortage is of the final allocation as decided: what is deducted for an earlier year does
    not widen it. O(1).
    """
    if verified_t is None or final_t is None:
        return Borrowing(0, used_t)
    return Borrowing(borrowing_max(rules, verified_t, final_t), used_t)


def intensity_allocation(
    rules: ComplianceRules, emissions_t: int, balance_micro: int, intensity_micro: int
) -> Intensity:
    """Allocation of steel, cement and aluminium: A = E x (1 + a), rounded down. O(1).

    `balance_micro` is the sector's intensity at which nobody is short, `intensity_micro` the
    firm's, both in millionths of a tonne per unit of output. ValueError for a negative figure.
    Source: draft plan of 2026 for these sectors.
    """
    require_whole(emissions_t=emissions_t, intensity_micro=intensity_micro)
    terms = rules.intensity_coefficient
    if terms is None:
        raise RulebookError(f"rules {rules.id} name no intensity_coefficient")
    if balance_micro <= 0:
        raise ValueError(f"the balance of a sector is above zero, not {balance_micro}")
    better = balance_micro - intensity_micro
    deviation_bp = _toward_zero(better * BP, balance_micro)
    if abs(better) * BP > terms.band_bp * balance_micro:
        alpha_bp = terms.max_bp if better > 0 else terms.min_bp
        return Intensity(deviation_bp, alpha_bp, emissions_t + emissions_t * alpha_bp // BP)
    alpha_bp = _toward_zero(better * terms.slope_bp, balance_micro)
    more_t = emissions_t * better * terms.slope_bp // (BP * balance_micro)
    return Intensity(deviation_bp, alpha_bp, emissions_t + more_t)


def _toward_zero(numerator: int, denominator: int) -> int:
    return numerator // denominator if numerator >= 0 else -(-numerator // denominator)


def carry_over(rule: CarryOver, sold_t: int, bought_t: int, position_t: int) -> int:
    """How much of old vintages may become the new one, rounded down. O(1).

    The base and 1.5 times the net sales of the window, at most the position at the snapshot.
    Source: annex of the 2023 and 2024 allocation plan.
    """
    if min(sold_t, bought_t, position_t) < 0:
        raise ValueError("sales, purchases and positions are not negative")
    net_t = max(rule.net_sales_floor_t, sold_t - bought_t)
    return min((rule.base_t * BP + net_t * rule.multiplier_bp) // BP, position_t)


def carry_over_processed_by(rule: CarryOver, applied_on: dt.date) -> dt.date | None:
    """By when an application of that day is done, None after the last batch. O(batches)."""
    for batch in rule.batches:
        if applied_on <= batch.applied_until:
            return batch.processed_by
    return None


def ends_on(rule: CarryOver) -> dt.date:
    """The day by which the last application is done. O(batches)."""
    return max(rule.application_until, *(batch.processed_by for batch in rule.batches))


def sale_max(rules: ComplianceRules, free_allocation_t: int) -> int | None:
    """How much of its free allocation an entity may sell, None = all of it. O(1).

    ValueError for a negative allocation.
    """
    require_whole(free_allocation_t=free_allocation_t)
    most_bp = rules.max_sale_bp_of_free_allocation
    return None if most_bp is None else share(free_allocation_t, most_bp)


def holding_limit(rule: HoldingLimit, annual_budget_t: int) -> int:
    """The most that one entity may hold, rounded down. O(1). Source: title 17 CCR section 95920."""
    if annual_budget_t < rule.base_t:
        raise ValueError(f"the budget {annual_budget_t} t is under the base {rule.base_t} t")
    beyond_t = annual_budget_t - rule.base_t
    return (rule.base_t * rule.base_share_bp + beyond_t * rule.budget_share_bp) // BP


def position_market(rulebook: Rulebook, unit: str) -> VenueMarket | None:
    """The market of a venue whose rules bound positions in a unit; None: none does. O(markets)."""
    for venue in rulebook.venue:
        for market in venue.market:
            if unit in market.units and market.position_limit_other_t is not None:
                return market
    return None


def position_limits(market: VenueMarket, allocation_t: int | None) -> tuple[int, int]:
    """The most that an account may hold, and above what it is published, tonnes. O(1).

    A covered entity may hold so much more than its yearly allocation, another (None) so much.
    ValueError for an allocation below 0, and where the market knows no such figures.
    Source: Beijing Environment Exchange, detailed rules of 2014, section 4.5.
    """
    figures = (market.position_limit_other_t, market.position_disclosure_other_t)
    if allocation_t is not None:
        figures = (
            market.position_limit_covered_extra_t, market.position_disclosure_covered_extra_t
        )  # fmt: skip
    if figures[0] is None or figures[1] is None:
        raise ValueError(f"market {market.id} has no position limits of that kind")
    if allocation_t is not None and allocation_t < 0:
        raise ValueError(f"an allocation of {allocation_t} t is below 0")
    base_t = allocation_t or 0
    return base_t + figures[0], base_t + figures[1]
