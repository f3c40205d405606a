"""How much more of an offset an account can use: what its obligations leave, less what it has.

It is shown to whoever asks, and where the venue says so (`offset_headroom = "enforce"` of an
instrument) a buy of an emitter that goes beyond it is refused before it reaches the log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from exchange.messages.frames import Side
from exchange.messages.registry import YearFigures
from exchange.reference.venue import Instrument
from exchange.rulebook import OffsetRule, Rulebook, load_rulebook, offset_cap, offset_rule
from exchange.rulebook.eligibility import Credit, unfit
from exchange.rulebook.offsets import group_units, wider_limits
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.year import bases
from gateway.venue_view import MarketView


def bases_of(figures: YearFigures | None) -> dict[str, int]:
    """The amounts that caps name, of a compliance year as the registry tells it. O(1)."""
    if figures is None:
        return {}
    initial = figures.final if figures.provisional is None else figures.provisional
    annual = figures.provisional
    if figures.final is not None:
        annual = figures.final - figures.deducted
    return bases(figures.verified, initial, annual)


class YearRoom(NamedTuple):
    """What an emission year leaves of a credit, tonnes: of its cap, and of those it shares."""

    year: int
    rule: OffsetRule
    base: int
    cap: int
    used: int
    left: int


class Room(NamedTuple):
    """Years with an obligation, units that are held or being bought, and what remains, tonnes."""

    years: list[YearRoom]
    held: int
    buying: int

    @property
    def room(self) -> int:
        """How much more could be used. O(years)."""
        return max(0, sum(year.left for year in self.years) - self.held - self.buying)


@cache
def rulebook() -> Rulebook:
    """The rulebook of the package, read once."""
    return load_rulebook()


def offset_room(
    view: MarketView, instruments: Sequence[Instrument], instrument: Instrument, account: int,
    on: dt.date,
) -> Room:  # fmt: skip
    """The room of an account for an offset on a day; `instruments` are those of the market.

    O(compliance years and surrenders of the market + holdings + open orders of the account).
    """
    years = []
    for (owner, scheme, year), figures in sorted(view.holdings.years.items()):
        if (owner, scheme) != (account, instrument.scheme) or figures.shortfall is not None:
            continue
        rule = offset_rule(rulebook(), scheme, year, on, instrument.product)
        amounts = bases_of(figures)
        if rule is None or rule.cap_base not in amounts:
            continue
        if unfit(rule, Credit(instrument.product, 1, generation=instrument.generation), on):
            continue
        mine = [item for item in instruments if item.scheme == scheme]
        alike = {item.id for item in mine if item.product in rule.credit_types}
        units = group_units(rules_in_force(rulebook(), scheme, year, on), rule)
        grouped = {item.id for item in mine if item.product in units}
        used = view.holdings.given(account, year, alike)
        wider = wider_limits(
            rule,
            year,
            amounts,
            view.holdings.given(account, year, grouped),
            view.holdings.given_by_all(year, alike),
        )
        base = amounts[rule.cap_base]
        cap = offset_cap(rule, base, year)
        left = min([cap - used, *(limit.left_t for limit in wider)])
        years.append(YearRoom(year, rule, base, cap, used, max(0, left)))
    alike = {item.id for item in instruments if item.product == instrument.product}
    held = sum(
        view.holdings.quantity(key)
        for key in view.holdings.keys()  # noqa: SIM118 - no mapping
        if key.account == account and key.instrument_id in alike
    )
    buying = sum(
        order.leaves
        for order in view.positions.open_orders(account)
        if order.instrument_id in alike and order.side == Side.BUY
    )
    return Room(years, held, buying)
