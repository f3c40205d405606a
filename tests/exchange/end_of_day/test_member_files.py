"""What members bought and sold net on a day, and what was settled late: two files."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange.database import Database
from exchange.messages.frames import Command, Instruction, command
from exchange.settlement.due_dates import cut_offs_missed
from tests.books_desk import Desk
from tests.books_venue import CCER, CEA_2024, HUADONG, MARKET, VENUE, YANGTZE, cross
from tests.exchange.end_of_day.conftest import closed, table
from tests.exchange.settlement.test_settlement_cycle import DAY_NS, TODAY, act, desk, trade
from tests.settlement_desk import RULE, at

__all__ = ["desk"]

HOUR_NS = 3_600 * 10**9
RATED = msgspec.structs.replace(MARKET, late_settlement_ppm=250)


async def later(desk: Desk, hours: int) -> None:
    desk.pump.time_ns += hours * HOUR_NS
    await desk.act(command(Command.CLOCK_TICK))


async def test_each_member_sees_what_its_trades_come_to(
    desk: Desk, books: Database, tmp_path: Path
) -> None:
    await desk.act(*cross(HUADONG, YANGTZE, CCER, 30, 7_100))
    await desk.act(*cross(HUADONG, YANGTZE, CCER, 20, 7_200))
    await desk.act(*cross(YANGTZE, HUADONG, CCER, 10, 7_300))
    await trade(desk)
    await later(desk, 24)
    folder = (await closed(books, TODAY, tmp_path / "day")).folder
    rows = table(folder, "netting")
    bank = {row["participant"]: 0 for row in rows}
    by_key = {(int(row["participant"]), row["instrument"]): row for row in rows}
    owners = {account.id: account.participant for account in VENUE.account}
    seller = by_key[owners[HUADONG], "CCER"]
    assert [seller[name] for name in ("purchases", "sales", "bought_t", "sold_t", "net_t")] == [
        "1", "2", "10", "50", "-40"
    ]  # fmt: skip
    assert (seller["bought_value"], seller["sold_value"]) == ("730.00", "3570.00")
    assert seller["net_value"] == "2840.00"
    assert by_key[owners[YANGTZE], "CCER"]["net_value"] == "-2840.00"
    for row in rows:
        assert minor(row["net_cash"]) == minor(row["net_value"]) - minor(row["fees"])
        bank[row["participant"]] += minor(row["net_cash"])
    trades = table(folder, "trades")
    fees = sum(minor(row["buyer_fee"]) + minor(row["seller_fee"]) for row in trades)
    assert sum(bank.values()) == -fees
    assert sum(int(row["net_t"]) for row in rows) == 0
    assert (seller["name"], seller["currency"]) == (name_of(owners[HUADONG]), "CNY")


def name_of(participant: int) -> str:
    return next(firm.name for firm in VENUE.participant if firm.id == participant)


def minor(text: str) -> int:
    return int(text.replace(".", ""))


async def late_on(
    books: Database, day: int, folder: Path, market: Any = RATED
) -> list[dict[str, str]]:
    date = TODAY + dt.timedelta(days=day)
    return table((await closed(books, date, folder / str(day), market)).folder, "late")


async def test_a_trade_is_overdue_until_it_is_settled_late(
    desk: Desk, books: Database, tmp_path: Path
) -> None:
    number = await trade(desk)
    in_time = await trade(desk)
    await act(desk, Instruction.FAIL_SETTLEMENT, number, "op\nno units")
    await later(desk, 24)
    await later(desk, 24)
    await act(desk, Instruction.RETRY_SETTLEMENT, number, "op\nthey came")
    await later(desk, 48)
    assert await late_on(books, 0, tmp_path) == []
    (overdue,) = await late_on(books, 1, tmp_path)
    (late,) = await late_on(books, 2, tmp_path)
    assert await late_on(books, 3, tmp_path) == []
    value = minor(late["value"])
    assert (int(overdue["trade_id"]), overdue["state"], overdue["ended_utc"]) == (
        number, "OVERDUE", ""
    )  # fmt: skip
    assert (overdue["cut_offs_missed"], overdue["failed_by"], overdue["reason"]) == (
        "1", "op", "no units"
    )  # fmt: skip
    assert (late["state"], late["cut_offs_missed"], late["rate_ppm"]) == ("LATE", "2", "250")
    assert minor(late["penalty"]) == (2 * value * 250 + 500_000) // 1_000_000 > 0
    assert late["ended_utc"].startswith("2026-11-20")
    assert in_time != number
    (path,) = (tmp_path / "2").glob("*-totals.json")
    told = json.loads(path.read_text("utf-8"))["late_settlement"]
    assert told == {"overdue": 0, "late": 1, "void": 0, "penalties": late["penalty"]}


async def test_without_a_rate_it_is_told_and_costs_nothing(
    desk: Desk, books: Database, tmp_path: Path
) -> None:
    number = await trade(desk)
    await act(desk, Instruction.FAIL_SETTLEMENT, number)
    desk.pump.time_ns += 3 * DAY_NS
    await desk.act(command(Command.CLOCK_TICK))
    (row,) = await late_on(books, 2, tmp_path, MARKET)
    assert (row["cut_offs_missed"], row["penalty"]) == ("2", "0.00")
    assert int(row["instrument_id"]) == CEA_2024


@pytest.mark.parametrize(
    ("until", "missed"),
    [
        ("2026-12-02T15:59:59", 0),
        ("2026-12-02T16:00", 1),
        ("2026-12-03T15:59", 1),
        ("2026-12-03T16:00", 2),
        ("2026-12-07T15:59", 3),  # Saturday and Sunday have no cut-off
        ("2026-12-07T16:00", 4),
    ],
)
def test_each_cut_off_of_a_business_day_counts(until: str, missed: int) -> None:
    assert cut_offs_missed(RULE, at("2026-12-02T16:00"), at(until)) == missed
