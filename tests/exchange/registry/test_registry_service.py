from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text

from exchange.database import Database, table_hash
from exchange.database.schema import REGISTRY_TABLES
from exchange.log.protocol import LogError
from exchange.messages.frames import Command, Instruction, command, notes
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    EmissionsStated,
    UnitsCancelled,
    UnitsIssued,
    UnitsMoved,
    UnitsSurrendered,
    YearFigures,
)
from exchange.reference.venue import REGISTRY_SESSION
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.refusals import RegistryBrokenError
from exchange.registry.service import SequenceBrokenError
from exchange.registry.store import RegistryMovedError
from exchange.rulebook import load_rulebook
from tests.books_desk import CN, SETTLEMENTS, Desk, owed, reported, surrender, verified
from tests.books_venue import (
    ACT_NS,
    CAP,
    CCER,
    CEA_2024,
    EMISSIONS,
    HUADONG,
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
    release,
)
from tests.fixtures_postgres import MakeBooks


async def test_from_issuance_to_a_surrendered_tonne(desk: Desk) -> None:
    issued = await desk.act(
        issue(NORTHERN, CCER, 100_000, 2024), issue(HUADONG, CEA_2024, 2_000_000)
    )
    assert isinstance(issued[0], UnitsIssued)
    assert (issued[0].ranges[0].first, issued[0].ranges[0].last) == (1, 100_000)
    await desk.act(deposit(NORTHERN, CCER, 80_000), deposit(HUADONG, CEA_2024, 1_500_000))
    await desk.act(*owed(YANGTZE, YEAR, EMISSIONS))
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
    assert compliance[:6] == (YANGTZE, "cn-national", YEAR, EMISSIONS, EMISSIONS, CAP)
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
    assert totals[CCER] == (100_000, 100_000 - 61_729 + 1 - 18_271, 18_271, 0, 0, CAP, 0, 0)


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
        ([issue(NORTHERN, CEA_2024, 5, vintage=2031)], RegistryReason.UNIT_NOT_ELIGIBLE),
        ([deposit(NORTHERN, CCER, 1)], RegistryReason.NOT_ENOUGH_UNITS),
        ([surrender(YANGTZE, CCER, 1)], RegistryReason.NO_OBLIGATION),
        ([surrender(YANGTZE, CCER, 1, year=-7)], RegistryReason.QUANTITY_OUT_OF_RANGE),
        (reported(YANGTZE, 10_000, 1), RegistryReason.QUANTITY_OUT_OF_RANGE),
        (reported(YANGTZE, YEAR, -1), RegistryReason.QUANTITY_OUT_OF_RANGE),
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
    await desk.act(*owed(YANGTZE, YEAR, 1_000), *owed(YANGTZE, 2024, 1_000))
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
    *_, figures, done = await desk.act(*owed(YANGTZE, YEAR, 1_000))
    assert isinstance(figures, YearFigures)
    assert (figures.verified, figures.obligation, figures.final) == (1_000, 1_000, None)
    assert isinstance(done, EmissionsStated)
    assert (done.kind, done.quantity, done.given_by) == ("VERIFY_EMISSIONS", 1_000, "verifier")
    await desk.act(surrender(YANGTZE, CCER, 50))
    lower = await desk.refused(*verified(YANGTZE, YEAR, 49))
    assert lower.reason == RegistryReason.QUANTITY_OUT_OF_RANGE
    capped = await desk.refused(*verified(YANGTZE, YEAR, 999))
    assert (capped.reason, capped.rule) == (
        RegistryReason.OFFSET_CAP_EXCEEDED,
        "cn-2025-2026-ccer",
    )
    assert isinstance((await desk.act(*verified(YANGTZE, YEAR, 1_200)))[1], EmissionsStated)
    assert isinstance((await desk.act(surrender(YANGTZE, CCER, 10)))[0], UnitsSurrendered)


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


async def test_what_is_there_when_it_is_told_to_stop_is_registered(
    desk: Desk, make_books: MakeBooks
) -> None:
    await desk.act(issue(NORTHERN, CCER, 10))
    books, stop = await make_books(), asyncio.Event()
    late = RegistryService(desk.log, MARKET, VENUE, books)
    stop.set()
    await late.run(stop)
    assert late.position.settlement_number == desk.registry.position.settlement_number > 0
    assert await table_hash(books, CN, REGISTRY_TABLES) == await table_hash(
        desk.books, CN, REGISTRY_TABLES
    )


async def test_a_log_that_ends_before_what_was_registered_stops_the_registry(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.log.protocol.READ_WAIT_S", 0.01)
    await desk.act(issue(NORTHERN, CCER, 10))
    lost = desk.log.rows[SETTLEMENTS].pop()
    again = RegistryService(desk.log, MARKET, VENUE, desk.books)
    with pytest.raises(LogError, match=f"record {lost.offset} was read: .* are lost"):
        await asyncio.wait_for(again.run(asyncio.Event()), 5)
    assert not again.is_ready
    desk.log.rows[SETTLEMENTS].append(lost)


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
    await desk.act(issue(YANGTZE, CCER, 100), *owed(YANGTZE, 2024, 1_000))
    (done,) = await desk.act(surrender(YANGTZE, CCER, 50, year=2024))
    assert isinstance(done, UnitsSurrendered)
    desk.pump.time_ns = ACT_NS
    await desk.act(*verified(YANGTZE, 2024, 4_000))
    late = await desk.refused(surrender(YANGTZE, CCER, 1, year=2024))
    assert late.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    await desk.close()


async def test_large_answers_are_cut_into_records(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("exchange.registry.blocks.REGISTRY_RANGES_MAX", 3)
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
