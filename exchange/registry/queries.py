"""Reading the registry: holdings with their blocks, obligations and caps, a unit's history."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from sqlalchemy import case, exists, func, select

from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.registry import Range
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, HistoryKind, Position, State, tonnes, untiled
from exchange.registry.holdings import Place, RegistryPosition, place_of
from exchange.registry.instructions import surrender_verdict
from exchange.rulebook import Rulebook

_DAY_NS = 86_400 * 1_000_000_000


class Holding(NamedTuple):
    """What an account has of an instrument at one position, tonnes, with the first blocks."""

    account: int
    instrument_id: int
    position: Position
    quantity: int
    ranges: tuple[Range, ...]
    lender: int = 0  # PLEDGED: the account to which


class Compliance(NamedTuple):
    """An obligation and what was done for it, tonnes."""

    account: int
    scheme: str
    year: int
    obligation: int
    surrendered: int
    offsets: int  # of these, offset credits


class Headroom(NamedTuple):
    """How much more of an offset may be surrendered, and which rule says so."""

    rule_id: str
    cap: int
    base_name: str
    base: int
    used: int
    headroom: int
    source: str
    refusal: str


class HistoryRow(NamedTuple):
    """One thing that happened to a serial number."""

    sequence: int
    settlement_number: int
    time_ns: int
    kind: HistoryKind
    range: Range
    from_account: int
    from_position: Position
    to_account: int
    to_position: Position
    cause: str
    cause_id: int


class UnitTotals(NamedTuple):
    """Where all units of an instrument are, tonnes: issued = the sum of the others."""

    issued: int
    registry: int
    trading: int
    frozen: int
    pledged: int
    surrendered: int
    cancelled: int


async def position_of(database: Database, market: int) -> RegistryPosition:
    """How far a market's registry is (the first position when it never began)."""
    table = tables.registry_position
    async with database.reading() as connection:
        row = (await connection.execute(select(table).where(table.c.market == market))).first()
    return RegistryPosition(*row[1:]) if row is not None else RegistryPosition()


async def position_totals(
    database: Database, market: int, position: Position = Position.TRADING
) -> dict[tuple[int, int], int]:
    """{(account, instrument): tonnes} of living units at a position. O(blocks)."""
    table = tables.block
    sums = func.sum(table.c.last_serial - table.c.first_serial + 1)
    query = (
        select(table.c.account, table.c.instrument_id, sums)
        .where(
            table.c.market == market,
            table.c.position == int(position),
            table.c.state == int(State.HELD),
        )
        .group_by(table.c.account, table.c.instrument_id)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return {(row[0], row[1]): int(row[2]) for row in rows}


async def unit_totals(database: Database, market: int) -> dict[int, UnitTotals]:
    """{instrument: where its units are}. O(blocks)."""
    table = tables.block
    sums = func.sum(table.c.last_serial - table.c.first_serial + 1)
    query = (
        select(table.c.instrument_id, table.c.state, table.c.position, sums)
        .where(table.c.market == market)
        .group_by(table.c.instrument_id, table.c.state, table.c.position)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    found: dict[int, dict[tuple[int, int], int]] = {}
    for instrument, state, position, quantity in rows:
        found.setdefault(instrument, {})[state, position] = int(quantity)
    return {
        instrument: UnitTotals(
            sum(at.values()),
            at.get((State.HELD, Position.REGISTRY), 0),
            at.get((State.HELD, Position.TRADING), 0),
            at.get((State.HELD, Position.FROZEN), 0),
            at.get((State.HELD, Position.PLEDGED), 0),
            at.get((State.SURRENDERED, Position.NONE), 0),
            at.get((State.CANCELLED, Position.NONE), 0),
        )
        for instrument, at in sorted(found.items())
    }


async def holdings_of(
    database: Database, market: int, account: int, ranges_max: int = 100
) -> list[Holding]:
    """The holdings of an account, each with its first `ranges_max` blocks. O(its blocks)."""
    table = tables.block
    query = (
        select(table)
        .where(
            table.c.market == market,
            table.c.account == account,
            table.c.state == int(State.HELD),
        )
        .order_by(
            table.c.instrument_id,
            table.c.position,
            table.c.lender,
            table.c.acquired,
            table.c.first_serial,
        )
    )
    async with database.reading() as connection:
        blocks = [Block(*tuple(row)[1:]) for row in (await connection.execute(query)).all()]
    places: dict[Place, list[Block]] = {}
    for block in blocks:
        places.setdefault(place_of(block), []).append(block)
    return [
        Holding(
            account,
            place.instrument_id,
            Position(place.position),
            tonnes(held),
            tuple(block.range for block in held[:ranges_max]),
            place.lender,
        )
        for place, held in places.items()
    ]


async def compliance_of(
    database: Database, market: int, account: int | None = None
) -> list[Compliance]:
    """Obligations (of one account or all) and what stands surrendered for them. O(surrenders)."""
    owed, given = tables.obligation, tables.surrender
    key = (given.c.account, given.c.scheme, given.c.year)
    obligations = select(owed).where(owed.c.market == market)
    undone = tables.reversal
    stands = ~exists().where(undone.c.market == market, undone.c.original == given.c.instruction_id)
    surrenders = select(
        *key,
        func.sum(given.c.quantity),
        func.sum(case((given.c.rule != "", given.c.quantity), else_=0)),
    ).where(given.c.market == market, stands)
    if account is not None:
        obligations = obligations.where(owed.c.account == account)
        surrenders = surrenders.where(given.c.account == account)
    async with database.reading() as connection:
        rows = (await connection.execute(obligations)).all()
        done = (await connection.execute(surrenders.group_by(*key))).all()
    sums = {tuple(row)[:3]: (int(row[3]), int(row[4])) for row in done}
    return [
        Compliance(
            row.account,
            row.scheme,
            row.year,
            row.quantity,
            *sums.get((row.account, row.scheme, row.year), (0, 0)),
        )
        for row in sorted(rows, key=tuple)
    ]


def headroom_of(
    rulebook: Rulebook, instrument: Instrument, compliance: Compliance, on: dt.date
) -> Headroom:
    """How much more of an offset may be surrendered for an obligation on a date. O(rules)."""
    noon = (on - dt.date(1970, 1, 1)).days * _DAY_NS + _DAY_NS // 2
    verdict = surrender_verdict(
        rulebook,
        instrument,
        compliance.year,
        noon,
        0,
        compliance.obligation,
        compliance.offsets,
    )
    return Headroom(
        verdict.rule_id,
        verdict.cap_t,
        verdict.base_name,
        verdict.base_t,
        verdict.used_t,
        verdict.headroom_t,
        verdict.source,
        verdict.refusal,
    )


async def serial_history(database: Database, programme: str, serial: int) -> list[HistoryRow]:
    """Everything that happened to one unit, from issuance on. O(rows of its programme below it)."""
    table = tables.block_history
    query = (
        select(table)
        .where(
            table.c.programme == programme,
            table.c.first_serial <= serial,
            table.c.last_serial >= serial,
        )
        .order_by(table.c.sequence)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    return [
        HistoryRow(
            row.sequence,
            row.settlement_number,
            row.time_ns,
            HistoryKind(row.kind),
            Range(row.block_id, row.programme, row.first_serial, row.last_serial),
            row.from_account,
            Position(row.from_position),
            row.to_account,
            Position(row.to_position),
            row.cause,
            row.cause_id,
        )
        for row in rows
    ]


async def prove_blocks(database: Database, market: int) -> list[str]:
    """Where serials are not in exactly one block, in words; [] is sound. O(n log n) in blocks."""
    programme = tables.programme
    async with database.reading() as connection:
        issued = (
            await connection.execute(
                select(programme.c.programme, programme.c.next_serial).where(
                    programme.c.market == market
                )
            )
        ).all()
        rows = (
            await connection.execute(select(tables.block).where(tables.block.c.market == market))
        ).all()
    return untiled((Block(*tuple(row)[1:]) for row in rows), {p: n - 1 for p, n in issued})
