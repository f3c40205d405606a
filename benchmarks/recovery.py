"""What a snapshot costs while trading goes on, and how long a restart from one takes.

    python -m benchmarks.recovery [--commands N] [--rounds N] [--log embedded,kafka]
                                  [--frames 64,1024] [--only snapshot|restart]

snapshot   an engine with a million resting orders goes on with frames of 64 while a forked child
           describes its state (`exchange.engine.drafts`): the fork, in which nothing is applied;
           the slowest frame beside it, whose pages the system copies; the child's own time
restart    an engine's process starts on a log that holds ten million commands since the last
           snapshot: from its start until everything is computed, compared with `events`, and the
           engine leads. Beside it, each alone on the same data: reading, computing, sealing

Checked: the file has the hash which the engine had at the fork; a plain run over `orders` has the
hash of the engine that made the log, and a restarted one comes to the chain on `events`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.figures import Figures, Target, wide
from benchmarks.workload import MID, deep, frame, opening
from deploy.local.kafka import KafkaServer
from exchange import topics
from exchange.clock import SystemClock
from exchange.engine import EngineService
from exchange.engine.drafts import Draft, Mark
from exchange.engine.snapshots import EngineSnapshot, SnapshotStore, load, snapshots_of
from exchange.log import open_log
from exchange.log.protocol import Log, Partition
from exchange.logging import configure
from exchange.messages.frames import GENESIS, seal_events
from exchange.reference.venue import Market
from exchange.settings import READ_RECORDS_MAX, SNAPSHOTS_KEPT, Settings
from matching import Engine, EngineProtocol
from matching.layout import (
    COMMAND,
    COUNT_MAX,
    INDEX_BITS,
    RECORD_SIZE,
    Command,
    OrderType,
    Side,
    TimeInForce,
)

MARKET = Market("XX", 0, "EUR")
ORDERS, EVENTS = topics.orders(0), topics.events(0)
ACCOUNTS = 5_000
CHUNK = 1_024_000  # commands made at once: whole frames, and whole fives
APPENDED = 65_536  # commands appended at once
RESTING, LEVELS = 1_000_000, 50_000
CHILD_S = 900
FLOW, FRAMES_BEFORE = 100_000_000, 2_000
PACE_S = 0.001  # between two frames beside the child: some 50,000 commands a second
PARTS = (
    "  alone: reading orders",
    "  alone: reading events",
    "  alone: engine",
    "  alone: sealing",
)


def flow(commands: int, batch: int, first: int) -> Iterator[bytes]:
    """Frames from offset `first` on: three new orders, then cancels of the first two, again."""
    random = np.random.default_rng(7)
    for begin in range(0, commands, CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, commands))
        table = np.zeros(len(rows), COMMAND)
        is_new, named = rows % 5 < 3, rows - 3
        account = random.integers(1, ACCOUNTS + 1, len(rows))
        side = random.integers(Side.BUY, Side.SELL + 1, len(rows))
        away = random.integers(-8, 9, len(rows))
        table["kind"] = np.where(is_new, Command.NEW_ORDER, Command.CANCEL_ORDER)
        table["account_id"] = np.where(is_new, account, np.roll(account, 3))
        table["order_id"] = np.where(is_new, 0, first + named // batch << INDEX_BITS)
        table["order_id"] |= np.where(is_new, 0, named % batch).astype(np.uint64)
        for name, values in (
            ("instrument_id", 1), ("side", side), ("order_type", OrderType.LIMIT),
            ("time_in_force", TimeInForce.DAY), ("quantity", random.integers(1, 50, len(rows))),
            ("price", MID + away), ("client_order_id", (rows + 1).astype("<u8").view("S8")),
        ):  # fmt: skip
            table[name][is_new] = values if isinstance(values, int) else values[is_new]
        data, step = table.tobytes(), batch * RECORD_SIZE
        for at in range(0, len(data), step):
            yield frame(data[at : at + step], first + (begin * RECORD_SIZE + at) // step)


# -- a log that holds it --------------------------------------------------------------------------


async def make(log: Log, data: Path, commands: int, batch: int) -> str:
    """Fills `orders` and `events`, with a snapshot before the flow; the state's hash at the end."""
    await log.create(topics.of_market(MARKET.partition))
    engine, chain = Engine(), GENESIS
    table = opening(1, ACCOUNTS).tobytes()
    size = COUNT_MAX * RECORD_SIZE
    opened = [frame(table[at : at + size]) for at in range(0, len(table), size)]
    chain = await _append(log, engine, chain, opened)
    store = snapshots_of(data, MARKET.code)
    place = await log.end(EVENTS)
    begun = EngineSnapshot(engine.next_offset, engine.next_event, place, chain, engine.snapshot())
    store.save(begun, writer=1)
    frames: list[bytes] = []
    for made in flow(commands, batch, engine.next_offset):
        frames.append(made)
        if len(frames) * batch >= APPENDED:
            chain = await _append(log, engine, chain, frames)
            frames = []
    await _append(log, engine, chain, frames)
    return engine.state_hash().hex()


async def _append(log: Log, engine: EngineProtocol, chain: bytes, frames: Sequence[bytes]) -> bytes:
    """The chain behind the frames, which are on the log with what the engine says to them."""
    if not frames:
        return chain
    first = engine.next_offset
    await log.append(ORDERS, frames)
    reader = await log.open_reader(ORDERS, first)
    said: list[bytes] = []
    while reader.position < first + len(frames):
        for record in await reader.read(READ_RECORDS_MAX, 1.0):
            first_event = engine.next_event
            events = engine.apply(record.offset, record.append_ns, record.value)
            parts, chain = seal_events(
                events, input_offset=record.offset, first_event=first_event,
                epoch=engine.epoch, time_ns=engine.time_ns, chain=chain,
            )  # fmt: skip
            said += parts
    await reader.close()
    await log.append(EVENTS, said)
    return chain


# -- the process that starts on it ----------------------------------------------------------------


def cpu_s() -> float:
    """Seconds of a core that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def restart(settings: Settings) -> dict[str, Any]:
    """Starts the engine's service and waits until it leads; seconds, and the state's hash."""
    log, clock = open_log(settings, SystemClock()), SystemClock()
    begun, used = time.perf_counter(), cpu_s()
    await log.start()
    service, stop = EngineService(log, MARKET, settings, clock, node=2), asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    found: dict[str, Any] = {}
    while not service.is_leading:
        if task.done():
            task.result()
        if not found and service.is_ready:
            found = {"computed": time.perf_counter() - begun}
        await asyncio.sleep(0.005)
    found |= {"leads": time.perf_counter() - begun, "cpu": cpu_s() - used}
    stop.set()
    await task
    await log.close()
    return found


async def alone(settings: Settings) -> dict[str, Any]:
    """Each part of a restart by itself: seconds of a core; and the hash of a plain run."""
    log = open_log(settings, SystemClock())
    await log.start()
    store = snapshots_of(settings.data, MARKET.code)
    begun = load(store.newest_first()[-1])
    engine, chain = Engine.restore(begun.state), begun.chain
    spent = dict.fromkeys(PARTS, 0.0)

    async def read(partition: Partition, first: int, end: int, part: str) -> AsyncIterator[Any]:
        reader = await log.open_reader(partition, first)
        while reader.position < end:
            used = cpu_s()
            records = await reader.read(READ_RECORDS_MAX, 1.0)
            spent[part] += cpu_s() - used
            for record in records[: len(records) - max(reader.position - end, 0)]:
                yield record
        await reader.close()

    async for record in read(ORDERS, begun.next_offset, await log.end(ORDERS), PARTS[0]):
        used, first_event = time.thread_time(), engine.next_event
        events = engine.apply(record.offset, record.append_ns, record.value)
        applied = time.thread_time()
        _, chain = seal_events(
            events, input_offset=record.offset, first_event=first_event, epoch=engine.epoch,
            time_ns=engine.time_ns, chain=chain,
        )  # fmt: skip
        spent[PARTS[2]] += applied - used
        spent[PARTS[3]] += time.thread_time() - applied
    async for _ in read(EVENTS, begun.events_offset, await log.end(EVENTS), PARTS[1]):
        pass
    await log.close()
    return {**spent, "hash": engine.state_hash().hex()}


def in_child(work: str, settings: Settings) -> dict[str, Any]:
    """What a process of its own finds: `restart` or `alone`."""
    command = [sys.executable, "-m", "benchmarks.recovery", "--child", work]
    command += ["--log", settings.log, "--data", str(settings.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHILD_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{work}: {done.stderr[-2_000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def name_of(log: str, batch: int, what: str) -> str:
    """A figure's name."""
    return f"{log}, frames of {batch:,}: {what}"


def restarts(
    log: str, address: str, folder: Path, batch: int, commands: int, rounds: int, figures: Figures
) -> None:
    """Fills a log once, then starts an engine on it again and again."""
    settings = Settings(log=address, data=folder)

    async def fill() -> str:
        with_log = open_log(settings, SystemClock())
        await with_log.start()
        try:
            return await make(with_log, folder, commands, batch)
        finally:
            await with_log.close()

    expected = uvloop.run(fill())
    parts = in_child("alone", settings)
    assert parts.pop("hash") == expected
    figures.add({name_of(log, batch, part): seconds for part, seconds in parts.items()})
    kept = sorted((folder / "snapshots" / MARKET.code).glob("*.snapshot"))[0]
    for _ in range(rounds):
        for path in kept.parent.glob("*.snapshot"):
            if path != kept:  # the last round's
                path.unlink()
        found = in_child("restart", settings)
        figures.add(
            {
                name_of(log, batch, "restart"): found["leads"],
                name_of(log, batch, "  of it computed and compared"): found["computed"],
                name_of(log, batch, "  CPU"): found["cpu"],
            }
        )


# -- a snapshot while trading goes on -------------------------------------------------------------


class Snapshots:
    """One million resting orders, frames of 64, and a child that describes the state."""

    def __init__(self, folder: Path) -> None:
        workload = deep(RESTING, LEVELS, cancels=0, is_book=True).framed(64)
        self._engine = Engine()
        self._engine.reserve(workload.orders, 4 * RESTING)
        for data in workload.opening:
            self._engine.apply(self._engine.next_offset, 0, data)
        self._frames = flow(FLOW, 64, self._engine.next_offset)
        self._store = SnapshotStore(folder, kept=SNAPSHOTS_KEPT)

    def _apply(self, frames: int) -> list[int]:
        """Nanoseconds of a core, frame by frame."""
        took = []
        for _ in range(frames):
            data = next(self._frames)
            begun = time.thread_time_ns()
            self._engine.apply(self._engine.next_offset, 0, data)
            took.append(time.thread_time_ns() - begun)
        return took

    async def round(self) -> dict[str, float]:
        """One snapshot; AssertionError unless its file has the hash of the fork."""
        engine, calm = self._engine, self._apply(FRAMES_BEFORE)
        expected = engine.state_hash()
        mark = Mark(engine.next_offset, engine.next_event, GENESIS)
        wall, used = time.perf_counter_ns(), time.thread_time_ns()
        draft = Draft(mark, self._store, engine, 1)
        forked, wall = time.thread_time_ns() - used, time.perf_counter_ns() - wall
        draft.confirm(0)
        begun, ending, busy = time.perf_counter(), asyncio.create_task(draft.ended()), []
        while not ending.done():
            busy += self._apply(1)
            await asyncio.sleep(PACE_S)
        assert ending.result() is None, ending.result()
        took = time.perf_counter() - begun
        newest = self._store.newest()
        assert newest is not None
        assert newest.next_offset == mark.next_offset
        assert newest.state[-len(expected) :] == expected
        return {
            FORK_WALL: wall / 1e6,
            FORK_CPU: forked / 1e6,
            "slowest frame of 64 without": max(calm) / 1e6,
            "slowest frame of 64 beside it": max(busy) / 1e6,
            "mean frame of 64 without": sum(calm) / len(calm) / 1e3,
            "mean frame of 64 beside it": sum(busy) / len(busy) / 1e3,
            "the child, to the file": took,
        }


# -- the whole run --------------------------------------------------------------------------------

FORK_WALL, FORK_CPU = "snapshot of 1,000,000 orders: nothing applied", "  of it on a core"
SNAPSHOT_TARGETS = (
    Target(FORK_WALL, "ms", 10, is_ceiling=True),
    Target(FORK_CPU, "ms", 10, is_ceiling=True),
    Target("slowest frame of 64 without", "ms", is_ceiling=True),
    Target("slowest frame of 64 beside it", "ms", 10, is_ceiling=True),
    Target("mean frame of 64 without", "us", is_ceiling=True),
    Target("mean frame of 64 beside it", "us", is_ceiling=True),
    Target("the child, to the file", "s", is_ceiling=True),
)


def targets(logs: Sequence[str], batches: Sequence[int]) -> list[Target]:
    """Of the snapshot, and of every log and frame size."""
    found = list(SNAPSHOT_TARGETS)
    for log in logs:
        for batch in batches:
            found.append(Target(name_of(log, batch, "restart"), "s", 10, is_ceiling=True))
            for part in ("  of it computed and compared", "  CPU", *PARTS):
                found.append(Target(name_of(log, batch, part), "s", is_ceiling=True))
    return found


def run(given: argparse.Namespace) -> Figures:
    """Every measurement, each in a folder of its own."""
    logs = given.log.split(",")
    batches = [int(batch) for batch in given.frames.split(",")]
    figures = Figures("recovery", targets(logs, batches))
    if given.only != "restart":
        with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
            snapshots = Snapshots(Path(folder))
            for _ in range(given.rounds):
                figures.add(uvloop.run(snapshots.round()))
            del snapshots
    for log in logs if given.only != "snapshot" else ():
        for batch in batches:
            with ExitStack() as stack:
                data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="recovery-")))
                address = "embedded"
                if log == "kafka":
                    broker = stack.enter_context(KafkaServer(data / "kafka"))
                    address = f"kafka:{broker.bootstrap}"
                venue = data / "venue"
                restarts(log, address, venue, batch, given.commands, given.rounds, figures)
    return figures


def main(argv: list[str] | None = None) -> int:
    """Prints the table, writes the JSON; raises when a check fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--commands", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--log", default="embedded,kafka", help="with commas")
    parser.add_argument("--frames", default="64,1024", help="commands of a frame, with commas")
    parser.add_argument("--only", choices=("snapshot", "restart"))
    parser.add_argument("--keep", action="store_true", help="add the figures to the history")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, default=Path(), help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.child:
        configure("error", service="recovery")
        work = restart if given.child == "restart" else alone
        print(json.dumps(uvloop.run(work(Settings(log=given.log, data=given.data)))))
        return 0
    before = os.getloadavg()[0]
    figures, console = run(given), wide()
    figures.show(console)
    console.print(
        f"OK: hashes agree; {given.commands:,} commands; processes waiting for a core (1-minute "
        f"load): {before:.1f} before, {os.getloadavg()[0]:.1f} after, of {os.cpu_count()} cores"
    )
    figures.save({"commands": given.commands, "load": [before, os.getloadavg()[0]]}, given.keep)
    return 0


if __name__ == "__main__":
    sys.exit(main())
