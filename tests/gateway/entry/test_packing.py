"""The short way of a plain limit order gives what the long one gives, or leaves it to that."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.messages.orders import NewOrderSingle, OrderCancelRequest
from exchange.reference.venue import Market
from gateway.entry.order_commands import new_order
from gateway.entry.packing import plain_limit
from gateway.refusal import Refused
from gateway.views.executions import pendings

PLAIN = NewOrderSingle(
    ref=7, symbol="EUA", account=101, side="BUY", quantity=5, price="71.25", client_order_id="a"
)
PRICES = st.one_of(
    st.from_regex(r"[0-9]{1,16}(\.[0-9]{0,6})?", fullmatch=True),
    st.text("0123456789.-+eE １x", max_size=16),
    st.sampled_from(["", ".", "1.", ".5", "-1", "0", "0.00", "99999999999999", "9999999999.9999"]),
)
LABELS = st.one_of(st.text(max_size=18), st.text("az09 ~\x7f\x1f", max_size=17))
REST: dict[str, st.SearchStrategy[Any]] = {
    "order_type": st.sampled_from(["LIMIT", "MARKET", "STOP", "STOP_LIMIT"]),
    "time_in_force": st.sampled_from(
        ["DAY", "GTC", "GTD", "IOC", "FOK", "AT_THE_OPENING", "AT_THE_CLOSE"]
    ),
    "stop_price": st.sampled_from(["", "3.00"]),
    "display_quantity": st.sampled_from([0, "0", 4]),
    "minimum_quantity": st.sampled_from([0, 4]),
    "expire_date": st.sampled_from([None, dt.date(2030, 1, 2)]),
    "post_only": st.sampled_from(["", "REFUSE"]),
    "self_trade_prevention": st.sampled_from(["", "DECREMENT"]),
    "is_persistent": st.booleans(),
}


def long_way(request: NewOrderSingle, digits: int) -> list[bytes] | None:
    market = Market("EU", 0, "EUR", minor_digits=digits)
    who = {
        "session_id": 1_001, "ref": request.ref, "account_id": request.account, "instrument_id": 3,
    }  # fmt: skip
    try:
        return new_order(request, who, market)
    except Refused:
        return None


@given(
    digits=st.integers(0, 4), price=PRICES, label=LABELS, side=st.sampled_from(["BUY", "SELL"]),
    quantity=st.one_of(st.integers(-2, 9), st.integers(2**63 - 2, 2**64), st.just("5")),
    valid_ms=st.integers(-1, 65_537), ref=st.integers(1, 2**63 - 1),
    account=st.integers(1, 2**32 - 1), rest=st.fixed_dictionaries({}, optional=REST),
)  # fmt: skip
def test_both_ways_agree(
    digits: int, price: str, label: str, rest: dict[str, Any], **changes: Any
) -> None:
    request = msgspec.structs.replace(PLAIN, price=price, client_order_id=label, **changes, **rest)
    made = plain_limit(request, 1_001, 3, digits)
    if made is not None:
        assert [made] == long_way(request, digits)


def test_what_is_plain_takes_the_short_way() -> None:
    for change in ({}, {"side": "SELL", "time_in_force": "FOK"}, {"price": "3"}, {"price": "3.1"},
                   {"client_order_id": ""}, {"client_order_id": "0123456789abcdef"},
                   {"valid_ms": 0}, {"quantity": 2**63 - 1}):  # fmt: skip
        request = msgspec.structs.replace(PLAIN, **change)
        made = plain_limit(request, 1_001, 3, 2)
        assert made is not None
        assert [made] == long_way(request, 2), change


def test_what_is_not_plain_is_left_to_the_long_way() -> None:
    for change in ({"price": "1.001"}, {"price": "0"}, {"quantity": 0}, {"quantity": "5"},
                   {"order_type": "MARKET"}, {"post_only": "REFUSE"}, {"is_persistent": False},
                   {"client_order_id": "x" * 17}, {"client_order_id": "é"}, {"valid_ms": 65_536},
                   {"time_in_force": "GTD"}, {"expire_date": dt.date(2030, 1, 2)},
                   {"price": "99999999999999.9"}):  # fmt: skip
        assert plain_limit(msgspec.structs.replace(PLAIN, **change), 1_001, 3, 2) is None, change


@pytest.mark.parametrize(
    "other", [None, "order", OrderCancelRequest(ref=1, symbol="EUA", account=1, order_id=1)]
)
def test_fields_are_read_of_new_orders_alone(other: Any) -> None:
    with pytest.raises(TypeError, match="is no NewOrderSingle"):
        plain_limit(other, 1_000, 1, 2)
    with pytest.raises(TypeError, match="is no NewOrderSingle"):
        pendings([PLAIN, other], "EU", 1)
