"""What is held for others, in the database: read block by block, undone, loaded and made anew."""

from __future__ import annotations

import datetime as dt

from exchange.database import table_hash
from exchange.messages.frames import Instruction
from exchange.messages.registry import AllocationReturned, UnitsMoved, UnitsReversed
from exchange.messages.registry import UnitsSurrendered as Given
from exchange.rebuild import rebuild
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position
from exchange.registry.rows import Place
from tests.books_desk import CN, Desk, act_of, owed
from tests.books_venue import CEA_2024 as CEA
from tests.books_venue import HUADONG, MARKET, NORTHERN, VENUE, YANGTZE, YEAR, issue
from tests.fixtures_postgres import MakeBooks

PROVINCE, ENTITY = NORTHERN, HUADONG
HELD = Place(PROVINCE, Position.FROZEN, CEA, ENTITY)
FINAL = f"authority\nstage final\nmethod benchmarking\nsector power\nheld_by {PROVINCE}"


async def test_held_surrendered_undone_and_released(desk: Desk, make_books: MakeBooks) -> None:
    kind = "office\ncn_provincial_authority"
    await desk.act(*act_of(Instruction.SET_ACCOUNT_TYPE, PROVINCE, CEA, 0, 0, kind))
    await desk.act(*owed(ENTITY, YEAR, 100), issue(ENTITY, CEA, 7))
    await desk.act(*act_of(Instruction.ALLOCATE, ENTITY, CEA, 95, YEAR, FINAL))
    whose = f"for {ENTITY}"
    said = await desk.act(*act_of(Instruction.SURRENDER, PROVINCE, CEA, 60, YEAR, whose))
    assert [type(item) for item in said] == [UnitsMoved, Given]
    said = await desk.act(*act_of(Instruction.SURRENDER, PROVINCE, CEA, 30, YEAR, whose))
    (given,) = [item for item in said if isinstance(item, Given)]
    # An undone surrender for another brings the units to whose obligation they were for.
    (proposed,) = await desk.act(
        *act_of(Instruction.PROPOSE_REVERSAL, ENTITY, CEA, 30, given.instruction_id, "ann\nmistake")
    )
    number = getattr(proposed, "instruction_id", 0)
    said = await desk.act(
        *act_of(Instruction.APPROVE_REVERSAL, ENTITY, CEA, 30, number, "ben\nyes")
    )
    assert isinstance(said[0], UnitsReversed), said
    again = await desk.refused(
        *act_of(Instruction.UNFREEZE, PROVINCE, CEA, 5, ENTITY, "ann\nthe rest")
    )
    assert "40 t are still owed" in again.text
    await desk.act(*act_of(Instruction.SURRENDER, ENTITY, CEA, 37, YEAR))
    await desk.act(*act_of(Instruction.SURRENDER, PROVINCE, CEA, 3, YEAR, whose))
    (released,) = await desk.act(
        *act_of(Instruction.UNFREEZE, PROVINCE, CEA, 1, ENTITY, "ann\nthe rest")
    )
    assert isinstance(released, UnitsMoved)
    other = RegistryService(desk.log, MARKET, VENUE, desk.books)
    await other.load()
    assert other.holdings.totals == desk.registry.holdings.totals
    assert other.holdings.held(*HELD) == 1
    found = await registry_queries.tonnes_at(desk.books, CN, PROVINCE, (CEA,), 2**62)
    assert [(row.position, row.quantity) for row in found] == [(Position.FROZEN, 1)]
    before = await table_hash(desk.books, CN)
    assert await rebuild(desk.log, MARKET, VENUE, await make_books()) == before


async def test_too_much_is_taken_back_from_the_province(desk: Desk) -> None:
    kind = "office\ncn_provincial_authority"
    await desk.act(*act_of(Instruction.SET_ACCOUNT_TYPE, PROVINCE, CEA, 0, 0, kind))
    advance = FINAL.replace("final", "provisional") + "\nbase 200"
    await desk.act(*act_of(Instruction.ALLOCATE, ENTITY, CEA, 100, YEAR, advance))
    await desk.act(*owed(ENTITY, YEAR, 100))
    final = FINAL.removesuffix(f"\nheld_by {PROVINCE}")
    said = await desk.act(*act_of(Instruction.ALLOCATE, ENTITY, CEA, 90, YEAR, final))
    assert [type(item) for item in said][1:3] == [UnitsMoved, AllocationReturned]
    assert desk.registry.holdings.held(*HELD) == 90


async def test_what_is_forced_by_time_is_numbered_and_found_again(
    desk: Desk, make_books: MakeBooks
) -> None:
    kind = "office\ncn_provincial_authority"
    await desk.act(*act_of(Instruction.SET_ACCOUNT_TYPE, PROVINCE, CEA, 0, 0, kind))
    for entity in (ENTITY, YANGTZE):
        await desk.act(*owed(entity, YEAR, 100))
        await desk.act(*act_of(Instruction.ALLOCATE, entity, CEA, 95, YEAR, FINAL))
    desk.pump.time_ns = int(dt.datetime(2027, 1, 2, tzinfo=dt.UTC).timestamp()) * 10**9
    said = await desk.act(issue(NORTHERN, CEA, 1))
    assert [item.quantity for item in said if isinstance(item, Given)] == [95, 95]
    other = RegistryService(desk.log, MARKET, VENUE, desk.books)
    await other.load()
    ours = desk.registry.holdings
    assert other.holdings.assessed_by_time == ours.assessed_by_time == -2
    assert other.holdings.surrendered == ours.surrendered
    before = await table_hash(desk.books, CN)
    assert await rebuild(desk.log, MARKET, VENUE, await make_books()) == before
