"""P13: what brokers and operators were told of auctions stands on the log, as the rules give it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from exchange.messages.executions import ExecutionReport, OperationReport
from exchange.messages.frames import Command, Pricing, Side, TieBreak
from exchange.messages.operations import AuctionCancel, AuctionClear, AuctionOpen
from exchange.messages.reasons import reason_text
from exchange.simulation.faults.auctions import OPEN, Bid, Result
from exchange.simulation.faults.auditor import Seen
from exchange.simulation.faults.promises import require
from gateway.entry.decimals import to_minor
from gateway.faults.clerks import Clerk
from gateway.replies.auctions import AuctionList, AuctionRow

_COMMANDS = {
    AuctionOpen: Command.AUCTION_OPEN,
    AuctionClear: Command.AUCTION_CLEAR,
    AuctionCancel: Command.AUCTION_CANCEL,
}
_MONEY = frozenset(
    {
        "public_reserve", "price", "min_bid", "max_bid", "mean_bid", "median_bid", "revenue",
        "cover_ratio",
    }
)  # fmt: skip
HUNDREDTHS = 100


def check(seen: Seen, clerks: Iterable[Clerk], shapes: Counter[str]) -> None:
    """Everything of one market that was said of its auctions; BrokenPromiseError.

    O(results looked up + reports).
    """
    symbols = {item.symbol: item.id for item in seen.instruments}
    for clerk in clerks:
        for query, shown in clerk.read:
            if isinstance(shown, AuctionList) and query.symbol in symbols:
                for row in shown.auctions:
                    _shown(seen, clerk, row, symbols)
                    shapes["auction_result_told"] += row.state != OPEN
        for request, report in clerk.told:
            is_here = type(request) in _COMMANDS and report.market == seen.market.code
            if is_here and isinstance(report, OperationReport):
                _operated(seen, clerk, request, report)


def _operated(seen: Seen, clerk: Clerk, request: object, report: OperationReport) -> None:
    """DONE has its command on the log, which counted; REFUSED has the log's reason."""
    heard = seen.history.heard.get(report.request_id)
    what = f"{seen.market.code}: {clerk.key.id} was told {report.status} of {request}"
    kind = _COMMANDS[type(request)]  # type: ignore[index]
    is_there = heard is not None and (heard.kind, heard.session) == (kind, clerk.key.session)
    require(is_there, "P1", f"{what}: at {report.request_id} stands {heard}")
    assert heard is not None  # noqa: S101 - just required
    require(heard.refused == report.reason, "P9", f"{what}: the log says {heard.refused}")


def _shown(seen: Seen, clerk: Clerk, row: AuctionRow, symbols: dict[str, int]) -> None:
    result = seen.auctions.get(row.auction_id)
    what = f"{seen.market.code}: {clerk.key.id} was shown auction {row.auction_id}"
    require(result is not None, "P13", f"{what}: there is none")
    assert result is not None  # noqa: S101 - just required
    expected = _terms(result) | (_nothing() if row.state == OPEN else _given(result))
    require(symbols[row.symbol] == result.instrument, "P13", f"{what} of {row.symbol}")
    for name, value in expected.items():
        found = getattr(row, name)
        if name in _MONEY:
            found = to_minor(found, seen.market.minor_digits, name) if found else 0
        require(found == value, "P13", f"{what}: {name} {found} for {value} of {result}")


def _terms(result: Result) -> dict[str, object]:
    return {
        "label": result.label,
        "side": Side(result.side).name,
        "pricing": Pricing(result.pricing).name,
        "tie_break": TieBreak(result.tie_break).name,
        "offered_t": result.offered,
        "public_reserve": result.reserve,
        "opened_ns": result.opened_ns,
        "closes_ns": result.closes_ns,
    }


def _nothing() -> dict[str, object]:
    """Bids are sealed: of an open auction nothing else is shown."""
    numbers = (
        "ended_ns", "price", "sold_t", "bid_t", "cover_ratio", "bids", "successful_bids", "bidders",
        "successful_bidders", "min_bid", "max_bid", "mean_bid", "median_bid", "revenue",
    )  # fmt: skip
    return dict.fromkeys(numbers, 0) | {"state": OPEN, "reason": "", "carried_t": ()}


def _given(result: Result) -> dict[str, object]:
    bids, awards = result.bids, result.awards
    asked = sum(bid.quantity for bid in bids)
    value = sum(bid.price * bid.quantity for bid in bids)
    prices = [bid.price for bid in bids] or [0]
    return {
        "state": result.state,
        "reason": reason_text(result.reason).name if result.reason else "",
        "ended_ns": result.ended_ns,
        "price": result.price,
        "sold_t": result.sold,
        "bid_t": asked,
        "cover_ratio": _half_up(asked * HUNDREDTHS, result.offered),
        "bids": len(bids),
        "bidders": len({bid.account for bid in bids}),
        "successful_bids": len({award.bid.order_id for award in awards}),
        "successful_bidders": len({award.bid.account for award in awards}),
        "min_bid": min(prices),
        "max_bid": max(prices),
        "mean_bid": _half_up(value, asked) if asked else 0,
        "median_bid": _median(bids),
        "revenue": sum(award.quantity * award.price for award in awards),
        "carried_t": result.carried,
    }


def _median(bids: Iterable[Bid]) -> int:
    """The lowest price that half of the tonnes bid reach, 0 without a bid. O(bids log bids)."""
    rising = sorted((bid.price, bid.quantity) for bid in bids)
    left = (sum(quantity for _, quantity in rising) + 1) // 2
    for price, quantity in rising:
        left -= quantity
        if left <= 0:
            return price
    return 0


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def bids_told(clerks: Iterable[Clerk], market: str) -> list[tuple[Clerk, ExecutionReport]]:
    """The answers to sealed bids of one market, by who got them. O(reports)."""
    return [
        (clerk, report)
        for clerk in clerks
        for _, report in clerk.told
        if isinstance(report, ExecutionReport) and report.market == market
    ]
