"""Trades that are settled later or go back: where each stands, and what is to be cancelled.

Read from the books, which follow the market by a moment.
"""

from __future__ import annotations

import msgspec

from exchange.decimals import from_minor
from exchange.messages.reasons import EdgeReason
from exchange.settings import PAGE_MAX, SETTLEMENT_PROPOSAL_DAYS_MAX
from exchange.settlement import queries
from exchange.settlement.cycle import TradeState
from gateway.access.roles import sees_all_accounts
from gateway.entry.decimals import INT64_MAX
from gateway.refusal import Refused
from gateway.replies.settlements import CancelProposalRow, SettlementList, SettlementRow
from gateway.routes.books import ask_books
from gateway.routes.table import Call, Reply, Route, page_limit

_DAY_NS = 86_400 * 1_000_000_000


class SettlementQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Trades of a market by state ("" = all), with an id below `before` (0 = the newest)."""

    market: str
    state: str = ""
    before: int = 0
    limit: int = PAGE_MAX


async def get_settlements(call: Call) -> Reply:
    """Where trades stand that are not settled with the fill, or were cancelled."""
    query: SettlementQuery = call.query
    limit = page_limit(query.limit)
    market = call.context.entry.desk(query.market).market
    state = TradeState.__members__.get(query.state)
    if query.state and state is None:
        raise Refused(
            EdgeReason.INVALID_FIELD,
            f"state: {query.state[:40]!r} is none of {', '.join(TradeState.__members__)}",
        )
    if not 0 <= query.before <= INT64_MAX:
        raise Refused(EdgeReason.INVALID_FIELD, f"before: {query.before} is no such number")
    sees_all = sees_all_accounts(call.key)
    own = call.context.visible_accounts(call.key, market.code)
    rows = await ask_books(
        call,
        lambda books: queries.settlements(
            books,
            market.partition,
            state=state,
            accounts=None if sees_all else own,
            before=query.before,
            limit=limit,
        ),
    )
    symbols = {item.id: item.symbol for item in call.context.venue.instruments_of(market.code)}
    trades = [
        SettlementRow(
            row.trade_id,
            symbols.get(row.instrument_id, str(row.instrument_id)),
            row.quantity,
            from_minor(row.price, market.minor_digits),
            row.buyer_account if sees_all or row.buyer_account in own else 0,
            row.seller_account if sees_all or row.seller_account in own else 0,
            row.time_ns,
            TradeState(row.state).name,
            row.due_ns,
            row.since_ns,
        )
        for row in rows
    ]
    return Reply(SettlementList(market.code, trades, await _proposals(call, market.partition)))


async def _proposals(call: Call, market: int) -> list[CancelProposalRow]:
    if not sees_all_accounts(call.key):
        return []
    lasting = SETTLEMENT_PROPOSAL_DAYS_MAX * _DAY_NS
    since = call.context.clock.now_ns() - lasting
    found = await ask_books(call, lambda books: queries.open_proposals(books, market, since))
    return [
        CancelProposalRow(
            row.instruction_id, row.trade_id, row.proposed_by, row.reason, row.time_ns + lasting
        )
        for row in found
    ]


ROUTES: tuple[Route, ...] = (
    Route("GET", "/settlements", "Trades that are due, failed, late or cancelled", get_settlements,
          SettlementList, query=SettlementQuery),
)  # fmt: skip
