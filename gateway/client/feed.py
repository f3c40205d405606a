"""The public feed at a subscriber: local books kept by snapshot, delta and checksum.

Levels and single orders by the procedures of `exchange.marketdata.checksum`, over JSON or
MessagePack.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Any, get_args

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from exchange.marketdata.book import BookError, LocalBook, LocalOrderBook
from exchange.messages.executions import Closing, Reject
from exchange.messages.market_data import (
    AuctionTick,
    BarTick,
    BiddingTick,
    BookDelta,
    BookSnapshot,
    DayCorrectedTick,
    DayTick,
    FeedMessage,
    IndicativeTick,
    OrdersDelta,
    OrdersSnapshot,
    PhaseTick,
    StatisticsTick,
    TopTick,
    TradeCancelledTick,
    TradeTick,
)
from exchange.settings import AUCTIONS_KEPT_MAX, TRADES_KEPT
from gateway.client.errors import NetworkError, RefusedError, VenueError, error_of
from gateway.client.rest import Rest
from gateway.client.session import CONNECT_TIMEOUT_S, FRAME_BYTES_MAX, RECONNECT_S_MAX
from gateway.replies.market import InstrumentList
from gateway.websocket.fan_out import EncodingName
from gateway.websocket.feed import CHANNELS_UNASKED, ChannelName

QUEUE_MAX = 100_000  # messages not yet applied; more = start again from a snapshot

_encode = msgspec.json.Encoder().encode


class _Label(msgspec.Struct):
    type: str = ""
    symbol: str = ""
    number: int = -1


_label = msgspec.json.Decoder(_Label)
_message = msgspec.json.Decoder(FeedMessage)
_reject = msgspec.json.Decoder(Reject)
_last_word = msgspec.json.Decoder(tuple[Closing])
_packed_label = msgspec.msgpack.Decoder(_Label)
_packed_message = msgspec.msgpack.Decoder(FeedMessage)
_KNOWN = frozenset(item.__struct_config__.tag for item in get_args(FeedMessage))


async def socket_url(url: str, path: str) -> str:
    """The WebSocket address of a venue whose REST address is `url`."""
    rest = Rest(url)
    try:
        venue = await rest.get("/instruments", InstrumentList)
    finally:
        await rest.close()
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0]
    scheme = "wss" if url.startswith("https") else "ws"
    return f"{scheme}://{host}:{venue.websocket_port}{path}"


class _FeedSocket(WSListener):
    def __init__(self, queue: asyncio.Queue[bytes | None]) -> None:
        self._queue = queue

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Queues a message; a queue that is full ends the connection."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            try:
                self._queue.put_nowait(frame.get_payload_as_bytes())
            except asyncio.QueueFull:
                transport.disconnect(False)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Wakes the reader."""
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)


def _cut(said: Closing) -> None:
    """The last word before a cut: raises what will be refused again, such as a stopped market."""
    error = error_of(said.reason, said.text)
    if isinstance(error, RefusedError):
        raise error


class BookFeed:
    """Local books of some symbols (`["*"]`: all), and the newest of all that is told of them.

    A gap, a wrong checksum or a lost connection is repaired by subscribing anew; `repairs` counts.
    `numbers` are the records of `marketdata` that were heard last, for GET /marketdata.

    A subscription that the venue refuses raises its VenueError from `async with`. One that is
    refused later, such as after a restart without the symbol, is tried again; meanwhile `refusal`
    is set and `updated` raises it.
    """

    def __init__(
        self,
        url: str,
        symbols: list[str],
        websocket_url: str = "",
        channels: tuple[ChannelName, ...] = CHANNELS_UNASKED,
        encoding: EncodingName = "json",
    ) -> None:
        self.books: dict[str, LocalBook] = {}
        self.order_books: dict[str, LocalOrderBook] = {}
        self.tops: dict[str, TopTick] = {}
        self.statistics: dict[str, StatisticsTick] = {}
        self.bars: dict[tuple[str, int], BarTick] = {}  # the newest, by symbol and width in ns
        self.auctions: dict[str, deque[AuctionTick]] = {}
        self.bidding: dict[tuple[str, int], BiddingTick] = {}  # open now, by symbol and auction_id
        self.numbers: dict[str, int] = {}
        self.phases: dict[str, int] = {}
        self.trades: dict[str, deque[TradeTick]] = {}
        self.days: dict[str, DayTick] = {}
        self.indicatives: dict[str, IndicativeTick] = {}
        self.refusal: VenueError | None = None  # of the last subscription
        self.repairs = 0
        self.messages = 0
        self._url = url
        self._socket_url = websocket_url
        self._request: dict[str, Any] = {
            "type": "subscribe",
            "symbols": symbols,
            "channels": channels,
            "encoding": encoding,
        }
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connected = asyncio.Event()

    async def __aenter__(self) -> BookFeed:
        self._socket_url = self._socket_url or await socket_url(self._url, "/marketdata")
        self._task = asyncio.create_task(self._run())
        waiting = asyncio.create_task(self._connected.wait())
        done, _ = await asyncio.wait(
            {waiting, self._task}, timeout=CONNECT_TIMEOUT_S, return_when="FIRST_COMPLETED"
        )
        if waiting not in done:
            waiting.cancel()
            await self.close()
            raise self.refusal or NetworkError(0, f"{self._socket_url}: no feed")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the subscription; idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def updated(self, timeout_s: float = 5) -> None:
        """Returns after the next message was applied; TimeoutError otherwise.

        Raises VenueError while the venue refuses the subscription.
        """
        self._changed.clear()
        if self.refusal is None:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        if self.refusal is not None:
            raise self.refusal

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                await self._follow()
                pause = 0.05
            except (OSError, TimeoutError, WSError):
                pause = min(2 * pause, RECONNECT_S_MAX)
            except BookError:
                pause = 0.05
            except VenueError as refusal:
                self.refusal = refusal
                self._changed.set()
                if not self._connected.is_set():
                    return
                pause = min(2 * pause, RECONNECT_S_MAX)
            self.repairs += 1
            await asyncio.sleep(pause)

    async def _follow(self) -> None:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_MAX)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            transport, _ = await ws_connect(
                lambda: _FeedSocket(queue), self._socket_url, max_frame_size=FRAME_BYTES_MAX
            )
        try:
            transport.send(WSMsgType.TEXT, _encode(self._request))
            while (data := await queue.get()) is not None:
                self._received(data)
        finally:
            transport.disconnect()

    def _received(self, data: bytes) -> None:
        if data[:1] == b"{":
            label = _label.decode(data)
        elif data[:1] == b"[":
            _cut(*_last_word.decode(data))
            return
        else:
            label = _packed_label.decode(data)
        if not label.symbol:
            self._answered(label.type, data)
            return
        if label.type not in _KNOWN:  # a venue may say more than this client knows
            return
        decode = _message.decode if data[:1] == b"{" else _packed_message.decode
        self._apply(label.symbol, decode(data))
        self.numbers[label.symbol] = label.number
        self.messages += 1
        self._changed.set()

    def _answered(self, kind: str, data: bytes) -> None:
        """What is said of the subscription, also once it stands."""
        if kind == "subscribed":
            self.refusal = None
            self.bidding.clear()  # those that are still open are told first
            self._connected.set()
        elif kind == "Reject":
            said = _reject.decode(data)
            raise error_of(said.reason, said.text, retry_after_ms=said.retry_after_ms)

    def _apply(self, symbol: str, message: FeedMessage) -> None:
        if isinstance(message, BookSnapshot):
            self.books[symbol] = LocalBook.from_snapshot(message)
            self.phases[symbol] = message.phase
        elif isinstance(message, BookDelta):
            self.books[symbol].apply(message)
        elif isinstance(message, OrdersSnapshot):
            self.order_books[symbol] = LocalOrderBook.from_snapshot(message)
        elif isinstance(message, OrdersDelta):
            self.order_books[symbol].apply(message)
        elif isinstance(message, TopTick):
            self.tops[symbol] = message
        elif isinstance(message, PhaseTick):
            self.phases[symbol] = message.phase
        elif isinstance(message, IndicativeTick):
            self.indicatives[symbol] = message
        elif isinstance(message, BarTick):
            self._bar(symbol, message)
        elif isinstance(message, TradeTick | TradeCancelledTick):
            self._traded(symbol, message)
        elif isinstance(message, BiddingTick | AuctionTick):
            self._auctioned(symbol, message)
        else:
            self._day(symbol, message)

    def _bar(self, symbol: str, message: BarTick) -> None:
        newest = self.bars.get((symbol, message.width_ns))
        if newest is None or message.start_ns >= newest.start_ns:
            self.bars[symbol, message.width_ns] = message

    def _traded(self, symbol: str, message: TradeTick | TradeCancelledTick) -> None:
        trades = self.trades.setdefault(symbol, deque(maxlen=TRADES_KEPT))
        if isinstance(message, TradeTick):
            trades.append(message)
        else:
            left = [trade for trade in trades if trade.trade_id != message.trade_id]
            self.trades[symbol] = deque(left, maxlen=TRADES_KEPT)

    def _auctioned(self, symbol: str, message: BiddingTick | AuctionTick) -> None:
        if isinstance(message, BiddingTick):
            self.bidding[symbol, message.auction_id] = message
            return
        self.bidding.pop((symbol, message.auction_id), None)
        results = self.auctions.setdefault(symbol, deque(maxlen=AUCTIONS_KEPT_MAX))
        results.append(message)

    def _day(self, symbol: str, message: DayTick | DayCorrectedTick | StatisticsTick) -> None:
        if isinstance(message, DayTick):
            self.days[symbol] = message
        elif isinstance(message, DayCorrectedTick):
            self._correct_day(symbol, message)
        else:
            self.statistics[symbol] = message

    def _correct_day(self, symbol: str, message: DayCorrectedTick) -> None:
        day = self.days.get(symbol)
        if day is not None and day.time_ns == message.closed_ns:
            self.days[symbol] = msgspec.structs.replace(
                day,
                close_price=message.close_price,
                volume=message.volume,
                turnover=message.turnover,
            )
