"""How much more of an offset an account can use: what its obligations leave, less what it has.

It is shown to whoever asks, and where the venue says so (`offset_headroom = "enforce"` of an
instrument) a buy of an emitter that goes beyond it is refused before it reaches the log.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import NamedTuple

from exchange.messages.frames import Side
from exchange.messages.registry import YearFigures
from exchange.reference.venue import Instrument
from exchange.rulebook import OffsetRule, Rulebook, load_rulebook, offset_cap, offset_rule
from exchange.rulebook.eligibility import Credit, unfit_all
from exchange.rulebook.offsets import (
    group_units,
    is_nonlocal,
    most_from_elsewhere,
    never_local,
    wider_limits,
)
from exchange.rulebook.selection import rules_of_group
from exchange.rulebook.shapes import ComplianceRules
from exchange.rulebook.year import bases, cap_years, period_base
from gateway.views.holdings import Holdings
from gateway.views.venue_view import MarketView


def bases_of(figures: YearFigures | None) -> dict[str, int]:
    """The amounts that caps name, of a compliance year as the registry tells it. O(1)."""
    if figures is None:
        return {}
    initial = figures.final if figures.provisional is None else figures.provisional
    annual = figures.provisional
    if figures.final is not None:
        annual = figures.final - figures.deducted
    return bases(figures.verified, initial, annual)


def group_of(holdings: Holdings, account: int, scheme: str) -> str:
    """The group of an account by whose rules it uses credits; "" = none is stated. O(1)."""
    return holdings.groups.get((account, scheme), "")


def bases_in(
    holdings: Holdings, account: int, scheme: str, year: int, rules: ComplianceRules
) -> dict[str, int]:
    """`bases_of` a year, and what is verified of its period where a cap is of one. O(years)."""
    own = bases_of(holdings.years.get((account, scheme, year)))
    return own | period_in(holdings, account, scheme, year, rules)


def period_in(
    holdings: Holdings, account: int, scheme: str, year: int, rules: ComplianceRules | None
) -> dict[str, int]:
    """What is verified of the period of a year, by the name of the base; else {}. O(years)."""
    if rules is None:
        return {}
    told = ((one, holdings.years.get((account, scheme, one))) for one in cap_years(rules, year))
    verified = {one: figures.verified for one, figures in told if figures is not None}
    return period_base(rules, year, verified)


class YearRoom(NamedTuple):
    """What an emission year leaves of a credit, tonnes: of its cap, and of those it shares.

    Years of one `period`, named by its last, have one cap together.
    """

    year: int
    rule: OffsetRule
    base: int
    cap: int
    used: int
    left: int
    elsewhere: int | None = None  # of credits from elsewhere, where the instrument has no others
    period: int = 0


class Room(NamedTuple):
    """Years with an obligation, units that are held or being bought, and what remains, tonnes.

    `alike` are those units which, like the instrument's, a limit on credits from elsewhere counts.
    """

    years: list[YearRoom]
    held: int
    buying: int
    alike: int = 0

    @property
    def room(self) -> int:
        """How much more could be used. O(years)."""
        own = list({year.period: year for year in self.years}.values())  # one for each cap
        left = sum(year.left for year in own) - self.held - self.buying
        if any(year.elsewhere is not None for year in own):
            most = [y.left if y.elsewhere is None else y.elsewhere for y in own]
            left = min(left, sum(most) - self.alike)
        return max(0, left)


@cache
def rulebook() -> Rulebook:
    """The rulebook of the package, read once."""
    return load_rulebook()


def offset_room(
    view: MarketView, instruments: Sequence[Instrument], instrument: Instrument, account: int,
    on: dt.date,
) -> Room:  # fmt: skip
    """The room of an account for an offset on a day; `instruments` are those of the market.

    By what the instrument says of its units: one that takes only types or regions which a rule
    takes not has none, and one of credits from elsewhere no more than these.
    O(compliance years and surrenders of the market + holdings + open orders of the account).
    """
    years = []
    for (owner, scheme, year), figures in sorted(view.holdings.years.items()):
        if (owner, scheme) != (account, instrument.scheme) or figures.shortfall is not None:
            continue
        group = group_of(view.holdings, account, scheme)
        rules = rules_of_group(rulebook(), scheme, year, on, group)
        rule = offset_rule(rulebook(), scheme, year, on, instrument.product, group)
        if rule is None or rules is None:
            continue
        amounts = bases_in(view.holdings, account, scheme, year, rules)
        if rule.cap_base not in amounts:
            continue
        if _unfit(rule, instrument, on):
            continue
        mine = [item for item in instruments if item.scheme == scheme]
        alike = {item.id for item in mine if item.product in rule.credit_types}
        units = group_units(rules, rule)
        grouped = {item.id for item in mine if item.product in units}
        together = cap_years(rules, year)
        used = sum(view.holdings.given(account, one, alike) for one in together)
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
        elsewhere = None
        if never_local(rule, instrument.regions):
            given = _used_from_elsewhere(view, rule, account, year, alike)
            elsewhere = most_from_elsewhere(rule, year, amounts, given)
        told = (year, rule, base, cap, used, max(0, left), elsewhere)
        years.append(YearRoom(*told, period=together[-1]))
    alike = {item.id for item in instruments if item.product == instrument.product}
    same = {i.id for i in instruments if i.id in alike and _is_from_elsewhere(years, i)}
    held, buying = _held(view, account, alike), _bought(view, account, alike)
    return Room(years, held, buying, _held(view, account, same) + _bought(view, account, same))


def _unfit(rule: OffsetRule, instrument: Instrument, on: dt.date) -> str:
    return unfit_all(
        rule,
        instrument.product,
        on,
        generation=instrument.generation,
        project_types=instrument.project_types,
        regions=instrument.regions,
    )


def _is_from_elsewhere(years: Sequence[YearRoom], instrument: Instrument) -> bool:
    return any(never_local(year.rule, instrument.regions) for year in years)


def _used_from_elsewhere(
    view: MarketView, rule: OffsetRule, account: int, year: int, alike: Iterable[int]
) -> int:
    """Tonnes from elsewhere that an account surrendered, or from where nobody knows."""
    holdings, found = view.holdings, 0
    for instrument in alike:
        for number, quantity in holdings.used.get((account, year, instrument), {}).items():
            known, lot = holdings.projects.get(number), holdings.foreign.get((instrument, number))
            region = known.details.region if known is not None else ""
            if lot is not None:
                region = lot.region
            found += quantity * is_nonlocal(rule, Credit("", quantity, region=region))
    return found


def _held(view: MarketView, account: int, instruments: Collection[int]) -> int:
    return sum(
        view.holdings.quantity(key)
        for key in view.holdings.keys()  # noqa: SIM118 - no mapping
        if key.account == account and key.instrument_id in instruments
    )


def _bought(view: MarketView, account: int, instruments: Collection[int]) -> int:
    return sum(
        order.leaves
        for order in view.positions.open_orders(account)
        if order.instrument_id in instruments and order.side == Side.BUY
    )
