"""Market operations: phases, the trading day, cash, reference prices. Each is a command."""

from __future__ import annotations

import msgspec

from exchange.audit.verdicts import Obstacle
from exchange.messages.executions import OperationReport
from exchange.messages.frames import Event, Phase
from exchange.messages.operations import CashDeposit, DayRoll, PhaseChange, ReferencePrice
from exchange.messages.reasons import EdgeReason, reason_text
from gateway.control.two_persons import is_judged
from gateway.entry.order_entry import Prepared
from gateway.refusal import Refused
from gateway.replies.operations import CheckRow, OpeningReply
from gateway.routes.table import Call, Reply, Route, Wait, wait_s
from gateway.routes.trading import log_position, original, outcome
from gateway.views.acts import ActRow

KNOWN_S_MAX = 2.0  # until a gateway must know what stands on the log
TRIES_MAX = 8  # others may decide at the same moment; then all but one judge once more
RETRY_MS = 200
TAKEN = (EdgeReason.REF_REUSED, EdgeReason.REF_PASSED_OVER)
"""What is found of a decision whose number another one had."""


class MarketQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one market."""

    market: str


async def post_operation(call: Call) -> Reply:
    """Sends an operator's command and waits for what it did."""
    return (await ask(call))[1]


async def ask(call: Call) -> tuple[Prepared | None, Reply]:
    """What was sent for a request, and the answer; what is judged by what stands is judged anew

    when others decided at the same moment, at whatever gateway. Refused: VENUE_BUSY.
    """
    timeout_s = wait_s(call.query.wait_ms)
    if not is_judged(call.body):
        return await _sent(call, timeout_s, is_for_two=False)
    async with call.context.operations.turn(call.body):
        for _ in range(TRIES_MAX):
            await know_what_stands(call)
            earlier = call.context.operations.earlier(call.key, call.body)
            if earlier is not None:
                return None, _done_before(call, earlier)
            is_overriding = False
            if isinstance(call.body, PhaseChange):
                is_overriding = await pass_gate(call, call.body) is not None
            try:
                return await _sent(call, timeout_s, is_for_two=is_overriding)
            except _OvertakenError:
                continue
    raise Refused(EdgeReason.VENUE_BUSY, "others decide all the time", retry_after_ms=RETRY_MS)


class _OvertakenError(Exception):
    """Another decision had the number."""


async def _sent(call: Call, timeout_s: float, *, is_for_two: bool) -> tuple[Prepared, Reply]:
    prepared = call.context.operations.prepare(call.key, call.body, is_for_two=is_for_two)
    try:
        reply = await operate(call, prepared, timeout_s)
    except Refused as refused:
        if not is_judged(call.body) or refused.row.number not in TAKEN:
            raise
        raise _OvertakenError from None
    return prepared, proposed(reply) if prepared.is_proposal else reply


def _done_before(call: Call, row: ActRow) -> Reply:
    """The answer to a request whose act stands already."""
    view = call.context.operations.view_of(call.body)
    code, number = view.market.code, view.requests.refusal(row.session, row.ref)
    if number:
        return _refused(code, row.position, call.body.ref, number)
    text = "sent before with this ref; done once"
    reply = Reply(OperationReport(code, row.position, "DONE", call.body.ref, text=text))
    return proposed(reply) if row.act.stage == "PROPOSED" else reply


def _refused(code: str, position: int, ref: int, number: int) -> Reply:
    row = reason_text(number)
    return Reply(
        OperationReport(code, position, "REFUSED", ref, 0, row.number, row.name, row.text), 422
    )


def proposed(reply: Reply) -> Reply:
    """What is said of a request that waits for a second person."""
    report: OperationReport = reply.value
    if report.status != "DONE":
        return reply
    return Reply(
        msgspec.structs.replace(
            report,
            status="PROPOSED",
            proposal_id=report.request_id,
            text="another operator has to approve it: POST /operations/approve",
        ),
        202,
    )


async def know_what_stands(call: Call) -> None:
    """Waits until this gateway knows what the request may loosen, which another may have tightened.

    Else one person could undo alone, at a gateway that lags, what was just set at another.
    Refused (VENUE_BUSY) where it takes too long.
    """
    if not await call.context.operations.view_of(call.body).reads_to_the_end(KNOWN_S_MAX):
        raise Refused(EdgeReason.VENUE_BUSY, "this gateway has not read the log to its end")


async def operate(call: Call, prepared: Prepared, timeout_s: float) -> Reply:
    """Queues an operator's command and waits for what the engine made of it."""
    position = await log_position(call.context, prepared)
    answer = await outcome(prepared.desk.view, position, timeout_s)
    code = prepared.desk.market.code
    if answer is None:
        return Reply(OperationReport(code, position, "PENDING", call.body.ref), 202)
    heard = original(answer)
    first = answer.events[0] if answer.events else None
    reason = first.reason if first is not None and first.kind == Event.REJECTED else 0
    if heard is not None:
        position, reason = heard.position, heard.reason
    if reason:
        return _refused(code, position, call.body.ref, reason)
    if heard is not None:
        text = "sent before with this ref; done once"
        return Reply(OperationReport(code, position, "DONE", call.body.ref, text=text))
    count = len(answer.events)
    return Reply(OperationReport(code, position, "DONE", call.body.ref, count))


async def pass_gate(call: Call, request: PhaseChange) -> Obstacle | None:
    """What an override of the request sets aside; None: nothing keeps the market closed."""
    entry, gate = call.context.entry, call.context.gate
    if gate is None:
        return None
    desk = entry.desk(request.market)
    if request.symbol:
        named = [entry.instrument(request.symbol).id]
    else:
        named = [item.id for item in call.context.venue.instruments_of(request.market)]
    return await gate.admit(request, desk.view, named)


async def get_opening(call: Call) -> Reply:
    """Whether the market may open, and the reconciliation that says so."""
    view = call.context.entry.desk(call.query.market).view
    if call.context.gate is None:
        raise Refused(EdgeReason.NOT_FOUND, "this gateway has no opening gate")
    last, found = await call.context.gate.look(view)
    closed = [
        item.symbol
        for item in call.context.venue.instruments_of(view.market.code)
        if item.id in view.positions.instruments
        and view.positions.instruments[item.id].phase == Phase.CLOSED
    ]
    checks = last.checks if last is not None else ()
    return Reply(
        OpeningReply(
            view.market.code,
            view.positions.trading_date,
            closed,
            found is None,
            int(found.reason) if found is not None else 0,
            found.reason.name if found is not None else "",
            found.detail if found is not None else "",
            last.time_ns if last is not None else 0,
            last.trading_date if last is not None else 0,
            last.input_offset if last is not None else 0,
            [CheckRow(check.name, check.ok, check.breaks, check.figures) for check in checks],
        )
    )


ROUTES: tuple[Route, ...] = (
    Route("POST", "/operations/phase", "Change the trading phase", post_operation,
          OperationReport, body=PhaseChange, query=Wait, budget="orders"),
    Route("GET", "/operations/opening", "Whether a market may open, and why not", get_opening,
          OpeningReply, query=MarketQuery),
    Route("POST", "/operations/day-roll", "End the trading day and start the next",
          post_operation, OperationReport, body=DayRoll, query=Wait, budget="orders"),
    Route("POST", "/operations/cash-deposit", "Cash arrived, or left", post_operation,
          OperationReport, body=CashDeposit, query=Wait, budget="orders"),
    Route("POST", "/operations/reference-price", "Set a reference price", post_operation,
          OperationReport, body=ReferencePrice, query=Wait, budget="orders"),
)  # fmt: skip
