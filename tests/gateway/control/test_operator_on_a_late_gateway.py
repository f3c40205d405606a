"""A gateway that has not read the log to its end lets nobody loosen alone what it cannot know."""

from __future__ import annotations

import pytest

from exchange import topics
from exchange.engine import EngineService
from exchange.messages.executions import OperationReport
from exchange.messages.frames import Command, Parameter, build_commands, command
from exchange.messages.operations import SetLimit
from exchange.messages.reasons import EdgeReason
from gateway.refusal import Refused
from gateway.routes.control import post_control
from gateway.routes.table import Call, Wait
from tests.gateway.conftest import House


def limit(house: House, ref: int, value: int) -> Call:
    assert house.gateway is not None
    context = house.gateway.context
    key = next(key for key in context.venue.key if key.role == "operator")
    body = SetLimit(
        ref, market="EU", symbol="EUA", parameter="QUANTITY_MAX", value=value, reason="a test"
    )
    return Call(context, key, body, Wait(wait_ms=500), "")


async def test_a_limit_that_was_tightened_elsewhere_is_not_widened_by_one(house: House) -> None:
    market = house.venue.market[0]
    loose = await post_control(limit(house, 1, 5_000))
    assert loose.value.status == "DONE"
    for name in [name for name in house._running if name.startswith("engine")]:
        await house.stop(name)
    tight = command(
        Command.INSTRUMENT_PARAMETER,
        instrument_id=1,
        order_type=Parameter.QUANTITY_MAX,
        quantity=20,
    )
    frame = build_commands([tight], writer=7, batch=0, time_ns=house.clock.now_ns())
    await house.log.append(topics.orders(market.partition), [frame])
    with pytest.raises(Refused) as refused:
        await post_control(limit(house, 2, 50))
    assert refused.value.row.number == EdgeReason.VENUE_BUSY
    house.run(EngineService(house.log, market, house.settings, house.clock))
    reply = await post_control(limit(house, 2, 50))
    assert isinstance(reply.value, OperationReport)
    assert reply.value.status == "PROPOSED"
