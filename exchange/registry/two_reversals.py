"""Undoing a surrender of credits that another registry keeps: what `saga` says of it, done.

Two persons decide in the registry of the allowances, as of every reversal; then the two registries
speak as they do for a surrender, under the number of the approval. The registry of the credits
brings them from retired to pending; that of the allowances then takes the surrender off obligation
and caps, for good, and the credits go back to their holder. If it may no longer be undone by then
(the year was assessed, other offsets would be too many), they are retired again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CreditsHeld,
    InstructionRefused,
    OffsetReversalChanged,
    Range,
    RegistryItem,
)
from exchange.messages.settlement import InstructionPassed, SettlementItem
from exchange.reference.venue import Instrument, Market
from exchange.registry.blocks import Block, Position, State, runs, tonnes
from exchange.registry.compliance_year import require_unassessed
from exchange.registry.holdings import Holdings, counted
from exchange.registry.refusals import RefusalError
from exchange.registry.registry_post import Post, message_of, out_of_step
from exchange.registry.rows import Cause, Place, Proposal, Reversal
from exchange.registry.saga import (
    RETURN,
    UNDO,
    UNDO_ANSWERS,
    UNDO_REQUESTS,
    CreditState,
    Message,
    ReturnState,
    UndoState,
    Word,
    from_notes,
)
from exchange.registry.saga_texts import lots_of, surrender_of
from exchange.registry.standings import CreditReturn, OffsetReversal, OffsetSurrender
from exchange.registry.two_registries import by_project
from exchange.registry.years import Account, Figures
from exchange.settings import OFFSET_ANSWER_HOURS_MAX, OFFSET_SURRENDERS_OPEN_MAX

_WAIT_NS = OFFSET_ANSWER_HOURS_MAX * 3_600 * 1_000_000_000
CheckFit = Callable[[Account, Figures, Cause, Mapping[tuple[str, int], int]], None]
"""RefusalError when what is undone leaves other offsets beyond their limits."""
Ended = Callable[[OffsetReversal, Cause], list[RegistryItem]]
"""What follows when a reversal is done or failed."""


class TwoReversals:
    """Both sides, of one market. Each step O(blocks x log)."""

    def __init__(
        self,
        holdings: Holdings,
        instruments: Mapping[int, Instrument],
        market: Market,
        post: Post,
        check_fit: CheckFit,
        ended: Ended,
    ) -> None:
        self._holdings = holdings
        self._standings = holdings.standings
        self._instruments = instruments
        self._market = market
        self._post = post
        self._check_fit = check_fit
        self._ended = ended

    # -- the registry of the allowances ----------------------------------------------------------

    def ask(
        self,
        item: InstructionPassed,
        surrender: OffsetSurrender,
        proposal: Proposal,
        approved_by: str,
        cause: Cause,
    ) -> list[RegistryItem]:
        """APPROVE_REVERSAL of a surrender that is DONE: asks the other registry to restore."""
        waiting = self._standings.reversals
        for other in waiting.values():
            if other.original == surrender.instruction_id:
                raise RefusalError(
                    RegistryReason.NOT_REVERSIBLE,
                    f"reversal {other.instruction_id} of {other.original} is on its way",
                )
        if len(waiting) >= OFFSET_SURRENDERS_OPEN_MAX:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL,
                f"{len(waiting)} reversals wait for another registry",
            )
        reversal = OffsetReversal(
            item.instruction_id, surrender.instruction_id, proposal.instruction_id,
            surrender.account, surrender.instrument_id, surrender.scheme, surrender.year,
            surrender.quantity, surrender.credit_market, surrender.credit_account,
            surrender.credits, proposal.proposed_by, approved_by, proposal.reason,
            UndoState.ASKED, 0, "", cause.time_ns + _WAIT_NS, cause.time_ns,
        )  # fmt: skip
        self._require_undoable(reversal, cause)
        self._holdings.put_reversal(reversal)
        self._say_to_credits(reversal, Word.RESTORE)
        return [_changed(reversal)]

    def answer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_ANSWER about a reversal: what the registry of the credits said."""
        message = message_of(item)
        reversal = self._standings.reversal(item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if (
            message.word not in UNDO_ANSWERS
            or message.origin != self._market.code
            or reversal is None
            or (reversal.account, reversal.instrument_id, reversal.quantity) != told
        ):
            raise out_of_step(item, message)
        return self._hear(reversal, message.word, cause, message.reason, message.text)

    def come_due(self, number: int, cause: Cause) -> list[RegistryItem]:
        """The other registry has not answered reversal `number` in time."""
        reversal = self._standings.reversals[number]
        text = f"no answer within {OFFSET_ANSWER_HOURS_MAX} hours"
        return self._hear(reversal, Word.TIMEOUT, cause, RegistryReason.OFFSET_TIMED_OUT, text)

    def _hear(
        self, reversal: OffsetReversal, word: Word, cause: Cause, reason: int, text: str
    ) -> list[RegistryItem]:
        state = UndoState(reversal.state)
        if (state, word) == (UndoState.ASKED, Word.RESTORED):
            try:
                self._require_undoable(reversal, cause)
            except RefusalError as refusal:
                word, reason, text = Word.MISFIT, refusal.reason, refusal.text
        step = UNDO.get((state, word))
        if step is None:
            return []
        is_failing = step.state in (UndoState.KEEPING, UndoState.FAILED) and not reversal.reason
        after = reversal._replace(
            state=step.state,
            reason=int(reason) if is_failing else reversal.reason,
            text=text if is_failing else reversal.text,
            deadline_ns=cause.time_ns + _WAIT_NS,
        )
        if step.state in (UndoState.UNDONE, UndoState.DONE) and state != UndoState.UNDONE:
            self._undo(after, cause)
        self._holdings.put_reversal(after)
        if step.say is not None:
            self._say_to_credits(after, step.say)
        said: list[RegistryItem] = [_changed(after)] if step.state != state else []
        if step.state == UndoState.FAILED:
            said.append(self._refuse(after, cause))
        if step.state in (UndoState.DONE, UndoState.FAILED):
            said += self._ended(after, cause)
        return said

    def _undo(self, reversal: OffsetReversal, cause: Cause) -> None:
        """Takes the surrender off the obligation and its caps, for good."""
        product = self._instruments[reversal.instrument_id].product
        credits_ = _by_project(reversal)
        self._holdings.unload_surrender(counted(_surrender(reversal)), product, credits_)
        self._holdings.changes.reversals.append(
            Reversal(
                reversal.instruction_id, reversal.original, reversal.proposal, reversal.account,
                reversal.instrument_id, reversal.quantity, reversal.proposed_by,
                reversal.approved_by, reversal.why, cause.time_ns,
            )
        )  # fmt: skip

    def _require_undoable(self, reversal: OffsetReversal, cause: Cause) -> None:
        """RefusalError when the year was assessed, or other offsets would be too many."""
        account = (reversal.account, reversal.scheme, reversal.year)
        figures = self._holdings.years.get(account, Figures())
        require_unassessed(account, figures)
        product = self._instruments[reversal.instrument_id].product
        undone = {(product, number): t for number, t in _by_project(reversal).items()}
        self._check_fit(account, figures, cause, undone)

    def _refuse(self, reversal: OffsetReversal, cause: Cause) -> InstructionRefused:
        is_known = reversal.reason in set(RegistryReason)
        reason = reversal.reason if is_known else RegistryReason.OFFSET_OUT_OF_STEP
        text = reversal.text or f"the registry of {reversal.credit_market} did not return them"
        told = (reversal.instruction_id, reversal.account, int(reason), text)
        self._holdings.changes.refusals.append((*told, "", "", cause.time_ns))
        return InstructionRefused(*told)

    def _say_to_credits(self, reversal: OffsetReversal, word: Word) -> None:
        message = Message(
            word,
            self._market.code,
            reversal.instruction_id,
            reversal.account,
            reversal.instrument_id,
            text=str(reversal.original),
        )
        self._post.ask(
            (reversal.credit_market, reversal.credit_account),
            self._instruments[reversal.instrument_id],
            reversal.quantity,
            message,
        )

    # -- the registry of the credits -------------------------------------------------------------

    def request(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_REQUEST about a reversal; it is always answered."""
        message = message_of(item)
        row = self._standings.credit_return(message.origin, item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        try:
            surrender_id = surrender_of(message.text)
        except ValueError as error:
            raise RefusalError(RegistryReason.OFFSET_OUT_OF_STEP, str(error)) from error
        if (
            message.word not in UNDO_REQUESTS
            or not self._post.knows(message.origin)
            or (row is not None and (row.account, row.instrument_id, row.quantity) != told)
            or (row is not None and row.surrender_id != surrender_id)
        ):
            raise out_of_step(item, message)
        before = ReturnState.UNKNOWN if row is None else ReturnState(row.state)
        after, _ = RETURN[before, message.word]
        blocks: list[Block] = []
        if row is None:
            row = CreditReturn(
                message.origin, item.argument, surrender_id, message.account,
                message.instrument_id, item.account_id, instrument.id, item.quantity,
                ReturnState.UNKNOWN, item.instruction_id, 0, "", cause.time_ns,
            )  # fmt: skip
        if after != before:
            row, blocks = self._take_step(row, after, cause)
            self._holdings.put_return(row)
        answer = Message(
            Word(ReturnState(row.state).name), row.origin, row.reversal_id, row.surrender_account,
            row.surrender_instrument, row.reason, row.text,
        )  # fmt: skip
        self._post.answer(row.quantity, answer)
        if row.state == before:
            return []
        return [
            _held(item, row, tuple(block.range for block in run)) for run in runs(blocks) or [[]]
        ]

    def _take_step(
        self, row: CreditReturn, state: ReturnState, cause: Cause
    ) -> tuple[CreditReturn, list[Block]]:
        place = Place(row.account, Position.PENDING, row.instrument_id, row.hold_id)
        blocks: list[Block] = []
        match state:
            case ReturnState.RESTORED:
                taken = self._retired(row)
                if isinstance(taken, str):
                    reason = int(RegistryReason.OFFSET_OUT_OF_STEP)
                    return row._replace(state=ReturnState.REFUSED, reason=reason, text=taken), []
                blocks = self._holdings.restore(taken, cause, Position.PENDING, row.hold_id)
            case ReturnState.RETURNED:
                blocks = self._holdings.move(
                    place, row.account, Position.REGISTRY, row.quantity, cause
                )
                self._note_hold(row, cause, state)
            case ReturnState.KEPT if row.state == ReturnState.RESTORED:
                blocks = self._holdings.retire(place, State.SURRENDERED, row.quantity, cause)
                self._note_hold(row, cause, state)
            case ReturnState.REFUSED:
                row = row._replace(reason=int(RegistryReason.OFFSET_OUT_OF_STEP))
        return row._replace(state=state), blocks

    def _retired(self, row: CreditReturn) -> list[Block] | str:
        """The blocks that the surrender retired; or why they do not come back."""
        hold = self._standings.hold(row.origin, row.surrender_id)
        told = (row.surrender_account, row.account, row.instrument_id, row.quantity)
        if hold is None or hold.state != CreditState.RETIRED:
            return f"no credits are retired for surrender {row.surrender_id} of {row.origin}"
        if (hold.surrender_account, hold.account, hold.instrument_id, hold.quantity) != told:
            return f"surrender {row.surrender_id} of {row.origin} retired other credits"
        if any(
            (other.origin, other.surrender_id) == (row.origin, row.surrender_id)
            for other in self._standings.returns.values()
        ):
            return f"the credits of surrender {row.surrender_id} come back already"
        taken = self._standings.retired.get(hold.retired_id, [])
        if tonnes(taken) != row.quantity:
            return f"the books have {tonnes(taken)} t of surrender {row.surrender_id}"
        return taken

    def _note_hold(self, row: CreditReturn, cause: Cause, state: ReturnState) -> None:
        """What became of the credits of the surrender: returned, or retired once more."""
        hold = self._standings.hold(row.origin, row.surrender_id)
        if hold is None:
            return
        if state == ReturnState.RETURNED:
            self._holdings.put_hold(hold._replace(state=CreditState.RETURNED))
        else:
            self._holdings.put_hold(hold._replace(retired_id=cause.id))


def is_of_reversal(item: InstructionPassed) -> bool:
    """Whether a message between registries is about a reversal. O(text)."""
    word = item.notes.split("\n", 1)[0]
    if word == Word.REFUSED:
        return False
    return word in UNDO_REQUESTS + UNDO_ANSWERS


def messages_named(items: Iterable[SettlementItem]) -> frozenset[int]:
    """The surrenders and reversals that messages of a record name, by number. O(items)."""
    found: set[int] = set()
    for item in items:
        if not isinstance(item, InstructionPassed) or item.kind not in (
            Instruction.OFFSET_REQUEST,
            Instruction.OFFSET_ANSWER,
        ):
            continue
        found.add(item.argument)
        if item.kind == Instruction.OFFSET_REQUEST and is_of_reversal(item):
            try:
                found.add(surrender_of(from_notes(item.notes, item.argument).text))
            except ValueError:
                continue
    return frozenset(found)


def _surrender(reversal: OffsetReversal) -> OffsetSurrender:
    """The surrender as it counts."""
    return OffsetSurrender(
        reversal.original, reversal.account, reversal.instrument_id, reversal.scheme,
        reversal.year, "", reversal.quantity, reversal.credit_market, reversal.credit_account,
        0, 1, 0, "", 0, reversal.time_ns, 0, reversal.credits,
    )  # fmt: skip


def _by_project(reversal: OffsetReversal) -> dict[int, int]:
    return by_project(_surrender(reversal))


def _changed(reversal: OffsetReversal) -> OffsetReversalChanged:
    return OffsetReversalChanged(
        reversal.instruction_id,
        reversal.original,
        reversal.proposal,
        reversal.account,
        reversal.instrument_id,
        reversal.year,
        reversal.quantity,
        UndoState(reversal.state).name,
        reversal.proposed_by,
        reversal.approved_by,
        reversal.why,
        lots_of(reversal.credits, reversal.quantity),
    )


def _held(item: InstructionPassed, row: CreditReturn, ranges: tuple[Range, ...]) -> CreditsHeld:
    return CreditsHeld(
        item.instruction_id,
        row.origin,
        row.surrender_id,
        row.account,
        row.instrument_id,
        row.quantity,
        ReturnState(row.state).name,
        ranges,
    )
