"""What a client may ask: every query of the venue, typed; nothing is changed by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from urllib.parse import quote

from exchange.messages.executions import ExecutionReport
from exchange.settings import PAGE_MAX
from gateway.client.rest import Rest
from gateway.replies.accounts import HoldingList, PositionList, SessionReply
from gateway.replies.alerts import AlertList
from gateway.replies.auctions import AuctionList, AuctionRow, CloseList
from gateway.replies.books import DuplicateList, HoldingsAt, SerialHistory
from gateway.replies.checkpoints import CheckpointList
from gateway.replies.compliance import OffsetHeadroomReply, SurrenderPlanReply
from gateway.replies.limits import LimitsReply
from gateway.replies.market import BookReply, InstrumentList, PhaseList, TradeList
from gateway.replies.operations import OpeningReply
from gateway.replies.registry import ProjectList, ReversalList
from gateway.replies.settlements import SettlementList
from gateway.replies.standings import AccountList, TransferList
from gateway.replies.trading import BlockList, ExecutionList, OrderList
from gateway.replies.years import ComplianceYearReply


class Questions:
    """The queries of a `Client`; each raises NetworkError or the VenueError that refuses it."""

    rest: Rest

    async def session(self) -> SessionReply:
        """Where the key's session stands."""
        return await self.rest.get("/session", SessionReply)

    async def orders(self, market: str = "") -> list[ExecutionReport]:
        """Open orders, oldest first in each market."""
        page = await self.rest.get("/orders", OrderList, **_market(market))
        if page.is_complete:
            return page.orders
        if not market:
            codes = list(dict.fromkeys(i.market for i in (await self.instruments()).instruments))
            return [order for code in codes for order in await self.orders(code)]
        found = page.orders
        while not page.is_complete:
            after = found[-1].order_id
            page = await self.rest.get("/orders", OrderList, market=market, after=after)
            found += page.orders
        return found

    async def find_order(self, order_id: int | str, market: str = "") -> ExecutionReport:
        """One order by either id; OrderNotFoundError."""
        path = f"/orders/{quote(str(order_id), safe='')}"  # a label may hold any character
        return await self.rest.get(path, ExecutionReport, **_market(market))

    async def executions(self, market: str, after: int = 0) -> ExecutionList:
        """Reports after a sequence, a page of them."""
        return await self.rest.get("/executions", ExecutionList, market=market, after=after)

    async def all_executions(
        self, market: str, after: int = 0
    ) -> AsyncGenerator[ExecutionReport, None]:
        """Every report after a sequence that the venue remembers, asked for page by page."""
        is_last = False
        while not is_last:
            rows = (await self.executions(market, after)).executions
            is_last = len(rows) < PAGE_MAX
            if not is_last:  # both sides of an own trade have one number: never part them
                rows = [row for row in rows if row.sequence < rows[-1].sequence] or rows
            for row in rows:
                yield row
                after = row.sequence

    async def blocks(self, market: str = "") -> BlockList:
        """Block trades proposed to accounts of the key, which wait for its word."""
        return await self.rest.get("/blocks", BlockList, **_market(market))

    async def limits(self) -> LimitsReply:
        """The limits that a sender meets: messages a second, bytes, rows a page."""
        return await self.rest.get("/limits", LimitsReply)

    async def positions(self, market: str = "") -> PositionList:
        """Cash and tradable units."""
        return await self.rest.get("/positions", PositionList, **_market(market))

    async def reversals(self, market: str = "") -> ReversalList:
        """Proposed reversals that wait for another key's approval (authority)."""
        return await self.rest.get("/reversals", ReversalList, **_market(market))

    async def projects(self, market: str = "", *, after: int = 0) -> ProjectList:
        """Registered projects of credits, by number; `after`: the last one of the page before."""
        query: dict[str, str | int] = {**_market(market)}
        return await self.rest.get("/projects", ProjectList, **query, after=after)

    async def accounts(self, market: str = "") -> AccountList:
        """What the accounts are in the registry: types, trusted lists, blocks."""
        return await self.rest.get("/accounts", AccountList, **_market(market))

    async def transfers(self, market: str = "") -> TransferList:
        """Transfers that wait for approval or for their time."""
        return await self.rest.get("/transfers", TransferList, **_market(market))

    async def settlements(
        self, market: str, *, state: str = "", before: int = 0, limit: int = PAGE_MAX
    ) -> SettlementList:
        """Trades that are settled later or were cancelled, the newest first."""
        query: dict[str, str | int] = {"market": market, "limit": limit}
        if state:
            query["state"] = state
        if before:
            query["before"] = before
        return await self.rest.get("/settlements", SettlementList, **query)

    async def alerts(
        self,
        market: str = "",
        *,
        after: int = 0,
        kind: str = "",
        state: str = "",
        limit: int = PAGE_MAX,
    ) -> AlertList:
        """What surveillance saw, newest first (operator, authority)."""
        query: dict[str, str | int] = _market(market) | {"after": after, "limit": limit}
        query |= {"kind": kind} if kind else {}
        query |= {"state": state} if state else {}
        return await self.rest.get("/alerts", AlertList, **query)

    async def checkpoints(
        self, market: str = "", *, number: int = 0, limit: int = 1
    ) -> CheckpointList:
        """Signed checkpoints of the log, newest first; keep their notes."""
        query: dict[str, str | int] = _market(market) | {"number": number, "limit": limit}
        return await self.rest.get("/checkpoints", CheckpointList, **query)

    async def opening(self, market: str) -> OpeningReply:
        """Whether a market may open, and the reconciliation that says so (operator, authority)."""
        return await self.rest.get("/operations/opening", OpeningReply, market=market)

    async def serial_history(
        self, programme: str, serial: int, *, before: int = 0, limit: int = PAGE_MAX
    ) -> SerialHistory:
        """What happened to one unit: the last events, or those before one (authority)."""
        query: dict[str, str | int] = {"programme": programme, "serial": serial, "limit": limit}
        if before:
            query["before"] = before
        return await self.rest.get("/serials", SerialHistory, **query)

    async def duplicate_issuances(self) -> DuplicateList:
        """Issuances that overlap (authority)."""
        return await self.rest.get("/issuances/duplicates", DuplicateList)

    async def holdings_at(self, market: str, account: int, time_ns: int = 0) -> HoldingsAt:
        """What an account had at an instant, ns UTC; 0 = now."""
        return await self.rest.get(
            "/holdings/at", HoldingsAt, market=market, account=account, time_ns=time_ns
        )

    async def holdings(self, market: str = "") -> HoldingList:
        """Units by serial number, and obligations."""
        return await self.rest.get("/holdings", HoldingList, **_market(market))

    async def offset_headroom(self, account: int, symbol: str) -> OffsetHeadroomReply:
        """How much more of an offset the account could use."""
        return await self.rest.get(
            "/offset-headroom", OffsetHeadroomReply, account=account, symbol=symbol
        )

    async def surrender_plan(self, account: int, year: int, scheme: str = "") -> SurrenderPlanReply:
        """The cheapest way to surrender what an account owes for a year; nothing is done by it."""
        named: dict[str, str | int] = {"scheme": scheme} if scheme else {}
        return await self.rest.get(
            "/surrender-plan", SurrenderPlanReply, account=account, year=year, **named
        )

    async def compliance_year(self, account: int, scheme: str, year: int) -> ComplianceYearReply:
        """The figures of a compliance year, and every step with its day and source."""
        return await self.rest.get(
            "/compliance-year", ComplianceYearReply, account=account, scheme=scheme, year=year
        )

    async def instruments(self) -> InstrumentList:
        """Everything traded."""
        return await self.rest.get("/instruments", InstrumentList)

    async def phases(self) -> PhaseList:
        """Trading phases and dates."""
        return await self.rest.get("/phases", PhaseList)

    async def book(self, symbol: str, limit: int = 10) -> BookReply:
        """The best levels."""
        return await self.rest.get("/book", BookReply, symbol=symbol, limit=limit)

    async def auctions(self, symbol: str) -> list[AuctionRow]:
        """Every auction of an instrument that the gateway remembers, by id."""
        rows: list[AuctionRow] = []
        is_complete = False
        while not is_complete:
            after = rows[-1].auction_id if rows else 0
            page = await self.rest.get("/auctions", AuctionList, symbol=symbol, after=after)
            rows += page.auctions
            is_complete = page.is_complete
        return rows

    async def closes(self, symbol: str) -> CloseList:
        """What the last days closed at."""
        return await self.rest.get("/closes", CloseList, symbol=symbol)

    async def trades(self, symbol: str, limit: int = 20, after: int = -1) -> TradeList:
        """The last trades, newest first; with `after` those with a higher id, oldest first."""
        return await self.rest.get("/trades", TradeList, symbol=symbol, limit=limit, after=after)


def _market(market: str) -> dict[str, str | int]:
    return {"market": market} if market else {}
