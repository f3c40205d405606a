"""The brokers of the demo trade honestly, and surveillance has nothing to tell of them."""

from __future__ import annotations

import random

import pytest

from benchmarks.surveillance.stage import INSTRUMENT, REFERENCE, SECOND, Stage, account
from exchange.messages.executions import InstructionReport
from exchange.messages.frames import (
    Command,
    Event,
    OrderType,
    Side,
    TimeInForce,
    order_id_of,
    pack_command,
)
from exchange.messages.instructions import Instruction
from exchange.messages.orders import SideWord, TimeInForceWord
from exchange.simulation.brokers import Pair, Product
from exchange.simulation.scene import Cast, Lot, _buy
from exchange.simulation.trading import OpenOrder, Outcome
from exchange.surveillance.limits import load_limits

MAKER, TAKER, VISITOR = account(2), account(3), account(4)
MINUTES = 30
STEPS_PER_SECOND = 4


class OnStage:
    """A `TradingClient` whose venue is the stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def new_order(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        quantity: int,
        price: int,
        time_in_force: TimeInForceWord,
    ) -> Outcome:
        order_id = order_id_of(self._stage.engine.next_offset, 0)
        rows = self._stage.send(
            pack_command(
                Command.NEW_ORDER, account_id=account, instrument_id=INSTRUMENT, side=Side[side],
                order_type=OrderType.LIMIT, time_in_force=TimeInForce[time_in_force],
                quantity=quantity, price=price,
            )
        )  # fmt: skip
        assert all(row.kind != Event.REJECTED for row in rows)
        fills = [row for row in rows if row.kind == Event.FILL and row.account_id == account]
        filled = sum(row.quantity for row in fills)
        open_status = "CANCELLED" if time_in_force == "IOC" else "NEW"
        return Outcome(order_id, "FILLED" if filled == quantity else open_status, filled, 0, "")

    async def cancel_order(self, symbol: str, account: int, order_id: int) -> Outcome:
        self._stage.cancel(account, order_id)
        return Outcome(order_id, "CANCELLED", 0, 0, "")

    async def open_orders(self, symbol: str, account: int) -> list[OpenOrder]:
        return []

    async def instruct(self, instruction: Instruction) -> InstructionReport:
        raise AssertionError("brokers instruct nobody")


async def test_nor_of_the_emitter_who_buys_much_in_the_scene() -> None:
    stage = Stage(load_limits())
    client = OnStage(stage)
    pair = Pair(Product("EUA", MAKER, TAKER, REFERENCE, 0), client, client, 1)
    for _ in range(200):
        await pair.step()
    stage.deposit(MAKER, 1_000_000)
    lot = Lot("EUA", 700_001, stage.last_price)
    cast = Cast("EU", client, VISITOR, client, MAKER, client, None, 2025, 0, lot, (lot,), "")  # type: ignore[arg-type]
    assert await _buy(cast, lot) == lot.quantity
    assert [alert.text for alert in stage.alerts] == []


@pytest.mark.parametrize("seed", [0, 1])
async def test_nothing_is_told_of_them(seed: int) -> None:
    stage, pace = Stage(load_limits()), random.Random(seed)
    client = OnStage(stage)
    pair = Pair(Product("EUA", MAKER, TAKER, REFERENCE, 0), client, client, seed)
    for _ in range(30):
        await pair.step()
    assert stage.take(VISITOR, Side.BUY, 1, stage.last_price + 100)  # a third one trades there
    end_ns = stage.now_ns + MINUTES * 60 * SECOND
    while stage.now_ns < end_ns:
        stage.wait(pace.uniform(0.4, 1.6) / STEPS_PER_SECOND)
        await pair.step()
    assert [alert.text for alert in stage.alerts] == []
    assert len(stage.parts) > MINUTES * 60 * STEPS_PER_SECOND
