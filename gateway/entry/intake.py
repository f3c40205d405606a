"""Order entry over the log: `intake.<participant>` in, `reports.<participant>` out.

A participant with `intake = true` in the venue file writes `SignedRequest`s to its own topic. Each
is checked like any other request, judged by the time at which the log took it (so are its receive
window, its `valid_ms` and its throttle), and goes the same way. All execution reports of the
participant come back on its report topic, each with `intake_offset`: everything up to it on the
intake topic has been answered. That is where a new gateway goes on; what it forwards a second time
the engine knows by its `ref`, and a report that comes twice has the same `sequence`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog

from exchange import metrics, topics
from exchange.log.protocol import Log, LogError, Reader, Record
from exchange.messages.executions import ExecutionReport, Reject
from exchange.messages.frames import INDEX_BITS, aged_command, order_id_of
from exchange.messages.intake import SignedRequest
from exchange.messages.orders import OrderRequest
from exchange.messages.reasons import EdgeReason, Reason
from exchange.settings import PAGE_MAX
from gateway.access.identity import Identities, Signed
from gateway.access.roles import allow
from gateway.context import Context
from gateway.entry.fields import decode
from gateway.entry.order_entry import CANCELS, Prepared, check_session
from gateway.entry.submitter import MS, Ticket, awaited
from gateway.refusal import Refused, refused_by
from gateway.views.executions import Execution
from gateway.views.venue_view import MarketView

GROUP_MAX = 256  # requests that go to the log together
READ_WAIT_S = 0.2
RETRY_S = 0.2
GATHER_S = 0.005  # reports gather so long before they are published

_signed = msgspec.json.Decoder(SignedRequest)
_request = msgspec.json.Decoder(OrderRequest)
_answer = msgspec.json.Decoder(ExecutionReport | Reject)
_encode = msgspec.json.Encoder().encode

Answer = ExecutionReport | Reject


class _Entered(NamedTuple):
    request: OrderRequest
    prepared: Prepared
    session: int
    append_ns: int  # when the intake topic took it

    @property
    def is_known(self) -> bool:
        """Whether `orders` has its ref: to send it again can do nothing."""
        last = self.prepared.desk.view.last_ref.get(self.session, 0)
        return self.request.ref <= last


class Intake:
    """The intake of every participant that has one."""

    def __init__(self, log: Log, context: Context) -> None:
        identities = Identities(
            context.venue,
            context.clock,
            accept_before_start=True,
            ring=context.identities.ring,
        )
        self._log = log
        self._participants = [
            ParticipantIntake(log, context, identities, participant.id)
            for participant in context.venue.participant
            if participant.intake
        ]

    def changed(self, view: MarketView, reported: list[Execution]) -> None:
        """A listener of the views: there may be reports to publish."""
        for participant in self._participants:
            participant.wake.set()

    async def create(self) -> None:
        """Makes the topics of every participant that has them; idempotent."""
        for participant in self._participants:
            await self._log.create(topics.of_participant(participant.id))

    async def run(self, stop: asyncio.Event) -> None:
        """Serves every intake topic until `stop`."""
        if not self._participants:
            await stop.wait()
            return
        async with asyncio.TaskGroup() as group:
            for participant in self._participants:
                group.create_task(participant.run(stop))


class ParticipantIntake:
    """One participant's intake and report topics."""

    def __init__(self, log: Log, context: Context, identities: Identities, number: int) -> None:
        self.id = number
        self.wake = asyncio.Event()
        self._log = log
        self._context = context
        self._identities = identities
        self._done = -1  # offset of intake up to which everything was answered
        self._published = dict.fromkeys(context.views, 0)  # market -> sequence
        self._logger = structlog.get_logger().bind(service="gateway", participant=number)

    async def run(self, stop: asyncio.Event) -> None:
        """Finds where the last gateway stopped, then goes on from there until `stop`."""
        await self._recover()
        self.wake.set()  # there may be reports of the time without a gateway
        async with asyncio.TaskGroup() as group:
            publishing = group.create_task(self._publish_reports())
            reader = await self._log.open_reader(topics.intake(self.id), self._done + 1)
            try:
                while not stop.is_set():
                    records = await self._read(reader)
                    if records:
                        await self._group(records, stop)
            finally:
                await reader.close()
                publishing.cancel()

    async def _recover(self) -> None:
        partition = topics.reports(self.id)
        end = await self._log.end(partition)
        reader = await self._log.open_reader(partition, await self._log.begin(partition))
        try:
            while reader.position < end:
                for record in await self._read(reader):
                    answer = _answer.decode(record.value)
                    self._done = max(self._done, answer.intake_offset)
                    if isinstance(answer, ExecutionReport):
                        known = self._published.get(answer.market, 0)
                        self._published[answer.market] = max(known, answer.sequence)
        finally:
            await reader.close()

    async def _read(self, reader: Reader) -> list[Record]:
        try:
            return await reader.read(GROUP_MAX, READ_WAIT_S)
        except LogError as error:
            self._logger.warning("log_unavailable", offset=reader.position, error=str(error))
            await asyncio.sleep(RETRY_S)
            return []

    # -- in -------------------------------------------------------------------------------------

    async def _group(self, records: Sequence[Record], stop: asyncio.Event) -> None:
        """Checks the records and writes each market's commands as one unit, so that they keep
        their order however often the log has to be tried."""
        answers: list[Answer] = []
        entered: dict[str, list[_Entered]] = {}
        for record in records:
            try:
                item = self._check(record)
                entered.setdefault(item.prepared.desk.market.code, []).append(item)
            except Exception as error:  # of this record: whoever reads it next would fail, too
                refused = refused_by(error, self._logger.bind(offset=record.offset))
                metrics.GATEWAY_REJECTIONS.labels("intake", refused.row.name).inc()
                answers.append(refused.reject())
        # side by side: a market that takes nothing for a while keeps no other waiting
        for written in await asyncio.gather(*[self._write(i, stop) for i in entered.values()]):
            if written is None:
                return  # stopping: the next gateway begins at this group again
            answers += written
        await self._append(answers, records[-1].offset)

    def _check(self, record: Record) -> _Entered:
        metrics.GATEWAY_MESSAGES.labels("intake", "in", "SignedRequest").inc()
        sent = decode(record.value, _signed)
        signed = Signed(sent.key, sent.timestamp_ns, sent.window_ms, sent.signature)
        data = sent.body.encode()
        key = self._identities.verify("INTAKE", "", signed, data, now_ns=record.append_ns)
        if key.participant != self.id:
            raise Refused(EdgeReason.UNKNOWN_KEY, f"key {key.id} is of another participant")
        allow(key, "INTAKE")
        request = decode(data, _request)
        try:
            allow(key, type(request).__name__)
            # a budget of its own: a backlog is judged by when it was sent, others by when they come
            kind = "cancels" if isinstance(request, CANCELS) else "orders"
            self._context.take(key, f"intake {kind}", now_ns=record.append_ns)
            prepared = self._context.entry.prepare(key, request)
            check_session(prepared)
            return _Entered(request, prepared, key.session, record.append_ns)
        except Exception as error:
            logger = self._logger.bind(offset=record.offset)
            raise refused_by(error, logger).about(request) from error

    async def _write(self, items: list[_Entered], stop: asyncio.Event) -> list[Answer] | None:
        """Tries until the log has those that are not too old by then; the answers to all."""
        answers: list[Answer] = []
        is_uncertain = False
        while not stop.is_set():
            now = self._context.clock.now_ns()
            late = [item for item in items if self._is_late(item, now)]
            items = [item for item in items if not self._is_late(item, now)]
            answers += [self._too_late(item, is_uncertain) for item in late]
            if not items:
                return answers
            try:
                position = await self._submit(items, now)
            except Refused as refused:
                if refused.row.number == Reason.EXPIRED:
                    continue  # one of them waited in the queue too long
                if refused.row.number == EdgeReason.MARKET_STOPPED:  # until another gateway has it
                    answers += [self._reject(item, refused) for item in items]
                    return answers
                is_uncertain |= refused.row.number == EdgeReason.STATUS_UNKNOWN
                # the intake topic still holds them: nothing is lost by trying again
                self._logger.warning("intake_waits", reason=refused.row.name)
                await asyncio.sleep(RETRY_S)
            else:
                return answers + self._pending(items, position)
        return None

    def _pending(self, items: list[_Entered], position: int) -> list[Answer]:
        """The log has the commands of the items from `position` on, in their order."""
        offset, index = position >> INDEX_BITS, position & ((1 << INDEX_BITS) - 1)
        answers: list[Answer] = []
        for item in items:
            place = order_id_of(offset, index)
            answers.append(self._context.entry.pending(item.request, item.prepared.desk, place))
            index += len(item.prepared.commands)
        return answers

    @staticmethod
    def _is_late(item: _Entered, now_ns: int) -> bool:
        # one that `orders` has may have been entered in time by the gateway before this one: the
        # engine knows it, and its answer to a second time is the true one
        is_over = 0 < item.prepared.valid_ms * MS < now_ns - item.append_ns
        return is_over and not item.is_known

    @staticmethod
    def _too_late(item: _Entered, is_uncertain: bool) -> Answer:
        # after an append of unknown end it may be on the log, and in time
        reason = EdgeReason.STATUS_UNKNOWN if is_uncertain else Reason.EXPIRED
        return ParticipantIntake._reject(item, Refused(reason, "it waited for the log"))

    @staticmethod
    def _reject(item: _Entered, refused: Refused) -> Answer:
        metrics.GATEWAY_REJECTIONS.labels("intake", refused.row.name).inc()
        return refused.about(item.request).reject()

    async def _submit(self, items: Sequence[_Entered], now_ns: int) -> int:
        """Queues the commands as one unit; the position of the first, or Refused."""
        desk = items[0].prepared.desk
        written, done = awaited(
            lambda ticket: desk.view.arrived(ticket.position, ticket.arrived_ns, "intake")
        )
        commands: list[bytes] = []
        windows: list[int] = []
        for item in items:
            age_ns = max(now_ns - item.append_ns, 0)
            commands += [aged_command(command, age_ns) for command in item.prepared.commands]
            left_ms = item.prepared.valid_ms - age_ns // MS
            if item.prepared.valid_ms and left_ms >= 0:
                windows.append(max(left_ms, 1))

        # beside orders a cancel keeps its place: it may be for one of them
        is_cancel = all(item.prepared.is_cancel for item in items)
        ticket = Ticket(commands, done, is_cancel=is_cancel, valid_ms=min(windows, default=0))
        desk.submitter.submit(ticket)
        return await written

    # -- out ------------------------------------------------------------------------------------

    async def _publish_reports(self) -> None:
        while True:
            await self.wake.wait()
            await asyncio.sleep(GATHER_S)
            self.wake.clear()
            for code, view in self._context.views.items():
                reports = self._unpublished(view)
                for start in range(0, len(reports), PAGE_MAX):
                    await self._append(reports[start : start + PAGE_MAX])
                if reports:
                    self._published[code] = reports[-1].sequence

    def _unpublished(self, view: MarketView) -> list[ExecutionReport]:
        sequence = self._published[view.market.code]
        accounts = [
            account.id
            for account in self._context.venue.accounts_of(view.market.code)
            if account.participant == self.id
        ]
        reports = view.reports.after_of(self.id, sequence)
        reports += [r for account in accounts for r in view.reports.after(account, sequence)]
        return sorted(reports, key=lambda report: report.sequence)

    async def _append(self, answers: Sequence[Answer], done: int | None = None) -> None:
        """Publishes the answers; only the last says that intake is done up to `done`.

        A crash may leave any first part of them on the log, and the next gateway must then begin
        at the same group again.
        """
        if not answers:
            return
        offsets = [self._done] * len(answers)
        if done is not None:
            offsets[-1] = done
        values = [
            _encode(msgspec.structs.replace(answer, intake_offset=offset))
            for answer, offset in zip(answers, offsets, strict=True)
        ]
        while True:
            try:
                await self._log.append(topics.reports(self.id), values)
            except LogError as error:
                # uncertain or failed: a report that comes twice is known by its sequence
                self._logger.warning("reports_wait", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                self._done = max(self._done, offsets[-1])
                metrics.GATEWAY_MESSAGES.labels("intake", "out", "reports").inc(len(values))
                return
