"""What a key owns and may do: positions, holdings, session."""

from __future__ import annotations

import msgspec

from exchange.decimals import from_minor
from exchange.settings import PAGE_MAX
from gateway.context import Context
from gateway.replies.accounts import (
    AccountPosition,
    CashRow,
    HoldingList,
    HoldingRow,
    ObligationRow,
    PositionList,
    SessionReply,
    UnitsRow,
)
from gateway.routes.table import Call, Reply, Route
from gateway.views.venue_view import MarketView


class MarketQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One market, or all."""

    market: str = ""


async def get_positions(call: Call) -> Reply:
    """Cash and tradable units."""
    rows = []
    for view in views(call.context, call.query.market):
        market = view.market
        symbols = {item.id: item.symbol for item in call.context.venue.instruments_of(market.code)}
        for account in sorted(call.context.visible_accounts(call.key, market.code)):
            cash = view.positions.cash(account)
            known = view.positions.accounts.get(account)
            units = [
                UnitsRow(symbols.get(item, str(item)), u.available, u.held, u.locked)
                for item, u in sorted(known.units.items() if known else ())
                if u.total
            ]
            digits = market.minor_digits
            purses = (cash.available, cash.held, cash.locked)
            money = CashRow(*(from_minor(purse, digits) for purse in purses))
            rows.append(AccountPosition(market.code, account, market.currency, money, units))
    return Reply(PositionList(rows))


async def get_holdings(call: Call) -> Reply:
    """Units by serial number, obligations and what was surrendered; a lender sees its pledges."""
    rows: list[HoldingRow] = []
    obligations: list[ObligationRow] = []
    for view in views(call.context, call.query.market):
        code = view.market.code
        traded = {item.id: item for item in call.context.venue.instruments_of(code)}
        symbols = {item.id: item.symbol for item in traded.values()}
        visible = call.context.visible_accounts(call.key, code)
        rows += [
            HoldingRow(
                code,
                key.account,
                symbols.get(key.instrument_id, str(key.instrument_id)),
                key.position,
                view.holdings.quantity(key),
                view.holdings.ranges(key)[:PAGE_MAX],
                key.lender,
            )
            for key in view.holdings.keys()  # noqa: SIM118 - no mapping
            if key.account in visible or key.lender in visible
        ]
        for (account, scheme, year), figures in sorted(view.holdings.years.items()):
            if account in visible and figures.obligation is not None:
                given = {
                    symbols[instrument]: tonnes
                    for (owner, of_year, instrument), tonnes in view.holdings.surrendered.items()
                    if (owner, of_year) == (account, year) and traded[instrument].scheme == scheme
                }
                owed = figures.obligation
                obligations.append(ObligationRow(code, account, scheme, year, owed, given))
    return Reply(HoldingList(rows, obligations))


async def get_session(call: Call) -> Reply:
    """Where the session stands, so that a client can go on."""
    key, desks = call.key, call.context.views
    return Reply(
        SessionReply(
            key.id,
            key.participant,
            key.role,
            key.session,
            {code: view.last_ref.get(key.session, 0) for code, view in desks.items()},
            {code: view.follower.next_event for code, view in desks.items()},
        )
    )


def views(context: Context, market: str) -> list[MarketView]:
    """The views a query means: of one market, or all."""
    return [context.entry.desk(market).view] if market else list(context.views.values())


ROUTES: tuple[Route, ...] = (
    Route("GET", "/positions", "Cash and tradable units", get_positions, PositionList,
          query=MarketQuery),
    Route("GET", "/holdings", "Units by serial number, and obligations", get_holdings,
          HoldingList, query=MarketQuery),
    Route("GET", "/session", "Where the key's session stands", get_session, SessionReply),
)  # fmt: skip
