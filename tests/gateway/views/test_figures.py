"""A refusal tells what was asked and the limit that it met, as both stood then."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from exchange.messages.reasons import Reason, reason_text
from gateway.views.figures import _WRITERS
from matching.layout import AccountParameter, Command, Parameter, Side, TimeInForce
from tests.gateway.views.test_executions import Desk
from tests.matching.flows import Flow
from tests.matching.frames import command, frame

LIMIT, MARKET = 2, 1
RULES = {
    Parameter.TICK_SIZE: 5, Parameter.LOT_SIZE: 10, Parameter.QUANTITY_MIN: 20,
    Parameter.QUANTITY_MAX: 10_000, Parameter.VALUE_MAX: 50_000_000, Parameter.BAND_BP: 1_000,
    Parameter.COLLAR_BP: 500, Parameter.BLOCK_OPEN: 1, Parameter.BLOCK_QUANTITY_MIN: 500,
    Parameter.BLOCK_BAND_BP: 2_000,
}  # fmt: skip
CASH, UNITS = 50_000_000, 200

CASES: list[tuple[Reason, dict[str, Any], str]] = [
    (Reason.QUANTITY_ABOVE_MAX, {"quantity": 20_000},
     "quantity 20000 t, quantity_max 10000 t"),
    (Reason.QUANTITY_BELOW_MIN, {"quantity": 10}, "quantity 10 t, quantity_min 20 t"),
    (Reason.QUANTITY_NOT_LOT, {"quantity": 25}, "quantity 25 t, lot_size 10 t"),
    (Reason.PRICE_NOT_TICK, {"price": 7_003}, "price 70.03, tick_size 0.05"),
    (Reason.PRICE_ABOVE_BAND, {"price": 7_705}, "price 77.05, today 63.00 to 77.00"),
    (Reason.PRICE_BELOW_BAND, {"price": 6_295}, "price 62.95, today 63.00 to 77.00"),
    (Reason.PRICE_OUTSIDE_COLLAR, {"price": 7_400},
     "price 74.00, at most 73.50 (last price 70.00)"),
    (Reason.PRICE_OUTSIDE_COLLAR, {"side": Side.SELL, "price": 6_600},
     "price 66.00, at least 66.50 (last price 70.00)"),
    (Reason.VALUE_ABOVE_MAX, {"quantity": 10_000},
     "value 700000.00, value_max 500000.00 EUR"),
    (Reason.INSUFFICIENT_CASH, {"quantity": 7_140},
     "price x quantity 499800.00, available 200.00 EUR"),
    (Reason.INSUFFICIENT_UNITS, {"side": Side.SELL, "quantity": 150},
     "quantity 150 t, available 140 t, in open orders 60 t"),
    (Reason.HOLDING_ABOVE_MAX, {"account_id": 2, "quantity": 100},
     "quantity 100 t, holding_max 250 t, held 200 t"),
    (Reason.POSITION_ABOVE_MAX, {"account_id": 3, "quantity": 100},
     "quantity 100 t, position_max of the account 290 t, position_max of the participant 5000 t"),
    (Reason.ORDER_RATE_EXCEEDED, {"account_id": 4, "quantity": 100},
     "order_rate of the account 1 a second, order_rate of the participant 7 a second"),
    (Reason.QUANTITY_BELOW_MIN, {"kind": Command.BLOCK_PROPOSE, "quantity": 400, "order_id": 2},
     "quantity 400 t, block_quantity_min 500 t"),
    (Reason.PRICE_ABOVE_BAND,
     {"kind": Command.BLOCK_PROPOSE, "quantity": 500, "price": 8_405, "order_id": 2},
     "price 84.05, blocks 56.00 to 84.00"),
    (Reason.PRICE_NOT_TICK, {"kind": Command.QUOTE, "price": 7_003, "sell": (100, 7_100)},
     "BUY: price 70.03, tick_size 0.05; SELL: price 71.00, tick_size 0.05"),
    (Reason.QUANTITY_NOT_LOT, {"kind": Command.QUOTE, "quantity": 25},
     "quantity 25 t, lot_size 10 t"),
    (Reason.INSUFFICIENT_CASH,
     {"kind": Command.QUOTE, "quantity": 7_140, "sell": (100, 7_100)},
     "price x quantity 499800.00, available 200.00 EUR beside what the old quote holds"),
    (Reason.INSUFFICIENT_UNITS, {"kind": Command.QUOTE, "sell": (150, 7_100)},
     "quantity 150 t, available 140 t, in open orders 60 t"),
    (Reason.POSITION_ABOVE_MAX, {"kind": Command.QUOTE, "account_id": 3, "sell": (50, 7_100)},
     "quantity 100 t, position_max of the account 290 t, position_max of the participant 5000 t"),
    (Reason.ORDER_RATE_EXCEEDED, {"kind": Command.QUOTE, "account_id": 4, "sell": (50, 7_100)},
     "order_rate of the account 1 a second, order_rate of the participant 7 a second"),
    (Reason.NO_LIQUIDITY, {"order_type": MARKET, "price": 0, "time_in_force": TimeInForce.IOC}, ""),
]  # fmt: skip


def desk_with_limits() -> tuple[Flow, Desk]:
    flow, desk = Flow(1), Desk()
    here = {"instrument_id": 1}
    commands = [
        command(Command.EPOCH_START, quantity=1, order_id=11),
        command(Command.INSTRUMENT_OPEN, **here),
        *(command(Command.INSTRUMENT_PARAMETER, order_type=name, quantity=value, **here)
          for name, value in RULES.items()),
        command(Command.REFERENCE_PRICE, price=7_000, **here),
        command(Command.PHASE_CHANGE, order_type=1, **here),
    ]  # fmt: skip
    for account in (1, 2, 3, 4):
        named = {"account_id": account}
        commands += [
            command(Command.ACCOUNT_OPEN, order_id=account * 10, **named),
            command(Command.CASH_DEPOSIT, quantity=CASH, **named),
            command(Command.UNITS_DEPOSIT, quantity=UNITS, **named, **here),
        ]
    commands += [
        command(Command.ACCOUNT_PARAMETER, account_id=account, order_type=name, quantity=value,
                **where)
        for account, name, value, where in (
            (2, AccountParameter.INSTRUMENT_HOLDING_MAX, 250, here),
            (3, AccountParameter.POSITION_MAX, 290, {}),
            (4, AccountParameter.ORDER_RATE, 1, {}),
        )
    ]  # fmt: skip
    commands += [
        command(Command.PARTICIPANT_PARAMETER, order_id=owner, order_type=name, quantity=value)
        for owner, name, value in (
            (30, AccountParameter.POSITION_MAX, 5_000), (40, AccountParameter.ORDER_RATE, 7)
        )
    ]  # fmt: skip
    desk.check(*flow.record(frame(commands, flow.now)))
    return flow, desk


def asked(fields: dict[str, Any], ref: int) -> bytes:
    order = {
        "kind": Command.NEW_ORDER, "account_id": 1, "instrument_id": 1, "session_id": 500,
        "side": Side.BUY, "order_type": LIMIT, "quantity": 100, "price": 7_000, "ref": ref,
    } | fields  # fmt: skip
    if order["kind"] != Command.NEW_ORDER:
        order["order_type"] = 0
    if order["kind"] == Command.QUOTE:
        order["client_order_id"] = struct.pack("<qq", *order.pop("sell", (0, 0)))
    return command(order.pop("kind"), **order)


@pytest.mark.parametrize(
    ("reason", "fields", "figures"), CASES, ids=[f"{c[0].name}-{n}" for n, c in enumerate(CASES)]
)
def test_a_refusal_tells_both_figures(reason: Reason, fields: dict[str, Any], figures: str) -> None:
    flow, desk = desk_with_limits()
    standing = []
    if reason == Reason.INSUFFICIENT_CASH:
        standing = [asked({"price": 7_000, "quantity": 7_140}, 1)]
    if reason == Reason.INSUFFICIENT_UNITS:
        standing = [asked({"side": Side.SELL, "quantity": 60}, 1)]
    if reason == Reason.ORDER_RATE_EXCEEDED:
        standing = [asked(fields, 1)]
    desk.check(*flow.record(frame([*standing, asked(fields, 2)], flow.now)))
    report = desk.reports.after(fields.get("account_id", 1), -1)[-1]
    text = reason_text(reason).text
    assert (report.exec_type, report.title) == ("REJECTED", reason.name)
    assert report.text == (f"{figures}. {text}" if figures else text)


def test_every_writer_is_shown() -> None:
    assert {int(reason) for reason, _, figures in CASES if figures} == set(map(int, _WRITERS))
