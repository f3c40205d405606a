"""The whole venue in one process: every service a simulated process of its own on one log.

Two gateways, two engines a market, settlement, registry, market data and surveillance of each. A
process that ends is started again, as a supervisor would, unless it says that it must not go on:
then a promise is broken.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from exchange import topics
from exchange.database.connection import Database
from exchange.engine import EngineService
from exchange.log.protocol import LogError, LogUnavailableError
from exchange.log.simulated import Cut, SimulatedDisk, SimulatedLog
from exchange.marketdata.service import MarketDataService
from exchange.reference.venue import Market, Venue
from exchange.registry.service import RegistryService
from exchange.rulebook import Rulebook, load_rulebook
from exchange.service import Service
from exchange.settings import Settings
from exchange.settlement import SettlementService
from exchange.simulation.faults.books import Connections, InlineStore
from exchange.simulation.faults.drafts import InlineDraft
from exchange.simulation.faults.engines import Engine, ReferenceEngine
from exchange.simulation.faults.loop import PROCESS, Process, SimulatedClock, SimulatedLoop, World
from exchange.simulation.faults.plan import BEGINS, Plan
from exchange.simulation.faults.promises import BrokenPromiseError
from exchange.simulation.faults.stands import InlineStands
from exchange.surveillance.limits import Limits, load_limits
from exchange.surveillance.service import SurveillanceService
from gateway.faults.wire import SimulatedGateway, Wire

RESTART_S = 0.5  # a supervisor's pause before it starts again what ended
TEMPLATE = "template.sqlite"


Make = Callable[["Node"], Service]


class Node:
    """One process of the venue, over all its lives."""

    def __init__(self, house: House, name: str, make: Make, *, has_books: bool = False) -> None:
        self.house = house
        self.name = name
        self.clock = SimulatedClock(house.world)
        self.data = house.folder / name
        self.log = SimulatedLog(house.disk)
        self.service: Service | None = None
        self.process = Process(name)
        self.process.is_alive = False
        self.stop = asyncio.Event()
        self.wires: list[Wire] = []
        self.starts = 0
        self._make = make
        self._books = Connections(house.books_path) if has_books else None
        self._database: Database | None = None
        self._waits: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether there is a process. O(1)."""
        return self.process.is_alive

    @property
    def context(self) -> contextvars.Context:
        """Where callbacks of the present process run."""
        return self.house.context_of(self.process)

    def database(self) -> Database:
        """The books of the present process."""
        assert self._books is not None  # noqa: S101 - only nodes that have them ask
        self._database = self._books.database()
        return self._database

    def store(self, market: int) -> InlineStore:
        """Settlement's store of the present process."""
        assert self._books is not None  # noqa: S101 - only nodes that have them ask
        return self._books.store(market)

    def start(self) -> None:
        """Starts a new process unless one runs."""
        self._waits = None
        if self.is_running:
            return
        self.starts += 1
        self.process = Process(self.name)
        self.log = SimulatedLog(self.house.disk)
        self.log.cut = self.house.cuts.get(self.name, "")
        self.stop = asyncio.Event()
        task = self.house.loop.spawn(self.process, self._live())
        process = self.process
        task.add_done_callback(lambda done: self._ended(process, done), context=self.house.outside)

    def start_later(self, seconds: float) -> None:
        """Starts after a time, unless it runs by then. O(1)."""
        if self._waits is None:
            self._waits = self.house.loop.call_later(
                seconds, self.start, context=self.house.outside
            )

    def crash(self, restart_s: float) -> None:
        """The process dies now; another one starts later."""
        if self.is_running:
            self._die()
        self.start_later(restart_s)

    def _die(self) -> None:
        self.log.crash()
        self.house.loop.kill(self.process)
        if self._books is not None:
            self._books.close()
        for wire in self.wires:
            wire.cut()
        self.wires.clear()

    async def _live(self) -> None:
        await self.log.start()
        self.service = self._make(self)
        await self.service.run(self.stop)

    def _ended(self, process: Process, task: asyncio.Task[None]) -> None:
        if process is not self.process or not process.is_alive:
            if not task.cancelled():
                task.exception()  # a dead process may say what it likes
            return
        error = None if task.cancelled() else task.exception()
        self._die()
        if error is None:
            return
        if not _is_of(error, _is_gone):
            self.house.report("PX", f"{self.name}: {_words(error)}", error)
        elif not _is_of(error, _is_away):
            self.house.shapes["retention_refused"] += 1
        self.house.shapes["process_exit"] += 1
        self.start_later(RESTART_S)


class House:
    """Everything that is on the machine of a run."""

    def __init__(
        self, loop: SimulatedLoop, plan: Plan, venue: Venue, folder: Path, template: Path
    ) -> None:
        self.loop, self.plan, self.venue, self.folder = loop, plan, venue, folder
        self.outside = contextvars.copy_context()
        self.world = World(loop, int(BEGINS.timestamp()) * 10**9)
        self.log_clock = SimulatedClock(self.world)
        self.disk = SimulatedDisk(self.log_clock, f"{plan.seed}/log")
        self.books_path = folder / "books.sqlite"
        shutil.copyfile(template, self.books_path)
        self.cuts: dict[str, Cut] = {}
        self.shapes: Counter[str] = Counter()
        self.broken: list[BrokenPromiseError] = []
        self.rng = random.Random(f"{plan.seed}/house")
        self.nodes: dict[str, Node] = {}
        self._rulebook = _rulebook()
        self._limits = _limits()
        for number in (1, 2):
            self._add(f"gateway-{number}", self._gateway)
        for market in venue.market:
            for number in (1, 2):
                self._add(f"engine-{market.code}-{number}", self._engine(market, number))
            self._add(f"settlement-{market.code}", self._settlement(market), has_books=True)
            self._add(f"registry-{market.code}", self._registry(market), has_books=True)
            self._add(f"marketdata-{market.code}", self._marketdata(market))
            self._add(f"surveillance-{market.code}", self._surveillance(market))

    def report(self, promise: str, event: str, cause: BaseException | None = None) -> None:
        """Notes a broken promise; the run ends with the first one."""
        error = BrokenPromiseError(promise, event)
        error.__cause__ = cause
        self.broken.append(error)

    def check(self) -> None:
        """Raises the first broken promise."""
        if self.broken:
            raise self.broken[0]

    def context_of(self, process: Process) -> contextvars.Context:
        """A context in which callbacks belong to a process."""
        context = self.outside.copy()
        context.run(PROCESS.set, process)
        return context

    def node_of(self, process: Process | None) -> Node | None:
        """The node whose present process that is. O(1)."""
        node = self.nodes.get(process.name) if process is not None else None
        return node if node is not None and node.process is process else None

    def engines(self, market: str) -> list[EngineService]:
        """The engines of a market that run."""
        found = [self.nodes[f"engine-{market}-{number}"] for number in (1, 2)]
        return [n.service for n in found if n.is_running and isinstance(n.service, EngineService)]

    def gateways(self) -> list[Node]:
        """The gateways that take sessions now."""
        return [
            node
            for name, node in self.nodes.items()
            if name.startswith("gateway")
            and node.is_running
            and node.service is not None
            and node.service.is_ready
        ]

    async def create_partitions(self) -> None:
        """Every topic of the venue, as its operators make them before the first start."""
        log = SimulatedLog(self.disk)
        await log.start()
        for market in self.venue.market:
            await log.create(topics.of_market(market.partition))

    # -- the services ---------------------------------------------------------------------------

    def _add(self, name: str, make: Make, *, has_books: bool = False) -> None:
        self.nodes[name] = Node(self, name, make, has_books=has_books)

    def _settings(self, node: Node) -> Settings:
        return Settings(data=node.data, venue=node.data / "venue.toml")

    def _gateway(self, node: Node) -> Service:
        return SimulatedGateway(
            node.log, self.venue, self._settings(node), node.clock, stands=self._stands(node)
        )

    def _stands(self, node: Node) -> InlineStands | None:
        every = self.plan.stand_every
        return InlineStands(node.data, node.name, every, self.shapes) if every else None

    def _engine(self, market: Market, number: int) -> Make:
        engine = ReferenceEngine if self.plan.reference_node == number else Engine

        def make(node: Node) -> Service:
            return EngineService(
                node.log, market, self._settings(node), node.clock, number, engine=engine,
                snapshot_every=self.plan.snapshot_every, draft=InlineDraft,
            )  # fmt: skip

        return make

    def _settlement(self, market: Market) -> Make:
        def make(node: Node) -> Service:
            instruments = self.venue.instruments_of(market.code)
            return SettlementService(
                node.log, market, node.database(), instruments=instruments, clock=node.clock,
                store=node.store(market.partition),
            )  # fmt: skip

        return make

    def _registry(self, market: Market) -> Make:
        def make(node: Node) -> Service:
            return RegistryService(
                node.log, market, self.venue, node.database(), clock=node.clock,
                rulebook=self._rulebook,
            )  # fmt: skip

        return make

    def _marketdata(self, market: Market) -> Make:
        return lambda node: MarketDataService(node.log, market, node.clock, self._stands(node))

    def _surveillance(self, market: Market) -> Make:
        return lambda node: SurveillanceService(
            node.log, market, self.venue, self._limits, node.clock, self._stands(node)
        )


@functools.cache
def _rulebook() -> Rulebook:
    return load_rulebook()


@functools.cache
def _limits() -> Limits:
    return load_limits()


def _is_of(error: BaseException, kind: Callable[[BaseException], bool]) -> bool:
    """Whether that is all that is wrong: such a process is simply started again."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_of(inner, kind) for inner in error.exceptions)
    return kind(error)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, LogUnavailableError)


def _is_gone(error: BaseException) -> bool:
    """Retention took what it has to read: it must stop, and the words say which records."""
    return _is_away(error) or (isinstance(error, LogError) and str(error).endswith("are gone"))


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(map(_words, error.exceptions))
    return f"{type(error).__name__}: {error}"
