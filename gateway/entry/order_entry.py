"""The one way in: every request of REST, WebSocket and intake becomes commands here.

Checked at the edge: form, symbol, account, and that numbers fit their fields; everything that
depends on the state of the market (tick, band, phase, funds, ...) is judged by the engine alone,
so that there is one judge. What passes is queued for the market's `orders`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from exchange.clock import Clock
from exchange.messages import instructions
from exchange.messages import orders as body
from exchange.messages.executions import ExecutionReport
from exchange.messages.frames import Command, Instruction, pack_command
from exchange.messages.reasons import AccessReason, EdgeReason, Reason, RegistryReason
from exchange.reference.venue import Account, Instrument, Key, Market, Venue
from exchange.settings import (
    CLOCK_AHEAD_MS_MAX,
    GATEWAY_QUEUE_MAX,
    PROJECT_NUMBER_MAX,
)
from gateway.access.roles import allow
from gateway.access.throttle import Throttle
from gateway.entry.decimals import INT64_MAX, to_tonnes
from gateway.entry.fields import instruction_id, label, order_number, tonnes
from gateway.entry.instruction_notes import instruction_notes
from gateway.entry.order_commands import PACKERS, Who, mass_cancel, propose_block, replace_order
from gateway.entry.packing import PlainOrders, plain_limit
from gateway.entry.submitter import Submitter, Ticket
from gateway.refusal import Refused
from gateway.views.headroom import offset_room, rulebook
from gateway.views.venue_view import MarketView

YEAR_MAX = 9_999
INSTRUCTION = {
    instructions.IssueUnits: Instruction.ISSUE,
    instructions.DepositUnits: Instruction.DEPOSIT,
    instructions.TransferUnits: Instruction.TRANSFER,
    instructions.SurrenderUnits: Instruction.SURRENDER,
    instructions.CancelUnits: Instruction.CANCEL,
    instructions.FreezeUnits: Instruction.FREEZE,
    instructions.UnfreezeUnits: Instruction.UNFREEZE,
    instructions.PledgeUnits: Instruction.PLEDGE,
    instructions.ReleasePledge: Instruction.RELEASE_PLEDGE,
    instructions.EnforcePledge: Instruction.ENFORCE_PLEDGE,
    instructions.ProposeReversal: Instruction.PROPOSE_REVERSAL,
    instructions.ApproveReversal: Instruction.APPROVE_REVERSAL,
    instructions.RegisterProject: Instruction.REGISTER_PROJECT,
    instructions.ExchangeCredits: Instruction.EXCHANGE,
    instructions.SetEntitlement: Instruction.SET_ENTITLEMENT,
    instructions.ReportEmissions: Instruction.REPORT_EMISSIONS,
    instructions.VerifyEmissions: Instruction.VERIFY_EMISSIONS,
    instructions.AllocateUnits: Instruction.ALLOCATE,
    instructions.AssessYear: Instruction.ASSESS,
    instructions.ApplyCarryOver: Instruction.APPLY_CARRY_OVER,
    instructions.CarryOver: Instruction.CARRY_OVER,
    instructions.SetAccountType: Instruction.SET_ACCOUNT_TYPE,
    instructions.AppointRepresentative: Instruction.APPOINT_REPRESENTATIVE,
    instructions.DismissRepresentative: Instruction.DISMISS_REPRESENTATIVE,
    instructions.BlockAccount: Instruction.BLOCK_ACCOUNT,
    instructions.UnblockAccount: Instruction.UNBLOCK_ACCOUNT,
    instructions.ConfirmAccount: Instruction.CONFIRM_ACCOUNT,
    instructions.ProposeTrust: Instruction.PROPOSE_TRUST,
    instructions.ApproveTrust: Instruction.APPROVE_TRUST,
    instructions.RemoveTrust: Instruction.REMOVE_TRUST,
    instructions.ApproveTransfer: Instruction.APPROVE_TRANSFER,
    instructions.CancelTransfer: Instruction.CANCEL_TRANSFER,
    instructions.BindAccount: Instruction.BIND_ACCOUNT,
    instructions.FailSettlement: Instruction.FAIL_SETTLEMENT,
    instructions.ObjectToTrade: Instruction.OBJECT_TO_TRADE,
    instructions.RetrySettlement: Instruction.RETRY_SETTLEMENT,
    instructions.VoidTrade: Instruction.VOID_TRADE,
    instructions.ProposeTradeCancel: Instruction.PROPOSE_TRADE_CANCEL,
    instructions.ApproveTradeCancel: Instruction.APPROVE_TRADE_CANCEL,
}
FOREIGN_ACCOUNTS_FOR = ("operator", "authority", "verifier")
FOR_EMITTERS = (
    instructions.SurrenderUnits,
    instructions.ReportEmissions,
    instructions.ApplyCarryOver,
)
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
    instructions.RegisterProject,
    instructions.SetEntitlement,
    instructions.ReportEmissions,
    instructions.VerifyEmissions,
    instructions.AllocateUnits,
    instructions.ApproveTransfer,
)


_NOT_SENT_ON = frozenset({EdgeReason.THROTTLED, EdgeReason.VENUE_BUSY, Reason.EXPIRED})


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
    is_cancel: bool = False  # or an operator's act: has places of its own in the queue
    valid_ms: int = 0
    is_proposal: bool = False  # words alone: a second person has to approve what they say


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
        self._enforced = {
            (item.market, item.id): item
            for item in venue.instrument
            if item.offset_headroom == "enforce"
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
        if self._enforced:
            self._check_buying(key, request, instrument, desk)
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

    def plain_orders(self, key: Key) -> PlainOrders:
        """The short way of a key's plain orders. O(instruments + accounts)."""
        own = {code: self.accounts_of(key, desk.market) for code, desk in self.desks.items()}
        return PlainOrders(
            key.session,
            own,
            [
                (item.symbol, item.id, item.market, self.desks[item.market].market.minor_digits)
                for item in self._instruments.values()
                if item.offset_headroom != "enforce"
            ],
        )

    def prepare_plain(
        self, key: Key, plain: PlainOrders, requests: list[body.OrderRequest], start: int
    ) -> tuple[int, Prepared] | None:
        """As many as are plain from `start` on, and where they end; None: the first is not.

        What it gives, `prepare` would give one by one. O(requests).
        """
        code = plain.market_of(requests[start])
        if code is None:
            return None
        desk = self.desks[code]
        known = desk.view.last_ref.get(key.session, 0)
        last = max(known, self._prepared_ref.get((code, key.session), 0))
        end, last, window, commands = plain.pack(requests, start, last, self._ref_max())
        if end == start:
            return None
        self._prepared_ref[code, key.session] = last
        return end, Prepared(desk, key.session, last, commands, False, window)

    def _is_new(self, key: Key, ref: int, desk: Desk) -> bool:
        known = desk.view.last_ref.get(key.session, 0)
        return ref > max(known, self._prepared_ref.get((desk.market.code, key.session), 0))

    def _check_buying(
        self, key: Key, request: body.OrderRequest, instrument: Instrument, desk: Desk
    ) -> None:
        """Refuses a buy that an emitter could not use, and what a replace adds to one."""
        number = instrument.id
        if isinstance(request, body.OrderCancelReplaceRequest):
            known = desk.view.reports.order(self._replaced_id(request, desk))
            if known is None or not known.leaves or known.account_id != request.account:
                return  # the engine's to judge
            # the engine goes by the order, whatever symbol of its market the request names
            number = known.instrument_id
            buying = tonnes(request.quantity) - known.quantity if known.side == "BUY" else 0
        else:
            buying = _buying(request)
        enforced = self._enforced.get((desk.market.code, number))
        if enforced is None or buying <= 0 or not self._is_new(key, request.ref, desk):
            return
        self._check_headroom(request.account, enforced, desk, tonnes(buying))

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

    # -- instructions ---------------------------------------------------------------------------

    def prepare_instruction(self, key: Key, request: instructions.Instruction) -> Prepared:
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
        is_own = not getattr(request, "for_account", 0)  # a province's is no emitter's account
        if isinstance(request, FOR_EMITTERS) and account.type != "emitter" and is_own:
            raise Refused(
                RegistryReason.NO_OBLIGATION, f"account {account.id} is no emitter's account"
            )
        if (
            isinstance(request, instructions.VerifyEmissions)
            and key.participant == account.participant
        ):
            raise Refused(RegistryReason.VERIFIER_IS_EMITTER, f"account {account.id} is its own")
        texts = instruction_notes(key, request, desk.market)
        is_release = isinstance(request, instructions.ReleaseUnits)
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

    def _argument(self, request: instructions.Instruction, market: Market) -> int:
        if isinstance(request, instructions.TransferUnits):
            return self.account(market, request.to_account).id
        if isinstance(request, instructions.PledgeUnits):
            return self.account(market, request.lender_account).id
        if isinstance(request, instructions.ReleasePledge | instructions.EnforcePledge):
            return self.account(market, request.owner_account).id
        if isinstance(request, instructions.ProposeReversal):
            return instruction_id("original_id", request.original_id)
        if isinstance(request, instructions.TradeBody):
            return instruction_id("trade_id", request.trade_id)
        if isinstance(request, instructions.ApproveReversal | instructions.ApproveTradeCancel):
            return instruction_id("proposal_id", request.proposal_id)
        if not 0 <= getattr(request, "project", 0) <= PROJECT_NUMBER_MAX:
            raise Refused(
                EdgeReason.INVALID_FIELD, f"project: outside 0..{PROJECT_NUMBER_MAX} (0 = none)"
            )
        if isinstance(request, instructions.RegisterProject):
            return request.project
        if isinstance(request, instructions.ExchangeCredits):
            return self.instrument(request.allowance).id
        if isinstance(request, instructions.CarryOver):
            return instruction_id("application_id", request.application_id)
        if isinstance(request, instructions.ApproveTransfer | instructions.CancelTransfer):
            return instruction_id("transfer_id", request.transfer_id)
        if isinstance(
            request,
            instructions.ProposeTrust | instructions.ApproveTrust | instructions.RemoveTrust,
        ):
            return self.account(market, request.trusted_account).id
        if isinstance(request, instructions.SetAccountType):
            return instructions.AS_BEFORE if request.needs_two is None else int(request.needs_two)
        if isinstance(request, instructions.UnblockAccount):
            return instruction_id("block_id", request.block_id)
        if isinstance(request, instructions.BindAccount):
            return self._bound(request)
        if isinstance(request, instructions.UnfreezeUnits):
            return self.account(market, request.held_for).id if request.held_for else 0
        year = getattr(request, "year", 0)
        if not 0 <= year <= YEAR_MAX:
            raise Refused(EdgeReason.INVALID_FIELD, f"year: {year} is no year")
        return int(year)

    def _bound(self, request: instructions.BindAccount) -> int:
        desk = self.desk(request.bound_market)
        return self.account(desk.market, request.bound_account).id if request.bound_account else 0

    # -- the queue ------------------------------------------------------------------------------

    def in_doubt(self, key: Key, request: object, refused: Refused) -> Refused:
        """The refusal, or STATUS_UNKNOWN: where it would say that nothing was done, and the log may
        have the request under its ref from an earlier time. O(1)."""
        if refused.row.number not in _NOT_SENT_ON:
            return refused
        item = self._instruments.get(getattr(request, "symbol", ""))
        code = getattr(request, "market", "") or (item.market if item is not None else "")
        desk = self.desks.get(code)
        ref = getattr(request, "ref", 0)
        if desk is None or not 0 < ref <= desk.view.last_ref.get(key.session, 0):
            return refused
        told = "an earlier one under this ref may be on the log; this one was not sent on"
        return Refused(EdgeReason.STATUS_UNKNOWN, told, retry_after_ms=refused.retry_after_ms)

    def submit(self, prepared: Prepared, done: Callable[[Ticket], None]) -> Ticket:
        """Queues the commands; `done` is called when the log has them or they are refused.

        Refused: SESSION_KILLED, VENUE_BUSY.
        """
        check_session(prepared)

        def known(ticket: Ticket) -> None:
            if ticket.refused is None:
                prepared.desk.view.acknowledge(prepared.session, prepared.ref)
            done(ticket)

        ticket = Ticket(
            prepared.commands, known, is_cancel=prepared.is_cancel, valid_ms=prepared.valid_ms
        )
        prepared.desk.submitter.submit(ticket)
        return ticket

    def pending(self, request: body.OrderRequest, desk: Desk, position: int) -> ExecutionReport:
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

    def _is_repeated(self, request: body.OrderRequest, desk: Desk) -> bool:
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
        most = self._ref_max()
        if not 1 <= value <= most:
            raise Refused(
                EdgeReason.INVALID_FIELD,
                f"ref: {value} is outside 1..the present time in ns ({most}): count up from the "
                "last_ref of GET /session, or use a clock",
            )
        return value

    def _ref_max(self) -> int:
        return self.clock.now_ns() + CLOCK_AHEAD_MS_MAX * 1_000_000

    def transfer_id(self) -> int:
        """A number for a transfer: the clock's nanoseconds, never twice in this process."""
        self._transfer_id = max(self._transfer_id + 1, self.clock.now_ns())
        return self._transfer_id


def check_session(prepared: Prepared) -> None:
    """Refused (SESSION_KILLED) unless the session may send this. O(1)."""
    if prepared.session in prepared.desk.view.acts.killed_sessions and not prepared.is_cancel:
        raise Refused(AccessReason.SESSION_KILLED, f"session {prepared.session}")


def _asked(request: instructions.Instruction) -> int:
    """The tonnes of an instruction: some have none, and emissions may be none."""
    if isinstance(request, instructions.AssessYear | instructions.AccountBody):
        return 0
    if isinstance(request, NONE_ALLOWED) and not to_tonnes(request.quantity):
        return 0
    return tonnes(request.quantity)


def _buying(request: body.OrderRequest) -> int:
    """The tonnes that a request may buy; 0 for none, or none that could be bought."""
    if isinstance(request, body.Quote):
        return to_tonnes(request.bid_quantity, "bid_quantity")
    if isinstance(request, (*CANCELS, body.OrderCancelReplaceRequest)):
        return 0
    return to_tonnes(request.quantity) if request.side == "BUY" else 0
