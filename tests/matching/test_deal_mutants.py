"""Planted bugs in listings, blocks and auctions: the comparison of the engines finds each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from matching.layout import Reason
from matching.reference import allocation, auctions, bids, blocks, entry, listed, trading
from matching.reference.allocation import Bid
from tests.matching import flows
from tests.matching.flows import Flow
from tests.matching.twin import Twin, run

Mutant = tuple[Any, str, Callable[..., Any]]


def _first_of_the_draw(level: list[Bid], seed: int) -> list[Bid]:
    return sorted(level, key=lambda bid: bid.order_id)


def _anyone(state: Any, account_id: int, counterparty: int) -> Reason:
    return Reason.NONE if counterparty in state.accounts else Reason.UNKNOWN_COUNTERPARTY


def _any_share(rest: int, level: list[Bid], multiple: int, seed: int) -> dict[int, int]:
    return _pro_rata(rest, level, 1, seed)


_pro_rata, _clear, _spread = allocation._pro_rata, allocation.clear, allocation.spread

OF_DEALS: dict[str, Mutant] = {
    "draw by order id": (allocation, "_drawn", _first_of_the_draw),
    "shares of tonnes": (allocation, "_pro_rata", _any_share),
    "no secret reserve": (
        auctions,
        "clear",
        lambda *terms, secret_reserve, seed: _clear(*terms, secret_reserve=0, seed=seed),
    ),
    "carried to the last": (
        auctions,
        "spread",
        lambda unsold, parts, multiple: _spread(unsold, parts, multiple)[::-1],
    ),
    "bids without a limit": (
        bids,
        "are_one",
        lambda state, one, other: False,
    ),
    "bids are taken back": (bids, "is_irrevocable", lambda instrument, order: False),
    "bids after the end": (bids, "closing_refusal", lambda auction, time_ns: Reason.NONE),
    "no public reserve": (auctions, "reserve_refusal", lambda instrument, price: Reason.NONE),
    "blocks with oneself": (blocks, "_counterparty_refusal", _anyone),
    "blocks of every size": (
        blocks,
        "_quantity_refusal",
        lambda instrument, quantity: Reason.QUANTITY_NOT_POSITIVE if quantity <= 0 else Reason.NONE,
    ),
    "every listing in reach": (
        listed,
        "_reach_refusal",
        lambda state, instrument, c, listing: (
            Reason.PRICE_DIFFERS if c.price != listing.price else Reason.NONE
        ),
    ),
    "listings meet": (trading, "_is_matched", lambda instrument, order: order.queue == 1),
    "labels are used again": (entry, "sent_refusal", lambda state, c, body: Reason.NONE),
}


def _compare_deals() -> None:
    for seed in range(1, 5):
        twin, flow = Twin(), Flow(seed)
        run(twin, flow, flow.opening())
        run(twin, flow, [flow.rules()])
        run(twin, flow, flow.frames(150, flows.deals))
        run(twin, flow, flow.frames(150, flows.auctions))


@pytest.mark.parametrize("name", OF_DEALS)
def test_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, attribute, mutant = OF_DEALS[name]
    right = getattr(place, attribute)
    for module in (allocation, auctions, bids, blocks, entry, listed, trading):
        if getattr(module, attribute, None) is right:
            monkeypatch.setattr(module, attribute, mutant)
    with pytest.raises((AssertionError, KeyError)):
        _compare_deals()


def test_nothing_is_found_without_a_bug() -> None:
    _compare_deals()
