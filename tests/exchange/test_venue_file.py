"""What a venue file may say of settlement and of fees, and what reaches the engine of it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.engine.bootstrap import missing, parameters_of
from exchange.messages.frames import Parameter, Resale, read_commands
from exchange.messages.frames import build_commands as frame_of
from exchange.positions import Positions
from exchange.reference.fees import shipped
from exchange.reference.venue import SETTLED_RESALE, Venue, check_venue, load_venue
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
    fees = {"maker_fee_bp": 75, "taker_fee_bp": 75, "block_fee_bp": 75, "auction_fee_bp": 75}
    assert {key: value for key, value in meant.items() if "fee" in key} == fees


@pytest.mark.parametrize(
    ("market", "fields", "words"),
    [
        ("EU", {"fee_schedule": "eex-eua-spot-2018"}, "rounds 2 parts on their own"),
        ("CN", {"fee_schedule": "hb-fixed-price-transfer-2014"}, "charges the seller alone"),
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


def test_every_shipped_schedule_is_expressed_or_refused() -> None:
    venue = changed()
    for schedule in shipped().fee:
        market = "EU" if schedule.currency == "EUR" else "CN"
        problems = check_venue(changed(market, fee_schedule=schedule.id))
        (part, *more) = schedule.part
        can = not more and part.sides == "both" and 0 < part.value_bp <= 1_000
        assert bool(problems) != can, schedule.id
    assert check_venue(venue) == []
