"""What each participant is due to be told of a market's events: computed from the events alone.

A second reading of the documents: it shares no code with the gateway's reports. Figures are those
of the engine, in minor units and tonnes, an average price in ten-thousandths of a minor unit, and
times in ns UTC; `evidence` compares them with what members got.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from exchange.messages.frames import (
    Command,
    Event,
    EventRow,
    Liquidity,
    OrderType,
    Side,
    TimeInForce,
    TradeMethod,
    fill_tail,
)
from exchange.messages.reasons import EdgeReason
from exchange.simulation.faults.oracle import Heard, History

ABOUT_ORDERS = frozenset(
    {
        Command.NEW_ORDER, Command.CANCEL_ORDER, Command.REPLACE_ORDER, Command.QUOTE,
        Command.MASS_CANCEL, Command.BLOCK_PROPOSE, Command.BLOCK_CONFIRM, Command.AUCTION_BID,
    }
)  # fmt: skip
_MAKERS = (Command.NEW_ORDER, Command.AUCTION_BID)
AVERAGE_DIGITS = 4  # more than the currency has, cut off
AVERAGE_SCALE = 10**AVERAGE_DIGITS
_QUOTE_MASK = ~(1 << 15)  # the sell side of a quote has this bit in its id, the buy side has not


class Word(NamedTuple):
    """One report that is due: to whom, of which event, of which kind, with which figures."""

    participant: int
    number: int  # of the event
    exec_type: str
    row: EventRow
    fields: dict[str, Any]


class _Order:
    """An order as its events describe it."""

    def __init__(self, row: EventRow, counterparty: int, quote: int) -> None:
        self.account = row.account_id
        self.counterparty = counterparty  # account that a block is proposed to
        self.quote = quote  # whose side it is; 0: of none
        self.instrument, self.side = row.instrument_id, row.side
        self.type, self.time_in_force = row.order_type, row.time_in_force
        self.quantity = self.leaves = row.quantity
        self.traded = self.paid = 0  # tonnes, and minor units without fees
        self.status = "NEW"
        self.price = row.price
        self.label = _label(row)

    def terms(self, row: EventRow) -> None:
        """Takes what a REPLACED or a TRIGGERED says. O(1)."""
        self.price = row.price
        if row.kind == Event.TRIGGERED:
            self.type, self.time_in_force = row.order_type, row.time_in_force
            return
        self.leaves = row.quantity
        self.quantity = self.traded + row.quantity
        self.label = _label(row) or self.label


class Due:
    """Every word that is due of one market. `owners` are the participants of the accounts."""

    def __init__(self, history: History, owners: Mapping[int, int], symbols: Mapping[int, str]):
        self.words: list[Word] = []
        self._history, self._owners, self._symbols = history, owners, symbols
        self._orders: dict[int, _Order] = {}
        self._times = {part.input_offset: part.time_ns for part in history.parts}
        self._time_ns = 0
        self._quote = 0
        heard = {number: h for h in history.heard.values() for number, _ in h.rows}
        for number, offset, row in history.events:
            self._time_ns = self._times.get(offset, 0)
            self._note(number, row, heard.get(number))

    def _note(self, number: int, row: EventRow, heard: Heard | None) -> None:
        if row.kind in (Event.REJECTED, Event.DUPLICATE):
            if heard is not None and row.order_type in ABOUT_ORDERS:
                self._answered(number, row, heard)
        elif row.kind == Event.QUOTED:
            self._quote = row.order_id
            quoted = {"ref": row.value, "order_id": row.order_id, "order_status": ""}
            self._say(row.account_id, number, "QUOTED", row, quoted)
        elif row.kind == Event.MASS_CANCELLED:
            fields: dict[str, Any] = {"affected_orders": row.value, "client_order_id": _label(row)}
            participant = self._owners.get(row.account_id, row.order_id)
            self._add(participant, number, "MASS_CANCELLED", row, fields | {"order_status": ""})
        elif row.kind == Event.ACCEPTED:
            self._accepted(number, row, heard)
        elif row.order_id in self._orders:
            self._changed(number, row, self._orders[row.order_id])

    def _accepted(self, number: int, row: EventRow, heard: Heard | None) -> None:
        is_block = heard is not None and heard.kind == Command.BLOCK_PROPOSE
        other = heard.other if heard is not None and is_block else 0
        quote = self._quote if row.order_id & _QUOTE_MASK == self._quote else 0
        order = self._orders[row.order_id] = _Order(row, other, quote)
        self._say(row.account_id, number, "NEW", row, self._of(order, row))
        if other:
            fields = self._of(order, row) | {"client_order_id": ""}
            self._say(other, number, "BLOCK_PROPOSED", row, fields)

    def _changed(self, number: int, row: EventRow, order: _Order) -> None:
        if row.kind == Event.FILL:
            self._filled(number, row, order)
        elif row.kind == Event.CANCELLED:
            order.leaves, order.status = 0, "CANCELLED"
            fields = self._of(order, row) | {"reason": row.reason}
            self._say(order.account, number, "CANCELLED", row, fields)
            if order.counterparty:
                fields = fields | {"client_order_id": ""}
                self._say(order.counterparty, number, "CANCELLED", row, fields)
        elif row.kind in (Event.REPLACED, Event.TRIGGERED):
            order.terms(row)
            kind = "REPLACED" if row.kind == Event.REPLACED else "TRIGGERED"
            self._say(order.account, number, kind, row, self._of(order, row))
        elif row.kind == Event.REFILLED:
            self._say(order.account, number, "REFILLED", row, self._of(order, row))

    def _filled(self, number: int, row: EventRow, order: _Order) -> None:
        is_maker = row.order_type == Liquidity.MAKER
        order.leaves = row.value
        order.traded = order.quantity - row.value
        order.paid += row.quantity * row.price
        order.status = "PARTIALLY_FILLED" if row.value else "FILLED"
        fields = self._of(order, row) | {
            "last_quantity": row.quantity,
            "last_price": row.price,
            "fee": fill_tail(row)[1],
            "liquidity": "MAKER" if is_maker else "TAKER",
            "trade_id": number if is_maker else number - 1,
            "trade_method": TradeMethod(row.reason).name.removesuffix("_TRADE"),
        }
        self._say(order.account, number, "TRADE", row, fields)

    def _answered(self, number: int, row: EventRow, heard: Heard) -> None:
        """A refusal, or what is due for a number or a label that was used before."""
        exec_type, reason = "REJECTED", row.reason
        if row.kind == Event.DUPLICATE:
            exec_type, reason = self._repeated(heard)
        fields: dict[str, Any] = {"ref": row.value}
        if exec_type == "REJECTED":
            fields["reason"] = reason
            if row.kind == Event.REJECTED:
                fields["order_status"] = "REJECTED"
        else:
            fields |= self._as_it_stands(row, heard)
        participant = self._owners.get(row.account_id, 0)
        if not row.account_id:  # a mass cancel names whose orders
            participant = heard.other
        self._add(participant, number, exec_type, row, fields)

    def _as_it_stands(self, row: EventRow, heard: Heard) -> dict[str, Any]:
        """What the answer to a repeated new order or bid says of the first one. O(1)."""
        if heard.kind not in _MAKERS:
            return {}
        first = self._history.first.get((heard.session, heard.ref))
        number = row.order_id if first == heard.position or first is None else first
        order = self._orders.get(number)
        return {} if order is None else self._figures(order) | {"order_id": number}

    def _repeated(self, heard: Heard) -> tuple[str, int]:
        first = self._history.first.get((heard.session, heard.ref))
        if first == heard.position:
            return "ORDER_STATUS", 0  # its label names an order that is the same
        if first is None:
            return "REJECTED", EdgeReason.REF_PASSED_OVER
        original = self._history.heard[first]
        if original.body != heard.body:
            return "REJECTED", EdgeReason.REF_REUSED
        refused = original.refused
        return ("REJECTED" if refused else "ORDER_STATUS"), refused

    def _of(self, order: _Order, row: EventRow) -> dict[str, Any]:
        """What every report of an order carries, as it stands after the event."""
        return {
            "order_id": row.order_id,
            "symbol": self._symbols[order.instrument],
            "side": Side(order.side).name,
            "order_type": OrderType(order.type).name,
            "time_in_force": TimeInForce(order.time_in_force).name,
            "price": order.price,
            "client_order_id": order.label,
            "quote_id": order.quote,
            **self._figures(order),
        }

    def _figures(self, order: _Order) -> dict[str, Any]:
        average = order.paid * AVERAGE_SCALE // order.traded if order.traded else 0
        return {
            "order_status": order.status,
            "order_quantity": order.quantity,
            "leaves_quantity": order.leaves,
            "cumulative_quantity": order.traded,
            "average_price": average,
        }

    def _say(
        self, account: int, number: int, kind: str, row: EventRow, fields: dict[str, Any]
    ) -> None:
        participant = self._owners.get(account, 0)
        self._add(participant, number, kind, row, fields | {"account": account})

    def _add(
        self, participant: int, number: int, kind: str, row: EventRow, fields: dict[str, Any]
    ) -> None:
        fields = fields | {"transact_time_ns": self._time_ns}
        self.words.append(Word(participant, number, kind, row, fields))


def _label(row: EventRow) -> str:
    return row.client_order_id.rstrip(b"\0").decode("ascii", "replace")
