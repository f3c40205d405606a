"""`exchange verify` and `rebuild` on a recorded venue: green, and red where something was changed.

The log, the books and a snapshot are those of a venue that was stopped; each test has a copy.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from exchange import topics
from exchange.clock import SystemClock
from exchange.engine.service import EngineService
from exchange.messages.instructions import DepositUnits, IssueUnits
from exchange.rebuild import Place, place_of
from exchange.settlement.queries import position_of as settlement_position
from gateway.cli import build
from gateway.cli.demo import TEMPLATE
from tests.gateway.conftest import House
from tests.gateway.registry.test_gateway_registry import whole_house

EU = 0
EVENTS = topics.events(EU)
BOOKS = "exchange.sqlite"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trades in EUA, and between them a snapshot of the engine: the only one that is left."""

    async def record() -> None:
        async with whole_house(folder, SystemClock()) as house:
            await endow(house)
            await trade(house)
            await house.stop("engine-EU")
            market = house.venue.market_of("EU")
            house.run(EngineService(house.log, market, house.settings, house.clock))
            await trade(house)
            await house.until(lambda: is_booked(house))

    folder = tmp_path_factory.mktemp("recorded")
    asyncio.run(record())
    (folder / "books.sqlite").rename(folder / BOOKS)
    (folder / "venue.toml").write_text(TEMPLATE.read_text("utf-8"), "utf-8")
    first, *later = sorted((folder / "snapshots" / "EU").iterdir())
    assert int(first.stem) > 0
    for path in later:
        path.unlink()
    return folder


async def endow(house: House) -> None:
    eua = {"ref": 0, "symbol": "EUA", "account": 101, "quantity": 600}
    async with house.client("operator") as operator, house.client("northern") as northern:
        await operator.instruct(IssueUnits(**eua, year=2025))
        await northern.instruct(DepositUnits(**eua))
        await operator.deposit_cash("EU", 102, "100000.00")
        await operator.set_phase("EU", "CONTINUOUS")


async def trade(house: House) -> None:
    async with house.client("northern") as northern, house.client("huadong") as huadong:
        await northern.new_order("EUA", 101, "SELL", 100, "71.25")
        done = await huadong.new_order("EUA", 102, "BUY", 100, "71.25")
    assert done.exec_type == "TRADE", done


async def is_booked(house: House) -> bool:
    assert house.books is not None
    settled = await settlement_position(house.books, EU)
    place = await place_of(house.books, EU)
    return await is_settled(house) and place.settlements == settled.number > 0


async def is_settled(house: House) -> bool:
    assert house.books is not None
    return (await place_of(house.books, EU)).events == await house.log.end(EVENTS)


@pytest.fixture
def folder(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "venue"))


def run(folder: Path, *words: str) -> Result:
    named = [words[0], "--market", "EU", "--data", str(folder), *words[1:]]
    return CliRunner(env={"EXCHANGE_LOG": "embedded"}).invoke(build(words[0]), named)


def snapshot_at(folder: Path) -> int:
    (path,) = (folder / "snapshots" / "EU").iterdir()
    return int(path.stem)


def flip_event(folder: Path, *, is_late: bool) -> int:
    """One bit of the first or the last record of `events`; its offset."""
    with sqlite3.connect(folder / "log.sqlite") as log:
        (partition,) = log.execute(
            "SELECT id FROM partition WHERE topic = ? AND number = ?", (EVENTS.topic, EU)
        ).fetchone()
        order = "DESC" if is_late else "ASC"
        position, value = log.execute(
            f"SELECT position, value FROM record WHERE position >> 44 = ? ORDER BY 1 {order}",  # noqa: S608
            (partition,),
        ).fetchone()
        flipped = value[:-1] + bytes([value[-1] ^ 1])
        log.execute("UPDATE record SET value = ? WHERE position = ?", (flipped, position))
    log.close()
    return int(position) & ((1 << 44) - 1)


def change_books(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / BOOKS) as books:
        assert books.execute(statement).rowcount == 1
    books.close()


@pytest.mark.parametrize(("words", "told"), [
    (("verify",), "1 snapshots compared"),
    (("verify", "--engine", "reference"), "1 snapshots compared"),
    (("verify",), "EU what takes two persons was proposed by one and approved by another"),
    (("verify", "--books"), "EU books made anew from the log equal the books in use"),
    (("rebuild",), "EU books made anew from the log equal the books in use"),
])  # fmt: skip
def test_what_was_recorded_is_sound(folder: Path, words: tuple[str, ...], told: str) -> None:
    done = run(folder, *words)
    assert done.exit_code == 0, done.output
    assert told in done.output


@pytest.mark.parametrize("words", [("verify",), ("verify", "--books"), ("rebuild",)])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_changed_event_is_named(folder: Path, words: tuple[str, ...], is_late: bool) -> None:
    offset = flip_event(folder, is_late=is_late)
    done = run(folder, *words)
    assert done.exit_code == 1, done.output
    assert f"events record {offset}" in done.output


def test_a_registry_that_is_behind_is_compared_where_it_stands(tmp_path: Path) -> None:
    """As after a kill: what settlement said is on the log, and the registry has not read it."""

    async def record() -> Place:
        async with whole_house(tmp_path, SystemClock()) as house:
            await endow(house)
            await trade(house)
            await house.until(lambda: is_booked(house))
            await house.stop("registry-EU")
            await trade(house)
            await house.until(lambda: is_settled(house))
            assert house.books is not None
            found = await place_of(house.books, EU)
            assert found.settlements < (await settlement_position(house.books, EU)).number
            return found

    place = asyncio.run(record())
    (tmp_path / "books.sqlite").rename(tmp_path / BOOKS)
    (tmp_path / "venue.toml").write_text(TEMPLATE.read_text("utf-8"), "utf-8")
    where = f"{place.events} records of events and {place.settlements} of settlements"
    for words in (("rebuild",), ("verify", "--books")):
        done = run(tmp_path, *words)
        assert done.exit_code == 0, done.output
        assert where in done.output
    change_books(tmp_path, "UPDATE block SET vintage = 2024 WHERE market = 0 AND first_serial = 1")
    done = run(tmp_path, "rebuild")
    assert done.exit_code == 1, done.output
    assert "vintage is 2024 where the log gives 2025" in done.output


def test_a_damaged_snapshot_is_named_and_the_history_is_proved(folder: Path) -> None:
    (path,) = (folder / "snapshots" / "EU").iterdir()
    whole = run(folder, "verify").output
    path.write_bytes(b"damaged")
    (path.parent / "abc.snapshot").write_bytes(b"")
    done = run(folder, "verify")
    assert done.exit_code == 1, done.output
    assert f"snapshot {path.name}: 7 bytes are no snapshot file" in done.output
    assert f"{path.parent / 'abc.snapshot'}: passed over, its name is no offset" in done.output
    assert whole.partition(" records of orders")[0].split()[-1] in done.output
    assert "looked no further" not in done.output
    flip_event(folder, is_late=False)
    done = run(folder, "verify")
    assert "looked no further than before record 0 of orders" in done.output
    assert "not answered yet" not in done.output


def test_a_market_named_twice_is_one_market(folder: Path) -> None:
    once, twice = run(folder, "records"), run(folder, "records", "--market", "EU")
    assert len(once.output.splitlines()) > 2
    assert twice.output == once.output


def test_from_a_snapshot_events_are_proved_from_there_on(folder: Path) -> None:
    start = snapshot_at(folder)
    newest = ("verify", "--from-snapshot", "newest")
    done = run(folder, *newest)
    assert done.exit_code == 0, done.output
    assert f"from record {start}" in done.output
    flip_event(folder, is_late=False)  # before it
    assert run(folder, *newest).exit_code == 0
    assert run(folder, "verify").exit_code == 1
    offset = flip_event(folder, is_late=True)
    done = run(folder, *newest)
    assert done.exit_code == 1, done.output
    assert f"events record {offset}" in done.output
    assert f"from record {start}" in done.output


def test_a_snapshot_that_is_not_sound_is_no_start(folder: Path) -> None:
    (path,) = (folder / "snapshots" / "EU").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = run(folder, "verify", "--from-snapshot", "newest")
    assert (done.exit_code, "no sound snapshot there" in done.output) == (2, True)
    done = run(folder, "verify")
    assert (done.exit_code, f"snapshot {path.name}" in done.output) == (1, True)


@pytest.mark.parametrize(("statement", "told"), [
    ("UPDATE balance SET amount = amount + 1 WHERE (market, account, asset) = (0, 102, 0)",
     "; balance market 0, account 102, asset 0: amount is "),
    ("UPDATE block SET vintage = 2024 WHERE market = 0 AND first_serial = 1",
     ": vintage is 2024 where the log gives 2025"),
    ("DELETE FROM block WHERE market = 0 AND first_serial = 1",
     "is missing from the books in use"),
])  # fmt: skip
@pytest.mark.parametrize("words", [("verify", "--books"), ("rebuild",)])
def test_a_changed_row_of_the_books_is_named(
    folder: Path, words: tuple[str, ...], statement: str, told: str
) -> None:
    change_books(folder, statement)
    done = run(folder, *words)
    assert done.exit_code == 1, done.output
    assert "but the books in use have" in done.output
    assert told in done.output
    assert f"; {statement.split()[1 if statement[0] == 'U' else 2]} market 0, " in done.output
    log_alone = run(folder, "verify")  # which says nothing of the books
    assert log_alone.exit_code == 0, log_alone.output


@pytest.mark.parametrize("more", [
    ("--books",), ("--from-snapshot", "newest"), ("--engine", "reference"),
    ("--books", "--engine", "reference"),
])  # fmt: skip
def test_against_checkpoints_nothing_is_left_out_in_silence(
    folder: Path, more: tuple[str, ...]
) -> None:
    done = run(folder, "verify", "--against", str(folder), *more)
    assert done.exit_code == 2
    assert f"--against computes nothing anew: leave out {more[0]}" in done.output


def test_checkpoints_that_are_not_there_are_asked_for(folder: Path) -> None:
    done = run(folder, "verify", "--against", "/none")
    assert done.exit_code == 2
    assert "exchange: --against /none: nothing is there; name a checkpoint" in done.output
    done = run(folder, "verify", "--against", str(folder))
    assert done.exit_code == 2
    assert "no public.key in it or in a folder above it; name the key" in done.output


def test_a_public_key_is_that_of_checkpoints(folder: Path) -> None:
    done = run(folder, "verify", "--public-key", str(folder / "public.key"))
    assert done.exit_code == 2
    assert "--public-key goes with --against" in done.output


def test_the_help_says_what_each_way_proves() -> None:
    told = " ".join(
        CliRunner(env={"COLUMNS": "400"}).invoke(build(), ["verify", "--help"]).output.split()
    )
    for words in (
        "nothing before it is proved", "goes from the start of the log",
        "nothing is computed anew",
    ):  # fmt: skip
        assert words in told
