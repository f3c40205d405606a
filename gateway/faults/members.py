"""A broker on a wire: sends order flow, keeps what it was told, resends what it is not sure of.

It follows the procedure of the documents: one session, rising refs, what was not answered is sent
again in order under the same refs, reports missed are asked for with `resume_from`. What it has
seen is the evidence with which the auditor compares the log.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

import msgspec

from exchange.messages.executions import (
    Closing,
    ExecutionReport,
    Gap,
    LoggedOn,
    Logon,
    Reject,
    Restatement,
    SessionMessage,
)
from exchange.messages.reasons import EdgeReason
from exchange.reference.venue import Key
from exchange.simulation.faults.loop import SimulatedClock
from gateway.access.identity import sign
from gateway.client.keys import SigningKey
from gateway.faults.flow import Flow, Wish
from gateway.faults.house import House, Node
from gateway.faults.wire import Wire, pause_s

WINDOW = 6  # requests under way at once
RESEND_S = 3.0  # without an answer it asks again
LEAVE_S = 7.0  # and then at the other gateway
BACK_S_MAX = 0.6

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[SessionMessage]).decode
_RETRY = (EdgeReason.STATUS_UNKNOWN, EdgeReason.VENUE_BUSY, EdgeReason.THROTTLED)


class Acknowledged(NamedTuple):
    """The log has it: what a PENDING said."""

    market: str
    position: int
    ref: int


class Sent:
    """A request under way or answered."""

    __slots__ = ("answer", "is_in_doubt", "market", "positions", "ref", "request", "sent_s")

    def __init__(self, market: str, ref: int, request: dict[str, Any]) -> None:
        self.market, self.ref, self.request = market, ref, request
        self.positions: set[int] = set()
        self.answer: ExecutionReport | Reject | None = None
        self.is_in_doubt = False
        self.sent_s = 0.0


class Member:
    """One broker."""

    def __init__(self, house: House, key: Key, signing: SigningKey) -> None:
        self.key = key
        self.acknowledged: list[Acknowledged] = []
        self.reports: dict[str, dict[int, ExecutionReport]] = {
            m.code: {} for m in house.venue.market
        }
        self.sent: dict[tuple[str, int], Sent] = {}
        self.is_trading = True
        self.is_probing = False  # after the faults: whether all goes on
        self.faults: list[str] = []  # what the venue told that cannot be
        self.clock = SimulatedClock(house.world)
        self.rng = random.Random(f"{house.plan.seed}/{key.id}")
        self.house = house
        self._signing = signing
        self._accounts = {
            a.market: a.id
            for a in house.venue.account
            if a.participant == key.participant and a.type == "trading"
        }
        self.flow = Flow(house, key, self._accounts, self.rng)
        self._ref = 0
        self._open: dict[tuple[str, int], Sent] = {}  # not answered, in order
        self._wire: Wire | None = None
        self._is_logged_on = False
        self._must_resend = False
        self._answered_s = 0.0

    @property
    def is_at_rest(self) -> bool:
        """Whether everything it asked was answered. O(1)."""
        return not self._open

    @property
    def waiting(self) -> list[Sent]:
        """What was not answered."""
        return list(self._open.values())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            now = self.house.loop.time()
            if self._wire is None:
                self._connect()
            elif self._is_logged_on:
                self._work(now)
            pace = self.house.plan.pace_s
            await pause_s(pace * (0.2 + 1.6 * self.rng.random()))

    def hang_up(self) -> None:
        """The connection is cut."""
        if self._wire is not None:
            self._wire.cut()

    @property
    def wire(self) -> Wire | None:
        """The connection, if there is one."""
        return self._wire

    # -- sending --------------------------------------------------------------------------------

    def _work(self, now: float) -> None:
        oldest = next(iter(self._open.values()), None)
        if oldest is not None and now - self._answered_s > LEAVE_S:
            self.house.shapes["member_left_gateway"] += 1
            self.hang_up()
            return
        if oldest is not None and (self._must_resend or now - oldest.sent_s > RESEND_S):
            self._resend(now)
            return
        has_left = self._ref < self.house.plan.requests_max or self.is_probing
        if self.is_trading and has_left and len(self._open) < WINDOW:
            for wish in self.flow.next(self.reports):
                self._send(wish, now)

    def _send(self, wish: Wish, now: float) -> None:
        if wish.ref is None:
            self._ref += 1
            ref = self._ref
        else:  # an earlier request once more, or another body under its number
            ref = wish.ref
        request = {**wish.request, "ref": ref}
        if wish.ref is None:
            sent = Sent(wish.market, ref, request)
            self.sent[wish.market, ref] = self._open[wish.market, ref] = sent
            sent.sent_s = now
            self.flow.sent(wish._replace(request=request, ref=ref))
            if len(self._open) == 1:
                self._answered_s = now
        self._say(request)

    def _resend(self, now: float) -> None:
        self._must_resend = False
        self.house.shapes["resent"] += len(self._open)
        for sent in self._open.values():
            sent.sent_s = now
            self._say(sent.request)

    def _say(self, message: Any) -> None:
        if self._wire is not None:
            self._wire.say(_encode(message))

    # -- the connection -------------------------------------------------------------------------

    def _connect(self) -> None:
        found = self.house.gateways()
        if not found:
            return
        node = self.rng.choice(found)
        self._open_wire(node)
        text = sign(
            self._signing.private, self.key.id, "LOGON", "", b"",
            timestamp_ns=self.clock.now_ns(),
        )  # fmt: skip
        resume = {code: max(told, default=0) for code, told in self.reports.items()}
        scope = self.flow.disconnect_scope
        self._say(
            Logon(
                text.key, text.timestamp_ns, text.signature, 0, resume, cancel_on_disconnect=scope
            )
        )
        self._answered_s = self.house.loop.time()

    def _open_wire(self, node: Node) -> None:
        gateway: Any = node.service
        context = node.context
        wire: Wire | None = None

        def lost() -> None:
            if self._wire is wire:
                self._wire, self._is_logged_on = None, False
                self._must_resend = True

        connection = context.run(gateway.open_session)
        wire = Wire(
            self.house.loop, self.rng, connection, context=context,
            received=lambda data: self._received(data) if self._wire is wire else None, lost=lost,
        )  # fmt: skip
        self._wire, self._is_logged_on = wire, False
        node.wires.append(wire)

    # -- hearing --------------------------------------------------------------------------------

    def _received(self, data: bytes) -> None:
        self._answered_s = self.house.loop.time()
        for message in _decode(data):
            match message:
                case ExecutionReport():
                    self._told(message)
                case Reject():
                    self._rejected(message)
                case LoggedOn():
                    self._is_logged_on = True
                    self._must_resend = bool(self._open)
                case Closing():
                    self.house.shapes[f"closed_{message.title.lower()}"] += 1
                case Gap():
                    self.house.shapes["report_gap"] += 1
                case Restatement():
                    pass

    def _told(self, report: ExecutionReport) -> None:
        if report.exec_type == "PENDING":
            self.acknowledged.append(Acknowledged(report.market, report.request_id, report.ref))
            sent = self._open.get((report.market, report.ref))
            if sent is not None:
                sent.positions.add(report.request_id)
                self._match(sent)
            return
        told = self.reports[report.market]
        before = told.get(report.sequence)
        if before is None:
            told[report.sequence] = report
            self.flow.told(report)
        elif msgspec.structs.replace(before, account=0) != msgspec.structs.replace(
            report, account=0
        ):
            self.faults.append(f"event {report.sequence} of {report.market} told in two ways")
        self._resolve(report)

    def _match(self, sent: Sent) -> None:
        """The answer may have come before the log's word."""
        for report in reversed(self.reports[sent.market].values()):
            if report.request_id in sent.positions and self._is_answer(report, sent):
                self._done(sent, report)
                return

    def _resolve(self, report: ExecutionReport) -> None:
        for sent in list(self._open.values()):
            if sent.market == report.market and self._is_answer(report, sent):
                self._done(sent, report)
                return

    def _is_answer(self, report: ExecutionReport, sent: Sent) -> bool:
        """By its place on the log or its label: another key of the firm counts refs of its own."""
        if report.request_id in sent.positions:
            return True
        label = sent.request.get("client_order_id", "")
        is_own = report.exec_type in ("NEW", "MASS_CANCELLED") and bool(label)
        return is_own and report.client_order_id == label

    def _done(self, sent: Sent, answer: ExecutionReport | Reject) -> None:
        sent.answer = answer
        self._open.pop((sent.market, sent.ref), None)

    def _rejected(self, reject: Reject) -> None:
        self.house.shapes[f"reject_{reject.title.lower()}"] += 1
        for sent in list(self._open.values()):
            if sent.ref != reject.ref:
                continue
            if reject.reason in _RETRY or reject.may_retry:
                self._must_resend = True
                sent.is_in_doubt |= reject.reason == EdgeReason.STATUS_UNKNOWN
            elif not sent.is_in_doubt and not sent.positions:
                self._done(sent, reject)
            else:  # an earlier try may stand on the log: the engine's word counts
                sent.is_in_doubt = True
            return
