"""Who comes near what one may hold is told once, at the tonne at which it is to be published."""

from __future__ import annotations

import pytest

from exchange.rulebook import load_rulebook
from exchange.rulebook.allocation import position_limits, position_market
from exchange.surveillance.holdings import LargeHolders
from exchange.surveillance.limits import load_limits
from exchange.surveillance.scene import Finding, InstrumentScene

LIMITS = load_limits()
BEIJING = "cn-pilot-beijing"
ACCOUNT, COVERED = 101, 103


class Desk:
    """A detector, what it told, and an instrument."""

    def __init__(self, published_below: int = 0) -> None:
        self.told: list[Finding] = []
        self.detector = LargeHolders(LIMITS, lambda about, found: self.told.append(found))
        self.instrument = InstrumentScene(1, "BEA", published_below=published_below)

    def move(self, by: int, account: int = ACCOUNT) -> int:
        self.detector.holding_changed(account, self.instrument, by, 7)
        return len(self.told)

    def bound(self, most: int, account: int = 0) -> int:
        self.detector.holding_bounded(account, self.instrument, most, 7)
        return len(self.told)


@pytest.mark.parametrize("allocation", [None, 800_000])
def test_beijing_publishes_above_half_a_million_less_than_the_limit(
    allocation: int | None,
) -> None:
    market = position_market(load_rulebook(), "BEA")
    assert market is not None
    most, published_above = position_limits(market, allocation)
    assert most - published_above == LIMITS.published[BEIJING]
    desk = Desk(LIMITS.published[BEIJING])
    account = COVERED if allocation else ACCOUNT
    desk.bound(1_000_000)
    desk.bound(most, account if allocation else 0)
    assert desk.move(published_above - 1, account) == 0
    assert desk.move(1, account) == 0  # at the figure nothing is published
    assert desk.move(1, account) == 1
    (found,) = desk.told
    assert (found.kind, found.accounts, found.figures["quantity"]) == (
        "LARGE_HOLDER", (account,), published_above + 1
    )  # fmt: skip
    assert f"limit of {most:,} t; published above {published_above:,} t" in found.text
    assert desk.move(100, account) == 1  # it was told
    assert desk.move(-101, account) == 1
    assert desk.move(1, account) == 2  # and came back


def test_elsewhere_four_fifths_of_the_limit_are_told() -> None:
    desk = Desk()
    assert desk.move(10_000) == 0  # without a limit nobody is large
    assert desk.bound(12_501) == 0  # 7,999 basis points
    assert desk.bound(12_500) == 1
    assert desk.told[0].figures["share_bp"] == 8_000
    assert desk.bound(0) == 1
    assert desk.bound(12_500) == 2


def test_a_limit_of_its_own_goes_before_that_of_all() -> None:
    desk = Desk()
    desk.bound(10_000)
    desk.bound(20_000, COVERED)
    assert desk.move(15_999, COVERED) == 0
    assert desk.move(8_000) == 1
    assert desk.move(1, COVERED) == 2
    assert desk.bound(0, COVERED) == 2  # from now on that of all, which it is above already
    assert desk.move(-16_000, COVERED) == 2
    assert desk.move(8_000, COVERED) == 3
