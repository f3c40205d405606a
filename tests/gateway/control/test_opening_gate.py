"""A day opens on books that agree: one cent or one tonne too many keeps the market shut."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from exchange.audit.verdicts import Verdict, last_verdict, overrides
from exchange.clock import SystemClock
from exchange.database import Database, open_database
from exchange.messages.operations import Approve, OpeningOverride
from exchange.messages.reasons import AccessReason, DayReason, EdgeReason
from exchange.settings import Settings
from gateway.cli import build
from gateway.cli.demo import TEMPLATE
from gateway.client import Client, VenueError
from gateway.demo import demonstration
from gateway.demo.demo_keys import DESK, OPERATIONS, SUPERVISION, VENUE_FILE, key_path
from gateway.demo.demonstration import Demonstration
from tests.behind_the_back import behind_the_back

TOMORROW = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
NEXT_DATE = int(f"{TOMORROW:%Y%m%d}")
PLANTED = {
    "a cent": (
        "UPDATE balance SET amount = amount + {} WHERE market = 0 AND account = 101 AND asset = 0",
        "cash conserved",
        "engine equals ledger",
    ),
    "a tonne": (
        "UPDATE balance SET amount = amount + {} WHERE market = 0 AND account = 101 AND asset = 1",
        "engine equals ledger",
        "engine equals ledger",
    ),
    "a tonne of serials": (
        "UPDATE block SET last_serial = last_serial + {} WHERE market = 0 AND last_serial ="
        " (SELECT max(last_serial) FROM block WHERE market = 0)",
        "engine equals registry",
        "engine equals registry",
    ),
}


@pytest.fixture
async def venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Demonstration]:
    """A whole venue in this process, traded by nobody."""
    monkeypatch.setattr(demonstration, "RECONCILE_S", 0.05)
    settings = Settings(data=tmp_path, venue=tmp_path / VENUE_FILE, http_port=0, websocket_port=0)
    async with Demonstration.opened(settings, TEMPLATE, SystemClock()) as opened:
        await opened.endow()
        yield opened


@pytest.fixture
async def books(venue: Demonstration, tmp_path: Path) -> AsyncIterator[Database]:
    database = open_database("sqlite", tmp_path)
    yield database
    await database.close()


async def change(data: Path, statement: str) -> None:
    async with behind_the_back(data / "exchange.sqlite") as file:
        assert file.execute(statement).rowcount == 1


async def turn(operator: Client) -> None:
    """The evening: closed, and rolled to the next trading date."""
    await operator.set_phase("EU", "CLOSED")
    await operator.roll_day("EU", NEXT_DATE)


async def until(
    venue: Demonstration, books: Database, wanted: tuple[int, bool], *red: str
) -> Verdict:
    """Waits for a reconciliation of a trading date that is green, or red at least in these."""
    async with asyncio.timeout(30):
        while True:
            last = await last_verdict(books, 0)
            if last is not None and (last.trading_date, last.is_green) == wanted:
                found = {check.name for check in last.checks if not check.ok}
                if found >= set(red):  # a look while units move finds them at the next one
                    return last
            await asyncio.sleep(0.05)


async def phase(operator: Client) -> str:
    return next(row.phase for row in (await operator.phases()).phases if row.symbol == "EUA")


@pytest.mark.parametrize("what", PLANTED)
async def test_a_planted_difference_keeps_the_day_shut(
    venue: Demonstration, books: Database, tmp_path: Path, what: str
) -> None:
    statement, *checks = PLANTED[what]
    operator = await venue.client(OPERATIONS)
    await venue.open_markets()  # green: the first day opens
    await change(tmp_path, statement.format(1))
    await turn(operator)
    await until(venue, books, (NEXT_DATE, False), *checks)
    for wanted in ("START_OF_DAY", "OPENING_CALL", "CONTINUOUS"):
        with pytest.raises(VenueError) as refused:
            await operator.set_phase("EU", wanted)
        assert refused.value.reason == DayReason.RECONCILIATION_RED
    assert any(f"`{name}` has" in refused.value.text for name in checks)
    await says(venue, may_open=False, reason=DayReason.RECONCILIATION_RED)
    assert await phase(operator) == "CLOSED"
    labels = {"market": "EU", "check": checks[0]}
    assert REGISTRY.get_sample_value("exchange_reconciliation_breaks", labels)
    await operator.set_phase("CN", "HALT")  # the other market has its own books
    await operator.set_phase("CN", "CONTINUOUS")
    await change(tmp_path, statement.format(-1))
    await until(venue, books, (NEXT_DATE, True))
    await says(venue, may_open=True, reason=0)
    await operator.set_phase("EU", "CONTINUOUS")
    assert await phase(operator) == "CONTINUOUS"
    assert await overrides(books, 0) == []


async def says(venue: Demonstration, *, may_open: bool, reason: int) -> None:
    """The gate's verdict, asked by a client and on the command line."""
    operator = await venue.client(OPERATIONS)
    found = await operator.opening("EU")
    assert (found.may_open, found.reason, found.closed) == (may_open, reason, ["EUA"])
    assert found.trading_date == NEXT_DATE
    assert found.reconciled_ns
    assert all(check.is_green for check in found.checks) == may_open
    words = ["opening", "EU", "--key-file", str(key_path(venue.data, OPERATIONS))]
    done = await asyncio.to_thread(CliRunner().invoke, build("opening"), words)
    assert done.exit_code == int(not may_open), done.output
    assert ("may open" if may_open else "stays closed") in done.output
    done = await asyncio.to_thread(CliRunner().invoke, build("opening"), [*words, "--json"])
    (line,) = [line for line in done.output.splitlines() if line.startswith('{"market"')]
    assert json.loads(line)["may_open"] is may_open
    with pytest.raises(VenueError) as refused:
        await (await venue.client(DESK)).opening("EU")
    assert refused.value.reason == EdgeReason.ROLE_NOT_ALLOWED


async def test_an_override_opens_and_is_kept(
    venue: Demonstration, books: Database, tmp_path: Path
) -> None:
    operator = await venue.client(OPERATIONS)
    await venue.open_markets()
    await change(tmp_path, PLANTED["a cent"][0].format(1))
    await turn(operator)
    await until(venue, books, (NEXT_DATE, False))
    for name, reason in (
        ("", "the bank was late"),
        ("A. Duty", " "),
        ("A\nB", "x"),
        ("x" * 401, "y"),
    ):
        with pytest.raises(VenueError) as refused:
            await operator.set_phase(
                "EU", "CONTINUOUS", override=OpeningOverride(name=name, reason=reason)
            )
        assert refused.value.reason == EdgeReason.INVALID_FIELD
    assert await overrides(books, 0) == []
    words = OpeningOverride(name="A. Duty 值班", reason="the bank was late by a cent")
    asked = await operator.set_phase("EU", "CONTINUOUS", override=words)
    assert (asked.status, await phase(operator)) == ("PROPOSED", "CLOSED")
    approval = Approve(ref=0, market="EU", proposal_id=asked.proposal_id, reason="so be it")
    with pytest.raises(VenueError) as alone:
        await operator.operate("/operations/approve", approval)
    assert alone.value.reason == AccessReason.SAME_PERSON_APPROVES
    assert await overrides(books, 0) == []
    second = await venue.client(SUPERVISION)
    assert (await second.operate("/operations/approve", approval)).status == "DONE"
    assert await phase(operator) == "CONTINUOUS"
    (kept,) = await overrides(books, 0)
    assert (kept.name, kept.reason) == (words.name, words.reason)
    assert (kept.trading_date, kept.refused) == (NEXT_DATE, DayReason.RECONCILIATION_RED)
    assert kept.key_id.startswith("operations")
    assert "cash" in kept.detail
    assert kept.detail.endswith("; approved by supervision")
    with pytest.raises(DBAPIError, match="append-only"):
        async with books.writing() as connection:
            await connection.exec_driver_sql("DELETE FROM opening_override")
    # between halts of an open day nobody asks again, and an override that is not needed is not kept
    await operator.set_phase("EU", "HALT")
    again = await operator.set_phase("EU", "CONTINUOUS", override=words)
    assert again.status == "DONE"
    assert len(await overrides(books, 0)) == 1


async def test_the_command_keeps_what_it_found(
    venue: Demonstration, books: Database, tmp_path: Path
) -> None:
    await venue.open_markets()
    before = await last_verdict(books, 1)
    assert before is not None
    done = await asyncio.to_thread(
        CliRunner().invoke, build(), ["reconcile", "--data", str(tmp_path), "--market", "CN"]
    )
    assert done.exit_code == 0, done.output
    after = await last_verdict(books, 1)
    assert after is not None
    assert after.time_ns > before.time_ns
    assert after.is_whole
    assert after.is_green


async def test_books_that_cannot_be_read_keep_the_day_shut(
    venue: Demonstration, books: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise OSError("connection refused")

    monkeypatch.setattr("gateway.control.opening.last_verdict", away)
    operator = await venue.client(OPERATIONS)
    with pytest.raises(VenueError) as refused:
        await operator.set_phase("EU", "CONTINUOUS")
    assert refused.value.reason == DayReason.BOOKS_NOT_READABLE
    assert await phase(operator) == "CLOSED"
