"""Transfers that wait: for a second representative, and for their time; and other acts for two.

Where the registry of the scheme has hours, a transfer to a trusted account is carried out at once
within them, else at the next opening, and one to another account a working day or two later, so
that a thief's transfer can be stopped. Until then its units lie in the owner's pending position,
held by the transfer: they are the owner's but not free. It may be cancelled until two hours before.

Time passes here with the records of `settlements`: what is due is done before the first record
whose engine time is not earlier. So that such a record comes, the service puts CARRY_OUT on
`orders` while something is due.

An issuance, an allocation or a surrender waits for a second person in the same way, where the
registry's rule names it (`two_persons_for`) and the account asks for two. It is judged when it is
proposed and again, by the rules of that moment, when it is approved; from then on it is done and
counts. Units of a surrender lie in the pending position meanwhile; what is not issued yet, or lies
in another registry, cannot be held. What ends a protection waits always: one person may freeze and
block, and two give free, of one office or of both: an authority with one official asks the
registry's operators, who carry out what it orders anyway.

Sources: Union Registry as the Swedish Energy Agency explains it; Art. 20 of Delegated Regulation
(EU) 2019/1122: one representative initiates, another approves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from exchange.messages.frames import Instruction
from exchange.messages.reasons import RegistryReason
from exchange.messages.registry import (
    Range,
    RegistryItem,
    TransferEnded,
    TransferWaits,
    UnitsMoved,
)
from exchange.messages.settlement import InstructionPassed
from exchange.reference.signers import is_one_person
from exchange.reference.venue import Instrument
from exchange.registry.accounts import Accounts
from exchange.registry.blocks import Block, Position, runs
from exchange.registry.calendar import Calendar
from exchange.registry.encumbrances import OFFICES, Encumbrances, Signature, notes_of
from exchange.registry.holdings import Holdings
from exchange.registry.refusals import RefusalError, require_account, require_free
from exchange.registry.rows import Cause, Place
from exchange.registry.standings import TransferState, WaitingTransfer
from exchange.settings import TRANSFER_APPROVAL_DAYS_MAX, TRANSFERS_WAITING_MAX

_DAY_NS = 86_400 * 1_000_000_000
_TRANSACTIONS = {
    Instruction.ISSUE: "issuance",
    Instruction.ALLOCATE: "allocation",
    Instruction.SURRENDER: "surrender",
}
"""What the rulebook's `transaction_type` calls the acts that may need two persons."""
ENDS_OF_PROTECTION = frozenset(
    {Instruction.UNFREEZE, Instruction.UNBLOCK_ACCOUNT, Instruction.SET_ACCOUNT_TYPE}
)
"""What an office proposes and another person approves, of the same office or of the other."""

Act = Callable[[InstructionPassed, Instrument, Cause], list[RegistryItem]]


class Hold(NamedTuple):
    """Units that an act takes: held from its proposal on."""

    source: Place
    chosen: Mapping[int, int] | None = None  # tonnes of each block
    vintages: frozenset[int] | None = None


class Transfers:
    """What transfers and their ends do to a market's holdings. Each O(blocks x log)."""

    def __init__(
        self,
        holdings: Holdings,
        accounts: Accounts,
        calendar: Calendar,
        encumbrances: Encumbrances,
    ) -> None:
        self._encumbrances = encumbrances
        self._holdings = holdings
        self._waiting = holdings.standings.transfers
        self._accounts = accounts
        self._calendar = calendar
        self.acts: dict[int, Act] = {  # what an approved one does, by kind
            Instruction.UNFREEZE: encumbrances.unfreeze
        }

    def transfer(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """TRANSFER to `argument`: at once, at its time, or when another has approved it."""
        source, target = item.account_id, item.argument
        if source == target:
            raise RefusalError(
                RegistryReason.TRANSFER_TO_ITSELF, f"account {source} would transfer to itself"
            )
        require_account(self._holdings, target)
        given_by, _ = notes_of(item)
        self._accounts.require_representative(source, given_by)
        self._require_trusted(source, target, cause)
        require_free(self._holdings, source, instrument, item.quantity)
        needs_two = self._accounts.standing(source).needs_two
        due_ns = cancel_until_ns = cause.time_ns + TRANSFER_APPROVAL_DAYS_MAX * _DAY_NS
        if not needs_two:
            due_ns, cancel_until_ns = self._execution(source, target, instrument, cause)
            if due_ns <= cause.time_ns:
                return self._at_once(item, cause)
        self._require_room()
        state = TransferState.PROPOSED if needs_two else TransferState.WAITING
        transfer = WaitingTransfer(
            item.instruction_id, source, target, instrument.id, item.quantity, state, given_by,
            "", due_ns, cancel_until_ns, "", cause.time_ns, 0,
        )  # fmt: skip
        place = Place(source, Position.REGISTRY, instrument.id)
        blocks = self._holdings.move(
            place, source, Position.PENDING, item.quantity, cause, lender=item.instruction_id
        )
        self._holdings.put_transfer(transfer)
        return [_waits(transfer, 0, tuple(b.range for b in run)) for run in runs(blocks)]

    def waits_for_second(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        by: Signature,
        hold: Hold | None = None,
    ) -> list[RegistryItem]:
        """What is said of an act that needs a second person, its units held; [] when none does.

        The caller has judged the act. RefusalError when nobody is known to have given it, or one
        who does not act for the account. O(blocks x log).
        """
        transaction = _TRANSACTIONS[Instruction(item.kind)]
        if not self._accounts.needs_two(item.account_id, instrument.scheme, transaction):
            return []
        return self._propose(item, instrument, cause, by, hold)

    def set_type(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """SET_ACCOUNT_TYPE: at once, save one that ends the need of two persons. O(accounts).

        That waits itself: else one person would end it, act alone, and begin it again.
        """
        if not self._accounts.ends_two(item):
            return self._accounts.instructions[item.kind](item, instrument, cause)
        return self._propose(item, instrument, cause, self._accounts.typed_by(item))

    def unfreeze(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """UNFREEZE of what the authority froze: when a second person has approved. O(1)."""
        by = self._encumbrances.thawed_by(item, instrument)
        return self._propose(item, instrument, cause, by)

    def unblock(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """UNBLOCK_ACCOUNT: when a second person has approved, of the block that stands now."""
        by, block = self._accounts.unblocked_by(item)
        meant = msgspec.structs.replace(item, argument=block)
        return self._propose(meant, instrument, cause, by)

    def _propose(
        self,
        item: InstructionPassed,
        instrument: Instrument,
        cause: Cause,
        by: Signature,
        hold: Hold | None = None,
    ) -> list[RegistryItem]:
        if not by.key:
            raise RefusalError(
                RegistryReason.REFERENCE_MISSING,
                f"{Instruction(item.kind).name} of account {item.account_id} needs two persons: "
                "say the key that gave it",
            )
        if not by.office:
            self._accounts.require_representative(item.account_id, by.key)
        self._require_room()
        due_ns = cause.time_ns + TRANSFER_APPROVAL_DAYS_MAX * _DAY_NS
        act = WaitingTransfer(
            item.instruction_id, item.account_id, item.account_id, instrument.id, item.quantity,
            TransferState.PROPOSED, by.key, "", due_ns, due_ns, "", cause.time_ns, 0, item.kind,
            item.argument, item.notes, by.office,
        )  # fmt: skip
        self._holdings.put_transfer(act)
        if hold is None:
            return [_waits(act, 0, ())]
        blocks = self._holdings.move(
            hold.source, item.account_id, Position.PENDING, item.quantity, cause,
            lender=item.instruction_id, chosen=hold.chosen, vintages=hold.vintages,
        )  # fmt: skip
        return [_waits(act, 0, tuple(b.range for b in run)) for run in runs(blocks)]

    def _approve_act(
        self,
        item: InstructionPassed,
        transfer: WaitingTransfer,
        approved_by: str,
        instrument: Instrument,
        cause: Cause,
    ) -> list[RegistryItem]:
        """Does what waited, by the rules of now; RefusalError, and it waits on, where they forbid.

        Its units are told to be free again before they are told to be used.
        """
        act = transfer.act()
        self._accounts.check(act, instrument, cause.time_ns)
        blocks = self._holdings.lying(pending_of(transfer))
        why = cause._replace(name=Instruction(act.kind).name, id=act.instruction_id)
        said = (self.acts | self._accounts.instructions)[act.kind](act, instrument, why)
        approved = transfer._replace(approved_by=approved_by)
        self._holdings.put_transfer(
            approved._replace(state=TransferState.DONE, ended_ns=cause.time_ns)
        )
        waits = _waits(approved, item.instruction_id, ())
        return [waits, *_ended(approved, TransferState.DONE, "", 0, blocks), *said]

    def approve(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """APPROVE_TRANSFER of what was proposed as `argument`, by a second person."""
        transfer = self._open(item, TransferState.PROPOSED)
        if transfer[3:5] != (instrument.id, item.quantity):
            raise RefusalError(
                RegistryReason.UNKNOWN_TRANSFER,
                f"{_named(transfer)} is of {transfer.quantity} t of instrument "
                f"{transfer.instrument_id}, not {item.quantity} t of {instrument.symbol}",
            )
        approved_by, _ = notes_of(item)
        if not approved_by:
            raise RefusalError(
                RegistryReason.REFERENCE_MISSING, "an approval needs the key that gave it"
            )
        if is_one_person(approved_by, transfer.given_by):
            raise RefusalError(
                RegistryReason.SAME_PERSON, f"{approved_by} proposed {_named(transfer)} itself"
            )
        self._require_side(item, transfer)
        if transfer.kind != Instruction.TRANSFER:
            return self._approve_act(item, transfer, approved_by, instrument, cause)
        self._accounts.require_unblocked(transfer.account, cause.time_ns)
        self._accounts.require_receiver(transfer.to_account, cause.time_ns)
        self._require_trusted(transfer.account, transfer.to_account, cause)
        due_ns, cancel_until_ns = self._execution(
            transfer.account, transfer.to_account, instrument, cause
        )
        approved = transfer._replace(
            state=TransferState.WAITING, approved_by=approved_by, due_ns=due_ns,
            cancel_until_ns=cancel_until_ns,
        )  # fmt: skip
        said: list[RegistryItem] = [_waits(approved, item.instruction_id, ())]
        if due_ns <= cause.time_ns:
            return said + self._end(approved, TransferState.DONE, cause)
        self._holdings.put_transfer(approved)
        return said

    def cancel(
        self, item: InstructionPassed, instrument: Instrument, cause: Cause
    ) -> list[RegistryItem]:
        """CANCEL_TRANSFER of what waits as `argument`: its units are free again."""
        transfer = self._open(item, *(TransferState.PROPOSED, TransferState.WAITING))
        self._require_side(item, transfer)
        is_late = cause.time_ns > transfer.cancel_until_ns
        if transfer.state == TransferState.WAITING and is_late:
            raise RefusalError(
                RegistryReason.TRANSFER_PAST_CANCELLING,
                f"transfer {transfer.instruction_id} is carried out at {transfer.due_ns} ns UTC; "
                f"it could be cancelled until {transfer.cancel_until_ns} ns",
            )
        return self._end(transfer, TransferState.CANCELLED, cause, ended_by=item.instruction_id)

    def come_due(self, number: int, cause: Cause) -> list[RegistryItem]:
        """The time of the waiting transfer `number` has come: carried out, lapsed or stopped."""
        transfer = self._waiting[number]
        if transfer.state == TransferState.PROPOSED:
            return self._end(transfer, TransferState.LAPSED, cause)
        try:
            self._accounts.require_unblocked(transfer.account, cause.time_ns)
            self._accounts.require_receiver(transfer.to_account, cause.time_ns)
        except RefusalError as refusal:
            return self._end(transfer, TransferState.STOPPED, cause, text=refusal.text)
        return self._end(transfer, TransferState.DONE, cause)

    def _execution(
        self, source: int, target: int, instrument: Instrument, cause: Cause
    ) -> tuple[int, int]:
        return self._calendar.execution(
            instrument.scheme,
            cause.time_ns,
            is_trusted=self._accounts.is_trusted(source, target, cause.time_ns),
            is_kyoto=self._accounts.is_kyoto(source),
        )

    def _require_room(self) -> None:
        if len(self._waiting) >= TRANSFERS_WAITING_MAX:
            raise RefusalError(
                RegistryReason.REGISTRY_LIST_FULL, f"{len(self._waiting)} transfers wait"
            )

    def _require_side(self, item: InstructionPassed, transfer: WaitingTransfer) -> None:
        """RefusalError unless who decides is of the side that proposed: account or office.

        The end of a protection is for any office: one with a single person could end nothing else.
        """
        key, word = notes_of(item)
        office = word if word in OFFICES else ""
        is_for_any = transfer.kind in ENDS_OF_PROTECTION and bool(office)
        if office != transfer.office and not is_for_any:
            raise RefusalError(
                RegistryReason.OTHER_SIDE_DECIDES,
                f"{key} acts for {office or 'the account'}; {_named(transfer)} was proposed for "
                f"{transfer.office or 'the account'}",
            )
        if not office:
            self._accounts.require_representative(transfer.account, key)

    def _require_trusted(self, source: int, target: int, cause: Cause) -> None:
        kind = self._accounts.type_of(source)
        if kind is None or not kind.transfer_only_to_trusted:
            return
        if not self._accounts.is_trusted(source, target, cause.time_ns):
            raise RefusalError(
                RegistryReason.ACCOUNT_NOT_TRUSTED,
                f"account {source} is a {kind.code} and does not trust account {target} now",
            )

    def _open(self, item: InstructionPassed, *states: TransferState) -> WaitingTransfer:
        transfer = self._waiting.get(item.argument)
        if transfer is None or transfer.account != item.account_id or transfer.state not in states:
            raise RefusalError(
                RegistryReason.UNKNOWN_TRANSFER,
                f"no transfer {item.argument} of account {item.account_id} waits for that",
            )
        return transfer

    def _at_once(self, item: InstructionPassed, cause: Cause) -> list[RegistryItem]:
        source = Place(item.account_id, Position.REGISTRY, item.instrument_id)
        moved = self._holdings.move(source, item.argument, Position.REGISTRY, item.quantity, cause)
        told = (item.account_id, item.argument, item.instrument_id)
        return [
            UnitsMoved(cause.name, cause.id, *told, tuple(block.range for block in run))
            for run in runs(moved)
        ]

    def _end(
        self,
        transfer: WaitingTransfer,
        state: TransferState,
        cause: Cause,
        *,
        text: str = "",
        ended_by: int = 0,
    ) -> list[RegistryItem]:
        heir = transfer.to_account if state == TransferState.DONE else transfer.account
        place = pending_of(transfer)
        held = self._holdings.held(*place)  # of an issuance there is nothing yet
        why = cause._replace(name=Instruction(transfer.kind).name, id=transfer.instruction_id)
        blocks = self._holdings.move(place, heir, Position.REGISTRY, held, why) if held else []
        self._holdings.put_transfer(
            transfer._replace(state=state, text=text, ended_ns=cause.time_ns)
        )
        return _ended(transfer, state, text, ended_by, blocks)


def pending_of(transfer: WaitingTransfer) -> Place:
    """Where the units lie that it holds, if it holds any. O(1)."""
    number = transfer.instruction_id
    return Place(transfer.account, Position.PENDING, transfer.instrument_id, number)


def _named(transfer: WaitingTransfer) -> str:
    return f"{Instruction(transfer.kind).name.lower()} {transfer.instruction_id}"


def _ended(
    transfer: WaitingTransfer, state: TransferState, text: str, ended_by: int, blocks: list[Block]
) -> list[RegistryItem]:
    name = Instruction(transfer.kind).name
    return [
        TransferEnded(
            *transfer[:5], state.name, text, ended_by, tuple(block.range for block in run), name
        )
        for run in runs(blocks) or [[]]
    ]


def _waits(transfer: WaitingTransfer, approval_id: int, ranges: tuple[Range, ...]) -> TransferWaits:
    return TransferWaits(
        *transfer[:5],
        TransferState(transfer.state).name,
        transfer.given_by,
        transfer.approved_by,
        transfer.due_ns,
        transfer.cancel_until_ns,
        approval_id,
        ranges,
        Instruction(transfer.kind).name,
        transfer.argument,
    )
