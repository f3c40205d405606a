"""Order-entry and feed sockets as others would write a client; and ours when connections break."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from picows import WSFrame, WSInvalidStatusError, WSListener, WSMsgType, WSTransport, ws_connect

from exchange import settings
from exchange.marketdata.checksum import checksum
from exchange.messages.market_data import BookLevel
from exchange.messages.orders import NewOrderSingle
from exchange.messages.reasons import EdgeReason
from gateway.access.identity import sign
from gateway.client import BadRequestError, BookFeed, Client, NetworkError, VenueError
from gateway.refusal import Refused
from gateway.websocket import sockets
from gateway.websocket.sessions import OrderSession
from gateway.websocket.subscriber import Subscriber


class Wire(WSListener):
    """A bare connection: what came, in order, and whether it was closed."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[Any] = asyncio.Queue(100_000)
        self.closed = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            message = json.loads(frame.get_payload_as_bytes())
            for item in message if isinstance(message, list) else [message]:
                self.came.put_nowait(item)
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.closed.set()

    async def next(self) -> Any:
        return await asyncio.wait_for(self.came.get(), 5)


async def connected(url: str) -> tuple[WSTransport, Wire]:
    transport, wire = await ws_connect(Wire, url)
    assert isinstance(wire, Wire)
    return transport, wire


def say(transport: WSTransport, message: Any) -> None:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    transport.send(WSMsgType.TEXT, data)


def logon(house: Any, name: str = "northern", **changes: Any) -> dict[str, Any]:
    key = house.keys[name]
    signed = sign(key.private, key.id, "LOGON", "", b"", timestamp_ns=time.time_ns())
    return {
        "type": "Logon", "key": signed.key, "timestamp_ns": signed.timestamp_ns,
        "signature": signed.signature,
    } | changes  # fmt: skip


def order(ref: int, **changes: Any) -> dict[str, Any]:
    return {
        "type": "NewOrderSingle", "ref": ref, "symbol": "EUA", "account": 101, "side": "BUY",
        "quantity": 1, "price": "70.00",
    } | changes  # fmt: skip


# -- order entry --------------------------------------------------------------------------------


async def test_a_batch_is_acknowledged_then_answered_and_faults_stand_alone(house) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house))
    hello = await wire.next()
    assert (hello["type"], hello["participant"]) == ("LoggedOn", 2)
    say(transport, [order(1), order(2, quantity=0), order(3, account=102), order(4)])
    came = [await wire.next() for _ in range(6)]
    rejects = {m["ref"]: m["reason"] for m in came if m["type"] == "Reject"}
    assert rejects == {2: 230, 3: 515}
    pending = {m["ref"]: m["request_id"] for m in came if m.get("exec_type") == "PENDING"}
    assert set(pending) == {1, 4}
    news = [m for m in came if m.get("exec_type") == "NEW"]
    assert {m["request_id"] for m in news} == set(pending.values())
    assert [m["sequence"] for m in news] == sorted(m["sequence"] for m in news)
    say(transport, order(4))
    again = [await wire.next(), await wire.next()]
    assert {m["exec_type"] for m in again} == {"PENDING", "ORDER_STATUS"}
    assert again[1]["order_id"] == pending[4]
    transport.disconnect()


async def test_messages_that_cannot_be_read_are_refused_whole(house) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house))
    await wire.next()
    before = await house.ends()
    for message, reason in (
        (b"nonsense", 502),
        ({"type": "NewOrderSingle"}, 507),
        ({"type": "Surprise", "ref": 1}, 503),
        ([order(1, colour="green")], 504),
        ([order(n) for n in range(1, settings.SESSION_BATCH_MAX + 2)], 503),
        (b" " * (settings.SESSION_BODY_BYTES_MAX + 1), 501),
    ):
        say(transport, message)
        answer = await wire.next()
        assert (answer["type"], answer["reason"]) == ("Reject", reason), answer
    transport.send(WSMsgType.BINARY, b"\x00")
    assert (await wire.next())["reason"] == 502
    assert await house.ends() == before
    transport.disconnect()


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (order(1), 503),
        ({"type": "Logon", "key": "northern", "timestamp_ns": 1, "signature": "x"}, 512),
        ({"type": "Logon", "key": "nobody", "timestamp_ns": 1, "signature": "x"}, 510),
    ],
)
async def test_without_a_logon_the_connection_ends_with_its_reason(
    house, first: Any, reason: int
) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, first)
    closing = await wire.next()
    assert (closing["type"], closing["reason"]) == ("Closing", reason)
    await asyncio.wait_for(wire.closed.wait(), 5)


async def test_a_logon_is_for_participants_and_once(house) -> None:
    for name, reason in (("operator", 514), ("authority", 514)):
        transport, wire = await connected(house.socket + "/orders")
        say(transport, logon(house, name))
        assert (await wire.next())["reason"] == reason
    captured = logon(house)
    transport, wire = await connected(house.socket + "/orders")
    say(transport, captured)
    assert (await wire.next())["type"] == "LoggedOn"
    thief, stolen = await connected(house.socket + "/orders")
    say(thief, captured)
    assert (await stolen.next())["reason"] == 513
    bent = logon(house)
    bent["timestamp_ns"] += 1
    thief, stolen = await connected(house.socket + "/orders")
    say(thief, bent)
    assert (await stolen.next())["reason"] == 511
    transport.disconnect()


async def test_whoever_says_nothing_is_cut(house, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "LOGON_TIMEOUT_S", 0.1)
    for path, text in (("/orders", "no Logon came"), ("/marketdata", "no Subscribe came")):
        _, wire = await connected(house.socket + path)
        said = await wire.next()
        assert (said["type"], said["title"]) == ("Closing", "SILENT_CONNECTION")
        assert said["text"].startswith(text)
        await asyncio.wait_for(wire.closed.wait(), 5)


class Stubborn(Wire):
    """It goes on talking after it was told to go."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.CLOSE:
            super().on_ws_frame(transport, frame)


async def test_a_connection_that_was_cut_enters_nothing_and_leaves_nothing_behind(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await house.ends()
    monkeypatch.setattr(sockets, "SESSIONS_MAX", 0)
    full, told = await ws_connect(Stubborn, house.socket + "/orders")
    assert (await told.next())["reason"] == 525
    say(full, logon(house))
    say(full, order(1))
    monkeypatch.setattr(sockets, "SESSIONS_MAX", 16)
    transport, wire = await ws_connect(Stubborn, house.socket + "/orders")
    say(transport, logon(house))
    assert (await wire.next())["type"] == "LoggedOn"
    (session,) = house.gateway._connections.open
    session.cut(Refused(EdgeReason.SLOW_READER))
    say(transport, order(2))
    await asyncio.wait_for(asyncio.gather(told.closed.wait(), wire.closed.wait()), 5)
    await house.until(lambda: not house.gateway._connections.open)
    assert await house.ends() == before
    assert not any(house.gateway._hub._receivers.values())


async def test_a_connection_cut_while_it_resumes_does_not_listen_on(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house.client("northern") as northern:
        report = await northern.new_order("EUA", 101, "BUY", 1, "60.00")
    receivers = house.gateway._hub._receivers
    await house.until(lambda: not any(receivers.values()))
    monkeypatch.setattr(OrderSession, "queue_bytes_max", -1)  # cut by the first thing it is sent
    transport, wire = await ws_connect(Stubborn, house.socket + "/orders")
    say(transport, logon(house, resume_from={"EU": report.sequence - 1}))
    assert (await wire.next())["type"] == "Closing"
    assert not any(receivers.values())
    transport.disconnect()


async def test_what_was_missed_is_sent_again_from_a_sequence(house, northern: Client) -> None:
    for number in range(5):
        last = await northern.new_order("EUA", 101, "BUY", 1, f"60.0{number}")
    reports = (await northern.executions("EU")).executions
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house, resume_from={"EU": reports[1].sequence}))
    assert (await wire.next())["last_ref"] == {"EU": 5, "CN": 0}
    missed = [(await wire.next())["sequence"] for _ in range(3)]
    assert missed == [report.sequence for report in reports[2:]]
    assert missed[-1] == last.sequence
    transport.disconnect()


async def test_a_negative_sequence_to_resume_from_is_refused(house) -> None:
    transport, wire = await connected(house.socket + "/orders")
    say(transport, logon(house, resume_from={"EU": -5}))
    assert (await wire.next())["reason"] == 503
    transport.disconnect()


# -- our client ---------------------------------------------------------------------------------


async def test_orders_survive_a_gateway_that_goes_away_and_none_is_doubled(house) -> None:
    ports = {"http_port": house.gateway.http_port, "websocket_port": house.gateway.websocket_port}
    async with house.client("northern") as client:
        await client.new_order("EUA", 101, "BUY", 1, "60.00")

        async def enter(count: int) -> list[Any]:
            made = []
            for number in range(count):
                request = NewOrderSingle(
                    ref=0, symbol="EUA", account=101, side="BUY", quantity=1,
                    price=f"50.{number % 100:02}", valid_ms=0,
                )  # fmt: skip
                made.append(await client.send(request))
                await asyncio.sleep(0.002)
            return made

        entering = asyncio.create_task(enter(300))
        await asyncio.sleep(0.1)
        await house.stop("gateway")
        await asyncio.sleep(0.1)
        await house.open_gateway(**ports)
        waiting = await entering
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*(item.answered for item in waiting))
        assert {answer.order_status for answer in answers} == {"NEW"}
        ids = {answer.order_id for answer in answers}
        assert len(ids) == 300
        assert len(await client.orders()) == 301
        sequences = [report.sequence for report in (await client.stream()).reports]
        assert sequences == sorted(set(sequences))


async def test_a_second_client_goes_on_with_the_numbers_of_the_first(house) -> None:
    for _ in range(2):
        async with house.client("northern") as client:
            report = await client.new_order("EUA", 101, "BUY", 1, "60.00")
            assert report.exec_type == "NEW"


async def test_no_venue_is_a_network_error(house) -> None:
    client = Client("http://127.0.0.1:1", house.keys["northern"])
    with pytest.raises(NetworkError):
        await client.rest._once("GET", "/time", b"", dict)
    await client.close()


# -- the feed -----------------------------------------------------------------------------------


async def test_the_feed_gives_a_snapshot_then_linked_deltas_with_checksums(
    house, northern: Client
) -> None:
    await northern.new_order("EUA", 101, "BUY", 3, "70.00")
    transport, wire = await connected(house.socket + "/marketdata")
    say(transport, {"type": "subscribe", "symbols": ["EUA"], "channels": ["book", "trades"]})
    assert (await wire.next())["type"] == "subscribed"
    snapshot = await wire.next()
    while not snapshot["bids"]:  # the feed is a reader of its own: it may be a moment behind
        snapshot = await wire.next()
    assert (snapshot["symbol"], snapshot["bids"]) == ("EUA", [[7000, 3, 1]])
    await northern.new_order("EUA", 101, "SELL", 5, "70.00")
    trade_or_delta = [await wire.next(), await wire.next()]
    delta = next(m for m in trade_or_delta if m["type"] == "delta")
    trade = next(m for m in trade_or_delta if m["type"] == "trade")
    assert delta["previous_sequence"] == snapshot["sequence"]
    assert (delta["bids"], delta["asks"]) == ([[7000, 0, 0]], [[7000, 2, 1]])
    assert delta["checksum"] == checksum([], [BookLevel(7000, 2, 1)])
    assert (trade["price"], trade["quantity"], trade["side"]) == (7000, 3, 2)
    transport.disconnect()


async def test_subscriptions_are_checked_and_the_connection_stays(house) -> None:
    transport, wire = await connected(house.socket + "/marketdata")
    for message, reason in (
        ({"type": "subscribe", "symbols": ["NOPE"]}, 505),
        ({"type": "subscribe", "symbols": []}, 503),
        ({"type": "subscribe", "symbols": ["EUA"], "channels": ["gossip"]}, 503),
        ({"type": "subscribe", "symbols": ["EUA"], "depth": 5}, 504),
        (b"nonsense", 502),
    ):
        say(transport, message)
        assert (await wire.next())["reason"] == reason
    say(transport, {"type": "subscribe", "symbols": ["*"]})
    assert (await wire.next())["symbols"] == list(house.gateway.context.feed.instruments)
    transport.disconnect()


async def test_a_subscriber_that_does_not_read_is_cut_and_others_get_everything(
    house, northern: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscriber, "queue_bytes_max", 4_096)
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.websocket_port)
    writer.write(
        b"GET /marketdata HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"type":"subscribe","symbols":["EUA"]}'
    mask = b"\x01\x02\x03\x04"
    masked = bytes(b ^ mask[i % 4] for i, b in enumerate(body))
    writer.write(bytes([0x81, 0x80 | len(body)]) + mask + masked)
    item = house.gateway.context.feed.instruments["EUA"]
    await house.until(lambda: bool(item.members("book")))
    (deaf,) = item.members("book")
    writer.transport.pause_reading()
    frame = item.label.frame(house.gateway.context.feed.snapshot("EUA"), 0, "json")
    async with BookFeed(house.url, ["EUA"]) as feed:
        while deaf in item.members("book"):
            # what a socket takes without a reader is large: fill it with the feed's own messages
            for subscriber in list(item.members("book") - {deaf}):
                assert subscriber.is_open
            for _ in range(500):
                deaf.write(frame, {}, frame)
            await asyncio.sleep(0)
        await northern.new_order("EUA", 101, "BUY", 3, "70.00")
        await house.until(lambda: bool(feed.books.get("EUA") and feed.books["EUA"].bids))
        assert feed.repairs == 0
    assert not deaf.is_open
    writer.close()


async def test_our_feed_mends_a_book_that_went_wrong(house, northern: Client) -> None:
    await northern.new_order("EUA", 101, "BUY", 3, "70.00")
    async with BookFeed(house.url, ["EUA"]) as feed:
        await house.until(lambda: bool(feed.books.get("EUA") and feed.books["EUA"].bids))
        feed.books["EUA"].sequence -= 1  # as if a delta had been lost
        await northern.new_order("EUA", 101, "BUY", 4, "69.00")
        await house.until(lambda: feed.repairs == 1 and len(feed.books["EUA"].bids) == 2)
        assert feed.books["EUA"].bids == [BookLevel(7000, 3, 1), BookLevel(6900, 4, 1)]


async def test_our_feed_tells_a_refused_subscription(house) -> None:
    with pytest.raises(BadRequestError, match="NOPE") as refused:
        async with BookFeed(house.url, ["NOPE"]):
            pytest.fail("a subscription that was refused is no feed")
    assert refused.value.reason == EdgeReason.UNKNOWN_SYMBOL


async def test_our_feed_tells_a_subscription_that_is_refused_later(house, northern: Client) -> None:
    failures = house.gateway.context.feed.failures
    async with BookFeed(house.url, ["EUA"]) as feed:
        await house.until(lambda: "EUA" in feed.books)
        failures["EU"] = "record 7 contradicts itself"
        feed.books["EUA"].sequence -= 1  # it has to subscribe anew
        await northern.new_order("EUA", 101, "BUY", 4, "69.00")
        await house.until(lambda: feed.refusal is not None)
        with pytest.raises(VenueError, match="record 7"):
            await feed.updated()
        del failures["EU"]
        await house.until(lambda: feed.refusal is None and bool(feed.books["EUA"].bids))


async def test_our_feed_tells_what_is_refused_while_it_stands(house, northern: Client) -> None:
    refused = Refused(EdgeReason.MARKET_STOPPED, "EU: record 9 contradicts itself")
    async with BookFeed(house.url, ["EUA"]) as feed:
        for say in (Subscriber.refuse, Subscriber.cut):
            await house.until(lambda: feed.refusal is None and "EUA" in feed.books)
            repairs = feed.repairs
            updated = asyncio.create_task(feed.updated())
            await asyncio.sleep(0)
            (member,) = house.gateway.context.feed.instruments["EUA"].members("book")
            say(member, refused)
            with pytest.raises(VenueError, match="record 9"):
                await updated
            await house.until(lambda: feed.refusal is None)
            assert feed.repairs > repairs


async def test_an_unknown_path_has_no_socket(house) -> None:
    with pytest.raises(WSInvalidStatusError, match="404") as refused:
        await ws_connect(Wire, house.socket + "/elsewhere")
    assert b"sockets are /orders, /drop-copy and /marketdata" in (refused.value.raw_body or b"")
