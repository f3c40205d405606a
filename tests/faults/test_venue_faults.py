"""One venue of processes on real Kafka and PostgreSQL, under load, and one fault after the other.

The tests of this file share the venue and its load, and run in the order in which they stand. Each
says what members meet; `test_nothing_was_lost_doubled_or_changed` proves the whole at the end. The
two after it break the log for good.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from deploy.local.postgres import query
from deploy.local.process import LOOPBACK
from deploy.local.venue import DATABASE
from exchange import topics
from exchange.clock import SystemClock
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import Event, EventFollower, Reason, event_rows
from exchange.messages.operations import SetLimit
from exchange.messages.orders import NewOrderSingle
from exchange.settings import APPEND_TIMEOUT_S
from gateway.client import Client, VenueError
from gateway.client.session import Waiting
from gateway.demo.demo_keys import DESK, HUADONG, NORTHERN, OPERATIONS
from gateway.demo.members import Members
from tests.faults.load import Member
from tests.faults.proxy import TO_CLIENT
from tests.faults.test_kill_each import SYMBOLS, check, rest, values
from tests.faults.venue import (
    BOOKS,
    ENGINE_CN,
    ENGINE_EU,
    GATEWAY,
    FaultyVenue,
    faulty_venue,
    opened,
    resident_mib,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

RATE = 12  # orders a second of each of two members
ANSWER_S = 60.0
REFUSED_S_MAX = APPEND_TIMEOUT_S + 5.0  # an append in doubt, and the way to the member
OUTAGE_S = 300.0  # no member gives up before, however long a busy machine takes to start again
SILENT_FOR_S = 8.0  # longer than ENGINE_SILENCE_S_MAX
MEMORY_MIB = 64  # what a gateway may take more while an engine is silent
EU, CN = 0, 1  # partitions


class Load:
    """Two members that trade all the time."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.stop = asyncio.Event()
        self.tasks = [asyncio.create_task(member.run(RATE, self.stop)) for member in members]

    async def end(self) -> dict[tuple[str, int], str]:
        """Stops, waits for every answer; what was acknowledged, by market and position."""
        self.stop.set()
        await asyncio.gather(*self.tasks)
        for member in self.members:
            await member.drain()
            assert member.unanswered == set()
        return {key: label for m in self.members for key, label in m.acknowledged.items()}


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyVenue]:
    with faulty_venue(tmp_path_factory.mktemp("faulty")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def members(venue: FaultyVenue) -> AsyncIterator[Members]:
    async with Members(venue.data, venue.venue, venue.url, SystemClock()) as made:
        await made.endow()
        await made.open_markets()
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def load(members: Members) -> AsyncIterator[Load]:
    whose = [
        (NORTHERN, {"EUA": 101, "CEA-2025": 201}),
        (HUADONG, {"EUA": 102, "CCER": 202}),
    ]
    made = Load([
        Member(await members.client(holder), accounts, SYMBOLS, answer_s=OUTAGE_S)
        for holder, accounts in whose
    ])  # fmt: skip
    yield made
    made.stop.set()
    for task in made.tasks:
        task.cancel()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(members: Members, load: Load) -> Client:
    return await members.client(DESK)


async def enter(client: Client, label: str, **changes: object) -> Waiting:
    """Sends one order of the desk and does not wait."""
    fields = {"symbol": "EUA", "account": 103, "side": "BUY", "quantity": 1, "price": "50.00"}
    request = NewOrderSingle(ref=0, client_order_id=label, valid_ms=0, **(fields | changes))  # type: ignore[arg-type]
    return await client.send(request)


async def heard(waiting: Waiting) -> str:
    """NEW and the like, or the name of the refusal."""
    try:
        report = await asyncio.wait_for(waiting.answered, ANSWER_S)
    except VenueError as error:
        return error.title
    return report.exec_type


async def until_trading(client: Client, name: str, **changes: object) -> ExecutionReport:
    """Sends orders until one is accepted: members do not have to do anything else."""
    for number in range(600):
        waiting = await enter(client, f"{name}{number}", **changes)
        word = await heard(waiting)
        if word == "NEW":
            return waiting.answered.result()
        assert word in ("VENUE_BUSY", "STATUS_UNKNOWN", "NO_ANSWER", "EXPIRED"), word
        await asyncio.sleep(0.2)
    raise AssertionError(f"{name}: no order was taken")


# -- the log ------------------------------------------------------------------------------------


async def test_an_answer_of_the_log_that_is_lost_leaves_one_order(
    venue: FaultyVenue, members: Members
) -> None:
    """The log has the order and the gateway does not know: STATUS_UNKNOWN; sent again: one order.

    Before there is any load: no other order is on its way to the log.
    """
    desk = await members.client(DESK)
    await until_trading(desk, "before")
    before = venue.pids()
    venue.doors[GATEWAY].lose(TO_CLIENT)
    try:
        waiting = await enter(desk, "in doubt")
        assert await heard(waiting) == "STATUS_UNKNOWN"
    finally:  # else every later test would wait for this one's answers
        venue.doors[GATEWAY].release()
    again = await until_trading(desk, "after")
    assert again.order_status == "NEW"
    stream = await desk.stream()
    report = await asyncio.wait_for(stream.send(waiting.request).answered, ANSWER_S)
    assert report.exec_type == "ORDER_STATUS"
    found = await desk.find_order("in doubt", market="EU")
    assert (found.order_id, found.order_status) == (report.order_id, "NEW")
    mine = [item for item in await desk.orders("EU") if item.client_order_id == "in doubt"]
    assert len(mine) == 1
    assert venue.pids() == before


async def test_a_broker_that_dies_promises_nothing_and_comes_back_by_itself(
    venue: FaultyVenue, desk: Client
) -> None:
    """No order is acknowledged while it is away; no process of the venue has to be restarted."""
    before = venue.pids()
    await asyncio.to_thread(venue.kafka.kill)
    try:
        waiting = await enter(desk, "no log")
        async with asyncio.timeout(REFUSED_S_MAX):
            assert await heard(waiting) in ("VENUE_BUSY", "STATUS_UNKNOWN")
        assert waiting.pending is None
    finally:  # the tests after this one are about other faults
        await asyncio.to_thread(venue.kafka.start)
    await until_trading(desk, "log again")
    await until_trading(desk, "cn log", symbol="CCER", account=203, price="80.00")
    await asyncio.to_thread(venue.ready)
    assert venue.pids() == before


async def test_silent_engines_are_noticed_and_catch_up(venue: FaultyVenue, desk: Client) -> None:
    """One is stopped, the other's link is down: taken orders wait, further ones are refused."""
    gateway = venue.pid(GATEWAY)
    before, memory = venue.pids(), resident_mib(gateway)
    os.kill(venue.pid(ENGINE_EU), signal.SIGSTOP)
    venue.doors[ENGINE_CN].hold()
    cn = {"symbol": "CCER", "account": 203, "price": "80.00"}
    taken = [await enter(desk, "taken EU"), await enter(desk, "taken CN", **cn)]
    for waiting in taken:
        await asyncio.wait_for(waiting.taken, ANSWER_S)
        assert waiting.pending is not None
    await asyncio.sleep(SILENT_FOR_S)
    assert await heard(await enter(desk, "refused EU")) == "VENUE_BUSY"
    assert await heard(await enter(desk, "refused CN", **cn)) == "VENUE_BUSY"
    assert not any(waiting.answered.done() for waiting in taken)
    assert resident_mib(gateway) < memory + MEMORY_MIB
    os.kill(venue.pid(ENGINE_EU), signal.SIGCONT)
    venue.doors[ENGINE_CN].release()
    assert [await heard(waiting) for waiting in taken] == ["NEW", "NEW"]
    await until_trading(desk, "answering")
    await until_trading(desk, "answering CN", **cn)
    assert venue.pids() == before


async def test_bytes_that_are_no_commands_are_refused_and_trading_goes_on(
    venue: FaultyVenue, desk: Client
) -> None:
    """On `orders`, past the gateway: each has one numbered answer at its place."""
    async with opened(venue) as (log, _):
        reader = await log.open_reader(topics.orders(EU), 0)
        sound = (await reader.read())[0].value
        await reader.close()
        newer = sound[:4] + b"\x63" + sound[5:]
        flipped = sound[:-1] + bytes([sound[-1] ^ 1])
        offsets = await log.append(topics.orders(EU), [b"garbage", newer, flipped, sound[:-1]])
        await until_trading(desk, "past garbage")
        follower, refused = EventFollower(), {}
        async for offset, value in values(log, EU):
            part = follower.accept(offset, value)
            if part is not None and part.input_offset in offsets:
                (row,) = event_rows(part.events)
                assert row.kind == Event.FRAME_REFUSED
                refused[part.input_offset] = row.reason
    assert list(refused) == offsets
    assert list(refused.values()) == [
        Reason.FRAME_TOO_SHORT,
        Reason.FRAME_WRONG_VERSION,
        Reason.FRAME_WRONG_CHECKSUM,
        Reason.FRAME_WRONG_SIZE,
    ]


# -- the books ----------------------------------------------------------------------------------


def deadlock(port: int) -> None:
    """Takes what settlement needs in the opposite order, and so dies or makes it die."""
    lock = "BEGIN; LOCK TABLE balance IN EXCLUSIVE MODE; SELECT pg_sleep(0.7);"
    want = "UPDATE settlement_position SET market = market; ROLLBACK"
    with contextlib.suppress(OSError):  # the database chose us
        query(port, lock + want, DATABASE)


def deadlocks(port: int) -> int:
    sql = "SELECT deadlocks::text FROM pg_stat_database WHERE datname = current_database()"
    return int(query(port, sql, DATABASE)[0])


async def test_books_that_stop_deadlock_or_come_from_an_old_backup(
    venue: FaultyVenue, desk: Client
) -> None:
    """Trading goes on meanwhile; settlement and registry go on from where the books are."""
    books, engines = venue.postgres, {name: venue.pid(name) for name in (ENGINE_EU, ENGINE_CN)}
    backup = Path(f"{books.cluster}.backup")
    await asyncio.to_thread(books.stop)
    await asyncio.to_thread(subprocess.run, ["cp", "-a", books.cluster, backup], check=True)
    await until_trading(desk, "no books")
    await asyncio.to_thread(books.start)
    await asyncio.to_thread(venue.ready, "settlement", "registry")
    was = deadlocks(books.port)
    for _ in range(20):
        await asyncio.to_thread(deadlock, books.port)
        if deadlocks(books.port) > was:
            break
    assert deadlocks(books.port) > was
    venue.doors[BOOKS].cut()
    await asyncio.to_thread(venue.ready, "settlement", "registry")
    await asyncio.to_thread(books.stop)
    await asyncio.to_thread(shutil.rmtree, books.cluster)
    await asyncio.to_thread(backup.rename, books.cluster)
    await asyncio.to_thread(books.start)
    await asyncio.to_thread(venue.ready, "settlement", "registry")
    await until_trading(desk, "old books")
    assert {name: venue.pid(name) for name in engines} == engines


# -- the machine --------------------------------------------------------------------------------


async def test_descriptors_that_run_out_refuse_connections_and_nothing_else(
    venue: FaultyVenue, desk: Client
) -> None:
    gateway = venue.pid(GATEWAY)
    soft, hard = resource.prlimit(gateway, resource.RLIMIT_NOFILE)
    used = len(list(Path(f"/proc/{gateway}/fd").iterdir()))
    resource.prlimit(gateway, resource.RLIMIT_NOFILE, (used + 10, hard))
    address = (LOOPBACK, int(venue.url.rpartition(":")[2]))
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(socket.create_connection(address, 10))
        await asyncio.sleep(1)
        assert len(list(Path(f"/proc/{gateway}/fd").iterdir())) <= used + 10
        assert await heard(await enter(desk, "no files left")) == "NEW"
    resource.prlimit(gateway, resource.RLIMIT_NOFILE, (soft, hard))
    await until(lambda: venue.is_ready(GATEWAY), lambda: venue.supervisor.log_tail(GATEWAY))
    assert (await desk.session()).last_ref
    assert venue.pid(GATEWAY) == gateway


async def test_a_power_cut_in_the_closing_call_closes_at_the_same_price(
    venue: FaultyVenue, members: Members, desk: Client
) -> None:
    """And with a rule that changed in mid-session: what is before it stays under the old one.

    Without a cut the call of these orders is at 74.40, where twenty tonnes meet, and only there;
    without those before the cut ten would, from 74.40 on, and without those after it from 74.00.
    """
    operations = await members.client(OPERATIONS)
    seller = await members.client(NORTHERN)
    limit = SetLimit(
        ref=0, market="CN", symbol="CEA-2024", parameter="QUANTITY_MAX", value=20, reason="a test"
    )
    await operations.operate("/operations/limit", limit)
    await operations.set_phase("CN", "CLOSING_CALL", symbol="CEA-2024")
    await seller.new_order("CEA-2024", 201, "SELL", 10, "74.00", client_order_id="s1")
    await desk.new_order("CEA-2024", 203, "BUY", 10, "75.00", client_order_id="b1")
    with pytest.raises(VenueError, match="quantity"):
        await desk.new_order("CEA-2024", 203, "BUY", 21, "75.00", client_order_id="large")
    await asyncio.to_thread(venue.kill_everything)
    await asyncio.to_thread(venue.power_up)
    await asyncio.to_thread(venue.ready)
    terms = {"symbol": "CEA-2024", "price": "74.40", "quantity": 10}
    await until_trading(seller, "s2 ", account=201, side="SELL", **terms)
    await until_trading(desk, "b2 ", account=203, side="BUY", **terms)
    assert (await desk.trades("CEA-2024")).trades == []
    await operations.set_phase("CN", "CLOSED", symbol="CEA-2024")
    async with asyncio.timeout(ANSWER_S):  # market data comes after the engine's answer
        while sum(trade.quantity for trade in (await desk.trades("CEA-2024")).trades) < 20:
            await asyncio.sleep(0.1)
    trades = (await desk.trades("CEA-2024")).trades
    assert {trade.price for trade in trades} == {"74.40"}
    assert sum(trade.quantity for trade in trades) == 20


# -- the end ------------------------------------------------------------------------------------


async def test_nothing_was_lost_doubled_or_changed(
    venue: FaultyVenue, load: Load, desk: Client
) -> None:
    """Every promise of the demonstration, by `prove`, over all that happened above."""
    acknowledged = await load.end()
    ends = await rest(venue)
    for engine in (ENGINE_EU, ENGINE_CN):  # whose signs of life would make the log longer
        venue.supervisor.hold(engine)
    await check(venue, ends, acknowledged)
    for engine in (ENGINE_EU, ENGINE_CN):
        venue.supervisor.release(engine)
    await asyncio.to_thread(venue.ready, ENGINE_EU, ENGINE_CN)


async def test_records_that_retention_took_stop_the_reader_who_needs_them(
    venue: FaultyVenue, desk: Client
) -> None:
    venue.supervisor.hold("settlement")
    await until_trading(desk, "unread")
    events = topics.events(EU)
    async with opened(venue) as (log, _):
        end = await log.end(events)
        admin = AIOKafkaAdminClient(bootstrap_servers=venue.kafka.bootstrap)
        await admin.start()
        gone = {TopicPartition(*events): RecordsToDelete(before_offset=end)}
        await admin.delete_records(gone)
        await admin.close()
    venue.supervisor.release("settlement")
    said = lambda: venue.supervisor.log_of("settlement").read_text()  # noqa: E731
    await until(lambda: "are gone: set its retention to -1 and restore them" in said(), said)
    assert f"settlement: events/{EU}" in said()
    assert await heard(await enter(desk, "others go on")) == "NEW"


async def test_bytes_that_are_no_events_stop_their_market_at_their_place(
    venue: FaultyVenue, desk: Client
) -> None:
    async with opened(venue) as (log, _):
        (offset,) = await log.append(topics.events(CN), [b"garbage"])
    words = f"events record {offset} is not a frame of events"
    said = lambda: venue.supervisor.log_of(ENGINE_CN).read_text()  # noqa: E731
    await until(lambda: words in said(), said)
    assert venue.is_ready(ENGINE_EU)
    assert (
        await heard(await enter(desk, "of it", symbol="CEA-2025", account=203)) == "MARKET_STOPPED"
    )
    assert await heard(await enter(desk, "of another")) == "NEW"
