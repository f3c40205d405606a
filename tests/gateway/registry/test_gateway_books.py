"""Questions to the registry's books over REST and the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exchange.clock import SystemClock
from exchange.messages.instructions import DepositUnits, FreezeUnits, IssueUnits
from gateway.cli import build
from gateway.client import BadRequestError, PermissionDeniedError, VenueError, save_key
from tests.behind_the_back import behind_the_back
from tests.gateway.conftest import House
from tests.gateway.registry.test_gateway_registry import whole_house

EUA = {"ref": 0, "symbol": "EUA", "account": 101}


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[House]:
    """1,000 t issued, then 300 t deposited, then 200 t frozen."""
    async with whole_house(tmp_path, SystemClock()) as house:
        async with house.client("operator") as operator, house.client("northern") as northern:
            await operator.instruct(IssueUnits(**EUA, quantity=1_000, year=2024))
            await northern.instruct(DepositUnits(**EUA, quantity=300))
            await operator.instruct(FreezeUnits(**EUA, quantity=200, reference="court 7"))
        yield house


async def test_a_serial_number_is_followed(whole: House) -> None:
    async with whole.client("authority") as authority, whole.client("northern") as northern:
        found = await authority.serial_history("EUA", 301)
        assert [(row.kind, row.cause) for row in found.events] == [
            ("ISSUED", "ISSUE"), ("SPLIT", "DEPOSIT"), ("SPLIT", "FREEZE"), ("MOVED", "FREEZE"),
        ]  # fmt: skip
        last = found.events[-1]
        assert (last.from_position, last.to_position, last.to_account) == (
            "REGISTRY", "FROZEN", 101,
        )  # fmt: skip
        assert (last.block.first, last.block.last) == (301, 500)
        page = await authority.serial_history("EUA", 301, before=last.sequence, limit=1)
        assert [row.kind for row in page.events] == ["SPLIT"]
        for programme, serial, told in (
            ("EUA", 1_001, "no unit of EUA has serial number 1001"),
            ("NONE", 1, "no programme 'NONE' gives out serial numbers here; those that do: CCER,"),
            ("a\0b", 1, "no programme 'a\\x00b' gives out"),
        ):
            with pytest.raises(VenueError) as unknown:
                await authority.serial_history(programme, serial)
            assert unknown.value.reason == 523
            assert told in str(unknown.value)
        for limit, serial in ((0, 1), (10**6, 1), (1, -1)):
            with pytest.raises(BadRequestError):
                await authority.serial_history("EUA", serial, limit=limit)
        with pytest.raises(PermissionDeniedError):
            await northern.serial_history("EUA", 301)


async def test_an_account_at_an_instant(whole: House) -> None:
    async with whole.client("northern") as northern, whole.client("huadong") as huadong:
        now = await northern.holdings_at("EU", 101)
        assert {row.position: row.quantity for row in now.holdings} == {
            "REGISTRY": 500, "TRADING": 300, "FROZEN": 200,
        }  # fmt: skip
        frozen_ns = max(row.since_ns for row in now.holdings)
        before = await northern.holdings_at("EU", 101, frozen_ns - 1)
        assert {row.position: row.quantity for row in before.holdings} == {
            "REGISTRY": 700, "TRADING": 300,
        }  # fmt: skip
        assert (await northern.holdings_at("EU", 101, 1)).holdings == []
        for account in (102, 999):
            with pytest.raises(PermissionDeniedError):
                await northern.holdings_at("EU", account)
        assert (await huadong.holdings_at("EU", 102)).holdings == []
        for time_ns in (-1, 2**63):
            with pytest.raises(BadRequestError):
                await northern.holdings_at("EU", 101, time_ns)


async def test_no_issuance_is_there_twice(whole: House, tmp_path: Path) -> None:
    async with whole.client("operator") as operator, whole.client("northern") as northern:
        assert (await operator.duplicate_issuances()).duplicates == []
        async with behind_the_back(tmp_path / "books.sqlite") as books:
            books.execute(
                "INSERT INTO block_history SELECT market, 999, settlement_number, time_ns, kind, "
                "999, programme, 500, 2000, from_account, from_position, to_account, to_position, "
                "cause, 77, 0, 0, 1024 FROM block_history WHERE kind = 1"
            )
        (row,) = (await operator.duplicate_issuances()).duplicates
        assert (row.issuance.instruction_id, row.issuance.range.first) == (77, 500)
        assert (row.other.market, row.other.range.last) == ("EU", 1_000)
        with pytest.raises(PermissionDeniedError):
            await northern.duplicate_issuances()


async def test_reductions_that_were_counted_twice(whole: House, tmp_path: Path) -> None:
    save_key(tmp_path / "operator.key", whole.keys["operator"]._replace(url=whole.url))
    async with behind_the_back(tmp_path / "books.sqlite") as books:
        told = '{"name":"Helan wind","region":"CN-NX"}'
        for market, programme, project in ((1, "CER", 7), (2, "CCER", 30)):
            books.execute(
                "INSERT INTO project VALUES (?, ?, ?, 1, 1, ?, 1)",
                (market, project, programme, told),
            )
            books.execute(
                "INSERT INTO block VALUES (?, ?, ?, 1, 10, 1, 2024, 1, 0, 3, 1, 0, ?, 20240101, "
                "20241231)", (market, 900 + market, programme, project),
            )  # fmt: skip
            books.execute(
                "INSERT INTO block_history SELECT ?, 999, 1, 1, 1, ?, ?, 1, 10, 0, 0, 1, 1, "
                "'ISSUE', ?, 0, 0, 8", (market, 900 + market, programme, 50 + market),
            )  # fmt: skip
    async with whole.client("operator") as operator:
        found = await operator.duplicate_issuances()
    assert found.duplicates == []
    ((period,), (twice,)) = (found.periods, found.projects)
    assert {period.project, period.other_project} == {7, 30}
    assert (period.period_from, period.other_to) == (20240101, 20241231)
    assert (twice.project.programme, twice.other.programme) == ("CER", "CCER")
    given = ["duplicates", "--key-file", str(tmp_path / "operator.key")]
    done = await asyncio.to_thread(CliRunner().invoke, build(), given)
    assert done.exit_code == 1
    assert "reductions of 20240101-20241231 share days with" in done.output
    assert "are one: Helan wind CN-NX" in done.output


async def test_books_that_cannot_be_read(
    whole: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gateway.client.rest.TRIES", 1)
    assert whole.gateway is not None
    async with whole.client("operator") as operator:
        books, whole.gateway.context.books = whole.gateway.context.books, None
        with pytest.raises(VenueError, match="no books"):
            await operator.duplicate_issuances()
        whole.gateway.context.books = books
        async with behind_the_back(tmp_path / "books.sqlite") as file:
            file.execute("ALTER TABLE block_history RENAME TO lost")
        with pytest.raises(VenueError, match="cannot be read now") as busy:
            await operator.duplicate_issuances()
        assert busy.value.reason == 521


async def test_the_command_line_asks(whole: House, tmp_path: Path) -> None:
    files = {}
    for name in ("operator", "northern"):
        files[name] = str(tmp_path / f"{name}.key")
        save_key(Path(files[name]), whole.keys[name]._replace(url=whole.url))

    async def run(name: str, *arguments: str, code: int = 0) -> str:
        given = [*arguments, "--key-file", files[name]]
        done = await asyncio.to_thread(CliRunner().invoke, build(), given)
        assert done.exit_code == code, (arguments, done.output, done.exception)
        return done.output

    history = await run("operator", "serial", "EUA", "301")
    assert "ISSUED" in history
    assert "FROZEN" in history
    assert "no issuance overlaps another" in await run("operator", "duplicates")
    later = await run("northern", "holdings-at", "EU", "2100-01-01", "--account", "101")
    assert "FROZEN" in later
    assert "200" in later
    assert "ROLE_NOT_ALLOWED" in await run("northern", "duplicates", code=1)
