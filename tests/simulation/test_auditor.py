"""The auditor's own checks and counts, on histories that no run would give."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from exchange.ledger import Leg
from exchange.messages.frames import (
    INDEX_BITS,
    AccountParameter,
    Command,
    Event,
    EventRow,
    Liquidity,
    OrderType,
    Parameter,
    Phase,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
)
from exchange.messages.registry import UnitsSurrendered
from exchange.settlement.cycle import TradeState
from exchange.simulation.faults import effects
from exchange.simulation.faults.auditor import check_legs, check_switches
from exchange.simulation.faults.oracle import Heard, History
from exchange.simulation.faults.promises import BrokenPromiseError
from gateway.faults.decisions import check_loosened
from gateway.faults.told import Due

TRADE = {Leg.BUYER_CASH, Leg.SELLER_CASH, Leg.SELLER_UNITS, Leg.BUYER_UNITS}
DELIVERY = {Leg.CASH_FROM, Leg.CASH_TO, Leg.UNITS_FROM, Leg.UNITS_TO}
ACCOUNT, FIRM, OTHER = 110, 10, 111


class Engine:
    """As much of an engine as counts ask for."""

    epoch = 1


class Positions:
    """As much of positions as counts ask for."""

    trades = 0


def event(kind: Event, **fields: Any) -> EventRow:
    blank = dict.fromkeys(EventRow._fields, 0) | {"client_order_id": bytes(16)}
    return EventRow(**{**blank, "instrument_id": 1, **fields, "kind": int(kind)})


def history(*groups: tuple[Command, list[EventRow]]) -> History:
    """One command a record, of session 7, with refs that rise."""
    events, heard, first = [], {}, {}
    number = 0
    for offset, (kind, rows) in enumerate(groups):
        position, numbered = offset << INDEX_BITS, []
        for row in rows:
            events.append((number, offset, row))
            numbered.append((number, row))
            number += 1
        heard[position] = Heard(position, kind, 7, offset + 1, ACCOUNT, numbered, OTHER)
        first[7, offset + 1] = position
    made: Any = History(
        len(groups), [], events, heard, first, Positions(), Engine(), {}  # type: ignore[arg-type]
    )  # fmt: skip
    return made  # type: ignore[no-any-return]


def at(offset: int, time_ns: int) -> Any:
    """As much of a part as times need."""
    return SimpleNamespace(input_offset=offset, time_ns=time_ns)


def fill(method: TradeMethod, account: int = ACCOUNT) -> EventRow:
    return event(Event.FILL, account_id=account, reason=method, order_type=Liquidity.MAKER)


# -- P5 -----------------------------------------------------------------------------------------


def test_a_trade_without_legs_is_found() -> None:
    check_legs("EU", [5], {5: set(TRADE)}, {}, {})
    with pytest.raises(BrokenPromiseError, match="trade 5 has legs"):
        check_legs("EU", [5], {}, {}, {})
    with pytest.raises(BrokenPromiseError, match="trade 5 has legs"):
        check_legs("EU", [5], {5: TRADE - {Leg.SELLER_UNITS}}, {}, {})


def test_a_trade_that_is_settled_later_is_delivered_once_with_both_legs() -> None:
    both = {5: set(TRADE), 9: set(DELIVERY)}
    check_legs("EU", [5], both, {5: TradeState.DUE}, {})
    check_legs("EU", [5], both, {5: TradeState.SETTLED}, {5: 9})
    for later, settled, legs in (
        ({5: TradeState.SETTLED}, {}, both),  # nothing delivered it
        ({5: TradeState.DUE}, {5: 9}, both),  # delivered, and still waiting
        ({5: TradeState.LATE}, {5: 9}, both | {9: DELIVERY - {Leg.CASH_TO}}),
        ({5: TradeState.SETTLED}, {5: 9}, {5: set(TRADE)}),
    ):
        with pytest.raises(BrokenPromiseError) as broken:
            check_legs("EU", [5], legs, later, settled)
        assert broken.value.promise == "P5"


# -- P8 -----------------------------------------------------------------------------------------


def killed(*more: tuple[Command, list[EventRow]]) -> History:
    opened = event(Event.ACCOUNT_OPENED, account_id=ACCOUNT, order_id=FIRM)
    kill = event(
        Event.PARTICIPANT_CHANGED, order_type=AccountParameter.SUSPENDED, order_id=FIRM, quantity=1
    )
    return history((Command.ACCOUNT_OPEN, [opened]), (Command.PARTICIPANT_PARAMETER, [kill]), *more)


@pytest.mark.parametrize("method", [TradeMethod.BOOK_TRADE, TradeMethod.BLOCK_TRADE])
def test_no_trade_of_a_killed_account_passes_be_it_a_block(method: TradeMethod) -> None:
    check_switches(killed((Command.NEW_ORDER, [fill(method, OTHER)])))
    with pytest.raises(BrokenPromiseError, match="which is killed"):
        check_switches(killed((Command.BLOCK_CONFIRM, [fill(method)])))


def test_blocks_may_trade_while_the_book_is_shut() -> None:
    halt = (Command.PHASE_CHANGE, [event(Event.PHASE_CHANGED, order_type=Phase.HALT)])
    check_switches(history(halt, (Command.BLOCK_CONFIRM, [fill(TradeMethod.BLOCK_TRADE)])))
    with pytest.raises(BrokenPromiseError, match="halted or closed"):
        check_switches(history(halt, (Command.NEW_ORDER, [fill(TradeMethod.BOOK_TRADE)])))


# -- P12 ----------------------------------------------------------------------------------------


def phase(to: Phase) -> tuple[Command, list[EventRow]]:
    return Command.PHASE_CHANGE, [event(Event.PHASE_CHANGED, order_type=to)]


def limit(value: int) -> tuple[Command, list[EventRow]]:
    row = event(Event.PARAMETER_CHANGED, order_type=Parameter.QUANTITY_MAX, quantity=value)
    return Command.INSTRUMENT_PARAMETER, [row]


def switch(value: int) -> tuple[Command, list[EventRow]]:
    suspended = AccountParameter.SUSPENDED
    row = event(Event.PARTICIPANT_CHANGED, order_type=suspended, order_id=FIRM, quantity=value)
    return Command.PARTICIPANT_PARAMETER, [row]


@pytest.mark.parametrize(
    "groups",
    [
        (phase(Phase.CONTINUOUS), phase(Phase.HALT), phase(Phase.CONTINUOUS)),
        (limit(90), limit(20), limit(90)),
        (phase(Phase.CONTINUOUS), switch(1), switch(0)),
    ],
    ids=["resume", "limit", "lift"],
)
def test_what_loosens_needs_its_approval(groups: tuple[Any, ...]) -> None:
    check_loosened("EU", history(*groups[:2]), set())
    check_loosened("EU", history(*groups), {2 << INDEX_BITS})
    with pytest.raises(BrokenPromiseError, match="no two persons decided it"):
        check_loosened("EU", history(*groups), {1 << INDEX_BITS})


# -- what is due ---------------------------------------------------------------------------------


def accepted(**fields: Any) -> EventRow:
    blank = {
        "side": Side.BUY, "order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC,
        "account_id": ACCOUNT, "quantity": 9, "price": 100, "order_id": 1,
    }  # fmt: skip
    return event(Event.ACCEPTED, **(blank | fields))


def test_a_block_is_due_to_both_sides_and_to_nobody_else() -> None:
    seen = history((Command.BLOCK_PROPOSE, [accepted(order_type=OrderType.BLOCK)]))
    owners = {ACCOUNT: FIRM, OTHER: 11, 112: 12}
    words = Due(seen, owners, {1: "EUA"}).words
    assert [(word.participant, word.exec_type) for word in words] == [
        (FIRM, "NEW"),
        (11, "BLOCK_PROPOSED"),
    ]
    assert words[1].fields["account"] == OTHER


def test_leaves_are_added_up_from_the_events() -> None:
    trade = event(Event.FILL, order_id=1, quantity=4, value=5, price=99, account_id=ACCOUNT)
    more = trade._replace(quantity=3, value=2, price=98)
    gone = event(Event.CANCELLED, order_id=1, reason=Reason.DAY_ENDED, account_id=ACCOUNT)
    seen = history(
        (Command.NEW_ORDER, [accepted()]),
        (Command.NEW_ORDER, [trade, more]),
        (Command.DAY_ROLL, [gone]),
    )
    seen.parts.extend([at(0, 70), at(1, 80), at(2, 90)])
    words = Due(seen, {ACCOUNT: FIRM}, {1: "EUA"}).words
    names = (
        "leaves_quantity", "cumulative_quantity", "order_status", "average_price",
        "transact_time_ns",
    )  # fmt: skip
    assert [tuple(word.fields[name] for name in names) for word in words] == [
        (9, 0, "NEW", 0, 70),
        (5, 4, "PARTIALLY_FILLED", 990_000, 80),
        (2, 7, "PARTIALLY_FILLED", (4 * 99 + 3 * 98) * 10_000 // 7, 80),
        (0, 7, "CANCELLED", (4 * 99 + 3 * 98) * 10_000 // 7, 90),
    ]
    assert words[-1].fields["reason"] == Reason.DAY_ENDED


# -- effects ------------------------------------------------------------------------------------


def counts(*groups: tuple[Command, list[EventRow]], items: Any = ()) -> Counter[str]:
    shapes: Counter[str] = Counter()
    effects.count(history(*groups), items, {1: 2024}, shapes)
    return +shapes


def test_a_cancel_counts_as_one_during_a_call_only_there() -> None:
    asked = event(Event.CANCELLED, order_id=1, reason=Reason.CANCELLED_BY_REQUEST)
    cancel = (Command.CANCEL_ORDER, [asked])
    assert counts(phase(Phase.CONTINUOUS), cancel)["cancel_in_call"] == 0
    during = counts(phase(Phase.OPENING_CALL), cancel)
    assert (during["cancel_in_call"], during["cancel"], during["opening_call"]) == (1, 1, 1)


def test_what_ends_with_a_change_of_phase_is_told_apart() -> None:
    change = event(Event.PHASE_CHANGED, order_type=Phase.CONTINUOUS)
    ended = event(Event.CANCELLED, order_id=1, reason=Reason.CALL_ENDED)
    together = counts((Command.PHASE_CHANGE, [change, ended]))
    assert (together["expired_at_phase_change"], together["call_ended"]) == (1, 1)
    apart = counts((Command.PHASE_CHANGE, [change]), (Command.DAY_ROLL, [ended]))
    assert apart["expired_at_phase_change"] == 0


def test_kinds_of_orders_count_by_what_became_of_them() -> None:
    stop = accepted(order_type=OrderType.STOP_LIMIT)
    found = counts(
        (Command.NEW_ORDER, [stop, event(Event.TRIGGERED, order_id=1)]),
        (Command.NEW_ORDER, [event(Event.REJECTED, reason=Reason.INSUFFICIENT_CASH)]),
        (Command.NEW_ORDER, [event(Event.CANCELLED, reason=Reason.SELF_TRADE_PREVENTED)]),
        (Command.REPLACE_ORDER, [event(Event.REPLACED, order_type=0)]),
        (Command.REPLACE_ORDER, [event(Event.REPLACED, order_type=1)]),
        (Command.NEW_ORDER, [event(Event.REFILLED), fill(TradeMethod.BOOK_TRADE)]),
    )
    for name in (
        "order_stop", "stop_triggered", "order_short_of_funds", "order_self_trade",
        "replace_loses_priority", "replace_keeps_priority", "refilled", "trade_of_vintage_2024",
    ):  # fmt: skip
        assert found[name] == 1, name


def test_surrenders_count_by_the_last_day() -> None:
    in_time = UnitsSurrendered(1, ACCOUNT, 1, 2024, 5, ())
    late = UnitsSurrendered(2, ACCOUNT, 1, 2024, 5, (), is_late=True)
    found = counts(items=[in_time, late, late])
    assert (found["surrender_in_time"], found["surrender_late"]) == (1, 2)
