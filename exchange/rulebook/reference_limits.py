"""Offset limits of schemes of which nothing else is known here: `offset_limit_reference`. Pure."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from exchange.rulebook.allocation import share
from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.catalogue import OffsetLimitReference


class ReferenceLimit(NamedTuple):
    """The most tonnes of credits for a base, and of those that count besides."""

    cap_t: int
    tribal_lands_t: int


def references_of(rulebook: Rulebook, scheme_id: str) -> list[OffsetLimitReference]:
    """The limits of a scheme, in the order of the file; [] where none is known. O(limits)."""
    return [limit for limit in rulebook.offset_limit_reference if limit.scheme == scheme_id]


def reference_limit(
    rulebook: Rulebook, scheme_id: str, base_t: int, *, emission_year: int, on: dt.date
) -> ReferenceLimit:
    """How many credits a scheme takes for an emission year on a day, rounded down. O(limits).

    RulebookError where no limit of that year and day is known; ValueError for a base below zero.
    """
    limits = references_of(rulebook, scheme_id)
    if not limits:
        known = ", ".join(dict.fromkeys(i.scheme for i in rulebook.offset_limit_reference))
        raise RulebookError(f"no offset limit of a scheme {scheme_id}; known: {known}")
    for limit in limits:
        if counts(limit, emission_year) and (limit.from_ is None or limit.from_ <= on):
            extra_bp = limit.extra_bp_tribal_lands or 0
            return ReferenceLimit(share(base_t, limit.cap_bp), share(base_t, extra_bp))
    raise RulebookError(f"scheme {scheme_id}: the offset limit of {emission_year} is not known")


def counts(limit: OffsetLimitReference, emission_year: int) -> bool:
    """Whether a limit is one of an emission year. O(1)."""
    first, last = limit.emission_years_from, limit.emission_years_to
    return (first is None or first <= emission_year) and (last is None or emission_year <= last)
