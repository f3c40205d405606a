"""The room for an offset in a pilot: by the base that its rule names, and by what all have used."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import pytest

from exchange.messages.registry import Range, UnitsIssued, UnitsSurrendered, YearFigures
from gateway.headroom import offset_room
from gateway.holdings import Holdings
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
