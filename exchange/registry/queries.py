"""Reading the registry: holdings with their blocks, obligations and caps, a unit's history."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Integer, Row, case, column, exists, func, select, text, tuple_, values

from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.registry import Range
from exchange.reference.venue import Instrument
from exchange.registry.blocks import Block, HistoryKind, Position, State, tonnes, untiled
from exchange.registry.holdings import place_of
from exchange.registry.instructions import surrender_verdict
from exchange.registry.rows import Place, RegistryPosition
from exchange.registry.years import Figures
from exchange.rulebook import Rulebook
from exchange.settings import PAGE_MAX

_LAST = 2**63 - 1
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
    figures: Figures = Figures()


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
    pending: int


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
            at.get((State.HELD, Position.PENDING), 0),
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
    owed, given = tables.compliance_year, tables.surrender
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
    found = []
    for row in sorted(rows, key=lambda row: tuple(row)[:4]):
        figures = Figures(*tuple(row)[4:])
        given_t = sums.get((row.account, row.scheme, row.year), (0, 0))
        if figures.obligation is not None:
            owed_t = figures.obligation
            found.append(Compliance(row.account, row.scheme, row.year, owed_t, *given_t, figures))
    return found


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
        compliance.figures.bases,
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


_LINE = text(
    """
    WITH RECURSIVE line(block_id, depth) AS (
        SELECT CAST(:start AS BIGINT), 0
        UNION ALL
        SELECT split.block_id, line.depth + 1
        FROM line CROSS JOIN block_history AS split
        WHERE +split.market = :market AND split.left_block <> 0
          AND split.left_block IN (line.block_id, line.block_id - 1)
          AND line.block_id IN (split.left_block, split.right_block)
          AND line.depth < :limit
    )
    SELECT h.sequence, h.settlement_number, h.time_ns, h.kind, h.block_id, h.programme,
           h.first_serial, h.last_serial, h.from_account, h.from_position, h.to_account,
           h.to_position, h.cause, h.cause_id
    FROM line CROSS JOIN block_history AS h
    WHERE +h.market = :market AND h.block_id = line.block_id AND +h.sequence < :before
    ORDER BY h.sequence DESC LIMIT :limit
    """
)
"""The last events of a block and of those it was split from. The right part of a split has the next
id after the left one, so one index finds a block's parent. Each ancestor has an event of its own,
its split: so `limit` of them are enough. CROSS JOIN and the
pluses have SQLite begin with `line` and go by the ids, not by the primary key through a market."""


_GO_BY_INDEXES = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), "
    "set_config('enable_mergejoin', 'off', true)"
)
"""For this transaction: PostgreSQL, not knowing yet how large a young table is, may choose to read
it whole for each block of the line."""


async def serial_history(
    database: Database, programme: str, serial: int, *, limit: int = PAGE_MAX, before: int = 0
) -> list[HistoryRow]:
    """What happened to one unit, from issuance through splits to its state now, in order.

    The last `limit` events, or the last below sequence `before` (0 = none): the whole history comes
    page by page, newest page first. O(log blocks + events of the last `limit` blocks of its line).
    """
    block, history = tables.block, tables.block_history
    nearest = (
        select(block.c.market, block.c.block_id, block.c.last_serial)
        .where(block.c.programme == programme, block.c.first_serial <= serial)
        .order_by(block.c.first_serial.desc())
        .limit(1)
    )
    async with database.reading() as connection:
        found = (await connection.execute(nearest)).first()
        if found is None or found.last_serial < serial:
            return []
        start = found.block_id
        if before:
            start = await connection.scalar(
                select(history.c.block_id).where(
                    history.c.market == found.market,
                    history.c.sequence == before,
                    history.c.programme == programme,
                    history.c.first_serial <= serial,
                    history.c.last_serial >= serial,
                )
            )
            if start is None:
                return []
        values = {"start": start, "market": found.market, "limit": limit}
        values["before"] = before or _LAST
        if not database.is_sqlite:
            await connection.execute(_GO_BY_INDEXES)
        rows = (await connection.execute(_LINE, values)).all()
    return [
        HistoryRow(
            row.sequence,
            row.settlement_number,
            row.time_ns,
            HistoryKind(row.kind),
            _range(row),
            row.from_account,
            Position(row.from_position),
            row.to_account,
            Position(row.to_position),
            row.cause,
            row.cause_id,
        )
        for row in reversed(rows)
    ]


class Tonnes(NamedTuple):
    """What an account had at a position at an instant, and since when."""

    instrument_id: int
    position: Position
    quantity: int
    since_ns: int
    settlement_number: int


async def tonnes_at(
    database: Database, market: int, account: int, instruments: Iterable[int], time_ns: int
) -> list[Tonnes]:
    """What an account had when the records up to `time_ns` were settled, without zeros.

    One search in an index for each instrument and position: O(instruments x log rows).
    """
    table = tables.holding
    places = [(item, int(at)) for item in sorted(instruments) for at in Position if at]
    if not places:
        return []
    wanted = (
        values(column("instrument_id", Integer), column("position", Integer)).data(places)
    ).cte("wanted")
    earlier = table.alias("earlier")
    last = (
        select(earlier.c.time_ns, earlier.c.settlement_number)
        .where(
            earlier.c.market == market,
            earlier.c.account == account,
            earlier.c.instrument_id == wanted.c.instrument_id,
            earlier.c.position == wanted.c.position,
            earlier.c.time_ns <= time_ns,
        )
        .order_by(earlier.c.time_ns.desc(), earlier.c.settlement_number.desc())
        .limit(1)
    )
    query = (
        select(*wanted.c, table.c.quantity, table.c.time_ns, table.c.settlement_number)
        .select_from(wanted)
        .join(
            table,
            (table.c.market == market)
            & (table.c.account == account)
            & (table.c.instrument_id == wanted.c.instrument_id)
            & (table.c.position == wanted.c.position)
            & (tuple_(table.c.time_ns, table.c.settlement_number) == last.scalar_subquery()),
        )
        .where(table.c.quantity > 0)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).all()
    found = [Tonnes(row[0], Position(row[1]), row[2], row[3], row[4]) for row in rows]
    return sorted(found)


class Duplicate(NamedTuple):
    """Two issuances, each by market, instruction and serials, that overlap."""

    market: int
    instruction_id: int
    range: Range
    other_market: int
    other_instruction_id: int
    other_range: Range


async def duplicate_issuances(database: Database) -> list[Duplicate]:
    """Issuances whose serials overlap others, in any market; [] is sound.

    Read from the history of issuances, not from the blocks, whose ranges the database keeps apart.
    O(n log n) in issuances, a search in an index for each.
    """
    table = tables.block_history
    issued = (
        select(table.c.market, table.c.cause_id, table.c.block_id)
        .add_columns(table.c.programme, table.c.first_serial, table.c.last_serial)
        .where(text("kind = 1"))
        .order_by(table.c.programme, table.c.first_serial, table.c.sequence)
    )
    found: list[Duplicate] = []
    farthest: Row[Any] | None = None  # of the issuances so far, the one that reaches farthest
    async with database.reading() as connection:
        result = await connection.stream(issued)
        async for row in result:
            if farthest is None or farthest.programme != row.programme:
                farthest = row
                continue
            if row.first_serial <= farthest.last_serial:
                found.append(
                    Duplicate(
                        row.market, row.cause_id, _range(row),
                        farthest.market, farthest.cause_id, _range(farthest),
                    )
                )  # fmt: skip
            if row.last_serial > farthest.last_serial:
                farthest = row
    return found


def _range(row: Row[Any]) -> Range:
    return Range(row.block_id, row.programme, row.first_serial, row.last_serial)


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
