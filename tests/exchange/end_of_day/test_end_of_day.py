"""The files of a day: they add up, join the next day's, and come out the same again."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from sqlalchemy import insert, text

from exchange.database import Database
from exchange.database import schema as tables
from exchange.end_of_day import DayRefusedError, day_of, parse_day
from exchange.end_of_day import statements as statement_walk
from exchange.end_of_day.days import cut_of, utc_text
from exchange.messages.frames import Command, Instruction, command
from exchange.messages.reasons import DayReason
from exchange.messages.registry import ReversalProposed, UnitsSurrendered
from exchange.settlement.queries import ledger_balances
from tests.books_desk import act_of, owed, surrender
from tests.books_venue import CCER, CEA_2024, HUADONG, MARKET, NORTHERN, cross, deposit, issue
from tests.exchange.end_of_day.conftest import FIRST, LATER_NS, Days, closed, table

ONE_DAY = dt.timedelta(days=1)
Key = tuple[str, str, str]


def balances(folder: Path, record: str) -> dict[Key, str]:
    """{(account, asset, position): balance} of a day's statements, without zeros."""
    return {
        (row["account"], row["asset"], row["position"]): row["balance"]
        for row in table(folder, "statement-*")
        if row["record"] == record and row["balance"] not in ("0", "0.00")
    }


def minor(text: str) -> int:
    return int(text.replace(".", ""))


@pytest.mark.parametrize("seed", range(2))
async def test_each_day_joins_the_next_and_adds_up(
    make_days: Any, books: Database, tmp_path: Path, seed: int
) -> None:
    days: Days = await make_days(seed)
    dates = [FIRST + ONE_DAY * number for number in range(4)]
    at_midnight = []
    for date in dates:
        await days.day(date)
        at_midnight.append(await ledger_balances(books, MARKET.partition))
    await days.pass_on(dates[-1])
    for number, date in enumerate(dates):
        await closed(books, date, tmp_path / str(number))
    for number, ledger in enumerate(at_midnight):
        folder = tmp_path / str(number)
        opening, closing = balances(folder, "OPENING"), balances(folder, "CLOSING")
        if number:
            assert opening == balances(tmp_path / str(number - 1), "CLOSING")
        by_account = {
            (int(account), asset): minor(balance)
            for (account, asset, position), balance in closing.items()
            if position in ("CASH", "TRADING")
        }
        symbols = {0: "CNY", 11: "CEA-2024", 12: "CEA-2025", 21: "CCER"}
        assert by_account == {
            (account, symbols[asset]): amount
            for (account, asset), amount in ledger.items()
            if account >= 0 and amount
        }
        check_sums(folder)
        check_serials(folder, closing)


def check_sums(folder: Path) -> None:
    """Each section: opening and movements are the closing; the totals are the sums of all."""
    sums: dict[Key, int] = defaultdict(int)
    for row in table(folder, "statement-*"):
        key = (row["account"], row["asset"], row["position"])
        if row["record"] == "OPENING":
            sums[key] = minor(row["balance"])
        elif row["record"] == "MOVEMENT":
            sums[key] += minor(row["amount"])
            assert sums[key] == minor(row["balance"])
        elif row["record"] == "CLOSING":
            assert sums[key] == minor(row["balance"])
        assert (row["vat_code"] == "S") == (row["cause"] == "FEE")
    (path,) = folder.glob("*-totals.json")
    told = json.loads(path.read_text("utf-8"))
    trades = table(folder, "trades")
    assert told["trades"]["count"] == len(trades)
    assert told["trades"]["quantity_t"] == sum(int(row["quantity_t"]) for row in trades)
    assert minor(told["trades"]["value"]) == sum(minor(row["value"]) for row in trades)
    assert all(row["delivery"] == "DELIVERED" for row in trades)
    assert all(
        minor(row["value"]) == minor(row["price"]) * int(row["quantity_t"]) for row in trades
    )
    cash = told["cash"]
    moved = sum(minor(amount) for amount in cash["movements"].values())
    assert minor(cash["opening"]) + moved == minor(cash["closing"])
    assert cash["movements"].get("PAYMENT", "0.00") == "0.00"
    fees = told["trades"]["buyer_fees"], told["trades"]["seller_fees"]
    assert -minor(cash["movements"].get("FEE", "0")) == sum(map(minor, fees))
    on_disk = {p.name: p.read_bytes() for p in folder.iterdir() if p != path}
    assert {name: hashlib.sha256(data).hexdigest() for name, data in on_disk.items()} == {
        name: entry["sha256"] for name, entry in told["files"].items()
    }


def check_serials(folder: Path, closing: dict[Key, str]) -> None:
    """The serial numbers held are the closing units of each position, and none is held twice."""
    held: dict[Key, int] = defaultdict(int)
    ranges: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in table(folder, "statement-*"):
        if row["record"] == "HOLDING":
            first, last = int(row["first_serial"]), int(row["last_serial"])
            assert int(row["amount"]) == last - first + 1
            held[row["account"], row["asset"], row["position"]] += last - first + 1
            ranges[row["programme"]].append((first, last))
    units = {key: int(text) for key, text in closing.items() if key[2] != "CASH"}
    assert held == units
    for pairs in ranges.values():
        pairs.sort()
        assert all(a[1] < b[0] for a, b in itertools.pairwise(pairs))


async def test_the_same_day_gives_the_same_bytes_again(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(5)
    await days.day(FIRST)
    await days.pass_on(FIRST)
    first = await closed(books, FIRST, tmp_path / "first")
    for number in (1, 2, 3):
        await days.day(FIRST + ONE_DAY * number)
    again = await closed(books, FIRST, tmp_path / "again")
    assert again.sha256 == first.sha256
    files = sorted(path.name for path in first.folder.iterdir())
    assert files == sorted(path.name for path in again.folder.iterdir())
    assert len(files) >= 3 + 2 * 3
    for name in files:
        assert (first.folder / name).read_bytes() == (again.folder / name).read_bytes(), name


async def test_files_show_a_trade_its_units_and_its_fees(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(0)
    begin = day_of(FIRST, MARKET.time_zone).begin_ns
    await days.at(begin, *cross(HUADONG, NORTHERN, CEA_2024, 100, 8_001))
    await days.at(
        begin + 1,
        command(Command.CASH_WITHDRAW, account_id=NORTHERN, quantity=5, order_id=77),
        issue(NORTHERN, CCER, 9),
        deposit(NORTHERN, CCER, 4),
    )
    await days.pass_on(FIRST)
    found = await closed(books, FIRST, tmp_path / "out")
    (trade,) = table(found.folder, "trades")
    assert trade["time_utc"] == "2026-11-17T16:00:00.000000000Z"
    assert (trade["price"], trade["value"], trade["currency"]) == ("80.01", "8001.00", "CNY")
    assert (trade["buyer_account"], trade["seller_account"]) == ("201", "202")
    assert (trade["buyer_fee"], trade["seller_fee"]) == ("4.00", "2.40")  # taker 5, maker 3 bp
    units = table(found.folder, "units")
    moved = [(row["event"], row["cause"], row["quantity_t"]) for row in units]
    assert moved == [
        ("MOVED", "TRADE", "100"),
        ("ISSUED", "ISSUE", "9"),
        ("MOVED", "DEPOSIT", "4"),
    ]
    lines = [
        (row["asset"], row["position"], row["cause"], row["cause_id"], row["amount"])
        for row in table(found.folder, "statement-201")
        if row["record"] == "MOVEMENT"
    ]
    trade_id, issued, deposited = trade["trade_id"], units[1]["cause_id"], units[2]["cause_id"]
    assert lines == [
        ("CNY", "CASH", "PAYMENT", trade_id, "-8001.00"),
        ("CNY", "CASH", "FEE", trade_id, "-4.00"),
        ("CNY", "CASH", "WITHDRAWAL", "77", "-0.05"),
        ("CEA-2025", "TRADING", "DELIVERY", trade_id, "100"),
        ("CCER", "TRADING", "DEPOSIT", deposited, "4"),
        ("CCER", "REGISTRY", "ISSUE", issued, "9"),
        ("CCER", "REGISTRY", "DEPOSIT", deposited, "-4"),
    ]


async def test_a_surrender_undone_the_next_day_is_on_both_days(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(0)
    first, second = (day_of(date, MARKET.time_zone) for date in (FIRST, FIRST + ONE_DAY))
    days.desk.pump.time_ns = first.begin_ns + 1
    await days.desk.act(*owed(NORTHERN, 2025, 1_000))
    (done,) = await days.desk.act(surrender(NORTHERN, CCER, 5))
    assert isinstance(done, UnitsSurrendered)
    reverse = (NORTHERN, CCER, 5, done.instruction_id)
    days.desk.pump.time_ns = second.begin_ns + 1
    (proposed,) = await days.desk.act(*act_of(Instruction.PROPOSE_REVERSAL, *reverse, "ann\nwhy"))
    assert isinstance(proposed, ReversalProposed)
    approval = (NORTHERN, CCER, 5, proposed.instruction_id)
    await days.desk.act(*act_of(Instruction.APPROVE_REVERSAL, *approval, "ben\n"))
    await days.pass_on(FIRST + ONE_DAY)
    one = (await closed(books, FIRST, tmp_path / "1")).folder
    two = (await closed(books, FIRST + ONE_DAY, tmp_path / "2")).folder
    key = ("201", "CCER", "REGISTRY")
    assert balances(one, "OPENING")[key] == balances(two, "CLOSING")[key] == "500"
    assert balances(one, "CLOSING")[key] == balances(two, "OPENING")[key] == "495"
    for folder in (one, two):
        check_sums(folder)
        check_serials(folder, balances(folder, "CLOSING"))
    assert [row["event"] for row in table(one, "units")] == ["SURRENDERED"]
    assert [row["event"] for row in table(two, "units")] == ["REVERSED"]


def words(path: Path) -> str:
    document = pypdfium2.PdfDocument(path)
    try:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)
    finally:
        document.close()


async def test_paper_prints_names_amounts_and_the_tax_code(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(0)
    begin = day_of(FIRST, MARKET.time_zone).begin_ns
    await days.at(begin + 5 * 10**9, *cross(HUADONG, NORTHERN, CEA_2024, 100, 8_001))
    await days.pass_on(FIRST)
    folder = (await closed(books, FIRST, tmp_path / "out")).folder
    huadong = words(folder / "2026-11-18-CN-statement-202.pdf")
    assert "华东碳贸易有限公司" in huadong
    assert "Łódź Carbon, house" in words(folder / "2026-11-18-CN-statement-201.pdf")
    for text_ in ("00:00:05", "+8,001.00", "-2.40", "CEA-", "page 1 of", "VAT category S"):
        assert text_ in huadong
    assert huadong.count("VAT") == 1
    assert "201" not in huadong.replace("2026", "")  # who the other side was is nobody's business


async def test_paper_says_what_it_leaves_to_the_csv(
    make_days: Any, books: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement_walk, "STATEMENT_LINES_MAX", 3)
    days: Days = await make_days(0)
    begin = day_of(FIRST, MARKET.time_zone).begin_ns
    for step in range(6):
        await days.at(begin + step, *cross(HUADONG, NORTHERN, CEA_2024, 10, 8_001))
    await days.pass_on(FIRST)
    folder = (await closed(books, FIRST, tmp_path / "out")).folder
    shown = words(folder / "2026-11-18-CN-statement-202.pdf")
    assert "9 more movements of this asset are in 2026-11-18-CN-statement-202.csv" in shown
    assert len(table(folder, "statement-202")) > 20


# -- refusals -----------------------------------------------------------------------------------


async def refused(books: Database, date: dt.date, folder: Path, **given: Any) -> DayReason:
    before = sorted(folder.parent.iterdir()) if folder.parent.exists() else []
    with pytest.raises(DayRefusedError) as caught:
        await closed(books, date, folder, **given)
    assert str(int(caught.value.reason)) in str(caught.value)
    assert sorted(folder.parent.iterdir()) == before, "something was left behind"
    return caught.value.reason


async def test_an_unfinished_or_future_day_is_refused(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(1)
    await days.day(FIRST)
    assert await refused(books, FIRST, tmp_path / "x") == DayReason.DAY_NOT_FINISHED
    ahead = day_of(dt.date(2034, 1, 1), MARKET.time_zone)
    async with books.reading() as connection:
        with pytest.raises(DayRefusedError) as caught:
            await cut_of(connection, MARKET.partition, ahead, ahead.begin_ns - 1)
    assert caught.value.reason == DayReason.DAY_IN_THE_FUTURE
    await days.pass_on(FIRST)
    await closed(books, FIRST, tmp_path / "y")


async def test_a_registry_that_is_behind_leaves_the_day_open(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(1)
    await days.day(FIRST)
    await days.pass_on(FIRST)
    begin = day_of(FIRST, MARKET.time_zone).begin_ns
    async with books.writing() as connection:
        await connection.execute(
            tables.registry_position.update().values(settlement_number=0, time_ns=begin)
        )
    assert await refused(books, FIRST, tmp_path / "x") == DayReason.DAY_NOT_FINISHED


async def test_a_folder_with_something_in_it_is_refused(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(1)
    await days.pass_on(FIRST)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    assert await refused(books, FIRST, tmp_path / "full") == DayReason.DIRECTORY_NOT_EMPTY
    (tmp_path / "empty").mkdir()
    await closed(books, FIRST, tmp_path / "empty")
    assert await refused(books, FIRST, tmp_path / "empty") == DayReason.DIRECTORY_NOT_EMPTY


async def test_transfers_without_a_time_are_refused(
    make_days: Any, books: Database, tmp_path: Path
) -> None:
    days: Days = await make_days(1)
    await days.pass_on(FIRST)
    async with books.writing() as connection:
        await connection.execute(
            insert(tables.posting),
            [
                {"market": 1, "event_number": 10**9, "leg": 7, "account": 201, "asset": 0,
                 "amount": 1},
            ],
        )  # fmt: skip
    assert await refused(books, FIRST, tmp_path / "x") == DayReason.TRANSFERS_MISSING


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE balance SET amount = amount + 1 WHERE account = 201 AND asset = 12",
        "UPDATE block SET account = 202 "
        "WHERE account = 201 AND position = 2 AND instrument_id = 12",
    ],
)
async def test_books_that_contradict_themselves_are_refused(
    make_days: Any, books: Database, tmp_path: Path, statement: str
) -> None:
    """A unit on the ledger which no serial number backs is never printed on a statement."""
    days: Days = await make_days(1)
    await days.pass_on(FIRST)
    async with books.writing() as connection:
        await connection.execute(text(statement))
    assert await refused(books, FIRST, tmp_path / "x") == DayReason.BOOKS_DO_NOT_ADD_UP


# -- days ---------------------------------------------------------------------------------------


def test_days_follow_the_clocks_of_their_zone() -> None:
    hours = 3_600 * 10**9
    spring, autumn = dt.date(2026, 3, 29), dt.date(2026, 10, 25)
    lengths = [
        (day.end_ns - day.begin_ns) // hours
        for day in (day_of(date, "Europe/Berlin") for date in (FIRST, spring, autumn))
    ]
    assert lengths == [24, 23, 25]
    for zone in ("Europe/Berlin", "Asia/Shanghai", "America/Sao_Paulo", "Africa/Cairo", "UTC"):
        date = dt.date(2018, 1, 1)
        while date.year < 2020:
            assert day_of(date, zone).end_ns == day_of(date + ONE_DAY, zone).begin_ns
            date += ONE_DAY
    assert utc_text(day_of(FIRST, "Asia/Shanghai").begin_ns) == "2026-11-17T16:00:00.000000000Z"
    assert utc_text(1) == "1970-01-01T00:00:00.000000001Z"
    assert day_of(FIRST, "UTC").end_ns < LATER_NS


@pytest.mark.parametrize("text_", ["2026-11-31", "27.11.2026", "", "2026-11-27T00:00", "x" * 99])
def test_a_day_that_is_no_date_is_refused(text_: str) -> None:
    with pytest.raises(DayRefusedError) as caught:
        parse_day(text_)
    assert caught.value.reason == DayReason.INVALID_DAY
    assert parse_day("2026-11-27") == dt.date(2026, 11, 27)
