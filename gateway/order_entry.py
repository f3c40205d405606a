"""The one way in: every request of REST, WebSocket and intake becomes commands here.

Checked at the edge: form, symbol, account, and that numbers fit their fields; everything that
depends on the state of the market (tick, band, phase, funds, ...) is judged by the engine alone,
so that there is one judge. What passes is queued for the market's `orders`.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from exchange.clock import Clock
from exchange.messages import orders as body
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import Command, Instruction, Phase, pack_command
from exchange.messages.reasons import EdgeReason, Reason, RegistryReason
from exchange.reference.venue import Account, Instrument, Key, Market, Venue
from exchange.settings import (
    CLOCK_AHEAD_MS_MAX,
    GATEWAY_QUEUE_MAX,
    PROJECT_NUMBER_MAX,
    TRADING_DATE_AHEAD_DAYS_MAX,
)
from gateway.decimals import INT64_MAX, to_minor, to_tonnes
from gateway.fields import instruction_id, label, limit_price, order_number, tonnes
from gateway.headroom import offset_room, rulebook
from gateway.instruction_notes import instruction_notes
from gateway.order_commands import PACKERS, Who, mass_cancel, propose_block, replace_order
from gateway.packing import plain_limit
from gateway.refusal import Refused
from gateway.roles import allow
from gateway.submitter import Submitter, Ticket
from gateway.throttle import Throttle
from gateway.venue_view import MarketView

YEAR_MAX = 9_999
INSTRUCTION = {
    body.IssueUnits: Instruction.ISSUE,
    body.DepositUnits: Instruction.DEPOSIT,
    body.TransferUnits: Instruction.TRANSFER,
    body.SurrenderUnits: Instruction.SURRENDER,
    body.CancelUnits: Instruction.CANCEL,
    body.FreezeUnits: Instruction.FREEZE,
    body.UnfreezeUnits: Instruction.UNFREEZE,
    body.PledgeUnits: Instruction.PLEDGE,
    body.ReleasePledge: Instruction.RELEASE_PLEDGE,
    body.EnforcePledge: Instruction.ENFORCE_PLEDGE,
    body.ProposeReversal: Instruction.PROPOSE_REVERSAL,
    body.ApproveReversal: Instruction.APPROVE_REVERSAL,
    body.RegisterProject: Instruction.REGISTER_PROJECT,
    body.ExchangeCredits: Instruction.EXCHANGE,
    body.SetEntitlement: Instruction.SET_ENTITLEMENT,
    body.ReportEmissions: Instruction.REPORT_EMISSIONS,
    body.VerifyEmissions: Instruction.VERIFY_EMISSIONS,
    body.AllocateUnits: Instruction.ALLOCATE,
    body.AssessYear: Instruction.ASSESS,
    body.ApplyCarryOver: Instruction.APPLY_CARRY_OVER,
    body.CarryOver: Instruction.CARRY_OVER,
    body.SetAccountType: Instruction.SET_ACCOUNT_TYPE,
    body.AppointRepresentative: Instruction.APPOINT_REPRESENTATIVE,
    body.DismissRepresentative: Instruction.DISMISS_REPRESENTATIVE,
    body.BlockAccount: Instruction.BLOCK_ACCOUNT,
    body.UnblockAccount: Instruction.UNBLOCK_ACCOUNT,
    body.ProposeTrust: Instruction.PROPOSE_TRUST,
    body.ApproveTrust: Instruction.APPROVE_TRUST,
    body.RemoveTrust: Instruction.REMOVE_TRUST,
    body.ApproveTransfer: Instruction.APPROVE_TRANSFER,
    body.CancelTransfer: Instruction.CANCEL_TRANSFER,
    body.BindAccount: Instruction.BIND_ACCOUNT,
    body.FailSettlement: Instruction.FAIL_SETTLEMENT,
    body.ObjectToTrade: Instruction.OBJECT_TO_TRADE,
    body.RetrySettlement: Instruction.RETRY_SETTLEMENT,
    body.VoidTrade: Instruction.VOID_TRADE,
    body.ProposeTradeCancel: Instruction.PROPOSE_TRADE_CANCEL,
    body.ApproveTradeCancel: Instruction.APPROVE_TRADE_CANCEL,
}
FOREIGN_ACCOUNTS_FOR = ("operator", "authority", "verifier")
FOR_EMITTERS = (body.SurrenderUnits, body.ReportEmissions, body.ApplyCarryOver)
ORDER_MAKERS = (
    body.NewOrderSingle,
    body.PickOrder,
    body.BlockProposal,
    body.BlockConfirmation,
    body.AuctionBid,
)
"""Requests whose log position is the id of the order that they make."""
CANCELS = (body.OrderCancelRequest, body.OrderMassCancelRequest)
"""Requests that can only reduce risk: a budget and places in the queue of their own."""
NONE_ALLOWED = (
    body.RegisterProject, body.SetEntitlement, body.ReportEmissions, body.VerifyEmissions,
    body.AllocateUnits,
)  # fmt: skip


class Desk(NamedTuple):
    """A market as order entry needs it: its writer and its projections."""

    market: Market
    submitter: Submitter
    view: MarketView


class Prepared(NamedTuple):
    """Commands ready for the queue."""

    desk: Desk
    session: int
    ref: int
    commands: list[bytes]
    is_cancel: bool = False
    valid_ms: int = 0


class OrderEntry:
    """Turns requests of a key into commands, and queues them."""

    def __init__(
        self, venue: Venue, desks: dict[str, Desk], throttle: Throttle, clock: Clock
    ) -> None:
        self.desks = desks
        self.throttle = throttle
        self.clock = clock
        self._instruments: dict[str, Instrument] = {item.symbol: item for item in venue.instrument}
        self._accounts: dict[tuple[str, int], Account] = {
            (account.market, account.id): account for account in venue.account
        }
        self._transfer_id = 0
        self._prepared_ref: dict[tuple[str, int], int] = {}  # (market, session) -> highest
        self._repeated: OrderedDict[tuple[str, int, int], None] = OrderedDict()

    # -- orders ---------------------------------------------------------------------------------

    def prepare(self, key: Key, request: body.OrderRequest) -> Prepared:
        """The commands of an order request; Refused names what cannot be used. O(1)."""
        if isinstance(request, body.OrderMassCancelRequest):
            return self._mass_cancel(key, request)
        instrument = self.instrument(request.symbol)
        desk = self.desks[instrument.market]
        self.own_account(key, desk.market, request.account)
        if instrument.offset_headroom == "enforce":
            buying = _buying(request)
            if buying and self._is_new(key, request.ref, desk):
                self._check_headroom(request.account, instrument, desk, tonnes(buying))
        ref = self._ref(request.ref)
        if type(request) is body.NewOrderSingle:
            plain = plain_limit(request, key.session, instrument.id, desk.market.minor_digits)
            if plain is not None:
                prepared = Prepared(desk, key.session, ref, [plain], False, request.valid_ms)
                self._note_ref(prepared, request.account)
                return prepared
        who: Who = {
            "session_id": key.session,
            "ref": ref,
            "account_id": request.account,
            "instrument_id": instrument.id,
        }
        if isinstance(request, body.OrderCancelRequest):
            return self._cancel(request, who, desk)
        if isinstance(request, body.OrderCancelReplaceRequest):
            order_id = self._replaced_id(request, desk)
            commands = replace_order(request, order_id, who, desk.market)
        elif isinstance(request, body.BlockProposal):
            counterparty = order_number("counterparty_account", request.counterparty_account)
            commands = propose_block(request, counterparty, who, desk.market)
        else:
            commands = PACKERS[type(request)](request, who, desk.market)
        prepared = Prepared(desk, key.session, request.ref, commands, valid_ms=request.valid_ms)
        if isinstance(request, ORDER_MAKERS):
            self._note_ref(prepared, request.account)
        return prepared

    def _is_new(self, key: Key, ref: int, desk: Desk) -> bool:
        known = desk.view.last_ref.get(key.session, 0)
        return ref > max(known, self._prepared_ref.get((desk.market.code, key.session), 0))

    def _check_headroom(
        self, account: int, instrument: Instrument, desk: Desk, quantity: int
    ) -> None:
        """Refuses what an emitter could not use, where the venue says so.

        By what the gateway has heard: orders on their way are not counted, and the registry holds
        the cap when units are surrendered.
        """
        if self._accounts[desk.market.code, account].type != "emitter":
            return
        on = rulebook().local_date(instrument.scheme, self.clock.now_ns())
        alike = [item for item in self._instruments.values() if item.market == instrument.market]
        found = offset_room(desk.view, alike, instrument, account, on)
        if quantity > found.room:
            raise Refused(
                EdgeReason.OFFSET_HEADROOM_EXCEEDED,
                f"{quantity} t of {instrument.symbol}; the obligations of account {account} leave "
                f"{found.room} t: caps {sum(year.left for year in found.years)} t, held "
                f"{found.held} t, being bought {found.buying} t",
            )

    def _note_ref(self, prepared: Prepared, account: int) -> None:
        """Remembers for `pending` which requests may be no new order. O(1)."""
        code, session, ref = prepared.desk.market.code, prepared.session, prepared.ref
        last = max(
            prepared.desk.view.last_ref.get(session, 0),
            self._prepared_ref.get((code, session), 0),
        )
        if ref > last:
            self._prepared_ref[code, session] = ref
            return
        self._repeated[code, account, ref] = None
        if len(self._repeated) > GATEWAY_QUEUE_MAX:
            self._repeated.popitem(last=False)

    def _cancel(self, request: body.OrderCancelRequest, who: Who, desk: Desk) -> Prepared:
        command = pack_command(
            Command.CANCEL_ORDER,
            order_id=self._order_id(request, desk),
            client_order_id=label(request.original_client_order_id),
            **who,
        )
        return Prepared(desk, who["session_id"], request.ref, [command], is_cancel=True)

    def _mass_cancel(self, key: Key, request: body.OrderMassCancelRequest) -> Prepared:
        desk = self.desk(request.market)
        instrument = self.instrument(request.symbol) if request.symbol else None
        if instrument is not None and instrument.market != request.market:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"{instrument.symbol} is traded in {instrument.market}"
            )
        if request.account:
            self.own_account(key, desk.market, request.account)
        who: Who = {
            "session_id": key.session,
            "ref": self._ref(request.ref),
            "account_id": request.account,
            "instrument_id": instrument.id if instrument else 0,
        }
        commands = mass_cancel(request, key.participant, who)
        return Prepared(desk, key.session, request.ref, commands, is_cancel=True)

    def _replaced_id(self, request: body.OrderCancelReplaceRequest, desk: Desk) -> int:
        order_id = self._order_id(request, desk)
        if order_id:
            return order_id
        # only cancels may name an order by the client's id on the log
        named = request.original_client_order_id
        known = desk.view.reports.order_labelled(request.account, named)
        if known is None:
            raise Refused(Reason.UNKNOWN_ORDER, f"client_order_id {named!r}")
        return known.order_id

    @staticmethod
    def _order_id(
        request: body.OrderCancelRequest | body.OrderCancelReplaceRequest, desk: Desk
    ) -> int:
        order_id, client_id = request.order_id, request.original_client_order_id
        if not 0 <= order_id <= INT64_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"order_id: {order_id} is no id of an order")
        if bool(order_id) == bool(client_id):
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"name the order of {desk.market.code} by order_id or by "
                "original_client_order_id, one of them",
            )
        return order_id

    # -- instructions and operations ------------------------------------------------------------

    def prepare_instruction(self, key: Key, request: body.Instruction) -> Prepared:
        """The commands of an instruction to the registry; Refused if the role may not."""
        allow(key, type(request).__name__)
        instrument = self.instrument(request.symbol)
        desk = self.desks[instrument.market]
        is_free = key.role in FOREIGN_ACCOUNTS_FOR
        account = (
            self.account(desk.market, request.account)
            if is_free
            else self.own_account(key, desk.market, request.account)
        )
        if isinstance(request, FOR_EMITTERS) and account.type != "emitter":
            raise Refused(
                RegistryReason.NO_OBLIGATION, f"account {account.id} is no emitter's account"
            )
        if isinstance(request, body.VerifyEmissions) and key.participant == account.participant:
            raise Refused(RegistryReason.VERIFIER_IS_EMITTER, f"account {account.id} is its own")
        texts = instruction_notes(key, request, desk.market)
        is_release = isinstance(request, body.ReleaseUnits)
        command = pack_command(
            Command.UNITS_RELEASE if is_release else Command.INSTRUCTION,
            order_type=0 if is_release else INSTRUCTION[type(request)],
            instrument_id=instrument.id,
            account_id=request.account,
            session_id=key.session,
            ref=self._ref(request.ref),
            quantity=_asked(request),
            price=self._argument(request, desk.market),
            order_id=self.transfer_id() if is_release else 0,
            client_order_id=label(request.client_order_id),
        )
        return Prepared(desk, key.session, request.ref, [command, *texts])

    def _argument(self, request: body.Instruction, market: Market) -> int:
        if isinstance(request, body.TransferUnits):
            return self.account(market, request.to_account).id
        if isinstance(request, body.PledgeUnits):
            return self.account(market, request.lender_account).id
        if isinstance(request, body.ReleasePledge | body.EnforcePledge):
            return self.account(market, request.owner_account).id
        if isinstance(request, body.ProposeReversal):
            return instruction_id("original_id", request.original_id)
        if isinstance(request, body.TradeBody):
            return instruction_id("trade_id", request.trade_id)
        if isinstance(request, body.ApproveReversal | body.ApproveTradeCancel):
            return instruction_id("proposal_id", request.proposal_id)
        if not 0 <= getattr(request, "project", 0) <= PROJECT_NUMBER_MAX:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"project: outside 0..{PROJECT_NUMBER_MAX} (0 = none)"
            )
        if isinstance(request, body.RegisterProject):
            return request.project
        if isinstance(request, body.ExchangeCredits):
            return self.instrument(request.allowance).id
        if isinstance(request, body.CarryOver):
            return instruction_id("application_id", request.application_id)
        if isinstance(request, body.ApproveTransfer | body.CancelTransfer):
            return instruction_id("transfer_id", request.transfer_id)
        if isinstance(request, body.ProposeTrust | body.ApproveTrust | body.RemoveTrust):
            return self.account(market, request.trusted_account).id
        if isinstance(request, body.SetAccountType):
            return int(request.needs_two)
        if isinstance(request, body.BindAccount):
            return self._bound(request)
        year = getattr(request, "year", 0)
        if not 0 <= year <= YEAR_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"year: {year} is no year")
        return int(year)

    def _bound(self, request: body.BindAccount) -> int:
        desk = self.desk(request.bound_market)
        return self.account(desk.market, request.bound_account).id if request.bound_account else 0

    def prepare_operation(self, key: Key, request: body.Operation) -> Prepared:
        """The command of an operator."""
        number = self._ref(request.ref)
        if isinstance(request, body.ReferencePrice):
            instrument = self.instrument(request.symbol)
            desk = self.desks[instrument.market]
            price = limit_price(request.price, desk.market)
            command = pack_command(
                Command.REFERENCE_PRICE,
                instrument_id=instrument.id,
                session_id=key.session,
                ref=number,
                price=price,
            )
            return Prepared(desk, key.session, request.ref, [command])
        desk = self.desk(request.market)
        if isinstance(request, body.PhaseChange):
            named = self.instrument(request.symbol) if request.symbol else None
            if named is not None and named.market != request.market:
                raise Refused(
                    EdgeReason.INVALID_FIELD, f"{named.symbol} is traded in {named.market}"
                )
            return Prepared(desk, key.session, request.ref, [pack_command(
                Command.PHASE_CHANGE,
                order_type=Phase[request.phase],
                instrument_id=named.id if named else 0,
                session_id=key.session,
                ref=number,
            )])  # fmt: skip
        if isinstance(request, body.DayRoll):
            command = pack_command(
                Command.DAY_ROLL,
                session_id=key.session,
                ref=number,
                quantity=self._trading_date(request.trading_date),
            )
            return Prepared(desk, key.session, request.ref, [command])
        account = self.account(desk.market, request.account)
        amount = to_minor(request.amount, desk.market.minor_digits, "amount")
        if amount == 0:
            raise Refused(Reason.QUANTITY_NOT_POSITIVE, "amount 0")
        return Prepared(desk, key.session, request.ref, [pack_command(
            Command.CASH_DEPOSIT if amount > 0 else Command.CASH_WITHDRAW,
            account_id=account.id,
            quantity=abs(amount),
            order_id=self.transfer_id(),
            session_id=key.session,
            ref=number,
        )])  # fmt: skip

    # -- the queue ------------------------------------------------------------------------------

    def submit(self, prepared: Prepared, done: Callable[[Ticket], None]) -> Ticket:
        """Queues the commands; `done` is called when the log has them or they are refused."""

        def known(ticket: Ticket) -> None:
            if ticket.refused is None:
                prepared.desk.view.acknowledge(prepared.session, prepared.ref)
            done(ticket)

        ticket = Ticket(
            prepared.commands, known, is_cancel=prepared.is_cancel, valid_ms=prepared.valid_ms
        )
        prepared.desk.submitter.submit(ticket)
        return ticket

    def pending(
        self, request: body.OrderRequest | body.AuctionBid, desk: Desk, position: int
    ) -> ExecutionReport:
        """The log has the request: its answer until the engine speaks.

        It names the order only where the ref was new: a resend's place is no order's id.
        """
        is_new = isinstance(request, ORDER_MAKERS)
        order_id = 0 if is_new else getattr(request, "order_id", 0)
        if is_new and not self._is_repeated(request, desk):
            order_id = position
        return ExecutionReport(
            desk.market.code,
            request.account,
            "PENDING",
            "PENDING" if is_new else "",
            request_id=position,
            order_id=order_id,
            client_order_id=getattr(request, "client_order_id", ""),
            ref=request.ref,
            symbol=request.symbol,
        )

    def _is_repeated(self, request: body.OrderRequest | body.AuctionBid, desk: Desk) -> bool:
        if not self._repeated or isinstance(request, body.OrderMassCancelRequest):
            return False
        return (desk.market.code, request.account, request.ref) in self._repeated

    # -- names ----------------------------------------------------------------------------------

    def instrument(self, symbol: str) -> Instrument:
        """The instrument of a symbol; Refused (UNKNOWN_SYMBOL)."""
        found = self._instruments.get(symbol)
        if found is None:
            raise Refused(EdgeReason.UNKNOWN_SYMBOL, f"symbol {symbol[:40]!r}")
        return found

    def desk(self, code: str) -> Desk:
        """The desk of a market; Refused (INVALID_FIELD) names the known ones."""
        found = self.desks.get(code)
        if found is None:
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"market: {code[:40]!r} is none of {', '.join(sorted(self.desks))}",
            )
        return found

    def account(self, market: Market, account: int) -> Account:
        """An account of a market; Refused (UNKNOWN_ACCOUNT)."""
        found = self._accounts.get((market.code, account))
        if found is None:
            raise Refused(Reason.UNKNOWN_ACCOUNT, f"account {account} of {market.code}")
        return found

    def own_account(self, key: Key, market: Market, account: int) -> Account:
        """An account of the key's participant; unknown and foreign are answered alike."""
        found = self._accounts.get((market.code, account))
        if found is None or found.participant != key.participant:
            raise Refused(EdgeReason.NOT_OWN_ACCOUNT, f"account {account} of {market.code}")
        return found

    def accounts_of(self, key: Key, market: Market) -> frozenset[int]:
        """The participant's accounts in a market."""
        return frozenset(
            account.id
            for account in self._accounts.values()
            if account.participant == key.participant and account.market == market.code
        )

    def checked_ref(self, value: int) -> int:
        """The ref of a request that is prepared elsewhere; Refused (INVALID_FIELD). O(1)."""
        return self._ref(value)

    def _ref(self, value: int) -> int:
        """A ref a session can go on from; Refused (INVALID_FIELD).

        A counter or a clock in nanoseconds both stay at or below the present time; a slip of the
        finger far above it would leave the session no higher number to use.
        """
        now_ns = self.clock.now_ns() + CLOCK_AHEAD_MS_MAX * 1_000_000
        if not 1 <= value <= now_ns:
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"ref: {value} is outside 1..the present time in ns ({now_ns}): count up from the "
                "last_ref of GET /session, or use a clock",
            )
        return value

    def _trading_date(self, value: int) -> int:
        """A calendar date at most TRADING_DATE_AHEAD_DAYS_MAX days ahead; a roll is for good."""
        today = dt.datetime.fromtimestamp(self.clock.now_ns() // 10**9, dt.UTC).date()
        last = today + dt.timedelta(TRADING_DATE_AHEAD_DAYS_MAX)
        try:
            date = dt.date(value // 10_000, value // 100 % 100, value % 100)
        except (ValueError, OverflowError):
            date = dt.date.max
        if date > last:
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"trading_date: {value} is no date YYYYMMDD up to {last:%Y%m%d}, "
                f"{TRADING_DATE_AHEAD_DAYS_MAX} days from today",
            )
        return value

    def transfer_id(self) -> int:
        """A number for a transfer: the clock's nanoseconds, never twice in this process."""
        self._transfer_id = max(self._transfer_id + 1, self.clock.now_ns())
        return self._transfer_id


def _asked(request: body.Instruction) -> int:
    """The tonnes of an instruction: some have none, and emissions may be none."""
    if isinstance(request, body.AssessYear | body.AccountBody):
        return 0
    if isinstance(request, NONE_ALLOWED) and not to_tonnes(request.quantity):
        return 0
    return tonnes(request.quantity)


def _buying(request: body.OrderRequest) -> int | str:
    """The tonnes that a request may buy; 0 for none. A replace was judged when it was new."""
    if isinstance(request, body.Quote):
        return request.bid_quantity
    if isinstance(request, (*CANCELS, body.OrderCancelReplaceRequest)):
        return 0
    return request.quantity if request.side == "BUY" else 0
