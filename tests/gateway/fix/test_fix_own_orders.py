"""A report names its order by that order's own ids, whichever request caused it."""

from __future__ import annotations

from gateway.client import Client
from gateway.fix.codec import Message
from tests.gateway.fix.client import Broker
from tests.gateway.fix.conftest import FixHouse


async def told(broker: Broker) -> list[Message]:
    """All that comes until it is quiet."""
    found: list[Message] = []
    try:
        while (message := await broker.next(0.5)) is not None:
            found.append(message)
    except TimeoutError:
        pass
    return found


def about(messages: list[Message], order: Message) -> list[tuple[str, str]]:
    """ClOrdID and ExecType of what was told of an order."""
    return [(m.get(11), m.get(150)) for m in messages if m.get(37) == order.get(37)]


async def test_a_fill_of_ones_own_resting_order(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("maker-1", t54=2)
    resting = await broker.take("8")
    broker.order("taker-1")
    came = await told(broker)
    assert about(came, resting) == [("maker-1", "F")]
    assert [m.get(11) for m in came if m.get(37) != resting.get(37)] == ["taker-1"] * 2


async def test_a_stop_that_ones_own_order_triggers(house: FixHouse, huadong: Client) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    await huadong.new_order("EUA", 102, "SELL", 10, "70.00")
    broker.order("stop-1", t40=3, t44=None, t99="70.00")
    stop = await broker.take("8")
    broker.order("taker-1")
    assert {label for label, _ in about(await told(broker), stop)} == {"stop-1"}


async def test_an_order_that_ends_so_that_one_does_not_trade_with_oneself(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("rest-1", t54=2)
    resting = await broker.take("8")
    broker.order("taker-1", t7928="O")
    assert about(await told(broker), resting) == [("rest-1", "4")]


async def test_an_order_that_a_replaced_one_makes_smaller(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.order("rest-1", t54=2, t38=20, t44="71.00")
    resting = await broker.take("8")
    broker.order("mine-1", t7928="D")
    mine = await broker.take("8")
    broker.say("G", (11, "mine-2"), (41, "mine-1"), (1, 101), (55, "EUA"), (54, 1), (38, 10),
               (40, 2), (44, "71.00"), (60, "20261201-00:00:00"))  # fmt: skip
    came = await told(broker)
    assert set(about(came, resting)) == {("rest-1", "5")}
    own = [m for m in came if m.get(37) == mine.get(37)]
    assert (own[0].get(150), own[0].get(11), own[0].get(41)) == ("5", "mine-2", "mine-1")
