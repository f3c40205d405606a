"""Surrendering credits that another registry keeps: what `saga` says, done to the holdings.

The registry of the allowances counts a surrender from the moment when the credits are frozen, and
has a row of `surrender` when they are retired. The registry of the credits knows the surrender by
its market and number. Both may be one market's: they still speak by messages alone, OFFSET_REQUEST
and OFFSET_ANSWER, which the service puts on `orders` of the other market.

A block does not stop it: what is owed can be surrendered from a blocked account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CreditsHeld,
    InstructionRefused,
    OffsetSurrenderChanged,
    Range,
    RegistryItem,
)
from exchange.messages.settlement import InstructionPassed, SettlementItem
from exchange.reference.venue import Instrument, Market, Venue
from exchange.registry.accounts import CREDIT_HOLDING, Accounts
from exchange.registry.blocks import Block, Position, State, runs
from exchange.registry.holdings import Holdings, counted
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.rows import Cause, Place
from exchange.registry.saga import (
    ALLOWANCE,
    ANSWERS,
    CREDIT,
    REQUESTS,
    AllowanceState,
    CreditState,
    Message,
    Word,
    from_notes,
    to_notes,
)
from exchange.registry.standings import CreditHold, OffsetSurrender, Outgoing
from exchange.registry.years import Account
from exchange.settings import (
    NOTE_BYTES_MAX,
    OFFSET_ANSWER_HOURS_MAX,
    OFFSET_SURRENDERS_OPEN_MAX,
)

_WAIT_NS = OFFSET_ANSWER_HOURS_MAX * 3_600 * 1_000_000_000
Admit = Callable[[InstructionPassed, Instrument, Cause], str]
IsLate = Callable[[Account, Cause], bool]


class TwoRegistries:
    """Both sides, of one market. Each step O(blocks x log)."""

    def __init__(
        self,
        holdings: Holdings,
        accounts: Accounts,
        instruments: Mapping[int, Instrument],
        market: Market,
        venue: Venue,
        admit: Admit,
        is_late: IsLate,
    ) -> None:
        self._holdings = holdings
        self._standings = holdings.standings
        self._accounts = accounts
        self._instruments = instruments
        self._market = market
        self._venue = venue
        self._partitions = {item.code: item.partition for item in venue.market}
        self._admit = admit
        self._is_late = is_late

    # -- the registry of the allowances ----------------------------------------------------------

    def ask(
        self, item: InstructionPassed, instrument: Instrument, rule: str, cause: Cause
    ) -> list[RegistryItem]:
        """A SURRENDER that its own registry's rules admit: asks the other one to freeze."""
        kept_by = instrument.kept_by or self._market.code
        bound = self._accounts.standing(item.account_id).bound_to
        if bound is None or bound[0] != kept_by:
            raise RefusalError(
                RegistryReason.CREDITS_NOT_BOUND,
                f"no general holding in the registry of {kept_by} is bound to account "
                f"{item.account_id}, so no {instrument.product} can be surrendered from it",
            )
        if len(self._standings.surrenders) >= OFFSET_SURRENDERS_OPEN_MAX:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL,
                f"{len(self._standings.surrenders)} surrenders wait for another registry",
            )
        surrender = OffsetSurrender(
            item.instruction_id, item.account_id, instrument.id, instrument.scheme, item.argument,
            rule, item.quantity, *bound, AllowanceState.ASKED, 0, 0, "", cause.time_ns + _WAIT_NS,
            cause.time_ns,
        )  # fmt: skip
        self._holdings.put_offset(surrender)
        self._say_to_credits(surrender, Word.FREEZE)
        return [_changed(surrender)]

    def answer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_ANSWER: what the registry of the credits said."""
        message = _message(item)
        surrender = self._standings.surrender(item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if (
            message.word not in ANSWERS
            or message.origin != self._market.code
            or surrender is None
            or (surrender.account, surrender.instrument_id, surrender.quantity) != told
        ):
            raise _out_of_step(item, message)
        return self._hear(surrender, message.word, cause, message.reason, message.text)

    def come_due(self, number: int, cause: Cause) -> list[RegistryItem]:
        """The other registry has not answered surrender `number` in time."""
        surrender = self._standings.surrenders[number]
        text = f"no answer within {OFFSET_ANSWER_HOURS_MAX} hours"
        return self._hear(surrender, Word.TIMEOUT, cause, RegistryReason.OFFSET_TIMED_OUT, text)

    def _hear(
        self, surrender: OffsetSurrender, word: Word, cause: Cause, reason: int, text: str
    ) -> list[RegistryItem]:
        state = AllowanceState(surrender.state)
        if (state, word) == (AllowanceState.ASKED, Word.FROZEN):
            misfit = self._misfit(surrender, cause)
            if misfit is not None:
                word = Word.MISFIT
                reason = RegistryReason.OFFSET_NO_LONGER_FITS
                text = misfit.text
        step = ALLOWANCE.get((state, word))
        if step is None:
            return []
        is_counted = step.state in (AllowanceState.BOOKED, AllowanceState.DONE) or (
            bool(surrender.is_counted) and step.state != AllowanceState.FAILED
        )
        self._count(surrender, is_counted)
        is_first = not surrender.reason and step.state != AllowanceState.BOOKED
        after = surrender._replace(
            state=step.state,
            is_counted=int(is_counted),
            reason=int(reason) if is_first else surrender.reason,
            text=text if is_first else surrender.text,
            deadline_ns=cause.time_ns + _WAIT_NS,
        )
        self._holdings.put_offset(after)
        if step.say is not None:
            self._say_to_credits(after, step.say)
        said: list[RegistryItem] = [_changed(after)]
        if step.state == AllowanceState.DONE:
            asked = cause._replace(time_ns=surrender.time_ns)
            account = (surrender.account, surrender.scheme, surrender.year)
            row = counted(surrender)._replace(
                time_ns=cause.time_ns, is_late=int(self._is_late(account, asked))
            )
            self._holdings.changes.surrenders.append(row)
            self._holdings.changes.credits.append((row.instruction_id, 0, row.quantity))
        if step.state == AllowanceState.FAILED:
            said.append(self._refuse(after, cause))
        return said

    def _misfit(self, surrender: OffsetSurrender, cause: Cause) -> RefusalError | None:
        """Why the surrender does not fit any more, by the rules of the day when it was asked."""
        asked = InstructionPassed(
            surrender.instruction_id, Instruction.SURRENDER, surrender.account,
            surrender.instrument_id, surrender.quantity, surrender.year, "", "",
        )  # fmt: skip
        instrument = self._instruments[surrender.instrument_id]
        try:
            self._admit(asked, instrument, cause._replace(time_ns=surrender.time_ns))
        except RefusalError as refusal:
            return refusal
        return None

    def _count(self, surrender: OffsetSurrender, is_counted: bool) -> None:
        product = self._instruments[surrender.instrument_id].product
        row, by_project = counted(surrender), {0: surrender.quantity}
        if is_counted and not surrender.is_counted:
            self._holdings.load_surrender(row, product, by_project)
        if surrender.is_counted and not is_counted:
            self._holdings.unload_surrender(row, product, by_project)

    def _refuse(self, surrender: OffsetSurrender, cause: Cause) -> InstructionRefused:
        is_known = surrender.reason in set(RegistryReason)
        reason = surrender.reason if is_known else RegistryReason.OFFSET_OUT_OF_STEP
        text = surrender.text or f"the registry of {surrender.credit_market} did not retire them"
        told = (surrender.instruction_id, surrender.account, int(reason), text)
        self._holdings.changes.refusals.append((*told, surrender.rule, "", cause.time_ns))
        return InstructionRefused(*told, surrender.rule)

    def _say_to_credits(self, surrender: OffsetSurrender, word: Word) -> None:
        here = self._instruments[surrender.instrument_id]
        there = here if surrender.credit_market == self._market.code else self._venue.twin_of(here)
        message = Message(
            word,
            self._market.code,
            surrender.instruction_id,
            surrender.account,
            surrender.instrument_id,
        )
        self._say(
            surrender.credit_market, Instruction.OFFSET_REQUEST, surrender.credit_account,
            there.id, surrender.quantity, message,
        )  # fmt: skip

    # -- the registry of the credits -------------------------------------------------------------

    def request(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_REQUEST: what the registry of the allowances wants; it is always answered."""
        message = _message(item)
        hold = self._standings.hold(message.origin, item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if (
            message.word not in REQUESTS
            or message.origin not in self._partitions
            or (hold is not None and (hold.account, hold.instrument_id, hold.quantity) != told)
        ):
            raise _out_of_step(item, message)
        before = CreditState.UNKNOWN if hold is None else CreditState(hold.state)
        step = CREDIT[before, message.word]
        blocks: list[Block] = []
        if hold is None:
            hold = CreditHold(
                message.origin, item.argument, message.account, message.instrument_id,
                item.account_id, instrument.id, item.quantity, CreditState.UNKNOWN,
                item.instruction_id, 0, "", cause.time_ns,
            )  # fmt: skip
        if step.state != before:
            hold, blocks = self._take_step(hold, step.state, instrument, cause)
            self._holdings.put_hold(hold)
        word = Word(CreditState(hold.state).name)
        answer = Message(
            word, hold.origin, hold.surrender_id, hold.surrender_account,
            hold.surrender_instrument, hold.reason, hold.text,
        )  # fmt: skip
        self._say(
            hold.origin, Instruction.OFFSET_ANSWER, hold.surrender_account,
            hold.surrender_instrument, hold.quantity, answer,
        )  # fmt: skip
        if hold.state == before:
            return []
        return [
            _held(item, hold, tuple(block.range for block in run)) for run in runs(blocks) or [[]]
        ]

    def _take_step(
        self, hold: CreditHold, state: CreditState, instrument: Instrument, cause: Cause
    ) -> tuple[CreditHold, list[Block]]:
        place = Place(hold.account, Position.PENDING, hold.instrument_id, hold.hold_id)
        free = Place(hold.account, Position.REGISTRY, hold.instrument_id)
        blocks: list[Block] = []
        match state:
            case CreditState.FROZEN:
                try:
                    self._require_holding(hold, instrument)
                except RefusalError as refusal:
                    refused = hold._replace(
                        state=CreditState.REFUSED, reason=int(refusal.reason), text=refusal.text
                    )
                    return refused, []
                blocks = self._holdings.move(
                    free, hold.account, Position.PENDING, hold.quantity, cause, lender=hold.hold_id
                )
            case CreditState.RETIRED:
                blocks = self._holdings.retire(place, State.SURRENDERED, hold.quantity, cause)
            case CreditState.RELEASED if hold.state == CreditState.FROZEN:
                blocks = self._holdings.move(
                    place, hold.account, Position.REGISTRY, hold.quantity, cause
                )
            case CreditState.REFUSED:
                hold = hold._replace(reason=int(RegistryReason.OFFSET_OUT_OF_STEP))
        return hold._replace(state=state), blocks

    def _require_holding(self, hold: CreditHold, instrument: Instrument) -> None:
        """RefusalError unless the account is bound to that of the obligation and has the units."""
        require_account(self._holdings, hold.account)
        standing = self._accounts.standing(hold.account)
        is_bound = standing.bound_to == (hold.origin, hold.surrender_account)
        if standing.kind != CREDIT_HOLDING or not is_bound:
            raise RefusalError(
                RegistryReason.CREDITS_NOT_BOUND,
                f"account {hold.account} is no {CREDIT_HOLDING} bound to account "
                f"{hold.surrender_account} of {hold.origin}",
            )
        require_free(self._holdings, hold.account, instrument, hold.quantity)

    def _say(
        self,
        market: str,
        kind: Instruction,
        account: int,
        instrument_id: int,
        quantity: int,
        message: Message,
    ) -> None:
        self._holdings.send(
            Outgoing(
                0,
                self._partitions[market],
                int(kind),
                account,
                instrument_id,
                quantity,
                message.surrender_id,
                to_notes(message, NOTE_BYTES_MAX),
            )
        )


def surrenders_named(items: Iterable[SettlementItem]) -> frozenset[int]:
    """The surrenders that messages of a record name, by number. O(items)."""
    return frozenset(
        item.argument
        for item in items
        if isinstance(item, InstructionPassed)
        and item.kind in (Instruction.OFFSET_REQUEST, Instruction.OFFSET_ANSWER)
    )


def _message(item: InstructionPassed) -> Message:
    try:
        return from_notes(item.notes, item.argument)
    except ValueError as error:
        raise RefusalError(RegistryReason.OFFSET_OUT_OF_STEP, str(error)) from error


def _out_of_step(item: InstructionPassed, message: Message) -> RefusalError:
    return RefusalError(
        RegistryReason.OFFSET_OUT_OF_STEP,
        f"{message.word} for surrender {item.argument} of {message.origin[:16]}, account "
        f"{item.account_id}, {item.quantity} t, fits none that is known here",
    )


def _changed(surrender: OffsetSurrender) -> OffsetSurrenderChanged:
    return OffsetSurrenderChanged(
        surrender.instruction_id,
        surrender.account,
        surrender.instrument_id,
        surrender.year,
        surrender.quantity,
        AllowanceState(surrender.state).name,
        surrender.credit_market,
        surrender.credit_account,
        bool(surrender.is_counted),
        surrender.rule,
    )


def _held(item: InstructionPassed, hold: CreditHold, ranges: tuple[Range, ...]) -> CreditsHeld:
    return CreditsHeld(
        item.instruction_id,
        hold.origin,
        hold.surrender_id,
        hold.account,
        hold.instrument_id,
        hold.quantity,
        CreditState(hold.state).name,
        ranges,
    )
