"""Instructions to the registry, and what became of them."""

from __future__ import annotations

import asyncio

import msgspec

from exchange import settings as limits
from exchange.messages.executions import InstructionReport
from exchange.messages.instructions import Instruction
from exchange.messages.reasons import EdgeReason
from exchange.settings import WAIT_MS
from gateway.access.roles import sees_instruction
from gateway.entry.decimals import whole_number
from gateway.refusal import Refused
from gateway.replies.registry import ProjectList, ProjectRow, ReversalList, ReversalRow
from gateway.routes.accounts import MarketQuery, views
from gateway.routes.table import Call, Reply, Route, Wait, wait_s
from gateway.routes.trading import log_position, original, outcome


async def post_instruction(call: Call) -> Reply:
    """Sends an instruction; waits until the registry has carried it out or refused it."""
    timeout_s = wait_s(call.query.wait_ms)
    request: Instruction = call.body
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    prepared = call.context.entry.prepare_instruction(call.key, request)
    position = await log_position(call.context, prepared)
    view = prepared.desk.view
    answer = await outcome(view, position, timeout_s)
    heard = original(answer) if answer is not None else None
    position = position if heard is None else heard.position
    await view.wait_instruction(position, max(deadline - loop.time(), 0))
    report = view.instructions.report(position)
    if report is None and heard is not None:
        raise Refused(EdgeReason.REF_FORGOTTEN)
    if report is None:
        report = InstructionReport(
            prepared.desk.market.code, position, request.account, "", "PENDING"
        )
    return Reply(report, {"PENDING": 202, "DONE": 200, "REFUSED": 422}[report.status])


async def get_instruction(call: Call) -> Reply:
    """One instruction of an account that the key sees."""
    number = whole_number(call.path_id)
    if number is None:
        raise Refused(EdgeReason.NOT_FOUND, f"instruction {call.path_id[:40]}")
    wanted = call.query.market
    views = [call.context.entry.desk(wanted).view] if wanted else call.context.views.values()
    found = []
    for view in views:
        report = view.instructions.report(number)
        visible = call.context.visible_accounts(call.key, view.market.code)
        if report is not None and (
            report.account in visible or sees_instruction(call.key, report.kind)
        ):
            found.append(report)
    if not found:
        raise Refused(EdgeReason.NOT_FOUND, f"instruction {number}")
    if len(found) > 1:
        raise Refused(EdgeReason.INVALID_FIELD, f"{number} is in several markets: add ?market=")
    return Reply(found[0])


async def get_reversals(call: Call) -> Reply:
    """The proposals that may still be approved, oldest first."""
    now = call.context.clock.now_ns()
    rows = []
    for view in views(call.context, call.query.market):
        code = view.market.code
        symbols = {item.id: item.symbol for item in call.context.venue.instruments_of(code)}
        rows += [
            ReversalRow(
                code,
                item.instruction_id,
                item.original_id,
                item.account_id,
                symbols.get(item.instrument_id, str(item.instrument_id)),
                item.quantity,
                item.proposed_by,
                item.reason,
                item.expires_ns,
            )
            for item in view.holdings.proposals.values()
            if item.expires_ns >= now
        ]
    return Reply(ReversalList(rows[: limits.PAGE_MAX]))


class ProjectQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`after`: the number of the last project of the page before."""

    market: str = ""
    after: int = 0


async def get_projects(call: Call) -> Reply:
    """Registered projects, PAGE_MAX at a time."""
    rows = [
        ProjectRow(view.market.code, item.programme, item.project, item.account_id, item.details)
        for view in views(call.context, call.query.market)
        for item in sorted(view.holdings.projects.values(), key=lambda item: item.project)
        if item.project > call.query.after
    ]
    return Reply(ProjectList(rows[: limits.PAGE_MAX]))


ROUTES: tuple[Route, ...] = (
    Route("POST", "/instructions", f"Instruct the registry (waits {WAIT_MS} ms by default)",
          post_instruction, InstructionReport, body=Instruction, query=Wait, budget="orders"),
    Route("GET", "/instructions/{id:int}", "Where an instruction stands", get_instruction,
          InstructionReport, query=MarketQuery),
    Route("GET", "/projects", "Registered projects of credits", get_projects, ProjectList,
          query=ProjectQuery),
    Route("GET", "/reversals", "Proposed reversals that wait for approval", get_reversals,
          ReversalList, query=MarketQuery),
)  # fmt: skip
