"""What members meet when links, readers, engines or other members misbehave; one process, real
sockets, real engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from exchange.engine.service import EngineService
from exchange.messages.executions import ExecutionReport
from exchange.messages.operations import Halt
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import EdgeReason
from gateway.client import BookFeed, Client, RateLimitError, VenueBusyError
from gateway.client.feed import socket_url
from gateway.service import GatewayService
from gateway.views import venue_view
from gateway.websocket import disconnects, socket_server
from tests.faults.proxy import TO_CLIENT, Network
from tests.gateway.conftest import House, house, northern  # noqa: F401 - fixtures
from tests.gateway.websocket.test_gateway_sockets import connected, logon, order, say
from tests.gateway.websocket.test_order_sessions import logged_on, until_word

PING_S = 1.0
GRACE_S = 0.2
LATE_S = 1.5  # of a machine that is full
SILENCE_S = 0.3
RATE = 40
WAIT_S = 30


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_server, "PING_S", PING_S)
    monkeypatch.setattr(disconnects, "DISCONNECT_GRACE_S", GRACE_S)


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as made:
        yield made


# -- connections --------------------------------------------------------------------------------


async def test_a_half_open_client_is_found_out_and_only_its_orders_end(
    house: House,  # noqa: F811
    network: Network,
) -> None:
    """Its link is dead, and no side was told: pings find out, within two intervals."""
    assert house.gateway is not None
    door = network.door(house.gateway.websocket_port)
    transport, wire = await connected(f"ws://127.0.0.1:{door.port}/orders")
    say(transport, logon(house, "yangtze", cancel_on_disconnect="SESSION"))
    assert (await wire.next())["type"] == "LoggedOn"
    say(transport, order(1, account=103))
    mine = await until_word(wire, exec_type="NEW")
    async with house.client("deputy") as deputy, house.client("huadong") as other:
        theirs = [
            await deputy.new_order("EUA", 103, "BUY", 1, "69.00"),
            await other.new_order("EUA", 102, "BUY", 1, "68.00"),
        ]
        door.strand()
        async with house.client("yangtze") as watch:

            async def is_gone() -> bool:
                found = (await watch.find_order(mine["order_id"], market="EU")).order_status
                return found == "CANCELLED"

            await house.until(is_gone, 2 * PING_S + GRACE_S + LATE_S)
        assert not wire.closed.is_set()  # nobody told it
        left = {report.order_id for report in [*await deputy.orders(), *await other.orders()]}
        assert left == {report.order_id for report in theirs}
    # it comes back, and hears what happened meanwhile
    _, again = await logged_on(house, "yangtze", resume_from={"EU": mine["sequence"]})
    ended = await until_word(again, exec_type="CANCELLED")
    assert ended["order_id"] == mine["order_id"]


class FrameDropper:
    """Lets a server's WebSocket bytes through but for the n-th frame that holds some words."""

    def __init__(self, words: bytes, number: int) -> None:
        self.words, self.left = words, number
        self.data = b""
        self.is_open = False

    def __call__(self, data: bytes) -> bytes:
        self.data += data
        passed = b""
        if not self.is_open:
            head, mark, rest = self.data.partition(b"\r\n\r\n")
            if not mark:
                return b""
            self.is_open, passed, self.data = True, head + mark, rest
        while (size := self.frame_size()) and len(self.data) >= size:
            frame, self.data = self.data[:size], self.data[size:]
            self.left -= self.words in frame
            if self.words not in frame or self.left:
                passed += frame
        return passed

    def frame_size(self) -> int:
        if len(self.data) < 10:
            short = len(self.data) >= 2 and self.data[1] < 126
            return 2 + self.data[1] if short else 0
        size = self.data[1] & 127
        if size == 126:
            return 4 + int.from_bytes(self.data[2:4], "big")
        return 10 + int.from_bytes(self.data[2:10], "big") if size == 127 else 2 + size


async def test_a_lost_delta_is_noticed_and_the_book_is_right_again(
    house: House,  # noqa: F811
    northern: Client,  # noqa: F811
    network: Network,
) -> None:
    assert house.gateway is not None
    door = network.door(house.gateway.websocket_port)
    droppers = [FrameDropper(b'"delta"', 3)]
    door.edits[TO_CLIENT] = lambda: droppers.pop() if droppers else bytes
    address = (await socket_url(house.url, "/marketdata")).replace(
        str(house.gateway.websocket_port), str(door.port)
    )
    async with BookFeed(house.url, ["EUA"], address) as feed:
        for price in range(6_900, 6_910):
            await northern.new_order("EUA", 101, "BUY", 1, f"{price / 100:.2f}")
        await house.until(lambda: feed.repairs == 1 and len(feed.books["EUA"].bids) == 10, WAIT_S)
        told = house.gateway.context.feed.snapshot("EUA")
        assert [level.price for level in feed.books["EUA"].bids] == list(range(6_909, 6_899, -1))
        assert feed.books["EUA"].bids == list(told.bids)


# -- an engine that says nothing ----------------------------------------------------------------


async def enter(client: Client, quantity: int, price: str) -> ExecutionReport:
    """Sends an order once; the gateway's word (PENDING), or the VenueError."""
    request = NewOrderSingle(
        ref=0, symbol="EUA", account=101, side="BUY", quantity=quantity, price=price
    )
    waiting = await client.send(request)
    await asyncio.wait_for(waiting.taken, WAIT_S)
    return waiting.pending or await waiting.answered


def start_engine(house: House) -> None:  # noqa: F811
    """Another engine of EU goes on where the last one stopped."""
    market = next(item for item in house.venue.market if item.code == "EU")
    house.run(EngineService(house.log, market, house.settings, house.clock))


async def test_orders_for_a_silent_engine_are_refused_and_nothing_taken_is_lost(
    house: House,  # noqa: F811
    northern: Client,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(venue_view, "ENGINE_SILENCE_S_MAX", SILENCE_S)
    resting = await northern.new_order("EUA", 101, "BUY", 1, "60.00")
    await house.stop("engine-EU")
    async with house.client("operator") as operator:
        taken = await enter(northern, 2, "61.00")
        assert taken.exec_type == "PENDING"
        await asyncio.sleep(2 * SILENCE_S)
        with pytest.raises(VenueBusyError, match="engine of EU has not answered") as refused:
            await enter(northern, 3, "62.00")
        assert refused.value.reason == EdgeReason.VENUE_BUSY
        assert refused.value.retry_after_ms > 0
        # risk can still be reduced, the market can be stopped, and other markets trade
        cancel = await northern.cancel_order("EUA", 101, resting.order_id, wait_s=0)
        assert cancel.exec_type == "PENDING"
        halt = Halt(ref=0, market="EU", reason="the engine is silent")
        halting = asyncio.create_task(operator.operate("/operations/halt", halt))
        assert (await northern.new_order("CEA-2025", 201, "BUY", 1, "74.00")).exec_type == "NEW"
        await house.until(lambda: bool(house.gateway.context.views["EU"].acts.market_halt))
        start_engine(house)
        assert (await halting).status == "DONE"

    async def is_answered() -> bool:
        left = [item.order_id for item in await northern.orders() if item.market == "EU"]
        return left == [taken.order_id]

    await house.until(is_answered, WAIT_S)
    found = await northern.find_order(resting.order_id, market="EU")
    assert found.order_status == "CANCELLED"


async def test_a_backlog_that_grows_too_long_is_refused_however_quick_it_came(
    house: House,  # noqa: F811
    northern: Client,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(venue_view, "ENGINE_BACKLOG_RECORDS_MAX", 5)
    await house.stop("engine-EU")
    taken, refused = 0, ""
    while not refused:
        try:
            await enter(northern, 1, f"5{taken % 10}.00")
            taken += 1
        except VenueBusyError as error:
            refused = error.text
    assert "records of orders wait" in refused
    assert 5 <= taken < 50
    start_engine(house)

    async def is_answered() -> bool:
        return len(await northern.orders()) == taken

    await house.until(is_answered, WAIT_S)


# -- other members ------------------------------------------------------------------------------


async def test_a_burst_of_one_member_leaves_the_queue_short_and_others_served(
    house: House,  # noqa: F811
) -> None:
    """Ten times its limit at once: it is throttled, another member's orders all go through."""
    await house.stop("gateway")
    gateway = await house.open_gateway(throttle_per_second=RATE)
    (queue,) = (s for code, s in gateway._submitters.items() if code == "EU")
    longest = 0
    async with house.client("northern") as loud, house.client("huadong") as other:
        begun = time.monotonic()

        async def one(number: int) -> bool:
            nonlocal longest
            try:
                await enter(loud, 1 + number % 7, "60.00")
            except RateLimitError as error:
                return error.retry_after_ms <= 0  # counted as let through
            finally:
                longest = max(longest, queue._waiting)
            return True

        bursts = [asyncio.create_task(one(number)) for number in range(10 * RATE)]
        quiet = [await other.new_order("EUA", 102, "SELL", 1, "80.00") for _ in range(20)]
        passed = sum(await asyncio.gather(*bursts))
        took = time.monotonic() - begun
        assert [report.exec_type for report in quiet] == ["NEW"] * 20
        assert RATE <= passed <= RATE * (1 + took) + 1
        assert longest <= passed + 20
        await loud.mass_cancel("EU")  # cancels have a budget of their own
        assert await loud.orders() == []


@asynccontextmanager
async def second_gateway(house: House) -> AsyncIterator[GatewayService]:  # noqa: F811
    gateway = GatewayService(house.log, house.venue, house.settings, house.clock)
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    async with asyncio.timeout(WAIT_S):
        await gateway.started.wait()
    try:
        yield gateway
    finally:
        stop.set()
        await task


async def test_one_order_sent_through_two_gateways_at_once_is_one(
    house: House,  # noqa: F811
) -> None:
    """The same number and name: both gateways tell the same order; another number is refused."""
    async with second_gateway(house) as other:
        ways = []
        for port in (house.gateway.websocket_port, other.websocket_port):
            transport, wire = await connected(f"ws://127.0.0.1:{port}/orders")
            say(transport, logon(house))
            assert (await wire.next())["type"] == "LoggedOn"
            ways.append((transport, wire))
        for transport, _ in ways:
            say(transport, order(1, client_order_id="twice"))
        answers = []
        for _, wire in ways:
            pending = await until_word(wire, exec_type="PENDING")
            answer = await wire.next()
            while answer.get("request_id") != pending["request_id"]:
                answer = await wire.next()
            answers.append(answer)
        assert {item["exec_type"] for item in answers} == {"NEW", "ORDER_STATUS"}
        assert len({item["order_id"] for item in answers}) == 1
        assert {item["order_status"] for item in answers} == {"NEW"}
        say(ways[1][0], order(2, client_order_id="twice", quantity=5))
        refused = await until_word(ways[1][1], exec_type="REJECTED")
        assert refused["client_order_id"] == "twice"
        async with house.client("northern") as client:
            assert len(await client.orders()) == 1
        for transport, _ in ways:
            transport.disconnect()
