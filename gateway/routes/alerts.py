"""What surveillance saw: for market operations and the authority only."""

from __future__ import annotations

import msgspec

from exchange.messages.alerts import Alert
from exchange.settings import PAGE_MAX
from gateway.routes.accounts import views
from gateway.routes.table import Call, Reply, Route, page_limit


class AlertsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Alerts of one market or all, with a number above `after`, of one kind or all."""

    market: str = ""
    after: int = 0
    limit: int = PAGE_MAX
    kind: str = ""


class AlertRow(msgspec.Struct, frozen=True):
    """One alert."""

    id: str  # MARKET-NUMBER
    number: int  # in its market: what `after` counts by
    kind: str  # a table of exchange/surveillance/limits.toml
    market: str
    symbol: str
    participants: list[int]
    accounts: list[int]
    from_ns: int
    to_ns: int
    score: int  # the figure that decides, basis points of its limit
    figures: dict[str, int]
    text: str
    events: list[int]  # numbers of the first and of the last event of the pattern


class AlertList(msgspec.Struct, frozen=True):
    """Alerts, newest first."""

    alerts: list[AlertRow]


async def get_alerts(call: Call) -> Reply:
    """Alerts, newest first."""
    query, limit = call.query, page_limit(call.query.limit)
    found = [
        alert
        for view in views(call.context, query.market)
        for alert in call.context.alerts.newest(
            view.market.code, after=query.after, kind=query.kind, limit=limit
        )
    ]
    found.sort(key=lambda alert: (-alert.to_ns, alert.market, -alert.number))
    return Reply(AlertList([_row(alert) for alert in found[:limit]]))


def _row(alert: Alert) -> AlertRow:
    return AlertRow(
        f"{alert.market}-{alert.number}",
        alert.number,
        alert.kind,
        alert.market,
        alert.symbol,
        list(alert.participants),
        list(alert.accounts),
        alert.from_ns,
        alert.to_ns,
        alert.score,
        alert.figures,
        alert.text,
        [alert.first_event, alert.last_event],
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/alerts", "What surveillance saw", get_alerts, AlertList, query=AlertsQuery),
)
