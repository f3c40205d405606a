"""What the registry knows of accounts beside their units, and what waits for its time.

An account's standing (type, representatives, trusted list, block, binding) is what its acts make of
it, in the order of the log; each act is a row of `account_act` for good. Transfers and surrenders
that are on their way are rows that change until they have ended; those that still wait lie in an
agenda, by the moment when something is due.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import NamedTuple

from exchange.messages.frames import Instruction
from exchange.messages.settlement import InstructionPassed
from exchange.registry.blocks import Block
from exchange.registry.saga import AllowanceState, CreditState, ReturnState, UndoState


class Act(NamedTuple):
    """A row of `account_act` after `market`."""

    instruction_id: int
    kind: int  # frames.Instruction
    account: int
    other: int  # the trusted or bound account; SET_ACCOUNT_TYPE: 1 = transfers need two persons;
    # CONFIRM_ACCOUNT: the year; UNBLOCK_ACCOUNT: the block, 0 (before there were several) = all
    given_by: str  # the key
    text: str  # the type, the representative's key, the reference, the other registry's market
    eutl_code: str
    effective_ns: int
    time_ns: int


class TransferState(IntEnum):
    """Where a transfer stands that was not carried out at once, or another act for two persons."""

    PROPOSED = 1  # a second representative has to approve it
    WAITING = 2  # for its time
    DONE = 3
    CANCELLED = 4
    LAPSED = 5  # nobody approved it
    STOPPED = 6  # an account may no longer take part


TRANSFERS_OPEN = (TransferState.PROPOSED, TransferState.WAITING)


class WaitingTransfer(NamedTuple):
    """A row of `waiting_transfer` after `market`: a transfer, or another act for two persons."""

    instruction_id: int
    account: int
    to_account: int
    instrument_id: int
    quantity: int
    state: int
    given_by: str
    approved_by: str
    due_ns: int  # WAITING: carried out then; PROPOSED: forgotten then
    cancel_until_ns: int
    text: str  # why it was stopped
    time_ns: int  # of the proposal
    ended_ns: int
    kind: int = Instruction.TRANSFER
    argument: int = 0  # of the instruction: the year, the block that ends; 0 of a transfer
    notes: str = ""  # what the instruction says beside who gave it
    office: str = ""  # for which it was given, and another of which approves; "" = the account

    def act(self) -> InstructionPassed:
        """The instruction that waits. O(1)."""
        return InstructionPassed(
            self.instruction_id, self.kind, self.account, self.instrument_id, self.quantity,
            self.argument, "", self.notes,
        )  # fmt: skip


class OffsetSurrender(NamedTuple):
    """A row of `offset_surrender` after `market`: a surrender of another registry's credits."""

    instruction_id: int
    account: int
    instrument_id: int
    scheme: str
    year: int
    rule: str
    quantity: int
    credit_market: str
    credit_account: int
    state: int  # saga.AllowanceState
    is_counted: int  # 1: against the obligation and the cap
    reason: int  # why it fails
    text: str
    deadline_ns: int
    time_ns: int
    project: int = 0  # of which credits are wanted; 0 = of any
    credits: str = ""  # what is held there, as `saga_texts.lots_text` says it


class CreditHold(NamedTuple):
    """A row of `credit_hold` after `market`: credits held for a surrender elsewhere."""

    origin: str  # market of the surrender
    surrender_id: int
    surrender_account: int
    surrender_instrument: int
    account: int
    instrument_id: int
    quantity: int
    state: int  # saga.CreditState
    hold_id: int  # the request that froze them
    reason: int
    text: str
    time_ns: int
    retired_id: int = 0  # the request that retired them, last
    credits: str = ""  # of which projects, as `saga_texts.lots_text` says it


class OffsetReversal(NamedTuple):
    """A row of `offset_reversal` after `market`: undoing a surrender over two registries."""

    instruction_id: int  # of the approval
    original: int  # the surrender
    proposal: int
    account: int
    instrument_id: int
    scheme: str
    year: int
    quantity: int
    credit_market: str
    credit_account: int
    credits: str
    proposed_by: str
    approved_by: str
    why: str
    state: int  # saga.UndoState
    reason: int  # why it fails
    text: str
    deadline_ns: int
    time_ns: int


class CreditReturn(NamedTuple):
    """A row of `credit_return` after `market`: credits that come back, as a reversal asks."""

    origin: str  # market of the surrender
    reversal_id: int
    surrender_id: int
    surrender_account: int
    surrender_instrument: int
    account: int
    instrument_id: int
    quantity: int
    state: int  # saga.ReturnState
    hold_id: int  # the request that restored them
    reason: int
    text: str
    time_ns: int


class Outgoing(NamedTuple):
    """A message to a registry; a row of `registry_message` after `market`."""

    ref: int
    target: int  # partition of its market
    kind: int  # frames.Instruction
    account: int
    instrument_id: int
    quantity: int
    argument: int
    notes: str


class Recalled(NamedTuple):
    """What the books say about the surrenders and reversals that a record's messages name."""

    surrenders: Iterable[OffsetSurrender] = ()
    holds: Iterable[CreditHold] = ()
    reversals: Iterable[OffsetReversal] = ()
    returns: Iterable[CreditReturn] = ()
    retired: Mapping[int, list[Block]] = {}


class Due(NamedTuple):
    """Something that happens by itself when its time has come."""

    time_ns: int
    number: int  # instruction id of the transfer, the surrender or the reversal; YEAR: the account
    kind: str  # TRANSFER, SURRENDER, REVERSAL or YEAR
    scheme: str = ""  # YEAR: of an account and a scheme
    year: int = 0
    instrument_id: int = 0


class Standing:
    """What one account is, as of now."""

    __slots__ = (
        "blocks", "bound_to", "confirmed", "eutl_code", "kind", "needs_two", "proposed",
        "representatives", "since_ns", "trusted", "type_id",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kind = ""  # a code of the rulebook's account_type; "" = never told
        self.eutl_code = ""
        self.type_id = 0  # the instruction that told its type last
        self.since_ns = 0  # when its type was told first; 0 = never
        self.confirmed = 0  # the last year for which its data were confirmed
        self.needs_two = False
        self.representatives: set[str] = set()  # their keys
        self.trusted: dict[int, int] = {}  # account: from when it counts, ns UTC
        self.proposed: dict[int, Act] = {}  # account: who proposed to trust it
        self.blocks: dict[int, Act] = {}  # those that stand, oldest first, by instruction
        self.bound_to: tuple[str, int] | None = None  # market and account in the other registry

    def apply(self, act: Act) -> None:
        """What an act makes of the account. O(1)."""
        match act.kind:
            case Instruction.SET_ACCOUNT_TYPE:
                self.kind, self.eutl_code = act.text, act.eutl_code
                self.needs_two, self.type_id = bool(act.other), act.instruction_id
                self.since_ns = self.since_ns or act.time_ns
            case Instruction.CONFIRM_ACCOUNT:
                self.confirmed = max(self.confirmed, act.other)
            case Instruction.APPOINT_REPRESENTATIVE:
                self.representatives.add(act.text)
            case Instruction.DISMISS_REPRESENTATIVE:
                self.representatives.discard(act.text)
            case Instruction.BLOCK_ACCOUNT:
                self.blocks[act.instruction_id] = act
            case Instruction.UNBLOCK_ACCOUNT if act.other:
                del self.blocks[act.other]
            case Instruction.UNBLOCK_ACCOUNT:
                self.blocks.clear()
            case Instruction.PROPOSE_TRUST:
                self.proposed[act.other] = act
            case Instruction.APPROVE_TRUST:
                del self.proposed[act.other]
                self.trusted[act.other] = act.effective_ns
            case Instruction.REMOVE_TRUST:
                self.trusted.pop(act.other, None)
                self.proposed.pop(act.other, None)
            case Instruction.BIND_ACCOUNT:
                self.bound_to = (act.text, act.other) if act.other else None


class Standings:
    """Every account's standing, and what waits, of one market."""

    def __init__(self) -> None:
        self.transfers: dict[int, WaitingTransfer] = {}  # open ones
        self.surrenders: dict[int, OffsetSurrender] = {}  # open ones
        self.holds: dict[tuple[str, int], CreditHold] = {}  # open ones, by market and surrender
        self.ended_surrenders: dict[int, OffsetSurrender] = {}  # which messages of a record name
        self.ended_holds: dict[tuple[str, int], CreditHold] = {}
        self.reversals: dict[int, OffsetReversal] = {}  # open ones
        self.returns: dict[tuple[str, int], CreditReturn] = {}  # open ones, by market and reversal
        self.ended_reversals: dict[int, OffsetReversal] = {}
        self.ended_returns: dict[tuple[str, int], CreditReturn] = {}
        self.retired: dict[int, list[Block]] = {}  # by the request that retired them
        self._standings: dict[int, Standing] = {}
        self._agenda: list[Due] = []
        self._waiting: dict[tuple[int, str, int], set[int]] = {}  # by year: sagas that are open

    def of(self, account: int) -> Standing:
        """An account's standing; that of one of which nothing was told is empty. O(1)."""
        return self._standings.get(account) or Standing()

    def apply(self, act: Act) -> None:
        """Takes up an act. O(1)."""
        self._standings.setdefault(act.account, Standing()).apply(act)

    def put_transfer(self, transfer: WaitingTransfer) -> None:
        """Takes up a transfer as it is now. O(log n)."""
        if transfer.state in TRANSFERS_OPEN:
            self.transfers[transfer.instruction_id] = transfer
            self._note(transfer.due_ns, transfer.instruction_id, "TRANSFER")
        else:
            self.transfers.pop(transfer.instruction_id, None)

    def put_surrender(self, surrender: OffsetSurrender) -> None:
        """Takes up a surrender as it is now. O(log n)."""
        number = surrender.instruction_id
        is_over = surrender.state in (AllowanceState.DONE, AllowanceState.FAILED)
        self._wait(surrender, is_open=not is_over)
        if is_over:
            self.surrenders.pop(number, None)
            self.ended_surrenders[number] = surrender
        else:
            self.surrenders[number] = surrender
            self._note(surrender.deadline_ns, number, "SURRENDER")

    def put_hold(self, hold: CreditHold) -> None:
        """Takes up what is held for another registry. O(1)."""
        key = (hold.origin, hold.surrender_id)
        if hold.state == CreditState.FROZEN:
            self.holds[key] = hold
        else:
            self.holds.pop(key, None)
            self.ended_holds[key] = hold

    def put_reversal(self, reversal: OffsetReversal) -> None:
        """Takes up a reversal over two registries as it is now. O(log n)."""
        number = reversal.instruction_id
        is_over = reversal.state in (UndoState.DONE, UndoState.FAILED)
        self._wait(reversal, is_open=not is_over)
        if is_over:
            self.reversals.pop(number, None)
            self.ended_reversals[number] = reversal
        else:
            self.reversals[number] = reversal
            self._note(reversal.deadline_ns, number, "REVERSAL")

    def put_return(self, row: CreditReturn) -> None:
        """Takes up credits that come back as it is now. O(1)."""
        key = (row.origin, row.reversal_id)
        if row.state == ReturnState.RESTORED:
            self.returns[key] = row
        else:
            self.returns.pop(key, None)
            self.ended_returns[key] = row

    def reversal(self, number: int) -> OffsetReversal | None:
        """A reversal that is open, or that a message of this record names. O(1)."""
        return self.reversals.get(number) or self.ended_reversals.get(number)

    def credit_return(self, origin: str, number: int) -> CreditReturn | None:
        """What came back, or did not, for a reversal of another registry, like it. O(1)."""
        return self.returns.get((origin, number)) or self.ended_returns.get((origin, number))

    def surrender(self, number: int) -> OffsetSurrender | None:
        """A surrender that is open, or that a message of this record names. O(1)."""
        return self.surrenders.get(number) or self.ended_surrenders.get(number)

    def hold(self, origin: str, number: int) -> CreditHold | None:
        """What is, or was, held for a surrender of another registry, like `surrender`. O(1)."""
        return self.holds.get((origin, number)) or self.ended_holds.get((origin, number))

    def recall(self, told: Recalled) -> None:
        """Takes up, for one record, what its messages name and what may have ended. O(rows)."""
        self.ended_surrenders = {row.instruction_id: row for row in told.surrenders}
        self.ended_holds = {(row.origin, row.surrender_id): row for row in told.holds}
        self.ended_reversals = {row.instruction_id: row for row in told.reversals}
        self.ended_returns = {(row.origin, row.reversal_id): row for row in told.returns}
        self.retired = dict(told.retired)

    def note_year(self, time_ns: int, account: tuple[int, str, int], instrument_id: int) -> None:
        """The last day to surrender for a year ends then. O(log n)."""
        number, scheme, year = account
        heapq.heappush(self._agenda, Due(time_ns, number, "YEAR", scheme, year, instrument_id))

    def drop_year(self, due: Due) -> None:
        """Takes the end of a year off the agenda, of which it is first. O(log n)."""
        if self._agenda[0] == due:
            heapq.heappop(self._agenda)

    def waits_for_other(self, account: tuple[int, str, int]) -> bool:
        """Whether another registry still has to answer something about a year. O(1)."""
        return bool(self._waiting.get(account))

    def whose(self, due: Due) -> tuple[int, int]:
        """Account and instrument of what is due. O(1)."""
        if due.kind == "TRANSFER":
            transfer = self.transfers[due.number]
            return transfer.account, transfer.instrument_id
        if due.kind == "YEAR":
            return due.number, due.instrument_id
        if due.kind == "REVERSAL":
            reversal = self.reversals[due.number]
            return reversal.account, reversal.instrument_id
        surrender = self.surrenders[due.number]
        return surrender.account, surrender.instrument_id

    def next_due(self) -> Due | None:
        """What is due first; None when nothing waits. Amortised O(log n)."""
        while self._agenda:
            due = self._agenda[0]
            if self._stands(due):
                return due
            heapq.heappop(self._agenda)
        return None

    def due_by(self, time_ns: int) -> list[Due]:
        """All that is due by then, in no order. O(1) when nothing is, else O(all that waits)."""
        first = self.next_due()
        if first is None or first.time_ns > time_ns:
            return []
        return [due for due in self._agenda if due.time_ns <= time_ns and self._stands(due)]

    def _wait(self, row: OffsetSurrender | OffsetReversal, *, is_open: bool) -> None:
        account = (row.account, row.scheme, row.year)
        waiting = self._waiting.setdefault(account, set())
        if is_open:
            waiting.add(row.instruction_id)
            return
        waiting.discard(row.instruction_id)
        if not waiting:
            del self._waiting[account]

    def _note(self, time_ns: int, number: int, kind: str) -> None:
        heapq.heappush(self._agenda, Due(time_ns, number, kind))

    def _stands(self, due: Due) -> bool:
        if due.kind == "TRANSFER":
            transfer = self.transfers.get(due.number)
            return transfer is not None and transfer.due_ns == due.time_ns
        if due.kind == "YEAR":
            return True
        if due.kind == "REVERSAL":
            reversal = self.reversals.get(due.number)
            return reversal is not None and reversal.deadline_ns == due.time_ns
        surrender = self.surrenders.get(due.number)
        return surrender is not None and surrender.deadline_ns == due.time_ns
