"""The order-entry socket: logs on, keeps what is not answered, goes on after a lost connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable

import msgspec
from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from exchange.clock import Clock
from exchange.messages.executions import (
    Closing,
    DisconnectScope,
    ExecutionReport,
    Gap,
    LoggedOn,
    Logon,
    Reject,
)
from exchange.messages.orders import OrderRequest
from exchange.settings import GATEWAY_QUEUE_MAX, REPORTS_MAX
from gateway.access.identity import sign
from gateway.client.errors import NetworkError, RefusedError, VenueError, error_of
from gateway.client.keys import SigningKey

FRAME_BYTES_MAX = 16 << 20
RECONNECT_S_MAX = 2.0
CONNECT_TIMEOUT_S = 5
PAUSE_S = 0.1  # before a request is sent again

ABOUT_MANY = frozenset({"MASS_CANCELLED", "QUOTED"})
"""Answers to requests about many orders; each of these has a report of its own beside."""

_messages = msgspec.json.Decoder(list[ExecutionReport | Reject | LoggedOn | Gap | Closing])
_encode = msgspec.json.Encoder().encode

Listener = Callable[[ExecutionReport], None]
RequestId = tuple[str, int]  # market and log position


class Waiting:
    """A request that is not fully answered: the last report about it, or its refusal."""

    __slots__ = ("answered", "is_repeated", "pending", "report", "request", "taken")

    def __init__(self, request: OrderRequest) -> None:
        loop = asyncio.get_running_loop()
        self.request = request
        self.taken: asyncio.Future[None] = loop.create_future()  # PENDING, refused or answered
        self.answered: asyncio.Future[ExecutionReport] = loop.create_future()
        self.pending: ExecutionReport | None = None
        self.is_repeated = False  # the venue may have had it before
        self.report: ExecutionReport | None = None

    def refuse(self, error: VenueError) -> None:
        """Ends the wait with an error."""
        if not self.answered.done():
            self.answered.set_exception(error)
            self.answered.exception()  # whoever waits gets it; nobody waiting is no fault
        self.take()

    def answer(self, report: ExecutionReport) -> None:
        """Ends the wait with the engine's answer."""
        self.report = report
        if not self.answered.done():
            self.answered.set_result(report)
        self.take()

    def take(self) -> None:
        """The venue has the request, or never will."""
        if not self.taken.done():
            self.taken.set_result(None)


class OrderSocket(WSListener):
    """The connection as picows calls it."""

    def __init__(self, owner: OrderStream) -> None:
        self._owner = owner

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Messages, in order."""
        if frame.msg_type == WSMsgType.TEXT:
            self._owner.received(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The owner connects again."""
        self._owner.lost()


class OrderStream:
    """Requests out, reports in; every report of the participant reaches the listeners once.

    A lost connection is made again until the venue refuses the key itself, such as one that was
    revoked: then `failure` says why, all that waits is refused with it, and so is what comes.
    """

    def __init__(
        self, url: str, key: SigningKey, clock: Clock, scope: DisconnectScope = "NONE"
    ) -> None:
        self.listeners: list[Listener] = []
        self.reports: deque[ExecutionReport] = deque(maxlen=REPORTS_MAX)
        self.sequence: dict[str, int] = {}  # market -> last sequence seen
        self.last_ref = 0
        self.gaps: deque[Gap] = deque(maxlen=100)
        self.failure: RefusedError | None = None  # why it connects no more
        self._url = url
        self._key = key
        self._clock = clock
        self._scope: DisconnectScope = scope
        self._transport: WSTransport | None = None
        self._logged_on: asyncio.Future[None] | None = None
        self._lost = asyncio.Event()
        self._waiting: OrderedDict[int, Waiting] = OrderedDict()  # ref -> request
        self._by_request: OrderedDict[RequestId, ExecutionReport] = OrderedDict()
        self._refs: dict[RequestId, int] = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the venue has (or refused) everything that was sent."""
        return all(item.taken.done() for item in self._waiting.values())

    async def open(self) -> None:
        """Connects and logs on; then stays connected until `close`."""
        await self._connect()
        self._task = asyncio.create_task(self._stay())

    async def close(self) -> None:
        """Ends the connection; idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.disconnect()
            await transport.wait_disconnected()

    def send(self, request: OrderRequest) -> Waiting:
        """Sends a request, now or when connected again.

        Raises NetworkError when too many wait, `failure` when it connects no more.
        """
        if self.failure is not None:
            raise self.failure
        if len(self._waiting) >= GATEWAY_QUEUE_MAX:
            raise NetworkError(0, f"{len(self._waiting)} requests wait for an answer")
        waiting = Waiting(request)
        self._waiting[request.ref] = waiting
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, _encode(request))
        return waiting

    def forget(self, ref: int) -> None:
        """Waits no longer for a request's answer."""
        self._waiting.pop(ref, None)

    async def idle(self, timeout_s: float) -> None:
        """Returns when the venue has everything that was sent, TimeoutError otherwise."""
        async with asyncio.timeout(timeout_s):
            for item in list(self._waiting.values()):
                await item.taken

    # -- connection -----------------------------------------------------------------------------

    async def _connect(self) -> None:
        self._lost.clear()
        self._logged_on = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                transport, _ = await ws_connect(
                    lambda: OrderSocket(self), self._url, max_frame_size=FRAME_BYTES_MAX
                )
                transport.send(WSMsgType.TEXT, _encode(self._logon()))
                await self._logged_on
        except (OSError, TimeoutError, WSError) as error:
            raise NetworkError(0, f"{self._url}: {type(error).__name__} {error}") from error
        self._transport = transport
        for item in self._waiting.values():
            self._repeat(item)

    def _logon(self) -> Logon:
        signed = sign(
            self._key.private, self._key.id, "LOGON", "", b"", timestamp_ns=self._clock.now_ns()
        )
        return Logon(
            signed.key,
            signed.timestamp_ns,
            signed.signature,
            signed.window_ms,
            {market: sequence for market, sequence in self.sequence.items() if sequence},
            cancel_on_disconnect=self._scope,
        )

    async def _stay(self) -> None:
        pause = 0.05
        while True:
            await self._lost.wait()
            try:
                await self._connect()
                pause = 0.05
            except RefusedError as refusal:
                self._fail(refusal)
                return
            except VenueError:
                await asyncio.sleep(pause)
                pause = min(2 * pause, RECONNECT_S_MAX)
                self._lost.set()

    def _fail(self, refusal: RefusedError) -> None:
        """The venue will refuse every logon alike."""
        self.failure = refusal
        waiting, self._waiting = self._waiting, OrderedDict()
        for item in waiting.values():
            item.refuse(refusal)

    def lost(self) -> None:
        """The connection is gone."""
        self._transport = None
        self._lost.set()
        if self._logged_on is not None and not self._logged_on.done():
            self._logged_on.set_exception(NetworkError(0, "the venue closed the connection"))

    # -- messages -------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """One array of messages. A request is answered by the last report it caused in here."""
        answers: dict[int, ExecutionReport] = {}
        for message in _messages.decode(data):
            if isinstance(message, ExecutionReport):
                self._report(message, answers)
            elif isinstance(message, Reject):
                self._rejected(message)
            elif isinstance(message, LoggedOn):
                self._on_logged_on(message)
            elif isinstance(message, Gap):
                self.gaps.append(message)
            else:
                self._closing(message)
        for ref, report in answers.items():
            self._refs.pop((report.market, report.request_id), None)
            waiting = self._waiting.pop(ref, None)
            if waiting is not None:
                waiting.answer(report)

    def _report(self, report: ExecutionReport, answers: dict[int, ExecutionReport]) -> None:
        request = (report.market, report.request_id)
        if report.exec_type == "PENDING":
            waiting = self._waiting.get(report.ref)
            if waiting is None:
                return
            waiting.pending = report
            waiting.take()
            early = self._by_request.get(request)
            if early is not None:
                answers[report.ref] = early
            else:
                self._refs[request] = report.ref
            return
        if report.sequence <= self.sequence.get(report.market, -1):
            return
        self.sequence[report.market] = report.sequence
        self.reports.append(report)
        is_about_it = self._is_about(report, self._by_request.get(request))
        if is_about_it:
            self._by_request[request] = report
        if len(self._by_request) > REPORTS_MAX:
            self._by_request.popitem(last=False)
        # not by the report's own ref: that of another key of the participant may be the same
        ref = self._refs.get(request, 0)
        if is_about_it and ref in self._waiting and report.liquidity != "MAKER":
            answers[ref] = report
        for listener in self.listeners:
            listener(report)

    @staticmethod
    def _is_about(report: ExecutionReport, prior: ExecutionReport | None) -> bool:
        """Whether it says more of the request; other orders move with it too, as stops do."""
        if prior is None or report.exec_type in ABOUT_MANY:
            return True
        return prior.exec_type not in ABOUT_MANY and prior.order_id == report.order_id

    def _rejected(self, message: Reject) -> None:
        waiting = self._waiting.get(message.ref)
        if waiting is None:
            return
        is_in_doubt = waiting.pending is not None or waiting.is_repeated
        if is_in_doubt and message.may_retry:
            # the log may have it: under another number it might be done twice
            pause = max(message.retry_after_ms / 1_000, PAUSE_S)
            asyncio.get_running_loop().call_later(pause, self._repeat, waiting)
            return
        del self._waiting[message.ref]
        waiting.refuse(
            error_of(message.reason, message.text, retry_after_ms=message.retry_after_ms)
        )

    def _repeat(self, waiting: Waiting) -> None:
        is_wanted = self._waiting.get(waiting.request.ref) is waiting
        waiting.is_repeated = True
        if is_wanted and self._transport is not None:
            self._transport.send(WSMsgType.TEXT, _encode(waiting.request))

    def _on_logged_on(self, message: LoggedOn) -> None:
        self.last_ref = max(self.last_ref, *message.last_ref.values())
        for market, following in message.sequence.items():
            # the first logon begins with what comes from now on
            self.sequence.setdefault(market, following - 1)
        if self._logged_on is not None and not self._logged_on.done():
            self._logged_on.set_result(None)

    def _closing(self, message: Closing) -> None:
        if self._logged_on is not None and not self._logged_on.done():
            self._logged_on.set_exception(error_of(message.reason, message.text))
