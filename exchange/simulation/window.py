"""A window of published days traded on the real venue: engine, settlement, registry, market data.

The simulated gateway is this process: it appends frames to `orders` and follows `events` and
`marketdata` as a gateway does. Everything else is the venue's own services on the given log and
database, started here and stopped when all that was sent has gone through all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta

import msgspec

from exchange import topics
from exchange.clock import Clock
from exchange.log.protocol import Log, Partition
from exchange.marketdata.book import MarketBooks
from exchange.messages.frames import (
    Command,
    EventFollower,
    Instruction,
    Phase,
    build_commands,
    command,
    order_id_of,
)
from exchange.positions import Positions
from exchange.reference.venue import Account, Instrument, Market, Participant, Venue
from exchange.settings import READ_RECORDS_MAX
from exchange.simulation.flow import Broker, Desk, ProductFlow, Steps
from exchange.simulation.pilots import rules_of
from exchange.simulation.planner import QUANTITY_MAX, DayPlan, plan_day
from exchange.simulation.quotes import Quote, Quotes
from exchange.simulation.tape import ProducedDay, RowResult, Tape

BROKERS = 6
WRITER = 9  # this gateway's writer id in frames
FRAME_COMMANDS = 512  # enough to keep the engine busy, little enough to stay readable
UNITS_SPARE = 100_000  # tonnes each broker has beyond all volume of a product
CASH_SPARE = 10**12  # minor units each broker has beyond all turnover
STALL_S = 30.0  # without progress: something has stopped
CLOSE_RULE_VWAP = 2
PROTECTION_BP = 300


class SimulationError(Exception):
    """The venue did not do what a sound venue does; the message says where it stood."""


def dated(day: date) -> int:
    """YYYYMMDD. O(1)."""
    return day.year * 10_000 + day.month * 100 + day.day


def venue_of(quotes: Quotes, market: Market) -> Venue:
    """A venue with one instrument for each product, under its pilot's rules, and the brokers.

    Serial numbers of a programme are given out in one market only, so a later market of the same
    books gets programmes of its own.
    """
    keys = sorted({row.key for row in quotes.rows})
    products = [product for _, product in keys]
    instruments = []
    for number, (venue, product) in enumerate(keys, 1):
        symbol = product if products.count(product) == 1 else f"{product}-{venue}"
        rules = rules_of(venue)
        parameters = {
            "quantity_max": QUANTITY_MAX,
            "protection_bp": PROTECTION_BP,
            "band_bp": rules.band_bp,
            "maker_fee_bp": rules.fee_bp,
            "taker_fee_bp": rules.fee_bp,
            "resale_next_day": int(rules.resale_next_day),
            "close_rule": CLOSE_RULE_VWAP,
            "close_volume_min": rules.close_volume_min,
        }
        instruments.append(
            Instrument(
                id=number,
                market=market.code,
                symbol=symbol,
                product=f"{symbol}/{market.partition}" if market.partition else symbol,
                scheme=f"cn-{venue.lower()}",
                kind="allowance",
                name=f"{venue} {product}",
                reference_price=_first_reference(quotes, (venue, product)),
                parameters=parameters,
            )
        )
    numbers = range(1, BROKERS + 1)
    return Venue(
        name="Published days, traded again",
        market=(market,),
        instrument=tuple(instruments),
        participant=tuple(Participant(n, f"Simulated broker {n}") for n in numbers),
        account=tuple(Account(100 + n, n, market.code, f"broker {n}") for n in numbers),
    )


def _first_reference(quotes: Quotes, key: tuple[str, str]) -> int:
    """The last average published before the window, else the first price in it, else 0."""
    if key in quotes.earlier:
        return quotes.earlier[key]
    for row in quotes.rows:
        if row.key == key:
            price = row.average or row.open or row.high
            if price:
                return price
    return 0


class Progress(msgspec.Struct, frozen=True):
    """Where a run stands."""

    day: date
    day_number: int
    days: int
    commands: int
    trades: int


class Window:
    """One run over the days of some quotes on a log whose market is still empty."""

    def __init__(self, log: Log, quotes: Quotes, venue: Venue, clock: Clock, seed: int) -> None:
        self.positions = Positions()
        self.tape = Tape()
        self.results: list[RowResult] = []
        self.market = venue.market[0]
        self.commands = 0
        self._log = log
        self._quotes = quotes
        self._clock = clock
        self._seed = seed
        self._batch = 0
        self._venue = venue
        self._moved = asyncio.Event()
        self._orders = topics.orders(self.market.partition)
        brokers = [Broker(account.id, 1_000 + account.id) for account in venue.account]
        self.desk = Desk(brokers)
        self._ids = {item.name: item.id for item in venue.instrument}
        self._flows = {
            item.id: ProductFlow(item.id, self.desk, item.parameters["band_bp"], seed)
            for item in venue.instrument
        }

    # -- the simulated gateway ------------------------------------------------------------------

    async def send(self, commands: Sequence[bytes]) -> int:
        """Appends one frame; the order id of its first command."""
        frame = build_commands(
            commands, writer=WRITER, batch=self._batch, time_ns=self._clock.now_ns()
        )
        self._batch += 1
        (offset,) = await self._log.append(self._orders, [frame])
        self.commands += len(commands)
        return order_id_of(offset, 0)

    async def follow(self) -> None:
        """Reads `events` and `marketdata` until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_events())
            group.create_task(self._follow_market_data())

    async def _follow_events(self) -> None:
        follower = EventFollower()
        async for offset, value in self._records(topics.events(self.market.partition)):
            part = follower.accept(offset, value)
            if part is not None:
                self.positions.apply(part)
                self._moved.set()

    async def _follow_market_data(self) -> None:
        books = MarketBooks()
        async for _, value in self._records(topics.marketdata(self.market.partition)):
            record = books.apply(value)
            if record is not None:
                self.tape.read(record)
                self._moved.set()

    async def _records(self, partition: Partition) -> AsyncIterator[tuple[int, bytes]]:
        reader = await self._log.open_reader(partition, 0)
        try:
            while True:
                for record in await reader.read(READ_RECORDS_MAX, 0.2):
                    yield record.offset, record.value
        finally:
            await reader.close()

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits for something read from the log; SimulationError after STALL_S of standstill."""
        while not holds():
            self._moved.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), STALL_S)
                continue
            raise SimulationError(
                f"waited {STALL_S:.0f} s for {what}: engine output is read up to input "
                f"{self.positions.next_input}, market data up to {self.tape.next_number}"
            )

    # -- the run --------------------------------------------------------------------------------

    async def endow(self) -> None:
        """Gives every broker cash and, through the registry, units of every product."""
        cash = CASH_SPARE + sum(
            2 * (row.volume or 0) * max(row.high or 0, row.average or 0, row.open or 0)
            for row in self._quotes.rows
        )
        for broker in self.desk.brokers:
            commands = [
                command(Command.CASH_DEPOSIT, account_id=broker.account, quantity=cash, order_id=1)
            ]
            for item in self._venue.instrument:
                volume = sum(
                    row.volume or 0 for row in self._quotes.rows if _name(row) == item.name
                )
                commands += [
                    command(
                        Command.INSTRUCTION,
                        order_type=kind,
                        instrument_id=item.id,
                        account_id=broker.account,
                        quantity=volume + UNITS_SPARE,
                        price=self._quotes.rows[0].day.year,
                    )
                    for kind in (Instruction.ISSUE, Instruction.DEPOSIT)
                ]
            await self.send(commands)
        await self.until(self._is_endowed, "the units which the registry deposits")

    def _is_endowed(self) -> bool:
        return all(
            self.positions.units(account.id, item.id).available > 0
            for account in self._venue.account
            for item in self._venue.instrument
        )

    async def trade(self, report: Callable[[Progress], None]) -> None:
        """Trades every day of the quotes, one after the other."""
        days = self._quotes.days()
        await self._roll(days[0])
        for number, day in enumerate(days):
            following = days[number + 1] if number + 1 < len(days) else day + timedelta(1)
            await self._trade_day(day, following)
            report(Progress(day, number + 1, len(days), self.commands, self.positions.trades))

    async def _trade_day(self, day: date, following: date) -> None:
        plans = {}
        for row in self._quotes.rows:
            if row.day == day:
                instrument = self._ids[_name(row)]
                close = self.positions.instruments[instrument].reference_price
                plans[instrument] = row, plan_day(row, rules_of(row.venue), close, self._seed)
        moves = [
            command(Command.REFERENCE_PRICE, instrument_id=instrument, price=plan.reference)
            for instrument, (_, plan) in plans.items()
            if "r" in plan.marks
        ]
        if moves:
            await self.send(moves)
        await self._phase(Phase.CONTINUOUS)
        for instrument, (_, plan) in plans.items():
            self._flows[instrument].reference_moved(plan.reference)
        await self._interleave(
            [self._flows[instrument].day(plan) for instrument, (_, plan) in plans.items()]
        )
        await self._phase(Phase.CLOSED)
        produced = await self._roll(following)
        for instrument, (row, plan) in plans.items():
            self.results.append(_result(row, plan, produced[instrument]))
        for instrument, flow in self._flows.items():
            flow.day_ended(self.positions.instruments[instrument].reference_price)

    async def _interleave(self, flows: list[Steps]) -> None:
        """Sends the steps of all products in turn, many in a frame."""
        waiting = [(flow, next(flow)) for flow in flows]
        while waiting:
            frame: list[bytes] = []
            taken = 0
            for _, commands in waiting:
                if taken and len(frame) + len(commands) > FRAME_COMMANDS:
                    break
                frame += commands
                taken += 1
            first = await self.send(frame) if frame else 0
            again = []
            for flow, commands in waiting[:taken]:
                with suppress(StopIteration):
                    again.append((flow, flow.send(first)))
                first += len(commands)
            waiting = waiting[taken:] + again

    async def _phase(self, phase: Phase) -> None:
        await self.send([command(Command.PHASE_CHANGE, order_type=phase)])

    async def _roll(self, day: date) -> dict[int, ProducedDay]:
        """Rolls the day; what market data says the instruments' day was."""
        closed = len(self.tape.closed)
        await self.send([command(Command.DAY_ROLL, quantity=dated(day))])
        await self.until(
            lambda: len(self.tape.closed) > closed and self.positions.trading_date == dated(day),
            f"the close before {day}",
        )
        return self.tape.closed[-1]


def _name(row: Quote) -> str:
    return f"{row.venue} {row.product}"


def _result(row: Quote, plan: DayPlan, produced: ProducedDay) -> RowResult:
    return RowResult(row, plan, produced, rules_of(row.venue).opens_at_previous_close)
