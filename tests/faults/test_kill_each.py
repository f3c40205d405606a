"""`make venue --standby` under load, each process killed with -9 in turn: all promises hold.

A leader that dies has a standby, and each starts again: a member that logs on anew afterwards is
told its open orders as the engine has them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import func, select

from benchmarks.failover import restated
from deploy.local.kafka import build_class_archive
from deploy.local.venue import LocalVenue, attend
from exchange import topics
from exchange.audit import Check
from exchange.clock import SystemClock
from exchange.database import Database, open_database
from exchange.database.schema import deposit, registry_position, settlement_position
from exchange.log import open_log
from exchange.log.protocol import Log
from exchange.marketdata.book import decode_record
from exchange.messages.frames import Event, EventFollower, event_rows, order_id_of
from exchange.positions import project
from exchange.rebuild import rebuild, stand_of
from exchange.reference.venue import Market
from exchange.settings import Settings
from exchange.simulation.proof import prove
from gateway.client import Client
from gateway.demo.demo_keys import HUADONG, NORTHERN, YANGTZE
from gateway.demo.members import Members
from tests.faults.length import LONG
from tests.faults.load import Member, Registrant

# Orders a second of each of two members: two CPUs carry Kafka, PostgreSQL and all else.
RATE = 60 if LONG else 25
KILLS = 10 if LONG else 1  # of each process
BETWEEN_S = 1.5
BACK_S = 40.0
REST_S = 60.0
SYMBOLS = {"EUA": 7_125, "CEA-2025": 7_463, "CCER": 8_350}
OUTCOMES = frozenset({Event.ACCEPTED, Event.REJECTED, Event.DUPLICATE, Event.CANCELLED})


async def test_every_process_killed_under_load(tmp_path: Path) -> None:
    build_class_archive()
    venue = LocalVenue(
        tmp_path,
        http_port=0,
        websocket_port=0,
        fix_port=0,
        metrics_port=0,
        fast_start=True,
        standby=True,
        log_level="warning",
        say=lambda _: None,
    )
    with venue, closing_books(venue):
        await asyncio.to_thread(venue.wait_ready)
        members, acknowledged = await load_and_kill(venue)
        restarts = sum(venue.supervisor.restarts(name) for name in venue.metrics)
        assert restarts == KILLS * len(venue.metrics)
        ends = await rest(venue)
        codes = await asyncio.to_thread(venue.supervisor.stop)
        assert set(codes.values()) == {0}, codes
        await check(venue, ends, acknowledged)
        for member in members:
            assert member.unanswered == set()
            assert len(member.answered) > RATE


@contextmanager
def closing_books(venue: LocalVenue) -> Iterator[None]:
    """Deletes the database's files at the end: for root they lie outside the test's folder."""
    try:
        yield
    finally:
        venue.supervisor.stop()
        venue.postgres.remove()


async def load_and_kill(
    venue: LocalVenue,
) -> tuple[list[Member], dict[tuple[str, int], str]]:
    stop, stop_watch = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(attend(venue, stop_watch))
    async with AsyncExitStack() as stack:
        stack.callback(stop_watch.set)
        members = await stack.enter_async_context(
            Members(venue.data, venue.venue, venue.url, SystemClock())
        )
        await members.endow()
        await members.open_markets()
        own = [
            Member(await members.client(NORTHERN), {"EUA": 101, "CEA-2025": 201}, SYMBOLS),
            Member(await members.client(HUADONG), {"EUA": 102, "CCER": 202}, SYMBOLS),
        ]
        registrant = Registrant(await members.client(YANGTZE), "EUA", 103)
        tasks = [asyncio.create_task(member.run(RATE, stop)) for member in own]
        tasks.append(asyncio.create_task(registrant.run(stop)))
        for name in KILLS * list(venue.metrics):
            await asyncio.sleep(BETWEEN_S)
            await kill_and_wait(venue, name)
            assert not any(task.done() for task in tasks)
        await asyncio.sleep(BETWEEN_S)
        stop.set()
        await asyncio.gather(*tasks)
        for member in own:
            await member.drain()
        await check_restated(venue, await members.client(NORTHERN), {101, 201})
        await check_restated(venue, await members.client(HUADONG), {102, 202})
        assert registrant.done >= 2
    await watching
    return own, {key: label for member in own for key, label in member.acknowledged.items()}


async def check_restated(venue: LocalVenue, client: Client, accounts: set[int]) -> None:
    told, (log, database) = await restated(client), opened(venue)
    await log.start()
    try:
        for market in venue.venue.market:
            positions = await project(log, market.partition)
            have = {
                order.order_id: order.leaves
                for order in positions.orders.values()
                if order.account_id in accounts
            }
            assert told.get(market.code, {}) == have
            assert have
    finally:
        await log.close()
        await database.close()


async def kill_and_wait(venue: LocalVenue, name: str) -> None:
    killed = venue.supervisor.kill(name)
    deadline = time.monotonic() + BACK_S
    while venue.supervisor.pid(name) in (None, killed) or not await asyncio.to_thread(
        venue.is_ready, name
    ):
        assert time.monotonic() < deadline, venue.supervisor.log_tail(name)
        await asyncio.sleep(0.1)


async def rest(venue: LocalVenue) -> dict[str, int]:
    """Waits until every service has dealt with what was sent; where `orders` ended then."""
    log, database = opened(venue)
    await log.start()
    try:
        ends = {
            market.code: await log.end(topics.orders(market.partition))
            for market in venue.venue.market
        }
        async with asyncio.timeout(REST_S):
            for market in venue.venue.market:
                while not await is_at_rest(log, database, market.partition, ends[market.code]):
                    await asyncio.sleep(0.1)
    finally:
        await log.close()
        await database.close()
    return ends


async def is_at_rest(log: Log, database: Database, market: int, end: int) -> bool:
    settled, registered = settlement_position.c, registry_position.c
    async with database.reading() as connection:
        at = await connection.execute(
            select(settled.input_offset, settled.number).where(settled.market == market)
        )
        input_offset, number = at.one()
        taken = await connection.scalar(
            select(registered.settlement_number).where(registered.market == market)
        )
        open_deposits = await connection.scalar(
            select(func.count()).where(deposit.c.market == market, deposit.c.confirmed == 0)
        )
    public = topics.marketdata(market)
    if input_offset < end or taken != number or open_deposits or not await log.end(public):
        return False
    # What is public was said before it was settled or soon after: two looks, nothing new.
    before = await log.end(public)
    await asyncio.sleep(0.5)
    return before == await log.end(public)


def opened(venue: LocalVenue) -> tuple[Log, Database]:
    settings = Settings(log=f"kafka:{venue.kafka.bootstrap}", data=venue.data)
    return open_log(settings), open_database(venue.dsn)


async def check(
    venue: LocalVenue, ends: dict[str, int], acknowledged: dict[tuple[str, int], str]
) -> None:
    log, database = opened(venue)
    await log.start()
    try:
        failed: list[Check] = []
        for market in venue.venue.market:
            failed += [c for c in await prove(log, database, market.partition) if not c.ok]
            outcomes, labels = await read_outcomes(log, market.partition)
            mine = {key for code, key in acknowledged if code == market.code}
            assert len(mine) > RATE
            assert {position: outcomes[position] for position in mine} == dict.fromkeys(mine, 1)
            assert {label: n for label, n in labels.items() if n > 1} == {}
            assert await public_numbers(log, market.partition) > 0
            await check_anew(venue, log, database, market)
        assert failed == []
    finally:
        await log.close()
        await database.close()


async def check_anew(venue: LocalVenue, log: Log, database: Database, market: Market) -> None:
    """The books in use are those which the log gives, row for row."""
    until, in_use = await stand_of(database, market.partition)
    with TemporaryDirectory() as folder:
        books = open_database("sqlite", Path(folder))
        try:
            anew = await rebuild(log, market, venue.venue, books, until=until)
        finally:
            await books.close()
    assert anew == in_use


async def read_outcomes(log: Log, partition: int) -> tuple[Counter[int], Counter[bytes]]:
    """How often each command was answered, and each label accepted, over all that was said."""
    answers: Counter[int] = Counter()
    accepted: Counter[bytes] = Counter()
    follower = EventFollower()
    async for offset, value in values(log, partition):
        part = follower.accept(offset, value)
        if part is None:
            continue
        seen = set()
        for row in event_rows(part.events):
            position = order_id_of(part.input_offset, row.command_index)
            if row.kind in OUTCOMES and position not in seen:
                seen.add(position)
                answers[position] += 1
            if row.kind == Event.ACCEPTED and row.client_order_id.strip(b"\0"):
                accepted[row.client_order_id] += 1
    return answers, accepted


async def public_numbers(log: Log, partition: int) -> int:
    """How many public records there are; each number is said once."""
    numbers = [
        decode_record(value).number async for _, value in values(log, partition, is_public=True)
    ]
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    return len(set(numbers))


async def values(
    log: Log, partition: int, *, is_public: bool = False
) -> AsyncIterator[tuple[int, bytes]]:
    topic = topics.marketdata(partition) if is_public else topics.events(partition)
    end = await log.end(topic)
    reader = await log.open_reader(topic, 0)
    try:
        while reader.position < end:
            for record in await reader.read():
                yield record.offset, record.value
    finally:
        await reader.close()
