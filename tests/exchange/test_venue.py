"""What a venue file says of its registries: holidays, units kept elsewhere, numbers of sessions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exchange.reference.venue import (
    CODE_SIZE_MAX,
    PARTITION_MAX,
    Key,
    Market,
    Venue,
    check_venue,
    key_problems,
    load_venue,
)
from exchange.settings import HOLIDAYS_MAX
from tests.books_two import KEPT, TWO
from tests.books_venue import CCER, VENUE


def with_market(**changes: Any) -> Venue:
    first, *others = VENUE.market
    return replace(VENUE, market=(replace(first, **changes), *others))


def with_instrument(number: int, **changes: Any) -> Venue:
    found = tuple(replace(i, **changes) if i.id == number else i for i in TWO.instrument)
    return replace(TWO, instrument=found)


def test_holidays_are_days_of_the_venue_file(tmp_path: Path) -> None:
    path = tmp_path / "venue.toml"
    path.write_text(
        'name = "x"\ninstrument = []\n[[market]]\ncode = "EU"\npartition = 0\ncurrency = "EUR"\n'
        "registry_holidays = [2026-12-25, 2027-01-01]\n"
    )
    (market,) = load_venue(path).market
    assert market.registry_holidays == (dt.date(2026, 12, 25), dt.date(2027, 1, 1))


@pytest.mark.parametrize("count", [HOLIDAYS_MAX, HOLIDAYS_MAX + 1])
def test_holidays_are_bounded(count: int) -> None:
    days = tuple(dt.date(2026, 1, 1) + dt.timedelta(days=at) for at in range(count))
    problems = check_venue(with_market(registry_holidays=days))
    assert bool(problems) == (count > HOLIDAYS_MAX)
    assert all("registry_holidays, at most" in problem for problem in problems)


@pytest.mark.parametrize(
    ("partition", "is_sound"), [(-1, False), (PARTITION_MAX, True), (PARTITION_MAX + 1, False)]
)
def test_partitions_are_bounded(partition: int, is_sound: bool) -> None:
    assert (check_venue(with_market(partition=partition)) == []) == is_sound


@pytest.mark.parametrize(
    ("mic", "is_sound"), [("", True), ("XEEE", True), ("xeee", False), ("XEE", False)]
)
def test_a_mic_is_four_letters(mic: str, is_sound: bool) -> None:
    assert (check_venue(with_market(mic=mic)) == []) == is_sound


@pytest.mark.parametrize(
    ("isin", "is_sound"),
    [
        ("", True),
        ("US0378331005", True),  # published: shares of Apple, BHP and BAE
        ("AU000000BHP4", True),
        ("GB0002634946", True),
        ("US0378331006", False),
        ("US0378331050", False),
        ("us0378331005", False),
        ("US037833100", False),
    ],
)
def test_an_isin_has_the_right_last_digit(isin: str, is_sound: bool) -> None:
    problems = check_venue(with_instrument(CCER, isin=isin))
    assert (problems == []) == is_sound
    assert all("is no ISIN, or its last digit is wrong" in problem for problem in problems)


@pytest.mark.parametrize("size", [CODE_SIZE_MAX, CODE_SIZE_MAX + 1])
@pytest.mark.parametrize(
    "name", ["investment_decision", "execution_decision", "non_executing_broker"]
)
def test_codes_of_order_records_are_bounded(name: str, size: int) -> None:
    key = Key("desk", 1, "participant", 1_000, "x", **{name: "c" * size})
    told = [f"key desk: {name} has {size} characters, at most {CODE_SIZE_MAX}"]
    assert key_problems(key) == (told if size > CODE_SIZE_MAX else [])


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        (CCER, {"kept_by": "CN"}),  # itself
        (CCER, {"kept_by": "XX"}),
        (CCER, {"generation": "other"}),
        (CCER, {"vintage": 2023}),
        (KEPT, {"product": "GDCER"}),
        (KEPT, {"kept_by": "CN"}),  # each says that the other keeps it
    ],
)
def test_what_is_kept_elsewhere_is_kept_there(number: int, changes: dict[str, Any]) -> None:
    assert check_venue(TWO) == []
    problems = check_venue(with_instrument(number, **changes))
    assert any("is no other market with the same unit" in problem for problem in problems)


@pytest.mark.parametrize(("most", "is_sound"), [(0, True), (5, True), (-1, False)])
def test_what_one_may_take_in_alone(most: int, is_sound: bool) -> None:
    assert Market("EU", 0, "EUR").deposit_alone_max == 100_000_000  # where the file says nothing
    problems = check_venue(with_market(deposit_alone_max=most))
    assert ("deposit_alone_max" in "".join(problems)) is not is_sound
