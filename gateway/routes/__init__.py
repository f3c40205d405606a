"""Every route of the REST interface, as rows of one table.

A row says method, path, what the body and the query are, what comes back, and which handler makes
it; `gateway.access.roles` says who may. `gateway.rest.app` serves the table and
`gateway.rest.openapi` describes it, so that neither can know a route which the other does not.
"""

from __future__ import annotations

from gateway.routes.accounts import ROUTES as ACCOUNTS
from gateway.routes.alerts import ROUTES as ALERTS
from gateway.routes.auctions import ROUTES as AUCTIONS
from gateway.routes.books import ROUTES as BOOKS
from gateway.routes.checkpoints import ROUTES as CHECKPOINTS
from gateway.routes.compliance import ROUTES as COMPLIANCE
from gateway.routes.control import ROUTES as CONTROL
from gateway.routes.limits import ROUTES as LIMITS
from gateway.routes.logins import ROUTES as LOGINS
from gateway.routes.market import ROUTES as MARKET
from gateway.routes.operations import ROUTES as OPERATIONS
from gateway.routes.registry import ROUTES as REGISTRY
from gateway.routes.settlements import ROUTES as SETTLEMENTS
from gateway.routes.standings import ROUTES as STANDINGS
from gateway.routes.table import Call, Reply, Route
from gateway.routes.trading import ROUTES as TRADING
from gateway.routes.years import ROUTES as YEARS

__all__ = ["ROUTES", "Call", "Reply", "Route"]

ROUTES: tuple[Route, ...] = (
    *MARKET, *TRADING, *AUCTIONS, *ACCOUNTS, *REGISTRY, *STANDINGS, *BOOKS, *COMPLIANCE, *YEARS,
    *OPERATIONS, *SETTLEMENTS, *ALERTS, *CONTROL, *LOGINS, *LIMITS,
    *CHECKPOINTS,
)  # fmt: skip
