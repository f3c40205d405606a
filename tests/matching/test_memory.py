"""Which memory stays and which goes back, counted in pages that the system had to give."""

from __future__ import annotations

import pytest

from tests.matching.filled import fill_and_empty, market

MANY = 100_000
FEW = 64  # pages; those behind the first two megabytes may be huge, those in it are not


@pytest.mark.parametrize("more", [0, 1, 30_000])
def test_what_was_reserved_is_kept_when_the_book_empties(more: int) -> None:
    """Whatever more there was has gone back, and is taken anew."""
    engine = market()
    engine.reserve(orders=MANY)
    fill_and_empty(engine, 1_000)  # so that Python has what it needs
    assert fill_and_empty(engine, MANY) < FEW
    fill_and_empty(engine, MANY + more)
    assert engine.self_check() == []
    assert fill_and_empty(engine, MANY) < FEW


def test_what_was_not_reserved_goes_back() -> None:
    engine = market()
    fill_and_empty(engine, 1_000)
    assert fill_and_empty(engine, MANY) > FEW
    assert engine.self_check() == []
    assert fill_and_empty(engine, MANY) > FEW
