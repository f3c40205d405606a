"""Every key of the rulebook's shapes is applied by somebody, or says that it only informs."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from exchange.rulebook import load_rulebook, shapes
from exchange.rulebook.catalogue import TransactionType
from exchange.rulebook.describe import describe
from exchange.rulebook.shapes import FOR_INFORMATION, Table

ROOT = Path(__file__).parents[3]
TABLES = {
    name: kind
    for name, kind in vars(shapes).items()
    if isinstance(kind, type) and issubclass(kind, Table) and kind is not Table
} | {"TransactionType": TransactionType}
ABOUT = {"note", "basis", "confidence", "sources"}  # of every table: where it comes from
SHARED = {"in_force_from", "rounding"}  # read of another table that has a key of the same name


def read_keys() -> set[str]:
    """The names that the code reads of something, or says in quotes to read them."""
    found: set[str] = set()
    for folder in ("exchange", "gateway"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name not in ("shapes.py", "catalogue.py", "soundness.py"):  # who checks no use
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
