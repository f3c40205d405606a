"""What others may do for an entity's obligation: a province that holds, a firm that helps. Pure.

China: the allowances of an entity at risk (sued, in debt, frozen by a court, shut down) go to the
account of its province, which surrenders from there by force and gives back what is left; and for
an entity that is frozen another may surrender. Which years know this is the rulebook's.
"""

from __future__ import annotations

from collections.abc import Mapping

from exchange.rulebook.figures import require_whole
from exchange.rulebook.shapes import ComplianceRules


def not_held(rules: ComplianceRules | None, account_type: str) -> str:
    """Why allowances of the year do not go to an account of a type instead, in words. O(1)."""
    if rules is None:
        return "no rules of the year are known"
    if not rules.at_risk_held_by:
        return f"rules {rules.id} give allowances to nobody but the entity itself"
    if account_type != rules.at_risk_held_by:
        shown = account_type or "of no type"
        return f"rules {rules.id} give them to a {rules.at_risk_held_by}; the account is {shown}"
    return ""


def not_released(
    rules: ComplianceRules | None, vintage: int, owed: Mapping[int, int | None]
) -> str:
    """Why nothing that is held of a vintage is given back yet, in words; "" = it is. O(years).

    `owed` is what the entity owes by year, None while its emissions are not verified. What is left
    of one year goes first to the others of the same rules. ValueError for a negative one.
    """
    for tonnes in owed.values():
        require_whole(owed_t=tonnes)
    if owed.get(vintage) is None:
        return f"the emissions of {vintage} are not verified"
    years = {vintage, *(rules.emission_years if rules else ())}
    years.update(rules.arrears_years if rules else ())
    for year in sorted(years):
        if owed.get(year):
            return f"{owed[year]} t are still owed for {year}"
    return ""


def not_for_another(rules: ComplianceRules | None, *, is_frozen: bool) -> str:
    """Why nobody else surrenders for an entity, in words; "" = another may. O(1)."""
    if rules is None or rules.surrender is None:
        return "no rules of the year are known"
    if not rules.surrender.third_party_may_surrender_for_frozen_entity:
        return f"rules {rules.id} let nobody surrender for another"
    if not is_frozen:
        return f"rules {rules.id} let another surrender for an entity that is frozen; it is not"
    return ""
