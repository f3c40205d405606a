"""Calendars of auctions in print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console

from exchange.rulebook.auction_calendar import AuctionCalendar, ScheduledAuction
from gateway.cli.output import make_table, show_table
from gateway.replies.auctions import AuctionRow

SECOND_NS = 1_000_000_000


def print_calendar(out: Console, calendar: AuctionCalendar) -> None:
    """Prints each auction: its label, window and volume; below, what adds up to the whole."""
    title = f"{calendar.series} {calendar.year}: {calendar.unit}, format {calendar.format}"
    columns = ("auction", "date", "bids UTC", ">tonnes", ">first t", "state", ">sold t")
    print_rows(out, title, columns, [_row(item) for item in calendar.auctions])
    print_sum(out, calendar)


def _row(item: ScheduledAuction) -> tuple[str, ...]:
    opens, closes = (_time(moment) for moment in (item.opens_ns, item.closes_ns))
    return (
        item.id,
        f"{item.date:%a %Y-%m-%d}",
        f"{opens}-{closes}",
        f"{item.volume_t:,}",
        f"{item.first_proposed_t:,}" if item.first_proposed_t != item.volume_t else "",
        item.state.lower(),
        f"{item.sold_t:,}" if item.sold_t else "",
    )


def print_volumes(out: Console, calendar: AuctionCalendar) -> None:
    """Prints volumes that follow each other alike as one line."""
    rows = []
    for volume_t, items in groupby(calendar.auctions, lambda item: item.volume_t):
        run = list(items)
        rows.append((str(run[0].date), str(run[-1].date), str(len(run)), f"{volume_t:,}"))
    title = f"{calendar.series} {calendar.year}"
    print_rows(out, title, ("from", "to", ">auctions", ">tonnes"), rows)
    print_sum(out, calendar)


def print_rows(
    out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Prints a table on a terminal; elsewhere lines with tabs, for other programs."""
    table = make_table(title, *columns)
    for row in rows:
        table.add_row(*row)
    show_table(out, table)


def print_sum(out: Console, calendar: AuctionCalendar) -> None:
    """Prints what the calendar adds up to."""
    parts = [f"{len(calendar.auctions)} auctions, {calendar.total_t:,} t in all"]
    for name, amount in (
        ("below a multiple", calendar.left_t),
        ("unsold", calendar.unsold_t),
        ("to the reserve", calendar.withheld_t),
        ("to the next year", sum(s.volume_t for piece in calendar.carried_out for s in piece)),
    ):
        if amount:
            parts.append(f"{name} {amount:,} t")
    out.print("; ".join(parts))


def print_auction(out: Console, item: ScheduledAuction) -> None:
    """Prints one auction as it is announced."""
    opens, closes = (_time(moment) for moment in (item.opens_ns, item.closes_ns))
    out.print(f"{item.id}: {item.date:%A %Y-%m-%d}, bids {opens}-{closes} UTC, {item.volume_t:,} t")
    for share in item.shares:
        out.print(f"  {share.auctioneer}: {share.volume_t:,} t")


def _time(moment_ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(moment_ns // SECOND_NS, dt.UTC):%H:%M}"


def _moment(moment_ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(moment_ns // SECOND_NS, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_result(out: Console, row: AuctionRow) -> None:
    """Prints an auction's result in the fields in which results are published."""
    rows = [
        ("state", row.state if not row.reason else f"{row.state} ({row.reason})"),
        ("offered t", f"{row.offered_t:,}"),
        ("public reserve", row.public_reserve),
        ("bids in multiples of t", f"{row.bid_multiple_t:,}"),
        ("of the offer at most bp", str(row.bid_max_bp or "")),
        ("bids until", _moment(row.closes_ns) if row.closes_ns else ""),
    ]
    if row.ended_ns:
        rows += [
            ("price", row.price),
            ("sold t", f"{row.sold_t:,}"),
            ("seed of the draw", str(row.seed or "")),
            ("bid t", f"{row.bid_t:,}"),
            ("cover ratio", row.cover_ratio),
            ("lowest bid", row.min_bid),
            ("highest bid", row.max_bid),
            ("mean bid", row.mean_bid),
            ("median bid", row.median_bid),
            ("bids, successful", f"{row.bids}, {row.successful_bids}"),
            ("bidders, successful", f"{row.bidders}, {row.successful_bidders}"),
            ("revenue", row.revenue),
            ("carried to the next", ", ".join(f"{piece:,}" for piece in row.carried_t)),
        ]
    title = f"{row.label}: {row.symbol}, {row.pricing}, {row.tie_break}"
    print_rows(out, title, ("what", ">result"), [item for item in rows if item[1]])
