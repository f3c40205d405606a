"""Two files of a day for its members: what each bought and sold net, and what was settled late.

Neither moves anything. Trades are settled one by one, in full; the netting file says what would be
left of them, so that a member can compare it with its own books and with its bank. The file of
late trades counts the cut-offs at which a trade was not settled and what the market's rate makes of
them, which the venue invoices.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from exchange.end_of_day import rows
from exchange.end_of_day.days import Cut, utc_text
from exchange.end_of_day.files import CsvFile, FileDigest
from exchange.end_of_day.names import Names
from exchange.settlement.cycle import Message
from exchange.settlement.due_dates import SettlementRule, cut_offs_missed, rules_of

NET_COLUMNS = (
    "participant", "name", "lei", "instrument_id", "instrument", "purchases", "sales", "bought_t",
    "sold_t", "net_t", "bought_value", "sold_value", "net_value", "fees", "net_cash", "currency",
)  # fmt: skip
LATE_COLUMNS = (
    "trade_id", "instrument_id", "instrument", "price", "quantity_t", "value", "currency",
    "buyer_account", "seller_account", "due_utc", "state", "ended_utc", "cut_offs_missed",
    "rate_ppm", "penalty", "failed_by", "reason",
)  # fmt: skip
OVERDUE, LATE, VOID = "OVERDUE", "LATE", "VOID"
_PPM = 1_000_000


class Netting:
    """A day's trades by member and instrument; bounded by their number, not by the trades'."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0] * 7)

    def trade(self, row: rows.TradeRow) -> None:
        """Counts a trade for its buyer and its seller, who may be one member. O(1)."""
        value = row.price * row.quantity
        buyer = (1, 0, row.quantity, 0, value, 0, row.buyer_fee)
        seller = (0, 1, 0, row.quantity, 0, value, row.seller_fee)
        for account, counts in ((row.buyer_account, buyer), (row.seller_account, seller)):
            sums = self._sums[self._names.participant(account), row.instrument_id]
            sums[:] = [total + count for total, count in zip(sums, counts, strict=True)]

    def write(self, path: Path) -> FileDigest:
        """The file, by member and instrument. O(rows log rows).

        `net_value` and `net_cash` (with fees) are what the member gets, negative: what it pays.
        """
        names = self._names
        with CsvFile(path, NET_COLUMNS) as file:
            for (participant, instrument), sums in sorted(self._sums.items()):
                purchases, sales, bought, sold, paid, got, fees = sums
                told = (participant, *names.member(participant), instrument)
                money = (paid, got, got - paid, fees, got - paid - fees)
                file.row(
                    (
                        *told,
                        names.symbol(instrument),
                        purchases,
                        sales,
                        bought,
                        sold,
                        bought - sold,
                        *map(names.money, money),
                        names.market.currency,
                    )
                )
        return file.digest()


class LateTrades:
    """What was overdue on a day or ended late on it, and the sums of that."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._rules = rules_of(names.market, names.venue.instruments_of(names.market.code))
        self.counts = {OVERDUE: 0, LATE: 0, VOID: 0}
        self.penalty = 0  # minor units, of those that ended

    async def write(self, connection: AsyncConnection, cut: Cut, path: Path) -> FileDigest:
        """The file, by trade. O(trades that are open or moved since the day began)."""
        names, market = self._names, self._names.market
        with CsvFile(path, LATE_COLUMNS) as file:
            async for row in rows.late_trades(connection, market.partition, cut):
                rule = self._rules.get(row.instrument_id, SettlementRule(market.time_zone))
                until_ns = row.ended_ns or cut.day.end_ns
                missed = cut_offs_missed(rule, row.due_ns, until_ns)
                rate = market.late_settlement_ppm
                value = row.price * row.quantity
                penalty = (2 * value * rate * missed + _PPM) // (2 * _PPM)  # half up
                state = OVERDUE
                if row.ended_ns:
                    state = VOID if row.message == Message.VOIDED else LATE
                    self.penalty += penalty
                self.counts[state] += 1
                file.row(
                    (
                        row.trade_id,
                        row.instrument_id,
                        names.symbol(row.instrument_id),
                        names.money(row.price),
                        row.quantity,
                        names.money(value),
                        market.currency,
                        row.buyer_account,
                        row.seller_account,
                        utc_text(row.due_ns),
                        state,
                        utc_text(row.ended_ns) if row.ended_ns else "",
                        missed,
                        rate,
                        names.money(penalty),
                        row.given_by or "",
                        row.reason or "",
                    )
                )
        return file.digest()
