"""`Client`: everything a member does at the venue, with one key."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import msgspec

from exchange.clock import Clock
from exchange.messages.executions import (
    DisconnectScope,
    ExecutionReport,
    InstructionReport,
    OperationReport,
)
from exchange.messages.instructions import Instruction
from exchange.messages.operations import (
    AuctionCancel,
    AuctionClear,
    AuctionOpen,
    AuctionOperation,
    CashDeposit,
    DayRoll,
    OpeningOverride,
    PhaseChange,
    PhaseWord,
    ReferencePrice,
)
from exchange.messages.orders import (
    AuctionBid,
    BlockConfirmation,
    BlockProposal,
    NewOrderSingle,
    OrderCancelReplaceRequest,
    OrderCancelRequest,
    OrderMassCancelRequest,
    OrderRequest,
    OrderTypeWord,
    PickOrder,
    PostOnlyWord,
    Quote,
    SelfTradeWord,
    SideWord,
    TimeInForceWord,
)
from exchange.messages.reasons import DayReason, EdgeReason
from exchange.settings import RECEIVE_WINDOW_MS, WAIT_MS_MAX
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
from gateway.client.questions import Questions
from gateway.client.rest import Rest, VenueClock
from gateway.client.session import OrderStream, Waiting

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


class Client(Questions):
    """A member's connection: orders over the socket, the rest over REST.

    Owns the key's `ref` numbering, so there must be one client a key. A refusal raises VenueError
    (`gateway.client.errors`); an answer is the last report which the request caused.

    `cancel_on_disconnect` "SESSION" ends this key's orders, "PARTICIPANT" the firm's, when the
    connection is over and is not there again within seconds, also after `close`.
    """

    def __init__(
        self,
        url: str,
        key: SigningKey,
        clock: Clock | None = None,
        *,
        cancel_on_disconnect: DisconnectScope = "NONE",
    ) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._clock = VenueClock(clock)
        self.rest = Rest(url, key, self._clock)
        self._scope: DisconnectScope = cancel_on_disconnect
        self._stream: OrderStream | None = None
        self._opening = asyncio.Lock()
        self._numbering = asyncio.Lock()  # held by numbered REST requests
        self._ref = -1  # last used; -1 = not asked yet

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connections; idempotent. Resting orders stay, unless they end with them."""
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
                stream = OrderStream(address, self.key, self._clock, self._scope)
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
        stop_price: str = "",
        display_quantity: int = 0,
        minimum_quantity: int = 0,
        expire_date: dt.date | None = None,
        post_only: PostOnlyWord = "",
        self_trade_prevention: SelfTradeWord = "",
        is_persistent: bool = True,
        client_order_id: str = "",
        valid_ms: int = RECEIVE_WINDOW_MS,
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Sends an order; its state after the engine has dealt with it (`wait_s` 0: PENDING).

        Quantities in tonnes, prices in currency units a tonne as "71.25". `order_type` STOP and
        STOP_LIMIT take `stop_price`; `expire_date` goes with GTD; `display_quantity` is the slice
        of an iceberg; `matching/RULES.md` says which terms go together.

        Raises InvalidOrderError, InsufficientFundsError, MarketClosedError, PermissionDeniedError,
        DuplicateOrderError (`client_order_id` names another order); StatusUnknownError when no
        answer came: `find_order(client_order_id)` tells what became of it.
        """
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
            stop_price=stop_price,
            display_quantity=display_quantity,
            minimum_quantity=minimum_quantity,
            expire_date=expire_date,
            post_only=post_only,
            self_trade_prevention=self_trade_prevention,
            is_persistent=is_persistent,
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
        """Cancels an order, named by either id; also withdraws or declines a block.

        Raises OrderNotFoundError; PermissionDeniedError for an account of others. The report of an
        order that had ended says so (`order_status`).
        """
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
        price: str = "",
        *,
        original_client_order_id: str = "",
        stop_price: str = "",
        display_quantity: int = 0,
        minimum_quantity: int = 0,
        expire_date: dt.date | None = None,
        client_order_id: str = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Changes an order's total quantity (tonnes, the executed ones too) and price.

        Named by `order_id`, or by `original_client_order_id` with `order_id` 0. With one of the
        four terms all four are set anew, without any the order keeps its own. Raises as `new_order`
        does, and OrderNotFoundError.
        """
        request = OrderCancelReplaceRequest(
            ref=0,
            symbol=symbol,
            account=account,
            order_id=order_id,
            original_client_order_id=original_client_order_id,
            quantity=quantity,
            price=price,
            client_order_id=client_order_id,
            stop_price=stop_price,
            display_quantity=display_quantity,
            minimum_quantity=minimum_quantity,
            expire_date=expire_date,
        )
        return await self.order(request, wait_s)

    async def mass_cancel(
        self,
        market: str,
        *,
        symbol: str = "",
        account: int = 0,
        side: SideWord | None = None,
        own_session: bool = False,
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Cancels all orders of the participant in a market that fit; `affected_orders` counts.

        `own_session`: only those which this key sent. Raises BadRequestError for a symbol of
        another market, PermissionDeniedError for an account of others.
        """
        request = OrderMassCancelRequest(
            ref=0,
            market=market,
            symbol=symbol,
            account=account,
            side=side or "",
            own_session=own_session,
        )
        return await self.order(request, wait_s)

    async def quote(
        self,
        symbol: str,
        account: int,
        *,
        bid: tuple[int, str] | None = None,
        offer: tuple[int, str] | None = None,
        post_only: Literal["", "REFUSE"] = "",
        self_trade_prevention: SelfTradeWord = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Sets both sides of the account's quote, each (tonnes, price), in the place of the last.

        A side that is None is left empty; both None withdraw the quote. Raises as `new_order`
        does; a quote that is refused leaves the one before as it was.
        """
        bid_quantity, bid_price = bid or (0, "")
        offer_quantity, offer_price = offer or (0, "")
        request = Quote(
            ref=0,
            symbol=symbol,
            account=account,
            bid_quantity=bid_quantity,
            bid_price=bid_price,
            offer_quantity=offer_quantity,
            offer_price=offer_price,
            post_only=post_only,
            self_trade_prevention=self_trade_prevention,
        )
        return await self.order(request, wait_s)

    async def pick(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        listing_id: int,
        quantity: int,
        price: str,
        *,
        client_order_id: str = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Takes tonnes of a listing, where takers choose; `side` is the taker's.

        `listing_id` is the listing's order id, `price` the listing's own. Raises as `new_order`
        does; RefusedError when the listing is gone or differs.
        """
        request = PickOrder(
            ref=0,
            symbol=symbol,
            account=account,
            side=side,
            listing_id=listing_id,
            quantity=quantity,
            price=price,
            client_order_id=client_order_id,
        )
        return await self.order(request, wait_s)

    async def propose_block(
        self,
        symbol: str,
        account: int,
        side: SideWord,
        quantity: int,
        price: str,
        counterparty_account: int,
        *,
        client_order_id: str = "",
        wait_s: float = WAIT_S,
    ) -> ExecutionReport:
        """Proposes a negotiated trade; the other side finds it in `blocks` and has to confirm it.

        Raises as `new_order` does; InvalidOrderError below the least size or out of the price
        range of blocks, MarketClosedError where and when none are taken.
        """
        request = BlockProposal(
            ref=0,
            symbol=symbol,
            account=account,
            side=side,
            quantity=quantity,
            price=price,
            counterparty_account=counterparty_account,
            client_order_id=client_order_id,
        )
        return await self.order(request, wait_s)

    async def confirm_block(
        self, proposal: ExecutionReport, *, client_order_id: str = "", wait_s: float = WAIT_S
    ) -> ExecutionReport:
        """Confirms a block of `blocks`: the same size and price, the side that it does not name.

        To decline it, `cancel_order(proposal.symbol, proposal.account, proposal.order_id)`. Raises
        RefusedError when it was withdrawn or is too old, InsufficientFundsError.
        """
        request = BlockConfirmation(
            ref=0,
            symbol=proposal.symbol,
            account=proposal.account,
            side="SELL" if proposal.side == "BUY" else "BUY",
            quantity=proposal.order_quantity,
            price=proposal.price,
            proposal_id=proposal.order_id,
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

        `override` opens a market whose reconciliation is red or missing, once a second person has
        approved it (PROPOSED is an answer), and is kept.
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
        """Cash arrived for an account; negative: it leaves (operator). Much is PROPOSED."""
        body = CashDeposit(ref=0, market=market, account=account, amount=amount)
        return await self._operate("/operations/cash-deposit", body)

    async def set_reference_price(self, symbol: str, price: str) -> OperationReport:
        """Sets a reference price (operator). One outside the band is PROPOSED."""
        body = ReferencePrice(ref=0, symbol=symbol, price=price)
        return await self._operate("/operations/reference-price", body)

    async def bid(self, bid: AuctionBid) -> ExecutionReport:
        """A sealed bid in an open auction (its `ref` is set here); raises what refuses it."""
        return await self.order(bid)

    async def run_auction(self, operation: AuctionOperation) -> OperationReport:
        """Opens, closes or calls off an auction (operator; its `ref` is set here)."""
        return await self._operate(AUCTION_PATHS[type(operation)], operation)

    async def operate(self, path: str, body: msgspec.Struct) -> OperationReport:
        """Sends an operator's request to its path (its `ref` is set here); PROPOSED is an answer.

        Raises what refuses it.
        """
        return await self._operate(path, body)

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
