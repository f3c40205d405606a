"""What is answered: where trades stand that are settled later or go back."""

from __future__ import annotations

import msgspec


class SettlementRow(msgspec.Struct, frozen=True):
    """A trade and where its settlement stands; `due_ns` 0: it was settled with the fill."""

    trade_id: int
    symbol: str
    quantity: int
    price: str
    buyer_account: int  # 0: not of this key's accounts
    seller_account: int  # 0: not of this key's accounts
    time_ns: int
    state: str  # SETTLED, DUE, FAILED, ...: deploy/docs/settlement.md
    due_ns: int  # cut-off of its settlement, ns UTC
    since_ns: int  # when it came into this state, ns UTC


class CancelProposalRow(msgspec.Struct, frozen=True):
    """A proposed cancellation that another person may approve."""

    proposal_id: int
    trade_id: int
    proposed_by: str  # who proposed it, and so may not approve it
    reason: str
    expires_ns: int


class SettlementList(msgspec.Struct, frozen=True):
    """A page of trades, the newest first; proposals only for who may approve them."""

    market: str
    trades: list[SettlementRow]  # at most as many as were asked for
    proposals: list[CancelProposalRow]  # of cancellations that wait for a second person
