"""What a flow charges for trades, and the steps of trades that it has heard of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from struct import Struct
from typing import TYPE_CHECKING

from matching.layout import Command, Event, FeeSides, Liquidity, Parameter, SettlementStep, Side
from tests.matching.frames import EventRow, command

if TYPE_CHECKING:
    from tests.matching.flows import Flow

FEES: tuple[tuple[Parameter, tuple[int, ...]], ...] = (
    (Parameter.MAKER_FEE_BP, (0, 5, 333, 1_000)),
    (Parameter.TAKER_FEE_BP, (0, 7, 1_000)),
    (Parameter.TONNE_FEE, (0, 3_000, 8_999, 9_000)),
    (Parameter.FEE_SIDES, tuple(FeeSides)),
)


def trades_in(heard: Sequence[EventRow]) -> list[tuple[EventRow, EventRow]]:
    """The two fills of each trade, the maker's first."""
    return [
        (maker, taker)
        for maker, taker in pairwise(heard)
        if maker.kind == taker.kind == Event.FILL and maker.order_type == Liquidity.MAKER
    ]


def settle(flow: Flow) -> bytes:
    """A step of one of the last trades, now and then with wrong terms."""
    r = flow.random
    step = r.choice((*SettlementStep, *SettlementStep, 0, 4))
    if not flow.trades:
        return command(Command.SETTLE_TRADE, account_id=1, instrument_id=1, order_type=step)
    pair = r.choice(flow.trades)
    seller, buyer = sorted(pair, key=lambda side: side.side == Side.BUY)
    value = buyer.quantity * buyer.price
    paid, got = value + buyer.fee, value - seller.fee
    return command(
        Command.SETTLE_TRADE,
        order_type=step,
        account_id=buyer.account_id if r.random() < 0.95 else 99,
        instrument_id=buyer.instrument_id,
        quantity=buyer.quantity + r.choice((0, 0, 0, 0, 1, -1)),
        price=got + r.choices((0, 1, -1, -got - 1, 2**63 - 1 - got), (20, 1, 1, 1, 1))[0],
        order_id=seller.account_id + r.choices((0, 1, 2**32), (20, 1, 1))[0],
        client_order_id=Struct("<qQ").pack(
            r.choices((paid, value, got, -1, 2**62), (9, 9, 9, 1, 1))[0], r.getrandbits(64)
        ),
        **flow.session(),
    )
