"""Positions from events equal the engine's own snapshot after every record."""

from __future__ import annotations

from typing import Any

import pytest

from exchange import topics
from exchange.messages.frames import (
    GENESIS,
    Command,
    EventFollower,
    Parameter,
    Phase,
    Side,
    TimeInForce,
    command,
    seal_events,
)
from exchange.positions import Positions, project
from matching import Engine
from matching.snapshot import PARAMETER_FIELDS, decode


class Market:
    """An engine and the projection of its events, fed frame by frame."""

    def __init__(self) -> None:
        self.engine, self.positions, self.follower = Engine(), Positions(), EventFollower()
        self.chain, self.records = GENESIS, 0

    def apply(self, frame: bytes) -> None:
        engine, offset, first = self.engine, self.engine.next_offset, self.engine.next_event
        events = engine.apply(offset, offset + 1, frame)
        parts, self.chain = seal_events(
            events,
            input_offset=offset,
            first_event=first,
            epoch=engine.epoch,
            time_ns=engine.time_ns,
            chain=self.chain,
        )
        for value in parts:
            part = self.follower.accept(self.records, value)
            assert part is not None
            self.positions.apply(part)
            self.records += 1


def assert_equal(positions: Positions, data: bytes) -> None:
    state = decode(data)
    assert positions.self_check() == []
    accounts = {
        int(a["account_id"]): (int(a["participant"]), int(a["available"]), int(a["held"]))
        for a in state.accounts
    }
    assert accounts == {
        key: (a.participant, a.cash.available, a.cash.held) for key, a in positions.accounts.items()
    }
    holdings = {
        (int(h["account_id"]), int(h["instrument_id"])): tuple(
            int(h[name]) for name in ("available", "held", "locked")
        )
        for h in state.holdings
    }
    assert holdings == {
        (a, i): (u.available, u.held, u.locked)
        for a, account in positions.accounts.items()
        for i, u in account.units.items()
        if u.total
    }
    orders = {
        int(o["order_id"]): tuple(
            int(o[n]) for n in ("account_id", "side", "quantity", "leaves", "price", "charged")
        )
        for o in state.orders
    }
    assert orders == {
        o.order_id: (o.account_id, o.side, o.quantity, o.leaves, o.price, o.charged)
        for o in positions.orders.values()
    }
    for row in state.instruments:
        instrument = positions.instruments[int(row["instrument_id"])]
        assert instrument.phase == row["phase"]
        assert instrument.reference_price == row["reference"]
        assert instrument.day_volume == row["volume"]
        assert instrument.day_turnover == row["turnover"]
        assert instrument.last_price == row["last_price"]
        assert instrument.deposited - instrument.released == row["units"]
        for parameter, name in PARAMETER_FIELDS.items():
            assert instrument.parameters[parameter] == row[name]
    assert positions.fees == state.fees
    assert positions.cash_deposited - positions.cash_withdrawn == state.cash
    assert positions.trading_date == state.trading_date
    assert (positions.next_input, positions.next_event) == (state.next_offset, state.next_event)


@pytest.mark.parametrize("seed", range(6))
def test_positions_equal_the_engine_after_every_record(make_flow: Any, seed: int) -> None:
    market = Market()
    for frame in make_flow(seed).frames(250):
        market.apply(frame)
        assert_equal(market.positions, market.engine.snapshot())
    assert market.positions.trades > 20


def test_a_partly_filled_buy_holds_what_the_rest_may_cost(make_flow: Any) -> None:
    flow, market = make_flow(0), Market()
    market.apply(flow.opening())
    buy = {"side": Side.BUY, "account_id": 1, "quantity": 40, "price": 610}
    sell = {"side": Side.SELL, "account_id": 2, "quantity": 15, "price": 600}
    common = {"instrument_id": 1, "order_type": 2, "time_in_force": TimeInForce.GTC}
    market.apply(
        flow.frame([command(Command.NEW_ORDER, **common, **given) for given in (buy, sell)])
    )
    positions = market.positions
    (order,) = positions.open_orders(1)
    assert (order.leaves, order.charged) == (25, round(15 * 610 * 3 / 10_000))
    assert positions.cash(1).held == order.hold(positions.instruments[1]) == 25 * 610 + 13 - 3
    assert positions.units(1, 1).total == 4_015
    assert positions.units(2, 1).total == 3_985
    assert positions.cash(99).total == positions.units(99, 1).total == 0
    assert positions.open_orders(99) == []
    assert positions.instruments[1].phase == Phase.CONTINUOUS
    assert positions.instruments[1].parameters[Parameter.MAKER_FEE_BP] == 3


def test_an_engine_that_holds_too_little_is_noticed(make_flow: Any) -> None:
    flow, market = make_flow(0), Market()
    market.apply(flow.opening())
    market.positions.instruments[1].set_parameter(Parameter.TAKER_FEE_BP, 90)
    market.apply(
        flow.frame(
            [
                command(
                    Command.NEW_ORDER,
                    side=Side.BUY,
                    account_id=1,
                    quantity=40,
                    price=610,
                    instrument_id=1,
                    order_type=2,
                    time_in_force=TimeInForce.GTC,
                )
            ]
        )
    )
    (difference,) = market.positions.differences
    assert "the engine says" in difference
    assert difference in market.positions.self_check()


async def test_project_reads_the_whole_of_events(memory_log: Any, make_flow: Any) -> None:
    market, follower = Market(), EventFollower()
    chain = GENESIS
    for offset, frame in enumerate(make_flow(3).frames(60)):
        first = market.engine.next_event
        events = market.engine.apply(offset, offset, frame)
        parts, chain = seal_events(
            events,
            input_offset=offset,
            first_event=first,
            epoch=0,
            time_ns=market.engine.time_ns,
            chain=chain,
        )
        for value in parts:
            assert follower.accept(0, value) is not None
        memory_log.take(topics.events(0), parts)
        memory_log.take(topics.events(0), parts)  # a repeat changes nothing
    positions = await project(memory_log, 0)
    assert_equal(positions, market.engine.snapshot())
