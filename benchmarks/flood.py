"""One participant floods a door with FACTOR times its limit: what another's orders then take.

`python -m benchmarks.flood [--limit 200] [--factor 10] [--seconds 5] [--rounds 3] [--log LOG]`
starts a venue's own processes; the gateway has core 0 for itself, everything else shares core 1,
where the flooder's process comes last: a venue does not run those of its members. At each door
(REST, socket, FIX) a trader sends RATE orders a second, each at its planned time, first alone, then
while a process of another participant sends limit x factor orders a second there, or as many as the
door takes, and cancels within their own budget. A figure is the time from the planned sending to
the answer of the engine.

Checked: all of the trader's orders are taken and answered; the other's are throttled, and refused
for nothing else but numbers that overtook each other on REST; its cancels all reach the engine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.figures import Figures, Target, wide
from benchmarks.order_entry import (
    EXCHANGE,
    GATEWAY_CORE,
    OTHER_CORE,
    ROOT,
    process,
    until_serving,
)
from deploy.local.kafka import KafkaServer
from deploy.local.process import free_ports
from exchange import topics
from exchange.clock import SystemClock
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.messages.executions import Logon
from exchange.messages.frames import Command, build_commands, command
from exchange.messages.orders import NewOrderSingle, OrderCancelRequest
from exchange.messages.reasons import EdgeReason, Reason
from exchange.settings import Settings
from gateway.access.identity import sign
from gateway.client import SigningKey
from gateway.demo.demo_keys import HUADONG, NORTHERN, load_prepared, prepare
from gateway.fix.acceptor import signed_logon
from gateway.fix.codec import Framer, decode, utc_text
from gateway.fix.codec import encode as fix

DOORS = ("REST", "socket", "FIX")
TARGETS = tuple(
    target
    for door in DOORS
    for target in (
        Target(f"{door} alone, p50", "ms"),
        Target(f"{door} alone, p99", "ms"),
        Target(f"{door} in a flood, p50", "ms"),
        Target(f"{door} in a flood, p99", "ms"),
        Target(f"{door}, p50 over alone", "x", 2, is_ceiling=True),
        Target(f"{door}, p99 over alone", "x", 2, is_ceiling=True),
        Target(f"{door}, orders of the flood", "/s"),
        Target(f"{door}, of the flood throttled", "%"),
    )
)
RATE = 50  # orders a second of the one who only trades, or half the limit if that is less
TRADER, FLOODER = (NORTHERN, 101), (HUADONG, 102)
CONNECTIONS = 32  # of REST
IN_FLIGHT_MAX = 512  # unanswered requests of a flooder; more wait
ANSWER_S = 30.0
BUSY_TRIES = 4
FLOODER_NICE = 10
LEAD_S = 1.0  # the flood begins so long before the trader, and ends so long after
LABELS = 10**14  # refs modulo this are labels
DONE = "DONE"
THROTTLED, OVERTAKEN = str(int(EdgeReason.THROTTLED)), str(int(EdgeReason.REF_PASSED_OVER))
NOT_KNOWN = str(int(Reason.UNKNOWN_ORDER))

encode = msgspec.json.Encoder().encode
Request = NewOrderSingle | OrderCancelRequest


def label_of(ref: int) -> str:
    """What a request is called in its answers: by its last digits. O(1)."""
    return f"c{ref % LABELS}"


class Sent(NamedTuple):
    """What became of requests: how many of each outcome, and how long those took that were done."""

    outcomes: Counter[str]
    took_ms: list[float]


class Door(ABC):
    """One key's way in; `send` returns DONE or the number of the reason."""

    def __init__(self, key: SigningKey, port: int, connections: int = 1) -> None:
        self.key, self.port, self.connections = key, port, connections

    @abstractmethod
    async def open(self) -> None:
        """Connects, and logs on where one does."""

    @abstractmethod
    async def send(self, request: Request) -> str:
        """The engine's answer, or the refusal. TimeoutError after ANSWER_S."""

    @abstractmethod
    def close(self) -> None:
        """Disconnects."""


class RestDoor(Door):
    """Signed requests, each on the next idle of its connections."""

    async def open(self) -> None:
        """Opens them all."""
        self._idle: asyncio.Queue[Any] = asyncio.Queue()
        for _ in range(self.connections):
            self._idle.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))

    async def send(self, request: Request) -> str:
        """One request on the next idle connection."""
        if isinstance(request, NewOrderSingle):
            method, target, body = "POST", "/orders", encode(request)
        else:
            method, body = "DELETE", b""
            target = (
                f"/orders/{request.original_client_order_id}?symbol=EUA&account={request.account}"
                f"&ref={request.ref}"
            )
        reader, writer = stream = await self._idle.get()
        signed = sign(
            self.key.private, self.key.id, method, target, body, timestamp_ns=time.time_ns()
        )
        writer.write((
            f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            f"X-Exchange-Key: {signed.key}\r\nX-Exchange-Timestamp: {signed.timestamp_ns}\r\n"
            f"X-Exchange-Window: 0\r\nX-Exchange-Signature: {signed.signature}\r\n\r\n"
        ).encode() + body)  # fmt: skip
        async with asyncio.timeout(ANSWER_S):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            answer = msgspec.json.decode(await reader.readexactly(length))
        self._idle.put_nowait(stream)
        return str(answer["reason"]) if answer.get("reason") else DONE

    def close(self) -> None:
        """Closes those that are idle: all of them, when everything is answered."""
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()


class _Answers(Door):
    """A door whose answers come by themselves, found by the label of what they answer.

    Reports of the participant's other doors come here too: nobody waits for those.
    """

    def __init__(self, key: SigningKey, port: int, connections: int = 1) -> None:
        super().__init__(key, port, connections)
        self.waiting: dict[str, asyncio.Future[str]] = {}  # by label

    async def send(self, request: Request) -> str:
        """Waits for what is said about the request."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.waiting[label_of(request.ref)] = future
        self.say(request)
        async with asyncio.timeout(ANSWER_S):
            return await future

    @abstractmethod
    def say(self, request: Request) -> None:
        """Sends it."""

    def heard(self, label: str, outcome: str) -> None:
        """A report or a reject came. O(1)."""
        future = self.waiting.pop(label, None)
        if future is not None:
            future.set_result(outcome)


class SocketDoor(_Answers, WSListener):
    """The order-entry socket."""

    async def open(self) -> None:
        """Connects and logs on."""
        self._wire, _ = await ws_connect(lambda: self, f"ws://127.0.0.1:{self.port}/orders")
        now = time.time_ns()
        signed = sign(self.key.private, self.key.id, "LOGON", "", b"", timestamp_ns=now)
        self._wire.send(WSMsgType.TEXT, encode(Logon(self.key.id, now, signed.signature)))

    def close(self) -> None:
        """The session's connection ends."""
        self._wire.disconnect()

    def say(self, request: Request) -> None:
        """One frame."""
        self._wire.send(WSMsgType.TEXT, encode(request))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """An array of messages."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        for item in msgspec.json.decode(frame.get_payload_as_bytes()):
            if item.get("exec_type") != "PENDING":
                reason = item.get("reason")
                label = item.get("client_order_id", "")
                if label not in self.waiting:  # a cancel is answered by the name of its order
                    label = label_of(item.get("ref", 0))
                self.heard(label, str(reason) if reason else DONE)


class FixDoor(_Answers, asyncio.Protocol):
    """A FIX session; the label is the ClOrdID."""

    _number = 0

    def say(self, request: Request) -> None:
        """NewOrderSingle or OrderCancelRequest."""
        now = time.time_ns()
        values: list[tuple[int, Any]] = [
            (11, label_of(request.ref)), (1, request.account), (55, "EUA"), (54, 1),
            (60, utc_text(now)),
        ]  # fmt: skip
        if isinstance(request, NewOrderSingle):
            self._put("D", [*values, (38, 1), (40, 2), (44, request.price), (59, 0)], now)
        else:
            self._put("F", [*values, (41, request.original_client_order_id)], now)

    async def open(self) -> None:
        """Connects and logs on with both numbers begun anew."""
        loop = asyncio.get_running_loop()
        self._framer = Framer()
        self._wire, _ = await loop.create_connection(lambda: self, "127.0.0.1", self.port)
        now = time.time_ns()
        assert isinstance(self.key.private, Ed25519PrivateKey)
        text = signed_logon(self.key.id, "CARBON", 1, utc_text(now))
        signature = b64encode(self.key.private.sign(text)).decode()
        values = ((98, 0), (108, 60), (95, len(signature)), (96, signature), (141, "Y"))
        self._put("A", values, now)

    def close(self) -> None:
        """The connection ends; the session stays."""
        self._wire.close()

    def _put(self, kind: str, values: Any, now: int) -> None:
        self._number += 1
        self._wire.write(fix(kind, self._number, self.key.id, "CARBON", now, values))

    def data_received(self, data: bytes) -> None:
        """Reports and rejects."""
        for found in self._framer.feed(data):
            assert isinstance(found, bytes), found
            message = decode(found)
            label = message.get(11) or message.get(379)  # without: of no request
            if message.msg_type in ("8", "9", "j") and message.get(150) != "A":
                self.heard(label, message.get(20001) or DONE)
            elif message.msg_type in ("3", "5"):
                raise RuntimeError(f"FIX: {message.get(58)}")


KINDS: dict[str, type[Door]] = {"REST": RestDoor, "socket": SocketDoor, "FIX": FixDoor}


class Flow:
    """Orders that rest, and cancels of orders that nobody knows; refs begin at the time."""

    def __init__(self, account: int) -> None:
        self._account = account
        self._ref = time.time_ns()

    def order(self) -> NewOrderSingle:
        """The next order."""
        self._ref += 1
        return NewOrderSingle(
            ref=self._ref, symbol="EUA", account=self._account, side="BUY", quantity=1,
            price=f"{10 + self._ref % 40}.00", client_order_id=label_of(self._ref),
        )  # fmt: skip

    def cancel(self) -> OrderCancelRequest:
        """The next cancel; the engine says that it knows no such order."""
        self._ref += 1
        return OrderCancelRequest(
            ref=self._ref, symbol="EUA", account=self._account, original_client_order_id="nothing"
        )


async def paced(door: Door, made: Iterator[Request], rate: int, seconds: float) -> Sent:
    """Sends at planned times for so long; IN_FLIGHT_MAX unanswered make the next wait."""
    sent = Sent(Counter(), [])
    room = asyncio.Semaphore(IN_FLIGHT_MAX)

    async def one(request: Request, planned: float) -> None:
        try:
            outcome = await door.send(request)
        finally:
            room.release()
        sent.outcomes[outcome] += 1
        if outcome == DONE:
            sent.took_ms.append((time.perf_counter() - planned) * 1e3)

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            planned = begin + number / rate
            if time.perf_counter() > begin + seconds:
                break  # the door took fewer
            if (rest := planned - time.perf_counter()) > 0:
                await asyncio.sleep(rest)
            await room.acquire()
            group.create_task(one(next(made), planned))
    return sent


async def flood(kind: str, key: SigningKey, port: int, given: argparse.Namespace) -> None:
    """The flooder's process: prints its outcomes as JSON. It begins before and ends after."""
    os.nice(FLOODER_NICE)
    door = KINDS[kind](key, port, CONNECTIONS)
    await door.open()
    flow = Flow(FLOODER[1])
    seconds = given.seconds + 2 * LEAD_S
    print("ready", flush=True)
    orders, cancels = await asyncio.gather(
        paced(door, iter(flow.order, None), given.limit * given.factor, seconds),
        paced(door, iter(flow.cancel, None), max(given.limit // 2, 1), seconds),
    )
    print(json.dumps([orders.outcomes, cancels.outcomes]), flush=True)


# -- the venue ------------------------------------------------------------------------------------


async def prepare_accounts(log: Log) -> None:
    """Cash for both accounts, and continuous trading."""
    commands = [
        command(Command.CASH_DEPOSIT, account_id=account, quantity=10**15, order_id=1)
        for _, account in (TRADER, FLOODER)
    ]
    commands.append(command(Command.PHASE_CHANGE, order_type=1))
    frame = build_commands(commands, writer=1, batch=0, time_ns=time.time_ns())
    await log.append(topics.orders(0), [frame])


def rate(limit: int) -> int:
    """Orders a second of the trader, well within its limit."""
    return max(min(RATE, limit // 2), 1)


async def traded(kind: str, key: SigningKey, port: int, given: argparse.Namespace) -> list[float]:
    """The trader's times, ms; RuntimeError unless every order was taken."""
    door = KINDS[kind](key, port)
    await door.open()
    sent = await paced(door, iter(Flow(TRADER[1]).order, None), rate(given.limit), given.seconds)
    door.close()
    if set(sent.outcomes) != {DONE}:
        raise RuntimeError(f"{kind}: the trader's orders ended as {dict(sent.outcomes)}")
    return sent.took_ms


async def one_round(
    keys: dict[str, SigningKey], ports: dict[str, int], words: list[str], given: argparse.Namespace
) -> dict[str, float]:
    """All doors, alone and in a flood; RuntimeError when somebody was treated otherwise."""
    found: dict[str, float] = {}
    for kind in DOORS:
        key, port = keys[TRADER[0].id], ports[kind]
        alone = np.percentile(await traded(kind, key, port, given), (50, 99))
        flooder = await asyncio.create_subprocess_exec(
            *words, "--flood", kind, "--port", str(port), stdout=asyncio.subprocess.PIPE
        )
        assert flooder.stdout is not None
        await flooder.stdout.readline()
        await asyncio.sleep(LEAD_S)
        during = np.percentile(await traded(kind, key, port, given), (50, 99))
        orders, cancels = json.loads(await flooder.stdout.readline())
        await flooder.wait()
        if not set(orders) <= {DONE, THROTTLED, OVERTAKEN} or THROTTLED not in orders:
            raise RuntimeError(f"{kind}: the flood's orders ended as {orders}")
        if not set(cancels) <= {NOT_KNOWN, OVERTAKEN} or NOT_KNOWN not in cancels:
            raise RuntimeError(f"{kind}: the flood's cancels ended as {cancels}")
        for number, name in enumerate(("p50", "p99")):
            found[f"{kind} alone, {name}"] = alone[number]
            found[f"{kind} in a flood, {name}"] = during[number]
            found[f"{kind}, {name} over alone"] = during[number] / alone[number]
        found[f"{kind}, orders of the flood"] = sum(orders.values()) / (given.seconds + 2 * LEAD_S)
        found[f"{kind}, of the flood throttled"] = 100 * orders[THROTTLED] / sum(orders.values())
    return found


async def measure(settings: Settings, words: list[str], given: argparse.Namespace) -> None:
    """All rounds; shows and keeps the figures."""
    log = open_log(settings, SystemClock())
    await log.start()
    await prepare_accounts(log)
    await log.close()
    ports = {
        "REST": settings.http_port, "socket": settings.websocket_port, "FIX": settings.fix_port
    }  # fmt: skip
    for _ in range(BUSY_TRIES):  # on a busy machine the first start takes minutes
        with suppress(TimeoutError):
            await until_serving(settings.http_port)
            break
    _, keys = load_prepared(settings.data)
    figures = Figures("flood", TARGETS)
    for _ in range(given.rounds):
        figures.add(await one_round(keys, ports, words, given))
    figures.show(wide())
    checks = {"limit": given.limit, "factor": given.factor, "rate": rate(given.limit)}
    figures.save(checks, keep=False)
    print(
        f"limit {given.limit} a second; flood {given.limit * given.factor} orders and "
        f"{max(given.limit // 2, 1)} cancels a second; trader {rate(given.limit)} orders a second"
    )


def main(argv: list[str] | None = None) -> int:
    """Starts the processes, runs the rounds, checks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flood", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--limit", type=int, default=200, help="orders a second of a participant")
    parser.add_argument("--factor", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", choices=("kafka", "embedded"), default="kafka")
    for hidden, kind in (("--flood", str), ("--port", int), ("--data", Path)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.flood:
        _, keys = load_prepared(given.data)
        uvloop.run(flood(given.flood, keys[FLOODER[0].id], given.port, given))
        return 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flood-")))
        log = "embedded"
        if given.log == "kafka":
            log = f"kafka:{stack.enter_context(KafkaServer(folder / 'kafka')).bootstrap}"
        http, sockets_at, fix_at = free_ports(3)
        settings = Settings(
            log=log, data=folder / "venue", http_port=http, websocket_port=sockets_at,
            fix_port=fix_at,
        )  # fmt: skip
        venue = prepare(settings.data, ROOT / "deploy/venue/demo.toml", f"http://127.0.0.1:{http}")
        environment = {
            "EXCHANGE_LOG": log, "EXCHANGE_DATA": str(settings.data), "EXCHANGE_VENUE": str(venue),
            "EXCHANGE_HTTP_PORT": str(http), "EXCHANGE_WEBSOCKET_PORT": str(sockets_at),
            "EXCHANGE_FIX_PORT": str(fix_at), "EXCHANGE_LOG_LEVEL": "error",
            "EXCHANGE_THROTTLE_PER_SECOND": str(given.limit),
        }  # fmt: skip
        os.sched_setaffinity(0, {min(OTHER_CORE, (os.cpu_count() or 1) - 1)})
        exchange = str(EXCHANGE)
        stack.enter_context(process(OTHER_CORE, exchange, "engine", **environment))
        subprocess.run([exchange, "bootstrap"], env=os.environ | environment, check=True)
        stack.enter_context(process(GATEWAY_CORE, exchange, "gateway", **environment))
        words = [
            sys.executable, "-m", "benchmarks.flood", "--data", str(settings.data), "--limit",
            str(given.limit), "--factor", str(given.factor), "--seconds", str(given.seconds),
        ]  # fmt: skip
        uvloop.run(measure(settings, words, given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
