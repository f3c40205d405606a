from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from exchange import metrics, topics
from exchange.database import Database, table_hash
from exchange.database.schema import SETTLEMENT_TABLES
from exchange.ledger import CASH, EXTERNAL_CASH, EXTERNAL_UNITS, FEE_INCOME
from exchange.log.protocol import (
    AppendUncertainError,
    LogError,
    LogUnavailableError,
    Partition,
)
from exchange.messages.frames import ChainBrokenError
from exchange.messages.settlement import SettlementRecord
from exchange.reference.venue import Market
from exchange.settlement import PositionMovedError, SettlementService
from exchange.settlement.queries import (
    account_balances,
    asset_totals,
    ledger_balances,
    position_of,
    prove_ledger,
)
from matching import Engine
from tests.fixtures_postgres import MakeBooks

MARKET = Market(code="XX", partition=0, currency="EUR")
ORDERS, EVENTS, SETTLEMENTS = topics.orders(0), topics.events(0), topics.settlements(0)


async def fill(log: Any, flow: Any, frames: int) -> Engine:
    """A random market's `orders`, and on `events` what the real engine says to them."""
    from exchange.messages.frames import GENESIS, seal_events

    engine, chain = Engine(), GENESIS
    for offset, frame in enumerate(flow.frames(frames)):
        await log.append(ORDERS, [frame])
        first, epoch = engine.next_event, engine.epoch
        records = engine.apply(offset, offset + 1, frame)
        parts, chain = seal_events(
            records,
            input_offset=offset,
            first_event=first,
            epoch=epoch,
            time_ns=engine.time_ns,
            chain=chain,
        )
        await log.append(EVENTS, parts)
    return engine


async def settled(log: Any, count: int) -> None:
    """Waits until `settlements` holds records of so many numbers."""
    for _ in range(500):
        if len({number for number, _ in published(log)}) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(published(log))} records, not {count}")


def published(log: Any) -> list[tuple[int, bytes]]:
    decode = msgspec.msgpack.Decoder(SettlementRecord).decode
    return [(decode(row.value).number, row.value) for row in log.rows[SETTLEMENTS]]


@asynccontextmanager
async def running(service: SettlementService) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        async with asyncio.timeout(30):
            yield task
    finally:
        stop.set()
        await task


async def drain(log: Any, database: Database, **given: Any) -> SettlementService:
    """One run of the service from start to the end of `events`."""
    service = SettlementService(log, MARKET, database, **given)
    async with running(service) as task:
        while not task.done() and (
            service.position.topic_offset < len(log.rows[EVENTS])
            or not service.is_ready
            or len({number for number, _ in published(log)}) < service.position.number
        ):
            await asyncio.sleep(0.005)
    return service


async def expected(make_books: MakeBooks, log: Any) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The undisturbed run: hash of the tables and the records."""
    database = await make_books()
    clean = type(log)()
    await clean.create(topics.of_market(0))
    clean.take(EVENTS, [row.value for row in log.rows[EVENTS]])
    await drain(clean, database)
    return await table_hash(database, 0, SETTLEMENT_TABLES), published(clean)


def as_read(log: Any) -> list[tuple[int, bytes]]:
    """What a reader accepts: the next number only."""
    accepted: list[tuple[int, bytes]] = []
    for number, value in published(log):
        assert number <= len(accepted), "a gap"
        if number == len(accepted):
            accepted.append((number, value))
        else:
            assert accepted[number][1] == value, "a number was used twice"
    return accepted


async def test_the_ledger_is_the_engine(books: Database, memory_log: Any, make_flow: Any) -> None:
    from exchange.messages.frames import EventFollower
    from exchange.positions import Positions

    await fill(memory_log, make_flow(3), 150)
    await drain(memory_log, books)
    follower, projection = EventFollower(), Positions()
    for row in memory_log.rows[EVENTS]:
        part = follower.accept(row.offset, row.value)
        assert part is not None
        projection.apply(part)
    ledger = {k: v for k, v in (await ledger_balances(books, 0)).items() if k[0] >= 0}
    engine = {}
    for number, account in projection.accounts.items():
        engine[number, CASH] = account.cash.total
        for instrument, units in account.units.items():
            engine[number, instrument] = units.total
    assert ledger == {key: amount for key, amount in engine.items() if amount}
    proofs = await prove_ledger(books, 0)
    assert [proof for proof in proofs if not proof.is_ok] == []
    totals = {total.asset: total for total in await asset_totals(books, 0)}
    assert totals[CASH].participants + totals[CASH].fees + totals[CASH].external == 0
    assert totals[CASH].fees > 0
    assert totals[1].participants + totals[1].external == 0
    assert await account_balances(books, 0, 1) == {b: v for (a, b), v in ledger.items() if a == 1}
    position = await position_of(books, 0)
    assert position.topic_offset == len(memory_log.rows[EVENTS])
    assert position.chain == follower.chain
    assert (await position_of(books, 5)).next_event == 0


async def test_what_is_there_when_it_is_told_to_stop_is_settled_and_said(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(3), 150)
    service, stop = SettlementService(memory_log, MARKET, books), asyncio.Event()
    stop.set()
    await service.run(stop)
    assert service.position.topic_offset == len(memory_log.rows[EVENTS])
    assert len(published(memory_log)) == service.position.number > 0


async def test_records_are_dense_and_name_their_cause(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(5), 60)
    service = await drain(memory_log, books)
    records = [
        msgspec.msgpack.decode(row.value, type=SettlementRecord)
        for row in memory_log.rows[SETTLEMENTS]
    ]
    assert [record.number for record in records] == list(range(service.position.number))
    offsets = [record.input_offset for record in records]
    assert offsets == sorted(set(offsets))
    assert all(record.items for record in records)
    assert records[0].time_ns == 1
    assert service.is_ready


async def test_both_databases_and_any_batches_agree(
    make_books: MakeBooks, memory_log: Any, make_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(memory_log, make_flow(8), 80)
    tables, records = await expected(make_books, memory_log)
    database = await make_books()
    service = SettlementService(memory_log, MARKET, database)
    await service.load()
    for row in memory_log.rows[EVENTS]:
        await service.settle([row], asyncio.Event())
        assert await service.settle([row], asyncio.Event()) == 0  # again: dropped
    await service.close()
    assert await table_hash(database, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records
    # random markets give a hash which does not depend on the kind of database
    assert len(tables) == 32


SMALL_BATCHES = "exchange.settlement.service.SETTLEMENT_BATCH_TRADES_MAX"


async def test_a_batch_is_made_while_the_one_before_is_written(
    make_books: MakeBooks, memory_log: Any, make_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(memory_log, make_flow(8), 80)
    tables, records = await expected(make_books, memory_log)
    monkeypatch.setattr(SMALL_BATCHES, 2)
    database = await make_books()
    service = SettlementService(memory_log, MARKET, database)
    await service.load()
    await service.settle(memory_log.rows[EVENTS], asyncio.Event())
    assert service.position == await position_of(database, 0)
    await service.close()
    assert await table_hash(database, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records


async def test_a_batch_that_fails_takes_the_next_one_with_it(
    make_books: MakeBooks, memory_log: Any, make_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(memory_log, make_flow(2), 60)
    tables, records = await expected(make_books, memory_log)
    monkeypatch.setattr(SMALL_BATCHES, 2)
    books = await make_books()
    service = SettlementService(memory_log, MARKET, books)
    rows = memory_log.rows[EVENTS]
    await service.load()
    await service.settle(rows[:15], asyncio.Event())
    await break_table(books, "balance")
    with pytest.raises(Exception, match="injected"):
        await service.settle(rows[15:], asyncio.Event())
    await mend_table(books, "balance")
    assert service.position.input_offset == (await position_of(books, 0)).input_offset
    await service.load()
    await service.settle(rows, asyncio.Event())
    await service.close()
    await drain(memory_log, books)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert as_read(memory_log) == records


@pytest.mark.parametrize("table", ["settlement_position", "settlement_outbox", "balance"])
async def test_a_crash_between_effect_and_commit(
    make_books: MakeBooks, memory_log: Any, make_flow: Any, table: str
) -> None:
    await fill(memory_log, make_flow(2), 40)
    tables, records = await expected(make_books, memory_log)
    books = await make_books()
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    await service.settle(memory_log.rows[EVENTS][:15], asyncio.Event())
    before = await table_hash(books, 0, SETTLEMENT_TABLES)
    await break_table(books, table)
    with pytest.raises(Exception, match="injected"):
        await service.settle(memory_log.rows[EVENTS][15:], asyncio.Event())
    await service.close()
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == before
    await mend_table(books, table)
    await drain(memory_log, books)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert as_read(memory_log) == records


async def break_table(books: Database, table: str) -> None:
    if books.is_sqlite:
        statements = [
            f"CREATE TRIGGER injected_{when} BEFORE {when} ON {table} "
            "BEGIN SELECT RAISE(ABORT, 'injected'); END"
            for when in ("insert", "update")
        ]
    else:
        statements = [
            "CREATE FUNCTION injected() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'injected'; END $$",
            f"CREATE TRIGGER injected BEFORE INSERT OR UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION injected()",
        ]
    async with books.writing() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def mend_table(books: Database, table: str) -> None:
    names = ("injected_insert", "injected_update") if books.is_sqlite else ("injected",)
    on = "" if books.is_sqlite else f" ON {table}"
    async with books.writing() as connection:
        for name in names:
            await connection.execute(text(f"DROP TRIGGER {name}{on}"))


class CrashError(Exception):
    pass


@pytest.mark.parametrize("taken", [0, 3, 10_000])
async def test_a_crash_after_commit_before_or_while_publishing(
    make_books: MakeBooks, memory_log: Any, make_flow: Any, taken: int
) -> None:
    await fill(memory_log, make_flow(4), 40)
    tables, records = await expected(make_books, memory_log)
    books = await make_books()

    def crash(partition: Partition, values: Sequence[bytes]) -> tuple[int, Exception] | None:
        return (taken, CrashError()) if partition == SETTLEMENTS else None

    memory_log.fault = crash
    service = SettlementService(memory_log, MARKET, books)
    with pytest.raises(CrashError):
        await asyncio.wait_for(service.run(asyncio.Event()), 20)
    assert len(memory_log.rows[SETTLEMENTS]) == min(taken, len(records))
    memory_log.fault = None
    await drain(memory_log, books)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert published(memory_log) == records  # nothing lost, nothing doubled


@pytest.mark.parametrize("error", [LogUnavailableError, AppendUncertainError])
@pytest.mark.parametrize("taken", [0, 2])
async def test_an_append_that_fails_is_tried_again(
    books: Database,
    memory_log: Any,
    make_flow: Any,
    error: type[Exception],
    taken: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("exchange.outbox.RETRY_PAUSE_S", 0.01)
    await fill(memory_log, make_flow(4), 30)
    faults = iter([(taken if error is AppendUncertainError else 0, error("injected"))] * 3)

    def fault(partition: Partition, values: Sequence[bytes]) -> tuple[int, Exception] | None:
        return next(faults, None) if partition == SETTLEMENTS else None

    memory_log.fault = fault
    service = await drain(memory_log, books)
    await drain(memory_log, books)
    assert [number for number, _ in published(memory_log)] == list(range(service.position.number))


async def test_two_processes_at_once(
    make_books: MakeBooks, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(6), 60)
    tables, records = await expected(make_books, memory_log)
    books = await make_books()
    values = [row.value for row in memory_log.rows[EVENTS]]
    memory_log.rows[EVENTS].clear()
    one, two = (SettlementService(memory_log, MARKET, books) for _ in range(2))
    async with running(one), running(two):
        for value in values:
            memory_log.take(EVENTS, [value])
            await asyncio.sleep(0.003)
        for _ in range(400):
            if (await position_of(books, 0)).topic_offset >= len(values):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
    await drain(memory_log, books)
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == tables
    assert as_read(memory_log) == records


async def test_the_loser_of_the_row_lock_books_nothing(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(6), 20)
    one, two = (SettlementService(memory_log, MARKET, books) for _ in range(2))
    await one.load()
    await two.load()
    rows = memory_log.rows[EVENTS]
    await one.settle(rows[:10])
    before = await table_hash(books, 0, SETTLEMENT_TABLES)
    with pytest.raises(PositionMovedError, match="the books are at input 10"):
        await two.settle(rows[:12])
    assert await table_hash(books, 0, SETTLEMENT_TABLES) == before
    assert (await two.load()).input_offset == 10
    assert await two.settle(rows) == len(rows) - 10
    await one.close()
    await two.close()


async def test_an_altered_record_stops_the_service(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(7), 20)
    rows = memory_log.rows[EVENTS]
    altered = bytearray(rows[12].value)
    altered[20] ^= 1  # its time
    rows[12] = rows[12]._replace(value=bytes(altered))
    counter = metrics.STATE_HASH_MISMATCH.labels("settlement")
    before = counter._value.get()
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    await service.settle(rows[:12], asyncio.Event())
    with capture_logs() as logs, pytest.raises(ChainBrokenError, match="events record 12"):
        await asyncio.wait_for(service.run(asyncio.Event()), 20)
    stopped = [entry for entry in logs if "stopped" in entry["event"]]
    assert stopped[0]["input_offset"] == 12
    assert stopped[0]["market"] == "XX"
    assert counter._value.get() == before + 1
    assert (await position_of(books, 0)).input_offset == 12


async def test_a_missing_record_stops_the_service(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(7), 20)
    rows = memory_log.rows[EVENTS]
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    with pytest.raises(ChainBrokenError, match="records are missing"):
        await service.settle([*rows[:5], *rows[6:]], asyncio.Event())
    await service.close()


async def test_a_log_that_ends_before_what_was_settled_stops_the_service(
    books: Database, memory_log: Any, make_flow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.log.protocol.READ_WAIT_S", 0.01)
    await fill(memory_log, make_flow(7), 20)
    await drain(memory_log, books)
    del memory_log.rows[EVENTS][-3:]
    end = len(memory_log.rows[EVENTS])
    again = SettlementService(memory_log, MARKET, books)
    with pytest.raises(LogError, match=f"ends at {end}, but record {end + 2} was read"):
        await asyncio.wait_for(again.run(asyncio.Event()), 5)
    assert not again.is_ready


async def test_an_overdraft_is_refused_by_the_database(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(9), 20)
    service = SettlementService(memory_log, MARKET, books)
    await service.load()
    await service.settle(memory_log.rows[EVENTS][:3], asyncio.Event())
    async with books.writing() as connection:
        await connection.execute(text("UPDATE balance SET amount = 0 WHERE account >= 0"))
    with pytest.raises(Exception, match="balance_not_overdrawn"):
        await service.settle(memory_log.rows[EVENTS][3:], asyncio.Event())
    await service.close()
    failed = [proof.name for proof in await prove_ledger(books, 0) if not proof.is_ok]
    assert failed == ["balances are the sums of their postings"]


async def test_follows_what_comes_and_leaves_the_outbox_small(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    await fill(memory_log, make_flow(1), 30)
    *values, last = [row.value for row in memory_log.rows[EVENTS]]
    memory_log.rows[EVENTS].clear()
    service = SettlementService(memory_log, MARKET, books)

    async def take(values: list[bytes], end: int) -> None:
        for value in values:
            memory_log.take(EVENTS, [value])
            await asyncio.sleep(0.001)
        while service.position.topic_offset < end:
            await asyncio.sleep(0.005)
        await settled(memory_log, service.position.number)

    async with running(service):
        await take(values, len(values))
        await take([last], len(values) + 1)  # the next booking drops what is on the topic
    async with books.reading() as connection:
        left = await connection.scalar(text("SELECT count(*) FROM settlement_outbox"))
    assert left <= 1
    assert FEE_INCOME in {account for account, _ in await ledger_balances(books, 0)}
    assert {EXTERNAL_CASH, EXTERNAL_UNITS} <= {a for a, _ in await ledger_balances(books, 0)}


async def test_records_that_are_nowhere_are_named(
    books: Database, memory_log: Any, make_flow: Any
) -> None:
    from exchange.outbox import OutboxGapError

    await fill(memory_log, make_flow(1), 10)
    await drain(memory_log, books)
    await drain(memory_log, books)
    memory_log.rows[SETTLEMENTS].clear()  # the topic was lost
    async with books.writing() as connection:
        await connection.execute(text("DELETE FROM settlement_outbox"))
        await connection.execute(text("UPDATE settlement_position SET published = 2"))
    service = SettlementService(memory_log, MARKET, books)
    with pytest.raises(OutboxGapError, match="record 2 is neither there nor in the outbox"):
        await asyncio.wait_for(service.run(asyncio.Event()), 20)
