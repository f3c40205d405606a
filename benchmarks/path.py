"""The whole path through real Kafka: gateway queue -> `orders` -> engine -> `events` -> gateway.

Open loop: every order has a planned time of sending, and its latency counts from that time until
its first event is read back, however late the load generator or the venue is (no coordinated
omission). The broker, the engine and the gateway side are three processes. Afterwards the readable
reference engine replays `orders` and must say every byte that stands on `events`.

    python -m benchmarks.path [--rates 2000,20000,50000] [--seconds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import uvloop
from hdrh.histogram import HdrHistogram
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from deploy.local.kafka import KafkaServer
from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import EngineService
from exchange.engine.snapshots import snapshots_of
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.logging import configure
from exchange.messages.frames import (
    Command,
    EventFollower,
    OrderType,
    Parameter,
    Phase,
    Side,
    TimeInForce,
    build_commands,
    command,
    seal_events,
)
from exchange.reference.venue import Market
from exchange.settings import READ_RECORDS_MAX, Settings
from gateway.entry.submitter import Submitter, Ticket
from gateway.refusal import Refused
from matching import Engine, EngineProtocol
from matching.reference import Engine as ReferenceEngine

MARKET = Market("EU", 0, "EUR")
RESULTS = Path(__file__).parent / "results"
INSTRUMENTS = 4
ACCOUNTS = 64
MIDDLE = 7_000  # minor units
WIDTH = 40  # ticks around the middle
PLENTY = 10**15
DRAIN_S = 60.0
TICK_S = 0.001
REPLAY_WAIT_S = 0.5


class Run(NamedTuple):
    """What one rate gave. Latencies in microseconds."""

    offered_per_s: int
    sent: int
    refused: int
    answered_per_s: int
    records: int
    p50_us: int
    p99_us: int
    p999_us: int
    max_us: int


COLUMNS = ("offered/s", "sent", "refused", "answered/s", "frames", "p50", "p99", "p99.9", "max")


class Workload:
    """Seeded commands: 60 % orders that rest, 25 % that take, 15 % cancels of a resting one."""

    def __init__(
        self,
        seed: int,
        accounts: Sequence[int] = range(1, ACCOUNTS + 1),
        instruments: Sequence[int] = range(1, INSTRUMENTS + 1),
    ) -> None:
        self._rng = random.Random(seed)
        self._accounts, self._instruments = accounts, instruments
        self._labels: list[tuple[int, int, bytes]] = []
        self._count = 0

    def next(self) -> bytes:
        """The next command, 64 bytes. O(1)."""
        rng = self._rng
        self._count += 1
        chance = rng.random()
        if chance < 0.15 and self._labels:
            at = rng.randrange(len(self._labels))
            self._labels[at], self._labels[-1] = self._labels[-1], self._labels[at]
            account, instrument, label = self._labels.pop()
            return command(
                Command.CANCEL_ORDER,
                account_id=account,
                instrument_id=instrument,
                client_order_id=label,
            )
        account, instrument = rng.choice(self._accounts), rng.choice(self._instruments)
        side = rng.choice((Side.BUY, Side.SELL))
        is_taker = chance > 0.75
        away = rng.randint(1, WIDTH)
        is_above = (side == Side.BUY) == is_taker
        label = f"P{self._count}".encode()
        if not is_taker:
            self._labels.append((account, instrument, label))
        return command(
            Command.NEW_ORDER,
            account_id=account,
            instrument_id=instrument,
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.IOC if is_taker else TimeInForce.DAY,
            quantity=rng.randint(1, 50),
            price=MIDDLE + (away if is_above else -away),
            client_order_id=label,
        )


class Answers:
    """Matches what `events` answers with what was planned."""

    def __init__(self, clock: SystemClock) -> None:
        self.histogram = HdrHistogram(1, 120_000_000, 3)
        self.answered = 0
        self.records = 0
        self.last_ns = 0
        self._clock = clock
        self._moved = asyncio.Event()
        self._planned: dict[int, list[int]] = {}  # input offset -> planned times
        self._seen: dict[int, int] = {}  # input offset -> when read, before the append returned

    def reset(self) -> None:
        """A new rate begins: everything before it has been answered."""
        self.histogram.reset()
        self.answered = self.records = self.last_ns = 0

    async def until(self, answered: int) -> None:
        """Waits until so many orders have their answer."""
        while self.answered < answered:
            self._moved.clear()
            await self._moved.wait()

    def appended(self, planned_ns: int, position: int) -> None:
        """The log has the order at `position`."""
        offset = position >> 16
        if offset in self._seen:
            self._record(planned_ns, self._seen[offset])
        else:
            self._planned.setdefault(offset, []).append(planned_ns)

    async def follow(self, log: Log, offset: int) -> None:
        """Reads `events` until cancelled."""
        reader = await log.open_reader(topics.events(MARKET.partition), offset)
        follower = EventFollower()
        try:
            while True:
                for record in await reader.read(READ_RECORDS_MAX, 0.2):
                    part = follower.accept(record.offset, record.value)
                    if part is not None and part.is_last:
                        self._read(part.input_offset)
        finally:
            await reader.close()

    def _read(self, offset: int) -> None:
        now = self._clock.monotonic_ns()
        self.records += 1
        waiting = self._planned.pop(offset, None)
        if waiting is None:
            self._seen = {key: at for key, at in self._seen.items() if key > offset - 4_096}
            self._seen[offset] = now
            return
        for planned in waiting:
            self._record(planned, now)

    def _record(self, planned_ns: int, now: int) -> None:
        self.histogram.record_value(max(1, (now - planned_ns) // 1_000))
        self.answered += 1
        self.last_ns = max(self.last_ns, now)
        self._moved.set()


async def offer(
    submitter: Submitter, answers: Answers, commands: list[bytes], rate: int
) -> tuple[int, int]:
    """Sends each command at its planned time; (start in ns, refused)."""
    clock = SystemClock()
    start = clock.monotonic_ns() + 10_000_000
    refused = 0
    sent = 0

    def answer_to(planned: int) -> Callable[[Ticket], None]:
        def done(ticket: Ticket) -> None:
            if ticket.position < 0:
                raise RuntimeError(f"not appended: {ticket.refused}")
            answers.appended(planned, ticket.position)

        return done

    while sent < len(commands):
        due = min(len(commands), (clock.monotonic_ns() - start) * rate // 10**9 + 1)
        while sent < due:
            planned = start + sent * 10**9 // rate
            ticket = Ticket((commands[sent],), answer_to(planned))
            try:
                submitter.submit(ticket)
            except Refused:
                refused += 1
            sent += 1
        await asyncio.sleep(TICK_S)
    return start, refused


async def measure(
    submitter: Submitter, answers: Answers, workload: Workload, rate: int, seconds: int
) -> Run:
    """One rate for some seconds, then until the last answer."""
    commands = [workload.next() for _ in range(rate * seconds)]
    answers.reset()
    start, refused = await offer(submitter, answers, commands, rate)
    expected = len(commands) - refused
    async with asyncio.timeout(DRAIN_S):
        await answers.until(expected)
    took_ns = max(answers.last_ns - start, 1)
    histogram = answers.histogram
    return Run(
        rate,
        expected,
        refused,
        expected * 10**9 // took_ns,
        answers.records,
        int(histogram.get_value_at_percentile(50)),
        int(histogram.get_value_at_percentile(99)),
        int(histogram.get_value_at_percentile(99.9)),
        int(histogram.get_max_value()),
    )


async def bootstrap(log: Log) -> None:
    """Instruments, accounts, cash and units, as the first record of `orders`."""
    commands = []
    for instrument in range(1, INSTRUMENTS + 1):
        commands.append(command(Command.INSTRUMENT_OPEN, instrument_id=instrument))
        commands += [
            command(
                Command.INSTRUMENT_PARAMETER,
                instrument_id=instrument,
                order_type=parameter,
                quantity=value,
            )
            for parameter, value in ((Parameter.MAKER_FEE_BP, 2), (Parameter.TAKER_FEE_BP, 3))
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
    frame = build_commands(commands, writer=1, batch=0, time_ns=SystemClock().now_ns())
    await log.append(topics.orders(MARKET.partition), [frame])


async def check(log: Log, end: int) -> dict[str, int | str | bool]:
    """Replays `orders` up to `end` with the reference engine and compares `events` with it."""
    engine, chain, parts, differing, commands = ReferenceEngine(), bytes(32), 0, 0, 0
    orders, events = topics.orders(MARKET.partition), topics.events(MARKET.partition)
    inputs = await log.open_reader(orders, 0)
    outputs = await log.open_reader(events, 0)
    follower = EventFollower()
    while inputs.position < end:
        for record in await inputs.read(64, REPLAY_WAIT_S):
            commands += (len(record.value) - 80) // 64
            first = engine.next_event
            said = engine.apply(record.offset, record.append_ns, record.value)
            sealed, chain = seal_events(
                said,
                input_offset=record.offset,
                first_event=first,
                epoch=engine.epoch,
                time_ns=engine.time_ns,
                chain=chain,
            )
            for _ in sealed:
                part = None
                while part is None:
                    (found,) = await outputs.read(1, 5.0)
                    part = follower.accept(found.offset, found.value)
                parts += 1
            differing += follower.chain != chain
    await inputs.close()
    await outputs.close()
    return {
        "commands": commands,
        "records": engine.next_offset,
        "events": engine.next_event,
        "parts": parts,
        "trades_and_books_sound": engine.self_check() == [],
        "state_hash": engine.state_hash().hex(),
        "differing_records": differing,
    }


def stopped_engine(data: Path) -> EngineProtocol:
    """The engine as the snapshot which its process left at its stop describes it."""
    store = snapshots_of(data, MARKET.code)
    newest = store.newest()
    if newest is None:
        raise ValueError(f"no snapshot under {data}")
    return Engine.restore(newest.state)


async def run(bootstrap_servers: str, data: Path, rates: list[int], seconds: int) -> int:
    """Drives the load; 1 when the check fails."""
    settings = Settings(log=f"kafka:{bootstrap_servers}", data=data)
    log = open_log(settings)
    await log.start()
    await log.create(topics.of_market(MARKET.partition))
    await bootstrap(log)
    engine = subprocess.Popen(  # noqa: ASYNC220 - before the load
        [sys.executable, "-m", "benchmarks.path", "--engine", settings.log, "--data", str(data)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    clock = SystemClock()
    submitter = Submitter(log, MARKET, clock, writer=2, batch_interval_us=500)
    answers = Answers(clock)
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(answers.follow(log, 0)),
        asyncio.create_task(submitter.run(stop)),
    ]
    workload = Workload(1)
    runs = []
    try:
        await measure(submitter, answers, workload, 1_000, 2)  # warm up
        for rate in rates:
            runs.append(await measure(submitter, answers, workload, rate, seconds))
    finally:
        engine.terminate()
        engine.wait()
        stop.set()
        tasks[0].cancel()
        with suppress(asyncio.CancelledError):
            await tasks[0]
        await tasks[1]
    stopped = stopped_engine(data)
    checked = await check(log, stopped.next_offset)
    await log.close()
    return report(runs, checked, stopped.state_hash().hex(), seconds)


def report(
    runs: list[Run], checked: dict[str, int | str | bool], engine_hash: str, seconds: int
) -> int:
    """Prints the table, writes the JSON; 1 when the answer is wrong."""
    out = Console()
    title = f"gateway -> Kafka -> engine -> Kafka -> gateway, {seconds} s a rate, latencies in ms"
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for row in runs:
        counts, latencies = row[:5], row[5:]
        table.add_row(
            *(f"{value:,}" for value in counts), *(f"{value / 1_000:.1f}" for value in latencies)
        )
    out.print(table)
    is_right = (
        checked["differing_records"] == 0
        and bool(checked["trades_and_books_sound"])
        and checked["state_hash"] == engine_hash
    )
    word = "OK" if is_right else "FAIL"
    out.print(
        f"{word}: the reference engine says the same bytes for {checked['records']:,} records "
        f"({checked['commands']:,} commands, {checked['events']:,} events); "
        f"state hash {str(checked['state_hash'])[:16]}, engine's {engine_hash[:16]}"
    )
    RESULTS.mkdir(exist_ok=True)
    result = {
        "cpus": os.cpu_count(),
        "python": sys.version.split()[0],
        "numpy": np.__version__,
        "seconds": seconds,
        "runs": [row._asdict() for row in runs],
        "check": {**checked, "engine_state_hash": engine_hash, "ok": is_right},
    }
    (RESULTS / "path.json").write_text(json.dumps(result, indent=2) + "\n")
    return 0 if is_right else 1


async def serve_engine(log_name: str, data: Path) -> None:
    """The engine process: until SIGTERM."""
    configure("warning", service="engine")
    log = open_log(Settings(log=log_name, data=data))
    await log.start()
    service = EngineService(log, MARKET, Settings(log=log_name, data=data), SystemClock())
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await service.run(stop)
    await log.close()


def main(argv: list[str] | None = None) -> int:
    """Starts a broker, runs the rates, checks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.path", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--rates", default="2000,20000,50000", help="orders a second, with commas")
    parser.add_argument("--seconds", type=int, default=5, help="for each rate")
    parser.add_argument("--engine", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.engine:
        uvloop.run(serve_engine(given.engine, given.data))
        return 0
    rates = [int(rate) for rate in given.rates.split(",")]
    with tempfile.TemporaryDirectory(prefix="path-") as folder:
        data = Path(folder)
        with KafkaServer(data / "kafka") as kafka:
            return uvloop.run(run(kafka.bootstrap, data / "venue", rates, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
