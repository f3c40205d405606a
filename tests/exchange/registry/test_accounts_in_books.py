"""Accounts and waiting transfers in the database: restarts, rebuilds, crashes, and time passing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from exchange.database import Database, table_hash
from exchange.log.protocol import LogUnavailableError
from exchange.messages.frames import Instruction, order_id_of
from exchange.messages.registry import AccountChanged, TransferEnded, TransferWaits
from exchange.rebuild import rebuild
from exchange.registry import RegistryService
from exchange.registry import queries as registry_queries
from exchange.registry.blocks import Position
from exchange.rulebook import load_rulebook
from exchange.settings import CARRY_OUT_EVERY_S, TRANSFER_APPROVAL_DAYS_MAX
from tests.books_desk import CN, ORDERS, YEAR, Desk, act_of, check, owed
from tests.books_venue import (
    ACT_NS,
    CCER,
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    issue,
)
from tests.exchange.registry.test_registry_crashes import allow_writes, live, refuse_writes
from tests.fixtures_postgres import MakeBooks

SECOND_NS = 10**9
ALLOCATION = "anna\nstage final\nmethod benchmarking"
DAY_NS = 86_400 * SECOND_NS
RULES = load_rulebook()
WITH_HOURS = msgspec.structs.replace(
    RULES,
    registry_rule=tuple(
        msgspec.structs.replace(rule, schemes=("cn-national",))
        for rule in RULES.registry_rule
        if rule.id == "union-registry"
    ),
)
"""The Chinese market with the hours of the Union Registry: ACT_NS is a Wednesday, 12:06."""
DUE_NS = ACT_NS + 2 * DAY_NS - 400 * SECOND_NS  # Friday, 12:00


class StandingClock:
    """A clock that stands where the test puts it."""

    def __init__(self, time_ns: int) -> None:
        self.time_ns = time_ns
        self.ahead_ns = 0  # of the true time

    def now_ns(self) -> int:
        return self.time_ns + self.ahead_ns

    def monotonic_ns(self) -> int:
        return self.time_ns


@pytest.fixture
async def desk(market_log: Any, books: Database) -> AsyncIterator[Desk]:
    desk = Desk(market_log, books, rulebook=WITH_HOURS, clock=StandingClock(ACT_NS))
    await desk.open()
    await desk.act(issue(NORTHERN, CCER, 100))
    yield desk
    await check(desk)
    await desk.close()


def transfer(quantity: int, target: int = HUADONG) -> list[bytes]:
    return act_of(Instruction.TRANSFER, NORTHERN, CCER, quantity, target, "ann\n")


UNBLOCK = 9  # in the story: waits until another has approved it


def story() -> list[list[bytes]]:
    """Acts of every kind, each a frame."""
    of_account = (NORTHERN, CCER, 0)
    return [
        act_of(Instruction.SET_ACCOUNT_TYPE, YANGTZE, CCER, 0, 1, "office\ncn_key_emitter"),
        act_of(Instruction.APPOINT_REPRESENTATIVE, *of_account, text="office\nann"),
        act_of(Instruction.APPOINT_REPRESENTATIVE, *of_account, text="office\nben"),
        act_of(Instruction.APPOINT_REPRESENTATIVE, *of_account, text="office\ncy"),
        act_of(Instruction.DISMISS_REPRESENTATIVE, *of_account, text="office\ncy"),
        act_of(Instruction.PROPOSE_TRUST, *of_account, YANGTZE, "ann\n"),
        act_of(Instruction.APPROVE_TRUST, *of_account, YANGTZE, "ben\n"),
        act_of(Instruction.PROPOSE_TRUST, *of_account, HUADONG, "ann\n"),
        act_of(Instruction.BLOCK_ACCOUNT, HUADONG, CCER, 0, text="office\nfile 7"),
        act_of(Instruction.UNBLOCK_ACCOUNT, HUADONG, CCER, 0, text="office\nfile 8\noperator"),
        act_of(Instruction.CONFIRM_ACCOUNT, *of_account, 2026, "ann\n"),
        act_of(Instruction.BIND_ACCOUNT, YANGTZE, CCER, 0, NORTHERN, "office\nCN"),
        transfer(30),
        transfer(20, YANGTZE),
    ]


async def test_a_restart_and_a_rebuild_know_the_same(
    desk: Desk, market_log: Any, make_books: MakeBooks
) -> None:
    for frame in story():
        (said,) = await desk.act(*frame)
        assert isinstance(said, AccountChanged | TransferWaits), said
        if isinstance(said, TransferWaits) and said.kind == "UNBLOCK_ACCOUNT":
            told = (HUADONG, CCER, 0, said.instruction_id, "second\noperator")
            assert await desk.act(*act_of(Instruction.APPROVE_TRANSFER, *told))
    again = RegistryService(market_log, MARKET, VENUE, desk.books, rulebook=WITH_HOURS)
    await again.load()
    ours, theirs = desk.registry.holdings, again.holdings
    for account in (NORTHERN, HUADONG, YANGTZE):
        mine, other = ours.standings.of(account), theirs.standings.of(account)
        for name in mine.__slots__:
            assert getattr(mine, name) == getattr(other, name), name
    assert theirs.standings.transfers == ours.standings.transfers
    assert len(theirs.standings.transfers) == 2
    assert theirs.standings.next_due() == ours.standings.next_due()
    assert theirs.accounts == ours.accounts
    assert theirs.totals == ours.totals
    assert (await registry_queries.unit_totals(desk.books, CN))[CCER].pending == 50
    rows = await registry_queries.holdings_of(desk.books, CN, NORTHERN)
    assert [(r.position, r.quantity) for r in rows] == [
        (Position.REGISTRY, 50), (Position.PENDING, 30), (Position.PENDING, 20)
    ]  # fmt: skip
    desk.pump.time_ns = DUE_NS
    assert await desk.act(issue(YANGTZE, CCER, 1))
    fresh = await make_books()
    rebuilt = await rebuild(market_log, MARKET, VENUE, fresh, rulebook=WITH_HOURS)
    assert rebuilt == await table_hash(desk.books, CN)
    at_noon = await registry_queries.tonnes_at(desk.books, CN, NORTHERN, (CCER,), ACT_NS)
    assert {row.position: row.quantity for row in at_noon} == {
        Position.REGISTRY: 50, Position.PENDING: 50
    }  # fmt: skip


async def test_acts_of_two_persons_are_found_again(
    desk: Desk, market_log: Any, make_books: MakeBooks
) -> None:
    await desk.act(*owed(NORTHERN, YEAR, 1_000))
    kind = "office\ncn_key_emitter"
    await desk.act(*act_of(Instruction.SET_ACCOUNT_TYPE, NORTHERN, CCER, 0, 1, kind))
    for key in ("ann", "ben"):
        text = f"office\n{key}"
        await desk.act(*act_of(Instruction.APPOINT_REPRESENTATIVE, NORTHERN, CCER, 0, text=text))
    given = act_of(Instruction.SURRENDER, NORTHERN, CCER, 40, YEAR, "by ann")
    issued = act_of(Instruction.ISSUE, NORTHERN, CCER, 7, 0, "operator olga")
    none = act_of(Instruction.ALLOCATE, NORTHERN, CEA_2024, 0, YEAR, ALLOCATION)
    numbers = []
    for frame in (given, issued, none, given):
        (said,) = await desk.act(*frame)
        assert isinstance(said, TransferWaits), said
        numbers.append(said.instruction_id)
    again = RegistryService(market_log, MARKET, VENUE, desk.books, rulebook=WITH_HOURS)
    await again.load()
    assert again.holdings.standings.transfers == desk.registry.holdings.standings.transfers
    assert again.holdings.totals == desk.registry.holdings.totals
    for number, quantity, instrument, by in (
        (numbers[0], 40, CCER, "ben\n"),
        (numbers[1], 7, CCER, "otto\noperator"),
        (numbers[2], 0, CEA_2024, "otto\nauthority"),
    ):
        approval = act_of(Instruction.APPROVE_TRANSFER, NORTHERN, instrument, quantity, number, by)
        said, *rest = await desk.act(*approval)
        assert isinstance(said, TransferWaits), said
        assert rest
    lapse_ns = ACT_NS + TRANSFER_APPROVAL_DAYS_MAX * DAY_NS
    desk.pump.time_ns = lapse_ns
    ended, *_ = await desk.act(issue(YANGTZE, CCER, 1))
    assert isinstance(ended, TransferEnded)
    assert (ended.kind, ended.outcome, ended.instruction_id) == ("SURRENDER", "LAPSED", numbers[3])
    held = await registry_queries.position_totals(desk.books, CN, Position.REGISTRY)
    assert held[NORTHERN, CCER] == 100 - 40 + 7
    fresh = await make_books()
    rebuilt = await rebuild(market_log, MARKET, VENUE, fresh, rulebook=WITH_HOURS)
    assert rebuilt == await table_hash(desk.books, CN)


async def test_time_comes_by_the_log(desk: Desk, market_log: Any) -> None:
    clock, log = desk.registry._clock, market_log
    assert isinstance(clock, StandingClock)
    assert not await desk.registry.say_time()  # nothing waits
    clock.time_ns = DUE_NS
    assert not await desk.registry.say_time()
    (waiting,) = await desk.act(*transfer(30))
    assert isinstance(waiting, TransferWaits)
    assert waiting.due_ns == DUE_NS
    clock.time_ns = DUE_NS - 1
    assert not await desk.registry.say_time()
    clock.time_ns = DUE_NS
    assert await desk.registry.say_time()
    assert await desk.act() == []  # the log's time has not come: nothing is done
    assert not await desk.registry.say_time()  # not so soon again
    clock.time_ns = DUE_NS + CARRY_OUT_EVERY_S * SECOND_NS
    desk.pump.time_ns = DUE_NS

    def fault(partition: Any, values: Any) -> tuple[int, Exception]:
        return 0, LogUnavailableError("injected")

    log.fault = fault
    assert not await desk.registry.say_time()
    log.fault = None
    clock.time_ns += CARRY_OUT_EVERY_S * SECOND_NS
    before = len(log.rows[ORDERS])
    assert await desk.registry.say_time()
    assert len(log.rows[ORDERS]) == before + 1
    (done,) = await desk.act()
    assert isinstance(done, TransferEnded)
    assert (done.outcome, done.to_account, done.quantity) == ("DONE", HUADONG, 30)
    clock.time_ns += CARRY_OUT_EVERY_S * SECOND_NS
    assert not await desk.registry.say_time()


async def test_a_clock_that_was_ahead_and_is_put_right_delays_nothing(desk: Desk) -> None:
    clock = desk.registry._clock
    assert isinstance(clock, StandingClock)
    await desk.act(*transfer(30))
    clock.time_ns, clock.ahead_ns = DUE_NS - SECOND_NS, 3_600 * SECOND_NS
    assert await desk.registry.say_time()
    clock.time_ns, clock.ahead_ns = DUE_NS + CARRY_OUT_EVERY_S * SECOND_NS, 0
    assert await desk.registry.say_time()


@pytest.mark.parametrize("table", ["account_act", "waiting_transfer"])
async def test_a_crash_between_effect_and_commit(
    desk: Desk, market_log: Any, make_books: MakeBooks, table: str
) -> None:
    await refuse_writes(desk.books, table)
    for at, frame in enumerate(story()):
        number = order_id_of(await desk.pump.send(*frame), 0)
        if at == UNBLOCK:
            second = (HUADONG, CCER, 0, number, "second\noperator")
            await desk.pump.send(*act_of(Instruction.APPROVE_TRANSFER, *second))
    with pytest.raises(Exception, match="injected"):
        await desk.act()
    await allow_writes(desk.books, table)
    # as services, whose clock is the machine's: time comes by itself
    desk.pump.time_ns = DUE_NS
    await live(market_log, desk.books, desk.pump, rulebook=WITH_HOURS)
    await desk.registry.load()
    assert not desk.registry.holdings.standings.transfers
    assert (await registry_queries.position_of(desk.books, CN)).settlement_number
    held = await registry_queries.position_totals(desk.books, CN, Position.REGISTRY)
    assert held == {(NORTHERN, CCER): 50, (HUADONG, CCER): 30, (YANGTZE, CCER): 20}
    fresh = await make_books()
    rebuilt = await rebuild(market_log, MARKET, VENUE, fresh, rulebook=WITH_HOURS)
    assert rebuilt == await table_hash(desk.books, CN)


async def test_a_restart_and_a_rebuild_know_which_block_ended(
    desk: Desk, market_log: Any, make_books: MakeBooks
) -> None:
    """One is set while the end of another waits: the log's order is not that of the numbers."""
    block = (Instruction.BLOCK_ACCOUNT, HUADONG, CCER, 0, 0)
    for file in ("file 7", "file 8"):
        (said,) = await desk.act(*act_of(*block, f"office\n{file}"))
    end = (Instruction.UNBLOCK_ACCOUNT, HUADONG, CCER, 0, said.instruction_id)
    (waiting,) = await desk.act(*act_of(*end, "office\nended\noperator"))
    await desk.act(*act_of(*block, "office\nfile 9"))
    told = (HUADONG, CCER, 0, waiting.instruction_id, "judge\nauthority")
    *_, ended = await desk.act(*act_of(Instruction.APPROVE_TRANSFER, *told))
    assert ended.other_account == said.instruction_id
    again = RegistryService(market_log, MARKET, VENUE, desk.books, rulebook=WITH_HOURS)
    await again.load()
    ours = desk.registry.holdings.standings.of(HUADONG).blocks
    assert [act.text for act in ours.values()] == ["file 7", "file 9"]
    assert again.holdings.standings.of(HUADONG).blocks == ours
    rebuilt = await rebuild(market_log, MARKET, VENUE, await make_books(), rulebook=WITH_HOURS)
    assert rebuilt == await table_hash(desk.books, CN)


async def test_acts_stay_as_they_are(desk: Desk) -> None:
    for frame in story():
        await desk.act(*frame)
    for change in ("UPDATE account_act SET text = ''", "DELETE FROM account_act"):
        with pytest.raises(Exception, match="append-only"):
            async with desk.books.writing() as connection:
                await connection.execute(text(change))
    with pytest.raises(Exception, match="waiting_transfer_by_two"):
        async with desk.books.writing() as connection:
            await connection.execute(text("UPDATE waiting_transfer SET approved_by = given_by"))
