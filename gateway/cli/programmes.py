"""From the options of a command to a year's supply and a programme's calendar."""

from __future__ import annotations

from exchange.rulebook import load_rulebook
from exchange.rulebook.auction_calendar import AuctionCalendar, plan_calendar
from exchange.rulebook.auction_data import Programme, SupplyData
from exchange.rulebook.year_supply import YearSupply, programme_volumes, year_supply
from gateway.cli.options import whole


def supply_of(
    data: SupplyData, scheme: str, year: int, tnac: list[str] | None, gross: int | None
) -> YearSupply:
    """The supply that the options describe; RulebookError, ValueError."""
    given = dict(_circulation(text, year) for text in tnac or ())
    return year_supply(load_rulebook(), data, scheme, year, tnac_t=given, gross_t=gross)


def _circulation(text: str, year: int) -> tuple[int, int]:
    named, _, amount = text.rpartition("=")
    return (whole(named) if named else year - 1), whole(amount)


def programme_calendar(
    data: SupplyData, plan: Programme, tnac: list[str] | None = None, gross: int | None = None
) -> AuctionCalendar:
    """The calendar of a venue's programme; RulebookError, ValueError. O(days x auctioneers)."""
    named = data.series_of(plan.series)
    supply = None
    if any(item.share_bp for item in plan.auctioneer):
        supply = supply_of(data, named.scheme, plan.year.year, tnac, gross)
    return plan_calendar(named, plan.year, programme_volumes(plan, named, supply))
