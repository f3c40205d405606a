"""Reading the registry: holdings with their blocks, obligations and caps, a unit's history."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Row,
    SmallInteger,
    bindparam,
    case,
    exists,
    func,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.database import Database
from exchange.database import schema as tables
from exchange.messages.registry import Range
from exchange.reference.venue import Instrument
from exchange.registry.blocks import (
    Block,
    HistoryKind,
    Position,
    State,
    nodes_around,
    tonnes,
    untiled,
)
from exchange.registry.holdings import place_of
from exchange.registry.instructions import surrender_verdict
from exchange.registry.rows import Place, RegistryPosition
from exchange.registry.years import Figures
from exchange.rulebook import Rulebook
from exchange.rulebook.selection import rules_in_force
from exchange.rulebook.year import cap_years, period_base
from exchange.settings import PAGE_MAX, UNITS_ISSUED_MAX

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
    """The holdings of an account, each with its first `ranges_max` blocks. O(n log n) in blocks."""
    table = tables.block
    query = select(table).where(table.c.account == account, text(tables.LIVES))
    async with database.asking() as connection:
        blocks = [
            Block(*tuple(row)[1:]) for row in await connection.execute(query, {"market": market})
        ]
    blocks.sort(key=_by_place)
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


def _by_place(block: Block) -> tuple[int, ...]:
    place = (block.instrument_id, block.position, block.lender)
    return (*place, block.acquired, block.first_serial)


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
    rulebook: Rulebook,
    instrument: Instrument,
    compliance: Compliance,
    on: dt.date,
    others: Iterable[Compliance] = (),
) -> Headroom:
    """How much more of an offset may be surrendered for an obligation on a date. O(rules + others).

    `others` are obligations of the same account: where a cap counts the emissions of a compliance
    period, those of its years count, and what was used for them.
    """
    noon = (on - dt.date(1970, 1, 1)).days * _DAY_NS + _DAY_NS // 2
    owner, scheme, year = compliance[:3]
    years = {one.year: one for one in others if one[:2] == (owner, scheme)} | {year: compliance}
    rules = rules_in_force(rulebook, scheme, year, on)
    of_period = (year,) if rules is None else cap_years(rules, year)
    verified = {one: row.figures.verified for one, row in years.items()}
    bases = {} if rules is None else period_base(rules, year, verified)
    verdict = surrender_verdict(
        rulebook,
        instrument,
        compliance.year,
        noon,
        0,
        compliance.figures.bases | bases,
        sum(row.offsets for one, row in years.items() if one in of_period),
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


_NARROWEST_ON_POSTGRESQL = text(
    """
    WITH known AS (SELECT market, next_serial FROM programme WHERE programme = :programme)
    SELECT row.* FROM known CROSS JOIN unnest(:right) AS at (node) CROSS JOIN LATERAL (
        SELECT * FROM block_history AS h
        WHERE h.programme = :programme AND h.market = known.market AND h.node = at.node
          AND h.first_serial <= :first AND h.sequence < :before
        ORDER BY h.first_serial DESC, h.sequence DESC LIMIT :limit
    ) AS row
    WHERE at.node < known.next_serial
    UNION ALL
    SELECT row.* FROM known CROSS JOIN unnest(:left) AS at (node) CROSS JOIN LATERAL (
        SELECT * FROM block_history AS h
        WHERE h.programme = :programme AND h.market = known.market AND h.node = at.node
          AND h.last_serial >= :last AND h.sequence < :before
        ORDER BY h.last_serial, h.sequence DESC LIMIT :limit
    ) AS row
    ORDER BY sequence DESC LIMIT :limit
    """
).bindparams(
    bindparam("right", type_=ARRAY(BigInteger)), bindparam("left", type_=ARRAY(BigInteger))
)
_NARROWEST_ON_SQLITE = text(
    """
    SELECT row.* FROM programme AS known CROSS JOIN json_each(:right) AS at
    CROSS JOIN block_history AS row
    WHERE known.programme = :programme AND at.value < known.next_serial
      AND row.market = known.market AND row.sequence IN (
        SELECT h.sequence FROM block_history AS h
        WHERE h.programme = :programme AND +h.market = known.market AND h.node = at.value
          AND h.first_serial <= :first AND +h.sequence < :before
        ORDER BY h.first_serial DESC, h.sequence DESC LIMIT :limit
    )
    UNION ALL
    SELECT row.* FROM programme AS known CROSS JOIN json_each(:left) AS at
    CROSS JOIN block_history AS row
    WHERE known.programme = :programme AND row.market = known.market AND row.sequence IN (
        SELECT h.sequence FROM block_history AS h
        WHERE h.programme = :programme AND +h.market = known.market AND h.node = at.value
          AND h.last_serial >= :last AND +h.sequence < :before
        ORDER BY h.last_serial, h.sequence DESC LIMIT :limit
    )
    ORDER BY sequence DESC LIMIT :limit
    """
)
"""The last events whose ranges contain `first..last`, in one go.

Blocks are split and never joined, so the ranges around a serial lie one in the other, and the later
is the narrower. They are found by their nodes (`blocks.nodes_around`), for each of which one index
gives the narrowest first: of nodes to the right those that begin early enough, of nodes to the left
those that end late enough. What was split off to other owners is not read. The pluses have SQLite
go by these indexes, and not by the primary key through a market."""


async def serial_history(
    database: Database, programme: str, serial: int, *, limit: int = PAGE_MAX, before: int = 0
) -> list[HistoryRow]:
    """What happened to one unit, from issuance through splits to its state now, in order.

    The last `limit` events, or the last below sequence `before` (0 = none): the whole history comes
    page by page, newest page first. O(log serials x (log rows + limit)), however often the blocks
    around it were split.
    """
    async with database.asking() as connection:
        first = last = serial
        if before:
            page = await _range_of(connection, programme, serial, before)
            if page is None:
                return []
            first, last = page
        nodes = nodes_around(first, last, UNITS_ISSUED_MAX) if serial > 0 else []
        sides: dict[str, Any] = {
            "right": [node for node in nodes if node >= first],
            "left": [node for node in nodes if node < first],
        }
        narrowest = _NARROWEST_ON_POSTGRESQL
        if database.is_sqlite:
            narrowest = _NARROWEST_ON_SQLITE
            sides = {side: json.dumps(of_side) for side, of_side in sides.items()}
        given = {"programme": programme, "first": first, "last": last, "limit": limit}
        given["before"] = before or _LAST
        rows = (await connection.execute(narrowest, given | sides)).all()
    return [_history_row(*row) for row in reversed(rows)]


async def _range_of(
    connection: AsyncConnection, programme: str, serial: int, sequence: int
) -> tuple[int, int] | None:
    """The range of the event `sequence` of a serial; None when it has no such event."""
    known, history = tables.programme, tables.block_history
    query = select(history.c.first_serial, history.c.last_serial).where(
        known.c.programme == programme,
        history.c.market == known.c.market,
        history.c.sequence == sequence,
        history.c.programme == programme,
        history.c.first_serial <= serial,
        history.c.last_serial >= serial,
    )
    row = (await connection.execute(query)).first()
    return None if row is None else (row[0], row[1])


def _history_row(
    _market: int, sequence: int, settlement_number: int, time_ns: int, kind: int, block_id: int,
    programme: str, first: int, last: int, from_account: int, from_position: int, to_account: int,
    to_position: int, cause: str, cause_id: int, _left: int, _right: int, _node: int,
) -> HistoryRow:  # fmt: skip
    return HistoryRow(
        sequence,
        settlement_number,
        time_ns,
        _KINDS[kind],
        Range(block_id, programme, first, last),
        from_account,
        _POSITIONS[from_position],
        to_account,
        _POSITIONS[to_position],
        cause,
        cause_id,
    )


_KINDS = {int(kind): kind for kind in HistoryKind}
_POSITIONS = {int(position): position for position in Position}


class Tonnes(NamedTuple):
    """What an account had at a position at an instant, and since when."""

    instrument_id: int
    position: Position
    quantity: int
    since_ns: int
    settlement_number: int


_LAST_ON_POSTGRESQL = text(
    """
    SELECT row.* FROM unnest(:instruments) AS item (value)
    CROSS JOIN unnest(:positions) AS at (value) CROSS JOIN LATERAL (
        SELECT instrument_id, position, quantity, time_ns, settlement_number FROM holding AS h
        WHERE h.market = :market AND h.account = :account AND h.instrument_id = item.value
          AND h.position = at.value AND h.time_ns <= :time_ns
        ORDER BY h.time_ns DESC, h.settlement_number DESC LIMIT 1
    ) AS row
    """
).bindparams(
    bindparam("instruments", type_=ARRAY(Integer)),
    bindparam("positions", type_=ARRAY(SmallInteger)),
)
_LAST_ON_SQLITE = text(
    """
    SELECT row.instrument_id, row.position, row.quantity, row.time_ns, row.settlement_number
    FROM json_each(:instruments) AS item CROSS JOIN json_each(:positions) AS at
    CROSS JOIN holding AS row
    WHERE row.market = :market AND row.account = :account AND row.instrument_id = item.value
      AND row.position = at.value AND (row.time_ns, row.settlement_number) = (
        SELECT h.time_ns, h.settlement_number FROM holding AS h
        WHERE h.market = :market AND h.account = :account AND h.instrument_id = item.value
          AND h.position = at.value AND h.time_ns <= :time_ns
        ORDER BY h.time_ns DESC, h.settlement_number DESC LIMIT 1
      )
    """
)


async def tonnes_at(
    database: Database, market: int, account: int, instruments: Iterable[int], time_ns: int
) -> list[Tonnes]:
    """What an account had when the records up to `time_ns` were settled, without zeros.

    One search in an index for each instrument and position: O(instruments x log rows).
    """
    wanted: dict[str, Any] = {
        "instruments": sorted(instruments),
        "positions": [int(position) for position in Position if position],
    }
    last = _LAST_ON_POSTGRESQL
    if database.is_sqlite:
        last = _LAST_ON_SQLITE
        wanted = {name: json.dumps(numbers) for name, numbers in wanted.items()}
    given = {"market": market, "account": account, "time_ns": time_ns}
    async with database.asking() as connection:
        rows = (await connection.execute(last, given | wanted)).all()
    found = [Tonnes(row[0], _POSITIONS[row[1]], *row[2:]) for row in rows if row[2]]
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
