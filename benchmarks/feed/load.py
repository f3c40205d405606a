"""Subscribers in a process of their own: `python -m benchmarks.feed.load PORT COUNT feed|bare`.

Each keeps the time of arrival and a running CRC-32 of all that came; one keeps the bytes too. As
all have the same CRC they have the same bytes, so the times, the delays and the local books are
worked out once, after the run.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from array import array
from time import monotonic_ns
from typing import Any

import msgspec
import numpy as np
import uvloop
from isal.isal_zlib import crc32
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from exchange.marketdata.book import LocalBook
from exchange.messages.market_data import BookDelta, BookSnapshot, FeedMessage, TradeTick

WAIT_S = 20.0  # for what is still on its way when the server is done
POLL_S = 0.05
FIRST = 5  # messages to a subscriber of four symbols before the deltas: the answer, the snapshots

_decode = msgspec.json.Decoder(FeedMessage).decode


class Reader(WSListener):
    """One subscriber."""

    def __init__(self, first: int, keeps: bool) -> None:
        self.first: list[bytes] = []
        self._awaited = first
        self._keeps = keeps
        self.begin()

    def begin(self) -> None:
        """A new run."""
        self.times = array("q")
        self.crc = 0
        self.payloads: list[bytes] = []

    @property
    def is_subscribed(self) -> bool:
        """Whether what comes before the deltas has come."""
        return len(self.first) == self._awaited

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """One message."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        payload = frame.get_payload_as_bytes()
        if len(self.first) < self._awaited:
            self.first.append(payload)
            return
        self.times.append(monotonic_ns())
        self.crc = crc32(payload, self.crc)
        if self._keeps:
            self.payloads.append(payload)


class Crowd:
    """All subscribers."""

    def __init__(self, port: int, count: int, kind: str) -> None:
        self._port, self._is_feed = port, kind == "feed"
        first = FIRST if self._is_feed else 0
        self._readers = [Reader(first, at == 0) for at in range(count)]
        self._transports: list[WSTransport] = []
        self._deaf: list[socket.socket] = []
        self._books: dict[int, LocalBook] = {}

    async def connect(self) -> None:
        """Connects and subscribes; the book of the first is what all others begin with."""
        for reader in self._readers:
            transport, _ = await ws_connect(
                lambda reader=reader: reader,
                f"ws://127.0.0.1:{self._port}/marketdata",
            )
            self._transports.append(transport)
            if self._is_feed:
                transport.send(WSMsgType.TEXT, _subscription("book", "trades"))
        while not all(r.is_subscribed for r in self._readers):  # noqa: ASYNC110 - many conditions
            await asyncio.sleep(POLL_S)
        if len({tuple(reader.first) for reader in self._readers}) != 1:
            raise RuntimeError("subscribers began with different books")
        for payload in self._readers[0].first[1:]:
            snapshot = _decode(payload)
            if isinstance(snapshot, BookSnapshot):
                self._books[snapshot.instrument_id] = LocalBook.from_snapshot(snapshot)

    def deafen(self) -> None:
        """Two more subscribers that never read."""
        for channels in (("book", "orders", "trades"), ("top",)):
            wire = socket.socket()
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            wire.connect(("127.0.0.1", self._port))
            wire.sendall(
                b"GET /marketdata HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade"
                b"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
                b"\r\n\r\n"
            )
            body = _subscription(*channels)
            wire.sendall(bytes([0x81, 0x80 | len(body)]) + bytes(4) + body)  # masked with zeros
            self._deaf.append(wire)

    async def report(self, messages: int, first_ns: int) -> dict[str, Any]:
        """What arrived of the run, and how late."""
        for _ in range(int(WAIT_S / POLL_S)):
            if all(len(reader.times) >= messages for reader in self._readers):
                break
            await asyncio.sleep(POLL_S)
        delivered = sum(len(reader.times) for reader in self._readers)
        payloads = self._readers[0].payloads
        items = [_decode(payload) for payload in payloads]
        planned = np.array([item.time_ns for item in items], np.int64)
        late = np.concatenate(
            [
                np.frombuffer(reader.times, np.int64)[: len(planned)] - planned[: len(reader.times)]
                for reader in self._readers
            ]
        )
        last_ns = max(reader.times[-1] for reader in self._readers)
        if self._is_feed:
            for item in items:
                if isinstance(item, BookDelta):
                    self._books[item.instrument_id].apply(item)
        return {
            "delivered": delivered,
            "delivered_per_s": delivered / ((last_ns - first_ns) / 1e9),
            "lost": messages * len(self._readers) - delivered,
            "streams": len({(reader.crc, len(reader.times)) for reader in self._readers}),
            "p50_ms": float(np.percentile(late, 50)) / 1e6,
            "p99_ms": float(np.percentile(late, 99)) / 1e6,
            "trades": sum(isinstance(item, TradeTick) for item in items),
            "checksums": {str(key): book.checksum() for key, book in self._books.items()},
        }

    def begin(self) -> None:
        """A new run."""
        for reader in self._readers:
            reader.begin()


def _subscription(*channels: str) -> bytes:
    return msgspec.json.encode({"type": "subscribe", "symbols": ["*"], "channels": channels})


async def run(port: int, count: int, kind: str) -> None:
    """Does what the lines on its input say."""
    crowd = Crowd(port, count, kind)
    await crowd.connect()
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        order = json.loads(line)
        answer: dict[str, Any] = {}
        if order["do"] == "begin":
            crowd.begin()
        elif order["do"] == "deaf":
            crowd.deafen()
        else:
            answer = await crowd.report(order["messages"], order["first_ns"])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(run(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
