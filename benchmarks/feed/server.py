"""A server of the measurement: the gateway's feed on a log in memory, or bare picows.

`python -m benchmarks.feed.server feed|bare MESSAGES` prints its port, then for each line
`{"rate": ..., "seconds": ...}` sends so many messages a second and says what it cost.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvloop
from msgspec.structs import replace
from picows import WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from benchmarks.path import ACCOUNTS, INSTRUMENTS, PLENTY, Workload
from exchange import metrics
from exchange.clock import SystemClock
from exchange.log.protocol import Partition, Record
from exchange.marketdata.book import encode_record
from exchange.marketdata.depth import Depth
from exchange.messages.frames import (
    GENESIS,
    Command,
    EventFollower,
    Phase,
    build_commands,
    command,
    seal_events,
)
from exchange.messages.market_data import BookDelta, MarketDataRecord, TradeTick
from exchange.reference.venue import Instrument, Market, Venue
from gateway.views.venue_view import MarketView
from gateway.websocket.feed import Feed
from gateway.websocket.sockets import Connections
from gateway.websocket.subscriber import Subscriber
from matching import Engine

MARKET = Market("EU", 0, "EUR")
TICK_S = 0.001
DRAIN_S = 30.0
WARM = 4_000  # commands before the first message is counted: a book of some depth


class MemoryLog:
    """`marketdata` in memory: one writer, one reader that is woken."""

    def __init__(self) -> None:
        self.rows: list[Record] = []
        self.position = 0
        self._more = asyncio.Event()

    def take(self, values: Sequence[bytes]) -> None:
        """Appends."""
        first = len(self.rows)
        self.rows += [Record(first + at, 0, value) for at, value in enumerate(values)]
        self._more.set()

    async def end(self, _partition: Partition) -> int:
        """Records so far."""
        return len(self.rows)

    async def open_reader(self, _partition: Partition, offset: int) -> MemoryLog:
        """The log is its own reader."""
        self.position = offset
        return self

    async def read(self, records_max: int = 1_024, wait_s: float = 1.0) -> list[Record]:
        """What is there; waits for something."""
        if self.position >= len(self.rows):
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), wait_s)
            except TimeoutError:
                return []
        found = self.rows[self.position : self.position + records_max]
        self.position += len(found)
        return found

    async def close(self) -> None:
        """Nothing to close."""


def opening() -> bytes:
    """Instruments, accounts with means, continuous trading."""
    commands = [
        command(Command.INSTRUMENT_OPEN, instrument_id=instrument)
        for instrument in range(1, INSTRUMENTS + 1)
    ]
    for account in range(1, ACCOUNTS + 1):
        commands.append(command(Command.ACCOUNT_OPEN, account_id=account, order_id=account))
        commands.append(command(Command.CASH_DEPOSIT, account_id=account, quantity=PLENTY))
        commands += [
            command(
                Command.UNITS_DEPOSIT,
                account_id=account,
                instrument_id=instrument,
                quantity=PLENTY // 10**5,
            )
            for instrument in range(1, INSTRUMENTS + 1)
        ]
    commands.append(command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS))
    return build_commands(commands, writer=1, batch=0, time_ns=1)


def records_of(messages: int) -> tuple[list[MarketDataRecord], int, Depth]:
    """A seeded market's records with so many deltas and trades after the first, and the depth."""
    engine, depth, follower, chain = Engine(), Depth(), EventFollower(), GENESIS
    records: list[MarketDataRecord] = []
    workload, counted, first, frames = Workload(1), 0, 0, 0
    while counted < messages:
        frame = opening() if not frames else build_commands(
            [workload.next()], writer=1, batch=frames, time_ns=1
        )  # fmt: skip
        frames += 1
        event, offset = engine.next_event, engine.next_offset
        said = engine.apply(offset, offset, frame)
        parts, chain = seal_events(
            said, input_offset=offset, first_event=event, epoch=0, time_ns=offset, chain=chain
        )
        for value in parts:
            part = follower.accept(offset, value)
            record = depth.apply(part) if part is not None else None
            if record is None:
                continue
            if frames == WARM:
                first = len(records)
            records.append(record)
            if frames > WARM:
                counted += count(record)
    return records, first, depth


def count(record: MarketDataRecord) -> int:
    """Messages of a record on the channels book and trades."""
    return sum(isinstance(item, BookDelta | TradeTick) for item in record.items)


def stamped(record: MarketDataRecord, planned_ns: int) -> MarketDataRecord:
    """The record as if it came at that time: what a subscriber measures its delay from."""
    items: list[Any] = [
        replace(item, time_ns=planned_ns) if isinstance(item, BookDelta | TradeTick) else item
        for item in record.items
    ]
    return replace(record, items=tuple(items))


class FeedServer:
    """The gateway's feed and its subscribers."""

    def __init__(self, venue: Venue) -> None:
        clock = SystemClock()
        self.log = MemoryLog()
        log: Any = self.log
        self.feed = Feed(log, venue, {MARKET.code: MarketView(log, venue, MARKET, clock)})
        self._connections = Connections()
        self._venue = venue

    def listener(self, _request: WSUpgradeRequest) -> WSListener:
        """A subscriber."""
        return Subscriber(self._connections, self.feed)

    def publish(self, record: MarketDataRecord, value: bytes) -> None:
        """On the log, where the feed reads."""
        self.log.take([value])

    async def settled(self) -> None:
        """Until the feed has read and written all."""
        fan_out = self.feed.fan_out
        while not fan_out.is_idle or self.log.position < len(self.log.rows):  # noqa: ASYNC110
            await asyncio.sleep(TICK_S)

    def says(self) -> dict[str, Any]:
        """What the parent wants to know besides."""
        books = self.feed.books[MARKET.code]
        return {
            "checksums": {str(key): book.checksum() for key, book in books.books.items()},
            "dropped": int(metrics.FEED_DROPPED.labels("feed")._value.get()),
            "top_members": sum(
                len(kept.members("top")) for kept in list(self.feed.instruments.values())[:1]
            ),
        }


class Bare(WSListener):
    """A connection to which everything is sent."""

    transports: set[WSTransport] = set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Joins."""
        self.transports.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Leaves."""
        self.transports.discard(transport)


class BareServer:
    """Sends each message to each connection as it comes, with picows' own `send`."""

    def __init__(self, venue: Venue) -> None:
        self._symbols = {item.id: item.symbol.encode() for item in venue.instrument}
        self._encode = msgspec.json.Encoder().encode

    def listener(self, _request: WSUpgradeRequest) -> WSListener:
        """A connection."""
        return Bare()

    def messages(self, record: MarketDataRecord) -> list[bytes]:
        """The bytes that the feed would send."""
        return [
            b'{"symbol":"%b","number":%d,' % (self._symbols[item.instrument_id], record.number)
            + self._encode(item)[1:]
            for item in record.items if isinstance(item, BookDelta | TradeTick)
        ]  # fmt: skip

    def publish(self, record: MarketDataRecord, value: bytes) -> None:
        """To everyone at once."""
        for message in msgspec.msgpack.decode(value, type=list[bytes]):
            for transport in Bare.transports:
                transport.send(WSMsgType.TEXT, message)

    async def settled(self) -> None:
        """Nothing waits but in the sockets."""

    def says(self) -> dict[str, Any]:
        """Nothing besides."""
        return {}


class Plan(NamedTuple):
    """Records with the times at which they are due, ready to be sent."""

    records: list[MarketDataRecord]
    due_ns: list[int]
    values: list[bytes]
    messages: int


def planned(server: FeedServer | BareServer, records: list[MarketDataRecord], rate: int) -> Plan:
    """Every record's time and bytes, made before the clock runs."""
    start = time.monotonic_ns() + 300_000_000 + len(records) * 60_000
    due, values, messages = [], [], 0
    for record in records:
        at = start + messages * 10**9 // rate
        due.append(at)
        whole = stamped(record, at)
        if isinstance(server, BareServer):
            values.append(msgspec.msgpack.encode(server.messages(whole)))
        else:
            values.append(encode_record(whole))
        messages += count(record)
    return Plan(records, due, values, messages)


async def offer(server: FeedServer | BareServer, plan: Plan) -> None:
    """Each record at its planned time, however late the ones before were."""
    sent, end = 0, len(plan.records)
    await asyncio.sleep(max(plan.due_ns[0] - time.monotonic_ns(), 0) / 1e9)
    while sent < end:
        now = time.monotonic_ns()
        while sent < end and plan.due_ns[sent] <= now:
            server.publish(plan.records[sent], plan.values[sent])
            sent += 1
        await asyncio.sleep(TICK_S if sent == end or plan.due_ns[sent] > now else 0)
    await asyncio.wait_for(server.settled(), DRAIN_S)


def resident_kib() -> int:
    """Resident memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1_024


async def serve(kind: str, messages: int) -> None:
    """Until the parent ends it."""
    records, first, _ = records_of(messages)
    venue = Venue(
        name="benchmark",
        market=(MARKET,),
        instrument=tuple(
            Instrument(market="EU", id=at, symbol=f"EUA{at}", product="EUA", scheme="eu-ets",
                       kind="allowance", vintage=2026, name="EUA", reference_price=7_000)
            for at in range(1, INSTRUMENTS + 1)
        ),
    )  # fmt: skip
    server: FeedServer | BareServer = FeedServer(venue) if kind == "feed" else BareServer(venue)
    following = None
    if isinstance(server, FeedServer):
        server.log.take([encode_record(record) for record in records[:first]])
        following = asyncio.create_task(server.feed.run(asyncio.Event()))
        await server.settled()
    sockets = await ws_create_server(server.listener, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    _say({"port": sockets.sockets[0].getsockname()[1]})
    rest = records[first:]
    while line := await lines.readline():
        order = json.loads(line)
        wanted, page = order["rate"] * order["seconds"], []
        while rest and wanted > 0:
            page.append(rest.pop(0))
            wanted -= count(page[-1])
        plan = planned(server, page, order["rate"])
        cpu_s, memory_kib = time.process_time(), resident_kib()
        await offer(server, plan)
        _say({
            "messages": plan.messages,
            "first_ns": plan.due_ns[0],
            "cpu_s": time.process_time() - cpu_s,
            "grown_kib": resident_kib() - memory_kib,
            **server.says(),
        })  # fmt: skip
    if following is not None:
        following.cancel()


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2])))
