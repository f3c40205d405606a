"""Order entry over WebSocket: ws://HOST:PORT/orders.

The first message is a signed `Logon`; then requests, one or an array of up to SESSION_BATCH_MAX,
each named by `type` (the structs of `exchange.messages.orders.OrderRequest`). Every message
of the venue is an array: PENDING as soon as the log has a request, `Reject` for what never got
there, and every execution report of the participant's accounts, whoever caused it. Reports carry
`sequence`; `resume_from` in the logon asks for those missed.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

import msgspec

from exchange import metrics
from exchange.messages.executions import (
    ExecutionReport,
    Gap,
    LoggedOn,
    Logon,
    SessionMessage,
)
from exchange.messages.orders import OrderRequest
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key, Venue
from exchange.settings import PAGE_MAX, SESSION_BATCH_MAX, SESSION_QUEUE_BYTES_MAX
from gateway.context import Context
from gateway.fields import decode
from gateway.identity import Signed
from gateway.order_entry import CANCELS, Prepared
from gateway.refusal import Refused
from gateway.reports import Reported
from gateway.roles import allow
from gateway.sockets import Connection, Connections, encode
from gateway.submitter import Ticket
from gateway.venue_view import MarketView

RESUME_MAX = 4 * PAGE_MAX  # reports sent again at a logon; more = Gap, then GET /executions

_logon = msgspec.json.Decoder(Logon)
_requests = msgspec.json.Decoder(OrderRequest | list[OrderRequest])

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


class OrderSession(Connection):
    """One order-entry connection of a participant's key."""

    interface = "websocket"
    queue_bytes_max = SESSION_QUEUE_BYTES_MAX

    def __init__(self, connections: Connections, context: Context, hub: ReportHub) -> None:
        super().__init__(connections)
        self._context = context
        self._hub = hub
        self._key: Key | None = None
        self._out: list[SessionMessage] = []  # flushed once a turn of the loop

    def received(self, data: bytes) -> None:
        """The logon, or requests."""
        if self._key is None:
            self._log_on(decode(data, _logon))
            return
        requests = decode(data, _requests)
        batch = requests if isinstance(requests, list) else [requests]
        if len(batch) > SESSION_BATCH_MAX:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"{len(batch)} requests, at most {SESSION_BATCH_MAX}"
            )
        for request in batch:
            self._enter(self._key, request)

    def refuse(self, refused: Refused) -> None:
        """Before the logon a refusal ends the connection; after it the message alone."""
        if self._key is None:
            self.cut(refused)
        else:
            self._say(refused.reject())

    def closed(self) -> None:
        """Stops the stream of reports."""
        if self._key is not None:
            self._hub.leave(self._key.participant, self._receive)

    def cut(self, refused: Refused) -> None:
        """Stops the stream before the last word."""
        self.closed()
        super().cut(refused)

    def _log_on(self, logon: Logon) -> None:
        signed = Signed(logon.key, logon.timestamp_ns, logon.window_ms, logon.signature)
        key = self._context.identities.verify("LOGON", "", signed, b"")
        allow(key, "LOGON")
        views = self._context.views
        for code, sequence in logon.resume_from.items():
            self._context.entry.desk(code)
            if sequence < 0:
                raise Refused(EdgeReason.INVALID_FIELD, f"resume_from: {sequence} is no sequence")
        self._key = key
        self.introduced()
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

    def _enter(self, key: Key, request: OrderRequest) -> None:
        is_cancel = isinstance(request, CANCELS)
        metrics.GATEWAY_MESSAGES.labels("websocket", "in", type(request).__name__).inc()
        try:
            self._context.throttle.take(key.participant, "cancels" if is_cancel else "orders")
            prepared = self._context.entry.prepare(key, request)
            self._context.entry.submit(
                prepared, lambda ticket: self._taken(ticket, prepared, request)
            )
        except Refused as refused:
            metrics.GATEWAY_REJECTIONS.labels("websocket", refused.row.name).inc()
            self._say(refused.about(request).reject())

    def _taken(self, ticket: Ticket, prepared: Prepared, request: OrderRequest) -> None:
        if ticket.refused is not None:
            metrics.GATEWAY_REJECTIONS.labels("websocket", ticket.refused.row.name).inc()
            self._say(ticket.refused.about(request).reject())
            return
        prepared.desk.view.arrived(ticket.position, ticket.arrived_ns, "websocket")
        self._say(self._context.entry.pending(request, prepared.desk, ticket.position))

    def _receive(self, market: str, reports: list[ExecutionReport]) -> None:
        for report in reports:
            self._say(report)

    def _say(self, message: SessionMessage) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(message)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self.send(encode(out)):
            metrics.GATEWAY_MESSAGES.labels("websocket", "out", "reports").inc(len(out))
