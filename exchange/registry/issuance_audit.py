"""Whether reductions were counted twice: one project's periods, and projects in two registries.

Serial numbers that overlap are one thing (`queries.duplicate_issuances`); credits with serials of
their own can still stand for the same tonnes. Two issuances whose days of reductions overlap are
told when they are of one project, be it that another registry has it under another number. One
project is told by its name and region: numbers are each registry's own, names are written in many
ways, so that case, spaces and signs do not count.

Sources: the duplicate audit of the Climate Action Data Trust (overlapping dates, another registry).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import and_, select, text

from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.registry import ProjectDetails, Range

_SIGNS = re.compile(r"[\W_]+")
_Key = tuple[int, str, int]  # market, programme, project


class Registered(NamedTuple):
    """A project as one registry has it: that of a market, for a programme."""

    market: int
    programme: str
    project: int
    name: str
    region: str


class Issued(NamedTuple):
    """One issuance of credits of a project; days as YYYYMMDD."""

    market: int
    instruction_id: int
    range: Range
    project: int
    period_from: int
    period_to: int


class Twice(NamedTuple):
    """One project in two registries."""

    one: Registered
    other: Registered


class Overlap(NamedTuple):
    """Two issuances of one project whose periods share a day."""

    one: Issued
    other: Issued


class Audit(NamedTuple):
    """What was found; both empty is sound."""

    periods: list[Overlap]
    projects: list[Twice]


def identity(name: str, region: str) -> tuple[str, str]:
    """What makes two registrations one project: name and region, however they are written. O(1)."""
    return _SIGNS.sub("", name).casefold() or name, region.partition(":")[0]


def registered_twice(projects: Iterable[Registered]) -> list[Twice]:
    """Pairs of registrations of one project in different registries. O(n log n + pairs)."""
    known: dict[tuple[str, str], list[Registered]] = defaultdict(list)
    for project in sorted(projects):
        known[identity(project.name, project.region)].append(project)
    return [
        Twice(one, other)
        for same in known.values()
        for at, other in enumerate(same)
        for one in same[:at]
        if one[:2] != other[:2]
    ]


def overlapping(issued: Iterable[Issued], twice: Iterable[Twice]) -> list[Overlap]:
    """Issuances that share days with an earlier one of their project, here or elsewhere.

    Each is named with that of the earlier ones which reaches farthest. O(n log n + pairs).
    """
    made: dict[_Key, list[Issued]] = defaultdict(list)
    for row in issued:
        made[row.market, row.range.programme, row.project].append(row)
    found = [hit for rows in made.values() for hit in _shared(rows, rows)]
    for one, other in twice:
        found += _shared(made.get(one[:3], []), made.get(other[:3], []))
    return sorted(found, key=lambda hit: (_order(hit.one), _order(hit.other)))


def _shared(one: Sequence[Issued], other: Sequence[Issued]) -> list[Overlap]:
    """Of rows of two projects (or of one with itself), those that share days."""
    is_same = one is other
    sides = [(row, 0) for row in one] + ([] if is_same else [(row, 1) for row in other])
    farthest: dict[int, Issued] = {}
    found = []
    for row, side in sorted(sides, key=lambda item: _order(item[0])):
        rival = farthest.get(side if is_same else 1 - side)
        if rival is not None and row.period_from <= rival.period_to:
            found.append(Overlap(row, rival))
        if side not in farthest or row.period_to > farthest[side].period_to:
            farthest[side] = row
    return found


def _order(row: Issued) -> tuple[int, ...]:
    return (row.period_from, row.period_to, row.market, row.range.first)


async def audit(database: Database) -> Audit:
    """Periods and projects of all markets. O(n log n) in issuances and projects.

    A block that was split has a part with its first serial: so a search in an index for each
    issuance finds what it was made for.
    """
    issued, block, known = tables.block_history, tables.block, tables.project
    same = and_(
        block.c.programme == issued.c.programme, block.c.first_serial == issued.c.first_serial
    )
    made = (
        select(issued.c.market, issued.c.cause_id, issued.c.block_id, issued.c.programme)
        .add_columns(issued.c.first_serial, issued.c.last_serial)
        .add_columns(block.c.project, block.c.period_from, block.c.period_to)
        .join_from(issued, block, same)
        .where(text("kind = 1"), block.c.project != 0)
    )
    listed = select(known.c.market, known.c.programme, known.c.project, known.c.details)
    async with database.reading() as connection:
        rows = (await connection.execute(made)).all()
        projects = [
            Registered(market, programme, project, told.name, told.region)
            for market, programme, project, details in await connection.execute(listed)
            for told in (msgspec.json.decode(details, type=ProjectDetails),)
        ]
    found = [Issued(row[0], row[1], Range(*row[2:6]), *row[6:]) for row in rows]
    twice = registered_twice(projects)
    return Audit(overlapping(found, twice), twice)
