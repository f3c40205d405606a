"""The compliance year: the rules of it, the last day of each step, and the bases of its caps."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import NamedTuple

from exchange.rulebook.book import Rulebook, RulebookError
from exchange.rulebook.figures import require_whole
from exchange.rulebook.selection import rules_in_force, surrender_deadline
from exchange.rulebook.shapes import CalendarStep, ComplianceRules, Scheme

REPORT, VERIFICATION, PROVISIONAL, FINAL, SURRENDER = STEPS = (
    "report", "verification", "provisional_allocation", "final_allocation", "surrender",
)  # fmt: skip
"""Steps of a year, in their order."""
PERIOD = "verified_emissions_of_period"  # the base of caps over a compliance period
GAS = "gas"  # the sector whose units the rules may exempt from any shortage
_IN_CALENDAR = {
    REPORT: ("verified_report",),
    VERIFICATION: ("verification_result", "verified_report"),
    PROVISIONAL: ("provisional_allocation",),
    FINAL: ("final_allocation", "free_allocation"),
    SURRENDER: ("surrender",),
}
"""What the calendar of a scheme calls a step; the first that it has counts."""


class Due(NamedTuple):
    """The last day of a step, local, and its source; None and "" = the rulebook names none."""

    day: dt.date | None = None
    source: str = ""


def rules_of_year(
    rulebook: Rulebook, scheme_id: str, emission_year: int, on: dt.date
) -> ComplianceRules | None:
    """The rules in force for an emission year, else the last that were. O(rules).

    A year is assessed, and arrears are made good, after the day on which its rules end.
    """
    found = rules_in_force(rulebook, scheme_id, emission_year, on)
    scheme = rulebook.scheme_of(scheme_id)
    if found is not None or scheme is None:
        return found
    past = [
        rules
        for rules in scheme.rules
        if emission_year in rules.emission_years
        and rules.effective_from <= on
        and not rules.applies_to
    ]
    return max(past, key=lambda rules: rules.effective_from, default=None)


def due(
    rulebook: Rulebook,
    scheme_id: str,
    rules: ComplianceRules | None,
    emission_year: int,
    step: str,
    sector: str = "",
) -> Due:
    """By when a step is done: of the scheme's calendar, else of the rules. O(steps).

    Where sectors have days of their own and none is given, or one without, the last of them.
    """
    scheme = rulebook.scheme_of(scheme_id)
    if scheme is not None:
        for name in _IN_CALENDAR[step]:
            found = _listed(scheme, name, emission_year, sector)
            if found:
                item = max(found, key=lambda item: _day(item, emission_year))
                return Due(_day(item, emission_year), rulebook.citation(item))
    day = _of_rules(rules, emission_year, step) if rules is not None else None
    return Due(day, rulebook.citation(rules)) if day is not None and rules is not None else Due()


def _listed(scheme: Scheme, name: str, year: int, sector: str) -> list[CalendarStep]:
    found = [i for i in scheme.calendar if i.step == name and year in i.emission_years]
    mine = [item for item in found if not item.sectors or sector in item.sectors]
    return mine if sector and mine else found


def _day(item: CalendarStep, emission_year: int) -> dt.date:
    return item.due or dt.date.fromisoformat(f"{emission_year + item.year_offset}-{item.due_md}")


def _of_rules(rules: ComplianceRules, year: int, step: str) -> dt.date | None:
    surrender = rules.surrender
    if surrender is None:
        return None
    if step == SURRENDER:
        try:
            return surrender_deadline(rules, year)
        except RulebookError:
            return None
    if step == FINAL and surrender.allocation_md:
        return dt.date.fromisoformat(f"{year}-{surrender.allocation_md}")
    if step == FINAL:
        return surrender.final_allocation_due
    if step in (REPORT, VERIFICATION) and surrender.report_due_md:
        year += surrender.report_year_offset
        return dt.date.fromisoformat(f"{year}-{surrender.report_due_md}")
    return None


def has_sector(rulebook: Rulebook, scheme_id: str, emission_year: int, sector: str) -> bool:
    """Whether a provisional allocation is due for a sector, as far as the calendar says. O(steps).

    True where the calendar has no such step for the year, or no sector is given.
    """
    scheme = rulebook.scheme_of(scheme_id)
    names = [] if scheme is None else _listed(scheme, PROVISIONAL, emission_year, "")
    return not sector or not names or any(sector in i.sectors or not i.sectors for i in names)


def sectors_of(
    rulebook: Rulebook, scheme_id: str, rules: ComplianceRules | None, emission_year: int
) -> tuple[str, ...]:
    """The sectors that rules and calendar of a year know; () = they tell none apart. O(steps)."""
    scheme = rulebook.scheme_of(scheme_id)
    known = set(rules.sectors) if rules is not None else set()
    for item in scheme.calendar if scheme is not None else ():
        if emission_year in item.emission_years:
            known.update(item.sectors)
    if known and rules is not None and rules.gas_units_exempt:
        known.add(GAS)
    return tuple(sorted(known))


def is_new_sector(rulebook: Rulebook, scheme_id: str, rules: ComplianceRules, sector: str) -> bool:
    """Whether a sector is covered by the rules and by none of earlier emission years. O(rules)."""
    scheme = rulebook.scheme_of(scheme_id)
    if scheme is None or sector not in rules.sectors or not rules.emission_years:
        return False
    first = min(rules.emission_years)
    return not any(
        sector in other.sectors
        for other in scheme.rules
        if other.emission_years and min(other.emission_years) < first
    )


def ends_ns(
    rulebook: Rulebook, scheme_id: str, rules: ComplianceRules | None, year: int, day: dt.date
) -> int:
    """The first instant, ns UTC, that is after the last day for surrender. O(1).

    Where the rules name an hour, the second after it; else the midnight after the day, local.
    """
    exact = rules.surrender.deadline if rules is not None and rules.surrender is not None else None
    if (
        exact is not None
        and exact.date() == day
        and year in (rules.emission_years if rules else ())
    ):
        return (int(exact.timestamp()) + 1) * 10**9
    scheme = rulebook.scheme_of(scheme_id)
    zone = zoneinfo.ZoneInfo(scheme.timezone) if scheme else dt.UTC
    midnight = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), zone)
    return int(midnight.timestamp()) * 10**9


def partial(rules: ComplianceRules | None, year: int) -> tuple[int, int] | None:
    """The share (basis points) that is due for a year of a period, and the period's last year.

    The rest is due with the last one. None where the whole is due each year, and for the last year
    itself. O(periods).
    """
    share_bp = rules.surrender.annual_partial_bp if rules and rules.surrender else 0
    for period in rules.compliance_periods if rules and share_bp else ():
        if year in period.years and year != period.years[-1]:
            return share_bp, period.years[-1]
    return None


def cap_years(rules: ComplianceRules, year: int) -> tuple[int, ...]:
    """The years of which a cap counts emissions and credits together, rising. O(periods).

    Those of the period where the rules name it as a base, else the year alone.
    """
    if any(rule.cap_base == PERIOD for rule in rules.offset):
        for period in rules.compliance_periods:
            if year in period.years:
                return tuple(sorted(period.years))
    return (year,)


def period_base(
    rules: ComplianceRules, year: int, verified: Mapping[int, int | None]
) -> dict[str, int]:
    """What is verified so far of the period of a year, by the name of the base. O(periods).

    Nothing for rules without that base, a year of no period, or before anything is verified.
    ValueError for a negative figure.
    """
    for amount in verified.values():
        require_whole(verified_t=amount)
    periods = [period for period in rules.compliance_periods if year in period.years]
    if not periods or all(rule.cap_base != PERIOD for rule in rules.offset):
        return {}
    known = [verified.get(one) for one in periods[0].years]
    found = [amount for amount in known if amount is not None]
    return {PERIOD: sum(found)} if found else {}


def bases(verified_t: int | None, initial_t: int | None, annual_t: int | None) -> dict[str, int]:
    """The amounts (t) that caps name, as far as they are known. O(1).

    What an entity must surrender for the year itself is its verified emissions; what was carried
    into the year or is due for another reason does not widen a cap. ValueError for a negative one.
    """
    require_whole(verified_t=verified_t, initial_t=initial_t, annual_t=annual_t)
    found = {}
    if verified_t is not None:
        found["verified_emissions"] = verified_t
        found["verified_emissions_by_emission_year"] = verified_t
        found["surrender_obligation"] = verified_t
    if initial_t is not None:
        found["initial_allocation"] = initial_t
    if annual_t is not None:
        found["annual_allocation"] = annual_t
    if verified_t is not None and annual_t is not None:
        found["shortfall_before_offsets"] = max(0, verified_t - annual_t)
    return found
