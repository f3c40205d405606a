from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from exchange import topics
from exchange.database import Database, table_hash
from exchange.database.schema import REGISTRY_TABLES
from exchange.log.protocol import AppendUncertainError, LogUnavailableError, Partition
from exchange.messages.frames import Instruction, Side, order_id_of
from exchange.messages.registry import (
    EncumbranceChanged,
    ReversalProposed,
    TransferWaits,
    UnitsReversed,
    UnitsSurrendered,
)
from exchange.rebuild import rebuild
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position
from exchange.rulebook import Rulebook
from exchange.settlement import SettlementService
from tests.books_desk import (
    CN,
    ORDERS,
    REGISTRY,
    SETTLEMENTS,
    Desk,
    act_of,
    check,
    decode,
    owed,
    surrender,
    verified,
)
from tests.books_venue import (
    ACCOUNTS,
    CCER,
    CEA_2023,
    HUADONG,
    INSTRUMENTS,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    YEAR,
    EnginePump,
    cross,
    deposit,
    instruction,
    issue,
    opening,
    order,
    release,
)
from tests.fixtures_postgres import MakeBooks

BINDINGS = (
    Instruction.FREEZE,
    Instruction.UNFREEZE,
    Instruction.PLEDGE,
    Instruction.RELEASE_PLEDGE,
    Instruction.ENFORCE_PLEDGE,
)


@pytest.mark.parametrize("seed", range(4))
async def test_random_days_keep_every_tonne_and_no_cap_is_exceeded(
    make_books: MakeBooks, market_log: Any, seed: int
) -> None:
    books = await make_books()
    desk = Desk(market_log, books)
    await desk.open()
    dice = random.Random(seed)
    await desk.act(*(issue(a, i, 5_000) for a in ACCOUNTS for i in INSTRUMENTS))
    await desk.act(*(r for a in ACCOUNTS for r in owed(a, YEAR, dice.randrange(500, 4_000))))
    surrendered: dict[tuple[int, int], int] = defaultdict(int)
    bound = undone = thawed = 0
    for _ in range(40):
        if dice.random() < 0.2:
            undone += await undo_one(desk, dice, surrendered)
        said = await desk.act(*random_acts(dice, dice.randrange(1, 12)))
        for wait in [item for item in said if isinstance(item, TransferWaits)]:
            told = (wait.account_id, wait.instrument_id, wait.quantity, wait.instruction_id)
            said += await desk.act(*act_of(Instruction.APPROVE_TRANSFER, *told, "two\noperator"))
        for item in said:
            if isinstance(item, UnitsSurrendered):
                surrendered[item.account_id, item.instrument_id] += item.quantity
            bound += isinstance(item, EncumbranceChanged)
            thawed += isinstance(item, EncumbranceChanged) and item.kind == "UNFREEZE"
    await check(desk)
    assert thawed
    assert surrendered
    assert bound
    assert undone
    for compliance in await registry_queries.compliance_of(books, CN):
        assert compliance.surrendered <= compliance.obligation
        assert compliance.offsets <= compliance.obligation // 20
        account = compliance.account
        assert compliance.offsets == surrendered[account, CCER]
        assert compliance.surrendered == sum(surrendered[account, i] for i in INSTRUMENTS)
    totals = await registry_queries.unit_totals(books, CN)
    assert {i: totals[i].issued for i in INSTRUMENTS} == desk.registry.holdings.issued
    # what was made step by step is what the log says, on a fresh database of the same kind
    again = await make_books()
    steps: list[tuple[int, int]] = []
    rebuilt = await rebuild(
        market_log, MARKET, VENUE, again, progress=lambda done, end: steps.append((done, end))
    )
    assert rebuilt == await table_hash(books, CN)
    assert steps[-1][0] == steps[-1][1] == len(market_log.rows[topics.events(CN)])
    with pytest.raises(ValueError, match="holds books of market CN already"):
        await rebuild(market_log, MARKET, VENUE, again)
    await desk.close()


async def undo_one(desk: Desk, dice: random.Random, surrendered: dict[tuple[int, int], int]) -> int:
    """Surrenders a little and undoes it, with other acts between; 1 if it was done."""
    account, instrument, quantity = dice.choice(ACCOUNTS), dice.choice(INSTRUMENTS), 3
    (said,) = await desk.act(surrender(account, instrument, quantity))
    if not isinstance(said, UnitsSurrendered):
        return 0
    told = (account, instrument, quantity)
    original = said.instruction_id
    first = act_of(Instruction.PROPOSE_REVERSAL, *told, original, text="ann\nwhy")
    said_too = await desk.act(*random_acts(dice, 3), *first, *random_acts(dice, 3))
    (proposal,) = [item for item in said_too if isinstance(item, ReversalProposed)]
    second = act_of(Instruction.APPROVE_REVERSAL, *told, proposal.instruction_id, text="ben\n")
    said_too += await desk.act(*random_acts(dice, 3), *second)
    for item in said_too:
        if isinstance(item, UnitsSurrendered):
            surrendered[item.account_id, item.instrument_id] += item.quantity
    return 1


def random_acts(dice: random.Random, count: int) -> list[bytes]:
    return [
        record
        for _ in range(count)
        for record in (random_binding(dice) if dice.random() < 0.3 else random_act(dice))
    ]


def random_binding(dice: random.Random) -> list[bytes]:
    """A freeze or a pledge, or the end of one."""
    account, other = dice.sample(ACCOUNTS, 2)
    kind = dice.choice(BINDINGS)
    what, quantity = dice.choice(INSTRUMENTS), dice.randrange(1, 300)
    if kind == Instruction.UNFREEZE:
        return act_of(kind, account, what, quantity // 4 + 1, text="key\nreference\noperator")
    return act_of(kind, account, what, quantity, other, "key\nreference")


def random_act(dice: random.Random) -> list[bytes]:
    account, instrument = dice.choice(ACCOUNTS), dice.choice(INSTRUMENTS)
    quantity = dice.randrange(1, 400)
    fields = {"account_id": account, "instrument_id": instrument, "quantity": quantity}
    match dice.randrange(9):
        case 0:
            return [issue(account, instrument, quantity)]
        case 1 | 2:
            return [deposit(account, instrument, quantity)]
        case 3:
            return [release(account, instrument, quantity, dice.randrange(10**6))]
        case 4:
            return [instruction(Instruction.TRANSFER, price=dice.choice(ACCOUNTS), **fields)]
        case 5:
            return [surrender(account, instrument, dice.randrange(1, 60))]
        case 6:
            return verified(account, YEAR, dice.randrange(500, 4_000))
        case _:
            side = dice.choice((Side.BUY, Side.SELL))
            return [order(account, instrument, side, quantity, dice.randrange(7_990, 8_011))]


async def test_both_databases_hold_the_same(market_log: Any, tmp_path: Any, postgres: Any) -> None:
    from exchange.database import open_database, upgrade

    hashes = []
    for address in (postgres.create_database("registry_same"), str(tmp_path / "same")):
        books = open_database(address)
        await upgrade(books)
        for rows in market_log.rows.values():
            rows.clear()
        desk, dice = Desk(market_log, books), random.Random(11)
        await desk.open()
        await desk.act(*(issue(a, i, 5_000) for a in ACCOUNTS for i in INSTRUMENTS))
        await desk.act(*(r for a in ACCOUNTS for r in owed(a, YEAR, 4_000)))
        for _ in range(15):
            await desk.act(*random_acts(dice, 10))
        hashes.append(await table_hash(books, CN))
        await desk.close()
        await books.close()
    postgres.drop_database("registry_same")
    assert hashes[0] == hashes[1]


@asynccontextmanager
async def running(*services: Any) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(service.run(stop)) for service in services]
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def live(
    log: Any,
    books: Database,
    pump: EnginePump,
    registries: int = 1,
    rulebook: Rulebook | None = None,
) -> None:
    """Runs engine, settlement and registry as services until nothing moves any more."""
    settlement = SettlementService(log, MARKET, books)
    registry = [
        RegistryService(log, MARKET, VENUE, books, rulebook=rulebook) for _ in range(registries)
    ]
    async with running(settlement, *registry):
        quiet = 0
        while quiet < 15:
            moved = await pump.pump()
            position = await registry_queries.position_of(books, CN)
            is_done = (
                not moved
                and settlement.position.topic_offset >= len(log.rows[pump.events])
                and position.settlement_number >= settlement.position.number
                and all(service.is_ready for service in registry)
            )
            quiet = quiet + 1 if is_done else 0
            await asyncio.sleep(0.01)


async def day(pump: EnginePump) -> None:
    await pump.send(*opening())
    await pump.send(*(issue(a, i, 5_000) for a in ACCOUNTS for i in INSTRUMENTS))
    await pump.send(*(deposit(a, i, 3_000) for a in ACCOUNTS for i in INSTRUMENTS))
    await pump.pump()


async def trading(pump: EnginePump) -> None:
    for seller, buyer in ((NORTHERN, HUADONG), (HUADONG, YANGTZE), (YANGTZE, NORTHERN)):
        await pump.send(*cross(seller, buyer, CCER, 100), *cross(seller, buyer, CEA_2023, 7))
    await pump.send(release(NORTHERN, CCER, 50, 1), deposit(NORTHERN, CCER, 10))
    await pump.send(*owed(HUADONG, YEAR, 10_000))
    offset = await pump.send(surrender(HUADONG, CCER, 120))
    told = (HUADONG, CCER, 120)
    asked = await pump.send(
        *act_of(Instruction.PROPOSE_REVERSAL, *told, order_id_of(offset, 0), text="ann\nwhy")
    )
    await pump.send(
        *act_of(Instruction.APPROVE_REVERSAL, *told, order_id_of(asked, 0), text="ben\n")
    )
    freeze = act_of(Instruction.FREEZE, NORTHERN, CEA_2023, 90, text="court\nfile 7")
    thaw = act_of(Instruction.UNFREEZE, NORTHERN, CEA_2023, 40, text="court\nfile 8\nauthority")
    thawing = order_id_of(await pump.send(*freeze, *thaw), len(freeze))
    second = (NORTHERN, CEA_2023, 40, thawing, "judge\nauthority")
    await pump.send(
        *act_of(Instruction.PLEDGE, HUADONG, CEA_2023, 300, YANGTZE, text="desk\nloan 9"),
        *act_of(Instruction.APPROVE_TRANSFER, *second),
        *act_of(Instruction.RELEASE_PLEDGE, YANGTZE, CEA_2023, 100, HUADONG),
        *act_of(Instruction.ENFORCE_PLEDGE, YANGTZE, CEA_2023, 200, HUADONG, text="desk\nlate"),
        *act_of(Instruction.PLEDGE, NORTHERN, CCER, 25, YANGTZE),
    )


async def test_running_as_services(books: Database, market_log: Any) -> None:
    pump = EnginePump(market_log)
    await day(pump)
    await live(market_log, books, pump)
    await trading(pump)
    await live(market_log, books, pump)
    await checked(books, market_log)
    assert (await registry_queries.position_totals(books, CN))[HUADONG, CCER] == 3_000


async def checked(books: Database, log: Any) -> None:
    desk = Desk(log, books)
    await check(desk)
    await desk.close()
    await bound_as_told(books, log)
    numbers: list[int] = []
    for row in log.rows[REGISTRY]:
        number = decode(row.value).number
        assert number <= len(numbers), "a gap"
        if number == len(numbers):
            numbers.append(number)
    assert len(numbers) == (await registry_queries.position_of(books, CN)).number
    async with books.reading() as connection:
        waiting = await connection.scalar(text("SELECT count(*) FROM deposit WHERE confirmed = 0"))
    assert waiting == 0


async def bound_as_told(books: Database, log: Any) -> None:
    """What is frozen and pledged in the books is what `registry` said, each record counted once."""
    told: dict[tuple[str, int, int, int], int] = defaultdict(int)
    records = {
        record.number: record for record in map(decode, (r.value for r in log.rows[REGISTRY]))
    }
    for item in (item for record in records.values() for item in record.items):
        if isinstance(item, EncumbranceChanged):
            sign = 1 if item.kind in ("FREEZE", "PLEDGE") else -1
            position = "PLEDGED" if item.lender_id else "FROZEN"
            told[position, item.account_id, item.instrument_id, item.lender_id] += (
                sign * item.quantity
            )
    held = {
        (row.position.name, account, row.instrument_id, row.lender): row.quantity
        for account in ACCOUNTS
        for row in await registry_queries.holdings_of(books, CN, account)
        if row.position in (Position.FROZEN, Position.PLEDGED)
    }
    assert held == {place: tonnes for place, tonnes in told.items() if tonnes}
    given = [item for record in records.values() for item in record.items]
    assert sum(isinstance(item, UnitsReversed) for item in given) == sum(
        isinstance(item, ReversalProposed) for item in given
    )
    for compliance in await registry_queries.compliance_of(books, CN):
        assert compliance.surrendered == 0


class CrashError(Exception):
    pass


@pytest.mark.parametrize("topic", [ORDERS, REGISTRY], ids=["orders", "registry"])
@pytest.mark.parametrize("taken", [0, 1])
async def test_a_crash_after_commit_before_publishing(
    books: Database, market_log: Any, make_books: MakeBooks, topic: Partition, taken: int
) -> None:
    pump = EnginePump(market_log)
    await day(pump)
    desk = Desk(market_log, books)
    desk.pump = pump
    await desk.settlement.load()
    await desk.registry.load()
    await desk.settlement.settle(market_log.rows[pump.events], desk.stop)

    def crash(partition: Partition, values: Sequence[bytes]) -> tuple[int, Exception] | None:
        return (taken, CrashError()) if partition == topic else None

    market_log.fault = crash
    rows = [(row.offset, row.value) for row in market_log.rows[SETTLEMENTS]]
    with pytest.raises(CrashError):
        await desk.registry.register(rows, desk.stop)
    market_log.fault = None
    await desk.close()
    await live(market_log, books, pump)
    await trading(pump)
    await live(market_log, books, pump)
    await checked(books, market_log)
    again = await make_books()
    assert await rebuild(market_log, MARKET, VENUE, again) == await table_hash(books, CN)
    trading_units = await registry_queries.position_totals(books, CN)
    assert sum(trading_units.values()) == 9 * 3_000 - 50 + 10  # no deposit lost, none twice


@pytest.mark.parametrize(
    "table", ["registry_position", "deposit", "block_history", "encumbrance", "reversal"]
)
async def test_a_crash_between_effect_and_commit(
    books: Database, market_log: Any, make_books: MakeBooks, table: str
) -> None:
    pump = EnginePump(market_log)
    await day(pump)
    await trading(pump)
    await pump.pump()
    desk = Desk(market_log, books)
    await desk.settlement.load()
    await desk.registry.load()
    await desk.settlement.settle(market_log.rows[pump.events], desk.stop)
    await refuse_writes(books, table)
    rows = [(row.offset, row.value) for row in market_log.rows[SETTLEMENTS]]
    with pytest.raises(Exception, match="injected"):
        await desk.registry.register(rows, desk.stop)
    await desk.close()
    written = await registry_queries.position_of(books, CN)
    assert written.settlement_number < len(
        rows
    )  # whole batches, and nothing of the one that failed
    other = await make_books()
    before = RegistryService(market_log, MARKET, VENUE, other)
    await before.load()
    await before.register(rows[: written.settlement_number])
    same = [await table_hash(database, CN, REGISTRY_TABLES) for database in (books, other)]
    assert same[0] == same[1]
    assert len(market_log.rows[REGISTRY]) == written.number
    await allow_writes(books, table)
    await live(market_log, books, pump)
    await checked(books, market_log)
    again = await make_books()
    assert await rebuild(market_log, MARKET, VENUE, again) == await table_hash(books, CN)


async def refuse_writes(books: Database, table: str) -> None:
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


async def allow_writes(books: Database, table: str) -> None:
    names = ("injected_insert", "injected_update") if books.is_sqlite else ("injected",)
    on = "" if books.is_sqlite else f" ON {table}"
    async with books.writing() as connection:
        for name in names:
            await connection.execute(text(f"DROP TRIGGER {name}{on}"))


@pytest.mark.parametrize("taken", [0, 1])
async def test_uncertain_appends_are_sent_again(
    books: Database, market_log: Any, monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr("exchange.outbox.RETRY_PAUSE_S", 0.01)
    pump = EnginePump(market_log)
    await day(pump)
    error = AppendUncertainError("injected") if taken else LogUnavailableError("injected")
    faults = {ORDERS: iter([(taken, error)] * 2), REGISTRY: iter([(taken, error)] * 2)}

    def fault(partition: Partition, values: Sequence[bytes]) -> tuple[int, Exception] | None:
        return next(faults[partition], None) if partition in faults else None

    settlement = SettlementService(market_log, MARKET, books)
    await settlement.load()
    await settlement.settle(market_log.rows[pump.events], asyncio.Event())
    await settlement.close()
    market_log.fault = fault
    await live(market_log, books, pump)
    await checked(books, market_log)
    totals = await registry_queries.position_totals(books, CN)
    assert set(totals.values()) == {3_000}


async def test_two_registries_at_once(
    books: Database, market_log: Any, make_books: MakeBooks
) -> None:
    pump = EnginePump(market_log)
    await day(pump)
    await live(market_log, books, pump, registries=2)
    await trading(pump)
    await live(market_log, books, pump, registries=2)
    await checked(books, market_log)
    again = await make_books()
    assert await rebuild(market_log, MARKET, VENUE, again) == await table_hash(books, CN)
