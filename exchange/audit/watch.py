"""Reconciliation while the venue runs: topic `events` and the books, looked at every few seconds.

Positions are projected from `events` up to exactly the place where settlement stands, and compared
with the ledger there; the registry is compared whenever it stands at the same settlement record.
Deposits which the registry has moved and the engine has not yet taken are on their way, no break.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import NamedTuple

import structlog
from sqlalchemy import func, select

from exchange import metrics, topics
from exchange.audit.reconciliation import AssetKey, Books, Check, breaks, reconcile
from exchange.database import Database
from exchange.database import schema as tables
from exchange.log.protocol import Log, LogUnavailableError, Reader, Record
from exchange.messages.frames import ChainBrokenError, EventFollower
from exchange.positions import Positions
from exchange.reference.venue import Market
from exchange.registry.blocks import Position, State
from exchange.settings import RECONCILE_EVERY_S, RECONCILE_READ_RECORDS_MAX

READ_WAIT_S = 1.0
REGISTRY_CHECK = "engine equals registry"
ISSUE_CHECK = "units conserved"  # needs the issues from the log: `exchange reconcile` makes it


class Look(NamedTuple):
    """One state of the books: where settlement stands, and what ledger and registry say there."""

    input_offset: int  # of `orders`: the next one settlement expects
    is_whole: bool  # settlement does not stand inside the output of one record
    is_level: bool  # the registry has read all that settlement said
    ledger: dict[AssetKey, int]
    trading_units: dict[AssetKey, int]  # less what is on its way to the engine


async def look(database: Database, market: int) -> Look:
    """The books of a market in one transaction. O(accounts + blocks)."""
    settled, registered = tables.settlement_position, tables.registry_position
    held, block, deposit = tables.balance, tables.block, tables.deposit
    place = (block.c.account, block.c.instrument_id)
    is_trading = (block.c.position == int(Position.TRADING)) & (block.c.state == int(State.HELD))
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
                select(*place, tonnes).where(block.c.market == market, is_trading).group_by(*place)
            )
        ).all()
        deposits = (await connection.execute(on_its_way)).all()
    trading: dict[AssetKey, int] = defaultdict(int)
    for account, instrument, quantity in blocks:
        trading[account, instrument] += int(quantity)
    for row in deposits:
        trading[row.account, row.instrument_id] -= row.quantity
    return Look(
        here.input_offset if here else 0,
        here is None or (here.part == 0 and not here.carry),
        (here.number if here else 0) == (there or 0),
        {(row.account, row.asset): int(row.amount) for row in balances},
        dict(trading),
    )


class ReconciliationService:
    """Compares engine, ledger and registry of one market every `every_s` seconds.

    Sets `exchange_reconciliation_breaks` and logs what differs; it mends nothing and stops nobody.
    Memory: the open orders and accounts of the market.
    """

    def __init__(
        self, log: Log, market: Market, database: Database, every_s: float = RECONCILE_EVERY_S
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
        self._say = structlog.get_logger().bind(market=market.code)

    async def run(self, stop: asyncio.Event) -> None:
        """Looks until `stop`. Raises ChainBrokenError, LogError and the database's errors."""
        reader = await self._log.open_reader(topics.events(self._market.partition), 0)
        try:
            while not stop.is_set():
                try:
                    await self._compare(reader, stop)
                except LogUnavailableError as error:
                    self._say.warning("log not available", error=str(error))
                await _wait(stop, self._every_s)
        except ChainBrokenError:
            metrics.STATE_HASH_MISMATCH.labels(self.name).inc()
            raise
        finally:
            await reader.close()

    async def _compare(self, reader: Reader, stop: asyncio.Event) -> None:
        found = await look(self._database, self._market.partition)
        await self._project(reader, found.input_offset, stop)
        at_the_same_place = (self._follower.input_offset, self._follower.part) == (
            found.input_offset,
            0,
        )
        if not (found.is_whole and at_the_same_place):
            return  # settlement stands inside a record, or we are stopping: the next look
        self.checks = compare(found, self._positions)
        wrong = breaks(self.checks)
        metrics.RECONCILIATION_BREAKS.labels(self._market.code).set(wrong)
        for check in self.checks:
            if not check.ok:
                self._say.error(
                    "books differ",
                    check=check.name,
                    breaks=check.breaks,
                    figures=check.figures,
                    offset=found.input_offset,
                )

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


def compare(found: Look, positions: Positions) -> list[Check]:
    """The checks that can be made of a look, with positions projected to the same place."""
    books = Books(
        positions=positions,
        ledger=found.ledger,
        trading_units=found.trading_units,
        issued={},
        held={},
        surrendered={},
        cancelled={},
    )
    left_out = {ISSUE_CHECK} if found.is_level else {ISSUE_CHECK, REGISTRY_CHECK}
    return [check for check in reconcile(books) if check.name not in left_out]


async def _wait(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
