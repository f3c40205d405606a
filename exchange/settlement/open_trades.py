"""Trades on their way to settlement: what the engine's events, the time and people do to them.

A pure function of `events` and of the venue file: the same events give the same rows, the same
items and the same steps for the engine, however they are cut into batches. Memory: the trades that
are not settled, of a day or two, and every proposal to cancel: one that was forgotten would be
refused otherwise by who starts anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange.ledger import Posting, postings_of
from exchange.messages.frames import (
    Command,
    Event,
    EventRow,
    Instruction,
    Reason,
    Resale,
    SettlementStep,
    pack_command,
    settlement_tail,
    settlement_terms,
)
from exchange.messages.reasons import SettlementReason
from exchange.messages.settlement import (
    InstructionPassed,
    SettlementAnswered,
    SettlementItem,
    SettlementRefused,
    TradeCancelled,
    TradeDelivered,
    TradeVoided,
)
from exchange.reference.signers import is_one_person, key_of
from exchange.reference.venue import SETTLEMENT_SESSION
from exchange.settings import SETTLEMENT_PROPOSAL_DAYS_MAX
from exchange.settlement.cycle import IN_FLIGHT, MOVES, OPEN, Message, Move, TradeState, refusal
from exchange.settlement.delivery import Settled, with_open_trades
from exchange.settlement.due_dates import SettlementRule, due_ns, voidable_ns
from exchange.settlement.suspensions import SUSPENSION_KINDS, Suspensions, no_suspensions

_DAY_NS = 86_400 * 1_000_000_000
Number = int  # of an event


class SettlementBrokenError(Exception):
    """The engine answers what settlement did not ask, or refuses what the books say: stop."""


class TradeTerms(NamedTuple):
    """A trade as it stands in the books; the first columns of `trade`."""

    trade_id: int
    instrument_id: int
    quantity: int
    price: int
    buyer_account: int
    seller_account: int
    buyer_fee: int
    seller_fee: int

    @property
    def proceeds(self) -> int:
        """What the seller gets, minor units. O(1)."""
        return self.price * self.quantity - self.seller_fee


class OpenTrade(NamedTuple):
    """Where a trade stands; the columns of `trade_settlement` after its terms."""

    terms: TradeTerms
    state: int  # a TradeState
    due_ns: int  # 0: T+0
    is_late: int = 0
    since_ns: int = 0  # when it came into this state
    ref: int = 0  # of the last step that the engine was told; 0 = none
    instruction_id: int = 0  # who is told the answer, and in which account's name
    account: int = 0
    acts: int = 0  # how many rows of `settlement_act`


class Act(NamedTuple):
    """A row of `settlement_act`: one move of one trade, for good."""

    trade_id: int
    number: int  # 1, 2, ... of the trade
    message: int  # a `cycle.Message`
    before: int
    after: int
    instruction_id: int  # 0: by time or by the engine
    event_number: int  # the engine's answer, the cause of the postings; else 0
    given_by: str  # the key; "" for time and the engine
    reason: str
    time_ns: int


class Proposal(NamedTuple):
    """A row of `trade_cancel_proposal`."""

    instruction_id: int
    trade_id: int
    proposed_by: str
    reason: str
    time_ns: int


class Approval(NamedTuple):
    """A row of `trade_cancel_approval`."""

    instruction_id: int
    trade_id: int
    proposal: int
    proposed_by: str
    approved_by: str
    reason: str
    time_ns: int


class Step(NamedTuple):
    """A SETTLE_TRADE for the engine."""

    ref: int
    command: bytes


class Changes(NamedTuple):
    """What a batch writes beside trades and postings."""

    trades: dict[int, OpenTrade]
    acts: list[Act]
    proposals: list[Proposal]
    approvals: list[Approval]
    resale: dict[int, int]  # by instrument: RESALE_NEXT_DAY, a `frames.Resale`
    steps: list[Step]
    suspensions: Suspensions

    def __bool__(self) -> bool:
        """Whether there is anything to write. O(1)."""
        return any(self)


class Loaded(NamedTuple):
    """What the books say at the start."""

    trades: list[OpenTrade]
    proposals: list[Proposal]
    resale: dict[int, int]
    ref: int = 0  # last one given to a step
    suspensions: Suspensions = no_suspensions()


def no_changes() -> Changes:
    """Nothing yet."""
    return Changes({}, [], [], [], {}, [], no_suspensions())


class _RefusalError(Exception):
    def __init__(self, reason: SettlementReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class OpenTrades:
    """The trades of a market that are not settled, and what happens to them."""

    def __init__(self, rules: Mapping[int, SettlementRule], time_zone: str = "UTC") -> None:
        self._rules = rules
        self._other = SettlementRule(time_zone)
        self._open: dict[int, OpenTrade] = {}
        self._due: list[tuple[int, int]] = []  # heap of (due_ns, trade id); also of what left it
        self._proposals: dict[int, Proposal] = {}
        self._resale: dict[int, int] = {}
        self._suspensions = no_suspensions()
        self._past: dict[int, OpenTrade] = {}  # looked up for the part at hand
        self._changes = no_changes()
        self._time_ns = 0
        self.ref = 0  # last one given to a step

    def load(self, loaded: Loaded) -> list[Step]:
        """Takes up what the books say; the steps that the engine has not answered. O(open)."""
        self._open = {item.terms.trade_id: item for item in loaded.trades}
        self._due = [
            (item.due_ns, trade_id)
            for trade_id, item in self._open.items()
            if item.state == TradeState.DUE
        ]
        heapq.heapify(self._due)
        self._proposals = {item.instruction_id: item for item in loaded.proposals}
        self._resale = dict(loaded.resale)
        accounts, participants = loaded.suspensions
        self._suspensions = Suspensions(dict(accounts), dict(participants))
        self._changes, self._past, self.ref = no_changes(), {}, loaded.ref
        in_flight = (item for item in self._open.values() if item.state in IN_FLIGHT)
        waiting = sorted(in_flight, key=lambda item: item.ref)
        return [self._step(item) for item in waiting]

    def take(self) -> Changes:
        """The changes since the last time. O(1)."""
        taken, self._changes = self._changes, no_changes()
        return taken

    def counts(self, time_ns: int) -> dict[str, int]:
        """How many trades are due, failed, and past their cut-off and not settled. O(open)."""
        held = list(self._open.values())
        return {
            "due": sum(i.state == TradeState.DUE for i in held),
            "failed": sum(i.state == TradeState.FAILED for i in held),
            "overdue": sum(0 < i.due_ns <= time_ns for i in held),
        }

    # -- one part of events ---------------------------------------------------------------------

    def is_idle(self, time_ns: int) -> bool:
        """Whether a part of that time without rare events leaves all as it is. O(1)."""
        return Resale.SETTLED not in self._resale.values() and not (
            self._due and self._due[0][0] <= time_ns
        )

    def later(
        self, trade_ids: NDArray[np.int64], instruments: NDArray[np.int64], rows: Iterable[
            tuple[Number, EventRow | InstructionPassed]
        ],
    ) -> NDArray[np.bool_]:  # fmt: skip
        """Which trades of a part are settled later, given what changed in it. O(trades)."""
        held = [key for key, value in self._resale.items() if value == Resale.SETTLED]
        mask = np.isin(instruments, held) if held else np.zeros(len(instruments), np.bool_)
        for number, row in rows:
            if isinstance(row, EventRow) and row.kind == Event.PARAMETER_CHANGED:
                since = (instruments == row.instrument_id) & (trade_ids > number)
                mask[since] = row.quantity == Resale.SETTLED
                self._resale[row.instrument_id] = row.quantity
                self._changes.resale[row.instrument_id] = row.quantity
        return mask

    def follow(self, time_ns: int, settled: Settled, past: Mapping[int, OpenTrade]) -> Settled:
        """A part at that time, with what came of it for trades settled later. O(part log due).

        `past` has the trades that `named_by` named, as far as the books know them. Raises
        SettlementBrokenError when the engine answers what it was not asked.
        """
        self.pass_time(time_ns)
        trades = settled.trades
        held = np.flatnonzero(self.later(trades.trade_id, trades.instrument_id, settled.steps))
        columns = trades[: len(TradeTerms._fields)]
        rows = zip(*(column[held].tolist() for column in columns), strict=True)
        waiting = [TradeTerms(*row) for row in rows][::-1]  # the oldest last
        due: list[int] = []
        self._past = {key: item for key, item in past.items() if key not in self._open}
        more: list[tuple[int, SettlementItem]] = []
        postings: list[Posting] = []
        for number, row in settled.steps:
            while waiting and waiting[-1].trade_id < number:
                due.append(self.trade(waiting.pop()))
            items, posted = self.hear(number, row)
            more += [(number, item) for item in items]
            postings += posted
        due += [self.trade(terms) for terms in reversed(waiting)]
        return with_open_trades(settled, held, due, more, postings)

    def named_by(self, rows: Iterable[tuple[Number, EventRow | InstructionPassed]]) -> set[int]:
        """Trades that instructions of a part name and that are not in memory. O(rows)."""
        named = set()
        for _, row in rows:
            if isinstance(row, InstructionPassed):
                proposal = self._proposals.get(row.argument)
                is_approval = row.kind == Instruction.APPROVE_TRADE_CANCEL
                named.add(proposal.trade_id if is_approval and proposal else row.argument)
        return named - self._open.keys()

    def pass_time(self, time_ns: int) -> None:
        """What is due at that time is delivered. O(due log due)."""
        self._time_ns = time_ns
        while self._due and self._due[0][0] <= time_ns:
            due, trade_id = heapq.heappop(self._due)
            found = self._open.get(trade_id)
            if found is not None and found.state == TradeState.DUE and found.due_ns == due:
                self._move(found, Message.CUT_OFF)

    def trade(self, terms: TradeTerms) -> int:
        """A trade that is settled later; its cut-off. O(log due)."""
        due = due_ns(self._rule(terms.instrument_id), self._time_ns)
        made = self._move(OpenTrade(terms, TradeState.NEW, due), Message.TRADED_LATER)
        self._fail_if_suspended(made)
        return due

    def hear(
        self, number: Number, row: EventRow | InstructionPassed
    ) -> tuple[list[SettlementItem], list[Posting]]:
        """What an answer of the engine or an instruction leads to. O(log due)."""
        if isinstance(row, InstructionPassed):
            return self._instruct(row), []
        if row.kind == Event.TRADE_SETTLED:
            return self._answered(number, row)
        if row.kind in SUSPENSION_KINDS:
            if self._suspensions.hear(row, self._changes.suspensions):
                for trade in list(self._open.values()):
                    self._fail_if_suspended(trade)
            return [], []
        return (self._refused(row) if row.kind == Event.REJECTED else []), []

    def _suspended(self, terms: TradeTerms) -> int:
        """A party that is suspended, 0 = neither. O(1)."""
        parties = (terms.seller_account, terms.buyer_account)
        return next((party for party in parties if self._suspensions.of(party)), 0)

    def _fail_if_suspended(self, trade: OpenTrade) -> None:
        if trade.state == TradeState.DUE and (party := self._suspended(trade.terms)):
            self._move(trade, Message.SUSPEND, reason=f"account {party} is suspended")

    # -- instructions ---------------------------------------------------------------------------

    def _instruct(self, item: InstructionPassed) -> list[SettlementItem]:
        told = (item.instruction_id, item.account_id)
        try:
            trade = self._do(item)
        except _RefusalError as refused:
            return [SettlementRefused(*told, int(refused.reason), str(refused))]
        if trade.instruction_id == item.instruction_id:
            return []  # told when the engine has answered
        return [SettlementAnswered(*told, trade.terms.trade_id, int(trade.state))]

    def _do(self, item: InstructionPassed) -> OpenTrade:
        given_by, _, reason = (text.strip() for text in item.notes.partition("\n"))
        if item.kind == Instruction.APPROVE_TRADE_CANCEL:
            return self._approve(item, given_by)
        trade = self._named(item, item.argument)
        if not given_by or not reason:
            raise _RefusalError(
                SettlementReason.WORDS_MISSING, f"trade {item.argument}: who and why are needed"
            )
        if item.kind == Instruction.PROPOSE_TRADE_CANCEL:
            self._may(trade, Message.CANCEL)
            self._propose(Proposal(
                item.instruction_id, trade.terms.trade_id, given_by, reason, self._time_ns
            ))  # fmt: skip
            return trade
        message = self._message(trade, item.kind)
        return self._move(trade, message, item, given_by, reason)

    def _message(self, trade: OpenTrade, kind: int) -> Message:
        match kind:
            case Instruction.FAIL_SETTLEMENT:
                return self._may(trade, Message.FAIL)
            case Instruction.OBJECT_TO_TRADE:
                return self._may(trade, Message.OBJECT)
            case Instruction.RETRY_SETTLEMENT:
                is_late = self._time_ns >= trade.due_ns
                message = self._may(trade, Message.RETRY_LATE if is_late else Message.RETRY)
                if party := self._suspended(trade.terms):
                    raise _RefusalError(
                        SettlementReason.PARTY_SUSPENDED,
                        f"account {party} of trade {trade.terms.trade_id} is suspended",
                    )
                return message
        self._may(trade, Message.VOID)
        since = voidable_ns(self._rule(trade.terms.instrument_id), trade.due_ns)
        if self._time_ns < since:
            raise _RefusalError(
                SettlementReason.VOID_TOO_EARLY,
                f"trade {trade.terms.trade_id} may be voided from {since} ns UTC on, "
                f"{self._rule(trade.terms.instrument_id).void_days} business days after its "
                "cut-off",
            )
        return Message.VOID

    def _propose(self, proposal: Proposal) -> None:
        self._proposals[proposal.instruction_id] = proposal
        self._changes.proposals.append(proposal)

    def _approve(self, item: InstructionPassed, approved_by: str) -> OpenTrade:
        proposal = self._proposals.get(item.argument)
        if proposal is None:
            raise _RefusalError(
                SettlementReason.UNKNOWN_CANCEL_PROPOSAL,
                f"there is no proposal {item.argument}",
            )
        trade = self._named(item, proposal.trade_id)
        if not approved_by:
            raise _RefusalError(
                SettlementReason.WORDS_MISSING, "an approval needs the key that gave it"
            )
        if is_one_person(approved_by, proposal.proposed_by):
            raise _RefusalError(
                SettlementReason.SAME_PERSON_CANCELS,
                f"{approved_by} proposed cancellation {proposal.instruction_id} itself",
            )
        if self._time_ns - proposal.time_ns > SETTLEMENT_PROPOSAL_DAYS_MAX * _DAY_NS:
            raise _RefusalError(
                SettlementReason.CANCEL_PROPOSAL_EXPIRED,
                f"proposal {item.argument} is older than {SETTLEMENT_PROPOSAL_DAYS_MAX} days",
            )
        self._may(trade, Message.CANCEL)
        self._changes.approvals.append(Approval(
            item.instruction_id, proposal.trade_id, proposal.instruction_id,
            proposal.proposed_by, approved_by, proposal.reason, self._time_ns,
        ))  # fmt: skip
        return self._move(trade, Message.CANCEL, item, key_of(approved_by), proposal.reason)

    def _named(self, item: InstructionPassed, trade_id: int) -> OpenTrade:
        trade = self._open.get(trade_id) or self._past.get(trade_id)
        told = (item.instrument_id, item.quantity)
        if trade is None or told != (trade.terms.instrument_id, trade.terms.quantity):
            what = f"of {item.quantity} t of instrument {item.instrument_id}"
            raise _RefusalError(
                SettlementReason.UNKNOWN_TRADE, f"there is no trade {trade_id} {what}"
            )
        if item.account_id not in (trade.terms.buyer_account, trade.terms.seller_account):
            raise _RefusalError(
                SettlementReason.UNKNOWN_TRADE,
                f"account {item.account_id} is no party of trade {trade_id}",
            )
        return trade

    def _may(self, trade: OpenTrade, message: Message) -> Message:
        state = TradeState(trade.state)
        if (state, message) not in MOVES:
            raise _RefusalError(
                refusal(state, message), f"trade {trade.terms.trade_id} is {state.name}"
            )
        return message

    # -- answers of the engine ------------------------------------------------------------------

    def _answered(
        self, number: Number, row: EventRow
    ) -> tuple[list[SettlementItem], list[Posting]]:
        to_buyer, trade_id = settlement_terms(row)
        trade = self._open.get(trade_id)
        if trade is None or not _is_asked(trade, self._fields(trade), row):
            raise SettlementBrokenError(
                f"event {number}: the engine settled trade {trade_id} with ref {row.value}, which "
                "settlement did not ask"
            )
        terms = trade.terms
        told = (trade_id, terms.instrument_id, terms.quantity, terms.buyer_account)
        seller = terms.seller_account
        item: TradeDelivered | TradeVoided | TradeCancelled
        if row.order_type == SettlementStep.DELIVER:
            item = TradeDelivered(*told, seller, row.price, bool(trade.is_late))
            message = Message.DELIVERED_LATE if trade.is_late else Message.DELIVERED
        elif row.order_type == SettlementStep.VOID:
            item = TradeVoided(*told, seller, row.price, to_buyer)
            message = Message.VOIDED
        else:
            item = TradeCancelled(*told, seller, row.price, to_buyer)
            message = Message.REVERSED
        moved = self._move(trade, message, event_number=number)
        items: list[SettlementItem] = [item]
        if trade.instruction_id:
            told_to = (trade.instruction_id, trade.account, trade_id)
            items.append(SettlementAnswered(*told_to, int(moved.state)))
        return items, list(postings_of(number, item))

    def _refused(self, row: EventRow) -> list[SettlementItem]:
        trade_id = settlement_terms(row)[1]
        trade = self._open.get(trade_id)
        reason = {
            Reason.INSUFFICIENT_UNITS: SettlementReason.BUYER_UNITS_GONE,
            Reason.INSUFFICIENT_CASH: SettlementReason.SELLER_CASH_GONE,
        }.get(Reason(row.reason))
        is_reversal = trade is not None and trade.state == TradeState.REVERSING
        if trade is None or trade.ref != row.value or not is_reversal or reason is None:
            raise SettlementBrokenError(
                f"the engine refused ref {row.value} of trade {trade_id} with reason "
                f"{row.reason}: its accounts are not those of the books"
            )
        message = Message.REFUSED_LATE if trade.is_late else Message.REFUSED
        self._move(trade, message)
        terms = trade.terms
        text = (
            f"account {terms.buyer_account} has not {terms.quantity} t free"
            if reason == SettlementReason.BUYER_UNITS_GONE
            else f"account {terms.seller_account} has not {terms.proceeds} minor units free"
        )
        return [SettlementRefused(trade.instruction_id, trade.account, int(reason), text)]

    # -- one move -------------------------------------------------------------------------------

    def _move(
        self,
        trade: OpenTrade,
        message: Message,
        item: InstructionPassed | None = None,
        given_by: str = "",
        reason: str = "",
        event_number: Number = 0,
    ) -> OpenTrade:
        before = TradeState(trade.state)
        move: Move = MOVES[before, message]
        trade_id, cause = trade.terms.trade_id, item.instruction_id if item else 0
        if move.sends is not None:
            self.ref += 1
        waits = move.sends is not None and item is not None
        moved = trade._replace(
            state=int(move.after),
            is_late=int(trade.is_late or message == Message.RETRY_LATE),
            since_ns=self._time_ns,
            ref=trade.ref if move.sends is None else self.ref,
            instruction_id=cause if waits else 0,
            account=item.account_id if item and waits else 0,
            acts=trade.acts + 1,
        )
        self._changes.trades[trade_id] = moved
        self._changes.acts.append(Act(
            trade_id, moved.acts, int(message), int(before), int(move.after), cause, event_number,
            given_by,
            reason, self._time_ns,
        ))  # fmt: skip
        if move.sends is not None:
            self._changes.steps.append(self._step(moved))
        if move.after in OPEN:
            self._open[trade_id] = moved
        else:
            self._open.pop(trade_id, None)
            self._past[trade_id] = moved
        if move.after == TradeState.DUE:
            heapq.heappush(self._due, (moved.due_ns, trade_id))
        return moved

    def _step(self, trade: OpenTrade) -> Step:
        step, price, to_buyer = self._fields(trade)
        terms = trade.terms
        return Step(
            trade.ref,
            pack_command(
                Command.SETTLE_TRADE,
                order_type=step,
                instrument_id=terms.instrument_id,
                account_id=terms.buyer_account,
                session_id=SETTLEMENT_SESSION,
                ref=trade.ref,
                quantity=terms.quantity,
                price=price,
                order_id=terms.seller_account,
                client_order_id=settlement_tail(to_buyer, terms.trade_id),
            ),
        )

    def _fields(self, trade: OpenTrade) -> tuple[SettlementStep, int, int]:
        """The step in flight, the cash out of the seller's purse, that into the buyer's."""
        terms = trade.terms
        if trade.state == TradeState.SETTLING:
            return SettlementStep.DELIVER, terms.proceeds, 0
        fee = terms.buyer_fee if self._rule(terms.instrument_id).gives_fees_back else 0
        is_void = trade.state == TradeState.VOIDING
        step = SettlementStep.VOID if is_void else SettlementStep.REVERSE
        return step, terms.proceeds, terms.price * terms.quantity + fee

    def _rule(self, instrument_id: int) -> SettlementRule:
        return self._rules.get(instrument_id, self._other)


def _is_asked(trade: OpenTrade, asked: tuple[SettlementStep, int, int], row: EventRow) -> bool:
    terms = trade.terms
    named = (terms.buyer_account, terms.seller_account, terms.instrument_id, terms.quantity)
    is_told = trade.state in IN_FLIGHT and trade.ref == row.value
    return is_told and (*named, *asked) == (
        row.account_id, row.order_id, row.instrument_id, row.quantity,
        row.order_type, row.price, settlement_terms(row)[0],
    )  # fmt: skip
