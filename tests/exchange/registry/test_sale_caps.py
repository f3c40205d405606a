"""Chongqing: a covered entity sells at most half of its free allocation, to the tonne."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from exchange.database import Database, table_hash
from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import RegistryItem, UnitsAllocated, UnitsMoved
from exchange.messages.settlement import (
    AccountOpened,
    SettlementItem,
    TradeSettled,
    UnitsReleased,
)
from exchange.rebuild import rebuild
from exchange.registry import RegistryService
from exchange.registry.blocks import Position
from exchange.rulebook import load_rulebook
from tests.books_desk import CN, Desk, act_of, check, owed
from tests.books_venue import (
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YEAR,
    cross,
    deposit,
)
from tests.books_years import BY_SYMBOL, EMITTER, OTHER, Office, allocation
from tests.fixtures_postgres import MakeBooks

DEPOSIT, TRANSFER = Instruction.DEPOSIT, Instruction.TRANSFER
OWN = 205  # of the emitter's participant
ALLOCATED, HALF = 100_001, 50_000
DAY = "2016-06-20"


def given(symbol: str = "CQEA-2015", day: str = DAY) -> Office:
    """An emitter with its allocation of 2015, and one who has none."""
    office = Office(day)
    office.registrar.apply(AccountOpened(OWN, 4), 0, office.time_ns)
    office.owe(symbol, 90_000, 2015)
    text = allocation("final")
    office.done(UnitsAllocated, Instruction.ALLOCATE, symbol, ALLOCATED, 2015, text)
    office.issue(symbol, 80_000, 2015, OTHER)
    return office


def apply(office: Office, item: SettlementItem) -> list[RegistryItem]:
    office.number += 1
    return office.registrar.apply(item, office.number, office.time_ns)


def sell(office: Office, quantity: int, seller: int = EMITTER, buyer: int = OTHER) -> None:
    item = BY_SYMBOL["CQEA-2015"].id
    apply(office, TradeSettled(office.number, item, quantity, 1, buyer, seller, 0, 0, 0, 0))


@pytest.mark.parametrize("symbol", ["CQEA-2015", "CQEA"])
def test_half_of_the_allocation_may_be_put_up_for_sale(symbol: str) -> None:
    office = given(symbol)
    over = office.refused(DEPOSIT, symbol, HALF + 1)
    assert (over.reason, over.rule) == (RegistryReason.SALE_ABOVE_CAP, "cq-2014")
    assert (
        f"of {ALLOCATED} t allocated free to participant 4 rule cq-2014 lets {HALF} t be sold; "
        f"sold less bought 0 t, for sale or on its way 0 t, headroom {HALF} t"
    ) in over.text
    assert "Chongqing" in over.source
    office.done(UnitsMoved, DEPOSIT, symbol, HALF - 1)
    assert office.refused(DEPOSIT, symbol, 2).reason == over.reason
    office.done(UnitsMoved, DEPOSIT, symbol, 1)
    assert office.refused(DEPOSIT, symbol, 1).reason == over.reason
    office.done(UnitsMoved, DEPOSIT, symbol, 80_000, account=OTHER)  # was allocated nothing


def test_what_is_sold_stays_counted_and_what_comes_back_does_not() -> None:
    office, item = given(), BY_SYMBOL["CQEA-2015"].id
    office.done(UnitsMoved, DEPOSIT, "CQEA-2015", HALF)
    sell(office, 30_000)
    over = office.refused(DEPOSIT, "CQEA-2015", 1)
    assert "sold less bought 30000 t, for sale or on its way 20000 t, headroom 0 t" in over.text
    apply(office, UnitsReleased(EMITTER, item, 20_000, 7))
    assert office.refused(DEPOSIT, "CQEA-2015", 20_001).reason == RegistryReason.SALE_ABOVE_CAP
    office.done(UnitsMoved, DEPOSIT, "CQEA-2015", 20_000)
    sell(office, 500, OTHER, EMITTER)  # bought, and may be sold again, but no more than that
    assert office.holdings.sales.net(EMITTER, item) == 29_500
    assert office.refused(DEPOSIT, "CQEA-2015", 1).reason == RegistryReason.SALE_ABOVE_CAP
    sell(office, 20_500)
    assert office.holdings.sales.net(EMITTER, item) == HALF
    assert office.holdings.held(EMITTER, Position.TRADING, item) == 0
    assert office.refused(DEPOSIT, "CQEA-2015", 1).reason == RegistryReason.SALE_ABOVE_CAP


def test_a_transfer_to_another_owner_is_no_way_round() -> None:
    office = given()
    office.done(UnitsMoved, TRANSFER, "CQEA-2015", 60_000, OWN)  # its own: nothing is sold
    over = office.refused(TRANSFER, "CQEA-2015", HALF + 1, OTHER, account=OWN)
    assert over.reason == RegistryReason.SALE_ABOVE_CAP
    office.done(UnitsMoved, TRANSFER, "CQEA-2015", HALF, OTHER, account=OWN)
    assert office.refused(DEPOSIT, "CQEA-2015", 1).reason == RegistryReason.SALE_ABOVE_CAP
    office.done(UnitsMoved, TRANSFER, "CQEA-2015", 10, EMITTER, account=OTHER)
    assert office.refused(DEPOSIT, "CQEA-2015", 11).reason == RegistryReason.SALE_ABOVE_CAP
    office.done(UnitsMoved, DEPOSIT, "CQEA-2015", 10)


def test_the_cap_ends_with_its_rule() -> None:
    office = given()
    office.on("2020-12-31")
    assert office.refused(DEPOSIT, "CQEA-2015", HALF + 1).rule == "cq-2014"
    office.on("2021-01-01")
    office.done(UnitsMoved, DEPOSIT, "CQEA-2015", HALF + 1)


def capped() -> Any:
    """The rulebook as if China's market had Chongqing's cap."""
    rules = load_rulebook()
    schemes = [
        msgspec.structs.replace(
            scheme,
            rules=tuple(
                msgspec.structs.replace(each, max_sale_bp_of_free_allocation=5_000)
                for each in scheme.rules
            ),
        )
        if scheme.id == "cn-national"
        else scheme
        for scheme in rules.scheme
    ]
    return msgspec.structs.replace(rules, scheme=tuple(schemes))


async def test_sales_are_found_again_in_the_books(
    market_log: Any, books: Database, make_books: MakeBooks
) -> None:
    rules = capped()
    desk = Desk(market_log, books, rulebook=rules)
    await desk.open()
    await desk.act(*owed(NORTHERN, YEAR, 1_000))
    text = allocation("final")
    await desk.act(*act_of(Instruction.ALLOCATE, NORTHERN, CEA_2024, 1_001, YEAR, text))
    refused = await desk.refused(deposit(NORTHERN, CEA_2024, 501))
    assert refused.reason == RegistryReason.SALE_ABOVE_CAP
    await desk.act(deposit(NORTHERN, CEA_2024, 500))
    await desk.act(*cross(NORTHERN, HUADONG, CEA_2024, 300))
    again = RegistryService(market_log, MARKET, VENUE, books, rulebook=rules)
    await again.load()
    for account, net in ((NORTHERN, 300), (HUADONG, -300)):
        assert desk.registry.holdings.sales.net(account, CEA_2024) == net
        assert again.holdings.sales.net(account, CEA_2024) == net
    fresh = await make_books()
    rebuilt = await rebuild(market_log, MARKET, VENUE, fresh, rulebook=rules)
    assert rebuilt == await table_hash(books, CN)
    await check(desk)
    await desk.close()
