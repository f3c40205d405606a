"""Units frozen by the authority and pledged to a lender."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from exchange.messages.frames import Instruction, notes
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    EncumbranceChanged,
    RegistryItem,
    TransferEnded,
    TransferWaits,
    UnitsCancelled,
    UnitsMoved,
    UnitsSurrendered,
)
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position
from tests.books_desk import CN, Desk, act_of, check, owed, surrender
from tests.books_venue import (
    CCER,
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    YEAR,
    deposit,
    instruction,
    issue,
)

COURT = "court\n(2026) 沪02民初 17号"
FREEZE, UNFREEZE = Instruction.FREEZE, Instruction.UNFREEZE
PLEDGE, RELEASE = Instruction.PLEDGE, Instruction.RELEASE_PLEDGE
ENFORCE = Instruction.ENFORCE_PLEDGE


def changed(items: list[RegistryItem]) -> EncumbranceChanged:
    (item,) = items
    assert isinstance(item, EncumbranceChanged)
    return item


async def places(desk: Desk, account: int) -> dict[tuple[str, int], int]:
    found = await registry_queries.holdings_of(desk.books, CN, account)
    return {(row.position.name, row.lender): row.quantity for row in found}


async def test_a_freeze_and_its_end(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    frozen = changed(await desk.act(*act_of(FREEZE, NORTHERN, CCER, 60, text=COURT)))
    assert (frozen.kind, frozen.account_id, frozen.lender_id) == ("FREEZE", NORTHERN, 0)
    assert (frozen.given_by, frozen.reference) == ("court", "(2026) 沪02民初 17号")
    assert (frozen.quantity, frozen.ranges[0].first, frozen.ranges[0].last) == (60, 1, 60)
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 40, ("FROZEN", 0): 60}
    more = await desk.refused(*act_of(UNFREEZE, NORTHERN, CCER, 61, text=f"{COURT}\nauthority"))
    assert more.reason == RegistryReason.NOT_FROZEN
    assert "60 t of CCER are frozen in account 201, not 61 t" in more.text
    waits, ended, *items = await desk.both(UNFREEZE, NORTHERN, CCER, 25, COURT)
    assert isinstance(waits, TransferWaits)
    assert isinstance(ended, TransferEnded)
    assert (waits.given_by, waits.approved_by, ended.kind) == ("court", "second", "UNFREEZE")
    thawed = changed(items)
    assert (thawed.quantity, thawed.reference) == (25, "(2026) 沪02民初 17号")
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 65, ("FROZEN", 0): 35}
    totals = (await registry_queries.unit_totals(desk.books, CN))[CCER]
    assert (totals.registry, totals.frozen, totals.pledged) == (65, 35, 0)
    await check(desk)


async def test_a_pledge_released_and_enforced_by_its_lender_alone(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    pledged = changed(
        await desk.act(*act_of(PLEDGE, NORTHERN, CCER, 80, HUADONG, text="desk\nloan 9"))
    )
    assert (pledged.kind, pledged.account_id, pledged.lender_id) == ("PLEDGE", NORTHERN, HUADONG)
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 20, ("PLEDGED", HUADONG): 80}
    for nobody in (YANGTZE, NORTHERN):
        for kind in (RELEASE, ENFORCE):
            stranger = await desk.refused(*act_of(kind, nobody, CCER, 1, NORTHERN, text="a\nb"))
            assert stranger.reason == RegistryReason.NOT_PLEDGED
    released = changed(await desk.act(*act_of(RELEASE, HUADONG, CCER, 30, NORTHERN)))
    assert (released.kind, released.account_id, released.lender_id) == (
        "RELEASE_PLEDGE",
        NORTHERN,
        HUADONG,
    )
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 50, ("PLEDGED", HUADONG): 50}
    unsaid = await desk.refused(*act_of(ENFORCE, HUADONG, CCER, 50, NORTHERN))
    assert unsaid.reason == RegistryReason.REFERENCE_MISSING
    taken = changed(
        await desk.act(*act_of(ENFORCE, HUADONG, CCER, 50, NORTHERN, text="loans\ndefault"))
    )
    assert (taken.account_id, taken.lender_id, taken.quantity) == (NORTHERN, HUADONG, 50)
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 50}
    assert await places(desk, HUADONG) == {("REGISTRY", 0): 50}
    (moved,) = await desk.act(*act_of(Instruction.TRANSFER, HUADONG, CCER, 50, YANGTZE))
    assert isinstance(moved, UnitsMoved)
    await check(desk)


@pytest.mark.parametrize(
    ("kind", "argument", "words"),
    [
        (Instruction.DEPOSIT, 0, ""),
        (Instruction.TRANSFER, YANGTZE, ""),
        (Instruction.SURRENDER, YEAR, ""),
        (Instruction.CANCEL, 0, "the air\nfor good"),
        (Instruction.PLEDGE, YANGTZE, "a\nb"),
        (Instruction.FREEZE, 0, COURT),
    ],
)
async def test_what_is_bound_does_nothing(
    desk: Desk, kind: Instruction, argument: int, words: str
) -> None:
    await desk.act(issue(NORTHERN, CEA_2024, 100), *owed(NORTHERN, YEAR, 1_000))

    def wanted(quantity: int) -> list[bytes]:
        return act_of(kind, NORTHERN, CEA_2024, quantity, argument, text=words)

    await desk.act(*act_of(FREEZE, NORTHERN, CEA_2024, 30, text=COURT))
    frozen = await desk.refused(*wanted(71))
    assert frozen.reason == RegistryReason.UNITS_FROZEN
    assert "has 70 t of CEA-2025 in its registry position, not 71 t" in frozen.text
    assert "30 t are frozen, first of them CEA-000000000001..000000000030" in frozen.text
    await desk.act(*act_of(PLEDGE, NORTHERN, CEA_2024, 50, HUADONG))
    still = await desk.refused(*wanted(50))
    assert still.reason == RegistryReason.UNITS_FROZEN  # the frozen ones alone would do
    pledged = await desk.refused(*wanted(51))
    assert (pledged.reason, pledged.rule) == (RegistryReason.UNITS_PLEDGED, "cn-registry")
    assert "50 t are pledged to account 202, first of them CEA-000000000031.." in pledged.text
    none = await desk.refused(*wanted(101))
    assert none.reason == RegistryReason.NOT_ENOUGH_UNITS
    done = await desk.act(*wanted(20))
    assert isinstance(done[0], UnitsMoved | UnitsSurrendered | UnitsCancelled | EncumbranceChanged)
    await check(desk)


async def test_what_a_pledge_and_a_freeze_need(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    nobody = await desk.refused(*act_of(PLEDGE, NORTHERN, CCER, 1, 999))
    assert nobody.reason == RegistryReason.UNKNOWN_REGISTRY_ACCOUNT
    itself = await desk.refused(*act_of(PLEDGE, NORTHERN, CCER, 1, NORTHERN))
    assert itself.reason == RegistryReason.LENDER_IS_OWNER
    for words in ("", "court", "\nreference", "court\n "):
        for kind in (FREEZE, UNFREEZE):
            silent = await desk.refused(*act_of(kind, NORTHERN, CCER, 1, text=words))
            assert silent.reason == RegistryReason.REFERENCE_MISSING
    for quantity in (0, -1):
        wrong = await desk.refused(*act_of(FREEZE, NORTHERN, CCER, quantity, text=COURT))
        assert wrong.reason == RegistryReason.QUANTITY_OUT_OF_RANGE
    for owner in (-1, 2**62):
        lost = await desk.refused(*act_of(RELEASE, HUADONG, CCER, 1, owner))
        assert lost.reason == RegistryReason.NOT_PLEDGED


async def test_two_lenders_keep_their_own(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    await desk.act(*act_of(PLEDGE, NORTHERN, CCER, 30, HUADONG))
    await desk.act(*act_of(PLEDGE, NORTHERN, CCER, 40, YANGTZE))
    over = await desk.refused(*act_of(RELEASE, HUADONG, CCER, 31, NORTHERN))
    assert over.reason == RegistryReason.NOT_PLEDGED
    await desk.act(*act_of(ENFORCE, YANGTZE, CCER, 40, NORTHERN, text="x\ndefault"))
    assert await places(desk, NORTHERN) == {("REGISTRY", 0): 30, ("PLEDGED", HUADONG): 30}
    assert await places(desk, YANGTZE) == {("REGISTRY", 0): 40}


async def test_every_act_stays_in_the_books_and_survives_a_restart(
    desk: Desk, market_log: Any
) -> None:
    await desk.act(issue(NORTHERN, CCER, 100))
    await desk.act(*act_of(FREEZE, NORTHERN, CCER, 10, text=COURT))
    await desk.act(*act_of(PLEDGE, NORTHERN, CCER, 20, HUADONG, text="desk\nloan 9"))
    await desk.act(*act_of(RELEASE, HUADONG, CCER, 5, NORTHERN, text="loans\n"))
    async with desk.books.reading() as connection:
        rows = (
            await connection.execute(
                text(
                    "SELECT kind, account, lender, quantity, given_by, reference FROM encumbrance "
                    "ORDER BY instruction_id"
                )
            )
        ).all()
    assert [tuple(row) for row in rows] == [
        (FREEZE, NORTHERN, 0, 10, "court", "(2026) 沪02民初 17号"),
        (PLEDGE, NORTHERN, HUADONG, 20, "desk", "loan 9"),
        (RELEASE, NORTHERN, HUADONG, 5, "loans", ""),
    ]
    again = RegistryService(market_log, MARKET, VENUE, desk.books)
    await again.load()
    assert again.holdings.held(NORTHERN, Position.PLEDGED, CCER, HUADONG) == 15
    assert [place.lender for place in again.holdings.pledges(NORTHERN, CCER)] == [HUADONG]
    assert again.holdings.totals == desk.registry.holdings.totals
    refusal = await desk.refused(deposit(NORTHERN, CCER, 90))
    assert refusal.reason == RegistryReason.UNITS_PLEDGED


async def test_a_surrender_takes_the_free_units_only(desk: Desk) -> None:
    await desk.act(issue(NORTHERN, CEA_2024, 100), *owed(NORTHERN, YEAR, 1_000))
    await desk.act(*act_of(FREEZE, NORTHERN, CEA_2024, 60, text=COURT))
    (done,) = await desk.act(surrender(NORTHERN, CEA_2024, 40))
    assert isinstance(done, UnitsSurrendered)
    assert (done.ranges[0].first, done.ranges[0].last) == (61, 100)


async def test_an_unknown_kind_never_reaches_the_registry(desk: Desk) -> None:
    for kind in (0, 7, 9, max(Instruction) + 1, 255):
        unknown: Any = kind
        assert (
            await desk.act(
                instruction(unknown, account_id=NORTHERN, instrument_id=CCER, quantity=1),
                *notes("a\nb"),
            )
            == []
        )
