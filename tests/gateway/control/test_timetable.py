"""A trading day moved by the clock: each step once, through restarts, halts and a shut gate."""

from __future__ import annotations

import asyncio
import datetime as dt
import zoneinfo
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import topics
from exchange.clock import SystemClock
from exchange.engine.bootstrap import bootstrap
from exchange.messages.frames import (
    Command,
    Parameter,
    Phase,
    build_commands,
    notes,
    pack_command,
    read_commands,
)
from exchange.messages.operations import Act, Halt, PhaseChange, Resume, SetLimit
from exchange.messages.reasons import DayReason
from exchange.reference.timetable import Step
from exchange.reference.venue import DECISION_SESSION, TIMETABLE, TIMETABLE_SESSION
from exchange.settings import Settings
from gateway.cli.demo import TEMPLATE
from gateway.client import VenueError
from gateway.control import timetable
from gateway.demo import demonstration
from gateway.demo.demo_keys import OPERATIONS, VENUE_FILE
from gateway.demo.demonstration import Demonstration
from gateway.refusal import Refused
from gateway.service import GatewayService
from gateway.views.acts import Acts
from gateway.views.planned import Planned
from gateway.views.venue_view import MarketView
from tests.gateway.conftest import House, demo_venue
from tests.gateway.control.test_opening_gate import PLANTED, change

DAY = (
    Step("08:45", "OPENING_CALL"),
    Step("09:00", "CONTINUOUS"),
    Step("09:30", blocks=True),
    Step("16:55", "CLOSING_CALL", blocks=False),
    Step("17:05", "CLOSED"),
)
MONDAY, TUESDAY = "2026-11-30", "2026-12-01"
CENT = PLANTED["a cent"][0]
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Clock(SystemClock):
    """Goes on as the machine's does, from where a test has put it."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self._ahead_ns

    def put(self, local: str) -> None:
        moment = dt.datetime.fromisoformat(local).replace(tzinfo=BERLIN)
        self._ahead_ns = round(moment.timestamp()) * 10**9 - super().now_ns()


class Gate:
    """Shut as long as a test says so."""

    def __init__(self) -> None:
        self.is_shut = True
        self.asked: list[str] = []

    async def admit(self, request: PhaseChange, *_: Any) -> None:
        self.asked.append(request.phase)
        if self.is_shut:
            raise Refused(DayReason.RECONCILIATION_RED, "a cent too many")


class Venue:
    """A house whose market EU has a timetable, and its clock."""

    def __init__(self, house: House, clock: Clock) -> None:
        self.house, self.clock = house, clock

    @property
    def view(self) -> MarketView:
        assert self.house.gateway is not None
        return self.house.gateway.context.views["EU"]

    @property
    def phase(self) -> str:
        return Phase(self.view.positions.instruments[1].phase).name

    @property
    def has_blocks(self) -> bool:
        return bool(self.view.positions.instruments[1].parameters[Parameter.BLOCK_OPEN])

    def steps(self) -> list[str]:
        """What the timetable did, in its words."""
        rows = [row for row in self.view.acts.rows if row.act.key == TIMETABLE]
        numbers = [row.act.body.ref for row in rows]
        assert numbers == sorted(set(numbers))
        assert {(row.session, row.act.stage) for row in rows} <= {(DECISION_SESSION, "DONE")}
        return [row.act.reason for row in rows]

    async def at(self, local: str, phase: str) -> None:
        """Puts the clock, and waits for a phase; then it stays."""
        self.clock.put(local)
        await self.house.until(lambda: self.phase == phase)
        await asyncio.sleep(0.1)
        assert self.phase == phase

    async def do(self, kind: type[Any], path: str, **fields: Any) -> None:
        async with self.house.client("operator") as operator:
            body = kind(ref=0, **{"market": "EU", "symbol": "EUA", "reason": "a test", **fields})
            await operator.operate(f"/operations/{path}", body)

    async def another(self, gate: Gate | None = None) -> GatewayService:
        """The gateway anew, with this gate."""
        await self.house.stop("gateway")
        house = self.house
        made = GatewayService(
            house.log, house.venue, house.settings, house.clock, None, gate,  # type: ignore[arg-type]
        )  # fmt: skip
        house.gateway = made
        task = house.run(made)
        await asyncio.wait(
            {task, asyncio.create_task(made.started.wait())}, return_when="FIRST_COMPLETED"
        )
        return made


async def opened(
    folder: Path, steps: tuple[Step, ...], now: str, parameters: dict[str, int] | None = None
) -> Venue:
    venue, keys = demo_venue()
    eua, *others = venue.instrument
    ours = parameters or {"block_open": 0}  # as before the first of their hours
    eua = msgspec.structs.replace(eua, parameters=eua.parameters | ours)
    venue = msgspec.structs.replace(venue, instrument=(eua, *others))
    first, *rest = venue.market
    first = msgspec.structs.replace(first, timetable=steps, roll_at="18:00")
    clock = Clock()
    clock.put(now)
    venue = msgspec.structs.replace(venue, market=(first, *rest))
    house = House(folder, venue, keys, clock)
    house.settings = msgspec.structs.replace(house.settings, engine_tick_ms=50)
    await house.start()
    return Venue(house, clock)


@pytest.fixture
async def venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Venue]:
    """Monday, a second before the opening call; nobody has done anything."""
    monkeypatch.setattr(timetable, "LOOK_S", 0.02)
    made = await opened(tmp_path, DAY, f"{MONDAY}T08:44:50")
    yield made
    await made.house.close()


async def test_a_day_by_the_clock(venue: Venue) -> None:
    await venue.house.until(lambda: venue.view.positions.trading_date == 20261130)
    for time, phase, blocks in (
        ("08:44:58", "CLOSED", False), ("08:45:00", "OPENING_CALL", False),
        ("08:59:58", "OPENING_CALL", False), ("09:00:00", "CONTINUOUS", False),
        ("09:29:58", "CONTINUOUS", False), ("09:30:00", "CONTINUOUS", True),
        ("16:54:58", "CONTINUOUS", True), ("16:55:00", "CLOSING_CALL", False),
        ("17:05:00", "CLOSED", False),
    ):  # fmt: skip
        await venue.at(f"{MONDAY}T{time}", phase)
        await venue.house.until(lambda wanted=blocks: venue.has_blocks == wanted)
    venue.clock.put(f"{MONDAY}T18:00:00")
    await venue.house.until(lambda: venue.view.positions.trading_date == 20261201)
    assert venue.steps() == [
        "roll to 20261130", f"{MONDAY} 08:45", f"{MONDAY} 09:00", f"{MONDAY} 09:30",
        f"{MONDAY} 16:55", f"{MONDAY} 16:55", f"{MONDAY} 17:05", "roll to 20261201",
    ]  # fmt: skip
    await venue.at(f"{TUESDAY}T08:45:00", "OPENING_CALL")
    market = venue.house.venue.market_of("EU")
    assert await bootstrap(venue.house.log, venue.house.venue, market, venue.clock) == 0
    async with venue.house.client("operator") as operator:  # markets without one are left alone
        phases = {row.symbol: row.phase for row in (await operator.phases()).phases}
    assert phases["CCER"] == "CLOSED"


async def test_two_gateways_take_each_step_once(venue: Venue) -> None:
    house, stop = venue.house, asyncio.Event()
    other = GatewayService(house.log, house.venue, house.settings, house.clock)
    running = asyncio.create_task(other.run(stop))
    await other.started.wait()
    for time, phase, count in (
        ("08:45", "OPENING_CALL", 2), ("09:00", "CONTINUOUS", 3), ("09:30", "CONTINUOUS", 4),
        ("16:55", "CLOSING_CALL", 6), ("17:05", "CLOSED", 7),
    ):  # fmt: skip
        await venue.at(f"{MONDAY}T{time}:00", phase)
        await house.until(lambda wanted=count: len(venue.steps()) == wanted)
    steps = venue.steps()
    assert steps[0] == "roll to 20261130"
    assert steps[1:] == [
        f"{MONDAY} {t}" for t in ("08:45", "09:00", "09:30", "16:55", "16:55", "17:05")
    ]
    venue.clock.put(f"{TUESDAY}T08:00:00")
    await house.until(lambda: venue.view.positions.trading_date == 20261201)
    step = PhaseChange(
        0, market="EU", symbol="EUA", phase="OPENING_CALL", reason=f"{TUESDAY} 08:45"
    )
    assert house.gateway is not None
    (mine,), (its,) = house.gateway.timetables.markets, other.timetables.markets
    await asyncio.gather(mine._take(step), its._take(step))  # neither has read of the other's
    await venue.at(f"{TUESDAY}T08:46:00", "OPENING_CALL")
    assert venue.steps()[8:] == [f"{TUESDAY} 08:45"]
    await house.until(lambda: other.context.views["EU"].acts.rows == venue.view.acts.rows)
    numbers = await numbers_on_the_log(house)
    assert len(numbers) > len(set(numbers)) == 9  # the same number twice: the engine took one
    stop.set()
    await running


async def test_a_gateway_whose_clock_is_behind_takes_no_step_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noon is over for one, and not yet for the other: it would open what was closed."""
    monkeypatch.setattr(timetable, "LOOK_S", 0.02)
    steps = (
        Step("09:30", "CONTINUOUS", blocks=True),
        Step("11:30", "CLOSED", blocks=False),
        Step("13:00", "CONTINUOUS"),
        Step("15:00", "CLOSED"),
    )
    made = await opened(tmp_path, steps, f"{MONDAY}T10:00:00")
    house, clock, stop = made.house, Clock(), asyncio.Event()
    clock.put(f"{MONDAY}T11:29:40")
    await house.until(lambda: made.phase == "CONTINUOUS" and made.has_blocks)
    made.clock.put(f"{MONDAY}T11:30:00")
    await house.until(lambda: made.phase == "CLOSED" and not made.has_blocks)
    behind = GatewayService(house.log, house.venue, house.settings, clock)
    running = asyncio.create_task(behind.run(stop))
    await behind.started.wait()
    await asyncio.sleep(0.5)
    assert (made.phase, made.has_blocks, len(made.steps())) == ("CLOSED", False, 5)
    stop.set()
    await running
    await house.close()


GATEWAYS, LABELS = 3, ("2026-11-30 09:00", "2026-11-30 09:00:01", "2026-12-01 09:00")


@given(
    st.lists(
        st.tuples(
            st.integers(0, GATEWAYS - 1), st.integers(0, 4),
            st.sampled_from("AB"), st.sampled_from(LABELS),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_however_far_each_has_read_a_step_is_taken_once(
    story: list[tuple[int, int, str, str]],
) -> None:
    """Each turn a gateway reads some records, and takes a step that it does not know as taken."""
    log: list[bytes] = []
    read, gateways = [0] * GATEWAYS, [Acts() for _ in range(GATEWAYS)]

    def read_on(number: int, count: int) -> None:
        for offset in range(read[number], min(read[number] + count, len(log))):
            gateways[number].note(offset, log[offset], offset)
            read[number] = offset + 1

    for number, count, symbol, label in story:
        read_on(number, count)
        acts = gateways[number]
        if not acts.planned.is_taken(symbol, "phase", label):
            log.append(step_frame(acts.next_decision, symbol, label))
    for number, acts in enumerate(gateways):
        read_on(number, len(log))
        assert acts.rows == gateways[0].rows
    for symbol in "AB":
        bodies = [(row.act.body, row.act.reason) for row in gateways[0].rows]
        labels = [words for body, words in bodies if getattr(body, "symbol", "") == symbol]
        assert len(set(labels)) == len(labels)


def step_frame(ref: int, symbol: str, label: str) -> bytes:
    body = PhaseChange(ref, market="EU", symbol=symbol, phase="CONTINUOUS", reason=label)
    act = msgspec.json.encode(Act("DONE", TIMETABLE, TIMETABLE, label, body))
    numbered = {"session_id": DECISION_SESSION, "ref": ref}
    step = pack_command(Command.PHASE_CHANGE, order_type=1, instrument_id=1, **numbered)
    return build_commands([step, *notes(act.decode())], writer=1, batch=0, time_ns=0)


async def numbers_on_the_log(house: House) -> list[int]:
    """The number of each step on `orders`, repeated or not."""
    partition, found = topics.orders(0), []
    end = await house.log.end(partition)
    reader = await house.log.open_reader(partition, 0)
    while reader.position < end:
        for record in await reader.read():
            commands = read_commands(record.value)
            found += commands["ref"][commands["session_id"] == TIMETABLE_SESSION].tolist()
    await reader.close()
    return found


async def test_after_an_outage_the_phase_of_now_comes_and_no_missed_call(venue: Venue) -> None:
    house = venue.house
    await house.until(lambda: venue.view.positions.trading_date == 20261130)
    await house.stop("gateway")
    venue.clock.put(f"{MONDAY}T11:00:00")
    await house.open_gateway()
    await house.until(lambda: venue.has_blocks and venue.phase == "CONTINUOUS")
    assert venue.steps() == ["roll to 20261130", f"{MONDAY} 09:00", f"{MONDAY} 09:30"]
    await house.stop("gateway")
    venue.clock.put(f"{TUESDAY}T16:58:00")
    await house.open_gateway()  # from CONTINUOUS of yesterday: a closing call, on yesterday's date
    await house.until(lambda: venue.phase == "CLOSING_CALL" and not venue.has_blocks)
    await house.stop("gateway")
    venue.clock.put("2026-12-05T12:00:00")  # a Saturday
    await house.open_gateway()
    await house.until(lambda: venue.phase == "CLOSED")
    await house.until(lambda: venue.view.positions.trading_date == 20261207)
    assert venue.steps()[3:] == [
        f"{TUESDAY} 16:55", f"{TUESDAY} 16:55", "2026-12-04 17:05", "roll to 20261207",
    ]  # fmt: skip
    await venue.at("2026-12-07T16:58:00", "CLOSED")  # there is no way into a closing call


async def test_what_an_operator_halted_stays_halted(venue: Venue) -> None:
    await venue.at(f"{MONDAY}T08:50:00", "OPENING_CALL")
    await venue.do(Halt, "halt")
    for time in (f"{MONDAY}T09:00:00", f"{MONDAY}T17:05:00", f"{MONDAY}T18:00:00",
                 f"{TUESDAY}T09:00:00"):  # fmt: skip
        await venue.at(time, "HALT")
    assert venue.view.positions.trading_date == 20261130  # not every instrument is closed
    await venue.another()
    await venue.at(f"{TUESDAY}T09:05:00", "HALT")
    await venue.do(Resume, "resume", phase="OPENING_CALL")
    await venue.at(f"{TUESDAY}T10:00:00", "OPENING_CALL")  # the operator's, until the next step
    await venue.at(f"{TUESDAY}T17:05:00", "CLOSED")


async def test_what_an_operator_did_after_a_step_stands_until_the_next(venue: Venue) -> None:
    await venue.at(f"{MONDAY}T10:00:00", "CONTINUOUS")
    await venue.do(PhaseChange, "phase", phase="CLOSED")
    await venue.house.until(lambda: venue.has_blocks)
    await venue.do(SetLimit, "limit", parameter="BLOCK_OPEN", value=0)
    await venue.at(f"{MONDAY}T11:00:00", "CLOSED")
    await venue.another()
    await venue.at(f"{MONDAY}T12:00:00", "CLOSED")
    assert not venue.has_blocks
    await venue.at(f"{MONDAY}T18:00:00", "CLOSED")
    await venue.at(f"{TUESDAY}T09:30:00", "CONTINUOUS")
    await venue.house.until(lambda: venue.has_blocks)


async def test_a_market_that_was_halted_while_closed_waits_for_its_resumption(venue: Venue) -> None:
    with pytest.raises(VenueError):
        await venue.do(Halt, "halt", symbol="")  # the engine has nothing to halt, but it was said
    await venue.at(f"{MONDAY}T09:00:00", "CLOSED")


async def test_the_gate_keeps_the_day_shut(venue: Venue) -> None:
    gate = Gate()
    await venue.another(gate)
    await venue.at(f"{MONDAY}T08:45:00", "CLOSED")
    await venue.at(f"{MONDAY}T09:10:00", "CLOSED")
    assert {"OPENING_CALL", "CONTINUOUS"} <= set(gate.asked)
    gate.is_shut = False
    await venue.at(f"{MONDAY}T09:11:00", "CONTINUOUS")
    assert venue.steps() == ["roll to 20261130", f"{MONDAY} 09:00"]
    gate.is_shut = True  # of what is open nobody asks the books
    await venue.at(f"{MONDAY}T17:05:00", "CLOSED")


async def test_books_that_differ_keep_the_next_day_shut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole venue, with the gate that it has: a cent too many, taken away in the morning."""
    monkeypatch.setattr(timetable, "LOOK_S", 0.02)
    monkeypatch.setattr(demonstration, "RECONCILE_S", 0.05)
    text = TEMPLATE.read_text("utf-8")
    day = (
        'roll_at = "18:00"\ntimetable = [{at = "09:00", phase = "CONTINUOUS"}, '
        '{at = "17:05", phase = "CLOSED"}]\n'
    )
    template = tmp_path / "template.toml"
    template.write_text(text.replace('code = "EU"\n', f'code = "EU"\n{day}', 1), "utf-8")
    data, clock = tmp_path / "data", Clock()
    clock.put(f"{MONDAY}T08:59:00")
    settings = Settings(data=data, venue=data / VENUE_FILE, http_port=0, websocket_port=0)
    async with Demonstration.opened(settings, template, clock) as opened:
        await opened.endow()
        operator = await opened.client(OPERATIONS)

        async def is_now(phase: str, date: int) -> None:
            async with asyncio.timeout(20):
                while True:
                    told = await operator.phases()
                    phases = {row.symbol: row.phase for row in told.phases}
                    if (phases["EUA"], told.trading_dates["EU"]) == (phase, date):
                        return
                    await asyncio.sleep(0.05)

        await is_now("CLOSED", 20261130)
        clock.put(f"{MONDAY}T09:00:00")
        await is_now("CONTINUOUS", 20261130)
        await change(data, CENT.format(1))
        for time, date in (("17:05", 20261130), ("18:00", 20261201)):
            clock.put(f"{MONDAY}T{time}:00")
            await is_now("CLOSED", date)
        clock.put(f"{TUESDAY}T09:00:00")
        await asyncio.sleep(1)
        await is_now("CLOSED", 20261201)
        await change(data, CENT.format(-1))
        await is_now("CONTINUOUS", 20261201)


async def test_a_clock_that_is_ahead_of_the_log_does_nothing(venue: Venue) -> None:
    await venue.at(f"{MONDAY}T09:00:00", "CONTINUOUS")
    house, clock, stop = venue.house, Clock(), asyncio.Event()
    clock.put(f"{TUESDAY}T18:00:00")
    await house.stop("gateway")
    wrong = GatewayService(house.log, house.venue, house.settings, clock)
    running = asyncio.create_task(wrong.run(stop))
    await wrong.started.wait()
    await asyncio.sleep(0.3)
    stop.set()
    await running
    await house.open_gateway()
    assert (venue.phase, len(venue.steps())) == ("CONTINUOUS", 2)


async def test_a_halt_that_a_step_ran_over_comes_back(venue: Venue) -> None:
    """The halt stood on the log before the step, and the gateway had not read it."""
    await venue.at(f"{MONDAY}T08:50:00", "OPENING_CALL")
    await venue.do(Halt, "halt")
    await venue.house.until(lambda: venue.phase == "HALT")
    assert venue.house.gateway is not None
    (market,) = venue.house.gateway.timetables.markets
    step = PhaseChange(
        0, market="EU", symbol="EUA", phase="CONTINUOUS", reason=f"{MONDAY} 09:00"
    )  # fmt: skip
    await market._take(step)
    await venue.house.until(lambda: len(venue.steps()) == 4)
    await venue.at(f"{MONDAY}T09:00:00", "HALT")
    assert venue.steps()[3] == f"it was halted as step {MONDAY} 09:00 came"


async def test_a_call_ends_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "LOOK_S", 0.02)
    steps = (DAY[0], Step("09:00", "CONTINUOUS", at_random=True), DAY[-1])
    made = await opened(tmp_path, steps, f"{MONDAY}T08:50:00")
    try:
        await made.house.until(lambda: made.phase == "OPENING_CALL")
        made.clock.put(f"{MONDAY}T09:00:00")
        await made.house.until(lambda: f"{MONDAY} 09:00" in made.steps())
        (row,) = [row for row in made.view.acts.rows if row.act.reason == f"{MONDAY} 09:00"]
        assert isinstance(row.act.body, PhaseChange)
        assert row.act.body.seed > 0
        await made.at(f"{MONDAY}T09:00:31", "CONTINUOUS")  # RANDOM_END_MS is 30 s
        assert len(made.steps()) == 3
    finally:
        await made.house.close()


async def test_a_new_bootstrap_leaves_blocks_as_the_timetable_set_them(tmp_path: Path) -> None:
    made = await opened(tmp_path, DAY, f"{MONDAY}T08:00:00", {"block_open": 1})
    house = made.house
    try:
        await house.until(lambda: not made.has_blocks)  # as they were closed on Friday
        assert "2026-11-27 16:55" in made.steps()
        market = house.venue.market_of("EU")
        assert await bootstrap(house.log, house.venue, market, house.clock) == 0
    finally:
        await house.close()


def test_people_and_the_timetable_are_told_apart() -> None:
    planned, place = Planned(), 0

    def did(key: str, body: Any, reason: str = "") -> None:
        nonlocal place
        place += 1
        planned.note(Act("DONE", key, key, reason, body), place, place)

    did(TIMETABLE, PhaseChange(1, market="EU", symbol="A", phase="CONTINUOUS"), "x")
    assert planned.is_taken("A", "phase", "x")
    assert planned.is_taken("A", "phase", "w")  # an earlier one
    assert not planned.is_taken("A", "phase", "y")
    assert not planned.is_taken("A", "blocks", "x")
    assert not planned.moved("A", "phase").is_halt
    did("k", PhaseChange(1, market="EU", phase="HALT"))  # all of the market
    assert planned.moved("A", "phase") == (2, 2, True)
    did(TIMETABLE, PhaseChange(1, market="EU", symbol="A", phase="CLOSED"), "y")
    assert planned.overrun == {"A": "y"}
    did("k", Resume(1, market="EU", reason="calm"))
    assert planned.overrun == {}
    assert planned.moved("A", "phase").is_halt is False
    assert Acts().planned.moved("A", "blocks").time_ns == -1
