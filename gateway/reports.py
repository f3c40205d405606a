"""Execution reports from the engine's events: a pure projection of one market's `events`.

Keeps the open orders, a bounded number of ended ones, and the last REPORTS_MAX reports of each
account. The sequence of a report is its event number, so it is the same after every restart and in
every gateway.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from exchange.decimals import from_minor
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import (
    SELF_TRADE_SHIFT,
    Command,
    Event,
    EventPart,
    EventRow,
    ExecInst,
    Liquidity,
    OrderStatus,
    Reason,
    TradeMethod,
    event_rows,
    fill_tail,
    order_id_of,
)
from exchange.messages.reasons import EdgeReason, reason_text
from exchange.reference.venue import Venue
from exchange.settings import ORDER_LABELS_MAX, ORDERS_ENDED_MAX, REPORTS_MAX
from gateway.order_commands import ORDER_TYPE, POST_ONLY, SELF_TRADE, SIDE, TIME_IN_FORCE
from gateway.requests import Original

SIDE_WORD = {number: word for word, number in SIDE.items()}
ORDER_TYPE_WORD = {number: word for word, number in ORDER_TYPE.items()}
TIME_IN_FORCE_WORD = {number: word for word, number in TIME_IN_FORCE.items()}
POST_ONLY_WORD = {number: word for word, number in POST_ONLY.items()}
SELF_TRADE_WORD = {number: word for word, number in SELF_TRADE.items()}
METHOD_WORD = {method.value: method.name.removesuffix("_TRADE") for method in TradeMethod}
_POST_ONLY_BITS = sum(POST_ONLY.values())
_SELF_TRADE_BITS = 7 << SELF_TRADE_SHIFT
_TERMS_TAIL = struct.Struct("<Qq")  # of a TERMS_SET: expire date, instructions
_NEW = (
    Command.NEW_ORDER,
    Command.AUCTION_BID,
    Command.PICK_ORDER,
    Command.BLOCK_PROPOSE,
    Command.BLOCK_CONFIRM,
)
_ORDER_COMMANDS = (
    *_NEW,
    Command.CANCEL_ORDER,
    Command.REPLACE_ORDER,
    Command.MASS_CANCEL,
    Command.QUOTE,
)
_ASKED_TO_END = (Reason.CANCELLED_BY_REQUEST, Reason.BLOCK_DECLINED)
_ORDER_EVENTS = frozenset(
    {
        Event.ACCEPTED,
        Event.REJECTED,
        Event.DUPLICATE,
        Event.FILL,
        Event.CANCELLED,
        Event.REPLACED,
        Event.TERMS_SET,
        Event.TRIGGERED,
        Event.REFILLED,
        Event.MASS_CANCELLED,
        Event.QUOTED,
    }
)


def label_text(label: bytes) -> str:
    """A client order id as text, without its padding."""
    return label.rstrip(b"\0").decode("ascii", "replace")


class OrderState:
    """An order as the events describe it so far."""

    __slots__ = (
        "account_id", "client_order_id", "counterparty", "cumulative", "display", "expire_date",
        "instructions", "instrument_id", "labels", "last", "leaves", "limit", "minimum",
        "order_id", "order_type", "quantity", "side", "status", "stop_price", "time_in_force",
    )  # fmt: skip

    def __init__(self, row: EventRow, order_id: int, status: str) -> None:
        self.order_id = order_id
        self.account_id = row.account_id
        self.instrument_id = row.instrument_id
        self.side = SIDE_WORD.get(row.side, "")
        self.order_type = ""
        self.time_in_force = TIME_IN_FORCE_WORD.get(row.time_in_force, "")
        self.quantity = row.quantity
        self.leaves = row.quantity
        self.cumulative = 0
        self.limit = row.price  # minor units
        self.client_order_id = label_text(row.client_order_id)
        self.labels: tuple[str, ...] = ()  # by which it is found, oldest first
        self.status = status
        self.last: ExecutionReport | None = None
        self.stop_price = self.display = self.minimum = self.expire_date = self.instructions = 0
        self.counterparty = 0  # account that has to confirm a block

    def set_terms(self, row: EventRow) -> None:
        """Takes what a TERMS_SET says. O(1)."""
        self.stop_price, self.display, self.minimum = row.value, row.quantity, row.price
        self.expire_date, self.instructions = _TERMS_TAIL.unpack(row.client_order_id)


class Place(NamedTuple):
    """Where a report stands: its event number, the log position of its request, engine time."""

    sequence: int
    request_id: int
    time_ns: int


class Reported(NamedTuple):
    """A report, the command that caused it, and whether it answers that command."""

    command_index: int
    is_answer: bool
    report: ExecutionReport
    participant: int = 0  # whom it is for, where it is about no account


class Reports:
    """Orders and execution reports of one market."""

    def __init__(self, venue: Venue, market: str) -> None:
        self._market = market
        self._digits = venue.market_of(market).minor_digits
        self._symbols = {item.id: item.symbol for item in venue.instruments_of(market)}
        self.orders: dict[int, OrderState] = {}
        self._ended: OrderedDict[int, OrderState] = OrderedDict()
        self._labels: dict[tuple[int, str], int] = {}
        self._recent: dict[int, deque[ExecutionReport]] = {}  # by account; < 0: by participant
        self._input_offset = -1
        self._subjects: dict[int, int] = {}  # command index -> the order that it is about

    def apply(
        self, part: EventPart, resent: dict[int, Original], proposed: dict[int, int]
    ) -> list[Reported]:
        """The reports of one part. O(events).

        By command index of this record: `resent` is what it repeats, where its ref was not new,
        `proposed` the account to which it proposes a block.
        """
        if part.input_offset != self._input_offset:
            self._input_offset, self._subjects = part.input_offset, {}
        reported = []
        rows = list(event_rows(part.events))
        for index, row in enumerate(rows):
            if row.kind not in _ORDER_EVENTS:
                continue
            place = Place(
                part.first_event + index,
                order_id_of(part.input_offset, row.command_index),
                part.time_ns,
            )
            follows = rows[index + 1] if index + 1 < len(rows) else None
            terms = follows if follows is not None and follows.kind == Event.TERMS_SET else None
            for made in self._reports(row, terms, place, resent, proposed):
                self._keep(made)
                reported.append(made)
        return reported

    # -- queries -----------------------------------------------------------------------------------

    def order(self, order_id: int) -> OrderState | None:
        """An open or recently ended order. O(1)."""
        return self.orders.get(order_id) or self._ended.get(order_id)

    def order_labelled(self, account: int, label: str) -> OrderState | None:
        """The last order of the account with that client order id. O(1)."""
        order_id = self._labels.get((account, label))
        return None if order_id is None else self.order(order_id)

    def open_orders(self, accounts: frozenset[int]) -> Iterator[OrderState]:
        """Open orders of the accounts, oldest first. O(open orders)."""
        return (order for order in self.orders.values() if order.account_id in accounts)

    def proposals(self, accounts: frozenset[int]) -> Iterator[ExecutionReport]:
        """Open blocks that wait for one of the accounts, oldest first. O(open orders)."""
        for order in self.orders.values():
            if order.counterparty in accounts and order.last is not None:
                report = self.status(order, "BLOCK_PROPOSED")
                yield msgspec.structs.replace(
                    report, account=order.counterparty, client_order_id=""
                )

    def after(self, account: int, sequence: int) -> list[ExecutionReport]:
        """The kept reports of an account with a higher sequence, in order."""
        recent = self._recent.get(account)
        if not recent or recent[-1].sequence <= sequence:
            return []
        reports = list(recent)
        return reports[bisect_right(reports, sequence, key=lambda report: report.sequence) :]

    def after_of(self, participant: int, sequence: int) -> list[ExecutionReport]:
        """The kept reports of a participant that are about no account, in order."""
        return self.after(-participant, sequence)

    def first_kept(self, account: int) -> int:
        """The sequence from which no report of the account was forgotten; 0 = from the start."""
        recent = self._recent.get(account)
        return recent[0].sequence if recent and len(recent) == recent.maxlen else 0

    def status(self, order: OrderState, exec_type: str = "ORDER_STATUS") -> ExecutionReport:
        """The order as it stands, as a report."""
        last = order.last
        return self._order_report(
            order,
            exec_type,
            Place(last.sequence, last.request_id, last.transact_time_ns)
            if last
            else Place(0, order.order_id, 0),
            reason=last.reason if last else 0,
        )

    # -- events ------------------------------------------------------------------------------------

    def _reports(
        self,
        row: EventRow,
        terms: EventRow | None,
        at: Place,
        resent: dict[int, Original],
        proposed: dict[int, int],
    ) -> Iterator[Reported]:
        index = row.command_index
        if row.kind in (Event.MASS_CANCELLED, Event.QUOTED):
            yield self._of_request(row, at)
            return
        if row.kind == Event.REJECTED:
            report = self._rejected(row, at)
        elif row.kind == Event.DUPLICATE:
            report = self._duplicate(row, at, resent.get(index))
        elif row.kind == Event.ACCEPTED:
            report = self._accepted(row, terms, at, proposed.get(index, 0))
        else:
            report = self._changed(row, terms, at)
        if report is None:
            return
        participant = 0 if row.account_id else row.order_id  # of a mass cancel
        yield Reported(index, self._is_answer(row), report, participant)
        order = self.order(row.order_id)
        if order is not None and order.counterparty and row.kind != Event.REJECTED:
            notice = self._notice(order, row, at)
            if notice is not None:
                yield Reported(index, is_answer=False, report=notice)

    def _is_answer(self, row: EventRow) -> bool:
        """Whether it tells the sender what became of the request: others' orders do not."""
        if row.kind in (Event.REJECTED, Event.DUPLICATE):
            return True
        subject = self._subjects.get(row.command_index)
        if subject is None:
            opens = row.kind in (Event.ACCEPTED, Event.REPLACED) or (
                row.kind == Event.CANCELLED and row.reason in _ASKED_TO_END
            )
            if opens:
                subject = self._subjects[row.command_index] = row.order_id
        return subject == row.order_id

    def _of_request(self, row: EventRow, at: Place) -> Reported:
        """The answer to a request that is about many orders."""
        is_quote = row.kind == Event.QUOTED
        self._subjects[row.command_index] = 0
        report = ExecutionReport(
            self._market,
            row.account_id,
            "QUOTED" if is_quote else "MASS_CANCELLED",
            "",
            sequence=at.sequence,
            request_id=at.request_id,
            order_id=row.order_id if is_quote else 0,
            client_order_id="" if is_quote else label_text(row.client_order_id),
            ref=row.value if is_quote else 0,
            symbol=self._symbols.get(row.instrument_id, ""),
            side="" if is_quote else SIDE_WORD.get(row.side, ""),
            transact_time_ns=at.time_ns,
            affected_orders=0 if is_quote else row.value,
        )
        return Reported(row.command_index, True, report, 0 if is_quote else row.order_id)

    def _notice(self, order: OrderState, row: EventRow, at: Place) -> ExecutionReport | None:
        """What the other side of a block hears of its proposal; None if it is no news to it."""
        if row.kind == Event.ACCEPTED:
            exec_type = "BLOCK_PROPOSED"
        elif row.kind == Event.CANCELLED:
            exec_type = "CANCELLED"
        else:
            return None
        report = self._order_report(order, exec_type, at, reason=row.reason)
        return msgspec.structs.replace(report, account=order.counterparty, client_order_id="")

    def _accepted(
        self, row: EventRow, terms: EventRow | None, at: Place, counterparty: int
    ) -> ExecutionReport:
        order = OrderState(row, row.order_id, "NEW")
        order.order_type = ORDER_TYPE_WORD.get(row.order_type, "")
        order.counterparty = counterparty
        if terms is not None:
            order.set_terms(terms)
        self.orders[row.order_id] = order
        if order.client_order_id:
            self._label(order, order.client_order_id)
        return self._noted(order, self._order_report(order, "NEW", at))

    def _changed(self, row: EventRow, terms: EventRow | None, at: Place) -> ExecutionReport | None:
        order = self.orders.get(row.order_id)
        if order is None:
            return None
        if row.kind == Event.TERMS_SET:
            order.set_terms(row)  # told already, unless it began a part: no report of its own
            return None
        if row.kind == Event.FILL:
            return self._filled(order, row, at)
        if row.kind == Event.REPLACED:
            if terms is not None:
                order.set_terms(terms)
            return self._replaced(order, row, at)
        if row.kind == Event.CANCELLED:
            return self._cancelled(order, row, at)
        if row.kind == Event.TRIGGERED:
            order.order_type = ORDER_TYPE_WORD.get(row.order_type, "")
            order.time_in_force = TIME_IN_FORCE_WORD.get(row.time_in_force, "")
            order.limit, order.stop_price = row.price, 0
            return self._noted(order, self._order_report(order, "TRIGGERED", at))
        return self._noted(order, self._order_report(order, "REFILLED", at))

    def _filled(self, order: OrderState, row: EventRow, at: Place) -> ExecutionReport:
        _, fee = fill_tail(row)
        order.leaves = row.value
        order.cumulative = order.quantity - order.leaves
        is_filled = row.time_in_force == OrderStatus.FILLED
        order.status = "FILLED" if is_filled else "PARTIALLY_FILLED"
        is_maker = row.order_type == Liquidity.MAKER
        report = self._order_report(
            order,
            "TRADE",
            at,
            last_quantity=row.quantity,
            last_price=from_minor(row.price, self._digits),
            fee=from_minor(fee, self._digits),
            liquidity="MAKER" if is_maker else "TAKER",
            trade_method=METHOD_WORD.get(row.reason, ""),
            # a trade is named by the event number of the maker's fill, the taker's is the next
            trade_id=at.sequence if is_maker else at.sequence - 1,
        )
        if is_filled:
            self._end(order)
        return self._noted(order, report)

    def _replaced(self, order: OrderState, row: EventRow, at: Place) -> ExecutionReport:
        order.leaves = row.quantity
        order.quantity = order.cumulative + row.quantity
        order.limit = row.price
        label = label_text(row.client_order_id)
        if label and label != order.client_order_id:
            order.client_order_id = label
            self._label(order, label)
        return self._noted(order, self._order_report(order, "REPLACED", at))

    def _cancelled(self, order: OrderState, row: EventRow, at: Place) -> ExecutionReport:
        order.leaves, order.status = 0, "CANCELLED"
        report = self._order_report(order, "CANCELLED", at, reason=row.reason)
        self._end(order)
        return self._noted(order, report)

    def _rejected(self, row: EventRow, at: Place) -> ExecutionReport | None:
        if row.order_type not in _ORDER_COMMANDS:
            return None
        is_new = row.order_type in _NEW
        is_order = row.order_type not in (Command.MASS_CANCEL, Command.QUOTE)
        order_id = at.request_id if is_new else row.order_id if is_order else 0
        refused = OrderState(row, order_id, "REJECTED")
        refused.leaves = 0
        if row.order_type == Command.QUOTE:
            refused.client_order_id = ""  # there the other side's figures stand
        known = None if is_new or not is_order else self.order(row.order_id)
        if known is not None and known.account_id == row.account_id:
            refused.side, refused.time_in_force = known.side, known.time_in_force
            refused.order_type = known.order_type
        report = self._order_report(refused, "REJECTED", at, ref=row.value, reason=row.reason)
        if is_new:
            refused.last = report
            self._end(refused)
        return report

    def _duplicate(
        self, row: EventRow, at: Place, original: Original | None
    ) -> ExecutionReport | None:
        if row.order_type not in _ORDER_COMMANDS:
            return None
        order_id, reason, exec_type = row.order_id, 0, "ORDER_STATUS"
        heard = original.heard if original is not None else None
        if heard is not None:
            exec_type = "REJECTED" if heard.reason else exec_type
            reason = heard.reason
            order_id = heard.order_id
            if not order_id and row.order_type in _NEW:
                order_id = heard.position
        elif original is not None and original.fault is not None:
            is_old = original.fault == EdgeReason.REF_FORGOTTEN
            if not is_old:
                order_id = 0  # this request is none of that order's
            if not (is_old and order_id):
                exec_type = "ORDER_STATUS" if is_old else "REJECTED"
                reason = original.fault
        if not order_id and not reason and row.order_type not in _NEW:
            order_id = self._labels.get((row.account_id, label_text(row.client_order_id)), 0)
        order = self.order(order_id) if order_id else None
        if order is None or order.account_id != row.account_id:
            order = OrderState(row, order_id, "REJECTED" if exec_type == "REJECTED" else "")
            order.leaves = 0
            if row.order_type == Command.QUOTE:
                order.client_order_id = ""
        if not reason and order.last is not None:
            reason = order.last.reason
        return self._order_report(order, exec_type, at, ref=row.value, reason=reason)

    # -- keeping -----------------------------------------------------------------------------------

    @staticmethod
    def _noted(order: OrderState, report: ExecutionReport) -> ExecutionReport:
        order.last = report
        return report

    def _end(self, order: OrderState) -> None:
        self.orders.pop(order.order_id, None)
        self._ended[order.order_id] = order
        if len(self._ended) > ORDERS_ENDED_MAX:
            _, gone = self._ended.popitem(last=False)
            for label in gone.labels:
                self._unlabel(gone, label)

    def _label(self, order: OrderState, label: str) -> None:
        self._labels[order.account_id, label] = order.order_id
        if not order.labels:
            order.labels = (label,)
            return
        order.labels = (*(known for known in order.labels if known != label), label)
        if len(order.labels) > ORDER_LABELS_MAX:
            self._unlabel(order, order.labels[0])
            order.labels = order.labels[1:]

    def _unlabel(self, order: OrderState, label: str) -> None:
        if self._labels.get((order.account_id, label)) == order.order_id:
            del self._labels[order.account_id, label]

    def _keep(self, made: Reported) -> None:
        whose = made.report.account or -made.participant
        recent = self._recent.get(whose)
        if recent is None:
            recent = self._recent[whose] = deque(maxlen=REPORTS_MAX)
        recent.append(made.report)

    def _order_report(
        self,
        order: OrderState,
        exec_type: str,
        at: Place,
        *,
        reason: int = 0,
        ref: int = 0,
        last_quantity: int = 0,
        last_price: str = "",
        fee: str = "",
        liquidity: str = "",
        trade_id: int = 0,
        trade_method: str = "",
    ) -> ExecutionReport:
        row = reason_text(reason) if reason else None
        return ExecutionReport(
            market=self._market,
            account=order.account_id,
            exec_type=exec_type,
            order_status=order.status,
            sequence=at.sequence,
            request_id=at.request_id,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            ref=ref,
            symbol=self._symbols.get(order.instrument_id, ""),
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            order_quantity=order.quantity,
            leaves_quantity=order.leaves,
            cumulative_quantity=order.cumulative,
            price=from_minor(order.limit, self._digits) if order.limit else "",
            last_quantity=last_quantity,
            last_price=last_price,
            fee=fee,
            liquidity=liquidity,
            trade_id=trade_id,
            transact_time_ns=at.time_ns,
            reason=reason,
            title=row.name if row else "",
            text=row.text if row else "",
            stop_price=from_minor(order.stop_price, self._digits) if order.stop_price else "",
            display_quantity=order.display,
            minimum_quantity=order.minimum,
            expire_date=_day(order.expire_date),
            post_only=POST_ONLY_WORD.get(order.instructions & _POST_ONLY_BITS, ""),
            self_trade_prevention=SELF_TRADE_WORD.get(order.instructions & _SELF_TRADE_BITS, ""),
            is_persistent=not order.instructions & ExecInst.NON_PERSISTENT,
            trade_method=trade_method,
        )


def _day(date: int) -> str:
    return f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}" if date else ""
