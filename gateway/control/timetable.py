"""The timetable's steps become commands when they are due: the clock as one more operator.

Every gateway does this, and one step is taken once: the command says in its words which step it is,
and is numbered as people's decisions are. Of two gateways that have read the same log both take the
next number, and the engine hears the first; who has read further knows that it was taken. A step
that did not know of a halt, or of a limit just set, loses its number to it, and is judged anew.
What a person did after a step was due stands until the next one; what a person halted stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import structlog

from exchange.clock import Clock, random_id
from exchange.messages.frames import INDEX_BITS, PHASE_TRANSITIONS, Parameter, Phase
from exchange.messages.operations import DayRoll, PhaseChange, SetLimit
from exchange.positions import InstrumentState
from exchange.reference.timetable import CALLS, Due, Standing, Step, due_date, standing
from exchange.reference.venue import TIMETABLE, TIMETABLE_SESSION, Instrument, Key, Market, Venue
from gateway.control.opening import OpeningGate
from gateway.control.operations import Operations
from gateway.entry.order_entry import OrderEntry
from gateway.entry.submitter import awaited
from gateway.refusal import Refused
from gateway.views.planned import Kind
from gateway.views.venue_view import MarketView

LOOK_S = 0.5  # a gate that was shut, a log that was away: looked at again so often
ANSWER_S = 5.0
READ_S = 0.002
ROLL_AGAIN_S = 10
AHEAD_S_MAX = 5.0  # of the log, beside two ticks of the engine
SECOND_NS = 1_000_000_000
TRIES_MAX = 8  # to take a step before which others decide: then it is looked at again later
NAME = TIMETABLE
KEY = Key(NAME, 0, "operator", TIMETABLE_SESSION)
"""Whose name stands on the log; nobody can sign with it."""

Request = PhaseChange | SetLimit | DayRoll


class Timetables:
    """Those of a venue's markets; without any it does nothing."""

    def __init__(
        self,
        venue: Venue,
        entry: OrderEntry,
        operations: Operations,
        views: dict[str, MarketView],
        gate: OpeningGate | None,
        clock: Clock,
        engine_tick_ms: int,
    ) -> None:
        ahead_ns = int(AHEAD_S_MAX * SECOND_NS) + 2 * engine_tick_ms * 1_000_000
        self.markets = [
            MarketTimetable(
                venue, market, entry, operations, views[market.code], gate, clock, ahead_ns
            )
            for market in venue.market
            if any(venue.timetable_of(item) for item in venue.instruments_of(market.code))
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Takes what is due until `stop`."""
        async with asyncio.TaskGroup() as group:
            for market in self.markets:
                group.create_task(market.run(stop))


class MarketTimetable:
    """The timetable of one market, as one gateway sees it."""

    def __init__(
        self,
        venue: Venue,
        market: Market,
        entry: OrderEntry,
        operations: Operations,
        view: MarketView,
        gate: OpeningGate | None,
        clock: Clock,
        ahead_ns_max: int,
    ) -> None:
        self._market = market
        self._ahead_ns_max = ahead_ns_max
        own = ((item, venue.timetable_of(item)) for item in venue.instruments_of(market.code))
        self._steps = [(item, steps) for item, steps in own if steps]
        self._entry, self._operations = entry, operations
        self._view, self._gate, self._clock = view, gate, clock
        self._standings: dict[tuple[Step, ...], tuple[int, Standing]] = {}
        self._sent = -1  # offset of the last command: nothing more before it is answered
        self._told: dict[str, str] = {}  # symbol -> why it was held, said once
        self._was_ahead = False
        self._rolled = (0, 0)  # to which date last, and when, monotonic
        self._say = structlog.get_logger().bind(service=NAME, market=market.code)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks at the clock until `stop`, at each step to the moment."""
        while not stop.is_set():
            await self.look()
            now = self._clock.now_ns()
            following = [s.next_ns for s in self._now(now).values() if s.next_ns]
            rest = min([LOOK_S, *((moment - now) / SECOND_NS for moment in following)])
            try:
                await asyncio.wait_for(stop.wait(), max(rest, 0.001))
            except TimeoutError:
                continue

    async def look(self) -> None:
        """Takes every step that is due now. O(instruments)."""
        view = self._view
        if not view.is_ready or view.obstacle() or view.follower.input_offset < self._sent:
            return
        if self._is_ahead():
            return
        is_shut = False
        for _ in range(TRIES_MAX):
            if not any([await self._take(roll) for roll in self._roll()]):
                break
            self._rolled = (0, 0)
        for item, steps in self._steps:
            for request in self._wanted(item, steps):
                if isinstance(request, PhaseChange) and self._opens(item):
                    is_shut = is_shut or not await self._may_open(item, request)
                    if is_shut:
                        continue
                for _ in range(TRIES_MAX):
                    # meanwhile somebody may have halted it, or another gateway taken the step
                    if _named(request) not in map(_named, self._wanted(item, steps)):
                        break
                    if not await self._take(request):
                        break

    def _is_ahead(self) -> bool:
        """Whether the log has not come to the time of this clock: a day roll is for good."""
        ahead_ns = self._clock.now_ns() - self._view.positions.time_ns
        is_ahead = ahead_ns > self._ahead_ns_max
        if is_ahead and not self._was_ahead and self._view.positions.time_ns:
            self._say.warning("clock_is_ahead_of_the_log", seconds=ahead_ns // SECOND_NS)
        self._was_ahead = is_ahead
        return is_ahead

    # -- what is due ------------------------------------------------------------------------------

    def _wanted(self, item: Instrument, steps: tuple[Step, ...]) -> list[Request]:
        """What is due of an instrument. O(1), and of its steps when one has passed."""
        known = self._view.positions.instruments.get(item.id)
        if known is None:
            return []
        symbol, planned = item.symbol, self._view.acts.planned
        if symbol in planned.overrun and known.phase != Phase.HALT:
            words = f"it was halted as step {planned.overrun[symbol]} came"
            return [PhaseChange(self._ref, market=self._market.code, symbol=symbol,
                                phase="HALT", reason=words)]  # fmt: skip
        if known.phase == Phase.HALT or planned.moved(symbol, "phase").is_halt:
            return []
        due = self._now(self._clock.now_ns())[steps]
        return [*self._phase(item, known, due.phase), *self._blocks(item, known, due.blocks)]

    def _phase(
        self, item: Instrument, known: InstrumentState, due: Due | None
    ) -> Iterator[Request]:
        if due is None or due.step.phase is None or self._is_past(item.symbol, "phase", due):
            return
        before, wanted = Phase(known.phase), Phase[due.step.phase]
        is_interrupted = (before, wanted) == (Phase.VOLATILITY_CALL, Phase.CONTINUOUS)
        if before == wanted or is_interrupted or (before, wanted) not in PHASE_TRANSITIONS:
            return  # a missed call is not made up for
        if before == Phase.CLOSED and not self._is_date_right():
            return
        is_drawn = due.step.at_random and before.name in CALLS
        yield PhaseChange(
            self._ref,
            market=self._market.code,
            symbol=item.symbol,
            phase=due.step.phase,
            seed=random_id() if is_drawn else 0,
            reason=due.label,
        )

    def _blocks(
        self, item: Instrument, known: InstrumentState, due: Due | None
    ) -> Iterator[Request]:
        if due is None or self._is_past(item.symbol, "blocks", due):
            return
        value = int(bool(due.step.blocks))
        if known.parameters[Parameter.BLOCK_OPEN] != value:
            yield SetLimit(
                self._ref,
                market=self._market.code,
                symbol=item.symbol,
                parameter="BLOCK_OPEN",
                value=value,
                reason=due.label,
            )

    def _roll(self) -> Iterator[Request]:
        known = self._view.positions.instruments.values()
        if self._is_date_right() or any(state.phase != Phase.CLOSED for state in known):
            return
        date, now_ns = self._date(), self._clock.monotonic_ns()
        asked, position = self._view.acts.planned.rolled
        if asked == date and self._view.follower.input_offset <= position >> INDEX_BITS:
            return  # the engine has not answered who asked
        rolled, since_ns = self._rolled
        if rolled == date and now_ns - since_ns < ROLL_AGAIN_S * SECOND_NS:
            return  # the engine has refused it, and will for a while
        self._rolled = date, now_ns
        yield DayRoll(
            self._ref, market=self._market.code, trading_date=date, reason=f"roll to {date}"
        )

    def _is_past(self, symbol: str, kind: Kind, due: Due) -> bool:
        """Whether the step was taken, or a person did something since it was due."""
        planned = self._view.acts.planned
        is_taken = planned.is_taken(symbol, kind, due.label)
        return is_taken or planned.moved(symbol, kind).time_ns >= due.since_ns

    def _is_date_right(self) -> bool:
        """Whether the trading date is the one that should have begun; so is a later one."""
        return not self._market.roll_at or self._view.positions.trading_date >= self._date()

    def _date(self) -> int:
        return due_date(self._market.roll_at, self._market.calendar, self._clock.now_ns())

    def _now(self, now: int) -> dict[tuple[Step, ...], Standing]:
        """What each timetable says; computed anew when a step passes, or the clock went back."""
        for steps in {steps for _, steps in self._steps}:
            since, known = self._standings.get(steps, (now + 1, Standing(None, None, None)))
            if now < since or known.next_ns is None or now >= known.next_ns:
                self._standings[steps] = now, standing(steps, self._market.calendar, now)
        return {steps: found for steps, (_, found) in self._standings.items()}

    # -- what is done -----------------------------------------------------------------------------

    def _opens(self, item: Instrument) -> bool:
        return self._view.positions.instruments[item.id].phase == Phase.CLOSED

    async def _may_open(self, item: Instrument, request: PhaseChange) -> bool:
        if self._gate is None:
            return True
        try:
            await self._gate.admit(request, self._view, [item.id])
        except Refused as refused:
            self._hold(item.symbol, request, refused)
            return False
        return True

    def _hold(self, symbol: str, request: Request, refused: Refused) -> None:
        words = f"{request.reason}: {refused.row.name}"
        if self._told.get(symbol) != words:
            self._told[symbol] = words
            self._say.warning(
                "step_held", symbol=symbol, step=request.reason, reason=refused.row.name,
                text=refused.text,
            )  # fmt: skip

    @property
    def _ref(self) -> int:
        return self._view.acts.last_ref.get(TIMETABLE_SESSION, 0) + 1

    async def _take(self, request: Request) -> bool:
        """Whether it has to be looked at again: another decided before it, and nothing was done."""
        symbol = request.symbol if not isinstance(request, DayRoll) else ""
        request = msgspec.structs.replace(request, ref=self._ref)  # they come one by one
        try:
            prepared = self._operations.planned(KEY, request)
            written, done = awaited()
            self._entry.submit(prepared, done)
            position = await written
        except Refused as refused:
            self._hold(symbol, request, refused)
            return False
        self._sent = position >> INDEX_BITS
        self._told.pop(symbol, None)
        await self._read_up_to(request.ref)
        if (NAME, request.ref) in self._view.acts.lost:
            return True
        self._say.info("step_taken", symbol=symbol, step=request.reason, position=position)
        return False

    async def _read_up_to(self, ref: int) -> None:
        """Until this gateway has read its own step, or another's of the same number."""
        try:
            async with asyncio.timeout(ANSWER_S):
                while self._ref <= ref:  # noqa: ASYNC110 - a number on the log
                    await asyncio.sleep(READ_S)
        except TimeoutError:
            self._say.warning("step_not_read", ref=ref)


def _named(request: Request) -> tuple[type[Request], str]:
    """Which step a request takes, whatever its number and its draw. O(1)."""
    return type(request), request.reason
