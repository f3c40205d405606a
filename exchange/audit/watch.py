"""Reconciliation while the venue runs: topic `events` and the books, looked at every few seconds.

Positions are projected from `events` up to exactly the place where settlement stands, and compared
with the ledger there; the registry is compared whenever it stands at the same settlement record.
Deposits which the registry has moved and the engine has not yet taken are on their way, no break.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

import msgspec
import structlog
from sqlalchemy import func, select

from exchange import metrics, topics
from exchange.audit.reconciliation import (
    ISSUE_CHECK,
    OPENING_CHECKS,
    REGISTRY_CHECK,
    AssetKey,
    Books,
    Check,
    DueLegs,
    breaks,
    reconcile,
)
from exchange.audit.verdicts import Verdict, keep
from exchange.clock import Clock, SystemClock
from exchange.database import Database
from exchange.database import schema as tables
from exchange.database.connection import REFUSALS, is_locked
from exchange.log.protocol import Log, LogUnavailableError, Reader, Record
from exchange.messages.frames import ChainBrokenError, EventFollower
from exchange.messages.registry import RegistryRecord, issued_by
from exchange.positions import Positions
from exchange.reference.venue import Market
from exchange.registry.blocks import Position, State
from exchange.settings import RECONCILE_EVERY_S, RECONCILE_READ_RECORDS_MAX
from exchange.settlement.queries import unsettled_legs

READ_WAIT_S = 1.0
RETRY_S = 0.2
LOOKS_MAX = 3  # an issue may be in the books and not yet on its topic: a break must stay


class Look(NamedTuple):
    """One state of the books: where settlement stands, and what ledger and registry say there."""

    input_offset: int  # of `orders`: the next one settlement expects
    is_whole: bool  # settlement does not stand inside the output of one record
    is_level: bool  # the registry has read all that settlement said
    ledger: dict[AssetKey, int]
    trading_units: dict[AssetKey, int]  # less what is on its way to the engine
    units: dict[State, dict[int, int]]  # by instrument
    due: list[DueLegs]  # trades that are not settled


async def look(database: Database, market: int) -> Look:
    """The books of a market in one transaction. O(accounts + blocks)."""
    settled, registered = tables.settlement_position, tables.registry_position
    held, block, deposit = tables.balance, tables.block, tables.deposit
    place = (block.c.account, block.c.instrument_id, block.c.position, block.c.state)
    tonnes = func.sum(block.c.last_serial - block.c.first_serial + 1)
    on_its_way = select(deposit).where(deposit.c.market == market, deposit.c.confirmed == 0)
    async with database.reading() as connection:
        here = (await connection.execute(select(settled).where(settled.c.market == market))).first()
        there = await connection.scalar(
            select(registered.c.settlement_number).where(registered.c.market == market)
        )
        balances = (await connection.execute(select(held).where(held.c.market == market))).all()
        blocks = (
            await connection.execute(
                select(*place, tonnes).where(block.c.market == market).group_by(*place)
            )
        ).all()
        deposits = (await connection.execute(on_its_way)).all()
        due = (await connection.execute(unsettled_legs(market))).all()
    trading: dict[AssetKey, int] = defaultdict(int)
    units: dict[State, dict[int, int]] = {state: defaultdict(int) for state in State}
    for account, instrument, position, state, quantity in blocks:
        units[State(state)][instrument] += int(quantity)
        if (state, position) == (State.HELD, Position.TRADING):
            trading[account, instrument] += int(quantity)
    for row in deposits:
        trading[row.account, row.instrument_id] -= row.quantity
    return Look(
        here.input_offset if here else 0,
        here is None or (here.part == 0 and not here.carry),
        (here.number if here else 0) == (there or 0),
        {(row.account, row.asset): int(row.amount) for row in balances},
        dict(trading),
        units,
        [DueLegs(*map(int, row)) for row in due],
    )


async def issued_units(log: Log, partition: int) -> dict[int, int]:
    """{instrument: tonnes ever issued}, from topic `registry`. O(its records). Raises LogError."""
    issued: dict[int, int] = defaultdict(int)
    decoder = msgspec.msgpack.Decoder(RegistryRecord)
    topic, number = topics.registry(partition), 0
    end = await log.end(topic)
    reader = await log.open_reader(topic, 0)
    try:
        while reader.position < end:
            for row in await reader.read(RECONCILE_READ_RECORDS_MAX, READ_WAIT_S):
                record = decoder.decode(row.value)
                if record.number != number:
                    continue  # said again after a restart
                number += 1
                for item in record.items:
                    if (made := issued_by(item)) is not None:
                        issued[made[0]] += sum(r.last - r.first + 1 for r in made[1])
    finally:
        await reader.close()
    return issued


class ReconciliationService:
    """Compares engine, ledger and registry of one market every `every_s` seconds.

    Sets `exchange_reconciliation_breaks`, logs what differs, and keeps in the books the first whole
    look of each trading date and each change between green and red, on which the next opening
    stands; it mends nothing. Memory: the open orders and accounts of the market.
    """

    def __init__(
        self,
        log: Log,
        market: Market,
        database: Database,
        every_s: float = RECONCILE_EVERY_S,
        *,
        clock: Clock | None = None,
    ) -> None:
        self.name = f"reconciliation-{market.code}"
        self.is_ready = True  # nobody waits for it; a long history takes its time
        self.checks: list[Check] = []  # of the last look
        self._log = log
        self._market = market
        self._database = database
        self._every_s = every_s
        self._positions = Positions()
        self._follower = EventFollower()
        self._read: list[Record] = []  # read and not yet applied, newest first
        self._clock = clock or SystemClock()
        self._kept: tuple[int, bool] | None = None  # trading date and greenness last kept
        self._kept_ns = 0
        self._red_looks = 0  # one after the other
        self._say = structlog.get_logger().bind(market=market.code)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until `stop`. Raises ChainBrokenError, LogError and the database's errors."""
        reader = await self._log.open_reader(topics.events(self._market.partition), 0)
        try:
            while not stop.is_set():
                try:
                    if await self._compare(reader, stop):
                        await self._keep_what_is_new()
                except LogUnavailableError as error:
                    self._say.warning("log not available", error=str(error))
                except REFUSALS as error:
                    if not is_locked(error):
                        raise
                    self._say.warning("books are locked, will look again", error=str(error))
                await _wait(stop, self._every_s)
        except ChainBrokenError:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            raise
        finally:
            await reader.close()

    async def once(self, patience_s: float) -> list[Check]:
        """The checks of one look, the registry's among them.

        A busy venue is seldom at rest: looks again until registry and settlement stand at the same
        record, TimeoutError after `patience_s`. Raises as `run` does.
        """
        stop = asyncio.Event()
        reader = await self._log.open_reader(topics.events(self._market.partition), 0)
        try:
            async with asyncio.timeout(patience_s):
                level_looks = 0
                while level_looks < LOOKS_MAX:
                    await self._compare(reader, stop, with_issues=True)
                    if any(check.name == REGISTRY_CHECK for check in self.checks):
                        level_looks += 1
                        if not breaks(self.checks):
                            break
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise TimeoutError(
                f"{self._market.code}: settlement and registry did not stand at the same record "
                f"within {patience_s:g} s: is the registry running? Where each stands by itself, "
                "`exchange rebuild` compares them with the log"
            ) from None
        finally:
            await reader.close()
        return self.checks

    async def keep(self) -> Verdict:
        """Writes the checks of the last look into the books. Raises the database's errors."""
        positions = self._positions
        self._kept_ns = max(self._clock.now_ns(), self._kept_ns + 1)
        verdict = Verdict(
            self._kept_ns, positions.trading_date, positions.next_input, tuple(self.checks)
        )
        await keep(self._database, self._market.partition, verdict)
        self._kept = (verdict.trading_date, verdict.is_green)
        return verdict

    async def _keep_what_is_new(self) -> None:
        """A red look counts when it stays; a green one when nothing was left out."""
        is_green = not breaks(self.checks)
        self._red_looks = 0 if is_green else self._red_looks + 1
        is_whole = {check.name for check in self.checks} >= OPENING_CHECKS
        counts = is_whole if is_green else self._red_looks >= LOOKS_MAX
        if counts and self._kept != (self._positions.trading_date, is_green):
            await self.keep()

    async def _compare(
        self, reader: Reader, stop: asyncio.Event, *, with_issues: bool = False
    ) -> bool:
        """Makes `checks` anew; False when this was no moment for it."""
        found = await look(self._database, self._market.partition)
        await self._project(reader, found.input_offset, stop)
        at_the_same_place = (self._follower.input_offset, self._follower.part) == (
            found.input_offset,
            0,
        )
        if not (found.is_whole and at_the_same_place):
            return False  # settlement stands inside a record, or we are stopping
        checks = compare(found, self._positions)
        is_due = self._kept != (self._positions.trading_date, True) and not breaks(checks)
        if with_issues or is_due:  # reads the whole of topic `registry`, so not at every look
            issued = await issued_units(self._log, self._market.partition)
            checks = compare(found, self._positions, issued)
        self.checks = checks
        code = self._market.code
        if not breaks(self.checks):
            metrics.RECONCILIATION_GREEN.labels(code).set(self._clock.now_ns() / 1_000_000_000)
        for check in self.checks:
            metrics.RECONCILIATION_BREAKS.labels(code, check.name).set(check.breaks)
            if not check.ok:
                self._say.error(
                    "books differ",
                    check=check.name,
                    breaks=check.breaks,
                    figures=check.figures,
                    offset=found.input_offset,
                )
        return True

    async def _project(self, reader: Reader, input_offset: int, stop: asyncio.Event) -> None:
        """Applies events up to the output of record `input_offset` of `orders`, exclusive."""
        while self._follower.input_offset < input_offset and not stop.is_set():
            if not self._read:
                self._read = await reader.read(RECONCILE_READ_RECORDS_MAX, READ_WAIT_S)
                self._read.reverse()
                continue
            record = self._read.pop()
            part = self._follower.accept(record.offset, record.value)
            if part is not None:
                self._positions.apply(part)
            await asyncio.sleep(0)  # one record at a time: the services of this process go first


def compare(found: Look, positions: Positions, issued: dict[int, int] | None = None) -> list[Check]:
    """The checks that can be made of a look, with positions projected to the same place."""
    books = Books(
        positions=positions,
        ledger=found.ledger,
        trading_units=found.trading_units,
        issued=issued or {},
        held=found.units[State.HELD],
        surrendered=found.units[State.SURRENDERED],
        cancelled=found.units[State.CANCELLED],
        due=found.due,
    )
    made = {ISSUE_CHECK: issued is not None, REGISTRY_CHECK: found.is_level}
    return [check for check in reconcile(books) if made.get(check.name, True)]


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
