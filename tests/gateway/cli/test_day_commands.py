"""`exchange end-of-day` as operations run it: files, and numbered refusals."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from exchange import topics
from exchange.database import open_database, upgrade
from exchange.end_of_day import day_of
from gateway.cli import build
from tests.books_desk import Desk
from tests.books_venue import (
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    cross,
    deposit,
    issue,
)
from tests.exchange.conftest import MemoryLog

ROOT = Path(__file__).parents[3]
DATE = dt.date(2026, 11, 18)


async def trade(data: Path) -> None:
    """Books with one trade on a finished day."""
    database = open_database("sqlite", data)
    await upgrade(database)
    log = MemoryLog()
    await log.create(topics.of_market(MARKET.partition))
    desk = Desk(log, database)
    day = day_of(DATE, MARKET.time_zone)
    desk.pump.time_ns = day.begin_ns + 1
    await desk.open()
    await desk.act(issue(HUADONG, CEA_2024, 100))
    await desk.act(deposit(HUADONG, CEA_2024, 100))
    await desk.act(*cross(HUADONG, NORTHERN, CEA_2024, 10))
    desk.pump.time_ns = day.end_ns
    await desk.act(issue(HUADONG, CEA_2024, 1))
    await desk.close()
    await database.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("venue")
    (folder / "venue.toml").write_bytes((ROOT / "deploy/venue/demo.toml").read_bytes())
    asyncio.run(trade(folder))
    return folder


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(build(), ["end-of-day", *arguments, "--data", str(data)])


def test_files_are_written_below_the_market(data: Path, tmp_path: Path) -> None:
    done = run(data, "2026-11-18", "--market", "CN", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    assert "CN 2026-11-18: 1 trades, 10 t, 800.00 CNY, 3 statements" in done.output
    folder = tmp_path / "out" / "CN"
    names = {path.name for path in folder.iterdir()}
    assert {f"2026-11-18-CN-{name}" for name in ("trades.csv", "units.csv", "totals.json")} < names
    told = json.loads((folder / "2026-11-18-CN-totals.json").read_text("utf-8"))
    assert set(told["files"]) == names - {"2026-11-18-CN-totals.json"}
    unnamed = run(data, "2026-11-18", "--market", "CN")
    assert unnamed.exit_code == 0
    default = data / "end-of-day" / "2026-11-18" / "CN"
    assert {path.name for path in default.iterdir()} == names


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["2026-11-18", "--market", "XX"], "701 UNKNOWN_MARKET: market XX: known are EU, CN"),
        (["18.11.2026"], "702 INVALID_DAY: '18.11.2026'"),
        (["2999-01-01", "--market", "CN"], "703 DAY_IN_THE_FUTURE: 2999-01-01 begins in Asia"),
        (["2026-11-19", "--market", "CN"], "704 DAY_NOT_FINISHED: 2026-11-19 ends in Asia"),
        (["2026-11-18", "--market", "EU"], "704 DAY_NOT_FINISHED"),
    ],
)
def test_refusals_have_a_number_and_write_nothing(
    data: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = run(data, *arguments, "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert done.output.startswith(f"exchange: {words}"), done.output
    assert list(tmp_path.rglob("*.csv")) == []


def test_a_folder_in_use_and_a_folder_without_books_are_refused(tmp_path: Path, data: Path) -> None:
    (tmp_path / "out" / "CN").mkdir(parents=True)
    (tmp_path / "out" / "CN" / "old.csv").write_text("mine")
    done = run(data, "2026-11-18", "--market", "CN", "--out", str(tmp_path / "out"))
    assert done.exit_code == 2
    assert done.output.startswith("exchange: 705 DIRECTORY_NOT_EMPTY: ")
    empty = run(tmp_path, "2026-11-18")
    assert empty.exit_code == 2
    assert "no exchange.sqlite there" in empty.output
    assert not (tmp_path / "exchange.sqlite").exists()
