"""Two operators decide at the same instant at two gateways: what one may do alone stays a bound.

The simulation draws who is first on the log, and how far each gateway had read: every order of the
two is met by some seed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.clock import ids_drawn_from
from exchange.engine.bootstrap import bootstrap
from exchange.log.simulated import SimulatedLog
from exchange.messages.executions import OperationReport
from exchange.messages.frames import (
    Command,
    Event,
    EventFollower,
    EventRow,
    Parameter,
    Phase,
    event_rows,
)
from exchange.messages.operations import (
    CashDeposit,
    Control,
    DayRoll,
    Halt,
    PhaseChange,
    Recorded,
    Resume,
    SetLimit,
)
from exchange.reference.timetable import Step
from exchange.simulation.faults.loop import SimulatedLoop
from exchange.simulation.faults.plan import BEGINS, key_names, plan_of, venue_of
from gateway.faults import run
from gateway.faults.house import House, Node
from gateway.routes.control import post_control
from gateway.routes.operations import post_operation
from gateway.routes.table import Call, Wait
from gateway.views.venue_view import MarketView

SEEDS = range(10)
CLOCK_SEEDS = range(20)
ALONE_MAX = 100_000  # minor units
VIRTUAL_S = 30.0
APART_S_MAX = 0.0002


class Scene:
    """A venue of two gateways, its engines, and nobody else; no faults."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.market = house.venue.market[0]
        self.item = house.venue.instruments_of(self.market.code)[0]
        self.account = house.venue.accounts_of(self.market.code)[0].id
        self.keys = {key.id: key for key in house.venue.key}
        self.rng = random.Random(house.plan.seed)
        self._refs = 0

    @property
    def gateways(self) -> list[Node]:
        return [self.house.nodes["gateway-1"], self.house.nodes["gateway-2"]]

    @property
    def view(self) -> MarketView:
        """As the first gateway has read it."""
        gateway: Any = self.gateways[0].service
        found: MarketView = gateway.context.views[self.market.code]
        return found

    def task(self, at: int, key: str, kind: Callable[..., Recorded], **fields: Any) -> Any:
        """A request that is on its way to a gateway."""
        self._refs += 1
        body = kind(ref=self._refs, market=self.market.code, reason="a test", **fields)
        node = self.gateways[at]
        context = node.service.context  # type: ignore[union-attr]
        call = Call(context, self.keys[key], body, Wait(wait_ms=5_000), "")
        return self.house.loop.spawn(node.process, asked(call, self.rng.random() * APART_S_MAX))

    async def do(self, kind: Callable[..., Recorded], **fields: Any) -> OperationReport:
        """A request, and what became of it."""
        report: OperationReport = await self.task(0, "operator", kind, **fields)
        await self.known()
        return report

    async def known(self) -> None:
        """Waits until both gateways have read everything."""
        for node in self.gateways:
            gateway: Any = node.service
            view = gateway.context.views[self.market.code]
            while not await self.house.loop.spawn(node.process, view.reads_to_the_end(5.0)):
                await asyncio.sleep(0.01)


async def asked(call: Call, later_s: float) -> OperationReport:
    await asyncio.sleep(later_s)
    route = post_control if isinstance(call.body, Control) else post_operation
    report: OperationReport = (await route(call)).value
    return report


async def played(house: House, act: Callable[[Scene], Awaitable[None]]) -> None:
    log = SimulatedLog(house.disk)
    await house.create_partitions()
    await log.start()
    for name, node in house.nodes.items():
        if name.startswith(("gateway", "engine")):
            node.start()
    for market in house.venue.market:
        await bootstrap(log, house.venue, market, house.log_clock)
    await until(house, lambda: len(house.gateways()) == 2)
    await asyncio.wait_for(act(Scene(house)), VIRTUAL_S)
    for node in house.nodes.values():
        node.stop.set()
    await until(house, lambda: not any(node.is_running for node in house.nodes.values()))


async def until(house: House, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(VIRTUAL_S):
        while not holds():
            house.check()
            await asyncio.sleep(0.05)
    house.check()


def play(
    seed: int, act: Callable[[Scene], Awaitable[None]], steps: tuple[Step, ...] = (), roll: str = ""
) -> None:
    """Plays a scene; `steps` and `roll` are the timetable of its market."""
    plan = plan_of(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(run._folder()))
        loop = SimulatedLoop(random.Random(f"{seed}/loop"))
        stack.callback(loop.close)
        stack.enter_context(run._quiet())
        stack.enter_context(ids_drawn_from(random.Random(f"{seed}/ids").getrandbits))
        public = {name: run._signing_key(name).public_key for name in key_names(plan)}
        venue = venue_of(plan, public)
        markets = tuple(
            msgspec.structs.replace(item, withdrawal_alone_max=ALONE_MAX) for item in venue.market
        )
        own = msgspec.structs.replace(markets[0], timetable=steps, roll_at=roll)
        markets = (own, *markets[1:])
        keys = tuple(msgspec.structs.replace(key, person="Ada") for key in venue.key)
        venue = msgspec.structs.replace(venue, market=markets, key=keys)
        house = House(loop, plan, venue, folder, run._template())
        loop.run_until_complete(played(house, act))


async def both(one: Any, other: Any) -> set[str]:
    """What the two were told."""
    return {report.status for report in await asyncio.gather(one, other)}


async def two_limits(scene: Scene) -> None:
    """Tightened by both: the wider of the two is no loosening of the narrower."""
    limit = {"parameter": "QUANTITY_MAX", "symbol": scene.item.symbol}
    await scene.do(SetLimit, value=100, **limit)
    values = [50, 90]
    scene.rng.shuffle(values)
    told = await both(
        scene.task(0, "operator", SetLimit, value=values[0], **limit),
        scene.task(1, "deputy", SetLimit, value=values[1], **limit),
    )
    await scene.known()
    known = scene.view.positions.instruments[scene.item.id]
    assert (known.parameters[Parameter.QUANTITY_MAX], "DONE" in told) == (50, True)


async def two_payments(scene: Scene) -> None:
    """By one person with two keys, each within the sum, and both beyond it."""
    await scene.do(CashDeposit, account=scene.account, amount="5000.00")
    pay = {"account": scene.account, "amount": "-600.00"}
    told = await both(
        scene.task(0, "operator", CashDeposit, **pay), scene.task(1, "deputy", CashDeposit, **pay)
    )
    await scene.known()
    assert told == {"DONE", "PROPOSED"}
    assert scene.view.positions.cash(scene.account).available == 440_000


async def a_halt_and_a_resumption(scene: Scene) -> None:
    """One resumes an instrument while the other halts the market: then it is for two."""
    symbol = scene.item.symbol
    await scene.do(PhaseChange, phase="CONTINUOUS", symbol=symbol)
    await scene.do(Halt, symbol=symbol)
    await both(scene.task(0, "operator", Halt), scene.task(1, "deputy", Resume, symbol=symbol))
    await scene.known()
    assert scene.view.acts.market_halt
    assert scene.view.positions.instruments[scene.item.id].phase == Phase.HALT


@pytest.mark.parametrize("act", [two_limits, two_payments, a_halt_and_a_resumption])
def test_two_at_the_same_instant_loosen_no_more_than_one(
    act: Callable[[Scene], Awaitable[None]],
) -> None:
    for seed in SEEDS:
        play(seed, act)


# -- a person, and the clock at both gateways ------------------------------------------------------

AT = "02:00:20"  # in Berlin: 20 seconds after a run begins
DUE_NS = int(BEGINS.timestamp() + 20) * 10**9
STEPS = (
    Step("02:00:10", "OPENING_CALL"),
    Step(AT, "CONTINUOUS", blocks=True),
    Step("17:00", "CLOSED", blocks=False),
)


async def as_it_strikes(scene: Scene, *tasks: Callable[[], Any]) -> set[str]:
    """What people are told who ask within a moment of AT."""
    clock = scene.house.log_clock
    await asyncio.sleep((DUE_NS - clock.now_ns()) / 1e9 - APART_S_MAX / 2)
    reports = await asyncio.gather(*(task() for task in tasks))
    await asyncio.sleep(2)  # the timetables look twice a second
    await scene.known()
    return {report.status for report in reports}


async def said(scene: Scene, kind: Event) -> list[EventRow]:
    """The events of a kind, of the whole log."""
    log, partition, found = SimulatedLog(scene.house.disk), topics.events(0), []
    await log.start()
    follower, end = EventFollower(), await log.end(partition)
    reader = await log.open_reader(partition, 0)
    while reader.position < end:
        for record in await reader.read():
            part = follower.accept(record.offset, record.value)
            found += list(event_rows(part.events)) if part is not None else []
    return [row for row in found if row.kind == kind]


async def a_halt_as_a_step_comes(scene: Scene) -> None:
    """Of the market or of the instrument: once halted, nothing opens it."""
    symbol = scene.rng.choice(["", scene.item.symbol])
    who = scene.rng.choice([0, 1])
    await as_it_strikes(scene, lambda: scene.task(who, "operator", Halt, symbol=symbol))
    rows = await said(scene, Event.PHASE_CHANGED)
    phases = [row.order_type for row in rows if row.instrument_id == scene.item.id]
    assert Phase.HALT in phases
    assert phases[phases.index(Phase.HALT) :] == [Phase.HALT]


async def blocks_shut_as_a_step_comes(scene: Scene) -> None:
    """Who tightens when a step is due is not overrun by it."""
    limit = {"symbol": scene.item.symbol, "parameter": "BLOCK_OPEN", "value": 0}
    who = scene.rng.choice([0, 1])
    await as_it_strikes(scene, lambda: scene.task(who, "operator", SetLimit, **limit))
    (row,) = (row for row in scene.view.acts.rows if row.act.key == "operator")
    known = scene.view.positions.instruments[scene.item.id]
    assert known.parameters[Parameter.BLOCK_OPEN] == int(row.time_ns < DUE_NS)


async def a_roll_by_all(scene: Scene) -> None:
    """Two gateways' clocks and a person end the day: it ends once, and nothing is refused."""
    who, date = scene.rng.choice([0, 1]), 20251202
    roll = lambda: scene.task(who, "operator", DayRoll, trading_date=date)  # noqa: E731
    await as_it_strikes(scene, roll)
    rolled = [row.quantity for row in await said(scene, Event.DAY_STARTED)]
    assert rolled == [20251201, date]
    refused = await said(scene, Event.REJECTED)
    assert [row for row in refused if row.order_type == Command.DAY_ROLL] == []


@pytest.mark.parametrize(
    ("act", "steps", "roll"),
    [
        (a_halt_as_a_step_comes, STEPS, ""),
        (blocks_shut_as_a_step_comes, STEPS, ""),
        (a_roll_by_all, (Step("00:30", "CONTINUOUS"), Step("01:00", "CLOSED")), AT),
    ],
)
def test_a_person_and_the_clock_at_the_same_instant(
    act: Callable[[Scene], Awaitable[None]], steps: tuple[Step, ...], roll: str
) -> None:
    for seed in CLOCK_SEEDS:
        play(seed, act, steps, roll)
