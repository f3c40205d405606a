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
from exchange.reference.venue import Instrument
from exchange.rulebook import OffsetRule, Rulebook, load_rulebook, offset_cap, offset_rule
from exchange.rulebook.eligibility import Credit, unfit
from gateway.venue_view import MarketView


class YearRoom(NamedTuple):
    """What the obligation of an emission year leaves of a credit, tonnes."""

    year: int
    rule: OffsetRule
    obligation: int
    cap: int
    used: int

    @property
    def left(self) -> int:
        """Tonnes of the cap that are not used. O(1)."""
        return max(0, self.cap - self.used)


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

    O(obligations of the market + holdings + open orders of the account).
    """
    years = []
    for (owner, year), owed in sorted(view.holdings.obligations.items()):
        rule = offset_rule(rulebook(), instrument.scheme, year, on, instrument.product)
        if owner != account or rule is None or rule.cap_base != "surrender_obligation":
            continue
        if unfit(rule, Credit(instrument.product, 1, generation=instrument.generation), on):
            continue
        used = sum(
            view.holdings.surrendered.get((account, year, item.id), 0)
            for item in instruments
            if item.product in rule.credit_types
        )
        years.append(YearRoom(year, rule, owed, offset_cap(rule, owed, year), used))
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
