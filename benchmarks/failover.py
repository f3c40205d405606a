"""How long a market is without answers when its engine dies, on the processes of a local venue.

`python -m benchmarks.failover [--kills N] [--stops N] [--rate N]` runs `make venue --standby`: real
Kafka, PostgreSQL and every service, two engines a market. Orders go straight onto `orders` at a
steady rate, and one member has a session at the gateway.

kill to first new answer   kill -9 of the leader, until an order sent after the kill has its output
                           on `events`, read by somebody who only listens
  of it until the claim    until the standby's EPOCH_START is on `orders`: the silence it waits for
  of it taking over        from there on: the claim is read back, what waits is published and read
kill to first report       at the member's session: an order sent after the kill is reported
stop to first new answer   SIGSTOP of the leader, which wakes later and finds that it leads no more
stop of N ms               the leader stands still for a moment: the longest time without an answer,
                           and in how many of them the standby took over

Checked: each order that the log took is answered once in the order of the log; `verify` finds no
difference; market data follows from `events` and counts on; a session that logs on anew is told
exactly the open orders that the engine has; every process that was not killed still runs.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from rich.console import Console

from benchmarks.figures import Figures, Target, wide
from benchmarks.path import Workload
from deploy.local.venue import LocalVenue, attend
from exchange import audit, topics
from exchange.clock import SystemClock
from exchange.log import open_log
from exchange.log.protocol import Log, LogError
from exchange.marketdata.proof import remake
from exchange.messages.executions import ExecutionReport, Gap, LoggedOn, Logon, Restatement
from exchange.messages.frames import Command, EventFollower, build_commands, sound_commands
from exchange.positions import project
from exchange.reference.venue import Market
from exchange.settings import READ_RECORDS_MAX, Settings
from gateway.access.identity import sign
from gateway.client import Client, VenueError
from gateway.demo.demo_keys import YANGTZE
from gateway.demo.members import Members

CODE, ACCOUNTS, INSTRUMENT, SYMBOL = "EU", (101, 102), 1, "EUA"
MEMBER_ACCOUNT, RESTING = 103, 25
ENGINES = ("engine-EU", "engine-EU-2")
READY_S, ANSWER_S = 90.0, 30.0
CALM_S = 1.0  # between one fault and the next
STOP_S = 2.0
SHORT_STOPS_MS = (100, 150, 300)
PING_S = 0.02

KILL, CLAIM, TAKING = (
    "kill to first new answer", "  of it until the claim", "  of it taking over",
)  # fmt: skip
REPORT, STOPPED = "kill to first report at a session", "stop to first new answer"
TARGETS = (
    Target(KILL, "s", 2, is_ceiling=True),
    Target(CLAIM, "s", is_ceiling=True),
    Target(TAKING, "s", is_ceiling=True),
    Target(REPORT, "s", 2, is_ceiling=True),
    Target(STOPPED, "s", 2, is_ceiling=True),
    Target("longest silence without a fault", "s", is_ceiling=True),
    Target("slowest report without a fault", "s", is_ceiling=True),
    *(Target(f"longest silence, stop of {ms} ms", "s", is_ceiling=True) for ms in SHORT_STOPS_MS),
)


class Reader:
    """Follows `orders` and `events` of the market and notes when what was there."""

    def __init__(self, log: Log, market: Market) -> None:
        self.answered: dict[int, int] = {}  # input offset -> when its last part was read, ns
        self.claims: list[int] = []  # when each was appended, ns UTC
        self.repeats = 0
        self.epoch = 0
        self.follower = EventFollower()
        self.moved = asyncio.Event()
        self._log, self._market = log, market

    async def follow(self) -> None:
        """Reads `events` until cancelled; ChainBrokenError if it is not one stream."""
        reader = await self._log.open_reader(topics.events(self._market.partition), 0)
        while True:
            for record in await reader.read(READ_RECORDS_MAX, 1.0):
                part = self.follower.accept(record.offset, record.value)
                if part is None:
                    self.repeats += 1
                elif part.is_last:
                    self.answered[part.input_offset] = time.monotonic_ns()
                    self.epoch = part.epoch
            self.moved.set()

    async def watch_claims(self) -> None:
        """Reads `orders` until cancelled."""
        reader = await self._log.open_reader(topics.orders(self._market.partition), 0)
        while True:
            for record in await reader.read(READ_RECORDS_MAX, 1.0):
                commands = sound_commands(record.value)
                if commands is not None and commands["kind"][0] == Command.EPOCH_START:
                    self.claims.append(record.append_ns)
            self.moved.set()

    async def claim(self, number: int) -> int:
        """When a claim was appended, ns UTC."""
        async with asyncio.timeout(ANSWER_S):
            while len(self.claims) <= number:
                self.moved.clear()
                await self.moved.wait()
        return self.claims[number]

    async def until_answered(self, offset: int) -> int:
        """When the record at `offset` had its output, monotonic ns."""
        async with asyncio.timeout(ANSWER_S):
            while offset not in self.answered:
                self.moved.clear()
                await self.moved.wait()
        return self.answered[offset]


class Load:
    """Orders straight onto `orders` at a steady rate, whatever comes back."""

    def __init__(self, log: Log, market: Market, rate: int) -> None:
        self.taken: list[tuple[int, int]] = []  # (sent at, monotonic ns; offset)
        self.uncertain = 0
        self.moved = asyncio.Event()
        self._log, self._market, self._rate = log, market, rate
        self._workload = Workload(1, ACCOUNTS, (INSTRUMENT,))
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop and everything sent is taken."""
        start, sent = time.monotonic_ns(), 0
        while not stop.is_set():
            while sent < (time.monotonic_ns() - start) * self._rate // 10**9:
                sent += 1
                task = asyncio.create_task(self._send(sent))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(0.002)
        await asyncio.gather(*self._tasks)

    async def _send(self, batch: int) -> None:
        now = time.monotonic_ns()
        frame = build_commands(
            [self._workload.next()], writer=9, batch=batch, time_ns=time.time_ns()
        )
        try:
            offset = (await self._log.append(topics.orders(self._market.partition), [frame]))[0]
        except LogError:
            self.uncertain += 1
            return
        self.taken.append((now, offset))
        self.moved.set()

    async def first_after(self, moment_ns: int) -> int:
        """The offset of the first order that was sent after a moment."""
        async with asyncio.timeout(ANSWER_S):
            while not self.taken or self.taken[-1][0] <= moment_ns:
                self.moved.clear()
                await self.moved.wait()
        return next(offset for sent, offset in self.taken if sent > moment_ns)


class Session:
    """A member's orders, one after the other, and when each was sent and reported."""

    def __init__(self, client: Client) -> None:
        self.reported: list[tuple[int, int]] = []  # (sent, reported), monotonic ns
        self.moved = asyncio.Event()
        self._client = client

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            sent = time.monotonic_ns()
            try:
                await self._client.new_order(
                    SYMBOL, MEMBER_ACCOUNT, "BUY", 1, "60.00", time_in_force="IOC", valid_ms=0
                )
            except VenueError as error:
                raise RuntimeError(f"the session was refused: {error}") from error
            self.reported.append((sent, time.monotonic_ns()))
            self.moved.set()
            await asyncio.sleep(PING_S)

    async def first_after(self, moment_ns: int) -> int:
        """When the first order sent after a moment was reported."""
        async with asyncio.timeout(ANSWER_S):
            while not self.reported or self.reported[-1][0] <= moment_ns:
                self.moved.clear()
                await self.moved.wait()
        return next(reported for sent, reported in self.reported if sent > moment_ns)


class Faults:
    """One fault after the other, each measured."""

    def __init__(self, venue: LocalVenue, load: Load, reader: Reader, session: Session) -> None:
        self.takeovers = 0  # meant: somebody had to take over
        self.by_stop = dict.fromkeys(SHORT_STOPS_MS, 0)  # ms: after how many somebody did
        self._venue, self._load, self._reader, self._session = venue, load, reader, session

    async def kill(self) -> dict[str, float]:
        """kill -9 of the leader; seconds. Returns when both engines stand again."""
        name = await self._leader()
        claims = len(self._reader.claims)
        killed_ns, killed_utc = time.monotonic_ns(), time.time_ns()
        self._venue.supervisor.kill(name)
        answered = await self._reader.until_answered(await self._load.first_after(killed_ns))
        claimed_utc = await self._reader.claim(claims)
        reported = await self._session.first_after(killed_ns)
        total, claim = (answered - killed_ns) / 1e9, max(claimed_utc - killed_utc, 0) / 1e9
        await self._both_ready()
        self.takeovers += 1
        return {
            KILL: total,
            CLAIM: claim,
            TAKING: total - claim,
            REPORT: (reported - killed_ns) / 1e9,
        }

    async def stop(self) -> dict[str, float]:
        """SIGSTOP of the leader for STOP_S; it wakes as a zombie."""
        pid = self._pid(await self._leader())
        stopped_ns = time.monotonic_ns()
        os.kill(pid, signal.SIGSTOP)
        try:
            answered = await self._reader.until_answered(await self._load.first_after(stopped_ns))
            await asyncio.sleep(STOP_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        self.takeovers += 1
        await asyncio.sleep(CALM_S)
        return {STOPPED: (answered - stopped_ns) / 1e9}

    async def stop_for(self, ms: int) -> dict[str, float]:
        """SIGSTOP of the leader for some milliseconds."""
        pid = self._pid(await self._leader())
        begun, epoch = time.monotonic_ns(), self._reader.epoch
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(ms / 1_000)
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(CALM_S)
        self.by_stop[ms] += self._reader.epoch > epoch
        return {f"longest silence, stop of {ms} ms": self._longest_silence(begun)}

    async def calm(self) -> dict[str, float]:
        """No fault."""
        begun = time.monotonic_ns()
        await asyncio.sleep(2 * CALM_S)
        slowest = [reported - sent for sent, reported in self._session.reported if sent >= begun]
        return {
            "longest silence without a fault": self._longest_silence(begun),
            "slowest report without a fault": max(slowest, default=0) / 1e9,
        }

    def _longest_silence(self, since_ns: int) -> float:
        times = sorted({at for at in self._reader.answered.values() if at >= since_ns})
        times = [since_ns, *times, time.monotonic_ns()]
        return max(b - a for a, b in itertools.pairwise(times)) / 1e9

    def _pid(self, name: str) -> int:
        pid = self._venue.supervisor.pid(name)
        if pid is None:
            raise RuntimeError(f"{name} does not run")
        return pid

    async def _leader(self) -> str:
        async with asyncio.timeout(READY_S):
            while True:
                leading = [n for n in ENGINES if await asyncio.to_thread(self._is_leading, n)]
                if len(leading) == 1:
                    return leading[0]
                await asyncio.sleep(0.1)

    def _is_leading(self, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self._venue.metrics[name]}/metrics", timeout=2) as page:  # noqa: S310
                found = re.search(
                    r"^exchange_engine_leading\{.*\} (\S+)", page.read().decode(), re.M
                )
        except OSError:
            return False
        return found is not None and float(found[1]) == 1

    async def _both_ready(self) -> None:
        await asyncio.to_thread(self._wait_ready)
        await asyncio.sleep(CALM_S)

    def _wait_ready(self) -> None:
        """Blocks until both engines say so; `attend` restarts what fell."""
        deadline = time.monotonic() + READY_S
        while not all(self._venue.is_ready(name) for name in ENGINES):
            if time.monotonic() > deadline:
                tails = "\n".join(self._venue.supervisor.log_tail(name) for name in ENGINES)
                raise RuntimeError(f"not ready:\n{tails}")
            time.sleep(0.1)


class Restated(WSListener):
    """A new connection of a member that asks for its open orders."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[int, int]] = {}  # market: order id: leaves
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._markets = 2

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Collects until every market's Restatement came."""
        if frame.msg_type != WSMsgType.TEXT:
            return
        for message in _messages.decode(frame.get_payload_as_bytes()):
            if isinstance(message, ExecutionReport) and message.exec_type == "RESTATED":
                own = self.orders.setdefault(message.market, {})
                own[int(message.order_id)] = message.leaves_quantity
            elif isinstance(message, Restatement):
                self._markets -= 1
                if not self._markets and not self.is_over.done():
                    self.is_over.set_result(None)


_messages = msgspec.json.Decoder(list[ExecutionReport | LoggedOn | Gap | Restatement])


async def restated(client: Client) -> dict[str, dict[int, int]]:
    """What a new session of the member is told of its open orders: market, id and leaves."""
    listener, key = Restated(), client.key
    url = f"{(await client.stream())._url}"
    transport, _ = await ws_connect(lambda: listener, url)
    signed = sign(key.private, key.id, "LOGON", "", b"", timestamp_ns=time.time_ns())
    logon = Logon(key.id, signed.timestamp_ns, signed.signature, restate=True)
    transport.send(WSMsgType.TEXT, msgspec.json.encode(logon))
    async with asyncio.timeout(ANSWER_S):
        await listener.is_over
    transport.disconnect()
    return listener.orders


# -- the whole run --------------------------------------------------------------------------------


async def rest_orders(client: Client) -> None:
    """Open orders of the member, below the market."""
    for number in range(RESTING):
        await client.new_order(SYMBOL, MEMBER_ACCOUNT, "BUY", 2, f"61.{number:02}")


async def measure(
    venue: LocalVenue, log: Log, figures: Figures, kills: int, stops: int, rate: int
) -> dict[str, Any]:
    """Every fault under load, then the checks. AssertionError when one fails."""
    market = venue.venue.market_of(CODE)
    load, reader = Load(log, market, rate), Reader(log, market)
    stop, ended = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        members = await stack.enter_async_context(
            Members(venue.data, venue.venue, venue.url, SystemClock())
        )
        await members.endow()
        await members.open_markets()
        member = await members.client(YANGTZE)
        await rest_orders(member)
        session = Session(member)
        watching = asyncio.create_task(attend(venue, ended))  # restarts what was killed
        following = [asyncio.create_task(work) for work in (reader.follow(), reader.watch_claims())]
        working = [asyncio.create_task(work) for work in (load.run(stop), session.run(stop))]
        try:
            faults = Faults(venue, load, reader, session)
            await break_it(faults, figures, kills, stops)
            stop.set()
            await asyncio.gather(*working)
            last = max(offset for _, offset in load.taken)
            await reader.until_answered(last)
            checks = await check(venue, log, load, reader, member)
        finally:
            ended.set()
            for task in [*following, *working]:
                task.cancel()
            await asyncio.gather(watching, *following, *working, return_exceptions=True)
    meant, by_stop = faults.takeovers, faults.by_stop
    checks["takeovers after kills and long stops"] = meant
    checks |= {f"takeovers after stops of {ms} ms": count for ms, count in by_stop.items()}
    checks["takeovers without a fault"] = reader.epoch - 1 - meant - sum(by_stop.values())
    return checks


async def break_it(faults: Faults, figures: Figures, kills: int, stops: int) -> None:
    """The faults in turn."""
    await asyncio.sleep(CALM_S)
    for number in range(max(kills, stops)):
        figures.add(await faults.calm())
        if number < kills:
            figures.add(await faults.kill())
        if number < stops:
            figures.add(await faults.stop())
            for ms in SHORT_STOPS_MS:
                figures.add(await faults.stop_for(ms))


async def check(
    venue: LocalVenue, log: Log, load: Load, reader: Reader, member: Client
) -> dict[str, Any]:
    """What must hold afterwards."""
    partition = venue.venue.market_of(CODE).partition
    unanswered = [offset for _, offset in load.taken if offset not in reader.answered]
    assert not unanswered, f"{len(unanswered)} orders were taken and not answered"
    told = (await restated(member)).get(CODE, {})
    positions = await project(log, partition)
    have = {
        order.order_id: order.leaves
        for order in positions.orders.values()
        if order.account_id == MEMBER_ACCOUNT
    }
    assert told == have, f"restated {told}, but the engine has {have}"
    assert len(told) >= RESTING
    found = await audit.verify(log, partition)
    assert found.is_sound, found.differences
    public = await remake(log, partition)
    assert not public.difference, public.difference
    fallen = {name: venue.supervisor.restarts(name) for name in venue.metrics}
    fallen = {name: count for name, count in fallen.items() if count and name not in ENGINES}
    assert not fallen, f"these ended by themselves: {fallen}"
    return {
        "orders taken": len(load.taken),
        "orders uncertain": load.uncertain,
        "records of orders": found.inputs,
        "repeats on events": found.repeats,
        "market data records": public.records,
        "market data repeats": public.repeats,
        "orders restated": len(told),
        "chain": found.chain.hex()[:16],
        "state": found.state_hash.hex()[:16],
    }


def show(
    console: Console, figures: Figures, checks: dict[str, Any], load_before: tuple[float, float]
) -> None:
    """The worst of each figure and the checks in a line, and how busy the machine was."""
    worst = {f.target.name.strip(): max(f.values) for f in figures.measured()}
    console.print("worst: " + ", ".join(f"{name} {value:.2f} s" for name, value in worst.items()))
    words = ", ".join(f"{name} {value}" for name, value in checks.items())
    console.print(f"OK: every answer once and in order; {words}")
    console.print(
        f"processes waiting for a core (1-minute load): {load_before[0]:.1f} before, "
        f"{os.getloadavg()[0]:.1f} after, of {os.cpu_count()} cores"
    )


def main(argv: list[str] | None = None) -> int:
    """Runs a venue and breaks it; 1 when a check fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.failover", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--rate", type=int, default=200, help="orders a second")
    parser.add_argument("--keep", action="store_true", help="add the figures to the history")
    given = parser.parse_args(argv)
    figures, before = Figures("failover", TARGETS), os.getloadavg()

    async def run(venue: LocalVenue) -> dict[str, Any]:
        await asyncio.to_thread(venue.wait_ready, READY_S)
        log = open_log(Settings(log=f"kafka:{venue.kafka.bootstrap}", data=venue.data))
        await log.start()
        try:
            return await measure(venue, log, figures, given.kills, given.stops, given.rate)
        finally:
            await log.close()

    with tempfile.TemporaryDirectory(prefix="failover-") as folder:
        venue = LocalVenue(
            Path(folder), http_port=0, websocket_port=0, fix_port=0, metrics_port=0, standby=True,
            log_level="warning", say=lambda _: None,
        )  # fmt: skip
        try:
            with venue:
                checks = uvloop.run(run(venue))
        finally:
            venue.postgres.remove()
    console = wide()
    figures.show(console)
    show(console, figures, checks, before[:2])
    checks["load average"] = [before[0], os.getloadavg()[0]]
    figures.save(checks, given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
