"""A refusal of an order's terms says which of them does not fit."""

from __future__ import annotations

from itertools import product

import pytest

from exchange.messages.reasons import Reason, reason_text
from gateway.views.misfits import misfit
from matching.layout import Command, ExecInst, OrderType, Side, TimeInForce
from matching.reference.terms import Terms, form_refusal
from tests.gateway.views.test_figures import asked, desk_with_limits
from tests.matching.frames import command, frame

ENTERED = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT)
GIVEN = product((0, 7_100), (0, 20), (0, 30), (0, 2026_12_18))


def test_it_is_said_of_those_that_the_engine_refuses_and_of_no_others() -> None:
    terms = [Terms(*given) for given in GIVEN]
    forms = product(ENTERED, TimeInForce, (0, ExecInst.POST_ONLY, ExecInst.POST_ONLY_REPRICE))
    refused = 0
    for form in forms:
        for given in terms:
            is_refused = form_refusal(*form, given) == Reason.INVALID_TERMS
            assert bool(misfit(form, *given)) == is_refused, (form, given)
            refused += is_refused
    assert refused == 1_247


@pytest.mark.parametrize(
    ("form", "given", "words"),
    [
        ({"order_type": OrderType.STOP, "price": 0}, {}, "stop_price is missing: a STOP needs one"),
        ({"time_in_force": TimeInForce.GTD}, {}, "expire_date is missing: GTD needs one"),
        ({}, {"ref": 7_100}, "stop_price does not fit LIMIT"),
        ({}, {"order_id": 2026_12_18}, "expire_date does not fit DAY"),
        ({"time_in_force": TimeInForce.IOC}, {"quantity": 20}, "display_quantity does not fit IOC"),
        ({"order_id": ExecInst.POST_ONLY}, {"price": 30},
         "minimum_quantity does not fit a post-only order"),
        ({}, {"quantity": 20, "price": 30}, "minimum_quantity does not fit a display_quantity"),
    ],
)  # fmt: skip
def test_an_order_is_told_its_misfit(
    form: dict[str, int], given: dict[str, int], words: str
) -> None:
    flow, desk = desk_with_limits()
    carried = [command(Command.ORDER_TERMS, **given)] if given else []
    desk.check(*flow.record(frame([asked(form, 1), *carried], flow.now)))
    report = desk.reports.after(1, -1)[-1]
    assert (report.exec_type, report.title) == ("REJECTED", "INVALID_TERMS")
    assert report.text == f"{words}. {reason_text(Reason.INVALID_TERMS).text}"


def test_a_replace_is_told_its_misfit() -> None:
    flow, desk = desk_with_limits()
    desk.check(*flow.record(frame([asked({"side": Side.BUY}, 1)], flow.now)))
    order_id = desk.reports.after(1, -1)[-1].order_id
    changed = [
        command(Command.REPLACE_ORDER, account_id=1, session_id=500, ref=2, order_id=order_id,
                quantity=120, price=7_000),
        command(Command.ORDER_TERMS, ref=7_100),
    ]  # fmt: skip
    desk.check(*flow.record(frame(changed, flow.now)))
    report = desk.reports.after(1, -1)[-1]
    assert (report.title, report.text.partition(".")[0]) == (
        "INVALID_TERMS", "stop_price does not fit LIMIT",
    )  # fmt: skip
