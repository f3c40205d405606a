"""Surrenders and cancellations undone by two persons."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from exchange.database import Database, table_hash
from exchange.database import schema as tables
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    InstructionRefused,
    ReversalProposed,
    UnitsCancelled,
    UnitsReversed,
    UnitsSurrendered,
)
from exchange.rebuild import rebuild
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.refusals import RegistryBrokenError
from exchange.settings import REVERSAL_DAYS_MAX
from tests.books_desk import CN, Desk, act_of, check, owed, surrender
from tests.books_venue import (
    ACT_NS,
    CCER,
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    YEAR,
    issue,
)
from tests.fixtures_postgres import MakeBooks

DAY_NS = 86_400 * 10**9


def propose(original: int, quantity: int, words: str = "ann\nclerical error") -> list[bytes]:
    return act_of(
        Instruction.PROPOSE_REVERSAL, YANGTZE, CCER, quantity, argument=original, text=words
    )


def approve(proposal: int, quantity: int, words: str = "ben\n") -> list[bytes]:
    return act_of(
        Instruction.APPROVE_REVERSAL, YANGTZE, CCER, quantity, argument=proposal, text=words
    )


async def surrendered(desk: Desk, quantity: int = 40) -> int:
    """An offset surrendered in part of an obligation; the id of the instruction."""
    await desk.act(issue(YANGTZE, CCER, 100), *owed(YANGTZE, YEAR, 1_000))
    (done,) = await desk.act(surrender(YANGTZE, CCER, quantity))
    assert isinstance(done, UnitsSurrendered)
    return done.instruction_id


async def proposed(desk: Desk, original: int, quantity: int = 40) -> ReversalProposed:
    (item,) = await desk.act(*propose(original, quantity))
    assert isinstance(item, ReversalProposed)
    return item


async def test_a_surrender_is_undone_by_two(desk: Desk) -> None:
    original = await surrendered(desk)
    before = (await registry_queries.unit_totals(desk.books, CN))[CCER]
    assert (before.registry, before.surrendered) == (60, 40)
    told = await proposed(desk, original)
    assert (told.original_id, told.proposed_by, told.reason) == (original, "ann", "clerical error")
    assert told.expires_ns == ACT_NS + REVERSAL_DAYS_MAX * DAY_NS
    assert (await registry_queries.unit_totals(desk.books, CN))[CCER] == before  # nothing moved
    (done,) = await desk.act(*approve(told.instruction_id, 40))
    assert isinstance(done, UnitsReversed)
    assert (done.original_id, done.proposal_id) == (original, told.instruction_id)
    assert (done.proposed_by, done.approved_by, done.year) == ("ann", "ben", YEAR)
    assert (done.quantity, done.ranges[0].first, done.ranges[0].last) == (40, 1, 40)
    (compliance,) = await registry_queries.compliance_of(desk.books, CN, YANGTZE)
    assert (compliance.surrendered, compliance.offsets) == (0, 0)
    (held,) = await registry_queries.holdings_of(desk.books, CN, YANGTZE)
    assert (held.position, held.quantity) == (Position.REGISTRY, 100)
    history = await registry_queries.serial_history(desk.books, "CCER", 7)
    assert [row.kind for row in history if row.kind != HistoryKind.SPLIT] == [
        HistoryKind.ISSUED,
        HistoryKind.SURRENDERED,
        HistoryKind.REVERSED,
    ]
    (again,) = await desk.act(surrender(YANGTZE, CCER, 50))  # the whole cap is free again
    assert isinstance(again, UnitsSurrendered)
    await check(desk)


async def test_a_cancellation_is_undone_and_may_be_followed_by_another(desk: Desk) -> None:
    await desk.act(issue(YANGTZE, CCER, 100))
    cancel = act_of(Instruction.CANCEL, YANGTZE, CCER, 30, text="the air\nfor good")
    for _ in range(2):
        (gone,) = await desk.act(*cancel)
        assert isinstance(gone, UnitsCancelled)
        told = await proposed(desk, gone.instruction_id, 30)
        (back,) = await desk.act(*approve(told.instruction_id, 30))
        assert isinstance(back, UnitsReversed)
        assert (back.year, back.quantity) == (0, 30)
    totals = (await registry_queries.unit_totals(desk.books, CN))[CCER]
    assert (totals.registry, totals.cancelled) == (100, 0)
    await check(desk)


async def test_the_proposer_cannot_approve(desk: Desk) -> None:
    told = await proposed(desk, await surrendered(desk))
    same = await desk.refused(*approve(told.instruction_id, 40, words="ann\n"))
    assert same.reason == RegistryReason.SAME_PERSON
    nobody = await desk.refused(*approve(told.instruction_id, 40, words=""))
    assert nobody.reason == RegistryReason.REFERENCE_MISSING
    assert isinstance((await desk.act(*approve(told.instruction_id, 40)))[0], UnitsReversed)


async def test_what_can_be_proposed(desk: Desk) -> None:
    original = await surrendered(desk)
    for words in ("", "ann", "\nwhy", "ann\n "):
        silent = await desk.refused(*propose(original, 40, words))
        assert silent.reason == RegistryReason.REFERENCE_MISSING
    for nothing in (0, -1, original + 1, 2**63 - 1):
        unknown = await desk.refused(*propose(nothing, 40))
        assert unknown.reason == RegistryReason.NOT_REVERSIBLE
    part = await desk.refused(*propose(original, 39))
    assert part.reason == RegistryReason.NOT_REVERSIBLE
    assert "took 40 t" in part.text
    assert "as a whole only" in part.text
    for account, instrument in ((NORTHERN, CCER), (YANGTZE, CEA_2024)):
        other = await desk.refused(
            *act_of(Instruction.PROPOSE_REVERSAL, account, instrument, 40, original, "ann\nwhy")
        )
        assert other.reason == RegistryReason.NOT_REVERSIBLE


async def test_what_can_be_approved(desk: Desk) -> None:
    original = await surrendered(desk)
    told = await proposed(desk, original)
    for nothing in (0, -1, original):
        unknown = await desk.refused(*approve(nothing, 40))
        assert unknown.reason == RegistryReason.UNKNOWN_PROPOSAL
    differs = await desk.refused(*approve(told.instruction_id, 39))
    assert differs.reason == RegistryReason.UNKNOWN_PROPOSAL
    assert f"proposal {told.instruction_id} is about 40 t" in differs.text


async def test_nothing_is_undone_twice(desk: Desk) -> None:
    original = await surrendered(desk)
    first, second = await proposed(desk, original), await proposed(desk, original)
    said = await desk.act(  # in one record: the second sees what the first did
        *approve(first.instruction_id, 40), *approve(second.instruction_id, 40)
    )
    assert isinstance(said[0], UnitsReversed)
    assert isinstance(said[1], InstructionRefused)
    assert said[1].reason == RegistryReason.NOT_REVERSIBLE
    for record in (approve(second.instruction_id, 40), propose(original, 40)):
        again = await desk.refused(*record)
        assert again.reason == RegistryReason.NOT_REVERSIBLE
    await check(desk)


async def test_a_proposal_expires(desk: Desk) -> None:
    told = await proposed(desk, await surrendered(desk))
    desk.pump.time_ns += REVERSAL_DAYS_MAX * DAY_NS + 1
    late = await desk.refused(*approve(told.instruction_id, 40))
    assert late.reason == RegistryReason.PROPOSAL_EXPIRED


async def test_what_moved_on_comes_back_in_its_pieces(desk: Desk) -> None:
    """Units of many blocks, surrendered together, come back where they were."""
    for quantity in (5, 7, 11):
        await desk.act(issue(YANGTZE, CCER, quantity), issue(HUADONG, CCER, quantity))
    await desk.act(*owed(YANGTZE, YEAR, 1_000))
    (done,) = await desk.act(surrender(YANGTZE, CCER, 20))
    assert isinstance(done, UnitsSurrendered)
    told = await proposed(desk, done.instruction_id, 20)
    (back,) = await desk.act(*approve(told.instruction_id, 20))
    assert isinstance(back, UnitsReversed)
    assert back.ranges == done.ranges
    await check(desk)


async def test_whatever_the_batches_and_after_a_restart_the_books_are_the_same(
    desk: Desk, market_log: Any, make_books: MakeBooks
) -> None:
    original = await surrendered(desk)
    kept = (await desk.act(surrender(YANGTZE, CCER, 3)))[0]
    assert isinstance(kept, UnitsSurrendered)
    told = await proposed(desk, original)
    await desk.act(*approve(told.instruction_id, 40))
    open_one = await proposed(desk, kept.instruction_id, 3)
    again = RegistryService(market_log, MARKET, VENUE, desk.books)
    await again.load()
    account = (YANGTZE, "cn-national", YEAR)
    assert again.holdings.surrendered[account] == 3
    assert again.holdings.used(account, ("CCER",)) == 3
    assert again.holdings.totals == desk.registry.holdings.totals
    fresh = await make_books()  # here everything is one batch, but for what a reversal needs
    assert await rebuild(market_log, MARKET, VENUE, fresh) == await table_hash(desk.books, CN)
    assert isinstance((await desk.act(*approve(open_one.instruction_id, 3)))[0], UnitsReversed)


async def test_the_database_refuses_what_one_person_or_two_reversals_would_do(desk: Desk) -> None:
    row = {
        "market": 0, "instruction_id": 1, "original": 7, "proposal": 2, "account": 1,
        "instrument_id": 1, "quantity": 1, "proposed_by": "ann", "approved_by": "ben",
        "reason": "why", "time_ns": 1,
    }  # fmt: skip
    for wrong, name in (
        ([row | {"approved_by": "ann"}], "reversal_by_two"),
        ([row, row | {"instruction_id": 2}], "reversal_market_original|reversal.market"),
    ):
        with pytest.raises(DBAPIError, match=name):
            async with desk.books.writing() as connection:
                await connection.execute(insert(tables.reversal), wrong)


async def test_books_without_the_units_stop_the_registry(market_log: Any, books: Database) -> None:
    desk = Desk(market_log, books)
    await desk.open()
    told = await proposed(desk, await surrendered(desk))
    async with desk.books.writing() as connection:
        await connection.execute(tables.block.delete().where(tables.block.c.first_serial == 1))
    with pytest.raises(RegistryBrokenError, match="took 40 t, of which the books have 0 t"):
        await desk.act(*approve(told.instruction_id, 40))
    await desk.close()
