"""Every key of the rulebook's shapes is applied by somebody, or says that it only informs."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import msgspec
import pytest

from exchange.rulebook import RulebookError, load_rulebook, shapes
from exchange.rulebook.catalogue import OffsetLimitReference, TransactionType
from exchange.rulebook.describe import describe
from exchange.rulebook.reference_limits import reference_limit
from exchange.rulebook.shapes import FOR_INFORMATION, Table
from exchange.rulebook.soundness import problems_of

ROOT = Path(__file__).parents[3]
TABLES = {
    name: kind
    for name, kind in vars(shapes).items()
    if isinstance(kind, type) and issubclass(kind, Table) and kind is not Table
} | {"OffsetLimitReference": OffsetLimitReference, "TransactionType": TransactionType}
ABOUT = {"note", "basis", "confidence", "sources"}  # of every table: where it comes from
OF_THE_FILE = ("shapes.py", "catalogue.py", "soundness.py", "values.py")  # they apply nothing
SHARED = {"in_force_from", "rounding"}  # read of another table that has a key of the same name


def read_keys() -> set[str]:
    """The names that the code reads of something, or says in quotes to read them."""
    found: set[str] = set()
    for folder in ("exchange", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name not in OF_THE_FILE:
                text = path.read_text("utf-8")
                found.update(re.findall(r"\.(\w+)", text))
                found.update(re.findall(r"[\"'](\w+)[\"']", text))
    return found


READ = read_keys()


@pytest.mark.parametrize("name", TABLES)
def test_every_key_is_applied_or_for_information(name: str) -> None:
    keys = set(TABLES[name].__struct_fields__) - ABOUT
    informing = FOR_INFORMATION.get(name, frozenset())
    assert keys - READ - informing == set(), "no function reads them: apply them, or say so"
    assert informing - keys == set()
    assert (informing & READ) - SHARED == set(), "a function reads them: they do not only inform"


def test_tables_for_information_are_tables() -> None:
    assert FOR_INFORMATION.keys() <= TABLES.keys()


def test_what_is_shown_says_what_only_informs() -> None:
    book = load_rulebook()
    shown = {
        key
        for scheme, day in (("cn-national", "2021-12-01"), ("eu-ets", "2016-01-01"))
        for section in describe(book, scheme, dt.date.fromisoformat(day))
        for key, _ in section.rows
    }
    for key in ("interim_target", "new_entrant_reserve_bp", "cap_alternative"):
        assert f"{key} (for information)" in shown
    assert {"cap_bp", "usable_vintages", "auction_share_bp"} <= shown


@pytest.mark.parametrize(
    ("day", "is_shown"),
    [("2023-12-31", False), ("2024-01-01", True), ("2026-06-26", True), ("2026-06-27", False)],
)
def test_a_carry_over_is_shown_while_it_goes_on(day: str, is_shown: bool) -> None:
    told = describe(load_rulebook(), "cn-national", dt.date.fromisoformat(day))
    assert any(section.title.startswith("carry-over") for section in told) is is_shown


def test_of_other_schemes_the_offset_limit_is_shown() -> None:
    book = load_rulebook()
    told = describe(book, "korea-ets", dt.date(2026, 1, 1))
    assert [dict(section.rows)["cap_bp"] for section in told] == ["1000", "500"]
    with pytest.raises(RulebookError, match=r"of rggi, korea-ets, .* the offset limit alone"):
        describe(book, "korea", dt.date(2026, 1, 1))
    with pytest.raises(RulebookError, match="the offset limit of 2014 is not known"):
        reference_limit(book, "korea-ets", 1, emission_year=2014, on=dt.date(2026, 1, 1))
    day = dt.date(2015, 5, 31)  # the day before
    with pytest.raises(RulebookError, match="new-zealand-ets: the offset limit of 2015"):
        reference_limit(book, "new-zealand-ets", 1, emission_year=2015, on=day)
    twice = msgspec.structs.replace(
        book, offset_limit_reference=book.offset_limit_reference + book.offset_limit_reference[:1]
    )
    assert "offset_limit_reference rggi: two limits hold for any year" in problems_of(twice)
