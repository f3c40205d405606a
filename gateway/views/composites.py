"""Composite prices: an index of a scheme's vintages by day, from their closes. Not traded. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from exchange.auctions import DayClose
from exchange.reference.venue import Instrument
from exchange.rulebook import Rulebook, RulebookError
from exchange.rulebook.prices import composite_price


class Composite(NamedTuple):
    """The composite price of a scheme on a day, minor units a tonne."""

    scheme: str
    date: int  # YYYYMMDD
    price: int


def composites(
    rulebook: Rulebook,
    instruments: Sequence[Instrument],
    closes: Mapping[int, Iterable[DayClose]],
) -> list[Composite]:
    """Of every day on which all vintages that the rule weighs have a close, by scheme and day.

    `closes` by instrument. A label of the rule, as CEA25 or CEA19-20, names the instrument of that
    product whose vintage ends in its last two digits. O(schemes x days x weights).
    """
    found = []
    for scheme in dict.fromkeys(item.scheme for item in instruments):
        known = rulebook.scheme_of(scheme)
        rule = known.composite_price if known is not None else None
        if rule is None:
            continue
        own = [item for item in instruments if item.scheme == scheme and item.vintage]
        labels = dict.fromkeys(label for row in rule.weights for label in row.sample)
        days: dict[int, dict[str, int]] = {}
        for label in labels:
            for item in own:
                if label.startswith(item.product) and label[-2:] == f"{item.vintage % 100:02}":
                    for day in closes.get(item.id, ()):
                        days.setdefault(day.date, {})[label] = day.price
        for date in sorted(days):
            try:
                price = composite_price(rule, dt.date.fromisoformat(str(date)), days[date])
            except RulebookError:
                continue  # no weights that day, or a vintage without a close
            found.append(Composite(scheme, date, price))
    return found
