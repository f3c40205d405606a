"""Halts, the kill switch and limits; what waits for a second operator; who did what and why."""

from __future__ import annotations

import msgspec

from exchange.messages.executions import OperationReport
from exchange.messages.frames import INDEX_BITS, Event
from exchange.messages.operations import (
    Act,
    Approve,
    Decline,
    Halt,
    Kill,
    Lift,
    PhaseChange,
    Resume,
    SetLimit,
)
from exchange.messages.reasons import AccessReason
from gateway.entry.order_entry import Prepared
from gateway.refusal import Refused
from gateway.replies.control import ActLine, ActList, ProposalList, ProposalRow
from gateway.routes.operations import (
    KNOWN_S_MAX,
    TAKEN,
    TRIES_MAX,
    MarketQuery,
    ask,
    operate,
    pass_gate,
)
from gateway.routes.table import Call, Page, Reply, Route, Wait, page_limit, wait_s
from gateway.routes.trading import outcome


class ActsQuery(Page, frozen=True, kw_only=True):
    """Acts of one market behind a position on the log."""

    market: str


async def post_control(call: Call) -> Reply:
    """Sends a halt, a kill, a limit, or what loosens one; the latter as a proposal."""
    prepared, reply = await ask(call)
    is_done = reply.value.status == "DONE" and not reply.value.text
    if prepared is None or not isinstance(call.body, Kill) or not is_done:
        return reply
    last = reply.value.request_id + len(prepared.commands) - 1
    answer = await outcome(prepared.desk.view, last, wait_s(call.query.wait_ms))
    events = answer.events if answer is not None else ()
    ended = sum(row.value for row in events if row.kind == Event.MASS_CANCELLED)
    return Reply(msgspec.structs.replace(reply.value, text=f"{ended} live orders were cancelled"))


async def post_decision(call: Call) -> Reply:
    """Carries a proposal out, or ends it."""
    timeout_s = wait_s(call.query.wait_ms)
    call.context.operations.decide(call.key, call.body)  # whether it may be decided at all
    opening = call.context.operations.opening_of(call.body)
    if opening is not None:
        await _keep_override(call, *opening)
    for _ in range(TRIES_MAX):
        prepared = call.context.operations.decide(call.key, call.body)
        try:
            reply = await operate(call, prepared, timeout_s)
        except Refused as refused:
            if refused.row.number not in TAKEN:
                raise
            await _still_open(call, prepared)
            continue
        report = msgspec.structs.replace(reply.value, proposal_id=call.body.proposal_id)
        return Reply(report, reply.status)
    raise Refused(AccessReason.APPROVED_MEANWHILE)


async def _still_open(call: Call, prepared: Prepared) -> None:
    """Another decision had the number; Refused (APPROVED_MEANWHILE) if it was of this proposal."""
    view = prepared.desk.view
    is_known = await view.reads_to_the_end(KNOWN_S_MAX)
    found = view.acts.proposals.get(call.body.proposal_id)
    if not is_known or found is None or not found.is_open(call.context.clock.now_ns()):
        raise Refused(AccessReason.APPROVED_MEANWHILE)


async def _keep_override(call: Call, act: Act, request: PhaseChange) -> None:
    """Looks at the books again, and keeps who opens in spite of them."""
    found, gate = await pass_gate(call, request), call.context.gate
    if found is not None and gate is not None:
        view = call.context.entry.desk(request.market).view
        await gate.keep(act, request, call.key.who, view, found)


async def get_proposals(call: Call) -> Reply:
    """What waits for a second person."""
    acts = call.context.entry.desk(call.query.market).view.acts
    rows = []
    for item in acts.open_proposals(call.context.clock.now_ns()):
        row, act = item.row, item.row.act
        rows.append(
            ProposalRow(
                row.position, row.time_ns, item.ends_ns, act.key, act.who, act.reason, act.body
            )
        )
    return Reply(ProposalList(call.query.market, rows))


async def get_acts(call: Call) -> Reply:
    """Who did what, and why."""
    query: ActsQuery = call.query
    view = call.context.entry.desk(query.market).view
    limit = page_limit(query.limit)
    lines: list[ActLine] = []
    for row in view.acts.rows:
        if row.position <= query.after or len(lines) == limit:
            continue
        number = view.requests.refusal(row.session, row.ref)
        is_answered = row.position >> INDEX_BITS < view.follower.input_offset
        state = "REFUSED" if number else "DONE" if is_answered else "PENDING"
        act = row.act
        lines.append(
            ActLine(
                row.position, row.time_ns, act.stage, state, number, act.key, act.who, act.reason,
                act.body, act.proposal_id,
            )
        )  # fmt: skip
    first = view.acts.rows[0].position if view.acts.rows else 0
    return Reply(ActList(query.market, first, lines))


ROUTES: tuple[Route, ...] = (
    Route("POST", "/operations/halt", "Halt an instrument or a market", post_control,
          OperationReport, body=Halt, query=Wait, budget="orders"),
    Route("POST", "/operations/resume", "End a halt", post_control, OperationReport,
          body=Resume, query=Wait, budget="orders"),
    Route("POST", "/operations/kill", "Stop a participant, an account or a session", post_control,
          OperationReport, body=Kill, query=Wait, budget="orders"),
    Route("POST", "/operations/lift", "Propose to end a kill", post_control, OperationReport,
          body=Lift, query=Wait, budget="orders"),
    Route("POST", "/operations/limit", "Set a limit", post_control, OperationReport,
          body=SetLimit, query=Wait, budget="orders"),
    Route("POST", "/operations/approve", "Approve another operator's proposal", post_decision,
          OperationReport, body=Approve, query=Wait, budget="orders"),
    Route("POST", "/operations/decline", "End a proposal", post_decision, OperationReport,
          body=Decline, query=Wait, budget="orders"),
    Route("GET", "/operations/proposals", "What waits for a second operator", get_proposals,
          ProposalList, query=MarketQuery),
    Route("GET", "/operations/acts", "What operators did, and why", get_acts, ActList,
          query=ActsQuery),
)  # fmt: skip
