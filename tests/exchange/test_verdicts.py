"""Whether a day may open: the question alone, and what the books keep for it."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import DBAPIError

from exchange.audit.reconciliation import OPENING_CHECKS, Check
from exchange.audit.verdicts import (
    Override,
    Verdict,
    keep,
    keep_override,
    last_verdict,
    obstacle,
    overrides,
)
from exchange.database import Database
from exchange.messages.reasons import DayReason
from tests.fixtures_postgres import books, make_books, postgres

__all__ = ["books", "make_books", "postgres"]

GREEN = Verdict(5, 20_261_127, 9, tuple(Check(name, 0, "1 = 1") for name in sorted(OPENING_CHECKS)))


def test_only_a_whole_green_reconciliation_of_the_date_opens() -> None:
    assert obstacle("EU", 20_261_127, GREEN) is None
    never = obstacle("EU", 20_261_127, None)
    assert never is not None
    assert never.reason == DayReason.RECONCILIATION_MISSING
    old = obstacle("EU", 20_261_128, GREEN)
    assert old is not None
    assert old.reason == DayReason.RECONCILIATION_MISSING
    assert "20261127" in old.detail
    part = obstacle("EU", 20_261_127, GREEN._replace(checks=GREEN.checks[1:]))
    assert part is not None
    assert part.reason == DayReason.RECONCILIATION_MISSING
    assert GREEN.checks[0].name in part.detail


@pytest.mark.parametrize("at", range(len(GREEN.checks)))
def test_one_break_in_any_check_is_named(at: int) -> None:
    checks = list(GREEN.checks)
    checks[at] = checks[at]._replace(breaks=1, figures="x" * 5_000)
    found = obstacle("EU", 20_261_127, GREEN._replace(checks=tuple(checks)))
    assert found is not None
    assert found.reason == DayReason.RECONCILIATION_RED
    assert f"`{checks[at].name}` has 1 breaks" in found.detail
    assert len(found.detail) < 500


async def test_the_newest_reconciliation_counts(books: Database) -> None:
    red = GREEN._replace(time_ns=2**61, checks=(Check("engine equals ledger", 3, "3 differ"),))
    assert await last_verdict(books, 1) is None
    await keep(books, 1, GREEN)
    assert await last_verdict(books, 1) == GREEN
    await keep(books, 1, red)
    assert await last_verdict(books, 1) == red
    assert await last_verdict(books, 0) is None


async def test_reconciliations_and_overrides_stay_as_they_are(books: Database) -> None:
    override = Override(7, 20_261_127, "operations", 9, "A. Duty 值班", "late", 711, "a cent")
    await keep(books, 1, GREEN)
    await keep_override(books, 1, override)
    assert await overrides(books, 1) == [override]
    assert await overrides(books, 0) == []
    for statement in (
        "UPDATE reconciliation SET breaks = 0",
        "DELETE FROM reconciliation",
        "UPDATE opening_override SET name = ''",
        "DELETE FROM opening_override",
    ):
        with pytest.raises(DBAPIError, match="append-only"):
            async with books.writing() as connection:
                await connection.exec_driver_sql(statement)
