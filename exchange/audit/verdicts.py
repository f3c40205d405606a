"""Reconciliations in the books: kept by trading date, and the question whether a day may open.

A reconciliation opens a trading date when it was made on that date, that is after the day roll,
has every check, and none of them broke.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import func, insert, select

from exchange.audit.reconciliation import OPENING_CHECKS, Check
from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.reasons import DayReason

FIGURES_SHOWN_MAX = 300  # characters of a check's figures in a refusal


class Verdict(NamedTuple):
    """One reconciliation of a market."""

    time_ns: int  # wall clock
    trading_date: int  # the engine's, where the books were compared
    input_offset: int  # of `orders`
    checks: tuple[Check, ...]

    @property
    def is_green(self) -> bool:
        """Whether no check broke. O(checks)."""
        return all(check.ok for check in self.checks)

    @property
    def is_whole(self) -> bool:
        """Whether every check that an opening needs was made. O(checks)."""
        return {check.name for check in self.checks} >= OPENING_CHECKS


class Obstacle(NamedTuple):
    """Why a market may not open: the reason, and the words for this case."""

    reason: DayReason
    detail: str


class Override(NamedTuple):
    """An opening in spite of an obstacle; a row of `opening_override` after `market`."""

    time_ns: int
    trading_date: int
    key_id: str
    ref: int
    name: str
    reason: str
    refused: int
    detail: str


def obstacle(code: str, trading_date: int, last: Verdict | None) -> Obstacle | None:
    """What keeps a market from opening on a trading date; None: nothing does. Pure, O(checks)."""
    if last is None:
        return Obstacle(DayReason.RECONCILIATION_MISSING, f"{code} was never reconciled")
    if not last.is_green:
        broken = next(check for check in last.checks if not check.ok)
        return Obstacle(
            DayReason.RECONCILIATION_RED,
            f"{code}, trading date {last.trading_date}, input {last.input_offset}: check "
            f"`{broken.name}` has {broken.breaks} breaks: {broken.figures[:FIGURES_SHOWN_MAX]}",
        )
    if last.trading_date != trading_date:
        return Obstacle(
            DayReason.RECONCILIATION_MISSING,
            f"{code} was last reconciled on trading date {last.trading_date}, not since "
            f"{trading_date} began",
        )
    if not last.is_whole:
        lacking = sorted(OPENING_CHECKS - {check.name for check in last.checks})
        return Obstacle(
            DayReason.RECONCILIATION_MISSING,
            f"{code}: the last reconciliation made no check `{lacking[0]}`",
        )
    return None


async def keep(database: Database, market: int, verdict: Verdict) -> None:
    """Writes a reconciliation into the books. Raises the database's errors. O(checks)."""
    rows = [
        {
            "market": market,
            "time_ns": verdict.time_ns,
            "check_name": check.name,
            "trading_date": verdict.trading_date,
            "input_offset": verdict.input_offset,
            "breaks": check.breaks,
            "figures": check.figures,
        }
        for check in verdict.checks
    ]
    async with database.writing() as connection:
        await connection.execute(insert(tables.reconciliation), rows)


async def last_verdict(database: Database, market: int) -> Verdict | None:
    """The newest reconciliation of a market; None when there is none. O(checks)."""
    table = tables.reconciliation
    newest = select(func.max(table.c.time_ns)).where(table.c.market == market).scalar_subquery()
    query = select(table).where(table.c.market == market, table.c.time_ns == newest)
    async with database.reading() as connection:
        rows = (await connection.execute(query.order_by(table.c.check_name))).all()
    if not rows:
        return None
    checks = tuple(Check(row.check_name, row.breaks, row.figures) for row in rows)
    return Verdict(rows[0].time_ns, rows[0].trading_date, rows[0].input_offset, checks)


async def keep_override(database: Database, market: int, override: Override) -> None:
    """Writes into the books who opened a market in spite of what. Raises the database's errors."""
    async with database.writing() as connection:
        await connection.execute(
            insert(tables.opening_override), {"market": market, **override._asdict()}
        )


async def overrides(database: Database, market: int) -> list[Override]:
    """Every override of a market, oldest first. O(overrides)."""
    table = tables.opening_override
    query = select(table).where(table.c.market == market).order_by(table.c.time_ns)
    async with database.reading() as connection:
        return [Override(*tuple(row)[1:]) for row in (await connection.execute(query)).all()]
