"""One connection of the public feed: ws://HOST:PORT/marketdata.

A subscriber sends `{"type": "subscribe", "symbols": [...], "channels": [...]}`; `["*"]` are all
symbols, and `"encoding": "msgpack"` asks for binary frames. The first that comes of each symbol are
snapshots and states, then everything after; each frame is one message. What is said of the
connection itself (`subscribed`, refusals, the last word before a cut) is JSON text always.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import msgspec

from exchange import metrics
from exchange.messages.reasons import EdgeReason
from exchange.settings import (
    FEED_LAG_BYTES,
    FEED_QUEUE_BYTES_MAX,
    FEED_STATES_MAX,
    SUBSCRIPTIONS_MAX,
)
from gateway.entry.fields import decode
from gateway.refusal import Refused
from gateway.websocket.fan_out import EncodingName, Group
from gateway.websocket.feed import CHANNELS_UNASKED, ChannelName, Feed, FeedInstrument
from gateway.websocket.sockets import Connection, Connections, encode


class Subscribe(
    msgspec.Struct, frozen=True, tag="subscribe", tag_field="type", forbid_unknown_fields=True
):
    """What a subscriber wants; a second one replaces the first."""

    symbols: list[str]
    channels: tuple[ChannelName, ...] = CHANNELS_UNASKED
    encoding: EncodingName = "json"


_subscribe = msgspec.json.Decoder(Subscribe)


class Subscriber(Connection):
    """One connection of the public feed."""

    interface = "feed"
    queue_bytes_max = FEED_QUEUE_BYTES_MAX
    lag_bytes = FEED_LAG_BYTES
    first_word = "Subscribe"

    def __init__(self, connections: Connections, feed: Feed) -> None:
        super().__init__(connections)
        self._feed = feed
        self._key: Hashable = None
        self._group: Group | None = None
        self._channels: tuple[ChannelName, ...] = ()
        self._symbols = 0
        self._allowed = 0  # unsent bytes; the snapshots of a subscription do not count as lag
        self._waiting: dict[Hashable, bytes] = {}  # states for which there was no room
        self._unsent: Callable[[], int] = lambda: 0
        self._write: Callable[[bytes], None] = lambda _: None

    def received(self, data: bytes) -> None:
        """A subscription: checked whole, then snapshots first and everything after."""
        request = decode(data, _subscribe)
        wanted = self._instruments(request.symbols)
        self._feed.fan_out.flush()  # of what was subscribed: trades are in no snapshot
        self.closed()
        self.introduced()
        symbols = [item.instrument.symbol for item in wanted]
        channels = tuple(sorted(set(request.channels)))
        self.send(encode({
            "type": "subscribed", "symbols": symbols, "channels": channels,
            "encoding": request.encoding,
        }))  # fmt: skip
        transport = self._transport
        if transport is None:
            return
        self._write = transport.underlying_transport.write
        self._unsent = transport.underlying_transport.get_write_buffer_size
        first = self._feed.first(wanted, channels, request.encoding)
        self._allowed = self.queue_bytes_max + len(first)
        self._write(first)
        self._channels, self._symbols = channels, len(symbols)
        self._key = (tuple(sorted(symbols)), channels)
        self._group = self._feed.join(self, self._key, wanted, channels, request.encoding)
        for channel in channels:
            metrics.FEED_SUBSCRIBERS.labels(channel).inc(self._symbols)

    def refuse(self, refused: Refused) -> None:
        """Says what was wrong with the subscription; the connection stays."""
        self.send(encode(refused.reject()))

    def closed(self) -> None:
        """Ends the subscription."""
        group, self._group = self._group, None
        if group is None:
            return
        self._feed.leave(self, self._key, group)
        self._waiting = {}
        for channel in self._channels:
            metrics.FEED_SUBSCRIBERS.labels(channel).dec(self._symbols)

    def cut(self, refused: Refused) -> None:
        """Ends the subscription with the connection."""
        self.closed()
        super().cut(refused)

    def write(self, queued: bytes, states: dict[Hashable, bytes], both: bytes) -> None:
        """What a turn brought: all of it, or, for one that lags, the states later. O(1)."""
        if self._transport is None:
            return
        unsent = self._unsent()
        if unsent <= self.lag_bytes and not self._waiting:
            self._allowed = self.queue_bytes_max
            self._write(both)
            return
        if unsent > self._allowed:
            self._cut_slow(f"more than {self._allowed} bytes wait")
            return
        if queued:
            self._write(queued)
        if states:
            self._wait(states)

    def catch_up(self) -> bool:
        """Writes the states that waited, if there is room; whether none waits any more."""
        if self._transport is None or not self._waiting:
            return True
        if self._unsent() > self.lag_bytes:
            return False
        waiting, self._waiting = self._waiting, {}
        self._write(b"".join(waiting.values()))
        return True

    def _wait(self, states: dict[Hashable, bytes]) -> None:
        for key, frame in states.items():
            self._waiting.pop(key, None)  # the newest goes last
            self._waiting[key] = frame
        if len(self._waiting) > FEED_STATES_MAX:
            self._cut_slow(f"more than {FEED_STATES_MAX} states wait")
        elif not self.catch_up():
            self._feed.fan_out.lags(self)

    def _cut_slow(self, text: str) -> None:
        metrics.FEED_DROPPED.labels(self.interface).inc()
        self.cut(Refused(EdgeReason.SLOW_READER, text))

    def _instruments(self, symbols: list[str]) -> list[FeedInstrument]:
        if symbols == ["*"]:
            over = self._feed.failures
            known = self._feed.instruments.values()
            return [item for item in known if item.instrument.market not in over]
        if not 1 <= len(symbols) <= SUBSCRIPTIONS_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"symbols: name 1 to {SUBSCRIPTIONS_MAX}")
        return [self._feed.find(symbol) for symbol in dict.fromkeys(symbols)]
