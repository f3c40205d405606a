"""What a credit programme asks of a project and of its reductions before credits are issued."""

from __future__ import annotations

import datetime as dt

from exchange.rulebook.book import Rulebook
from exchange.rulebook.catalogue import CreditProgramme, UnitType

BP = 10_000


def programme_of(rulebook: Rulebook, unit: str, generation: str) -> CreditProgramme | None:
    """The programme of a unit's generation; None when the rulebook has none. O(programmes)."""
    for programme in rulebook.credit_programme:
        if programme.unit_type == unit and programme.programme_generation == generation:
            return programme
    return None


def not_issuable(
    programme: CreditProgramme,
    on: dt.date,
    reduction_from: dt.date,
    project_started: dt.date | None = None,
) -> str:
    """Why no credits are issued on a day for reductions that begin on one; "" = they are. O(1).

    A project that does not say when it started is not asked for it.
    """
    first = programme.project_started_from
    if first is not None and project_started is not None and project_started < first:
        return f"takes projects that started from {first}; this one started on {project_started}"
    first = programme.reduction_from
    if first is not None and reduction_from < first:
        return f"takes reductions from {first}; these begin on {reduction_from}"
    years = programme.reduction_max_age_years_at_registration
    if years is not None and reduction_from < _years_before(on, years):
        return (
            f"takes reductions of the {years} years before they are registered, here from "
            f"{_years_before(on, years)}; these begin on {reduction_from}"
        )
    return ""


def pre_issuable(unit: UnitType, expected_t: int) -> int:
    """Tonnes that may be issued before the first period's reductions are certified. O(1).

    A share of what is expected of it, rounded down; ValueError for a negative figure.
    """
    if expected_t < 0:
        raise ValueError("expected reductions are not negative")
    return expected_t * unit.pre_issuance_bp // BP


def _years_before(on: dt.date, years: int) -> dt.date:
    if (on.month, on.day) == (2, 29):  # the day after the last of February elsewhere
        on += dt.timedelta(days=1)
    return on.replace(year=on.year - years)
