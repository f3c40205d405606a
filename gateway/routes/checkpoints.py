"""Signed checkpoints of the log, for whoever wants to keep them: no key needed."""

from __future__ import annotations

import msgspec

from exchange.settings import CHECKPOINTS_PAGE_MAX
from gateway.replies.checkpoints import CheckpointList, CheckpointRow
from gateway.routes.accounts import views
from gateway.routes.table import Call, Reply, Route, page_limit


class CheckpointsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checkpoints of one market or all; `number`: that one of each, 0 = the newest."""

    market: str = ""
    number: int = 0
    limit: int = 1


async def get_checkpoints(call: Call) -> Reply:
    """Signed checkpoints of the last day."""
    query, limit = call.query, min(page_limit(call.query.limit), CHECKPOINTS_PAGE_MAX)
    return Reply(
        CheckpointList(
            [
                CheckpointRow(view.market.code, item.number, item.time_ns, item.note)
                for view in views(call.context, query.market)
                for item in call.context.checkpoints.newest(
                    view.market.code, number=query.number, limit=limit
                )
            ]
        )
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/checkpoints", "Signed checkpoints of the log", get_checkpoints, CheckpointList,
        query=CheckpointsQuery, budget="public",
    ),
)  # fmt: skip
