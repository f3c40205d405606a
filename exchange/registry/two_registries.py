"""Surrendering credits that another registry keeps: what `saga` says, done to the holdings.

The registry of the allowances counts a surrender from the moment when the credits are frozen, and
has a row of `surrender` when they are retired. The registry of the credits knows the surrender by
its market and number. Both may be one market's: they still speak by messages alone, OFFSET_REQUEST
and OFFSET_ANSWER, which the service puts on `orders` of the other market.

A block does not stop it: what is owed can be surrendered from a blocked account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    CreditsHeld,
    InstructionRefused,
    OffsetSurrenderChanged,
    Range,
    RegistryItem,
)
from exchange.messages.settlement import InstructionPassed
from exchange.reference.venue import Instrument, Market
from exchange.registry.accounts import CREDIT_HOLDING, Accounts
from exchange.registry.blocks import Block, Position, State, runs
from exchange.registry.holdings import Holdings, counted
from exchange.registry.projects import project_wanted
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.registry_post import Post, message_of, out_of_step
from exchange.registry.rows import Cause, ForeignProject, Place
from exchange.registry.saga import (
    ALLOWANCE,
    ANSWERS,
    CREDIT,
    REQUESTS,
    AllowanceState,
    CreditState,
    Message,
    Word,
    fits,
)
from exchange.registry.saga_texts import (
    Wanted,
    lots_of,
    lots_of_blocks,
    lots_text,
    wanted_of,
    wanted_text,
)
from exchange.registry.standings import CreditHold, OffsetSurrender
from exchange.registry.years import Account
from exchange.rulebook.eligibility import Credit
from exchange.settings import (
    NOTE_BYTES_MAX,
    OFFSET_ANSWER_HOURS_MAX,
    OFFSET_SURRENDERS_OPEN_MAX,
)

_HELD = (Word.FROZEN, Word.RETIRED)  # said with what is held
_WAIT_NS = OFFSET_ANSWER_HOURS_MAX * 3_600 * 1_000_000_000
Admit = Callable[[InstructionPassed, Instrument, Cause, Sequence[Credit]], str]
"""The rule for a surrender, of credits that are held there already or of none yet."""
IsLate = Callable[[Account, Cause], bool]
Ended = Callable[[OffsetSurrender, Cause], list[RegistryItem]]
"""What follows when a surrender is done or failed."""
Choose = Callable[[Wanted, int, Instrument, int], dict[int, int]]
"""Tonnes of each block of an account that fit what is wanted."""


class TwoRegistries:
    """Both sides, of one market. Each step O(blocks x log)."""

    def __init__(
        self,
        holdings: Holdings,
        accounts: Accounts,
        instruments: Mapping[int, Instrument],
        market: Market,
        post: Post,
        admit: Admit,
        is_late: IsLate,
        choose: Choose,
        flags: frozenset[str],
        ended: Ended,
    ) -> None:
        self._holdings = holdings
        self._standings = holdings.standings
        self._accounts = accounts
        self._instruments = instruments
        self._market = market
        self._post = post
        self._admit = admit
        self._is_late = is_late
        self._choose = choose
        self._flags = flags  # by which the rules count credits
        self._ended = ended

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
            cause.time_ns, project_wanted(item.notes),
        )  # fmt: skip
        self._holdings.put_offset(surrender)
        self._say_to_credits(surrender, Word.FREEZE)
        return [_changed(surrender)]

    def answer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_ANSWER: what the registry of the credits said."""
        message = message_of(item)
        surrender = self._standings.surrender(item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if (
            message.word not in ANSWERS
            or message.origin != self._market.code
            or surrender is None
            or (surrender.account, surrender.instrument_id, surrender.quantity) != told
        ):
            raise out_of_step(item, message)
        is_news = (AllowanceState(surrender.state), message.word) in ALLOWANCE
        if message.word in _HELD and is_news and not surrender.credits:
            surrender = surrender._replace(credits=self._credits_told(item, instrument, message))
            return self._hear(surrender, message.word, cause, message.reason, "")
        return self._hear(surrender, message.word, cause, message.reason, message.text)

    def _credits_told(
        self, item: InstructionPassed, instrument: Instrument, message: Message
    ) -> str:
        """What is held there, by project; RefusalError when the message does not say it."""
        try:
            lots = lots_of(message.text, item.quantity)
        except ValueError as error:
            raise RefusalError(RegistryReason.OFFSET_OUT_OF_STEP, str(error)) from error
        for lot in lots if instrument.kept_by else ():
            if lot.project:
                told = (lot.project_type, lot.region, ",".join(lot.flags))
                self._holdings.meet_project(ForeignProject(instrument.product, lot.project, *told))
        return lots_text(lots)

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
            self._holdings.changes.credits += [
                (row.instruction_id, *told) for told in by_project(after).items()
            ]
        if step.state == AllowanceState.FAILED:
            said.append(self._refuse(after, cause))
        if step.state in (AllowanceState.DONE, AllowanceState.FAILED):
            said += self._ended(after, cause)
        return said

    def _misfit(self, surrender: OffsetSurrender, cause: Cause) -> RefusalError | None:
        """Why the surrender does not fit any more, by the rules of the day when it was asked."""
        asked = InstructionPassed(
            surrender.instruction_id, Instruction.SURRENDER, surrender.account,
            surrender.instrument_id, surrender.quantity, surrender.year, "", "",
        )  # fmt: skip
        instrument = self._instruments[surrender.instrument_id]
        held = [
            Credit(
                instrument.product, lot.quantity, instrument.generation, lot.project_type,
                region=lot.region, flags=lot.flags,
            )
            for lot in lots_of(surrender.credits, surrender.quantity)
        ]  # fmt: skip
        try:
            self._admit(asked, instrument, cause._replace(time_ns=surrender.time_ns), held)
        except RefusalError as refusal:
            return refusal
        return None

    def _count(self, surrender: OffsetSurrender, is_counted: bool) -> None:
        product = self._instruments[surrender.instrument_id].product
        row, credits_ = counted(surrender), by_project(surrender)
        if is_counted and not surrender.is_counted:
            self._holdings.load_surrender(row, product, credits_)
        if surrender.is_counted and not is_counted:
            self._holdings.unload_surrender(row, product, credits_)

    def _refuse(self, surrender: OffsetSurrender, cause: Cause) -> InstructionRefused:
        is_known = surrender.reason in set(RegistryReason)
        reason = surrender.reason if is_known else RegistryReason.OFFSET_OUT_OF_STEP
        text = surrender.text or f"the registry of {surrender.credit_market} did not retire them"
        told = (surrender.instruction_id, surrender.account, int(reason), text)
        self._holdings.changes.refusals.append((*told, surrender.rule, "", cause.time_ns))
        return InstructionRefused(*told, surrender.rule)

    def _say_to_credits(self, surrender: OffsetSurrender, word: Word) -> None:
        told = (surrender.scheme, surrender.year, surrender.time_ns, surrender.project)
        message = Message(
            word,
            self._market.code,
            surrender.instruction_id,
            surrender.account,
            surrender.instrument_id,
            text=wanted_text(Wanted(*told)) if word == Word.FREEZE else "",
        )
        self._post.ask(
            (surrender.credit_market, surrender.credit_account),
            self._instruments[surrender.instrument_id],
            surrender.quantity,
            message,
        )

    # -- the registry of the credits -------------------------------------------------------------

    def request(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """OFFSET_REQUEST: what the registry of the allowances wants; it is always answered."""
        message = message_of(item)
        hold = self._standings.hold(message.origin, item.argument)
        told = (item.account_id, instrument.id, item.quantity)
        if (
            message.word not in REQUESTS
            or not self._post.knows(message.origin)
            or (hold is not None and (hold.account, hold.instrument_id, hold.quantity) != told)
        ):
            raise out_of_step(item, message)
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
            hold, blocks = self._take_step(hold, step.state, instrument, cause, message)
            self._holdings.put_hold(hold)
        self._post.answer(hold.quantity, _answer(hold))
        if hold.state == before:
            return []
        return [
            _held(item, hold, tuple(block.range for block in run)) for run in runs(blocks) or [[]]
        ]

    def _take_step(
        self,
        hold: CreditHold,
        state: CreditState,
        instrument: Instrument,
        cause: Cause,
        message: Message,
    ) -> tuple[CreditHold, list[Block]]:
        place = Place(hold.account, Position.PENDING, hold.instrument_id, hold.hold_id)
        blocks: list[Block] = []
        match state:
            case CreditState.FROZEN:
                try:
                    return self._freeze(hold, instrument, cause, message)
                except RefusalError as refusal:
                    refused = hold._replace(
                        state=CreditState.REFUSED, reason=int(refusal.reason), text=refusal.text
                    )
                    return refused, []
            case CreditState.RETIRED:
                blocks = self._holdings.retire(place, State.SURRENDERED, hold.quantity, cause)
                hold = hold._replace(retired_id=cause.id)
            case CreditState.RELEASED if hold.state == CreditState.FROZEN:
                blocks = self._holdings.move(
                    place, hold.account, Position.REGISTRY, hold.quantity, cause
                )
            case CreditState.REFUSED:
                hold = hold._replace(reason=int(RegistryReason.OFFSET_OUT_OF_STEP))
        return hold._replace(state=state), blocks

    def _freeze(
        self, hold: CreditHold, instrument: Instrument, cause: Cause, message: Message
    ) -> tuple[CreditHold, list[Block]]:
        """Holds credits that the rules take; RefusalError when there are too few."""
        self._require_holding(hold, instrument)
        try:
            wanted = wanted_of(message.text)
        except ValueError as error:
            raise RefusalError(RegistryReason.OFFSET_OUT_OF_STEP, str(error)) from error
        chosen = self._choose(wanted, hold.account, instrument, hold.quantity)
        free = Place(hold.account, Position.REGISTRY, hold.instrument_id)
        taken = [
            block._replace(last_serial=block.first_serial + chosen[block.block_id] - 1)
            for block in self._holdings.lying(free)
            if chosen.get(block.block_id)
        ]
        lots = lots_of_blocks(taken, self._holdings.projects, self._flags)
        frozen = hold._replace(state=CreditState.FROZEN, credits=lots_text(lots))
        if not fits(_answer(frozen), NOTE_BYTES_MAX):
            raise RefusalError(
                RegistryReason.TOO_MANY_PROJECTS,
                f"{hold.quantity} t would be of {len(lots)} projects, more than a message between "
                "the registries names",
            )
        blocks = self._holdings.move(
            free, hold.account, Position.PENDING, hold.quantity, cause, lender=hold.hold_id,
            chosen=chosen,
        )  # fmt: skip
        return frozen, blocks

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


def _answer(hold: CreditHold) -> Message:
    # Of what was retired, whatever came of it since, the surrender hears that it is retired.
    state = CreditState(hold.state)
    word = Word.RETIRED if state == CreditState.RETURNED else Word(state.name)
    return Message(
        word, hold.origin, hold.surrender_id, hold.surrender_account, hold.surrender_instrument,
        hold.reason, hold.credits if word in _HELD else hold.text,
    )  # fmt: skip


def by_project(surrender: OffsetSurrender) -> dict[int, int]:
    """Tonnes that are held for a surrender by project, 0 where it is not known. O(projects)."""
    return {lot.project: lot.quantity for lot in lots_of(surrender.credits, surrender.quantity)}


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
        lots_of(surrender.credits, surrender.quantity) if surrender.credits else (),
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
