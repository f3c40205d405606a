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
from collections import defaultdict
from collections.abc import Callable
from typing import get_args

import msgspec

from exchange import metrics
from exchange.messages.executions import (
    DisconnectScope,
    ExecutionReport,
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
from gateway.context import Context
from gateway.disconnects import Disconnects
from gateway.fields import decode, unpack
from gateway.identity import Signed
from gateway.order_entry import CANCELS, Desk, Prepared
from gateway.refusal import Refused
from gateway.reports import Reported
from gateway.roles import allow
from gateway.sockets import Connection, Connections
from gateway.submitter import Ticket
from gateway.venue_view import MarketView

RESUME_MAX = 4 * PAGE_MAX  # reports sent again at a logon; more = Gap, then GET /executions

_logon = msgspec.json.Decoder(Logon)
_requests = msgspec.json.Decoder(OrderRequest | list[OrderRequest])
_packed_logon = msgspec.msgpack.Decoder(Logon)
_packed_requests = msgspec.msgpack.Decoder(OrderRequest | list[OrderRequest])

_MESSAGES_IN = {
    kind: metrics.GATEWAY_MESSAGES.labels("websocket", "in", kind.__name__)
    for kind in get_args(OrderRequest)
}
_REPORTS_OUT = metrics.GATEWAY_MESSAGES.labels("websocket", "out", "reports")

Receiver = Callable[[str, list[ExecutionReport]], None]


class ReportHub:
    """Hands the execution reports of each participant's accounts to whoever listens for them."""

    def __init__(self, venue: Venue) -> None:
        self._participant = {
            (account.market, account.id): account.participant for account in venue.account
        }
        self._receivers: defaultdict[int, set[Receiver]] = defaultdict(set)

    def join(self, participant: int, receiver: Receiver) -> None:
        """From now on `receiver(market, reports)` is called, in order of sequence."""
        self._receivers[participant].add(receiver)

    def leave(self, participant: int, receiver: Receiver) -> None:
        """Ends it; idempotent."""
        self._receivers[participant].discard(receiver)

    def publish(self, view: MarketView, reported: list[Reported]) -> None:
        """Called by the views for each part of `events`. O(reports)."""
        code = view.market.code
        grouped: dict[int, list[ExecutionReport]] = {}
        for item in reported:
            participant = item.participant or self._participant.get((code, item.report.account), 0)
            if self._receivers.get(participant):
                grouped.setdefault(participant, []).append(item.report)
        for participant, reports in grouped.items():
            for receiver in list(self._receivers[participant]):
                receiver(code, reports)


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
    def desk(self) -> Desk:
        """Where they go."""
        return self._first.desk

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

    def __init__(
        self, connections: Connections, context: Context, hub: ReportHub, disconnects: Disconnects
    ) -> None:
        super().__init__(connections)
        self._context = context
        self._hub = hub
        self._disconnects = disconnects
        self._key: Key | None = None
        self._scope: DisconnectScope = "NONE"
        self._in: list[OrderRequest] = []  # entered once a turn; bounded by one read of the socket
        self._out: list[SessionMessage] = []  # flushed once a turn of the loop

    def received(self, data: bytes) -> None:
        """The logon, or requests."""
        if self._key is None:
            logon = unpack(data, _packed_logon) if self.is_binary else decode(data, _logon)
            self._log_on(logon)
            return
        if self.is_binary:
            requests = unpack(data, _packed_requests, SESSION_BODY_BYTES_MAX)
        else:
            requests = decode(data, _requests, SESSION_BODY_BYTES_MAX)
        batch = requests if isinstance(requests, list) else [requests]
        if len(batch) > SESSION_BATCH_MAX:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"{len(batch)} requests, at most {SESSION_BATCH_MAX}"
            )
        self._requested(batch)

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
        key = self._context.identities.verify("LOGON", "", signed, b"")
        allow(key, "LOGON")
        views = self._context.views
        for code, sequence in logon.resume_from.items():
            self._context.entry.desk(code)
            if sequence < 0:
                raise Refused(EdgeReason.INVALID_FIELD, f"resume_from: {sequence} is no sequence")
        self._key, self._scope = key, logon.cancel_on_disconnect
        self.introduced()
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

    def _resume(self, key: Key, view: MarketView, sequence: int) -> None:
        accounts = self._context.entry.accounts_of(key, view.market)
        missed = view.reports.after_of(key.participant, sequence)
        missed += [r for account in accounts for r in view.reports.after(account, sequence)]
        missed.sort(key=lambda report: report.sequence)
        kept = max((view.reports.first_kept(account) for account in accounts), default=0)
        if kept > sequence + 1 or len(missed) > RESUME_MAX:
            missed = missed[-RESUME_MAX:]
            self._say(Gap(view.market.code, missed[0].sequence))
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
        key = self._key
        if key is None:
            return
        entry = self._context.entry
        run: _Run | None = None
        for request in self._within_budget(key, came):
            try:
                prepared = entry.prepare(key, request)
            except Refused as refused:
                self._reject(refused.about(request))
                continue
            if run is None or not run.takes(prepared):
                self._submit(run)
                run = _Run(prepared)
            run.add(request, prepared)
        self._submit(run)

    def _within_budget(self, key: Key, batch: list[OrderRequest]) -> list[OrderRequest]:
        """The requests that the throttle lets through: all of a kind or none."""
        cancels = 0
        for request in batch:
            _MESSAGES_IN[type(request)].inc()
            cancels += isinstance(request, CANCELS)
        for budget, count in (("cancels", cancels), ("orders", len(batch) - cancels)):
            if not count:
                continue
            try:
                self._context.throttle.take(key.participant, budget, count)
            except Refused as refused:
                is_cancel = budget == "cancels"
                for request in batch:
                    if isinstance(request, CANCELS) == is_cancel:
                        self._reject(refused.about(request))
                batch = [item for item in batch if isinstance(item, CANCELS) != is_cancel]
        return batch

    def _submit(self, run: _Run | None) -> None:
        if run is None:
            return
        try:
            self._context.entry.submit(run.prepared, lambda ticket: self._taken(ticket, run))
        except Refused as refused:
            for request in run.requests:
                self._reject(refused.about(request))

    def _taken(self, ticket: Ticket, run: _Run) -> None:
        """The log has the requests of a run, or refused them."""
        if ticket.refused is not None:
            for request in run.requests:
                self._reject(ticket.refused.about(request))
            return
        desk = run.desk
        desk.view.arrived(ticket.position, ticket.arrived_ns, "websocket")
        pending = self._context.entry.pending
        for request, place in zip(run.requests, run.places, strict=True):
            self._say(pending(request, desk, ticket.position + place))

    def _reject(self, refused: Refused) -> None:
        metrics.GATEWAY_REJECTIONS.labels("websocket", refused.row.name).inc()
        self._say(refused.reject())

    def _receive(self, market: str, reports: list[ExecutionReport]) -> None:
        for report in reports:
            self._say(report)

    def _say(self, message: SessionMessage) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(message)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self.send(self.encoded(out)):
            _REPORTS_OUT.inc(len(out))


class DropCopy(OrderSession):
    """Every report of a participant, and nothing else: for its risk desk."""

    interface = "drop_copy"

    def _requested(self, batch: list[OrderRequest]) -> None:
        raise Refused(EdgeReason.ROLE_NOT_ALLOWED, "a drop copy takes no requests: use /orders")
