"""China's borrowing: allowances of 2023 for the shortage of 2021 and 2022, up to half of it."""

from __future__ import annotations

import pytest

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import InstructionRefused, UnitsAllocated, UnitsSurrendered
from exchange.registry.store import RegistryStore
from tests.books_desk import CN, Desk
from tests.books_years import BY_SYMBOL, EMITTER, INSTRUMENTS, Office, allocation

SURRENDER, ALLOCATE = Instruction.SURRENDER, Instruction.ALLOCATE


def short(final: int | None, day: str = "2023-10-01") -> Office:
    """Of 10,000 t emitted in 2022 so much is allocated; 9,000 t of 2023 are held."""
    office = Office("2023-03-01")
    office.owe("CEA-2022", 10_000, 2022, sector="power")
    if final is not None:
        office.done(UnitsAllocated, ALLOCATE, "CEA-2022", final, 2022, allocation("final"))
    office.on(day).issue("CEA-2023", 9_000)
    return office


@pytest.mark.parametrize(
    ("final", "most"),
    [
        (9_001, 0),  # short of less than a tenth
        (9_000, 500),  # of a tenth
        (8_999, 500),  # 1,001 t: the half is rounded down
        (8_000, 1_000),
        (7_000, 1_000),  # relief fills the allocation up to 8,000 t
    ],
)
def test_half_of_a_shortage_of_a_tenth_at_least(final: int, most: int) -> None:
    office = short(final)
    over = office.refused(SURRENDER, "CEA-2023", most + 1, 2022)
    assert (over.reason, over.rule) == (RegistryReason.BORROWING_ABOVE_LIMIT, "cn-2021-2022")
    assert f"lets {most} t be borrowed for 2022; used 0 t, headroom {most} t" in over.text
    assert "237" in over.source
    if most:
        office.done(UnitsSurrendered, SURRENDER, "CEA-2023", most - 1, 2022)
        again = office.refused(SURRENDER, "CEA-2023", 2, 2022)
        assert f"used {most - 1} t, headroom 1 t" in again.text
        office.done(UnitsSurrendered, SURRENDER, "CEA-2023", 1, 2022)
        assert office.refused(SURRENDER, "CEA-2023", 1, 2022).reason == over.reason


def test_nothing_is_borrowed_before_the_final_allocation() -> None:
    office = short(None)
    early = office.refused(SURRENDER, "CEA-2023", 1, 2022)
    assert early.reason == RegistryReason.BORROWING_ABOVE_LIMIT
    assert "the final allocation is not known yet" in early.text


@pytest.mark.parametrize(
    ("moment", "most"),
    [("2023-12-31T15:59:59", 1_000), ("2023-12-31T16:00:00", 9_000)],  # midnight in China
)
def test_after_the_last_day_arrears_are_made_good_and_nothing_is_borrowed(
    moment: str, most: int
) -> None:
    office = short(8_000, moment)
    assert isinstance(office.act(SURRENDER, "CEA-2023", 1_001, 2022)[0], InstructionRefused) == (
        most == 1_000
    )
    office = short(8_000, moment)
    assert office.done(UnitsSurrendered, SURRENDER, "CEA-2023", most, 2022).is_late == (
        most == 9_000
    )


def test_what_is_undone_may_be_borrowed_again() -> None:
    office = short(8_000)
    office.done(UnitsSurrendered, SURRENDER, "CEA-2023", 1_000, 2022)
    assert office.refused(SURRENDER, "CEA-2023", 1, 2022).rule == "cn-2021-2022"
    office.holdings.unload_surrender(office.holdings.changes.surrenders[-1], "CEA", {})
    office.done(UnitsSurrendered, SURRENDER, "CEA-2023", 1_000, 2022)


def test_nothing_of_2024_and_nothing_for_2023() -> None:
    office = short(8_000)
    office.issue("CEA-2024", 10)
    later = office.refused(SURRENDER, "CEA-2024", 1, 2022)
    assert later.reason == RegistryReason.UNIT_NOT_ELIGIBLE
    office.on("2024-03-01").owe("CEA-2023", 10_000, 2023, sector="power")
    ended = office.refused(SURRENDER, "CEA-2024", 1, 2023)
    assert (ended.reason, ended.rule) == (RegistryReason.UNIT_NOT_ELIGIBLE, "cn-2023")


async def test_what_was_borrowed_comes_back_from_the_books(desk: Desk) -> None:
    office = short(8_000)
    office.done(UnitsSurrendered, SURRENDER, "CEA-2023", 600, 2022)
    changes = desk.registry.holdings.take_changes()
    changes.surrenders += office.holdings.changes.surrenders
    store = RegistryStore(desk.books, CN, INSTRUMENTS)
    position = desk.registry.position
    await store.write(position, position, changes, [])
    loaded = (await store.load()).holdings
    key = ((EMITTER, "cn-national", 2022), BY_SYMBOL["CEA-2023"].id)
    assert loaded.surrendered_of[key] == office.holdings.surrendered_of[key] == 600
