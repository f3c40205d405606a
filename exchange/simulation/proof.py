"""Everything that must hold after a venue has come to rest, checked from its log and its books.

Nothing here trusts a running service: positions are projected from `events`, balances and blocks
are read from the database, issues from `registry`, the history is computed anew by both engines,
and market data is followed from its first record with every checksum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import numpy as np
from sqlalchemy import func, select

from exchange import topics
from exchange.audit import Books, Check, Verification, reconcile, verify
from exchange.audit.reconciliation import DueLegs
from exchange.database.connection import Database
from exchange.database.schema import balance, block
from exchange.log.protocol import Log, Partition
from exchange.marketdata.book import BookError, MarketBooks
from exchange.messages.frames import Command, OrderType, Side, read_commands
from exchange.messages.registry import RegistryRecord, issued_by
from exchange.positions import Positions, project
from exchange.registry.blocks import Position, State
from exchange.settings import READ_RECORDS_MAX
from exchange.settlement.queries import unsettled_legs
from exchange.simulation.tape import RowResult
from matching import Engine, EngineProtocol
from matching.reference import Engine as ReferenceEngine

READ_WAIT_S = 1.0
ENGINES_OWN = (Command.CLOCK_TICK, Command.EPOCH_START)
SHOWN_MAX = 5  # differences told in a check's text

Progress = Callable[[int, int], None]


async def prove(
    log: Log,
    database: Database,
    partition: int,
    *,
    engine: EngineProtocol | None = None,
    progress: Progress | None = None,
) -> list[Check]:
    """Every check of one market; the venue must be at rest. `engine`: the one that ran.

    O(log). Raises LogError, ChainBrokenError and the database's errors.
    """
    positions = await project(log, partition)
    books = await read_books(log, database, partition, positions)
    if engine is not None and engine.next_offset == positions.next_input:
        books = books._replace(engine=engine.snapshot())
    checks = reconcile(books)
    checks.append(await _shadow_books(log, partition, positions))
    compiled = await verify(log, partition, engine=Engine, progress=progress)
    reference = await verify(log, partition, engine=ReferenceEngine, progress=progress)
    checks.append(_history(compiled, await _commands_after(log, partition, compiled.inputs)))
    checks.append(_hashes(compiled, reference, engine))
    return checks


async def read_books(log: Log, database: Database, partition: int, positions: Positions) -> Books:
    """What ledger and registry say now, beside `positions`. O(balances + blocks + registry)."""
    ledger: dict[tuple[int, int], int] = {}
    trading: dict[tuple[int, int], int] = {}
    totals: dict[int, dict[int, int]] = {state: defaultdict(int) for state in State}
    async with database.reading() as connection:
        amounts = select(balance.c.account, balance.c.asset, balance.c.amount)
        for account, asset, amount in await connection.execute(
            amounts.where(balance.c.market == partition)
        ):
            ledger[account, asset] = int(amount)
        place = (block.c.account, block.c.instrument_id, block.c.position, block.c.state)
        tonnes = func.sum(block.c.last_serial - block.c.first_serial + 1)
        rows = await connection.execute(
            select(*place, tonnes).where(block.c.market == partition).group_by(*place)
        )
        due = [
            DueLegs(*map(int, row)) for row in await connection.execute(unsettled_legs(partition))
        ]
        for account, instrument, position, state, quantity in rows:
            totals[state][instrument] += int(quantity)
            if state == State.HELD and position == Position.TRADING:
                trading[account, instrument] = int(quantity)
    return Books(
        positions=positions,
        ledger=ledger,
        trading_units=trading,
        issued=await _issued(log, partition),
        held=totals[State.HELD],
        surrendered=totals[State.SURRENDERED],
        cancelled=totals[State.CANCELLED],
        due=due,
    )


async def _issued(log: Log, partition: int) -> dict[int, int]:
    """Tonnes ever issued by instrument, from what the registry said of each issue."""
    issued: dict[int, int] = defaultdict(int)
    decoder = msgspec.msgpack.Decoder(RegistryRecord)
    number = 0
    async for value in _values(log, topics.registry(partition)):
        record = decoder.decode(value)
        if record.number != number:
            continue  # said again after a restart
        number += 1
        for item in record.items:
            if (made := issued_by(item)) is not None:
                issued[made[0]] += sum(r.last - r.first + 1 for r in made[1])
    return issued


async def _values(log: Log, partition: Partition) -> AsyncIterator[bytes]:
    """The records of a partition up to its present end."""
    end = await log.end(partition)
    reader = await log.open_reader(partition, 0)
    try:
        while reader.position < end:
            for record in await reader.read(READ_RECORDS_MAX, READ_WAIT_S):
                yield record.value
    finally:
        await reader.close()


async def _shadow_books(log: Log, partition: int, positions: Positions) -> Check:
    """The book of a subscriber who followed `marketdata` against the open orders."""
    name = "a subscriber's book equals the open orders"
    books = MarketBooks()
    try:
        async for value in _values(log, topics.marketdata(partition)):
            books.apply(value)
    except BookError as error:
        return Check(name, 1, str(error))
    expected: dict[tuple[int, int, int], list[int]] = {}
    for order in positions.orders.values():
        if order.order_type != OrderType.LIMIT:
            continue  # bids and offers of auctions, blocks and waiting stops stand in no book
        level = expected.setdefault((order.instrument_id, order.side, order.price), [0, 0])
        level[0] += order.leaves
        level[1] += 1
    found: dict[tuple[int, int, int], list[int]] = {
        (instrument, side, level.price): [level.quantity, level.orders]
        for instrument, book in books.books.items()
        for side, levels in ((Side.BUY, book.bids), (Side.SELL, book.asks))
        for level in levels
    }
    wrong = [
        f"instrument {key[0]} side {key[1]} at {key[2]}: {found.get(key)} for {expected.get(key)}"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key) != expected.get(key)
    ]
    figures = f"{len(found)} levels after {books.next_number} records, every checksum right"
    return Check(name, len(wrong), "; ".join([figures, *wrong[:SHOWN_MAX]]))


async def _commands_after(log: Log, partition: int, offset: int) -> int:
    """Commands on `orders` from `offset` on, but for the engines' own signs of life.

    Ticks and epochs come at any time, also between the last answer and the stop of an engine.
    """
    reader = await log.open_reader(topics.orders(partition), offset)
    end = await log.end(topics.orders(partition))
    found = 0
    try:
        while reader.position < end:
            for record in await reader.read(READ_RECORDS_MAX, READ_WAIT_S):
                kinds = read_commands(record.value)["kind"]
                found += int((~np.isin(kinds, ENGINES_OWN)).sum())
    finally:
        await reader.close()
    return found


def _history(found: Verification, unanswered: int) -> Check:
    wrong = list(found.differences[:SHOWN_MAX])
    if unanswered:
        wrong.append(f"{unanswered} commands have no answer")
    figures = (
        f"{found.inputs} records of orders give the {found.events} events on the log "
        f"({found.repeats} said twice), chain {found.chain.hex()[:16]}"
    )
    return Check("orders computed anew give events", len(wrong), "; ".join([figures, *wrong]))


def _hashes(
    compiled: Verification, reference: Verification, engine: EngineProtocol | None
) -> Check:
    hashes = {"compiled": compiled.state_hash, "reference": reference.state_hash}
    if engine is not None and engine.next_offset == compiled.inputs:
        hashes["the engine that ran"] = engine.state_hash()
    figures = ", ".join(f"{name} {value.hex()[:16]}" for name, value in hashes.items())
    broken = len(set(hashes.values())) - 1 + len(reference.differences)
    return Check("replay hash equal", broken, "; ".join([figures, *reference.differences]))


def reproduction(rows: Sequence[RowResult]) -> list[Check]:
    """How far the published days came out. O(rows)."""
    planned = [row for row in rows if not row.is_as_planned]
    unexplained = [row for row in rows if not row.is_explained]
    met = []
    for name, values in (
        ("ranges", [row.is_range_met for row in rows]),
        ("volumes", [row.is_volume_met for row in rows]),
        ("opens", [row.is_open_met for row in rows]),
        ("averages", [row.is_average_met for row in rows]),
    ):
        published = [value for value in values if value is not None]
        met.append(f"{name} {sum(published)} of {len(published)}")
    return [
        Check(
            "every planned trade happened and no other",
            len(planned),
            f"{len(rows) - len(planned)} of {len(rows)} rows" + _named(planned),
        ),
        Check(
            "published days reproduced, or a mark says why not",
            len(unexplained),
            ", ".join(met) + _named(unexplained),
        ),
    ]


def _named(rows: Sequence[RowResult]) -> str:
    return "".join(f"; {row.day} {row.quote.product}" for row in rows[:SHOWN_MAX])
