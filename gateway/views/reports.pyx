# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Execution reports from the engine's events: a pure projection of one market's `events`.

Keeps the open orders, a bounded number of ended ones, and the last REPORTS_MAX reports of each
account. The sequence of a report is its event number, so it is the same after every restart and in
every gateway.
"""

from collections import OrderedDict, deque

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from exchange.order_keys cimport order_key
from gateway.views.executions cimport Execution
from matching.layout cimport (
    ACCEPTED,
    AUCTION_BID,
    BLOCK_CONFIRM,
    BLOCK_DECLINED,
    BLOCK_PROPOSE,
    CANCEL_ORDER,
    CANCELLED,
    CANCELLED_BY_REQUEST,
    DUPLICATE,
    FILL,
    FILLED,
    FROM_QUOTE,
    HEADER_SIZE,
    INDEX_BITS,
    INVALID_TERMS,
    MAKER,
    MASS_CANCEL,
    MASS_CANCELLED,
    NEW_ORDER,
    NON_PERSISTENT,
    ORDER_TERMS,
    PICK_ORDER,
    QUOTE,
    QUOTE_SELL_BIT,
    QUOTED,
    RECORD_SIZE,
    REFILLED,
    REJECTED,
    REPLACE_ORDER,
    REPLACED,
    TERMS_SET,
    TRIGGERED,
    CommandRecord,
    EventRecord,
    FillRecord,
)

from exchange.messages.frames import TradeMethod
from exchange.messages.reasons import EdgeReason
from exchange.settings import ORDER_LABELS_MAX, ORDERS_ENDED_MAX, REPORTS_MAX
from gateway.entry import order_commands
from gateway.views.misfits import misfit

cdef dict _SIDE = {number: word for word, number in order_commands.SIDE.items()}
cdef dict _ORDER_TYPE = {number: word for word, number in order_commands.ORDER_TYPE.items()}
cdef dict _MADE = {
    PICK_ORDER: "PICK", BLOCK_PROPOSE: "BLOCK", BLOCK_CONFIRM: "BLOCK", AUCTION_BID: "BID",
}  # fmt: skip
cdef dict _TIME_IN_FORCE = {number: word for word, number in order_commands.TIME_IN_FORCE.items()}
ORDER_ID_MAX = (1 << 63) - 1
cdef dict _METHOD = {method.value: method.name.removesuffix("_TRADE") for method in TradeMethod}


cdef packed struct TermsTail:
    # of a TERMS_SET, where others have the client order id
    uint64_t expire_date
    int64_t instructions


cdef packed struct At:
    # where a report stands
    int64_t sequence  # event number
    int64_t request_id  # log position of its request
    int64_t time_ns


def label_text(bytes label not None):
    """A client order id as text, without its padding. O(bytes)."""
    return label.rstrip(b"\0").decode("ascii", "replace")


@cython.auto_pickle(True)  # a stand of the gateway holds it
@cython.no_gc  # it holds words only
cdef class OrderState:
    """An order as the events describe it so far."""

    cdef readonly uint64_t order_id
    cdef readonly int64_t account_id, instrument_id
    cdef readonly str side, order_type, time_in_force, client_order_id, status
    cdef readonly int64_t quantity, leaves, cumulative
    cdef readonly int64_t limit  # minor units
    cdef readonly int64_t stop_price, display, minimum, expire_date, instructions
    cdef readonly int64_t counterparty  # account that has to confirm a block
    cdef int64_t traded  # sum of price x tonnes of its fills, minor units
    cdef tuple labels  # by which it is found, oldest first; None: the one it came with, if any
    cdef At last  # where its last report stands; request_id 0: it has none
    cdef int64_t last_reason


cdef class Reports:
    """Orders and execution reports of one market."""

    cdef dict _open  # by `order_key`
    cdef object _ended  # OrderedDict by `order_key`
    cdef dict _labels  # account -> label -> order id
    cdef list _unlabelled  # orders whose labels nobody has asked for, oldest first
    cdef dict _recent  # by account; < 0: by participant
    cdef dict _symbols
    cdef str _market
    cdef int _digits
    cdef int64_t _input_offset
    cdef dict _subjects  # command index -> the order that it is about
    cdef uint64_t _quote  # the last one's log position; its sides come next
    cdef int64_t _quote_terms  # their instructions
    cdef object _figures  # of a refusal, given the fields of `figures.Asked`
    cdef bytes _record  # of `orders`, which the part answers; empty when it is not known

    def __init__(self, venue, market, figures=None):
        self._market = market
        self._figures = figures
        self._digits = venue.market_of(market).minor_digits
        self._symbols = {item.id: item.symbol for item in venue.instruments_of(market)}
        self._open = {}
        self._ended = OrderedDict()
        self._labels = {}
        self._unlabelled = []
        self._recent = {}
        self._input_offset = -1
        self._subjects = {}

    def apply(
        self, part, dict resent not None, dict proposed not None, bytes record not None=b""
    ):  # fmt: skip
        """The reports of one part, as `Execution`s. O(events).

        By command index of this record: `resent` is what it repeats, where its ref was not new,
        `proposed` the account to which it proposes a block. `record` is the one of `orders`: of an
        order that was refused it knows the type, which no event tells.
        """
        cdef bytes body = part.body
        cdef const EventRecord* rows = <const EventRecord*>PyBytes_AS_STRING(body)
        cdef const EventRecord* terms
        cdef Py_ssize_t index, count = PyBytes_GET_SIZE(body) // RECORD_SIZE
        cdef int64_t input_offset = part.input_offset, first = part.first_event
        cdef At at
        cdef list made = []
        self._record = record
        at.time_ns = part.time_ns
        if input_offset != self._input_offset:
            self._input_offset, self._subjects = input_offset, {}
        for index in range(count):
            if not _is_of_an_order(rows[index].kind):
                continue
            at.sequence = first + index
            at.request_id = input_offset << INDEX_BITS | rows[index].command_index
            terms = NULL
            if index + 1 < count and rows[index + 1].kind == TERMS_SET:
                terms = &rows[index + 1]
            self._take(&rows[index], terms, at, resent, proposed, made)
        return made

    def stand(self):
        """What is known, to go on from. O(1)."""
        return (
            self._open, self._ended, self._labels, self._unlabelled, self._recent,
            self._input_offset, self._subjects, self._quote, self._quote_terms,
        )  # fmt: skip

    def go_on(self, tuple stand not None, figures):
        """Goes on from a `stand`. O(1)."""
        self._figures = figures
        (
            self._open, self._ended, self._labels, self._unlabelled, self._recent,
            self._input_offset, self._subjects, self._quote, self._quote_terms,
        ) = stand  # fmt: skip

    @property
    def labels_kept(self):
        """By how many labels orders are found. O(orders that came since somebody asked)."""
        self._index()
        return sum(map(len, self._labels.values()))

    # -- queries -----------------------------------------------------------------------------------

    @property
    def orders(self):
        """Open orders by id, oldest first. O(open orders)."""
        cdef OrderState order
        return {order.order_id: order for order in self._open.values()}

    def order(self, order_id):
        """An open or recently ended order, or None: of a number that is no id, too. O(1)."""
        return self._order(order_id) if 0 <= order_id <= ORDER_ID_MAX else None

    def order_labelled(self, account, label):
        """The last order of the account with that client order id, or None.

        O(1), and O(orders that came since somebody asked): few do, and a label costs as much to
        remember as all else of an order.
        """
        self._index()
        order_id = self._labels.get(account, {}).get(label)
        return None if order_id is None else self._order(order_id)

    def open_orders(self, accounts):
        """Open orders of the accounts, oldest first. O(open orders)."""
        return (order for order in self._open.values() if order.account_id in accounts)

    def proposals(self, accounts):
        """Reports of open blocks that wait for one of the accounts, oldest first. O(orders)."""
        cdef OrderState order
        for order in self._open.values():
            if order.counterparty in accounts and order.last.request_id:
                yield _to_counterparty(self._status(order, "BLOCK_PROPOSED"), order).report

    def after(self, account, sequence):
        """The kept reports of an account with a higher sequence, in order. O(reports)."""
        cdef Execution kept
        cdef list found = []
        for kept in reversed(self._recent.get(account, ())):
            if kept.sequence <= sequence:
                break
            found.append(kept)
        found.reverse()
        return [kept.report for kept in found]

    def after_of(self, participant, sequence):
        """The kept reports of a participant that are about no account, in order. O(reports)."""
        return self.after(-participant, sequence)

    def first_kept(self, account):
        """The sequence from which no report of the account was forgotten; 0 = from the start."""
        recent = self._recent.get(account)
        return recent[0].sequence if recent and len(recent) == recent.maxlen else 0

    def status(self, OrderState order not None, str exec_type="ORDER_STATUS"):
        """The order as it stands, as a report. O(1)."""
        return self._status(order, exec_type).report

    cdef Execution _status(self, OrderState order, str exec_type):
        cdef At at = order.last
        if not at.request_id:
            at.request_id = <int64_t>order.order_id
        cdef Execution made = self._report(order, exec_type, at)
        made.reason = order.last_reason
        return made

    cdef OrderState _order(self, uint64_t order_id):
        key = order_key(order_id)
        found = self._open.get(key)
        return found if found is not None else self._ended.get(key)

    # -- events ------------------------------------------------------------------------------------

    cdef _take(
        self, const EventRecord* row, const EventRecord* terms, At at, dict resent, dict proposed,
        list made,
    ):  # fmt: skip
        cdef OrderState order
        cdef Execution report, notice
        if row.kind in (MASS_CANCELLED, QUOTED):
            report = self._of_request(row, at)
        elif row.kind == REJECTED:
            report = self._rejected(row, at)
        elif row.kind == DUPLICATE:
            report = self._duplicate(row, at, resent.get(row.command_index))
        elif row.kind == ACCEPTED:
            report = self._accepted(row, terms, at, proposed)
        else:
            report = self._changed(row, terms, at)
        if report is None:
            return
        report.command_index = row.command_index
        if row.kind not in (MASS_CANCELLED, QUOTED):
            if not row.account_id:  # of a mass cancel
                repeats = resent.get(row.command_index)
                report.participant = (
                    <int64_t>row.order_id if repeats is None else repeats.participant
                )
            report.is_answer = self._is_answer(row)
        self._keep(report)
        made.append(report)
        if row.kind in (REJECTED, MASS_CANCELLED, QUOTED):
            return
        order = self._order(row.order_id)
        if order is not None and order.counterparty:
            notice = self._notice(order, row, at)
            if notice is not None:
                notice.command_index = row.command_index
                self._keep(notice)
                made.append(notice)

    cdef bint _is_answer(self, const EventRecord* row) except -1:
        """Whether it tells the sender what became of the request: others' orders do not."""
        if row.kind in (REJECTED, DUPLICATE):
            return True
        subject = self._subjects.get(row.command_index)
        if subject is None:
            opens = row.kind in (ACCEPTED, REPLACED) or (
                row.kind == CANCELLED and row.reason in (CANCELLED_BY_REQUEST, BLOCK_DECLINED)
            )
            if not opens:
                return False
            self._subjects[row.command_index] = row.order_id
            return True
        return subject == row.order_id

    cdef Execution _of_request(self, const EventRecord* row, At at):
        """The answer to a request that is about many orders."""
        cdef Execution made = _blank(self, at)
        self._subjects[row.command_index] = 0
        made.is_answer = True
        made.account = row.account_id
        made.order_status = ""
        made.symbol = self._symbols.get(row.instrument_id, "")
        if row.kind == QUOTED:
            self._quote = row.order_id
            self._quote_terms = row.order_type | FROM_QUOTE | NON_PERSISTENT
            made.exec_type = "QUOTED"
            made.order_id, made.ref = row.order_id, row.value
            return made
        made.exec_type = "MASS_CANCELLED"
        made.participant = <int64_t>row.order_id
        made.client_order_id = _label(row)
        made.side = _SIDE.get(row.side, "")
        made.affected = row.value
        return made

    cdef Execution _notice(self, OrderState order, const EventRecord* row, At at):
        """What the other side of a block hears of its proposal; None if it is no news to it."""
        cdef Execution made
        if row.kind == ACCEPTED:
            made = self._report(order, "BLOCK_PROPOSED", at)
        elif row.kind == CANCELLED:
            made = self._report(order, "CANCELLED", at)
        else:
            return None
        made.reason = row.reason
        return _to_counterparty(made, order)

    cdef Execution _accepted(
        self, const EventRecord* row, const EventRecord* terms, At at, dict proposed
    ):
        cdef OrderState order = _new_order(row, row.order_id, "NEW")
        order.order_type = _ORDER_TYPE.get(row.order_type, "")
        if row.order_id & ~<uint64_t>QUOTE_SELL_BIT == self._quote:
            order.instructions = self._quote_terms
        if proposed:
            order.counterparty = proposed.get(row.command_index, 0)
        if terms != NULL:
            _set_terms(order, terms)
        self._open[order_key(row.order_id)] = order
        if order.client_order_id:
            self._came(order)
        return self._noted(order, "NEW", at)

    cdef Execution _changed(self, const EventRecord* row, const EventRecord* terms, At at):
        cdef OrderState order = self._open.get(order_key(row.order_id))
        if order is None:
            return None
        if row.kind == TERMS_SET:
            _set_terms(order, row)  # told already, unless it began a part: no report of its own
            return None
        if row.kind == FILL:
            return self._filled(order, <const FillRecord*>row, at)
        if row.kind == REPLACED:
            if terms != NULL:
                _set_terms(order, terms)
            return self._replaced(order, row, at)
        if row.kind == CANCELLED:
            return self._cancelled(order, row, at)
        if row.kind == TRIGGERED:
            order.order_type = _ORDER_TYPE.get(row.order_type, "")
            order.time_in_force = _TIME_IN_FORCE.get(row.time_in_force, "")
            order.limit, order.stop_price = row.price, 0
            return self._noted(order, "TRIGGERED", at)
        return self._noted(order, "REFILLED", at)

    cdef Execution _filled(self, OrderState order, const FillRecord* row, At at):
        cdef Execution made
        cdef bint is_maker = row.order_type == MAKER, is_filled = row.time_in_force == FILLED
        order.leaves = row.value
        order.cumulative = order.quantity - order.leaves
        order.traded += row.price * row.quantity
        order.status = "FILLED" if is_filled else "PARTIALLY_FILLED"
        made = self._noted(order, "TRADE", at)
        made.is_trade = True
        made.last_quantity, made.last_price, made.fee = row.quantity, row.price, row.fee
        made.liquidity = "MAKER" if is_maker else "TAKER"
        made.trade_method = _METHOD.get(row.reason, "")
        # a trade is named by the event number of the maker's fill, the taker's is the next
        made.trade_id = at.sequence if is_maker else at.sequence - 1
        if is_filled:
            self._end(order)
        return made

    cdef Execution _replaced(self, OrderState order, const EventRecord* row, At at):
        cdef str label = _label(row)
        order.leaves = row.quantity
        order.quantity = order.cumulative + row.quantity
        order.limit = row.price
        if label and label != order.client_order_id:
            self._label(order, label)
            order.client_order_id = label
        return self._noted(order, "REPLACED", at)

    cdef Execution _cancelled(self, OrderState order, const EventRecord* row, At at):
        cdef Execution made
        order.leaves, order.status = 0, "CANCELLED"
        made = self._noted(order, "CANCELLED", at)
        made.reason = order.last_reason = row.reason
        self._end(order)
        return made

    cdef Execution _rejected(self, const EventRecord* row, At at):
        cdef OrderState refused, known = None
        cdef Execution made
        cdef bint is_new = _is_new(row.order_type)
        cdef bint is_order = row.order_type not in (MASS_CANCEL, QUOTE)
        if not _is_order_command(row.order_type):
            return None
        order_id = at.request_id if is_new else row.order_id if is_order else 0
        refused = _new_order(row, order_id, "REJECTED")
        refused.leaves = 0
        if row.order_type == QUOTE:
            refused.client_order_id = ""  # there the other side's figures stand
        if not is_new and is_order:
            known = self._order(row.order_id)
            if known is not None and known.account_id == row.account_id:
                refused.side, refused.time_in_force = known.side, known.time_in_force
                refused.order_type = known.order_type
        elif is_new:
            refused.order_type = self._asked_type(row)
        made = self._report(refused, "REJECTED", at)
        made.ref, made.reason = row.value, row.reason
        if row.reason == INVALID_TERMS:
            made.detail = self._misfit(row, known)
        elif row.order_type == QUOTE:
            made.detail = self._quote_figures(row)
        elif self._figures is not None:
            made.detail = self._figures(
                row.reason, row.order_type, refused.side, refused.order_type, row.account_id,
                row.instrument_id, row.price, row.quantity,
            )  # fmt: skip
        if is_new:
            refused.last, refused.last_reason = at, row.reason
            self._end(refused)
        return made

    cdef str _quote_figures(self, const EventRecord* row):
        """Those of both sides of a refused quote: no event tells which was meant."""
        cdef list found = []
        if self._figures is None:
            return ""
        for side, quantity, price in (
            ("BUY", row.quantity, row.price),
            ("SELL", <int64_t>row.client_order_id.head, <int64_t>row.client_order_id.tail),
        ):
            text = self._figures(
                row.reason, QUOTE, side, "LIMIT", row.account_id, row.instrument_id, price, quantity
            ) if quantity else ""  # fmt: skip
            if text:
                found.append((side, text))
        if len(found) == 2 and found[0][1] != found[1][1]:
            return "; ".join([f"{side}: {text}" for side, text in found])
        return found[0][1] if found else ""

    cdef str _asked_type(self, const EventRecord* row):
        """The type of the order that a refused command would have made."""
        cdef const CommandRecord* command
        if row.order_type != NEW_ORDER:
            return _MADE.get(row.order_type, "")
        command = self._command(row.command_index)
        return "" if command == NULL else _ORDER_TYPE.get(command.order_type, "")

    cdef str _misfit(self, const EventRecord* row, OrderState known):
        """Which term made a refused order or replace unsound, in words."""
        cdef const CommandRecord* command = self._command(row.command_index)
        cdef const CommandRecord* terms = self._command(row.command_index + 1)
        if command == NULL:
            return ""
        if command.kind == NEW_ORDER:
            form = command.order_type, command.time_in_force, command.order_id
        elif command.kind == REPLACE_ORDER and known is not None:
            form = (
                order_commands.ORDER_TYPE.get(known.order_type, 0),
                order_commands.TIME_IN_FORCE.get(known.time_in_force, 0), known.instructions,
            )  # fmt: skip
        else:
            return ""
        if terms == NULL or terms.kind != ORDER_TERMS:
            return misfit(form, 0, 0, 0, 0)
        return misfit(form, terms.ref, terms.quantity, terms.price, terms.order_id)

    cdef const CommandRecord* _command(self, int64_t index) noexcept:
        """A command of the record that the part answers; NULL where that is not known."""
        if HEADER_SIZE + (index + 1) * RECORD_SIZE > PyBytes_GET_SIZE(self._record):
            return NULL
        return <const CommandRecord*>(PyBytes_AS_STRING(self._record) + HEADER_SIZE) + index

    cdef Execution _duplicate(self, const EventRecord* row, At at, original):
        cdef OrderState order
        cdef Execution made
        cdef str exec_type = "ORDER_STATUS"
        cdef bint is_new = _is_new(row.order_type)
        if not _is_order_command(row.order_type):
            return None
        order_id, reason = row.order_id, 0
        heard = original.heard if original is not None else None
        if heard is not None:
            exec_type = "REJECTED" if heard.reason else exec_type
            reason = heard.reason
            order_id = heard.order_id
            if not order_id and is_new:
                order_id = heard.position
        elif original is not None and original.fault is not None:
            is_old = original.fault == EdgeReason.REF_FORGOTTEN
            if not is_old:
                order_id = 0  # this request is none of that order's
            if not (is_old and order_id):
                exec_type = "ORDER_STATUS" if is_old else "REJECTED"
                reason = int(original.fault)
        if not order_id and not reason and not is_new:
            self._index()
            order_id = self._labels.get(row.account_id, {}).get(_label(row), 0)
        order = self._order(order_id) if order_id else None
        if order is None or order.account_id != row.account_id:
            order = _new_order(row, order_id, "REJECTED" if exec_type == "REJECTED" else "")
            order.leaves = 0
            if row.order_type == QUOTE:
                order.client_order_id = ""
        if not reason:
            reason = order.last_reason
        made = self._report(order, exec_type, at)
        made.ref, made.reason = row.value, reason
        return made

    # -- keeping -----------------------------------------------------------------------------------

    cdef _end(self, OrderState order):
        cdef OrderState gone
        key = order_key(order.order_id)
        self._open.pop(key, None)
        self._ended[key] = order
        if len(self._ended) > ORDERS_ENDED_MAX:
            _, gone = self._ended.popitem(last=False)
            for label in _labels(gone):
                self._unlabel(gone, label)

    cdef _came(self, OrderState order):
        """Its one label is remembered when somebody asks."""
        self._unlabelled.append(order)
        if len(self._unlabelled) > 2 * (len(self._open) + ORDERS_ENDED_MAX):
            self._unlabelled = [kept for kept in self._unlabelled if self._is_kept(kept)]

    cdef _label(self, OrderState order, str label):
        """A label that it gets beside those that it has."""
        self._index()
        self._find_by(order, label)
        order.labels = tuple([known for known in _labels(order) if known != label] + [label])
        if len(order.labels) > ORDER_LABELS_MAX:
            self._unlabel(order, order.labels[0])
            order.labels = order.labels[1:]

    cdef _index(self):
        """Lets orders be found by the labels they came with. O(orders since the last time)."""
        cdef OrderState order
        came, self._unlabelled = self._unlabelled, []
        for order in came:
            if self._is_kept(order):
                self._find_by(order, order.client_order_id)

    cdef bint _is_kept(self, OrderState order):
        return self._order(order.order_id) is order

    cdef _find_by(self, OrderState order, str label):
        found = self._labels.get(order.account_id)
        if found is None:
            found = self._labels[order.account_id] = {}
        found[label] = order.order_id

    cdef _unlabel(self, OrderState order, str label):
        cdef dict found = self._labels.get(order.account_id, {})
        if found.get(label) == order.order_id:
            del found[label]

    cdef _keep(self, Execution made):
        whose = made.account or -made.participant
        recent = self._recent.get(whose)
        if recent is None:
            recent = self._recent[whose] = deque(maxlen=REPORTS_MAX)
        recent.append(made)

    cdef Execution _noted(self, OrderState order, str exec_type, At at):
        order.last, order.last_reason = at, 0
        return self._report(order, exec_type, at)

    cdef Execution _report(self, OrderState order, str exec_type, At at):
        cdef Execution made = _blank(self, at)
        made.exec_type = exec_type
        made.account = order.account_id
        made.order_status = order.status
        made.order_id = order.order_id
        made.client_order_id = order.client_order_id
        made.symbol = self._symbols.get(order.instrument_id, "")
        made.side = order.side
        made.order_type = order.order_type
        made.time_in_force = order.time_in_force
        made.quantity, made.leaves, made.cumulative = order.quantity, order.leaves, order.cumulative
        made.traded, made.limit = order.traded, order.limit
        made.stop_price, made.display, made.minimum = order.stop_price, order.display, order.minimum
        made.expire_date, made.instructions = order.expire_date, order.instructions
        return made


cdef Execution _blank(Reports reports, At at):
    cdef Execution made = Execution.__new__(Execution)
    made.market, made.digits = reports._market, reports._digits
    made.sequence, made.request_id, made.time_ns = at.sequence, at.request_id, at.time_ns
    made.client_order_id = made.symbol = made.side = made.order_type = made.time_in_force = ""
    made.liquidity = made.trade_method = made.detail = ""
    return made


cdef Execution _to_counterparty(Execution made, OrderState order):
    made.account, made.client_order_id = order.counterparty, ""
    return made


cdef OrderState _new_order(const EventRecord* row, uint64_t order_id, str status):
    cdef OrderState order = OrderState.__new__(OrderState)
    order.order_id = order_id
    order.account_id = row.account_id
    order.instrument_id = row.instrument_id
    order.side = _SIDE.get(row.side, "")
    order.order_type = ""
    order.time_in_force = _TIME_IN_FORCE.get(row.time_in_force, "")
    order.quantity = order.leaves = row.quantity
    order.limit = row.price
    order.client_order_id = _label(row)
    order.status = status
    return order


cdef tuple _labels(OrderState order):
    if order.labels is not None:
        return order.labels
    return (order.client_order_id,) if order.client_order_id else ()


cdef _set_terms(OrderState order, const EventRecord* row):
    """Takes what a TERMS_SET says."""
    cdef TermsTail tail
    memcpy(&tail, &row.client_order_id, sizeof(tail))
    order.stop_price, order.display, order.minimum = row.value, row.quantity, row.price
    order.expire_date, order.instructions = <int64_t>tail.expire_date, tail.instructions


cdef str _label(const EventRecord* row):
    cdef const char* letters = <const char*>&row.client_order_id
    cdef Py_ssize_t size = 16
    while size and letters[size - 1] == 0:
        size -= 1
    return letters[:size].decode("ascii", "replace")


cdef bint _is_of_an_order(int kind) noexcept:
    return kind in (
        ACCEPTED, REJECTED, DUPLICATE, FILL, CANCELLED, REPLACED, TERMS_SET, TRIGGERED, REFILLED,
        MASS_CANCELLED, QUOTED,
    )  # fmt: skip


cdef bint _is_new(int command) noexcept:
    return command in (NEW_ORDER, AUCTION_BID, PICK_ORDER, BLOCK_PROPOSE, BLOCK_CONFIRM)


cdef bint _is_order_command(int command) noexcept:
    return _is_new(command) or command in (CANCEL_ORDER, REPLACE_ORDER, MASS_CANCEL, QUOTE)
