"""What a venue file may say of settlement and of fees, and what reaches the engine of it."""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.engine.bootstrap import missing, parameters_of
from exchange.messages.frames import BP, FeeSides, Parameter, Resale, Side, read_commands
from exchange.messages.frames import build_commands as frame_of
from exchange.positions import InstrumentState, Positions
from exchange.reference.fees import FEE_PARAMETERS, fee_parameters, schedule_named, shipped
from exchange.reference.venue import SETTLED_RESALE, Venue, check_venue, load_venue
from exchange.rulebook.fees import FeePart, FeeSchedule, fee_of
from exchange.settlement.due_dates import rules_of

DEMO = Path(__file__).parents[2] / "deploy/venue/demo.toml"


def changed(market: str = "CN", **fields: Any) -> Venue:
    """The demo venue with something else said of the first instrument of a market."""
    venue = load_venue(DEMO)
    first = venue.instruments_of(market)[0]
    bare = {k: v for k, v in first.parameters.items() if "fee" not in k and "resale" not in k}
    item = msgspec.structs.replace(first, **({"parameters": bare} | fields))
    others = tuple(i for i in venue.instrument if i.id != first.id)
    return msgspec.structs.replace(venue, instrument=(item, *others))


def test_the_cycle_reaches_the_engine() -> None:
    assert SETTLED_RESALE == Resale.SETTLED
    venue = changed(settlement_cycle="T+1")
    assert check_venue(venue) == []
    item = venue.instrument[0]
    assert parameters_of(item)["resale_next_day"] == Resale.SETTLED
    group = missing(venue, venue.market_of("CN"), Positions())[0]
    said = read_commands(frame_of(group, writer=1, batch=1, time_ns=0))
    of_resale = said[said["order_type"] == Parameter.RESALE_NEXT_DAY]
    assert of_resale["quantity"].tolist() == [Resale.SETTLED]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"settlement_cutoff": "25:00"}, "settlement_cutoff"),
        ({"settlement_void_days": -1}, "outside 0..250"),
        ({"settlement_void_days": 251}, "outside 0..250"),
        ({"settlement_cycle": "T+1", "parameters": {"resale_next_day": 1}}, "settlement_cycle"),
        ({"parameters": {"resale_next_day": 2}}, "settlement_cycle"),
    ],
)
def test_a_cycle_that_cannot_be_is_refused(fields: dict[str, Any], words: str) -> None:
    (problem,) = check_venue(changed(**fields))
    assert words in problem


@pytest.mark.parametrize("days", [0, 250])
def test_the_ends_of_the_days_are_allowed(days: int) -> None:
    assert check_venue(changed(settlement_void_days=days)) == []


def test_holidays_are_dates_of_toml(tmp_path: Path) -> None:
    text = DEMO.read_text("utf-8").replace(
        'code = "CN"', 'code = "CN"\nholidays = [2026-10-01, 2026-10-02]', 1
    )
    path = tmp_path / "venue.toml"
    path.write_text(text, "utf-8")
    days = load_venue(path).market_of("CN").holidays
    assert days == (dt.date(2026, 10, 1), dt.date(2026, 10, 2))


def test_rules_come_from_the_file() -> None:
    venue = changed(settlement_cutoff="09:15", settlement_void_days=3, cancelled_fees="keep")
    holiday = dt.date(2026, 10, 1)
    market = msgspec.structs.replace(venue.market_of("CN"), holidays=(holiday,))
    item = venue.instrument[0]
    rule = rules_of(market, (item,))[item.id]
    assert rule == (market.time_zone, dt.time(9, 15), frozenset({holiday}), 3, False)


def test_a_schedule_reaches_the_engine() -> None:
    venue = changed(fee_schedule="bj-public-2013")
    assert check_venue(venue) == []
    meant = parameters_of(venue.instrument[0])
    fees = dict.fromkeys(("maker_fee_bp", "taker_fee_bp", "block_fee_bp", "auction_fee_bp"), 75)
    fees |= {"tonne_fee": 0, "fee_sides": FeeSides.BOTH}
    assert {key: value for key, value in meant.items() if "fee" in key} == fees


@pytest.mark.parametrize(
    ("name", "shares", "tonne", "sides"),
    [
        ("eex-eua-spot-2018", 0, 3_000, FeeSides.BOTH),  # 250 + 50 cents for 1,000 t
        ("hb-fixed-price-transfer-2014", 400, 0, FeeSides.SELLERS),
    ],
)
def test_parts_and_sides(name: str, shares: int, tonne: int, sides: FeeSides) -> None:
    schedule = schedule_named(shipped(), name)
    found = fee_parameters(schedule, schedule.currency)
    assert set(found) == set(FEE_PARAMETERS)
    assert {found[key] for key in FEE_PARAMETERS[:4]} == {shares}
    assert (found["tonne_fee"], found["fee_sides"]) == (tonne, sides)


def _schedule(*parts: FeePart) -> FeeSchedule:
    return msgspec.structs.replace(schedule_named(shipped(), "eex-eua-spot-2018"), part=parts)


def test_parts_at_the_engines_limits() -> None:
    value, tonne = FeePart("a", "both", value_bp=1_000), FeePart("b", "both", 0, 900, 1_000)
    found = fee_parameters(_schedule(value, tonne), "EUR")
    assert (found["maker_fee_bp"], found["tonne_fee"]) == (1_000, 9_000)
    thirds = FeePart("c", "both", 0, 1, 3), FeePart("d", "both", 0, 2, 3_000)
    assert (
        fee_parameters(_schedule(*thirds[1:], FeePart("e", "both", 0, 1, 3_000)), "EUR")[
            "tonne_fee"
        ]
        == 10
    )
    for parts, words in (
        ((value, FeePart("c", "both", 1)), "charges 1001 basis points; the engine at most 1000"),
        ((tonne, FeePart("c", "both", 0, 1, 10_000)), "charges 9001 of 1/10000 minor unit a tonne"),
        (thirds[:1], "charges 10000/3 of 1/10000 minor unit a tonne"),
        ((FeePart("c", "seller", 1), FeePart("d", "both", 1)), "has parts for both and seller"),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            fee_parameters(_schedule(*parts), "EUR")


@pytest.mark.parametrize(
    ("market", "fields", "words"),
    [
        ("EU", {"fee_schedule": "bj-public-2013"}, "is in CNY, the market in EUR"),
        ("CN", {"fee_schedule": "eex"}, "is none of"),
        (
            "CN",
            {"fee_schedule": "bj-public-2013", "parameters": {"taker_fee_bp": 1}},
            "fee_schedule and taker_fee_bp: one of them",
        ),
    ],
)
def test_what_the_engine_cannot_charge_is_refused(
    market: str, fields: dict[str, Any], words: str
) -> None:
    (problem,) = check_venue(changed(market, **fields))
    assert words in problem


def test_every_shipped_schedule_can_be_charged() -> None:
    assert check_venue(changed()) == []
    for schedule in shipped().fee:
        market = "EU" if schedule.currency == "EUR" else "CN"
        assert check_venue(changed(market, fee_schedule=schedule.id)) == [], schedule.id


@pytest.mark.parametrize("schedule", shipped().fee, ids=lambda item: item.id)
@settings(max_examples=20, deadline=None)
@given(fills=st.lists(st.tuples(st.integers(1, 50_000), st.integers(1, 20_000)), max_size=8))
def test_an_order_pays_the_exact_sum_rounded_once(
    schedule: FeeSchedule, fills: list[tuple[int, int]]
) -> None:
    meant = fee_parameters(schedule, schedule.currency)
    instrument = InstrumentState(1)
    for name, value in meant.items():
        instrument.set_parameter(Parameter[name.upper()], value)
    for side, word in ((Side.BUY, "buyer"), (Side.SELL, "seller")):
        exact, each = Fraction(0), 0
        accrued = 0
        for quantity, price in fills:
            value = quantity * price
            accrued += instrument.fee(side, meant["maker_fee_bp"], quantity, value)
            own = [part for part in schedule.part if part.sides in ("both", word)]
            exact += sum(Fraction(value * part.value_bp, BP) for part in own)
            exact += sum(
                Fraction(quantity * p.minor_per_lot, p.lot_t) for p in own if p.minor_per_lot
            )
            each += fee_of(schedule, word, quantity, price)
        charged = (2 * accrued + BP) // (2 * BP)
        assert Fraction(accrued, BP) == exact
        assert -1 <= 2 * (charged - exact) <= 1
        assert abs(charged - each) <= (len(fills) * len(schedule.part) + 1) // 2
