"""The auditor's own sums of auctions and holds: as an engine's, and what is off is found."""

from __future__ import annotations

import random
from typing import Any

import pytest

from exchange.messages.frames import (
    AuctionFlag,
    Command,
    Event,
    MassCancelScope,
    Pricing,
    Side,
    TieBreak,
)
from exchange.simulation.faults import holds
from exchange.simulation.faults.auctions import CLEARED, Auctions, Result
from exchange.simulation.faults.promises import BrokenPromiseError
from tests.simulation.one_market import BIDDERS, SELLER, Market


def auction(rng: random.Random, market: Market) -> Result:
    """One auction of drawn terms, bids and end; what the auditor makes of it."""
    multiple = rng.choice((1, 10))
    tie_break = rng.choice(list(TieBreak))
    flags = rng.choice((0, AuctionFlag.CANCEL_IF_SHORT, AuctionFlag.CANCEL_BELOW_RESERVE))
    carry, bid_max_bp = rng.choice((0, 4)), rng.choice((0, 0, 6_000))
    side = rng.choice((Side.SELL, Side.BUY))
    reserve = rng.choice((0, 98)) if side == Side.SELL else 102
    opened = market.say(
        Command.AUCTION_OPEN, account_id=SELLER, side=side, quantity=10 * multiple, price=reserve,
        order_type=rng.choice(list(Pricing)), time_in_force=tie_break,
        seed=rng.randrange(-(2**63), 2**63),
        order_id=flags | carry << 8 | bid_max_bp << 16 | multiple << 32,
    )[0].order_id  # fmt: skip
    bids = []
    for _ in range(rng.randint(0, 8)):
        first = market.say(
            Command.AUCTION_BID, account_id=rng.choice(BIDDERS), side=3 - side, order_id=opened,
            quantity=multiple * rng.randint(1, 4), price=rng.randint(97, 103),
        )[0]  # fmt: skip
        bids += [first] if first.kind == Event.ACCEPTED else []
    for bid in rng.sample(bids, min(len(bids), 2)):
        change = rng.choice((Command.CANCEL_ORDER, Command.REPLACE_ORDER))
        market.say(
            change, account_id=bid.account_id, order_id=bid.order_id, instrument_id=0,
            quantity=multiple * rng.randint(1, 3), price=rng.choice((bid.price, 101)),
        )  # fmt: skip
    if rng.random() < 0.1:
        market.say(Command.AUCTION_CANCEL, order_id=opened)
    else:
        secret = rng.choice((0, 0, 99, 101))
        seed = rng.randrange(-(2**63), 2**63)
        market.say(Command.AUCTION_CLEAR, quantity=seed, price=secret)
    return Auctions(market.history()).results[opened]


def test_auctions_are_predicted_whatever_their_terms() -> None:
    rng, found = random.Random(5), []
    for _ in range(60):
        market = Market(auction_fee_bp=7, maker_fee_bp=9)
        found += [auction(rng, market) for _ in range(5)]
        holds.check(market.history())
    cleared = [result for result in found if result.state == CLEARED]
    assert {result.tie_break for result in cleared if result.is_tied} == set(TieBreak)
    assert len({result.reason for result in found}) == 4, "cleared, short, too low, called off"
    assert any(result.carried for result in cleared)


@pytest.fixture
def sold() -> Market:
    """Fifteen tonnes for bids of ten at 101 and nine at 100, and one that wins nothing."""
    market = Market(auction_fee_bp=7)
    opened = market.say(
        Command.AUCTION_OPEN, account_id=SELLER, side=Side.SELL, quantity=15,
        order_type=Pricing.UNIFORM, time_in_force=TieBreak.BY_TIME,
    )[0].order_id  # fmt: skip
    for account, quantity, price in ((2, 10, 101), (3, 9, 100), (4, 5, 99)):
        market.say(
            Command.AUCTION_BID, account_id=account, side=Side.BUY, order_id=opened,
            quantity=quantity, price=price,
        )  # fmt: skip
    market.say(Command.AUCTION_CLEAR)
    return market


def test_a_uniform_auction_is_what_its_bids_give(sold: Market) -> None:
    (result,) = Auctions(sold.history()).results.values()
    assert (result.price, result.sold, result.is_tied) == (100, 15, False)
    assert [(a.bid.account, a.quantity, a.price) for a in result.awards] == [
        (2, 10, 100),
        (3, 5, 100),
    ]


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Event.AUCTION_CLEARED, {"price": 99}),
        (Event.AUCTION_CLEARED, {"quantity": 14}),
        (Event.AUCTION_CLEARED, {"value": 23}),
        (Event.AUCTION_CLEARED, {"client_order_id": b"8" + bytes(15)}),
        (Event.FILL, {"price": 101}),
        (Event.FILL, {"quantity": 9}),
        (Event.CANCELLED, {"quantity": 5}),
    ],
)
def test_an_end_in_other_words_is_found(sold: Market, kind: Event, fields: dict[str, int]) -> None:
    with pytest.raises(BrokenPromiseError) as broken:
        Auctions(sold.altered(kind, **fields))
    assert broken.value.promise == "P13"


def test_bids_that_another_member_s_kill_ended_are_found() -> None:
    market = Market()
    opened = market.say(
        Command.AUCTION_OPEN, account_id=SELLER, side=Side.SELL, quantity=15,
        order_type=Pricing.UNIFORM, time_in_force=TieBreak.BY_TIME,
        order_id=AuctionFlag.IRREVOCABLE,
    )[0].order_id  # fmt: skip
    mine, other = (
        market.say(
            Command.AUCTION_BID, account_id=account, side=Side.BUY, order_id=opened,
            quantity=5, price=100,
        )[0]
        for account in (2, 3)
    )  # fmt: skip
    scope = MassCancelScope.BIDS_TOO
    market.say(Command.MASS_CANCEL, account_id=mine.account_id, time_in_force=scope)
    assert set(Auctions(market.history()).results) == {opened}
    with pytest.raises(BrokenPromiseError, match="ends others' bids, or not all"):
        Auctions(market.altered(Event.CANCELLED, order_id=other.order_id))


@pytest.mark.parametrize(
    ("closes_ms", "said"),
    [(100, ""), (1, "came after the bids closed"), (2_000, "before its bids closed")],
)
def test_a_closing_time_that_did_not_hold_is_found(closes_ms: int, said: str) -> None:
    market = Market()
    opened = market.say(
        Command.AUCTION_OPEN, account_id=SELLER, side=Side.SELL, quantity=15, closes_ms=100,
        order_type=Pricing.UNIFORM, time_in_force=TieBreak.BY_TIME,
    )[0].order_id  # fmt: skip
    bid = {"account_id": 2, "side": Side.BUY, "quantity": 9, "price": 100, "order_id": opened}
    assert market.say(Command.AUCTION_BID, after_ms=20, **bid)[0].kind == Event.ACCEPTED
    market.say(Command.AUCTION_CLEAR, after_ms=200)
    altered = market.altered(Event.BIDDING_CLOSES, value=closes_ms * 10**6)
    if not said:
        assert Auctions(altered).results[opened].state == CLEARED
        return
    with pytest.raises(BrokenPromiseError, match=said):
        Auctions(altered)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Event.ACCEPTED, {"value": 16}),
        (Event.CANCELLED, {"value": 400}),
        (Event.FILL, {"client_order_id": bytes(16)}),
    ],
    ids=["hold", "released", "fee"],
)
def test_a_hold_or_a_fee_that_is_off_is_found(
    sold: Market, kind: Event, fields: dict[str, Any]
) -> None:
    holds.check(sold.history())
    with pytest.raises(BrokenPromiseError) as broken:
        holds.check(sold.altered(kind, **fields))
    assert broken.value.promise == "P4"


def test_what_stays_held_in_the_end_is_found(sold: Market) -> None:
    account = sold.engine._state.accounts[4]
    account.available, account.held = account.available - 1, account.held + 1
    with pytest.raises(BrokenPromiseError, match="cash held"):
        holds.check(sold.history())
