"""Which part of the books is a day: from dates in a time zone to event numbers and sequences.

The books' times never go back (the engine's time is the largest one of the log), so a moment cuts
each table at one key, found by bisection over the primary key: no table needs an index on time.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import schema as tables
from exchange.ledger import Leg
from exchange.messages.reasons import DayReason, reason_text
from exchange.registry.blocks import HistoryKind

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


class DayRefusedError(Exception):
    """Nothing was written: `reason` is the number, the message says why and what to do."""

    def __init__(self, reason: DayReason, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{int(reason)} {reason.name}: {detail}. {reason_text(reason).text}")


class Day(NamedTuple):
    """A calendar day of a market: the times from `begin_ns` up to, not including, `end_ns` UTC."""

    date: dt.date
    time_zone: str
    begin_ns: int
    end_ns: int


class Span(NamedTuple):
    """Keys from `begin` up to, not including, `end`."""

    begin: int
    end: int


class Cut(NamedTuple):
    """A day in the books of a market."""

    day: Day
    events: Span  # of `trade`, `transfer` and `posting`
    history: Span  # of `block_history`
    first_block: int  # the least id of a block made after the day; 0 when none was


def parse_day(text: str) -> dt.date:
    """`2026-11-27` -> a date. DayRefusedError (INVALID_DAY) for anything else."""
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise DayRefusedError(DayReason.INVALID_DAY, f"{text[:40]!r}") from None


def day_of(date: dt.date, time_zone: str) -> Day:
    """A date in an IANA zone; 23 or 25 hours long where clocks change. O(1)."""
    following = date + dt.timedelta(days=1)
    return Day(date, time_zone, _midnight_ns(date, time_zone), _midnight_ns(following, time_zone))


def _midnight_ns(date: dt.date, time_zone: str) -> int:
    zone = zoneinfo.ZoneInfo(time_zone)
    local = dt.datetime.combine(date, dt.time.min, tzinfo=zone)
    return (local.astimezone(dt.UTC) - _EPOCH) // _MICROSECOND * 1_000


def utc_text(time_ns: int) -> str:
    """ISO 8601 in UTC with nine decimals: `2026-11-27T09:00:00.000000001Z`. O(1)."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def local_text(time_ns: int, time_zone: str) -> str:
    """The local date and time for reading: `2026-11-27 10:00:00`. O(1)."""
    moment = _EPOCH + dt.timedelta(seconds=time_ns // 1_000_000_000)
    return f"{moment.astimezone(zoneinfo.ZoneInfo(time_zone)):%Y-%m-%d %H:%M:%S}"


async def cut_of(connection: AsyncConnection, market: int, day: Day, now_ns: int) -> Cut:
    """The day in the books of a market, on the state that `connection` sees.

    Raises DayRefusedError when the day lies ahead of `now_ns` or the books have not passed it.
    O(log^2 of the rows + postings since the day began).
    """
    if day.begin_ns > now_ns:
        raise DayRefusedError(
            DayReason.DAY_IN_THE_FUTURE,
            f"{day.date} begins in {day.time_zone} at {utc_text(day.begin_ns)}, "
            f"it is {utc_text(now_ns)}",
        )
    await _require_finished(connection, market, day)
    events = Span(
        await _first_event(connection, market, day.begin_ns),
        await _first_event(connection, market, day.end_ns),
    )
    await _require_transfers(connection, market, events.begin)
    history = tables.block_history
    key = history.c.sequence
    cut = Span(
        await _first_at(connection, market, key, history.c.time_ns, day.begin_ns),
        await _first_at(connection, market, key, history.c.time_ns, day.end_ns),
    )
    return Cut(day, events, cut, await _first_block_after(connection, market, cut.end))


async def _require_finished(connection: AsyncConnection, market: int, day: Day) -> None:
    settled, registered = tables.settlement_position, tables.registry_position
    here = (
        await connection.execute(
            select(settled.c.time_ns, settled.c.number).where(settled.c.market == market)
        )
    ).first()
    there = (
        await connection.execute(
            select(registered.c.time_ns, registered.c.settlement_number).where(
                registered.c.market == market
            )
        )
    ).first()
    ends = f"{day.date} ends in {day.time_zone} at {utc_text(day.end_ns)}"
    if here is None or here.time_ns < day.end_ns:
        stands = utc_text(here.time_ns) if here else "its beginning"
        raise DayRefusedError(DayReason.DAY_NOT_FINISHED, f"{ends}, settlement stands at {stands}")
    behind = here.number - (there.settlement_number if there else 0)
    if behind and (there is None or there.time_ns < day.end_ns):
        raise DayRefusedError(
            DayReason.DAY_NOT_FINISHED,
            f"{ends}, the registry is {behind} records behind settlement",
        )


async def _first_event(connection: AsyncConnection, market: int, time_ns: int) -> int:
    trade, moved, act = tables.trade.c, tables.transfer.c, tables.settlement_act.c
    return max(
        await _first_at(connection, market, act.event_number, act.time_ns, time_ns),
        await _first_at(connection, market, trade.trade_id, trade.time_ns, time_ns),
        await _first_at(connection, market, moved.event_number, moved.time_ns, time_ns),
    )


async def _first_at(
    connection: AsyncConnection, market: int, key: Any, time: Any, time_ns: int
) -> int:
    """One more than the last key whose row is older than `time_ns`; 0 when there is none."""
    own = key.table.c.market == market
    low = 0
    high = (await connection.scalar(select(func.max(key)).where(own)) or 0) + 1
    while low < high:
        middle = (low + high) // 2
        query = select(key, time).where(own, key >= middle, key < high).order_by(key).limit(1)
        row = (await connection.execute(query)).first()
        if row is not None and row[1] < time_ns:
            low = row[0] + 1
        else:
            high = middle
    return low


async def _require_transfers(connection: AsyncConnection, market: int, first: int) -> None:
    post, moved = tables.posting, tables.transfer
    posted = await connection.scalar(
        select(func.count()).where(
            post.c.market == market, post.c.event_number >= first, post.c.leg == Leg.TRANSFER
        )
    )
    told = await connection.scalar(
        select(func.count()).where(moved.c.market == market, moved.c.event_number >= first)
    )
    if posted != told:
        raise DayRefusedError(
            DayReason.TRANSFERS_MISSING,
            f"from event {first} on {posted} transfers are posted, of {told} the time is known",
        )


async def _first_block_after(connection: AsyncConnection, market: int, sequence: int) -> int:
    """The least block id given from a place in the history on: ids rise with the sequence."""
    history = tables.block_history.c
    own = (history.market == market, history.sequence >= sequence)
    issued = await connection.scalar(
        select(func.min(history.block_id)).where(*own, history.kind == int(HistoryKind.ISSUED))
    )
    cut = await connection.scalar(
        select(func.min(history.left_block)).where(*own, history.kind == int(HistoryKind.SPLIT))
    )
    return min((found for found in (issued, cut) if found), default=0)
