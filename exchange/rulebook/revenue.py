"""Whose the money of an auction is: by auctioneer, then by beneficiary. To the minor unit; pure.

The beneficiaries have no account of the venue: what is due to them is a report. The venue pays the
auctioneer, and what leaves is a withdrawal of the auctioneer's cash like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from exchange.rulebook.allocation import BP, share
from exchange.rulebook.auction_calendar import Share
from exchange.rulebook.auction_data import RevenueRule
from exchange.rulebook.book import RulebookError
from exchange.rulebook.shares import apportion


class Due(NamedTuple):
    """What somebody gets, minor units."""

    name: str
    amount: int


def by_auctioneer(revenue: int, shares: Sequence[Share]) -> list[Due]:
    """The revenue by what each auctioneer offered; adds up to it. O(n log n)."""
    amounts = apportion(revenue, [item.volume_t for item in shares])
    return [Due(item.auctioneer, amount) for item, amount in zip(shares, amounts, strict=True)]


def by_beneficiary(
    rule: RevenueRule, revenue: int, *, cap_t: int = 0, auctioned_t: int = 0
) -> list[Due]:
    """The revenue by the scheme's shares, largest remainders; adds up to it. O(n log n).

    Funds get what their share of the cap is of all that is auctioned in the year: `cap_t` and
    `auctioned_t` are needed where the rule names funds. Source: Directive 2003/87/EC, Article 10.
    RulebookError where they are missing or the funds pass what is auctioned.
    """
    fund_t = [share(cap_t, item.share_bp) for item in rule.funds]
    if rule.funds and not 0 < sum(fund_t) < auctioned_t:
        raise RulebookError(
            f"revenue of {rule.scheme}: a fund has its share of the cap; give the year's cap and "
            "what is auctioned in it"
        )
    rest_t = auctioned_t - sum(fund_t) if rule.funds else 1
    weights = [volume_t * BP for volume_t in fund_t]
    weights += [rest_t * item.share_bp for item in rule.shares]
    names = [item.beneficiary for item in (*rule.funds, *rule.shares)]
    return [Due(*due) for due in zip(names, apportion(revenue, weights), strict=True)]
