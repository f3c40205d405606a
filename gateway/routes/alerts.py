"""What surveillance saw and what became of it: for market operations and the authority only."""

from __future__ import annotations

from typing import Literal

import msgspec

from exchange.messages.alerts import Alert
from exchange.messages.executions import OperationReport
from exchange.messages.operations import HandleAlert
from exchange.messages.reasons import AccessReason, EdgeReason
from exchange.settings import ALERTS_KEPT_MAX, PAGE_MAX
from gateway.refusal import Refused
from gateway.replies.alerts import AlertList, AlertRow
from gateway.routes.accounts import views
from gateway.routes.operations import post_operation
from gateway.routes.table import Call, Reply, Route, Wait, page_limit
from gateway.views.acts import Handling


class AlertsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Alerts of one market or all, with a number above `after`, of one kind and state or all."""

    market: str = ""
    after: int = 0
    limit: int = PAGE_MAX
    kind: str = ""
    state: Literal["", "OPEN", "TAKEN", "CLOSED"] = ""


async def get_alerts(call: Call) -> Reply:
    """Alerts, newest first."""
    query, limit = call.query, page_limit(call.query.limit)
    alerts = call.context.alerts
    found = [
        (alert, alerts.handling(alert))
        for view in views(call.context, query.market)
        for alert in alerts.newest(
            view.market.code,
            after=query.after,
            kind=query.kind,
            limit=ALERTS_KEPT_MAX if query.state else limit,
        )
    ]
    found = [row for row in found if query.state in ("", row[1].state)]
    found.sort(key=lambda row: (-row[0].to_ns, row[0].market, -row[0].number))
    return Reply(AlertList([_row(alert, handling) for alert, handling in found[:limit]]))


async def post_alert(call: Call) -> Reply:
    """Keeps on the log what a person did with an alert, and why."""
    body: HandleAlert = call.body
    call.context.entry.desk(body.market)
    alert = call.context.alerts.find(body.market, body.number)
    if alert is None:
        raise Refused(EdgeReason.NOT_FOUND, f"alert {body.market}-{body.number}")
    now = call.context.alerts.handling(alert)
    if body.state == now.state == "OPEN" or (now.state == "CLOSED" and body.state != "OPEN"):
        by = f" by {now.who}" if now.who else ""
        raise Refused(
            AccessReason.ALERT_NOT_OPEN, f"{body.market}-{body.number} is {now.state}{by}"
        )
    return await post_operation(call)


def _row(alert: Alert, handling: Handling) -> AlertRow:
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
        handling.state,
        handling.who,
        handling.time_ns,
        handling.reason,
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/alerts", "What surveillance saw", get_alerts, AlertList, query=AlertsQuery),
    Route(
        "POST",
        "/operations/alert",
        "Take, close or open an alert",
        post_alert,
        OperationReport,
        body=HandleAlert,
        query=Wait,
        budget="orders",
    ),
)
