"""The room for an offset in a pilot: by the base that its rule names, and by what all have used."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from exchange.messages.registry import (
    CreditLot,
    EntitlementSet,
    OffsetReversalChanged,
    OffsetSurrenderChanged,
    ProjectDetails,
    ProjectRegistered,
    Range,
    UnitsIssued,
    UnitsSurrendered,
    YearFigures,
)
from exchange.reference.venue import Instrument
from gateway.routes.compliance import _credit
from gateway.views.headroom import offset_room
from gateway.views.holdings import Holdings, Made
from tests.books_years import BY_SYMBOL, INSTRUMENTS

MINE, OTHER = 203, 204


def view(*items: Any) -> Any:
    """A market's view with these items of `registry` and no orders."""
    holdings = Holdings()
    for item in items:
        holdings.apply(item)
    return SimpleNamespace(
        holdings=holdings, positions=SimpleNamespace(open_orders=lambda _account: [])
    )


def year(scheme: str, number: int, account: int = MINE, **figures: Any) -> YearFigures:
    blank = dict.fromkeys(("verified", "provisional", "final", "shortfall"))
    figures = blank | figures
    return YearFigures(
        1, account, scheme, number, "", figures["verified"], figures["verified"],
        figures["provisional"], figures["final"], figures.get("deducted", 0), 0, 0,
        figures["verified"], 0, figures["shortfall"], 0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("code", "day", "figures", "base", "cap"),
    [
        ("GD", "2024-03-01", {"verified": 10_009}, 10_009, 1_000),
        ("BJ", "2025-03-01", {"verified": 10_019}, 10_019, 500),
        ("SZ", "2024-03-01", {"verified": 10_000, "final": 9_996}, 4, 0),
        ("SZ", "2024-03-01", {"verified": 10_000, "final": 9_995}, 5, 1),
        ("SZ", "2024-03-01", {"verified": 10_000, "final": 9_000, "deducted": 500}, 1_500, 300),
        ("SZ", "2024-03-01", {"verified": 10_000}, None, 0),  # no allocation: no base
        ("GD", "2024-03-01", {"verified": 10_000, "shortfall": 5}, None, 0),  # over
    ],
)
def test_a_cap_by_its_own_base(
    code: str, day: str, figures: dict[str, int], base: int | None, cap: int
) -> None:
    credit = BY_SYMBOL[f"{code}-CCER"]
    on = dt.date.fromisoformat(day)
    found = offset_room(
        view(year(credit.scheme, on.year - 1, **figures)), [*INSTRUMENTS.values()], credit, MINE, on
    )
    assert [(row.base, row.cap, row.left) for row in found.years] == (
        [] if base is None else [(base, cap, cap)]
    )
    assert found.room == cap


def test_what_others_used_of_the_cap_of_the_scheme_is_gone() -> None:
    credit = BY_SYMBOL["GD-CCER"]
    block = Range(1, "CCER", 1, 1_400_000)
    used = [
        year("cn-pilot-guangdong", 2017, verified=9_000_000),
        year("cn-pilot-guangdong", 2017, OTHER, verified=90_000_000),
        UnitsIssued(2, OTHER, credit.id, (block,)),
        UnitsSurrendered(3, OTHER, credit.id, 2017, 1_400_000, (block,)),
    ]
    on = dt.date(2018, 3, 1)
    found = offset_room(view(*used), [*INSTRUMENTS.values()], credit, MINE, on)
    (row,) = found.years
    assert (row.cap, row.used, row.left) == (900_000, 0, 100_000)


PILOT = "cn-pilot-beijing"
BJ = BY_SYMBOL["BJ-CCER"]
IN_2015 = dt.date(2015, 3, 1)
OWED = year(PILOT, 2014, verified=10_000, provisional=10_000)  # 500 t, 250 t of them from elsewhere


def listed(number: int, **says: Any) -> Instrument:
    """An instrument of CCERs in Beijing that says something of its units."""
    return msgspec.structs.replace(BJ, id=number, symbol=f"I{number}", **says)


def room_of(instrument: Instrument, *more: Any, others: tuple[Instrument, ...] = ()) -> int:
    every = [*INSTRUMENTS.values(), instrument, *others]
    return offset_room(view(OWED, *more), every, instrument, MINE, IN_2015).room


@pytest.mark.parametrize(
    ("says", "room"),
    [
        ({}, 500),  # what is not stated refuses nothing
        ({"project_types": ("wind",)}, 500),
        ({"project_types": ("hydro_small", "wind")}, 500),
        ({"project_types": ("hydro_small", "hydro_large")}, 0),
        ({"regions": ("CN-BJ",)}, 500),
        ({"regions": ("CN-HE", "CN-BJ")}, 500),
        ({"regions": ("CN-HE", "CN-TJ")}, 250),
        ({"regions": ("CN-HE",), "project_types": ("hydro",)}, 0),
    ],
)
def test_what_an_instrument_says_of_its_projects(says: dict[str, Any], room: int) -> None:
    assert room_of(listed(901, **says)) == room


def test_credits_from_elsewhere_that_are_used_or_held() -> None:
    hebei, beijing = listed(901, regions=("CN-HE",)), listed(902, regions=("CN-BJ",))
    block = Range(1, "CCER", 1, 400)
    project = ProjectDetails(name="w", project_type="wind", region="CN-HE")
    given = [
        ProjectRegistered(2, MINE, "CCER", 7, project),
        UnitsIssued(3, MINE, hebei.id, (block,), 7),
        UnitsSurrendered(4, MINE, hebei.id, 2014, 100, (Range(1, "CCER", 1, 100),)),
    ]
    # 250 t less 100 t used and 300 t held; and of local ones 500 t less both
    assert room_of(hebei, *given, others=(beijing,)) == 0
    assert room_of(beijing, *given, others=(hebei,)) == 100
    local = [
        ProjectRegistered(2, MINE, "CCER", 8, msgspec.structs.replace(project, region="CN-BJ")),
        UnitsIssued(3, MINE, beijing.id, (block,), 8),
        UnitsSurrendered(4, MINE, beijing.id, 2014, 100, (Range(1, "CCER", 1, 100),)),
    ]
    assert room_of(hebei, *local, others=(beijing,)) == 100  # 500 t less 400 t
    few = [local[0], UnitsIssued(3, MINE, beijing.id, (Range(1, "CCER", 1, 20),), 8)]
    assert room_of(hebei, *few, others=(beijing,)) == 250


@pytest.mark.parametrize(
    ("code", "day", "region", "figures", "room"),
    [
        ("GD", "2018-03-01", "CN-SC", {"verified": 10_000}, 300),  # 30 percent of 1,000 t
        ("GD", "2018-03-01", "CN-BJ", {"verified": 10_000}, 0),  # no other pilots
        ("HB", "2015-03-01", "CN-SC", {"verified": 1, "final": 10**6}, 50_000),  # of partners
        ("FJ", "2018-03-01", "CN-SC", {"verified": 10_000}, 0),  # local ones only
        ("FJ", "2018-03-01", "CN-FJ", {"verified": 10_000}, 500),
        ("SZ", "2016-03-01", "CN-BJ", {"verified": 10_000}, 1_000),  # of some types; none stated
    ],
)
def test_regions_of_other_pilots(
    code: str, day: str, region: str, figures: dict[str, int], room: int
) -> None:
    on = dt.date.fromisoformat(day)
    credit = msgspec.structs.replace(BY_SYMBOL[f"{code}-CCER"], id=901, regions=(region,))
    every = [*INSTRUMENTS.values(), credit]
    owed = view(year(credit.scheme, on.year - 1, **figures))
    assert offset_room(owed, every, credit, MINE, on).room == room


def test_types_that_count_from_some_regions_only() -> None:
    on = dt.date(2016, 3, 1)
    for region, room in (("CN-BJ", 0), ("CN-XJ", 1_000)):
        credit = msgspec.structs.replace(
            BY_SYMBOL["SZ-CCER"], id=901, regions=(region,), project_types=("wind",)
        )
        owed = view(year(credit.scheme, 2015, verified=10_000))
        assert offset_room(owed, [*INSTRUMENTS.values(), credit], credit, MINE, on).room == room


def test_credits_that_another_registry_keeps_are_known_by_what_it_said() -> None:
    kept = listed(901, kept_by="CV", regions=("CN-HE", "CN-TJ"))
    lots = (CreditLot(7, 100, "wind", "CN-HE"), CreditLot(8, 40, "wind", "CN-BJ", ("partner",)))
    given = OffsetSurrenderChanged(
        5, MINE, kept.id, 2014, 140, "BOOKED", "CV", 301, True, "bj-offset", lots
    )  # fmt: skip
    seen = view(OWED, given)
    found = _credit(seen, kept, Made(8, 0), 40)
    assert (found.project_type, found.region, found.flags) == ("wind", "CN-BJ", ("partner",))
    assert _credit(seen, kept, Made(9, 0), 40).region == ""
    assert offset_room(seen, [kept], kept, MINE, IN_2015).room == 150  # 250 t less 100 t
    undone = OffsetReversalChanged(
        9, 5, 8, MINE, kept.id, 2014, 140, "UNDONE", "ann", "ben", "why", lots
    )  # fmt: skip
    for state in ("ASKED", "UNDONE", "DONE"):
        seen.holdings.apply(msgspec.structs.replace(undone, state=state))
        room = 150 if state == "ASKED" else 250
        assert offset_room(seen, [kept], kept, MINE, IN_2015).room == room


CALIFORNIAN = BY_SYMBOL["ARBOC"]


def in_california(day: str, *items: Any) -> Any:
    on = dt.date.fromisoformat(day)
    return offset_room(view(*items), [*INSTRUMENTS.values()], CALIFORNIAN, MINE, on)


def test_years_of_a_period_have_one_cap() -> None:
    block = Range(1, "ARBOC", 1, 700)
    items = [
        year("ca-qc", 2013, verified=10_000),
        year("ca-qc", 2014, verified=5_000),
        UnitsIssued(2, MINE, CALIFORNIAN.id, (block,)),
        UnitsSurrendered(3, MINE, CALIFORNIAN.id, 2013, 700, (block,)),
    ]
    found = in_california("2015-09-01", *items)
    assert [(row.year, row.base, row.cap, row.used, row.left) for row in found.years] == [
        (2013, 15_000, 1_200, 700, 500),
        (2014, 15_000, 1_200, 700, 500),
    ]
    assert found.room == 500
    assessed = year("ca-qc", 2013, verified=10_000, shortfall=0)  # what it used is used
    found = in_california("2015-09-01", *items, assessed)
    assert ([row.year for row in found.years], found.room) == ([2014], 500)


@pytest.mark.parametrize(
    ("group", "room", "rule"), [("", 400, "ca-offset-2021"), ("quebec", 800, "qc-offset")]
)
def test_the_cap_of_a_group(group: str, room: int, rule: str) -> None:
    items: list[Any] = [year("ca-qc", 2024, verified=10_000)]
    if group:
        items.append(EntitlementSet(9, MINE, "ca-qc", group, 0, "authority"))
    found = in_california("2025-09-01", *items)
    assert (found.room, found.years[0].rule.id) == (room, rule)
