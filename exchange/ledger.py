"""Double entry over integers: which postings each settled thing makes. Pure.

An *asset* is the market's cash (0, minor units) or an instrument (its id, tonnes). The postings of
one cause sum to zero in each asset. Participants' accounts keep their numbers and never go below
zero; the venue's own accounts are negative numbers and balance what comes in and goes out:

    EXTERNAL_CASH    minus all cash ever deposited and not withdrawn (the bank's side)
    EXTERNAL_UNITS   minus all units in trading positions (the registry's side)
    FEE_INCOME       what the venue earned

What is bought or earned by a trade that is settled later lies in the member's *held_settlement*
account, HELD_SETTLEMENT above its number, until it is delivered or goes back. What the engine says
an account has is both together.

`exchange.settlement.delivery` computes the postings of many trades at once with numpy; a test
proves it equal to `postings_of`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from exchange.messages.settlement import (
    CashMoved,
    SettlementItem,
    TradeCancelled,
    TradeDelivered,
    TradeDue,
    TradeSettled,
    TradeVoided,
    UnitsDeposited,
    UnitsReleased,
)

CASH = 0
FEE_INCOME = -1
EXTERNAL_CASH = -2
EXTERNAL_UNITS = -3
HELD_SETTLEMENT = 2**32  # above every account number of the engine

ACCOUNT_NAMES = {
    FEE_INCOME: "fee income",
    EXTERNAL_CASH: "external cash",
    EXTERNAL_UNITS: "external units",
}


class Leg(IntEnum):
    """The place of a posting among those of its cause: what it is for."""

    BUYER_CASH = 0
    SELLER_CASH = 1
    SELLER_UNITS = 2
    BUYER_UNITS = 3
    BUYER_FEE = 4
    SELLER_FEE = 5
    FEE_INCOME = 6
    TRANSFER = 7  # deposit or withdrawal: the participant's side
    COUNTERPART = 8  # and the venue's
    CASH_FROM = 9  # a trade delivered, voided or cancelled: out of the seller's purse
    CASH_TO = 10  # into the seller's when delivered, else the buyer's
    UNITS_FROM = 11
    UNITS_TO = 12
    FEES_BACK = 13


class Posting(NamedTuple):
    """One entry: `amount` (minor units or tonnes, never 0) onto `account`, caused by an event."""

    event_number: int
    leg: int
    account: int
    asset: int
    amount: int


class OverdrawnError(Exception):
    """A participant's balance would fall below zero: the engine and the ledger differ."""


def held_settlement(account: int) -> int:
    """Where an account's cash and units lie until their trades are settled. O(1)."""
    return account + HELD_SETTLEMENT


def owner_of(account: int) -> int:
    """Whose an account is: itself, or the member's whose held_settlement it is. O(1)."""
    return account - HELD_SETTLEMENT if account >= HELD_SETTLEMENT else account


def postings_of(event_number: int, item: SettlementItem) -> tuple[Posting, ...]:
    """The postings of one settled item, in the order of their legs; () when none. O(1).

    Delivery and payment of a trade are one group: both or neither.
    """
    match item:
        case TradeSettled() | TradeDue():
            return _trade(event_number, item)
        case TradeDelivered():
            seller, buyer = item.seller_account, item.buyer_account
            return _moves(
                event_number, item.instrument_id, item.quantity,
                (held_settlement(seller), seller, item.cash, item.cash),
                (held_settlement(buyer), buyer),
            )  # fmt: skip
        case TradeVoided() | TradeCancelled():
            seller, buyer = item.seller_account, item.buyer_account
            is_void = isinstance(item, TradeVoided)
            return _moves(
                event_number, item.instrument_id, item.quantity,
                (held_settlement(seller) if is_void else seller, buyer, item.cash_from_seller,
                 item.cash_to_buyer),
                (held_settlement(buyer) if is_void else buyer, seller),
            )  # fmt: skip
        case CashMoved():
            return _transfer(event_number, item.account_id, EXTERNAL_CASH, CASH, item.amount)
        case UnitsDeposited():
            return _transfer(
                event_number, item.account_id, EXTERNAL_UNITS, item.instrument_id, item.quantity
            )
        case UnitsReleased():
            return _transfer(
                event_number, item.account_id, EXTERNAL_UNITS, item.instrument_id, -item.quantity
            )
        case _:
            return ()


def _trade(event_number: int, item: TradeSettled | TradeDue) -> tuple[Posting, ...]:
    value = item.price * item.quantity
    earned, bought = item.seller_account, item.buyer_account
    if isinstance(item, TradeDue):
        earned, bought = held_settlement(earned), held_settlement(bought)
    legs = (
        (Leg.BUYER_CASH, item.buyer_account, CASH, -value),
        (Leg.SELLER_CASH, earned, CASH, value),
        (Leg.SELLER_UNITS, item.seller_account, item.instrument_id, -item.quantity),
        (Leg.BUYER_UNITS, bought, item.instrument_id, item.quantity),
        (Leg.BUYER_FEE, item.buyer_account, CASH, -item.buyer_fee),
        (Leg.SELLER_FEE, earned, CASH, -item.seller_fee),
        (Leg.FEE_INCOME, FEE_INCOME, CASH, item.buyer_fee + item.seller_fee),
    )
    return tuple(Posting(event_number, *leg) for leg in legs if leg[-1])


def _moves(
    event_number: int,
    instrument_id: int,
    quantity: int,
    cash: tuple[int, int, int, int],  # from, to, amount out, amount in
    units: tuple[int, int],  # from, to
) -> tuple[Posting, ...]:
    payer, payee, given, got = cash
    legs = (
        (Leg.CASH_FROM, payer, CASH, -given),
        (Leg.CASH_TO, payee, CASH, got),
        (Leg.UNITS_FROM, units[0], instrument_id, -quantity),
        (Leg.UNITS_TO, units[1], instrument_id, quantity),
        (Leg.FEES_BACK, FEE_INCOME, CASH, given - got),
    )
    return tuple(Posting(event_number, *leg) for leg in legs if leg[-1])


def _transfer(
    event_number: int, account: int, counterpart: int, asset: int, amount: int
) -> tuple[Posting, ...]:
    if not amount:
        return ()
    return (
        Posting(event_number, Leg.TRANSFER, account, asset, amount),
        Posting(event_number, Leg.COUNTERPART, counterpart, asset, -amount),
    )


def net(postings: Iterable[Posting]) -> dict[tuple[int, int], int]:
    """What postings change: {(account, asset): amount}, without zeros. O(postings)."""
    change: dict[tuple[int, int], int] = defaultdict(int)
    for posting in postings:
        change[posting.account, posting.asset] += posting.amount
    return {key: amount for key, amount in change.items() if amount}


def apply(
    balances: Mapping[tuple[int, int], int], postings: Iterable[Posting]
) -> dict[tuple[int, int], int]:
    """Balances after all `postings` as one step; the given ones stay as they are. O(both).

    Raises OverdrawnError naming account, asset and amount.
    """
    after = dict(balances)
    for key, amount in net(postings).items():
        after[key] = after.get(key, 0) + amount
        if key[0] >= 0 and after[key] < 0:
            raise OverdrawnError(
                f"account {key[0]}, asset {key[1]}: {balances.get(key, 0)} {amount:+d} is below 0"
            )
    return after


def unbalanced(postings: Iterable[Posting]) -> dict[tuple[int, int], int]:
    """{(event number, asset): sum} for causes whose postings do not sum to zero; {} is sound."""
    sums: dict[tuple[int, int], int] = defaultdict(int)
    for posting in postings:
        sums[posting.event_number, posting.asset] += posting.amount
    return {key: amount for key, amount in sums.items() if amount}
