"""Trades settled later, on both databases: engine, ledger, registry, files, rebuilding, crashes."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from exchange import metrics, topics
from exchange.audit.reconciliation import breaks
from exchange.audit.watch import compare, look
from exchange.database import Database, table_hash
from exchange.database import schema as tables
from exchange.database.schema import SETTLEMENT_TABLES
from exchange.messages.frames import (
    AccountParameter,
    Command,
    Instruction,
    Parameter,
    Resale,
    command,
)
from exchange.messages.reasons import SettlementReason
from exchange.messages.registry import InstructionRefused, SettlementActed, UnitsMoved
from exchange.positions import project
from exchange.rebuild import rebuild
from exchange.settlement import SettlementService, queries
from exchange.settlement.cycle import TradeState
from exchange.settlement.queries import ledger_balances, prove_ledger
from exchange.settlement.store import open_store
from tests.books_desk import CN, ORDERS, Desk, act_of
from tests.books_venue import (
    CCER,
    CEA_2024,
    HUADONG,
    MARKET,
    NORTHERN,
    VENUE,
    YANGTZE,
    cross,
    deposit,
    issue,
    release,
)
from tests.exchange.end_of_day.conftest import closed, table
from tests.fixtures_postgres import MakeBooks

DAY_NS = 86_400 * 10**9
TODAY = dt.date(2026, 11, 18)
LATER = command(
    Command.INSTRUMENT_PARAMETER,
    instrument_id=CEA_2024,
    order_type=Parameter.RESALE_NEXT_DAY,
    quantity=Resale.SETTLED,
)


@pytest.fixture
async def desk(memory_log: Any, books: Database) -> AsyncIterator[Desk]:
    """Huadong has 100 t of an instrument of each cycle in its trading position."""
    await memory_log.create(topics.of_market(CN))
    made = Desk(memory_log, books)
    await made.open()
    await made.act(LATER)
    for instrument in (CEA_2024, CCER):
        await made.act(issue(HUADONG, instrument, 150, 2025 if instrument == CCER else 0))
        await made.act(deposit(HUADONG, instrument, 100))
    yield made
    await made.close()


async def trade(desk: Desk, quantity: int = 10, instrument: int = CEA_2024) -> int:
    """A trade from Huadong to Yangtze; its id."""
    await desk.act(*cross(HUADONG, YANGTZE, instrument, quantity))
    async with desk.books.reading() as connection:
        found = await connection.scalar(select(func.max(tables.trade.c.trade_id)))
    assert found is not None
    return int(found)


async def act(desk: Desk, kind: Instruction, trade_id: int, words: str = "op\nwhy") -> list[Any]:
    return await desk.act(*act_of(kind, YANGTZE, CEA_2024, 10, trade_id, words))


async def propose(desk: Desk, trade_id: int, instrument: int = CEA_2024) -> int:
    kind = Instruction.PROPOSE_TRADE_CANCEL
    said = await desk.act(*act_of(kind, YANGTZE, instrument, 10, trade_id, "ann\nwrong price"))
    (told,) = said
    assert isinstance(told, SettlementActed)
    return told.instruction_id


async def approve(
    desk: Desk, proposal: int, words: str = "ben\n", instrument: int = CEA_2024
) -> list[Any]:
    kind = Instruction.APPROVE_TRADE_CANCEL
    return await desk.act(*act_of(kind, YANGTZE, instrument, 10, proposal, words))


async def pass_days(desk: Desk, days: int = 1) -> list[Any]:
    desk.pump.time_ns += days * DAY_NS
    return await desk.act(command(Command.CLOCK_TICK))


async def agree(desk: Desk) -> None:
    """The books prove themselves, and agree with the events."""
    assert [proof for proof in await prove_ledger(desk.books, CN) if not proof.is_ok] == []
    checks = compare(await look(desk.books, CN), await project(desk.log, CN))
    assert breaks(checks) == 0, [check for check in checks if not check.ok]


async def state_of(desk: Desk, trade_id: int) -> TradeState:
    rows = await queries.settlements(desk.books, CN, limit=100)
    return next(TradeState(row.state) for row in rows if row.trade_id == trade_id)


async def rebuilt_equal(desk: Desk, make_books: MakeBooks) -> None:
    again = await rebuild(desk.log, MARKET, VENUE, await make_books())
    assert again == await table_hash(desk.books, CN)


async def test_a_suspension_outlives_a_restart(desk: Desk, make_books: MakeBooks) -> None:
    number, other = await trade(desk), await trade(desk, 5)
    suspended = {"account_id": YANGTZE, "order_type": AccountParameter.SUSPENDED}
    await desk.act(command(Command.ACCOUNT_PARAMETER, quantity=1, **suspended))
    assert await state_of(desk, number) == await state_of(desk, other) == TradeState.FAILED
    await desk.settlement.load()
    (refused,) = await act(desk, Instruction.RETRY_SETTLEMENT, number)
    assert isinstance(refused, InstructionRefused)
    assert refused.reason == SettlementReason.PARTY_SUSPENDED
    await agree(desk)
    await rebuilt_equal(desk, make_books)
    await desk.act(command(Command.ACCOUNT_PARAMETER, quantity=0, **suspended))
    await desk.settlement.load()
    await act(desk, Instruction.RETRY_SETTLEMENT, number)
    assert await state_of(desk, number) == TradeState.DUE
    await agree(desk)


async def test_due_delivered_and_cancelled(desk: Desk, make_books: MakeBooks) -> None:
    number = await trade(desk)
    await agree(desk)
    assert await state_of(desk, number) == TradeState.DUE
    said = await pass_days(desk)
    (moved,) = said
    assert isinstance(moved, UnitsMoved)
    assert (moved.cause, moved.cause_id, moved.from_account) == ("TRADE", number, HUADONG)
    assert await state_of(desk, number) == TradeState.SETTLED
    await agree(desk)
    back, told = await approve(desk, await propose(desk, number))
    assert (back.cause, back.from_account, back.to_account) == ("TRADE_CANCEL", YANGTZE, HUADONG)
    assert back.ranges == moved.ranges
    assert told.state == TradeState.CANCELLED
    await agree(desk)
    assert (await ledger_balances(desk.books, CN)).get((-1, 0), 0) == 0  # fees given back
    (again,) = await act(desk, Instruction.PROPOSE_TRADE_CANCEL, number)
    assert again.reason == SettlementReason.TRADE_ALREADY_CANCELLED
    await rebuilt_equal(desk, make_books)


async def test_failed_late_and_void(desk: Desk, make_books: MakeBooks) -> None:
    first, second = await trade(desk), await trade(desk)
    for number in (first, second):
        (told,) = await act(desk, Instruction.FAIL_SETTLEMENT, number)
        assert told.state == TradeState.FAILED
    assert await pass_days(desk) == []
    await agree(desk)
    _, told = await act(desk, Instruction.RETRY_SETTLEMENT, first)
    assert told.state == TradeState.LATE
    (told,) = await act(desk, Instruction.VOID_TRADE, second)
    assert told.state == TradeState.VOID
    await agree(desk)
    (refused,) = await act(desk, Instruction.RETRY_SETTLEMENT, second)
    assert isinstance(refused, InstructionRefused)
    assert refused.reason == SettlementReason.TRADE_ALREADY_CANCELLED
    rows = await queries.settlements(desk.books, CN, state=TradeState.VOID, limit=100)
    assert [row.trade_id for row in rows] == [second]
    rows = await queries.settlements(desk.books, CN, accounts={NORTHERN}, limit=100)
    assert rows == []
    rows = await queries.settlements(desk.books, CN, accounts={HUADONG}, before=second, limit=100)
    assert [row.trade_id for row in rows] == [first]
    await rebuilt_equal(desk, make_books)


async def test_a_t0_trade_is_cancelled_unless_the_units_are_gone(
    desk: Desk, make_books: MakeBooks
) -> None:
    number = await trade(desk, instrument=CCER)
    assert await queries.settlements(desk.books, CN, limit=100) == []
    proposal = await propose(desk, number, CCER)
    (same,) = await approve(desk, proposal, "ann\n", CCER)
    assert same.reason == SettlementReason.SAME_PERSON_CANCELS
    await desk.act(release(YANGTZE, CCER, 1))
    (gone,) = await approve(desk, proposal, instrument=CCER)
    assert gone.reason == SettlementReason.BUYER_UNITS_GONE
    assert await state_of(desk, number) == TradeState.SETTLED
    await agree(desk)
    await desk.act(deposit(YANGTZE, CCER, 1))
    _, told = await approve(desk, proposal, instrument=CCER)
    assert told.state == TradeState.CANCELLED
    assert await queries.open_proposals(desk.books, CN, 0) == []
    await agree(desk)
    await rebuilt_equal(desk, make_books)


async def test_a_restart_sends_what_the_engine_has_not_answered(
    desk: Desk, make_books: MakeBooks
) -> None:
    number = await trade(desk)
    desk.pump.time_ns += DAY_NS
    await desk.pump.send(command(Command.CLOCK_TICK))
    await desk.pump.pump()
    rows = desk.log.rows[desk.pump.events][desk.settlement.position.topic_offset :]
    before = len(desk.log.rows[ORDERS])
    await desk.settlement.settle(rows)  # booked, and killed before its step was sent
    await desk.settlement.close()
    assert len(desk.log.rows[ORDERS]) == before
    assert await state_of(desk, number) == TradeState.SETTLING
    instruments = VENUE.instruments_of(MARKET.code)
    for _ in range(2):  # the second does not know that the first has sent it
        service = SettlementService(desk.log, MARKET, desk.books, instruments=instruments)
        await service.load()
        await service._send_steps(desk.stop)
        await service.close()
    assert len(desk.log.rows[ORDERS]) == before + 2
    desk.settlement = SettlementService(desk.log, MARKET, desk.books, instruments=instruments)
    position = await desk.settlement.load()
    desk.settlement.forget_outbox(position.number)  # all of it is on the topic
    await desk.act()
    assert await state_of(desk, number) == TradeState.SETTLED
    await agree(desk)
    await rebuilt_equal(desk, make_books)


async def test_an_error_of_the_database_takes_the_move_back(desk: Desk) -> None:
    number = await trade(desk)

    class Broken:
        def __init__(self) -> None:
            self.store = open_store(desk.books, CN)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        async def write(self, batch: Any) -> None:
            raise OSError("the disk is full")

    store: Any = Broken()
    service = SettlementService(desk.log, MARKET, desk.books, store=store)
    position = await service.load()
    desk.pump.time_ns += DAY_NS
    await desk.pump.send(command(Command.CLOCK_TICK))
    await desk.pump.pump()
    rows = desk.log.rows[desk.pump.events][position.topic_offset :]
    with pytest.raises(OSError, match="disk"):
        await service.settle(rows)
    await service.close()
    assert await state_of(desk, number) == TradeState.DUE
    await desk.act(command(Command.CLOCK_TICK))
    assert await state_of(desk, number) == TradeState.SETTLED
    await agree(desk)


async def test_a_crash_between_what_was_before_and_an_instruction(
    desk: Desk, make_books: MakeBooks
) -> None:
    number = await trade(desk, instrument=CCER)
    kind = Instruction.PROPOSE_TRADE_CANCEL
    await desk.pump.send(*cross(HUADONG, YANGTZE, CCER, 3))
    await desk.pump.send(*act_of(kind, YANGTZE, CCER, 10, number, "ann\nwrong price"))
    await desk.pump.send(*cross(HUADONG, YANGTZE, CCER, 4))
    await desk.pump.pump()
    rows = desk.log.rows[desk.pump.events][desk.settlement.position.topic_offset :]
    assert len(rows) == 3

    class Broken:
        def __init__(self) -> None:
            self.store = open_store(desk.books, CN)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        async def trades(self, _trade_ids: Any) -> Any:
            raise OSError("the connection is gone")

    store: Any = Broken()
    service = SettlementService(desk.log, MARKET, desk.books, store=store)
    await service.load()
    with pytest.raises(OSError, match="gone"):
        await service.settle(rows)
    await service.close()
    position = await desk.settlement.load()  # what came before the instruction is booked
    assert position.topic_offset == rows[1].offset
    assert len(await queries.open_proposals(desk.books, CN, 0)) == 0
    await desk.settlement.settle(desk.log.rows[desk.pump.events][position.topic_offset :])
    assert len(await queries.open_proposals(desk.books, CN, 0)) == 1
    async with desk.books.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(tables.trade)) == 3
    again = await make_books()
    await rebuild(desk.log, MARKET, VENUE, again)
    assert await table_hash(again, CN, SETTLEMENT_TABLES) == await table_hash(
        desk.books, CN, SETTLEMENT_TABLES
    )


async def test_failed_and_overdue_trades_are_counted(desk: Desk) -> None:
    number = await trade(desk)
    await act(desk, Instruction.FAIL_SETTLEMENT, number)
    await trade(desk)
    record = desk.log.rows[desk.pump.events][-1]
    code = MARKET.code

    def shown() -> dict[str, float]:
        return {
            state: metrics.SETTLEMENT_OPEN.labels(code, state)._value.get()
            for state in ("due", "failed", "overdue")
        }

    await desk.settlement._show_lag(record)
    assert shown() == {"due": 1, "failed": 1, "overdue": 0}
    await pass_days(desk)
    desk.settlement._lag_read_ns = 0
    await desk.settlement._show_lag(record)
    assert shown() == {"due": 0, "failed": 1, "overdue": 1}


async def test_the_files_of_the_days(desk: Desk, tmp_path: Path) -> None:
    kept, back, failed = await trade(desk), await trade(desk), await trade(desk)
    await act(desk, Instruction.FAIL_SETTLEMENT, failed, "op\nfrozen by order 7")
    await pass_days(desk)
    await approve(desk, await propose(desk, back))
    await act(desk, Instruction.RETRY_SETTLEMENT, failed)
    await pass_days(desk)
    await closed(desk.books, TODAY, tmp_path / "0")
    await closed(desk.books, TODAY + dt.timedelta(1), tmp_path / "1")
    states = {int(row["trade_id"]): row for row in table(tmp_path / "0", "trades")}
    assert {key: row["state"] for key, row in states.items()} == {
        kept: "DUE", back: "DUE", failed: "FAILED",
    }  # fmt: skip
    assert {row["delivery"] for row in states.values()} == {"NOT_DELIVERED"}
    first = [(row["message"], row["state_after"]) for row in table(tmp_path / "0", "settlements")]
    assert first == [("TRADED_LATER", "DUE")] * 3 + [("FAIL", "FAILED")]
    moves = table(tmp_path / "1", "settlements")
    assert [(int(row["trade_id"]), row["state_after"]) for row in moves][-2:] == [
        (failed, "SETTLING"), (failed, "LATE"),
    ]  # fmt: skip
    by = next(row for row in moves if row["state_after"] == "REVERSING")
    assert (int(by["trade_id"]), by["given_by"], by["reason"]) == (back, "ben", "wrong price")
    closing = {
        (row["asset"], row["position"]): row["balance"]
        for row in table(tmp_path / "0", f"statement-{YANGTZE}")
        if row["record"] == "CLOSING"
    }
    assert closing["CEA-2025", "HELD"] == "30"
    causes = {row["cause"] for row in table(tmp_path / "1", "statement-*")}
    assert {"SETTLEMENT", "TRADE_CANCEL"} <= causes
    opening = {
        (row["account"], row["asset"], row["position"]): row["balance"]
        for row in table(tmp_path / "1", "statement-*")
        if row["record"] == "OPENING"
    }
    ended = {
        (row["account"], row["asset"], row["position"]): row["balance"]
        for row in table(tmp_path / "0", "statement-*")
        if row["record"] == "CLOSING"
    }
    zero = ("0", "0.00")
    assert {k: v for k, v in opening.items() if v not in zero} == {
        k: v for k, v in ended.items() if v not in zero
    }
