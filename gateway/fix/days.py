"""TradeDate and SettlDate of a fill: the market's own days, as settlement counts them."""

from __future__ import annotations

from typing import NamedTuple

from exchange.messages.executions import ExecutionReport
from exchange.reference.venue import Venue
from exchange.settlement.due_dates import SettlementRule, due_ns, local_date, rules_of


class Days(NamedTuple):
    """Of a fill, both YYYYMMDD."""

    trade: str
    settlement: str


class TradeDays:
    """The days of a venue's fills."""

    def __init__(self, venue: Venue) -> None:
        self._rules: dict[str, tuple[SettlementRule, bool]] = {}
        for market in venue.market:
            items = venue.instruments_of(market.code)
            rules = rules_of(market, items)
            for item in items:
                self._rules[item.symbol] = rules[item.id], item.settlement_cycle == "T+1"

    def of(self, report: ExecutionReport) -> Days | None:
        """The days of a fill; None of any other report. O(days until the next business day)."""
        known = self._rules.get(report.symbol) if report.exec_type == "TRADE" else None
        if known is None:
            return None
        rule, is_later = known
        traded = local_date(rule, report.transact_time_ns)
        settled = traded
        if is_later:
            settled = local_date(rule, due_ns(rule, report.transact_time_ns))
        return Days(f"{traded:%Y%m%d}", f"{settled:%Y%m%d}")
