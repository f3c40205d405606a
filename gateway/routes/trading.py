"""Orders: enter, replace, cancel, and what became of them."""

from __future__ import annotations

import asyncio

import msgspec

from exchange.messages.executions import ExecutionReport
from exchange.messages.orders import (
    AuctionBid,
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
from gateway.decimals import whole_number
from gateway.order_entry import ORDER_MAKERS, Prepared
from gateway.refusal import Refused
from gateway.reports import OrderState
from gateway.requests import Heard
from gateway.routes.table import Call, Page, Reply, Route, Wait, page_limit, wait_s
from gateway.submitter import Ticket
from gateway.venue_view import MarketView, Outcome


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


class OrderList(msgspec.Struct, frozen=True):
    """Open orders, oldest first in each market; if not complete, ask on by market and `after`."""

    orders: list[ExecutionReport]
    is_complete: bool


class BlockList(msgspec.Struct, frozen=True):
    """Proposals of blocks to accounts of the key; `account` is the one that may confirm."""

    proposals: list[ExecutionReport]
    is_complete: bool


class ExecutionList(msgspec.Struct, frozen=True):
    """Reports by sequence; `first_sequence` is where the gateway's memory begins (0: the start)."""

    market: str
    first_sequence: int
    executions: list[ExecutionReport]


async def log_position(context: Context, prepared: Prepared) -> int:
    """Queues the commands and waits for the log; its position, or Refused."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def done(ticket: Ticket) -> None:
        if ticket.refused is None:
            prepared.desk.view.arrived(ticket.position, ticket.arrived_ns, "rest")
        if future.done():
            return
        if ticket.refused is not None:
            future.set_exception(ticket.refused)
        else:
            future.set_result(ticket.position)

    context.entry.submit(prepared, done)
    return await future


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


async def enter(call: Call, request: OrderRequest, wait_ms: int) -> Reply:
    """Sends an order request and waits for what the engine makes of it."""
    timeout_s = wait_s(wait_ms)
    prepared = call.context.entry.prepare(call.key, request)
    return await answered(call, prepared, request, timeout_s)


async def answered(
    call: Call, prepared: Prepared, request: OrderRequest | AuctionBid, timeout_s: float
) -> Reply:
    """Queues a request and waits for the last report that answers it."""
    position = await log_position(call.context, prepared)
    answer = await outcome(prepared.desk.view, position, timeout_s)
    if answer is None or not answer.reports:
        return Reply(call.context.entry.pending(request, prepared.desk, position), 202)
    last = answer.reports[-1]
    report = msgspec.structs.replace(last, ref=request.ref)
    if report.exec_type == "REJECTED" or report.reason == EdgeReason.REF_FORGOTTEN:
        return Reply(report, 422)
    return Reply(report, 201 if isinstance(request, ORDER_MAKERS) else 200)


async def post_request(call: Call) -> Reply:
    """A new order, a quote, a pick, a block or a mass cancel: what the body says."""
    return await enter(call, call.body, call.query.wait_ms)


async def put_order(call: Call) -> Reply:
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
    return await enter(call, msgspec.structs.replace(request, **named), call.query.wait_ms)


async def delete_order(call: Call) -> Reply:
    """A cancel."""
    query: CancelQuery = call.query
    request = msgspec.structs.replace(
        OrderCancelRequest(ref=query.ref, symbol=query.symbol, account=query.account),
        **_named(call.path_id),
    )
    return await enter(call, request, query.wait_ms)


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
            if order.order_id <= query.after:
                continue
            if len(found) == limit:
                return Reply(OrderList(found, is_complete=False))
            found.append(view.reports.status(order))
    return Reply(OrderList(found, is_complete=True))


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


ROUTES: tuple[Route, ...] = (
    Route("POST", "/orders", "Enter an order", post_request, ExecutionReport,
          body=NewOrderSingle, query=Wait, budget="orders"),
    Route("PUT", "/orders/{id:str}", "Replace an order", put_order, ExecutionReport,
          body=OrderCancelReplaceRequest, query=Wait, budget="orders"),
    Route("DELETE", "/orders/{id:str}", "Cancel an order", delete_order, ExecutionReport,
          query=CancelQuery, budget="cancels"),
    Route("GET", "/orders", "Open orders", get_orders, OrderList, query=OpenOrdersQuery),
    Route("GET", "/orders/{id:str}", "One order, open or ended", get_order, ExecutionReport,
          query=OrderQuery),
    Route("GET", "/executions", "Execution reports after a sequence", get_executions,
          ExecutionList, query=ExecutionsQuery),
    Route("POST", "/mass-cancels", "Cancel all orders that fit", post_request, ExecutionReport,
          body=OrderMassCancelRequest, query=Wait, budget="cancels"),
    Route("POST", "/quotes", "Set or withdraw both sides of a quote", post_request,
          ExecutionReport, body=Quote, query=Wait, budget="orders"),
    Route("POST", "/picks", "Take tonnes of a listing", post_request, ExecutionReport,
          body=PickOrder, query=Wait, budget="orders"),
    Route("POST", "/blocks", "Propose a block trade", post_request, ExecutionReport,
          body=BlockProposal, query=Wait, budget="orders"),
    Route("POST", "/blocks/confirmations", "Confirm a block trade", post_request,
          ExecutionReport, body=BlockConfirmation, query=Wait, budget="orders"),
    Route("GET", "/blocks", "Block trades that wait for a confirmation", get_blocks, BlockList,
          query=BlocksQuery),
)  # fmt: skip
