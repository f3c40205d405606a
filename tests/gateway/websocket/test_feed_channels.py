"""Every channel of the feed in both encodings, what is missed, and readers who lag."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from exchange.marketdata.bars import DAY_NS, HOUR_NS, MINUTE_NS
from exchange.marketdata.book import LocalOrderBook
from exchange.messages.frames import Side
from exchange.messages.market_data import (
    BarState,
    BarTick,
    BookLevel,
    OrdersDelta,
    OrdersSnapshot,
    StatisticsTick,
    TopTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.settings import TRADES_KEPT
from exchange.stands import decode, encode
from gateway.client import BookFeed, Client
from gateway.client.errors import VenueError
from gateway.replies.market import BarList, BookReply, RecordList, TradeList
from gateway.websocket.fan_out import BINARY, TEXT, FanOut, Group, Label, framed
from gateway.websocket.sockets import Connections
from gateway.websocket.subscriber import Subscriber

ALL = ("top", "book", "orders", "trades", "phases", "indicative", "bars", "day", "auctions")


class Wire(WSListener):
    """Every message as data, JSON or MessagePack."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.kinds: set[WSMsgType] = set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.kinds.add(frame.msg_type)
        data = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.TEXT:
            self.messages.append(msgspec.json.decode(data))
        elif frame.msg_type == WSMsgType.BINARY:
            self.messages.append(msgspec.msgpack.decode(data))

    def of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["type"] in types]


async def subscribed(house: Any, **fields: Any) -> tuple[WSTransport, Wire]:
    transport, wire = await ws_connect(Wire, house.socket + "/marketdata")
    request = {"type": "subscribe", "symbols": ["EUA"], **fields}
    transport.send(WSMsgType.TEXT, msgspec.json.encode(request))
    await house.until(lambda: bool(wire.messages))
    return transport, wire


async def test_both_encodings_say_the_same(house, northern: Client) -> None:
    pairs = [
        await subscribed(house, channels=ALL, encoding=encoding) for encoding in ("json", "msgpack")
    ]
    await northern.new_order("EUA", 101, "BUY", 3, "70.00")
    await northern.new_order("EUA", 101, "SELL", 5, "70.00")
    (_, first), (_, second) = pairs
    await house.until(lambda: all(wire.of("statistics") and wire.of("bar") for _, wire in pairs))
    await house.until(lambda: len(first.messages) == len(second.messages))
    assert first.messages[1:] == second.messages[1:]
    assert (first.kinds, second.kinds) == (
        {WSMsgType.TEXT}, {WSMsgType.TEXT, WSMsgType.BINARY},
    )  # fmt: skip
    head = [message["type"] for message in first.messages[1:4]]
    assert head == ["snapshot", "orders_snapshot", "top"]
    assert {m["type"] for m in first.messages} == {
        "subscribed", "snapshot", "orders_snapshot", "top", "delta", "orders", "trade", "bar",
        "statistics",
    }  # fmt: skip
    widths = {bar["width_ns"] for bar in first.of("bar")}
    assert widths == {MINUTE_NS, HOUR_NS, DAY_NS}
    assert {m["symbol"] for m in first.messages[1:]} == {"EUA"}
    numbers = [m["number"] for m in first.of("snapshot", "delta", "orders", "trade")]
    assert numbers == sorted(numbers)
    for transport, _ in pairs:
        transport.disconnect()


async def test_a_subscriber_gets_the_channels_asked_for_and_no_other(
    house, northern: Client
) -> None:
    transport, wire = await subscribed(house, channels=["top"])
    await northern.new_order("EUA", 101, "BUY", 3, "70.00")
    await house.until(lambda: any(top["bid_price"] == 7_000 for top in wire.of("top")))
    assert {message["type"] for message in wire.messages} == {"subscribed", "top"}
    transport.disconnect()
    await house.until(lambda: not house.gateway.context.feed.instruments["EUA"].members("top"))
    assert not house.gateway.context.feed.fan_out._groups


async def test_of_the_bars_only_corrected_minutes_are_told_with_the_trades(house) -> None:
    transport, wire = await subscribed(house, channels=["trades"])
    feed = house.gateway.context.feed
    kept, shape = feed.instruments["EUA"], (0, 7, 7, 7, 7, 1, 9)
    for width, state in (
        (MINUTE_NS, BarState.COMPLETE),
        (HOUR_NS, BarState.CORRECTED),
        (DAY_NS, BarState.CORRECTED),
        (MINUTE_NS, BarState.CORRECTED),
    ):
        feed._publish(kept, BarTick(1, *shape, width, state), 5)
    feed._publish(kept, TradeTick(1, 2, 3, 4, 1, 6), 6)
    await house.until(lambda: bool(wire.of("trade")))
    (bar,) = wire.of("bar")
    assert (bar["width_ns"], bar["state"], bar["number"]) == (MINUTE_NS, BarState.CORRECTED, 5)
    transport.disconnect()


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
async def test_our_client_keeps_orders_levels_and_top_through_a_restart(
    house, northern: Client, encoding: str
) -> None:
    ports = {"http_port": house.gateway.http_port, "websocket_port": house.gateway.websocket_port}
    for quantity in (3, 4):
        await northern.new_order("EUA", 101, "BUY", quantity, "70.00")
    async with BookFeed(house.url, ["EUA"], channels=ALL, encoding=encoding) as feed:
        await house.until(lambda: "EUA" in feed.tops and len(feed.order_books["EUA"].bids) == 2)
        await house.stop("gateway")
        await house.open_gateway(**ports)
        await house.until(lambda: feed.repairs >= 1)
        async with house.client("northern") as client:
            await client.new_order("EUA", 101, "SELL", 3, "70.00")
        await house.until(lambda: len(feed.order_books["EUA"].bids) == 1)
        await house.until(lambda: feed.tops["EUA"].last_price == 7_000)
        orders = feed.order_books["EUA"]
        assert [(o.price, o.quantity) for o in orders.bids] == [(7_000, 4)]
        assert feed.books["EUA"].bids == orders.levels(Side.BUY) == [BookLevel(7_000, 4, 1)]
        await house.until(lambda: "EUA" in feed.statistics and ("EUA", HOUR_NS) in feed.bars)
        assert feed.statistics["EUA"].volume == feed.bars["EUA", HOUR_NS].volume == 3


async def test_our_client_mends_orders_that_went_wrong(house, northern: Client) -> None:
    for quantity in (3, 4):
        await northern.new_order("EUA", 101, "BUY", quantity, "70.00")
    async with BookFeed(house.url, ["EUA"], channels=("orders",)) as feed:
        await house.until(lambda: len(feed.order_books["EUA"].bids) == 2)
        level = feed.order_books["EUA"]._sides[Side.BUY]._levels.peekitem(0)[1]
        level.orders = dict(reversed(level.orders.items()))  # the same orders in another order
        await northern.new_order("EUA", 101, "BUY", 5, "70.00")
        await house.until(
            lambda: [order.quantity for order in feed.order_books["EUA"].bids] == [3, 4, 5]
        )
        assert feed.repairs == 1


async def test_our_client_ignores_what_it_does_not_know() -> None:
    feed = BookFeed("http://x", ["EUA"])
    feed._received(b'{"symbol":"EUA","number":7,"type":"weather","degrees":21}')
    packed = {"symbol": "EUA", "number": 8, "type": "weather"}
    feed._received(msgspec.msgpack.encode(packed))
    assert (feed.messages, feed.numbers) == (0, {})
    trade = TradeTick(1, 2, 3, 4, 1, 6)
    feed._received(Label("EUA").frame(trade, 9, "msgpack")[2:])
    assert feed.trades["EUA"][0] == trade
    assert feed.numbers == {"EUA": 9}


async def test_who_joins_does_not_hear_what_was_on_its_way_to_others(house) -> None:
    class Late:
        heard: list[bytes] = []

        def write(self, _queued: bytes, _states: Any, both: bytes) -> None:
            self.heard.append(both)

    transport, wire = await subscribed(house, channels=["trades"])
    feed, late = house.gateway.context.feed, Late()
    kept, key = feed.instruments["EUA"], (("EUA",), ("trades",))
    feed._publish(kept, TradeTick(1, 2, 3, 4, 1, 6), 6)
    assert feed.first([kept], ("trades",), "json") == b""
    group = feed.join(late, key, [kept], ("trades",), "json")
    await house.until(lambda: bool(wire.of("trade")))
    assert (len(group.members), late.heard) == (2, [])
    feed._publish(kept, TradeTick(1, 3, 3, 4, 1, 7), 7)
    await house.until(lambda: len(wire.of("trade")) == 2)
    assert len(late.heard) == 1
    feed.leave(late, key, group)
    transport.disconnect()


async def test_who_subscribes_again_hears_what_was_on_its_way(house) -> None:
    kept, feed = house.gateway.context.feed.instruments["EUA"], house.gateway.context.feed
    pipe, subscriber = Pipe(), Subscriber(Connections(), feed)
    subscriber._transport = pipe  # type: ignore[assignment]
    for number, symbols in enumerate((["EUA"], ["EUA", "CCER"], ["EUA"])):
        request = {"type": "subscribe", "symbols": symbols, "channels": ["trades"]}
        subscriber.received(msgspec.json.encode(request))
        feed._publish(kept, TradeTick(1, number, 3, 4, 1, 6), number)
    await house.until(lambda: feed.fan_out.is_idle)
    assert [msgspec.json.decode(trade)["trade_id"] for trade in pipe.take()] == [0, 1, 2]
    subscriber.closed()


# -- what is missed is asked for ----------------------------------------------------------------


async def get(house: Any, target: str, reply: Any) -> Any:
    client = Client(house.url, house.keys["northern"])
    try:
        return await client.rest.get(target, reply)
    finally:
        await client.close()


async def test_a_gap_is_filled_by_number_without_a_new_snapshot(house, northern: Client) -> None:
    feed = house.gateway.context.feed
    await northern.new_order("EUA", 101, "BUY", 1, "70.00")
    await house.until(lambda: bool(feed.orders_snapshot("EUA").bids))
    book = LocalOrderBook.from_snapshot(feed.orders_snapshot("EUA"))
    after = feed.number("EU")
    for quantity in range(2, 9):
        await northern.new_order("EUA", 101, "BUY", quantity, f"70.0{quantity}")
    await house.until(lambda: feed.number("EU") == after + 7)
    start, pages, is_complete = after, 0, False
    while not is_complete:
        page = await get(house, f"/marketdata?market=EU&after={after}&limit=3", RecordList)
        assert [row.number for row in page.records] == list(
            range(after + 1, after + 1 + len(page.records))
        )
        for row in page.records:
            for item in row.items:
                if isinstance(item, OrdersDelta) and item.instrument_id == book.instrument_id:
                    assert book.apply(item)
        after, is_complete, pages = page.next, page.is_complete, pages + 1
    assert (pages, after) == (3, start + 7)
    assert book.snapshot() == feed.orders_snapshot("EUA")
    nothing = await get(house, f"/marketdata?market=EU&after={after}", RecordList)
    assert (nothing.records, nothing.is_complete, nothing.next) == ([], True, after)
    first = await get(house, "/marketdata?market=EU&limit=1", RecordList)
    assert ([row.number for row in first.records], first.is_complete) == ([0], False)


async def test_pages_of_records_begin_anywhere(house, northern: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("gateway.websocket.feed.FEED_INDEX_STEP", 4)
    ports = {"http_port": house.gateway.http_port, "websocket_port": house.gateway.websocket_port}
    for _ in range(9):
        await northern.new_order("EUA", 101, "BUY", 1, "70.00")
    await house.stop("gateway")
    await house.open_gateway(**ports)
    feed = house.gateway.context.feed
    market = house.venue.market_of("EU")
    await house.until(lambda: feed.is_ready)
    whole = (await feed.history(market, -1, 1_000)).records
    assert [record.number for record in whole] == list(range(feed.number("EU") + 1))
    for after in range(-3, len(whole) + 1):
        found = await feed.history(market, after, 2)
        expected = whole[max(after + 1, 0) :][:2]
        assert found.records == expected
        assert found.is_complete == (max(after + 1, 0) + 2 >= len(whole))


async def test_questions_outside_their_bounds_are_refused(house) -> None:
    for target in (
        "/marketdata?market=XX",
        "/marketdata?market=EU&limit=0",
        "/marketdata?market=EU&limit=1001",
        "/book?symbol=EUA&level=1",
        "/bars?symbol=EUA&width=2h",
        "/trades?symbol=NOPE&after=1",
    ):
        with pytest.raises(VenueError):
            await get(house, target, dict)


async def test_orders_trades_and_bars_over_rest(house, northern: Client) -> None:
    feed = house.gateway.context.feed
    for quantity in (3, 4):
        await northern.new_order("EUA", 101, "BUY", quantity, "70.00")
    for _ in range(3):
        await northern.new_order("EUA", 101, "SELL", 1, "70.00")
    await house.until(lambda: len(feed.instruments["EUA"].trades) == 3)
    book = await get(house, "/book?symbol=EUA&level=3", BookReply)
    told = feed.orders_snapshot("EUA")
    assert (book.sequence, book.checksum, book.is_complete) == (told.sequence, told.checksum, True)
    assert [(o.price, o.quantity) for o in book.bid_orders] == [("70.00", 4)]
    assert [(row.price, row.quantity, row.orders) for row in book.bids] == [("70.00", 4, 1)]
    assert book.number == feed.number("EU")
    await northern.new_order("EUA", 101, "BUY", 9, "69.00")
    await house.until(lambda: len(feed.orders_snapshot("EUA").bids) == 2)
    part = await get(house, "/book?symbol=EUA&level=3&limit=1", BookReply)
    assert (len(part.bid_orders), part.is_complete) == (1, False)

    newest = await get(house, "/trades?symbol=EUA", TradeList)
    ids = [row.trade_id for row in newest.trades]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), newest.next) == (3, ids[0])
    page = await get(house, f"/trades?symbol=EUA&after={ids[2]}&limit=1", TradeList)
    assert ([row.trade_id for row in page.trades], page.is_complete, page.next) == (
        [ids[1]], False, ids[1],
    )  # fmt: skip
    rest = await get(house, f"/trades?symbol=EUA&after={page.next}", TradeList)
    assert ([row.trade_id for row in rest.trades], rest.is_complete) == ([ids[0]], True)

    for width, ns in (("1m", MINUTE_NS), ("1h", HOUR_NS), ("1d", DAY_NS)):
        bars = await get(house, f"/bars?symbol=EUA&width={width}", BarList)
        assert sum(bar.volume for bar in bars.bars) == 3
        assert all(bar.start_ns % ns == 0 for bar in bars.bars)
        start = bars.bars[-1].start_ns
        same = await get(house, f"/bars?symbol=EUA&width={width}&from_ns={start}", BarList)
        assert (same.bars, same.is_complete) == (bars.bars[-1:], True)
        later = await get(house, f"/bars?symbol=EUA&width={width}&from_ns={start + 1}", BarList)
        assert later.bars == []


async def test_trades_are_complete_only_where_none_was_dropped(house) -> None:
    feed = house.gateway.context.feed
    kept, dropped = feed.instruments["EUA"], 5

    async def complete(after: int) -> bool:
        page = await get(house, f"/trades?symbol=EUA&after={after}&limit=1000", TradeList)
        return page.is_complete

    for number in range(1, TRADES_KEPT + 1):
        feed._publish(kept, TradeTick(1, number, 7_000, 1, 1, 6), number)
    assert await complete(0)
    for number in range(TRADES_KEPT + 1, TRADES_KEPT + dropped + 1):
        feed._publish(kept, TradeTick(1, number, 7_000, 1, 1, 6), number)
    feed._publish(kept, TradeCancelledTick(1, TRADES_KEPT, 1, 6), number)
    assert [await complete(after) for after in (0, dropped - 1, dropped)] == [False, False, True]
    stand = decode(encode(feed.stand()))
    kept.dropped = -1
    feed.go_on(stand)
    assert not await complete(0)
    for trade in list(kept.trades):
        feed._publish(kept, TradeCancelledTick(1, trade.trade_id, 1, 6), number)
    nothing = await get(house, "/trades?symbol=EUA&after=0", TradeList)
    assert (nothing.trades, nothing.is_complete, nothing.next) == ([], False, dropped)
    assert await complete(dropped)


# -- one message to many ------------------------------------------------------------------------


def unframed(data: bytes) -> list[tuple[int, bytes]]:
    """The frames of a server, by the letter of RFC 6455."""
    found = []
    while data:
        head, length, at = data[0], data[1], 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
        found.append((head, data[at : at + length]))
        data = data[at + length :]
    return found


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536])
def test_frames_of_every_length(length: int) -> None:
    payload = b"x" * length
    assert unframed(framed(TEXT, payload) * 2) == [(TEXT, payload)] * 2


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60), st.integers(0, 2**62), st.sampled_from([1, 2, 3, 14, 15, 16, 20]))
def test_a_label_goes_before_any_number_of_fields(symbol: str, number: int, fields: int) -> None:
    names = [(f"field_{at}", int) for at in range(fields)]
    kind = msgspec.defstruct("Item", names, tag="item", tag_field="type")
    item = kind(*range(fields))
    said = {"symbol": symbol, "number": number, "type": "item"}
    expected = said | {name: at for at, (name, _) in enumerate(names)}
    ((head, text),) = unframed(Label(symbol).frame(item, number, "json"))
    assert (head, msgspec.json.decode(text)) == (TEXT, expected)
    ((head, packed),) = unframed(Label(symbol).frame(item, number, "msgpack"))
    assert (head, msgspec.msgpack.decode(packed)) == (BINARY, expected)


class Pipe:
    """The way to a reader who takes nothing until told."""

    def __init__(self) -> None:
        self.waiting = b""
        self.read = b""
        self.sent: list[bytes] = []  # by the connection itself
        self.underlying_transport = self

    def write(self, data: bytes) -> None:
        self.waiting += data

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def take(self) -> list[bytes]:
        self.read, self.waiting = self.read + self.waiting, b""
        return [payload for _, payload in unframed(self.read)]

    def send(self, _kind: Any, data: bytes) -> None:
        self.sent.append(data)

    def send_close(self, *_: Any) -> None:
        pass

    def disconnect(self, *_: Any) -> None:
        pass


class Stage:
    """A group with one subscriber over a pipe, without a venue."""

    def __init__(self, allowed: int = 1_000, lag: int = 100) -> None:
        self.fan_out, self.pipe, self.left = FanOut(), Pipe(), False
        self.subscriber = Subscriber(Connections(), self)  # type: ignore[arg-type]
        self.subscriber._transport = self.pipe  # type: ignore[assignment]
        self.subscriber._write, self.subscriber._unsent = (
            self.pipe.write, self.pipe.get_write_buffer_size,
        )  # fmt: skip
        self.subscriber._allowed = self.subscriber.queue_bytes_max = allowed
        self.subscriber.lag_bytes = lag
        self.group = self.fan_out.group("key", "json")
        self.group.members.add(self.subscriber)
        self.subscriber._group = self.group

    def leave(self, member: Any, _key: Hashable, group: Group) -> None:
        group.members.discard(member)
        self.left = True

    def queue(self, payload: bytes) -> None:
        self.group.queue(framed(TEXT, payload))
        self.group.flush()

    def state(self, key: Hashable, payload: bytes) -> None:
        self.group.state(key, framed(TEXT, payload))
        self.group.flush()


async def test_the_newest_state_replaces_what_waits_and_nothing_queued_is_lost() -> None:
    stage = Stage()
    stage.queue(b"a" * 120)  # above what counts as lag
    for number in range(50):
        stage.state("top", b"top %d" % number)
        stage.state("bar", b"bar %d" % number)
        stage.queue(b"delta %d" % number)
    assert len(stage.subscriber._waiting) == 2
    assert len(stage.pipe.waiting) < 1_000
    seen = stage.pipe.take()
    assert seen == [b"a" * 120, *(b"delta %d" % number for number in range(50))]
    await asyncio.sleep(0.12)  # what waited comes by itself once there is room
    assert stage.pipe.take()[len(seen) :] == [b"top 49", b"bar 49"]
    stage.state("top", b"top 50")
    assert stage.pipe.take()[-1] == b"top 50"
    assert not stage.left


async def test_states_of_one_turn_are_the_newest_of_each() -> None:
    stage = Stage()
    for number in range(5):
        stage.group.state("top", framed(TEXT, b"top %d" % number))
        stage.group.queue(framed(TEXT, b"delta %d" % number))
        stage.fan_out.changed(stage.group)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stage.pipe.take() == [*(b"delta %d" % number for number in range(5)), b"top 4"]


async def test_a_reader_of_states_alone_is_never_cut_and_costs_little() -> None:
    stage = Stage()
    for number in range(2_000):
        stage.state("top", b"top %d" % number)
    assert not stage.left
    assert len(stage.pipe.waiting) < 200
    stage.pipe.take()
    await asyncio.sleep(0.12)
    assert stage.pipe.take()[-1] == b"top 1999"


async def test_a_reader_who_misses_what_is_queued_is_cut_with_the_reason() -> None:
    stage = Stage()
    while not stage.left:
        stage.queue(b"delta" * 20)
        assert len(stage.pipe.waiting) < 1_200
    (word,) = stage.pipe.sent
    assert msgspec.json.decode(word)[0]["title"] == "SLOW_READER"
    held = len(stage.pipe.waiting)
    stage.queue(b"more")
    assert len(stage.pipe.waiting) == held


async def test_too_many_states_cut_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.websocket.subscriber.FEED_STATES_MAX", 8)
    stage = Stage()
    stage.queue(b"a" * 120)
    for number in range(8):
        stage.state(number, b"bar")
    assert not stage.left
    stage.state(9, b"bar")
    assert stage.left


async def test_a_snapshot_larger_than_the_queue_cuts_nobody(
    house, northern: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subscriber, "queue_bytes_max", 100)
    monkeypatch.setattr(Subscriber, "lag_bytes", 0)
    for quantity in range(1, 9):
        await northern.new_order("EUA", 101, "BUY", quantity, "70.00")
    async with BookFeed(house.url, ["EUA"], channels=ALL) as feed:
        await house.until(lambda: "EUA" in feed.order_books)
        await northern.new_order("EUA", 101, "SELL", 1, "70.00")
        await house.until(lambda: "EUA" in feed.statistics)
        assert feed.repairs == 0


def test_a_statistic_is_more_than_fifteen_fields_with_its_label() -> None:
    tick = StatisticsTick(1, *range(12))
    assert len(tick.__struct_fields__) + 3 > 15
    ((_, packed),) = unframed(Label("EUA").frame(tick, 1, "msgpack"))
    assert msgspec.msgpack.decode(packed, type=StatisticsTick) == tick
    top = TopTick(1, *range(10))
    ((_, packed),) = unframed(Label("EUA").frame(top, 1, "msgpack"))
    assert msgspec.msgpack.decode(packed, type=TopTick) == top
    empty = OrdersSnapshot(1, 0, (), (), 0, 0)
    ((_, text),) = unframed(Label("EUA").frame(empty, 1, "json"))
    assert msgspec.json.decode(text, type=OrdersSnapshot) == empty
