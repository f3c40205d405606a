"""A client of Kafka that ends badly, and a log that is closed at any moment. No broker is there.

A connection that was reset between two looks at it makes uvloop raise RuntimeError, and aiokafka
raises again from `stop` and `close` what one of its own tasks has met.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import RecordMetadata, TopicPartition

from exchange.log.kafka import KafkaLog
from exchange.log.kafka_producer import SupervisedProducer
from exchange.log.protocol import LogError, LogUnavailableError, Partition

ADDRESS = "127.0.0.1:1"
ORDERS = Partition("orders")


async def reset(*_: Any) -> None:
    raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")


async def away(*_: Any) -> None:
    raise KafkaConnectionError("no broker just now")


async def nothing(*_: Any) -> None:
    pass


class Client:
    """A producer of which the brokers take everything, or (`fails`) nothing."""

    def __init__(self, *, close: Any = nothing, stop: Any = nothing, fails: bool = False) -> None:
        self._sender = SimpleNamespace(sender_task=None)
        self._message_accumulator = SimpleNamespace(fail_all=lambda _: None)
        self.client = SimpleNamespace(_conns={}, close=close)
        self.stop = stop
        self._fails = fails

    async def partitions_for(self, _: str) -> set[int]:
        if self._fails:
            await away()
        return {0}

    async def send(self, topic: str, _: bytes, partition: int) -> asyncio.Future[RecordMetadata]:
        taken = asyncio.get_running_loop().create_future()
        of = TopicPartition(topic, partition)
        taken.set_result(RecordMetadata(topic, partition, of, 7, 0, 0, 0))
        return taken


def supervised(
    monkeypatch: pytest.MonkeyPatch, *clients: Client, age_s_max: float = 60
) -> SupervisedProducer:
    """Uses the clients one after the other; then there is no broker any more."""
    found = SupervisedProducer(ADDRESS, nothing, age_s_max=age_s_max)
    left = list(clients)

    async def make() -> Any:
        if not left:
            raise LogUnavailableError("no broker just now")
        found.made += 1
        return left.pop(0)

    monkeypatch.setattr(found, "_make", make)
    return found


@pytest.mark.parametrize(("close", "stop"), [(reset, nothing), (nothing, reset), (reset, reset)])
async def test_a_producer_in_doubt_that_met_a_reset_connection_is_replaced(
    monkeypatch: pytest.MonkeyPatch, close: Any, stop: Any
) -> None:
    doubted = Client(close=close, stop=stop, fails=True)
    producer = supervised(monkeypatch, doubted, Client())
    await producer.start()
    with pytest.raises(LogUnavailableError, match="nothing was sent"):
        await producer.append(ORDERS, [b"a"])
    async with asyncio.timeout(5):
        assert await producer.append(ORDERS, [b"b"]) == [7]
    assert producer.made == 2
    await producer.close()


async def test_an_old_producer_that_met_a_reset_connection_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clients = [Client(close=reset, stop=reset), Client(), Client()]
    producer = supervised(monkeypatch, *clients, age_s_max=0.1)
    await producer.start()
    async with asyncio.timeout(5):
        while producer.made < 2:
            await asyncio.sleep(0.005)
        assert await producer.append(ORDERS, [b"a"]) == [7]
    await producer.close()


async def test_a_producer_that_ends_badly_does_not_fail_the_close(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer = supervised(monkeypatch, Client(close=reset, stop=reset))
    await producer.start()
    await producer.close()


async def test_a_start_that_fails_and_ends_badly_says_that_no_broker_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing = SimpleNamespace(start=away, stop=reset)
    monkeypatch.setattr("exchange.log.kafka_producer.AIOKafkaProducer", lambda **_: failing)
    with pytest.raises(LogUnavailableError, match="no broker just now"):
        await SupervisedProducer(ADDRESS, nothing).start()


@pytest.mark.parametrize("turns", range(12))
async def test_a_close_ends_however_soon_it_follows_a_doubt(
    monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    """Wherever the supervisor is just then: without a broker it would try for ever."""
    producer = supervised(monkeypatch, Client(fails=True))
    await producer.start()
    await asyncio.sleep(0.01)  # by now it waits for a doubt
    with pytest.raises(LogError):
        await producer.append(ORDERS, [b"a"])
    for _ in range(turns):
        await asyncio.sleep(0)
    supervisor, closing = producer._supervisor, asyncio.create_task(producer.close())
    assert supervisor is not None
    await asyncio.wait([closing], timeout=3)
    is_closed = closing.done()
    supervisor.cancel()
    await closing
    assert is_closed


async def test_a_close_says_again_that_the_supervisor_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exchange.log.kafka_producer.ABANDON_S_MAX", 0.01)
    producer = supervised(monkeypatch)

    async def loses_one() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        await asyncio.sleep(60)

    producer._supervisor = supervisor = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    closing = asyncio.create_task(producer.close())
    await asyncio.wait([closing], timeout=3)
    is_closed = closing.done()
    supervisor.cancel()
    await closing
    assert is_closed


async def test_clients_that_end_badly_are_dropped_and_the_log_says_that_it_is_away() -> None:
    log, stopped = KafkaLog(ADDRESS), asyncio.Event()

    async def stop() -> None:
        stopped.set()

    log._is_open, log._known = True, {"orders": 1}
    log._admin = SimpleNamespace(close=reset)
    log._offsets = SimpleNamespace(
        beginning_offsets=away, stop=stop, _client=SimpleNamespace(close=nothing)
    )
    with pytest.raises(LogUnavailableError, match="no broker just now"):
        await log.end(ORDERS)
    assert stopped.is_set()
    await log.close()
