from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import ledger
from exchange.ledger import CASH, EXTERNAL_CASH, EXTERNAL_UNITS, FEE_INCOME, Leg, Posting
from exchange.messages.settlement import (
    AccountOpened,
    CashMoved,
    DayTurned,
    InstructionPassed,
    SettlementItem,
    TradeSettled,
    UnitsDeposited,
    UnitsReleased,
)
from exchange.settlement.delivery import Trades, net_changes, posting_columns

TRADE = TradeSettled(7, 11, 100, 8_350, 203, 201, 42, 25, 1 << 16, 2 << 16)

amounts = st.integers(1, 10**12)
accounts = st.integers(1, 5)
trades = st.builds(
    TradeSettled,
    trade_id=st.integers(0, 10**9),
    instrument_id=st.integers(1, 4),
    quantity=st.integers(1, 10**6),
    price=st.integers(1, 10**6),
    buyer_account=accounts,
    seller_account=accounts,
    buyer_fee=st.integers(0, 10**6),
    seller_fee=st.integers(0, 10**6),
    buyer_order_id=amounts,
    seller_order_id=amounts,
)
transfers = st.one_of(
    st.builds(CashMoved, accounts, st.integers(-(10**12), 10**12), amounts),
    st.builds(UnitsDeposited, accounts, st.integers(1, 4), amounts, amounts),
    st.builds(UnitsReleased, accounts, st.integers(1, 4), amounts, amounts),
)


def test_a_trade_is_delivered_and_paid_in_one_group() -> None:
    assert ledger.postings_of(7, TRADE) == (
        Posting(7, Leg.BUYER_CASH, 203, CASH, -835_000),
        Posting(7, Leg.SELLER_CASH, 201, CASH, 835_000),
        Posting(7, Leg.SELLER_UNITS, 201, 11, -100),
        Posting(7, Leg.BUYER_UNITS, 203, 11, 100),
        Posting(7, Leg.BUYER_FEE, 203, CASH, -42),
        Posting(7, Leg.SELLER_FEE, 201, CASH, -25),
        Posting(7, Leg.FEE_INCOME, FEE_INCOME, CASH, 67),
    )


@pytest.mark.parametrize(
    ("item", "counterpart", "asset", "amount"),
    [
        (CashMoved(1, 500, 9), EXTERNAL_CASH, CASH, 500),
        (CashMoved(1, -500, 9), EXTERNAL_CASH, CASH, -500),
        (UnitsDeposited(1, 11, 30, 9), EXTERNAL_UNITS, 11, 30),
        (UnitsReleased(1, 11, 30, 9), EXTERNAL_UNITS, 11, -30),
    ],
)
def test_what_comes_and_goes(
    item: SettlementItem, counterpart: int, asset: int, amount: int
) -> None:
    assert ledger.postings_of(3, item) == (
        Posting(3, Leg.TRANSFER, 1, asset, amount),
        Posting(3, Leg.COUNTERPART, counterpart, asset, -amount),
    )


@pytest.mark.parametrize(
    "item",
    [DayTurned(20261122), AccountOpened(1, 2), InstructionPassed(1, 2, 3, 4, 5, 6, "", "")],
)
def test_the_rest_posts_nothing(item: SettlementItem) -> None:
    assert ledger.postings_of(3, item) == ()


def test_nothing_of_a_step_is_done_when_an_account_would_be_overdrawn() -> None:
    before = {(203, CASH): 835_041, (201, 11): 100}
    with pytest.raises(ledger.OverdrawnError, match="account 203, asset 0: 835041 -835042"):
        ledger.apply(before, ledger.postings_of(7, TRADE))
    assert before == {(203, CASH): 835_041, (201, 11): 100}
    after = ledger.apply(before | {(203, CASH): 835_042}, ledger.postings_of(7, TRADE))
    assert after == {
        (203, CASH): 0,
        (201, CASH): 834_975,
        (201, 11): 0,
        (203, 11): 100,
        (FEE_INCOME, CASH): 67,
    }


@given(st.lists(st.one_of(trades, transfers), max_size=30))
def test_each_cause_sums_to_zero_in_each_asset(items: list[SettlementItem]) -> None:
    postings = [p for at, item in enumerate(items) for p in ledger.postings_of(at, item)]
    assert ledger.unbalanced(postings) == {}
    by_asset: dict[int, int] = defaultdict(int)
    for (_, asset), amount in ledger.net(postings).items():
        by_asset[asset] += amount
    assert not any(by_asset.values())
    assert all(posting.amount for posting in postings)


def test_an_unbalanced_cause_is_named() -> None:
    assert ledger.unbalanced([Posting(4, 0, 1, CASH, 5), Posting(4, 1, 2, CASH, -4)]) == {
        (4, CASH): 1
    }


@given(st.lists(trades, max_size=20), st.lists(transfers, max_size=10))
def test_many_at_once_are_the_same_as_one_by_one(
    some: list[TradeSettled], others: list[SettlementItem]
) -> None:
    rest = [p for at, item in enumerate(others) for p in ledger.postings_of(10**10 + at, item)]
    names = Trades._fields
    columns = Trades(
        *(np.array([getattr(trade, name) for trade in some], np.int64) for name in names)
    )
    found = posting_columns(columns, rest)
    expected = [p for trade in some for p in ledger.postings_of(trade.trade_id, trade)] + rest
    assert [Posting(*row) for row in zip(*(c.tolist() for c in found), strict=True)] == expected
    assert {(a, b): c for a, b, c in net_changes(found)} == ledger.net(expected)


def test_sums_that_leave_63_bits_on_the_way_come_back() -> None:
    big = 9 * 10**15
    there = [Posting(n, 0, 1, CASH, big) for n in range(2_000)]
    back = [Posting(n, 1, 1, CASH, -big) for n in range(1_999)]
    none = Trades(*(np.empty(0, np.int64) for _ in Trades._fields))
    assert net_changes(posting_columns(none, there + back)) == [(1, CASH, big)]
