"""Units that cannot be surrendered: each kind has its number, and the rule where one decides."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from exchange.database import Database
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import UnitsSurrendered
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.store import RegistryMovedError
from exchange.rulebook import load_rulebook
from exchange.rulebook.shapes import ReservedUnit
from exchange.rulebook.soundness import problems_of
from tests.books_desk import CN, SETTLEMENTS, Desk, owed, surrender
from tests.books_venue import CEA_2024, MARKET, VENUE, YANGTZE, YEAR, issue
from tests.books_years import Office

SURRENDER = Instruction.SURRENDER
CEA, OWED_T = "CEA-2024", 1_000


@pytest.fixture
def office() -> Office:
    """The emitter owes for 2024 and has 100 t of everything."""
    office = Office("2025-03-01")
    office.owe(CEA, OWED_T, 2024)
    for symbol in (CEA, "CEA-2025", "CCER", "CCER-OLD", "EUA", "GD-CCER"):
        office.issue(symbol, 100)
    return office


@pytest.mark.parametrize(
    ("symbol", "reason", "rule", "words"),
    [
        # foreign: what another scheme issued or takes counts for nothing here
        (
            "EUA",
            RegistryReason.NO_OBLIGATION,
            "eu-ets-phase-4b",
            "has no obligation in eu-ets for 2024",
        ),
        ("GD-CCER", RegistryReason.NO_OBLIGATION, "gd-2016", "no obligation in cn-pilot-guangdong"),
        # of a vintage to come
        ("CEA-2025", RegistryReason.UNIT_NOT_ELIGIBLE, "cn-2024", "these are of 2025"),
        # expired: the last day of the old generation was 2024-12-31
        ("CCER-OLD", RegistryReason.UNIT_NOT_ELIGIBLE, "cn-2024-ccer", "this one is old_filed"),
    ],
)
def test_foreign_future_and_expired_units(
    office: Office, symbol: str, reason: RegistryReason, rule: str, words: str
) -> None:
    refusal = office.refused(SURRENDER, symbol, 10, 2024)
    assert (refusal.reason, refusal.rule) == (reason, rule)
    assert words in refusal.text
    assert bool(refusal.source) == bool(rule)


def test_frozen_units_stay(office: Office) -> None:
    office.act(Instruction.FREEZE, CEA, 60, text="court\nof law")
    refusal = office.refused(SURRENDER, CEA, 41, 2024)
    assert (refusal.reason, refusal.rule) == (RegistryReason.UNITS_FROZEN, "cn-registry")
    assert "MEE" in refusal.source
    assert "60 t are frozen" in refusal.text
    office.done(UnitsSurrendered, SURRENDER, CEA, 40, 2024)


def test_units_are_used_once(office: Office) -> None:
    first = office.done(UnitsSurrendered, SURRENDER, CEA, 100, 2024)
    again = office.refused(SURRENDER, CEA, 1, 2024)
    assert (again.reason, again.rule) == (RegistryReason.NOT_ENOUGH_UNITS, "cn-registry")
    assert "MEE" in again.source
    office.issue(CEA, 10)
    other = office.done(UnitsSurrendered, SURRENDER, CEA, 10, 2024)
    assert first.ranges[-1].last < other.ranges[0].first


async def test_one_block_surrendered_by_two_at_once(market_log: Any, books: Database) -> None:
    """Two registries hear the same two instructions: one surrender is in the books."""
    desk = Desk(market_log, books)
    await desk.open()
    await desk.act(issue(YANGTZE, CEA_2024, 100), *owed(YANGTZE, YEAR, OWED_T))
    other = RegistryService(market_log, MARKET, VENUE, books)
    await other.load()
    await desk.pump.send(surrender(YANGTZE, CEA_2024, 100), surrender(YANGTZE, CEA_2024, 100))
    await desk.pump.pump()
    events = market_log.rows[desk.pump.events][desk.settlement.position.topic_offset :]
    await desk.settlement.settle(events, desk.stop)
    rows = market_log.rows[SETTLEMENTS][desk.registry.position.topic_offset :]
    told = await asyncio.gather(
        *(
            service.register([(row.offset, row.value) for row in rows])
            for service in (desk.registry, other)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, RegistryMovedError) for one in told) == 1, told
    totals = await registry_queries.unit_totals(books, CN)
    assert (totals[CEA_2024].issued, totals[CEA_2024].surrendered) == (100, 100)
    (year,) = await registry_queries.compliance_of(books, CN)
    assert year.surrendered == 100
    assert await registry_queries.prove_blocks(books, CN) == []
    await desk.close()


def test_aircraft_operators_alone_surrender_aviation_allowances_before_2021() -> None:
    """From phase IV on everybody may."""
    office = Office("2020-03-01")
    for year in (2019, 2021):
        office.on(f"{year + 1}-03-01").owe("EUAA", 100, year)
        office.issue("EUAA", 100, year)
    office.on("2020-04-30")
    for kind in ("", "operator_holding"):
        if kind:
            office.act(Instruction.SET_ACCOUNT_TYPE, "EUAA", 0, 2, f"office\n{kind}")
        refusal = office.refused(SURRENDER, "EUAA", 10, 2019)
        assert (refusal.reason, refusal.rule) == (
            RegistryReason.UNIT_NOT_ELIGIBLE, "eu-ets-phase-3"
        )  # fmt: skip
        told = f"a {kind}" if kind else "of no stated type"
        assert f"by aircraft_operator_holding only; the account is {told}" in refusal.text
        assert refusal.source
    office.act(Instruction.SET_ACCOUNT_TYPE, "EUAA", 0, 2, "office\n100-9")
    office.done(UnitsSurrendered, SURRENDER, "EUAA", 10, 2019)
    office.act(Instruction.SET_ACCOUNT_TYPE, "EUAA", 0, 2, "office\n100-7")
    office.on("2022-04-30").done(UnitsSurrendered, SURRENDER, "EUAA", 10, 2021)


def test_reserved_units_and_their_accounts_are_known() -> None:
    book = load_rulebook()
    told = tuple(
        msgspec.structs.replace(
            scheme,
            rules=tuple(
                msgspec.structs.replace(
                    rules, reserved_units=(ReservedUnit(unit="X", account_types=("trading",)),)
                )
                for rules in scheme.rules[:1]
            ),
        )
        for scheme in book.scheme[:1]
    )
    where = "scheme eu-ets, rules eu-ets-phase-1: reserved_units"
    problems = problems_of(msgspec.structs.replace(book, scheme=told))
    assert f"{where}: unknown unit X" in problems
    assert f"{where}: trading is no account_type that can_surrender" in problems
