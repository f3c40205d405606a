"""A market over several days: random trades, transfers and instructions at chosen times."""

from __future__ import annotations

import csv
import datetime as dt
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from exchange import topics
from exchange.database import Database
from exchange.end_of_day import Closed, close_day, day_of
from exchange.end_of_day.names import Names
from exchange.messages.frames import Command, Instruction, Side, command, notes
from exchange.messages.registry import TransferWaits
from exchange.reference.venue import Market, Venue
from tests.books_desk import Desk, act_of, owed, surrender
from tests.books_venue import (
    ACCOUNTS,
    CEA_2024,
    INSTRUMENTS,
    MARKET,
    VENUE,
    cross,
    deposit,
    instruction,
    issue,
    order,
    release,
)
from tests.exchange.conftest import MemoryLog
from tests.fixtures_postgres import books, make_books, postgres

__all__ = ["books", "make_books", "postgres"]

FIRST = dt.date(2026, 11, 18)
NAMES = {201: "Łódź Carbon, house", 202: "华东碳贸易有限公司", 203: "长江电力 EU desk"}
CHINESE: Venue = msgspec.structs.replace(
    VENUE,
    account=tuple(
        msgspec.structs.replace(item, name=NAMES.get(item.id, item.name)) for item in VENUE.account
    ),
)
LATER_NS = 2_000_000_000 * 10**9  # a wall clock after every day of the tests


class Days:
    """A desk whose clock is set by the test."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.random = random.Random(seed)

    async def at(self, time_ns: int, *records: bytes) -> None:
        """Everything that follows from a frame that the log took at a time."""
        self.desk.pump.time_ns = time_ns
        for item in await self.desk.act(*records):
            if isinstance(item, TransferWaits):
                told = (item.account_id, item.instrument_id, item.quantity, item.instruction_id)
                approval = act_of(Instruction.APPROVE_TRANSFER, *told, "judge\nauthority")
                await self.desk.act(*approval)

    async def day(self, date: dt.date) -> None:
        """A random day; its first and its last nanosecond are used too."""
        day = day_of(date, MARKET.time_zone)
        length = day.end_ns - day.begin_ns
        times = sorted(self.random.randrange(length) for _ in range(self.random.randrange(3, 9)))
        if self.random.random() < 0.7:
            times = [0, *times, length - 1]
        for time in times:
            await self.at(day.begin_ns + time, *self._something())

    async def pass_on(self, date: dt.date) -> None:
        """Something after the end of a day, so that it is finished."""
        await self.at(day_of(date, MARKET.time_zone).end_ns, order(202, CEA_2024, Side.BUY, 1, 1))

    def _something(self) -> list[bytes]:
        draw = self.random
        account, other = draw.sample(ACCOUNTS, 2)
        item, some = draw.choice(INSTRUMENTS), draw.randrange(1, 400)
        money = {"account_id": account, "quantity": some * 101, "order_id": draw.getrandbits(64)}
        return draw.choice(
            [
                [issue(account, item, 1_000)],
                [deposit(account, item, some)],
                [*cross(account, other, item, some, draw.randrange(1, 9_000))],
                [*cross(account, other, item, some, 7), *cross(other, account, item, some, 9)],
                [release(account, item, some, transfer_id=draw.getrandbits(64))],
                [*act_of(Instruction.FREEZE, account, item, some, text="court\nNo. 17")],
                [*act_of(Instruction.UNFREEZE, account, item, some, text="a\nNo. 1\nauthority")],
                [*act_of(Instruction.PLEDGE, account, item, some, other, text="desk\nloan 9")],
                [*act_of(Instruction.RELEASE_PLEDGE, account, item, some, other, text="a\nb")],
                [*act_of(Instruction.ENFORCE_PLEDGE, account, item, some, other, text="a\nb")],
                [command(Command.CASH_DEPOSIT, **money)],
                [command(Command.CASH_WITHDRAW, **money)],
                [*owed(account, 2025, 10_000), surrender(account, CEA_2024, some)],
                [
                    instruction(
                        Instruction.CANCEL, account_id=account, instrument_id=item, quantity=some
                    ),
                    *notes("someone\nfor a reason"),
                ],
                [
                    instruction(
                        Instruction.TRANSFER,
                        account_id=account, instrument_id=item, quantity=some, price=other,
                    )
                ],
            ]
        )  # fmt: skip


@pytest.fixture
async def make_days(books: Database) -> Any:
    """Opens a market at noon before the first day, with units in every account."""
    opened: list[Desk] = []

    async def make(seed: int) -> Days:
        log = MemoryLog()
        await log.create(topics.of_market(MARKET.partition))
        desk = Desk(log, books)
        opened.append(desk)
        days = Days(desk, seed)
        desk.pump.time_ns = day_of(FIRST, MARKET.time_zone).begin_ns - 3_600 * 10**9
        await desk.open()
        for account in ACCOUNTS:
            await desk.act(*(issue(account, item, 2_000) for item in INSTRUMENTS))
            await desk.act(*(deposit(account, item, 1_500) for item in INSTRUMENTS))
        return days

    yield make
    for desk in opened:
        await desk.close()


async def closed(
    books: Database, date: dt.date, folder: Path, market: Market = MARKET, venue: Venue = CHINESE
) -> Closed:
    return await close_day(books, Names(venue, market), date, folder, LATER_NS)


def table(folder: Path, name: str) -> list[dict[str, str]]:
    """The rows of every file of a kind, in the order of their names."""
    rows: list[dict[str, str]] = []
    for path in sorted(folder.glob(f"*-{name}.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows
