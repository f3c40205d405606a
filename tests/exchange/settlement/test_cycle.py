"""Trades that are settled later, fail, go back: the table, the days, and any order of it all."""

from __future__ import annotations

import datetime as dt
import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.ledger import postings_of
from exchange.messages.frames import (
    Command,
    Instruction,
    Parameter,
    Resale,
    SettlementStep,
    command,
    order_id_of,
    settlement_tail,
)
from exchange.messages.reasons import SettlementReason
from exchange.messages.settlement import (
    SettlementAnswered,
    SettlementRefused,
    TradeCancelled,
    TradeDelivered,
    TradeDue,
    TradeSettled,
    TradeVoided,
)
from exchange.settlement.cycle import (
    IN_FLIGHT,
    MOVES,
    OPEN,
    UNSETTLED,
    Legs,
    Message,
    TradeState,
    refusal,
    table_rows,
)
from exchange.settlement.delivery import Trades, posting_columns
from exchange.settlement.due_dates import due_ns, is_business_day, voidable_ns
from exchange.settlement.open_trades import (
    Loaded,
    SettlementBrokenError,
)
from tests.settlement_desk import ANN, BEN, CAT, DAY_NS, EUA, NOW, RULE, Desk, at, parameter_of

# -- the table -------------------------------------------------------------------------------------


def test_the_page_shows_the_table() -> None:
    page = (Path(__file__).parents[3] / "deploy/docs/settlement.md").read_text("utf-8")
    shown = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| (.*?) \| (.*?) \|$", page, re.M)
    told = [tuple(cell.strip(" `") for cell in row) for row in shown]
    assert told == table_rows()


def test_both_legs_move_with_an_answer_of_the_engine_or_with_the_fill() -> None:
    for (state, message), move in MOVES.items():
        if move.legs in (Legs.AT_ONCE, Legs.HOLD):
            assert state == TradeState.NEW
        elif move.legs:
            assert message >= Message.DELIVERED
        assert (move.sends is not None) == (move.after in IN_FLIGHT)
        assert (state in IN_FLIGHT) == (Message.DELIVERED <= message <= Message.REFUSED_LATE)


def test_held_legs_go_one_way_out() -> None:
    for (state, _), move in MOVES.items():
        leaves = state in UNSETTLED and move.after not in UNSETTLED
        assert leaves == (move.legs in (Legs.DELIVER, Legs.GIVE_BACK))
        enters = state not in UNSETTLED and move.after in UNSETTLED
        assert enters == (move.legs == Legs.HOLD)


def test_every_state_is_reached_and_every_end_is_known() -> None:
    reached = {move.after for move in MOVES.values()} | {TradeState.NEW}
    assert reached == set(TradeState)
    ends = {state for state in TradeState if state not in {key for key, _ in MOVES}}
    assert ends == {TradeState.VOID, TradeState.CANCELLED}


@pytest.mark.parametrize(
    ("state", "message"), list(product(sorted(OPEN | {TradeState.VOID}), Message))
)
def test_what_has_no_row_has_a_number(state: TradeState, message: Message) -> None:
    if (state, message) not in MOVES:
        assert refusal(state, message) in SettlementReason


# -- the days --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("traded", "due"),
    [
        ("2026-12-01T10:00", "2026-12-02T16:00"),  # Tuesday
        ("2026-12-01T23:59:59", "2026-12-02T16:00"),
        ("2026-12-02T00:00", "2026-12-03T16:00"),
        ("2026-12-04T10:00", "2026-12-07T16:00"),  # Friday: over the weekend
        ("2026-12-05T10:00", "2026-12-07T16:00"),  # Saturday
        ("2026-12-24T10:00", "2026-12-28T16:00"),  # a holiday, and the weekend
        ("2026-03-27T10:00", "2026-03-30T16:00"),  # summer time begins between
    ],
)
def test_due_at_the_cut_off_of_the_next_business_day(traded: str, due: str) -> None:
    assert due_ns(RULE, at(traded)) == at(due)


def test_void_days_count_business_days_from_the_cut_off() -> None:
    assert voidable_ns(RULE, at("2026-12-03T16:00")) == at("2026-12-07T16:00")
    assert voidable_ns(RULE._replace(void_days=0), at("2026-12-03T16:00")) == at("2026-12-03T16:00")
    assert not is_business_day(RULE, dt.date(2026, 12, 25))
    assert not is_business_day(RULE, dt.date(2026, 12, 26))


# -- a market of three -----------------------------------------------------------------------------


def reason_of(said: list[Any]) -> int:
    (item,) = said
    assert isinstance(item, SettlementRefused), said
    return item.reason


def test_a_t1_trade_is_held_and_delivered_at_the_cut_off() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    assert desk.state(trade) == TradeState.DUE
    assert desk.cash(ANN) == (10**7, 69_979)  # 700.00 less 3 basis points, half up
    assert desk.positions.units(BEN, EUA).locked == 10
    desk.check()
    assert desk.wait_until("2026-12-02T15:59:59") == []
    (item,) = desk.wait_until("2026-12-02T16:00")
    assert isinstance(item, TradeDelivered)
    assert not item.is_late
    assert desk.state(trade) == TradeState.SETTLED
    assert desk.cash(ANN) == (10**7 + 69_979, 0)
    assert desk.positions.units(BEN, EUA).available == 110
    desk.check()


def test_a_t0_trade_is_settled_with_the_fill() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10, NOW)
    assert isinstance(desk.items[-1], TradeSettled)
    assert desk.acts == []
    assert desk.state(trade) == TradeState.SETTLED
    desk.check()


def test_neither_leg_leaves_the_venue_before_it_is_settled() -> None:
    desk = Desk()
    desk.trade(ANN, BEN, 10)
    cash, units = desk.positions.cash(ANN).available, desk.positions.units(BEN, EUA).available
    said = desk.send(
        command(Command.CASH_WITHDRAW, account_id=ANN, quantity=cash + 1),
        command(Command.UNITS_RELEASE, account_id=BEN, instrument_id=EUA, quantity=units + 1),
    )
    assert said == []
    desk.wait_until("2026-12-02T16:00")
    said = desk.send(
        command(Command.CASH_WITHDRAW, account_id=ANN, quantity=cash + 1),
        command(Command.UNITS_RELEASE, account_id=BEN, instrument_id=EUA, quantity=units + 1),
    )
    assert len(said) == 2
    desk.check()


def test_failed_then_settled_again_is_late() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    (done,) = desk.act(Instruction.FAIL_SETTLEMENT, trade, "op\naccount frozen by order 7")
    assert isinstance(done, SettlementAnswered)
    assert (done.trade_id, done.state) == (trade, TradeState.FAILED)
    assert desk.wait_until("2026-12-02T16:00") == []
    assert desk.open.counts(desk.now) == {"due": 0, "failed": 1, "overdue": 1}
    desk.check()
    delivered, answered = desk.act(Instruction.RETRY_SETTLEMENT, trade)
    assert isinstance(delivered, TradeDelivered)
    assert delivered.is_late
    assert answered.state == desk.state(trade) == TradeState.LATE
    desk.check()
    assert desk.open.counts(desk.now) == {"due": 0, "failed": 0, "overdue": 0}


def test_an_objection_withdrawn_in_time_leaves_the_trade_due() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    desk.act(Instruction.OBJECT_TO_TRADE, trade, "ben\nwe did not send it")
    (answered,) = desk.act(Instruction.RETRY_SETTLEMENT, trade, "ben\nwithdrawn")
    assert answered.state == TradeState.DUE
    (item,) = desk.wait_until("2026-12-02T16:00")
    assert not item.is_late
    assert reason_of(desk.act(Instruction.OBJECT_TO_TRADE, trade)) == SettlementReason.TRADE_NOT_DUE


def test_a_failed_trade_is_voided_after_its_days() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    before = desk.positions.cash(BEN).available
    desk.act(Instruction.FAIL_SETTLEMENT, trade)
    desk.wait_until("2026-12-04T15:59:59")  # due on the 2nd, two business days
    early = reason_of(desk.act(Instruction.VOID_TRADE, trade))
    assert early == SettlementReason.VOID_TOO_EARLY
    desk.wait_until("2026-12-04T16:00")
    voided, answered = desk.act(Instruction.VOID_TRADE, trade)
    assert isinstance(voided, TradeVoided)
    assert answered.state == desk.state(trade) == TradeState.VOID
    assert desk.positions.cash(BEN).available == before + 70_000 + 35
    assert desk.positions.units(ANN, EUA).available == 100
    assert desk.positions.fees == 0
    desk.check()
    again = reason_of(desk.act(Instruction.RETRY_SETTLEMENT, trade))
    assert again == SettlementReason.TRADE_ALREADY_CANCELLED


@pytest.mark.parametrize("instrument", [EUA, NOW])
def test_a_settled_trade_is_taken_back_by_two(instrument: int) -> None:
    desk = Desk()
    before = [desk.positions.cash(a).total for a in (ANN, BEN)]
    trade = desk.trade(ANN, BEN, 10, instrument)
    desk.wait_until("2026-12-02T16:00")
    cancelled, answered = desk.cancel(trade)
    assert isinstance(cancelled, TradeCancelled)
    assert answered.state == desk.state(trade) == TradeState.CANCELLED
    assert [desk.positions.cash(a).total for a in (ANN, BEN)] == before
    assert desk.positions.fees == 0
    desk.check()
    assert reason_of(desk.cancel(trade)) == SettlementReason.TRADE_ALREADY_CANCELLED


def test_a_trade_that_is_due_is_voided_by_two() -> None:
    desk = Desk(gives_fees_back=False)
    trade = desk.trade(ANN, BEN, 10)
    voided, _ = desk.cancel(trade)
    assert isinstance(voided, TradeVoided)
    assert desk.positions.fees == 35  # what the buyer paid is kept
    assert desk.positions.cash(BEN).total == 10**7 - 35
    assert desk.positions.cash(ANN).total == 10**7
    desk.check()


def test_a_cancellation_is_refused_when_units_or_cash_are_gone() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10, NOW)
    fields = {"account_id": BEN, "instrument_id": NOW, "quantity": 101}
    desk.send(command(Command.UNITS_RELEASE, **fields))
    assert reason_of(desk.cancel(trade)) == SettlementReason.BUYER_UNITS_GONE
    assert desk.state(trade) == TradeState.SETTLED
    desk.check()
    other = desk.trade(CAT, ANN, 10, NOW)
    cash = desk.positions.cash(CAT).available
    desk.send(command(Command.CASH_WITHDRAW, account_id=CAT, quantity=cash))
    assert reason_of(desk.cancel(other)) == SettlementReason.SELLER_CASH_GONE
    desk.send(command(Command.CASH_DEPOSIT, account_id=CAT, quantity=cash))
    cancelled, _ = desk.cancel(other)  # refused is not cancelled
    assert isinstance(cancelled, TradeCancelled)
    desk.check()


def test_who_may_cancel() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    assert reason_of(desk.cancel(trade, "ann")) == SettlementReason.SAME_PERSON_CANCELS
    approve = Instruction.APPROVE_TRADE_CANCEL
    unknown = desk.act(approve, 999, "ben\n", of=trade)
    assert reason_of(unknown) == SettlementReason.UNKNOWN_CANCEL_PROPOSAL
    offset = desk.offset
    desk.act(Instruction.PROPOSE_TRADE_CANCEL, trade, "ann\nwrong price")
    proposal = order_id_of(offset, 0)
    assert reason_of(desk.act(approve, proposal, "", of=trade)) == SettlementReason.WORDS_MISSING
    desk.now += 7 * DAY_NS
    desk.is_slow = True
    in_flight = desk.act(approve, proposal, "ben\n", of=trade)
    assert reason_of(in_flight) == SettlementReason.STEP_ON_ITS_WAY  # its cut-off came first
    desk.flush()
    desk.now += 1
    late = desk.act(approve, proposal, "ben\n", of=trade)
    assert reason_of(late) == SettlementReason.CANCEL_PROPOSAL_EXPIRED
    desk.check()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"account_id": CAT}, SettlementReason.UNKNOWN_TRADE),
        ({"quantity": 11}, SettlementReason.UNKNOWN_TRADE),
        ({"instrument_id": NOW}, SettlementReason.UNKNOWN_TRADE),
        ({"price": 1}, SettlementReason.UNKNOWN_TRADE),
    ],
)
def test_an_instruction_names_the_trade_by_all_its_terms(
    changes: dict[str, int], reason: int
) -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    for kind in (Instruction.FAIL_SETTLEMENT, Instruction.PROPOSE_TRADE_CANCEL):
        assert reason_of(desk.act(kind, trade, **changes)) == reason
    assert reason_of(desk.act(Instruction.FAIL_SETTLEMENT, trade, "op\n")) == (
        SettlementReason.WORDS_MISSING
    )
    assert desk.state(trade) == TradeState.DUE


def test_a_change_of_the_cycle_holds_from_the_next_trade_on() -> None:
    desk = Desk()
    said = desk.send(parameter_of(EUA, Parameter.RESALE_NEXT_DAY, Resale.AT_ONCE))
    first = desk.trade(ANN, BEN, 1)
    desk.send(parameter_of(EUA, Parameter.RESALE_NEXT_DAY, Resale.SETTLED))
    second = desk.trade(ANN, BEN, 1)
    assert said == []
    assert (desk.state(first), desk.state(second)) == (TradeState.SETTLED, TradeState.DUE)
    desk.check()


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 99), st.booleans())))
def test_columns_of_held_trades_are_the_ledgers_postings(
    drawn: list[tuple[int, int, int, bool]],
) -> None:
    rows = [
        (number, EUA, quantity, 7_000, buyer, seller, quantity, 2 * quantity, 1, 2)
        for number, (buyer, seller, quantity, _) in enumerate(drawn)
    ]
    table = np.array(rows, np.int64).reshape(len(rows), len(Trades._fields)).T
    held = np.flatnonzero([is_later for *_, is_later in drawn])
    columns = posting_columns(Trades(*table), [], held)
    told = list(zip(*(column.tolist() for column in columns), strict=True))
    expected = []
    for row, (*_, is_later) in zip(rows, drawn, strict=True):
        item = TradeDue(*row, due_ns=9) if is_later else TradeSettled(*row)
        expected += [tuple(posting) for posting in postings_of(row[0], item)]
    assert told == expected


# -- what is not so is found -----------------------------------------------------------------------


def stranger(desk: Desk, trade: int, **changes: Any) -> bytes:
    terms = desk.books[trade].terms
    fields = {
        "order_type": SettlementStep.DELIVER,
        "account_id": terms.buyer_account,
        "instrument_id": terms.instrument_id,
        "quantity": terms.quantity,
        "price": terms.proceeds,
        "order_id": terms.seller_account,
        "client_order_id": settlement_tail(0, trade),
    }
    return command(Command.SETTLE_TRADE, **(fields | changes))


def test_a_step_that_settlement_did_not_send_stops_it() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    with pytest.raises(SettlementBrokenError, match="did not ask"):
        desk.send(stranger(desk, trade))


@pytest.mark.parametrize("field", ["ref", "price", "quantity", "order_type"])
def test_an_altered_step_stops_it(field: str) -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    desk.is_slow = True
    desk.wait_until("2026-12-02T16:00")
    found = desk.books[trade]
    changed: dict[str, Any] = {"ref": found.ref, "session_id": 2}
    changed |= {
        "ref": {"ref": found.ref + 1},
        "price": {"price": found.terms.proceeds - 1},
        "quantity": {"quantity": 9},
        "order_type": {"order_type": SettlementStep.VOID},
    }[field]
    with pytest.raises(SettlementBrokenError, match="did not ask"):
        desk.send(stranger(desk, trade, **changed))


def test_a_delivery_that_the_engine_refuses_stops_it() -> None:
    desk = Desk()
    trade = desk.trade(ANN, BEN, 10)
    with pytest.raises(SettlementBrokenError, match="not those of the books"):
        desk.send(stranger(desk, trade, quantity=11))


def test_a_step_sent_again_is_settled_once() -> None:
    desk = Desk()
    desk.trade(ANN, BEN, 10)
    desk.is_slow = True
    desk.wait_until("2026-12-02T16:00")
    steps = list(desk.waiting)
    assert len(desk.flush()) == 1
    assert desk.send(*steps) == []
    desk.check()


def test_what_is_loaded_goes_on_where_it_was() -> None:
    desk = Desk()
    trades = [desk.trade(ANN, BEN, quantity) for quantity in (1, 2, 3)]
    desk.is_slow = True
    desk.act(Instruction.FAIL_SETTLEMENT, trades[0])
    desk.wait_until("2026-12-02T16:00")
    sent, desk.waiting = desk.waiting, []
    left = [item for item in desk.books.values() if item.state in OPEN]
    steps = desk.open.load(Loaded(left, [], {EUA: Resale.SETTLED}, desk.open.ref))
    assert [step.command for step in steps] == sent
    desk.waiting = sent
    desk.is_slow = False
    assert len(desk.flush()) == 2
    assert len(desk.act(Instruction.RETRY_SETTLEMENT, trades[0])) == 2
    desk.check()


# -- any order -------------------------------------------------------------------------------------

ACTS = ("trade", "fail", "object", "retry", "void", "cancel", "sell on", "take out", "day", "flush")
STEP = st.tuples(st.sampled_from(ACTS), st.integers(0, 7), st.integers(1, 30))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=30), st.booleans())
def test_cash_and_units_are_conserved_in_any_order(
    steps: list[tuple[str, int, int]], is_slow: bool
) -> None:
    desk = Desk()
    desk.is_slow = is_slow
    accounts = (ANN, BEN, CAT)
    kinds = {
        "fail": Instruction.FAIL_SETTLEMENT,
        "object": Instruction.OBJECT_TO_TRADE,
        "retry": Instruction.RETRY_SETTLEMENT,
        "void": Instruction.VOID_TRADE,
    }
    trades: list[int] = []
    for act, which, quantity in steps:
        seller, buyer = accounts[which % 3], accounts[(which + 1) % 3]
        instrument = EUA if which < 6 else NOW
        if act in ("trade", "sell on"):
            seller, buyer = (seller, buyer) if act == "trade" else (buyer, seller)
            if desk.positions.units(seller, instrument).available >= quantity:
                trades.append(desk.trade(seller, buyer, quantity, instrument))
        elif act == "take out":
            fields = {"account_id": seller, "quantity": quantity, "instrument_id": instrument}
            desk.send(command(Command.UNITS_RELEASE, **fields))
            desk.send(command(Command.CASH_WITHDRAW, account_id=buyer, quantity=quantity * 9_999))
        elif act == "day":
            desk.now += DAY_NS * (1 + which // 4)
            desk.send(command(Command.CLOCK_TICK))
        elif act == "flush":
            if desk.waiting:
                desk.flush()
        elif trades:
            trade = trades[which % len(trades)]
            desk.cancel(trade) if act == "cancel" else desk.act(kinds[act], trade)
        desk.check()
    while desk.waiting:
        desk.flush()
    desk.check()
    for trade in trades:
        acts = [act for act in desk.acts if act.trade_id == trade]
        assert [act.number for act in acts] == list(range(1, len(acts) + 1))
        assert all((a.before, a.message) in MOVES for a in acts)
        assert sum(act.after == TradeState.CANCELLED for act in acts) <= 1
