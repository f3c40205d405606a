"""Two registries, each with an engine, a log partition and a database of its own, in steps.

Market CN keeps allowances and lists CCERs, which market CV keeps. A step of a side lets its engine,
its settlement and its registry do what is waiting. `crash` counts the moments at which a registry
can die, and kills it at one of them; the side then starts again from its books.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Table, select

from exchange import topics
from exchange.database import Database
from exchange.database import schema as tables
from exchange.log.protocol import Partition
from exchange.messages.frames import Command, Instruction, Phase, command, notes
from exchange.messages.registry import RegistryItem
from exchange.reference.venue import Instrument, Market, Venue, check_venue
from exchange.registry import RegistryService
from exchange.registry.blocks import Position
from exchange.registry.saga import AllowanceState, ReturnState, UndoState
from exchange.rulebook import load_rulebook
from exchange.settlement import SettlementService
from gateway.views.holdings import Holdings as View
from tests.books_desk import act_of, decode, owed
from tests.books_venue import ACT_NS, CCER, CEA_2024, VENUE, YANGTZE, YEAR, EnginePump, issue
from tests.books_venue import opening as opening_of_cn

CREDITS = Market("CV", 5, "CNY")
KEPT, HOLDING, STRANGER = 77, 301, 302  # the CCER there, and two accounts of it
HOUR_NS = 3_600 * 10**9
WANTED = f"cn-national {YEAR} {ACT_NS} 0"  # what FREEZE says it is for


def _venue() -> Venue:
    (ccer,) = (item for item in VENUE.instrument if item.id == CCER)
    here = msgspec.structs.replace(ccer, kept_by="CV")
    there = Instrument(
        KEPT, "CV", "CCER-CV", "CCER", "cn-national", "offset", ccer.vintage, ccer.generation
    )
    others = tuple(item for item in VENUE.instrument if item.id != CCER)
    venue = msgspec.structs.replace(
        VENUE, market=(*VENUE.market, CREDITS), instrument=(*others, here, there)
    )
    assert check_venue(venue) == []
    return venue


TWO = _venue()
ALLOWANCES = TWO.market_of("CN")


class CrashError(Exception):
    """The process is gone."""


class Crash:
    """Kills a registry at the `at`-th moment where it can die; counts them all."""

    def __init__(self) -> None:
        self.at, self.count, self.seen = -1, 0, 0

    def arm(self, at: int) -> None:
        """The `at`-th moment from now; -1 = none."""
        self.at, self.count = at, 0

    def point(self) -> None:
        """One moment."""
        self.count += 1
        if self.count - 1 == self.at:
            self.at = -1
            self.seen += 1
            raise CrashError


class CrashingLog:
    """The log as a registry sees it: it may die before or after each append."""

    def __init__(self, log: Any, crash: Crash) -> None:
        self._log, self._crash = log, crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, partition: Partition, values: Sequence[bytes]) -> list[int]:
        self._crash.point()  # written in the books, said to nobody
        offsets: list[int] = await self._log.append(partition, values)
        self._crash.point()  # said, but nobody here knows
        return offsets


class Side:
    """One market."""

    def __init__(self, log: Any, market: Market, books: Database, crash: Crash) -> None:
        self.log, self.market, self.books, self.crash = log, market, books, crash
        self.pump = EnginePump(log, market=market)
        self.settlement = SettlementService(log, market, books)
        self.stop = asyncio.Event()
        self.registry: RegistryService = self._make()

    def _make(self) -> RegistryService:
        log = CrashingLog(self.log, self.crash)
        service = RegistryService(log, self.market, TWO, self.books, rulebook=RULES)  # type: ignore[arg-type]
        write = service._store.write

        async def dying(*arguments: Any) -> None:
            self.crash.point()  # before the transaction
            await write(*arguments)
            self.crash.point()  # after it

        service._store.write = dying  # type: ignore[method-assign]
        return service

    async def open(self, records: list[bytes]) -> None:
        await self.settlement.load()
        await self.registry.take_up(self.stop)
        await self.pump.send(*records)
        await self.step()

    async def step(self) -> bool:
        """Lets everything waiting here happen once; whether anything did."""
        moved = await self.pump.pump()
        events = self.log.rows[self.pump.events]
        await self.settlement.settle(events[self.settlement.position.topic_offset :], self.stop)
        rows = self.log.rows[topics.settlements(self.market.partition)]
        waiting = rows[self.registry.position.topic_offset :]
        for row in waiting:  # one record a transaction: the most moments to die at
            try:
                await self.registry.register([(row.offset, row.value)], self.stop)
            except CrashError:
                await self.restart()
                return True
        return bool(moved or waiting)

    async def restart(self) -> None:
        """A new process, which may die too."""
        while True:
            self.registry = self._make()
            try:
                await self.registry.take_up(self.stop)
            except CrashError:
                continue
            return

    def said(self) -> list[RegistryItem]:
        """Everything on `registry`, each record once."""
        records = {
            record.number: record
            for record in map(
                decode, (row.value for row in self.log.rows[topics.registry(self.market.partition)])
            )
        }
        assert sorted(records) == list(range(len(records)))
        return [item for number in sorted(records) for item in records[number].items]


class Two:
    """Both sides."""

    def __init__(self, log: Any, books: Database, other: Database) -> None:
        self.crash = Crash()
        self.log = log
        self.allowances = Side(log, ALLOWANCES, books, self.crash)
        self.credits = Side(log, CREDITS, other, self.crash)
        self.sides = (self.allowances, self.credits)

    async def open(self) -> None:
        """Accounts, types, bindings, units and an obligation of 1,000,000 t."""
        await self.log.create(topics.of_market(ALLOWANCES.partition))
        await self.log.create(topics.of_market(CREDITS.partition))
        await self.allowances.open(
            [
                *opening_of_cn(),
                *act_of(Instruction.BIND_ACCOUNT, YANGTZE, CCER, 0, HOLDING, "office\nCV"),
                issue(YANGTZE, CEA_2024, 2_000_000),
                *owed(YANGTZE, YEAR, 1_000_000),
            ]
        )
        records = [command(Command.INSTRUMENT_OPEN, instrument_id=KEPT)]
        records += [
            command(Command.ACCOUNT_OPEN, account_id=account, order_id=4)
            for account in (HOLDING, STRANGER)
        ]
        records += act_of(
            Instruction.SET_ACCOUNT_TYPE, HOLDING, KEPT, 0, 0, "office\nccer_general_holding"
        )
        records += act_of(Instruction.BIND_ACCOUNT, HOLDING, KEPT, 0, YANGTZE, "office\nCN")
        records += [issue(HOLDING, KEPT, 100_000)]
        records += [command(Command.PHASE_CHANGE, order_type=Phase.CONTINUOUS)]
        await self.credits.open(records)
        await self.quiet()

    async def quiet(self, *sides: Side) -> None:
        """Lets the given sides, or both, go on until nothing moves any more."""
        moving = sides or self.sides
        while any([await side.step() for side in moving]):
            pass

    async def close(self) -> None:
        for side in self.sides:
            await side.settlement.close()

    async def surrender(self, quantity: int, instrument: int = CCER) -> int:
        """Sends a surrender to the registry of the allowances; its id."""
        return await self.allowances.pump.instruct(
            Instruction.SURRENDER,
            account_id=YANGTZE,
            instrument_id=instrument,
            price=YEAR,
            quantity=quantity,
        )

    async def approve_reversal(self, original: int, quantity: int) -> int:
        """Proposes to undo a surrender, and approves it with another key; the approval's id."""
        told = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": quantity}
        pump = self.allowances.pump
        proposal = await pump.instruct(
            Instruction.PROPOSE_REVERSAL, "ann\nwrong year", price=original, **told
        )
        await self.quiet(self.allowances)
        return await pump.instruct(Instruction.APPROVE_REVERSAL, "ben\n", price=proposal, **told)

    async def pass_time(self, side: Side, hours: int) -> None:
        """Lets the time of a side's log go on, with a record that says so."""
        side.pump.time_ns += hours * HOUR_NS
        account, instrument = (YANGTZE, CCER) if side is self.allowances else (HOLDING, KEPT)
        await side.pump.instruct(
            Instruction.CARRY_OUT, account_id=account, instrument_id=instrument
        )

    async def restore_time(self) -> None:
        """Both logs at the later of their times, for the next scenario."""
        latest = max(side.pump.time_ns for side in self.sides)
        for side in self.sides:
            side.pump.time_ns = latest

    async def states(self) -> dict[int, AllowanceState]:
        """{surrender: where it stands} in the books of the allowances."""
        rows = await self._rows(self.allowances, tables.offset_surrender)
        return {row["instruction_id"]: AllowanceState(row["state"]) for row in rows}

    async def _rows(self, side: Side, table: Table) -> list[Any]:
        async with side.books.reading() as connection:
            return list((await connection.execute(select(table))).mappings().all())

    async def check(self) -> None:
        """What must hold once nothing moves: each surrender is retired and counted, or neither."""
        rows = await self._rows(self.allowances, tables.offset_surrender)
        asked = {row["instruction_id"]: row for row in rows}
        rows = await self._rows(self.allowances, tables.surrender)
        counted = {row["instruction_id"]: row["quantity"] for row in rows if row["rule"]}
        rows = await self._rows(self.credits, tables.credit_hold)
        held = {row["surrender_id"]: row for row in rows}
        done = {n: r["quantity"] for n, r in asked.items() if r["state"] == AllowanceState.DONE}
        undone = await self.check_reversals()
        failed = {n for n, row in asked.items() if row["state"] == AllowanceState.FAILED}
        assert done.keys() | failed == asked.keys()
        assert done == counted
        assert done == {n: row["quantity"] for n, row in held.items() if row["state"] in (2, 5)}
        assert undone == {n for n, row in held.items() if row["state"] == 5}
        assert all(row["state"] in (2, 3, 4, 5) for row in held.values())
        done = {n: quantity for n, quantity in done.items() if n not in undone}
        blocks = await self._rows(self.credits, tables.block)
        retired = sum(b["last_serial"] - b["first_serial"] + 1 for b in blocks if b["state"] == 2)
        free = sum(
            b["last_serial"] - b["first_serial"] + 1
            for b in blocks
            if (b["state"], b["position"], b["account"]) == (1, 1, HOLDING)
        )
        assert retired == sum(done.values())
        assert retired + free == self.credits.registry.holdings.issued[KEPT]
        holdings = self.allowances.registry.holdings
        account = (YANGTZE, "cn-national", YEAR)
        assert holdings.used(account, ("CCER",)) == sum(done.values())
        assert not holdings.standings.surrenders
        assert not self.credits.registry.holdings.standings.holds
        for side in self.sides:
            self._check_told(side)

    async def check_reversals(self) -> set[int]:
        """What must hold of reversals: returned and undone, or neither; the surrenders undone."""
        rows = await self._rows(self.allowances, tables.offset_reversal)
        asked = {row["instruction_id"]: row for row in rows}
        assert all(row["state"] in (UndoState.DONE, UndoState.FAILED) for row in rows)
        rows = await self._rows(self.credits, tables.credit_return)
        back = {row["reversal_id"]: row for row in rows}
        assert all(row["state"] != ReturnState.RESTORED for row in rows)
        done = {n for n, row in asked.items() if row["state"] == UndoState.DONE}
        assert done == {n for n, row in back.items() if row["state"] == ReturnState.RETURNED}
        rows = await self._rows(self.allowances, tables.reversal)
        assert done == {row["instruction_id"] for row in rows}
        assert not self.allowances.registry.holdings.standings.reversals
        assert not self.credits.registry.holdings.standings.returns
        return {asked[n]["original"] for n in done}

    @staticmethod
    def _check_told(side: Side) -> None:
        """What `registry` says gives the same holdings, and the same use, to whoever reads it."""
        view, holdings = View(), side.registry.holdings
        for item in side.said():
            view.apply(item)
        told = {key: view.quantity(key) for key in view.keys()}  # noqa: SIM118 - no mapping
        assert told == {
            (place.account, place.instrument_id, Position(place.position).name, 0): quantity
            for place, quantity in holdings.totals.items()
        }
        given = sum(view.surrendered.values())
        assert given == sum(holdings.surrendered.values())


RULES = load_rulebook()
"""The shipped rules: that the unit is kept elsewhere is enough for the two-registry flow."""


def request(
    word: str, number: int, quantity: int, account: int = HOLDING, text: str = WANTED
) -> list[bytes]:
    """A message to the registry of the credits, as an outside system could repeat it."""
    return [
        command(
            Command.INSTRUCTION,
            order_type=Instruction.OFFSET_REQUEST,
            account_id=account,
            instrument_id=KEPT,
            quantity=quantity,
            price=number,
        ),
        *notes(f"{word}\nCN\n{YANGTZE}\n{CCER}\n0\n{text}"),
    ]


def answer(word: str, number: int, quantity: int) -> list[bytes]:
    """A message to the registry of the allowances."""
    return [
        command(
            Command.INSTRUCTION,
            order_type=Instruction.OFFSET_ANSWER,
            account_id=YANGTZE,
            instrument_id=CCER,
            quantity=quantity,
            price=number,
        ),
        *notes(f"{word}\nCN\n{YANGTZE}\n{CCER}\n0\n"),
    ]
