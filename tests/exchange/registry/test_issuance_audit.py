"""Reductions that may have been counted twice: overlapping periods, projects in two registries."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select

from exchange.database import schema as tables
from exchange.messages.frames import Instruction, notes
from exchange.messages.registry import IssuanceDetails, ProjectDetails, Range
from exchange.registry.issuance_audit import (
    Issued,
    Registered,
    audit,
    overlapping,
    registered_twice,
)
from tests.books_desk import CN, Desk
from tests.books_venue import CCER, YANGTZE, instruction

WIND = ProjectDetails(name="Helan wind farm", project_type="wind", region="CN-NX")


def of(project: int, first: int, last: int, market: int = 1, serial: int = 1) -> Issued:
    return Issued(market, serial, Range(1, f"P{market}", serial, serial), project, first, last)


def pairs(*issued: Issued, projects: tuple[Registered, ...] = ()) -> list[tuple[int, int]]:
    """Serials of the issuances that share days."""
    found = overlapping(issued, registered_twice(projects))
    return [(one.range.first, other.range.first) for one, other in found]


@pytest.mark.parametrize(
    ("first", "is_shared"),
    [(20241231, True), (20250101, False), (20240701, True), (20240101, True)],
)
def test_a_shared_day_counts_and_the_day_after_does_not(first: int, is_shared: bool) -> None:
    rows = of(7, 20240101, 20241231), of(7, first, 20251231, serial=2)
    assert pairs(*rows) == ([(2, 1)] if is_shared else [])
    assert pairs(*reversed(rows)) == pairs(*rows)
    other_project = rows[1]._replace(project=8)
    assert pairs(rows[0], other_project) == []


def test_a_long_period_is_not_forgotten_behind_a_short_one() -> None:
    rows = (
        of(7, 20240101, 20241231), of(7, 20240201, 20240229, serial=2),
        of(7, 20240901, 20240930, serial=3),
    )  # fmt: skip
    assert pairs(*rows) == [(2, 1), (3, 1)]


@pytest.mark.parametrize(
    ("name", "region", "is_one"),
    [
        ("Helan wind farm", "CN-NX", True),
        ("HELAN WIND-FARM ", "CN-NX:poor", True),
        ("贺兰 wind farm", "CN-NX", False),
        ("Helan wind farm", "CN-NM", False),
        ("Helan wind farm 2", "CN-NX", False),
    ],
)
def test_one_project_in_two_registries(name: str, region: str, is_one: bool) -> None:
    here = Registered(1, "P1", 7, WIND.name, WIND.region)
    there = Registered(2, "P2", 30, name, region)
    assert registered_twice([here, there]) == ([(here, there)] if is_one else [])
    # Its reductions are one registry's only: any shared day is told, of whichever comes later.
    rows = of(7, 20240101, 20241231), of(30, 20241231, 20251231, market=2, serial=2)
    assert pairs(*rows, projects=(here, there)) == ([(2, 1)] if is_one else [])
    apart = rows[1]._replace(period_from=20250101)
    assert pairs(rows[0], apart, projects=(here, there)) == []


def test_one_registry_tells_its_projects_apart_by_their_numbers() -> None:
    phases = tuple(Registered(1, "P1", number, "Helan", "CN-NX") for number in (7, 8))
    assert registered_twice(phases) == []
    rows = of(7, 20240101, 20241231), of(8, 20240101, 20241231, serial=2)
    assert pairs(*rows, projects=phases) == []
    # Another programme of the same market is another registry's.
    again = phases[0]._replace(programme="BCER")
    assert registered_twice((phases[0], again)) == [(again, phases[0])]


def register(number: int, details: ProjectDetails) -> list[bytes]:
    fields = {"account_id": YANGTZE, "instrument_id": CCER, "price": number}
    told = msgspec.json.encode(details).decode()
    return [instruction(Instruction.REGISTER_PROJECT, **fields), *notes(told)]


def issue(quantity: int, project: int, first: str, last: str) -> list[bytes]:
    told = IssuanceDetails(project, dt.date.fromisoformat(first), dt.date.fromisoformat(last))
    fields = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": quantity}
    return [
        instruction(Instruction.ISSUE, **fields, price=told.period_to.year),
        *notes(msgspec.json.encode(told).decode()),
    ]


async def test_the_audit_reads_the_books(desk: Desk) -> None:
    await desk.act(*register(7, WIND), *register(8, msgspec.structs.replace(WIND, name="Other")))
    await desk.act(
        *issue(10, 7, "2024-01-01", "2024-12-31"), *issue(10, 8, "2024-01-01", "2024-06-30")
    )
    await desk.act(*issue(10, 7, "2025-01-01", "2025-12-31"))
    for quantity in (1, 4):  # blocks are split, and still say what they were issued for
        fields = {"account_id": YANGTZE, "instrument_id": CCER, "quantity": quantity}
        await desk.act(instruction(Instruction.FREEZE, **fields), *notes("office\ncourt"))
    assert await audit(desk.books) == ([], [])
    await desk.act(*issue(5, 7, "2024-12-31", "2024-12-31"))
    found = await audit(desk.books)
    ((one, other),) = found.periods
    assert (one.range.first, one.range.last, one.period_from) == (31, 35, 20241231)
    assert (other.range.first, other.range.last, other.market) == (1, 10, CN)
    assert found.projects == []
    async with desk.books.reading() as connection:
        row: Any = (await connection.execute(select(tables.project))).first()
    forged = dict(row._mapping) | {"market": 7, "programme": "VCU", "project": 1234}
    async with desk.books.writing() as connection:
        await connection.execute(insert(tables.project), forged)
    ((here, there),) = (await audit(desk.books)).projects
    assert (here.market, here.project) == (CN, 7)
    assert (there.market, there.programme, there.project) == (7, "VCU", 1234)
