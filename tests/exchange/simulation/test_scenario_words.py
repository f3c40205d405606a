"""The words of the scenario language make the records they mean, and say what was heard."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.messages.frames import Command, Event, EventRow
from exchange.messages.lines import record_fields
from exchange.simulation.scenarios.commands import Speaker
from exchange.simulation.scenarios.heard import QUESTIONS, render
from exchange.simulation.scenarios.words import START_NS, Names, mode_of
from matching.layout import Queue

POSITION = 9 << 16


def names() -> Names:
    return Names({"alice": 101, "bob": 102}, {"EUA": 1, "CER": 2}, {"a1": 55, "s1": 77})


def said(line: str) -> list[dict[str, Any]]:
    """The records of a line, field by field."""
    mode, words = mode_of(line.split())
    return [record_fields(made, Command) for made in Speaker(names()).say(mode, words, POSITION)]


ALICE = {"account_id": 101, "instrument_id": 1}
BOB = {"account_id": 102, "instrument_id": 1}
SELL = {"side": "SELL", "quantity": 10, "price": 7100}
BUY = {"side": "BUY", "quantity": 10, "price": 7100}
LIMIT = {"order_type": "LIMIT", "time_in_force": "GTC", "client_order_id": "x"}
NEW = {"kind": "NEW_ORDER", **ALICE, **SELL, **LIMIT}
TERMS = {"kind": "ORDER_TERMS", "stop_price": 0, "display_quantity": 0, "minimum_quantity": 0,
         "expire_date": 0}  # fmt: skip
AUCTION = {"pricing": "UNIFORM", "tie_break": "PRO_RATA", "reserve": 0, "flags": [], "carry": 0,
           "bid_max_bp": 0, "bid_multiple": 0}  # fmt: skip

LINES: dict[str, list[dict[str, Any]]] = {
    "new alice x sell 10 71.00 GTC": [NEW],
    "new alice x sell 10 71.00 GTC CER": [NEW | {"instrument_id": 2}],
    "new alice x sell 10 71.00 GTC POST_ONLY CER DECREMENT": [
        NEW | {"instrument_id": 2, "instructions": ["POST_ONLY", "DECREMENT"]}
    ],
    "new alice x sell 10 71.00 GTC bits 0x50": [NEW | {"instructions": 0x50}],
    "new alice x sell 10 71.00 GTC display 2": [NEW, TERMS | {"display_quantity": 2}],
    "@5.12 within 100 new alice x sell 10 71.00 GTC minimum 3": [
        NEW | {"session_id": 5, "ref": 12, "valid_ms": 100},
        TERMS | {"minimum_quantity": 3},
    ],
    "new alice x sell 10 71.00 GTD until 20261231 stop 71.50": [
        NEW | {"order_type": "STOP_LIMIT", "time_in_force": "GTD"},
        TERMS | {"stop_price": 7150, "expire_date": 20261231},
    ],
    "new alice x sell 10 market GTC stop 71.50": [
        NEW | {"order_type": "STOP", "price": 0},
        TERMS | {"stop_price": 7150},
    ],
    "new alice x sell 10 market GTC type STOP": [NEW | {"order_type": "STOP", "price": 0}],
    "replace alice a1 x 10 71.00 stop 0": [
        {"kind": "REPLACE_ORDER", "account_id": 101, "order_id": 55, "quantity": 10,
         "price": 7100, "client_order_id": "x"},
        TERMS,
    ],
    "offer alice x sell 10 UNIFORM PRO_RATA closes 5000": [
        {"kind": "AUCTION_OPEN", **ALICE, "side": "SELL", "quantity": 10, **AUCTION,
         "client_order_id": "x"},
        {"kind": "AUCTION_TERMS", "closes_ns": START_NS + 5 * 10**9},
    ],
    "offer alice x sell 10 UNIFORM PRO_RATA seed -7": [
        {"kind": "AUCTION_OPEN", **ALICE, "side": "SELL", "quantity": 10, **AUCTION,
         "client_order_id": "x"},
        {"kind": "AUCTION_TERMS", "seed": -7},
    ],
    "mass_cancel": [
        {"kind": "MASS_CANCEL", "account_id": 0, "instrument_id": 0, "side": 0,
         "participant_id": 0, "of_session_id": 0}
    ],
    "mass_cancel account bob instrument CER side sell participant 7 session 5 NON_PERSISTENT": [
        {"kind": "MASS_CANCEL", "account_id": 102, "instrument_id": 2, "side": "SELL",
         "participant_id": 7, "of_session_id": 5, "mass_cancel_scope": "ONLY_NON_PERSISTENT"}
    ],
    "quote alice q1 buy 5 70.00 sell 6 71.00 CER NON_PERSISTENT": [
        {"kind": "QUOTE", "account_id": 101, "instrument_id": 2, "buy_quantity": 5,
         "buy_price": 7000, "sell_quantity": 6, "sell_price": 7100,
         "instructions": ["NON_PERSISTENT"]}
    ],
    "quote alice q1 sell 6 71.00": [
        {"kind": "QUOTE", **ALICE, "buy_quantity": 0, "buy_price": 0, "sell_quantity": 6,
         "sell_price": 7100}
    ],
    "pick bob x buy 10 71.00 a1": [
        {"kind": "PICK_ORDER", **BOB, **BUY, "order_id": 55, "client_order_id": "x"}
    ],
    "propose alice x sell 10 71.00 bob": [
        {"kind": "BLOCK_PROPOSE", **ALICE, **SELL, "counterparty_id": 102, "client_order_id": "x"}
    ],
    "confirm bob x buy 10 71.00 a1 CER": [
        {"kind": "BLOCK_CONFIRM", **BOB, **BUY, "order_id": 55, "client_order_id": "x",
         "instrument_id": 2}
    ],
    "offer alice x sell 10 UNIFORM PRO_RATA": [
        {"kind": "AUCTION_OPEN", **ALICE, "side": "SELL", "quantity": 10, **AUCTION,
         "client_order_id": "x"}
    ],
    "offer alice x sell 10 PAY_AS_BID BY_TIME CER reserve 5.00 carry 4 bid_max 2000 multiple 500 "
    "IRREVOCABLE IN_BAND": [
        {"kind": "AUCTION_OPEN", "account_id": 101, "instrument_id": 2, "side": "SELL",
         "quantity": 10, "pricing": "PAY_AS_BID", "tie_break": "BY_TIME", "reserve": 500,
         "flags": ["IRREVOCABLE", "IN_BAND"], "carry": 4, "bid_max_bp": 2000,
         "bid_multiple": 500, "client_order_id": "x"}
    ],
    "bid bob x buy 10 71.00 s1": [
        {"kind": "AUCTION_BID", **BOB, **BUY, "auction_id": 77, "client_order_id": "x"}
    ],
    "clear s1 seed -7 reserve 69.00": [
        {"kind": "AUCTION_CLEAR", "instrument_id": 1, "auction_id": 77, "seed": -7,
         "reserve": 6900}
    ],
    "call_off s1 CER": [{"kind": "AUCTION_CANCEL", "instrument_id": 2, "auction_id": 77}],
    "phase HALT": [{"kind": "PHASE_CHANGE", "instrument_id": 0, "phase": "HALT"}],
    "phase CONTINUOUS CER seed 7": [
        {"kind": "PHASE_CHANGE", "instrument_id": 2, "phase": "CONTINUOUS", "seed": 7}
    ],
    "parameter EUA policy LISTED": [
        {"kind": "INSTRUMENT_PARAMETER", "instrument_id": 1, "parameter": "POLICY", "quantity": 2}
    ],
    "parameter EUA close 7": [
        {"kind": "INSTRUMENT_PARAMETER", "instrument_id": 1, "parameter": "CLOSE_RULE",
         "quantity": 7}
    ],
    "parameter EUA tick_from_2 71.00": [
        {"kind": "INSTRUMENT_PARAMETER", "instrument_id": 1, "parameter": "TICK_FROM_2",
         "quantity": 7100}
    ],
    "account carol participant 7 cash 5.00": [
        {"kind": "ACCOUNT_OPEN", "account_id": 103, "participant_id": 7},
        {"kind": "CASH_DEPOSIT", "account_id": 103, "quantity": 500, "transfer_id": 0},
    ],
    "control alice instrument_holding_max 5 CER": [
        {"kind": "ACCOUNT_PARAMETER", "account_id": 101, "instrument_id": 2,
         "account_parameter": "INSTRUMENT_HOLDING_MAX", "quantity": 5}
    ],
    "control_participant 7 order_rate 5": [
        {"kind": "PARTICIPANT_PARAMETER", "participant_id": 7, "account_parameter": "ORDER_RATE",
         "quantity": 5}
    ],
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_a_line_makes_its_records(line: str) -> None:
    assert said(line) == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "new alice x sell 10 71.00 GTC POST_ONLY POST_ONLY",
        "new alice x sell 10 71.00 GTC CANCEL_BOTH DECREMENT",
        "new alice x sell 10 71.00 GTC FAST",
        "new alice x sell 10 71.00 GTC EUA CER",
        "new alice x sell 10 71.00 GTC display",
        "new alice x sell 10 71.00 GTC display 1 display 2",
        "replace alice a1 x 10 71.00 POST_ONLY",
        "mass_cancel alice",
        "quote alice q1 buy 5",
        "offer alice x sell 10 UNIFORM PRO_RATA BINDING",
        "offer alice x sell 10 UNIFORM PRO_RATA carry 256",
        "clear s2",
        "phase HALT EUA CER",
    ],
)
def test_a_wrong_word_is_no_line(line: str) -> None:
    with pytest.raises((KeyError, IndexError, TypeError, ValueError, ArithmeticError)):
        said(line)


def test_the_sides_of_a_quote_have_names() -> None:
    known = names()
    mode, words = mode_of(["quote", "alice", "q1", "buy", "5", "70.00"])
    Speaker(known).say(mode, words, POSITION)
    assert (known.orders["q1.buy"], known.orders["q1.sell"]) == (POSITION, POSITION | 1 << 15)


def row(kind: Event, *, tail: tuple[int, int] = (0, 0), **named: int) -> EventRow:
    data = tail[0].to_bytes(8, "little") + tail[1].to_bytes(8, "little", signed=True)
    none = EventRow(kind, 2, 0, 0, 1, 0, 101, 0, 0, 0, 0, 55, data)
    return none._replace(**named)


HEARD: list[tuple[EventRow, str]] = [
    (
        row(Event.TERMS_SET, value=7000, quantity=2, price=3, tail=(20261231, 0x21)),
        "TERMS_SET a1 stop 70.00 display 2 minimum 3 until 20261231 POST_ONLY CANCEL_OLDEST",
    ),
    (row(Event.TERMS_SET, tail=(0, 0x50)), "TERMS_SET a1 stop 0.00 display 0 minimum 0 until 0 80"),
    (
        row(Event.TRIGGERED, order_type=2, quantity=3, price=7000, value=3),
        "TRIGGERED a1 LIMIT 3 @70.00 hold 3",
    ),
    (row(Event.REFILLED, quantity=2), "REFILLED a1 2"),
    (row(Event.MASS_CANCELLED, value=4), "MASS_CANCELLED 4"),
    (
        row(Event.QUOTED, quantity=5, price=7000, tail=(6, 7100)),
        "QUOTED alice EUA buy 5 @70.00 sell 6 @71.00",
    ),
    (row(Event.CALL_ENDING, order_type=1), "CALL_ENDING EUA CONTINUOUS"),
    (row(Event.INDICATIVE, quantity=5, price=7000, value=-2), "INDICATIVE EUA 5 @70.00 surplus -2"),
    (row(Event.UNCROSSED, quantity=5, price=7000, value=2), "UNCROSSED EUA 5 @70.00 surplus 2"),
    (
        row(Event.AUCTION_OPENED, quantity=5, price=7000, order_type=1, time_in_force=3),
        "AUCTION_OPENED a1 5 @70.00 UNIFORM PRO_RATA",
    ),
    (row(Event.BIDDING_CLOSES, value=START_NS + 5 * 10**9), "BIDDING_CLOSES a1 5000"),
    (
        row(Event.AUCTION_CLEARED, quantity=5, price=7000, value=9, tail=(7, 0)),
        "AUCTION_CLEARED a1 sold 5 @70.00 bid 9 seed 7",
    ),
    (
        row(Event.AUCTION_CANCELLED, quantity=5, value=3, reason=416),
        "AUCTION_CANCELLED a1 offered 5 bid 3 AUCTION_SHORT",
    ),
    (row(Event.AUCTION_CARRIED, quantity=5, value=2), "AUCTION_CARRIED a1 5 to 2"),
    (
        row(Event.ACCOUNT_CHANGED, order_type=3, quantity=5, instrument_id=0),
        "ACCOUNT_CHANGED alice ORDER_RATE 5",
    ),
    (
        row(Event.PARTICIPANT_CHANGED, order_type=3, quantity=5, order_id=7),
        "PARTICIPANT_CHANGED 7 ORDER_RATE 5",
    ),
]


@pytest.mark.parametrize(("event", "words"), HEARD, ids=lambda item: str(item)[:24])
def test_an_event_is_said_in_words(event: EventRow, words: str) -> None:
    assert list(render(names(), [event])) == [words]


def test_a_trade_names_both_and_how() -> None:
    maker = row(Event.FILL, order_type=1, quantity=5, price=7000, reason=1, tail=(77, 2), value=1)
    taker = maker._replace(order_type=2, order_id=77, value=0)
    taker = taker._replace(client_order_id=row(Event.FILL, tail=(55, 3)).client_order_id)
    told = "TRADE a1 with s1 5 @70.00 leaves 1 0 fees 0.02 0.03 CALL_TRADE"
    assert list(render(names(), [maker, taker])) == [told]


def test_every_queue_can_be_asked() -> None:
    assert {which.name.lower() for which in Queue} < QUESTIONS.keys()
