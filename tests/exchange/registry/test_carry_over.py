"""Old allowances that become new ones: who may, how many, and what the serial numbers say."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from exchange.database import Database, open_database, table_hash, upgrade
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CarryOverApplied,
    InstructionRefused,
    RegistryItem,
    UnitsAllocated,
    UnitsCarriedOver,
    UnitsSurrendered,
    YearAssessed,
)
from exchange.rebuild import rebuild
from exchange.registry import queries
from exchange.registry.blocks import HistoryKind, Position
from exchange.registry.carry_over import Dealings
from exchange.registry.year_queries import year_of
from exchange.rulebook import load_rulebook
from tests.books_desk import CN, Desk, act_of, owed, surrender
from tests.books_venue import (
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    cross,
    deposit,
    issue,
    release,
)
from tests.books_years import BY_SYMBOL, EMITTER, Office, at

OLD_CEA, NEW_CEA = 11, 12  # vintages 2024 and 2025
APPLY, CARRY = Instruction.APPLY_CARRY_OVER, Instruction.CARRY_OVER
NEW = BY_SYMBOL["CEA-2025"].id
ZONE = "+08:00"


DEALINGS = Dealings(6_000, 2_000, 15_000)


def office(day: str = "2026-03-01", past: Dealings = DEALINGS) -> Office:
    """An account with 15,000 t of 2023 and 2024 and, by its dealings, room for all of them."""
    found = Office(day)
    found.issue("CEA-2023", 9_000)
    found.issue("CEA-2024", 6_000)
    found.registrar.carry_overs.past = {(EMITTER, NEW): past}
    return found


def test_applied_for_and_carried_out_oldest_first() -> None:
    desk = office()
    applied = desk.done(CarryOverApplied, APPLY, "CEA-2025", 12_000, 2025, "emitter")
    assert (applied.most, applied.sold, applied.bought) == (15_000, 6_000, 2_000)
    assert (applied.process_by, applied.rule) == ("2026-03-27", "cn-carry-over-2019-2024")
    assert desk.holdings.held(EMITTER, Position.REGISTRY, NEW) == 0
    args = (CARRY, "CEA-2025", 12_000, applied.instruction_id)
    said = desk.on("2026-03-27").act(*args, "authority")
    assert all(isinstance(item, UnitsCarriedOver) and not item.is_late for item in said)
    assert [(item.from_instrument, item.quantity) for item in said] == [  # type: ignore[union-attr]
        (BY_SYMBOL["CEA-2023"].id, 9_000),
        (BY_SYMBOL["CEA-2024"].id, 3_000),
    ]
    held = {
        symbol: desk.holdings.held(EMITTER, Position.REGISTRY, BY_SYMBOL[symbol].id)
        for symbol in ("CEA-2023", "CEA-2024", "CEA-2025")
    }
    assert held == {"CEA-2023": 0, "CEA-2024": 3_000, "CEA-2025": 12_000}
    kinds = [(HistoryKind(row[3]).name, row[12]) for row in desk.holdings.changes.history]
    assert kinds.count(("CARRIED_OVER", "CARRY_OVER")) == 2
    assert kinds.count(("ISSUED", "CARRY_OVER")) == 2
    again = desk.refused(*args, "authority")
    assert again.reason == RegistryReason.UNKNOWN_APPLICATION


def test_allowances_of_another_scheme_are_not_carried_over() -> None:
    desk = office()
    desk.issue("HBEA-2024", 9_000)
    applied = desk.done(CarryOverApplied, APPLY, "CEA-2025", 15_000, 2025, "emitter")
    desk.act(Instruction.CANCEL, "CEA-2024", 1, text="nobody\nmistake")
    short = desk.refused(CARRY, "CEA-2025", 15_000, applied.instruction_id, "authority")
    assert short.reason == RegistryReason.NOT_ENOUGH_UNITS
    assert "has 14999 t of old allowances" in short.text
    desk.issue("CEA-2024", 1)
    said = desk.act(CARRY, "CEA-2025", 15_000, applied.instruction_id, "authority")
    assert {item.from_instrument for item in said} == {  # type: ignore[union-attr]
        BY_SYMBOL["CEA-2023"].id, BY_SYMBOL["CEA-2024"].id
    }  # fmt: skip
    assert desk.holdings.held(EMITTER, Position.REGISTRY, BY_SYMBOL["HBEA-2024"].id) == 9_000


@pytest.mark.parametrize(
    ("past", "most"),
    [
        (Dealings(0, 0, 50_000), 10_000),
        (Dealings(3, 0, 50_000), 10_004),  # 1.5 x 3, rounded down
        (Dealings(0, 9_000, 50_000), 10_000),  # net purchases take nothing away
        (Dealings(6_000, 2_000, 50_000), 16_000),
        (Dealings(6_000, 2_000, 15_999), 15_999),
    ],
)
def test_no_more_than_net_sales_and_position_let(past: Dealings, most: int) -> None:
    desk = office(past=past)
    above = desk.refused(APPLY, "CEA-2025", most + 1, 2025, "emitter")
    assert above.reason == RegistryReason.CARRY_OVER_ABOVE_LIMIT
    assert f"above {most} t" in above.text
    desk.done(CarryOverApplied, APPLY, "CEA-2025", most - 1, 2025, "emitter")
    two = desk.refused(APPLY, "CEA-2025", 2, 2025, "emitter")
    assert two.reason == RegistryReason.CARRY_OVER_ABOVE_LIMIT
    desk.done(CarryOverApplied, APPLY, "CEA-2025", 1, 2025, "emitter")


@pytest.mark.parametrize(
    ("moment", "by"),
    [
        ("2025-12-31T23:59:00", ""),
        ("2025-12-31T23:59:01", "2026-03-27"),
        ("2026-03-20T23:59:59", "2026-03-27"),
        ("2026-03-21T00:00:00", "2026-06-26"),
        ("2026-06-10T23:59:59", "2026-06-26"),
        ("2026-06-11T00:00:00", ""),
    ],
)
def test_applications_have_their_days(moment: str, by: str) -> None:
    desk = office().on(moment, ZONE)
    if by:
        applied = desk.done(CarryOverApplied, APPLY, "CEA-2025", 1, 2025, "emitter")
        assert applied.process_by == by
    else:
        refusal = desk.refused(APPLY, "CEA-2025", 1, 2025, "emitter")
        assert refusal.reason == RegistryReason.CARRY_OVER_CLOSED


@pytest.mark.parametrize(("day", "is_late"), [("2026-03-27", False), ("2026-03-28", True)])
def test_carried_out_after_its_day_is_marked(day: str, is_late: bool) -> None:
    desk = office()
    applied = desk.done(CarryOverApplied, APPLY, "CEA-2025", 1, 2025, "emitter")
    done = desk.on(day).done(
        UnitsCarriedOver, CARRY, "CEA-2025", 1, applied.instruction_id, "authority"
    )
    assert done.is_late == is_late


def test_only_who_surrendered_in_full() -> None:
    desk = office()
    desk.report("CEA-2024", 2_000, 2024)
    unverified = desk.refused(APPLY, "CEA-2025", 1, 2025, "emitter")
    assert unverified.reason == RegistryReason.YEARS_NOT_SURRENDERED
    desk.verify("CEA-2024", 2_000, 2024)
    desk.done(UnitsSurrendered, Instruction.SURRENDER, "CEA-2024", 1_999, 2024)
    one = desk.refused(APPLY, "CEA-2025", 1, 2025, "emitter")
    assert one.reason == RegistryReason.YEARS_NOT_SURRENDERED
    assert "not surrendered 1 t" in one.text
    desk.done(UnitsSurrendered, Instruction.SURRENDER, "CEA-2024", 1, 2024)
    desk.done(CarryOverApplied, APPLY, "CEA-2025", 1, 2025, "emitter")


def test_into_the_rules_vintage_only_and_of_units_that_are_free() -> None:
    desk = office()
    for symbol, year in (("CEA-2024", 2024), ("CEA-2025", 2024), ("EUA", 2025), ("CCER", 0)):
        refusal = desk.refused(APPLY, symbol, 1, year, "emitter")
        assert refusal.reason == RegistryReason.NO_CARRY_OVER
    applied = desk.done(CarryOverApplied, APPLY, "CEA-2025", 15_000, 2025, "emitter")
    desk.act(Instruction.FREEZE, "CEA-2023", 1, text="court\nNo. 7")
    args = (CARRY, "CEA-2025", 15_000, applied.instruction_id, "authority")
    frozen = desk.refused(*args)
    assert frozen.reason == RegistryReason.NOT_ENOUGH_UNITS
    for wrong in ((14_999, applied.instruction_id), (15_000, applied.instruction_id + 1)):
        refusal = desk.refused(CARRY, "CEA-2025", *wrong, "authority")
        assert refusal.reason == RegistryReason.UNKNOWN_APPLICATION
    desk.act(Instruction.UNFREEZE, "CEA-2023", 1, text="court\nNo. 7\noperator")
    desk.act(Instruction.APPROVE_TRANSFER, "CEA-2023", 1, desk.number, "judge\noperator")
    desk.done(UnitsCarriedOver, *args)


# -- through the whole venue -----------------------------------------------------------------------


def of(items: list[RegistryItem], kind: type[Any]) -> Any:
    found = [item for item in items if isinstance(item, kind)]
    assert found, items
    return found[-1]


def words(kind: Instruction, instrument: int, quantity: int, argument: int, text: str) -> Any:
    return act_of(kind, YANGTZE, instrument, quantity, argument, text)


async def play(desk: Desk) -> None:
    """Two years of an emitter: trades, the year 2024 to its end, and what is carried over."""

    def on(day: str, zone: str = ZONE) -> None:
        desk.pump.time_ns = at(day, zone)

    on("2024-02-01")
    await desk.act(issue(YANGTZE, OLD_CEA, 20_000), issue(NORTHERN, OLD_CEA, 9_000))
    await desk.act(deposit(YANGTZE, OLD_CEA, 12_000), deposit(NORTHERN, OLD_CEA, 9_000))
    on("2023-12-31T23:59:59")  # the log's time never falls: this is not before the window
    await desk.act(*cross(YANGTZE, NORTHERN, OLD_CEA, 4_000))
    on("2024-11-01")
    await desk.act(*cross(NORTHERN, YANGTZE, OLD_CEA, 1_000))
    on("2025-03-30")
    await desk.act(*owed(YANGTZE, 2023, 100), surrender(YANGTZE, OLD_CEA, 100, 2023))
    first = "authority\nstage provisional\nmethod benchmarking\nbase 10000"
    reported = words(Instruction.REPORT_EMISSIONS, NEW_CEA, 9_000, 2024, "yangtze\nsector power")
    # The registry has 100 t verified of 2023: another base is refused.
    said = await desk.act(*reported, *words(Instruction.ALLOCATE, OLD_CEA, 1, 2024, first))
    assert of(said, InstructionRefused).reason == RegistryReason.ALLOCATION_BASE_UNKNOWN
    on("2025-12-31T23:58:00")
    await desk.act(release(YANGTZE, OLD_CEA, 2_000, 5))
    on("2025-12-31T23:59:30")  # after the instant: not in the position
    await desk.act(issue(YANGTZE, OLD_CEA, 5_000))
    await desk.act(*words(Instruction.VERIFY_EMISSIONS, OLD_CEA, 9_000, 2024, "v\nparticipant 5"))
    on("2026-01-02")
    await desk.act(*cross(YANGTZE, HUADONG, OLD_CEA, 3_000))  # after the window
    assessed = await desk.act(*words(Instruction.ASSESS, OLD_CEA, 0, 2024, "authority\nprice 5000"))
    assert of(assessed, YearAssessed).shortfall == 9_000
    apply = words(APPLY, NEW_CEA, 5_000, 2025, "yangtze")
    refused = of(await desk.act(*apply), InstructionRefused)
    assert refused.reason == RegistryReason.YEARS_NOT_SURRENDERED
    made_good = of(await desk.act(surrender(YANGTZE, OLD_CEA, 9_000, 2024)), UnitsSurrendered)
    assert made_good.is_late


async def test_a_year_and_its_carry_over_through_the_venue(
    market_log: Any, books: Database, tmp_path: Any
) -> None:
    desk = Desk(market_log, books)
    desk.pump.time_ns = at("2024-01-10")
    await desk.open()
    await play(desk)
    desk.pump.time_ns = at("2026-03-01")
    # Sold 4,000 t, bought 1,000 t: 10,000 + 1.5 x 3,000 t. Position: 20,000 - 4,000 + 1,000 - 100.
    whole = words(APPLY, NEW_CEA, 14_501, 2025, "yangtze")
    above = of(await desk.act(*whole), InstructionRefused)
    assert above.reason == RegistryReason.CARRY_OVER_ABOVE_LIMIT
    assert "above 14500 t: sold 4000 t, bought 1000 t, position 16900 t" in above.text
    # Within one record of settlement as well as across: an application and what comes before it.
    said = await desk.act(issue(YANGTZE, OLD_CEA, 7), *words(APPLY, NEW_CEA, 700, 2025, "yangtze"))
    applied = of(said, CarryOverApplied)
    done = await desk.act(
        *words(CARRY, NEW_CEA, 700, applied.instruction_id, "authority"),
        *words(
            Instruction.ALLOCATE, NEW_CEA, 800, 2025,
            "authority\nstage provisional\nmethod benchmarking",
        ),
    )  # fmt: skip
    carried = of(done, UnitsCarriedOver)
    assert (carried.from_instrument, carried.instrument_id) == (OLD_CEA, NEW_CEA)
    given = of(done, UnitsAllocated)
    assert (given.quantity, given.issued) == (800, 800)
    gone, new = carried.cancelled[0].first, carried.ranges[0].first
    for serial, last in ((gone, "CARRIED_OVER"), (new, "ISSUED")):
        history = await queries.serial_history(books, "CEA", serial)
        assert (history[-1].kind.name, history[-1].cause) == (last, "CARRY_OVER")
        assert history[-1].cause_id == carried.instruction_id
    year = await year_of(books, CN, YANGTZE, "cn-national", 2024)
    assert year is not None
    assert year.assessment is not None
    assert (year.figures.verified, year.figures.owed(9_000)) == (9_000, 0)
    assert [row.quantity for row in year.emissions] == [9_000, 9_000]
    assert [(row.quantity, row.is_late) for row in year.surrenders] == [(9_000, 1)]
    assert await year_of(books, CN, HUADONG, "cn-national", 2024) is None
    await same_again(desk, books, tmp_path)
    await desk.close()


async def same_again(desk: Desk, books: Database, tmp_path: Any) -> None:
    """A process that starts anew knows the same, and the log gives the same books."""
    from exchange.registry import RegistryService

    before = desk.registry.holdings
    fresh = RegistryService(desk.log, MARKET, VENUE, books)
    await fresh.load()
    assert fresh.holdings.years == before.years
    assert fresh.holdings.applications == before.applications
    assert fresh.holdings.carried_over == before.carried_over
    assert fresh.holdings.accounts == before.accounts
    again = open_database(tmp_path / "again")
    await upgrade(again)
    await rebuild(desk.log, MARKET, VENUE, again)
    assert await table_hash(again, CN) == await table_hash(books, CN)
    await again.close()


def test_the_rule_counts_what_it_says() -> None:
    scheme = load_rulebook().scheme_of("cn-national")
    assert scheme is not None
    assert scheme.carry_over is not None
    assert scheme.carry_over.net_sales_from == dt.date(2024, 1, 1)
    assert "judicial_frozen" in scheme.carry_over.position_includes
