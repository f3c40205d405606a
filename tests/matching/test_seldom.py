"""Rules which the flows seldom meet, each once, on both engines."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from matching.layout import (
    TOTAL_LIMIT,
    Command,
    Event,
    OrderType,
    Parameter,
    Phase,
    Policy,
    Pricing,
    Reason,
    Side,
    TieBreak,
    TimeInForce,
)
from matching.snapshot import decode, encode
from tests.matching.flows import Flow
from tests.matching.frames import EventRow, command, events, frame
from tests.matching.twin import Twin

ORDER = {
    "account_id": 1,
    "instrument_id": 1,
    "side": Side.SELL,
    "order_type": OrderType.LIMIT,
    "time_in_force": TimeInForce.GTC,
    "quantity": 10,
}


def heard(*commands: bytes) -> list[EventRow]:
    """What both engines say to commands in a market that is open and has no orders."""
    twin, flow = Twin(), Flow(1)
    for record in flow.opening():
        twin.apply(record)
    rows = events(twin.apply(flow.record(frame(commands))))
    twin.check()
    return rows


def setting(parameter: Parameter, value: int) -> bytes:
    fields = {"order_type": parameter, "quantity": value, "instrument_id": 1}
    return command(Command.INSTRUMENT_PARAMETER, **fields)


AUCTION = {
    "account_id": 1,
    "instrument_id": 1,
    "side": Side.SELL,
    "order_type": Pricing.UNIFORM,
    "time_in_force": TieBreak.BY_TIME,
    "quantity": 1_000,
    "client_order_id": b"auction",
}
LATER_NS = 2**62


def test_an_auction_opened_again_under_its_label() -> None:
    accepted, *_, again, changed = heard(
        command(Command.AUCTION_OPEN, **AUCTION),
        command(Command.AUCTION_OPEN, **AUCTION),
        command(Command.AUCTION_OPEN, **AUCTION | {"time_in_force": TieBreak.PRO_RATA}),
    )
    assert (again.kind, again.order_id) == (Event.DUPLICATE, accepted.order_id)
    assert changed.reason == Reason.CLIENT_ORDER_ID_REUSED_TERMS


def test_a_closing_time_is_a_part_of_what_was_opened() -> None:
    opening = command(Command.AUCTION_OPEN, **AUCTION)
    accepted, opened, closes, again, sooner, without = heard(
        opening, command(Command.AUCTION_TERMS, quantity=LATER_NS),
        opening, command(Command.AUCTION_TERMS, quantity=LATER_NS),
        opening, command(Command.AUCTION_TERMS, quantity=LATER_NS - 1),
        opening,
    )  # fmt: skip
    assert [accepted.kind, opened.kind] == [Event.ACCEPTED, Event.AUCTION_OPENED]
    assert (closes.kind, closes.value, closes.order_id) == (
        Event.BIDDING_CLOSES,
        LATER_NS,
        accepted.order_id,
    )
    assert (again.kind, again.order_id) == (Event.DUPLICATE, accepted.order_id)
    assert {sooner.reason, without.reason} == {Reason.CLIENT_ORDER_ID_REUSED_TERMS}


def test_a_draw_has_the_seed_of_the_opening_sent_first_and_that_of_the_end() -> None:
    """One that is drawn anew for the same request sent again changes nothing."""
    opening = command(Command.AUCTION_OPEN, **AUCTION)
    accepted, opened, again, cleared, *_ = heard(
        opening, command(Command.AUCTION_TERMS, price=-7),
        opening, command(Command.AUCTION_TERMS, price=8),
        command(Command.AUCTION_CLEAR, instrument_id=1, quantity=9),
    )  # fmt: skip
    assert [accepted.kind, opened.kind] == [Event.ACCEPTED, Event.AUCTION_OPENED]
    assert (again.kind, again.order_id) == (Event.DUPLICATE, accepted.order_id)
    assert cleared.kind == Event.AUCTION_CLEARED
    assert struct.unpack("<qq", cleared.client_order_id) == (-7 ^ 9, -7)


def test_terms_of_an_auction_elsewhere_give_nothing() -> None:
    terms = command(Command.AUCTION_TERMS, quantity=1)
    rows = heard(
        terms, command(Command.NEW_ORDER, **ORDER, price=1_000), terms,
        command(Command.AUCTION_OPEN, **AUCTION), command(Command.CLOCK_TICK), terms,
    )  # fmt: skip
    assert [row.kind for row in rows] == [Event.ACCEPTED, Event.ACCEPTED, Event.AUCTION_OPENED]


def test_a_bid_is_heard_until_the_last_nanosecond() -> None:
    """Also by an engine that was restored in between."""
    twin, flow = Twin(), Flow(1)
    for record in flow.opening():
        twin.apply(record)
    closes_ns = flow.now + 10**9
    opening = command(Command.AUCTION_OPEN, **AUCTION)
    offset, now, data = flow.record(
        frame([opening, command(Command.AUCTION_TERMS, quantity=closes_ns)])
    )
    accepted, *_ = events(twin.apply((offset, now, data)))
    bid = {"account_id": 2, "instrument_id": 1, "side": Side.BUY, "quantity": 500, "price": 7_000}
    named = {"instrument_id": 1, "order_id": accepted.order_id}
    said = frame([
        command(Command.AUCTION_BID, **bid | named), command(Command.AUCTION_CLEAR, **named)
    ])  # fmt: skip
    in_time, early = events(twin.apply((offset + 1, closes_ns - 1, said)))
    assert (in_time.kind, early.reason) == (Event.ACCEPTED, Reason.BIDDING_NOT_CLOSED)
    twin.swap()
    late, cleared, *_ = events(twin.apply((offset + 2, closes_ns, said)))
    assert (late.reason, cleared.kind) == (Reason.BIDDING_CLOSED, Event.AUCTION_CLEARED)
    twin.check()


@pytest.mark.parametrize(("best", "limit"), [(999, 1_002), (1_005, 1_010), (1_010, 1_015)])
def test_protection_rounds_down_across_a_step_of_the_ticks(best: int, limit: int) -> None:
    """A half per cent above 999 is 1,003 and a fraction; the next price below is 1,002."""
    market = {"side": Side.BUY, "order_type": OrderType.MARKET, "time_in_force": TimeInForce.IOC}
    *_, taken, _, _ = heard(
        setting(Parameter.TICK_SIZE_2, 5),
        setting(Parameter.TICK_FROM_2, 1_003),
        setting(Parameter.PROTECTION_BP, 50),
        command(Command.NEW_ORDER, **ORDER, price=best),
        command(Command.NEW_ORDER, **ORDER | market | {"account_id": 2}),
    )
    assert (taken.kind, taken.price) == (Event.ACCEPTED, limit)


def test_listed_trading_knows_no_call() -> None:
    *_, refused = heard(
        setting(Parameter.POLICY, Policy.LISTED),
        command(Command.PHASE_CHANGE, instrument_id=1, order_type=Phase.VOLATILITY_CALL),
    )
    assert refused.reason == Reason.PHASE_TRANSITION_REFUSED


def test_a_call_to_come_is_given_up_when_trading_becomes_listed() -> None:
    twin, flow = Twin(), Flow(1)
    for record in flow.opening():
        twin.apply(record)
    named = {"instrument_id": 1}
    commands = [
        command(Command.PHASE_CHANGE, order_type=Phase.VOLATILITY_CALL, **named),
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSING_CALL, quantity=7, **named),
        setting(Parameter.POLICY, Policy.LISTED),
    ]
    rows = events(twin.apply(flow.record(frame(commands))))
    assert [row.kind for row in rows if row.kind != Event.INDICATIVE] == [
        Event.PHASE_CHANGED,
        Event.CALL_ENDING,
        Event.PARAMETER_CHANGED,
    ]
    flow.now += 3_600 * 10**9
    rows = events(twin.apply(flow.record(frame([command(Command.CLOCK_TICK)]))))
    assert Event.PHASE_CHANGED not in {row.kind for row in rows}
    twin.swap()


@pytest.mark.parametrize(
    ("figure", "below", "told"),
    [
        ("volume", 11, TOTAL_LIMIT - 1), ("volume", 10, TOTAL_LIMIT), ("volume", 9, TOTAL_LIMIT),
        ("turnover", 10_001, TOTAL_LIMIT - 1), ("turnover", 9_999, TOTAL_LIMIT),
    ],
)  # fmt: skip
def test_a_days_figures_stop_at_the_limit_of_totals(figure: str, below: int, told: int) -> None:
    """No day reaches it by trading in a test, so it begins `below` it; then 10 t trade at 1,000."""
    twin, flow = Twin(), Flow(1)
    for record in flow.opening():
        twin.apply(record)
    rows = decode(twin.reference.snapshot())
    changed = rows.instruments.copy()
    changed[figure][changed["instrument_id"] == 1] = TOTAL_LIMIT - below
    image = encode(replace(rows, instruments=changed))
    twin.restore(image, image)
    day = 20_300_102
    trade = [command(Command.NEW_ORDER, **ORDER | more, price=1_000) for more in (
        {}, {"account_id": 2, "side": Side.BUY},
    )]  # fmt: skip
    close = [
        command(Command.PHASE_CHANGE, order_type=Phase.CLOSED),
        command(Command.DAY_ROLL, quantity=day),
    ]
    said = events(twin.apply(flow.record(frame([*trade, *close]))))
    assert [row.quantity for row in said if row.kind == Event.FILL] == [10, 10]
    (closed,) = [r for r in said if r.kind == Event.DAY_CLOSED and r.instrument_id == 1]
    figures = {"volume": closed.quantity, "turnover": closed.value}
    other = {"volume": 10, "turnover": 10_000}
    assert figures == other | {figure: told}
    twin.check()
