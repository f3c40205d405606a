"""A plan leaves the allowances that the registry would refuse for their vintage, and says why."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from exchange.messages.registry import AccountChanged, Range, UnitsIssued
from exchange.reference.venue import Instrument
from gateway.routes.compliance import PlanQuery, _lots
from gateway.views.holdings import Holdings
from gateway.views.standings import Standings
from tests.books_years import BY_SYMBOL

MINE = 203


def held(instrument: Instrument) -> Any:
    """A market's view in which the account has 100 t of one instrument."""
    holdings = Holdings()
    holdings.apply(UnitsIssued(1, MINE, instrument.id, (Range(1, instrument.product, 1, 100),)))
    return SimpleNamespace(
        holdings=holdings, positions=SimpleNamespace(instruments={}), standings=Standings()
    )


@pytest.mark.parametrize(
    ("symbol", "vintage", "year", "day", "words"),
    [
        ("EUA", 2007, 2008, "2009-04-01", "rule eu-ets-phase-2 takes no allowances of years"),
        ("EUA", 2012, 2013, "2014-04-01", ""),
        ("EUA", 2021, 2020, "2021-04-01", "rule eu-ets-phase-3 lets no allowances of years after"),
        ("CEA-2025", 2025, 2024, "2025-12-31", "rule cn-2024 takes allowances of vintage"),
        ("CEA-2024", 2024, 2024, "2025-12-31", ""),
        ("CEA-2023", 2023, 2022, "2023-12-31", ""),  # borrowed: the plan asks for the limit
        ("EUA", 0, 2020, "2021-04-01", ""),  # units of several: the registry takes those that count
    ],
)
def test_allowances_that_do_not_count(
    symbol: str, vintage: int, year: int, day: str, words: str
) -> None:
    instrument = msgspec.structs.replace(BY_SYMBOL[symbol], vintage=vintage)
    query = PlanQuery(MINE, year)
    (lot,) = _lots(held(instrument), query, [instrument], dt.date.fromisoformat(day))
    assert (lot.quantity_t, lot.vintage) == (100, vintage)
    assert lot.held.startswith(words)
    assert bool(lot.held) == bool(words)


@pytest.mark.parametrize(
    ("kind", "year", "is_taken"),
    [("", 2019, False), ("operator_holding", 2019, False), ("operator_holding", 2021, True),
     ("aircraft_operator_holding", 2019, True)],
)  # fmt: skip
def test_aviation_allowances_are_for_who_may_surrender_them(
    kind: str, year: int, is_taken: bool
) -> None:
    view = held(BY_SYMBOL["EUAA"])
    if kind:
        told = (1, "SET_ACCOUNT_TYPE", MINE, 0, "office", kind, "", 1)
        view.standings.apply(AccountChanged(*told))
    day = dt.date(year + 1, 4, 30)
    (lot,) = _lots(view, PlanQuery(MINE, year), [BY_SYMBOL["EUAA"]], day)
    assert ("aircraft_operator_holding only" not in lot.held) is is_taken
