"""The outcome of a sealed-bid auction, held against its definition."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.draws import draw
from matching.layout import AuctionFlag, Pricing, Reason, Side, TieBreak
from matching.reference.allocation import Award, Bid, Outcome, clear, spread
from matching.reference.instruments import Auction

MULTIPLES = st.sampled_from((1, 2, 5, 500))
FLAGS = st.sampled_from(
    (
        0,
        AuctionFlag.CANCEL_IF_SHORT,
        AuctionFlag.CANCEL_BELOW_RESERVE,
        AuctionFlag.CANCEL_IF_SHORT | AuctionFlag.CANCEL_BELOW_RESERVE,
    )
)


@st.composite
def auctions(draw_: st.DrawFn) -> tuple[Auction, int, int, list[Bid], int, int]:
    """An auction, what is offered on which side, bids in priority, the reserve and the seed."""
    multiple = draw_(MULTIPLES)
    side = draw_(st.sampled_from(tuple(Side)))
    offered = draw_(st.integers(1, 12)) * multiple
    asked = st.tuples(st.integers(1, 5), st.integers(1, 2 * offered // multiple))
    wanted = draw_(st.lists(asked, max_size=9))
    bids = [Bid(10 + at, price, tonnes * multiple) for at, (price, tonnes) in enumerate(wanted)]
    bids.sort(key=lambda bid: bid.price if side == Side.BUY else -bid.price)
    auction = Auction(
        1,
        draw_(st.sampled_from(tuple(Pricing))),
        draw_(st.sampled_from(tuple(TieBreak))),
        draw_(FLAGS),
        0,
        0,
        multiple,
    )
    return auction, side, offered, bids, draw_(st.integers(0, 5)), draw_(st.integers(-(2**63), 9))


def brute_force(
    auction: Auction, side: int, offered: int, bids: list[Bid], reserve: int, seed: int
) -> Outcome:
    """Tonne by tonne: whoever is next in line takes one multiple."""
    sign = 1 if side == Side.SELL else -1
    beyond = {b.order_id for b in bids if reserve and sign * b.price < sign * reserve}
    if not auction.flags & AuctionFlag.CANCEL_BELOW_RESERVE:
        bids = [bid for bid in bids if bid.order_id not in beyond]
    if auction.flags & AuctionFlag.CANCEL_IF_SHORT and sum(b.quantity for b in bids) < offered:
        return Outcome(Reason.AUCTION_SHORT, 0, [])
    line = []
    for bid in bids:
        chance = draw(seed, bid.order_id) if auction.tie_break == TieBreak.AT_RANDOM else 0
        before = sum(sign * b.price > sign * bid.price for b in bids)
        runs_out = before_volume(bids, bid, sign) < offered < before_volume(bids, bid, sign, 1)
        line.append((before, chance if runs_out else 0, bids.index(bid), bid))
    line.sort(key=lambda place: place[:3])
    got: dict[int, int] = {}
    for _, _, _, bid in line:
        for _ in range(bid.quantity // auction.bid_multiple):
            if sum(got.values()) < offered:
                got[bid.order_id] = got.get(bid.order_id, 0) + auction.bid_multiple
    winners = [bid for _, _, _, bid in line if bid.order_id in got]
    if not winners:
        return Outcome(Reason.NONE, 0, [])
    last = winners[-1]
    if last.order_id in beyond:
        return Outcome(Reason.AUCTION_BELOW_RESERVE, 0, [])
    pays = {b.order_id: last.price if auction.pricing == Pricing.UNIFORM else b.price for b in bids}
    awards = [Award(b.order_id, got[b.order_id], pays[b.order_id]) for b in winners]
    return Outcome(Reason.NONE, last.price, awards)


def before_volume(bids: list[Bid], bid: Bid, sign: int, step: int = 0) -> int:
    """Tonnes asked at better prices; with a step, at this price, too."""
    return sum(b.quantity for b in bids if sign * b.price >= sign * bid.price + (not step))


@given(auctions())
def test_outcome_is_that_of_the_definition(
    drawn: tuple[Auction, int, int, list[Bid], int, int],
) -> None:
    auction, side, offered, bids, reserve, seed = drawn
    found = clear(auction, side, offered, bids, secret_reserve=reserve, seed=seed)
    if auction.tie_break == TieBreak.PRO_RATA:
        auction.tie_break = TieBreak.BY_TIME
        by_time = brute_force(auction, side, offered, bids, reserve, seed)
        assert (found.reason, found.price, found.sold) == (
            by_time.reason,
            by_time.price,
            by_time.sold,
        )
    else:
        assert found == brute_force(auction, side, offered, bids, reserve, seed)


@given(auctions())
def test_outcome_is_fair(drawn: tuple[Auction, int, int, list[Bid], int, int]) -> None:
    auction, side, offered, bids, reserve, seed = drawn
    found = clear(auction, side, offered, bids, secret_reserve=reserve, seed=seed)
    got = {award.order_id: award.quantity for award in found.awards}
    price = {bid.order_id: bid.price for bid in bids}
    asked = {bid.order_id: bid.quantity for bid in bids}
    sign = 1 if side == Side.SELL else -1
    assert len(got) == len(found.awards)
    assert found.sold <= offered
    assert all(0 < got[i] <= asked[i] and got[i] % auction.bid_multiple == 0 for i in got)
    if found.reason:
        assert not got
        return
    heard = [b for b in bids if not reserve or sign * b.price >= sign * reserve]
    assert found.sold == min(offered, sum(b.quantity for b in heard)) or not found.awards
    for award in found.awards:
        # Nobody pays more than it bid, nobody is paid less than it asked.
        assert sign * award.price <= sign * price[award.order_id]
        if auction.pricing == Pricing.PAY_AS_BID:
            assert award.price == price[award.order_id]
        better = [b for b in heard if sign * b.price > sign * price[award.order_id]]
        assert all(got.get(b.order_id) == b.quantity for b in better)
    if auction.tie_break == TieBreak.PRO_RATA and found.awards:
        last = [b for b in heard if b.price == found.price]
        rest = sum(got.get(b.order_id, 0) for b in last)
        whole = sum(b.quantity for b in last)
        for bid in last:
            exact = bid.quantity * rest // whole
            assert abs(got.get(bid.order_id, 0) - exact) <= auction.bid_multiple


def of_terms(tie_break: TieBreak, multiple: int = 1) -> Auction:
    return Auction(1, Pricing.UNIFORM, tie_break, 0, 0, 0, multiple)


TIED = [Bid(1, 9, 4), Bid(2, 7, 6), Bid(3, 7, 3), Bid(4, 7, 1), Bid(5, 6, 9)]


def test_by_time_the_earlier_come_first() -> None:
    found = clear(of_terms(TieBreak.BY_TIME), Side.SELL, 11, TIED, secret_reserve=0, seed=1)
    assert found == Outcome(Reason.NONE, 7, [Award(1, 4, 7), Award(2, 6, 7), Award(3, 1, 7)])


def test_pro_rata_shares_what_is_left() -> None:
    found = clear(of_terms(TieBreak.PRO_RATA), Side.SELL, 9, TIED, secret_reserve=0, seed=1)
    assert found.awards == [Award(1, 4, 7), Award(2, 3, 7), Award(3, 1, 7), Award(4, 1, 7)]
    # 5 of 10 tonnes: 3, 1.5 and 0.5, so 3, 1 and 0, and the drawn one gets the last.
    assert min((2, 3, 4), key=lambda order_id: draw(1, order_id)) == 4


def test_every_order_of_a_draw_comes_up() -> None:
    level = [Bid(order_id, 7, 1) for order_id in (1, 2, 3)]
    met = set()
    for seed in range(200):
        found = clear(
            of_terms(TieBreak.AT_RANDOM), Side.SELL, 2, level, secret_reserve=0, seed=seed
        )
        met.add(tuple(award.order_id for award in found.awards))
    assert met == set(permutations((1, 2, 3), 2))


@given(st.integers(0, 10**6), st.integers(1, 255), MULTIPLES)
def test_spread_conserves_and_is_even(units: int, parts: int, multiple: int) -> None:
    pieces = spread(units * multiple, parts, multiple)
    assert sum(pieces) == units * multiple
    assert len(pieces) == parts
    assert pieces == sorted(pieces, reverse=True)
    assert pieces[0] - pieces[-1] in (0, multiple)
    assert all(piece % multiple == 0 for piece in pieces)


@pytest.mark.parametrize(("price", "sold"), [(0, 11), (7, 11), (8, 4), (10, 0)])
def test_bids_beyond_the_secret_reserve_are_left_out(price: int, sold: int) -> None:
    found = clear(of_terms(TieBreak.BY_TIME), Side.SELL, 11, TIED, secret_reserve=price, seed=1)
    assert (found.reason, found.sold) == (Reason.NONE, sold)
