"""Order entry of one gateway process on one core: to the log's acknowledgement, and to the answer.

`python -m benchmarks.order_entry [--orders N] [--rounds N] [--log kafka|embedded] [--parts A,B]`
starts a venue's own processes (`exchange gateway`, `exchange engine`) on a real log. Engine and
load share core 1, the gateway has core 0, and the broker takes what the two leave. It compiles its
code once: else it would go on for half a minute, on these cores, and the broker of a venue that
runs for weeks does not. Beside figures stands what a bare server of the same library reaches with
the same messages and answers as long.

singles, arrays of 100  limit orders over one WebSocket, WINDOW of them unanswered at a time, until
                        the last PENDING (the log has it), until the last NEW (the engine spoke);
                        and what the gateway's process used for both, which tells more of it where
                        core 1 is full
REST                    signed POST /orders over CONNECTIONS connections, each waiting for PENDING:
                        with Ed25519 and with HMAC keys
order to report         open loop at RATE orders a second: from the planned time of sending to NEW

Checked: each order is on `orders` once, the engine accepted each, and each was reported. A key has
one numbering: where two connections of REST overtake each other, the lower number is passed over,
which may be one in 200.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvicorn
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_connect,
    ws_create_server,
)  # fmt: skip

from benchmarks.figures import Figures, Target, wide
from deploy.local.kafka import KafkaServer
from deploy.local.process import free_ports
from exchange import topics
from exchange.clock import SystemClock
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.messages.executions import Logon
from exchange.messages.frames import (
    Command,
    Event,
    EventFollower,
    build_commands,
    command,
    sound_commands,
)  # fmt: skip
from exchange.messages.orders import NewOrderSingle
from exchange.settings import Settings
from gateway.access.identity import sign
from gateway.client import SigningKey
from gateway.demo.demo_keys import NORTHERN, load_prepared, prepare

ROOT = Path(__file__).parents[1]
EXCHANGE = Path(sys.executable).with_name("exchange")
ACCOUNT, PARTITION = 101, 0
WINDOW = 4_096
ARRAY = 100
CONNECTIONS = 128
RATE, RATE_S = 10_000, 5
READY_S, ANSWER_S = 60.0, 120.0
GATEWAY_CORE, OTHER_CORE = 0, 1
THROTTLE = 100_000_000
PARTS = ("singles", "arrays", "report", "REST")
SHARED, SHARED_FILE, SHARED_SESSION = "northern-hmac", "northern-hmac.secret", 9_001
REPORT = b'"type":"ExecutionReport"'
REFUSALS = (b'"type":"Reject"', b'"type":"Closing"', b'"REJECTED"')

encode = msgspec.json.Encoder().encode

TARGETS = (
    Target("singles to the log", "orders/s", 80_000),
    Target("singles to the engine's word", "orders/s"),
    Target("singles, the gateway's CPU", "us/order"),
    Target("bare socket, singles", "messages/s"),
    Target("singles over bare", "x"),
    Target("arrays to the log", "orders/s", 200_000),
    Target("arrays to the engine's word", "orders/s"),
    Target("arrays, the gateway's CPU", "us/order"),
    Target("bare socket, arrays", "orders/s"),
    Target("arrays over bare", "x"),
    Target("REST to the log", "orders/s", 8_000),
    Target("REST, the gateway's CPU", "us/order"),
    Target("REST with HMAC to the log", "orders/s", 8_000),
    Target("REST with HMAC, the gateway's CPU", "us/order"),
    Target("bare HTTP", "requests/s"),
    Target("REST over bare", "x"),
    Target("order to report, p50", "ms", 5, is_ceiling=True),
    Target("order to report, p99", "ms", 25, is_ceiling=True),
    Target("order to report, p99.9", "ms"),
)


class Flow:
    """Limit orders that rest, numbered from `ref` on."""

    def __init__(self) -> None:
        self.ref = 0

    def take(self, count: int) -> list[NewOrderSingle]:
        """The next orders; prices never cross. O(count)."""
        first, self.ref = self.ref + 1, self.ref + count
        return [
            NewOrderSingle(
                ref=ref, symbol="EUA", account=ACCOUNT, side="BUY", quantity=1,
                price=f"{10 + ref % 40}.{ref % 100:02}", client_order_id=f"c{ref}", valid_ms=0,
            )
            for ref in range(first, self.ref + 1)
        ]  # fmt: skip


class Load(WSListener):
    """The load's end of a connection: counts answers; keeps times where it is told to."""

    def __init__(self) -> None:
        self.pending = self.spoken = 0
        self.heard: list[tuple[int, bytes]] | None = None  # when each message came; read later
        self.refused: list[bytes] = []
        self.moved = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Counts by what every answer of a kind contains."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        data = frame.get_payload_as_bytes()
        pending = data.count(b'"exec_type":"PENDING"')
        self.pending += pending
        self.spoken += data.count(REPORT) - pending
        if any(word in data for word in REFUSALS):
            self.refused.append(data[:500])
        if self.heard is not None:
            self.heard.append((time.monotonic_ns(), data))
        self.moved.set()

    def times(self) -> dict[bytes, int]:
        """When NEW came, by client order id. O(bytes heard)."""
        found: dict[bytes, int] = {}
        for now, data in self.heard or ():
            for part in data.split(b'"exec_type":"NEW"')[1:]:
                label = part.partition(b'"client_order_id":"')[2].partition(b'"')[0]
                found[label] = now
        return found

    async def until(self, name: str, count: int) -> None:
        """Waits until `pending` or `spoken` reached a count; RuntimeError on a refusal."""
        async with asyncio.timeout(ANSWER_S):
            while getattr(self, name) < count:
                if self.refused:
                    raise RuntimeError(f"refused: {self.refused[0]!r}")
                self.moved.clear()
                await self.moved.wait()


async def connected(url: str) -> tuple[WSTransport, Load]:
    """A connection and what it counts."""
    load = Load()
    transport, _ = await ws_connect(lambda: load, url, max_frame_size=1 << 26)
    return transport, load


async def flood(transport: WSTransport, load: Load, frames: list[bytes], each: int) -> float:
    """Sends frames of `each` orders with at most WINDOW unanswered; seconds to the last PENDING."""
    begun, sent = load.pending, 0
    started = time.perf_counter()
    for frame in frames:
        transport.send(WSMsgType.TEXT, frame)
        sent += each
        if sent + begun - load.pending >= WINDOW:
            await load.until("pending", begun + sent - WINDOW // 2)
    await load.until("pending", begun + sent)
    return time.perf_counter() - started


def cpu_s(pid: int) -> float:
    """The seconds of a core that a process has used. O(1)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def sockets(
    address: str, pid: int, key: SigningKey, flow: Flow, orders: int, parts: Collection[str]
) -> dict[str, float]:
    """The floods and the open loop over one connection to the process `pid`."""
    transport, load = await connected(address + "/orders")
    signed = sign(key.private, key.id, "LOGON", "", b"", timestamp_ns=time.time_ns())
    transport.send(WSMsgType.TEXT, encode(Logon(key.id, signed.timestamp_ns, signed.signature)))
    found: dict[str, float] = {}
    floods = [(name, each) for name, each in (("singles", 1), ("arrays", ARRAY)) if name in parts]
    for name, each in floods:
        made = flow.take(orders)
        frames = (
            [encode(order) for order in made]
            if each == 1
            else [encode(made[at : at + each]) for at in range(0, orders, each)]
        )
        spoken, started, used = load.spoken, time.perf_counter(), cpu_s(pid)
        found[f"{name} to the log"] = orders / await flood(transport, load, frames, each)
        await load.until("spoken", spoken + orders)
        found[f"{name} to the engine's word"] = orders / (time.perf_counter() - started)
        found[f"{name}, the gateway's CPU"] = (cpu_s(pid) - used) / orders * 1e6
    if "report" in parts:
        found |= await open_loop(transport, load, flow)
    transport.disconnect()
    return found


async def open_loop(transport: WSTransport, load: Load, flow: Flow) -> dict[str, float]:
    """RATE orders a second, each at its planned time; milliseconds from then to its NEW."""
    made = flow.take(RATE * RATE_S)
    frames = [encode(order) for order in made]
    load.heard = []
    spoken = load.spoken
    begin = time.monotonic_ns() + 10_000_000
    sent = 0
    while sent < len(frames):
        due = (time.monotonic_ns() - begin) * RATE // 10**9 + 1
        while sent < min(due, len(frames)):
            transport.send(WSMsgType.TEXT, frames[sent])
            sent += 1
        await asyncio.sleep(0.001)
    await load.until("spoken", spoken + len(frames))
    planned = (begin + at * 10**9 // RATE for at in range(len(made)))
    times, load.heard = load.times(), None
    took = [
        times[order.client_order_id.encode()] - at for order, at in zip(made, planned, strict=True)
    ]
    p50, p99, p999 = np.percentile(np.array(took) / 1e6, (50, 99, 99.9))
    return {
        "order to report, p50": p50, "order to report, p99": p99, "order to report, p99.9": p999,
    }  # fmt: skip


# -- REST -----------------------------------------------------------------------------------------


class Shared(NamedTuple):
    """The secret of an HMAC key."""

    id: str
    private: bytes


def add_shared_key(venue: Path) -> None:
    """One more key of the same participant, which signs with HMAC."""
    secret = venue.with_name(SHARED_FILE)
    secret.write_bytes(base64.b64encode(os.urandom(32)))
    secret.chmod(0o600)
    table = {"id": SHARED, "participant": NORTHERN.participant, "role": NORTHERN.role,
             "session": SHARED_SESSION, "algorithm": "hmac-sha256",
             "secret_file": str(secret)}  # fmt: skip
    rows = "".join(f"{name} = {json.dumps(value)}\n" for name, value in table.items())
    with venue.open("a", encoding="utf-8") as file:
        file.write(f"\n[[key]]\n{rows}")


def request(key: SigningKey | Shared, order: NewOrderSingle, port: int) -> bytes:
    """A signed request that does not wait for the engine."""
    body, target = encode(order), "/orders?wait_ms=0"
    signed = sign(
        key.private, key.id, "POST", target, body, timestamp_ns=time.time_ns(), window_ms=60_000
    )
    return (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
        f"X-Exchange-Key: {signed.key}\r\nX-Exchange-Timestamp: {signed.timestamp_ns}\r\n"
        f"X-Exchange-Window: {signed.window_ms}\r\nX-Exchange-Signature: {signed.signature}\r\n\r\n"
    ).encode() + body


async def answers(port: int, requests: list[bytes]) -> float:
    """Sends all over CONNECTIONS connections; answers a second. RuntimeError on another status."""
    waiting = iter(requests)

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for data in waiting:
            writer.write(data)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 20"):
                raise RuntimeError(f"REST: {head[:200]!r} {await reader.read(400)!r}")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(connection())
    return len(requests) / (time.perf_counter() - started)


# -- bare servers ---------------------------------------------------------------------------------

ANSWER = encode({
    "type": "ExecutionReport", "market": "EU", "account": ACCOUNT, "exec_type": "PENDING",
    "order_status": "PENDING", "request_id": 2**40, "order_id": 2**40, "client_order_id": "c123456",
    "ref": 10**6, "symbol": "EUA",
})  # fmt: skip


class Bare(WSListener):
    """Answers each order of a message with as many bytes as a PENDING has."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Decodes nothing."""
        if frame.msg_type == WSMsgType.TEXT:
            count = frame.get_payload_as_bytes().count(b'"type"')
            transport.send(WSMsgType.TEXT, b"[" + b",".join([ANSWER] * count) + b"]")


async def serve_bare(port: int) -> None:
    """The bare socket at `port` and the bare ASGI application at `port` + 1, until killed."""

    def listener(_: WSUpgradeRequest) -> WSListener:
        return Bare()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        length = str(len(ANSWER)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})

    await ws_create_server(listener, "127.0.0.1", port, max_frame_size=1 << 26)
    config = uvicorn.Config(
        app, port=port + 1, loop="none", lifespan="off", ws="none", log_config=None,
        access_log=False,
    )  # fmt: skip
    await uvicorn.Server(config).serve()


async def bare_sockets(port: int, orders: int) -> dict[str, float]:
    """The same two floods against the bare socket."""
    transport, load = await connected(f"ws://127.0.0.1:{port}/")
    made = Flow().take(orders)
    singles = [encode(order) for order in made]
    arrays = [encode(made[at : at + ARRAY]) for at in range(0, orders, ARRAY)]
    found = {
        "bare socket, singles": orders / await flood(transport, load, singles, 1),
        "bare socket, arrays": orders / await flood(transport, load, arrays, ARRAY),
    }
    transport.disconnect()
    return found


# -- the venue ------------------------------------------------------------------------------------


@contextmanager
def process(core: int, *words: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, ended with the context."""
    pinned = {min(core, (os.cpu_count() or 1) - 1)}
    started = subprocess.Popen(
        words, cwd=ROOT, env=os.environ | environment,
        preexec_fn=lambda: os.sched_setaffinity(0, pinned),
    )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


async def endow(log: Log) -> None:
    """Cash for the account, and continuous trading."""
    commands = [
        command(Command.CASH_DEPOSIT, account_id=ACCOUNT, quantity=10**15, order_id=1),
        command(Command.PHASE_CHANGE, order_type=1),
    ]
    frame = build_commands(commands, writer=1, batch=0, time_ns=time.time_ns())
    await log.append(topics.orders(PARTITION), [frame])


async def until_serving(port: int) -> None:
    """Returns when the port answers; TimeoutError after READY_S."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def check(log: Log, orders: int) -> dict[str, Any]:
    """Every order once on `orders`, answered once on `events`; ValueError otherwise."""
    refs: list[int] = []
    inputs = await log.open_reader(topics.orders(PARTITION), 0)
    end = await log.end(topics.orders(PARTITION))
    while inputs.position < end:
        for record in await inputs.read(wait_s=0.2):
            found = sound_commands(record.value)
            assert found is not None
            refs += found["ref"][found["kind"] == Command.NEW_ORDER].tolist()
    await inputs.close()
    accepted, passed, follower = 0, 0, EventFollower()
    outputs = await log.open_reader(topics.events(PARTITION), 0)
    end = await log.end(topics.events(PARTITION))
    while outputs.position < end:
        for record in await outputs.read(wait_s=0.2):
            part = follower.accept(record.offset, record.value)
            if part is not None:
                accepted += int((part.events["kind"] == Event.ACCEPTED).sum())
                passed += int((part.events["kind"] == Event.DUPLICATE).sum())
    await outputs.close()
    is_whole = sorted(refs) == list(range(1, orders + 1)) and accepted + passed == orders
    if not is_whole or passed > orders // 200:
        raise ValueError(f"{orders} sent, {len(refs)} on the log, {accepted} accepted")
    return {
        "orders": orders, "accepted": accepted, "passed_over": passed,
        "chain": follower.chain.hex(),
    }  # fmt: skip


async def rest(
    port: int, bare_port: int, pid: int, keys: Sequence[SigningKey | Shared], flow: Flow,
    given: argparse.Namespace,
) -> dict[str, float]:  # fmt: skip
    """Orders over REST with both kinds of keys, and over a bare server."""
    found: dict[str, float] = {}
    for name, signing in zip(("REST", "REST with HMAC"), keys, strict=True):
        made = [request(signing, order, port) for order in flow.take(given.orders // 10)]
        found["bare HTTP"] = await answers(bare_port, made)
        used = cpu_s(pid)
        found[f"{name} to the log"] = await answers(port, made)
        found[f"{name}, the gateway's CPU"] = (cpu_s(pid) - used) / len(made) * 1e6
    found["REST over bare"] = found["REST to the log"] / found["bare HTTP"]
    return found


async def measure(
    settings: Settings, pid: int, bare_port: int, given: argparse.Namespace
) -> Figures:
    """All rounds; the figures."""
    log = open_log(settings, SystemClock())
    await log.start()
    await endow(log)
    await until_serving(settings.http_port)
    await until_serving(bare_port + 1)
    _, keys = load_prepared(settings.data)
    key, secret = (
        keys[NORTHERN.id],
        Shared(SHARED, base64.b64decode((settings.data / SHARED_FILE).read_bytes())),
    )
    figures, flow = Figures("order_entry", TARGETS), Flow()
    address = f"ws://127.0.0.1:{settings.websocket_port}"
    for _ in range(given.rounds):
        found = await sockets(address, pid, key, flow, given.orders, given.parts)
        if {"singles", "arrays"} <= given.parts:
            found |= await bare_sockets(bare_port, given.orders)
            for name in ("singles", "arrays"):
                bare = found[f"bare socket, {name}"]
                found[f"{name} over bare"] = found[f"{name} to the log"] / bare
        if "REST" in given.parts:
            found |= await rest(settings.http_port, bare_port + 1, pid, (key, secret), flow, given)
        figures.add(found)
    await asyncio.sleep(1)  # the engine's last words
    checks = await check(log, flow.ref)
    await log.close()
    figures.show(wide())
    figures.save(checks, keep=False)
    print(
        f"{flow.ref:,} orders are on the log once, {checks['accepted']:,} accepted, "
        f"{checks['passed_over']} overtaken by higher numbers on another connection"
    )
    return figures


def parts(text: str) -> frozenset[str]:
    """The parts that somebody names; ArgumentTypeError for others."""
    named = frozenset(text.split(","))
    if not named <= set(PARTS):
        raise argparse.ArgumentTypeError(f"{text!r}: parts are {', '.join(PARTS)}")
    return named


def main(argv: list[str] | None = None) -> int:
    """Starts the processes, runs the rounds, checks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_entry", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--orders", type=int, default=300_000, help="in each flood")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--parts", type=parts, default=frozenset(PARTS), help=", ".join(PARTS))
    parser.add_argument("--bare", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.bare:
        uvloop.run(serve_bare(given.bare))
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="order-entry-")))
        log = "embedded"
        if given.log == "kafka":
            broker = stack.enter_context(KafkaServer(folder / "kafka", fast_start=True))
            log = f"kafka:{broker.bootstrap}"
        http, sockets_at, bare, _ = free_ports(4)  # the bare server has two
        settings = Settings(
            log=log, data=folder / "venue", http_port=http, websocket_port=sockets_at
        )
        venue = prepare(settings.data, ROOT / "deploy/venue/demo.toml", f"http://127.0.0.1:{http}")
        add_shared_key(venue)
        environment = {
            "EXCHANGE_LOG": log, "EXCHANGE_DATA": str(settings.data), "EXCHANGE_VENUE": str(venue),
            "EXCHANGE_HTTP_PORT": str(http), "EXCHANGE_WEBSOCKET_PORT": str(sockets_at),
            "EXCHANGE_THROTTLE_PER_SECOND": str(THROTTLE), "EXCHANGE_LOG_LEVEL": "warning",
        }  # fmt: skip
        os.sched_setaffinity(0, {min(OTHER_CORE, (os.cpu_count() or 1) - 1)})
        exchange = str(EXCHANGE)
        stack.enter_context(process(OTHER_CORE, exchange, "engine", **environment))
        subprocess.run([exchange, "bootstrap"], env=os.environ | environment, check=True)
        gateway = stack.enter_context(process(GATEWAY_CORE, exchange, "gateway", **environment))
        words = (sys.executable, "-m", "benchmarks.order_entry", "--bare", str(bare))
        stack.enter_context(process(GATEWAY_CORE, *words))
        uvloop.run(measure(settings, gateway.pid, bare, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
