"""One key's FIX session over all its connections: numbers, requests in flight, reports.

A request's `ref` on `orders` is the session's `base` plus its MsgSeqNum, so the same message has
the same `ref` however often it comes; the engine knows it and does nothing twice. The store is told
that a message is done when its answer has a number, not before: what a crash leaves unanswered is
asked for again at the next logon, goes to the engine again, and is answered by what became of it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict, deque
from typing import Protocol

import structlog

from exchange import metrics
from exchange.messages.executions import DisconnectScope, ExecutionReport
from exchange.messages.frames import Phase
from exchange.messages.orders import OrderRequest
from exchange.messages.reasons import EdgeReason, Reason
from exchange.reference.venue import Key
from exchange.settings import FIX_IN_FLIGHT_MAX, REPORTS_MAX
from gateway.access.roles import allow
from gateway.context import Context
from gateway.entry.decimals import whole_number
from gateway.entry.order_entry import CANCELS, Prepared
from gateway.entry.submitter import MS, Ticket
from gateway.fix import reports as words
from gateway.fix import session
from gateway.fix.codec import Message, body_text, frame, utc_ns
from gateway.fix.days import TradeDays
from gateway.fix.reports import Asked
from gateway.fix.requests import TRANSLATORS
from gateway.fix.securities import SecurityWatch
from gateway.fix.session import Sent, State, Step
from gateway.fix.store import FixStore, Numbers, StoreError
from gateway.refusal import Refused, refused_by
from gateway.views.executions import Execution
from gateway.websocket.disconnects import Disconnects
from gateway.websocket.sessions import ReportHub

SCOPES: dict[str, DisconnectScope] = {"": "NONE", "N": "NONE", "S": "SESSION", "P": "PARTICIPANT"}


class Wire(Protocol):
    """The connection as a session needs it."""

    def send(self, data: bytes) -> None:
        """Sends bytes, or cuts a reader that does not keep up."""

    def close(self, why: str) -> None:
        """Ends the connection after what was sent."""

    def abort(self, why: str) -> None:
        """Ends it at once."""


class MemberSession:
    """The session of one key; lives as long as the gateway."""

    def __init__(
        self,
        key: Key,
        context: Context,
        hub: ReportHub,
        disconnects: Disconnects,
        store: FixStore,
    ) -> None:
        self.key = key
        self._context = context
        self._hub = hub
        self._disconnects = disconnects
        self._scope: DisconnectScope = "NONE"
        self._store = store
        self._sender = context.settings.fix_comp_id
        self._days = TradeDays(context.venue)
        store.forget_old(key.id, context.clock.now_ns())
        kept = store.load(key.id)
        self.is_new = kept is None
        numbers = kept or Numbers(self._new_base(), 1, 1, self._heard_so_far())
        self.state = State(next_in=numbers.next_in_asked, next_out=numbers.next_out)
        # of before a restart: below the number all but these were answered
        self._known_in, self._unfinished = numbers.next_in, numbers.unanswered
        self._base = numbers.base
        self._reported = dict.fromkeys(context.views, 0) | numbers.reported
        self._wire: Wire | None = None
        self._unanswered: dict[int, int] = {}  # MsgSeqNum -> answers to come
        self._asked: defaultdict[str, OrderedDict[int, Asked]] = defaultdict(OrderedDict)
        # of each market: requests not on the log yet, the last log position known, reports held
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._placed: defaultdict[str, int] = defaultdict(int)
        self._held: defaultdict[str, deque[ExecutionReport]] = defaultdict(
            deque
        )  # bounded by _hold
        self._out: list[tuple[bytes, Sent | None]] = []
        self._is_flushing = False
        self._is_dirty = False
        self._phases: dict[str, str] | None = None  # symbol -> phase told, while subscribed
        self._phases_id = ""
        self._securities = SecurityWatch(context, self.say)
        self._is_drop_copy = False
        self._is_retired = False
        self._logger = structlog.get_logger().bind(service="gateway", fix=key.id)

    @property
    def is_retired(self) -> bool:
        """Whether another object has to be made of it at the next logon."""
        return self._is_retired

    @property
    def is_connected(self) -> bool:
        """Whether a connection is logged on to it, or about to."""
        return self._wire is not None

    @property
    def numbers(self) -> Numbers:
        """What the store keeps: what came, and which of it is not answered. O(unanswered)."""
        next_in = max(self.state.next_in, self._known_in)
        to_come = {number for number in self._unfinished if number >= self.state.next_in}
        unanswered = tuple(sorted(to_come.union(self._unanswered)))
        return Numbers(self._base, next_in, self.state.next_out, self._reported, unanswered)

    # -- the connection -------------------------------------------------------------------------

    def attach(self, wire: Wire, logon: Message) -> None:
        """A verified Logon on a new connection."""
        now = self._context.clock.now_ns()
        self._wire = wire
        self.state = session.open_state(
            self.key.id, self._sender, self.state.next_in, self.state.next_out, now
        )
        self.is_new = False
        self._is_dirty = True
        self._do(session.received(self.state, logon, now), logon)
        if self.state.phase is session.Phase.ACTIVE:
            self._catch_up()
            self._hub.join(self.key.participant, self._receive)
            self._scope = SCOPES[logon.get(8013)]
            self._is_drop_copy = logon.get(9406) == "Y"
            if not self._is_drop_copy:
                self._disconnects.logged_on(self, self.key)

    def detach(self) -> None:
        """The connection is gone; idempotent. Requests on their way go on."""
        self._wire = None
        self._phases = None
        self._securities.end()
        self._hub.leave(self.key.participant, self._receive)
        self._disconnects.lost(self, self.key, self._scope)
        self.flush()

    def received(self, message: Message) -> None:
        """A message of the connection, after its Logon."""
        self._is_dirty = True
        self._do(session.received(self.state, message, self._context.clock.now_ns()), message)
        self._flush_soon()

    def tick(self) -> None:
        """Time has passed: heartbeats, time-outs, phases and auctions that changed."""
        self._do(session.ticked(self.state, self._context.clock.now_ns()))
        if self._wire is not None:
            self._tell_phases()
            self._securities.tick()

    def leave(self, text: str, reason: int = 0) -> None:
        """Logs out, for example because the gateway stops."""
        if self.state.phase is session.Phase.ACTIVE:
            self._do(session.leave(self.state, text, self._context.clock.now_ns(), reason))
        self.flush()

    def retire(self) -> None:
        """Ends it in this process: what is still unanswered is answered after the next logon."""
        self._is_retired = True
        self._hub.leave(self.key.participant, self._receive)

    def _do(self, step: Step, message: Message | None = None) -> None:
        if step.is_reset:
            self.flush()
            self._begin_anew()
        self.state = step.state
        for said in step.out:
            self._send_session(said)
        if step.resend is not None:
            self._resend(*step.resend)
        if step.is_delivered and message is not None:
            self._deliver(message)
        if step.close:
            self.flush()
            if self._wire is not None:
                self._wire.close(step.close)

    def _begin_anew(self) -> None:
        self._base = max(self._new_base(), self._base + 1)
        self._unanswered.clear()
        self._known_in, self._unfinished = 1, ()
        self._store.reset(self.key.id, Numbers(self._base, 1, 1, self._reported))

    def _ref(self, message: Message) -> int:
        return self._base + message.sequence

    def _new_base(self) -> int:
        """Above every ref that the key's session has used: the clock is, unless it went back."""
        views = self._context.views.values()
        used = max((view.last_ref.get(self.key.session, 0) for view in views), default=0)
        return max(self._context.clock.now_ns(), used)

    def _heard_so_far(self) -> dict[str, int]:
        views = self._context.views.items()
        return {code: max(view.follower.next_event - 1, 0) for code, view in views}

    # -- in -------------------------------------------------------------------------------------

    def _deliver(self, message: Message) -> None:
        metrics.GATEWAY_MESSAGES.labels("fix", "in", _label(message.msg_type)).inc()
        if message.sequence < self._known_in and message.sequence not in self._unfinished:
            return  # asked for again with one below it: its answer stands, and is in the store
        try:
            if message.msg_type in TRANSLATORS:
                if self._is_drop_copy:
                    raise Refused(EdgeReason.ROLE_NOT_ALLOWED, "a drop copy takes no requests")
                self._enter(message)
            elif message.msg_type == "H":
                self._context.take(self.key, "orders")
                self._tell_status(message)
            elif message.msg_type == "g":
                self._context.take(self.key, "orders")
                self._subscribe_phases(message)
            elif message.msg_type == "e":
                self._context.take(self.key, "orders")
                self._securities.ask(message)
            else:
                self.say(words.unsupported(message))
        except StoreError:
            raise
        except Exception as error:  # of this message: those behind it are not to blame
            self._refuse(message, refused_by(error, self._logger), self._ref(message))

    def _enter(self, message: Message) -> None:
        if len(self._unanswered) >= FIX_IN_FLIGHT_MAX:
            raise Refused(
                EdgeReason.VENUE_BUSY, f"{FIX_IN_FLIGHT_MAX} requests of this session wait"
            )
        ref = self._ref(message)
        requests = TRANSLATORS[message.msg_type](message, ref, self._markets(message))
        self._unanswered[message.sequence] = len(requests)
        for request in requests:
            market = self._market_of(request)
            asked = Asked(message.sequence, ref, message, market)
            try:
                self._submit(asked, request)
            except Exception as error:
                self._not_entered(asked, request, refused_by(error, self._logger))

    def _not_entered(self, asked: Asked, request: OrderRequest, refused: Refused) -> None:
        refused = self._context.entry.in_doubt(self.key, request, refused)
        self._refuse(asked.message, refused, asked.ref, asked.market)
        self._answered(asked)

    def _submit(self, asked: Asked, request: OrderRequest) -> None:
        budget = "cancels" if isinstance(request, CANCELS) else "orders"
        allow(self.key, type(request).__name__)
        self._context.take(self.key, budget)
        prepared = self._context.entry.prepare(self.key, request)
        self._check_age(asked.message, prepared)
        market = prepared.desk.market.code
        asked = asked._replace(market=market)
        self._waiting[market] += 1
        try:
            self._context.entry.submit(
                prepared, lambda ticket: self._taken(ticket, prepared, asked, request)
            )
        except Exception:
            self._waiting[market] -= 1
            raise

    def _check_age(self, message: Message, prepared: Prepared) -> None:
        """Refuses what its sender no longer waits for, unless the log has it: then it is answered.

        The time counts from when the message was first sent, also if it is sent again.
        """
        sent = utc_ns(message.get(122) or message.get(52))
        age = self._context.clock.now_ns() - sent
        last = prepared.desk.view.last_ref.get(self.key.session, 0)
        if 0 < prepared.valid_ms * MS < age and prepared.ref > last:
            raise Refused(Reason.EXPIRED, f"first sent {age // MS} ms ago")

    def _taken(
        self, ticket: Ticket, prepared: Prepared, asked: Asked, request: OrderRequest
    ) -> None:
        if self._is_retired:
            return
        self._waiting[asked.market] -= 1
        if ticket.refused is not None:
            self._not_entered(asked, request, ticket.refused)
        else:
            requests = self._asked[asked.market]
            requests[ticket.position] = asked
            if len(requests) > 2 * FIX_IN_FLIGHT_MAX:
                requests.popitem(last=False)
            self._placed[asked.market] = ticket.position
            prepared.desk.view.arrived(ticket.position, ticket.arrived_ns, "fix")
        self._release(asked.market)

    def _refuse(self, message: Message, refused: Refused, ref: int, market: str = "") -> None:
        metrics.GATEWAY_REJECTIONS.labels("fix", refused.row.name).inc()
        self.say(words.refused_at_the_edge(message, refused, ref, market))

    def _answered(self, asked: Asked) -> None:
        """One of the answers that a request waits for has its number."""
        is_old = asked.ref != self._base + asked.sequence  # of before a reset
        if is_old or asked.sequence not in self._unanswered:
            return
        self._unanswered[asked.sequence] -= 1
        if self._unanswered[asked.sequence] <= 0:
            del self._unanswered[asked.sequence]

    def _markets(self, message: Message) -> list[str]:
        if message.get(55):
            return [self._context.entry.instrument(message.get(55)).market]
        return sorted(self._context.views)

    def _market_of(self, request: OrderRequest) -> str:
        return str(getattr(request, "market", ""))

    def _tell_status(self, message: Message) -> None:
        entry = self._context.entry
        view = self._context.views[entry.instrument(message.get(55)).market]
        number = whole_number(message.get(1))
        account = entry.own_account(self.key, view.market, -1 if number is None else number).id
        named = whole_number(message.get(37)) if message.get(37) else None
        order = (
            view.reports.order(named or 0)
            if message.get(37)
            else view.reports.order_labelled(account, message.get(11))
        )
        if order is None or order.account_id != account:
            self.say(words.unknown_status(message, self._ref(message)))
            return
        asked = Asked(message.sequence, self._ref(message), message, view.market.code)
        self.say(words.execution(view.reports.status(order), asked))

    # -- phases ---------------------------------------------------------------------------------

    def _subscribe_phases(self, message: Message) -> None:
        market, wanted = message.get(336), message.get(263)
        if market:
            self._context.entry.desk(market)
        if wanted == "2":
            self._phases = None
            return
        self._phases, self._phases_id = {}, message.get(335)
        self._tell_phases(market)
        if wanted == "0":
            self._phases = None

    def _tell_phases(self, market: str = "") -> None:
        told = self._phases
        if told is None:
            return
        for item in self._context.venue.instrument:
            if market and item.market != market:
                continue
            state = self._context.views[item.market].positions.instruments.get(item.id)
            phase = Phase(state.phase if state else Phase.CLOSED).name
            if told.get(item.symbol) != phase:
                told[item.symbol] = phase
                self.say(words.session_status(item.market, item.symbol, phase, self._phases_id))

    # -- out ------------------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Tells what happened while nobody was logged on."""
        self._held.clear()
        for code, view in self._context.views.items():
            since = self._reported[code]
            accounts = self._context.entry.accounts_of(self.key, view.market)
            kept = max((view.reports.first_kept(account) for account in accounts), default=0)
            if kept > since + 1:
                self.say(words.reports_forgotten(code, kept))
            missed = view.reports.after_of(self.key.participant, since)
            missed += [r for account in accounts for r in view.reports.after(account, since)]
            missed.sort(key=lambda report: report.sequence)
            self._take(code, missed)

    def _receive(self, market: str, executions: list[Execution]) -> None:
        self._take(market, [execution.report for execution in executions])

    def _take(self, market: str, reports: list[ExecutionReport]) -> None:
        held = self._held[market]
        held.extend(reports)
        try:
            self._release(market)
        except Exception as error:
            # one broken session must not stop the market's view
            self.fail(error)

    def _release(self, market: str) -> None:
        """Tells reports whose request is known: one may come before the log's word to a request."""
        held = self._held[market]
        while held and not self._must_wait(market, held[0], len(held)):
            self._tell(market, held.popleft())

    def _must_wait(self, market: str, report: ExecutionReport, count: int) -> bool:
        is_later = report.request_id > self._placed[market]
        return bool(self._waiting[market]) and is_later and count <= REPORTS_MAX

    def _tell(self, market: str, report: ExecutionReport) -> None:
        asked = self._asked[market].get(report.request_id)
        said = words.told(report, asked, self._days.of(report))
        self._reported[market] = report.sequence
        if said is not None:
            self.say(said)
        if asked is not None and words.is_answer(report, asked):
            self._answered(asked)
        self._flush_soon()

    def say(self, said: words.Said) -> None:
        """Sends an application message; without a connection it waits in the store."""
        now = self._context.clock.now_ns()
        self.state, number = session.numbered(self.state, now)
        body = body_text(said.values)
        sent = Sent(number, now, said.msg_type, body)
        self._out.append((self._frame(said.msg_type, number, now, body), sent))
        metrics.GATEWAY_MESSAGES.labels("fix", "out", said.msg_type).inc()
        self._flush_soon()

    def _send_session(self, said: session.Said) -> None:
        now = self._context.clock.now_ns()
        body = body_text(said.values)
        self._out.append((self._frame(said.msg_type, said.sequence, now, body), None))
        metrics.GATEWAY_MESSAGES.labels("fix", "out", said.msg_type).inc()
        self._flush_soon()

    def _resend(self, first: int, last: int) -> None:
        self.flush()
        now = self._context.clock.now_ns()
        for item in session.resent(self._store.sent(self.key.id, first, last), first, last):
            sent = item.sent
            if sent is None:
                body = body_text(((123, "Y"), (36, item.new)))
                data = self._frame("4", item.sequence, now, body, original_ns=now)
            else:
                data = self._frame(
                    sent.msg_type, sent.sequence, now, sent.body, original_ns=sent.sent_ns
                )
            self._out.append((data, None))
        self.flush()

    def _frame(
        self, msg_type: str, number: int, now: int, body: str, *, original_ns: int = 0
    ) -> bytes:
        return frame(
            msg_type, number, self._sender, self.key.id, now, body, original_ns=original_ns
        )

    def _flush_soon(self) -> None:
        self._is_dirty = True
        if not self._is_flushing:
            self._is_flushing = True
            asyncio.get_running_loop().call_soon(self._flush_now)

    def _flush_now(self) -> None:
        try:
            self.flush()
        except StoreError as error:
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Nothing more is said: the next logon begins from what the store has."""
        self._logger.error("fix_session_failed", error=repr(error))
        self.retire()
        if self._wire is not None:
            self._wire.abort("the session failed")

    def flush(self) -> None:
        """First the store, then the wire: what a client has seen is kept. O(messages)."""
        self._is_flushing = False
        if not self._is_dirty or self._is_retired:
            return
        out, self._out = self._out, []
        self._is_dirty = False
        kept = [sent for _, sent in out if sent is not None]
        self._store.save(self.key.id, self.numbers, kept)
        if out and self._wire is not None:
            self._wire.send(b"".join([data for data, _ in out]))


def _label(msg_type: str) -> str:
    return msg_type if msg_type in TRANSLATORS or msg_type in ("H", "g", "e") else "other"
