"""Primary auctions: what is open, results as they are published, bids; and closes of days."""

from __future__ import annotations

import msgspec

from exchange.auctions import AuctionReport
from exchange.decimals import from_minor
from exchange.messages.executions import OperationReport
from exchange.messages.frames import Pricing, Side, TieBreak
from exchange.messages.operations import AuctionCancel, AuctionClear, AuctionOpen
from exchange.messages.orders import AuctionBid
from exchange.messages.reasons import reason_text
from exchange.settings import PAGE_MAX
from gateway.entry.auction_entry import prepare_auction
from gateway.replies.auctions import AuctionList, AuctionRow, CloseList, CloseRow
from gateway.routes.operations import operate
from gateway.routes.table import Call, Reply, Route, Wait, page_limit, wait_s
from gateway.routes.trading import entering, post_request


class AuctionsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Auctions of one instrument with a higher id than `after`, at most `limit`."""

    symbol: str
    after: int = 0
    limit: int = PAGE_MAX


class ClosesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last `limit` days of an instrument."""

    symbol: str
    limit: int = PAGE_MAX


async def get_auctions(call: Call) -> Reply:
    """Auctions of an instrument, by id."""
    query: AuctionsQuery = call.query
    limit = page_limit(query.limit)
    instrument = call.context.entry.instrument(query.symbol)
    view = call.context.views[instrument.market]
    found = sorted(
        (
            report
            for report in view.auctions.reports()
            if report.instrument_id == instrument.id and report.auction_id > query.after
        ),
        key=lambda report: report.auction_id,
    )
    digits = view.market.minor_digits
    rows = [_row(report, query.symbol, digits) for report in found[:limit]]
    return Reply(AuctionList(rows, is_complete=len(found) <= limit))


async def get_closes(call: Call) -> Reply:
    """What the last days of an instrument closed at."""
    query: ClosesQuery = call.query
    limit = page_limit(query.limit)
    instrument = call.context.entry.instrument(query.symbol)
    view = call.context.views[instrument.market]
    digits = view.market.minor_digits
    rows = [
        CloseRow(
            day.date, from_minor(day.price, digits), day.volume_t, from_minor(day.turnover, digits)
        )
        for day in view.auctions.closes(instrument.id)[-limit:]
    ]
    return Reply(CloseList(query.symbol, rows))


async def post_auction(call: Call) -> Reply:
    """Opens, closes or calls off an auction, and waits for what the engine did."""
    timeout_s = wait_s(call.query.wait_ms)
    return await operate(call, prepare_auction(call.context.entry, call.key, call.body), timeout_s)


def _row(report: AuctionReport, symbol: str, digits: int) -> AuctionRow:
    def money(value: int) -> str:
        return from_minor(value, digits) if value else ""

    return AuctionRow(
        symbol,
        report.auction_id,
        report.label,
        report.state,
        Side(report.side).name,
        Pricing(report.pricing).name,
        TieBreak(report.tie_break).name,
        report.offered_t,
        money(report.reserve),
        report.opened_ns,
        report.ended_ns,
        reason_text(report.reason).name if report.reason else "",
        money(report.price),
        report.sold_t,
        report.bid_t,
        from_minor(report.cover_hundredths, 2) if report.ended_ns else "",
        report.bids,
        report.successful_bids,
        report.bidders,
        report.successful_bidders,
        money(report.min_bid),
        money(report.max_bid),
        money(report.mean_bid),
        money(report.median_bid),
        money(report.revenue),
        report.carried_t,
        report.bid_multiple_t,
        report.bid_max_bp,
        report.closes_ns,
        report.seed,
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/auctions", "Primary auctions and their results", get_auctions, AuctionList,
          query=AuctionsQuery, budget="public"),
    Route("GET", "/closes", "Closes of the last days", get_closes, CloseList,
          query=ClosesQuery, budget="public"),
    entering("POST", "/auctions/bids", "Bid in an auction", post_request, AuctionBid),
    Route("POST", "/operations/auction-open", "Open an auction", post_auction, OperationReport,
          body=AuctionOpen, query=Wait, budget="orders"),
    Route("POST", "/operations/auction-clear", "Close an auction", post_auction,
          OperationReport, body=AuctionClear, query=Wait, budget="orders"),
    Route("POST", "/operations/auction-cancel", "Call an auction off", post_auction,
          OperationReport, body=AuctionCancel, query=Wait, budget="orders"),
)  # fmt: skip
