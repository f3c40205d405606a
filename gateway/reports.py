"""Execution reports from the engine's events: a pure projection of one market's `events`.

Keeps the open orders, a bounded number of ended ones, and the last REPORTS_MAX reports of each
account. The sequence of a report is its event number, so it is the same after every restart and in
every gateway.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import NamedTuple

from exchange.decimals import from_minor
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import (
    Command,
    Event,
    EventPart,
    EventRow,
    Liquidity,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
    TradeMethod,
    event_rows,
    fill_tail,
    order_id_of,
)
from exchange.messages.reasons import EdgeReason, reason_text
from exchange.reference.venue import Venue
from exchange.settings import ORDER_LABELS_MAX, ORDERS_ENDED_MAX, REPORTS_MAX
from gateway.requests import Original

SIDE_WORD = {side.value: side.name for side in Side}
ORDER_TYPE_WORD = {kind.value: kind.name for kind in OrderType}
TIME_IN_FORCE_WORD = {tif.value: tif.name for tif in TimeInForce}
_NEW = (Command.NEW_ORDER, Command.AUCTION_BID)
_ORDER_COMMANDS = (*_NEW, Command.CANCEL_ORDER, Command.REPLACE_ORDER)
_BY_OWN_REQUEST = (
    Reason.CANCELLED_BY_REQUEST,
    Reason.IMMEDIATE_OR_CANCEL_REMAINDER,
    Reason.FILL_OR_KILL_UNFILLED,
    Reason.MINIMUM_QUANTITY_UNFILLED,
)
_OF_OTHERS = frozenset({TradeMethod.CALL_TRADE, TradeMethod.AUCTION_TRADE})
_ORDER_EVENTS = frozenset(
    {
        Event.ACCEPTED,
        Event.REJECTED,
        Event.DUPLICATE,
        Event.FILL,
        Event.CANCELLED,
        Event.REPLACED,
        Event.TRIGGERED,
    }
)


def label_text(label: bytes) -> str:
    """A client order id as text, without its padding."""
    return label.rstrip(b"\0").decode("ascii", "replace")


class OrderState:
    """An order as the events describe it so far."""

    __slots__ = (
        "account_id", "client_order_id", "cumulative", "instrument_id", "is_market", "labels",
        "last", "leaves", "limit", "order_id", "order_type", "quantity", "side", "status",
        "time_in_force",
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


class Reports:
    """Orders and execution reports of one market."""

    def __init__(self, venue: Venue, market: str) -> None:
        self._market = market
        self._digits = venue.market_of(market).minor_digits
        self._symbols = {item.id: item.symbol for item in venue.instruments_of(market)}
        self.orders: dict[int, OrderState] = {}
        self._ended: OrderedDict[int, OrderState] = OrderedDict()
        self._labels: dict[tuple[int, str], int] = {}
        self._recent: dict[int, deque[ExecutionReport]] = {}

    def apply(self, part: EventPart, resent: dict[int, Original]) -> list[Reported]:
        """The reports of one part. O(events).

        `resent` maps a command index of this record to what it repeats, where its ref was not new.
        """
        reported = []
        for index, row in enumerate(event_rows(part.events)):
            if row.kind not in _ORDER_EVENTS:
                continue
            sequence = part.first_event + index
            request_id = order_id_of(part.input_offset, row.command_index)
            made = self._report(row, part, sequence, request_id, resent)
            if made is not None:
                self._keep(made.report)
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

    def after(self, account: int, sequence: int) -> list[ExecutionReport]:
        """The kept reports of an account with a higher sequence, in order."""
        recent = self._recent.get(account)
        if not recent or recent[-1].sequence <= sequence:
            return []
        reports = list(recent)
        return reports[bisect_right(reports, sequence, key=lambda report: report.sequence) :]

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

    def _report(
        self,
        row: EventRow,
        part: EventPart,
        sequence: int,
        request_id: int,
        resent: dict[int, Original],
    ) -> Reported | None:
        at = Place(sequence, request_id, part.time_ns)
        is_answer = True
        if row.kind == Event.REJECTED:
            report = self._rejected(row, at)
        elif row.kind == Event.DUPLICATE:
            report = self._duplicate(row, at, resent.get(row.command_index))
        elif row.kind == Event.ACCEPTED:
            report = self._accepted(row, at)
        else:
            order = self.orders.get(row.order_id)
            if order is None:
                return None
            if row.kind == Event.FILL:
                # Uncrossings and auctions answer whoever ended them, not the orders that traded.
                is_answer = row.order_type == Liquidity.TAKER and row.reason not in _OF_OTHERS
                report = self._filled(order, row, at)
            elif row.kind == Event.REPLACED:
                report = self._replaced(order, row, at)
            elif row.kind == Event.TRIGGERED:
                is_answer = False
                order.order_type = ORDER_TYPE_WORD.get(row.order_type, "")
                order.limit = row.price
                report = self._noted(order, self._order_report(order, "TRIGGERED", at))
            else:
                is_answer = row.reason in _BY_OWN_REQUEST
                report = self._cancelled(order, row, at)
        return None if report is None else Reported(row.command_index, is_answer, report)

    def _accepted(self, row: EventRow, at: Place) -> ExecutionReport:
        order = OrderState(row, row.order_id, "NEW")
        order.order_type = ORDER_TYPE_WORD.get(row.order_type, "")
        self.orders[row.order_id] = order
        if order.client_order_id:
            self._label(order, order.client_order_id)
        return self._noted(order, self._order_report(order, "NEW", at))

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
        refused = OrderState(row, at.request_id if is_new else row.order_id, "REJECTED")
        refused.leaves = 0
        known = None if is_new else self.order(row.order_id)
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
        order.labels = (*(known for known in order.labels if known != label), label)
        if len(order.labels) > ORDER_LABELS_MAX:
            self._unlabel(order, order.labels[0])
            order.labels = order.labels[1:]

    def _unlabel(self, order: OrderState, label: str) -> None:
        if self._labels.get((order.account_id, label)) == order.order_id:
            del self._labels[order.account_id, label]

    def _keep(self, report: ExecutionReport) -> None:
        recent = self._recent.get(report.account)
        if recent is None:
            recent = self._recent[report.account] = deque(maxlen=REPORTS_MAX)
        recent.append(report)

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
        )
