from __future__ import annotations

import asyncio
import datetime as dt
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from exchange import topics
from exchange.database import Database, table_hash
from exchange.ledger import CASH
from exchange.log.protocol import AppendUncertainError, LogUnavailableError, Partition
from exchange.messages.frames import Command, Instruction, Side, command, notes
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    ObligationSet,
    RegistryItem,
    RegistryRecord,
    UnitsCancelled,
    UnitsIssued,
    UnitsMoved,
    UnitsSurrendered,
)
from exchange.rebuild import rebuild
from exchange.reference.venue import REGISTRY_SESSION
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.instructions import RegistryBrokenError
from exchange.registry.service import SequenceBrokenError
from exchange.registry.store import RegistryMovedError
from exchange.rulebook import load_rulebook
from exchange.settlement import SettlementService
from exchange.settlement.queries import ledger_balances, prove_ledger
from tests.books_venue import (
    ACCOUNTS,
    ACT_NS,
    CAP,
    CCER,
    CEA_2023,
    CEA_2024,
    EMISSIONS,
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

CN = MARKET.partition
ORDERS, SETTLEMENTS, REGISTRY = topics.orders(CN), topics.settlements(CN), topics.registry(CN)
decode = msgspec.msgpack.Decoder(RegistryRecord).decode


class Desk:
    """The whole way in steps: engine, settlement, registry, until nothing moves any more."""

    def __init__(self, log: Any, books: Database) -> None:
        self.log, self.books, self.pump = log, books, EnginePump(log)
        self.settlement = SettlementService(log, MARKET, books)
        self.registry = RegistryService(log, MARKET, VENUE, books)
        self.stop = asyncio.Event()

    async def open(self) -> None:
        await self.settlement.load()
        await self.registry.load()
        await self.act(*opening())

    async def act(self, *records: bytes) -> list[RegistryItem]:
        """Sends one frame, lets all happen that follows; what the registry said."""
        before = len(self.log.rows[REGISTRY])
        if records:
            await self.pump.send(*records)
        while await self.pump.pump():
            await self.settlement.settle(
                self.log.rows[self.pump.events][self.settlement.position.topic_offset :], self.stop
            )
            rows = self.log.rows[SETTLEMENTS][self.registry.position.topic_offset :]
            await self.registry.register([(row.offset, row.value) for row in rows], self.stop)
        return [
            item for row in self.log.rows[REGISTRY][before:] for item in decode(row.value).items
        ]

    async def refused(self, *records: bytes) -> InstructionRefused:
        before = await table_hash(self.books, CN, without_refusals())
        said = await self.act(*records)
        assert await table_hash(self.books, CN, without_refusals()) == before
        assert len(said) == 1
        assert isinstance(said[0], InstructionRefused)
        return said[0]

    async def close(self) -> None:
        await self.settlement.close()


def without_refusals() -> Any:
    from exchange.database.schema import REGISTRY_TABLES, refusal

    return tuple(table for table in REGISTRY_TABLES if table is not refusal)


@pytest.fixture
async def market_log(memory_log: Any) -> Any:
    await memory_log.create(topics.of_market(CN))
    return memory_log


@pytest.fixture
async def desk(market_log: Any, books: Database) -> AsyncIterator[Desk]:
    desk = Desk(market_log, books)
    await desk.open()
    yield desk
    await check(desk)
    await desk.close()


async def check(desk: Desk) -> None:
    """What must hold at any time."""
    assert await registry_queries.prove_blocks(desk.books, CN) == []
    assert [proof for proof in await prove_ledger(desk.books, CN) if not proof.is_ok] == []
    ledger = await ledger_balances(desk.books, CN)
    trading = await registry_queries.position_totals(desk.books, CN)
    assert trading == {
        key: amount for key, amount in ledger.items() if key[0] >= 0 and key[1] != CASH
    }
    for totals in (await registry_queries.unit_totals(desk.books, CN)).values():
        assert totals.issued == sum(totals[1:])


def set_obligation(account: int, year: int, quantity: int) -> bytes:
    return instruction(
        Instruction.SET_OBLIGATION,
        account_id=account,
        instrument_id=CEA_2024,
        price=year,
        quantity=quantity,
    )


def surrender(account: int, instrument: int, quantity: int, year: int = YEAR) -> bytes:
    return instruction(
        Instruction.SURRENDER,
        account_id=account,
        instrument_id=instrument,
        price=year,
        quantity=quantity,
    )


async def test_from_issuance_to_a_surrendered_tonne(desk: Desk) -> None:
    issued = await desk.act(
        issue(NORTHERN, CCER, 100_000, 2024), issue(HUADONG, CEA_2024, 2_000_000)
    )
    assert isinstance(issued[0], UnitsIssued)
    assert (issued[0].ranges[0].first, issued[0].ranges[0].last) == (1, 100_000)
    await desk.act(deposit(NORTHERN, CCER, 80_000), deposit(HUADONG, CEA_2024, 1_500_000))
    await desk.act(set_obligation(YANGTZE, YEAR, EMISSIONS))
    moved = await desk.act(
        *cross(NORTHERN, YANGTZE, CCER, 61_729), *cross(HUADONG, YANGTZE, CEA_2024, 1_172_839)
    )
    assert [type(item) for item in moved] == [UnitsMoved, UnitsMoved]
    assert isinstance(moved[0], UnitsMoved)
    assert (moved[0].cause, moved[0].from_account, moved[0].to_account) == (
        "TRADE",
        NORTHERN,
        YANGTZE,
    )
    await desk.act(release(YANGTZE, CCER, 61_729, 5), release(YANGTZE, CEA_2024, 1_172_839, 6))
    refusal = await desk.refused(surrender(YANGTZE, CCER, 61_729))
    assert refusal.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert refusal.rule == "cn-2025-2026-ccer"
    assert "61728 t" in refusal.text
    assert "surrender_obligation 1234567 t" in refusal.text
    assert "MEE Order 19" in refusal.source
    done = await desk.act(surrender(YANGTZE, CCER, CAP))
    assert isinstance(done[0], UnitsSurrendered)
    assert (done[0].quantity, done[0].year) == (CAP, YEAR)
    last = await desk.act(surrender(YANGTZE, CEA_2024, EMISSIONS - CAP))
    assert isinstance(last[0], UnitsSurrendered)
    one_more = await desk.refused(surrender(YANGTZE, CCER, 1))
    assert one_more.reason == RegistryReason.SURRENDER_ABOVE_OBLIGATION
    await check_read_side(desk)


async def check_read_side(desk: Desk) -> None:
    (compliance,) = await registry_queries.compliance_of(desk.books, CN, YANGTZE)
    assert compliance == (YANGTZE, "cn-national", YEAR, EMISSIONS, EMISSIONS, CAP)
    headroom = registry_queries.headroom_of(
        load_rulebook(),
        next(item for item in VENUE.instrument if item.id == CCER),
        compliance,
        dt.date(2026, 11, 22),
    )
    assert (headroom.cap, headroom.used, headroom.headroom) == (CAP, CAP, 0)
    assert (headroom.base_name, headroom.base) == ("surrender_obligation", EMISSIONS)
    (left,) = await registry_queries.holdings_of(desk.books, CN, YANGTZE)
    assert (left.instrument_id, left.position, left.quantity) == (CCER, Position.REGISTRY, 1)
    assert (left.ranges[0].first, left.ranges[0].last) == (CAP + 1, CAP + 1)
    history = await registry_queries.serial_history(desk.books, "CCER", 1)
    assert [(row.kind.name, row.cause) for row in history if row.kind != HistoryKind.SPLIT] == [
        ("ISSUED", "ISSUE"),
        ("MOVED", "DEPOSIT"),
        ("MOVED", "TRADE"),
        ("MOVED", "RELEASE"),
        ("SURRENDERED", "SURRENDER"),
    ]
    assert history[0].range.first == 1
    totals = await registry_queries.unit_totals(desk.books, CN)
    assert totals[CCER] == (100_000, 100_000 - 61_729 + 1 - 18_271, 18_271, CAP, 0)


async def test_cancelled_for_a_beneficiary_and_a_reason(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 50))
    cancel = instruction(Instruction.CANCEL, account_id=NORTHERN, instrument_id=CCER, quantity=20)
    for words in ("", "somebody", "somebody\n ", "\na reason"):
        refusal = await desk.refused(cancel, *notes(words))
        assert refusal.reason == RegistryReason.BENEFICIARY_MISSING
    (done,) = await desk.act(cancel, *notes("Rivers for all 河流\nthe flight of 2026-11-20"))
    assert isinstance(done, UnitsCancelled)
    assert (done.beneficiary, done.reason) == ("Rivers for all 河流", "the flight of 2026-11-20")
    assert (done.quantity, done.ranges[0].last) == (20, 20)
    few = instruction(Instruction.CANCEL, account_id=NORTHERN, instrument_id=CCER, quantity=31)
    assert (await desk.refused(few, *notes("a\nb"))).reason == RegistryReason.NOT_ENOUGH_UNITS


async def test_transfers_between_registry_positions(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 50))

    def transfer(quantity: int, to: int) -> bytes:
        return instruction(
            Instruction.TRANSFER,
            account_id=NORTHERN,
            instrument_id=CCER,
            quantity=quantity,
            price=to,
        )

    (moved,) = await desk.act(transfer(30, YANGTZE))
    assert isinstance(moved, UnitsMoved)
    assert (moved.cause, moved.from_account, moved.to_account) == ("TRANSFER", NORTHERN, YANGTZE)
    assert (await desk.refused(transfer(30, YANGTZE))).reason == RegistryReason.NOT_ENOUGH_UNITS
    for unknown in (999, -1, 2**62):
        refusal = await desk.refused(transfer(1, unknown))
        assert refusal.reason == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([issue(NORTHERN, CCER, 0)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([issue(NORTHERN, CCER, -5)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([issue(NORTHERN, CCER, 10**10 + 1)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([issue(NORTHERN, CCER, 5, vintage=2**40)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([deposit(NORTHERN, CCER, 1)], RegistryReason.NOT_ENOUGH_UNITS),
        ([surrender(YANGTZE, CCER, 1)], RegistryReason.NO_OBLIGATION),
        ([surrender(YANGTZE, CCER, 1, year=-7)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([set_obligation(YANGTZE, 10_000, 1)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        ([set_obligation(YANGTZE, YEAR, -1)], RegistryReason.QUANTITY_OUT_OF_RANGE),
    ],
)
async def test_refused_whole(desk: Desk, records: list[bytes], reason: RegistryReason) -> None:
    refusal = await desk.refused(*records)
    assert refusal.reason == reason
    assert refusal.text
    async with desk.books.reading() as connection:
        rows = (await connection.execute(text("SELECT reason, text FROM refusal"))).all()
    assert [tuple(row) for row in rows] == [(int(reason), refusal.text)]


async def test_surrender_needs_what_is_owed_eligible_and_held(desk: Desk) -> None:
    await desk.act(set_obligation(YANGTZE, YEAR, 1_000), set_obligation(YANGTZE, 2024, 1_000))
    for account in (YANGTZE, NORTHERN):
        await desk.act(issue(account, CCER, 100), issue(account, CEA_2024, 100))
    above = await desk.refused(surrender(YANGTZE, CEA_2024, 1_001))
    assert above.reason == RegistryReason.SURRENDER_ABOVE_OBLIGATION
    few = await desk.refused(surrender(YANGTZE, CEA_2024, 101))
    assert few.reason == RegistryReason.NOT_ENOUGH_UNITS
    late = await desk.refused(surrender(YANGTZE, CCER, 10, year=2024))  # its rule ended in 2025
    assert late.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    assert "no rule in force" in late.text
    none = await desk.refused(surrender(NORTHERN, CEA_2024, 1))
    assert none.reason == RegistryReason.NO_OBLIGATION
    assert isinstance((await desk.act(surrender(YANGTZE, CCER, 30)))[0], UnitsSurrendered)
    assert isinstance((await desk.act(surrender(YANGTZE, CCER, 20)))[0], UnitsSurrendered)
    over = await desk.refused(surrender(YANGTZE, CCER, 1))
    assert over.reason == RegistryReason.OFFSET_CAP_EXCEEDED
    assert "used 50 t, headroom 0 t" in over.text
    # units in the trading position do not count
    await desk.act(deposit(YANGTZE, CEA_2024, 100))
    assert (
        await desk.refused(surrender(YANGTZE, CEA_2024, 1))
    ).reason == RegistryReason.NOT_ENOUGH_UNITS


async def test_an_obligation_cannot_fall_below_what_was_done_for_it(desk: Desk) -> None:
    await desk.act(issue(YANGTZE, CCER, 100), issue(YANGTZE, CEA_2024, 100))
    (done,) = await desk.act(set_obligation(YANGTZE, YEAR, 1_000))
    assert done == ObligationSet(done.instruction_id, YANGTZE, YEAR, 1_000)
    await desk.act(surrender(YANGTZE, CCER, 50))
    lower = await desk.refused(set_obligation(YANGTZE, YEAR, 49))
    assert lower.reason == RegistryReason.QUANTITY_OUT_OF_RANGE
    capped = await desk.refused(set_obligation(YANGTZE, YEAR, 999))
    assert (capped.reason, capped.rule) == (
        RegistryReason.OFFSET_CAP_EXCEEDED,
        "cn-2025-2026-ccer",
    )
    assert isinstance((await desk.act(set_obligation(YANGTZE, YEAR, 1_200)))[0], ObligationSet)
    assert isinstance((await desk.act(surrender(YANGTZE, CCER, 10)))[0], UnitsSurrendered)


@pytest.mark.parametrize("seed", range(4))
async def test_random_days_keep_every_tonne_and_no_cap_is_exceeded(
    make_books: MakeBooks, market_log: Any, seed: int
) -> None:
    books = await make_books()
    desk = Desk(market_log, books)
    await desk.open()
    dice = random.Random(seed)
    await desk.act(*(issue(a, i, 5_000) for a in ACCOUNTS for i in INSTRUMENTS))
    await desk.act(*(set_obligation(a, YEAR, dice.randrange(500, 4_000)) for a in ACCOUNTS))
    surrendered: dict[tuple[int, int], int] = defaultdict(int)
    for _ in range(40):
        for item in await desk.act(*(random_act(dice) for _ in range(dice.randrange(1, 12)))):
            if isinstance(item, UnitsSurrendered):
                surrendered[item.account_id, item.instrument_id] += item.quantity
    await check(desk)
    assert surrendered
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


def random_act(dice: random.Random) -> bytes:
    account, instrument = dice.choice(ACCOUNTS), dice.choice(INSTRUMENTS)
    quantity = dice.randrange(1, 400)
    fields = {"account_id": account, "instrument_id": instrument, "quantity": quantity}
    match dice.randrange(9):
        case 0:
            return issue(account, instrument, quantity)
        case 1 | 2:
            return deposit(account, instrument, quantity)
        case 3:
            return release(account, instrument, quantity, dice.randrange(10**6))
        case 4:
            return instruction(Instruction.TRANSFER, price=dice.choice(ACCOUNTS), **fields)
        case 5:
            return surrender(account, instrument, dice.randrange(1, 60))
        case 6:
            return set_obligation(account, YEAR, dice.randrange(500, 4_000))
        case _:
            side = dice.choice((Side.BUY, Side.SELL))
            return order(account, instrument, side, quantity, dice.randrange(7_990, 8_011))


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
        await desk.act(*(set_obligation(a, YEAR, 4_000) for a in ACCOUNTS))
        for _ in range(15):
            await desk.act(*(random_act(dice) for _ in range(10)))
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


async def live(log: Any, books: Database, pump: EnginePump, registries: int = 1) -> None:
    """Runs engine, settlement and registry as services until nothing moves any more."""
    settlement = SettlementService(log, MARKET, books)
    registry = [RegistryService(log, MARKET, VENUE, books) for _ in range(registries)]
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


@pytest.mark.parametrize("table", ["registry_position", "deposit", "block_history"])
async def test_a_crash_between_effect_and_commit(
    books: Database, market_log: Any, make_books: MakeBooks, table: str
) -> None:
    pump = EnginePump(market_log)
    await day(pump)
    desk = Desk(market_log, books)
    await desk.settlement.load()
    await desk.registry.load()
    await desk.settlement.settle(market_log.rows[pump.events], desk.stop)
    before = await table_hash(books, CN)
    await refuse_writes(books, table)
    rows = [(row.offset, row.value) for row in market_log.rows[SETTLEMENTS]]
    with pytest.raises(Exception, match="injected"):
        await desk.registry.register(rows, desk.stop)
    await desk.close()
    assert await table_hash(books, CN) == before
    assert market_log.rows[REGISTRY] == []
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


async def test_the_loser_writes_nothing(desk: Desk) -> None:
    other = RegistryService(desk.log, MARKET, VENUE, desk.books)
    await other.load()
    await desk.act(issue(NORTHERN, CCER, 10))
    row = desk.log.rows[SETTLEMENTS][-1]
    with pytest.raises(RegistryMovedError, match="the registry's books are at settlement"):
        await other.register([(row.offset, row.value)])
    assert (await other.load()).settlement_number == desk.registry.position.settlement_number
    assert other.holdings.totals == desk.registry.holdings.totals


async def test_the_next_number_only(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 10))
    rows = [(row.offset, row.value) for row in desk.log.rows[SETTLEMENTS]]
    before = await table_hash(desk.books, CN)
    await desk.registry.register(rows)  # all known: dropped
    assert await table_hash(desk.books, CN) == before
    fresh = RegistryService(desk.log, MARKET, VENUE, desk.books)
    with pytest.raises(SequenceBrokenError, match="expected number 0, found 1"):
        await fresh.register(rows[1:])
    with pytest.raises(SequenceBrokenError, match="settlements record 3"):
        await fresh.register([(3, b"\xc1")])


async def test_units_from_nowhere_stop_the_registry(market_log: Any, books: Database) -> None:
    desk = Desk(market_log, books)
    await desk.open()
    forged = command(
        Command.UNITS_DEPOSIT,
        account_id=NORTHERN,
        instrument_id=CCER,
        quantity=5,
        order_id=12,
        session_id=REGISTRY_SESSION + 50,
        ref=1,
    )
    with pytest.raises(RegistryBrokenError, match="transfer 12, which the registry did not send"):
        await desk.act(forged)
    stopped = RegistryService(market_log, MARKET, VENUE, books)
    with pytest.raises(RegistryBrokenError):
        await asyncio.wait_for(stopped.run(asyncio.Event()), 10)
    assert not stopped.is_ready
    await desk.close()


async def test_a_programme_belongs_to_one_market(market_log: Any, books: Database) -> None:
    import msgspec as ms

    twin = ms.structs.replace(VENUE.instrument[0], market="CN", id=99, symbol="EUA-CN")
    venue = ms.structs.replace(VENUE, instrument=(*VENUE.instrument, twin))
    with pytest.raises(ValueError, match="product EUA is in market CN and in EU"):
        RegistryService(market_log, MARKET, venue, books)


async def test_the_time_of_the_act_decides(market_log: Any, books: Database) -> None:
    desk = Desk(market_log, books)
    desk.pump = EnginePump(market_log, time_ns=ACT_NS - 330 * 86_400 * 10**9)  # in 2025
    await desk.open()
    await desk.act(issue(YANGTZE, CCER, 100), set_obligation(YANGTZE, 2024, 1_000))
    (done,) = await desk.act(surrender(YANGTZE, CCER, 50, year=2024))
    assert isinstance(done, UnitsSurrendered)
    desk.pump.time_ns = ACT_NS
    await desk.act(set_obligation(YANGTZE, 2024, 4_000))
    late = await desk.refused(surrender(YANGTZE, CCER, 1, year=2024))
    assert late.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    await desk.close()


async def test_large_answers_are_cut_into_records(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.registry.instructions.REGISTRY_RANGES_MAX", 3)
    monkeypatch.setattr("exchange.registry.service.REGISTRY_RECORD_BYTES_MAX", 100)
    for _ in range(10):
        await desk.act(issue(NORTHERN, CCER, 5))
    before = desk.registry.position.number
    items = await desk.act(
        instruction(
            Instruction.TRANSFER,
            account_id=NORTHERN,
            instrument_id=CCER,
            quantity=48,
            price=YANGTZE,
        )
    )
    assert [len(item.ranges) for item in items if isinstance(item, UnitsMoved)] == [3, 3, 3, 1]
    assert desk.registry.position.number > before + 1
