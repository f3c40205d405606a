"""What is open of a suspended participant fails, and is not settled while it is suspended."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.frames import AccountParameter, Command, Instruction, Side, command
from exchange.messages.reasons import SettlementReason
from exchange.messages.settlement import SettlementRefused
from exchange.settlement.cycle import Message, TradeState
from exchange.settlement.open_trades import Loaded
from exchange.settlement.suspensions import Member, Suspensions
from tests.settlement_desk import ANN, BEN, CAT, EUA, NOW, Desk

RETRY = Instruction.RETRY_SETTLEMENT


def suspend(who: int, value: int = 1, *, is_participant: bool = False) -> bytes:
    fields = {"order_type": AccountParameter.SUSPENDED, "quantity": value}
    if is_participant:
        return command(Command.PARTICIPANT_PARAMETER, order_id=who, **fields)
    return command(Command.ACCOUNT_PARAMETER, account_id=who, **fields)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize("is_participant", [False, True])
@pytest.mark.parametrize("who", [ANN, BEN])
def test_what_is_due_fails_with_either_party(desk: Desk, who: int, is_participant: bool) -> None:
    trade, other = desk.trade(ANN, BEN, 4), desk.trade(CAT, CAT, 1)
    at_once = desk.trade(ANN, BEN, 1, NOW)
    desk.send(suspend(who, is_participant=is_participant))
    assert desk.state(trade) == TradeState.FAILED
    assert desk.state(other) == TradeState.DUE
    assert desk.state(at_once) == TradeState.SETTLED
    act = desk.acts[-1]
    assert (act.trade_id, act.message, act.given_by) == (trade, Message.SUSPEND, "")
    assert act.reason == f"account {who} is suspended"
    desk.wait_until("2026-12-02T16:00")
    assert (desk.state(trade), desk.state(other)) == (TradeState.FAILED, TradeState.SETTLED)
    desk.check()


def test_it_is_not_settled_while_suspended_and_then_late(desk: Desk) -> None:
    trade = desk.trade(ANN, BEN, 4)
    desk.send(suspend(ANN))
    for moment in ("2026-12-02T15:59", "2026-12-02T16:00"):
        desk.wait_until(moment)
        (told,) = desk.act(RETRY, trade)
        assert isinstance(told, SettlementRefused)
        assert told.reason == SettlementReason.PARTY_SUSPENDED
    desk.send(suspend(ANN, 0))
    assert desk.state(trade) == TradeState.FAILED  # somebody decides
    desk.act(RETRY, trade)
    assert desk.state(trade) == TradeState.LATE
    desk.check()


def test_it_may_be_voided_or_cancelled_meanwhile(desk: Desk) -> None:
    voided, cancelled = desk.trade(ANN, BEN, 4), desk.trade(BEN, ANN, 2)
    desk.send(suspend(BEN, is_participant=True))
    desk.cancel(cancelled)
    assert desk.state(cancelled) == TradeState.VOID
    desk.wait_until("2026-12-04T16:00")
    desk.act(Instruction.VOID_TRADE, voided)
    assert desk.state(voided) == TradeState.VOID
    desk.check()


def order(account: int, side: int) -> bytes:
    return command(
        Command.NEW_ORDER, side=side, order_type=2, account_id=account, instrument_id=EUA,
        quantity=3, price=7_000,
    )  # fmt: skip


def test_what_rests_trades_and_fails(desk: Desk) -> None:
    desk.send(order(ANN, Side.SELL), suspend(ANN))
    (due,) = [i for i in desk.send(order(BEN, Side.BUY)) if hasattr(i, "due_ns")]
    assert desk.state(due.trade_id) == TradeState.FAILED
    assert [act.message for act in desk.acts[-2:]] == [Message.TRADED_LATER, Message.SUSPEND]


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(1, 0, TradeState.DUE), (0, 1, TradeState.FAILED)]
)
def test_a_frame_is_heard_in_its_order(
    desk: Desk, first: int, second: int, expected: TradeState
) -> None:
    desk.send(order(ANN, Side.SELL), suspend(ANN, first))
    said = desk.send(suspend(ANN, second), order(BEN, Side.BUY))
    (due,) = [i for i in said if hasattr(i, "due_ns")]
    assert desk.state(due.trade_id) == expected


def test_a_trade_before_the_end_of_a_suspension_fails(desk: Desk) -> None:
    desk.send(order(ANN, Side.SELL), suspend(ANN))
    (due,) = [i for i in desk.send(order(BEN, Side.BUY), suspend(ANN, 0)) if hasattr(i, "due_ns")]
    assert desk.state(due.trade_id) == TradeState.FAILED


def test_both_have_to_be_lifted(desk: Desk) -> None:
    desk.send(suspend(ANN), suspend(ANN, is_participant=True), suspend(ANN, 0))
    assert desk.open.take().suspensions == Suspensions({}, {})
    trade = desk.trade(BEN, CAT, 1)
    assert desk.state(trade) == TradeState.DUE
    desk.send(suspend(CAT, is_participant=True), suspend(CAT, 0))
    assert desk.state(trade) == TradeState.FAILED
    (told,) = desk.act(RETRY, trade)
    assert told.reason == SettlementReason.PARTY_SUSPENDED


def test_other_controls_suspend_nobody(desk: Desk) -> None:
    trade = desk.trade(ANN, BEN, 1)
    desk.send(command(
        Command.ACCOUNT_PARAMETER, account_id=ANN, order_type=AccountParameter.ORDER_RATE,
        quantity=1,
    ))  # fmt: skip
    assert desk.state(trade) == TradeState.DUE


def test_who_starts_anew_knows_who_is_suspended(desk: Desk) -> None:
    trade = desk.trade(ANN, BEN, 1)
    desk.send(suspend(ANN, is_participant=True))
    known: Any = Suspensions({ANN: Member(ANN), BEN: Member(BEN)}, {ANN: 1})
    desk.open.load(Loaded([desk.books[trade]], [], {EUA: 2, NOW: 0}, 0, known))
    (told,) = desk.act(RETRY, trade)
    assert told.reason == SettlementReason.PARTY_SUSPENDED
    desk.send(suspend(ANN, 0, is_participant=True))
    desk.act(RETRY, trade)
    assert desk.state(trade) == TradeState.DUE
    assert known.participants == {ANN: 1}  # what was given is not changed


def test_a_participant_of_64_bits_fits_the_books(desk: Desk) -> None:
    """Ids given by others are 64 bits on the log and 63 in the books."""
    highest = 2**64 - 1
    desk.send(command(Command.ACCOUNT_OPEN, account_id=901, order_id=highest))
    desk.send(suspend(highest, is_participant=True))
    accounts, participants = desk.open._suspensions
    assert desk.open._suspensions.of(901)
    assert max(member.participant for member in accounts.values()) < 2**63
    assert max(participants) < 2**63
