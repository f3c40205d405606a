"""Reading compliance years: the figures, every step with its day, and what carry-over rests on."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Row, exists, func, or_, select

from exchange.database import Database
from exchange.database import schema as tables
from exchange.reference.venue import Instrument
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.carry_over import Dealings
from exchange.registry.queries import tonnes_at
from exchange.registry.years import Allocation, Assessment, Emissions, Figures
from exchange.rulebook.shapes import CarryOver

_POSITIONS = {
    "trading_available": Position.TRADING,
    "registration_available": Position.REGISTRY,
    "judicial_frozen": Position.FROZEN,
}


async def dealings_of(
    database: Database, market: int, account: int, rule: CarryOver, old: Iterable[Instrument]
) -> Dealings:
    """What an account sold and bought of old allowances in the rule's window, and then had.

    A scan of the market's history by time, a search in an index for each place: applications are
    few, one season in all.
    """
    old = list(old)
    history = tables.block_history
    zone = rule.position_snapshot.tzinfo or zoneinfo.ZoneInfo("UTC")
    begins = dt.datetime.combine(rule.net_sales_from, dt.time(), zone)
    ends = dt.datetime.combine(rule.net_sales_to + dt.timedelta(days=1), dt.time(), zone)
    count = history.c.last_serial - history.c.first_serial + 1
    query = select(
        func.sum(count).filter(history.c.from_account == account),
        func.sum(count).filter(history.c.to_account == account),
    ).where(
        history.c.market == market,
        history.c.kind == int(HistoryKind.MOVED),
        history.c.cause == "TRADE",
        history.c.programme.in_({item.product for item in old}),
        history.c.time_ns >= _ns(begins),
        history.c.time_ns < _ns(ends),
        or_(history.c.from_account == account, history.c.to_account == account),
    )
    async with database.reading() as connection:
        row = (await connection.execute(query)).one()
    counted = {_POSITIONS[name] for name in rule.position_includes}
    held = await tonnes_at(
        database, market, account, [item.id for item in old], _ns(rule.position_snapshot)
    )
    position = sum(item.quantity for item in held if item.position in counted)
    return Dealings(int(row[0] or 0), int(row[1] or 0), position)


def _ns(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * 10**9


NOTHING = Figures()


class YearBooks(NamedTuple):
    """All that the books say of an account's compliance year, each in the order of the log."""

    figures: Figures
    emissions: list[Emissions]
    allocations: list[Allocation]
    surrenders: list[Row[Any]]  # those that stand
    assessment: Assessment | None


async def year_of(
    database: Database, market: int, account: int, scheme: str, year: int
) -> YearBooks | None:
    """A compliance year; None when nothing was done for it. O(its rows x log)."""
    key = {"account": account, "scheme": scheme, "year": year}
    async with database.reading() as connection:

        async def rows(table: Any) -> list[Row[Any]]:
            query = select(table).where(
                table.c.market == market, *(table.c[name] == value for name, value in key.items())
            )
            if "instruction_id" in table.c:
                query = query.order_by(table.c.instruction_id)
            if table is tables.surrender:
                undone = tables.reversal
                query = query.where(
                    ~exists().where(
                        undone.c.market == market,
                        undone.c.original == table.c.instruction_id,
                    )
                )
            return list((await connection.execute(query)).all())

        found = await rows(tables.compliance_year)
        if not found:
            return None
        assessed = await rows(tables.assessment)
        return YearBooks(
            Figures(*tuple(found[0])[4:]),
            [Emissions(*tuple(row)[1:]) for row in await rows(tables.emissions)],
            [Allocation(*tuple(row)[1:]) for row in await rows(tables.allocation)],
            await rows(tables.surrender),
            Assessment(*tuple(assessed[0])[1:]) if assessed else None,
        )
