"""What a venue file says of its registries: holidays, units kept elsewhere, numbers of sessions."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from exchange.reference.venue import PARTITION_MAX, Venue, check_venue, load_venue
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


@pytest.mark.parametrize(("most", "is_sound"), [(None, True), (0, True), (5, True), (-1, False)])
def test_what_one_may_take_in_alone(most: int | None, is_sound: bool) -> None:
    problems = check_venue(with_market(deposit_alone_max=most))
    assert ("deposit_alone_max" in "".join(problems)) is not is_sound
