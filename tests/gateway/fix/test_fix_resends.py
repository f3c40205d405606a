"""What is sent again after a restart is answered by what became of it, or by nothing."""

from __future__ import annotations

import asyncio

import pytest

from exchange.engine.service import EngineService
from gateway.fix.codec import Message
from gateway.views import venue_view
from tests.gateway.fix.client import Broker
from tests.gateway.fix.conftest import FixHouse


def run_engine(house: FixHouse) -> None:
    market = next(market for market in house.venue.market if market.code == "EU")
    house.run(EngineService(house.log, market, house.settings, house.clock))


async def told(house: FixHouse, broker: Broker, numbers: list[int]) -> list[Message]:
    """All that comes until it is quiet; a ResendRequest is answered as QuickFIX does."""
    found: list[Message] = []
    try:
        while (message := await broker.next(0.8)) is not None:
            if message.msg_type != "2":
                found.append(message)
                continue
            assert message.get(7) == str(numbers[0])
            for number in numbers:
                broker.repeat(number)
            broker.say("4", (123, "Y"), (36, broker.next_out), number=numbers[-1] + 1,
                       original_ns=house.clock.now_ns())  # fmt: skip
    except TimeoutError:
        pass
    return found


def live(house: FixHouse) -> set[str]:
    assert house.gateway is not None
    orders = house.gateway.context.views["EU"].reports.orders
    return {order.client_order_id for order in orders.values()}


def refused(messages: list[Message]) -> set[str]:
    return {message.get(11) for message in messages if message.get(150) == "8"}


async def sent_and_cut(house: FixHouse, broker: Broker, count: int) -> list[int]:
    """Orders that stand on the log unanswered, when their connection and gateway end."""
    await broker.enter(house.port)
    await house.stop("engine-EU")
    before = await house.ends()
    numbers = [broker.order(f"o{number}") for number in range(count)]

    async def is_on_the_log() -> bool:
        return (await house.ends())[0] > before[0]

    await house.until(is_on_the_log)
    await asyncio.sleep(0.2)
    broker.cut()
    await house.stop("gateway")
    return numbers


async def test_what_the_log_has_is_not_called_rejected_for_its_number_a_second(
    house: FixHouse,
) -> None:
    broker = house.broker()
    numbers = await sent_and_cut(house, broker, 5)
    run_engine(house)
    gateway = await house.open_gateway()
    gateway.context.throttle.per_second = 3
    await broker.enter(house.port)
    came = await told(house, broker, numbers)
    assert live(house) == {f"o{number}" for number in range(5)}
    assert refused(came) == set()
    assert {m.get(20001) for m in came if m.msg_type == "j"} == {"522"}


async def test_what_the_log_has_is_not_called_rejected_while_the_engine_is_silent(
    house: FixHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = house.broker()
    numbers = await sent_and_cut(house, broker, 1)
    await house.open_gateway()
    monkeypatch.setattr(venue_view, "ENGINE_SILENCE_S_MAX", 0)
    await asyncio.sleep(0.3)
    await broker.enter(house.port)
    came = await told(house, broker, numbers)
    monkeypatch.undo()
    run_engine(house)
    came += await told(house, broker, numbers)
    assert live(house) == {"o0"}
    assert refused(came) == set()
    assert {m.get(20001) for m in came if m.msg_type == "j"} == {"522"}


async def test_what_was_refused_is_not_done_after_a_restart(
    house: FixHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is asked for again, because one below it has no answer yet."""
    monkeypatch.setattr(venue_view, "ENGINE_SILENCE_S_MAX", 0)
    broker = house.broker()
    await broker.enter(house.port)
    await house.stop("engine-EU")
    one = broker.order("one", t20002=0)
    await asyncio.sleep(0.5)
    two = broker.order("two", t20002=0)
    assert (await broker.take("8")).get(20001) == "521"
    broker.cut()
    await house.stop("gateway")
    monkeypatch.undo()
    run_engine(house)
    await house.open_gateway()
    await broker.enter(house.port)
    came = await told(house, broker, [one, two])
    assert {(m.get(11), m.get(39)) for m in came} == {("one", "0")}
    assert live(house) == {"one"}
    broker.order("three", t20002=0)
    assert (await broker.take("8")).get(11) == "three"


async def test_a_number_that_is_no_id_is_unknown(house: FixHouse) -> None:
    broker = house.broker()
    await broker.enter(house.port)
    broker.say("H", (37, "9" * 20), (11, "x"), (1, 101), (55, "EUA"), (54, 1))
    assert (await broker.take("8")).get(20001) == "523"
    broker.order("one")
    assert (await broker.take("8")).get(150) == "0"
