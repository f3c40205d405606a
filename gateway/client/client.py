"""`Client`: everything a member does at the venue, with one key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from exchange.clock import Clock, SystemClock
from exchange.messages.executions import ExecutionReport, InstructionReport, OperationReport
from exchange.messages.orders import (
    AuctionBid,
    AuctionCancel,
    AuctionClear,
    AuctionOpen,
    AuctionOperation,
    CashDeposit,
    DayRoll,
    Instruction,
    NewOrderSingle,
    OpeningOverride,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderRequest,
    OrderTypeWord,
    PhaseChange,
    PhaseWord,
    ReferencePrice,
    SideWord,
    TimeInForceWord,
)
from exchange.messages.reasons import DayReason, EdgeReason
from exchange.settings import PAGE_MAX, RECEIVE_WINDOW_MS, WAIT_MS_MAX
from gateway.client.errors import (
    OperationFailedError,
    RateLimitError,
    RefNotTakenError,
    StatusUnknownError,
    VenueBusyError,
    VenueError,
    error_of,
)
from gateway.client.feed import socket_url
from gateway.client.keys import SigningKey
from gateway.client.rest import Rest
from gateway.client.session import OrderStream, Waiting
from gateway.routes.accounts import HoldingList, PositionList, SessionReply
from gateway.routes.alerts import AlertList
from gateway.routes.auctions import AuctionList, AuctionRow, CloseList
from gateway.routes.books import DuplicateList, HoldingsAt, SerialHistory
from gateway.routes.compliance import OffsetHeadroomReply, SurrenderPlanReply
from gateway.routes.market import BookReply, InstrumentList, PhaseList, TradeList
from gateway.routes.registry import ProjectList, ReversalList
from gateway.routes.settlements import SettlementList
from gateway.routes.standings import AccountList, TransferList
from gateway.routes.trading import ExecutionList, OrderList
from gateway.routes.years import ComplianceYearReply

WAIT_S = 10.0  # for the engine's answer
POLL_S = 0.05
NOTHING_DONE = (EdgeReason.REF_PASSED_OVER, EdgeReason.REF_REUSED)
PAUSE_S = 0.1
OPENING_PATIENCE_S = 60.0  # for the first reconciliation of a day
OPENING_PAUSE_S = 0.5
AUCTION_PATHS: dict[type[AuctionOperation], str] = {
    AuctionOpen: "/operations/auction-open",
    AuctionClear: "/operations/auction-clear",
    AuctionCancel: "/operations/auction-cancel",
}
NUMBERS = 3  # tried for a request whose number turns out to be taken

_T = TypeVar("_T", bound=msgspec.Struct)


class Client:
    """A member's connection: orders over the socket, the rest over REST.

    Owns the key's `ref` numbering, so there must be one client a key. A refusal raises VenueError
    (`gateway.client.errors`); an answer is the last report which the request caused.
    """

    def __init__(self, url: str, key: SigningKey, clock: Clock | None = None) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._clock = clock or SystemClock()
        self.rest = Rest(url, key, self._clock)
        self._stream: OrderStream | None = None
        self._opening = asyncio.Lock()
        self._numbering = asyncio.Lock()  # held by numbered REST requests
        self._ref = -1  # last used; -1 = not asked yet

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; idempotent. Resting orders stay."""
        if self._stream is not None:
            await self._stream.close()
            self._stream = None
        await self.rest.close()

    async def stream(self) -> OrderStream:
        """The order-entry connection, opened at the first use: reports, listeners, sequences."""
        async with self._opening:
            if self._stream is None:
                await self._know_ref()
                address = await socket_url(self.url, "/orders")
                stream = OrderStream(address, self.key, self._clock)
                await stream.open()
                self._ref = max(self._ref, stream.last_ref)
                self._stream = stream
        return self._stream

    # -- orders ---------------------------------------------------------------------------------

    async def new_order(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        quantity: int,
        price: str = "",
        *,
        order_type: OrderTypeWord = "LIMIT",
        time_in_force: TimeInForceWord = "DAY",
        client_order_id: str = "",
        valid_ms: int = RECEIVE_WINDOW_MS,
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Sends an order; its state after the engine has dealt with it (`wait_s` 0: PENDING)."""
        request = NewOrderSingle(
            ref=0,
            symbol=symbol,
            account=account,
            side=side,
            quantity=quantity,
            price=price,
            order_type=order_type,
            time_in_force=time_in_force,
            client_order_id=client_order_id,
            valid_ms=valid_ms,
        )
        return await self.order(request, wait_s)

    async def cancel_order(
        self,
        symbol: str,
        account: int,
        order_id: int = 0,
        *,
        original_client_order_id: str = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Cancels an order, named by either id."""
        request = OrderCancelRequest(
            ref=0,
            symbol=symbol,
            account=account,
            order_id=order_id,
            original_client_order_id=original_client_order_id,
        )
        return await self.order(request, wait_s)

    async def replace_order(
        self,
        symbol: str,
        account: int,
        order_id: int,
        quantity: int,
        price: str,
        *,
        client_order_id: str = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Changes an order's total quantity and price."""
        request = OrderCancelReplaceRequest(
            ref=0,
            symbol=symbol,
            account=account,
            order_id=order_id,
            quantity=quantity,
            price=price,
            client_order_id=client_order_id,
        )
        return await self.order(request, wait_s)

    async def order(self, request: OrderRequest, wait_s: float = WAIT_S) -> ExecutionReport:
        """Numbers and sends a request; sent again with a new number where nothing was done.

        Raises VenueError; StatusUnknownError when nothing came back in time.
        """
        deadline = asyncio.get_running_loop().time() + max(wait_s, WAIT_S)
        while True:
            try:
                report = await self._answer(await self.send(request), wait_s)
            except (RateLimitError, VenueBusyError) as error:
                pause = max(error.retry_after_ms / 1_000, PAUSE_S)
                if asyncio.get_running_loop().time() + pause > deadline:
                    raise
                await asyncio.sleep(pause)
                continue
            if report.reason in NOTHING_DONE and asyncio.get_running_loop().time() < deadline:
                await self._catch_up()
                continue  # the number is not free, and nothing was done under it: a new one
            if report.reason == EdgeReason.REF_FORGOTTEN:
                raise error_of(report.reason, report.text, report=report)
            if report.exec_type == "REJECTED":
                raise error_of(report.reason, report.text, report=report)
            return report

    async def send(self, request: OrderRequest) -> Waiting:
        """Numbers and sends a request without waiting: `answered` and `taken` are its futures."""
        stream = await self.stream()
        async with self._numbering:
            self._ref = max(self._ref, stream.last_ref) + 1
            return stream.send(msgspec.structs.replace(request, ref=self._ref))

    async def _answer(self, waiting: Waiting, wait_s: float) -> ExecutionReport:
        stream = await self.stream()
        if wait_s <= 0:
            await asyncio.wait_for(waiting.taken, WAIT_S)
            if waiting.answered.done():
                return waiting.answered.result()
            if waiting.pending is not None:
                return waiting.pending
        try:
            return await asyncio.wait_for(asyncio.shield(waiting.answered), max(wait_s, 0.001))
        except TimeoutError:
            if waiting.pending is not None:
                return waiting.pending
            stream.forget(waiting.request.ref)
            raise StatusUnknownError(
                0, f"no answer to ref {waiting.request.ref} in {wait_s} s"
            ) from None

    # -- instructions and operations ------------------------------------------------------------

    async def instruct(
        self, instruction: Instruction, *, wait_s: float = WAIT_S
    ) -> InstructionReport:
        """Sends an instruction (its `ref` is set here) and waits until DONE.

        Raises RegistryRefusedError and other VenueErrors; the last report says PENDING when the
        time is over, or, with `due_ns`, when a transfer waits for its own.
        """
        deadline = asyncio.get_running_loop().time() + wait_s
        wait_ms = min(int(wait_s * 1_000), WAIT_MS_MAX)
        report = await self._numbered("/instructions", instruction, InstructionReport, wait_ms)
        while (
            report.status == "PENDING"
            and not report.due_ns
            and asyncio.get_running_loop().time() < deadline
        ):
            await asyncio.sleep(POLL_S)
            report = await self.instruction(report.instruction_id, report.market)
        if report.status == "REFUSED":
            raise error_of(report.reason, report.text, report=report)
        return report

    async def instruction(self, instruction_id: int, market: str) -> InstructionReport:
        """Where an instruction stands; PENDING while the engine has not heard it."""
        return await self.rest.get(
            f"/instructions/{instruction_id}", InstructionReport, market=market
        )

    async def set_phase(
        self,
        market: str,
        phase: PhaseWord,
        symbol: str = "",
        override: OpeningOverride | None = None,
    ) -> OperationReport:
        """Moves an instrument, or all of the market, to a phase (operator).

        `override` opens a market whose reconciliation is red or missing, and is kept.
        """
        body = PhaseChange(ref=0, market=market, phase=phase, symbol=symbol, override=override)
        return await self._operate("/operations/phase", body)

    async def open_market(
        self, market: str, patience_s: float = OPENING_PATIENCE_S
    ) -> OperationReport:
        """CONTINUOUS for all of the market, once its new day is reconciled (operator).

        Asks again while the reconciliation is missing, for at most `patience_s`.
        """
        pauses = int(patience_s / OPENING_PAUSE_S)
        for _ in range(pauses):
            try:
                return await self.set_phase(market, "CONTINUOUS")
            except VenueError as error:
                if error.reason != DayReason.RECONCILIATION_MISSING:
                    raise
            await asyncio.sleep(OPENING_PAUSE_S)
        return await self.set_phase(market, "CONTINUOUS")

    async def roll_day(self, market: str, trading_date: int) -> OperationReport:
        """Ends the trading day and starts `trading_date`, YYYYMMDD (operator)."""
        body = DayRoll(ref=0, market=market, trading_date=trading_date)
        return await self._operate("/operations/day-roll", body)

    async def deposit_cash(self, market: str, account: int, amount: str) -> OperationReport:
        """Cash arrived for an account; negative: it leaves (operator)."""
        body = CashDeposit(ref=0, market=market, account=account, amount=amount)
        return await self._operate("/operations/cash-deposit", body)

    async def set_reference_price(self, symbol: str, price: str) -> OperationReport:
        """Sets a reference price (operator)."""
        body = ReferencePrice(ref=0, symbol=symbol, price=price)
        return await self._operate("/operations/reference-price", body)

    async def bid(self, bid: AuctionBid) -> ExecutionReport:
        """A sealed bid in an open auction (its `ref` is set here); raises what refuses it."""
        return await self._numbered("/auctions/bids", bid, ExecutionReport, WAIT_MS_MAX)

    async def run_auction(self, operation: AuctionOperation) -> OperationReport:
        """Opens, closes or calls off an auction (operator; its `ref` is set here)."""
        return await self._operate(AUCTION_PATHS[type(operation)], operation)

    async def _operate(self, path: str, body: msgspec.Struct) -> OperationReport:
        report = await self._numbered(path, body, OperationReport, WAIT_MS_MAX)
        if report.status == "PENDING":
            raise OperationFailedError(0, f"{path}: the engine has not answered", report=report)
        return report

    async def _numbered(self, path: str, body: msgspec.Struct, reply: type[_T], wait_ms: int) -> _T:
        for number in range(1, NUMBERS + 1):
            async with self._next_ref() as ref:
                numbered: Any = msgspec.structs.replace(body, ref=ref)
                try:
                    return await self.rest.call(
                        "POST", path, reply, body=numbered, query={"wait_ms": wait_ms}
                    )
                except RefNotTakenError:
                    # nothing was done: the venue knows a higher number of this key
                    if number == NUMBERS:
                        raise
            await self._catch_up()
        raise AssertionError("unreachable")

    @asynccontextmanager
    async def _next_ref(self) -> AsyncIterator[int]:
        # a higher number must not overtake a lower one: what the socket sent is with the venue
        # before a REST request goes out, and nothing is sent until it is answered
        async with self._numbering:
            if self._stream is not None:
                await self._stream.idle(WAIT_S)
            await self._know_ref()
            self._ref += 1
            yield self._ref

    async def _know_ref(self) -> None:
        if self._ref < 0:
            await self._catch_up()

    async def _catch_up(self) -> None:
        heard = (await self.session()).last_ref.values()
        self._ref = max(self._ref, *heard)

    # -- questions ------------------------------------------------------------------------------

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
        return await self.rest.get(f"/orders/{order_id}", ExecutionReport, **_market(market))

    async def executions(self, market: str, after: int = 0) -> ExecutionList:
        """Reports after a sequence, a page of them."""
        return await self.rest.get("/executions", ExecutionList, market=market, after=after)

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
        self, market: str = "", *, after: int = 0, kind: str = "", limit: int = PAGE_MAX
    ) -> AlertList:
        """What surveillance saw, newest first (operator, authority)."""
        query: dict[str, str | int] = _market(market) | {"after": after, "limit": limit}
        if kind:
            query["kind"] = kind
        return await self.rest.get("/alerts", AlertList, **query)

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

    async def trades(self, symbol: str, limit: int = 20) -> TradeList:
        """The last trades, newest first."""
        return await self.rest.get("/trades", TradeList, symbol=symbol, limit=limit)


def _market(market: str) -> dict[str, str | int]:
    return {"market": market} if market else {}
