"""The self-check of the compiled engine sees every damage; run on the builds that watch it.

The damage is done by `damage.pyx`, which stands in their trees only.
"""

from __future__ import annotations

import pytest
from damage import Damage, end_of_memory

from matching import compiled
from matching.layout import AccountParameter, Command, Event, OrderType, Phase, Side, TimeInForce
from tests.matching.frames import command, events, frame

WORDS = {
    "count_of_orders": "orders known are not the orders that rest",
    "crossed": "instrument 1: the book is crossed",
    "empty_level": "instrument 1: an empty level",
    "key_of_the_next_level": "instrument 1: levels out of order",
    "quantity_of_a_level": "instrument 1: a level does not add up",
    "side": "order 7 is on the wrong side or lost",
    "queue": "order 8 is out of its queue",
    "price": "order 9 is at the wrong level",
    "leaves": "order 10 has the wrong leaves",
    "uncharged": "order 10: charged is not the accrued fee",
    "holding_of_an_order": "order 7 has another's holding",
    "cash": "account 1: cash is negative",
    "cash_held": "account 1: cash held is not that of its orders",
    "cash_of_the_market": "cash of the accounts and fees are not the cash of the market",
    "cash_above_all_bounds": "a total is above its limit",
    "fees": "a total is negative",
    "units": "holding of account 1 in 1: units are negative",
    "units_held": "holding of account 1 in 1: units held are not those of its orders",
    "units_of_the_instrument": "instrument 1: units do not add up",
    "units_above_all_bounds": "a total is above its limit",
    "holding_of_an_account": "account 1: has another's holding",
    "list_of_a_holding": "order 7: is in another's list",
    "limit_of_orders": "more orders than their limit",
    "stops_forgotten": "instrument 1: its stops are forgotten",
    "stop_to_buy_triggered": "instrument 1: a triggered stop waits",
    "stop_to_sell_triggered": "instrument 1: a triggered stop waits",
    "slice": "order 15 shows what it has not",
    "terms": "terms without an order, or of two",
    "quote": "order 17 is not of the last quote",
    "bid_without_an_auction": "instrument 1: a bid without an auction",
    "auction_without_an_offer": "instrument 1: offers are not those of its auctions",
    "position": "the position is not that of the accounts",
}
"""What the self-check says of each damage, among other things."""

ASK = {
    "account_id": 1,
    "instrument_id": 1,
    "side": Side.SELL,
    "order_type": OrderType.LIMIT,
    "time_in_force": TimeInForce.GTC,
    "quantity": 5,
    "price": 7_000,
}

BID = ASK | {"price": 6_990, "account_id": 2, "side": Side.BUY}
STOP = {"order_type": OrderType.STOP_LIMIT}


def an_engine() -> compiled.Engine:
    """With orders 7, 8 and 9 of account 1 on the one side, 10 of account 2 on the other, and more.

    The more: stops, an iceberg, a quote and a limit.
    """
    commands = [command(Command.INSTRUMENT_OPEN, instrument_id=1)]
    for account_id in (1, 2):
        named = {"account_id": account_id}
        commands.append(command(Command.ACCOUNT_OPEN, **named))
        commands.append(command(Command.UNITS_DEPOSIT, instrument_id=1, quantity=10**5, **named))
    commands += [
        command(Command.CASH_DEPOSIT, account_id=2, quantity=10**6),
        command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS),
        command(Command.NEW_ORDER, **ASK),
        command(Command.NEW_ORDER, **ASK),
        command(Command.NEW_ORDER, **ASK | {"price": 7_010}),
        command(Command.NEW_ORDER, **BID),
        command(Command.NEW_ORDER, **ASK | STOP | {"price": 6_000}),
        command(Command.ORDER_TERMS, ref=6_000),
        command(Command.NEW_ORDER, **BID | STOP | {"price": 8_000}),
        command(Command.ORDER_TERMS, ref=8_000),
        command(Command.NEW_ORDER, **BID | {"price": 6_980}),
        command(Command.ORDER_TERMS, quantity=2),
        command(Command.QUOTE, account_id=2, instrument_id=1, quantity=5, price=6_970),
        command(
            Command.ACCOUNT_PARAMETER,
            account_id=1,
            order_type=AccountParameter.POSITION_MAX,
            quantity=10**9,
        ),
    ]
    engine = compiled.Engine()
    heard = events(engine.apply(0, 0, frame(commands)))
    assert not [e for e in heard if e.kind == Event.REJECTED]
    return engine


def test_every_damage_is_done() -> None:
    done = {name for name in vars(Damage) if not name.startswith("_")}
    assert done == WORDS.keys()


def test_an_engine_without_damage_is_sound() -> None:
    engine = an_engine()
    Damage(engine)
    assert engine.self_check() == []


@pytest.mark.parametrize("name", WORDS)
def test_damage_is_seen(name: str) -> None:
    engine = an_engine()
    getattr(Damage(engine), name)()
    assert any(said.endswith(WORDS[name]) for said in engine.self_check())


def test_an_engine_without_memory_does_not_go_on() -> None:
    engine = an_engine()
    before = engine.snapshot()
    end_of_memory(engine)
    asks = frame([command(Command.NEW_ORDER, **ASK)] * 2_000)
    with pytest.raises(MemoryError, match="out of memory"):
        engine.apply(1, 0, asks)
    with pytest.raises(RuntimeError, match="restore a snapshot"):
        engine.apply(1, 0, asks)
    assert engine.next_offset == 1
    assert compiled.Engine.restore(before).apply(1, 0, asks)
