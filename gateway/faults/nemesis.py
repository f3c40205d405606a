"""What goes wrong, when and to whom: drawn from the seed, as often as the plan says."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from exchange import topics
from exchange.fault_points import NAMES
from exchange.log.simulated import NO_FAULTS, Cut
from exchange.simulation.faults.loop import PROCESS
from exchange.simulation.faults.plan import Plan
from gateway.faults.house import House, Node
from gateway.faults.members import Member
from gateway.faults.wire import SimulatedGateway

HOUR_NS = 3_600 * 10**9
BACKUP = "backup.sqlite"
FAVOURITES = 4  # fault points at which a run's processes die often
FAVOURITE = 0.2  # how likely there
SELDOM = frozenset({"settlement.steps.after", "registry.deposits.after"})
FAVOURITE_SELDOM = 0.7  # and at those that a run passes only a few times
GATEWAY_RESTART_S = 0.3
DEATHS_MAX = 4  # and how often at one of them


def favourites(plan: Plan) -> frozenset[str]:
    """The fault points at which processes of a run die often; none where points are left out."""
    if "point" not in plan.rates:
        return frozenset()
    return frozenset(random.Random(f"{plan.seed}/points").sample(NAMES, FAVOURITES))


class CrashedHereError(BaseException):
    """The process dies at this very place; nothing in it can go on."""


class Nemesis:
    """Breaks things until it is told to stop, then mends them all."""

    def __init__(self, house: House, members: list[Member]) -> None:
        self._house = house
        self._members = members
        self._rng = random.Random(f"{house.plan.seed}/nemesis")
        self._favourites = favourites(house.plan)
        self._deaths: Counter[str] = Counter()  # by fault point
        self._is_raining = False
        self._is_disk_full = False
        self._tasks: list[asyncio.Task[None]] = []
        self._table: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "crash": self._crash, "power_cut": self._power_cut, "pause": self._pause,
            "cut_both": self._cut_both, "cut_answers": self._cut_answers, "clog": self._clog,
            "wire_cut": self._wire_cut, "wire_clog": self._wire_clog, "clock": self._clock,
            "log_away": self._log_away, "torn_snapshot": self._torn_snapshot,
            "disk_full": self._disk_full, "old_books": self._old_books,
            "retention": self._retention,
        }  # fmt: skip

    def begin(self) -> None:
        """From now on things go wrong."""
        self._is_raining = True
        self._house.disk.faults = self._house.plan.log
        loop = self._house.loop
        for kind, rate in self._house.plan.rates.items():
            if kind in self._table:
                self._tasks.append(loop.create_task(self._again(kind, rate)))

    async def end(self) -> None:
        """Mends everything: no fault is left and every process runs or is about to."""
        self._is_raining = self._is_disk_full = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        house = self._house
        house.disk.faults = NO_FAULTS
        house.disk.is_away = False
        house.cuts.clear()
        house.log_clock.offset_ns = 0
        self._restore()
        for node in house.nodes.values():
            node.log.cut = ""
            node.clock.offset_ns = 0
            house.loop.go_on(node.process)
            if not node.is_running:
                node.start_later(0.1)
        for member in self._members:
            if member.wire is not None:
                member.wire.clogged_until = 0.0

    def reached(self, name: str) -> None:
        """The hook of the fault points: here a process may die, or a disk be full."""
        house, process = self._house, PROCESS.get()
        node = house.node_of(process)
        if not self._is_raining or node is None or process is None or not process.is_alive:
            return
        if name == "engine.snapshot.before" and self._is_disk_full:
            house.shapes["snapshot_disk_full"] += 1
            raise OSError(errno.ENOSPC, "no space left on device")
        chance = house.plan.rates.get("point", 0)
        if name in self._favourites and self._deaths[name] < DEATHS_MAX:
            chance = FAVOURITE_SELDOM if name in SELDOM else FAVOURITE
        if self._rng.random() < chance:
            self._deaths[name] += 1
            house.shapes[f"crash_at_{name}"] += 1
            node.crash(self._rng.uniform(0.1, 1.5))
            raise CrashedHereError(name)

    async def _again(self, kind: str, rate: float) -> None:
        while True:
            await asyncio.sleep(self._rng.expovariate(rate))
            await self._table[kind]()

    def _count(self, kind: str, node: Node | None = None) -> None:
        role = f"_{node.name.partition('-')[0]}" if node is not None else ""
        self._house.shapes[f"{kind}{role}"] += 1

    def _node(self, role: str = "") -> Node:
        return self._rng.choice([n for name, n in self._house.nodes.items() if role in name])

    # -- processes ------------------------------------------------------------------------------

    async def _crash(self) -> None:
        node = self._node()
        if node.is_running:
            self._count("crash", node)
            node.crash(self._rng.uniform(0.1, 3))

    async def _power_cut(self) -> None:
        self._count("power_cut")
        for node in self._house.nodes.values():
            node.crash(self._rng.uniform(0.5, 3))
        await asyncio.sleep(2)

    async def _pause(self) -> None:
        node = self._node()
        if not node.is_running or node.process.is_paused:
            return
        self._count("pause", node)
        process = node.process
        process.is_paused = True
        await asyncio.sleep(self._rng.uniform(0.2, 5))
        self._house.loop.go_on(process)

    # -- the log --------------------------------------------------------------------------------

    async def _cut_both(self) -> None:
        await self._cut("both", [self._node()])

    async def _cut_answers(self) -> None:
        await self._cut("answers", [self._node()])

    async def _clog(self) -> None:
        """Stops the connections of some, one by one, and lets them go in another order."""
        nodes = self._rng.sample(list(self._house.nodes.values()), self._rng.randint(2, 5))
        self._count("swizzle")
        await self._cut("both", nodes)

    async def _cut(self, way: Cut, nodes: list[Node]) -> None:
        house = self._house
        for node in nodes:
            self._count(f"cut_{way}", node)
            house.cuts[node.name] = node.log.cut = way
            await asyncio.sleep(self._rng.uniform(0, 0.3))
        await asyncio.sleep(self._rng.uniform(0.3, 5))
        self._rng.shuffle(nodes)
        for node in nodes:
            house.cuts.pop(node.name, None)
            node.log.cut = ""
            await asyncio.sleep(self._rng.uniform(0, 0.3))

    async def _log_away(self) -> None:
        self._count("log_away")
        self._house.disk.is_away = True
        await asyncio.sleep(self._rng.uniform(0.3, 4))
        self._house.disk.is_away = False

    async def _retention(self) -> None:
        """Takes the events of a market from a reader that needs them, until people restore them."""
        house = self._house
        market = self._rng.choice(house.venue.market)
        partition = topics.events(market.partition)
        readers = [
            node
            for name, node in house.nodes.items()
            if name.startswith("gateway") or name.endswith(f"-{market.code}")
        ]
        reader = self._rng.choice(readers)
        self._count("retention", reader)
        house.disk.delete_before(partition, len(house.disk.records(partition)))
        reader.crash(self._rng.uniform(0.1, 0.5))
        await asyncio.sleep(self._rng.uniform(1, 4))
        self._restore()

    def _restore(self) -> None:
        """What retention took is there again; gateways that had to do without are restarted."""
        house = self._house
        for market in house.venue.market:
            house.disk.restore(topics.events(market.partition))
        for node in house.nodes.values():
            service: Any = node.service
            if not node.is_running or not isinstance(service, SimulatedGateway):
                continue
            if any(view.failure is not None for view in service.context.views.values()):
                house.shapes["market_stopped"] += 1
                node.crash(GATEWAY_RESTART_S)

    # -- members, clocks, disks -----------------------------------------------------------------

    async def _wire_cut(self) -> None:
        self._count("wire_cut")
        self._rng.choice(self._members).hang_up()

    async def _wire_clog(self) -> None:
        wire = self._rng.choice(self._members).wire
        if wire is not None:
            self._count("wire_clog")
            wire.clogged_until = self._house.loop.time() + self._rng.uniform(0.2, 4)

    async def _clock(self) -> None:
        clocks = [node.clock for node in self._house.nodes.values()]
        clock = self._rng.choice([*clocks, self._house.log_clock, self._house.log_clock])
        self._count("clock_of_log" if clock is self._house.log_clock else "clock_of_process")
        clock.offset_ns = self._rng.choice((HOUR_NS, -HOUR_NS, HOUR_NS // 60, -HOUR_NS // 600))
        await asyncio.sleep(self._rng.uniform(0.5, 4))
        clock.offset_ns = 0

    async def _torn_snapshot(self) -> None:
        """Of an engine a snapshot, of one who has them a stand."""
        node = self._node("engine")
        paths = sorted(node.data.glob("snapshots/*/*.snapshot"))
        if paths and node.is_running:
            self._count("torn_snapshot")
            self._tear(node, paths[-1])
        stands = [
            (other, path)
            for other in self._house.nodes.values()
            for path in sorted(other.data.glob("stands/*.stand"))
        ]
        if stands:
            self._count("torn_stand")
            self._tear(*self._rng.choice(stands))

    def _tear(self, node: Node, path: Path) -> None:
        node.crash(self._rng.uniform(0.1, 2))
        data = bytearray(path.read_bytes())
        if self._rng.random() < 0.5:
            del data[self._rng.randrange(len(data)) :]
        else:
            data[self._rng.randrange(len(data))] ^= 1 << self._rng.randrange(8)
        path.write_bytes(data)

    async def _disk_full(self) -> None:
        self._is_disk_full = True
        await asyncio.sleep(self._rng.uniform(1, 6))
        self._is_disk_full = False

    async def _old_books(self) -> None:
        """The machine with the books comes back with those of some time ago."""
        house = self._house
        backup = house.folder / BACKUP
        backup.unlink(missing_ok=True)
        source, target = sqlite3.connect(house.books_path), sqlite3.connect(backup)
        source.backup(target)
        source.close()
        target.close()
        await asyncio.sleep(self._rng.uniform(0.2, 3))
        owners = [n for name, n in house.nodes.items() if name.startswith(("settle", "registry"))]
        for node in owners:
            node.crash(self._rng.uniform(0.2, 1.5))
        for suffix in ("-wal", "-shm"):
            house.books_path.with_name(house.books_path.name + suffix).unlink(missing_ok=True)
        shutil.copyfile(backup, house.books_path)
        self._count("old_books")
