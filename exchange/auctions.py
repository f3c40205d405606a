"""Primary auctions and closes of a market, from its `events` alone.

What was offered, bid, sold and paid, in the fields of an auction's published result; and what each
day closed at, for reserve prices. Bids are sealed: of an open auction a report tells only the
terms. `calendar_now` lays the results over a calendar, so that what is scheduled next is a function
of the plan and the log.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from exchange.messages.frames import (
    Event,
    EventPart,
    EventRow,
    Liquidity,
    OrderType,
    TradeMethod,
    event_rows,
    kinds_mask,
    seed_of,
)
from exchange.rulebook.auction_calendar import AuctionCalendar, AuctionResult, with_result
from exchange.settings import AUCTION_BIDS_MAX, AUCTIONS_KEPT_MAX, CLOSES_KEPT_MAX

HUNDREDTHS = 100
_DAYS = (Event.DAY_CLOSED, Event.DAY_STARTED)
_IS_DAY = np.zeros(256, np.bool_)
_IS_DAY[list(_DAYS)] = True
_WATCHED = kinds_mask(Event.AUCTION_OPENED, *_DAYS)
OPEN, CLEARED, CANCELLED = "OPEN", "CLEARED", "CANCELLED"


class AuctionReport(msgspec.Struct, frozen=True):
    """An auction: its terms, and once it has ended its result. Minor units, tonnes, ns UTC.

    Mean and median are of the tonnes bid, the median the lowest price that half of them reach;
    `cover_hundredths` is tonnes bid for each offered. A reverse auction's revenue is what was paid.
    """

    auction_id: int
    label: str
    instrument_id: int
    account_id: int
    side: int
    pricing: int
    tie_break: int
    offered_t: int
    reserve: int  # public, 0 = none
    opened_ns: int
    state: str = OPEN
    reason: int = 0  # why it was cancelled
    ended_ns: int = 0
    price: int = 0
    sold_t: int = 0
    bid_t: int = 0
    cover_hundredths: int = 0
    bids: int = 0
    successful_bids: int = 0
    bidders: int = 0
    successful_bidders: int = 0
    min_bid: int = 0
    max_bid: int = 0
    mean_bid: int = 0
    median_bid: int = 0
    revenue: int = 0
    carried_t: tuple[int, ...] = ()
    bid_multiple_t: int = 1
    bid_max_bp: int = 0  # of the offer, for bids of accounts of one group together; 0 = no bound
    closes_ns: int = 0  # until when bids are heard, 0 = until it is cleared
    seed: int = 0  # of the draw among bids of one price


class Told(Protocol):
    """What a calendar takes of an auction: `AuctionReport`, or what the gateway says of one."""

    @property
    def auction_id(self) -> int:
        """The venue's id."""

    @property
    def label(self) -> str:
        """The calendar's id."""

    @property
    def state(self) -> str:
        """OPEN, CLEARED or CANCELLED."""

    @property
    def ended_ns(self) -> int:
        """When it ended, 0 = it has not."""

    @property
    def sold_t(self) -> int:
        """Tonnes sold."""

    @property
    def carried_t(self) -> tuple[int, ...]:
        """Tonnes that go to the next auctions in turn."""


class DayClose(NamedTuple):
    """A day of an instrument: YYYYMMDD, price, tonnes and minor units of the book's trades."""

    date: int
    price: int
    volume_t: int
    turnover: int


class _Bid(NamedTuple):
    account_id: int
    price: int
    quantity: int


class _Running:
    """An auction that is open, or whose last events are still coming."""

    __slots__ = ("bids", "report", "won")

    def __init__(self, report: AuctionReport) -> None:
        self.report = report
        self.bids: dict[int, _Bid] = {}  # by order id
        self.won: dict[int, int] = {}  # account by order id of a bid that won


class Auctions:
    """The projection: feed it every accepted part of `events`, in order."""

    def __init__(self, kept_max: int = AUCTIONS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._running: dict[int, _Running] = {}  # by instrument
        self._ended: OrderedDict[int, AuctionReport] = OrderedDict()
        self._closes: dict[int, deque[DayClose]] = {}
        self._date = 0
        self.changes = 0  # of what `reports` tells: whoever has seen it need not look again

    def apply(self, part: EventPart) -> None:
        """One accepted part of `events`. O(events), and bids log bids where an auction ends."""
        if self._running and not part.part:  # what an ended one still said stands in its record
            self._running = {
                key: item for key, item in self._running.items() if item.report.state == OPEN
            }
        kinds = part.kinds
        if not self._running and not kinds & _WATCHED:
            return
        is_auction = bool(self._running) or bool(kinds & kinds_mask(Event.AUCTION_OPENED))
        events = part.events
        if not is_auction:
            events = events[_IS_DAY[events["kind"]]]
        for row in event_rows(events):
            if row.kind == Event.AUCTION_OPENED:
                self._opened(row, part.time_ns)
            elif row.kind == Event.BIDDING_CLOSES:
                self._closing_told(row)
            elif row.kind in (Event.AUCTION_CLEARED, Event.AUCTION_CANCELLED):
                self._closed(row, part.time_ns)
            elif row.kind == Event.AUCTION_CARRIED:
                self._carried(row)
            elif row.kind == Event.DAY_CLOSED:
                self._day_closed(row)
            elif row.kind == Event.DAY_STARTED:
                self._date = row.quantity
            else:
                self._bid_changed(row)

    # -- questions ------------------------------------------------------------------------------

    def reports(self) -> Iterator[AuctionReport]:
        """Those that ended and are remembered, oldest end first, then those open. O(auctions)."""
        yield from self._ended.values()
        running = (item.report for item in self._running.values())
        yield from sorted(
            (report for report in running if report.state == OPEN), key=lambda r: r.auction_id
        )

    def open_in(self, instrument_id: int) -> AuctionReport | None:
        """The auction that is open in an instrument, None without one. O(1)."""
        running = self._running.get(instrument_id)
        return running.report if running is not None and running.report.state == OPEN else None

    def closes(self, instrument_id: int) -> list[DayClose]:
        """The last days of an instrument, oldest first. O(days)."""
        return list(self._closes.get(instrument_id, ()))

    # -- events ---------------------------------------------------------------------------------

    def _opened(self, row: EventRow, time_ns: int) -> None:
        report = AuctionReport(
            row.order_id,
            row.client_order_id.rstrip(b"\0").decode("ascii", "replace"),
            row.instrument_id,
            row.account_id,
            row.side,
            row.order_type,
            row.time_in_force,
            row.quantity,
            row.price,
            time_ns,
            bid_multiple_t=max(1, row.value >> 32 & 0xFFFF_FFFF),
            bid_max_bp=row.value >> 16 & 0xFFFF,
        )
        self._running[row.instrument_id] = _Running(report)
        self.changes += 1

    def _closing_told(self, row: EventRow) -> None:
        running = self._running[row.instrument_id]
        self.changes += 1
        running.report = msgspec.structs.replace(running.report, closes_ns=row.value)

    def _bid_changed(self, row: EventRow) -> None:
        running = self._running.get(row.instrument_id)
        if running is None:
            return
        is_open = running.report.state == OPEN
        if row.kind == Event.FILL:
            if row.reason == TradeMethod.AUCTION_TRADE and row.order_type == Liquidity.TAKER:
                self._won(running, row)
        elif row.kind == Event.ACCEPTED:
            if row.order_type == OrderType.BID and len(running.bids) < AUCTION_BIDS_MAX:
                running.bids[row.order_id] = _Bid(row.account_id, row.price, row.quantity)
        elif is_open and row.order_id in running.bids:
            if row.kind == Event.CANCELLED:
                del running.bids[row.order_id]
            elif row.kind == Event.REPLACED:
                account_id = running.bids.pop(row.order_id).account_id
                running.bids[row.order_id] = _Bid(account_id, row.price, row.quantity)

    def _closed(self, row: EventRow, time_ns: int) -> None:
        running = self._running[row.instrument_id]
        is_cleared = row.kind == Event.AUCTION_CLEARED
        report = msgspec.structs.replace(
            running.report,
            state=CLEARED if is_cleared else CANCELLED,
            reason=row.reason,
            ended_ns=time_ns,
            seed=seed_of(row) if is_cleared else 0,
            price=row.price,
            sold_t=row.quantity if is_cleared else 0,
            bid_t=row.value,
            cover_hundredths=_half_up(row.value * HUNDREDTHS, running.report.offered_t),
            bids=len(running.bids),
            bidders=len({bid.account_id for bid in running.bids.values()}),
        )
        if running.bids:
            report = msgspec.structs.replace(report, **_prices(running.bids.values()))
        running.report = report
        self._keep(report)

    def _won(self, running: _Running, row: EventRow) -> None:
        running.won[row.order_id] = row.account_id
        running.report = msgspec.structs.replace(
            running.report,
            revenue=running.report.revenue + row.quantity * row.price,
            successful_bids=len(running.won),
            successful_bidders=len(set(running.won.values())),
        )
        self._keep(running.report)

    def _carried(self, row: EventRow) -> None:
        running = self._running[row.instrument_id]
        carried_t = (*running.report.carried_t, row.quantity)
        running.report = msgspec.structs.replace(running.report, carried_t=carried_t)
        self._keep(running.report)

    def _keep(self, report: AuctionReport) -> None:
        self.changes += 1
        self._ended[report.auction_id] = report
        if len(self._ended) > self._kept_max:
            self._ended.popitem(last=False)

    def _day_closed(self, row: EventRow) -> None:
        if not self._date:  # the closing before a market's first day ends none
            return
        days = self._closes.setdefault(row.instrument_id, deque(maxlen=CLOSES_KEPT_MAX))
        days.append(DayClose(self._date, row.price, row.quantity, row.value))


def _prices(bids: Iterable[_Bid]) -> dict[str, int]:
    rising = sorted((bid.price, bid.quantity) for bid in bids)
    total = sum(quantity for _, quantity in rising)
    so_far = median = 0
    for price, quantity in rising:
        median = price
        so_far += quantity
        if 2 * so_far >= total:
            break
    mean = _half_up(sum(price * quantity for price, quantity in rising), total)
    return {
        "min_bid": rising[0][0], "max_bid": rising[-1][0], "mean_bid": mean, "median_bid": median,
    }  # fmt: skip


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


# -- the calendar ----------------------------------------------------------------------------------


def calendar_now(
    calendar: AuctionCalendar, reports: Iterable[Told], cap_bp: int = 0
) -> AuctionCalendar:
    """The calendar after what the log says of its auctions, by their labels. O(reports x auctions).

    Reports of other auctions are passed over; `cap_bp` is of the format. RulebookError where what
    was sold and carried is not what the calendar had on offer.
    """
    labels = {item.id for item in calendar.auctions}
    ended = [item for item in reports if item.label in labels and item.state != OPEN]
    for report in sorted(ended, key=lambda item: (item.ended_ns, item.auction_id)):
        result = AuctionResult(report.state == CANCELLED, report.sold_t, report.carried_t)
        calendar = with_result(calendar, report.label, result, cap_bp)
    return calendar


class Act(NamedTuple):
    """What a scheduler does next: OPEN or CLOSE this auction, when its time has come."""

    kind: str
    auction_id: str
    due_ns: int


def next_act(calendar: AuctionCalendar, reports: Iterable[Told], now_ns: int) -> Act | None:
    """The next opening or closing, None when nothing is left. O(auctions).

    An auction that is open is closed at the end of its window, however late; one whose window has
    passed unopened is left alone. `calendar` is that of now.
    """
    is_open = {report.label for report in reports if report.state == OPEN}
    for item in calendar.auctions:
        if item.state != "SCHEDULED" or not item.volume_t:
            continue
        if item.id in is_open:
            return Act("CLOSE", item.id, item.closes_ns)
        if now_ns < item.closes_ns:
            return Act("OPEN", item.id, item.opens_ns)
    return None
