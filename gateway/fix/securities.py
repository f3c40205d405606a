"""What a FIX session hears of instruments that it asked for: their phase, and their auctions.

FIX 4.4 has SecurityStatus for an instrument and no words for a primary auction: its terms and its
result stand in fields of the venue's own. Bids are sealed: of an open auction the terms alone are
told.
"""

from __future__ import annotations

from collections.abc import Callable

from exchange.auctions import OPEN, AuctionReport
from exchange.decimals import from_minor
from exchange.messages.frames import Phase, Pricing, Side, TieBreak
from exchange.messages.reasons import reason_text
from exchange.reference.venue import Instrument
from gateway.context import Context
from gateway.fix.codec import Message, plain, utc_text
from gateway.fix.reports import Said, Values
from gateway.views.venue_view import MarketView

HALTED, READY, NOT_AVAILABLE, PRE_OPEN, ROTATION = 2, 17, 18, 21, 22
TRADING_STATUS = {
    "CLOSED": NOT_AVAILABLE, "CONTINUOUS": READY, "HALT": HALTED, "START_OF_DAY": PRE_OPEN,
    "OPENING_CALL": ROTATION, "VOLATILITY_CALL": ROTATION, "CLOSING_CALL": ROTATION,
}  # fmt: skip


class SecurityWatch:
    """The instruments that one session asked for; at most as many as the venue has."""

    def __init__(self, context: Context, say: Callable[[Said], None]) -> None:
        self._context = context
        self._say = say
        self._watched: dict[str, _Watched] = {}

    def ask(self, message: Message) -> None:
        """SecurityStatusRequest: once, from now on, or no more; Refused (UNKNOWN_SYMBOL)."""
        instrument = self._context.entry.instrument(message.get(55))
        wanted = message.get(263)
        self._watched.pop(instrument.symbol, None)
        if wanted == "2":
            return
        watched = _Watched(instrument, self._context.views[instrument.market], message.get(324))
        for said in watched.first():
            self._say(said)
        if wanted == "1":
            self._watched[instrument.symbol] = watched

    def tick(self) -> None:
        """Tells what changed. O(instruments watched), and auctions kept where one changed."""
        for watched in self._watched.values():
            for said in watched.news():
                self._say(said)

    def end(self) -> None:
        """The connection is over: nothing more is told."""
        self._watched.clear()


class _Watched:
    """An instrument, and what was told of it."""

    def __init__(self, instrument: Instrument, view: MarketView, request_id: str) -> None:
        self._instrument = instrument
        self._view = view
        self._request_id = request_id
        self._phase = ""
        self._changes = -1  # of the market's auctions, as of the last look
        self._told: dict[int, AuctionReport] = {}

    def first(self) -> list[Said]:
        """The phase, with the auction that is open, or else the last that ended."""
        found = self._look()
        return [self._said(found[-1] if found else None)]

    def news(self) -> list[Said]:
        """Each auction that opened or ended since; without one a phase that changed."""
        is_other_phase = self._phase != self._phase_now()
        if self._changes != self._view.auctions.changes:
            before = self._told
            changed = [item for item in self._look() if before.get(item.auction_id) != item]
            if changed:
                return [self._said(report) for report in changed]
        return [self._said(None)] if is_other_phase else []

    def _look(self) -> list[AuctionReport]:
        self._changes = self._view.auctions.changes
        found = [
            report
            for report in self._view.auctions.reports()
            if report.instrument_id == self._instrument.id
        ]
        self._told = {report.auction_id: report for report in found}
        return found

    def _phase_now(self) -> str:
        state = self._view.positions.instruments.get(self._instrument.id)
        return Phase(state.phase if state else Phase.CLOSED).name

    def _said(self, report: AuctionReport | None) -> Said:
        self._phase = self._phase_now()
        symbol, market = self._instrument.symbol, self._view.market
        values: Values = [
            (324, self._request_id), (55, symbol), (336, market.code), (625, self._phase),
            (326, TRADING_STATUS[self._phase]),
        ]  # fmt: skip
        if report is not None:
            values += auction_values(report, market.minor_digits)
        return Said("f", values)


def auction_values(report: AuctionReport, digits: int) -> Values:
    """The terms of an auction, and its result once it has ended. O(1)."""
    values: Values = [
        (20008, report.auction_id),
        (20009, report.state),
        (20011, "1" if report.side == Side.BUY else "2"),
        (20012, Pricing(report.pricing).name),
        (20013, TieBreak(report.tie_break).name),
        (20014, report.offered_t),
        (20015, report.bid_multiple_t),
        (20018, utc_text(report.opened_ns)),
    ]
    if report.label:
        values.append((20010, plain(report.label)))
    if report.bid_max_bp:
        values.append((20016, report.bid_max_bp))
    if report.reserve:
        values.append((20017, from_minor(report.reserve, digits)))
    if report.closes_ns:
        values.append((20019, utc_text(report.closes_ns)))
    if report.state == OPEN:
        return values
    values += [(20020, utc_text(report.ended_ns)), (20021, report.bid_t), (20022, report.sold_t)]
    if report.sold_t:
        values += [
            (20023, from_minor(report.price, digits)),
            (20024, from_minor(report.revenue, digits)),
        ]
    if report.reason:
        values += [(58, reason_text(report.reason).name), (20001, report.reason)]
    return values
