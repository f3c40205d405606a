"""Orders: enter, replace, cancel, and what became of them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import QUOTE_SELL_BIT
from exchange.messages.orders import (
    BlockConfirmation,
    BlockProposal,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderMassCancelRequest,
    OrderRequest,
    PickOrder,
    Quote,
)
from exchange.messages.reasons import EdgeReason
from exchange.settings import PAGE_MAX, WAIT_MS
from gateway.context import Context
from gateway.entry.decimals import whole_number
from gateway.entry.order_entry import ORDER_MAKERS, Desk, Prepared
from gateway.entry.submitter import Ticket, awaited
from gateway.refusal import Refused
from gateway.replies.trading import BlockList, ExecutionList, OrderList
from gateway.routes.table import (
    Answer,
    Budget,
    Call,
    Page,
    Reply,
    Route,
    Starter,
    Wait,
    awaiting,
    page_limit,
    wait_s,
)
from gateway.views.reports import OrderState
from gateway.views.requests import Heard
from gateway.views.venue_view import MarketView, Outcome


class CancelQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names the cancel: DELETE carries no body."""

    symbol: str
    account: int
    ref: int
    wait_ms: int = WAIT_MS


class OrderQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Narrows the search: ids are unique inside a market only."""

    market: str = ""


class OpenOrdersQuery(Page, frozen=True):
    """Open orders of one market with a higher order id than `after`; all markets: no `after`."""

    market: str = ""


class ExecutionsQuery(Page, frozen=True):
    """Reports of one market after a sequence."""

    market: str = ""


class BlocksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market, or all."""

    market: str = ""


async def log_position(context: Context, prepared: Prepared) -> int:
    """Queues the commands and waits for the log; its position, or Refused."""
    view = prepared.desk.view
    written, done = awaited(lambda t: view.arrived(t.position, t.arrived_ns, "rest"))
    context.entry.submit(prepared, done)
    return await written


async def outcome(view: MarketView, position: int, timeout_s: float) -> Outcome | None:
    """The engine's answer to the command at a log position; None if it takes longer."""
    future = view.watch(position)
    try:
        return await asyncio.wait_for(future, timeout_s)
    except TimeoutError:
        return None


def original(answer: Outcome) -> Heard | None:
    """The request which this one repeats, None if its ref was new; Refused where there is none."""
    found = answer.original
    if found is not None and found.fault is not None:
        raise Refused(found.fault)
    return found.heard if found is not None else None


class _Waiting:
    """A request on its way: first to the log, then until the last report that answers it."""

    __slots__ = (
        "_answer", "_context", "_desk", "_key", "_position", "_request", "_timeout_s", "_timer",
    )  # fmt: skip

    def __init__(
        self, call: Call, desk: Desk, request: OrderRequest, timeout_s: float, answer: Answer
    ) -> None:
        self._context, self._key = call.context, call.key
        self._desk = desk
        self._request = request
        self._timeout_s = timeout_s
        self._answer = answer
        self._position = 0
        self._timer: asyncio.TimerHandle | None = None

    def written(self, ticket: Ticket) -> None:
        """The log has it, or it was refused."""
        if ticket.refused is not None:
            entry = self._context.entry
            self._answer(entry.in_doubt(self._key, self._request, ticket.refused))
            return
        try:
            self._watch(ticket)
        except Exception as error:
            self._answer(error)

    def _watch(self, ticket: Ticket) -> None:
        view, self._position = self._desk.view, ticket.position
        view.arrived(ticket.position, ticket.arrived_ns, "rest")
        if not self._timeout_s:
            self._answer(self._reply(view.known(ticket.position)))
            return
        future = view.watch(ticket.position)
        if future.done():
            self._answer(self._reply(future.result()))
        else:
            self._timer = future.get_loop().call_later(self._timeout_s, future.cancel)
            future.add_done_callback(self._heard)

    def _heard(self, future: asyncio.Future[Outcome | None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        try:
            reply = self._reply(None if future.cancelled() else future.result())
        except Exception as error:
            self._answer(error)
        else:
            self._answer(reply)

    def _reply(self, answer: Outcome | None) -> Reply:
        request = self._request
        if answer is None or not answer.reports:
            return Reply(self._context.entry.pending(request, self._desk, self._position), 202)
        last = answer.reports[-1]
        report = msgspec.structs.replace(last, ref=request.ref)
        if report.exec_type == "REJECTED" or report.reason == EdgeReason.REF_FORGOTTEN:
            return Reply(report, 422)
        return Reply(report, 201 if isinstance(request, ORDER_MAKERS) else 200)


def _enter(call: Call, request: OrderRequest, wait_ms: int, answer: Answer) -> None:
    """Sends an order request and answers with what the engine makes of it."""
    timeout_s = wait_s(wait_ms)
    prepared = call.context.entry.prepare(call.key, request)
    waiting = _Waiting(call, prepared.desk, request, timeout_s, answer)
    try:
        call.context.entry.submit(prepared, waiting.written)
    except Refused as refused:
        raise call.context.entry.in_doubt(call.key, request, refused) from None


def post_request(call: Call, answer: Answer) -> None:
    """A new order, quote, pick, block, bid or mass cancel: what the body says."""
    _enter(call, call.body, call.query.wait_ms, answer)


def put_order(call: Call, answer: Answer) -> None:
    """A replace; the path names the order and the body must not name another."""
    request: OrderCancelReplaceRequest = call.body
    named = _named(call.path_id)
    said = {
        name: getattr(request, name)
        for name in ("order_id", "original_client_order_id")
        if getattr(request, name)
    }
    if said not in ({}, named):
        raise Refused(EdgeReason.INVALID_FIELD, "path and body name different orders")
    _enter(call, msgspec.structs.replace(request, **named), call.query.wait_ms, answer)


def delete_order(call: Call, answer: Answer) -> None:
    """A cancel."""
    query: CancelQuery = call.query
    request = msgspec.structs.replace(
        OrderCancelRequest(ref=query.ref, symbol=query.symbol, account=query.account),
        **_named(call.path_id),
    )
    _enter(call, request, query.wait_ms, answer)


async def get_orders(call: Call) -> Reply:
    """Open orders of the accounts that the key sees, oldest first."""
    query: OpenOrdersQuery = call.query
    limit = page_limit(query.limit)
    if query.after and not query.market:
        raise Refused(EdgeReason.INVALID_FIELD, "after: order ids are of one market; add &market=")
    found: list[ExecutionReport] = []
    for view in _views(call.context, query.market):
        accounts = call.context.visible_accounts(call.key, view.market.code)
        for order in view.reports.open_orders(accounts):
            if _place(order.order_id) <= _place(query.after):
                continue
            if len(found) == limit:
                return Reply(OrderList(found, is_complete=False))
            found.append(view.reports.status(order))
    return Reply(OrderList(found, is_complete=True))


def _place(order_id: int) -> tuple[int, int]:
    """Where an order stands among others, oldest first: a quote's sell side behind its buy side."""
    return order_id & ~QUOTE_SELL_BIT, order_id


async def get_order(call: Call) -> Reply:
    """One order, by the venue's id or by the client's (the account's last with that id)."""
    number = whole_number(call.path_id)
    found: list[tuple[MarketView, OrderState]] = []
    for view in _views(call.context, call.query.market):
        accounts = call.context.visible_accounts(call.key, view.market.code)
        order: OrderState | None = None
        if number is not None:
            order = view.reports.order(number)
        else:
            labelled = (view.reports.order_labelled(a, call.path_id) for a in sorted(accounts))
            order = next((item for item in labelled if item is not None), None)
        if order is not None and order.account_id in accounts:
            found.append((view, order))
    if not found:
        raise Refused(EdgeReason.NOT_FOUND, f"order {call.path_id[:40]}")
    if len(found) > 1:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"order {call.path_id[:40]} is in several markets: add ?market=",
        )
    view, order = found[0]
    return Reply(view.reports.status(order))


async def get_executions(call: Call) -> Reply:
    """Execution reports of the key's accounts in one market, by sequence."""
    query: ExecutionsQuery = call.query
    view = call.context.entry.desk(query.market).view
    limit = page_limit(query.limit)
    accounts = call.context.visible_accounts(call.key, query.market)
    reports = view.reports.after_of(call.key.participant, query.after)
    reports += [r for account in accounts for r in view.reports.after(account, query.after)]
    reports.sort(key=lambda report: report.sequence)
    first = max((view.reports.first_kept(account) for account in accounts), default=0)
    return Reply(ExecutionList(query.market, first, reports[:limit]))


async def get_blocks(call: Call) -> Reply:
    """Proposals that wait for the word of the accounts which the key sees, oldest first."""
    found: list[ExecutionReport] = []
    for view in _views(call.context, call.query.market):
        accounts = call.context.visible_accounts(call.key, view.market.code)
        for report in view.reports.proposals(accounts):
            if len(found) == PAGE_MAX:
                return Reply(BlockList(found, is_complete=False))
            found.append(report)
    return Reply(BlockList(found, is_complete=True))


def _named(path_id: str) -> dict[str, int | str]:
    number = whole_number(path_id)
    if number is not None:
        return {"order_id": number}
    return {"original_client_order_id": path_id}


def _views(context: Context, market: str) -> list[MarketView]:
    return [context.entry.desk(market).view] if market else list(context.views.values())


def entering(
    method: str,
    path: str,
    summary: str,
    start: Starter,
    body: Any = None,
    query: type[msgspec.Struct] = Wait,
    budget: Budget = "orders",
) -> Route:
    """The row of a request for the log, which starts without a coroutine."""
    return Route(
        method, path, summary, awaiting(start), ExecutionReport, body, query, budget, start
    )


ROUTES: tuple[Route, ...] = (
    entering("POST", "/orders", "Enter an order", post_request, NewOrderSingle),
    entering("PUT", "/orders/{id:str}", "Replace an order", put_order, OrderCancelReplaceRequest),
    entering("DELETE", "/orders/{id:str}", "Cancel an order", delete_order,
              query=CancelQuery, budget="cancels"),
    Route("GET", "/orders", "Open orders", get_orders, OrderList, query=OpenOrdersQuery),
    Route("GET", "/orders/{id:str}", "One order, open or ended", get_order, ExecutionReport,
          query=OrderQuery),
    Route("GET", "/executions", "Execution reports after a sequence", get_executions,
          ExecutionList, query=ExecutionsQuery),
    entering("POST", "/mass-cancels", "Cancel all orders that fit", post_request,
              OrderMassCancelRequest, budget="cancels"),
    entering("POST", "/quotes", "Set or withdraw both sides of a quote", post_request, Quote),
    entering("POST", "/picks", "Take tonnes of a listing", post_request, PickOrder),
    entering("POST", "/blocks", "Propose a block trade", post_request, BlockProposal),
    entering("POST", "/blocks/confirmations", "Confirm a block trade", post_request,
              BlockConfirmation),
    Route("GET", "/blocks", "Block trades that wait for a confirmation", get_blocks, BlockList,
          query=BlocksQuery),
)  # fmt: skip
