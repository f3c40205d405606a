"""Reserves that take allowances from auctions and give them back, and volumes carried on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from exchange.rulebook.allocation import BP, half_up
from exchange.rulebook.auctions import carried
from exchange.rulebook.book import RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import Scheme, SupplyControl


class ReserveMove(NamedTuple):
    """Tonnes that the reserve takes from or gives to the auctions of twelve months."""

    intake_t: int
    release_t: int


def supply_control(scheme: Scheme, on: dt.date) -> SupplyControl:
    """The reserve's rule on a day; RulebookError when there is none. O(rules)."""
    for rule in scheme.supply_control:
        if rule.effective_from <= on <= rule.effective_to:
            return rule
    raise RulebookError(f"scheme {scheme.id} has no supply_control in force on {on}")


def reserve_move(rule: SupplyControl, tnac_t: int) -> ReserveMove:
    """What the total number of allowances in circulation makes of the next auctions. O(1).

    Above the upper threshold a share of it is taken in, rounded to the nearest; between the middle
    one, where there is one, and the upper, what is above the middle; below the lower, the fixed
    amount is released. Source: Decision (EU) 2015/1814, Article 1(5) and (5a).
    """
    if tnac_t < 0:
        raise ValueError(f"what is in circulation is not negative: {tnac_t} t")
    if tnac_t > rule.upper_threshold_t:
        return ReserveMove(half_up(tnac_t * rule.intake_bp_of_tnac, BP), 0)
    if rule.middle_threshold_t is not None and tnac_t > rule.middle_threshold_t:
        return ReserveMove(tnac_t - rule.middle_threshold_t, 0)
    return ReserveMove(0, rule.release_t if tnac_t < rule.lower_threshold_t else 0)


def invalidated(rule: SupplyControl, held_t: int) -> int:
    """What the reserve holds beyond its limit and loses, tonnes. O(1)."""
    require_whole(held_t=held_t)
    most_t = rule.invalidate_holdings_above_t
    return 0 if most_t is None else max(0, held_t - most_t)


def spread(cancelled_t: int, auctions: int, multiple_t: int = 1) -> list[int]:
    """A volume spread evenly over the next auctions, in multiples; the first take the rest. O(n).

    As the engine carries on what an auction leaves unsold.
    """
    if cancelled_t < 0 or auctions < 1 or cancelled_t % multiple_t:
        raise ValueError("a volume is a multiple, not negative, and goes to one auction at least")
    even, rest = divmod(cancelled_t // multiple_t, auctions)
    return [(even + (at < rest)) * multiple_t for at in range(auctions)]


def redistribute(
    cancelled_t: int, first_proposed_t: Sequence[int], cap_bp: int
) -> tuple[list[int], int]:
    """What the next auctions take of a cancelled one, and what goes to the reserve. O(auctions).

    Source: Regulation (EU) 1031/2010 Article 9; the UK's regulation 11 for the cap. ValueError for
    a negative figure.
    """
    require_whole(cap_bp=cap_bp)
    for volume_t in first_proposed_t:
        require_whole(first_proposed_t=volume_t)
    return carried(spread(cancelled_t, len(first_proposed_t)), first_proposed_t, cap_bp)
