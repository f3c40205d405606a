"""One seed from an empty log to the auditor's word, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import hashlib
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from traceback import format_exception
from typing import Any, NamedTuple

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from exchange import fault_points, topics
from exchange.clock import ids_drawn_from
from exchange.database.connection import upgrade
from exchange.engine.bootstrap import bootstrap
from exchange.log.simulated import SimulatedLog
from exchange.messages.frames import Phase
from exchange.simulation.faults.auditor import Audit, Seen, cap_of
from exchange.simulation.faults.books import Connections
from exchange.simulation.faults.loop import SimulatedLoop, StandstillError
from exchange.simulation.faults.plan import EXPIRED_KEY, Plan, key_names, plan_of, venue_of
from exchange.simulation.faults.promises import BrokenPromiseError
from gateway.client.keys import SigningKey
from gateway.faults import forged
from gateway.faults.auctioneer import Auctioneer
from gateway.faults.clerks import Clerk
from gateway.faults.evidence import compare
from gateway.faults.forged import Topic
from gateway.faults.house import House
from gateway.faults.intake import IntakeMember
from gateway.faults.members import Member
from gateway.faults.nemesis import Nemesis
from gateway.faults.planted import planted
from gateway.faults.story import Story

START_S = 20.0  # virtual seconds in which a venue without faults must be ready
REST_S = 90.0  # and in which everything must be answered once faults stop
WEATHER_S_MAX = 600.0  # in which the people must get through their days however bad it is
POLL_S = 0.05
CLEAR_TRIES = 40
STEP_S = 0.25  # between two looks at what is broken


class Result(NamedTuple):
    """What a seed gave."""

    seed: int
    virtual_s: float
    callbacks: int
    commands: int
    trades: int
    starts: int  # of processes, the first of each among them
    shapes: Counter[str]
    digest: str  # of every record of every topic, and of every count
    promise: str = ""  # the one that was broken
    event: str = ""  # what shows it
    trace: str = ""  # where our own code failed, if it did


def run_seed(seed: int, plant: str = "") -> Result:
    """Runs a seed, with a bug of `gateway.faults.planted` if one is named.

    A pure function of its arguments, and of the code. KeyError: no such bug.
    """
    plan = plan_of(seed)
    with contextlib.ExitStack() as stack:
        if plant:
            stack.enter_context(planted(plant))
        folder = Path(stack.enter_context(_folder()))
        loop = SimulatedLoop(random.Random(f"{seed}/loop"))
        stack.callback(loop.close)
        stack.enter_context(_quiet())
        stack.enter_context(ids_drawn_from(random.Random(f"{seed}/ids").getrandbits))
        stack.enter_context(_tiny(plan))
        run = _Run(loop, plan, folder)
        stack.enter_context(fault_points.watched(loop, run.nemesis.reached))
        loop.set_exception_handler(run.unexpected)
        try:
            return loop.run_until_complete(run.all())
        except StandstillError as error:
            run.house.report("P11", str(error), error)
        return loop.run_until_complete(run.end())


class _Run:
    def __init__(self, loop: SimulatedLoop, plan: Plan, folder: Path) -> None:
        self.loop, self.plan = loop, plan
        signing = {name: _signing_key(name) for name in key_names(plan)}
        public = {name: key.public_key for name, key in signing.items()}
        venue = venue_of(plan, public)
        self.house = House(loop, plan, venue, folder, _template())
        keys = {key.id: key for key in venue.key}
        brokers = [name for name in keys if name.startswith(("broker", "intake"))]
        others = {name: signing[name] for name in (brokers[0], EXPIRED_KEY) if name in signing}
        self.members = [
            IntakeMember(self.house, keys[name], signing[name], others)
            if name.startswith("intake")
            else Member(self.house, keys[name], signing[name])
            for name in brokers
        ]
        users = keys.keys() - {*brokers, EXPIRED_KEY}
        self.clerks = {n: Clerk(self.house, k) for n, k in keys.items() if n in users}
        self.story = Story(self.house, self.clerks)
        self.auctioneer = Auctioneer(self.house, self.clerks) if plan.auctions else None
        self.nemesis = Nemesis(self.house, self.members)
        self._tasks: list[asyncio.Task[Any]] = []

    def unexpected(self, _loop: Any, context: dict[str, Any]) -> None:
        """What a callback raised with nobody to catch it."""
        error = context.get("exception")
        if isinstance(error, Exception):
            self.house.report("PX", f"{context.get('message')}: {error!r}", error)

    async def all(self) -> Result:
        broken: BrokenPromiseError | None = None
        try:
            await self._play()
            await self._audit()
        except BrokenPromiseError as error:
            broken = error
        except Exception as error:
            broken = BrokenPromiseError("PX", f"{type(error).__name__}: {error}")
            broken.__cause__ = error
        return await self.end(broken)

    async def end(self, broken: BrokenPromiseError | None = None) -> Result:
        """Ends whatever still runs, and says what came of it."""
        result = self._result(broken or next(iter(self.house.broken), None))
        await self._clear()
        return result

    # -- the acts -------------------------------------------------------------------------------

    async def _play(self) -> None:
        house = self.house
        await house.create_partitions()
        log = SimulatedLog(house.disk)
        await log.start()
        for node in house.nodes.values():
            node.start()
        for market in house.venue.market:
            await bootstrap(log, house.venue, market, house.log_clock)
        await self._until(lambda: len(house.gateways()) == 2, START_S, "both gateways are ready")
        endowing = self._start(self.auctioneer.endow()) if self.auctioneer else None
        await self._within(self.story.endow(), START_S * 2, "accounts are endowed")
        if endowing is not None:
            await self._until(endowing.done, START_S * 2, "accounts of auctions are endowed")
            endowing.result()
        self.nemesis.begin()
        for member in self.members:
            self._start(member.run())
        offices = [
            self._start(self.story.office(clerk))
            for name, clerk in self.clerks.items()
            if name.startswith("office")
        ]
        emitting = self._start(self.story.emit(cap_of))
        working = [emitting, *offices]
        if self.auctioneer is not None:
            working.append(self._start(self.auctioneer.run()))
        days = self._start(self.story.days())
        mended = self.loop.call_later(
            self.plan.weather_s, lambda: self._start(self._mend()), context=house.outside
        )
        await self._within(asyncio.wait([days]), WEATHER_S_MAX, "days end")
        mended.cancel()
        await self._mend()
        self.story.is_over = True
        if self.auctioneer is not None:
            self.auctioneer.is_over = True
        await self._within(asyncio.wait(working), REST_S, "clerks are answered")
        for task in (days, *working):
            task.result()
        await self._rest()

    async def _mend(self) -> None:
        await self.nemesis.end()

    async def _rest(self) -> None:
        """Faults have stopped: everything runs again, everyone is answered, all is drained."""
        await self._within(self.story.reopen(), REST_S, "a market opens again")
        await self._within(self.story.deadline(), REST_S, "the emitter is answered")
        for member in self.members:
            member.is_probing = True
        probes = {member: len(member.acknowledged) for member in self.members}
        await self._until(
            lambda: all(len(m.acknowledged) > count for m, count in probes.items()),
            REST_S,
            "members trade again",
        )
        await self._until(self._leave_calls(), REST_S, "volatility calls end while members trade")
        for member in self.members:
            member.is_trading = False
        await self._until(
            lambda: all(member.is_at_rest for member in self.members),
            REST_S,
            "members are answered",
        )
        await self._until(self._is_drained, REST_S, "every service has read everything")

    def _leave_calls(self) -> Callable[[], bool]:
        """Whether each instrument was seen outside a volatility call since; asked again and again.

        The market is busy: a call that waits for a quiet moment would not end.
        """
        within = {item.id for item in self.house.venue.instrument if self.plan.bounds}

        def is_over() -> bool:
            for node in self.house.gateways():
                gateway: Any = node.service
                for view in gateway.context.views.values():
                    for number, known in view.positions.instruments.items():
                        if known.phase != Phase.VOLATILITY_CALL:
                            within.discard(number)
            return not within

        return is_over

    def _is_drained(self) -> bool:
        house = self.house
        for market in house.venue.market:
            end = len(house.disk.records(topics.orders(market.partition)))
            engines = house.engines(market.code)
            if len(engines) != 2 or not all(e.is_ready for e in engines):
                return False
            if any(e.engine.next_offset != end for e in engines):
                return False
            settlement: Any = house.nodes[f"settlement-{market.code}"].service
            registry: Any = house.nodes[f"registry-{market.code}"].service
            if settlement.position.input_offset != end:
                return False
            if registry.position.settlement_number != settlement.position.number:
                return False
            for node in house.gateways():
                gateway: Any = node.service
                if gateway.context.views[market.code].follower.input_offset != end:
                    return False
            surveillance: Any = house.nodes[f"surveillance-{market.code}"].service
            if surveillance.input_offset != end:
                return False
        return len(house.gateways()) == 2 and self._is_intake_over()

    def _is_intake_over(self) -> bool:
        """Whether every report of an intake topic is published, by both gateways, and read."""
        for node in self.house.gateways():
            gateway: Any = node.service
            for intake in gateway._intake._participants:
                if any(intake._unpublished(view) for view in gateway.context.views.values()):
                    return False
                if intake._done + 1 < len(self.house.disk.records(topics.intake(intake.id))):
                    return False
        intakes = [member for member in self.members if isinstance(member, IntakeMember)]
        return all(member.has_heard_all for member in intakes)

    async def _audit(self) -> None:
        house = self.house
        house.check()
        for fault in [f for m in self.members for f in m.faults]:
            raise BrokenPromiseError("P2", fault)
        for fault in self.story.faults:
            raise BrokenPromiseError("P6", fault)
        hashes = {
            market.code: {engine.engine.state_hash() for engine in house.engines(market.code)}
            for market in house.venue.market
        }
        for node in house.nodes.values():
            node.stop.set()
        await self._until(
            lambda: not any(node.is_running for node in house.nodes.values()),
            REST_S,
            "every process stops when told",
        )
        log = SimulatedLog(house.disk)
        await log.start()
        books = Connections(house.books_path)
        database = books.database()
        rng = random.Random(f"{self.plan.seed}/audit")
        audit = Audit(log, database, house.venue, house.shapes, rng)
        every: list[Seen] = []
        try:
            for market in house.venue.market:
                seen = await audit.market(market, hashes[market.code])
                compare(seen, self.members, self.clerks, house.shapes)
                every.append(seen)
            for member in self.members:
                if isinstance(member, IntakeMember):
                    topic = Topic(house.disk, house.venue.key, member.key.participant)
                    forged.check(topic, member, every, house.shapes)
        finally:
            await database.close()
            books.close()

    # -- waiting --------------------------------------------------------------------------------

    def _start(self, work: Any) -> asyncio.Task[Any]:
        task = self.loop.create_task(work, context=self.house.outside.copy())
        self._tasks.append(task)
        return task

    async def _within(self, work: Any, seconds: float, what: str) -> None:
        task = self._start(work)
        await self._until(task.done, seconds, what)
        task.result()

    async def _until(self, holds: Any, seconds: float, what: str) -> None:
        deadline = self.loop.time() + seconds
        while not holds():
            self.house.check()
            if self.loop.time() > deadline:
                raise BrokenPromiseError("P11", f"after {seconds:.0f} s not yet: {what}")
            await asyncio.sleep(POLL_S)
        self.house.check()

    async def _clear(self) -> None:
        for task in self._tasks:
            task.cancel()
        for node in self.house.nodes.values():
            if node.is_running:
                node.crash(1e9)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(CLEAR_TRIES):
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0.5)

    def _result(self, broken: BrokenPromiseError | None) -> Result:
        house, digest = self.house, hashlib.sha256()
        for partition in house.disk.partitions():
            place = str(partition)
            for record in house.disk.records(partition):
                digest.update(f"{place} {record.offset} {record.append_ns} ".encode())
                digest.update(record.value)
        counts = house.shapes + house.disk.happened
        digest.update(repr(sorted(counts.items())).encode())
        digest.update(f"{self.loop.callbacks} {self.loop.time()} {broken}".encode())
        return Result(
            self.plan.seed,
            self.loop.elapsed_s,
            self.loop.callbacks,
            counts["commands"],
            counts["trades"],
            sum(node.starts for node in house.nodes.values()),
            counts,
            digest.hexdigest(),
            *_told(broken),
        )


def _told(broken: BrokenPromiseError | None) -> tuple[str, str, str]:
    if broken is None:
        return "", "", ""
    cause = broken.__cause__
    return broken.promise, broken.event, "".join(format_exception(cause)) if cause else ""


# -- around a run -------------------------------------------------------------------------------


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    memory = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
    with tempfile.TemporaryDirectory(
        prefix="simulation-", dir=memory if memory.is_dir() else None
    ) as name:
        yield name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines, and no collection at a moment that no seed draws."""
    config = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        structlog.configure(**config)
        if was_enabled:
            gc.enable()
        gc.collect()


@contextlib.contextmanager
def _tiny(plan: Plan) -> Iterator[None]:
    """Sets the plan's limits, and what a thread would wait for the books' lock to nothing."""
    before = []
    try:
        for name, value in plan.tiny.items():
            module_name, _, attribute = name.rpartition(".")
            module = import_module(module_name)
            old = getattr(module, attribute)
            before.append((module, attribute, old))
            setattr(module, attribute, value)
        yield
    finally:
        for module, attribute, old in before:
            setattr(module, attribute, old)


@functools.cache
def _signing_key(name: str) -> SigningKey:
    seed = hashlib.sha256(name.encode()).digest()
    return SigningKey(name, Ed25519PrivateKey.from_private_bytes(seed))


@functools.cache
def _template() -> Path:
    """Empty books, made once a process: the migrations take longer than a seed."""
    folder = tempfile.TemporaryDirectory(prefix="simulation-books-")
    _KEPT.append(folder)
    path = Path(folder.name) / "template.sqlite"
    loop = SimulatedLoop(random.Random("template"))
    books = Connections(path)

    async def make() -> None:
        database = books.database()
        await upgrade(database)
        await database.close()

    try:
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        loop.run_until_complete(make())
    finally:
        asyncio._set_running_loop(running)
        books.close()
        loop.close()
    gc.collect()
    gc.freeze()  # what every seed needs is not looked through after each
    return path


_KEPT: list[Any] = []
