"""Order entry over WebSocket: ws://HOST:PORT/orders.

The first message is a signed `Logon`, as JSON in a text frame or as MessagePack in a binary one,
which both sides speak from then on; then requests, one or an array of up to SESSION_BATCH_MAX,
each named by `type` (the structs of `exchange.messages.orders.OrderRequest`). Every message
of the venue is an array: PENDING as soon as the log has a request, `Reject` for what never got
there, and every execution report of the participant's accounts, whoever caused it. Reports carry
`sequence`; `resume_from` in the logon asks for those missed, `restate` for all open orders as they
stand. `cancel_on_disconnect` says whose orders end when the connection is lost and nobody logs on
again within DISCONNECT_GRACE_S. ws://HOST:PORT/drop-copy is the same without requests: every report
of the participant's accounts, for a risk desk.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, get_args

import msgspec
import structlog

from exchange import metrics
from exchange.messages.executions import (
    DisconnectScope,
    Gap,
    LoggedOn,
    Logon,
    Restatement,
    SessionMessage,
)
from exchange.messages.orders import OrderRequest
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key, Venue
from exchange.settings import (
    PAGE_MAX,
    SESSION_BATCH_MAX,
    SESSION_BODY_BYTES_MAX,
    SESSION_QUEUE_BYTES_MAX,
)
from gateway.access.identity import Signed
from gateway.access.roles import allow, may
from gateway.context import Context
from gateway.entry.fields import decode, unpack
from gateway.entry.order_entry import CANCELS, Desk, Prepared
from gateway.entry.packing import PlainOrders
from gateway.entry.submitter import Ticket
from gateway.refusal import Refused, refused_by
from gateway.views.executions import Execution, json_array, pendings
from gateway.views.venue_view import MarketView
from gateway.websocket.disconnects import Disconnects
from gateway.websocket.sockets import Connection, Connections

RESUME_MAX = 4 * PAGE_MAX  # reports sent again at a logon; more = Gap, then GET /executions

_logon = msgspec.json.Decoder(Logon)
_requests = msgspec.json.Decoder(OrderRequest | list[OrderRequest])
_packed_logon = msgspec.msgpack.Decoder(Logon)
_packed_requests = msgspec.msgpack.Decoder(OrderRequest | list[OrderRequest])
_request = msgspec.json.Decoder(OrderRequest)
_packed_request = msgspec.msgpack.Decoder(OrderRequest)
_parts = msgspec.json.Decoder(list[msgspec.Raw])
_packed_parts = msgspec.msgpack.Decoder(list[msgspec.Raw])
_WRONG_IN_ITSELF = (
    EdgeReason.INVALID_FIELD, EdgeReason.UNKNOWN_FIELD, EdgeReason.MISSING_FIELD,
)  # fmt: skip

_MESSAGES_IN = {
    kind: metrics.GATEWAY_MESSAGES.labels("websocket", "in", kind.__name__)
    for kind in get_args(OrderRequest)
}
_logger = structlog.get_logger().bind(service="gateway")
_REPORTS_OUT = metrics.GATEWAY_MESSAGES.labels("websocket", "out", "reports")

Receiver = Callable[[str, list[Execution]], None]


class _Label(msgspec.Struct):
    """What names a request that could not be read."""

    ref: int = 0
    client_order_id: str = ""


_label = msgspec.json.Decoder(_Label)
_packed_label = msgspec.msgpack.Decoder(_Label)


class ReportHub:
    """Hands the execution reports of each participant's accounts to whoever listens for them."""

    def __init__(self, venue: Venue) -> None:
        self._participant: defaultdict[str, dict[int, int]] = defaultdict(dict)
        for account in venue.account:
            self._participant[account.market][account.id] = account.participant
        self._receivers: defaultdict[int, dict[Receiver, None]] = defaultdict(dict)

    def join(self, participant: int, receiver: Receiver) -> None:
        """From now on `receiver(market, reports)` is called, in order of sequence.

        Those of one participant are called in the order in which they joined.
        """
        self._receivers[participant][receiver] = None

    def leave(self, participant: int, receiver: Receiver) -> None:
        """Ends it; idempotent."""
        self._receivers[participant].pop(receiver, None)

    def publish(self, view: MarketView, executions: list[Execution]) -> None:
        """Called by the views for each part of `events`. O(reports)."""
        code = view.market.code
        owners = self._participant[code]
        grouped: dict[int, list[Execution]] = {}
        for item in executions:
            participant = item.participant or owners.get(item.account, 0)
            if self._receivers.get(participant):
                grouped.setdefault(participant, []).append(item)
        for participant, theirs in grouped.items():
            for receiver in list(self._receivers[participant]):
                receiver(code, theirs)


class _Run:
    """Up to SESSION_BATCH_MAX requests that share a place: one market, one receive window."""

    __slots__ = ("_commands", "_first", "_ref", "places", "requests")

    def __init__(self, first: Prepared) -> None:
        self.requests: list[OrderRequest] = []
        self.places: list[int] = []  # of each request's first command
        self._first = first
        self._commands: list[bytes] = []
        self._ref = 0

    @property
    def prepared(self) -> Prepared:
        """All of them as one. O(1)."""
        return self._first._replace(ref=self._ref, commands=self._commands)

    def takes(self, other: Prepared) -> bool:
        """Whether a request may join. O(1)."""
        first = self._first
        return (
            len(self.requests) < SESSION_BATCH_MAX
            and other.desk is first.desk
            and other.valid_ms == first.valid_ms
            and other.is_cancel == first.is_cancel
        )

    def add(self, request: OrderRequest, prepared: Prepared) -> None:
        """Puts a request behind the others. O(commands)."""
        self.requests.append(request)
        self.places.append(len(self._commands))
        self._commands += prepared.commands
        self._ref = max(self._ref, prepared.ref)


class OrderSession(Connection):
    """One order-entry connection of a participant's key."""

    interface = "websocket"
    queue_bytes_max = SESSION_QUEUE_BYTES_MAX
    takes_binary = True
    enters_orders = True  # so that orders may end with it, or stay because it is there

    def __init__(
        self, connections: Connections, context: Context, hub: ReportHub, disconnects: Disconnects
    ) -> None:
        super().__init__(connections)
        self._context = context
        self._hub = hub
        self._disconnects = disconnects
        self._key: Key | None = None
        self._plain: PlainOrders | None = None
        self._scope: DisconnectScope = "NONE"
        self._may: frozenset[type] = frozenset()  # requests that role and scopes allow
        self._in: list[OrderRequest] = []  # entered once a turn; bounded by one read of the socket
        self._out: list[SessionMessage | Execution] = []  # flushed once a turn of the loop

    def received(self, data: bytes) -> None:
        """The logon, or requests."""
        if self._key is None:
            logon = unpack(data, _packed_logon) if self.is_binary else decode(data, _logon)
            self._log_on(logon)
            return
        try:
            if self.is_binary:
                requests = unpack(data, _packed_requests, SESSION_BODY_BYTES_MAX)
            else:
                requests = decode(data, _requests, SESSION_BODY_BYTES_MAX)
        except Refused as refused:
            if refused.row.number not in _WRONG_IN_ITSELF:
                raise
            requests = self._readable(self._key, data, refused)
        batch = requests if isinstance(requests, list) else [requests]
        _check_size(batch)
        self._requested(batch)

    def _readable(self, key: Key, data: bytes, refused: Refused) -> list[OrderRequest]:
        """The requests of an array that can be read; each other is refused under its own `ref`.

        Those that are refused take from the budget of orders. O(bytes).
        """
        try:
            parts = (_packed_parts if self.is_binary else _parts).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # one request, no array
            raise refused.about(self._label_of(data)) from None
        _check_size(parts)
        found: list[OrderRequest] = []
        for part in map(bytes, parts):
            try:
                if self.is_binary:
                    found.append(unpack(part, _packed_request))
                else:
                    found.append(decode(part, _request))
            except Refused as wrong:
                self._reject(self._or_over(key, wrong), self._label_of(part))
        return found

    def _or_over(self, key: Key, refused: Refused) -> Refused:
        """The refusal, or that the budget which it takes from is used up."""
        try:
            self._context.take(key, "orders")
        except Refused as over:
            return over
        return refused

    def _label_of(self, data: bytes) -> _Label:
        try:
            return (_packed_label if self.is_binary else _label).decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return _Label()

    def refuse(self, refused: Refused) -> None:
        """Before the logon a refusal ends the connection; after it the message alone."""
        if self._key is None:
            self.cut(refused)
        else:
            self._say(refused.reject())

    def closed(self) -> None:
        """Stops the stream of reports; the key's orders may have to follow."""
        if self._key is not None:
            self._hub.leave(self._key.participant, self._receive)
            self._disconnects.lost(self, self._key, self._scope)

    def cut(self, refused: Refused) -> None:
        """Stops the stream before the last word."""
        self.closed()
        super().cut(refused)

    # -- logon ----------------------------------------------------------------------------------

    def _log_on(self, logon: Logon) -> None:
        signed = Signed(logon.key, logon.timestamp_ns, logon.window_ms, logon.signature)
        key = self._context.verified("LOGON", "", signed, b"", self.address)
        allow(key, "LOGON")
        if logon.cancel_on_disconnect != "NONE":
            allow(key, "OrderMassCancelRequest")
        views = self._context.views
        for code, sequence in logon.resume_from.items():
            self._context.entry.desk(code)
            if sequence < 0:
                raise Refused(EdgeReason.INVALID_FIELD, f"resume_from: {sequence} is no sequence")
        self._key, self._scope = key, logon.cancel_on_disconnect
        self._plain = self._context.entry.plain_orders(key)
        self._may = frozenset(k for k in get_args(OrderRequest) if may(key, k.__name__))
        self.introduced()
        if self.enters_orders:
            self._disconnects.logged_on(self, key)
        self._say(
            LoggedOn(
                key.participant,
                key.session,
                {code: view.last_ref.get(key.session, 0) for code, view in views.items()},
                {code: view.follower.next_event for code, view in views.items()},
            )
        )
        for code, sequence in logon.resume_from.items():
            self._resume(key, views[code], sequence)
        if logon.restate:
            for view in views.values():
                self._restate(key, view)
        if self.is_open:  # a slow reader may have been cut while it resumed
            self._hub.join(key.participant, self._receive)

    def check(self, now_ns: int) -> None:
        """Cuts the connection of a key that may no longer be used. O(1)."""
        if self._key is not None:
            over = self._context.identities.ring.standing(self._key, now_ns)
            if over is not None:
                self.cut(over)

    def _resume(self, key: Key, view: MarketView, sequence: int) -> None:
        accounts = self._context.entry.accounts_of(key, view.market)
        missed = view.reports.after_of(key.participant, sequence)
        missed += [r for account in accounts for r in view.reports.after(account, sequence)]
        missed.sort(key=lambda report: report.sequence)
        kept = max((view.reports.first_kept(account) for account in accounts), default=0)
        first = kept if kept > sequence + 1 else 0
        if len(missed) > RESUME_MAX:
            missed = missed[-RESUME_MAX:]
            first = max(first, missed[0].sequence)
        if first:
            self._say(Gap(view.market.code, first))
        for start in range(0, len(missed), PAGE_MAX):
            for report in missed[start : start + PAGE_MAX]:
                self._say(report)
            self._flush()

    def _restate(self, key: Key, view: MarketView) -> None:
        """Every open order of the participant as it stands; what comes after changes these."""
        accounts = self._context.entry.accounts_of(key, view.market)
        count = 0
        for order in view.reports.open_orders(accounts):
            self._say(view.reports.status(order, "RESTATED"))
            count += 1
            if count % PAGE_MAX == 0:
                self._flush()
                if not self.is_open:
                    return
        self._say(Restatement(view.market.code, count, view.follower.next_event))

    # -- requests -------------------------------------------------------------------------------

    def _requested(self, batch: list[OrderRequest]) -> None:
        """Keeps requests until all that came with them was read."""
        if not self._in:
            asyncio.get_running_loop().call_soon(self._enter)
        self._in += batch

    def _enter(self) -> None:
        """Enters what came; neighbours that go the same way share a place in a frame."""
        came, self._in = self._in, []
        key, plain = self._key, self._plain
        if key is None or plain is None:
            return
        entry = self._context.entry
        requests = self._within_budget(key, came)
        run: _Run | None = None
        at = 0
        while at < len(requests):
            request = requests[at]
            try:
                found = entry.prepare_plain(key, plain, requests, at)
                prepared = entry.prepare(key, request) if found is None else found[1]
            except Exception as error:  # the requests behind it are not to blame
                self._reject(refused_by(error, _logger.bind(key=key.id)), request)
                at += 1
                continue
            if found is not None:
                self._submit(run)
                run = None
                self._submit_plain(prepared, requests[at : found[0]])
                at = found[0]
                continue
            at += 1
            if run is None or not run.takes(prepared):
                self._submit(run)
                run = _Run(prepared)
            run.add(request, prepared)
        self._submit(run)

    def _within_budget(self, key: Key, batch: list[OrderRequest]) -> list[OrderRequest]:
        """The requests that the throttle lets through: of each kind the first ones."""
        cancels = 0
        if not self._may.issuperset(map(type, batch)):
            batch = self._allowed(key, batch)
        for kind, count in Counter(map(type, batch)).items():
            _MESSAGES_IN[kind].inc(count)
            cancels += count if issubclass(kind, CANCELS) else 0
        for budget, count in (("cancels", cancels), ("orders", len(batch) - cancels)):
            if not count:
                continue
            try:
                self._context.take(key, budget, count)
            except Refused:
                batch = self._first_of(key, budget, batch)
        return batch

    def _first_of(self, key: Key, budget: str, batch: list[OrderRequest]) -> list[OrderRequest]:
        """Without those of a kind that its budget no longer has: they are refused. O(requests)."""
        found: list[OrderRequest] = []
        over: Refused | None = None
        for request in batch:
            if isinstance(request, CANCELS) == (budget == "cancels"):
                try:
                    if over is None:
                        self._context.take(key, budget)
                except Refused as refused:
                    over = refused
                if over is not None:
                    self._reject(over, request)
                    continue
            found.append(request)
        return found

    def _allowed(self, key: Key, batch: list[OrderRequest]) -> list[OrderRequest]:
        found = []
        for request in batch:
            try:
                allow(key, type(request).__name__)
                found.append(request)
            except Refused as refused:
                self._reject(refused, request)
        return found

    def _submit(self, run: _Run | None) -> None:
        if run is None:
            return
        prepared, pending = run.prepared, self._context.entry.pending

        def taken(ticket: Ticket) -> None:
            if self._is_taken(ticket, prepared.desk, run.requests):
                places = zip(run.requests, run.places, strict=True)
                self._say_all(
                    [pending(item, prepared.desk, ticket.position + at) for item, at in places]
                )

        self._queue(prepared, run.requests, taken)

    def _submit_plain(self, prepared: Prepared, requests: list[OrderRequest]) -> None:
        code = prepared.desk.market.code

        def taken(ticket: Ticket) -> None:
            if self._is_taken(ticket, prepared.desk, requests):
                self._say_all(pendings(requests, code, ticket.position))

        self._queue(prepared, requests, taken)

    def _queue(
        self, prepared: Prepared, requests: list[OrderRequest], taken: Callable[[Ticket], None]
    ) -> None:
        try:
            self._context.entry.submit(prepared, taken)
        except Refused as refused:
            for request in requests:
                self._reject(refused, request)

    def _is_taken(self, ticket: Ticket, desk: Desk, requests: list[OrderRequest]) -> bool:
        """Whether the log has the requests; if not, says so."""
        if ticket.refused is not None:
            for request in requests:
                self._reject(ticket.refused, request)
            return False
        desk.view.arrived(ticket.position, ticket.arrived_ns, "websocket")
        return True

    def _reject(self, refused: Refused, request: OrderRequest | _Label) -> None:
        if self._key is not None:
            refused = self._context.entry.in_doubt(self._key, request, refused)
        refused = refused.about(request)
        metrics.GATEWAY_REJECTIONS.labels("websocket", refused.row.name).inc()
        self._say(refused.reject())

    def _receive(self, market: str, executions: list[Execution]) -> None:
        self._say_all(executions)

    def _say(self, message: SessionMessage) -> None:
        self._say_all([message])

    def _say_all(self, messages: Sequence[SessionMessage | Execution]) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out += messages

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self.send(self.encoded(out)):
            _REPORTS_OUT.inc(len(out))

    def encoded(self, message: Any) -> bytes:
        """Messages in the encoding that the other side speaks. O(bytes)."""
        if self.is_binary:
            return super().encoded([m.report if type(m) is Execution else m for m in message])
        return json_array(message)


def _check_size(batch: Sequence[object]) -> None:
    if len(batch) > SESSION_BATCH_MAX:
        raise Refused(
            EdgeReason.INVALID_FIELD, f"{len(batch)} requests, at most {SESSION_BATCH_MAX}"
        )


class DropCopy(OrderSession):
    """Every report of a participant, and nothing else: for its risk desk."""

    interface = "drop_copy"
    enters_orders = False

    def _requested(self, batch: list[OrderRequest]) -> None:
        raise Refused(EdgeReason.ROLE_NOT_ALLOWED, "a drop copy takes no requests: use /orders")
