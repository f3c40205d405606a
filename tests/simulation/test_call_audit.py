"""The auditor's own sums of calls and collars: as an engine's, and what is off is found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from exchange.messages.frames import Command, Event, Phase, Side, TimeInForce
from exchange.simulation.faults.calls import Calls
from exchange.simulation.faults.oracle import History
from exchange.simulation.faults.promises import BrokenPromiseError
from tests.simulation.one_market import BIDDERS, Market

BOUNDS = {"volatility_bp": 100, "volatility_call_ms": 500, "random_end_ms": 200, "collar_bp": 400}
CALLS = (Phase.OPENING_CALL, Phase.CLOSING_CALL)


def opened(**parameters: int) -> Market:
    market = Market(**BOUNDS | parameters)
    market.say(Command.REFERENCE_PRICE, price=1_000)
    market.say(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)
    return market


@pytest.fixture
def called() -> Market:
    """A sell at 1,030 met by a buy at 1,030, out of bounds: a call, which a tick then ends."""
    market = opened()
    market.order(2, Side.SELL, 5, 1_030)
    market.order(3, Side.BUY, 8, 1_030)
    market.order(4, Side.BUY, 2, 1_020, time_in_force=TimeInForce.IOC)
    market.say(Command.CLOCK_TICK, after_ms=10)
    market.say(Command.CLOCK_TICK, after_ms=700)
    return market


def test_a_call_that_bounds_start_is_followed_to_its_end(called: Market) -> None:
    shapes = Counter[str]()
    Calls(called.history(), shapes)
    assert +shapes == {
        "volatility_call": 1, "volatility_call_ended": 1, "call_uncrossed": 1,
        "refused_in_volatility_call": 1,
    }  # fmt: skip


def test_days_of_any_orders_are_as_the_rules_say() -> None:
    shapes = Counter[str]()
    for seed in range(12):
        Calls(drawn(random.Random(seed)), shapes)
    for name in (
        "volatility_call", "volatility_call_ended", "call_ended_at_random", "call_uncrossed",
        "refused_in_volatility_call", "refused_outside_collar", "order_in_volatility_call",
    ):  # fmt: skip
        assert shapes[name] > 1, name


def drawn(rng: random.Random) -> History:
    """A day of orders, cancels, replaces, quotes and phases."""
    market = opened()
    for _ in range(250):
        after_ms, chance = rng.randint(0, 60), rng.random()
        fields = {"account_id": rng.choice(BIDDERS), "quantity": rng.randint(1, 9)}
        if chance < 0.12:
            market.say(Command.CLOCK_TICK, after_ms=after_ms, instrument_id=0)
        elif chance < 0.18:
            phase = rng.choice((*CALLS, Phase.HALT, Phase.CONTINUOUS, Phase.CONTINUOUS))
            seed = rng.choice((0, rng.randrange(1, 2**63)))
            market.say(Command.PHASE_CHANGE, order_type=phase, quantity=seed, after_ms=after_ms)
        elif chance < 0.3:
            orders = [n for n, order in market.engine._state.orders.items()] or [1]
            number = rng.choice(orders)
            owner = getattr(market.engine._state.orders.get(number), "account_id", 2)
            more = {"account_id": owner, "order_id": number, "instrument_id": 0}
            kind = rng.choice((Command.CANCEL_ORDER, Command.REPLACE_ORDER))
            market.say(kind, price=rng.randint(970, 1_030), **fields | more)
        else:
            market.say(
                Command.NEW_ORDER, after_ms=after_ms, order_type=2,
                side=rng.choice(list(Side)), price=rng.randint(950, 1_050),
                time_in_force=rng.choice((0, 0, 1, 3, 4, 7)), order_id=rng.choice((0, 0, 1, 4)),
                **fields,
            )  # fmt: skip
    return market.history()


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Event.UNCROSSED, {"price": 1_029}),
        (Event.UNCROSSED, {"value": 0}),
        (Event.INDICATIVE, {"quantity": 4}),
        (Event.FILL, {"quantity": 4}),
        (Event.REJECTED, {"time_in_force": TimeInForce.DAY}),
        (Event.PARAMETER_CHANGED, {"quantity": 5_000}),
    ],
    ids=["price", "surplus", "indicative", "fill", "refusal", "bounds"],
)
def test_a_call_in_other_words_is_found(
    called: Market, kind: Event, fields: Mapping[str, Any]
) -> None:
    with pytest.raises(BrokenPromiseError) as broken:
        Calls(called.altered(kind, **fields), Counter())
    assert broken.value.promise == "P13"


def test_a_trade_out_of_bounds_and_an_order_out_of_the_collar_are_found() -> None:
    market = opened()
    market.order(2, Side.SELL, 5, 1_005)
    market.order(3, Side.BUY, 5, 1_005)
    Calls(market.history(), Counter())
    for kind, fields in ((Event.FILL, {"price": 1_011}), (Event.ACCEPTED, {"price": 950})):
        with pytest.raises(BrokenPromiseError, match="outside the"):
            Calls(market.altered(kind, **fields), Counter())


def test_a_call_that_goes_on_after_its_moment_is_found(called: Market) -> None:
    *_, last = called.heard
    called.heard[last] = called.heard[last]._replace(rows=[])
    with pytest.raises(BrokenPromiseError, match="goes on"):
        Calls(called.history(), Counter())
