"""The price of a call: one price for all, found from the levels of the book alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class CallPrice(NamedTuple):
    """At which price a call ends, or would end now; zeros when nothing crosses."""

    price: int
    volume: int  # tonnes that trade
    surplus: int  # buys at or above the price less sells at or below it, tonnes


NOTHING_CROSSES = CallPrice(0, 0, 0)


def call_price(bids: Mapping[int, int], asks: Mapping[int, int], reference: int) -> CallPrice:
    """The best of all limits; `bids` and `asks` give the tonnes at each. O(levels log levels).

    The greatest volume, then the least surplus; if all that remain have it on the buy side the
    highest price, if all on the sell side the lowest, else the nearest to the reference, and of
    two equally near the higher.
    """
    limits = _at_each_limit(bids, asks)
    volume = max((at.volume for at in limits), default=0)
    if volume == 0:
        return NOTHING_CROSSES
    limits = [at for at in limits if at.volume == volume]
    surplus = min(abs(at.surplus) for at in limits)
    limits = [at for at in limits if abs(at.surplus) == surplus]
    if all(at.surplus > 0 for at in limits):
        return limits[-1]
    if all(at.surplus < 0 for at in limits):
        return limits[0]
    return min(limits, key=lambda at: (abs(at.price - reference), -at.price))


def _at_each_limit(bids: Mapping[int, int], asks: Mapping[int, int]) -> list[CallPrice]:
    """What would trade at each limit, from the lowest on."""
    found = []
    buys, sells = sum(bids.values()), 0
    for price in sorted({*bids, *asks}):
        sells += asks.get(price, 0)
        found.append(CallPrice(price, min(buys, sells), buys - sells))
        buys -= bids.get(price, 0)
    return found
